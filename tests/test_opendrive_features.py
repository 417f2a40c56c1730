"""What the files of others use: each feature of docs/maps.md is read, or said not to be."""

from __future__ import annotations

import numpy as np
import pytest
from test_opendrive import MAP

from stack.opendrive import RoadMap, build_graph, load_map

LANE = """<lane id="{id}" type="{kind}"><link>{link}</link><width sOffset="0" a="{width}"/>{inside}</lane>"""


def lane(id_: int, kind: str = "driving", link: str = "", width: float = 3.5, inside: str = "") -> str:
    return LANE.format(id=id_, kind=kind, link=link, width=width, inside=inside)


def section(s: float, left: str = "", right: str = "", attributes: str = "") -> str:
    return f'<laneSection s="{s}" {attributes}><left>{left}</left><right>{right}</right></laneSection>'


def road(sections: str, *, id_: int = 1, x: float = 0.0, length: float = 50.0, link: str = "", rest: str = "",
         attributes: str = "", first: str = "") -> str:  # fmt: skip
    return f"""<road id="{id_}" length="{length}" {attributes}><link>{link}</link>{first}<planView>
<geometry s="0" x="{x}" y="0" hdg="0" length="{length}"><line/></geometry></planView><lanes>{sections}</lanes>{rest}</road>"""


def read(*parts: str, header: str = "") -> RoadMap:
    return load_map(f"<OpenDRIVE>{header}{''.join(parts)}</OpenDRIVE>", "map")


@pytest.mark.parametrize("kind", ["driving", "entry", "exit", "onRamp", "offRamp", "connectingRamp", "slipLane",
                                  "bidirectional", "mwyEntry", "mwyExit"])  # fmt: skip
def test_lanes_of_this_type_are_driven_on(kind: str) -> None:
    graph = build_graph(read(road(section(0, right=lane(-1) + lane(-2, kind)))))
    assert graph.lane_key == (("1", 0, -1), ("1", 0, -2))


@pytest.mark.parametrize("kind", ["shoulder", "border", "stop", "restricted", "parking", "median", "biking", "sidewalk",
                                  "walking", "curb", "tram", "rail", "roadWorks", "bus", "taxi", "HOV", "special1",
                                  "none", "of my own"])  # fmt: skip
def test_lanes_of_this_type_are_scenery(kind: str) -> None:
    road_map = read(road(section(0, right=lane(-1) + lane(-2, kind))))
    assert build_graph(road_map).lane_key == (("1", 0, -1),)
    assert [strip.kind for strip in road_map.strips()] == ["driving", kind]


@pytest.mark.parametrize(
    ("unit", "value", "mps"), [("km/h", 72, 20.0), ("mph", 45, 20.1168), ("m/s", 20, 20.0), ("", 20, 20.0)]
)
def test_speeds_of_roads_and_lanes_in_every_unit(unit: str, value: float, mps: float) -> None:
    speed = f'<speed sOffset="0" max="{value}" unit="{unit}"/>'
    whole = road(section(0, right=lane(-1)), first=f'<type s="0" type="town">{speed}</type>')
    assert build_graph(read(whole)).lane_limit_mps[0] == pytest.approx(mps)
    assert build_graph(read(road(section(0, right=lane(-1, inside=speed))))).lane_limit_mps[0] == pytest.approx(mps)


@pytest.mark.parametrize("limit", ["no limit", "undefined"])
def test_roads_without_a_limit_have_that_of_a_town(limit: str) -> None:
    text = road(section(0, right=lane(-1)), first=f'<type s="0" type="motorway"><speed max="{limit}"/></type>')
    assert build_graph(read(text)).lane_limit_mps[0] == pytest.approx(50.0 / 3.6)


def test_one_sided_sections_keep_the_other_side() -> None:
    """singleSide: a section describes the right; the left goes on from the section before, its records counted on.

    libcarla has no lane there, and ends the process when asked for it."""
    widening = lane(1, width=3).replace('a="3"', 'a="3" b="0.02"')
    after = section(20, right=lane(-1, link='<predecessor id="-1"/>', width=4), attributes='singleSide="true"')
    graph = build_graph(read(road(section(0, left=widening, right=lane(-1)) + after.replace("<left></left>", ""))))
    assert set(graph.lane_key) == {("1", 0, 1), ("1", 0, -1), ("1", 1, 1), ("1", 1, -1)}
    left = graph.lane_key.index(("1", 1, 1))  # against s: from s = 50 back to the first section
    assert [graph.lane_key[k] for k in graph.successors(left)] == [("1", 0, 1)]
    assert graph.width_m[graph.lane_start[left]] == pytest.approx(3.0 + 0.02 * 50.0)
    right = graph.lane_key.index(("1", 0, -1))
    assert [graph.lane_key[k] for k in graph.successors(right)] == [("1", 1, -1)]


