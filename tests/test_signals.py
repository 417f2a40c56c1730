"""Traffic lights show what their timing says, at any tick."""

from dataclasses import replace

import numpy as np
from plain_graph import plain_graph

from sim.batch import Batch
from stack.labels import LightState
from stack.lanegraph import YELLOW_S
from stack.seeds import Stream, uniforms
from stack.vehicle import load_vehicle

CYCLE_S, GREEN_S = 30.0, 10.0
GRAPH = replace(
    plain_graph([np.stack([np.arange(50.0), np.zeros(50), np.zeros(50)], axis=-1)]),
    lane_junction=np.zeros(1, np.int32),
    signal_id=("a", "b"),
    signal_junction=np.zeros(2, np.int32),
    signal_cycle_s=np.full(2, CYCLE_S, np.float32),
    signal_green_from_s=np.array([0.0, 15.0], np.float32),
    signal_green_s=np.full(2, GREEN_S, np.float32),
)


def expected(seed: int, tick: int, green_from_s: float) -> LightState:
    offset = float(uniforms(seed, Stream.SIGNALS)[0]) * CYCLE_S
    since = (tick * 0.05 + offset - green_from_s) % CYCLE_S
    return LightState.GREEN if since < GREEN_S else LightState.YELLOW if since < GREEN_S + YELLOW_S else LightState.RED


def test_states_follow_the_timing_and_the_seed() -> None:
    batch = Batch(GRAPH, [load_vehicle("sedan")], 3, 1)
    for world, seed in enumerate((1, 2, 77)):
        batch.reset_world(world, {}, seed=seed)
    right = total = 0
    for tick in range(700):  # more than a whole cycle
        shown = batch.state.numpy("signal_state")
        for world, seed in enumerate((1, 2, 77)):
            for signal, green_from in enumerate((0.0, 15.0)):
                right += shown[world, signal] == expected(seed, tick, green_from)
                total += 1
        assert not (shown == LightState.GREEN).all(axis=1).any()
        batch.step()
    assert right > 0.995 * total  # float32 may round a change of light to the next tick


def test_worlds_with_different_seeds_are_out_of_step() -> None:
    offsets = [float(uniforms(seed, Stream.SIGNALS)[0]) for seed in range(40)]
    assert np.ptp(offsets) > 0.8
