"""Half a turn of the LiDAR: ground, kerbs, markings, obstacles. All in the ego frame of the tick's instant.

A sweep is a snapshot: the driver of the sensor has removed the motion between its columns (see SensorFrame).

Ground: walking outward along every column from under the car, a return is ground when it lies no higher above the last
ground than a kerb or the slope of a road allows (after Himmelsbach et al. 2010, "Fast segmentation of 3D point clouds
for ground vehicles"). Kerbs and markings: along a ring the height steps by a kerb, or the intensity has a narrow peak.
Obstacles: connected cells of an azimuth-range grid; boxes by the closeness criterion of Zhang, Xu, Dong & Dolan 2017,
"Efficient L-shape fitting for vehicle detection using laser scanners".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from perception.mapmatch import EdgePoints
from stack.frames import F64, transform
from stack.messages import LIDAR_STEP_M, LidarSweep

F32 = NDArray[np.float32]
BOOL = NDArray[np.bool_]

EGO_BOX_M = (-1.3, 4.3, -1.2, 1.2)  # returns from the own body: x from, to, y from, to
KERB_M = (0.07, 0.25)  # a step along a ring
FLAT_M = 0.03  # on either side of the step
EDGE_RANGE_M = 25.0
MARKING_CONTRAST = 25.0  # intensity above the road three columns to either side
OBSTACLE_M = (0.3, 2.5)  # height above ground
OBSTACLE_RANGE_M = 60.0
CELL_RAD = np.deg2rad(1.5)  # two columns: one dropped return does not split an object
CELL_M, CELL_GROWTH = 0.35, 0.02  # depth of a cell: 0.35 m + 2 % of the range
CLUSTER_POINTS = 3
CLUSTER_EXTENT_M = 16.0  # anything longer is a wall
FIT_ANGLES_RAD = np.deg2rad(np.arange(0.0, 90.0, 3.0))
FIT_POINTS = 32  # of a cluster, evenly chosen: the angle needs no more


@dataclass(frozen=True)
class Scan:
    """One tick's columns in the ego frame; (R, C), top ring first."""

    xyz_m: F32  # (R, C, 3)
    hit: BOOL
    height_m: F32  # above the last ground in the same column
    ground: BOOL
    intensity: F32


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


def scan(sweep: LidarSweep) -> Scan:
    """The sweep as points, with the ground found."""
    distance = sweep.range_steps.astype(np.float32) * np.float32(LIDAR_STEP_M)
    ce, se = np.cos(sweep.elevation_rad)[:, None], np.sin(sweep.elevation_rad)[:, None]
    rotation = sweep.ego_from_lidar.astype(np.float32)
    flat = distance * ce
    local = np.stack([flat * np.cos(sweep.azimuth_rad), flat * np.sin(sweep.azimuth_rad), distance * se], axis=-1)
    xyz = local @ rotation[:3, :3].T + rotation[:3, 3]
    x0, x1, y0, y1 = EGO_BOX_M
    own = (xyz[..., 0] > x0) & (xyz[..., 0] < x1) & (xyz[..., 1] > y0) & (xyz[..., 1] < y1)
    hit = (sweep.range_steps > 0) & ~own
    height, ground = _ground(xyz, hit)
    return Scan(xyz, hit, height, ground, sweep.intensity.astype(np.float32))


def moved(xyz_m: F32, age_s: float, speed_mps: float, yaw_rate_radps: float) -> F32:
    """Points (P, 3) of the ego frame of `age_s` seconds ago in the ego frame of now."""
    now_from_then = transform(-speed_mps * age_s, 0.0, 0.0, -yaw_rate_radps * age_s).astype(np.float32)
    return xyz_m @ now_from_then[:3, :3].T + now_from_then[:3, 3]


