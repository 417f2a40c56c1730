"""What a driver keeps behind: the leader on the path, whoever is in the way, walkers, cars that must merge.

Everybody ahead takes something off the acceleration that the driver model allows on a free road (sim/kernels/idm.py); the
strongest counts.
"""

from __future__ import annotations

import warp as wp

from sim.kernels.idm import gap_term
from sim.kernels.near import lowest, near_bits
from sim.kernels.paths import Path, path_point, path_project, point_index
from sim.kernels.roadusers import CYCLIST, IDM, LEVEL_M, LONG_M, nose, rear
from sim.kernels.walkers import CROSS, WAIT_GAP
from sim.state import StateArrays
from stack.labels import Kind
from stack.lanegraph import FAST_MPS, LaneArrays

wp.set_module_options({"enable_backward": False})

PEDESTRIAN = wp.constant(int(Kind.PEDESTRIAN))
PROP = wp.constant(int(Kind.PROP))
SIDE_GAP_M = wp.constant(0.2)  # least free width between a passing car and an obstacle
SWING_M = wp.constant(1.5)  # of a long vehicle's nose in a bend
MERGE_S = wp.constant(6.0)  # a car whose lane ends within so many seconds
MERGE_M = wp.constant(150.0)  # or metres is let in, and lets in whoever is ahead of it,
COURTESY_MPS2 = wp.constant(3.5)  # by giving up so much of the free acceleration: braking at 2 or so
YIELD_MPS2 = wp.constant(6.0)  # the same on the lane that ends itself
MERGED_M = wp.constant(25.0)  # all gaps are open so long before the end
ROOM_BEHIND_M = wp.constant(2.0)  # without which it does not come over
STAND_BEFORE_END_M = wp.constant(16.0)  # where it stands at last; more than lanechange.END_ROOM_M
FAST = wp.constant(FAST_MPS)
SEE_MPS2 = wp.constant(3.4)  # on motorways the end of a queue is seen from where drivers begin to brake for it
KEEPS_M = wp.constant(0.4)  # off the middle of a lane, for one who is all on it
CUTS_BEFORE = wp.constant(0.45)  # of its length: so far before and after a bend a long vehicle is still over the middle
AXLES = wp.constant(0.55)  # wheelbase over length of long vehicles
TIGHT_1PM = wp.constant(0.04)
WALKER_M = wp.constant(0.6)  # radius, and a little more
BODY_VIEW_M = wp.constant(6.0)
NEARER_M = wp.constant(10.0)
FILLS = wp.constant(0.5)  # length over radius, from which two long vehicles do not pass each other in a bend
BEND_STEP_M = wp.constant(3.0)
BEND_VIEW_M = wp.constant(40.0)  # what long vehicles look further ahead
CUT_MAX_M = wp.constant(1.2)  # by how much a rear axle keeps to the inside of a bend
BESIDE_M = wp.constant(0.5)  # free width to a cyclist from which one drives past


@wp.struct
class Ahead:
    """What takes most off the free acceleration, and the nearest slow road user on the path."""

    worst_mps2: float
    slow_row: int
    slow_gap_m: float


@wp.func
def interaction(st: StateArrays, w: int, i: int, v: float, gap_m: float, lead_mps: float, gap_min_m: float) -> float:
    """What something ahead takes off the free acceleration."""
    return gap_term(
        v, gap_m, lead_mps, st.headway_s[w, i], wp.max(st.accel_max_mps2[w, i], 0.5),
        wp.max(st.brake_comfort_mps2[w, i], 0.5), gap_min_m,
    )  # fmt: skip


@wp.func
def place_of(st: StateArrays, lanes: LaneArrays, w: int, k: int, path: Path, own: int) -> float:
    """How far ahead k is by its lane, 1e6 where it is on none of the path's."""
    lane = st.lane[w, k]
    target = st.target_lane[w, k]
    s = st.lane_s_m[w, k]
    if lane == path.lane0 or target == path.lane0 or lane == own:
        return s - path.from_s_m
    if path.lane1 >= 0 and (lane == path.lane1 or target == path.lane1):
        return path.end0_m + s
    if path.lane2 >= 0 and (lane == path.lane2 or target == path.lane2):
        return path.end1_m + s
    return 1.0e6


