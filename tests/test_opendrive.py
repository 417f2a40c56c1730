"""The OpenDRIVE reader against scipy, libcarla, and bad files."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp
from shared_maps import graph_of, map_of

from stack.opendrive import MapError, RoadMap, build_graph, find_map, load_map
from stack.opendrive.geometry import local_point, reference
from stack.opendrive.lanes import graph_lanes
from stack.opendrive.records import Geometry

DATA = Path(__file__).parents[2] / "shared/data/maps"
OURS = sorted((Path(__file__).parents[1] / "sim/maps").glob("*.xodr"))
assert OURS, "no maps in sim/maps"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"no maps in {DATA}")

LANES = """<lanes>{offset}<laneSection s="0">
<left><lane id="1" type="driving"><link>{left}</link><width sOffset="0" a="3.5" b="0" c="0" d="0"/></lane></left>
<center><lane id="0" type="none"><roadMark sOffset="0" type="{mark}" color="yellow" width="0.15"/></lane></center>
<right><lane id="-1" type="driving"><link>{right}</link><width sOffset="0" a="3" b="0.01" c="0" d="0"/>
<roadMark sOffset="0" type="solid" width="0.12"/></lane>
<lane id="-2" type="sidewalk"><width sOffset="0" a="2" b="0" c="0" d="0"/>
<height sOffset="0" inner="0.12" outer="0.15"/></lane>
</right></laneSection></lanes>"""
MAP = """<?xml version="1.0"?>
<OpenDRIVE><header revMajor="1" revMinor="6"/>
<road id="1" length="100" junction="-1"><link><successor elementType="road" elementId="2" contactPoint="start"/></link>
<type s="0" type="town"><speed max="50" unit="km/h"/></type>
<planView><geometry s="0" x="10" y="20" hdg="0.3" length="60"><line/></geometry>
<geometry s="60" x="67.3202" y="37.7312" hdg="0.3" length="40"><arc curvature="0.02"/></geometry></planView>
<elevationProfile><elevation s="0" a="1" b="0.02" c="0" d="0"/></elevationProfile>
<lateralProfile><superelevation s="0" a="0.05" b="0" c="0" d="0"/></lateralProfile>
{lanes1}
<objects><object id="7" type="crosswalk" name="zebra" s="50" t="0" zOffset="0" hdg="0"><outline>
<cornerRoad s="48" t="-5" dz="0" height="0"/><cornerRoad s="52" t="-5" dz="0" height="0"/>
<cornerRoad s="52" t="5" dz="0" height="0"/><cornerRoad s="48" t="5" dz="0" height="0"/></outline></object></objects>
<signals>
<signal id="9" s="40" t="-5" zOffset="2.2" orientation="+" dynamic="no" type="274" value="30" unit="km/h"/></signals>
</road>
<road id="2" length="30" junction="-1"><link><predecessor elementType="road" elementId="1" contactPoint="end"/></link>
<planView><geometry s="0" x="100.0" y="60.0" hdg="1.1" length="30">
<spiral curvStart="0.02" curvEnd="-0.01"/></geometry></planView>
{lanes2}
</road>
</OpenDRIVE>""".format(
    lanes1=LANES.format(offset="", left='<successor id="1"/>', right='<successor id="-1"/>', mark="solid broken"),
    lanes2=LANES.format(offset="", left='<predecessor id="1"/>', right='<predecessor id="-1"/>', mark="broken"),
)


def everything(road_map: RoadMap) -> None:
    """All that is worked out from a map."""
    road_map.strips(), road_map.marks(), road_map.signals, road_map.objects
    build_graph(road_map)


# ---------------------------------------------------------------- geometry


@pytest.mark.parametrize("curvatures", [(0.0, 0.03), (0.05, -0.05), (0.02, 0.02), (0.01, 0.010000001), (-0.2, 0.15)])
def test_spiral_equals_the_integral_of_its_curvature(curvatures: tuple[float, float]) -> None:
    length, (start, end) = 80.0, curvatures
    s = np.linspace(0.0, length, 41)
    truth = solve_ivp(
        lambda at, pose: [np.cos(pose[2]), np.sin(pose[2]), start + (end - start) * at / length],
        (0.0, length), [0.0, 0.0, 0.0], t_eval=s, rtol=1e-11, atol=1e-11,
    )  # fmt: skip
    found = local_point(Geometry("spiral", 0.0, 0.0, 0.0, 0.0, length, (start, end)), s)
    np.testing.assert_allclose(np.stack(found), truth.y, atol=1e-7)


def test_param_poly3_runs_by_arc_length_when_normalized() -> None:
    u, v = (0.0, 30.0, 5.0, -2.0), (0.0, 0.0, 25.0, -10.0)
    p = np.linspace(0.0, 1.0, 200001)
    x, y = (np.polynomial.polynomial.polyval(p, c) for c in (u, v))
    along = np.concatenate([[0.0], np.cumsum(np.hypot(np.diff(x), np.diff(y)))])
    s = np.linspace(0.0, along[-1], 17)
    record = Geometry("paramPoly3", 0.0, 0.0, 0.0, 0.0, float(along[-1]), (*u, *v), normalized=True)
    found_u, found_v, heading = local_point(record, s)
    np.testing.assert_allclose(found_u, np.interp(s, along, x), atol=1e-3)
    np.testing.assert_allclose(found_v, np.interp(s, along, y), atol=1e-3)
    slope = np.arctan2(np.gradient(y, p), np.gradient(x, p))
    np.testing.assert_allclose(heading, np.interp(s, along, slope), atol=1e-3)


def test_superelevation_lifts_the_left_and_sidewalks_have_a_kerb() -> None:
    road_map = load_map(MAP)
    strip = next(s for s in road_map.strips() if (s.road, s.lane) == ("1", 1))
    kerb = next(s for s in road_map.strips() if (s.road, s.lane) == ("1", -2))
    slope = np.sin(0.05)
    np.testing.assert_allclose(strip.left_m[:, 2], 1.0 + 0.02 * strip.s_m + 3.5 * slope, atol=1e-9)
    width = 3.0 + 0.01 * kerb.s_m
    np.testing.assert_allclose(kerb.left_m[:, 2], 1.0 + 0.02 * kerb.s_m - width * slope + 0.12, atol=1e-9)
    np.testing.assert_allclose(kerb.right_m[:, 2], 1.0 + 0.02 * kerb.s_m - (width + 2.0) * slope + 0.15, atol=1e-9)
    assert strip.kind == "driving" and kerb.kind == "sidewalk" and strip.junction == -1


def test_lane_lies_right_of_the_line_where_it_drives_along_it() -> None:
    road_map = load_map(MAP)
    graph = build_graph(road_map)
    lane = graph.lane_key.index(("1", 0, -1))
    frame = reference(road_map.document.roads["1"], np.array([0.0]))
    offset = graph.points(lane)[0, :2] - np.array([frame.x_m[0], frame.y_m[0]])
    assert np.cos(0.3) * offset[1] - np.sin(0.3) * offset[0] == pytest.approx(-1.5 * np.cos(0.05), abs=1e-4)
    assert graph.yaw_rad[graph.lane_start[lane]] == pytest.approx(0.3, abs=0.01)
    opposite = graph.lane_key.index(("1", 0, 1))
    assert np.cos(graph.yaw_rad[graph.lane_start[opposite]] - 0.7) < -0.8
    assert set(graph.successors(lane)) == {graph.lane_key.index(("2", 0, -1))}
    assert set(graph.predecessors(opposite)) == {graph.lane_key.index(("2", 0, 1))}


# ---------------------------------------------------------------- marks, signs, objects


def test_double_line_is_two_lines_inner_first() -> None:
    marks = [m for m in load_map(MAP).marks() if m.colour == "yellow" and m.line_m[0, 0] < 50.0]
    assert sorted(m.kind for m in marks) == ["broken", "solid"]
    assert all((m.dash_m > 0.0) == (m.kind == "broken") for m in marks)
    gap = np.linalg.norm(marks[0].line_m[0] - marks[1].line_m[0])
    assert 0.2 < gap < 0.3


def test_limit_sign_counts_for_its_direction() -> None:
    graph = build_graph(load_map(MAP))
    limit = {key: float(v) * 3.6 for key, v in zip(graph.lane_key, graph.lane_limit_mps, strict=True)}
    assert limit[("1", 0, -1)] == pytest.approx(30.0)
    assert limit[("1", 0, 1)] == pytest.approx(50.0)
    assert limit[("2", 0, -1)] == pytest.approx(30.0)  # it holds until a junction or the next sign
    sign = load_map(MAP).signals[0]
    assert sign.kind == "speed" and sign.yaw_rad == pytest.approx(0.3 - np.pi)


def test_crosswalk_starts_along_a_kerb_and_lies_on_both_lanes() -> None:
    graph = build_graph(load_map(MAP))
    quad = graph.crosswalk_xyz_m[0]
    edge = quad[1, :2] - quad[0, :2]
    assert abs(edge @ [np.cos(0.3), np.sin(0.3)]) == pytest.approx(4.0, abs=1e-3)
    assert len(graph.crosswalk_lane) == 2
    np.testing.assert_allclose(graph.crosswalk_to_m - graph.crosswalk_from_m, 4.0, atol=0.05)


# ---------------------------------------------------------------- bad files


BAD = {
    "truncated": (MAP[:900], "xml"),
    "not xml": ("this < is not xml", "xml"),
    "empty": ("", "OpenDRIVE"),
    "other root": ("<Lanelets/>", "Lanelets"),
    "no roads": ("<OpenDRIVE/>", "OpenDRIVE"),
    "no plan view": (re.sub(r"<planView>.*?</planView>", "", MAP, count=1, flags=re.S), "road"),
    "unknown geometry": (MAP.replace("<line/>", "<helix/>"), "geometry"),
    "length nan": (MAP.replace('length="100"', 'length="nan"'), "road"),
    "length negative": (MAP.replace('length="60"', 'length="-60"'), "geometry"),
    "length zero": (MAP.replace('length="100"', 'length="0"'), "road"),
    "length huge": (MAP.replace('length="100"', 'length="1e12"'), "road"),
    "width text": (MAP.replace('a="3.5"', 'a="wide"', 1), "width"),
    "duplicate road": (MAP.replace('<road id="2"', '<road id="1"'), "road"),
    "duplicate lane": (MAP.replace('<lane id="-2"', '<lane id="-1"'), "lane"),
    "no lanes": (re.sub(r"<lanes>.*?</lanes>", "", MAP, count=1, flags=re.S), "road"),
    "signal at nan": (MAP.replace('<signal id="9" s="40"', '<signal id="9" s="nan"'), "signal"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_file_is_named_with_line_and_element(name: str) -> None:
    text, element = BAD[name]
    with pytest.raises(MapError, match=rf"^bad\.xodr:\d+: <{element}>: found .+, expected .+") as caught:
        load_map(text, "bad.xodr")
    assert "\n" not in str(caught.value)


def test_line_number_is_the_files() -> None:
    text = MAP.replace("<line/>", "<helix/>")
    line = text[: text.index("<helix/>")].count("\n") + 1
    with pytest.raises(MapError, match=f"^x:{line}: "):
        load_map(text, "x")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('<successor id="-1"/>', '<successor id="-9"/>'),
        ('elementId="2" contactPoint="start"', 'elementId="77" contactPoint="start"'),
        ("</OpenDRIVE>", '<junction id="5"><connection id="0" incomingRoad="1" connectingRoad="66" '
                         'contactPoint="start"><laneLink from="1" to="1"/></connection></junction></OpenDRIVE>'),
        ("</OpenDRIVE>", '<controller id="5"><control signalId="66"/></controller></OpenDRIVE>'),
        ("<signals>", '<signals><signalReference id="404" s="3" t="0"/>'),
    ],
)  # fmt: skip
def test_dangling_links_become_warnings(old: str, new: str) -> None:
    road_map = load_map(MAP.replace(old, new, 1))
    everything(road_map)
    assert road_map.warnings


def test_entities_stay_closed() -> None:
    bomb = '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><OpenDRIVE>&a;</OpenDRIVE>'
    with pytest.raises(MapError, match="no <road>"):
        load_map(bomb)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(st.data())
def test_broken_text_gives_a_map_or_a_map_error(data: st.DataObject) -> None:
    text = MAP
    if data.draw(st.booleans()):
        text = text[: data.draw(st.integers(0, len(text)))]
    for _ in range(data.draw(st.integers(0, 3))):
        numbers = [m.span() for m in re.finditer(r'(?<=")-?[\d.]+(?=")', text)]
        if numbers:
            start, end = data.draw(st.sampled_from(numbers))
            value = data.draw(st.sampled_from(["nan", "-1", "0", "1e9", "-1e9", "1e-9", "", "x", "7", "1e400"]))
            text = text[:start] + value + text[end:]
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, max(len(text) - 1, 0)))
        text = text[:at] + data.draw(st.text(max_size=3)) + text[at + data.draw(st.integers(0, 40)) :]
    try:
        everything(load_map(text, "fuzz"))
    except MapError as problem:
        assert str(problem).startswith("fuzz:")


def test_missing_map_is_named() -> None:
    with pytest.raises(ValueError, match="nowhere"):
        find_map("nowhere")


# ---------------------------------------------------------------- libcarla as the oracle


def _against_carla(path: Path) -> tuple[np.ndarray, int]:
    """Differences (n, 4) of position m, heading rad, height m and width m, and how many links differ."""
    carla = pytest.importorskip("carla")
    graph, lanes = graph_of(path), graph_lanes(map_of(path))
    oracle = carla.Map(path.stem, path.read_text())
    rows = []
    for index, lane in enumerate(lanes):
        for k in range(1, len(lane.s_m) - 1, 11):
            point = oracle.get_waypoint_xodr(int(lane.road.id), lane.key[2], float(lane.s_m[k]))
            place, yaw = point.transform.location, -np.radians(point.transform.rotation.yaw)  # y points down there
            off = np.hypot(place.x - lane.line_m[k, 0], -place.y - lane.line_m[k, 1])
            turned = abs(np.angle(np.exp(1j * (yaw - graph.yaw_rad[graph.lane_start[index] + k]))))
            rows.append((off, turned, abs(place.z - lane.line_m[k, 2]), abs(point.lane_width - lane.width_m[k])))
    # it goes on from a lane that ends into the taper behind it
    pairs = [pair for pair in oracle.get_topology() if pair[1].lane_type != carla.LaneType.Restricted]
    theirs = {tuple((str(w.road_id), w.section_id, w.lane_id) for w in pair) for pair in pairs}
    theirs = {pair for pair in theirs if pair[0] != pair[1]}  # it lists dead ends as their own successors
    ours = {(graph.lane_key[a], graph.lane_key[b]) for a in range(graph.lanes) for b in graph.successors(a)}
    return np.array(rows), len(theirs ^ ours)


@needs_data
@pytest.mark.parametrize(
    ("name", "position_m"),
    [
        ("Town01", 1e-3),
        pytest.param("Town04", 1e-3, marks=pytest.mark.slow),
        ("curves_elevation", 1e-3),
        ("fabriksgatan", 1e-2),
        ("e6mini", 1e-2),
    ],
)
def test_lanes_equal_libcarla(name: str, position_m: float) -> None:
    difference, links = _against_carla(DATA / f"{name}.xodr")
    assert links == 0
    assert difference[:, 0].max() < position_m
    assert difference[:, 1].max() < 2e-3
    assert difference[:, 2].max() < 1e-3 and difference[:, 3].max() < 1e-4


@pytest.mark.parametrize("path", OURS[:3], ids=lambda p: p.stem)
def test_our_lanes_equal_libcarla(path: Path) -> None:
    difference, links = _against_carla(path)
    assert links == 0
    # libcarla keeps curvatures in 32 bits (4 mm on an arc of 46 km), and leaves out 1 - k t where offsets change
    assert difference[:, 0].max() < 6e-3 and difference[:, 1].max() < 8e-3 and difference[:, 3].max() < 1e-4
