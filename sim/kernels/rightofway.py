"""Who may enter a junction. A traffic car holds at its line until it is granted the junction lane that it wants.

One thread for each world hears the requests one after another, longest wait first, so that grants never cross. A
request is refused while a car that holds a conflicting lane would be in the way, while one with precedence would arrive
before the junction is cleared (gap acceptance), or while there is no room behind the exit. Learners and scripted cars
hold the lane they are on, and are waited for where they have precedence and keep coming.
"""

from __future__ import annotations

import warp as wp

from sim.kernels.priority import comes_first, on_other_side, passes
from sim.kernels.roadusers import CAR, CYCLIST, IDM, LONG_M, NONE, nose, rear
from sim.kernels.room import COURTESY_S, exit_lane, lacks_room, room_after
from sim.kernels.signals import GREEN, RED, TICK, YELLOW, YELLOW_TIME
from sim.kernels.wayfinding import tightness
from sim.state import Driver, StateArrays
from stack.labels import Sign
from stack.lanegraph import LaneArrays

wp.set_module_options({"enable_backward": False})

STOP = wp.constant(int(Sign.STOP))

WAITING = wp.constant(-2)  # refused for a conflict, not for want of room
STOP_WAIT_S = wp.constant(1.0)
PATIENCE_S = wp.constant(8.0)  # after this, others of equal rank may not cut in
MARGIN_S = wp.constant(1.5)  # between one car's leaving a conflict stretch and another's arrival
BRAKE_MPS2 = wp.constant(3.0)  # what a driver brakes at for a light that turns yellow
START_MPS2 = wp.constant(1.2)  # pulling away
STANDS_PAST_M = wp.constant(
    0.8
)  # who stands nearer past a conflict stretch is still in the way of one who cuts the corner
SWING_REACH_M = wp.constant(7.0)
REROUTE_S = wp.constant(30.0)  # of waiting for room, after which a driver goes another way
TIGHT = wp.constant(1.2)
NOBODY = wp.constant(int(Driver.NONE))
STALE_S = wp.constant(2.0)
SIREN_MPS = wp.constant(5.0)  # no faster, and
SIREN_LINE_M = wp.constant(8.0)  # no farther from the line, it asks for a junction on red
SIREN_WAIT_S = wp.constant(1.0e4)  # it is heard before all others
BRAKE_FOR_SIREN_MPS2 = wp.constant(2.5)
GORE_MPS = wp.constant(15.0)  # the limit of any lane past a motorway's gore is higher


@wp.func
def line_gap(st: StateArrays, lanes: LaneArrays, w: int, k: int) -> float:
    """From the front bumper to the line before the entry lane; negative past it."""
    before = st.lane[w, k]
    if st.next_lane[w, k] != st.entry_lane[w, k]:
        before = st.next_lane[w, k]
    setback = lanes.lane_length_m[before] - lanes.lane_stop_s_m[before]
    return st.entry_in_m[w, k] - setback - nose(st, w, k)


@wp.func
def along(st: StateArrays, lanes: LaneArrays, w: int, k: int, lane: int) -> float:
    """Place of k's origin on a junction lane that it holds or heads for: negative before, over its length past it."""
    if st.lane[w, k] == lane:
        return st.lane_s_m[w, k]
    if st.entry_lane[w, k] == lane:
        return -st.entry_in_m[w, k]
    return lanes.lane_length_m[lane] + st.lane_s_m[w, k]


@wp.func
def time_to(distance_m: float, v_mps: float, accel_mps2: float) -> float:
    """Seconds to cover a distance from a speed with a constant acceleration; 0 for what lies behind."""
    d = wp.max(distance_m, 0.0)
    return (wp.sqrt(v_mps * v_mps + 2.0 * accel_mps2 * d) - v_mps) / accel_mps2


