"""Our own maps: libcarla loads them, traffic can get everywhere, roads join without a step and do not overlap."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from functools import cache
from itertools import combinations

import networkx as nx
import numpy as np
import pytest
import shared_maps
from lxml import etree
from shapely import STRtree, contains_xy
from shapely.geometry import Polygon
from shapely.ops import unary_union

from sim.maps.generate import NAMED, TOWNS, random_map
from stack.labels import Sign
from stack.lanegraph import YELLOW_S, LaneGraph
from stack.opendrive import MAPS, RoadMap, build_graph, find_map, load_map
from stack.opendrive.geometry import reference

RANDOM = ("random 21",)
STREETS = (*TOWNS, *RANDOM)
ALL = (*NAMED, *RANDOM)
LIT = (*STREETS, "oldtown", "arterial")
NUMBER = re.compile(r"-?\d+\.?\d*(?:e-?\d+)?")

LANDMARKS = {"rural": {"206", "274"}, "suburb": {"206", "274"}, "roundabouts": {"205", "274"},
             "oldtown": {"1000001", "274"}, "arterial": {"1000001", "205", "274"},
             "highway": {"205", "206", "274", "333", "448", "449", "450"}}  # fmt: skip

LIBCARLA = """
import json, math, sys, carla
for file in sys.argv[1:]:
    town = carla.Map("town", open(file).read())
    places = [w.transform for w in town.generate_waypoints(2.0)]
    numbers = [v for p in places for v in (p.location.x, p.location.y, p.location.z, p.rotation.yaw, p.rotation.pitch)]
    print(json.dumps({
        "edges": len(town.get_topology()), "finite": all(map(math.isfinite, numbers)), "places": len(places),
        "dead_ends": sum(not w.next(3.0) for w in town.generate_waypoints(2.0)),
        "crosswalk_points": len(town.get_crosswalks()), "landmarks": [m.type for m in town.get_all_landmarks()],
    }))
