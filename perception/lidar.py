"""Half a turn of the LiDAR: ground, kerbs, markings, obstacles. All in the ego frame of the tick's instant.

A sweep is a snapshot: the driver of the sensor has removed the motion between its columns (see SensorFrame).

Ground: walking outward along every column from under the car, a return is ground when it lies no higher above the last
ground than a kerb or the slope of a road allows (after Himmelsbach et al. 2010, "Fast segmentation of 3D point clouds
for ground vehicles"). Kerbs and markings: along a ring the height steps by a kerb, or the intensity has a narrow peak.
Obstacles: connected cells of an azimuth-range grid; boxes by the closeness criterion of Zhang, Xu, Dong & Dolan 2017,
"Efficient L-shape fitting for vehicle detection using laser scanners". The loops are kernels: perception/sweep.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import warp as wp
from numpy.typing import NDArray

from perception import sweep as kernels
from perception.mapmatch import EdgePoints
from stack.frames import F64, transform
from stack.messages import LIDAR_STEP_M, LidarSweep

F32 = NDArray[np.float32]
BOOL = NDArray[np.bool_]

FIT_ANGLES_RAD = np.linspace(0.0, 0.5 * np.pi, kernels.FIT_ANGLES, endpoint=False)


@dataclass(frozen=True)
class Scan:
    """One tick's columns in the ego frame; (R, C), top ring first."""

    xyz_m: F32  # (R, C, 3)
    height_m: F32  # above the last ground in the same column
    ground: BOOL
    obstacle: BOOL
    kerb_xy_m: F32  # (N, 2) where a ring steps up or down by a kerb
    marking_xy_m: F32  # (M, 2) where it crosses a bright narrow line


@dataclass(frozen=True)
class Clusters:
    """Obstacles, K of them; the points of cluster k are rows start[k] : start[k] + count[k]."""

    xyz_m: F32  # (P, 3)
    start: NDArray[np.int64]  # (K,)
    count: NDArray[np.int64]
    time_s: F64  # (K,) mean of the points' instants
    fresh: F64  # (K,) share of points of this tick, the others are of the one before
    top_m: F64  # (K,) height of the highest point above the ground
    yaw_rad: F64  # (K,) of the box, in [0, pi/2)
    bounds_m: F64  # (K, 4) box in axes turned by yaw: u from, to, v from, to

    def __len__(self) -> int:
        return len(self.start)


class _Rig:
    """The arrays of one shape of sweep, and the two launches over them."""

    def __init__(self, rings: int, columns: int) -> None:
        both = (rings, columns)
        host = {
            "range_steps": np.zeros(both, np.uint16), "bright": np.zeros(both, np.uint8),
            "height": np.zeros(both, np.float32), "ground": np.zeros(both, np.uint8),
            "obstacle": np.zeros(both, np.uint8), "edge": np.zeros(both, np.uint8),
        }  # fmt: skip
        arrays = {name: wp.array(value, device="cpu", copy=False) for name, value in host.items()}
        for name, shape, dtype in (
            ("ring", rings, wp.vec2), ("column", columns, wp.vec2), ("pose", 1, wp.mat44),
            ("xyz", both, wp.vec3), ("kerb", both, wp.vec2),
        ):  # fmt: skip
            arrays[name] = wp.zeros(shape, dtype=dtype, device="cpu")
        self._arrays = kernels.filled(kernels.SweepArrays, arrays)
        self.host = {name: array.numpy() for name, array in arrays.items()}
        self._launches = [
            wp.launch(kernel, dim=dim, inputs=[self._arrays], device="cpu", record_cmd=True)
            for kernel, dim in ((kernels.walk_columns, columns), (kernels.find_edges, both))
        ]

    def __call__(self, sweep: LidarSweep) -> Scan:
        host = self.host
        host["range_steps"][:], host["bright"][:] = sweep.range_steps, sweep.intensity
        host["pose"][0] = sweep.ego_from_lidar
        for name, angle, unit in (("ring", sweep.elevation_rad, LIDAR_STEP_M), ("column", sweep.azimuth_rad, 1.0)):
            host[name][:, 0], host[name][:, 1] = unit * np.cos(angle), unit * np.sin(angle)
        for launch in self._launches:
            launch.launch()
        edge = host["edge"].reshape(-1)
        kerb = host["kerb"].reshape(-1, 2)[np.flatnonzero(edge & 1)]
        marking = host["xyz"].reshape(-1, 3)[np.flatnonzero(edge & 2), :2]
        ground, obstacle = host["ground"].astype(bool), host["obstacle"].astype(bool)
        return Scan(host["xyz"].copy(), host["height"].copy(), ground, obstacle, kerb, marking)


_rig = lru_cache(maxsize=4)(_Rig)


def scan(sweep: LidarSweep) -> Scan:
    """The sweep as points, with ground, obstacles and edges found."""
    if sweep.range_steps.size == 0:
        flat = np.zeros(sweep.range_steps.shape, np.float32)
        none = np.zeros((0, 2), np.float32)
        return Scan(np.zeros((*flat.shape, 3), np.float32), flat, flat > 0.0, flat > 0.0, none, none)
    return _rig(*sweep.range_steps.shape)(sweep)


def edges(seen: Scan) -> EdgePoints:
    """Kerbs and lane markings of a scan, for the localizer."""
    return EdgePoints(seen.kerb_xy_m.astype(np.float64), seen.marking_xy_m.astype(np.float64))