@wp.func
def cut_in(front: float, bend_1pm: float) -> float:
    """How far to the inside a vehicle keeps in a bend: half of what its front corner swings out."""
    return wp.clamp(0.25 * front * front * bend_1pm, -CUT_MAX_M, CUT_MAX_M)


@wp.func
def walker_gap(st: StateArrays, w: int, i: int, k: int, at: wp.vec3, v: float, front: float) -> float:
    """Gap to a pedestrian at path place `at` who is in the way, about to be, or waiting to cross; 1e6 for others."""
    half = 0.5 * st.width_m[w, i]
    d = wp.abs(at[1])
    gap = at[0] - front
    mode = st.walk_mode[w, k]
    if d < half + 0.5:
        return gap - 1.0
    toward = -wp.sign(at[1]) * st.vx_mps[w, k] * wp.sin(st.yaw_rad[w, k] - at[2])
    if mode == CROSS and toward > 0.2 and d < 8.0:
        if (d - half - 0.5) / toward < gap / wp.max(v, 2.0) + 2.5:
            return gap - 2.0
    if mode == WAIT_GAP and d < 5.0 and v * v < 4.0 * wp.max(gap - 3.0, 0.0):
        return gap - 2.5
    return 1.0e6


@wp.func
def body_gap(st: StateArrays, w: int, i: int, k: int, v: float) -> float:
    """How far i, a long vehicle, may go before its body, which is not over its lane in tight turns, gets to pedestrian k;
    1e6 where it does not. Straight ahead that is the bumper. The inner side keeps to the circle round the centre of the turn
    that the rear wheel draws: whoever is nearer to it than the front corner, but outside that circle, is swept over."""
    dx = st.x_m[w, k] - st.x_m[w, i]
    dy = st.y_m[w, k] - st.y_m[w, i]
    c = wp.cos(st.yaw_rad[w, i])
    n = wp.sin(st.yaw_rad[w, i])
    ahead = dx * c + dy * n
    left = dy * c - dx * n
    half = 0.5 * st.width_m[w, i] + WALKER_M
    front = nose(st, w, i)
    if wp.abs(left) < half and ahead > front and ahead - front < 1.5 + v * v / 8.0:
        return ahead - front - 0.5
    bend = wp.tan(st.wheel_angle_rad[w, i]) / (AXLES * st.length_m[w, i])
    if wp.abs(bend) < TIGHT_1PM:
        return 1.0e6
    radius = 1.0 / wp.abs(bend)
    inward = wp.sign(bend) * left
    apart = wp.sqrt(ahead * ahead + (radius - inward) * (radius - inward))
    if ahead > 0.0 and ahead < front + 1.0 and inward > 0.0 and inward < radius and apart > radius - half:
        return ahead - 1.0
    return 1.0e6


