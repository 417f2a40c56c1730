"""The rules of the road as Warp functions: leader, pedestrians, lights, signs, right of way, passing what blocks.

Each rule yields a place to stop or a speed for the path ahead, in the columns of `Verdict`; the nearest stop and the
lowest speed win. Distances of the verdict count from the front bumper.
"""

from __future__ import annotations

import warp as wp

from planning.junction import FAR_M, coming_free, hold_inside
from planning.path import LAST_LANE, POINTS, ROWS, STEP_M, Lines, Scratch, Shape, is_change, pass_at
from stack.labels import Kind, LightState, Sign
from stack.lanegraph import LaneArrays
from stack.messages import Maneuver
from stack.scenearrays import ReferenceArrays, RouteArrays, SceneArrays

wp.set_module_options({"enable_backward": False, "max_unroll": 1})

MANEUVERS = tuple(Maneuver)
CRUISE = wp.constant(MANEUVERS.index(Maneuver.CRUISE))
FOLLOW = wp.constant(MANEUVERS.index(Maneuver.FOLLOW))
STOP_LIGHT = wp.constant(MANEUVERS.index(Maneuver.STOP_LIGHT))
STOP_SIGN = wp.constant(MANEUVERS.index(Maneuver.STOP_SIGN))
GIVE_WAY = wp.constant(MANEUVERS.index(Maneuver.GIVE_WAY))
PASS = wp.constant(MANEUVERS.index(Maneuver.PASS))
STOP_GOAL = wp.constant(MANEUVERS.index(Maneuver.STOP_GOAL))
EMERGENCY = wp.constant(MANEUVERS.index(Maneuver.EMERGENCY))

PEDESTRIAN = wp.constant(int(Kind.PEDESTRIAN))
PROP = wp.constant(int(Kind.PROP))
UNKNOWN = wp.constant(int(LightState.UNKNOWN))
LINE_MARGIN_M = wp.constant(1.6)  # means to stop so far before a line: the policy overruns by up to a metre
UNSEEN_WAIT_S = wp.constant(15.0)  # before a light that cannot be seen
GREEN = wp.constant(int(LightState.GREEN))
YELLOW = wp.constant(int(LightState.YELLOW))
RED = wp.constant(int(LightState.RED))
SIGN_STOP = wp.constant(int(Sign.STOP))
SIGN_YIELD = wp.constant(int(Sign.YIELD))

BRAKE_MPS2 = wp.constant(1.8)  # comfortable
FIRM_MPS2 = wp.constant(3.0)  # what a yellow light may ask for
GAP_M = wp.constant(2.5)  # to a standing leader, bumper to bumper
HEADWAY_S = wp.constant(1.2)
PASS_ROOM_M = wp.constant(8.0)  # gap to something that may have to be passed
PASS_LEAST_M = wp.constant(5.5)  # from nearer, the wheels cannot be turned far enough
SIDE_M = wp.constant(0.3)  # what comes nearer to the car's side is in the way
PASS_SIDE_M = wp.constant(0.7)  # room left when passing
BLOCKED_S = wp.constant(6.0)  # of standing still, before it is passed
QUEUE_S = wp.constant(
    45.0
)  # the same where it may be the end of a queue of which the rest is hidden: a red light's time
QUEUE_SEEN_M = wp.constant(90.0)  # that is, so near to a junction
QUEUE_M = wp.constant(25.0)  # what stands this near to a junction waits there
PASS_MPS = wp.constant(4.0)  # mean speed to reckon with when passing
PASS_MAX_MPS = wp.constant(6.0)  # beside what is passed
STILL_MPS = wp.constant(0.3)  # who is slower stands
STOPPED_S = wp.constant(1.0)  # at a stop sign
UNKNOWN_MPS = wp.constant(2.5)  # past a light whose state cannot be seen
YIELD_MPS = wp.constant(6.0)
SIGHT_S = wp.constant(1.0)  # how long the straight motion of a vehicle is believed; twice that of a crossing one
WALK_SIGHT_S = wp.constant(3.5)  # and that of a pedestrian