@wp.func
def conflict_of(lanes: LaneArrays, lane: int, other: int) -> int:
    """Index of the conflict of two junction lanes, -1 for none. Lanes that part from one another do not conflict."""
    for n in range(lanes.conflict_count[lane]):
        c = lanes.conflict_start[lane] + n
        if lanes.conflict_lane[c] == other:
            if lanes.conflict_from_m[c] > 0.6 or lanes.conflict_other_from_m[c] > 0.6:
                return c
            return -1
    return -1


@wp.func
def light_of(st: StateArrays, lanes: LaneArrays, w: int, lane: int) -> int:
    signal = lanes.lane_signal[lane]
    if signal < 0:
        return 0
    return st.signal_state[w, signal]


@wp.func
def yellow_left(st: StateArrays, lanes: LaneArrays, w: int, lane: int) -> float:
    """Seconds until the yellow light of a junction lane turns red."""
    signal = lanes.lane_signal[lane]
    offset = st.signal_offset_s[w, wp.max(lanes.signal_junction[signal], 0)]
    end = lanes.signal_green_from_s[signal] + lanes.signal_green_s[signal] + YELLOW_TIME
    left = end - float(st.tick[w]) * TICK - offset
    cycle = wp.max(lanes.signal_cycle_s[signal], 1.0)
    return left - cycle * wp.floor(left / cycle)


@wp.func
def crosses(st: StateArrays, lanes: LaneArrays, w: int, i: int, k: int, mine: int, lane: int, c: int) -> bool:
    """Would i on `mine` and k, which holds `lane`, be on their conflict stretch c at nearly the same time?"""
    at_k = along(st, lanes, w, k, lane)
    past = at_k - rear(st, w, k) - lanes.conflict_other_to_m[c]
    if past > STANDS_PAST_M or (past > 0.0 and st.vx_mps[w, k] > 0.5):
        return False
    at_i = -st.entry_in_m[w, i]
    v_i = wp.max(st.vx_mps[w, i], 0.0)
    v_k = wp.max(st.vx_mps[w, k], 0.0)
    if at_k + nose(st, w, k) > lanes.conflict_other_from_m[c] and v_k * v_k < 2.0 * past * st.ax_mps2[w, k]:
        return True  # k brakes, for one of many reasons, and will stand on the stretch
    i_in = time_to(lanes.conflict_from_m[c] - at_i - nose(st, w, i), v_i, 2.0)
    i_out = time_to(lanes.conflict_to_m[c] - at_i + rear(st, w, i), v_i, START_MPS2)
    k_in = time_to(lanes.conflict_other_from_m[c] - at_k - nose(st, w, k), v_k, 2.0)
    k_out = time_to(lanes.conflict_other_to_m[c] - at_k + rear(st, w, k), wp.min(v_k, 8.0), 0.3)
    return not (i_in > k_out + MARGIN_S or k_in > i_out + 2.0 * MARGIN_S)


@wp.func
def swings_across(st: StateArrays, lanes: LaneArrays, w: int, k: int, turning: int, other: int) -> bool:
    """Does k, a long vehicle that turns right on the lane `turning`, swing out over the start of `other` where it leaves?"""
    if lanes.lane_turn[turning] >= 0 or st.length_m[w, k] < LONG_M:
        return False
    if along(st, lanes, w, k, turning) > lanes.lane_length_m[turning] + rear(st, w, k):
        return False
    end = lanes.lane_start[turning] + lanes.lane_count[turning] - 1
    start = lanes.lane_start[other]
    dx = lanes.x_m[end] - lanes.x_m[start]
    dy = lanes.y_m[end] - lanes.y_m[start]
    return dx * dx + dy * dy < SWING_REACH_M * SWING_REACH_M


