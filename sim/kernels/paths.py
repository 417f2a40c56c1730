"""Where things are along lanes: points of a lane, projection on it, and the path of a vehicle over its next lanes.

A path is the vehicle's lane and the two lanes chosen after it, measured from the vehicle: 0 is its origin.
"""

from __future__ import annotations

import warp as wp

from sim.state import StateArrays
from stack.lanegraph import LaneArrays

wp.set_module_options({"enable_backward": False})


@wp.struct
class Path:
    """Three lanes in a row (-1: none) and how far ahead of the vehicle each ends."""

    lane0: int
    lane1: int
    lane2: int
    from_s_m: float  # of the vehicle on lane0
    end0_m: float
    end1_m: float
    end2_m: float


@wp.func
def make_path(lanes: LaneArrays, lane0: int, lane1: int, lane2: int, s_m: float) -> Path:
    path = Path()
    path.lane0 = lane0
    path.lane1 = lane1
    path.lane2 = lane2
    path.from_s_m = s_m
    path.end0_m = lanes.lane_length_m[lane0] - s_m
    path.end1_m = path.end0_m
    if lane1 >= 0:
        path.end1_m = path.end0_m + lanes.lane_length_m[lane1]
    path.end2_m = path.end1_m
    if lane2 >= 0:
        path.end2_m = path.end1_m + lanes.lane_length_m[lane2]
    return path


@wp.func
def point_index(lanes: LaneArrays, lane: int, s_m: float) -> int:
    """Index of the point of the lane nearest to the distance s along it."""
    k = int(s_m / lanes.lane_step_m[lane] + 0.5)
    return lanes.lane_start[lane] + wp.clamp(k, 0, lanes.lane_count[lane] - 1)


@wp.func
def project(lanes: LaneArrays, lane: int, x_m: float, y_m: float, guess_s_m: float) -> wp.vec2:
    """Distance along the lane (past its ends too) and offset to the left of a point, from a guess a few metres off."""
    s = guess_s_m
    d = float(0.0)
    last = int(-1)
    for _ in range(3):
        p = point_index(lanes, lane, s)
        if p == last:
            break
        last = p
        dx = x_m - lanes.x_m[p]
        dy = y_m - lanes.y_m[p]
        c = lanes.yaw_cos[p]
        n = lanes.yaw_sin[p]
        s = float(p - lanes.lane_start[lane]) * lanes.lane_step_m[lane] + dx * c + dy * n
        d = dy * c - dx * n
    return wp.vec2(s, d)


@wp.func
def on_target(st: StateArrays, lanes: LaneArrays, w: int, i: int) -> wp.vec2:
    """Distance along and offset from the lane that i changes to, or keeps to."""
    base = st.target_lane[w, i]
    s = st.lane_s_m[w, i]
    if base == st.lane[w, i]:
        return wp.vec2(s, st.lane_d_m[w, i])
    guess = s * lanes.lane_length_m[base] / lanes.lane_length_m[st.lane[w, i]]
    return project(lanes, base, st.x_m[w, i], st.y_m[w, i], guess)


@wp.struct
class Spot:
    """A point of the lane graph, and how far past it something is."""

    point: int
    past_m: float


@wp.func
def path_spot(lanes: LaneArrays, path: Path, ahead_m: float) -> Spot:
    """The point of the path nearest to `ahead_m` from the vehicle; its last one past its end."""
    lane = path.lane0
    s = path.from_s_m + ahead_m
    if ahead_m > path.end0_m and path.lane1 >= 0:
        lane = path.lane1
        s = ahead_m - path.end0_m
        if ahead_m > path.end1_m and path.lane2 >= 0:
            lane = path.lane2
            s = ahead_m - path.end1_m
    out = Spot()
    out.point = point_index(lanes, lane, s)
    out.past_m = s - float(out.point - lanes.lane_start[lane]) * lanes.lane_step_m[lane]
    return out


@wp.func
def path_point(lanes: LaneArrays, path: Path, ahead_m: float) -> wp.vec4:
    """x, y, yaw and curvature of the path `ahead_m` from the vehicle; straight on past its end."""
    at = path_spot(lanes, path, ahead_m)
    p = at.point
    return wp.vec4(
        lanes.x_m[p] + at.past_m * lanes.yaw_cos[p], lanes.y_m[p] + at.past_m * lanes.yaw_sin[p], lanes.yaw_rad[p],
        lanes.curvature_1pm[p],
    )  # fmt: skip


@wp.func
def path_project(lanes: LaneArrays, path: Path, x_m: float, y_m: float, guess_m: float) -> wp.vec3:
    """Distance ahead along the path, offset to the left, and the path's yaw there, of a point."""
    s = guess_m
    d = float(0.0)
    yaw = float(0.0)
    last = int(-1)
    for _ in range(3):
        s = wp.clamp(s, -5.0, path.end2_m)
        at = path_spot(lanes, path, s)
        p = at.point
        if p == last:
            break
        last = p
        yaw = lanes.yaw_rad[p]
        dx = x_m - lanes.x_m[p]
        dy = y_m - lanes.y_m[p]
        c = lanes.yaw_cos[p]
        n = lanes.yaw_sin[p]
        s = s - at.past_m + dx * c + dy * n
        d = dy * c - dx * n
    return wp.vec3(s, d, yaw)