def _ground(xyz: F32, hit: BOOL) -> tuple[F32, BOOL]:
    """Height above the last ground inside each return, and which returns are ground; (R, C) each."""
    rings, columns = hit.shape
    z, r = xyz[..., 2], np.hypot(xyz[..., 0], xyz[..., 1])
    height, ground = np.zeros((rings, columns), np.float32), np.zeros((rings, columns), bool)
    last_z, last_r = np.zeros(columns, np.float32), np.zeros(columns, np.float32)
    for ring in range(rings - 1, -1, -1):
        rise, run = np.subtract(z[ring], last_z, out=height[ring]), r[ring] - last_r
        flat = hit[ring] & (np.abs(rise) < np.minimum(0.5 * run + 0.03, 0.03 * run + 0.18))
        ground[ring] = flat
        np.copyto(last_z, z[ring], where=flat)
        np.copyto(last_r, r[ring], where=flat)
    return height, ground


def edges(seen: Scan) -> EdgePoints:
    """Kerbs and lane markings: points where a ring steps up or down by a kerb, or crosses a bright narrow line."""
    none = np.zeros((0, 2))
    if seen.hit.shape[1] < 9:
        return EdgePoints(none, none)
    xy, z = seen.xyz_m[..., :2], seen.xyz_m[..., 2]
    near = seen.ground & ((xy**2).sum(-1) < EDGE_RANGE_M**2)
    # columns a b . . . c d: flat from a to b, a step from b to c, flat from c to d
    rise = np.abs(np.diff(z, axis=1))
    flat = near[:, 1:] & near[:, :-1] & (rise < FLAT_M)  # from a column to the next
    step = np.abs(z[:, 5:-1] - z[:, 1:-5])
    ring, column = np.nonzero((step > KERB_M[0]) & (step < KERB_M[1]) & flat[:, :-5] & flat[:, 5:])
    # a beam that meets the kerb's face meets the edge itself: the steepest pair of columns holds it
    column = column + 1 + rise[ring[:, None], column[:, None] + np.arange(1, 5)].argmax(axis=1)
    kerb_xy = 0.5 * (xy[ring, column] + xy[ring, column + 1])
    i = seen.intensity
    peak = np.minimum(i[:, 3:-3] - i[:, :-6], i[:, 3:-3] - i[:, 6:]) > MARKING_CONTRAST
    level = (np.abs(z[:, 3:-3] - z[:, :-6]) < FLAT_M) & (np.abs(z[:, 3:-3] - z[:, 6:]) < FLAT_M)
    marking = peak & level & near[:, 3:-3] & near[:, :-6] & near[:, 6:]
    return EdgePoints(kerb_xy.astype(np.float64), xy[:, 3:-3][marking].astype(np.float64))


class Turn:
    """Remembers the last tick's obstacle points, so that what straddles the seam of two half turns is seen whole."""

    def __init__(self) -> None:
        self._xyz = np.zeros((0, 3), np.float32)
        self._height = np.zeros(0, np.float32)
        self._time_s = 0.0

    def __call__(self, seen: Scan, time_s: float, speed_mps: float, yaw_rate_radps: float) -> Clusters:
        """Obstacles of this and the last tick in the ego frame of `time_s`."""
        low, high = OBSTACLE_M
        near = (seen.xyz_m[..., :2] ** 2).sum(-1) < OBSTACLE_RANGE_M**2
        chosen = seen.hit & ~seen.ground & (seen.height_m > low) & (seen.height_m < high) & near
        xyz, height = seen.xyz_m[chosen], seen.height_m[chosen]
        old = moved(self._xyz, time_s - self._time_s, speed_mps, yaw_rate_radps)
        fresh = np.arange(len(xyz) + len(old)) < len(xyz)
        stamp = np.where(fresh, time_s, self._time_s)
        out = cluster(np.concatenate([xyz, old]), np.concatenate([height, self._height]), stamp, fresh)
        self._xyz, self._height, self._time_s = xyz, height, time_s
        return out


