"""Radar on any actor or free in space: returns of road users and of upright scenery, as sim/kernels/radar.py explains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import warp as wp

from sim.kernels import radar
from sim.state import State
from stack.frames import F64
from stack.messages import F32


@dataclass(frozen=True)
class RadarSpec:
    """CARLA's attributes, in SI and radians; the defaults are CARLA's. Raises ValueError."""

    horizontal_fov_rad: float = np.deg2rad(30.0)
    vertical_fov_rad: float = np.deg2rad(30.0)
    range_m: float = 100.0
    points_per_second: int = 1500  # rays for what stands; road users come on top
    noise_seed: int = 0
    noise: bool = True  # of range, angles and speed, and missed targets

    def __post_init__(self) -> None:
        if not (0.0 < self.horizontal_fov_rad <= 2.0 * np.pi and 0.0 < self.vertical_fov_rad < np.pi):
            raise ValueError(
                f"radar: found fields of view of {self.horizontal_fov_rad} and {self.vertical_fov_rad} rad, expected more "
                "than 0, at most 2 pi across and less than pi upright"
            )


@dataclass(frozen=True)
class RadarReturns:
    """Returns of one tick, in the radar's frame (x ahead, y left, z up)."""

    speed_mps: F32  # (N,) rate of the range: positive when it grows
    azimuth_rad: F32  # (N,) left positive
    altitude_rad: F32  # (N,) up positive
    depth_m: F32  # (N,)


class Radar:
    """One sensor; `scan` once for each tick."""

    def __init__(
        self, spec: RadarSpec, scenery: wp.Mesh | None, mount: F64, carrier_row: int | None, world: int = 0
    ) -> None:
        """`scenery`: of `sim.sensors.scenery_mesh`; None: nothing stands there. `carrier_row` None: `mount` is a place in
        the world, where the radar stands still."""
        self.spec, self._world, self._radar = spec, world, None
        m: Any = radar.RadarMount()
        m.row = -1 if carrier_row is None else carrier_row
        m.half_fov_rad, m.half_height_rad = 0.5 * spec.horizontal_fov_rad, 0.5 * spec.vertical_fov_rad
        m.high_slope = np.tan(0.5 * spec.vertical_fov_rad)
        m.low_slope = -m.high_slope
        m.range_m, m.noise = spec.range_m, float(spec.noise)
        self._scenery, m.scenery = scenery, wp.uint64(scenery.id if scenery else 0)  # must live as long as its number
        self._mount = m
        self.move(mount)

    def move(self, mount: F64) -> None:
        """Mount the sensor elsewhere, (4, 4)."""
        self._mount.place, self._mount.turn = wp.vec3(*mount[:3, 3]), wp.mat33(mount[:3, :3])

    def scan(self, state: State, tick: int, dt_s: float) -> RadarReturns:
        """Returns of a tick of `dt_s`; `tick` numbers the draws of chance and noise."""
        rays = max(round(self.spec.points_per_second * dt_s), 1)
        if self._radar is None or rays != self._mount.rays:
            self._mount.rays = rays
            self._radar = radar.Radar(self._mount, state.actors, state.device)
            self._seeds = wp.array(np.array([self.spec.noise_seed & 0xFFFFFFFF], np.uint32), device=state.device)
        found = self._radar.scan(state, self._seeds, 0, self._world, tick)
        return RadarReturns(*(found[:, k].copy() for k in (3, 1, 2, 0)))
