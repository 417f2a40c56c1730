"""Bad OpenDRIVE files: each gives one clear error, or a map that can be driven on; in bounded time and memory."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from broken_maps import piece
from test_opendrive import MAP

from sim.batch import Batch
from sim.spawn import spawn
from stack.lanegraph import LaneGraph
from stack.opendrive import MAPS, RoadMap, build_graph
from stack.vehicle import load_vehicle

DATA = Path(__file__).parents[2] / "shared/data/maps"
MODELS = [load_vehicle(name) for name in ("sedan", "van", "bicycle")]
CUTS = {"town_a": 3, "suburb": 1, "rural": 2, "holdout_a": 0, "Town01": 5, "Town04": 9}
WHOLE = ("fabriksgatan", "curves_elevation", "e6mini")


@cache
def bases() -> dict[str, str]:
    """Texts to break: the map made by hand, and pieces of whatever maps there are."""
    files = {path.stem: path for folder in (MAPS, DATA) for path in folder.glob("*.xodr")}
    cuts = {name: piece(files[name].read_text(), junction) for name, junction in CUTS.items() if name in files}
    return {"handmade": MAP} | cuts | {name: files[name].read_text() for name in WHOLE if name in files}


def works(road_map: RoadMap) -> LaneGraph:
    """Builds all that is made of a map, puts traffic on it and lets it drive for a while."""
    graph = build_graph(road_map)
    for strip in road_map.strips():
        assert np.isfinite(strip.left_m).all() and np.isfinite(strip.right_m).all()
    assert all(np.isfinite(mark.line_m).all() for mark in road_map.marks())
    assert all(np.isfinite(item.outline_m).all() for item in road_map.objects)
    for name in ("x_m", "y_m", "z_m", "yaw_rad", "pitch_rad", "curvature_1pm", "width_m", "lane_step_m", "lane_stop_s_m",
                 "lane_limit_mps", "signal_cycle_s", "head_xyz_m", "crosswalk_xyz_m", "walk_xyz_m"):  # fmt: skip
        assert np.isfinite(getattr(graph, name)).all(), name
    assert (graph.lane_step_m > 0.0).all() and (graph.lane_count >= 2).all()
    batch = Batch(graph, MODELS, 1, 8)
    batch.reset_world(0, spawn(graph, MODELS, 1, 6, 2), seed=1)
    for _ in range(8):
        batch.step()
    for name in ("x_m", "y_m", "yaw_rad", "vx_mps", "lane_s_m"):
        assert np.isfinite(batch.state.numpy(name)).all(), name
    return graph
