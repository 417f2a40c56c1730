"""Where to go next: random turns, and lane changes by MOBIL.

Kesting, Treiber, Helbing 2007, Transportation Research Record 1999, eqs. 2-3.

A car changes where the new follower need not brake harder than SAFE and

    a_new - a_old + politeness (a_follower_after - a_follower_before) > threshold.

One actor of a world is asked in a tick, in turn, so that two never aim for the same gap at once.
"""

from __future__ import annotations

import warp as wp

from sim.kernels.idm import free_accel, gap_term
from sim.kernels.rightofway import CAR, CYCLIST, IDM, NONE, nose, rear
from sim.state import StateArrays
from stack.lanegraph import LaneArrays
from stack.seeds import Stream, uniform

wp.set_module_options({"enable_backward": False})

ROUTE = wp.constant(int(Stream.ROUTE))
SAFE_MPS2 = wp.constant(2.0)  # the new follower may brake this hard
POLITENESS = wp.constant(0.3)
THRESHOLD_MPS2 = wp.constant(0.2)
DEAD_END_BONUS_MPS2 = wp.constant(3.0)  # for leaving a lane that ends, against one that goes on
BEND_PER_LENGTH = wp.constant(0.9)  # tightest radius that a driver takes, over the vehicle's length
ROOM_M = wp.constant(35.0)  # of lane left, to finish the change in
SPEED_MIN_MPS = wp.constant(2.0)


@wp.func
def sharpest_bend(lanes: LaneArrays, lane: int) -> float:
    """Largest curvature of a lane, 1/m."""
    most = float(0.0)
    for n in range(lanes.lane_count[lane]):
        most = wp.max(most, wp.abs(lanes.curvature_1pm[lanes.lane_start[lane] + n]))
    return most


@wp.func
def choose(st: StateArrays, lanes: LaneArrays, w: int, i: int, lane: int) -> int:
    """Draw one of the lanes after `lane`, passing over dead ends and bends too tight for it; -1 where it ends."""
    if lane < 0 or lanes.succ_count[lane] == 0:
        return NONE
    n = lanes.succ_count[lane]
    start = int(uniform(st.seed[w], ROUTE, st.choices[w, i], i, 0) * float(n))
    st.choices[w, i] = st.choices[w, i] + 1
    best = int(NONE)
    best_cost = float(1.0e6)
    for m in range(n):
        pick = lanes.succ[lanes.succ_start[lane] + (start + m) % n]
        cost = wp.max(sharpest_bend(lanes, pick) * BEND_PER_LENGTH * st.length_m[w, i], 1.0)
        if lanes.succ_count[pick] == 0:
            cost = cost + 10.0
        if cost < best_cost - 0.01:
            best = pick
            best_cost = cost
    return best


@wp.func
def accel_behind(st: StateArrays, lanes: LaneArrays, w: int, k: int, gap_m: float, lead_mps: float) -> float:
    """Acceleration of k by the driver model behind a leader."""
    v = wp.max(st.vx_mps[w, k], 0.0)
    wish = lanes.lane_limit_mps[st.lane[w, k]] * st.wish_factor[w, k]
    a = wp.max(st.accel_max_mps2[w, k], 0.5)
    take = gap_term(
        v, gap_m, lead_mps, st.headway_s[w, k], a, wp.max(st.brake_comfort_mps2[w, k], 0.5), st.gap_min_m[w, k]
    )
    return free_accel(v, wish, a) - take


@wp.func
def neighbours(st: StateArrays, lanes: LaneArrays, w: int, actors: int, i: int, lane: int, s_m: float) -> wp.vec2i:
    """Rows of the nearest vehicles ahead of and behind place s on a lane and the lanes that feed it; -1: none."""
    ahead = int(-1)
    behind = int(-1)
    ahead_m = float(80.0)
    behind_m = float(-60.0)
    for k in range(actors):
        if k != i and st.kind[w, k] != 0 and st.lane[w, k] >= 0:
            at = float(1.0e6)
            if st.lane[w, k] == lane or st.target_lane[w, k] == lane:
                at = st.lane_s_m[w, k] - s_m
            elif st.next_lane[w, k] == lane:
                at = st.lane_s_m[w, k] - lanes.lane_length_m[st.lane[w, k]] - s_m
            if at >= 0.0 and at < ahead_m:
                ahead = k
                ahead_m = at
            if at < 0.0 and at > behind_m:
                behind = k
                behind_m = at
    return wp.vec2i(ahead, behind)


