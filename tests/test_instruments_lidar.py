"""LiDAR on any actor: the rig's very beams, shares of a turn, ranges against a ray caster, loss and noise, what is hit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import warp as wp
from boxed_square import box_at, ground, make, put
from test_lidar import mesh_of, nearest, town

from sim.geometry import Geometry
from sim.instruments.lidar import Lidar, LidarHits, LidarPoints, LidarSpec
from sim.instruments.places import pose
from sim.kernels.lidar import with_errors
from sim.sensors import Sensors
from sim.state import State
from stack.frames import transform
from stack.labels import Semantic
from stack.messages import LIDAR_STEP_M, LidarSweep, Rig

RIG = Rig()
CLEAN = LidarSpec(
    channels=32, range_m=100.0, points_per_second=32 * 512 * 10, rotation_hz=10.0,
    lower_fov_rad=RIG.lidar_elevation_rad[0], upper_fov_rad=RIG.lidar_elevation_rad[1],
    atmosphere_attenuation_rate=0.0, dropoff_general_rate=0.0, dropoff_zero_intensity=0.0,
)  # fmt: skip
ROOF = transform(*RIG.lidar_xyz_m)


def scan(
    state: State, geometry: Geometry, spec: LidarSpec = CLEAN, mount: np.ndarray = ROOF, row: int | None = 0,
    ticks: int = 1, dt_s: float = 0.05,
) -> list[LidarPoints]:  # fmt: skip
    geometry.update(state, 0, viewer=-1)
    lidar = Lidar(geometry, spec, mount, row)
    return [lidar.scan(state, tick, dt_s) for tick in range(ticks)]


def own_sweeps(state: State, geometry: Geometry, noise: bool) -> list[LidarSweep]:
    geometry.update(state, 0, viewer=0)
    sensors = Sensors(state, geometry, RIG, noise=noise)
    return [sensors.read(tick)[0] for tick in range(2)]


def azimuths(points: LidarPoints) -> np.ndarray:
    return np.arctan2(points.xyz_m[:, 1], points.xyz_m[:, 0])


def test_the_rigs_attributes_give_the_rigs_sweep() -> None:
    """Every point of the embedded world's ideal half turns, in the order of its beams, and its intensity."""
    state, geometry = town()
    for points, sweep in zip(scan(state, geometry, ticks=2), own_sweeps(state, geometry, False), strict=True):
        kept = sweep.range_steps > 0
        assert np.array_equal(points.count, kept.sum(axis=1)) and kept.sum() > 5000
        elevation, azimuth = np.broadcast_arrays(sweep.elevation_rad[:, None], sweep.azimuth_rad)
        flat = np.cos(elevation) * sweep.range_steps * LIDAR_STEP_M
        xyz = np.stack(
            [flat * np.cos(azimuth), flat * np.sin(azimuth), np.sin(elevation) * sweep.range_steps * LIDAR_STEP_M], -1
        )
        np.testing.assert_allclose(points.xyz_m, xyz[kept], atol=5e-5)
        np.testing.assert_array_equal(np.rint(points.intensity * 255.0), sweep.intensity[kept])


def test_errors_on_an_ideal_sweep_are_the_embedded_worlds() -> None:
    state, geometry = town()
    ideal, noisy = own_sweeps(state, geometry, False), own_sweeps(state, geometry, True)
    for tick, (before, after) in enumerate(zip(ideal, noisy, strict=True)):
        steps, intensity = with_errors(before.range_steps, before.intensity, 5, tick)
        np.testing.assert_array_equal(steps, after.range_steps)
        np.testing.assert_array_equal(intensity, after.intensity)
        assert (steps != before.range_steps).mean() > 0.2


@pytest.mark.parametrize("mount", [transform(1.0, 0.3, 2.0, 2.5, 0.1, -0.2), transform(4.0, 3.0, 3.0, -0.7, 0.0, 1.2)])
@pytest.mark.parametrize("row", [3, None])
def test_ranges_are_those_of_a_ray_caster(mount: np.ndarray, row: int | None) -> None:
    """From any row and free in space, turned every way, all round in one tick, steep beams too."""
    state, geometry = town()
    spec = replace(CLEAN, rotation_hz=20.0, lower_fov_rad=-1.4, upper_fov_rad=1.2)
    points = scan(state, geometry, spec, mount, row)[0]
    if row is not None:
        geometry.arrays.chunk_count.numpy()[geometry.arrays.static_chunks + row] = 0
    mesh = mesh_of(geometry)
    world_from_sensor = mount if row is None else pose(state, row) @ mount
    distance = np.linalg.norm(points.xyz_m, axis=1)
    rays = points.xyz_m / distance[:, None] @ world_from_sensor[:3, :3].T
    out = wp.zeros(len(rays), dtype=float, device="cpu")
    start = wp.vec3(*world_from_sensor[:3, 3])
    wp.launch(nearest, len(rays), [mesh.id, start, wp.array(rays, dtype=wp.vec3, device="cpu"), out], device="cpu")
    assert len(points.xyz_m) > 4000 and np.ptp(azimuths(points)) > 6.0
    assert (np.abs(distance - out.numpy()) < 0.02).mean() > 0.995


