"""What an open world is asked for, and that the same orders give the same bits."""

import numpy as np
import pytest
from boxed_square import ground
from open_field import CAR_M, CONE_M, PERSON_M, block, car, field, ticks
from shared_maps import graph_of, map_of

from sim.open_world import OpenWorld
from stack.frames import Pose
from stack.labels import Kind, Semantic
from stack.vehicle import GRAVITY_MPS2 as G
from stack.vehicle import load_vehicle


def test_a_walker_goes_where_it_is_told() -> None:
    world = field(ground(), block(6.0, 0.0, 0.0, (4.0, 4.0, 0.2)))
    row = world.add(Kind.PEDESTRIAN, PERSON_M, Pose(0.0, 0.0, 0.0, 1.0))
    world.walk(row, (2.0, 0.0, 0.0), 1.4)  # of any length
    ticks(world, 40)
    m = world.motion()
    assert m.xyz_m[row] == pytest.approx([2.8, 0.0, 0.0], abs=1e-3) and m.rpy_rad[row, 2] == 0.0
    ticks(world, 40)
    assert world.motion().xyz_m[row] == pytest.approx([5.6, 0.0, 0.2], abs=1e-3)  # up a kerb
    world.walk(row, (0.0, 0.0, 0.0), 0.0, jump=True)
    heights = []
    for _ in range(50):
        world.tick(0.02)
        heights.append(world.motion().xyz_m[row, 2])
    assert max(heights) == pytest.approx(0.2 + 4.2**2 / (2.0 * G), abs=0.01) and heights[-1] == pytest.approx(
        0.2, abs=1e-4
    )
    assert not world.motion().velocity_mps[row].any()


def test_a_walker_stops_at_a_wall() -> None:
    world = field(boxes=[[4.0, 0.0, 0.0, 1.0, 10.0, 0.0, 3.0]])
    row = world.add(Kind.PEDESTRIAN, PERSON_M, Pose(0.0, 0.0))
    world.walk(row, (1.0, 0.0, 0.0), 2.0)
    ticks(world, 80)
    m = world.motion()
    assert 3.1 < m.xyz_m[row, 0] < 3.4 and abs(m.velocity_mps[row, 0]) < 0.05


def test_impulses_and_forces() -> None:
    """dv = J / m at once; F / m over a tick; off the centre of gravity they turn by r x J / I."""
    world = field()
    world.add_friction(Pose(0.0, 0.0), (90.0, 90.0, 5.0), 1e-3)
    rows = [car(world, y=15.0 * k, speed=5.0) for k in range(4)]
    ticks(world, 2)
    p, before = world.params(rows[0]), world.motion()
    world.push(rows[0], (2.0 * p.mass_kg, 0.0, 0.0))
    world.force(rows[1], (0.5 * p.mass_kg, 0.0, 0.0))
    world.force(rows[1], (1.5 * p.mass_kg, 0.0, 0.0))
    world.twist(rows[2], (0.0, 0.0, 0.4 * p.yaw_inertia_kgm2))
    ahead = before.xyz_m[rows[3]] + (p.rear_axle_m - p.centre_m + 1.0, 0.0, 0.0)  # 1 m ahead of the centre of gravity
    world.push(rows[3], (0.0, 0.4 * p.yaw_inertia_kgm2, 0.0), at=ahead)
    world.tick(0.05)
    m = world.motion()
    gain = (m.velocity_mps - before.velocity_mps)[rows, 0]
    assert gain[:2] == pytest.approx([2.0, 2.0 * 0.05], abs=0.02)
    assert m.turn_radps[rows, 2] == pytest.approx([0.0, 0.0, 0.4, 0.4], abs=0.02)
    assert m.accel_mps2[rows[1], 0] == pytest.approx(2.0, abs=0.3)
    speed = world.motion().velocity_mps[rows[1], 0]
    world.tick(0.05)
    assert world.motion().velocity_mps[rows[1], 0] <= speed  # a force acts for one tick


def test_velocity_is_set_and_kept_in_the_box_centre() -> None:
    world = field()
    row = car(world, yaw=0.7)
    world.set_turn_rate(row, (0.0, 0.0, 0.3))
    world.set_velocity(row, (4.0, 5.0, 0.0))
    assert world.motion().velocity_mps[row] == pytest.approx([4.0, 5.0, 0.0], abs=1e-5)
    world.set_turn_rate(row, (0.0, 0.0, -0.3))
    assert world.motion().velocity_mps[row] == pytest.approx([4.0, 5.0, 0.0], abs=1e-5)
    world.keep_velocity(row, (6.0, 0.0, 0.0))
    world.drive(row, 0.0, 1.0, 0.0)  # the brake does not matter
    ticks(world, 20)
    yaw = world.motion().rpy_rad[row, 2]
    assert world.motion().velocity_mps[row] == pytest.approx([6.0 * np.cos(yaw), 6.0 * np.sin(yaw), 0.0], abs=1e-4)
    world.keep_velocity(row, None)
    ticks(world, 40)
    assert not world.motion().velocity_mps[row].any()


