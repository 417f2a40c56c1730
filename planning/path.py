"""The path along the route: lane centre lines joined end to end, shifted sideways by lane changes and passing.

A point at distance s on a lane with curvature k, shifted by o(s) to the left, has the tangent (1 - k o, o') and the
curvature ((1 - k o)(o'' + k (1 - k o)) + 2 k o'^2) / ((1 - k o)^2 + o'^2)^1.5 (Werling 2010, eq. 4, with k' = 0).
Lateral moves are quintic: zero slope and curvature at both ends.
"""

from __future__ import annotations

from typing import Any

import warp as wp

from stack.lanegraph import STOREY_M
from stack.scenearrays import (
    REFERENCE_POINTS,
    REFERENCE_STEP_M,
    ROUTE_LANES,
    TRACKS,
    ReferenceArrays,
    RouteArrays,
    SceneArrays,
)

wp.set_module_options({"enable_backward": False, "max_unroll": 1})

PI = 3.14159265358979
PASS_BACK_M = wp.constant(14.0)  # length of the way back to the lane after passing
CHANGE_MIN_M = wp.constant(25.0)  # length of a lane change
CHANGE_MAX_M = wp.constant(40.0)
CHANGE_S = wp.constant(3.5)  # and the time that it should take
CHANGE_ROOM_M = wp.constant(12.0)  # wait for a gap this far before the end of the lane
POINTS = wp.constant(REFERENCE_POINTS)
STEP_M = wp.constant(REFERENCE_STEP_M)
LAST_LANE = wp.constant(ROUTE_LANES - 1)
ROWS = wp.constant(TRACKS)
LEVEL_M = wp.constant(STOREY_M)  # who is so far over or under a lane is on another road
SLOPE = 0.1  # and so much more for each metre beside it: side roads climb


@wp.struct
class Lines:
    """Centre lines and links: the part of LaneArrays that inner loops read (functions get structs by value)."""

    lane_start: wp.array(dtype=wp.int32)
    lane_count: wp.array(dtype=wp.int32)
    lane_step_m: wp.array(dtype=wp.float32)
    lane_length_m: wp.array(dtype=wp.float32)
    lane_limit_mps: wp.array(dtype=wp.float32)
    lane_left: wp.array(dtype=wp.int32)
    lane_right: wp.array(dtype=wp.int32)
    pred_start: wp.array(dtype=wp.int32)
    pred_count: wp.array(dtype=wp.int32)
    pred: wp.array(dtype=wp.int32)
    x_m: wp.array(dtype=wp.float32)
    y_m: wp.array(dtype=wp.float32)
    z_m: wp.array(dtype=wp.float32)
    yaw_rad: wp.array(dtype=wp.float32)
    curvature_1pm: wp.array(dtype=wp.float32)


@wp.struct
class Shape:
    """The ego's outline about its origin, m."""

    front_m: wp.float32
    rear_m: wp.float32
    half_width_m: wp.float32


@wp.struct
class Scratch:
    """What one kernel of a tick tells the next: [W] and, of the road users in path coordinates, [W, TRACKS]."""

    last: wp.array(dtype=wp.int32)  # index of the route's last lane
    hold_m: wp.array(dtype=wp.float32)  # stop here to wait for a lane change, from the front bumper; 1e6: none
    from_m: wp.array2d(dtype=wp.float32)  # rear end along the path, from the ego origin; 1e6: no such road user
    to_m: wp.array2d(dtype=wp.float32)
    right_m: wp.array2d(dtype=wp.float32)  # right edge, left positive
    left_m: wp.array2d(dtype=wp.float32)
    along_mps: wp.array2d(dtype=wp.float32)
    across_mps: wp.array2d(dtype=wp.float32)
    point_lane: wp.array2d(
        dtype=wp.int32
    )  # [W, POINTS] the path's points that lie on a lane's line, -1: those that do not
    point_s_m: wp.array2d(dtype=wp.float32)


