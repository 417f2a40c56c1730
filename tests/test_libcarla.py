"""libcarla (the `carla` client, offline) as the judge of lanes, links, permissions and landmarks; and where it errs.

Where the two differ, the standard decides: poses are worked out here once more, from the file's own numbers with scipy.
"""

from __future__ import annotations

from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lxml import etree
from scipy.integrate import quad, solve_ivp
from shared_maps import graph_of, map_of

from stack.opendrive import MAPS, RoadMap, load_map
from stack.opendrive.lanes import GraphLane, graph_lanes

carla = pytest.importorskip("carla")
DATA = Path(__file__).parents[2] / "shared/data/maps"
QUICK = ("town_a", "rural", "Town01", "fabriksgatan", "curves_elevation", "e6mini")
FILES = [*sorted(MAPS.glob("*.xodr")), *sorted(DATA.glob("*.xodr"))]
PARAMS = [pytest.param(p, id=p.stem, marks=[] if p.stem in QUICK else pytest.mark.slow) for p in FILES]
TOWNS = [
    param for path, param in zip(FILES, PARAMS, strict=True) if path.parent == DATA and path.stem.startswith("Town")
]
OURS = [param for path, param in zip(FILES, PARAMS, strict=True) if path.parent != DATA]
LIGHT_AHEAD_M = 0.25  # libcarla puts every light so far ahead of its place
LIGHT = "1000001"


@cache
def oracle_of(path: Path) -> Any:
    return carla.Map(path.stem, path.read_text())


def turned(a: float, b: float) -> float:
    return float(abs(np.angle(np.exp(1j * (a - b)))))


def yaw_of(transform: Any) -> float:
    return -float(np.radians(transform.rotation.yaw))  # y points down there


def xyz_of(transform: Any) -> np.ndarray:
    return np.array([transform.location.x, -transform.location.y, transform.location.z])


def key(point: Any) -> tuple[str, int, int]:
    return str(point.road_id), point.section_id, point.lane_id


# ---------------------------------------------------------------- lanes


def stations(lane: GraphLane) -> list[float]:
    """Just after its start, its middle, just before its end; in driving direction."""
    start, end = float(lane.s_m[0]), float(lane.s_m[-1])
    inset = min(1.0, 0.25 * abs(end - start))
    return [start + np.sign(end - start) * inset, 0.5 * (start + end), end - np.sign(end - start) * inset]


@pytest.mark.parametrize("path", PARAMS)
def test_lanes_links_and_permissions_are_libcarlas(path: Path) -> None:
    graph, road_map, oracle = graph_of(path), map_of(path), oracle_of(path)
    junction_ids = [int(junction.id) for junction in road_map.junctions]
    keys = set(graph.lane_key)
    for i, lane in enumerate(graph_lanes(road_map)):
        points = [oracle.get_waypoint_xodr(int(lane.road.id), lane.key[2], s) for s in stations(lane)]
        for s, point in zip(stations(lane), points, strict=True):
            assert key(point) == lane.key
            assert point.is_junction == (graph.lane_junction[i] >= 0)
            assert not point.is_junction or point.junction_id == junction_ids[graph.lane_junction[i]]
            row = np.interp(s, *(x[:: 1 if lane.forward else -1] for x in (lane.s_m, lane.width_m)))
            assert point.lane_width == pytest.approx(row, abs=0.02)  # ours is known each metre
            for beside, mine in (
                (point.get_left_lane(), graph.lane_left[i]),
                (point.get_right_lane(), graph.lane_right[i]),
            ):
                same = beside is not None and key(beside) in keys and beside.lane_id * point.lane_id > 0
                assert (key(beside) if same else None) == (graph.lane_key[mine] if mine >= 0 else None)
        ahead = points[2].next(abs(float(lane.s_m[-1]) - points[2].s) + 0.02)
        behind = points[0].previous(abs(float(lane.s_m[0]) - points[0].s) + 0.02)
        # libcarla goes on into tapers that the file says are restricted
        assert {key(p) for p in ahead} & keys == {graph.lane_key[k] for k in graph.successors(i)}
        assert {key(p) for p in behind} & keys == {graph.lane_key[k] for k in graph.predecessors(i)}


def one_way_marks(lane: GraphLane) -> bool:
    return any(mark.change in ("increase", "decrease") for mark in lane.record.marks)


