"""Bad OpenDRIVE files: each gives one clear error, or a map that can be driven on; in bounded time and memory."""

from __future__ import annotations

import os
import re
import resource
import time
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from broken_maps import OPERATIONS, broken, piece
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_opendrive import MAP

from sim.batch import Batch
from sim.spawn import spawn
from sim.state import Driver
from stack.lanegraph import LaneGraph
from stack.opendrive import MAPS, MapError, RoadMap, build_graph, doubts, find_map, load_map, source
from stack.vehicle import load_vehicle

DATA = Path(__file__).parents[2] / "shared/data/maps"
MODELS = [load_vehicle(name) for name in ("sedan", "van", "bicycle")]
CUTS = {"town_a": 3, "suburb": 1, "rural": 2, "holdout_a": 0, "Town01": 5, "Town04": 9}
WHOLE = ("fabriksgatan", "curves_elevation", "e6mini")
EDITS = st.tuples(st.sampled_from(OPERATIONS), st.integers(0, 65535), st.integers(0, 65535))
MESSAGE = re.compile(r"[^:]+:\d+: <[^<>]+>: found .+, expected .+")
MAX_S, MAX_MB, FILES = 10.0, 1000.0, 500


@cache
def bases() -> dict[str, str]:
    """Texts to break: the map made by hand, and pieces of whatever maps there are."""
    files = {path.stem: path for folder in (MAPS, DATA) for path in folder.glob("*.xodr")}
    cuts = {name: piece(files[name].read_text(), junction) for name, junction in CUTS.items() if name in files}
    return {"handmade": MAP} | cuts | {name: files[name].read_text() for name in WHOLE if name in files}


def works(road_map: RoadMap) -> LaneGraph:
    """Builds all that is made of a map, puts traffic on it and lets it drive for a while."""
    graph = build_graph(road_map)
    places = [edge for strip in road_map.strips() for edge in (strip.left_m, strip.right_m)]
    places += [mark.line_m for mark in road_map.marks()] + [item.outline_m for item in road_map.objects]
    assert all(np.isfinite(place).all() for place in places)
    for name in ("x_m", "y_m", "z_m", "yaw_rad", "pitch_rad", "curvature_1pm", "width_m", "lane_step_m", "lane_stop_s_m",
                 "lane_limit_mps", "signal_cycle_s", "head_xyz_m", "crosswalk_xyz_m", "walk_xyz_m"):  # fmt: skip
        assert np.isfinite(getattr(graph, name)).all(), name
    assert (graph.lane_step_m > 0.0).all() and (graph.lane_count >= 2).all()
    assert all(doubt.text.isprintable() for doubt in doubts(road_map, graph))
    assert np.abs(graph.x_m).max() < 1e6 and np.abs(graph.y_m).max() < 1e6
    batch = Batch(graph, MODELS, 2, 8)
    batch.reset_world(0, spawn(graph, MODELS, 1, 6, 2), seed=1)
    batch.reset_world(1, anywhere(graph), seed=2)
    for _ in range(6):
        batch.step()
    for name in ("x_m", "y_m", "yaw_rad", "vx_mps", "lane_s_m"):
        assert np.isfinite(batch.state.numpy(name)).all(), name
    return graph


def anywhere(graph: LaneGraph) -> dict[str, np.ndarray]:
    """Moving cars on lanes drawn at random, inside junctions and at dead ends too."""
    rng = np.random.default_rng(0)
    lane = rng.integers(0, graph.lanes, 6)
    point = graph.lane_start[lane] + (rng.uniform(0.0, 1.0, 6) * graph.lane_count[lane]).astype(int)
    constants = {"wish_factor": 1.0, "headway_s": 1.5, "accel_max_mps2": 1.5, "brake_comfort_mps2": 2.0, "gap_min_m": 2.0,
                 "vx_mps": 9.0, "kind": int(MODELS[0].kind_id), "driver": int(Driver.IDM)}  # fmt: skip
    return {name: np.full(6, value) for name, value in constants.items()} | {
        "x_m": graph.x_m[point], "y_m": graph.y_m[point], "yaw_rad": graph.yaw_rad[point], "lane": lane,
        "lane_s_m": (point - graph.lane_start[lane]) * graph.lane_step_m[lane],
    }  # fmt: skip


def judged(path: Path) -> bool:
    """Whether the file is a map that works; False where it gives an error that says what is wrong."""
    try:
        works(load_map(path))
    except MapError as problem:
        assert MESSAGE.fullmatch(str(problem)) and str(problem).isprintable(), str(problem)
        assert str(problem).startswith(f"{path.name}:")
        return False
    return True


