"""Range and motion sensors of the ego (row 0) of one world: LiDAR, radar, inertial unit, satellite fixes, wheels.

`Sensors.read(tick)` is called once after every tick of the world, with the geometry's actors placed for it. What
sensors remember from tick to tick (biases, correlated errors) lives in the state, so that save, restore and hash
cover it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import warp as wp

from sim.geometry import Geometry
from sim.kernels import inertial, lidar, radar
from sim.state import State
from stack.frames import transform
from stack.loop import TICK_S
from stack.messages import F32, GnssSamples, ImuSamples, LidarSweep, RadarSamples, Rig, WheelSamples

Samples = tuple[LidarSweep, RadarSamples, ImuSamples, GnssSamples, WheelSamples]


class Sensors:
    """Owns the sample buffers. Call `reset` once the state holds the start of a drive, then `read` at every tick."""

    def __init__(self, state: State, geometry: Geometry, rig: Rig, world: int = 0, noise: bool = True) -> None:
        """`noise=False` gives errorless samples, still quantised; for tests and for ideal sensors."""
        self._state, self._world, self._rig = state, world, rig
        device, worlds = state.device, state.worlds
        self._motion = inertial.new_samples(worlds, device)
        self._errors: Any = inertial.ErrorArrays()
        self._errors.noise, arrays = float(noise), state.arrays
        self._errors.seed, self._errors.imu_bias = arrays.seed, arrays.imu_bias
        self._errors.gnss_error = arrays.gnss_error
        self._scenery = scenery_mesh(geometry)
        mount = radar.mount_of(rig, self._scenery.id if self._scenery else 0, noise)
        self._radar = radar.Radar(mount, state.actors, device)
        self._lidar = lidar.Lidar(rig, geometry, noise)

    def reset(self) -> None:
        """Draw the errors of a new drive from the world's seed."""
        s = self._state
        wp.launch(inertial.start, s.worlds, [s.arrays], device=s.device)
        wp.launch(inertial.start_errors, s.worlds, [self._errors], device=s.device)

    def read(self, tick: int) -> Samples:
        """What the sensors say of the tick that has just ended; at tick 0, of the start."""
        s = self._state
        wp.launch(inertial.sample, s.worlds, [s.arrays, self._motion], device=s.device)
        wp.launch(inertial.err, s.worlds, [self._errors, tick, self._motion], device=s.device)
        sweep = self._lidar_sweep(tick)
        return sweep, self._radar_returns(tick), *self._motion_samples(tick)

    def _motion_samples(self, tick: int) -> tuple[ImuSamples, GnssSamples, WheelSamples]:
        w, m, n = self._world, self._motion, inertial.IMU_PER_TICK
        now = np.array([tick * TICK_S])
        times = now + np.arange(1 - n, 1) * inertial.IMU_STEP_S
        first = n - 1 if tick == 0 else 0  # nothing came before the start
        imu: F32 = m.imu.numpy()[w, first:].copy()
        has_fix = slice(0, 1 if tick % inertial.GNSS_EVERY == 0 else 0)
        wheels = m.wheels.numpy()[w].copy()
        return (
            ImuSamples(times[first:], imu[:, :3].copy(), imu[:, 3:].copy()),
            GnssSamples(now[has_fix], m.gnss.numpy()[w : w + 1][has_fix].copy()),
            WheelSamples(now, wheels[:1], wheels[1:]),
        )

    def _radar_returns(self, tick: int) -> RadarSamples:
        returns = self._radar.scan(self._state, self._state.arrays.seed, self._world, self._world, tick)
        return RadarSamples(np.full(len(returns), tick * TICK_S), returns)

    def _lidar_sweep(self, tick: int) -> LidarSweep:
        ranges, intensity = self._lidar.scan(self._state, self._world, tick)
        return LidarSweep(
            time_s=self._lidar.times_s(tick),
            azimuth_rad=self._lidar.azimuth_rad(tick),
            elevation_rad=self._lidar.elevation_rad,
            range_steps=ranges,
            intensity=intensity,
            ego_from_lidar=transform(*self._rig.lidar_xyz_m),
        )


def scenery_mesh(geometry: Geometry) -> Any:
    """A bounding-volume hierarchy of the static triangles for ray queries, or None where there are none."""
    corners = geometry.static.corners().reshape(-1, 3)
    if len(corners) == 0:
        return None
    points = wp.array(corners, dtype=wp.vec3, device=geometry.device)
    return wp.Mesh(points, wp.array(np.arange(len(corners), dtype=np.int32), device=geometry.device))
