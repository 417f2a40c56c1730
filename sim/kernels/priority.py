"""What an emergency vehicle means for the right of way (sim/kernels/rightofway.py)."""

from __future__ import annotations

import warp as wp

from sim.state import StateArrays
from stack.lanegraph import LaneArrays

wp.set_module_options({"enable_backward": False})

SIREN_M = wp.constant(60.0)  # so far before a junction, others let a siren have it,
SIREN_STANDS_S = wp.constant(3.0)  # unless it has stood for so long
PASS_M = wp.constant(0.2)  # to the side of those whom it drives past


@wp.func
def comes_first(st: StateArrays, w: int, k: int, in_m: float) -> bool:
    """Is k an emergency vehicle that gets on, `in_m` from its junction lane? Everybody lets it have the junction."""
    return st.siren[w, k] != 0 and in_m < SIREN_M and st.stuck_s[w, k] < SIREN_STANDS_S


@wp.func
def on_other_side(st: StateArrays, lanes: LaneArrays, w: int, k: int, leave: int) -> bool:
    """Does the emergency vehicle k mean to drive over the lane `leave`, against its direction?"""
    lane = st.lane[w, k]
    if leave < 0 or lane < 0 or lanes.lane_across[wp.max(lane, 0)] != leave:
        return False
    if lanes.lane_length_m[lane] - st.lane_s_m[w, k] > SIREN_M:
        return False
    half = 0.5 * lanes.width_m[lanes.lane_start[lane]]
    d = st.lane_d_m[w, k]
    if st.stuck_s[w, k] < SIREN_STANDS_S:
        d = wp.max(d, st.aside_m[w, k])
    return d + 0.5 * st.width_m[w, k] > half + PASS_M


@wp.func
def passes(st: StateArrays, w: int, i: int, k: int) -> bool:
    """Does i mean to drive past k, which is on the same lane?"""
    free = wp.abs(st.aside_m[w, i] - st.lane_d_m[w, k]) - 0.5 * (st.width_m[w, i] + st.width_m[w, k])
    return free > PASS_M