@pytest.mark.slow
@pytest.mark.timeout(900)  # of a busy machine; what counts is the time of each file
def test_broken_files_work_or_say_what_is_wrong(tmp_path: Path) -> None:
    works(load_map(MAP))  # what the machine loads once is not the files' fault
    before_kb, outcomes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, []

    @settings(
        max_examples=FILES, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None
    )
    @given(st.sampled_from(sorted(bases())), st.lists(EDITS, min_size=1, max_size=3))
    def one(base: str, edits: list[tuple[str, int, int]]) -> None:
        path = tmp_path / "broken.xodr"
        path.write_bytes(broken(bases()[base], edits))
        start_s = time.process_time()
        outcomes.append(judged(path))
        assert time.process_time() - start_s < MAX_S

    one()
    assert len(outcomes) >= FILES and 0.2 * FILES < sum(outcomes) < 0.8 * FILES  # neither all broken nor all whole
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb < MAX_MB * 1024


@pytest.mark.parametrize("name", ["directory", "empty", "missing", "huge", "pipe", "binary"])
def test_files_that_hold_no_text_say_so(tmp_path: Path, name: str) -> None:
    path = tmp_path / f"{name}.xodr"
    if name == "directory":
        path.mkdir()
    elif name == "pipe":
        os.mkfifo(path)
    elif name == "huge":
        with path.open("wb") as file:
            file.truncate(source.MAX_BYTES + 1)  # it takes no room on the disk
    elif name != "missing":
        path.write_bytes(bytes(range(256)) if name == "binary" else b"")
    with pytest.raises(MapError) as caught:
        load_map(path)
    assert MESSAGE.fullmatch(str(caught.value)) and name in str(caught.value)


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b", "", ".", "no/such.xodr"])
def test_names_that_no_file_has(name: str) -> None:
    with pytest.raises(ValueError, match=r"expected an \.xodr file"):
        find_map(name)


def test_lines_are_counted_in_long_files() -> None:
    text = MAP.replace('<road id="1"', "\n" * 200_000 + '<road id="1"').replace("<line/>", "<helix/>")
    with pytest.raises(MapError, match=f"^long:{text[: text.index('<helix/>')].count(chr(10)) + 1}: <geometry>"):
        load_map(text, "long")


@pytest.mark.parametrize(
    ("old", "new", "element", "found"),
    [
        ('length="100"', 'length="1e9"', "road", 'length="1e9"'),
        ('length="100"', 'length="9e4"', "road", "length=90000"),
        ('length="40"><arc', 'length="1e9"><arc', "geometry", "length 1e+09 m"),
        ('curvature="0.02"', 'curvature="1e6"', "arc", "a bend of 4e+07 rad"),
        ('x="67.3202"', 'x="9e5"', "geometry", "from the end of the record before"),
        ('x="100.0" y="60.0"', 'x="9e5" y="1e8"', "road", "road 2 at x=900000 y=1e+08"),
        ('a="3.5" b="0"', 'a="3.5" b="100"', "width", "a value of 10003.5"),
        ('a="3.5" b="0"', 'a="3.5" b="1_0"', "width", 'b="1_0"'),
        ('<elevation s="0" a="1"', '<elevation s="0" a="1e6"', "elevation", "a value of 1e+06"),
        ('<superelevation s="0" a="0.05"', '<superelevation s="0" a="2"', "superelevation", "a value of 2"),
        ('inner="0.12"', 'inner="1e4"', "height", 'inner="1e4"'),
        ('<signal id="9" s="40"', '<signal id="9" s="4000"', "signal", 's="4000"'),
        ('<cornerRoad s="48" t="-5"', '<cornerRoad s="48" t="-1e6"', "cornerRoad", 't="-1e6"'),
        ('max="50" unit="km/h"', 'max="5000" unit="km/h"', "speed", 'max="5000"'),
        ('max="50" unit="km/h"', 'max="50" unit="knots"', "speed", 'unit="knots"'),
        ('type="solid" width="0.12"/>', 'type="solid"><type name="x"><line length="1e-9" space="1e-9"/></type></roadMark>',
         "line", "dashes of 1e-09 m"),
        ('<arc curvature="0.02"/>', '<paramPoly3 bU="1e6"/>', "paramPoly3", "a curve of"),
        ('<arc curvature="0.02"/>', '<arc curvature="&#10;&#9;"/>', "arc", 'curvature=" "'),
    ],
)  # fmt: skip
def test_absurd_numbers_are_named(old: str, new: str, element: str, found: str) -> None:
    assert old in MAP
    text = MAP.replace(old, new, 1)
    with pytest.raises(MapError, match=rf"^far:\d+: <{element}>: found .*{re.escape(found)}.*, expected .+"):
        load_map(text, "far")


