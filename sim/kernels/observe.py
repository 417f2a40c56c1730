"""What every vehicle of every world can know of itself, of its way and of who is near: for learners that are many.

One row of OBSERVATION_NAMES for each actor that is a vehicle, in its own frame and scaled to about [-1, 1]; zeros for
the others. It takes the state as it is, without faults: a learner that is to drive on the stack's perception sees
sim/learners.py instead. The way is the vehicle's lane and the two that it will take next.
"""

from __future__ import annotations

from typing import Any

import warp as wp

from sim.kernels.near import lowest, near_bits
from sim.kernels.paths import make_path, path_point, point_index
from sim.kernels.rightofway import light_of, line_gap
from sim.kernels.roadusers import CAR, CYCLIST
from sim.kernels.rows import INLINE, threads
from sim.state import StateArrays
from stack.labels import Kind
from stack.lanegraph import STOREY_M, LaneArrays

wp.set_module_options({"enable_backward": False, "max_unroll": 1, "cpu_compiler_flags": INLINE})

AHEAD_M = (2, 5, 9, 14, 20, 28, 38, 50)  # where along its way a vehicle looks
NEAREST = 8  # others described
OWN = (
    "speed", "side_speed", "yaw_rate", "accel", "wheel_angle", "lane_offset", "heading", "limit", "length", "width",
    "red", "line_gap", "granted",
)  # fmt: skip
OF_POINT = ("x", "y", "heading")
OF_OTHER = ("x", "y", "cos", "sin", "speed", "length", "width", "walker")
OBSERVATION_NAMES: tuple[str, ...] = (
    OWN
    + tuple(f"way_{m}m_{what}" for m in AHEAD_M for what in OF_POINT)
    + tuple(f"other_{k}_{what}" for k in range(NEAREST) for what in OF_OTHER)
)
SEE_M = wp.constant(50.0)
AHEAD_COUNT = wp.constant(len(AHEAD_M))
AHEAD = wp.constant(wp.types.vector(length=len(AHEAD_M), dtype=wp.float32)(*AHEAD_M))
NEAREST_COUNT = wp.constant(NEAREST)
OTHER_COUNT = wp.constant(len(OF_OTHER))
POINTS_AT = wp.constant(len(OWN))
OTHERS_AT = wp.constant(len(OWN) + len(AHEAD_M) * len(OF_POINT))
PEDESTRIAN = wp.constant(int(Kind.PEDESTRIAN))
Rows = wp.types.vector(length=NEAREST, dtype=wp.int32)
Squares = wp.types.vector(length=NEAREST, dtype=wp.float32)


@wp.func
def wrapped(angle: float) -> float:
    return angle - 6.283185307 * wp.round(angle / 6.283185307)


@wp.func
def write_own(st: StateArrays, lanes: LaneArrays, w: int, i: int, out: wp.array3d(dtype=wp.float32)) -> None:
    """The vehicle itself, its lane, and the line ahead."""
    lane = st.lane[w, i]
    p = point_index(lanes, lane, st.lane_s_m[w, i])
    out[w, i, 0] = st.vx_mps[w, i] / 15.0
    out[w, i, 1] = st.vy_mps[w, i] / 5.0
    out[w, i, 2] = st.yaw_rate_radps[w, i]
    out[w, i, 3] = st.ax_mps2[w, i] / 5.0
    out[w, i, 4] = st.wheel_angle_rad[w, i] / 0.6
    out[w, i, 5] = st.lane_d_m[w, i] / 2.0
    out[w, i, 6] = wrapped(st.yaw_rad[w, i] - lanes.yaw_rad[p])
    out[w, i, 7] = lanes.lane_limit_mps[lane] / 15.0
    out[w, i, 8] = st.length_m[w, i] / 10.0
    out[w, i, 9] = st.width_m[w, i] / 3.0
    red = float(0.0)
    gap = float(SEE_M)
    entry = st.entry_lane[w, i]
    if entry >= 0 and st.entry_in_m[w, i] > 0.0:
        gap = wp.clamp(line_gap(st, lanes, w, i), -5.0, SEE_M)
        red = wp.where(light_of(st, lanes, w, entry) > 1, 1.0, 0.0)
    out[w, i, 10] = red
    out[w, i, 11] = gap / SEE_M
    out[w, i, 12] = wp.where(entry >= 0 and st.granted[w, i] == entry, 1.0, 0.0)


