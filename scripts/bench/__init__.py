"""`ringroad bench`: speed and exactness of the embedded simulator, all in one run on this machine, one thread.

Each figure is a median with the 10th and 90th percentile beside the bounds that it is held to. The groups of `--only`:
traffic, learner, world, cameras, lidar, exact, drive, carla; and memory, which takes minutes and runs only when it is named.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from scripts.bench import agents, beside, carla, memory, sensors
from scripts.bench.measure import Figure, machine

MAP = "town_f"  # the longest of our own towns


def _exact(map_: str, seconds: float) -> Iterator[Figure]:
    from scripts.bench import exact

    yield from exact.lidar(map_, seconds)
    yield from exact.raster(map_, seconds)


GROUPS: dict[str, Callable[[str, float], Iterator[Figure]]] = {
    "traffic": agents.traffic, "learner": agents.learner, "world": agents.world, "cameras": sensors.cameras,
    "lidar": sensors.lidar, "exact": _exact, "drive": sensors.drive, "carla": carla.carla,
    "memory": memory.memory,
}  # fmt: skip
LONG = ("memory",)


def chosen(option: str, given: str, known: tuple[str, ...]) -> list[str]:
    """The names of a comma-separated option; ValueError for one that is not known."""
    names = [name.strip() for name in given.split(",") if name.strip()]
    for name in names:
        if name not in known:
            raise ValueError(f"{option}: found {name!r}, expected one of {', '.join(known)}")
    return names


def run(
    seconds: float, only: str = "", beside_: str = "", map_: str | None = None, quiet: bool = False
) -> dict[str, Any]:
    """All chosen figures as one JSON object, printed as a table. Raises ValueError for unknown names."""
    torch.set_num_threads(1)
    others = chosen("--beside", beside_, beside.OTHERS)
    names = chosen("--only", only, tuple(GROUPS))
    if not names and not others:
        names = [name for name in GROUPS if name not in LONG]
    place = map_ or MAP
    console = Console(file=sys.stderr, quiet=quiet, width=None if sys.stderr.isatty() else 160)
    here, figures, started = machine(), [], (time.process_time(), time.perf_counter())
    jobs: list[tuple[str, Callable[[], Iterator[Figure]]]] = [
        (name, lambda name=name: GROUPS[name](place, seconds)) for name in names
    ]
    if others:  # its waits for others' processes count as time without the processor
        jobs.append((f"beside {', '.join(others)}", lambda: beside.compare(others, place, seconds)))
    for k, (name, job) in enumerate(jobs):
        with console.status(f"measuring {name} ({k + 1} of {len(jobs)})"):
            for figure in job():
                figures.append(figure)
                console.print(f"{figure.what.strip()}: {figure.median:,g} {figure.unit}", highlight=False)
    had = (time.process_time() - started[0]) / (time.perf_counter() - started[1])
    here |= {"load_after": machine()["load"], "processor_share": round(had, 2)}
    _print(console, here, figures)
    return {"machine": here, "sim": {f.what.strip(): f.record() for f in figures}}


def _print(console: Console, where: dict[str, Any], figures: list[Figure]) -> None:
    versions = ", ".join(f"{name} {v}" for name, v in where["versions"].items())
    title = f"one thread of {where['processor']} ({where['cores']} cores), Python {where['python']}, {versions}, "
    table = Table(title=f"{title}commit {where['commit'] or 'unknown'}, load {where['load'][0]}, "
                  f"had the processor {where['processor_share']:.0%} of the time")  # fmt: skip
    for column in ("what", "median", "p10", "p90", "unit", "at least", "aim", ""):
        table.add_column(column, justify="left" if column in ("what", "unit", "") else "right", no_wrap=True)
    for f in figures:
        bounds = ["" if bound is None else f"{bound:,g}" for bound in (f.at_least, f.aim)]
        verdict = {None: "", True: "ok", False: "[red]short[/]"}[f.meets(f.at_least)]
        if f.meets(f.aim):
            verdict = "[green]aim met[/]"
        table.add_row(f.what, *(f"{v:,g}" for v in (f.median, f.p10, f.p90)), f.unit, *bounds, verdict)
    console.print(table)