@pytest.mark.parametrize(
    "dt_s, hertz", [(0.05, 10.0), (0.1, 10.0), (0.05, 20.0), (0.02, 10.0), (1.0 / 30.0, 7.0), (0.1, 50.0)]
)
def test_a_tick_sees_its_share_of_the_turn(dt_s: float, hertz: float) -> None:
    state, geometry = make([ground(half_m=60.0)])
    spec = replace(CLEAN, channels=4, points_per_second=4 * 3600, rotation_hz=hertz, upper_fov_rad=-0.2)
    columns = round(3600 * dt_s)
    end = np.pi / 2
    for points in scan(state, geometry, spec, ticks=5, dt_s=dt_s):
        assert points.count.tolist() == [columns] * 4
        turn = np.unwrap(azimuths(points)[:columns].astype(float))
        step = 2.0 * np.pi * hertz * dt_s / columns
        np.testing.assert_allclose(np.diff(turn), np.unwrap(np.full(columns - 1, -step)), atol=1e-4)
        assert np.exp(1j * (turn[0] + 0.5 * step)) == pytest.approx(
            np.exp(1j * end), abs=1e-4
        )  # goes on where it ended
        end = end - 2.0 * np.pi * hertz * dt_s
        assert np.exp(1j * (points.turned_rad + end - np.pi / 2)) == pytest.approx(1.0, abs=1e-6)


def test_a_sector_is_all_that_is_seen() -> None:
    state, geometry = make([ground(half_m=60.0)])
    spec = replace(CLEAN, horizontal_fov_rad=np.deg2rad(90.0), upper_fov_rad=-0.1)
    seen = [azimuths(points) for points in scan(state, geometry, spec, ticks=8)]
    assert all(len(one) == len(seen[0]) for one in seen)
    everything = np.rad2deg(np.concatenate(seen))
    assert everything.min() == pytest.approx(-45.0, abs=0.2) and everything.max() == pytest.approx(45.0, abs=0.2)
    counts, _ = np.histogram(everything, bins=9, range=(-45.0, 45.0))
    assert counts.min() > 0.95 * counts.max()


def test_a_wall_is_where_it_is_and_the_carrier_is_not_seen() -> None:
    state, geometry = make([box_at(22.0, 0.0, (4.0, 60.0, 9.0))], actors=3)
    put(state, 0, x_m=-9.0)
    put(state, 2, x_m=1.0)
    front = scan(state, geometry, row=2)[0]
    np.testing.assert_allclose(front.xyz_m[:, 0] + 1.0 + RIG.lidar_xyz_m[0], 20.0, atol=0.006)
    inside = scan(state, geometry, mount=transform(1.0, 0.0, 0.7), row=2, ticks=2)
    assert inside[0].xyz_m[:, 0].min() > 10.0  # from within its own box it sees out
    assert inside[1].xyz_m[:, 0].max() == pytest.approx(-9.0 + 1.3 + 2.25 - 2.0, abs=0.02)  # and the car behind


def test_one_channel_looks_where_it_is_told() -> None:
    state, geometry = make([ground()])
    spec = replace(CLEAN, channels=1, points_per_second=5120, upper_fov_rad=-0.3, lower_fov_rad=-0.9)
    points = scan(state, geometry, spec, mount=transform(0.0, 0.0, 3.0), row=None)[0]
    assert points.count.tolist() == [256]
    np.testing.assert_allclose(np.linalg.norm(points.xyz_m, axis=1), 3.0 / np.sin(0.3), atol=0.006)


