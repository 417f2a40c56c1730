"""The map as arrays: drivable lanes, links, conflicts, lights, stop lines, crosswalks, parking; on the host and as a Warp struct.

A lane is one drivable lane of one lane section, as a centre line in driving direction whose points are evenly spaced
(about POINT_STEP_M), so that the point at distance s is at index s / lane_step_m. `stack/opendrive` builds the graph.
CSR: items of lane i are `xs[x_start[i] : x_start[i] + x_count[i]]`. Indices are -1 for "none".
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
import warp as wp
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from stack.frames import F64
from stack.messages import F32, I32, U8

POINT_STEP_M = 1.0
FAST_MPS = 25.0  # on a road with a higher limit drivers look for their lane a kilometre ahead
STOREY_M = 3.0  # lanes so far above or below a point belong to another storey
MEDIAN_M = 0.5  # what is wider between the lanes of the two directions cannot be driven over
YELLOW_S = 3.0  # CARLA's default; a signal shows green, then yellow for this long, then red


@dataclass(frozen=True)
class LaneGraph:
    """All arrays of a map; world frame, m, rad."""

    name: str
    # lanes (N,)
    lane_key: tuple[tuple[str, int, int], ...]  # (road id, lane section index, OpenDRIVE lane id)
    lane_start: I32  # into the points
    lane_count: I32
    lane_step_m: F32  # spacing of the lane's points
    lane_length_m: F32
    lane_limit_mps: F32
    lane_left: I32  # neighbour of the same direction on the left, else -1
    lane_right: I32
    lane_change_left: U8  # 1 where the marking allows it
    lane_change_right: U8
    lane_junction: I32  # junction index, -1 outside
    lane_turn: I32  # 1 left, 0 straight on, -1 right; lanes outside junctions: 0
    lane_signal: I32  # signal that controls the ENTRY to this lane
    lane_sign: U8  # labels.Sign that controls the ENTRY to this lane
    lane_stop_s_m: (
        F32  # where a front bumper stops before a controlled entry or crosswalk at the end, or where a lane runs out
    )
    # links, CSR per lane
    succ_start: I32
    succ_count: I32
    succ: I32
    pred_start: I32
    pred_count: I32
    pred: I32
    # conflicts of junction lanes, CSR per lane: stretches in which vehicles on the two lanes would touch
    conflict_start: I32
    conflict_count: I32
    conflict_lane: I32
    conflict_from_m: F32  # on the own lane
    conflict_to_m: F32
    conflict_other_from_m: F32  # on the other lane
    conflict_other_to_m: F32
    conflict_rank: (
        I32  # 1: the other must give way; -1: this lane must give way; 0: settled by lights, or merge by order
    )
    # points (P,)
    x_m: F32
    y_m: F32
    z_m: F32
    yaw_rad: F32
    pitch_rad: F32
    curvature_1pm: F32
    width_m: F32
    # signals (S,): one for each controlled movement group; all heads of a signal show the same
    signal_id: tuple[str, ...]  # OpenDRIVE signal ids, comma-joined
    signal_junction: I32
    signal_cycle_s: F32  # red from the end of yellow to the end of the cycle
    signal_green_from_s: F32
    signal_green_s: F32
    # heads (H,): lamps that can be seen
    head_signal: I32
    head_xyz_m: F64  # (H, 3) centre of the lamp housing
    head_yaw_rad: F64  # direction the lamp faces
    # stop signs and yield signs (K,)
    sign_kind: U8
    sign_xyz_m: F64  # (K, 3)
    sign_yaw_rad: F64
    # crosswalks (C,): quadrilaterals, and where they cross lanes
    crosswalk_xyz_m: F64  # (C, 4, 3): along one kerb, then back along the other
    crosswalk_lane: I32  # (X,) pairs lane / crosswalk
    crosswalk_index: I32  # (X,)
    crosswalk_from_m: F32  # (X,) stretch on the lane
    crosswalk_to_m: F32
    # sidewalks (W,): centre lines for walkers, CSR of points
    walk_start: I32
    walk_count: I32
    walk_xyz_m: F64  # (Q, 3)
    # places for parked cars (K,), beside the lanes
    park_xyz_m: F64  # (K, 3) middle of a place, on the ground
    park_yaw_rad: F64  # (K,) a parked car looks this way

    @property
    def lanes(self) -> int:
        return len(self.lane_start)

    @property
    def signals(self) -> int:
        return len(self.signal_id)

    @property
    def junctions(self) -> int:
        return int(self.lane_junction.max(initial=-1)) + 1

    @cached_property
    def yaw_cos(self) -> F32:
        return np.cos(self.yaw_rad)

    @cached_property
    def yaw_sin(self) -> F32:
        return np.sin(self.yaw_rad)

    @cached_property
    def lane_bend_1pm(self) -> F32:
        """(N,) the sharpest curvature, left or right, of each lane's points."""
        bends = np.abs(self.curvature_1pm)
        ends = self.lane_start + self.lane_count
        return np.array([bends[a:b].max(initial=0.0) for a, b in zip(self.lane_start, ends, strict=True)], np.float32)

    @cached_property
    def succ_way(self) -> I32:
        """For each entry of `succ` the way that it leads: a number for the road and direction behind the next junction.

        On fast roads that is the next junction however many sections away, and -2 where the lane ends before it and its
        neighbour goes on; in towns, where lanes begin shortly before a junction, each section is a choice of its own.
        """
        fast = {key[0] for key, limit in zip(self.lane_key, self.lane_limit_mps, strict=True) if limit > FAST_MPS}
        number: dict[tuple[str, bool], int] = {}
        ways = np.empty(len(self.succ), np.int32)
        for k, lane in enumerate(self.succ):
            seen: set[int] = set()
            inside = False
            while int(lane) not in seen and self.succ_count[lane]:
                seen.add(int(lane))
                inside |= bool(self.lane_junction[lane] >= 0)
                if self.lane_junction[lane] < 0 and (inside or self.lane_key[lane][0] not in fast):
                    break
                lane = self.succ[self.succ_start[lane]]
            road, _, side = self.lane_key[lane]
            beside = [b for b in (self.lane_left[lane], self.lane_right[lane]) if b >= 0 and self.succ_count[b]]
            ended = not inside and not self.succ_count[lane] and beside and road in fast
            ways[k] = -2 if ended else number.setdefault((road, side > 0), len(number))
        return ways

    @cached_property
    def lane_across(self) -> I32:
        """(N,) for each leftmost lane outside junctions the oncoming lane right beside it, with no median between; else -1."""
        alike: dict[tuple[str, int, int], list[int]] = {}
        for lane, key in enumerate(self.lane_key):
            alike.setdefault(key, []).append(lane)  # several in a graph of several maps
        out = np.full(self.lanes, -1, np.int32)
        for lane, (road, section, number) in enumerate(self.lane_key):
            others = alike.get((road, section, -1 if number > 0 else 1), [])
            if abs(number) != 1 or self.lane_left[lane] >= 0 or self.lane_junction[lane] >= 0 or not others:
                continue
            other = min(others, key=lambda k: abs(k - lane))
            middle = self.lane_start[lane] + self.lane_count[lane] // 2
            line = self.points(other)
            nearest = int(np.hypot(line[:, 0] - self.x_m[middle], line[:, 1] - self.y_m[middle]).argmin())
            apart = np.hypot(line[nearest, 0] - self.x_m[middle], line[nearest, 1] - self.y_m[middle])
            beside = 0.5 * (self.width_m[middle] + self.width_m[self.lane_start[other] + nearest])
            if apart < beside + MEDIAN_M:
                out[lane] = other
        return out

    def points(self, lane: int) -> NDArray[np.float32]:
        """(n, 3) centre line of a lane."""
        rows = slice(self.lane_start[lane], self.lane_start[lane] + self.lane_count[lane])
        return np.stack([self.x_m[rows], self.y_m[rows], self.z_m[rows]], axis=-1)

    def successors(self, lane: int) -> I32:
        return self.succ[self.succ_start[lane] : self.succ_start[lane] + self.succ_count[lane]]

    def predecessors(self, lane: int) -> I32:
        return self.pred[self.pred_start[lane] : self.pred_start[lane] + self.pred_count[lane]]

    @cached_property
    def _tree(self) -> tuple[Any, I32]:
        owner = np.repeat(np.arange(self.lanes, dtype=np.int32), self.lane_count)
        return cKDTree(np.stack([self.x_m, self.y_m], axis=-1)), owner

    @cached_property
    def _polylines(self) -> dict[tuple[int, ...], tuple[F64, F64, F64]]:
        return {}

    def polyline(self, way: tuple[int, ...]) -> tuple[F64, F64, F64]:
        """Successive lanes as one line: (n,) distances, (n, 2) points, (n,) yaws without jumps; made once."""
        if way not in self._polylines:
            rows = np.concatenate([np.arange(self.lane_count[k]) + self.lane_start[k] for k in way])
            first = np.cumsum([0.0, *self.lane_length_m[list(way[:-1])]])
            s = [f + np.arange(self.lane_count[k]) * self.lane_step_m[k] for f, k in zip(first, way, strict=True)]
            xy = np.stack([self.x_m[rows], self.y_m[rows]], axis=-1).astype(np.float64)
            self._polylines[way] = np.concatenate(s), xy, np.unwrap(self.yaw_rad[rows]).astype(np.float64)
        return self._polylines[way]

    def nearest(
        self, x_m: float, y_m: float, yaw_rad: float | None = None, k: int = 24, z_m: float | None = None
    ) -> tuple[int, float, float]:
        """Lane, distance along it and lateral offset (left positive) in m nearest to a point.

        With a yaw, lanes that run more than 90 degrees away from it are passed over unless there is no other; with a
        height, so are lanes of another storey (of its k nearest points, one must be on the right one).
        """
        tree, owner = self._tree
        distance, index = tree.query((x_m, y_m), k=min(k, len(owner)))
        distance, index = np.atleast_1d(distance), np.atleast_1d(index)
        if yaw_rad is not None:
            distance = distance + np.where(np.cos(self.yaw_rad[index] - yaw_rad) > 0.0, 0.0, 1e3)
        if z_m is not None:
            distance = distance + np.where(np.abs(self.z_m[index] - z_m) < STOREY_M, 0.0, 1e4)
        point = int(index[np.argmin(distance)])
        lane = int(owner[point])
        dx, dy = x_m - float(self.x_m[point]), y_m - float(self.y_m[point])
        cos, sin = np.cos(self.yaw_rad[point]), np.sin(self.yaw_rad[point])
        s = (point - self.lane_start[lane]) * self.lane_step_m[lane] + dx * cos + dy * sin
        return lane, float(np.clip(s, 0.0, self.lane_length_m[lane])), float(dy * cos - dx * sin)

    def nearest_lanes(self, xy_m: F64, yaw_rad: F64, k: int = 8, z_m: F64 | None = None) -> tuple[I32, F64, F64, F64]:
        """Like `nearest` for (N, 2) points with (N,) yaws and, if given, heights: lane, distance along it, offset (left
        positive), heading error."""
        tree, owner = self._tree
        k = min(k, len(owner))
        distance, index = tree.query(xy_m, k=k)
        distance, index = distance.reshape(-1, k), index.reshape(-1, k)
        distance = distance + np.where(np.cos(self.yaw_rad[index] - yaw_rad[:, None]) > 0.0, 0.0, 1e3)
        if z_m is not None:
            distance = distance + np.where(np.abs(self.z_m[index] - z_m[:, None]) < STOREY_M, 0.0, 1e4)
        point = index[np.arange(len(index)), np.argmin(distance, axis=1)]
        lane = owner[point]
        dx, dy = xy_m[:, 0] - self.x_m[point], xy_m[:, 1] - self.y_m[point]
        cos, sin = np.cos(self.yaw_rad[point]), np.sin(self.yaw_rad[point])
        s = (point - self.lane_start[lane]) * self.lane_step_m[lane] + dx * cos + dy * sin
        heading = (yaw_rad - self.yaw_rad[point] + np.pi) % (2.0 * np.pi) - np.pi
        return lane, np.clip(s, 0.0, self.lane_length_m[lane]), dy * cos - dx * sin, heading

    def on_device(self, device: str) -> Any:
        """The arrays that kernels read, as a `LaneArrays` struct on `device`."""
        out = LaneArrays()
        for name in LaneArrays.vars:
            value = np.ascontiguousarray(getattr(self, name))
            if value.dtype == np.uint8:
                value = value.astype(np.int32)
            setattr(out, name, wp.array(value, device=device))
        return out


