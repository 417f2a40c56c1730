"""Registration of seen kerbs and lane markings against the edges of the map's lanes.

Point-to-line Gauss-Newton with a robust weight (Geman-McClure): every seen point p of the ego frame is matched to the
nearest map point q with unit normal n, once, and the pose (x, y, yaw) is moved to reduce sum w(r) r^2,
r = n . (R p + t - q) (Chen & Medioni 1992, "Object modelling by registration of multiple range images"). The
information matrix sum w J J^T says what was measured: across a straight street one metre is worth a lot, along it
nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from stack.frames import F64
from stack.lanegraph import STOREY_M, LaneGraph

ITERATIONS = 2
POINTS_MAX = 120  # of each sort, evenly thinned
POINTS_MIN = 10
POINTS_WORTH = 30.0  # neighbours share their errors: more points than this add nothing
POINT_SIGMA_M = 0.10
ROBUST_M = 0.15
FLAT = np.diag([1e-4, 1e-4, 1e-1])  # information where the map says nothing: 100 m, 3 rad


@dataclass(frozen=True)
class EdgePoints:
    """What may lie on an edge of the map, in the ego frame."""

    kerb_xy_m: F64  # (N, 2)
    marking_xy_m: F64  # (M, 2)


@dataclass(frozen=True)
class Lines:
    """Points of polylines, about 1 m apart, with unit normals."""

    tree: Any  # cKDTree of xy_m
    xy_m: F64  # (N, 2)
    normal: F64  # (N, 2)
    along: F64  # (N,) of each point along its normal, from the map's origin
    z_m: F64  # (N,)


@dataclass(frozen=True)
class MapLines:
    """Edges of the map: where the carriageway ends, and where lines are painted."""

    kerb: Lines
    marking: Lines

    @staticmethod
    def of(graph: LaneGraph) -> MapLines:
        """Kerbs are lane edges that no lane lies beyond; markings all edges outside junctions and crosswalks."""
        lane = np.repeat(np.arange(graph.lanes), graph.lane_count)
        centre = np.stack([graph.x_m, graph.y_m], axis=-1).astype(np.float64)
        left = np.stack([-np.sin(graph.yaw_rad), np.cos(graph.yaw_rad)], axis=-1).astype(np.float64)
        tree = cKDTree(centre)
        painted = (graph.lane_junction[lane] < 0) & ~_on_crosswalk(graph, lane)
        half = 0.5 * graph.width_m.astype(np.float64)[:, None]
        parts = [(centre + side * half * left, side * left) for side in (1.0, -1.0)]
        edge = np.concatenate([p for p, _ in parts])
        normal = np.concatenate([n for _, n in parts])
        z = np.tile(graph.z_m.astype(np.float64), 2)
        outer = ~_covered(graph, tree, edge + 0.5 * normal, z)
        marked = np.tile(painted, 2)
        return MapLines(*(_lines(edge[rows], normal[rows], z[rows]) for rows in (outer, marked)))


def _lines(xy_m: F64, normal: F64, z_m: F64) -> Lines:
    if len(xy_m) == 0:  # a map without such edges: a point that is never near
        xy_m, normal, z_m = np.full((1, 2), 1e9), np.array([[1.0, 0.0]]), np.zeros(1)
    return Lines(cKDTree(xy_m), xy_m, normal, (xy_m * normal).sum(axis=-1), z_m)


def _on_crosswalk(graph: LaneGraph, lane: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(P,) whether a lane point lies on a crosswalk: its stripes are no lane edges."""
    s = (np.arange(len(lane)) - graph.lane_start[lane]) * graph.lane_step_m[lane]
    inside = np.zeros(len(lane), dtype=bool)
    for i, start, end in zip(graph.crosswalk_lane, graph.crosswalk_from_m, graph.crosswalk_to_m, strict=True):
        inside |= (lane == i) & (s > start - 1.0) & (s < end + 1.0)
    return inside


