"""Is there room behind a junction? Who has none would stand in the way of others, and waits at its line."""

from __future__ import annotations

import warp as wp

from sim.kernels.roadusers import CAR, CYCLIST, NONE, rear
from sim.state import StateArrays
from stack.lanegraph import LaneArrays

wp.set_module_options({"enable_backward": False})

COURTESY_S = wp.constant(12.0)  # who has waited longer than this goes before others
SLOW_MPS = wp.constant(3.0)
CLOSE_M = wp.constant(2.7)  # between cars that stand in a queue
STREET_M = wp.constant(36.0)  # shorter lanes are pieces of a ring or a junction, in which nobody stays


@wp.func
def exit_lane(st: StateArrays, w: int, k: int, lane: int) -> int:
    """The lane on which k leaves the junction lane `lane`."""
    if st.lane[w, k] == lane:
        return st.next_lane[w, k]
    if st.next_lane[w, k] == lane:
        return st.after_lane[w, k]
    if st.after_lane[w, k] == lane:
        return NONE  # not chosen yet
    return st.lane[w, k]


@wp.func
def room_after(st: StateArrays, lanes: LaneArrays, w: int, actors: int, i: int, leave: int) -> float:
    """Metres on the exit lane before the first slow car there, and no more than all on it would leave if they closed up, less
    what others on their way will take up, and those who have waited for it too long already."""
    room = float(1.0e6)
    closed_up = float(1.0e6)
    if lanes.lane_length_m[leave] > STREET_M:
        closed_up = lanes.lane_stop_s_m[leave]
    taken = float(0.0)
    for k in range(actors):
        kind = st.kind[w, k]
        if k != i and kind >= CAR and kind <= CYCLIST:
            if st.lane[w, k] == leave:
                closed_up -= st.length_m[w, k] + CLOSE_M
                if st.vx_mps[w, k] < SLOW_MPS:
                    if st.hears[w, k] == i:
                        continue  # makes way
                    room = wp.min(room, st.lane_s_m[w, k] - rear(st, w, k))
            else:
                g = st.granted[w, k]
                if g < 0 and st.waited_s[w, k] > COURTESY_S and st.waited_s[w, k] > st.waited_s[w, i]:
                    g = st.entry_lane[w, k]
                if g >= 0 and exit_lane(st, w, k, g) == leave:
                    taken += st.length_m[w, k] + 3.0
    return wp.min(room, closed_up) - taken


@wp.func
def blocks_nobody(lanes: LaneArrays, lane: int) -> bool:
    """Is this a piece of a ring, into which only lanes that yield run, at its end? Who stands on it is in no one's way, and
    the ring moves as one queue."""
    met = int(0)
    if lanes.lane_length_m[lanes.succ[lanes.succ_start[lane]]] > STREET_M:
        return False
    for n in range(lanes.conflict_count[lane]):
        c = lanes.conflict_start[lane] + n
        if lanes.conflict_from_m[c] > 0.6 or lanes.conflict_other_from_m[c] > 0.6:
            if lanes.conflict_rank[c] <= 0 or lanes.conflict_to_m[c] < lanes.lane_length_m[lane] - 0.6:
                return False
            met += 1
    return met > 0


@wp.func
def lacks_room(st: StateArrays, lanes: LaneArrays, w: int, actors: int, i: int, mine: int, leave: int) -> bool:
    """Would i have to stop on `mine`, in the way of others, since its exit lane is full?"""
    if blocks_nobody(lanes, mine):
        return False
    return room_after(st, lanes, w, actors, i, leave) < st.length_m[w, i] + 3.0
