"""Traffic lights: the state of each signal is a pure function of the tick, its timing and an offset per junction.

A signal is green from `green_from` for `green_s`, yellow for YELLOW_S, then red to the end of its cycle. The offset of
a junction is uniform over the cycle, depends on the world's seed only, and is drawn when the world starts.
"""

from __future__ import annotations

from typing import Any

import warp as wp

from sim.state import StateArrays
from stack.labels import LightState
from stack.lanegraph import YELLOW_S, LaneArrays
from stack.loop import TICK_S
from stack.seeds import Stream, uniform

wp.set_module_options({"enable_backward": False})

TICK = wp.constant(TICK_S)
YELLOW_TIME = wp.constant(YELLOW_S)
GREEN = wp.constant(int(LightState.GREEN))
YELLOW = wp.constant(int(LightState.YELLOW))
RED = wp.constant(int(LightState.RED))
STREAM = wp.constant(int(Stream.SIGNALS))


@wp.kernel(enable_backward=False)
def draw_offsets(st: StateArrays, lanes: LaneArrays, first: int):
    w, s = wp.tid()
    w = w + first
    junction = lanes.signal_junction[s]
    if junction >= 0:  # every signal of a junction shares its cycle, so all write the same
        st.signal_offset_s[w, junction] = uniform(st.seed[w], STREAM, 0, junction, 0) * lanes.signal_cycle_s[s]


@wp.func_native(
    f"""
#if defined(__clang__)
#pragma clang fp contract(off)
#endif
    const float* offset = st.signal_offset_s.data + (size_t) w * st.signal_offset_s.shape[1];
    int* state = st.signal_state.data + (size_t) w * st.signal_state.shape[1];
    const int* junction = lanes.signal_junction.data;
    const float* cycle = lanes.signal_cycle_s.data;
    const float* green_from = lanes.signal_green_from_s.data;
    const float* green = lanes.signal_green_s.data;
    const float time = (float) st.tick.data[w] * {TICK_S}f;
    for (int s = first; s < last; ++s) {{
        const float phase = time + offset[junction[s] > 0 ? junction[s] : 0];
        const float began = phase - green_from[s];
        const float turns = cycle[s] * floorf(began / cycle[s]);
        const float since = began - turns;
        const int later = since < green[s] + {YELLOW_S}f ? {int(LightState.YELLOW)} : {int(LightState.RED)};
        state[s] = cycle[s] <= 0.0f || since < green[s] ? {int(LightState.GREEN)} : later;
    }}
    """
)
def show(st: StateArrays, lanes: LaneArrays, w: int, first: int, last: int) -> None:
    """State of the signals from `first` to before `last` at this tick; always green without a cycle. A loop of plain C++,
    which becomes vector code."""
    ...


@wp.kernel(enable_backward=False)
def show_lights(st: StateArrays, lanes: LaneArrays, first: int, each: int):
    w, s = wp.tid()
    show(st, lanes, w + first, s * each, wp.min((s + 1) * each, lanes.signal_junction.shape[0]))


def launch(
    state: Any, lanes: Any, worlds: int, signals: int, device: str, first: int = 0, record_cmd: bool = False
) -> list[Any]:
    """Write `signal_state` of `worlds` worlds from `first` on; or record the launches. Returns those recorded."""
    if not signals:
        return []
    each = 1 if wp.get_device(device).is_cuda else signals
    dim = (worlds, -(-signals // each))
    return [wp.launch(show_lights, dim=dim, inputs=[state, lanes, first, each], device=device, record_cmd=record_cmd)]


def start(state: Any, lanes: Any, world: int, signals: int, device: str) -> None:
    """Draw the offsets of a world's junctions, and show its lights."""
    if signals:
        wp.launch(draw_offsets, dim=(1, signals), inputs=[state, lanes, world], device=device)
        launch(state, lanes, 1, signals, device, first=world)
