"""Lane changes by MOBIL: for speed, for the way that the driver wants to go, and out of lanes that end.

Kesting, Treiber, Helbing 2007, Transportation Research Record 1999, eqs. 2-3.

A car changes where the new follower need not brake harder than SAFE and

    a_new - a_old + politeness (a_follower_after - a_follower_before) + pull > threshold.

The pull is toward lanes that lead where the driver wants to go, the stronger the less road is left; then the follower
may have to brake harder too. A few actors of a world are asked in a tick, one after another, so that two never aim for
the same gap at once.
"""

from __future__ import annotations

import warp as wp

from sim.kernels.following import ROOM_BEHIND_M
from sim.kernels.idm import free_accel, gap_term
from sim.kernels.roadusers import CAR, CYCLIST, IDM, nose, rear
from sim.kernels.wayfinding import choose, draw_way, lanes_off, leads_to
from sim.state import StateArrays
from stack.lanegraph import FAST_MPS, LaneArrays

wp.set_module_options({"enable_backward": False})

SAFE_MPS2 = wp.constant(2.0)  # the new follower may brake this hard,
FAST_SAFE_MPS2 = wp.constant(
    3.5
)  # on motorways nearly as hard as in the paper: else 70 m are too short a gap at 25 m/s
URGENT_MPS2 = wp.constant(2.0)  # and so much harder where there is no time left
POLITENESS = wp.constant(0.3)
THRESHOLD_MPS2 = wp.constant(0.2)
PULL_MPS2 = wp.constant(0.4)  # toward each lane nearer to the wanted way,
URGENT_PULL_MPS2 = wp.constant(4.0)  # and so much more at the end
LANE_ROOM_M = wp.constant(60.0)  # of road that one change takes,
URGENT_FROM_M = wp.constant(150.0)  # and this long before it grows urgent
ROOM_M = wp.constant(35.0)  # of lane left, to finish the change in
END_ROOM_M = wp.constant(6.0)  # the same where a lane ends: from a stand
STANDS_MPS = wp.constant(0.5)  # a follower slower than this stands; out of a lane that ends one moves off
STAND_BEHIND_M = wp.constant(0.5)  # from so little before it: it may wait for just that, with a foot in each lane
SWING_OUT_M = wp.constant(3.0)  # nobody swings out from nearer behind one who waits to do so
SPEED_MIN_MPS = wp.constant(2.0)
SLOW_USER_MPS = wp.constant(8.0)  # who wishes no more keeps to the edge of the road: bicycles
FAST = wp.constant(FAST_MPS)
SETTLED_M = wp.constant(25.0)  # this near to the end of a lane its successor stays as it is


@wp.func
def wish_on(st: StateArrays, lanes: LaneArrays, w: int, k: int, lane: int) -> float:
    """Speed that k would like to drive on a lane that is straight and empty."""
    return wp.min(lanes.lane_limit_mps[lane] * st.wish_factor[w, k], st.wish_max_mps[w, k])


@wp.func
def accel_behind(
    st: StateArrays, lanes: LaneArrays, w: int, k: int, lane: int, gap_m: float, lead_mps: float
) -> float:  # fmt: skip
    """Acceleration of k by the driver model on a lane, behind a leader."""
    v = wp.max(st.vx_mps[w, k], 0.0)
    wish = wish_on(st, lanes, w, k, lane)
    a = wp.max(st.accel_max_mps2[w, k], 0.5)
    take = gap_term(
        v, gap_m, lead_mps, st.headway_s[w, k], a, wp.max(st.brake_comfort_mps2[w, k], 0.5), st.gap_min_m[w, k]
    )
    return free_accel(v, wish, a) - take


@wp.func
def comes_after(lanes: LaneArrays, lane: int, other: int) -> bool:
    """Is `other` what a motorway's lane goes on as?"""
    if lanes.lane_limit_mps[lane] > FAST and lanes.succ_count[lane] > 0:
        return lanes.succ[lanes.succ_start[lane]] == other
    return False


