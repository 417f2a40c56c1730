"""Where a driver wants to go: a way at the end of its stretch of road, and the lanes from which that can be reached.

A way is a road and direction reached after the next junction (`LaneGraph.succ_way`). Drivers draw theirs when they come
to a stretch with several lanes, get into a lane that leads there (sim/kernels/lanechange.py), and take what their lane
offers where they do not manage to.
"""

from __future__ import annotations

import warp as wp

from sim.state import StateArrays
from stack.lanegraph import LaneArrays
from stack.seeds import Stream, uniform

wp.set_module_options({"enable_backward": False})

ROUTE = wp.constant(int(Stream.ROUTE))
NONE = wp.constant(-1)
MOST_OVER = wp.constant(3)  # lanes to the side that a driver thinks of
LANE_PER_M = wp.constant(120.0)  # of road left for each lane further to the side
EXIT = wp.constant(0.18)  # how often drivers leave a motorway, against staying on it: 15 in 100
SWING_PER_M = wp.constant(0.16)  # tightest radius that a driver takes, over the vehicle's length squared: what its
# nose swings out by is its square over twice the radius


@wp.func
def tightness(st: StateArrays, lanes: LaneArrays, w: int, i: int, lane: int) -> float:
    """1 for a lane that i can follow with ease, more where its bends are too tight."""
    return wp.max(lanes.lane_bend_1pm[lane] * SWING_PER_M * st.length_m[w, i] * st.length_m[w, i], 1.0)


@wp.func
def tightness_past(st: StateArrays, lanes: LaneArrays, w: int, i: int, lane: int) -> float:
    """Of a lane and, if it lies in a junction, of the one that it leads to."""
    most = tightness(st, lanes, w, i, lane)
    if lanes.lane_junction[lane] >= 0 and lanes.succ_count[lane] > 0:
        most = wp.max(most, tightness(st, lanes, w, i, lanes.succ[lanes.succ_start[lane]]))
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
        cost = tightness_past(st, lanes, w, i, pick)
        if lanes.succ_count[pick] == 0:
            cost = cost + 10.0
        if cost < best_cost - 0.01:
            best = pick
            best_cost = cost
    return best


@wp.func
def beside(lanes: LaneArrays, lane: int, over: int) -> int:
    """The lane so many to the left (negative: right), where the marks let one change all the way; else -1."""
    k = lane
    for _ in range(wp.abs(over)):
        if k >= 0:
            if over > 0:
                k = wp.where(lanes.lane_change_left[k] != 0, lanes.lane_left[k], NONE)
            else:
                k = wp.where(lanes.lane_change_right[k] != 0, lanes.lane_right[k], NONE)
    return k


@wp.func
def leads_to(lanes: LaneArrays, lane: int, way: int) -> int:
    """The successor of a lane that leads to a way, -1: none."""
    for m in range(lanes.succ_count[lane]):
        if lanes.succ_way[lanes.succ_start[lane] + m] == way:
            return lanes.succ[lanes.succ_start[lane] + m]
    return NONE


@wp.func
def lanes_off(lanes: LaneArrays, lane: int, way: int) -> int:
    """How many lanes lie between `lane` and one that leads to a way, 0: it does itself; MOST_OVER + 1: none near."""
    for n in range(MOST_OVER + 1):
        left = beside(lanes, lane, n)
        if left >= 0:
            if leads_to(lanes, left, way) >= 0:
                return n
        right = beside(lanes, lane, -n)
        if right >= 0:
            if leads_to(lanes, right, way) >= 0:
                return n
    return MOST_OVER + 1


@wp.func
def draw_way(st: StateArrays, lanes: LaneArrays, w: int, i: int, lane: int, left_m: float) -> int:
    """One of the ways that can still be reached from `lane` within `left_m`, each as likely as the others but for exits of
    motorways; -1: none."""
    reach = wp.min(1 + int(left_m / LANE_PER_M), MOST_OVER)
    best = int(NONE)
    best_draw = float(-1.0e6)
    for n in range(2 * MOST_OVER + 1):
        over = n - MOST_OVER
        k = wp.where(wp.abs(over) <= reach, beside(lanes, lane, over), NONE)
        if k >= 0:
            for m in range(lanes.succ_count[k]):
                way = lanes.succ_way[lanes.succ_start[k] + m]
                if way < 0:
                    continue
                draw = uniform(st.seed[w], ROUTE, st.choices[w, i], i, way + 1)
                if lanes.lane_limit_mps[k] < lanes.lane_limit_mps[lane]:  # a deceleration lane
                    draw = wp.pow(draw, 1.0 / EXIT)
                draw = draw - tightness_past(st, lanes, w, i, lanes.succ[lanes.succ_start[k] + m])
                if draw > best_draw:
                    best = way
                    best_draw = draw
    st.choices[w, i] = st.choices[w, i] + 1
    return best
