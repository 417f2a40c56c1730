"""The open world against textbook physics, and what a client may count on."""

import numpy as np
import pytest
from boxed_square import ground
from open_field import CAR_M, CONE_M, PERSON_M, car, field, ticks
from plain_graph import plain_graph

from sim.batch import Batch
from sim.geometry import Mesh, box_mesh
from sim.kernels import vehicle
from sim.open_world import SCENERY, OpenWorld
from stack.frames import Pose
from stack.labels import Kind, Semantic
from stack.vehicle import GRAVITY_MPS2 as G
from stack.vehicle import VEHICLES, load_vehicle


def box(x: float, y: float, z: float, size: tuple[float, float, float]) -> Mesh:
    mesh = box_mesh(np.array(size), Semantic.BUILDING, 0)
    return Mesh(mesh.vertices + np.array([x, y, z], np.float32), mesh.triangles, mesh.semantic, mesh.material)


# ---------------------------------------------------------------- rolling


def test_five_substeps_of_10_ms_are_those_of_the_batch() -> None:
    params = [load_vehicle(name) for name in VEHICLES]
    n, rng = len(params), np.random.default_rng(0)
    batch, world = Batch(plain_graph(), params, 1, n), field()
    batch.reset_world(0, {"kind": [p.kind_id for p in params], "driver": [2] * n, "model": list(range(n))}, seed=1)
    for p in params:
        world.add(p.kind_id, (p.length_m, p.width_m, p.height_m), Pose(0.0, 0.0), p)
    for row in range(n):
        world.solid(row, False)
    world.tick(0.05)
    names = ("x_m", "y_m", "yaw_rad", "vx_mps", "vy_mps", "yaw_rate_radps", "ax_mps2", "wheel_angle_rad", "drive_mps2")
    for name in (*names, "pitch_rad"):
        world.store.column[name][:n] = 0.0
    for turn in range(300):
        if turn % 10 == 0:
            for row in range(n):
                throttle, brake, steer = rng.uniform(0, 1), rng.uniform(0, 1) * (turn % 30 == 0), rng.uniform(-0.4, 0.4)
                batch.set_pedals(0, row, [throttle, brake, steer])
                world.drive(row, throttle, brake, steer, reverse=bool(turn > 200))
                batch.state.numpy("reverse")[0, row] = turn > 200
        vehicle.launch(batch.state.arrays, batch.table_device, 1, n, "cpu")
        world.store.inner[1].launch()
        for name in names:
            assert batch.state.numpy(name)[0].tobytes() == world.store.column[name][:n].tobytes(), (turn, name)
    assert batch.state.numpy("vx_mps").min() < -1.0


@pytest.mark.parametrize("dt_s", [0.001, 0.0125, 0.0333, 0.1, 0.5, 1.0])
def test_pace_does_not_change_the_drive(dt_s: float) -> None:
    """Ten seconds of a gentle bend at any pace end within a share of the way of each other."""
    ends = []
    for pace in (0.05, dt_s):
        world = field(ground(half_m=400.0, step_m=20.0))
        row = car(world, speed=10.0)
        world.drive(row, 0.3, 0.0, 0.02)
        ticks(world, round(10.0 / pace), pace)
        ends.append(world.motion().xyz_m[row])
    way = np.linalg.norm(ends[0])
    assert way > 60.0 and np.linalg.norm(ends[1] - ends[0]) < 0.01 * way


def test_hand_brake_and_friction_patch() -> None:
    """v^2 / (2 mu g) on ice: a fifth of the grip takes five times the way, and only there."""
    ways = []
    for ice in (False, True):
        world = field()
        if ice:
            patch = world.add_friction(Pose(0.0, 0.0), (120.0, 2.0, 2.0), 0.2)
        rows = car(world, speed=12.0), car(world, y=10.0, speed=12.0)
        for row in rows:
            world.drive(row, 0.0, 1.0, 0.0)
        ticks(world, 400)
        ways.append(world.motion().xyz_m[list(rows), 0])
    mu = world.params(0).tyre_friction
    assert ways[1][0] == pytest.approx(12.0**2 / (2.0 * 0.2 * mu * G), rel=0.08)
    assert [ways[0][1], ways[1][1]] == pytest.approx([ways[0][0]] * 2, abs=1e-3)
    world.remove_friction(patch)
    row = car(world, y=-1.0, x=-20.0, speed=12.0)
    world.drive(row, 0.0, 1.0, 0.0)
    ticks(world, 100)
    assert world.motion().xyz_m[row, 0] + 20.0 == pytest.approx(ways[0][0], rel=0.02)
    with pytest.raises(ValueError, match="friction"):
        world.remove_friction(patch)
    row = car(world, y=30.0, speed=10.0)
    world.drive(row, 0.0, 0.0, 0.0, hand_brake=True)
    world.tick(1.0)
    assert 2.0 < 10.0 - world.motion().velocity_mps[row, 0] < 5.0