@wp.func
def neighbours(st: StateArrays, lanes: LaneArrays, w: int, actors: int, i: int, lane: int, s_m: float) -> wp.vec2i:
    """Rows of the nearest vehicles ahead of and behind place s on a lane and the lanes that feed it, on motorways on the
    lane after it too; -1: none."""
    ahead = int(-1)
    behind = int(-1)
    ahead_m = float(120.0)
    behind_m = float(-150.0)
    for k in range(actors):
        if k != i and st.kind[w, k] != 0 and st.lane[w, k] >= 0:
            at = float(1.0e6)
            if st.lane[w, k] == lane or st.target_lane[w, k] == lane:
                at = st.lane_s_m[w, k] - s_m
            elif st.next_lane[w, k] == lane:
                at = st.lane_s_m[w, k] - lanes.lane_length_m[st.lane[w, k]] - s_m
            elif comes_after(lanes, lane, st.lane[w, k]):
                at = lanes.lane_length_m[lane] + st.lane_s_m[w, k] - s_m
            if at >= 0.0 and at < ahead_m:
                ahead = k
                ahead_m = at
            if at < 0.0 and at > behind_m:
                behind = k
                behind_m = at
    return wp.vec2i(ahead, behind)


@wp.func
def gain(
    st: StateArrays, lanes: LaneArrays, w: int, actors: int, i: int, lane: int, pull: float, safe: float
) -> float:  # fmt: skip
    """MOBIL's incentive to move to a neighbouring lane, less the threshold; -100 where that is unsafe."""
    own = st.lane[w, i]
    ends = lanes.succ_count[own] == 0
    s = st.lane_s_m[w, i]
    s_new = s * lanes.lane_length_m[lane] / lanes.lane_length_m[own]
    v = wp.max(st.vx_mps[w, i], 0.0)
    now = neighbours(st, lanes, w, actors, i, own, s)
    new = neighbours(st, lanes, w, actors, i, lane, s_new)
    a_old = accel_behind(st, lanes, w, i, own, 1.0e4, v)
    judged = wp.where(pull > 0.0, own, lane)  # who wants to leave does not mind the limit of a deceleration lane
    a_new = accel_behind(st, lanes, w, i, judged, 1.0e4, v)
    if now[0] >= 0:
        gap = st.lane_s_m[w, now[0]] - s - rear(st, w, now[0]) - nose(st, w, i)
        past = comes_after(lanes, own, st.lane[w, now[0]])
        if past:
            gap = gap + lanes.lane_length_m[own]
        if ends and gap < SWING_OUT_M and st.target_lane[w, now[0]] == own:
            return -100.0
        if st.lane[w, now[0]] == own or past:
            a_old = accel_behind(st, lanes, w, i, own, gap, st.vx_mps[w, now[0]])
    if new[0] >= 0:
        gap = st.lane_s_m[w, new[0]] - s_new - rear(st, w, new[0]) - nose(st, w, i)
        if comes_after(lanes, lane, st.lane[w, new[0]]):
            gap = gap + lanes.lane_length_m[lane]
        if gap < st.gap_min_m[w, i]:
            return -100.0
        a_new = accel_behind(st, lanes, w, i, judged, gap, st.vx_mps[w, new[0]])
        if a_new < -safe - 1.0:
            return -100.0
    follower = float(0.0)
    if new[1] >= 0:
        f = new[1]
        at = st.lane_s_m[w, f] - s_new
        if st.lane[w, f] != lane and st.target_lane[w, f] != lane:
            at = at - lanes.lane_length_m[st.lane[w, f]]
        gap = -at - rear(st, w, i) - nose(st, w, f)
        room = float(ROOM_BEHIND_M)
        if ends and st.lane[w, f] == own:
            gap = s - st.lane_s_m[w, f] - rear(st, w, i) - nose(st, w, f)
        if ends and st.vx_mps[w, f] < STANDS_MPS:
            room = STAND_BEHIND_M
        if gap < room:
            return -100.0
        after = accel_behind(st, lanes, w, f, st.lane[w, f], gap, v)
        if after < -safe:
            return -100.0
        follower = wp.min(after - accel_behind(st, lanes, w, f, st.lane[w, f], gap + 30.0, v), 0.0)
    # what the car gains at once weighs no more than a comfortable brake: a wall of a leader must not hide the way
    return wp.clamp(a_new - a_old, -safe, safe) + POLITENESS * follower + pull - THRESHOLD_MPS2