def test_place_keeps_the_velocity_of_the_simulated() -> None:
    world = field()
    row = car(world, speed=7.0)
    world.place(row, Pose(-30.0, 5.0, 0.0, 0.0))
    world.tick(0.05)
    m = world.motion()
    assert m.xyz_m[row] == pytest.approx([-29.65, 5.0, 0.0], abs=0.02) and m.velocity_mps[row, 0] == pytest.approx(
        7.0, abs=0.05
    )


def test_rows_are_reused_and_the_world_grows() -> None:
    world = field(rows=2)
    rows = [car(world, x=6.0 * k) for k in range(5)]
    assert rows == [0, 1, 2, 3, 4] and world.generation == 2 and world.state.actors == 8 == world.geometry.actors
    world.tick(0.05)
    assert world.motion().xyz_m[:5, 0] == pytest.approx(6.0 * np.arange(5), abs=1e-4)
    world.remove(1)
    with pytest.raises(ValueError, match="row 1"):
        world.drive(1, 0.0, 0.0, 0.0)
    assert world.add(Kind.PROP, CONE_M, Pose(50.0, 0.0)) == 1
    world.reset()
    assert not world.state.numpy("kind").any() and world.state.numpy("tick")[0] == 0 and car(world) == 0


def test_blocked() -> None:
    world = field(boxes=[[0.0, 10.0, 0.0, 6.0, 1.0, 0.0, 3.0]])
    row = car(world)
    ticks(world, 2)
    assert world.blocked(CAR_M, Pose(3.0, 0.0)) and not world.blocked(CAR_M, Pose(3.0, 0.0), ignore=[row])
    assert not world.blocked(CAR_M, Pose(0.0, 2.0)) and world.blocked(CAR_M, Pose(0.0, 2.0, 0.0, 0.5 * np.pi))
    assert world.blocked(CAR_M, Pose(0.0, 9.0)) and not world.blocked(CAR_M, Pose(0.0, 9.0, 4.0))
    assert not world.blocked(CAR_M, Pose(0.0, 0.0, -50.0)) and not world.blocked(CAR_M, Pose(0.0, 0.0, 1.6))
    world.solid(row, False)
    assert not world.blocked(CAR_M, Pose(3.0, 0.0))


def test_ground_and_rays() -> None:
    world = field(ground(), block(20.0, 0.0, 0.0, (4.0, 4.0, 5.0)))
    car(world, 10.0)
    world.tick(0.05)
    z = world.ground_m(
        np.array([[0.0, 0.0], [20.0, 0.0], [20.0, 0.0], [500.0, 0.0], [0.0, 0.0]]), np.array([3, 9, 3, 9, -1])
    )
    assert z.tolist() == pytest.approx([0.0, 5.0, 0.0, -np.inf, -np.inf], abs=1e-5)
    hits = world.cast((0.0, 0.0, 1.0), (40.0, 0.0, 1.0))
    assert [label for _, label in hits] == [Semantic.CAR, Semantic.BUILDING, Semantic.BUILDING]
    assert np.array([at for at, _ in hits]) == pytest.approx(
        np.array([[10.0 - 2.35, 0, 1], [18.0, 0, 1], [22.0, 0, 1]]), abs=1e-3
    )
    assert world.cast((0.0, 0.0, 9.0), (40.0, 0.0, 9.0)) == []


def busy(order: int = 0, far: bool = False) -> OpenWorld:
    world = field(boxes=[[30.0, 0.0, 0.3, 1.0, 20.0, 0.0, 3.0]], rows=8)
    for k in range(6):
        if far and k == order:
            world.add(Kind.CAR, CAR_M, Pose(0.0, 100.0))
        row = car(world, 8.0 * k - 20.0, 0.5 * k, 0.3 * k, 0.1 * k, 6.0)
        world.drive(row, 0.1 * k, 0.0, 0.05 * k)
    world.push(0, (0.0, 500.0, 4000.0))
    return world


