"""Inertial unit with compass, and satellite receiver, on any actor or standing in the world.

Specific force at the actor's origin is that of sim/kernels/inertial.py in the middle of the tick, from the states before
and after it: f = dv/dt + w x v - R^T g. At a point r of the body, dw/dt x r + w x (w x r) comes on top (any textbook of
mechanics: acceleration of a point of a rigid body). Noise is white, with a lasting bias of the gyroscope, as CARLA has it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim.instruments.noise import normals
from sim.instruments.places import pose
from sim.kernels.inertial import GRAVITY_MPS2
from sim.state import State
from stack.frames import F64, wrap
from stack.seeds import Stream

Three = tuple[float, float, float]
ZERO: Three = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class ImuSpec:
    """Noise in the sensor's axes (x ahead, y left, z up)."""

    accel_stddev_mps2: Three = ZERO
    gyro_stddev_radps: Three = ZERO
    gyro_bias_radps: Three = ZERO
    noise_seed: int = 0


@dataclass(frozen=True)
class GnssSpec:
    """Noise in the world's axes (x east, y north, z up), m."""

    stddev_m: Three = ZERO
    bias_m: Three = ZERO
    noise_seed: int = 0


@dataclass(frozen=True)
class ImuSample:
    """In the sensor's axes: x ahead, y left, z up."""

    accel_mps2: F64  # (3,) specific force: at rest, gravity's counterforce, +9.81 along what is up
    gyro_radps: F64  # (3,) turning to the left is positive about z
    compass_rad: float  # from north, the world's y axis, clockwise seen from above, in [0, 2 pi)


class Imu:
    """One unit; `sample` once for each tick."""

    def __init__(self, spec: ImuSpec, mount: F64, carrier_row: int | None, world: int = 0) -> None:
        """`carrier_row` None: `mount` is a place in the world, where the unit stands still."""
        self.spec, self.mount, self._row, self._world = spec, mount, carrier_row, world
        self._last: F64 | None = None

    def sample(self, state: State, tick: int, dt_s: float) -> ImuSample:
        """Of the tick of `dt_s` that has just ended; `tick` numbers the draws of the noise."""
        spec, turn = self.spec, self.mount[:3, :3]
        if self._row is None:
            force, rate = GRAVITY_MPS2 * np.array([0.0, 0.0, 1.0]), np.zeros(3)
            world_from_sensor = turn
        else:
            force, rate = self._of_carrier(state, dt_s)
            world_from_sensor = pose(state, self._row, self._world)[:3, :3] @ turn
        bell = normals(spec.noise_seed, Stream.IMU, tick, 1, 6)
        accel = turn.T @ force + np.array(spec.accel_stddev_mps2) * bell[:3]
        gyro = turn.T @ rate + np.array(spec.gyro_bias_radps) + np.array(spec.gyro_stddev_radps) * bell[3:]
        ahead = world_from_sensor[:, 0]
        return ImuSample(accel, gyro, float(np.arctan2(ahead[0], ahead[1]) % (2.0 * np.pi)))

    def _of_carrier(self, state: State, dt_s: float) -> tuple[F64, F64]:
        """Specific force at the mount and rotation rate, in the carrier's axes."""
        names = ("vx_mps", "vy_mps", "yaw_rad", "pitch_rad", "roll_rad", "yaw_rate_radps")
        now = np.array([state.numpy(name)[self._world, self._row] for name in names], np.float64)
        last = self._last
        if last is None:  # as if it had gone on like this before
            last = now - np.array([0.0, 0.0, now[5] * dt_s, 0.0, 0.0, 0.0])
        self._last = now
        turned = wrap(now[2:5] - last[2:5]) / dt_s
        rates = []
        for part in (0.0, 0.5, 1.0):
            yaw_rate = turned[0] + (now[5] - last[5]) * (part - 0.5)
            _, pitch, roll = last[2:5] + part * wrap(now[2:5] - last[2:5])
            sin, cos = np.sin(roll), np.cos(roll)
            rates.append(
                [
                    turned[2] + yaw_rate * np.sin(pitch),
                    yaw_rate * np.cos(pitch) * sin - turned[1] * cos,
                    yaw_rate * np.cos(pitch) * cos + turned[1] * sin,
                ]
            )
        rate, spin = np.array(rates[1]), (np.array(rates[2]) - rates[0]) / dt_s
        pitch, roll = 0.5 * (last[3:5] + now[3:5])
        up = np.array([np.sin(pitch), np.cos(pitch) * np.sin(roll), np.cos(pitch) * np.cos(roll)])
        before, after, arm = np.append(last[:2], 0.0), np.append(now[:2], 0.0), self.mount[:3, 3]
        force = (after - before) / dt_s + np.cross(rate, 0.5 * (before + after)) + GRAVITY_MPS2 * up
        return force + np.cross(spin, arm) + np.cross(rate, np.cross(rate, arm)), rate


class Gnss:
    """One receiver."""

    def __init__(self, spec: GnssSpec, mount: F64, carrier_row: int | None, world: int = 0) -> None:
        """`carrier_row` None: `mount` is a place in the world."""
        self.spec, self.mount, self._row, self._world = spec, mount, carrier_row, world

    def sample(self, state: State, tick: int) -> F64:
        """(3,) position of the antenna in the world, m."""
        spec = self.spec
        place = self.mount if self._row is None else pose(state, self._row, self._world) @ self.mount
        bell = normals(spec.noise_seed, Stream.GNSS, tick, 1, 3)
        return place[:3, 3] + np.array(spec.bias_m) + np.array(spec.stddev_m) * bell