@wp.func
def find_way(st: StateArrays, lanes: LaneArrays, w: int, i: int, left_m: float) -> None:
    """Draw where to go at the end of this stretch, and take the successor that leads there once the lane has it."""
    own = st.lane[w, i]
    if st.way[w, i] < 0:
        st.way[w, i] = draw_way(st, lanes, w, i, own, left_m)
    to = leads_to(lanes, own, st.way[w, i])
    if to >= 0 and st.next_lane[w, i] != to and left_m > SETTLED_M:
        st.next_lane[w, i] = to
        st.after_lane[w, i] = choose(st, lanes, w, i, to)


@wp.func
def consider_change(st: StateArrays, lanes: LaneArrays, w: int, actors: int, i: int) -> None:
    """Start a lane change of i where it pays: `target_lane` is then the neighbour, the lanes after it are new."""
    kind = st.kind[w, i]
    if kind < CAR or kind > CYCLIST or st.driver[w, i] != IDM:
        return
    own = st.lane[w, i]
    if own < 0 or st.target_lane[w, i] != own or lanes.lane_junction[own] >= 0 or st.granted[w, i] >= 0:
        return
    left = lanes.lane_left[own]
    right = lanes.lane_right[own]
    if (left < 0 and right < 0) or st.wish_max_mps[w, i] < SLOW_USER_MPS:
        return
    if st.hears[w, i] >= 0 or st.aside_m[w, i] != 0.0:  # makes way for a siren, or is between the lanes with its own
        return
    left_m = lanes.lane_stop_s_m[own] - st.lane_s_m[w, i] - nose(st, w, i)
    ends = lanes.succ_count[own] == 0
    find_way(st, lanes, w, i, left_m)
    if ends:
        if left_m < END_ROOM_M:
            return
    elif left_m < ROOM_M or st.vx_mps[w, i] < SPEED_MIN_MPS:
        return
    off = lanes_off(lanes, own, st.way[w, i])
    urgent = wp.clamp(1.0 - (left_m - LANE_ROOM_M * float(off)) / URGENT_FROM_M, 0.0, 1.0)
    weight = PULL_MPS2 + URGENT_PULL_MPS2 * urgent
    safe = wp.where(lanes.lane_limit_mps[own] > FAST, FAST_SAFE_MPS2, SAFE_MPS2)
    safe = safe + wp.where(off > 0, URGENT_MPS2 * urgent, 0.0)
    best = int(-1)
    best_gain = float(0.0)
    for side in range(2):
        lane = wp.where(side == 0, left, right)
        allowed = wp.where(side == 0, lanes.lane_change_left[own], lanes.lane_change_right[own])
        if lane >= 0 and allowed != 0:
            pull = weight * float(off - lanes_off(lanes, lane, st.way[w, i]))
            pays = gain(st, lanes, w, actors, i, lane, pull, safe)
            if pays > best_gain:
                best_gain = pays
                best = lane
    if best >= 0:
        st.target_lane[w, i] = best
        to = leads_to(lanes, best, st.way[w, i])
        if to < 0:
            to = choose(st, lanes, w, i, best)
        st.next_lane[w, i] = to
        st.after_lane[w, i] = choose(st, lanes, w, i, st.next_lane[w, i])
