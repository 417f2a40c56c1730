"""The Reference: path along route and manoeuvre with a speed for each point, for many worlds in one go.

Three launches: progress and path of each world; each road user in path coordinates; rules and speeds of each world. The
speed at a point is the least of limit, bend, leader and stop, the latter two approached at comfortable braking b:
v(u)^2 = v_end^2 + 2 b (distance left). Following is a constant time gap: the leader's speed is reached where the gap is
GAP_M + HEADWAY_S v. The same kernels run online, with a batch of one, and in reinforcement learning.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import warp as wp
from numpy.typing import NDArray

from planning.behavior import (
    BRAKE_MPS2,
    CRUISE,
    EMERGENCY,
    FAR_M,
    FOLLOW,
    GIVE_WAY,
    HEADWAY_S,
    MANEUVERS,
    PASS,
    STOP_GOAL,
    Verdict,
    obey_entries,
    pass_blocked,
    stop_at,
    watch_front,
)
from planning.path import (
    LAST_LANE,
    LEVEL_M,
    PASS_BACK_M,
    POINTS,
    ROWS,
    SLOPE,
    STEP_M,
    Lines,
    Scratch,
    Shape,
    allocate_scratch,
    change_lane,
    follow,
    lines_of,
    measure,
    to_path,
)
from planning.points import lay_points
from stack.lanegraph import LaneArrays, LaneGraph
from stack.messages import Reference
from stack.scenearrays import (
    REFERENCE_POINTS,
    REFERENCE_STEP_M,
    TRACKS,
    ReferenceArrays,
    RouteArrays,
    SceneArrays,
    view,
)

wp.set_module_options({"enable_backward": False, "max_unroll": 1})

BEND_MPS2 = wp.constant(2.0)  # lateral acceleration in bends
COARSE = wp.constant(8)  # points skipped in the first look for the nearest
HARD_MPS2 = wp.constant(4.5)  # a stop that needs more than this is an emergency


@wp.func
def start_verdict(scene: SceneArrays, ref: ReferenceArrays, verdict: Verdict, w: int) -> None:
    verdict.stop_m[w] = FAR_M
    verdict.why[w] = CRUISE
    verdict.leader[w] = -1
    verdict.gap_m[w] = FAR_M
    verdict.leader_mps[w] = 0.0
    verdict.slow_m[w] = FAR_M
    verdict.slow_mps[w] = FAR_M
    verdict.junction_m[w] = FAR_M
    verdict.dt_s[w] = wp.clamp(scene.time_s[w] - ref.last_time_s[w], 0.0, 1.0)
    ref.last_time_s[w] = scene.time_s[w]


@wp.func
def write_speeds(ref: ReferenceArrays, verdict: Verdict, w: int, room: float) -> None:
    """Target speed at each point, from the last to the first."""
    follow_m = verdict.gap_m[w] - room - HEADWAY_S * verdict.leader_mps[w]
    ahead = float(FAR_M)
    for n in range(POINTS):
        p = POINTS - 1 - n
        u = float(p) * STEP_M
        v = wp.min(ref.limit_mps[w, p], wp.sqrt(BEND_MPS2 / wp.max(wp.abs(ref.curvature_1pm[w, p]), 1.0e-4)))
        if verdict.stop_m[w] < FAR_M:
            v = wp.min(v, wp.sqrt(2.0 * BRAKE_MPS2 * wp.max(verdict.stop_m[w] - u, 0.0)))
        if verdict.slow_m[w] < FAR_M:
            slow = verdict.slow_mps[w]
            v = wp.min(v, wp.sqrt(slow * slow + 2.0 * BRAKE_MPS2 * wp.max(verdict.slow_m[w] - u, 0.0)))
        if verdict.leader[w] >= 0:
            lead = verdict.leader_mps[w]
            left = follow_m - u
            if left >= 0.0:
                v = wp.min(v, wp.sqrt(lead * lead + 2.0 * BRAKE_MPS2 * left))
            else:  # too near now, or a place that the leader will have left
                v = wp.min(v, wp.max(lead + 0.5 * wp.min(follow_m, 0.0), 0.0))
        if v > ahead:  # else no root, for which the next point would have to wait
            v = wp.min(v, wp.sqrt(ahead * ahead + 2.0 * BRAKE_MPS2 * STEP_M))
        ref.target_mps[w, p] = v
        ahead = v


@wp.func
def name_maneuver(scene: SceneArrays, ref: ReferenceArrays, verdict: Verdict, w: int, room: float) -> None:
    """Write the outputs that say why."""
    v = scene.speed_mps[w]
    stop = verdict.stop_m[w]
    maneuver = CRUISE
    if ref.pass_offset_m[w] != 0.0:
        maneuver = PASS
    if verdict.leader[w] >= 0 and verdict.gap_m[w] < room + 2.0 * HEADWAY_S * v + 5.0:
        maneuver = FOLLOW
    if stop < 10.0 + v * v / BRAKE_MPS2:
        maneuver = verdict.why[w]
    if stop < FAR_M and v > 2.0 and v * v > 2.0 * HARD_MPS2 * wp.max(stop, 0.1):
        maneuver = EMERGENCY
    ref.maneuver[w] = maneuver
    ref.stop_s_m[w] = stop
    ref.leader_gap_m[w] = verdict.gap_m[w]
    ref.leader_mps[w] = verdict.leader_mps[w]


@wp.kernel(enable_backward=False)
def follow_route(
    lanes: Lines, scene: SceneArrays, route: RouteArrays, ref: ReferenceArrays, scratch: Scratch, shape: Shape
) -> None:
    """Progress, lane change and path points of each world."""
    w = wp.tid()
    if ref.started[w] == 0:  # forget everything
        ref.started[w] = 1
        ref.last_time_s[w] = scene.time_s[w]
        ref.route_index[w] = 0
        ref.lane_s_m[w] = route.start_s_m[w]
        ref.waited_s[w] = 0.0
        ref.blocked_s[w] = 0.0
        ref.cleared_lane[w] = -1
        ref.granted_lane[w] = -1
        ref.held_lane[w] = -1
        ref.pass_offset_m[w] = 0.0
        ref.shift_m[w] = 0.0
        ref.shift_left_m[w] = 0.0
    last = int(0)
    while last < LAST_LANE and route.lane[w, last + 1] >= 0:
        last = last + 1
    scratch.last[w] = last
    moved = follow(lanes, scene, route, ref, w, last)
    ref.shift_left_m[w] = wp.max(ref.shift_left_m[w] - moved, 0.0)
    if ref.shift_left_m[w] == 0.0:
        ref.shift_m[w] = 0.0
    ref.pass_from_m[w] = ref.pass_from_m[w] - moved
    ref.pass_until_m[w] = ref.pass_until_m[w] - moved
    if ref.pass_until_m[w] + PASS_BACK_M < 0.0:
        ref.pass_offset_m[w] = 0.0
    scratch.hold_m[w] = change_lane(lanes, scene, route, ref, shape, w, last)
    lay_points(lanes, route, ref, scratch, w, last)
    measure(lanes, scene, route, ref, w, last)


@wp.kernel(enable_backward=False)
def project_tracks(scene: SceneArrays, ref: ReferenceArrays, scratch: Scratch, stride: int) -> None:
    """Every `stride`-th road user's box and velocity in path coordinates; none of those over or under the path."""
    w, first = wp.tid()
    for t in range(first, ROWS, stride):
        scratch.from_m[w, t] = 1.0e6
        if scene.track_kind[w, t] == 0:
            continue
        x = scene.track_x_m[w, t]
        y = scene.track_y_m[w, t]
        best = float(1.0e12)
        coarse = int(0)
        p = int(0)
        while p < POINTS:
            dx = x - ref.x_m[w, p]
            dy = y - ref.y_m[w, p]
            if dx * dx + dy * dy < best:
                best = dx * dx + dy * dy
                coarse = p
            p = p + COARSE
        nearest = coarse
        p = wp.max(coarse - COARSE + 1, 0)
        while p < wp.min(coarse + COARSE, POINTS):
            dx = x - ref.x_m[w, p]
            dy = y - ref.y_m[w, p]
            if dx * dx + dy * dy < best:
                best = dx * dx + dy * dy
                nearest = p
            p = p + 1
        if wp.abs(scene.track_z_m[w, t] - ref.z_m[w, nearest]) > LEVEL_M + SLOPE * wp.sqrt(best):
            continue
        c = wp.cos(scene.track_yaw_rad[w, t])
        s = wp.sin(scene.track_yaw_rad[w, t])
        cos = wp.cos(ref.yaw_rad[w, nearest])
        sin = wp.sin(ref.yaw_rad[w, nearest])
        low = wp.vec2(1.0e6, 1.0e6)
        high = wp.vec2(-1.0e6, -1.0e6)
        for corner in range(4):
            a = 0.5 * scene.track_length_m[w, t]
            b = 0.5 * scene.track_width_m[w, t]
            if corner > 1:
                a = -a
            if corner == 1 or corner == 2:
                b = -b
            dx = a * c - b * s
            dy = a * s + b * c
            guess = float(nearest) * STEP_M + dx * cos + dy * sin
            q = to_path(ref.x_m, ref.y_m, ref.yaw_rad, w, x + dx, y + dy, guess)
            low = wp.min(low, q)
            high = wp.max(high, q)
        scratch.from_m[w, t] = low[0]
        scratch.to_m[w, t] = high[0]
        scratch.right_m[w, t] = low[1]
        scratch.left_m[w, t] = high[1]
        vx = scene.track_vx_mps[w, t]
        vy = scene.track_vy_mps[w, t]
        scratch.along_mps[w, t] = vx * cos + vy * sin
        scratch.across_mps[w, t] = vy * cos - vx * sin


