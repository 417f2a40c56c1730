"""Vehicle dynamics: single-track model with Fiala tyres under combined slip, five sub-steps of 10 ms a tick.

Planar rigid body with lateral speed V at the centre of gravity, yaw rate r, wheel angle d (Rajamani, Vehicle Dynamics
and Control, ch. 2), written in the body frame; the state keeps the velocity of the origin under the rear axle:

    m (vx' - r V) = Fxf cos d - Fyf sin d + Fxr - drag - rolling - m g sin(pitch)
    m (V' + r vx) = Fyf cos d + Fxf sin d + Fyr
    I r'          = a (Fyf cos d + Fxf sin d) - b Fyr

Lateral tyre force: Fiala's brush model with the friction that the longitudinal force leaves over (Hindiyeh and
Gerdes, A Controller Framework for Autonomous Drifting, J. Dyn. Sys. 136, 2014). Axle loads shift with the
longitudinal force. The lateral step is linearly implicit, since tyre forces grow stiff as 1 / speed; below walking
pace the motion goes over to the kinematic bicycle, which stands still when braked. Brakes and rolling resistance are
dry friction: they stop, and never push back. In reverse gear the drive force points backwards, and ends at
REVERSE_MAX_MPS.
"""

from __future__ import annotations

from typing import Any

import warp as wp

from sim.kernels.native import source
from sim.state import Driver, StateArrays
from stack.labels import Kind
from stack.vehicle import GRAVITY_MPS2, POWER_FROM_MPS, Column

wp.set_module_options({"enable_backward": False})

LANES = 16  # vehicles that a CPU moves at once
NUMBERS = {
    "KINEMATIC_BELOW_MPS": 0.5,
    "DYNAMIC_ABOVE_MPS": 2.0,
    "GRIP_USED": 0.98,  # share of an axle's friction that drive and brake may take: traction control, anti-lock brakes
    "LOAD_MIN": 0.05,  # of an axle's static load: a wheel that would lift keeps this much
    "REVERSE_MAX_MPS": 12.0,  # what the reverse gear is good for
    "REVERSE_FADE_1PS": 2.0,  # how fast its drive fades out there
    "TURN_RAD": 6.283185307,
    "SLIP_SPEED_MIN_MPS": 0.1,  # keeps slip angles finite at rest
    "GRAVITY_MPS2": GRAVITY_MPS2,
    "POWER_FROM_MPS": POWER_FROM_MPS,
    "NOBODY": int(Driver.NONE),
    "CAR": int(Kind.CAR),
    "TRUCK": int(Kind.TRUCK),
    "CYCLIST": int(Kind.CYCLIST),
    "COLUMNS": len(Column),
    **{column.name: int(column) for column in Column},
}
UNFUSED = """
#if defined(__clang__)  // products and sums are not fused: a vehicle moves the same whichever way the compiler goes
#pragma clang fp contract(off)
#endif
"""
WIDTH = f"""
#if defined(__CUDA_ARCH__)
    constexpr int LANES = 1;
#else
    constexpr int LANES = {LANES};
#endif
"""


@wp.func_native(
    f"""
    {UNFUSED}
    {WIDTH}
    const auto rolls = [&](int at) -> bool {{ return state.driver.data[at] != {int(Driver.PLACED)}; }};
    """
    + source("motion.h", SUBSTEPS=5, SUBSTEP_S=0.01, **NUMBERS)
)
def move_rows(state: StateArrays, params: wp.array2d(dtype=wp.float32), w: int, first: int, last: int) -> None:
    """Move the vehicles among the rows from `first` to before `last` of all worlds' rows, which are those of world w."""
    ...


@wp.kernel(enable_backward=False)
def move(state: StateArrays, params: wp.array2d(dtype=wp.float32), each: int):
    w, i = wp.tid()
    rows = state.kind.shape[1]
    move_rows(state, params, w, w * rows + i * each, w * rows + wp.min((i + 1) * each, rows))


def launch(state: Any, params: Any, worlds: int, actors: int, device: str, record_cmd: bool = False) -> Any:
    """Move every vehicle of every world by one tick; with `record_cmd` return the launch instead of running it."""
    each = 1 if wp.get_device(device).is_cuda else actors  # rows for a thread
    dim = (worlds, -(-actors // each))
    return wp.launch(move, dim=dim, inputs=[state, params, each], device=device, record_cmd=record_cmd)