@wp.struct
class Verdict:
    """What the rules found this tick, [W]."""

    stop_m: wp.array(dtype=wp.float32)  # FAR_M: none
    why: wp.array(dtype=wp.int32)
    leader: wp.array(dtype=wp.int32)  # row of the scene, -1 none
    gap_m: wp.array(dtype=wp.float32)
    leader_mps: wp.array(dtype=wp.float32)
    slow_m: wp.array(dtype=wp.float32)  # from here on slow_mps at most
    slow_mps: wp.array(dtype=wp.float32)
    junction_m: wp.array(dtype=wp.float32)  # to the stop line of the next junction
    dt_s: wp.array(dtype=wp.float32)


@wp.func
def stop_at(verdict: Verdict, w: int, distance: float, why: int) -> None:
    if distance < verdict.stop_m[w]:
        verdict.stop_m[w] = wp.max(distance, 0.0)
        verdict.why[w] = why


@wp.func
def slow_at(verdict: Verdict, w: int, distance: float, speed: float) -> None:
    verdict.slow_m[w] = wp.min(verdict.slow_m[w], wp.max(distance, 0.0))
    verdict.slow_mps[w] = wp.min(verdict.slow_mps[w], speed)


@wp.func
def times_across(right: float, left: float, across: float, half: float) -> wp.vec2:
    """When a body between `right` and `left` that moves at `across` enters and leaves |lateral| < half, s from now."""
    enters = float(0.0)
    leaves = float(1.0e3)
    if left < -half:
        enters = 1.0e3
        if across > 0.01:
            enters = (-half - left) / across
    if right > half:
        enters = 1.0e3
        if across < -0.01:
            enters = (half - right) / across
    if across > 0.01:
        leaves = (half - right) / across
    if across < -0.01:
        leaves = (-half - left) / across
    return wp.vec2(enters, leaves)


@wp.func
def watch_front(scene: SceneArrays, scratch: Scratch, shape: Shape, w: int, verdict: Verdict) -> None:
    """Find the leader: of those in the way, the one that asks for the lowest speed. Stop for those about to cross."""
    v = scene.speed_mps[w]
    nearest = float(FAR_M)
    for t in range(ROWS):
        near = scratch.from_m[w, t]
        far = scratch.to_m[w, t]
        if near + far < shape.front_m or near > float(POINTS) * STEP_M:
            continue
        along = scratch.along_mps[w, t]
        across = scratch.across_mps[w, t]
        walker = scene.track_kind[w, t] == PEDESTRIAN
        times = times_across(scratch.right_m[w, t], scratch.left_m[w, t], across, shape.half_width_m + SIDE_M)
        sight = SIGHT_S
        if walker:
            sight = WALK_SIGHT_S
        elif wp.abs(across) > wp.abs(along):
            sight = 2.0 * SIGHT_S
        if times[0] > sight or (times[0] > 0.0 and wp.abs(across) < 0.4):
            continue
        gap = near - shape.front_m
        crossing = wp.abs(across) > 0.5 and wp.abs(across) > 0.5 * wp.abs(along)
        if crossing:
            if times[1] + 0.7 < gap / wp.max(v, 3.0):  # gone before the ego is there
                continue
            if times[0] > 1.0 + (far + shape.rear_m) / wp.max(v, 0.1):  # the ego is through before
                continue
        if walker or (crossing and times[0] > 0.0):
            stop_at(verdict, w, gap - GAP_M, GIVE_WAY)
            continue
        speed = wp.max(along, 0.0)
        if along < -1.0:  # oncoming: they meet on the way
            gap = gap * wp.max(v, 1.0) / (wp.max(v, 1.0) - along)
        reach = gap - HEADWAY_S * speed + speed * speed / (2.0 * BRAKE_MPS2)
        if reach < nearest:
            nearest = reach
            verdict.gap_m[w] = wp.max(gap, 0.0)
            verdict.leader_mps[w] = speed
            verdict.leader[w] = t