# ---------------------------------------------------------------- falling and flying


def test_half_a_metre_is_fallen_in_0_32_s() -> None:
    """t = sqrt(2 h / g) = 0.319 s."""
    world = field()
    row = car(world, z=0.5)
    heights = []
    for _ in range(40):
        world.tick(0.01)
        heights.append(world.motion().xyz_m[row, 2])
    assert heights[30] > 0.02 and heights[31:] == pytest.approx([0.0] * 9, abs=1e-5)
    assert heights[9] == pytest.approx(0.5 - 0.5 * G * 0.1**2, abs=1e-4)


def test_an_upward_impulse_hops() -> None:
    """v^2 / 2 g = 0.459 m, for 2 v / g = 0.61 s; ahead it flies as fast as it drove."""
    world = field()
    row = car(world, speed=8.0)
    world.tick(0.05)
    speed = world.motion().velocity_mps[row, 0]
    world.push(row, (0.0, 0.0, 3.0 * world.params(row).mass_kg))
    heights = []
    for _ in range(100):
        world.tick(0.01)
        heights.append(world.motion().xyz_m[row, 2])
        if heights[-1] > 0.01:
            assert world.motion().velocity_mps[row, 0] == pytest.approx(speed, abs=1e-5)
    assert max(heights) == pytest.approx(9.0 / (2.0 * G), abs=0.001)
    assert np.count_nonzero(np.array(heights) > 0.001) == pytest.approx(2.0 * 3.0 / G / 0.01, abs=1.5)


@pytest.mark.parametrize("z", [-50.0, -200.0, -500.0])
@pytest.mark.parametrize("kind", [Kind.CAR, Kind.PEDESTRIAN, Kind.PROP])
def test_below_all_ground_it_falls_freely_until_it_is_held(kind: Kind, z: float) -> None:
    world = field(graph=plain_graph([np.stack([np.arange(60.0), np.zeros(60), np.zeros(60)], -1)]))
    row = world.add(kind, (1.0, 1.0, 1.0), Pose(20.0, 0.0, z))
    ticks(world, 2)
    assert world.motion().xyz_m[row, 2] == pytest.approx(z - 0.5 * G * 0.1**2, abs=1e-3)
    world.simulate(row, False)
    ticks(world, 2)
    held = world.motion()
    assert held.xyz_m[row, 2] == pytest.approx(z - 0.5 * G * 0.1**2, abs=1e-3) and not held.velocity_mps[row].any()
    world.place(row, Pose(20.0, 0.0, 0.0))
    world.tick(0.05)
    assert not world.motion().velocity_mps[row].any()  # a jump is no motion
    world.simulate(row, True)
    ticks(world, 4)
    assert world.motion().xyz_m[row, 2] == pytest.approx(0.0, abs=1e-5)


def test_gravity_can_be_switched_off() -> None:
    world = field()
    row = world.add(Kind.PROP, CONE_M, Pose(0.0, 0.0, 3.0))
    world.gravity(row, False)
    ticks(world, 20)
    assert world.motion().xyz_m[row, 2] == 3.0
    world.gravity(row, True)
    world.tick(0.5)
    assert world.motion().xyz_m[row, 2] == pytest.approx(3.0 - 0.5 * G * 0.25, abs=1e-3)
    ticks(world, 20)
    assert world.motion().xyz_m[row, 2] == pytest.approx(0.0, abs=1e-5)


