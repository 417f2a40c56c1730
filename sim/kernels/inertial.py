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
"""

from __future__ import annotations

import math

import warp as wp

from sim.state import StateArrays
from stack.loop import TICK_S
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

    noise: float  # 1, or 0 to switch all errors off
    imu: wp.array3d(dtype=wp.float32)  # [W, 5, 6] specific force m/s2, rotation rate rad/s
    gnss: wp.array2d(dtype=wp.float32)  # [W, 3] m
    wheels: wp.array2d(dtype=wp.float32)  # [W, 2] speed m/s, wheel angle rad


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
def start(s: StateArrays, out: InertialArrays):
    """Draw the errors that a drive begins with, and take the present state as the last."""
    w = wp.tid()
    for i in range(3):
        s.imu_bias[w, i] = out.noise * ACCEL_BIAS_MPS2 * normal(s.seed[w], Stream.IMU, 0, 0, START + i)
        s.imu_bias[w, 3 + i] = out.noise * GYRO_BIAS_RADPS * normal(s.seed[w], Stream.IMU, 0, 0, START + 3 + i)
        s.gnss_error[w, i] = out.noise * GNSS_MARKOV_M * normal(s.seed[w], Stream.GNSS, 0, 0, START + i)
    remember(s, w)


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
def sample(s: StateArrays, out: InertialArrays, tick: int):
    """Samples of the tick that ends now; moves biases and correlated errors on by one tick."""
    w = wp.tid()
    seed = s.seed[w]
    walk = out.noise
    if tick == 0:
        walk = 0.0
    for i in range(3):
        s.imu_bias[w, i] = s.imu_bias[w, i] + walk * ACCEL_WALK * normal(seed, Stream.IMU, tick, 0, 30 + i)
        s.imu_bias[w, 3 + i] = s.imu_bias[w, 3 + i] + walk * GYRO_WALK * normal(seed, Stream.IMU, tick, 0, 33 + i)
        s.gnss_error[w, i] = GNSS_DECAY * s.gnss_error[w, i] + out.noise * GNSS_DRIVE_M * normal(
            seed, Stream.GNSS, tick, 0, i
        )
    for k in range(IMU_PER_TICK):
        true = motion(s, w, (float(k) + 0.5) / float(IMU_PER_TICK))
        for i in range(6):
            sigma = ACCEL_SIGMA_MPS2
            limit = ACCEL_RANGE_MPS2
            if i >= 3:
                sigma = GYRO_SIGMA_RADPS
                limit = GYRO_RANGE_RADPS
            white = out.noise * sigma * normal(seed, Stream.IMU, tick, 0, 6 * k + i)
            out.imu[w, k, i] = wp.clamp(true[i] + s.imu_bias[w, i] + white, -limit, limit)
    position = wp.vec3(s.x_m[w, 0], s.y_m[w, 0], s.z_m[w, 0])
    for i in range(3):
        error = s.gnss_error[w, i] + out.noise * GNSS_WHITE_M * normal(seed, Stream.GNSS, tick, 0, 3 + i)
        if i == 2:
            error = error * GNSS_VERTICAL
        out.gnss[w, i] = position[i] + error
    speed = float(0.0)
    if wp.abs(s.vx_mps[w, 0]) >= WHEEL_STILL_MPS:
        scale = 1.0 + out.noise * WHEEL_SCALE_SIGMA * normal(seed, Stream.WHEELS, 0, 0, START)
        speed = s.vx_mps[w, 0] * scale + out.noise * WHEEL_SPEED_SIGMA_MPS * normal(seed, Stream.WHEELS, tick, 0, 0)
    angle = s.wheel_angle_rad[w, 0] + out.noise * WHEEL_ANGLE_SIGMA_RAD * normal(seed, Stream.WHEELS, tick, 0, 1)
    out.wheels[w, 0] = rounded(speed, WHEEL_SPEED_STEP_MPS)
    out.wheels[w, 1] = rounded(angle, WHEEL_ANGLE_STEP_RAD)
    remember(s, w)