@wp.func
def way_is_free(
    lanes: LaneArrays, lines: Lines, scene: SceneArrays, route: RouteArrays, ref: ReferenceArrays, scratch: Scratch,
    shape: Shape, w: int, r: int, entry: float, line: float, verdict: Verdict,
) -> bool:  # fmt: skip
    """Whether the ego may enter the junction at the route's lane r: nobody comes first, and there is room behind it."""
    last = scratch.last[w]
    v = scene.speed_mps[w]
    waited = ref.waited_s[w]
    before = route.lane[w, r - 1]
    junction = lanes.lane_junction[route.lane[w, r]]
    conflicts = int(0)
    j = r
    start = entry
    free = bool(True)
    inside = bool(True)
    while inside and free:
        lane = route.lane[w, j]
        conflicts = conflicts + lanes.conflict_count[lane]
        free = coming_free(lanes, lines, scene, shape, w, before, lane, start, v, waited)
        start = start + lanes.lane_length_m[lane]
        j = j + 1
        inside = bool(False)
        if j <= last and junction >= 0:
            inside = lanes.lane_junction[route.lane[w, j]] == junction
    if free and conflicts > 0 and verdict.leader[w] >= 0 and waited < 20.0:
        room = start + shape.rear_m + GAP_M
        if verdict.leader_mps[w] < 1.5 and verdict.gap_m[w] > line + 1.0 and verdict.gap_m[w] < room:
            free = False
    return free


@wp.func
def obey_entry(
    lanes: LaneArrays, lines: Lines, scene: SceneArrays, route: RouteArrays, ref: ReferenceArrays, scratch: Scratch,
    shape: Shape, w: int, r: int, entry: float, line: float, verdict: Verdict,
) -> bool:  # fmt: skip
    """Apply light, sign and right of way at the entry to the route's lane r; returns whether the ego must stop there.

    `line` is the front bumper's distance to the stop line, `entry` the origin's to the beginning of the lane.
    """
    lane = route.lane[w, r]
    v = scene.speed_mps[w]
    signal = lanes.lane_signal[lane]
    sign = lanes.lane_sign[lane]
    stops = bool(False)
    seen = bool(True)
    why = GIVE_WAY
    if signal >= 0:
        sign = 0  # lights outrank signs
        state = scene.signal_state[w, signal]
        if state == RED or (state == YELLOW and v * v < 2.0 * FIRM_MPS2 * wp.max(line, 0.3)):
            ref.held_lane[w] = lane
        if state == GREEN:
            ref.held_lane[w] = -1
        # who began to stop goes on stopping, though the last metre be short or the light go out of view
        if ref.held_lane[w] == lane and (state != UNKNOWN or ref.waited_s[w] < UNSEEN_WAIT_S):
            stops = True
            why = STOP_LIGHT
        if state == UNKNOWN:
            seen = False
            slow_at(verdict, w, line, UNKNOWN_MPS)
            if v < 1.0 and line < 6.0 and ref.waited_s[w] < UNSEEN_WAIT_S:  # a light that flickers is no green
                stops = True
                why = STOP_LIGHT
                ref.waited_s[w] = ref.waited_s[w] + verdict.dt_s[w]
    if sign == SIGN_YIELD:
        slow_at(verdict, w, line, YIELD_MPS)
    if v < 0.3 and line < 3.0 and not stops:
        ref.waited_s[w] = ref.waited_s[w] + verdict.dt_s[w]
    if sign == SIGN_STOP:
        why = STOP_SIGN
        stops = ref.waited_s[w] < STOPPED_S
    if not stops and line < 20.0 + v * v / (2.0 * BRAKE_MPS2) and ref.granted_lane[w] != lane:
        stops = not way_is_free(lanes, lines, scene, route, ref, scratch, shape, w, r, entry, line, verdict)
        if not stops and line < v * v / (2.0 * FIRM_MPS2):  # too late to change one's mind
            ref.granted_lane[w] = lane
    if not stops:
        commits = 0.3
        if signal < 0:
            commits = 1.0 + v * v / (2.0 * FIRM_MPS2)  # stop points are stopped before
        if line < commits and (seen or line < -1.0):
            ref.cleared_lane[w] = lane
            ref.waited_s[w] = 0.0
    if stops:
        ref.granted_lane[w] = -1
        stop_at(verdict, w, line, why)
    return stops