@wp.func
def goes_first(
    st: StateArrays, lanes: LaneArrays, w: int, i: int, k: int, mine: int, lane: int, c: int, in_m: float
) -> bool:  # fmt: skip
    """Must i wait for k, which has not been granted `lane` yet, `in_m` ahead of it?"""
    if st.sirens[w] != 0:
        if st.siren[w, i] != 0:  # of all others only those count that do not ask
            coming = st.driver[w, k] != IDM and st.vx_mps[w, k] > 0.5 and light_of(st, lanes, w, lane) != RED
            return coming and arrives_first(st, lanes, w, i, k, c, in_m)
    first = -lanes.conflict_rank[c]  # 1: k has precedence
    waited_i = st.waited_s[w, i]
    waited_k = st.waited_s[w, k]
    light = light_of(st, lanes, w, lane)
    if light == RED or light == YELLOW:
        return False
    if st.granted[w, k] == WAITING and waited_k > waited_i:
        if waited_k > COURTESY_S or (waited_k > PATIENCE_S and first >= 0):
            return True
    scripted = st.driver[w, k] != IDM
    if first < 0 or (first == 0 and not scripted) or lanes.lane_sign[lane] == STOP:
        return False
    v_k = wp.max(st.vx_mps[w, k], 0.0)
    if waited_i > COURTESY_S and not scripted and in_m - nose(st, w, k) > v_k * v_k / (2.0 * BRAKE_MPS2) + 1.0:
        return False  # k can still stop
    if v_k < 0.5 and (waited_k > 1.0 or scripted):
        return False
    return arrives_first(st, lanes, w, i, k, c, in_m)


@wp.func
def arrives_first(st: StateArrays, lanes: LaneArrays, w: int, i: int, k: int, c: int, in_m: float) -> bool:
    """Would k, which drives on, be at the conflict stretch c before i is past it?"""
    at_i = -st.entry_in_m[w, i]
    i_out = time_to(lanes.conflict_to_m[c] - at_i + rear(st, w, i), wp.max(st.vx_mps[w, i], 0.0), START_MPS2)
    k_in = time_to(lanes.conflict_other_from_m[c] + in_m - nose(st, w, k), wp.max(st.vx_mps[w, k], 0.0), 0.8)
    return k_in < i_out + MARGIN_S


@wp.func
def is_gore(lanes: LaneArrays, lane: int) -> bool:
    """Is it a lane past a motorway's gore, which nothing crosses, joins or controls? Nobody needs leave to enter that."""
    free = lanes.conflict_count[lane] == 0 and lanes.lane_signal[lane] < 0 and lanes.lane_sign[lane] <= 0
    return free and lanes.lane_limit_mps[lane] > GORE_MPS


@wp.func
def wants_in(st: StateArrays, lanes: LaneArrays, w: int, i: int) -> bool:
    """Is i near enough to ask, and do light and sign let it?"""
    mine = st.entry_lane[w, i]
    if mine < 0 or st.granted[w, i] == mine or st.driver[w, i] != IDM or st.entry_in_m[w, i] <= 0.0:
        return False
    kind = st.kind[w, i]
    if kind < CAR or kind > CYCLIST or is_gore(lanes, mine):
        return False
    gap = line_gap(st, lanes, w, i)
    v = wp.max(st.vx_mps[w, i], 0.0)
    if gap > 0.25 * v * v + v + 5.0:
        return False
    light = light_of(st, lanes, w, mine)
    if st.siren[w, i] != 0 and (light == RED or light == YELLOW or lanes.lane_sign[mine] == STOP):
        return v < SIREN_MPS and gap < SIREN_LINE_M
    if light == RED:
        return False
    if light == YELLOW:
        turning = lanes.lane_turn[mine] == 1 and st.waited_s[w, i] > 2.0  # waited at the line for oncoming cars
        turning = turning and time_to(gap + 1.0, v, START_MPS2) < yellow_left(st, lanes, w, mine)
        in_time = gap < 0.6 * v * yellow_left(st, lanes, w, mine)
        return turning or (in_time and v * v > 2.0 * BRAKE_MPS2 * wp.max(gap, 0.0))
    if light == GREEN:
        return True
    return lanes.lane_sign[mine] != STOP or st.waited_s[w, i] >= STOP_WAIT_S


