"""What a long run leaves in memory: ticks with traffic and restarts; and restarts of the whole world with its sensors."""

from __future__ import annotations

import ctypes
import gc
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np

from scripts.bench.agents import batch_of
from scripts.bench.measure import Figure

RESETS, TICKS_EACH = 1000, 100
VEHICLES, WALKERS = 32, 12
SETTLE = 20  # resets until caches and pools are filled
WORLD_RESETS = 300
LOOK_EVERY = 5  # resets


def resident_mb() -> float:
    """Resident memory of this process, MB, once everything free has been handed back (Linux)."""
    gc.collect()
    with suppress(OSError, AttributeError):  # another C library: what it holds back counts
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def batch_mb(map_: str, resets: int, ticks: int) -> list[float]:
    """Resident memory at every LOOK_EVERY-th of `resets` restarts, `ticks` ticks apart, of one world without sensors, MB."""
    from sim.spawn import spawn

    batch, _ = batch_of(map_, 1, VEHICLES, WALKERS)
    graph, held = batch.maps[0], []
    for seed in range(SETTLE + resets):
        batch.reset_world(0, spawn(graph, batch.params, seed, VEHICLES, WALKERS), seed)
        for _ in range(ticks):
            batch.step()
        if seed >= SETTLE and seed % LOOK_EVERY == 0:
            held.append(resident_mb())
    return held


def world_mb(map_: str, resets: int) -> list[float]:
    """Resident memory at every LOOK_EVERY-th of `resets` restarts of a world with all its sensors, one frame each, MB."""
    from scripts.build import DriveSettings, build_scenario
    from sim.world import EmbeddedWorld

    scenario, road_map = build_scenario(DriveSettings(map=map_, perception="oracle"))
    world, held = EmbeddedWorld(road_map, "cpu"), []
    for seed in range(SETTLE + resets):
        world.tour(replace(scenario, seed=seed))
        world.advance()
        world.look(np.zeros(3))
        if seed >= SETTLE and seed % LOOK_EVERY == 0:
            held.append(resident_mb())
    return held


def growth_mb(held: list[float]) -> tuple[float, float, float]:
    """Rise over the whole run of the line through it, and the bounds of its 80 % confidence.

    Theil and Sen's line (Sen, J. Am. Stat. Assoc. 63, 1968): the median slope, which a lump in the allocator does not bend.
    """
    from scipy.stats import theilslopes

    slope = theilslopes(held, alpha=0.8)
    middle, low, high = (round(float(value) * len(held), 3) for value in (slope[0], slope[2], slope[3]))
    return middle, low, high


def memory(map_: str, seconds: float) -> Iterator[Figure]:
    """The soak; it takes as long as it takes."""
    what = f"growth of resident memory over {RESETS * TICKS_EACH:,} ticks with {RESETS:,} resets"
    note = f"one world, {VEHICLES} vehicles and {WALKERS} walkers on {map_}; the rise of a Theil-Sen line"
    yield Figure(what, "MB", *growth_mb(batch_mb(map_, RESETS, TICKS_EACH)), 5.0, 0.0, note=note)
    what = f"growth of resident memory over {WORLD_RESETS} resets of a world with all its sensors"
    yield Figure(what, "MB", *growth_mb(world_mb(map_, WORLD_RESETS)), 5.0, 0.0, note="one frame each")
