"""What a long run leaves in memory: ticks with traffic, restarts of the whole world, and a picture and a sweep of each."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from scripts.bench.measure import Figure

RESETS, TICKS_EACH = 1000, 100
SETTLE_RESETS = 20  # until caches and pools are filled


def resident_mb() -> float:
    """Resident memory of this process, MB (Linux)."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def growth_mb(map_: str, resets: int, ticks: int, say: Callable[[int], None] = lambda done: None) -> float:
    """Growth of resident memory over `resets` drives of `ticks` ticks each, after SETTLE_RESETS more of them, MB."""
    from dataclasses import replace

    from scripts.build import DriveSettings, build_scenario
    from sim.world import EmbeddedWorld

    scenario, road_map = build_scenario(DriveSettings(map=map_, perception="oracle"))
    world, start = EmbeddedWorld(road_map, "cpu"), 0.0
    for done in range(SETTLE_RESETS + resets):
        if done == SETTLE_RESETS:
            gc.collect()
            start = resident_mb()
        world.tour(replace(scenario, seed=done))
        for _ in range(ticks):
            world.advance()
        world.look(np.zeros(3))
        say(done)
    gc.collect()
    return resident_mb() - start


def memory(map_: str, seconds: float) -> Iterator[Figure]:
    """The soak; it takes as long as it takes."""
    grown = round(growth_mb(map_, RESETS, TICKS_EACH), 2)
    what = f"growth of resident memory over {RESETS * TICKS_EACH:,} ticks with {RESETS:,} resets"
    note = f"one world with traffic and all its sensors on {map_}, one frame each reset; after {SETTLE_RESETS} resets"
    yield Figure(what, "MB", grown, grown, grown, 5.0, 0.0, note=note)
