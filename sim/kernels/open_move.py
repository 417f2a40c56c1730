"""The vehicles of the open world on their wheels: sim/kernels/native/motion.h once more, with sub-steps of any number and
length, so that a world may be ticked at any pace. Five sub-steps of 10 ms give the bits of sim/kernels/vehicle.py, whose
numbers are fixed for speed.
"""

from __future__ import annotations

from typing import Any

import warp as wp

from sim.kernels.native import source
from sim.kernels.open_rows import GROUND, SUBSTEP_S, SUBSTEPS, OpenArrays
from sim.kernels.vehicle import NUMBERS, UNFUSED, WIDTH
from sim.state import Driver, StateArrays

wp.set_module_options({"enable_backward": False})


@wp.func_native(
    f"""
    {UNFUSED}
    {WIDTH}
    const int SUBSTEPS = substeps;
    const float SUBSTEP_S = step_s;
    const auto rolls = [&](int at) -> bool {{
        return state.driver.data[at] != {int(Driver.PLACED)} && flies.data[at] == {GROUND} && kept.data[at] == 0;
    }};
    """
    + source("motion.h", **NUMBERS)
)
def move_rows(
    state: StateArrays, params: wp.array2d(dtype=wp.float32), flies: wp.array(dtype=wp.int32),
    kept: wp.array(dtype=wp.int32), w: int, first: int, last: int, substeps: int, step_s: float,
) -> None:  # fmt: skip
    """Move the vehicles that stand on their wheels among the rows from `first` to before `last`."""
    ...


@wp.kernel(enable_backward=False)
def move(state: StateArrays, params: wp.array2d(dtype=wp.float32), own: OpenArrays, each: int):
    i = wp.tid()
    rows = state.kind.shape[1]
    last = wp.min((i + 1) * each, rows)
    move_rows(state, params, own.flies, own.kept, 0, i * each, last, own.count[SUBSTEPS], own.clock[SUBSTEP_S])


def record(state: Any, params: Any, own: Any, actors: int, device: str) -> Any:
    """The launch that moves every vehicle by one inner step."""
    each = 1 if wp.get_device(device).is_cuda else actors  # rows for a thread
    inputs = [state, params, own, each]
    return wp.launch(move, dim=-(-actors // each), inputs=inputs, device=device, record_cmd=True)