def test_a_car_beside_the_road_lies_on_the_slope() -> None:
    """A plane of 10 % along x, without lanes: nose up, or up on its left where it drives across."""
    plane = ground()
    tilted = Mesh(plane.vertices + plane.vertices[:, :1] * (0, 0, 0.1), plane.triangles, plane.semantic, plane.material)
    world = field(Mesh(tilted.vertices.astype(np.float32), tilted.triangles, tilted.semantic, tilted.material))
    up, across = car(world), car(world, y=20.0, yaw=-0.5 * np.pi)
    ticks(world, 8)
    m = world.motion()
    assert m.rpy_rad[up] == pytest.approx([0.0, np.arctan(0.1), 0.0], abs=1e-3)
    assert m.rpy_rad[across, :2] == pytest.approx([np.arctan(0.1), 0.0], abs=1e-3)
    world.drive(up, 0.0, 0.0, 0.0)
    ticks(world, 20)  # rolls down: g (sin - f cos), from rest
    p = world.params(up)
    pull = G * (np.sin(np.arctan(0.1)) - p.rolling_coefficient)
    assert world.motion().accel_mps2[up, 0] == pytest.approx(-pull, rel=0.03)
    assert world.motion().velocity_mps[up, 2] == pytest.approx(0.1 * world.motion().velocity_mps[up, 0], rel=0.02)


def test_the_road_carries_where_there_is_one_and_kerbs_are_climbed() -> None:
    lane = np.stack([np.arange(100.0), np.zeros(100), np.full(100, 0.02)], -1)
    world = field(ground(), box(30.0, 10.0, 0.0, (40.0, 10.0, 0.15)), graph=plain_graph([lane]))
    on_road, onto_kerb = car(world, 20.0, 0.0, 0.3), car(world, 30.0, -3.0, 0.0, 0.5 * np.pi, 6.0)
    world.place(onto_kerb, Pose(30.0, 2.5, 0.0, 0.5 * np.pi))
    world.set_velocity(onto_kerb, (0.0, 6.0, 0.0))
    heights, speeds = [], []
    for _ in range(24):
        world.tick(0.05)
        m = world.motion()
        heights.append(m.xyz_m[onto_kerb, 2])
        speeds.append(m.velocity_mps[onto_kerb, 1])
    assert world.motion().xyz_m[on_road, 2] == pytest.approx(0.02, abs=1e-4)
    assert heights[-1] == pytest.approx(0.15, abs=1e-3) and max(heights) < 0.2 and min(speeds) > 5.0


# ---------------------------------------------------------------- contact


def test_rear_end_keeps_momentum_and_says_how_hard() -> None:
    """Two equal cars, perfectly inelastic: both go on at half the speed, and m v / 2 passes between them."""
    world = field()
    rows = car(world, 0.0, 0.0, 0.0, 0.0, 10.0), car(world, 4.95)
    m = world.params(rows[0]).mass_kg
    while not (hits := world.contacts()):
        before = world.motion().velocity_mps[list(rows), 0]
        world.tick(0.05)
    after = world.motion().velocity_mps[list(rows), 0]
    assert after == pytest.approx(0.5 * before.sum() * np.ones(2), abs=0.02)
    assert [(hit.row, hit.other) for hit in hits] == [(rows[0], rows[1]), (rows[1], rows[0])]
    assert hits[1].impulse_ns == pytest.approx([0.5 * m * before[0], 0.0, 0.0], rel=0.01)
    assert hits[0].impulse_ns == pytest.approx(-hits[1].impulse_ns)
    assert hits[0].point_m == pytest.approx([2.5, 0.0, 0.75], abs=0.4)


def test_side_impact_keeps_momentum_and_turns() -> None:
    """Linear and angular momentum of both together, on ice: before and after."""
    world = field()
    world.add_friction(Pose(0.0, 0.0), (90.0, 90.0, 5.0), 1e-3)
    a, b = car(world), car(world, 1.2, -4.0, 0.0, 0.5 * np.pi, 14.0)
    p, q = world.params(a), world.params(b)
    assert (p, 0) == (q, 0)
    lever = p.rear_axle_m - p.centre_m  # from the box centre ahead to the centre of gravity

    def momenta() -> np.ndarray:
        m, out = world.motion(), np.zeros(3)
        for row in (a, b):
            yaw, rate = m.rpy_rad[row, 2], m.turn_radps[row, 2]
            arm = lever * np.array([np.cos(yaw), np.sin(yaw)])
            at, v = m.xyz_m[row, :2] + arm, m.velocity_mps[row, :2] + rate * np.array([-arm[1], arm[0]])
            out += p.mass_kg * np.array([*v, at[0] * v[1] - at[1] * v[0]]) + [0.0, 0.0, p.yaw_inertia_kgm2 * rate]
        return out

    before = momenta()
    while not world.contacts():
        world.tick(0.01)
    assert momenta() == pytest.approx(before, rel=0.01, abs=0.01 * before[1])
    assert world.motion().turn_radps[a, 2] > 0.3 and world.motion().velocity_mps[a, 1] > 2.0


