"""The orbital motorway: lanes, tapers, ramps, who may change where, limits, and room below the bridges."""

from __future__ import annotations

from itertools import pairwise

import networkx as nx
import numpy as np
import pytest
import shapely
from lxml import etree
from shared_maps import graph_of, map_of

from sim.maps.generate import NAMED, random_map
from sim.maps.highway import Highway
from stack.labels import Sign
from stack.opendrive import find_map
from stack.opendrive.geometry import lane_edges, reference

GRAPH, MAP = graph_of("highway"), map_of("highway")
ROADS = MAP.document.roads
MAIN = {id_: road for id_, road in ROADS.items() if "main road" in road.name}
BELOW = {id_: road for id_, road in ROADS.items() if "below bridge" in road.name}
RAMPS = {id_: road for id_, road in ROADS.items() if "-ramp" in road.name}
CLEARANCE_M = 4.7 + 0.8  # of a German motorway (RAA 2008, 4.1), and what is left for the deck
LIMITS_KMH = {"main": 120, "past": 100, "ramp": 60, "deceleration": 80}


def lanes_of(road: str, section: int) -> list[int]:
    """Graph lanes of a section, from the median outwards."""
    return [i for i, key in enumerate(GRAPH.lane_key) if key[:2] == (road, section)]


def counts(road: str) -> list[int]:
    return [len(lanes_of(road, k)) for k in range(len(ROADS[road].sections))]


def test_both_carriageways_close_a_ring_of_two_to_four_kilometres() -> None:
    """Straight on from a lane of the main line one comes back to it, anticlockwise and clockwise."""
    through = [r for r in ROADS.values() if r in MAIN.values() or r in BELOW.values() or "past gore" in r.name]
    for side, turn in (("counter-clockwise", 1.0), ("clockwise", -1.0)):
        own = [road for road in through if road.name.split()[0] == side]
        assert 2000.0 < sum(road.length_m for road in own) < 4000.0
        ids = {road.id for road in own}
        ways = nx.DiGraph(
            (GRAPH.lane_key[a][0], GRAPH.lane_key[int(b)][0])
            for a in range(GRAPH.lanes) for b in GRAPH.successors(a)
            if GRAPH.lane_key[a][0] in ids and GRAPH.lane_key[int(b)][0] in ids and GRAPH.lane_key[a][0] != GRAPH.lane_key[int(b)][0]
        )  # fmt: skip
        assert set(ways) == ids and all(degree == 1 for _, degree in ways.out_degree) and nx.is_strongly_connected(ways)
        heading = 0.0
        for road in own:
            frame = reference(road, np.linspace(0.0, road.length_m, 400))
            turned = np.unwrap(frame.hdg_rad)
            heading += turned[-1] - turned[0]
            bend = np.abs(np.diff(turned)) * 399.0 / road.length_m
            assert bend.max() < 1.0 / 250.0
        assert heading == pytest.approx(turn * 2.0 * np.pi, abs=1e-5)


def test_lanes_are_gained_and_dropped_and_ramps_lie_beside_them() -> None:
    """Along each main road; tapers are not lanes to drive on, so the lanes of the graph are whole."""
    gained, dropped = [3, 3, 2, 2, 2, 3, 3, 4, 4], [4, 4, 3, 3, 3, 2, 2, 2, 3, 3]
    assert sorted(counts(road) for road in MAIN) == sorted([gained, gained, dropped, dropped])
    assert sorted(counts(road) for road in BELOW) == [[2], [2], [3], [3]]
    ended = np.flatnonzero(GRAPH.succ_count == 0)
    begun = np.flatnonzero(GRAPH.pred_count == 0)
    assert len(ended) == 4 + 2 and len(begun) == 4 + 2  # on-ramps and drops; off-ramps and gains
    assert {GRAPH.lane_key[k][0] for k in (*ended, *begun)} == set(MAIN)
    for lane in range(GRAPH.lanes):
        rows = slice(GRAPH.lane_start[lane], GRAPH.lane_start[lane] + GRAPH.lane_count[lane])
        assert GRAPH.width_m[rows].min() > 3.45 and GRAPH.width_m[rows].max() < 3.8
    # an acceleration lane is 200 m or more long, from where it may be left; so is the stretch that announces an end
    assert all(GRAPH.lane_length_m[k] > 200.0 for k in ended)