def test_lanes_of_all_roads_together_are_bounded() -> None:
    lane = '<lane id="{}" type="driving"><width sOffset="0" a="3"/></lane>'
    lanes = "".join(lane.format(-k) for k in range(1, 400))
    road = f"""<road id="1" length="9e4"><planView><geometry s="0" x="0" y="0" hdg="0" length="9e4"><line/></geometry>
</planView><lanes><laneSection s="0"><right>{lanes}</right></laneSection></lanes></road>"""
    with pytest.raises(
        MapError, match=r"<road>: found 3.591e\+07 m of lanes and lines so far, expected at most 2e\+06"
    ):
        load_map(f"<OpenDRIVE>{road}</OpenDRIVE>")


def short_roads(count: int, junction: str, extra: str) -> str:
    """A chain of roads of a metre, each with two lanes that lead to both lanes of the next: ways double at each."""
    lane = '<lane id="{0}" type="driving"><link><successor id="-1"/><successor id="-2"/></link><width a="3"/></lane>'
    road = """<road id="{k}" length="1" junction="{junction}"><link><successor elementType="road" elementId="{next}"
contactPoint="start"/></link><planView><geometry s="0" x="{k}" y="0" hdg="0" length="1"><line/></geometry></planView>
<lanes><laneSection s="0"><right>{lanes}</right></laneSection></lanes><signals>{signal}</signals></road>"""
    signal = '<signal id="l" s="0.5" t="-3" zOffset="5" dynamic="yes" orientation="+" type="1000001"/>'
    lanes = lane.format(-1) + lane.format(-2)
    roads = (road.format(k=k, next=(k + 1) % count, junction=junction, lanes=lanes, signal=signal if k == 0 else "")
             for k in range(count))  # fmt: skip
    return f"<OpenDRIVE>{''.join(roads)}{extra}</OpenDRIVE>"


def test_ways_that_double_at_every_metre_do_not_multiply() -> None:
    start_s = time.process_time()
    graph = works(load_map(short_roads(120, "-1", "")))  # 2^60 ways within reach of the light
    assert graph.lanes == 240 and graph.signals == 1
    assert time.process_time() - start_s < MAX_S


def test_a_junction_of_a_thousand_lanes_is_read_in_time() -> None:
    start_s = time.process_time()
    graph = works(load_map(short_roads(500, "7", '<junction id="7"/>')))
    assert graph.lanes == 1000 and (graph.lane_junction == 0).all()
    assert time.process_time() - start_s < MAX_S


def test_points_that_repeat_and_records_of_no_length_change_nothing() -> None:
    again = '<geometry s="60" x="67.3202" y="37.7312" hdg="0.3" length="0"><line/></geometry>'
    offset = '<laneOffset s="0" a="0" b="0" c="0" d="0"/>' * 3000
    text = MAP.replace('<geometry s="60"', again * 3000 + '<geometry s="60"', 1).replace("<lanes>", "<lanes>" + offset)
    np.testing.assert_array_equal(works(load_map(text)).x_m, build_graph(load_map(MAP)).x_m)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "iso-8859-1"])
def test_encodings_are_read_as_the_file_says(tmp_path: Path, encoding: str) -> None:
    name = encoding.removesuffix("-sig")
    text = MAP.replace('version="1.0"?', f'version="1.0" encoding="{name}"?').replace(
        'name="zebra"', 'name="\u00dcberweg"'
    )
    path = tmp_path / "map.xodr"
    path.write_bytes(text.encode(encoding))
    assert [item.name for item in load_map(path).objects] == ["\u00dcberweg"]
    assert load_map(load_map(path).document.text).objects[0].name == "\u00dcberweg"  # as a recording keeps it


def test_maps_far_from_the_origin_are_brought_near() -> None:
    """32 bits hold a northing of UTM to half a metre only."""
    text = MAP.replace('x="10" y="20"', 'x="500010" y="5400020"').replace(
        'x="67.3202" y="37.7312"', 'x="500067.3202" y="5400037.7312"'
    )
    road_map = load_map(text.replace('x="100.0" y="60.0"', 'x="500100.0" y="5400060.0"'))
    np.testing.assert_allclose(works(road_map).x_m, build_graph(load_map(MAP)).x_m, atol=1e-4)
    assert any("shifted by -500000, -5400000 m" in warning for warning in road_map.warnings)