def test_two_one_sided_sections_at_a_place_are_one() -> None:
    one = 'singleSide="true"'
    text = section(0, left=lane(1), attributes=one) + section(0, right=lane(-1) + lane(-2), attributes=one)
    assert set(build_graph(read(road(text))).lane_key) == {("1", 0, 1), ("1", 0, -1), ("1", 0, -2)}


def test_direct_junctions_join_roads_lane_by_lane() -> None:
    """OpenDRIVE 1.7: a motorway splits into its main carriageway and an exit, without connecting roads."""
    out = '<successor elementType="junction" elementId="9"/>'
    back = '<predecessor elementType="junction" elementId="9"/>'
    junction = """<junction id="9" type="direct"><connection id="0" incomingRoad="1" linkedRoad="2" contactPoint="start">
<laneLink from="-1" to="-1"/></connection><connection id="1" incomingRoad="1" linkedRoad="3" contactPoint="start">
<laneLink from="-2" to="-1"/></connection></junction>"""
    roads = [road(section(0, right=lane(-1) + lane(-2)), link=out), road(section(0, right=lane(-1)), id_=2, x=50, link=back),
             road(section(0, right=lane(-1)), id_=3, x=50, link=back)]  # fmt: skip
    graph = build_graph(read(*roads, junction))
    links = {(graph.lane_key[a], graph.lane_key[b]) for a in range(graph.lanes) for b in graph.successors(a)}
    assert links == {(("1", 0, -1), ("2", 0, -1)), (("1", 0, -2), ("3", 0, -1))}


@pytest.mark.parametrize(
    ("orientation", "t", "forward"),
    [("+", -5, True), ("+", 5, True), ("-", 5, False), ("none", -5, True), ("none", 5, False), ("", -5, True)],
)
def test_signals_look_at_their_traffic(orientation: str, t: float, forward: bool) -> None:
    """With no orientation that of their side: right of the road for traffic along it."""
    signal = f'<signals><signal id="1" s="10" t="{t}" orientation="{orientation}" type="206" dynamic="no"/></signals>'
    post = read(road(section(0, left=lane(1), right=lane(-1)), rest=signal)).signals[0]
    assert post.forward == forward and np.cos(post.yaw_rad) == pytest.approx(-1.0 if forward else 1.0)


def test_outlines_in_a_list_are_read() -> None:
    """OpenDRIVE 1.5 has <outlines><outline>, 1.4 <outline> alone."""
    text = MAP.replace("<outline>", '<outlines><outline id="0">').replace("</outline>", "</outline></outlines>")
    old, new = (build_graph(load_map(t)).crosswalk_xyz_m for t in (MAP, text))
    np.testing.assert_array_equal(old, new)


def test_namespace_georeference_and_offset() -> None:
    """The offset is that from the projection to the file's own coordinates, in which everything is."""
    header = """<header><geoReference><![CDATA[ +proj=utm +zone=32 ]]></geoReference>
<offset x="500000" y="5e6" z="0" hdg="0"/></header>"""
    text = f'<OpenDRIVE xmlns="http://code.asam.net/simulation/standard/opendrive_schema">{header}'
    road_map = load_map(text + road(section(0, right=lane(-1))) + "</OpenDRIVE>")
    assert road_map.georeference == "+proj=utm +zone=32"
    assert build_graph(road_map).x_m.max() == pytest.approx(50.0) and not road_map.warnings


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('<road id="1" length', '<road rule="LHT" id="1" length', "left-hand traffic of road 1"),
        ("<superelevation", '<shape s="0" t="0" a="1" b="0" c="0" d="0"/><superelevation', "<shape> of road 1"),
        ("<superelevation", '<crossfall side="both" s="0" a="0.02" b="0" c="0" d="0"/><superelevation', "<crossfall> of road 1"),
        ("<outline>", '<repeat s="50" length="30" distance="5"/><outline>', "<repeat> of object 7"),
        ("</OpenDRIVE>", '<junction id="5" type="virtual"/></OpenDRIVE>', "junction 5, which is virtual"),
    ],
)  # fmt: skip
def test_what_is_not_read_is_said(old: str, new: str, said: str) -> None:
    road_map = load_map(MAP.replace(old, new, 1))
    build_graph(road_map)
    assert any(said in warning for warning in road_map.warnings)


def test_botts_dots_are_one_broken_line_that_may_be_crossed() -> None:
    mark = '<roadMark sOffset="0" type="botts dots" width="0.1"/>'
    road_map = read(road(section(0, right=lane(-1, inside=mark) + lane(-2))))
    assert [m.kind for m in road_map.marks()] == ["broken"]
    assert build_graph(road_map).lane_change_right.tolist() == [1, 0]
