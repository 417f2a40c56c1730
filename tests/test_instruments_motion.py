"""Inertial units and receivers on any actor against textbook motion; radar on any actor; errors on ideal samples."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from boxed_square import box_at, ground, make, put

from sim.geometry import Geometry
from sim.instruments.motion import Gnss, GnssSpec, Imu, ImuSpec
from sim.instruments.places import pose
from sim.instruments.radar import Radar, RadarReturns, RadarSpec
from sim.kernels.inertial import Errors
from sim.kernels.radar import AZIMUTH_SIGMA_RAD, RANGE_SIGMA_M
from sim.sensors import Sensors, scenery_mesh
from sim.state import State
from stack.frames import transform
from stack.messages import Rig

G, DT = 9.81, 0.05
HERE = np.eye(4)


def move(state: State, row: int, **columns: float) -> None:
    for name, value in columns.items():
        state.numpy(name)[0, row] = value


def test_at_rest_a_tilted_unit_feels_the_push_from_below() -> None:
    state, _ = make([], actors=3)
    put(state, 2, yaw_rad=1.0, pitch_rad=0.10, roll_rad=-0.07)
    mount = transform(1.0, 0.4, 0.8, 0.5, -0.3, 0.6)
    imu = Imu(ImuSpec(), mount, 2)
    for tick in range(3):
        sample = imu.sample(state, tick, DT)
        np.testing.assert_allclose(sample.accel_mps2, (pose(state, 2) @ mount)[2, :3] * G, atol=1e-6)
        np.testing.assert_allclose(sample.gyro_radps, 0.0, atol=1e-9)
    standing = Imu(ImuSpec(), mount, None).sample(state, 0, DT)
    np.testing.assert_allclose(standing.accel_mps2, mount[2, :3] * G, atol=1e-9)


def test_on_a_circle_a_unit_feels_what_its_own_path_asks() -> None:
    """Row 2 drives a circle; a unit 2 m ahead and 1 m left of the origin goes round on its own: w^2 r towards the middle."""
    state, _ = make([], actors=3)
    speed, rate = 12.0, 0.3
    imu = Imu(ImuSpec(), transform(2.0, 1.0, 0.5), 2)
    for tick in range(5):
        put(state, 2, vx_mps=speed, yaw_rate_radps=rate, yaw_rad=rate * DT * tick)
        sample = imu.sample(state, tick, DT)
        np.testing.assert_allclose(sample.accel_mps2, [-(rate**2) * 2.0, speed * rate - rate**2 * 1.0, G], atol=2e-4)
        np.testing.assert_allclose(sample.gyro_radps, [0.0, 0.0, rate], atol=1e-5)


def lively(time_s: float) -> dict[str, float]:
    yaw_rate = 0.4 * np.sin(0.7 * time_s)
    yaw = 0.4 / 0.7 * (1.0 - np.cos(0.7 * time_s)) + 3.0  # runs through pi
    wrapped = float(np.angle(np.exp(1j * yaw)))
    return {
        "vx_mps": 10.0 + 4.0 * np.sin(0.5 * time_s),
        "vy_mps": 0.3 * np.sin(0.9 * time_s),
        "yaw_rad": wrapped,
        "yaw_rate_radps": yaw_rate,
        "pitch_rad": 0.05 * np.sin(0.4 * time_s),
        "roll_rad": 0.03 * np.sin(1.1 * time_s),
    }


def test_a_mounted_unit_measures_the_second_derivative_of_its_own_place() -> None:
    """Against central differences of the mount's world position along a finely integrated drive."""
    state, _ = make([], actors=2)
    mount = transform(1.5, -0.6, 1.2, 0.3, 0.1, 0.0)
    imu, fine = Imu(ImuSpec(), mount, 1), 50  # steps a tick
    place, places, frames, samples = np.zeros(3), [], [], []
    for k in range(60 * fine + 1):
        time_s = k * DT / fine
        put(state, 1, **lively(time_s), x_m=0.0, y_m=0.0)
        world_from_body = pose(state, 1)
        places.append(place + world_from_body[:3, :3] @ mount[:3, 3])
        frames.append((world_from_body @ mount)[:3, :3])
        values = lively(time_s + 0.5 * DT / fine)
        place = place + world_from_body[:3, :3] @ [values["vx_mps"], values["vy_mps"], 0.0] * DT / fine
        if k % fine == 0:
            samples.append(imu.sample(state, k // fine, DT))
    errors, half = [], fine // 2
    for tick in range(3, 61):
        middle = tick * fine - half
        step = half * DT / fine
        accel = (places[middle + half] - 2.0 * places[middle] + places[middle - half]) / step**2
        errors.append(samples[tick].accel_mps2 - frames[middle].T @ (accel + [0.0, 0.0, G]))
    assert np.abs(errors).max() < 0.08 and np.ptp([sample.accel_mps2 for sample in samples], axis=0).max() > 3.0


def test_the_middle_of_a_tick_is_what_the_rigs_unit_samples_then() -> None:
    state, geometry = make([], actors=2)
    move(state, 0, **lively(0.0))
    sensors, imu = Sensors(state, geometry, Rig(), noise=False), Imu(ImuSpec(), HERE, 0)
    sensors.reset()
    imu.sample(state, 0, DT)
    for tick in range(1, 40):
        move(state, 0, **lively(tick * DT))
        own, sample = sensors.read(tick)[2], imu.sample(state, tick, DT)
        np.testing.assert_allclose(sample.accel_mps2, own.accel_mps2[2], atol=5e-4)
        np.testing.assert_allclose(sample.gyro_radps, own.gyro_radps[2], atol=5e-5)


@pytest.mark.parametrize("yaw_deg, compass_deg", [(90, 0), (0, 90), (-90, 180), (180, 270), (45, 45), (91, 359)])
def test_the_compass_turns_clockwise_from_north(yaw_deg: float, compass_deg: float) -> None:
    """North is y, east is x."""
    state, _ = make([], actors=2)
    put(state, 1, yaw_rad=np.deg2rad(yaw_deg - 20.0), pitch_rad=0.1)
    sample = Imu(ImuSpec(), transform(0.0, 0.0, 1.0, np.deg2rad(20.0)), 1).sample(state, 0, DT)
    assert 0.0 <= sample.compass_rad < 2.0 * np.pi
    assert abs(np.angle(np.exp(1j * (sample.compass_rad - np.deg2rad(compass_deg))))) < 5e-3


def test_noise_of_a_unit_and_of_a_receiver() -> None:
    state, _ = make([], actors=2)
    put(state, 1, x_m=5.0, y_m=-3.0, yaw_rad=0.5)
    spec = ImuSpec((0.1, 0.2, 0.3), (0.01, 0.02, 0.03), (0.5, -0.5, 0.25), noise_seed=4)
    unit, again = Imu(spec, HERE, 1), Imu(spec, HERE, 1)
    samples = [unit.sample(state, tick, DT) for tick in range(2000)]
    accel, gyro = (np.array([getattr(s, name) for s in samples]) for name in ("accel_mps2", "gyro_radps"))
    np.testing.assert_allclose(accel.std(axis=0), spec.accel_stddev_mps2, rtol=0.06)
    np.testing.assert_allclose(accel.mean(axis=0), [0.0, 0.0, G], atol=0.03)
    np.testing.assert_allclose(gyro.std(axis=0), spec.gyro_stddev_radps, rtol=0.06)
    np.testing.assert_allclose(gyro.mean(axis=0), spec.gyro_bias_radps, atol=0.003)
    assert np.array_equal(again.sample(state, 7, DT).accel_mps2, accel[7])

    antenna = transform(1.0, 2.0, 1.5)
    np.testing.assert_allclose(Gnss(GnssSpec(), antenna, 1).sample(state, 0), (pose(state, 1) @ antenna)[:3, 3])
    np.testing.assert_allclose(Gnss(GnssSpec(), antenna, None).sample(state, 0), [1.0, 2.0, 1.5])
    receiver = Gnss(GnssSpec((1.0, 2.0, 3.0), (0.5, 0.0, -1.0), 2), HERE, 1)
    fixes = np.array([receiver.sample(state, tick) for tick in range(2000)]) - [5.0, -3.0, 0.0]
    np.testing.assert_allclose(fixes.std(axis=0), (1.0, 2.0, 3.0), rtol=0.06)
    np.testing.assert_allclose(fixes.mean(axis=0), (0.5, 0.0, -1.0), atol=0.25)


def test_errors_on_ideal_samples_are_the_embedded_worlds() -> None:
    samples = {}
    for noise in (False, True):
        state, geometry = make([], seed=11)
        sensors = Sensors(state, geometry, Rig(), noise=noise)
        sensors.reset()
        readings = []
        for tick in range(1, 30):
            move(state, 0, vx_mps=0.2 * tick, yaw_rad=0.01 * tick, x_m=0.1 * tick, wheel_angle_rad=0.01)
            _, _, imu, _, wheels = sensors.read(tick)
            fix = sensors._motion.gnss.numpy()[0].copy()
            readings.append((np.hstack([imu.accel_mps2, imu.gyro_radps]), fix, wheels))
        samples[noise] = readings
    errors = Errors(11)
    for tick, (ideal, noisy) in enumerate(zip(samples[False], samples[True], strict=True), 1):
        true_wheels = np.array([0.2 * tick, 0.01], np.float32)
        imu, fix, wheels = errors(ideal[0], ideal[1], true_wheels, tick)
        np.testing.assert_array_equal(imu, noisy[0])
        np.testing.assert_array_equal(fix, noisy[1])
        np.testing.assert_array_equal(wheels, [noisy[2].speed_mps[0], noisy[2].wheel_angle_rad[0]])
        assert np.abs(imu - ideal[0]).max() > 1e-3


QUIET = RadarSpec(np.deg2rad(60.0), np.deg2rad(20.0), 120.0, 1500, noise=False)


def returns(
    state: State, geometry: Geometry, spec: RadarSpec, mount: np.ndarray, row: int | None, tick: int = 0
) -> RadarReturns:
    return Radar(spec, scenery_mesh(geometry), mount, row).scan(state, tick, DT)


def test_a_radar_on_another_car_sees_the_ego() -> None:
    """Row 2, turned, its radar looking back: where row 0 is, in the radar's own axes, and closing in."""
    state, geometry = make([], actors=4)
    put(state, 0, vx_mps=7.0)
    put(state, 2, x_m=30.0, y_m=10.0, yaw_rad=0.4)
    mount = transform(0.5, 0.9, 0.6, 2.9, 0.02)
    found = returns(state, geometry, QUIET, mount, 2)
    world_from_radar = pose(state, 2) @ mount
    assert len(found.depth_m) >= 1
    nearest = np.argmin(found.depth_m)
    flat = found.depth_m * np.cos(found.altitude_rad)
    local = np.stack([flat * np.cos(found.azimuth_rad), flat * np.sin(found.azimuth_rad),
                      found.depth_m * np.sin(found.altitude_rad), np.ones(len(flat))])  # fmt: skip
    points = (world_from_radar @ local)[:3].T
    assert (np.abs(points[:, 0] - 1.3) < 2.26).all() and (np.abs(points[:, 1]) < 0.91).all()
    direction = points[nearest] - world_from_radar[:3, 3]
    direction /= np.linalg.norm(direction)
    assert found.speed_mps[nearest] == pytest.approx(7.0 * direction[0], abs=0.01) and found.speed_mps[nearest] < -5.0


def test_a_radar_sees_within_its_fields_of_view() -> None:
    state, geometry = make([], actors=3)
    put(state, 1, x_m=30.0, y_m=10.0)
    here = transform(0.0, 0.0, 0.6)
    assert len(returns(state, geometry, QUIET, here, 0).depth_m) == 3
    narrow = replace(QUIET, horizontal_fov_rad=np.deg2rad(20.0))
    assert len(returns(state, geometry, narrow, here, 0).depth_m) == 0
    above = transform(0.0, 0.0, 20.0)
    assert len(returns(state, geometry, QUIET, above, 0).depth_m) == 0
    assert len(returns(state, geometry, replace(QUIET, vertical_fov_rad=2.0), above, 0).depth_m) == 3
    assert len(returns(state, geometry, replace(QUIET, range_m=25.0), here, 0).depth_m) == 0


def test_more_points_a_second_more_of_what_stands() -> None:
    state, geometry = make([ground(), box_at(30.0, 0.0, (4.0, 120.0, 40.0))], actors=2)
    free = transform(0.0, 0.0, 2.0)
    few, many = (
        np.mean(
            [
                len(returns(state, geometry, replace(QUIET, points_per_second=n), free, None, t).depth_m)
                for t in range(20)
            ]
        )
        for n in (1000, 10000)
    )
    assert few > 2.0 and many == pytest.approx(10.0 * few, rel=0.3)
    found = returns(state, geometry, replace(QUIET, points_per_second=10000), free, None)
    ahead = found.depth_m * np.cos(found.altitude_rad) * np.cos(found.azimuth_rad)
    np.testing.assert_allclose(ahead, 28.0, atol=0.01)
    assert np.ptp(found.altitude_rad) > 0.2 and not found.speed_mps.any()


def test_radar_noise_comes_from_its_own_seed() -> None:
    state, geometry = make([], actors=2)
    put(state, 1, x_m=30.0)
    here, loud = transform(0.0, 0.0, 0.6), replace(QUIET, noise=True, noise_seed=3)
    clean = returns(state, geometry, QUIET, here, 0)
    radar = Radar(loud, None, here, 0)
    noisy = [radar.scan(state, tick, DT) for tick in range(600)]
    depth = np.concatenate([one.depth_m for one in noisy]) - clean.depth_m
    azimuth = np.concatenate([one.azimuth_rad for one in noisy]) - clean.azimuth_rad
    assert depth.std() == pytest.approx(RANGE_SIGMA_M, rel=0.1)
    assert azimuth.std() == pytest.approx(AZIMUTH_SIGMA_RAD, rel=0.1)
    assert np.array_equal(Radar(loud, None, here, 0).scan(state, 5, DT).depth_m, noisy[5].depth_m)
    assert not np.array_equal(
        Radar(replace(loud, noise_seed=4), None, here, 0).scan(state, 5, DT).depth_m, noisy[5].depth_m
    )


def test_bad_radars_are_refused() -> None:
    with pytest.raises(ValueError, match="radar: found"):
        RadarSpec(vertical_fov_rad=4.0)
