"""Turning LiDAR with CARLA's attributes, and the one that says what it hits.

A turn runs clockwise through `horizontal_fov_rad`, which lies about the sensor's x axis, and begins a quarter after its
left end: at the left (y) for a full turn. Each tick sees its share of the turn, at evenly spaced columns. Ranges are
whole steps of LIDAR_STEP_M and intensities whole 255ths, as in sim/kernels/lidar.py, before noise.

Intensity: what the surface sends back, times exp(-attenuation range), CARLA's law of the air. Lost points follow CARLA's
documentation: a general share; and of points whose exp(-attenuation range) lies below a limit, a share that rises from
0 at the limit to `dropoff_zero_intensity` at 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import warp as wp

from sim.geometry import Geometry
from sim.instruments.noise import normals
from sim.kernels.lidar import Caster, arc_rad, label
from sim.state import State
from stack.frames import F64
from stack.messages import F32, I32, LIDAR_STEP_M, U8
from stack.seeds import Stream, uniforms

RANGE_MOST_M = 320.0  # that 16 bits of steps hold
STEEPEST_RAD = np.deg2rad(89.5)


@dataclass(frozen=True)
class LidarSpec:
    """CARLA's attributes, in SI and radians; the defaults are CARLA's. Raises ValueError."""

    channels: int = 32
    range_m: float = 10.0
    points_per_second: int = 56_000
    rotation_hz: float = 10.0
    upper_fov_rad: float = np.deg2rad(10.0)
    lower_fov_rad: float = np.deg2rad(-30.0)
    horizontal_fov_rad: float = 2.0 * np.pi
    atmosphere_attenuation_rate: float = 0.004  # 1/m
    dropoff_general_rate: float = 0.45
    dropoff_intensity_limit: float = 0.8
    dropoff_zero_intensity: float = 0.4
    noise_stddev_m: float = 0.0
    noise_seed: int = 0

    def __post_init__(self) -> None:
        if self.channels < 1 or self.points_per_second < 0 or self.rotation_hz < 0.0 or self.range_m <= 0.0:
            raise ValueError(
                f"lidar: found {self.channels} channels, {self.points_per_second} points and {self.rotation_hz} turns a "
                f"second, a range of {self.range_m} m; expected a channel or more, no negative numbers"
            )
        if not 0.0 < self.horizontal_fov_rad <= 2.0 * np.pi + 1e-6:
            raise ValueError(f"lidar: found horizontal_fov {self.horizontal_fov_rad} rad, expected up to a full turn")

    def elevation_rad(self) -> F64:
        """(R,) of the channels, the uppermost first."""
        fan = np.linspace(self.upper_fov_rad, self.lower_fov_rad, self.channels)
        return np.clip(fan, -STEEPEST_RAD, STEEPEST_RAD)


@dataclass(frozen=True)
class LidarPoints:
    """One tick's share of a turn; points in the sensor's frame (x ahead, y left, z up), channel by channel as they fired."""

    turned_rad: float  # since the turn began, at the end of the tick
    count: I32  # (R,) points of each channel
    xyz_m: F32  # (N, 3)
    intensity: F32  # (N,) 0..1


@dataclass(frozen=True)
class LidarHits:
    """As LidarPoints, with what was hit; without noise and loss."""

    turned_rad: float
    count: I32
    xyz_m: F32
    incidence: F32  # (N,) cosine of the angle between the beam and the normal
    instance: I32  # (N,) actor row + 1; 0 scenery
    semantic: U8  # (N,) labels.Semantic


@dataclass(frozen=True)
class _Sweep:
    """All beams of a tick: R channels, C columns."""

    azimuth_rad: F64  # (C,)
    steps: I32  # (R, C); 0: nothing came back
    intensity: I32  # (R, C) 0..255


class Lidar:
    """One sensor; `scan` once for each tick, after the geometry has been placed for it."""

    def __init__(
        self, geometry: Geometry, spec: LidarSpec, mount: F64, carrier_row: int | None, world: int = 0,
        names_hits: bool = False,
    ) -> None:  # fmt: skip
        """`carrier_row` None: `mount` is a place in the world. `names_hits`: `scan` gives LidarHits."""
        self._geometry, self.spec, self._names_hits = geometry, spec, names_hits
        self._row, self._world = -1 if carrier_row is None else carrier_row, world
        self._mount, self._elevation = mount, spec.elevation_rad()
        self.turned = 0.0  # share of the turn that is over
        self._caster: Caster | None = None
        self._shape = (0, 0.0)

    def move(self, mount: F64) -> None:
        """Mount the sensor elsewhere, (4, 4)."""
        self._mount = mount
        if self._caster is not None:
            self._caster.move(mount)

    def scan(self, state: State, tick: int, dt_s: float) -> LidarPoints | LidarHits:
        """The share of the turn of a tick of `dt_s`; `tick` numbers the draws of its noise."""
        sweep = self._sweep(state, dt_s)
        if self._names_hits:
            return self._hits(sweep)
        return self._points(sweep, tick)

    def _sweep(self, state: State, dt_s: float) -> _Sweep:
        spec, rings = self.spec, self.spec.channels
        columns, share = round(spec.points_per_second * dt_s / rings), spec.rotation_hz * dt_s
        fov = spec.horizontal_fov_rad
        start, self.turned = self.turned, (self.turned + share) % 1.0
        steps, bright = np.zeros((rings, columns), np.int32), np.zeros((rings, columns), np.int32)
        if self._names_hits:
            self._named = [np.zeros((rings, columns), kind) for kind in (np.float32, np.int32, np.uint8)]
        at = 0.25 + start + (np.arange(columns) + 0.5) * (share / max(columns, 1))  # in turns from the left end
        azimuth = 0.5 * fov - (at % 1.0) * fov
        if columns == 0 or share == 0.0:
            return _Sweep(azimuth, steps, bright)
        caster = self._shaped(columns, share * fov / columns)
        ends = np.flatnonzero(np.diff(np.floor(at))) + 1 if fov < 6.28 else []  # where it springs back to the left end
        for run in np.split(np.arange(columns), ends):
            for first in range(run[0], run[-1] + 1, caster.columns):
                some = slice(first, min(first + caster.columns, run[-1] + 1))
                width = some.stop - some.start
                caster.cast(state, self._world, self._row, azimuth[first] - arc_rad(*self._shape)[0])
                if self._names_hits:
                    self._name(caster, some, width)
                caster.answer()
                steps[:, some] = caster.arrays.steps.numpy()[:, :width]
                bright[:, some] = caster.arrays.intensity.numpy()[:, :width]
        return _Sweep(azimuth, steps, bright)

    def _shaped(self, columns: int, step_rad: float) -> Caster:
        """Buffers for arcs of at most half a turn, as few as will do."""
        arcs = max(int(np.ceil(columns * step_rad / np.pi - 1e-9)), 1)
        shape = (-(-columns // arcs), step_rad)
        if self._caster is None or shape != self._shape:
            reach = min(self.spec.range_m, RANGE_MOST_M)
            self._caster, self._shape = Caster(self._geometry, self._elevation, *shape, reach, self._mount), shape
            size, device = (self.spec.channels, shape[0]), self._geometry.device
            kinds = (wp.float32, wp.int32, wp.uint8) if self._names_hits else ()
            self._labels = [wp.zeros(size, dtype=kind, device=device) for kind in kinds]
        return self._caster

    def _name(self, caster: Caster, some: slice, width: int) -> None:
        inputs = [self._geometry.arrays, caster.arrays, *self._labels]
        wp.launch(label, caster.arrays.key.shape, inputs, device=self._geometry.device)
        for to, values in zip(self._named, self._labels, strict=True):
            to[:, some] = values.numpy()[:, :width]

    def _rays(self, azimuth_rad: F64) -> F32:
        """(R, C, 3) unit vectors."""
        flat, up = np.cos(self._elevation)[:, None], np.sin(self._elevation)[:, None]
        rays = np.stack(np.broadcast_arrays(flat * np.cos(azimuth_rad), flat * np.sin(azimuth_rad), up), -1)
        return rays.astype(np.float32)

    def _points(self, sweep: _Sweep, sample: int) -> LidarPoints:
        spec, size = self.spec, sweep.steps.size
        distance = sweep.steps * np.float32(LIDAR_STEP_M)
        air = np.exp(-spec.atmosphere_attenuation_rate * distance)
        kept = sweep.steps > 0
        chance = uniforms(spec.noise_seed, Stream.LIDAR, sample, 1, 2 * size).reshape(2, *sweep.steps.shape)
        kept &= chance[0] >= spec.dropoff_general_rate
        if spec.dropoff_intensity_limit > 0.0:
            kept &= chance[1] >= spec.dropoff_zero_intensity * (1.0 - air / spec.dropoff_intensity_limit)
        if spec.noise_stddev_m > 0.0:
            bell = normals(spec.noise_seed, Stream.LIDAR, sample, 2, size).reshape(sweep.steps.shape)
            distance = distance + np.float32(spec.noise_stddev_m) * bell.astype(np.float32)
        level = np.maximum(np.round(sweep.intensity * air), 1.0)[kept].astype(np.float32) / np.float32(255.0)
        xyz = self._rays(sweep.azimuth_rad)[kept] * distance[kept][:, None]
        return LidarPoints(self._turned_rad(), kept.sum(axis=1).astype(np.int32), xyz, level)

    def _hits(self, sweep: _Sweep) -> LidarHits:
        kept = sweep.steps > 0
        xyz = self._rays(sweep.azimuth_rad)[kept] * (sweep.steps[kept] * np.float32(LIDAR_STEP_M))[:, None]
        named = (values[kept] for values in self._named)
        return LidarHits(self._turned_rad(), kept.sum(axis=1).astype(np.int32), xyz, *named)

    def _turned_rad(self) -> float:
        return self.turned * self.spec.horizontal_fov_rad
