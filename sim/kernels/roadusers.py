"""Vehicles as the kernels of traffic see them: their bumpers, and the kinds and drivers that are asked for."""

from __future__ import annotations

import warp as wp

from sim.state import Driver, StateArrays
from stack.labels import Kind

wp.set_module_options({"enable_backward": False})

IDM = wp.constant(int(Driver.IDM))
CAR = wp.constant(int(Kind.CAR))
CYCLIST = wp.constant(int(Kind.CYCLIST))
NONE = wp.constant(-1)
LEVEL_M = wp.constant(4.0)  # who is this much higher or lower is on another road: over or under a bridge
LONG_M = wp.constant(
    6.5
)  # a longer vehicle needs more than its lane in bends, and the other side of a road it turns into


@wp.func
def nose(st: StateArrays, w: int, k: int) -> float:
    """From the origin to the front bumper."""
    return st.centre_m[w, k] + 0.5 * st.length_m[w, k]


@wp.func
def rear(st: StateArrays, w: int, k: int) -> float:
    """From the origin back to the rear bumper."""
    return 0.5 * st.length_m[w, k] - st.centre_m[w, k]