@wp.func
def give_way_inside(
    lanes: LaneArrays, lines: Lines, scene: SceneArrays, route: RouteArrays, ref: ReferenceArrays, shape: Shape,
    w: int, i: int, start: float, verdict: Verdict,
) -> None:  # fmt: skip
    """Hold on the junction lane that the ego is on, or is about to enter: the route's lane i or the one after it."""
    r = i
    begins = start
    on = lanes.lane_junction[route.lane[w, i]] >= 0
    if not on and i < LAST_LANE:
        r = i + 1
        begins = start + lanes.lane_length_m[route.lane[w, i]]
        on = ref.cleared_lane[w] >= 0 and ref.cleared_lane[w] == route.lane[w, r]
    if on:
        v = scene.speed_mps[w]
        hold = hold_inside(lanes, lines, scene, shape, w, route.lane[w, r], begins, v, ref.waited_s[w])
        if hold < FAR_M:
            stop_at(verdict, w, hold, GIVE_WAY)
            if v < 0.3:
                ref.waited_s[w] = ref.waited_s[w] + verdict.dt_s[w]


@wp.func
def obey_entries(
    lanes: LaneArrays, lines: Lines, scene: SceneArrays, route: RouteArrays, ref: ReferenceArrays, scratch: Scratch,
    shape: Shape, w: int, verdict: Verdict,
) -> None:  # fmt: skip
    """Lights, signs and right of way where the route enters a controlled lane, up to the first that stops the ego."""
    i = ref.route_index[w]
    last = scratch.last[w]
    if i > 0:
        if ref.cleared_lane[w] == route.lane[w, i - 1]:
            ref.cleared_lane[w] = -1
    start = -ref.lane_s_m[w]  # from the ego origin to the beginning of the lane before lane r
    give_way_inside(lanes, lines, scene, route, ref, shape, w, i, start, verdict)
    r = i + 1
    stops = bool(False)
    nearest = bool(True)
    while r <= last and start < float(POINTS) * STEP_M and not stops:
        before = route.lane[w, r - 1]
        lane = route.lane[w, r]
        if not is_change(lines.lane_left, lines.lane_right, before, lane):
            junction = lanes.lane_junction[lane]
            enters = junction >= 0 and junction != lanes.lane_junction[before]
            if lanes.lane_signal[lane] >= 0 or lanes.lane_sign[lane] > 0 or enters:
                line = start + lanes.lane_stop_s_m[before] - shape.front_m - LINE_MARGIN_M
                verdict.junction_m[w] = wp.min(verdict.junction_m[w], line)
                if ref.cleared_lane[w] != lane and line > -4.0:
                    if nearest and line > 5.0:
                        ref.waited_s[w] = 0.0
                    nearest = False
                    entry = start + lanes.lane_length_m[before]
                    stops = obey_entry(lanes, lines, scene, route, ref, scratch, shape, w, r, entry, line, verdict)
            start = start + lanes.lane_length_m[before]
        r = r + 1


@wp.func
def end_of_row(scene: SceneArrays, scratch: Scratch, shape: Shape, w: int, leader: int) -> wp.vec3:
    """Far end of the row of standing road users that begins with the leader, and its right and left edge."""
    row = wp.vec3(scratch.to_m[w, leader], scratch.right_m[w, leader], scratch.left_m[w, leader])
    for _ in range(3):
        for t in range(ROWS):
            still = wp.abs(scratch.along_mps[w, t]) + wp.abs(scratch.across_mps[w, t]) < 0.5
            side = scratch.left_m[w, t] > -shape.half_width_m and scratch.right_m[w, t] < shape.half_width_m
            if still and side and scratch.from_m[w, t] < row[0] + 9.0 and scratch.to_m[w, t] > 0.0:
                row = wp.vec3(
                    wp.max(row[0], scratch.to_m[w, t]),
                    wp.min(row[1], scratch.right_m[w, t]),
                    wp.max(row[2], scratch.left_m[w, t]),
                )
    return row


@wp.func
def strip_is_free(scratch: Scratch, shape: Shape, w: int, offset: float, until: float, v: float) -> bool:
    """Whether nobody is, or will be before the ego is back, where the ego would drive `offset` beside its path."""
    free = bool(True)
    takes = (until + 15.0) / PASS_MPS
    for t in range(ROWS):
        side = shape.half_width_m + 0.4
        if (
            scratch.from_m[w, t] < 0.5e6
            and scratch.left_m[w, t] > offset - side
            and scratch.right_m[w, t] < offset + side
        ):
            along = scratch.along_mps[w, t]
            first = scratch.from_m[w, t] + wp.min(along * (takes + 1.0), 0.0)
            final = scratch.to_m[w, t]
            if final < -shape.rear_m:  # from behind, with 2 s of time
                final = final + wp.max(along - v, 0.0) * 4.0 + 1.0
            if first < until + 15.0 and final > -shape.rear_m:
                free = False
    return free