def moved(xyz_m: F32, age_s: float, speed_mps: float, yaw_rate_radps: float) -> F32:
    """Points (P, 3) of the ego frame of `age_s` seconds ago in the ego frame of now."""
    now_from_then = transform(-speed_mps * age_s, 0.0, 0.0, -yaw_rate_radps * age_s).astype(np.float32)
    return xyz_m @ now_from_then[:3, :3].T + now_from_then[:3, 3]


class Turn:
    """Remembers the last tick's obstacle points, so that what straddles the seam of two half turns is seen whole."""

    def __init__(self) -> None:
        self._xyz = np.zeros((0, 3), np.float32)
        self._height = np.zeros(0, np.float32)
        self._time_s = 0.0

    def __call__(self, seen: Scan, time_s: float, speed_mps: float, yaw_rate_radps: float) -> Clusters:
        """Obstacles of this and the last tick in the ego frame of `time_s`."""
        chosen = np.flatnonzero(seen.obstacle)
        xyz, height = seen.xyz_m.reshape(-1, 3)[chosen], seen.height_m.reshape(-1)[chosen]
        old = moved(self._xyz, time_s - self._time_s, speed_mps, yaw_rate_radps)
        fresh = np.arange(len(xyz) + len(old)) < len(xyz)
        stamp = np.where(fresh, time_s, self._time_s)
        out = cluster(np.concatenate([xyz, old]), np.concatenate([height, self._height]), stamp, fresh)
        self._xyz, self._height, self._time_s = xyz, height, time_s
        return out


class _Groups:
    """The arrays of the clustering kernels for so many points, host views of them, and the two launches over them."""

    def __init__(self, capacity: int) -> None:
        arrays = {"grid": wp.zeros(kernels.SECTORS * kernels.DEPTHS, dtype=wp.int32, device="cpu")}
        for name, dtype in (("xyz", wp.vec3), ("low", wp.vec2), ("high", wp.vec2), ("bounds", wp.vec4)):
            arrays[name] = wp.zeros(capacity, dtype=dtype, device="cpu")
        for name in ("parent", "size", "place", "order", "start", "count", "angle"):
            arrays[name] = wp.zeros(capacity, dtype=wp.int32, device="cpu")
        turn = np.stack([np.cos(FIT_ANGLES_RAD), np.sin(FIT_ANGLES_RAD)], axis=-1).astype(np.float32)
        arrays["turn"] = wp.array(turn, dtype=wp.vec2, device="cpu")
        arrays["number"] = wp.zeros(1, dtype=wp.int32, device="cpu")
        self._arrays = kernels.filled(kernels.ClusterArrays, arrays)
        self.host = {name: array.numpy() for name, array in arrays.items()}
        self._connect, self._fit = (
            wp.launch(kernel, dim=1, inputs=[self._arrays, *rest], device="cpu", record_cmd=True)
            for kernel, rest in ((kernels.connect, [0]), (kernels.fit, []))
        )

    def connect(self, points: int) -> None:
        self._connect.set_param_at_index(1, points)
        self._connect.launch()

    def fit(self, groups: int) -> None:
        self._fit.set_dim(groups)
        self._fit.launch()


_groups = lru_cache(maxsize=8)(_Groups)


def _capacity(points: int) -> int:
    return max(4096, 1 << points.bit_length())


def cluster(xyz_m: F32, height_m: F32, time_s: F64, fresh: BOOL) -> Clusters:
    """Connected groups of at least 3 points and no longer than 16 m, with their boxes."""
    groups = _groups(_capacity(len(xyz_m)))
    host = groups.host
    host["xyz"][: len(xyz_m)] = xyz_m
    groups.connect(len(xyz_m))
    k = int(host["number"][0])
    start, count = host["start"][:k].astype(np.int64), host["count"][:k].astype(np.int64)
    if k == 0:
        empty = np.zeros(0)
        return Clusters(np.zeros((0, 3), np.float32), start, count, empty, empty, empty, empty, np.zeros((0, 4)))
    groups.fit(k)
    order = host["order"][: int(count.sum())]
    return Clusters(
        xyz_m[order], start, count, np.add.reduceat(time_s[order], start) / count,
        np.add.reduceat(fresh[order].astype(np.float64), start) / count,
        np.maximum.reduceat(height_m[order], start).astype(np.float64), FIT_ANGLES_RAD[host["angle"][:k]],
        host["bounds"][:k].astype(np.float64),
    )  # fmt: skip


def fit_boxes(xy_m: F32, start: NDArray[np.int64], count: NDArray[np.int64]) -> tuple[F64, F64]:
    """L-shape fits of groups of points: yaw (K,) in [0, pi/2), and bounds (K, 4) in axes turned by it."""
    groups, k = _groups(_capacity(len(xy_m))), len(start)
    host = groups.host
    host["xyz"][: len(xy_m), :2], host["order"][: len(xy_m)] = xy_m, np.arange(len(xy_m))
    host["start"][:k], host["count"][:k] = start, count
    groups.fit(k)
    return FIT_ANGLES_RAD[host["angle"][:k]], host["bounds"][:k].astype(np.float64)


def bounds_along(xy_m: F32, start: NDArray[np.int64], count: NDArray[np.int64], yaw_rad: F64) -> F64:
    """(K, 4) bounds of each cluster in axes turned by its own `yaw_rad`: u from, to, v from, to."""
    cos, sin = np.repeat(np.cos(yaw_rad), count), np.repeat(np.sin(yaw_rad), count)
    u = xy_m[:, 0] * cos + xy_m[:, 1] * sin
    v = xy_m[:, 1] * cos - xy_m[:, 0] * sin
    reduce = (np.minimum.reduceat, np.maximum.reduceat)
    return np.stack([f(w, start) for w in (u, v) for f in reduce], axis=-1)