@wp.kernel(enable_backward=False)
def decide(
    lanes: LaneArrays, lines: Lines, scene: SceneArrays, route: RouteArrays, ref: ReferenceArrays, scratch: Scratch,
    shape: Shape, opposite: wp.array(dtype=wp.int32), verdict: Verdict,
) -> None:  # fmt: skip
    """Rules and speeds of each world."""
    w = wp.tid()
    start_verdict(scene, ref, verdict, w)
    watch_front(scene, scratch, shape, w, verdict)
    obey_entries(lanes, lines, scene, route, ref, scratch, shape, w, verdict)
    room = pass_blocked(lanes, scene, route, ref, scratch, shape, opposite, w, verdict)
    if verdict.leader[w] >= 0 and verdict.leader_mps[w] < 0.3:
        stop_at(verdict, w, verdict.gap_m[w] - room, FOLLOW)
    if scratch.hold_m[w] < FAR_M:
        stop_at(verdict, w, scratch.hold_m[w], GIVE_WAY)
    stop_at(verdict, w, ref.route_left_m[w], STOP_GOAL)
    write_speeds(ref, verdict, w, room)
    name_maneuver(scene, ref, verdict, w, room)


def opposite_lanes(graph: LaneGraph) -> NDArray[np.int32]:
    """(N,) the oncoming lane just left of each leftmost lane of a two-way road, else -1."""
    index = {key: lane for lane, key in enumerate(graph.lane_key)}
    out = np.full(graph.lanes, -1, np.int32)
    for lane, (road, section, number) in enumerate(graph.lane_key):
        if abs(number) == 1 and graph.lane_left[lane] < 0:
            out[lane] = index.get((road, section, -number), -1)
    return out