@wp.func
def pass_blocked(
    lanes: LaneArrays, scene: SceneArrays, route: RouteArrays, ref: ReferenceArrays, scratch: Scratch, shape: Shape,
    opposite: wp.array(dtype=wp.int32), w: int, verdict: Verdict,
) -> float:  # fmt: skip
    """Decide on going round what blocks the lane, and keep at it; returns the gap to keep from a standing leader."""
    leader = verdict.leader[w]
    if ref.pass_offset_m[w] != 0.0:
        if ref.pass_until_m[w] > 0.0:
            slow_at(verdict, w, ref.pass_from_m[w], PASS_MAX_MPS)
        for t in range(ROWS):  # go on past whoever else stands in the lane
            still = wp.abs(scratch.along_mps[w, t]) + wp.abs(scratch.across_mps[w, t]) < 0.5
            until = ref.pass_until_m[w]
            place = wp.clamp(scratch.from_m[w, t], 0.0, until)
            o = pass_at(ref.pass_offset_m[w], ref.pass_from_m[w], ref.pass_ramp_m[w], until, place)
            side = wp.abs(0.5 * (scratch.left_m[w, t] + scratch.right_m[w, t]) + o[0])
            if still and side < shape.half_width_m and scratch.from_m[w, t] < ref.pass_until_m[w] + 12.0:
                ref.pass_until_m[w] = wp.max(ref.pass_until_m[w], scratch.to_m[w, t] + shape.rear_m + 1.0)
        return GAP_M
    if leader < 0 or verdict.leader_mps[w] > STILL_MPS or verdict.gap_m[w] > 40.0:
        ref.blocked_s[w] = wp.max(ref.blocked_s[w] - 2.0 * verdict.dt_s[w], 0.0)
        room = float(GAP_M)
        if leader >= 0:  # it may be about to stand still: let the gap grow while it slows down
            if scratch.to_m[w, leader] - shape.front_m < verdict.junction_m[w] - QUEUE_M:
                room = PASS_ROOM_M + (GAP_M - PASS_ROOM_M) * wp.min(verdict.leader_mps[w] / PASS_MAX_MPS, 1.0)
        return room
    row = end_of_row(scene, scratch, shape, w, leader)
    if row[0] - shape.front_m > verdict.junction_m[w] - QUEUE_M and scene.track_kind[w, leader] != PROP:
        ref.blocked_s[w] = 0.0
        return GAP_M
    ref.blocked_s[w] = ref.blocked_s[w] + verdict.dt_s[w]
    patience = BLOCKED_S
    if scene.track_kind[w, leader] == PROP:
        patience = 0.0
    elif verdict.junction_m[w] < QUEUE_SEEN_M:
        patience = QUEUE_S
    if ref.blocked_s[w] >= patience and ref.shift_left_m[w] == 0.0 and verdict.gap_m[w] > PASS_LEAST_M:
        lane = route.lane[w, ref.route_index[w]]
        until = row[0] + shape.rear_m + 1.0
        left = row[2] + shape.half_width_m + PASS_SIDE_M
        right = row[1] - shape.half_width_m - PASS_SIDE_M
        spare = 0.5 * lanes.width_m[lanes.lane_start[lane]] - shape.half_width_m  # room in the ego's own lane
        offset = float(0.0)
        v = scene.speed_mps[w]
        if (lanes.lane_left[lane] >= 0 or opposite[lane] >= 0 or left < spare) and strip_is_free(
            scratch, shape, w, left, until, v
        ):
            offset = left
        elif (lanes.lane_right[lane] >= 0 or right > -spare) and strip_is_free(scratch, shape, w, right, until, v):
            offset = right
        if offset != 0.0:
            ref.pass_offset_m[w] = offset
            ref.pass_ramp_m[w] = wp.clamp(verdict.gap_m[w] + 2.0, 8.0, 25.0)
            ref.pass_from_m[w] = wp.max(verdict.gap_m[w] + 2.0 - ref.pass_ramp_m[w], 0.0)
            ref.pass_until_m[w] = wp.max(until, ref.pass_from_m[w] + ref.pass_ramp_m[w])
            ref.blocked_s[w] = 0.0
    return PASS_ROOM_M