@pytest.mark.parametrize("path", PARAMS)
def test_lane_changes_are_allowed_where_libcarla_allows_them(path: Path) -> None:
    """Where the marking changes along a lane, that which holds on most of it counts. A marking that may be crossed one way
    only is left to the test below."""
    graph, oracle, lanes = graph_of(path), oracle_of(path), graph_lanes(map_of(path))
    for i, lane in enumerate(lanes):
        if max(graph.lane_left[i], graph.lane_right[i]) < 0:
            continue
        places = np.linspace(float(lane.s_m[0]), float(lane.s_m[-1]), 13)[1:-1]
        points = [oracle.get_waypoint_xodr(int(lane.road.id), lane.key[2], float(s)) for s in places]
        votes = Counter(str(point.lane_change) for point in points)
        for side, beside, allowed in (("Left", graph.lane_left[i], graph.lane_change_left[i]),
                                      ("Right", graph.lane_right[i], graph.lane_change_right[i])):  # fmt: skip
            inner = i if side == "Right" else beside
            if beside >= 0 and not one_way_marks(lanes[inner]):
                assert bool(allowed) == (votes[side] + votes["Both"] > len(points) / 2), (lane.key, side, votes)


# ---------------------------------------------------------------- landmarks


@cache
def elements_of(path: Path) -> dict[tuple[str, str], tuple[Any, Any]]:
    """(tag, id) -> road and element of all signals and objects."""
    root = etree.parse(path).getroot()
    return {(el.tag, el.get("id")): (road, el) for road in root.iter("road") for el in road.iter("signal", "object")}


def pose(road: Any, s: float, t: float, z: float) -> tuple[np.ndarray, float]:
    """Place and heading of the road at s, moved by t to the left and z up: the heading's integral along the record."""
    record = [g for g in road.iter("geometry") if float(g.get("s")) <= s + 1e-9][-1]
    shape, length = record[0], float(record.get("length"))
    ends = {"line": (0.0, 0.0), "arc": (float(shape.get("curvature", 0)),) * 2,
            "spiral": (float(shape.get("curvStart", 0)), float(shape.get("curvEnd", 0)))}[shape.tag]  # fmt: skip

    def slope(at: float, state: np.ndarray) -> list[float]:
        return [np.cos(state[2]), np.sin(state[2]), ends[0] + (ends[1] - ends[0]) * at / length]

    start = [float(record.get(name)) for name in ("x", "y", "hdg")]
    ds = s - float(record.get("s"))
    x, y, hdg = solve_ivp(slope, (0.0, ds), start, rtol=1e-9, atol=1e-9).y[:, -1] if ds > 0.0 else start
    roll = value(road.findall("lateralProfile/superelevation"), s)
    height = value(road.findall("elevationProfile/elevation"), s) + z + t * np.sin(roll)
    return np.array([x - t * np.cos(roll) * np.sin(hdg), y + t * np.cos(roll) * np.cos(hdg), height]), float(hdg)


def value(records: list[Any], s: float) -> float:
    row = next((r for r in reversed(records) if float(r.get("s")) <= s + 1e-9), None)
    return 0.0 if row is None else float(np.polyval([float(row.get(k)) for k in "dcba"], s - float(row.get("s"))))


def numbers(el: Any, *names: str) -> list[float]:
    return [float(el.get(name, 0.0)) for name in names]


def test_libcarla_lets_one_cross_both_ways_what_may_be_crossed_one_way() -> None:
    """OpenDRIVE 1.6, 9.6.1: `increase` is a change towards larger lane ids: out of the lane that ends, not into it."""
    path = next(param.values[0] for param in PARAMS if param.id == "highway")
    graph, oracle, seen = graph_of(path), oracle_of(path), 0
    for i, lane in enumerate(graph_lanes(map_of(path))):
        if graph.lane_right[i] >= 0 and lane.key[2] < 0 and [m.change for m in lane.record.marks] == ["increase"]:
            middle = oracle.get_waypoint_xodr(int(lane.road.id), lane.key[2], 0.5 * float(lane.s_m[0] + lane.s_m[-1]))
            assert str(middle.lane_change) in ("Right", "Both")
            assert not graph.lane_change_right[i] and graph.lane_change_left[graph.lane_right[i]]
            seen += 1
    assert seen


@pytest.mark.parametrize("path", OURS + TOWNS)
def test_landmarks_are_libcarlas(path: Path) -> None:
    """Each signal, each reference to one, and VectorZero's signs that are objects: type, road, direction, lanes."""
    road_map, elements = map_of(path), elements_of(path)
    posts = {post.id.removeprefix("object "): post for post in road_map.signals}
    landmarks = oracle_of(path).get_all_landmarks()
    assert {mark.id for mark in landmarks} == {id_ for id_, post in posts.items() if not post.painted}
    for mark in landmarks:
        post, by_object = posts[mark.id], ("signal", mark.id) not in elements
        own = [] if by_object else elements["signal", mark.id][1]
        kind = {"1000001": "light", "274": "speed", "206": "stop", "205": "yield"}.get(mark.type, "other")
        assert post.kind == kind
        assert by_object or (mark.type, mark.sub_type) == (own.get("type"), own.get("subtype"))
        assert kind != "speed" or post.value == pytest.approx(mark.value)
        places = [(post.road, post.s_m, post.lanes), *((r.road, r.s_m, r.lanes) for r in post.references)]
        here = [lanes for road, s, lanes in places if road == str(mark.road_id) and abs(s - mark.s) < 1e-3]
        assert here
        theirs = {lane for a, b in mark.get_lane_validities() for lane in range(min(a, b), max(a, b) + 1) if lane}
        if by_object:
            continue
        if here[0]:
            mine = [{lane for a, b in lanes for lane in range(min(a, b), max(a, b) + 1) if lane} for lanes in here]
            assert theirs in mine
        else:  # no validity: it counts for its direction, "+" along s; libcarla has VectorZero's opposite notion for all
            assert all((lane > 0) == (mark.orientation == carla.LandmarkOrientation.Positive) for lane in theirs)
            assert post.forward == ((own.get("orientation") == "+") != (path.parent == DATA))