@wp.func
def seen_by_geometry(
    st: StateArrays, lanes: LaneArrays, w: int, i: int, k: int, path: Path, v: float, front: float, aside: float,
    ahead: float, length: float,
) -> wp.vec2:  # fmt: skip
    """Gap and speed along the path of an actor that may be in the way of a car that drives `aside` of its lane's middle,
    without being on the path's lanes. What counts is a part of it of that length, `ahead` of its middle."""
    kind = st.kind[w, k]
    yaw = st.yaw_rad[w, k]
    x = st.x_m[w, k]
    y = st.y_m[w, k]
    if kind <= CYCLIST:
        x = x + (st.centre_m[w, k] + ahead) * wp.cos(yaw)
        y = y + (st.centre_m[w, k] + ahead) * wp.sin(yaw)
    dx = x - st.x_m[w, i]
    dy = y - st.y_m[w, i]
    guess = dx * wp.cos(st.yaw_rad[w, i]) + dy * wp.sin(st.yaw_rad[w, i])
    at = path_project(lanes, path, x, y, guess)
    if at[0] <= 0.0 or at[0] >= path.end2_m:
        return wp.vec2(1.0e6, 0.0)
    if kind == PEDESTRIAN:
        gap = walker_gap(st, w, i, k, at, v, front)
        if st.length_m[w, i] > LONG_M and guess < front + BODY_VIEW_M:
            gap = wp.min(gap, body_gap(st, w, i, k, v))
        return wp.vec2(gap, 0.0)
    c = wp.cos(yaw - at[2])
    n = wp.abs(wp.sin(yaw - at[2]))
    wide = 0.5 * (n * length + wp.abs(c) * st.width_m[w, k]) + 0.5 * st.width_m[w, i]
    deep = 0.5 * (wp.abs(c) * length + n * st.width_m[w, k])
    margin = SIDE_GAP_M
    long = kind <= CYCLIST and st.length_m[w, k] > LONG_M  # of two long ones the shorter takes care, of equals one
    long = long and (st.length_m[w, k] > st.length_m[w, i] or (st.length_m[w, k] == st.length_m[w, i] and k < i))
    if c < -0.5 and kind != PROP and st.vx_mps[w, k] > 0.5:
        margin = -SIDE_GAP_M  # oncoming: it keeps to its side, but a long one swings out in bends
        if long:
            margin = 0.5
    if long and c < 0.5 and st.yaw_rate_radps[w, k] * wp.sin(at[2] - yaw) < -0.02:
        margin = SWING_M  # it turns into the road on our left, and swings out farther yet
        deep = deep + SWING_M
    if st.length_m[w, i] > LONG_M:  # in bends its body is not over the lane's middle
        aside = aside + cut_in(front, path_point(lanes, path, at[0])[3])
    if wp.abs(at[1] - aside) > wide + margin or at[0] < 0.5 * front:
        return wp.vec2(1.0e6, 0.0)
    return wp.vec2(at[0] - deep - front, wp.max(st.vx_mps[w, k] * c, 0.0))


@wp.func
def beside_of(st: StateArrays, w: int, i: int, k: int) -> bool:
    """Has i pulled out far enough to drive past k, which is on the same lane?"""
    free = st.lane_d_m[w, i] - st.lane_d_m[w, k] - 0.5 * (st.width_m[w, i] + st.width_m[w, k])
    return free > BESIDE_M


@wp.func
def squeezes_past(st: StateArrays, w: int, i: int, k: int) -> bool:
    """Is k, with its siren on, on the same lane as i and wholly to the side of it?"""
    apart = wp.abs(st.lane_d_m[w, i] - st.lane_d_m[w, k]) - 0.5 * (st.width_m[w, i] + st.width_m[w, k])
    return st.lane[w, i] == st.lane[w, k] and apart > 0.0


@wp.func
def zips(st: StateArrays, lanes: LaneArrays, w: int, i: int, k: int, path: Path) -> float:
    """Gap to keep to k on the lane beside the path's first one, if one of the two lanes ends soon, its cars have to come over,
    and k goes first; else 1e6. Whose nose is ahead goes first, so that the lanes take turns.

    The gap opens little by little, all of it MERGED_M before the end: two cars that stop side by side and start one after the
    other pass half as many as two that roll. Nobody waits for one who stands at the end and still lacks ROOM_BEHIND."""
    lane = st.lane[w, k]
    if lane != lanes.lane_left[path.lane0] and lane != lanes.lane_right[path.lane0]:
        return 1.0e6
    ends = lanes.succ_count[lane] == 0
    if ends == (lanes.succ_count[path.lane0] == 0):
        return 1.0e6
    left = lanes.lane_stop_s_m[path.lane0] - path.from_s_m - nose(st, w, i)
    v = st.vx_mps[w, i]
    if ends:
        left = lanes.lane_stop_s_m[lane] - st.lane_s_m[w, k] - nose(st, w, k)
        v = st.vx_mps[w, k]
    zone = wp.max(MERGE_M, MERGE_S * v)
    if left > zone:
        return 1.0e6
    at = st.lane_s_m[w, k] * lanes.lane_length_m[path.lane0] / lanes.lane_length_m[lane] - path.from_s_m
    gap = at - rear(st, w, k) - nose(st, w, i)
    if at + nose(st, w, k) <= nose(st, w, i):
        return 1.0e6
    if ends and gap + wp.max(left - STAND_BEFORE_END_M, 0.0) < ROOM_BEHIND_M:
        return 1.0e6
    still = wp.clamp((left - MERGED_M) / (zone - MERGED_M), 0.0, 1.0)
    own = wp.max(st.vx_mps[w, i], 0.0)
    return gap + still * (st.length_m[w, k] + 2.0 * st.gap_min_m[w, i] + own * st.headway_s[w, i])


