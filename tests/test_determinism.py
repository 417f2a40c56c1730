"""Same seed, equal hash at every tick: alone, among others, restored half way, and in another process."""

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from shared_maps import graph_of

from sim.batch import Batch
from sim.spawn import spawn
from sim.state import Driver
from stack.vehicle import VEHICLES, load_vehicle

TOWN = graph_of("town_a")
MODELS = [load_vehicle(name) for name in VEHICLES]
VEHICLE_ROWS, WALKER_ROWS = 12, 4
WATCHED = 5  # world of the batch
SEED = 11


def fill(batch: Batch, world: int, seed: int) -> None:
    """Traffic, walkers, and a driver who pushes the one in front of him, who brakes, for as long as it lasts."""
    rows = spawn(TOWN, MODELS, seed, VEHICLE_ROWS, WALKER_ROWS)
    rows["throttle"], rows["brake"] = (np.zeros(len(rows["driver"]), np.float32) for _ in range(2))
    rows["driver"][:2], rows["throttle"][0], rows["brake"][1] = Driver.EXTERNAL, 1.0, 0.02
    yaw = rows["yaw_rad"][1] = rows["yaw_rad"][0]
    gap = 9.0 + 0.2 * (seed % 10)
    rows["x_m"][1] = rows["x_m"][0] + gap * np.cos(yaw)
    rows["y_m"][1] = rows["y_m"][0] + gap * np.sin(yaw)
    batch.reset_world(world, rows, seed)


def alone() -> Batch:
    batch = Batch(TOWN, MODELS, 1, VEHICLE_ROWS + WALKER_ROWS)
    fill(batch, 0, SEED)
    return batch


def hashes(batch: Batch, ticks: int, world: int = 0) -> list[str]:
    """Of one world after each tick."""
    found = []
    for _ in range(ticks):
        batch.step()
        found.append(batch.hash(world))
    return found


def first_difference(a: list[str], b: list[str]) -> int | None:
    """The tick, from 1, at which two runs part."""
    assert len(a) == len(b)
    return next((tick for tick, (x, y) in enumerate(zip(a, b, strict=True), 1) if x != y), None)


@pytest.mark.parametrize(("ticks", "worlds"), [(200, 8), pytest.param(5000, 64, marks=pytest.mark.slow)])
def test_same_seed_same_hash_at_every_tick(ticks: int, worlds: int) -> None:
    command = [sys.executable, __file__, str(ticks)]
    paths = os.pathsep.join(str(folder) for folder in (Path(__file__).parents[1], Path(__file__).parent))
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": paths}
    ) as process:
        batch = alone()
        lights, places = batch.state.numpy("signal_state")[0].copy(), batch.state.numpy("walk_s_m")[0].copy()
        expected: list[str] = []
        hits = 0
        for tick in range(ticks):
            if tick == ticks // 2:
                saved = batch.save()
            expected += hashes(batch, 1)
            hits += int((batch.state.numpy("hit_other")[0] != -1).any())
        assert all(a != b for a, b in pairwise(expected))
        assert hits and (batch.state.numpy("walk_s_m")[0] != places).any()
        assert ticks < 1000 or (batch.state.numpy("signal_state")[0] != lights).any()

        restored = Batch(TOWN, MODELS, 1, VEHICLE_ROWS + WALKER_ROWS)
        restored.restore(saved)
        assert first_difference(hashes(restored, ticks - ticks // 2), expected[ticks // 2 :]) is None

        crowd = Batch(TOWN, MODELS, worlds, VEHICLE_ROWS + WALKER_ROWS)
        for world in range(worlds):
            fill(crowd, world, SEED if world == WATCHED else 1000 + world)
        assert first_difference(hashes(crowd, ticks, WATCHED), expected) is None

        said, _ = process.communicate()
    assert first_difference([line for line in said.split() if len(line) == 16], expected) is None


if __name__ == "__main__":
    print("\n".join(hashes(alone(), int(sys.argv[1]))))