@wp.func
def write_others(
    st: StateArrays, w: int, i: int, actors: int, c: float, s: float, out: wp.array3d(dtype=wp.float32)
) -> None:
    """The NEAREST others within SEE_M, nearest first; ties go to the lower row."""
    x = st.x_m[w, i]
    y = st.y_m[w, i]
    rows = Rows()
    best = Squares()
    for k in range(NEAREST_COUNT):
        rows[k] = -1
        best[k] = SEE_M * SEE_M
    for first in range(0, actors, 32):
        bits = near_bits(st.x_m, st.y_m, w, first, actors, x, y, SEE_M * SEE_M)
        while bits != wp.uint32(0):
            row = first + lowest(bits)
            bits = bits & (bits - wp.uint32(1))
            if row != i and st.kind[w, row] != 0 and wp.abs(st.z_m[w, row] - st.z_m[w, i]) < STOREY_M:
                dx = st.x_m[w, row] - x
                dy = st.y_m[w, row] - y
                d = dx * dx + dy * dy
                if d < best[NEAREST_COUNT - 1]:
                    k = NEAREST_COUNT - 1
                    while k > 0 and best[wp.max(k - 1, 0)] > d:
                        best[k] = best[k - 1]
                        rows[k] = rows[k - 1]
                        k = k - 1
                    best[k] = d
                    rows[k] = row
    at = int(OTHERS_AT)
    for k in range(NEAREST_COUNT):
        row = rows[k]
        if row >= 0:
            dx = st.x_m[w, row] - x
            dy = st.y_m[w, row] - y
            turn = st.yaw_rad[w, row] - st.yaw_rad[w, i]
            out[w, i, at] = (dx * c + dy * s) / SEE_M
            out[w, i, at + 1] = (dy * c - dx * s) / SEE_M
            out[w, i, at + 2] = wp.cos(turn)
            out[w, i, at + 3] = wp.sin(turn)
            out[w, i, at + 4] = st.vx_mps[w, row] / 15.0
            out[w, i, at + 5] = st.length_m[w, row] / 10.0
            out[w, i, at + 6] = st.width_m[w, row] / 3.0
            out[w, i, at + 7] = wp.where(st.kind[w, row] == PEDESTRIAN, 1.0, 0.0)
        else:
            for n in range(OTHER_COUNT):
                out[w, i, at + n] = 0.0
        at = at + OTHER_COUNT


@wp.func
def write_row(
    st: StateArrays, lanes: LaneArrays, w: int, i: int, actors: int, out: wp.array3d(dtype=wp.float32)
) -> None:  # fmt: skip
    """All that a vehicle knows; zeros for others."""
    kind = st.kind[w, i]
    lane = st.lane[w, i]
    if kind < CAR or kind > CYCLIST or lane < 0:
        for n in range(out.shape[2]):
            out[w, i, n] = 0.0
        return
    c = wp.cos(st.yaw_rad[w, i])
    s = wp.sin(st.yaw_rad[w, i])
    write_own(st, lanes, w, i, out)
    path = make_path(lanes, lane, st.next_lane[w, i], st.after_lane[w, i], st.lane_s_m[w, i])
    for k in range(AHEAD_COUNT):
        p = path_point(lanes, path, AHEAD[k])
        dx = p[0] - st.x_m[w, i]
        dy = p[1] - st.y_m[w, i]
        at = POINTS_AT + 3 * k
        out[w, i, at] = (dx * c + dy * s) / SEE_M
        out[w, i, at + 1] = (dy * c - dx * s) / SEE_M
        out[w, i, at + 2] = wrapped(p[2] - st.yaw_rad[w, i])
    write_others(st, w, i, actors, c, s, out)


@wp.kernel(enable_backward=False)
def observe(st: StateArrays, lanes: LaneArrays, actors: int, stride: int, out: wp.array3d(dtype=wp.float32)):
    w, first = wp.tid()
    for i in range(first, actors, stride):
        write_row(st, lanes, w, i, actors, out)


def launch(state: Any, lanes: Any, worlds: int, actors: int, out: Any, device: str, record_cmd: bool = False) -> Any:
    """Write `out` (worlds, actors, len(OBSERVATION_NAMES)); with `record_cmd` return the launch instead of running it."""
    n = threads(actors, device)
    inputs = [state, lanes, actors, n, out]
    return wp.launch(observe, dim=(worlds, n), inputs=inputs, device=device, record_cmd=record_cmd)