@wp.func
def queues(st: StateArrays, w: int, actors: int, i: int) -> bool:
    """Is somebody ahead of i on its lane who has not been let in? Then a grant would only keep others out."""
    for k in range(actors):
        if st.lane[w, k] == st.lane[w, i] and st.lane_s_m[w, k] > st.lane_s_m[w, i] and st.granted[w, k] < 0:
            if st.kind[w, k] >= CAR and st.kind[w, k] <= CYCLIST:
                if st.siren[w, i] == 0:
                    return True
                if not passes(st, w, i, k):
                    return True
    return False


@wp.func
def siren_crosses(st: StateArrays, lanes: LaneArrays, w: int, actors: int, lane: int, leave: int) -> bool:
    """Does an emergency vehicle come that wants a junction lane in conflict with this one, or on the lane that it leads to?"""
    for k in range(actors):
        if st.siren[w, k] != 0 and on_other_side(st, lanes, w, k, leave):
            return True
        if comes_first(st, w, k, st.entry_in_m[w, k]) and st.entry_lane[w, k] >= 0:
            if lanes.lane_junction[st.entry_lane[w, k]] == lanes.lane_junction[lane]:
                if conflict_of(lanes, lane, st.entry_lane[w, k]) >= 0:
                    return True
    return False


@wp.func
def answer(st: StateArrays, lanes: LaneArrays, w: int, actors: int, i: int) -> int:
    """The lane granted to i, or NONE (no room behind the junction, or not the first at the line), or WAITING."""
    mine = st.entry_lane[w, i]
    junction = lanes.lane_junction[mine]
    if queues(st, w, actors, i):
        return NONE
    leave = exit_lane(st, w, i, mine)
    if leave >= 0:
        if lacks_room(st, lanes, w, actors, i, mine, leave):
            return NONE
    if st.sirens[w] != 0 and st.siren[w, i] == 0:
        if siren_crosses(st, lanes, w, actors, mine, leave):
            return WAITING
    for k in range(actors):
        kind = st.kind[w, k]
        if k != i and kind >= CAR and kind <= CYCLIST:
            g = st.granted[w, k]
            if g >= 0 and g != mine and lanes.lane_junction[g] == junction:
                c = conflict_of(lanes, mine, g)
                if c >= 0 and crosses(st, lanes, w, i, k, mine, g, c):
                    return WAITING
                if swings_across(st, lanes, w, k, g, mine) or swings_across(st, lanes, w, i, mine, g):
                    return WAITING
            e = st.entry_lane[w, k]
            in_m = st.entry_in_m[w, k]
            if e >= 0 and e == st.lane[w, k]:  # in a junction now: in a roundabout the next one follows at once
                e = st.after_lane[w, k]
                if e >= 0:
                    in_m = in_m + lanes.lane_length_m[st.lane[w, k]] + lanes.lane_length_m[st.next_lane[w, k]]
            if e >= 0 and e != g and e != mine and in_m > 0.0 and lanes.lane_junction[e] == junction:
                c = conflict_of(lanes, mine, e)
                if c >= 0 and goes_first(st, lanes, w, i, k, mine, e, c, in_m):
                    return WAITING
    return mine


@wp.func
def go_another_way(st: StateArrays, lanes: LaneArrays, w: int, actors: int, i: int) -> None:
    """Choose another lane of the junction for i, which has waited too long for room where it wanted to go."""
    lane = st.lane[w, i]
    for m in range(lanes.succ_count[lane]):
        other = lanes.succ[lanes.succ_start[lane] + m]
        if other != st.entry_lane[w, i] and lanes.lane_junction[other] >= 0 and lanes.succ_count[other] > 0:
            leave = lanes.succ[lanes.succ_start[other]]
            room = room_after(st, lanes, w, actors, i, leave)
            if room > st.length_m[w, i] + 3.0 and tightness(st, lanes, w, i, other) <= TIGHT:
                st.next_lane[w, i] = other
                st.after_lane[w, i] = leave
                st.entry_lane[w, i] = other
                st.way[w, i] = NONE
                return


