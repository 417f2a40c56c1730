"""`ringroad dataset`: a labelled data set rendered from our worlds: COCO boxes, masks of CARLA's ids, light windows."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from stack.messages import Optics, Rig
from stack.rigs import load_rig

FRAMES_A_TOUR = 20  # then other traffic, light and way
TOURS_A_LOOK = 2  # then other scenery, which takes seconds to build
TICKS_BETWEEN = 24  # 1.2 s: frames differ
VEHICLES, PEDESTRIANS = 56, 48
# of the vehicles; more of the rare kinds than drives have, so that the network learns them
SHARES = {"van": 0.12, "truck": 0.08, "bus": 0.05, "bicycle": 0.15, "motorcycle": 0.09}


def render(
    out: Path,
    maps: Sequence[str],
    frames: int,
    seed: int,
    say: Callable[[str], None],
    rig: Rig = Rig(),
    optics: bool = False,
    unseen: bool = False,
) -> None:
    """Pictures with labels from a car that drives in traffic on each of the maps, in every weather, with other looks.

    `unseen`: in shapes and colours that nothing is trained on.
    `optics`: each tour has shutters, smears and, in rain, drops of its own, drawn apart from all else.
    """
    from perception.dataset import Writer
    from planning.route import random_route
    from sim.weather import WEATHERS
    from sim.world import EmbeddedWorld
    from stack.loop import Scenario
    from stack.opendrive import build_graph, find_map, load_map
    from stack.seeds import Stream, generator

    part = out.with_name(out.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    writer = Writer(part)
    roads = {name: load_map(find_map(name)) for name in maps}
    graphs = {name: build_graph(road) for name, road in roads.items()}
    started = time.monotonic()
    for tour, first in enumerate(range(0, frames, FRAMES_A_TOUR)):
        look, part_of_look = divmod(tour, TOURS_A_LOOK)
        name = maps[look % len(maps)]
        if part_of_look == 0:
            world = EmbeddedWorld(roads[name], "cpu", look=seed * 1000 + look, unseen=unseen)
        draw = generator(seed, Stream.SCENARIO, tour)
        weather = list(WEATHERS)[int(draw.integers(len(WEATHERS)))] if draw.random() < 0.5 else "clear"
        graph = graphs[name]
        route = random_route(graph, seed * 1000 + tour, 100.0, 2000.0)
        worn = with_optics(rig, weather, generator(seed, Stream.WEATHER, tour, actor=1)) if optics else rig
        scenario = Scenario(
            name, name, graph, route, seed * 1000 + tour, VEHICLES, PEDESTRIANS, weather=weather, rig=worn
        )
        world.tour(scenario, SHARES)
        for _ in range(min(FRAMES_A_TOUR, frames - first)):
            for _ in range(TICKS_BETWEEN):
                world.advance()
            nudge = np.array([draw.normal(0, 0.3), draw.normal(0, 0.03), draw.normal(0, 0.01)])
            frame, truth = world.look(nudge)
            writer.add(frame, truth, graph)
        say(f"data: {min(first + FRAMES_A_TOUR, frames)} of {frames} frames")
    minutes = round((time.monotonic() - started) / 60, 1)
    writer.close({"maps": list(maps), "seed": seed, "frames": frames, "minutes": minutes})
    shutil.rmtree(out, ignore_errors=True)
    part.replace(out)


def with_optics(rig: Rig, weather: str, draw: np.random.Generator) -> Rig:
    """The rig with shutters of half to twice the usual time, smears on a third of the cameras, drops on most in rain."""
    cameras = []
    for mount in rig.cameras:
        shutter = float(2.0 ** draw.uniform(-1.0, 1.0))
        smeared, dirt, wet, drops = draw.random(4)
        cameras.append(
            replace(
                mount,
                optics=Optics(
                    shutter,
                    0.3 * float(dirt) if smeared < 0.33 else 0.0,
                    0.12 * float(drops) if weather == "rain" and wet < 0.7 else 0.0,
                ),
            )
        )
    return replace(rig, cameras=tuple(cameras))


def run(
    out: Path, maps: list[str], frames: int, seed: int, rig: Path | None = None, optics: bool = False
) -> dict[str, Any]:
    """The verb: render `frames` frames of the rig's pictures into `out`."""
    from sim.maps import TRAINING

    names = maps or list(TRAINING)
    wanted = load_rig(rig) if rig else Rig()
    render(out, names, frames, seed, Console(file=sys.stderr).print, wanted, optics)
    return {"out": str(out), "frames": frames, "maps": names}
