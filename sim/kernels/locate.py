"""Where vehicles are on the map: the lane followed from the last one, and height and attitude of the road under the
origin.

For actors driven from outside (EXTERNAL, POLICY) the lane is the best of the last lane, its neighbours, successors
and predecessors, and the predecessors' other successors (so that a car that turns in a junction leaves the lane that
goes straight on). Best is least offset, overshoot of the lane's ends, and difference in heading. A car that fits none
is lost: its lane is -1 while `target_lane` keeps the last one, from where it is found again when it comes back.
Traffic keeps its own lane.
"""

from __future__ import annotations

from typing import Any

import warp as wp

from sim.kernels.paths import point_index, project
from sim.kernels.rows import INLINE, threads
from sim.state import Driver, StateArrays
from stack.labels import Kind
from stack.lanegraph import LaneArrays

wp.set_module_options({"enable_backward": False, "cpu_compiler_flags": INLINE})

LOST_BESIDE_M = 4.0  # beyond the lane's edge
LOST_BEYOND_M = 3.0  # past the lane's ends
KEEP_M = 0.3  # by how much another lane must be better than the last one
HEADING_M = 3.0  # cost of a heading across the lane; twice that against it
NOWHERE_M = 1.0e6


@wp.struct
class Fit:
    """How well a vehicle fits a lane; the lower the cost the better."""

    lane: int
    s: float
    d: float
    cost: float


@wp.func
def fit(lanes: LaneArrays, lane: int, x: float, y: float, yaw: float, guess_s: float) -> Fit:
    out = Fit()
    out.lane = lane
    at = project(lanes, lane, x, y, guess_s)
    length = lanes.lane_length_m[lane]
    over = wp.max(wp.max(-at[0], at[0] - length), 0.0)
    out.s = wp.clamp(at[0], 0.0, length)
    out.d = at[1]
    p = point_index(lanes, lane, out.s)
    out.cost = wp.abs(out.d) + 2.0 * over + HEADING_M * (1.0 - wp.cos(yaw - lanes.yaw_rad[p]))
    if over > LOST_BEYOND_M or wp.abs(out.d) > 0.5 * lanes.width_m[p] + LOST_BESIDE_M:
        out.cost = NOWHERE_M
    return out


@wp.func
def better(best: Fit, other: Fit) -> Fit:
    if other.cost < best.cost:
        return other
    return best


@wp.func
def follow(lanes: LaneArrays, last: int, s: float, x: float, y: float, yaw: float) -> Fit:
    """The lane a vehicle is on now, found from the last one; cost NOWHERE_M where there is none."""
    best = fit(lanes, last, x, y, yaw, s)
    if best.cost < NOWHERE_M:
        best.cost = best.cost - KEEP_M
    if best.cost <= 0.0:
        return best  # costs are not negative: no other lane can be better
    if lanes.lane_left[last] >= 0:
        best = better(best, fit(lanes, lanes.lane_left[last], x, y, yaw, s))
    if lanes.lane_right[last] >= 0:
        best = better(best, fit(lanes, lanes.lane_right[last], x, y, yaw, s))
    for k in range(lanes.succ_count[last]):
        best = better(
            best, fit(lanes, lanes.succ[lanes.succ_start[last] + k], x, y, yaw, s - lanes.lane_length_m[last])
        )
    for k in range(lanes.pred_count[last]):
        before = lanes.pred[lanes.pred_start[last] + k]
        best = better(best, fit(lanes, before, x, y, yaw, s + lanes.lane_length_m[before]))
        for n in range(lanes.succ_count[before]):
            sibling = lanes.succ[lanes.succ_start[before] + n]
            if sibling != last:
                best = better(best, fit(lanes, sibling, x, y, yaw, s))
    return best


@wp.func
def lie_on_road(state: StateArrays, lanes: LaneArrays, w: int, i: int, s: float):
    """Height from the lane at distance s; pitch and roll from its slope, seen in the vehicle's heading."""
    lane = state.lane[w, i]
    p = point_index(lanes, lane, s)
    rest = s - float(p - lanes.lane_start[lane]) * lanes.lane_step_m[lane]
    slope = lanes.pitch_rad[p]
    turned = state.yaw_rad[w, i] - lanes.yaw_rad[p]
    state.z_m[w, i] = lanes.z_m[p] + rest * wp.tan(slope)
    state.pitch_rad[w, i] = slope * wp.cos(turned)
    state.roll_rad[w, i] = -slope * wp.sin(turned)


@wp.func
def place(state: StateArrays, lanes: LaneArrays, w: int, i: int) -> None:
    """Locate a vehicle."""
    kind = state.kind[w, i]
    if kind != int(Kind.CAR) and kind != int(Kind.TRUCK) and kind != int(Kind.CYCLIST):
        return
    x = state.x_m[w, i]
    y = state.y_m[w, i]
    driver = state.driver[w, i]
    if driver == int(Driver.PLACED):
        return
    if driver == int(Driver.EXTERNAL) or driver == int(Driver.POLICY):
        last = state.lane[w, i]
        if last < 0:
            last = state.target_lane[w, i]
        if last < 0:
            return
        found = follow(lanes, last, state.lane_s_m[w, i], x, y, state.yaw_rad[w, i])
        state.target_lane[w, i] = last
        state.lane[w, i] = -1
        if found.cost < NOWHERE_M:
            state.lane[w, i] = found.lane
            state.target_lane[w, i] = found.lane
            state.lane_s_m[w, i] = found.s
            state.lane_d_m[w, i] = found.d
            lie_on_road(state, lanes, w, i, found.s)
    elif state.lane[w, i] >= 0:
        if state.vx_mps[w, i] == 0.0 and state.yaw_rate_radps[w, i] == 0.0 and state.tick[w] > 0:
            return  # where it was
        at = project(lanes, state.lane[w, i], x, y, state.lane_s_m[w, i])
        lie_on_road(state, lanes, w, i, at[0])


@wp.kernel(enable_backward=False)
def locate(state: StateArrays, lanes: LaneArrays, first: int, actors: int, stride: int):
    w, k = wp.tid()
    for i in range(k, actors, stride):
        place(state, lanes, w + first, i)


def launch(
    state: Any, lanes: Any, worlds: int, actors: int, device: str, first: int = 0, record_cmd: bool = False
) -> Any:
    """Locate the vehicles of `worlds` worlds from `first` on; with `record_cmd` return the launch instead of running
    it."""
    n = threads(actors, device)
    inputs = [state, lanes, first, actors, n]
    return wp.launch(locate, dim=(worlds, n), inputs=inputs, device=device, record_cmd=record_cmd)