def test_a_row_of_cars_passes_the_impulse_on() -> None:
    world = field()
    rows = [car(world, 4.705 * k) for k in range(4)] + [car(world, -5.0, 0.0, 0.0, 0.0, 12.0)]
    touched: set[tuple[int, int]] = set()
    for _ in range(30):
        world.tick(0.05)
        touched |= {(hit.row, hit.other) for hit in world.contacts()}
    assert {(rows[4], rows[0]), (rows[0], rows[1]), (rows[1], rows[2]), (rows[2], rows[3])} <= touched
    speeds = world.motion().velocity_mps[rows, 0]
    assert speeds.max() < 12.0 / 5.0 + 0.1 and speeds.min() > 1.0  # one fifth each, less what rolling took


def test_one_row_touches_several() -> None:
    world = field(boxes=[[0.0, 2.0, 0.0, 8.0, 1.0, 0.0, 2.0]])
    hit = car(world, 0.0, 0.58)
    for x in (-4.65, 4.65):
        car(world, x, 0.0)
    world.set_velocity(hit, (0.0, 2.0, 0.0))
    world.tick(0.02)
    assert {c.other for c in world.contacts() if c.row == hit} == {1, 2, SCENERY}


def test_a_wall_stops_and_takes_the_momentum() -> None:
    world = field(boxes=[[6.0, 0.0, 0.0, 1.0, 10.0, 0.0, 3.0]])
    row = car(world, speed=9.0)
    p, total = world.params(row), np.zeros(3)
    for _ in range(40):
        world.tick(0.05)
        for hit in world.contacts():
            assert (hit.row, hit.other) == (row, SCENERY)
            total += hit.impulse_ns
    assert total == pytest.approx([-p.mass_kg * 9.0, 0.0, 0.0], rel=0.02, abs=1.0)
    assert abs(world.motion().velocity_mps[row, 0]) < 0.01
    assert world.motion().xyz_m[row, 0] == pytest.approx(5.5 - 0.5 * CAR_M[0], abs=0.05)


def test_what_is_not_simulated_gives_way_to_nothing() -> None:
    world = field()
    wall, row = world.add(Kind.PROP, CONE_M, Pose(8.0, 0.0)), car(world, speed=10.0)
    world.simulate(wall, False)
    ticks(world, 30)
    m = world.motion()
    assert m.xyz_m[wall] == pytest.approx([8.0, 0.0, 0.0]) and abs(m.velocity_mps[row, 0]) < 0.05


def test_a_placed_car_hits_with_the_speed_of_its_placings() -> None:
    world = field()
    placed, row = car(world, 0.0), car(world, 8.0)
    world.simulate(placed, False)
    for k in range(1, 12):
        world.place(placed, Pose(0.5 * k, 0.0))
        world.tick(0.05)
        assert world.motion().velocity_mps[placed] == pytest.approx([10.0, 0.0, 0.0], abs=1e-3)
    assert world.motion().velocity_mps[row, 0] == pytest.approx(10.0, abs=0.1)
    world.tick(0.05)
    assert not world.motion().velocity_mps[placed].any()


def test_ghosts_and_those_at_another_height_do_not_meet() -> None:
    world = field()
    ghost, low = world.add(Kind.PROP, CONE_M, Pose(6.0, 0.0)), car(world, speed=10.0)
    over = world.add(Kind.PROP, (2.0, 2.0, 0.5), Pose(10.0, 0.0, 1.6))
    world.simulate(over, False)
    world.solid(ghost, False)
    for _ in range(40):
        world.tick(0.05)
        assert not world.contacts()
    assert world.motion().xyz_m[low, 0] > 15.0