def test_tapers_open_and_close_over_their_whole_length_without_a_jump() -> None:
    tapers = 0
    for road in MAIN.values():
        for k, section in enumerate(road.sections):
            s = np.linspace(section.s_m, section.end_m, 50)
            edges = lane_edges(road, section, s)
            for lane in (lane for lane in section.lanes.values() if lane.kind == "restricted"):
                width = np.abs(edges[lane.id][1] - edges[lane.id][0])
                assert {round(width[0], 6), round(width[-1], 6)} == {0.0, 3.75}
                assert (np.diff(width) > 0.0).all() or (np.diff(width) < 0.0).all()
                assert section.end_m - section.s_m >= 60.0 and np.abs(np.diff(width) / np.diff(s)).max() < 0.1
                tapers += 1
            if k:
                before = lane_edges(road, road.sections[k - 1], s[:1])
                outer = [min(e[i][1][0] for i in e) for e in (before, edges)]
                assert outer[0] == pytest.approx(outer[1], abs=1e-6)
    assert tapers == 12


def test_lanes_are_changed_only_out_of_a_lane_that_ends_and_into_one_that_leaves() -> None:
    """The line between any two lanes of the main roads, against what it is there for."""
    ended = set(np.flatnonzero(GRAPH.succ_count == 0).tolist())
    begun = set(np.flatnonzero(GRAPH.pred_count == 0).tolist())
    for road, sections in ((road, len(ROADS[road].sections)) for road in MAIN):
        for k in range(sections):
            lanes = lanes_of(road, k)
            for left, right in pairwise(lanes):
                assert GRAPH.lane_right[left] == right and GRAPH.lane_left[right] == left
                to_right, to_left = bool(GRAPH.lane_change_right[left]), bool(GRAPH.lane_change_left[right])
                if k in (0, sections - 1) and right == lanes[-1]:
                    assert not to_right and not to_left  # beside the gores
                elif left in ended or right in ended:
                    assert to_right == (left in ended) and to_left == (right in ended)
                elif right in begun and k == sections - 2:
                    assert to_right and not to_left  # a deceleration lane
                else:
                    assert to_right and to_left
            outer = lanes[-1]
            assert not GRAPH.lane_change_right[outer] and not GRAPH.lane_change_left[lanes[0]]


def test_painted_lines_say_the_same_as_the_rules() -> None:
    """Where nobody may change the line is solid; where somebody may, it is broken."""
    for road in (*MAIN.values(), *BELOW.values()):
        for k, section in enumerate(road.sections):
            lanes = lanes_of(road.id, k)
            for left, right in pairwise(lanes):
                kind = section.lanes[GRAPH.lane_key[left][2]].marks[0].kind
                assert kind == ("broken" if GRAPH.lane_change_right[left] or GRAPH.lane_change_left[right] else "solid")
            for edge in (GRAPH.lane_key[lanes[0]][2] + 1, GRAPH.lane_key[lanes[-1]][2]):
                assert section.lanes[edge].marks[0].kind in ("solid", "broken" if "restricted" in {
                    lane.kind for lane in section.lanes.values()} else "solid")  # fmt: skip


def test_limits_fall_towards_the_ramps() -> None:
    found = np.round(GRAPH.lane_limit_mps * 3.6).astype(int)
    for lane, (road, _, _) in enumerate(GRAPH.lane_key):
        if road in BELOW:
            assert found[lane] == LIMITS_KMH["past"]
        elif road in RAMPS:
            assert found[lane] == LIMITS_KMH["ramp"]
        elif road in MAIN:
            off = GRAPH.pred_count[lane] == 0 or GRAPH.pred_count[GRAPH.predecessors(lane)[0]] == 0
            assert found[lane] in ((80,) if off and found[lane] < 100 else (100, 120))
    main = np.isin([key[0] for key in GRAPH.lane_key], list(MAIN))
    share = GRAPH.lane_length_m[main & (found == 120)].sum() / GRAPH.lane_length_m[main].sum()
    assert share > 0.6 and (found[main] == 80).sum() == 8


