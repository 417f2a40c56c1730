"""Inertial unit, satellite fixes and wheels: textbook values at rest and on a circle, integration, error statistics."""

import numpy as np
import pytest
from boxed_square import make

from sim.kernels.inertial import (
    ACCEL_SIGMA_MPS2,
    GNSS_MARKOV_M,
    GNSS_MARKOV_S,
    GNSS_WHITE_M,
    GYRO_SIGMA_RADPS,
    IMU_STEP_S,
)
from sim.sensors import Sensors
from sim.state import State
from stack.frames import Pose
from stack.loop import TICK_S
from stack.messages import GnssSamples, ImuSamples, Rig, WheelSamples

G = 9.81


def rig(noise: bool, seed: int = 5) -> tuple[State, Sensors]:
    state, geometry = make([], seed=seed)
    sensors = Sensors(state, geometry, Rig(), noise=noise)
    sensors.reset()
    return state, sensors


def read(sensors: Sensors, tick: int) -> tuple[ImuSamples, GnssSamples, WheelSamples]:
    return sensors.read(tick)[2:]


def move(state: State, **columns: float) -> None:
    for name, value in columns.items():
        state.numpy(name)[0, 0] = value


def test_at_rest_the_unit_feels_the_ground_push() -> None:
    state, sensors = rig(noise=False)
    pitch, roll = 0.10, -0.07
    move(state, pitch_rad=pitch, roll_rad=roll, yaw_rad=1.0)
    sensors.reset()
    imu = read(sensors, 1)[0]
    up_in_body = Pose(0.0, 0.0, 0.0, 1.0, pitch, roll).matrix()[2, :3]  # world's z in body axes
    np.testing.assert_allclose(imu.accel_mps2, np.tile(G * up_in_body, (5, 1)), atol=1e-4)
    assert not imu.gyro_radps.any()


def test_steady_circle_gives_speed_times_yaw_rate() -> None:
    state, sensors = rig(noise=False)
    speed, rate = 12.0, 0.3
    move(state, vx_mps=speed, yaw_rate_radps=rate)
    sensors.reset()
    for tick in range(1, 40):
        move(state, yaw_rad=np.arctan2(np.sin(rate * tick * TICK_S), np.cos(rate * tick * TICK_S)))
        imu, _, wheels = read(sensors, tick)
        np.testing.assert_allclose(imu.accel_mps2, np.tile([0.0, speed * rate, G], (5, 1)), atol=2e-3)
        np.testing.assert_allclose(imu.gyro_radps, np.tile([0.0, 0.0, rate], (5, 1)), atol=2e-5)
        assert wheels.speed_mps[0] == pytest.approx(speed, abs=0.005)


def drive(time_s: float) -> tuple[float, float, float, float, float]:
    """Speed ahead, speed to the left, yaw, yaw rate and pitch of a lively drive."""
    yaw_rate = 0.4 * np.sin(0.7 * time_s)
    yaw = 0.4 / 0.7 * (1.0 - np.cos(0.7 * time_s)) + 3.0  # runs through pi
    return 10.0 + 4.0 * np.sin(0.5 * time_s), 0.3 * np.sin(0.9 * time_s), yaw, yaw_rate, 0.05 * np.sin(0.4 * time_s)


def test_integrating_errorless_samples_gives_the_drive_again() -> None:
    state, sensors = rig(noise=False)

    def set_state(time_s: float) -> np.ndarray:
        vx, vy, yaw, rate, pitch = drive(time_s)
        wrapped = np.arctan2(np.sin(yaw), np.cos(yaw))
        move(state, vx_mps=vx, vy_mps=vy, yaw_rad=wrapped, yaw_rate_radps=rate, pitch_rad=pitch)
        return Pose(0.0, 0.0, 0.0, yaw, pitch).matrix()[:3, :3]

    rotation = set_state(0.0)
    velocity = rotation @ [*drive(0.0)[:2], 0.0]
    true = position = np.zeros(3)
    sensors.reset()
    for tick in range(1, 401):
        fine = (np.arange(50) + 0.5) / 50 * TICK_S + (tick - 1) * TICK_S
        for moment in fine:
            vx, vy, yaw, _, pitch = drive(moment)
            true = true + Pose(0.0, 0.0, 0.0, yaw, pitch).matrix()[:3, :3] @ [vx, vy, 0.0] * TICK_S / 50
        set_state(tick * TICK_S)
        imu = read(sensors, tick)[0]
        for force, rate in zip(imu.accel_mps2.astype(float), imu.gyro_radps.astype(float), strict=True):
            half = turn(rotation, 0.5 * rate * IMU_STEP_S)
            accel = half @ force - [0.0, 0.0, G]
            position = position + velocity * IMU_STEP_S + 0.5 * accel * IMU_STEP_S**2
            velocity = velocity + accel * IMU_STEP_S
            rotation = turn(rotation, rate * IMU_STEP_S)
    assert np.linalg.norm(true) > 100.0
    assert np.linalg.norm(position - true) < 0.3  # after 200 m
    assert np.arctan2(rotation[1, 0], rotation[0, 0]) == pytest.approx(np.angle(np.exp(1j * drive(20.0)[2])), abs=1e-3)