@wp.func
def keeps_its_lane(st: StateArrays, lanes: LaneArrays, w: int, k: int) -> bool:
    """Is k all on a lane outside junctions, short, and about to stay there? Then it is in nobody's way on other lanes."""
    lane = st.lane[w, k]
    if lane < 0 or st.target_lane[w, k] != lane or st.passing[w, k] >= 0 or st.length_m[w, k] > LONG_M:
        return False
    if lanes.lane_junction[lane] >= 0 or lanes.succ_count[lane] == 0 or st.width_m[w, k] < 1.2:
        return False
    if wp.abs(st.lane_d_m[w, k]) > KEEPS_M:
        return False
    s = st.lane_s_m[w, k]
    return s > rear(st, w, k) and s + nose(st, w, k) < lanes.lane_length_m[lane]


@wp.func
def narrow_bend(lanes: LaneArrays, path: Path, length: float, reach: float) -> wp.vec2:
    """How far ahead a bend that a vehicle of this length fills from edge to edge begins, 0 within it, and ends; 1e6 for
    none."""
    begins = float(1.0e6)
    ends = float(1.0e6)
    n = int(0)
    last = int(wp.min(reach, path.end2_m) / BEND_STEP_M)
    while n < last:
        ahead = float(n) * BEND_STEP_M
        if wp.abs(path_point(lanes, path, ahead)[3]) * length > FILLS:
            begins = wp.min(begins, ahead)
            ends = ahead
        elif begins < 1.0e6:
            n = last
        n = n + 1
    return wp.vec2(begins, ends)


@wp.func
def waits_before_bend(
    st: StateArrays, lanes: LaneArrays, w: int, i: int, k: int, path: Path, reach: float
) -> float:  # fmt: skip
    """Gap to the start of a bend, which the longer of i and k fills, where i lets k, which comes towards it, through first;
    else 1e6. Who is in the bend goes first; before it, of two long ones, the lower row; else the nearer, and a long one
    only where it is nearer by NEARER_M: it needs longer."""
    lane = st.lane[w, k]
    if lane < 0 or st.vx_mps[w, k] < 0.1:
        return 1.0e6
    if lanes.lane_junction[path.lane0] >= 0:
        return 1.0e6
    longer = wp.max(st.length_m[w, i], st.length_m[w, k])
    bend = narrow_bend(lanes, path, longer, wp.min(reach, path.end0_m))  # in junctions others decide
    gap = bend[0] - nose(st, w, i) - CUTS_BEFORE * longer
    if bend[0] >= 1.0e6 or gap < -BEND_STEP_M:
        return 1.0e6
    at = path_project(lanes, path, st.x_m[w, k], st.y_m[w, k], bend[0])
    if at[0] < bend[0] or wp.abs(at[1]) > 2.0 * lanes.width_m[point_index(lanes, path.lane0, path.from_s_m)]:
        return 1.0e6
    gap = wp.max(gap, 0.2)  # places of bends are known to BEND_STEP_M
    theirs = at[0] - nose(st, w, k) - bend[1] - CUTS_BEFORE * longer
    if theirs < 0.0:
        return gap
    if wp.min(st.length_m[w, i], st.length_m[w, k]) > LONG_M:
        return wp.where(k < i, gap, 1.0e6)
    nearer = wp.where(st.length_m[w, i] > LONG_M, -NEARER_M, NEARER_M)
    return wp.where(theirs + nearer < gap, gap, 1.0e6)