"""


@cache
def text_of(name: str) -> str:
    if name in NAMED:
        return find_map(name).read_text(encoding="utf-8")
    return random_map(int(name.split()[1]), name)


@cache
def map_of(name: str) -> RoadMap:
    return shared_maps.map_of(name) if name in NAMED else load_map(text_of(name), name)


@cache
def graph_of(name: str) -> LaneGraph:
    return shared_maps.graph_of(name) if name in NAMED else build_graph(map_of(name))


def test_the_same_seed_gives_the_same_text_and_another_seed_another_town() -> None:
    name = RANDOM[0]
    assert random_map(21, name) == text_of(name)
    assert random_map(22, name) != text_of(name)


@pytest.mark.parametrize("name", NAMED)
def test_the_committed_map_is_what_the_generator_makes(name: str) -> None:
    made, kept = random_map(NAMED[name][0], name, NAMED[name][1]), text_of(name)
    assert NUMBER.sub("#", made) == NUMBER.sub("#", kept)  # numbers may differ in the last digit between machines
    assert np.allclose([float(n) for n in NUMBER.findall(made)], [float(n) for n in NUMBER.findall(kept)], atol=2e-6)
    assert len(kept.encode()) < 600_000


def test_maps_beside_the_generator_are_all_named_in_it() -> None:
    assert {path.stem for path in MAPS.glob("*.xodr")} == set(NAMED)


def test_libcarla_loads_every_map() -> None:
    pytest.importorskip("carla", reason="carla has no wheel for this machine")
    files = [str(find_map(name)) for name in NAMED]
    run = subprocess.run(
        [sys.executable, "-c", LIBCARLA, *files], capture_output=True, text=True, check=True, timeout=120
    )
    found = [json.loads(line) for line in run.stdout.splitlines() if line.startswith("{")]
    assert len(found) == len(NAMED)
    for name, town in zip(NAMED, found, strict=True):
        root = etree.fromstring(text_of(name).encode())
        assert town["edges"] > (100 if name in TOWNS else 50) and town["places"] > 1000 and town["finite"], name
        assert town["dead_ends"] == 0, name
        crosswalks = len(root.findall(".//object[@type='crosswalk']"))
        assert town["crosswalk_points"] == 5 * crosswalks and (crosswalks > 0 or name in ("rural", "highway")), name
        posts = len(root.findall(".//signal")) + len(root.findall(".//signalReference"))
        expected = {"1000001", "274"} if name in TOWNS else LANDMARKS[name]
        assert len(town["landmarks"]) == posts and expected <= set(town["landmarks"]), name


@pytest.mark.parametrize("name", ALL)
def test_everything_on_the_roads_reads_without_warnings(name: str) -> None:
    road_map = map_of(name)
    assert road_map.strips() and road_map.marks() and road_map.signals and road_map.objects
    assert graph_of(name).lanes and road_map.warnings == []


@pytest.mark.parametrize("name", ALL)
def test_every_lane_can_be_reached_from_every_other(name: str) -> None:
    graph, ways = graph_of(name), nx.DiGraph()
    for lane in range(graph.lanes):
        ways.add_edges_from((lane, int(n)) for n in graph.successors(lane))
        for beside, allowed in ((graph.lane_left, graph.lane_change_left), (graph.lane_right, graph.lane_change_right)):
            if beside[lane] >= 0 and allowed[lane]:
                ways.add_edge(lane, int(beside[lane]))
    assert ways.number_of_nodes() == graph.lanes
    assert nx.is_strongly_connected(ways)
    assert not map_of(name).warnings


@pytest.mark.parametrize("name", ALL)
def test_lanes_meet_without_a_step_or_a_kink(name: str) -> None:
    graph, roads = graph_of(name), map_of(name).document.roads
    for lane in range(graph.lanes):
        for following in graph.successors(lane):
            assert np.linalg.norm(graph.points(lane)[-1] - graph.points(int(following))[0]) < 0.01
    for road in roads.values():
        for link, own_s in ((road.predecessor, 0.0), (road.successor, road.length_m)):
            if road.junction == "-1" or link is None:
                continue
            other = roads[link.id]
            other_s = 0.0 if link.contact == "start" else other.length_m
            one, two = reference(road, np.array([own_s])), reference(other, np.array([other_s]))
            turned = np.pi if (link.contact == "start") == (own_s == 0.0) else 0.0
            kink = float(one.hdg_rad[0] - two.hdg_rad[0]) + turned
            assert abs(np.degrees(np.angle(np.exp(1j * kink)))) < 0.01


@pytest.mark.parametrize("name", ALL)
def test_streets_and_junctions_do_not_overlap_and_have_no_holes(name: str) -> None:
    grounds: dict[tuple[str, str | int], list[Polygon]] = {}
    edges: dict[tuple[str, str | int], list[np.ndarray]] = {}
    for strip in map_of(name).strips(2.0):
        key = ("street", strip.road) if strip.junction < 0 else ("junction", strip.junction)
        ribbon = np.concatenate([strip.left_m[:, :2], strip.right_m[::-1, :2]])
        grounds.setdefault(key, []).append(Polygon(ribbon).buffer(0.0))
        edges.setdefault(key, []).append(np.concatenate([strip.left_m, strip.right_m]))
    whole = [unary_union(parts).buffer(0.01) for parts in grounds.values()]
    areas = [area.buffer(-0.06) for area in whole]
    assert all(area.geom_type == "Polygon" for area in areas)
    assert max((Polygon(hole).area for area in whole for hole in area.interiors), default=0.0) < 0.5
    tree = STRtree(areas)
    overlaps = [(a, b) for a, b in tree.query(areas, predicate="intersects").T if a < b]
    heights = [np.concatenate(parts) for parts in edges.values()]
    for a, b in overlaps:  # only as bridge and road below
        where = areas[a].intersection(areas[b]).buffer(3.0)
        one, two = (p[contains_xy(where, p[:, 0], p[:, 1]), 2] for p in (heights[a], heights[b]))
        assert max(one.min() - two.max(), two.min() - one.max()) > 5.5, (list(grounds)[a], list(grounds)[b])


@pytest.mark.parametrize("name", STREETS)
def test_cars_and_walkers_have_room(name: str) -> None:
    graph = graph_of(name)
    outside = graph.lane_junction < 0
    widths = np.concatenate([graph.width_m[s : s + n] for s, n in zip(graph.lane_start, graph.lane_count, strict=True)])
    assert widths.min() > 2.99 and widths.max() < 4.01
    assert np.abs(graph.curvature_1pm).max() < 1.0 / 6.0
    assert np.abs(np.tan(graph.pitch_rad)).max() < 0.065
    assert graph.lane_length_m[outside].min() > 15.0
    assert set(np.round(graph.lane_limit_mps * 3.6).astype(int).tolist()) <= {30, 40, 50}
    assert len(graph.walk_start) > 0 and len(graph.crosswalk_xyz_m) > 10


def test_the_country_road_winds_over_hills_between_shoulders() -> None:
    graph, road_map = graph_of("rural"), map_of("rural")
    outside = np.flatnonzero(graph.lane_junction < 0)
    rows = np.concatenate([np.arange(graph.lane_count[lane]) + graph.lane_start[lane] for lane in outside])
    bend = graph.curvature_1pm[rows]
    assert 1.0 / 70.0 < np.abs(bend).max() < 1.0 / 20.0
    assert (bend > 1.0 / 400.0).mean() > 0.2 and (bend < -1.0 / 400.0).mean() > 0.2
    grade = np.tan(graph.pitch_rad[rows])
    assert 0.04 < np.abs(grade).max() < 0.065 and np.ptp(graph.z_m[rows]) > 8.0
    assert {strip.kind for strip in road_map.strips()} == {"driving", "shoulder", "restricted"}
    assert graph.signals == 0 and len(graph.crosswalk_xyz_m) == 0 and (graph.lane_sign > 0).any()
    assert set(np.round(graph.lane_limit_mps * 3.6).astype(int).tolist()) <= {60, 70, 80}


def test_the_suburb_is_of_t_junctions_with_stop_signs() -> None:
    graph, root = graph_of("suburb"), etree.fromstring(text_of("suburb").encode())
    arms = [len({c.get("incomingRoad") for c in j.iter("connection")}) for j in root.iter("junction")]
    assert len(arms) >= 10 and arms.count(3) >= 0.75 * len(arms)
    assert {signal.get("type") for signal in root.iter("signal")} == {"206", "274"} and graph.signals == 0
    for junction in range(len(arms)):
        inside = np.flatnonzero(graph.lane_junction == junction)
        stop = graph.lane_sign[inside] == Sign.STOP
        assert stop.any() and (arms[junction] == 3 or stop.all())
    assert (graph.lane_limit_mps * 3.6).max() < 31.0 and len(graph.walk_start) > 0


@pytest.mark.parametrize(
    ("name", "width_m", "radius_m", "limits"),
    [
        ("roundabouts", (3.1, 4.7), 5.0, {30, 40, 50}),
        ("oldtown", (2.59, 3.01), 4.5, {30}),
        ("arterial", (2.9, 3.6), 6.0, {50, 70}),
    ],
)
def test_cars_and_walkers_have_room_on_other_streets(
    name: str, width_m: tuple[float, float], radius_m: float, limits: set[int]
) -> None:
    graph = graph_of(name)
    ends = graph.width_m[graph.lane_start + graph.lane_count - 1]  # a left-turn lane opens from nothing
    assert ends.min() > width_m[0] and graph.width_m.max() < width_m[1]
    assert np.abs(graph.curvature_1pm).max() < 1.0 / radius_m
    assert np.abs(np.tan(graph.pitch_rad)).max() < 0.065
    assert set(np.round(graph.lane_limit_mps * 3.6).astype(int).tolist()) == limits
    assert len(graph.walk_start) > 50 and len(graph.crosswalk_xyz_m) > 20


def rank(graph: LaneGraph, lane: int, other: int) -> int | None:
    """Who gives way where two lanes meet; None where they do not."""
    rows = slice(graph.conflict_start[lane], graph.conflict_start[lane] + graph.conflict_count[lane])
    found = np.flatnonzero(graph.conflict_lane[rows] == other)
    return int(graph.conflict_rank[rows][found[0]]) if len(found) else None


def test_who_enters_a_roundabout_gives_way_to_the_ring() -> None:
    graph, road_map = graph_of("roundabouts"), map_of("roundabouts")
    islands = {strip.road: strip for strip in road_map.strips() if strip.kind == "median"}
    ring = [k for k in range(graph.lanes) if graph.lane_key[k][0] in islands and graph.lane_junction[k] < 0]
    ways = nx.Graph()
    for lane in ring:
        middle = graph.lane_start[lane] + graph.lane_count[lane] // 2
        outer_m = 1.0 / graph.curvature_1pm[middle] + 0.5 * graph.width_m[middle]  # anticlockwise: bends to the left
        assert 12.0 < outer_m <= 20.1
        entries = [int(k) for k in graph.predecessors(lane)]
        (along,) = (k for k in entries if graph.lane_key[k][0] in islands)
        (into,) = (k for k in entries if k != along)
        assert graph.lane_sign[into] == Sign.YIELD and graph.lane_sign[along] == Sign.NONE
        assert rank(graph, into, along) == -1 and rank(graph, along, into) == 1
        ways.add_edges_from((lane, int(k)) for k in graph.predecessors(along))
        island = islands[graph.lane_key[lane][0]]
        assert island.right_m[:, 2].min() > graph.z_m[middle] + 0.1
    rings = list(nx.connected_components(ways))
    assert len(rings) >= 10 and {len(pieces) for pieces in rings} == {3, 4}
    crossings = len({j for j in graph.lane_junction.tolist() if j >= 0}) - len(ring) + len(rings)
    assert len(rings) > 0.6 * crossings and graph.signals == 0


def test_the_old_town_is_narrow_with_parked_cars_and_crosswalks_everywhere() -> None:
    graph, road_map = graph_of("oldtown"), map_of("oldtown")
    streets = {road.id: road for road in road_map.document.roads.values() if road.junction == "-1"}
    kinds = {id_: [lane.kind for lane in road.sections[0].lanes.values()] for id_, road in streets.items()}
    assert sum(k.count("parking") == 2 for k in kinds.values()) > 0.7 * len(streets)
    one_way = sum(k.count("driving") == 1 for k in kinds.values())
    assert 0.1 * len(streets) < one_way < 0.5 * len(streets)
    assert np.median([road.length_m for road in streets.values()]) < 75.0
    inside = np.repeat(graph.lane_junction >= 0, graph.lane_count)
    junctions = np.stack([graph.x_m, graph.y_m], axis=-1)[inside]
    middles = graph.crosswalk_xyz_m[:, :, :2].mean(axis=1)
    away = np.hypot(*(middles[:, None] - junctions[None]).transpose(2, 0, 1)).min(axis=1)
    assert (away > 15.0).sum() >= 10 and (away < 5.0).sum() >= 50
    lit = set(graph.lane_junction[graph.lane_signal >= 0].tolist())
    assert 2 <= len(lit) <= 6 and not graph.lane_sign.any()
    for lane in np.flatnonzero(graph.lane_junction >= 0):
        for other in np.flatnonzero(graph.lane_junction == graph.lane_junction[lane]):
            turned = np.angle(
                np.exp(1j * float(graph.yaw_rad[graph.lane_start[other]] - graph.yaw_rad[graph.lane_start[lane]]))
            )
            if (
                1.2 < turned < 1.9 and graph.lane_junction[lane] not in lit
            ):  # it heads to the left: comes from the right
                assert rank(graph, int(lane), int(other)) in (None, -1)


def test_left_turners_of_the_arterial_have_a_lane_and_wait_for_oncoming_cars_or_their_own_green() -> None:
    graph = graph_of("arterial")
    pockets = [k for k in range(graph.lanes) if graph.lane_junction[k] < 0 and graph.width_m[graph.lane_start[k]] < 0.5]
    protected, permissive = set(), set()
    for pocket in pockets:
        (turn,) = graph.successors(pocket)
        assert graph.lane_turn[turn] == 1 and graph.lane_length_m[pocket] > 35.0
        beside = graph.lane_right[pocket]
        assert beside >= 0 and graph.lane_change_left[beside] and graph.lane_left[beside] == pocket
        assert 1 not in {int(graph.lane_turn[k]) for k in graph.successors(int(beside))}
        signal, yaw = graph.lane_signal[turn], graph.yaw_rad[graph.lane_start[turn]]
        for other in np.flatnonzero(graph.lane_junction == graph.lane_junction[turn]):
            against = np.cos(graph.yaw_rad[graph.lane_start[other]] - yaw) < -0.9
            if not against or graph.lane_turn[other] != 0 or rank(graph, int(turn), int(other)) is None:
                continue
            if graph.lane_signal[other] == signal:
                assert rank(graph, int(turn), int(other)) == -1
                permissive.add(int(graph.lane_junction[turn]))
            else:
                protected.add(int(graph.lane_junction[turn]))
    assert len(pockets) >= 12 and len(protected) >= 2 and len(permissive) >= 2 and not protected & permissive
    medians = [strip for strip in map_of("arterial").strips() if strip.kind == "median"]
    assert {strip.road for strip in medians} >= {graph.lane_key[k][0] for k in pockets}


@pytest.mark.parametrize("name", LIT)
def test_lit_junctions_have_a_light_for_every_approach_that_faces_it(name: str) -> None:
    graph = graph_of(name)
    lit = np.flatnonzero(graph.lane_signal >= 0)
    lit_junctions = set(graph.lane_junction[lit].tolist())
    assert lit_junctions == set(graph.signal_junction.tolist()) and len(lit_junctions) >= 3
    for lane in np.flatnonzero(graph.lane_junction >= 0):
        assert (graph.lane_signal[lane] >= 0) == (graph.lane_junction[lane] in lit_junctions)
    for lane in lit:
        start, yaw = graph.points(int(lane))[0], float(graph.yaw_rad[graph.lane_start[lane]])
        heads = graph.head_signal == graph.lane_signal[lane]
        facing = heads & (np.cos(graph.head_yaw_rad - yaw) < -np.cos(np.radians(30.0)))
        ahead_m = (graph.head_xyz_m[:, :2] - start[:2]) @ (np.cos(yaw), np.sin(yaw))
        height_m = graph.head_xyz_m[:, 2] - start[2]
        assert (facing & (ahead_m > -8.0) & (ahead_m < 60.0) & (height_m > 2.4) & (height_m < 5.8)).any()
    assert graph.signal_green_s.min() > 7.5 and graph.signal_green_s.max() < 16.5


@pytest.mark.parametrize("name", LIT)
def test_only_opposite_approaches_are_green_together(name: str) -> None:
    graph = graph_of(name)
    for signal in range(graph.signals):
        lanes = np.flatnonzero(graph.lane_signal == signal)
        axes = 2.0 * graph.yaw_rad[graph.lane_start[lanes]]  # opposite headings are one axis
        assert np.cos(axes - axes[0]).min() > np.cos(np.radians(80.0))
    for a, b in combinations(range(graph.signals), 2):
        if graph.signal_junction[a] == graph.signal_junction[b]:
            starts = graph.signal_green_from_s[[a, b]]
            first = (a, b)[int(np.argmin(starts))]
            assert starts.min() + graph.signal_green_s[first] + YELLOW_S < starts.max()


def test_the_towns_differ_and_hold_every_kind_of_junction() -> None:
    roots = {name: etree.fromstring(text_of(name).encode()) for name in TOWNS}
    kinds = {signal.get("type") for root in roots.values() for signal in root.iter("signal")}
    assert kinds == {"1000001", "206", "205", "274"}
    shapes = {geometry[0].tag for root in roots.values() for geometry in root.iter("geometry")}
    assert shapes == {"line", "arc", "spiral"}
    assert {len(junction.findall("controller")) for root in roots.values() for junction in root.iter("junction")} >= {
        0,
        2,
        3,
        4,
    }
    arms = {
        len({c.get("incomingRoad") for c in junction.iter("connection")})
        for root in roots.values()
        for junction in root.iter("junction")
    }
    assert arms == {3, 4}
    assert any(
        len(road.findall(".//left/lane[@type='driving']")) == 2 for r in roots.values() for road in r.iter("road")
    )
    heights = [float(z.get("a", "0")) for root in roots.values() for z in root.iter("elevation")]
    assert min(heights) < -1.0 and max(heights) > 1.0