def test_hits_are_named() -> None:
    """Incidence on flat ground is the sine of the depression; actors by row + 1, labels as in the pictures."""
    state, geometry = make([ground(), box_at(0.0, 12.0, (30.0, 4.0, 9.0))], actors=4)
    put(state, 3, x_m=12.0)
    geometry.update(state, 0, viewer=-1)
    hits = Lidar(geometry, replace(CLEAN, rotation_hz=20.0), ROOF, 0, names_hits=True).scan(state, 0, 0.05)
    assert isinstance(hits, LidarHits)
    world_z = hits.xyz_m[:, 2] + RIG.lidar_xyz_m[2]
    flat = (hits.instance == 0) & (np.abs(world_z) < 0.006) & (hits.xyz_m[:, 1] < 9.9)
    assert (hits.semantic[flat] == Semantic.ROAD).all() and flat.sum() > 2000
    sine = -hits.xyz_m[flat, 2] / np.linalg.norm(hits.xyz_m[flat], axis=1)
    np.testing.assert_allclose(hits.incidence[flat], sine, atol=5e-3)
    car = hits.instance == 4
    assert car.sum() > 50 and (hits.semantic[car] == Semantic.CAR).all()
    assert np.abs(hits.xyz_m[car, 0] - (12.0 + 1.3 - RIG.lidar_xyz_m[0])).max() < 2.26
    wall = hits.semantic == Semantic.BUILDING
    np.testing.assert_allclose(hits.xyz_m[wall & (hits.incidence > 0.9), 1], 10.0, atol=0.006)
    assert hits.count.sum() == len(hits.instance) and set(np.unique(hits.instance)) == {0, 4}


def test_loss_noise_and_air() -> None:
    state, geometry = make([ground()])
    spec = replace(CLEAN, channels=16, points_per_second=16 * 2000 * 20, rotation_hz=20.0, upper_fov_rad=-0.02)
    clean = scan(state, geometry, spec)[0]
    total, distance = len(clean.xyz_m), np.linalg.norm(clean.xyz_m, axis=1)
    fewer = scan(state, geometry, replace(spec, dropoff_general_rate=0.45))[0]
    assert len(fewer.xyz_m) / total == pytest.approx(0.55, abs=0.01)

    hazy = replace(spec, atmosphere_attenuation_rate=0.02)
    dim = scan(state, geometry, hazy)[0]
    np.testing.assert_allclose(dim.intensity, clean.intensity * np.exp(-0.02 * distance), atol=0.6 / 255.0)
    lossy = scan(state, geometry, replace(hazy, dropoff_intensity_limit=0.8, dropoff_zero_intensity=0.4))[0]
    found = np.linalg.norm(lossy.xyz_m, axis=1)
    for low, high in ((3.0, 11.0), (20.0, 30.0), (50.0, 99.0)):  # ln(1 / 0.8) / 0.02 = 11.2 m
        some = distance[(distance > low) & (distance < high)]
        law = np.mean(1.0 - 0.4 * np.clip(1.0 - np.exp(-0.02 * some) / 0.8, 0.0, 1.0))
        assert ((found > low) & (found < high)).sum() / len(some) == pytest.approx(law, abs=0.02)

    noisy = scan(state, geometry, replace(spec, noise_stddev_m=0.1, noise_seed=3))[0]
    error = np.linalg.norm(noisy.xyz_m, axis=1) - distance
    assert error.std() == pytest.approx(0.1, rel=0.03) and abs(error.mean()) < 0.003
    np.testing.assert_allclose(  # along the beam
        noisy.xyz_m / np.linalg.norm(noisy.xyz_m, axis=1)[:, None], clean.xyz_m / distance[:, None], atol=1e-5
    )


def test_same_seed_same_points() -> None:
    state, geometry = make([ground()])
    spec = LidarSpec(range_m=50.0, noise_stddev_m=0.05, noise_seed=9)
    first, second = scan(state, geometry, spec, ticks=3), scan(state, geometry, spec, ticks=3)
    for a, b in zip(first, second, strict=True):
        assert np.array_equal(a.xyz_m, b.xyz_m) and np.array_equal(a.intensity, b.intensity)
    other = scan(state, geometry, replace(spec, noise_seed=10), ticks=3)
    assert len(other[0].xyz_m) != len(first[0].xyz_m) or not np.array_equal(other[0].xyz_m, first[0].xyz_m)
    assert len(first[0].xyz_m) > 100


def test_bad_attributes_are_refused() -> None:
    for wrong in ({"channels": 0}, {"range_m": 0.0}, {"horizontal_fov_rad": 7.0}):
        with pytest.raises(ValueError, match="lidar: found"):
            LidarSpec(**wrong)


def test_no_points_asked_for_none_given() -> None:
    state, geometry = make([ground()])
    points = scan(state, geometry, replace(CLEAN, points_per_second=0))[0]
    assert len(points.xyz_m) == 0 and points.count.tolist() == [0] * 32