def test_gores_part_and_join_without_conflicts_and_signs_stand_at_the_ramps_upper_ends() -> None:
    gores = {k for k, j in enumerate(MAP.junctions) if len(j.connections) == 2}
    assert len(gores) == 8 and len(MAP.junctions) == 12
    inside = GRAPH.lane_junction[GRAPH.conflict_lane]
    assert not set(inside.tolist()) & gores and len(inside)
    signed = np.flatnonzero(GRAPH.lane_sign > 0)
    assert {GRAPH.lane_sign[k] for k in signed} == {Sign.STOP, Sign.YIELD}
    for lane in signed:
        before = {GRAPH.lane_key[int(p)][0] for p in GRAPH.predecessors(int(lane))}
        assert all("off-ramp" in ROADS[road].name for road in before)
    off = [road for road in RAMPS.values() if "off-ramp" in road.name]
    assert len(off) == len(RAMPS) - len(off) == 4 and all(road.length_m > 150.0 for road in off)
    for lane, (road, _, _) in enumerate(GRAPH.lane_key):
        if road in RAMPS:
            rows = slice(GRAPH.lane_start[lane], GRAPH.lane_start[lane] + GRAPH.lane_count[lane])
            # 60 km/h: radius 125 m, at most 6 % (RAA 2008, 6.4)
            assert np.abs(GRAPH.curvature_1pm[rows]).max() < 1.0 / 125.0
            assert np.abs(np.tan(GRAPH.pitch_rad[rows])).max() < 0.06


def test_bridges_leave_room_for_lorries() -> None:
    """Between any lane of a crossing road and every lane below it."""
    bridges = [road for road in ROADS.values() if road.name.startswith("bridge")]
    crossed = 0
    for road in bridges:
        above = np.concatenate([GRAPH.points(i) for i in lanes_of(road.id, 0)])
        for lane, (other, _, _) in enumerate(GRAPH.lane_key):
            if other not in BELOW:
                continue
            points = GRAPH.points(lane)
            tree = shapely.STRtree(shapely.points(points[:, :2]))
            a, b = tree.query(shapely.points(above[:, :2]), predicate="dwithin", distance=4.0)
            if len(a):
                crossed += 1
                assert (above[a, 2] - points[b, 2]).min() > CLEARANCE_M
    assert crossed == 10


def test_nobody_walks_on_a_motorway() -> None:
    assert {strip.kind for strip in MAP.strips()} == {"driving", "shoulder", "restricted", "median"}
    assert len(GRAPH.walk_start) == 0 and len(GRAPH.crosswalk_xyz_m) == 0
    assert {road.kind for road in ROADS.values()} == {"motorway", "rural"}


def test_exits_are_announced() -> None:
    """The types of the German catalogue, at their distances before the deceleration lane begins to open."""
    root = etree.fromstring(find_map("highway").read_text(encoding="utf-8").encode())
    for road in MAIN.values():
        opens = road.sections[-3].s_m
        signs = {
            (e.get("type"), round(opens - float(e.get("s"))))
            for e in root.iterfind(f"road[@id='{road.id}']/signals/signal")
        }
        assert {("448", 500), ("450", 300), ("450", 200), ("450", 100)} <= signs


def test_a_ring_too_small_for_its_interchanges_is_refused() -> None:
    small = Highway(corners_m=((500.0, 0.0), (500.0, 700.0), (-500.0, 700.0), (-500.0, 0.0)))
    with pytest.raises(ValueError, match=r"highway: found .* expected 50 m or more"):
        random_map(NAMED["highway"][0], "small", small)