def cluster(xyz_m: F32, height_m: F32, time_s: F64, fresh: BOOL) -> Clusters:
    """Connected groups of at least CLUSTER_POINTS points and no longer than CLUSTER_EXTENT_M, with their boxes."""
    label = _connected(xyz_m)
    order = np.argsort(label, kind="stable")
    size = np.bincount(label)
    good = size >= CLUSTER_POINTS
    if len(order):
        first, xy = np.cumsum(size) - size, xyz_m[order, :2]
        extent = np.maximum.reduceat(xy, first) - np.minimum.reduceat(xy, first)
        good &= np.hypot(extent[:, 0], extent[:, 1]) < CLUSTER_EXTENT_M
    order = order[good[label[order]]]
    count = size[good].astype(np.int64)
    start = np.cumsum(count) - count
    points = xyz_m[order]
    if len(start) == 0:
        empty = np.zeros(0)
        return Clusters(points, start, count, empty, empty, empty, empty, np.zeros((0, 4)))
    yaw, bounds = fit_boxes(points[:, :2], start, count)
    return Clusters(
        points, start, count, np.add.reduceat(time_s[order], start) / count,
        np.add.reduceat(fresh[order].astype(np.float64), start) / count,
        np.maximum.reduceat(height_m[order], start).astype(np.float64), yaw, bounds,
    )  # fmt: skip


def _connected(xyz_m: F32) -> NDArray[np.int32]:
    """(P,) label of the group of touching grid cells that each point lies in."""
    if len(xyz_m) == 0:
        return np.zeros(0, np.int32)
    sectors = int(np.ceil(2.0 * np.pi / CELL_RAD))
    sector = ((np.arctan2(xyz_m[:, 1], xyz_m[:, 0]) + np.pi) / CELL_RAD).astype(np.int64) % sectors
    depth = (np.log1p(np.hypot(xyz_m[:, 0], xyz_m[:, 1]) * (CELL_GROWTH / CELL_M)) / CELL_GROWTH).astype(np.int64)
    rows = 1024
    cell, inverse = np.unique(sector * rows + depth + 1, return_inverse=True)
    pairs = []
    for d_sector, d_depth in ((0, 1), (1, -1), (1, 0), (1, 1)):
        other = (cell // rows + d_sector) % sectors * rows + cell % rows + d_depth
        at = np.minimum(np.searchsorted(cell, other), len(cell) - 1)
        found = np.flatnonzero(cell[at] == other)
        pairs.append(np.stack([found, at[found]]))
    i, j = np.concatenate(pairs, axis=1)
    graph = coo_array((np.ones(len(i), np.int8), (i, j)), shape=(len(cell), len(cell)))
    _, label = connected_components(graph, directed=False)
    return label[inverse.reshape(-1)]


def fit_boxes(xy_m: F32, start: NDArray[np.int64], count: NDArray[np.int64]) -> tuple[F64, F64]:
    """L-shape fits: yaw (K,) in [0, pi/2), and bounds (K, 4) in axes turned by it.

    The angle is the one at which the points lie closest to the sides of their bounding box: most sum 1 / max(d, d0).
    """
    cos, sin = np.cos(FIT_ANGLES_RAD).astype(np.float32), np.sin(FIT_ANGLES_RAD).astype(np.float32)
    # FIT_POINTS rows for every cluster; small ones repeat theirs, which leaves the best angle as it is
    chosen = start[:, None] + np.arange(FIT_POINTS) * count[:, None] // FIT_POINTS  # (K, F)
    x, y = xy_m[chosen, :1], xy_m[chosen, 1:]
    near = np.full((len(start), FIT_POINTS, len(cos)), np.inf, np.float32)  # (K, F, A)
    for w in (x * cos + y * sin, y * cos - x * sin):
        low, high = w.min(axis=1, keepdims=True), w.max(axis=1, keepdims=True)
        np.minimum(near, np.minimum(w - low, high - w), out=near)
    best = np.argmax((1.0 / np.maximum(near, np.float32(0.05))).sum(axis=1), axis=1)
    return FIT_ANGLES_RAD[best], bounds_along(xy_m, start, count, FIT_ANGLES_RAD[best])


def bounds_along(xy_m: F32, start: NDArray[np.int64], count: NDArray[np.int64], yaw_rad: F64) -> F64:
    """(K, 4) bounds of each cluster in axes turned by its own `yaw_rad`: u from, to, v from, to."""
    angle = np.repeat(yaw_rad, count)
    u = xy_m[:, 0] * np.cos(angle) + xy_m[:, 1] * np.sin(angle)
    v = xy_m[:, 1] * np.cos(angle) - xy_m[:, 0] * np.sin(angle)
    reduce = (np.minimum.reduceat, np.maximum.reduceat)
    return np.stack([f(w, start) for w in (u, v) for f in reduce], axis=-1)