def test_same_calls_same_bits_also_after_a_restore() -> None:
    a, b = busy(), busy()
    for k in range(40):
        for world in (a, b):
            world.tick(0.02 + 0.001 * (k % 7))
        if k == 10:
            saved = b.save()
            ticks(b, 5)
            b.blocked(CAR_M, Pose(0.0, 0.0))
            b.restore(saved)
        assert a.hash() == b.hash()


@pytest.mark.parametrize("order", [0, 3])
def test_one_more_far_away_changes_nobody(order: int) -> None:
    a, b = busy(), busy(order, far=True)
    others = [k for k in range(7) if k != order]
    for _ in range(40):
        a.tick(0.05)
        b.tick(0.05)
    first, second = a.motion(), b.motion()
    for row, other in enumerate(others):
        if row == 0 and order == 0:
            continue  # the push went to row 0
        assert first.xyz_m[row].tobytes() == second.xyz_m[other].tobytes()


def test_params_and_paint() -> None:
    world = field()
    row = world.add(Kind.TRUCK, (8.0, 2.5, 3.0), Pose(0.0, 0.0), paint=1 + 0xFF0000)
    p = world.params(row)
    assert (p.length_m, p.kind) == (8.0, "truck")
    world.set_params(row, load_vehicle("sedan"))
    assert world.params(row).mass_kg == load_vehicle("sedan").mass_kg and world.params(row).length_m == 8.0
    world.geometry.update(world.state, 0, viewer=-1)
    colour = world.geometry.arrays.colour.numpy()[row]
    assert colour[0] == pytest.approx([1.0, 0.0, 0.0])
    cone = world.add(Kind.PROP, CONE_M, Pose(20.0, 0.0))
    with pytest.raises(ValueError, match="prop"):
        world.params(cone)


@pytest.mark.parametrize("dt_s", [0.0, 1e-4, 1.5, np.nan])
def test_bad_numbers_are_refused(dt_s: float) -> None:
    world = field()
    row = car(world)
    with pytest.raises(ValueError, match="tick"):
        world.tick(dt_s)
    with pytest.raises(ValueError, match="place"):
        world.place(row, Pose(np.nan, 0.0))
    with pytest.raises(ValueError, match="add"):
        world.add(Kind.CAR, (4.0, 0.0, 1.0), Pose(0.0, 0.0))
    with pytest.raises(ValueError, match="drive"):
        world.drive(row, np.nan, 0.0, 0.0)


def test_a_town_carries_cars_on_lanes_and_walkers_on_sidewalks() -> None:
    graph = graph_of("town_a")
    world = OpenWorld(map_of("town_a"), graph, rows=16)
    lanes = np.flatnonzero((graph.lane_length_m > 60.0) & (graph.lane_junction < 0))[:: max(graph.lanes // 16, 1)][:6]
    at = graph.lane_start[lanes] + 5
    cars = []
    for k in at:
        pose = Pose(float(graph.x_m[k]), float(graph.y_m[k]), float(graph.z_m[k]) + 0.3, float(graph.yaw_rad[k]))
        assert not world.blocked(CAR_M, pose)
        cars.append(world.add(Kind.CAR, CAR_M, pose))
        assert world.blocked(CAR_M, pose)
        world.drive(cars[-1], 0.3, 0.0, 0.0)
    walkers = [world.add(Kind.PEDESTRIAN, PERSON_M, Pose(*graph.walk_xyz_m[graph.walk_start[k]])) for k in range(4)]
    for k, row in enumerate(walkers):
        way = graph.walk_xyz_m[graph.walk_start[k] + 1] - graph.walk_xyz_m[graph.walk_start[k]]
        world.walk(row, way, 1.2)
    before = world.motion().xyz_m
    ticks(world, 60)
    m = world.motion()
    assert np.linalg.norm(m.xyz_m[cars, :2] - before[cars, :2], axis=1).min() > 3.0
    assert (world.store.column["lane"][cars] == lanes).all() and not world.contacts()
    for rows, slack in ((cars, 0.03), (walkers, 0.01)):
        ground_z = world.ground_m(m.xyz_m[rows, :2], m.xyz_m[rows, 2] + 1.0)
        assert m.xyz_m[rows, 2] == pytest.approx(ground_z, abs=slack)
    assert np.linalg.norm(m.velocity_mps[walkers], axis=1) == pytest.approx([1.2] * 4, abs=0.01)
    world.geometry.update(world.state, 0, viewer=-1)
    rows = cars + walkers
    assert world.geometry.arrays.base.numpy()[rows] == pytest.approx(m.xyz_m[rows], abs=1e-4)