@wp.func
def wrap_angle(angle: float) -> float:
    return angle - 2.0 * PI * wp.floor((angle + PI) / (2.0 * PI))


@wp.func
def lane_point(lanes: Lines, lane: int, s: float) -> wp.vec4:
    """x, y, yaw, curvature at distance s of a lane; straight on beyond its ends."""
    inside = wp.clamp(s, 0.0, lanes.lane_length_m[lane])
    f = inside / lanes.lane_step_m[lane]
    k = wp.clamp(int(f), 0, lanes.lane_count[lane] - 2)
    t = wp.min(f - float(k), 1.0)
    k = k + lanes.lane_start[lane]
    yaw = lanes.yaw_rad[k] + t * wrap_angle(lanes.yaw_rad[k + 1] - lanes.yaw_rad[k])
    x = lanes.x_m[k] + t * (lanes.x_m[k + 1] - lanes.x_m[k])
    y = lanes.y_m[k] + t * (lanes.y_m[k + 1] - lanes.y_m[k])
    curvature = lanes.curvature_1pm[k] + t * (lanes.curvature_1pm[k + 1] - lanes.curvature_1pm[k])
    if s != inside:
        x += (s - inside) * wp.cos(yaw)
        y += (s - inside) * wp.sin(yaw)
        curvature = 0.0
    return wp.vec4(x, y, yaw, curvature)


@wp.func
def lane_z(lanes: Lines, lane: int, s: float) -> float:
    """Height at distance s of a lane, to a point's spacing."""
    k = int(wp.clamp(s, 0.0, lanes.lane_length_m[lane]) / lanes.lane_step_m[lane])
    return lanes.z_m[lanes.lane_start[lane] + wp.clamp(k, 0, lanes.lane_count[lane] - 1)]


@wp.func
def is_change(left: wp.array(dtype=wp.int32), right: wp.array(dtype=wp.int32), a: int, b: int) -> bool:
    """Whether lane b lies beside lane a, by lane_left and lane_right of the map."""
    return left[a] == b or right[a] == b


@wp.func
def beside(length: wp.array(dtype=wp.float32), a: int, b: int, s: float) -> float:
    """Distance along b of the point beside distance s of a, by lane_length_m of the map."""
    return s * length[b] / length[a]


@wp.func
def ramp(t: float) -> wp.vec3:
    """Quintic step from 0 at t = 0 to 1 at t = 1, with its first and second derivative."""
    c = wp.clamp(t, 0.0, 1.0)
    return wp.vec3(
        c * c * c * (10.0 + c * (6.0 * c - 15.0)),
        30.0 * c * c * (1.0 - c) * (1.0 - c),
        60.0 * c * (1.0 - c) * (1.0 - 2.0 * c),
    )


@wp.func
def shift_at(shift: float, length: float, left: float, c: float) -> wp.vec3:
    """Offset of a lane change under way at distance c ahead, with its derivatives."""
    out = wp.vec3(0.0, 0.0, 0.0)
    if length > 0.0 and shift != 0.0:
        r = ramp((c - left + length) / length)
        out = wp.vec3(shift * (1.0 - r[0]), -shift * r[1] / length, -shift * r[2] / (length * length))
    return out


@wp.func
def pass_at(offset: float, start: float, length: float, until: float, c: float) -> wp.vec3:
    """Offset at distance c ahead of a pass that ramps in from `start` and out from `until`, with its derivatives."""
    out = wp.vec3(0.0, 0.0, 0.0)
    if offset != 0.0:
        a = ramp((c - start) / length)
        b = ramp((c - until) / PASS_BACK_M)
        out = wp.vec3(
            offset * (a[0] - b[0]),
            offset * (a[1] / length - b[1] / PASS_BACK_M),
            offset * (a[2] / (length * length) - b[2] / (PASS_BACK_M * PASS_BACK_M)),
        )
    return out


