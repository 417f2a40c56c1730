"""`ringroad bench`: speed figures, medians over repeats, one thread, all in one run on this machine."""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from scripts.build import EGO, DriveSettings, build_scenario

WORLDS, VEHICLES = 64, 32


def timed(work: Callable[[], Any], seconds: float) -> dict[str, float]:
    """Milliseconds of one call: median, and the 10th and 90th percentile over `seconds`."""
    work()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 5:
        start = time.perf_counter()
        work()
        times.append(1e3 * (time.perf_counter() - start))
    low, high = np.percentile(times, (10, 90))
    return {"median_ms": round(median(times), 4), "p10_ms": round(float(low), 4), "p90_ms": round(float(high), 4)}


def batch_figures(seconds: float) -> dict[str, Any]:
    """Traffic, physics, lights and contact of many worlds."""
    from sim.batch import Batch
    from sim.spawn import spawn
    from stack.opendrive import build_graph, find_map, load_map
    from stack.vehicle import VEHICLES as MODELS
    from stack.vehicle import load_vehicle

    graph = build_graph(load_map(find_map("town_a")))
    params = [load_vehicle(name) for name in MODELS]
    batch = Batch(graph, params, WORLDS, VEHICLES)
    for world in range(WORLDS):
        batch.reset_world(world, spawn(graph, params, world, VEHICLES, 0), world)
    figure = timed(batch.step, seconds)
    rate = WORLDS * VEHICLES / figure["median_ms"] * 1e3
    return {f"batch {WORLDS} x {VEHICLES} vehicles": figure | {"agent_steps_per_s": round(rate)}}


def world_figures(seconds: float) -> dict[str, Any]:
    """One drive's parts."""
    from sim.world import EmbeddedWorld

    scenario, road_map = build_scenario(DriveSettings(perception="oracle", controller="classical"))
    world = EmbeddedWorld(road_map, "cpu")
    world.warm_up(scenario)
    pose = world.truth().ego.pose
    return {
        "tick without sensors": timed(world.batch.step, seconds),
        "two cameras 320x180, four modalities, JPEG": timed(lambda: world.cameras.render(pose, 1), seconds),
        "LiDAR half turn 32x256, radar, motion": timed(lambda: world.sensors.read(2), seconds),
    }


def network_figures(seconds: float) -> dict[str, Any]:
    """The network on the picture of one camera."""
    from perception.export import ready
    from perception.network import Network

    pictures = torch.zeros(1, 3, 180, 320, dtype=torch.uint8)
    net = ready(Network(), pictures, "cpu")
    return {"network, one picture 320x180": timed(lambda: net(pictures), seconds)}


def run(seconds: float, quiet: bool = False) -> dict[str, Any]:
    """All figures as one JSON object, printed as a table."""
    torch.set_num_threads(1)
    figures = batch_figures(seconds) | world_figures(seconds) | network_figures(seconds)
    machine = (
        f"{platform.processor() or platform.machine()}, Python {platform.python_version()}, torch {torch.__version__}"
    )
    table = Table(title=f"one thread on {machine}; ego {EGO}")
    for column in ("what", "median ms", "p10", "p90", "agent-steps/s"):
        table.add_column(column, justify="left" if column == "what" else "right")
    for name, f in figures.items():
        rate = f"{f['agent_steps_per_s']:,}" if "agent_steps_per_s" in f else ""
        table.add_row(name, f"{f['median_ms']:.2f}", f"{f['p10_ms']:.2f}", f"{f['p90_ms']:.2f}", rate)
    Console(file=sys.stderr, quiet=quiet).print(table)
    return {"machine": machine, "sim": figures}