@wp.func
def gain(st: StateArrays, lanes: LaneArrays, w: int, actors: int, i: int, lane: int) -> float:
    """MOBIL's incentive to move to a neighbouring lane, less the threshold; -100 where that is unsafe."""
    own = st.lane[w, i]
    s = st.lane_s_m[w, i]
    s_new = s * lanes.lane_length_m[lane] / lanes.lane_length_m[own]
    v = wp.max(st.vx_mps[w, i], 0.0)
    now = neighbours(st, lanes, w, actors, i, own, s)
    new = neighbours(st, lanes, w, actors, i, lane, s_new)
    a_old = accel_behind(st, lanes, w, i, 1.0e4, v)
    a_new = a_old
    if now[0] >= 0:
        gap = st.lane_s_m[w, now[0]] - s - rear(st, w, now[0]) - nose(st, w, i)
        if st.lane[w, now[0]] == own:
            a_old = accel_behind(st, lanes, w, i, gap, st.vx_mps[w, now[0]])
    if new[0] >= 0:
        gap = st.lane_s_m[w, new[0]] - s_new - rear(st, w, new[0]) - nose(st, w, i)
        if gap < st.gap_min_m[w, i]:
            return -100.0
        a_new = accel_behind(st, lanes, w, i, gap, st.vx_mps[w, new[0]])
    follower = float(0.0)
    if new[1] >= 0:
        f = new[1]
        at = st.lane_s_m[w, f] - s_new
        if st.lane[w, f] != lane and st.target_lane[w, f] != lane:
            at = at - lanes.lane_length_m[st.lane[w, f]]
        gap = -at - rear(st, w, i) - nose(st, w, f)
        if gap < 2.0:
            return -100.0
        after = accel_behind(st, lanes, w, f, gap, v)
        if after < -SAFE_MPS2:
            return -100.0
        follower = wp.min(after - accel_behind(st, lanes, w, f, gap + 30.0, v), 0.0)
    bonus = float(0.0)
    if lanes.succ_count[own] == 0 and lanes.succ_count[lane] > 0:
        bonus = DEAD_END_BONUS_MPS2
    if lanes.succ_count[own] > 0 and lanes.succ_count[lane] == 0:
        bonus = -DEAD_END_BONUS_MPS2
    return a_new - a_old + POLITENESS * follower + bonus - THRESHOLD_MPS2


@wp.func
def consider_change(st: StateArrays, lanes: LaneArrays, w: int, actors: int, i: int) -> None:
    """Start a lane change of i where it pays: `target_lane` is then the neighbour, the lanes after it are new."""
    kind = st.kind[w, i]
    if kind < CAR or kind >= CYCLIST or st.driver[w, i] != IDM:
        return
    own = st.lane[w, i]
    if own < 0 or st.target_lane[w, i] != own or lanes.lane_junction[own] >= 0 or st.granted[w, i] >= 0:
        return
    if st.vx_mps[w, i] < SPEED_MIN_MPS or lanes.lane_length_m[own] - st.lane_s_m[w, i] < ROOM_M:
        return
    best = int(-1)
    best_gain = float(0.0)
    if lanes.lane_left[own] >= 0 and lanes.lane_change_left[own] != 0:
        best_gain = gain(st, lanes, w, actors, i, lanes.lane_left[own])
        best = lanes.lane_left[own]
    if lanes.lane_right[own] >= 0 and lanes.lane_change_right[own] != 0:
        right = gain(st, lanes, w, actors, i, lanes.lane_right[own])
        if best < 0 or right > best_gain:
            best_gain = right
            best = lanes.lane_right[own]
    if best >= 0 and best_gain > 0.0:
        st.target_lane[w, i] = best
        st.next_lane[w, i] = choose(st, lanes, w, i, best)
        st.after_lane[w, i] = choose(st, lanes, w, i, st.next_lane[w, i])