@wp.func
def side_is_free(lanes: Lines, scene: SceneArrays, shape: Shape, w: int, lane: int, s: float) -> bool:
    """Whether the ego could move over beside distance s of `lane`: no one there, ahead too near, or behind too fast."""
    free = bool(True)
    v = scene.speed_mps[w]
    here = lane_point(lanes, lane, s)
    cos = wp.cos(here[2])
    sin = wp.sin(here[2])
    for t in range(ROWS):
        if scene.track_kind[w, t] != 0:
            along = (scene.track_x_m[w, t] - here[0]) * cos + (scene.track_y_m[w, t] - here[1]) * sin
            if wp.abs(along) < 60.0:
                p = lane_point(lanes, lane, s + along)
                side = (scene.track_y_m[w, t] - p[1]) * wp.cos(p[2]) - (scene.track_x_m[w, t] - p[0]) * wp.sin(p[2])
                level = wp.abs(scene.track_z_m[w, t] - lane_z(lanes, lane, s + along)) < LEVEL_M
                if level and wp.abs(side) - 0.5 * scene.track_width_m[w, t] < shape.half_width_m + 0.3:
                    other = scene.track_vx_mps[w, t] * wp.cos(p[2]) + scene.track_vy_mps[w, t] * wp.sin(p[2])
                    half = 0.5 * scene.track_length_m[w, t]
                    closing = wp.max(v - other, 0.0)
                    gap = along - half - shape.front_m
                    if along < 0.0:
                        closing = wp.max(other - v, 0.0)
                        gap = -along - half - shape.rear_m
                    if gap < 2.0 + 0.4 * v + closing * closing / 4.0:
                        free = False
    return free


@wp.func
def offset_from(lanes: Lines, a: int, s_a: float, o: float, b: int, s_b: float) -> float:
    """Lateral position, seen from lane b, of the path that runs o to the left of lane a."""
    p = lane_point(lanes, a, s_a)
    q = lane_point(lanes, b, s_b)
    x = p[0] - o * wp.sin(p[2])
    y = p[1] + o * wp.cos(p[2])
    return (y - q[1]) * wp.cos(q[2]) - (x - q[0]) * wp.sin(q[2])


@wp.func
def follow(lanes: Lines, scene: SceneArrays, route: RouteArrays, ref: ReferenceArrays, w: int, last: int) -> float:
    """Project the ego onto the route's centre lines, near where it was; returns the distance moved along them."""
    i = ref.route_index[w]
    s = ref.lane_s_m[w]
    moved = float(0.0)
    for _ in range(10):
        lane = route.lane[w, i]
        p = lane_point(lanes, lane, s)
        ds = (scene.x_m[w] - p[0]) * wp.cos(p[2]) + (scene.y_m[w] - p[1]) * wp.sin(p[2])
        ds = wp.clamp(ds, -5.0, 5.0)
        s = s + ds
        moved = moved + ds
        while (
            s > lanes.lane_length_m[lane]
            and i < last
            and not is_change(lanes.lane_left, lanes.lane_right, lane, route.lane[w, i + 1])
        ):
            s = s - lanes.lane_length_m[lane]
            i = i + 1
            lane = route.lane[w, i]
        while (
            s < 0.0
            and i > 0
            and not is_change(lanes.lane_left, lanes.lane_right, route.lane[w, wp.max(i - 1, 0)], lane)
        ):
            i = i - 1
            lane = route.lane[w, i]
            s = s + lanes.lane_length_m[lane]
        if wp.abs(ds) < 0.001:
            break
    ref.route_index[w] = i
    ref.lane_s_m[w] = s
    return moved


