"""Bodies of the open world on the road, beside it and in the air, against textbooks."""

import numpy as np
import pytest
from boxed_square import ground
from open_field import CONE_M, block, car, field, ticks
from plain_graph import plain_graph

from sim.batch import Batch
from sim.geometry import Mesh
from sim.kernels import vehicle
from stack.frames import Pose
from stack.labels import Kind
from stack.vehicle import GRAVITY_MPS2 as G
from stack.vehicle import VEHICLES, load_vehicle


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
    world = field(ground(), block(30.0, 10.0, 0.0, (40.0, 10.0, 0.15)), graph=plain_graph([lane]))
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


def test_a_force_lifts() -> None:
    """1.5 times its weight for a second: g / 2 upwards, a quarter of g in height; nine tenths of it lift nothing."""
    world = field()
    rows = [car(world), car(world, y=10.0)]
    weight = G * world.params(rows[0]).mass_kg
    ticks(world, 2)
    for _ in range(20):
        for row, share in zip(rows, (1.5, 0.9), strict=True):
            world.force(row, (0.0, 0.0, share * weight))
        world.tick(0.05)
    m = world.motion()
    assert m.xyz_m[rows, 2] == pytest.approx([0.25 * G, 0.0], abs=0.01)
    assert m.velocity_mps[rows, 2] == pytest.approx([0.5 * G, 0.0], abs=0.01)
