"""Traffic lights: the state of each signal is a pure function of the tick, its timing and an offset per junction.

A signal is green from `green_from` for `green_s`, yellow for YELLOW_S, then red to the end of its cycle. The offset of
a junction is uniform over the cycle and depends on the world's seed only.
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


@wp.func
def light_at(phase_s: float, cycle_s: float, green_from_s: float, green_s: float) -> int:
    """State of a signal `phase_s` after the start of a cycle of its junction; always green without a cycle."""
    if cycle_s <= 0.0:
        return GREEN
    since = phase_s - green_from_s
    since = since - cycle_s * wp.floor(since / cycle_s)
    if since < green_s:
        return GREEN
    if since < green_s + YELLOW_TIME:
        return YELLOW
    return RED


@wp.kernel(enable_backward=False)
def show_lights(st: StateArrays, lanes: LaneArrays, first: int):
    w, s = wp.tid()
    w = w + first
    junction = lanes.signal_junction[s]
    cycle_s = lanes.signal_cycle_s[s]
    offset_s = uniform(st.seed[w], STREAM, 0, wp.max(junction, 0), 0) * cycle_s
    if junction >= 0:
        st.signal_offset_s[w, junction] = offset_s  # every signal of a junction shares its cycle, so all write the same
    phase_s = float(st.tick[w]) * TICK + offset_s
    st.signal_state[w, s] = light_at(phase_s, cycle_s, lanes.signal_green_from_s[s], lanes.signal_green_s[s])


def launch(
    state: Any, lanes: Any, worlds: int, signals: int, device: str, first: int = 0, record_cmd: bool = False
) -> list[Any]:
    """Write `signal_state` of `worlds` worlds from `first` on; or record the launches. Returns those recorded."""
    if not signals:
        return []
    inputs = [state, lanes, first]
    return [wp.launch(show_lights, dim=(worlds, signals), inputs=inputs, device=device, record_cmd=record_cmd)]