@wp.func
def change_lane(
    lanes: Lines, scene: SceneArrays, route: RouteArrays, ref: ReferenceArrays, shape: Shape, w: int, last: int
) -> float:
    """Begin the route's lane change once there is a gap; returns where to wait for one, 1e6 if there is no need."""
    i = ref.route_index[w]
    hold = float(1.0e6)
    if i < last:
        a = route.lane[w, i]
        b = route.lane[w, i + 1]
        if is_change(lanes.lane_left, lanes.lane_right, a, b):
            s = ref.lane_s_m[w]
            left = lanes.lane_length_m[a] - s
            s_b = beside(lanes.lane_length_m, a, b, s)
            busy = ref.shift_left_m[w] > 0.0 and left > CHANGE_MIN_M
            if left <= 0.0 or (not busy and side_is_free(lanes, scene, shape, w, b, s_b)):
                o = shift_at(ref.shift_m[w], ref.shift_length_m[w], ref.shift_left_m[w], 0.0)
                length = wp.clamp(CHANGE_S * scene.speed_mps[w], CHANGE_MIN_M, CHANGE_MAX_M)
                length = wp.min(length, wp.max(left, CHANGE_ROOM_M))
                ref.shift_m[w] = offset_from(lanes, a, s, o[0], b, s_b)
                ref.shift_length_m[w] = length
                ref.shift_left_m[w] = length
                ref.route_index[w] = i + 1
                ref.lane_s_m[w] = s_b
            else:
                hold = left - shape.front_m - CHANGE_ROOM_M
    return hold


@wp.func
def measure(lanes: Lines, scene: SceneArrays, route: RouteArrays, ref: ReferenceArrays, w: int, last: int) -> None:
    """Write the ego's offset and heading from the path, and how far it has come and has to go."""
    dx = scene.x_m[w] - ref.x_m[w, 0]
    dy = scene.y_m[w] - ref.y_m[w, 0]
    yaw = ref.yaw_rad[w, 0]
    ref.lateral_m[w] = dy * wp.cos(yaw) - dx * wp.sin(yaw)
    ref.heading_rad[w] = wrap_angle(scene.yaw_rad[w] - yaw)
    done = ref.lane_s_m[w] - route.start_s_m[w]
    left = route.goal_s_m[w] - ref.lane_s_m[w]
    for j in range(last):
        lane = route.lane[w, j]
        if not is_change(lanes.lane_left, lanes.lane_right, lane, route.lane[w, j + 1]):
            if j < ref.route_index[w]:
                done = done + lanes.lane_length_m[lane]
            else:
                left = left + lanes.lane_length_m[lane]
    ref.route_s_m[w] = done
    ref.route_left_m[w] = left


@wp.func
def to_path(
    xs: wp.array2d(dtype=wp.float32), ys: wp.array2d(dtype=wp.float32), yaws: wp.array2d(dtype=wp.float32),
    w: int, x: float, y: float, guess: float,
) -> wp.vec2:  # fmt: skip
    """Distance along the path and lateral offset of a point near distance `guess`."""
    p = wp.clamp(int(guess / STEP_M + 0.5), 0, POINTS - 1)
    cos = wp.cos(yaws[w, p])
    sin = wp.sin(yaws[w, p])
    dx = x - xs[w, p]
    dy = y - ys[w, p]
    return wp.vec2(float(p) * STEP_M + dx * cos + dy * sin, dy * cos - dx * sin)


def lines_of(lanes: Any) -> Any:
    """The Lines of a LaneArrays struct; they share the arrays."""
    out: Any = Lines()
    for name in Lines.vars:
        setattr(out, name, getattr(lanes, name))
    return out


def allocate_scratch(worlds: int, device: str) -> Any:
    """A Scratch for `worlds` worlds."""
    out: Any = Scratch()
    for name, var in Scratch.vars.items():
        columns = REFERENCE_POINTS if name.startswith("point_") else TRACKS
        shape = (worlds,) if var.type.ndim == 1 else (worlds, columns)
        setattr(out, name, wp.zeros(shape, dtype=var.type.dtype, device=device))
    return out
