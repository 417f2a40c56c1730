"""The points of the path, STEP_M apart: those on a lane's line, most of them, many at a time; those beside one by one."""

from __future__ import annotations

import warp as wp

from planning.path import (
    CHANGE_MIN_M,
    PI,
    POINTS,
    STEP_M,
    Lines,
    Scratch,
    beside,
    is_change,
    lane_point,
    lane_z,
    offset_from,
    pass_at,
    shift_at,
    wrap_angle,
)
from stack.scenearrays import REFERENCE_POINTS, ReferenceArrays, RouteArrays

wp.set_module_options({"enable_backward": False, "max_unroll": 1})


@wp.func_native(
    f"""
#if defined(__clang__)  // products and sums are not fused: a point lies where lane_point would have it
#pragma clang fp contract(off)
#endif
    constexpr int POINTS = {REFERENCE_POINTS};
    constexpr float PI = {PI}f, TURN = 2.0f * PI;
    const int* lane_of = scratch.point_lane.data + w * POINTS;
    const float* s_of = scratch.point_s_m.data + w * POINTS;
    float *xs = ref.x_m.data + w * POINTS, *ys = ref.y_m.data + w * POINTS, *zs = ref.z_m.data + w * POINTS;
    float *yaws = ref.yaw_rad.data + w * POINTS, *bends = ref.curvature_1pm.data + w * POINTS;
    float* limits = ref.limit_mps.data + w * POINTS;
    const auto wrapped = [](float angle) -> float {{ return angle - TURN * floorf((angle + PI) / TURN); }};
#pragma clang loop vectorize(assume_safety)
    for (int p = 0; p < POINTS; ++p) {{
        const bool lies = lane_of[p] >= 0;
        const int lane = lies ? lane_of[p] : 0;
        const int first = lanes.lane_start.data[lane], count = lanes.lane_count.data[lane];
        const float f = s_of[p] / lanes.lane_step_m.data[lane];
        const int at = first + wp::clamp((int) f, 0, count - 1), k = first + wp::clamp((int) f, 0, count - 2);
        const float t = wp::min(f - (float) (k - first), 1.0f);
        const float *x = lanes.x_m.data, *y = lanes.y_m.data, *yaw = lanes.yaw_rad.data;
        const float* bend = lanes.curvature_1pm.data;
        const float turned = yaw[k] + t * wrapped(yaw[k + 1] - yaw[k]);
        xs[p] = lies ? x[k] + t * (x[k + 1] - x[k]) : xs[p];
        ys[p] = lies ? y[k] + t * (y[k + 1] - y[k]) : ys[p];
        zs[p] = lies ? lanes.z_m.data[at] : zs[p];
        yaws[p] = lies ? wrapped(turned) : yaws[p];
        bends[p] = lies ? bend[k] + t * (bend[k + 1] - bend[k]) : bends[p];
        limits[p] = lies ? lanes.lane_limit_mps.data[lane] : limits[p];
    }}
    """
)
def lay_on_lanes(lanes: Lines, ref: ReferenceArrays, scratch: Scratch, w: int) -> None:
    """Write those of the path's points that lie on a lane's line. A loop of plain C++, which becomes vector code."""


@wp.func
def lay_points(lanes: Lines, route: RouteArrays, ref: ReferenceArrays, scratch: Scratch, w: int, last: int) -> None:
    """Write the path's points, STEP_M apart; straight on past the goal; coming lane changes as if nobody were there."""
    first = ref.route_index[w]
    i = first
    s = ref.lane_s_m[w]
    c = float(0.0)  # distance along the centre lines
    shift = ref.shift_m[w]
    length = ref.shift_length_m[w]
    left = ref.shift_left_m[w]
    offset = ref.pass_offset_m[w]
    start = ref.pass_from_m[w]
    pass_ramp = ref.pass_ramp_m[w]
    until = ref.pass_until_m[w]
    for p in range(POINTS):
        lane = route.lane[w, i]
        if i > first and i < last:
            b = route.lane[w, i + 1]
            if is_change(lanes.lane_left, lanes.lane_right, lane, b) and s >= wp.min(
                3.0, 0.25 * lanes.lane_length_m[lane]
            ):
                o = shift_at(shift, length, left, c)
                s_b = beside(lanes.lane_length_m, lane, b, s)
                shift = offset_from(lanes, lane, s, o[0], b, s_b)
                length = CHANGE_MIN_M
                left = c + length
                i = i + 1
                lane = b
                s = s_b
        beyond = float(0.0)
        if i == last:
            beyond = wp.max(s - route.goal_s_m[w], 0.0)
        norm = float(1.0)
        if beyond == 0.0 and shift == 0.0 and offset == 0.0 and s >= 0.0 and s <= lanes.lane_length_m[lane]:
            scratch.point_lane[w, p] = lane
            scratch.point_s_m[w, p] = s
        else:
            scratch.point_lane[w, p] = -1
            q = lane_point(lanes, lane, s - beyond)
            k = q[3]
            if beyond > 0.0:
                k = 0.0
            o = shift_at(shift, length, left, c) + pass_at(offset, start, pass_ramp, until, c)
            g = wp.max(1.0 - k * o[0], 0.2)
            norm = wp.sqrt(g * g + o[1] * o[1])
            ref.x_m[w, p] = q[0] + beyond * wp.cos(q[2]) - o[0] * wp.sin(q[2])
            ref.y_m[w, p] = q[1] + beyond * wp.sin(q[2]) + o[0] * wp.cos(q[2])
            ref.z_m[w, p] = lane_z(lanes, lane, s - beyond)
            ref.yaw_rad[w, p] = wrap_angle(q[2] + wp.atan2(o[1], g))
            ref.curvature_1pm[w, p] = (g * (o[2] + k * g) + 2.0 * k * o[1] * o[1]) / (norm * norm * norm)
            ref.limit_mps[w, p] = lanes.lane_limit_mps[lane]
        c = c + STEP_M / norm
        s = s + STEP_M / norm
        while (
            s > lanes.lane_length_m[lane]
            and i < last
            and not is_change(lanes.lane_left, lanes.lane_right, lane, route.lane[w, i + 1])
        ):
            s = s - lanes.lane_length_m[lane]
            i = i + 1
            lane = route.lane[w, i]
    lay_on_lanes(lanes, ref, scratch, w)