@wp.func
def scripted_first(st: StateArrays, lanes: LaneArrays, w: int, actors: int, i: int, g: int) -> bool:
    """Does a learner or a scripted car, which asks nobody, come after all, with precedence over i, to which g is granted?"""
    for k in range(actors):
        if st.driver[w, k] != IDM and st.driver[w, k] != NOBODY:
            e = st.entry_lane[w, k]
            if e >= 0 and e != g and st.entry_in_m[w, k] > 0.0:
                if lanes.lane_junction[e] == lanes.lane_junction[g]:
                    c = conflict_of(lanes, g, e)
                    if c >= 0:
                        if goes_first(st, lanes, w, i, k, g, e, c, st.entry_in_m[w, k]):
                            return True
    return False


@wp.func
def withdraw(st: StateArrays, lanes: LaneArrays, w: int, actors: int, i: int) -> None:
    """Take a grant back when the light or the room behind the exit is gone, or somebody who does not ask comes first, and
    the car can still stop at its line."""
    g = st.granted[w, i]
    if g >= 0 and st.entry_lane[w, i] == g and st.entry_in_m[w, i] > 0.0 and st.driver[w, i] == IDM:
        light = light_of(st, lanes, w, g)
        gap = line_gap(st, lanes, w, i)
        v = wp.max(st.vx_mps[w, i], 0.0)
        if st.sirens[w] != 0:
            if st.siren[w, i] != 0:
                light = GREEN  # whatever it shows
            elif v * v < 2.0 * BRAKE_FOR_SIREN_MPS2 * gap and siren_crosses(
                st, lanes, w, actors, g, exit_lane(st, w, i, g)
            ):
                st.granted[w, i] = NONE
        if light == YELLOW and gap > 0.2:
            left = yellow_left(st, lanes, w, g)
            turning = lanes.lane_turn[g] == 1 and time_to(gap + 0.5, v, START_MPS2) < left
            late = gap > 0.6 * v * left and v * v < 10.0 * gap  # it would reach the line on red
            if not turning and (late or v * v < 2.0 * BRAKE_MPS2 * gap):
                st.granted[w, i] = NONE
        if st.stuck_s[w, i] > STALE_S and queues(st, w, actors, i):
            st.granted[w, i] = NONE
        if light == RED and gap > 0.2 and v * v < 4.0 * BRAKE_MPS2 * gap:
            st.granted[w, i] = NONE
        if v * v < BRAKE_MPS2 * gap and gap < 15.0 and st.next_lane[w, i] == g and st.after_lane[w, i] >= 0:
            if lacks_room(st, lanes, w, actors, i, g, st.after_lane[w, i]):
                st.granted[w, i] = NONE
        if v * v < BRAKE_MPS2 * gap and scripted_first(st, lanes, w, actors, i, g):
            st.granted[w, i] = WAITING


@wp.func
def grant_all(st: StateArrays, lanes: LaneArrays, w: int, actors: int) -> None:
    """Answer all requests of one world, longest wait first, ties by row."""
    for i in range(actors):
        withdraw(st, lanes, w, actors, i)
    alarm = st.sirens[w] != 0
    last_wait = float(1.0e9)
    last_row = int(-1)
    for _ in range(actors):
        best = int(-1)
        best_wait = float(-1.0)
        for i in range(actors):
            if st.entry_lane[w, i] >= 0 and st.granted[w, i] != st.entry_lane[w, i]:
                wait = st.waited_s[w, i]
                if alarm:
                    wait = wait + SIREN_WAIT_S * float(st.siren[w, i])
                after = wait < last_wait or (wait == last_wait and i > last_row)
                if after and wait > best_wait and wants_in(st, lanes, w, i):
                    best = i
                    best_wait = wait
        if best < 0:
            break
        said = answer(st, lanes, w, actors, best)
        if said >= 0 or st.granted[w, best] < 0:  # who still stands in the last junction keeps hold of it
            st.granted[w, best] = said
        if said == NONE and best_wait > REROUTE_S and st.next_lane[w, best] == st.entry_lane[w, best]:
            go_another_way(st, lanes, w, actors, best)
        last_wait = best_wait
        last_row = best