def turn(rotation: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Rotation turned by a rotation vector in body axes (Rodrigues)."""
    size = np.linalg.norm(angle) + 1e-12
    x, y, z = angle / size
    k = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return rotation @ (np.eye(3) + np.sin(size) * k + (1.0 - np.cos(size)) * k @ k)


def test_white_noise_averages_out_as_it_should() -> None:
    """Allan deviation of white noise falls with the root of the averaging time, from the data sheet's figure."""
    _, sensors = rig(noise=True)
    samples = [read(sensors, tick)[0] for tick in range(1, 1201)]
    for values, sigma in (
        (np.concatenate([s.accel_mps2 for s in samples]).astype(float), ACCEL_SIGMA_MPS2),
        (np.concatenate([s.gyro_radps for s in samples]).astype(float), GYRO_SIGMA_RADPS),
    ):
        assert allan(values, 1) == pytest.approx(sigma, rel=0.05)
        assert allan(values, 16) == pytest.approx(sigma / 4.0, rel=0.2)


def allan(values: np.ndarray, n: int) -> float:
    """Allan deviation over groups of `n` samples, all columns together."""
    groups = values[: len(values) // n * n].reshape(-1, n, 3).mean(axis=1)
    return float(np.sqrt(0.5 * np.mean(np.diff(groups, axis=0) ** 2)))


def test_biases_differ_between_seeds_and_walk_slowly() -> None:
    first, second = (rig(noise=True, seed=seed) for seed in (1, 2))
    assert not np.allclose(first[0].numpy("imu_bias"), second[0].numpy("imu_bias"))
    before = first[0].numpy("imu_bias").copy()
    for tick in range(1, 201):
        read(first[1], tick)
    moved = np.abs(first[0].numpy("imu_bias") - before)
    assert (moved > 0.0).all() and (moved[0, :3] < 0.01).all() and (moved[0, 3:] < 0.0005).all()


def test_satellite_error_has_its_size_and_its_memory() -> None:
    worlds, lag = 64, round(GNSS_MARKOV_S / TICK_S / 3.0)
    _, geometry = make([])
    state = State(worlds, 1, 0, 0, "cpu")
    state.numpy("seed")[:] = np.arange(worlds)
    sensors = Sensors(state, geometry, Rig())
    sensors.reset()
    errors, white = [], []
    for tick in range(1, 1001):
        fix = read(sensors, tick)[1]
        errors.append(state.numpy("gnss_error")[:, :2].copy())
        assert len(fix.xyz_m) == (tick + 1) % 2  # 10 Hz
        white += list(fix.xyz_m[:, :2] - errors[-1][0])
    series = np.array(errors)
    assert series.std() == pytest.approx(GNSS_MARKOV_M, rel=0.1)
    assert (series[lag:] * series[:-lag]).mean() / series.var() == pytest.approx(np.exp(-1.0 / 3.0), abs=0.1)
    assert np.std(white) == pytest.approx(GNSS_WHITE_M, rel=0.1)


def test_wheels_read_in_steps_with_a_lasting_scale_error() -> None:
    state, sensors = rig(noise=True)
    move(state, vx_mps=20.0, wheel_angle_rad=0.2)
    wheels = [read(sensors, tick)[2] for tick in range(1, 401)]
    speed = np.concatenate([w.speed_mps for w in wheels]).astype(float)
    angle = np.concatenate([w.wheel_angle_rad for w in wheels]).astype(float)
    assert 0.0005 < abs(speed.mean() / 20.0 - 1.0) < 0.02 and speed.std() < 0.04
    np.testing.assert_allclose(speed, np.round(speed * 100.0) / 100.0, atol=1e-5)
    assert angle.mean() == pytest.approx(0.2, abs=0.001) and 0.0 < angle.std() < 0.004
    move(state, vx_mps=0.01)
    assert read(sensors, 401)[2].speed_mps[0] == 0.0


def test_stamps() -> None:
    _, sensors = rig(noise=True)
    imu, gnss, wheels = read(sensors, 0)
    assert imu.time_s.tolist() == [0.0] and gnss.time_s.tolist() == [0.0] and wheels.time_s.tolist() == [0.0]
    imu, gnss, wheels = read(sensors, 7)
    np.testing.assert_allclose(imu.time_s, [0.31, 0.32, 0.33, 0.34, 0.35])
    assert len(gnss.time_s) == 0 and wheels.time_s[0] == pytest.approx(0.35)


def test_restored_state_gives_the_same_samples() -> None:
    state, sensors = rig(noise=True)
    for tick in range(1, 11):
        move(state, vx_mps=0.5 * tick, yaw_rad=0.01 * tick)
        read(sensors, tick)
    saved, before = state.save(), state.hash()

    def onward() -> list[np.ndarray]:
        imu, gnss, wheels = read(sensors, 12)
        return [imu.accel_mps2, imu.gyro_radps, gnss.xyz_m, wheels.speed_mps, wheels.wheel_angle_rad]

    first = onward()
    assert state.hash() != before
    state.restore(saved)
    for a, b in zip(first, onward(), strict=True):
        np.testing.assert_array_equal(a, b)
