"""LiDAR: ranges against a ray caster, geometry of the rings, quantisation, chance, repeatability."""

import numpy as np
import pytest
import warp as wp
from boxed_square import box_at, ground, make, put

from sim.actor_meshes import library
from sim.geometry import Geometry, Material, Mesh
from sim.kernels.lidar import RANGE_SIGMA_M, REFLECTION, Lidar
from sim.sensors import Sensors
from sim.state import State
from stack.frames import Pose, apply
from stack.labels import Kind
from stack.messages import LIDAR_STEP_M, LidarSweep, Rig

RIG = Rig()


@wp.kernel(enable_backward=False)
def nearest(mesh: wp.uint64, start: wp.vec3, rays: wp.array(dtype=wp.vec3), out: wp.array(dtype=float)):
    i = wp.tid()
    hit = wp.mesh_query_ray(mesh, start, rays[i], 100.0)
    if hit.result:
        out[i] = hit.t


def town(actors: int = 24) -> tuple[State, Geometry]:
    """Boxes of all sizes and real actor meshes around a car that stands on a slope."""
    rng = np.random.default_rng(1)
    parts = [ground()]
    for _ in range(400):
        x, y = rng.uniform(-110.0, 110.0, 2)
        if np.hypot(x, y) > 9.0:
            parts.append(box_at(x, y, tuple(rng.uniform(0.1, 7.0, 3))))
    state, _ = make([], actors)
    for row in range(1, actors):
        x, y = rng.uniform(-45.0, 45.0, 2)
        kind = (Kind.CAR, Kind.TRUCK, Kind.CYCLIST, Kind.PEDESTRIAN, Kind.PROP)[row % 5]
        put(state, row, kind=kind, x_m=x + 6.0, y_m=y, yaw_rad=rng.uniform(-3.0, 3.0), look=row)
    put(state, 0, x_m=2.0, y_m=-1.0, z_m=0.1, yaw_rad=0.7, pitch_rad=0.05, roll_rad=-0.03)
    return state, Geometry(Mesh.join(parts), library(), actors, 0, "cpu")


def sweeps(state: State, geometry: Geometry, noise: bool = False) -> list[LidarSweep]:
    """The front and the rear half turn."""
    geometry.update(state)
    sensors = Sensors(state, geometry, RIG, noise=noise)
    return [sensors.read(tick)[0] for tick in (0, 1)]


def directions(sweep: LidarSweep) -> np.ndarray:
    """(R, C, 3) unit rays in the sensor frame."""
    elevation, azimuth = sweep.elevation_rad[:, None].astype(float), sweep.azimuth_rad[None].astype(float)
    flat = np.cos(elevation)
    return np.stack([flat * np.cos(azimuth), flat * np.sin(azimuth), np.sin(elevation) + 0.0 * azimuth], -1)


def mesh_of(geometry: Geometry) -> wp.Mesh:
    """All triangles that are placed, for the ray caster."""
    a = geometry.arrays
    runs = zip(a.chunk_start.numpy(), a.chunk_count.numpy(), strict=True)
    rows = np.concatenate([np.arange(start, start + count) for start, count in runs])
    corners = wp.array(a.corner.numpy().reshape(-1, 3, 3)[rows].reshape(-1, 3), dtype=wp.vec3, device="cpu")
    return wp.Mesh(corners, wp.array(np.arange(3 * len(rows), dtype=np.int32), device="cpu"))


def test_ranges_are_those_of_a_ray_caster() -> None:
    state, geometry = town()
    found = sweeps(state, geometry)
    mesh = mesh_of(geometry)
    names = ("x_m", "y_m", "z_m", "yaw_rad", "pitch_rad", "roll_rad")
    world_from_ego = Pose(*(float(state.numpy(name)[0, 0]) for name in names)).matrix()
    for sweep in found:
        rays = directions(sweep).reshape(-1, 3) @ world_from_ego[:3, :3].T
        start = apply(world_from_ego, np.array(RIG.lidar_xyz_m))
        out = wp.zeros(len(rays), dtype=float, device="cpu")
        rays_in = wp.array(rays, dtype=wp.vec3, device="cpu")
        wp.launch(nearest, len(rays), [mesh.id, wp.vec3(*start), rays_in, out], device="cpu")
        error = np.abs(sweep.range_steps.ravel() * LIDAR_STEP_M - out.numpy())
        assert (error < 0.02).mean() > 0.995
        assert (sweep.range_steps > 0).mean() > 0.5