@pytest.mark.parametrize("path", OURS + TOWNS)
def test_landmarks_stand_where_the_file_says(path: Path) -> None:
    """Ours to the millimetre. libcarla moves lights 0.25 m ahead, leaves out superelevation, and moves VectorZero's
    signs out of the lanes that it thinks they are in; it takes no notice of a signal's `orientation`."""
    elements, posts = elements_of(path), {post.id.removeprefix("object "): post for post in map_of(path).signals}
    vector_zero = path.parent == DATA
    moved = 0
    for mark in oracle_of(path).get_all_landmarks():
        by_object = ("signal", mark.id) not in elements
        road, el = elements["object" if by_object else "signal", mark.id]
        place, hdg = pose(road, *numbers(el, "s", "t", "zOffset"))
        post, theirs = posts[mark.id], mark.transform
        np.testing.assert_allclose(post.xyz_m, place, atol=1e-3)
        against, offset = (
            el.get("orientation") == "-" and not vector_zero,
            numbers(el, "hdg" if by_object else "hOffset")[0],
        )
        travel = hdg + offset + (np.pi if against else 0.0)  # of the traffic that is meant
        assert turned(post.yaw_rad, travel + np.pi) < 1e-4  # the face looks at it
        off = xyz_of(theirs) - place
        if by_object:
            aside = np.array([-np.sin(hdg), np.cos(hdg)]) * np.sign(post.t_m)
            assert off[:2] @ aside > -0.01 and np.hypot(*off[:2]) < 5.0
            assert np.hypot(*off[:2]) > 0.01 or turned(yaw_of(theirs), travel) < 2e-3  # moved ones are turned as well
        else:
            yaw, roll = yaw_of(theirs), value(road.findall("lateralProfile/superelevation"), post.s_m)
            ahead = theirs.get_forward_vector()
            off -= LIGHT_AHEAD_M * np.array([ahead.x, -ahead.y, ahead.z]) if mark.type == LIGHT else 0.0
            moved += np.hypot(*off[:2]) > 2e-3
            assert np.hypot(*off[:2]) < 5.0
            assert off[2] == pytest.approx(-post.t_m * np.sin(roll), abs=2e-3)
            assert turned(yaw, hdg + offset) < 2e-3
    assert moved <= (0.03 * len(elements) if vector_zero else 0)  # out of a lane


# ---------------------------------------------------------------- hand-made roads


def one_road(shape: str, length: float, width: str = '<width sOffset="0" a="3" b="0" c="0" d="0"/>', lanes: str = "",
             profiles: str = "") -> str:  # fmt: skip
    return f"""<?xml version="1.0"?><OpenDRIVE><header revMajor="1" revMinor="6"><geoReference><![CDATA[+lat_0=0 +lon_0=0
]]></geoReference></header><road name="a" id="1" length="{length!r}" junction="-1"><link/><planView>
<geometry s="0" x="5" y="-7" hdg="0.4" length="{length!r}">{shape}</geometry></planView>{profiles}<lanes>{lanes}
<laneSection s="0"><left><lane id="1" type="driving"><width sOffset="0" a="3.5" b="0" c="0" d="0"/></lane></left><center>
<lane id="0" type="none"/></center><right><lane id="-1" type="driving">{width}</lane></right></laneSection>
</lanes></road></OpenDRIVE>"""


def arc_length(u: list[float], v: list[float], end: float) -> float:
    du, dv = np.polyder(u[::-1]), np.polyder(v[::-1])
    return quad(lambda p: float(np.hypot(np.polyval(du, p), np.polyval(dv, p))), 0.0, end, epsabs=1e-9)[0]