@wp.func
def look_ahead(
    st: StateArrays, lanes: LaneArrays, w: int, i: int, actors: int, path: Path, v: float, slow_mps: float, aside: float
) -> Ahead:  # fmt: skip
    """Who ahead takes most off the free acceleration, over all actors of the world; and the nearest on the path whose
    driver wishes no more than `slow_mps`. `aside`: where the car wants to be beside its lane's middle."""
    front = nose(st, w, i)
    own = st.lane[w, i]
    x = st.x_m[w, i]
    y = st.y_m[w, i]
    c = wp.cos(st.yaw_rad[w, i])
    n = wp.sin(st.yaw_rad[w, i])
    reach = 18.0 + 3.5 * v
    if st.length_m[w, i] > LONG_M:
        reach = reach + BEND_VIEW_M
    if lanes.lane_limit_mps[path.lane0] > FAST:
        reach = wp.max(reach, v * v / SEE_MPS2)
    alarm = st.sirens[w] != 0
    out = Ahead()
    out.slow_row = -1
    out.slow_gap_m = 1.0e6
    for first in range(0, actors, 32):
        bits = near_bits(st.x_m, st.y_m, w, first, actors, x, y, reach * reach)
        while bits != wp.uint32(0):
            k = first + lowest(bits)
            bits = bits & (bits - wp.uint32(1))
            kind = st.kind[w, k]
            if kind != 0 and k != i:
                dx = st.x_m[w, k] - x
                dy = st.y_m[w, k] - y
                if dx * c + dy * n > -3.0:
                    if wp.abs(st.z_m[w, k] - st.z_m[w, i]) > LEVEL_M:
                        continue
                    at = float(1.0e6)
                    traffic = kind <= CYCLIST and st.driver[w, k] == IDM
                    if traffic:
                        at = place_of(st, lanes, w, k, path, own)
                        if at <= 0.0:
                            continue  # behind on the same lane
                        if alarm:
                            if st.siren[w, k] != 0 and at - rear(st, w, k) - front < 0.0:
                                if squeezes_past(st, w, i, k):
                                    continue
                                at = float(1.0e6)
                        if at >= 1.0e6 and st.lane[w, k] >= 0:
                            gap = zips(st, lanes, w, i, k, path)
                            if gap < 1.0e5:
                                lead = wp.max(st.vx_mps[w, k], 0.0)
                                take = interaction(st, w, i, v, gap, lead, st.gap_min_m[w, i] + 1.0)
                                most = wp.where(lanes.succ_count[path.lane0] == 0, YIELD_MPS2, COURTESY_MPS2)
                                out.worst_mps2 = wp.max(out.worst_mps2, wp.min(take, most))
                        if at >= 1.0e6 and wp.max(st.length_m[w, i], st.length_m[w, k]) > LONG_M:
                            if c * wp.cos(st.yaw_rad[w, k]) + n * wp.sin(st.yaw_rad[w, k]) < 0.5:
                                gap = waits_before_bend(st, lanes, w, i, k, path, reach)
                                if gap < 1.0e5:
                                    out.worst_mps2 = wp.max(out.worst_mps2, interaction(st, w, i, v, gap, 0.0, 0.5))
                        if at >= 1.0e6 and aside == 0.0 and keeps_its_lane(st, lanes, w, k):
                            continue
                    if at < 1.0e6:
                        gap = at - rear(st, w, k) - front
                        if st.wish_max_mps[w, k] <= slow_mps and gap < out.slow_gap_m and gap > -0.5 * front:
                            out.slow_row = k
                            out.slow_gap_m = gap
                        lead = wp.max(st.vx_mps[w, k], 0.0)
                        if st.passing[w, i] != k or not beside_of(st, w, i, k):
                            out.worst_mps2 = wp.max(
                                out.worst_mps2, interaction(st, w, i, v, gap, lead, st.gap_min_m[w, i])
                            )
                    else:
                        length = st.length_m[w, k]
                        inside = st.lane[w, k] >= 0
                        if inside:
                            inside = lanes.lane_junction[st.lane[w, k]] >= 0
                        if length > LONG_M or (inside and kind <= CYCLIST):  # an end may be in the way, not the middle
                            length = 0.5 * length
                            seen = seen_by_geometry(st, lanes, w, i, k, path, v, front, aside, 0.5 * length, length)
                            tail = seen_by_geometry(st, lanes, w, i, k, path, v, front, aside, -0.5 * length, length)
                            if tail[0] < seen[0]:
                                seen = tail
                        else:
                            seen = seen_by_geometry(st, lanes, w, i, k, path, v, front, aside, 0.0, length)
                        if seen[0] < 1.0e5:
                            take = interaction(st, w, i, v, seen[0], seen[1], st.gap_min_m[w, i])
                            out.worst_mps2 = wp.max(out.worst_mps2, take)
    return out