@wp.struct
class LaneArrays:
    """The lane graph for kernels; the names are LaneGraph's."""

    lane_start: wp.array(dtype=wp.int32)
    lane_count: wp.array(dtype=wp.int32)
    lane_step_m: wp.array(dtype=wp.float32)
    lane_length_m: wp.array(dtype=wp.float32)
    lane_limit_mps: wp.array(dtype=wp.float32)
    lane_bend_1pm: wp.array(dtype=wp.float32)
    lane_left: wp.array(dtype=wp.int32)
    lane_right: wp.array(dtype=wp.int32)
    lane_across: wp.array(dtype=wp.int32)
    lane_change_left: wp.array(dtype=wp.int32)
    lane_change_right: wp.array(dtype=wp.int32)
    lane_junction: wp.array(dtype=wp.int32)
    lane_turn: wp.array(dtype=wp.int32)
    lane_signal: wp.array(dtype=wp.int32)
    lane_sign: wp.array(dtype=wp.int32)
    lane_stop_s_m: wp.array(dtype=wp.float32)
    succ_start: wp.array(dtype=wp.int32)
    succ_count: wp.array(dtype=wp.int32)
    succ: wp.array(dtype=wp.int32)
    succ_way: wp.array(dtype=wp.int32)
    pred_start: wp.array(dtype=wp.int32)
    pred_count: wp.array(dtype=wp.int32)
    pred: wp.array(dtype=wp.int32)
    conflict_start: wp.array(dtype=wp.int32)
    conflict_count: wp.array(dtype=wp.int32)
    conflict_lane: wp.array(dtype=wp.int32)
    conflict_from_m: wp.array(dtype=wp.float32)
    conflict_to_m: wp.array(dtype=wp.float32)
    conflict_other_from_m: wp.array(dtype=wp.float32)
    conflict_other_to_m: wp.array(dtype=wp.float32)
    conflict_rank: wp.array(dtype=wp.int32)
    x_m: wp.array(dtype=wp.float32)
    y_m: wp.array(dtype=wp.float32)
    z_m: wp.array(dtype=wp.float32)
    yaw_rad: wp.array(dtype=wp.float32)
    yaw_cos: wp.array(dtype=wp.float32)
    yaw_sin: wp.array(dtype=wp.float32)
    pitch_rad: wp.array(dtype=wp.float32)
    curvature_1pm: wp.array(dtype=wp.float32)
    width_m: wp.array(dtype=wp.float32)
    signal_junction: wp.array(dtype=wp.int32)
    signal_cycle_s: wp.array(dtype=wp.float32)
    signal_green_from_s: wp.array(dtype=wp.float32)
    signal_green_s: wp.array(dtype=wp.float32)