def test_a_walker_is_thrown_and_walks_on() -> None:
    world = field()
    row, walker = car(world, speed=10.0), world.add(Kind.PEDESTRIAN, PERSON_M, Pose(4.0, 0.0))
    p = world.params(row)
    world.walk(walker, (0.0, 1.0, 0.0), 0.0)
    world.drive(row, 0.0, 1.0, 0.0)
    while not (hits := world.contacts()):
        world.tick(0.05)
    assert {(hit.row, hit.other) for hit in hits} == {(row, walker), (walker, row)}
    shared = p.mass_kg / (p.mass_kg + 75.0)
    assert world.motion().velocity_mps[walker, 0] == pytest.approx(10.0 * shared, rel=0.08)
    ticks(world, 100)
    lies = world.motion().xyz_m[walker, 0]
    assert 4.0 < lies - 4.0 < 14.0 and not world.motion().velocity_mps[walker].any()  # v^2 / (2 mu g) = 8.5 m
    world.walk(walker, (0.0, -1.0, 0.0), 1.5)
    ticks(world, 20)
    assert world.motion().velocity_mps[walker] == pytest.approx([0.0, -1.5, 0.0], abs=1e-5)


def test_a_cone_is_driven_away_and_hardly_slows_the_car() -> None:
    world = field()
    row, cone = car(world, speed=10.0), world.add(Kind.PROP, CONE_M, Pose(5.0, 0.0))
    mass = 60.0 * np.prod(CONE_M)
    events: set[tuple[int, int]] = set()
    for _ in range(10):
        world.tick(0.05)
        events |= {(hit.row, hit.other) for hit in world.contacts()}
    m = world.motion()
    assert events == {(row, cone), (cone, row)}
    assert m.velocity_mps[row, 0] > 10.0 * world.params(row).mass_kg / (world.params(row).mass_kg + mass) - 0.4
    assert m.xyz_m[cone, 0] > 7.0


# ---------------------------------------------------------------- orders


def test_a_walker_goes_where_it_is_told() -> None:
    world = field(ground(), box(6.0, 0.0, 0.0, (4.0, 4.0, 0.2)))
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


# ---------------------------------------------------------------- coming, going, room


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
    world = field(ground(), box(20.0, 0.0, 0.0, (4.0, 4.0, 5.0)))
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


# ---------------------------------------------------------------- the same again


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


@pytest.mark.parametrize("speed", [20.0, 35.0])
def test_fast_hits_push_ahead(speed: float) -> None:
    """However deep a body is in the car's front after one step: it is thrown ahead, and hardly to a side."""
    for start in np.linspace(4.0, 6.0, 9):
        world = field()
        row, walker = car(world, speed=speed), world.add(Kind.PEDESTRIAN, PERSON_M, Pose(start, 0.1))
        ticks(world, 5)
        m = world.motion()
        assert m.velocity_mps[walker, 0] > 0.8 * speed and abs(m.velocity_mps[walker, 1]) < 1.0
        assert m.velocity_mps[row, 0] < speed - 0.03 * speed


def test_along_a_wall_of_many_pieces_a_car_slides() -> None:
    boxes = [[1.0 + 2.0 * k, 1.45, 0.0, 2.0, 0.5, 0.0, 1.0] for k in range(40)]
    world = field(boxes=boxes)
    row = car(world, 5.0, 0.0, 0.0, 0.03, 20.0)
    world.drive(row, 0.3, 0.0, 0.1)
    ticks(world, 30)
    m = world.motion()
    assert m.velocity_mps[row, 0] > 15.0 and m.xyz_m[row, 1] < 0.4


def test_a_heap_of_cars_gains_no_energy() -> None:
    rng, world = np.random.default_rng(5), field(rows=32)
    rows = [car(world, *rng.uniform(-12, 12, 2), 0.0, rng.uniform(-3, 3), rng.uniform(0, 10)) for _ in range(24)]
    masses = np.array([world.params(row).mass_kg for row in rows])

    def energy() -> float:
        return float((0.5 * masses * (world.motion().velocity_mps[rows] ** 2).sum(axis=1)).sum())

    energies = [energy()]
    for k in range(200):
        for row in rows if k == 80 else ():
            world.drive(row, 0.0, 1.0, 0.0)
        world.tick(0.05)
        energies.append(energy())
    assert (np.diff(energies) < 1e-3 * energies[0]).all()
    assert energies[-1] == 0.0  # wedged in and braked, they rest