def test_two_half_turns_make_a_turn_of_even_rings() -> None:
    state, geometry = make([ground()])
    front, rear = sweeps(state, geometry)
    assert (np.abs(front.azimuth_rad) < np.pi / 2).all() and (np.abs(rear.azimuth_rad) > np.pi / 2).all()
    turn = np.unwrap(np.concatenate([front.azimuth_rad, rear.azimuth_rad]).astype(float))
    np.testing.assert_allclose(np.diff(turn), -2.0 * np.pi / RIG.lidar_columns, atol=1e-5)
    np.testing.assert_allclose(np.diff(front.elevation_rad), -np.deg2rad(32.0) / 31, atol=1e-5)
    assert front.range_steps.shape == (RIG.lidar_rings, RIG.lidar_columns // 2)
    assert (np.diff(rear.time_s) > 0.0).all() and rear.time_s[0] > 0.0 and rear.time_s[-1] == pytest.approx(0.05)


def test_flat_ground_gives_circles_at_height_zero() -> None:
    state, geometry = make([ground()])
    for sweep in sweeps(state, geometry):
        points, _ = sweep.points_ego()
        assert np.abs(points[:, 2]).max() < 0.003
        distance = sweep.range_steps * LIDAR_STEP_M
        expected = -RIG.lidar_xyz_m[2] / np.sin(sweep.elevation_rad.astype(float))
        down = (expected > 0.0) & (expected < 99.9)
        assert np.abs(distance[down] - expected[down, None]).max() < 0.004
        assert not distance[sweep.elevation_rad >= 0.0].any()


def test_points_lie_on_a_wall_and_the_own_car_is_not_seen() -> None:
    state, geometry = make([box_at(22.0, 0.0, (4.0, 30.0, 6.0))], actors=2)
    front, rear = sweeps(state, geometry)
    points, _ = front.points_ego()
    assert len(points) > 500 and not rear.range_steps.any()
    assert np.abs(points[:, 0] - 20.0).max() < 0.01
    put(state, 1, x_m=-8.0)
    points, _ = sweeps(state, geometry)[1].points_ego()
    assert points[:, 0].max() == pytest.approx(-8.0 + 1.3 + 2.25, abs=0.01)
    assert points[:, 0].min() > -8.0 + 1.3 - 2.26


def test_noise_and_lost_returns() -> None:
    state, geometry = make([ground(), box_at(42.0, 0.0, (4.0, 80.0, 9.0))])
    clean, noisy = (sweeps(state, geometry, noise)[0] for noise in (False, True))
    both = (clean.range_steps > 0) & (noisy.range_steps > 0)
    error = (noisy.range_steps[both].astype(float) - clean.range_steps[both]) * LIDAR_STEP_M
    assert error.std() == pytest.approx(RANGE_SIGMA_M, rel=0.05) and abs(error.mean()) < 0.001
    lost = (clean.range_steps > 0) & (noisy.range_steps == 0)
    distance = clean.range_steps * LIDAR_STEP_M
    wall = np.abs(directions(clean)[..., 0] * distance - 38.8) < 0.05
    assert 0.0005 < lost[wall].mean() < 0.02  # light and upright: hardly any
    far, near = (distance > 30.0) & ~wall, (distance > 0.0) & (distance < 10.0)
    assert lost[near].mean() < 0.02 < lost[far].mean()  # dark, and at a grazing angle


def test_paint_is_bright() -> None:
    def brightness(material: Material) -> float:
        state, geometry = make([ground(material)])
        return float(sweeps(state, geometry)[0].intensity.max())

    assert brightness(Material.PAINT) > 3.0 * brightness(Material.ASPHALT)
    assert set(REFLECTION) == set(Material)


def test_same_seed_same_sweep() -> None:
    state, geometry = town()
    first, second = sweeps(state, geometry, True), sweeps(state, geometry, True)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a.range_steps, b.range_steps)
        np.testing.assert_array_equal(a.intensity, b.intensity)
    state.arrays.seed.fill_(6)
    assert (sweeps(state, geometry, True)[0].range_steps != first[0].range_steps).any()


def test_bad_rigs_are_refused() -> None:
    _, geometry = make([ground()])
    with pytest.raises(ValueError, match="511 columns"):
        Lidar(Rig(lidar_columns=511), geometry)


@pytest.mark.gpu
@pytest.mark.skipif(not wp.is_cuda_available(), reason="needs a CUDA device")
def test_cuda_gives_the_same_ranges() -> None:
    for device in ("cpu", "cuda"):
        state, geometry = make([ground(), box_at(20.0, 3.0, (4.0, 9.0, 6.0))], actors=2, device=device)
        put(state, 1, x_m=9.0, y_m=-2.0, yaw_rad=0.4)
        steps = [sweep.range_steps.astype(int) for sweep in sweeps(state, geometry)]
        if device == "cpu":
            expected = steps
    for found, wanted in zip(steps, expected, strict=True):
        assert (np.abs(found - wanted) <= 1).mean() > 0.999
