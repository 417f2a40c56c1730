"""`ringroad drive`: one episode, closed loop, with a recording and a report on request."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from scripts.build import DriveSettings, build_stack, device_of, settings_from
from scripts.interrupt import between_ticks
from scripts.worlds import prepare
from stack.loop import TICK_S, Stack, WorldLost, drive
from stack.rates import StageTimes

__all__ = ["DriveSettings", "run", "settings_from"]

STAGES = ("perceive", "plan", "control", "guard")


def timed(stack: Stack, times: StageTimes) -> Stack:
    """The same stack with every stage timed."""
    return replace(stack, **{name: times.timed(name, getattr(stack, name)) for name in STAGES})


def run(settings: DriveSettings, quiet: bool = False) -> dict[str, Any]:
    """Drive one episode; returns the JSON object of `ringroad drive`. Raises ValueError for bad input."""
    torch.set_num_threads(1)
    console = Console(file=sys.stderr, quiet=quiet)
    device = device_of(settings.device)
    times = StageTimes()
    scenario, road_map, make_world = prepare(settings, device, times)

    from evaluation.driving import DriveScore  # slow to import: what is wrong with the settings is said before
    from stack.recording import Recorder, drive_meta

    console.print(
        f"drive: map [bold]{scenario.map_name}[/], route {scenario.route.length_m:.0f} m, seed {scenario.seed}, "
        f"{settings.perception} perception, {settings.controller} control, {device}"
    )
    with ExitStack() as held:
        record = Path(settings.record) if settings.record else None
        if record is None and settings.report:
            record = Path(held.enter_context(tempfile.TemporaryDirectory())) / "drive.mcap"
        world = make_world()
        held.callback(world.close)
        stack = build_stack(scenario, settings, device, world.truth)
        world.warm_up(scenario)
        closing = held.enter_context(ExitStack())
        closing.enter_context(_naming(record))
        recorder = closing.enter_context(Recorder(record, drive_meta(scenario, road_map, settings))) if record else None
        score = DriveScore(scenario.graph, scenario.route)
        check_interrupt = closing.enter_context(between_ticks())
        started = time.perf_counter()
        for step in drive(world, timed(stack, times), scenario):
            score.add(step)
            check_interrupt()
            if recorder:
                with times.section("record"):
                    recorder.write(step, world.state_hash())
            tick = step.frame.tick + 1
            if tick % 200 == 0:
                wall = time.perf_counter() - started
                console.print(
                    f"  {tick * TICK_S:5.0f} s  {step.truth.ego.speed_mps * 3.6:3.0f} km/h  "
                    f"{world.progress:4.0%} of the route  {tick * TICK_S / wall:.1f} x real time"
                )
            if settings.realtime:
                time.sleep(max(0.0, started + tick * TICK_S - time.perf_counter()))
        wall = time.perf_counter() - started
        result = {
            "world": settings.world, "map": scenario.map_name, "scenario": scenario.name, "seed": scenario.seed,
            "perception": settings.perception, "controller": settings.controller, "guard": settings.guard,
            **score.result(world.progress),
            "wall_s": round(wall, 3), "realtime_factor": round(score.ticks * TICK_S / wall, 3),
            "stage_ms": times.median_ms(), "state_hash": world.state_hash(),
        }  # fmt: skip
        if recorder:
            recorder.finish(result)
        closing.close()  # the report reads the finished file
        summarise(result, console)
        if record and settings.record:
            console.print(f"recording: {record}")
        if record and settings.report:
            from evaluation.report import write_report

            page = write_report(record, result, Path(settings.report))
            console.print(f"report: {page}\nvideo:  {page.with_name('drive.mp4')}")
    return result


@contextmanager
def _naming(record: Path | None) -> Iterator[None]:
    """Say where the recording of a drive is whose world was lost."""
    try:
        yield
    except WorldLost as error:
        kept = f"; what was recorded until then: {record}.part" if record else ""
        raise WorldLost(f"{error}{kept}") from None


def summarise(result: dict[str, Any], console: Console) -> None:
    """What a person wants to know first."""
    e = result["exposure"]
    console.print(
        f"[bold]{result['status']}[/]{' (clean)' if result['clean'] else ''}: {result['route_completion']:.0%} of "
        f"{e['route_m']:.0f} m in {result['sim_s']:.0f} s, driving score {result['driving_score']['2.0']:.1f} (2.0), "
        f"{result['realtime_factor']:.2f} x real time"
    )
    console.print(
        f"met: {e['red_light_stops']} stops at red, {e['junctions']} junctions, {e['vehicles_within_30m']:.1f} vehicles "
        f"within 30 m, {e['following_s']:.0f} s following; guard acted in {result['interventions']} of {result['ticks']} ticks"
    )
    for item in result["infractions"]:
        fault = "at fault" if item["at_fault"] else "not at fault"
        console.print(f"  {item['time_s']:6.1f} s  {item['kind']} {item['other']} ({fault})")