@dataclass(frozen=True)
class Route:
    """Lanes from start to goal, each a successor or a same-direction neighbour of the one before."""

    lanes: I32  # (R,)
    start_s_m: float  # on the first lane
    goal_s_m: float  # on the last lane
    length_m: float


def concatenate(graphs: list[LaneGraph]) -> tuple[LaneGraph, NDArray[np.int32]]:
    """Several maps as one graph without links between them, and the first lane of each: worlds of a batch on many maps."""
    offsets = {
        "lane": [g.lanes for g in graphs],
        "point": [len(g.x_m) for g in graphs],
        "signal": [g.signals for g in graphs],
        "junction": [g.junctions for g in graphs],
        "crosswalk": [len(g.crosswalk_xyz_m) for g in graphs],
    }
    first = {key: np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int32) for key, sizes in offsets.items()}
    of_field = {
        "lane_start": "point", "lane_left": "lane", "lane_right": "lane", "succ": "lane", "pred": "lane",
        "conflict_lane": "lane", "crosswalk_lane": "lane", "lane_junction": "junction", "signal_junction": "junction",
        "lane_signal": "signal", "head_signal": "signal", "crosswalk_index": "crosswalk",
    }  # fmt: skip
    csr = {"succ_start": "succ", "pred_start": "pred", "conflict_start": "conflict_lane", "walk_start": "walk_xyz_m"}
    merged: dict[str, Any] = {"name": "+".join(g.name for g in graphs)}
    for field in fields(LaneGraph):
        name = field.name
        if name == "name":
            continue
        parts = [getattr(g, name) for g in graphs]
        if isinstance(parts[0], tuple):
            merged[name] = tuple(item for part in parts for item in part)
            continue
        if name in of_field:
            shift = first[of_field[name]]
            parts = [np.where(part < 0, -1, part + k).astype(part.dtype) for part, k in zip(parts, shift, strict=True)]
        elif name in csr:
            sizes = [len(getattr(g, csr[name])) for g in graphs]
            shift = np.concatenate([[0], np.cumsum(sizes)[:-1]])
            parts = [(part + k).astype(part.dtype) for part, k in zip(parts, shift, strict=True)]
        merged[name] = np.concatenate(parts)
    return LaneGraph(**merged), first["lane"]
