"""Right of way: would a road user on a conflicting lane meet the ego in the stretch where both lanes touch?

Gap acceptance: the ego's time in the stretch, lengthened by MARGIN_S, must not overlap that of a road user who comes
first. Road users are taken to be on every lane, and on every approach to it, whose centre line they are near and
aligned with, so that someone before a fork counts for each branch.
"""

from __future__ import annotations

import warp as wp

from planning.path import LEVEL_M, ROWS, Lines, Shape, lane_point, lane_z
from stack.labels import Kind, LightState
from stack.lanegraph import LaneArrays
from stack.scenearrays import SceneArrays

wp.set_module_options({"enable_backward": False, "max_unroll": 1})

WALKER = wp.constant(int(Kind.PEDESTRIAN))
STATIC = wp.constant(int(Kind.PROP))
CLOSED = wp.constant(int(LightState.RED))
MARGIN_S = wp.constant(1.2)
SIGHT_M = wp.constant(70.0)  # how far back from the stretch road users count
EGO_ACCEL_MPS2 = wp.constant(1.5)
OTHER_ACCEL_MPS2 = wp.constant(0.8)
PATIENCE_S = wp.constant(4.0)  # after this wait, those who stand before the junction are taken to let the ego go
NOT_THERE = wp.constant(-1.0e6)
HOLD_M = wp.constant(1.2)  # kept to a lane of those who come first: the policy overruns by up to a metre
OTHER_BRAKE_MPS2 = wp.constant(4.0)  # who needs more to stop comes on
HOLD_MPS2 = wp.constant(3.0)  # what holding inside a junction may ask for
FAR_M = wp.constant(1.0e6)


@wp.func
def time_to(distance: float, speed: float, accel: float, top: float) -> float:
    """Time in s to cover a distance from `speed`, accelerating up to `top`; 0 where it is already covered."""
    t = float(0.0)
    if distance > 0.0:
        end = wp.max(top, speed)
        reach = (end * end - speed * speed) / (2.0 * accel)
        if distance < reach:
            t = (wp.sqrt(speed * speed + 2.0 * accel * distance) - speed) / accel
        else:
            t = (end - speed) / accel + (distance - reach) / end
    return t


@wp.func
def find_on_lane(lanes: Lines, scene: SceneArrays, w: int, t: int, lane: int, until: float) -> float:
    """Distance along `lane` (negative: on its approach) of road user t, if it is there before `until`."""
    found = float(NOT_THERE)
    x = scene.track_x_m[w, t]
    y = scene.track_y_m[w, t]
    on = lane
    s = wp.min(until + 3.0, lanes.lane_length_m[lane])
    base = float(0.0)  # distance from the start of `lane` to the start of `on`, not positive
    end = wp.min(s, until) - SIGHT_M
    while base + s > end and found == NOT_THERE:
        p = lane_point(lanes, on, s)
        dx = x - p[0]
        dy = y - p[1]
        cos = wp.cos(p[2])
        sin = wp.sin(p[2])
        along = dx * cos + dy * sin
        if wp.abs(dy * cos - dx * sin) < 1.9 and wp.abs(along) < 2.5 and wp.cos(scene.track_yaw_rad[w, t] - p[2]) > 0.5:
            if wp.abs(scene.track_z_m[w, t] - lane_z(lanes, on, s)) < LEVEL_M:
                found = base + s + along
        # no point nearer along the lane than its distance can be the road user's place
        s = s - wp.max(wp.sqrt(dx * dx + dy * dy) - 2.5, 1.5)
        while s < 0.0 and base + s > end:
            if lanes.pred_count[on] == 0:
                s = -1.0e4
            else:
                on = lanes.pred[lanes.pred_start[on]]
                base = base - lanes.lane_length_m[on]
                s = s + lanes.lane_length_m[on]
    return found