CUBIC_U, CUBIC_V = [0.0, 50.0, 0.0, 0.0], [0.0, 0.0, 25.0, -10.0]
CUBIC_M = arc_length(CUBIC_U, CUBIC_V, 1.0)
CUBIC = "<paramPoly3 {} pRange='normalized'/>".format(
    " ".join(f'{n}{a}="{x}"' for a, c in (("U", CUBIC_U), ("V", CUBIC_V)) for n, x in zip("abcd", c, strict=True))
)
POLY_V = [0.0, 0.0, 0.02, -0.0003]
POLY_M = arc_length([0.0, 1.0], POLY_V, 50.0)
ELEVATION = """<elevationProfile><elevation s="0" a="1" b="0.02" c="0" d="0"/>
<elevation s="20" a="1.4" b="0.02" c="0.002" d="-0.00003"/></elevationProfile>"""
OFFSET = '<laneOffset s="0" a="1" b="0" c="0" d="0"/><laneOffset s="20" a="1" b="0" c="0.01" d="-0.0002"/>'
WIDTH = '<width sOffset="0" a="3" b="0.02" c="0" d="0"/><width sOffset="20" a="3.4" b="0" c="0.01" d="-0.0002"/>'
AGREED = {
    "spiral": one_road('<spiral curvStart="0.01" curvEnd="-0.03"/>', 50.0),
    "poly3": one_road('<poly3 a="0" b="0" c="0.02" d="-0.0003"/>', POLY_M),
    "elevation": one_road("<line/>", 50.0, profiles=ELEVATION),
    "lane offset": one_road("<line/>", 50.0, lanes=OFFSET),
    "width records": one_road("<line/>", 50.0, width=WIDTH),
}


def lanes_of(road_map: RoadMap) -> dict[int, GraphLane]:
    return {lane.key[2]: lane for lane in graph_lanes(road_map)}


@pytest.mark.parametrize("name", AGREED)
def test_records_are_read_as_libcarla_reads_them(name: str) -> None:
    oracle = carla.Map(name, AGREED[name])
    for id_, lane in lanes_of(load_map(AGREED[name])).items():
        for k in range(1, len(lane.s_m) - 1):
            point = oracle.get_waypoint_xodr(1, id_, float(lane.s_m[k]))
            np.testing.assert_allclose(xyz_of(point.transform), lane.line_m[k], atol=2e-3)
            assert point.lane_width == pytest.approx(lane.width_m[k], abs=1e-4)
            assert turned(yaw_of(point.transform), lane.yaw_rad[k]) < 5e-3


def test_cubics_run_by_arc_length() -> None:
    """Truth: the parameter at which the summed arc length is s."""
    grid = np.linspace(0.0, 1.0, 20001)
    u, v = np.polyval(CUBIC_U[::-1], grid), np.polyval(CUBIC_V[::-1], grid)
    du, dv = np.polyval(np.polyder(CUBIC_U[::-1]), grid), np.polyval(np.polyder(CUBIC_V[::-1]), grid)
    along = np.concatenate([[0.0], np.cumsum(np.hypot(np.diff(u), np.diff(v)))])
    text = one_road(CUBIC, CUBIC_M)
    oracle = carla.Map("cubic", text)
    lane = lanes_of(load_map(text))[-1]
    for k in range(1, len(lane.s_m) - 1):
        x, y, slope = (np.interp(lane.s_m[k], along, column) for column in (u, v, np.arctan2(dv, du)))
        x, y = x + 1.5 * np.sin(slope), y - 1.5 * np.cos(slope)
        truth = np.array([5 + x * np.cos(0.4) - y * np.sin(0.4), -7 + x * np.sin(0.4) + y * np.cos(0.4)])
        np.testing.assert_allclose(lane.line_m[k, :2], truth, atol=2e-3)
        theirs = xyz_of(oracle.get_waypoint_xodr(1, -1, float(lane.s_m[k])).transform)
        np.testing.assert_allclose(theirs[:2], truth, atol=2e-3)


def test_superelevation_tilts_lanes_and_libcarla_leaves_them_flat() -> None:
    tilt = '<lateralProfile><superelevation s="0" a="0.1" b="0" c="0" d="0"/></lateralProfile>'
    text = one_road("<line/>", 50.0, profiles=tilt)
    point = carla.Map("tilt", text).get_waypoint_xodr(1, 1, 25.0)
    assert lanes_of(load_map(text))[1].line_m[25, 2] == pytest.approx(1.75 * np.sin(0.1), abs=1e-6)
    assert point.transform.location.z == pytest.approx(0.0, abs=1e-6)


def test_border_bounds_a_lane_and_libcarla_knows_only_width() -> None:
    text = one_road("<line/>", 50.0, width='<border sOffset="0" a="-3" b="0.02" c="0" d="0"/>')
    lane = lanes_of(load_map(text))[-1]
    middle = len(lane.s_m) // 2
    assert lane.width_m[middle] == pytest.approx(3.0 - 0.02 * lane.s_m[middle], abs=1e-9)
    assert carla.Map("border", text).get_waypoint_xodr(1, -1, 25.0).lane_width < 0.1
