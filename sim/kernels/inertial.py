"""Inertial unit, satellite fixes and wheel odometry of row 0 of each world.

Inertial unit, 100 Hz: specific force f = dv/dt + w x v - R^T g and rotation rate w in body axes at the ego origin,
from the state before and after the tick, so that integrating the noiseless samples gives the drive again. Errors are
those of Woodman, An introduction to inertial navigation (2007), sec. 3-4: a bias that walks and white noise, with the
noise densities of the Bosch BMI055 data sheet (0.014 deg/s and 150 ug per root Hz) over the 50 Hz that 100 samples a
second carry.
Satellite fixes, 10 Hz: a first-order Gauss-Markov process per axis, e' = a e + s sqrt(1 - a^2) n, a = exp(-dt / tau)
(Brown and Hwang, Introduction to Random Signals and Applied Kalman Filtering, ch. 9), and a little white noise.
Wheel odometry, 20 Hz: a scale error that stays for the drive (tyre radius), white noise, quantisation; wheels that
hardly turn give no pulses and so read 0.

`sample` gives ideal samples; `err` adds the errors, from these, the seed, the tick and what the errors remember. Who holds
ideal samples can add the very same errors.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import warp as wp

from sim.state import StateArrays
from stack.loop import TICK_S
from stack.messages import F32
from stack.seeds import Stream, normal

wp.set_module_options({"enable_backward": False, "max_unroll": 1})  # unrolled, the draws take 5 s to compile

IMU_PER_TICK = 5
IMU_STEP_S = TICK_S / IMU_PER_TICK
GNSS_EVERY = 2  # ticks
GRAVITY_MPS2 = 9.81

ACCEL_SIGMA_MPS2 = 150e-6 * GRAVITY_MPS2 * math.sqrt(0.5 / IMU_STEP_S)
GYRO_SIGMA_RADPS = math.radians(0.014) * math.sqrt(0.5 / IMU_STEP_S)
ACCEL_BIAS_MPS2 = 0.05  # left after factory calibration, 5 mg
GYRO_BIAS_RADPS = math.radians(0.1)
ACCEL_WALK = 5e-4 * math.sqrt(TICK_S)  # m/s2 per tick; 5e-4 m/s2 per root second
GYRO_WALK = 2e-5 * math.sqrt(TICK_S)  # rad/s per tick
ACCEL_RANGE_MPS2 = 8.0 * GRAVITY_MPS2  # samples saturate: a crash or a teleport gives no endless peak
GYRO_RANGE_RADPS = math.radians(500.0)

GNSS_MARKOV_S = 30.0
GNSS_MARKOV_M = 0.8  # standard deviation of each horizontal axis
GNSS_WHITE_M = 0.3
GNSS_VERTICAL = 1.8  # vertical over horizontal errors, as VDOP over HDOP under an open sky
GNSS_DECAY = math.exp(-TICK_S / GNSS_MARKOV_S)
GNSS_DRIVE_M = GNSS_MARKOV_M * math.sqrt(1.0 - GNSS_DECAY**2)

WHEEL_SCALE_SIGMA = 0.005
WHEEL_SPEED_SIGMA_MPS = 0.02
WHEEL_SPEED_STEP_MPS = 0.01
WHEEL_STILL_MPS = 0.05
WHEEL_ANGLE_SIGMA_RAD = math.radians(0.1)
WHEEL_ANGLE_STEP_RAD = math.radians(0.01)  # 0.1 degrees at the steering wheel

START = 64  # first draw index of what is drawn once a drive; the draws of a tick lie below


@wp.struct
class InertialArrays:
    """Samples of one tick."""

    imu: wp.array3d(dtype=wp.float32)  # [W, 5, 6] specific force m/s2, rotation rate rad/s
    gnss: wp.array2d(dtype=wp.float32)  # [W, 3] m
    wheels: wp.array2d(dtype=wp.float32)  # [W, 2] speed m/s, wheel angle rad


@wp.struct
class ErrorArrays:
    """What the errors are made of, and remember from tick to tick."""

    noise: float  # 1, or 0: samples are quantised only
    seed: wp.array(dtype=wp.uint32)  # [W]
    imu_bias: wp.array2d(dtype=wp.float32)  # [W, 6] m/s2, rad/s
    gnss_error: wp.array2d(dtype=wp.float32)  # [W, 3] m


@wp.func
def turned(to_rad: float, from_rad: float) -> float:
    """Difference of two angles in (-pi, pi]."""
    d = to_rad - from_rad
    if d > wp.pi:
        return d - 2.0 * wp.pi
    if d <= -wp.pi:
        return d + 2.0 * wp.pi
    return d


@wp.func
def remember(s: StateArrays, w: int):
    s.imu_last[w, 0] = s.vx_mps[w, 0]
    s.imu_last[w, 1] = s.vy_mps[w, 0]
    s.imu_last[w, 2] = s.yaw_rad[w, 0]
    s.imu_last[w, 3] = s.pitch_rad[w, 0]
    s.imu_last[w, 4] = s.roll_rad[w, 0]
    s.imu_last[w, 5] = s.yaw_rate_radps[w, 0]


@wp.kernel(enable_backward=False)
def start(s: StateArrays):
    """Take the present state as the last."""
    remember(s, wp.tid())


@wp.kernel(enable_backward=False)
def start_errors(e: ErrorArrays):
    """Draw the errors that a drive begins with."""
    w = wp.tid()
    for i in range(3):
        e.imu_bias[w, i] = e.noise * ACCEL_BIAS_MPS2 * normal(e.seed[w], Stream.IMU, 0, 0, START + i)
        e.imu_bias[w, 3 + i] = e.noise * GYRO_BIAS_RADPS * normal(e.seed[w], Stream.IMU, 0, 0, START + 3 + i)
        e.gnss_error[w, i] = e.noise * GNSS_MARKOV_M * normal(e.seed[w], Stream.GNSS, 0, 0, START + i)


@wp.func
def motion(s: StateArrays, w: int, part: float) -> wp.spatial_vector:
    """Specific force and rotation rate in body axes, errorless, at `part` (0..1) of the tick that ends now."""
    yaw_rate = turned(s.yaw_rad[w, 0], s.imu_last[w, 2]) / TICK_S
    yaw_rate += (s.yaw_rate_radps[w, 0] - s.imu_last[w, 5]) * (part - 0.5)  # the mean over the tick stays
    pitch_rate = (s.pitch_rad[w, 0] - s.imu_last[w, 3]) / TICK_S
    roll_rate = (s.roll_rad[w, 0] - s.imu_last[w, 4]) / TICK_S
    pitch = wp.lerp(s.imu_last[w, 3], s.pitch_rad[w, 0], part)
    roll = wp.lerp(s.imu_last[w, 4], s.roll_rad[w, 0], part)
    cp = wp.cos(pitch)
    cr = wp.cos(roll)
    sr = wp.sin(roll)
    # rotation rate of Rz(yaw) Ry(-pitch) Rx(roll)
    rate = wp.vec3(
        roll_rate + yaw_rate * wp.sin(pitch),
        yaw_rate * cp * sr - pitch_rate * cr,
        yaw_rate * cp * cr + pitch_rate * sr,
    )
    before = wp.vec3(s.imu_last[w, 0], s.imu_last[w, 1], 0.0)
    after = wp.vec3(s.vx_mps[w, 0], s.vy_mps[w, 0], 0.0)
    up = wp.vec3(wp.sin(pitch), cp * sr, cp * cr)
    force = (after - before) / TICK_S + wp.cross(rate, wp.lerp(before, after, part)) + GRAVITY_MPS2 * up
    return wp.spatial_vector(force, rate)


@wp.func
def rounded(value: float, step: float) -> float:
    return wp.round(value / step) * step


@wp.kernel(enable_backward=False)
def sample(s: StateArrays, out: InertialArrays):
    """Ideal samples of the tick that ends now."""
    w = wp.tid()
    for k in range(IMU_PER_TICK):
        true = motion(s, w, (float(k) + 0.5) / float(IMU_PER_TICK))
        for i in range(6):
            out.imu[w, k, i] = true[i]
    out.gnss[w, 0] = s.x_m[w, 0]
    out.gnss[w, 1] = s.y_m[w, 0]
    out.gnss[w, 2] = s.z_m[w, 0]
    out.wheels[w, 0] = s.vx_mps[w, 0]
    out.wheels[w, 1] = s.wheel_angle_rad[w, 0]
    remember(s, w)


@wp.kernel(enable_backward=False)
def err(e: ErrorArrays, tick: int, out: InertialArrays):
    """Ideal samples as the sensors give them, changed in place; moves biases and correlated errors on by one tick."""
    w = wp.tid()
    seed = e.seed[w]
    walk = e.noise
    if tick == 0:
        walk = 0.0
    for i in range(3):
        e.imu_bias[w, i] = e.imu_bias[w, i] + walk * ACCEL_WALK * normal(seed, Stream.IMU, tick, 0, 30 + i)
        e.imu_bias[w, 3 + i] = e.imu_bias[w, 3 + i] + walk * GYRO_WALK * normal(seed, Stream.IMU, tick, 0, 33 + i)
        e.gnss_error[w, i] = GNSS_DECAY * e.gnss_error[w, i] + e.noise * GNSS_DRIVE_M * normal(
            seed, Stream.GNSS, tick, 0, i
        )
    for k in range(IMU_PER_TICK):
        for i in range(6):
            sigma = ACCEL_SIGMA_MPS2
            limit = ACCEL_RANGE_MPS2
            if i >= 3:
                sigma = GYRO_SIGMA_RADPS
                limit = GYRO_RANGE_RADPS
            white = e.noise * sigma * normal(seed, Stream.IMU, tick, 0, 6 * k + i)
            out.imu[w, k, i] = wp.clamp(out.imu[w, k, i] + e.imu_bias[w, i] + white, -limit, limit)
    for i in range(3):
        error = e.gnss_error[w, i] + e.noise * GNSS_WHITE_M * normal(seed, Stream.GNSS, tick, 0, 3 + i)
        if i == 2:
            error = error * GNSS_VERTICAL
        out.gnss[w, i] = out.gnss[w, i] + error
    true_mps = out.wheels[w, 0]
    speed = float(0.0)
    if wp.abs(true_mps) >= WHEEL_STILL_MPS:
        scale = 1.0 + e.noise * WHEEL_SCALE_SIGMA * normal(seed, Stream.WHEELS, 0, 0, START)
        speed = true_mps * scale + e.noise * WHEEL_SPEED_SIGMA_MPS * normal(seed, Stream.WHEELS, tick, 0, 0)
    angle = out.wheels[w, 1] + e.noise * WHEEL_ANGLE_SIGMA_RAD * normal(seed, Stream.WHEELS, tick, 0, 1)
    out.wheels[w, 0] = rounded(speed, WHEEL_SPEED_STEP_MPS)
    out.wheels[w, 1] = rounded(angle, WHEEL_ANGLE_STEP_RAD)


def new_samples(worlds: int, device: str) -> Any:
    """InertialArrays."""
    out: Any = InertialArrays()
    out.imu = wp.zeros((worlds, IMU_PER_TICK, 6), dtype=float, device=device)
    out.gnss = wp.zeros((worlds, 3), dtype=float, device=device)
    out.wheels = wp.zeros((worlds, 2), dtype=float, device=device)
    return out


class Errors:
    """The errors of one drive of a seed, for ideal samples from elsewhere: what a world of this seed would have given."""

    def __init__(self, seed: int) -> None:
        self._samples, e = new_samples(1, "cpu"), ErrorArrays()
        self._errors: Any = e
        self._errors.noise = 1.0
        self._errors.seed = wp.array(np.array([seed & 0xFFFFFFFF], np.uint32), device="cpu")
        self._errors.imu_bias = wp.zeros((1, 6), dtype=float, device="cpu")
        self._errors.gnss_error = wp.zeros((1, 3), dtype=float, device="cpu")
        self.reset()

    def reset(self) -> None:
        """Begin the drive anew."""
        wp.launch(start_errors, 1, [self._errors], device="cpu")

    def __call__(self, imu: F32, xyz_m: F32, wheels: F32, tick: int) -> tuple[F32, F32, F32]:
        """(5, 6) specific force and rotation rate, (3,) antenna, (2,) speed and wheel angle of one tick, in their order."""
        out = self._samples
        for to, values in ((out.imu, imu), (out.gnss, xyz_m), (out.wheels, wheels)):
            to.numpy()[0] = values
        wp.launch(err, 1, [self._errors, tick, out], device="cpu")
        return out.imu.numpy()[0].copy(), out.gnss.numpy()[0].copy(), out.wheels.numpy()[0].copy()