@wp.func
def meets(
    lanes: LaneArrays,
    lines: Lines,
    scene: SceneArrays,
    w: int,
    t: int,
    k: int,
    enters: float,
    leaves: float,
    waited: float,
) -> bool:
    """Whether road user t is first in conflict k, which the ego is in from `enters` to `leaves` (s from now)."""
    other = lanes.conflict_lane[k]
    first = lanes.conflict_other_from_m[k]
    until = lanes.conflict_other_to_m[k]
    s = find_on_lane(lines, scene, w, t, other, until)
    half = 0.5 * scene.track_length_m[w, t]
    if s == NOT_THERE or s - half > until:
        return False
    v = wp.sqrt(
        scene.track_vx_mps[w, t] * scene.track_vx_mps[w, t] + scene.track_vy_mps[w, t] * scene.track_vy_mps[w, t]
    )
    signal = lanes.lane_signal[other]
    if s < 0.0 and signal >= 0:
        if scene.signal_state[w, wp.max(signal, 0)] == CLOSED:
            return False
    arrives = time_to(first - s - half, v, OTHER_ACCEL_MPS2, wp.max(v, lanes.lane_limit_mps[other]))
    gone = (until - s + half) / wp.max(v, 0.5)
    occupied = s + half >= first
    if lanes.conflict_rank[k] >= 0:  # whoever comes first goes first, and so does one who cannot stop any more
        comes = s > 0.0 or (lanes.conflict_rank[k] > 0 and v * v > -2.0 * OTHER_BRAKE_MPS2 * s)
        return (occupied and gone > enters - 0.5) or (comes and v > 1.0 and arrives < enters)
    if v < 0.5 and s < -1.0 and waited > PATIENCE_S:
        return False
    return arrives < leaves + MARGIN_S and gone > enters - MARGIN_S


@wp.func
def turning_mps(lanes: LaneArrays, lines: Lines, lane: int) -> float:
    """Speed on a junction lane: its limit, or what the bend in its middle allows."""
    middle = lane_point(lines, lane, 0.5 * lanes.lane_length_m[lane])
    return wp.min(lanes.lane_limit_mps[lane], wp.sqrt(2.0 / wp.max(wp.abs(middle[3]), 0.001)))


@wp.func
def conflict_free(
    lanes: LaneArrays, lines: Lines, scene: SceneArrays, shape: Shape,
    w: int, k: int, start: float, v: float, top: float, waited: float,
) -> bool:  # fmt: skip
    """Whether the ego, `start` before the beginning of a junction lane, may cross its conflict k without a wait."""
    free = bool(True)
    enters = time_to(start + lanes.conflict_from_m[k] - shape.front_m - 0.5, v, EGO_ACCEL_MPS2, top)
    leaves = time_to(start + lanes.conflict_to_m[k] + shape.rear_m + 0.5, v, EGO_ACCEL_MPS2, top)
    p = lane_point(lines, lanes.conflict_lane[k], lanes.conflict_other_from_m[k])
    for t in range(ROWS):
        kind = scene.track_kind[w, t]
        if free and kind != 0 and kind != WALKER and kind != STATIC:
            away = wp.length(wp.vec2(scene.track_x_m[w, t] - p[0], scene.track_y_m[w, t] - p[1]))
            if away < SIGHT_M:
                free = not meets(lanes, lines, scene, w, t, k, enters, leaves, waited)
    return free


@wp.func
def coming_free(
    lanes: LaneArrays, lines: Lines, scene: SceneArrays, shape: Shape,
    w: int, before: int, lane: int, start: float, v: float, waited: float,
) -> bool:  # fmt: skip
    """Whether the ego, `start` before the beginning of a junction lane, may cross all its conflicts without a wait."""
    free = bool(True)
    top = turning_mps(lanes, lines, lane)
    k = lanes.conflict_start[lane]
    end = k + lanes.conflict_count[lane]
    while k < end and free:
        other = lanes.conflict_lane[k]
        sibling = bool(False)  # branches of the ego's own lane: whoever is there is a leader
        if lanes.pred_count[other] > 0:
            sibling = lanes.pred[lanes.pred_start[other]] == before
        if not sibling:
            free = conflict_free(lanes, lines, scene, shape, w, k, start, v, top, waited)
        k = k + 1
    return free


@wp.func
def hold_inside(
    lanes: LaneArrays, lines: Lines, scene: SceneArrays, shape: Shape,
    w: int, lane: int, start: float, v: float, waited: float,
) -> float:  # fmt: skip
    """How far the front bumper may go on a junction lane that the ego is on, or was let into: to the first lane of those
    who come first, where they do come (they were hidden before); FAR_M where nobody does, or it is too late to stop."""
    hold = float(FAR_M)
    top = turning_mps(lanes, lines, lane)
    k = lanes.conflict_start[lane]
    end = k + lanes.conflict_count[lane]
    while k < end:
        left = start + lanes.conflict_from_m[k] - shape.front_m - HOLD_M
        if (
            lanes.conflict_rank[k] < 0
            and left < hold
            and left + HOLD_M > 0.0
            and v * v < 2.0 * HOLD_MPS2 * (left + HOLD_M)
        ):
            if not conflict_free(lanes, lines, scene, shape, w, k, start, v, top, waited):
                hold = left
        k = k + 1
    return hold