class ReferenceKernel:
    """Owns the map on the device and the arrays between the launches; memory lives in the caller's ReferenceArrays.

    `front_m` and `rear_m` are the bumpers' distances from the ego origin.
    """

    def __init__(
        self,
        graph: LaneGraph,
        device: str,
        worlds: int,
        front_m: float = 3.7,
        rear_m: float = 1.0,
        width_m: float = 1.9,
    ) -> None:
        self.worlds, self.device = worlds, device
        self.lanes = graph.on_device(device)
        self.lines = lines_of(self.lanes)
        self.opposite = wp.array(opposite_lanes(graph), dtype=wp.int32, device=device)
        self.scratch = allocate_scratch(worlds, device)
        self.shape = Shape()
        self.shape.front_m, self.shape.rear_m, self.shape.half_width_m = front_m, rear_m, 0.5 * width_m
        self.verdict: Any = Verdict()
        for name, var in Verdict.vars.items():
            setattr(self.verdict, name, wp.zeros(worlds, dtype=var.type.dtype, device=device))

    def reset(self, reference: Any, worlds: NDArray[Any] | None = None) -> None:
        """Forget the memory of all worlds, or of those in a mask or list of indices: they begin their routes."""
        if worlds is None:
            reference.started.zero_()
            return
        started = reference.started.numpy()
        started[np.asarray(worlds)] = 0
        reference.started.assign(started)

    def record(self, scene: Any, route: Any, reference: Any) -> list[Any]:
        """Launches that write the Reference of every world, and move its memory on to this tick. To be repeated: checking
        and packing their arguments takes longer than a small one runs."""
        common = [self.lines, scene, route, reference, self.scratch, self.shape]
        threads = TRACKS if wp.get_device(self.device).is_cuda else 1  # for each world
        return [
            wp.launch(kernel, dim, inputs=inputs, device=self.device, record_cmd=True)
            for kernel, dim, inputs in (
                (follow_route, self.worlds, common),
                (project_tracks, (self.worlds, threads), [scene, reference, self.scratch, threads]),
                (decide, self.worlds, [self.lanes, *common, self.opposite, self.verdict]),
            )
        ]


def to_message(reference: Any, world: int = 0) -> Reference:
    """The Reference of one world as a message."""

    def row(name: str) -> Any:
        return view(reference, name)[world]

    def distance(name: str) -> float:
        value = float(row(name))
        return value if value < 0.5e6 else float("inf")

    return Reference(
        s_m=np.arange(REFERENCE_POINTS, dtype=np.float32) * np.float32(REFERENCE_STEP_M),
        xy_m=np.stack([row("x_m"), row("y_m")], axis=-1),
        yaw_rad=row("yaw_rad").copy(),
        curvature_1pm=row("curvature_1pm").copy(),
        limit_mps=row("limit_mps").copy(),
        target_mps=row("target_mps").copy(),
        stop_s_m=distance("stop_s_m"),
        leader_gap_m=distance("leader_gap_m"),
        leader_mps=float(row("leader_mps")),
        maneuver=MANEUVERS[int(row("maneuver"))],
        route_s_m=float(row("route_s_m")),
        route_left_m=float(row("route_left_m")),
    )