def _covered(graph: LaneGraph, tree: Any, xy_m: F64, z_m: F64) -> NDArray[np.bool_]:
    """(N,) whether a point lies on some lane of its storey."""
    _, index = tree.query(xy_m, k=min(12, len(graph.x_m)))
    offset = xy_m[:, None] - np.stack([graph.x_m, graph.y_m], axis=-1)[index]
    cos, sin = np.cos(graph.yaw_rad[index]), np.sin(graph.yaw_rad[index])
    along = offset[..., 0] * cos + offset[..., 1] * sin
    across = offset[..., 1] * cos - offset[..., 0] * sin
    level = np.abs(graph.z_m[index] - z_m[:, None]) < STOREY_M
    return (level & (np.abs(along) < 0.8) & (np.abs(across) < 0.5 * graph.width_m[index])).any(axis=1)


def register(points: EdgePoints, lines: MapLines, pose: F64, z_m: float, gate_m: float) -> tuple[F64, F64] | None:
    """Correction (3,) of pose (x, y, yaw) and its covariance (3, 3); None where too few points find a partner.

    Points farther than `gate_m` from their line do not count, nor lines of another storey than the road's at height
    `z_m`.
    """
    pairs = [
        (_thin(xy), line)
        for xy, line in ((points.kerb_xy_m, lines.kerb), (points.marking_xy_m, lines.marking))
        if len(xy)
    ]
    if sum(len(xy) for xy, _ in pairs) < POINTS_MIN:
        return None
    xy, on_line, normal = _partners(pairs, pose, z_m, gate_m + 0.5)
    delta, information = np.zeros(3), FLAT
    for _ in range(ITERATIONS):
        x, y, yaw = (pose + delta).tolist()
        cos, sin = math.cos(yaw), math.sin(yaw)
        arm_x, arm_y = xy[:, 0] * cos - xy[:, 1] * sin, xy[:, 0] * sin + xy[:, 1] * cos
        j = np.column_stack([normal, normal[:, 1] * arm_x - normal[:, 0] * arm_y])
        residual = normal[:, 0] * (arm_x + x) + normal[:, 1] * (arm_y + y) - on_line
        near = np.abs(residual) < gate_m
        if np.count_nonzero(near) < POINTS_MIN:
            return None
        weight = near * (ROBUST_M**2 / (ROBUST_M**2 + residual * residual)) ** 2
        weight *= min(1.0, POINTS_WORTH / float(weight.sum() + 1e-9)) / POINT_SIGMA_M**2
        weighted = (j * weight[:, None]).T
        information = weighted @ j + FLAT
        # the prior must not be counted here: delta is what the points alone say, from where the filter stands
        delta = delta - np.linalg.solve(information, weighted @ residual)
    return delta, np.linalg.inv(information)


def _partners(pairs: list[tuple[F64, Lines]], pose: F64, z_m: float, reach_m: float) -> tuple[F64, F64, F64]:
    """Points (N, 2) of the ego frame near a map point; n . q (N,) and n (N, 2) of these map points."""
    x, y, yaw = pose.tolist()
    cos, sin = math.cos(yaw), math.sin(yaw)
    parts = []
    for xy, line in pairs:
        seen = xy @ np.array([[cos, sin], [-sin, cos]]) + np.array([x, y])
        distance, index = line.tree.query(seen, distance_upper_bound=reach_m)
        near = np.flatnonzero(distance < reach_m)
        near = near[np.abs(line.z_m[index[near]] - z_m) < STOREY_M]
        index = index[near]
        parts.append((xy[near], line.along[index], line.normal[index]))
    return tuple(np.concatenate(part) for part in zip(*parts, strict=True))  # type: ignore[return-value]


def _thin(xy_m: F64) -> F64:
    return xy_m[:: 1 + (len(xy_m) - 1) // POINTS_MAX]
