"""The orbital motorway: lanes, tapers, ramps, who may change where, limits, and room below the bridges."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import combinations, pairwise
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
import shapely
from lxml import etree
from scipy.spatial import cKDTree
from shared_maps import graph_of, map_of

from sim.earthworks import Earthworks, ground_of
from sim.maps.generate import NAMED, random_map
from sim.maps.highway import Highway
from sim.scenery import build
from stack.labels import Semantic, Sign
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


def test_both_carriageways_close_a_ring_of_six_kilometres_without_sharp_bends() -> None:
    """Straight on from a lane of the main line one comes back to it, anticlockwise and clockwise;
    no bend is sharper than 120 km/h allows (RAA 2008, EKA 1 B: 720 m)."""
    through = [r for r in ROADS.values() if r in MAIN.values() or r in BELOW.values() or "past gore" in r.name]
    for side, turn in (("counter-clockwise", 1.0), ("clockwise", -1.0)):
        own = [road for road in through if road.name.split()[0] == side]
        assert 6000.0 < sum(road.length_m for road in own) < 7000.0
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
            assert bend.max() < 1.0 / 720.0
        assert heading == pytest.approx(turn * 2.0 * np.pi, abs=1e-5)
        lanes = np.isin([key[0] for key in GRAPH.lane_key], list(ids))
        assert (
            np.abs(GRAPH.curvature_1pm[np.repeat(lanes, GRAPH.lane_count)]).max() < 1.0 / 550.0
        )  # where a taper moves them aside


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


def test_gores_are_barred_and_the_bars_lie_beside_all_lanes() -> None:
    driving = [s for s in MAP.strips(1.0) if s.kind == "driving"]
    lanes = shapely.union_all(
        [shapely.Polygon(np.concatenate([s.left_m[:, :2], s.right_m[::-1, :2]])).buffer(-0.1) for s in driving]
    )
    bars = [item for item in MAP.objects if item.kind == "chevron"]
    assert len({bar.road for bar in bars}) == 8 and len(bars) >= 40
    assert not any(shapely.Polygon(bar.outline_m[:, :2]).intersects(lanes) for bar in bars)


def test_a_height_tells_the_bridge_from_the_road_below() -> None:
    """Where lanes of both cross, looked up with noise; without the height some are found on the other storey."""
    rng = np.random.default_rng(0)
    own = np.repeat([GRAPH.lane_key[i][0] for i in range(GRAPH.lanes)], GRAPH.lane_count)
    aloft = np.isin(own, [road.id for road in ROADS.values() if road.name.startswith("bridge")])
    below = np.isin(own, list(BELOW))
    xy = np.stack([GRAPH.x_m, GRAPH.y_m], axis=1).astype(np.float64)
    without = 0
    for group, other in ((aloft, below), (below, aloft)):
        rows = np.flatnonzero(group)
        rows = np.repeat(rows[cKDTree(xy[other]).query(xy[rows])[0] < 2.5], 4)
        at = xy[rows] + rng.normal(0.0, 0.3, (len(rows), 2))
        yaw = GRAPH.yaw_rad[rows] + rng.normal(0.0, 0.03, len(rows))
        lanes = set(np.repeat(np.arange(GRAPH.lanes), GRAPH.lane_count)[group].tolist())
        assert len(rows) > 100
        for (x, y), turn, z in zip(at, yaw, GRAPH.z_m[rows], strict=True):
            assert GRAPH.nearest(x, y, turn, z_m=z)[0] in lanes
            without += GRAPH.nearest(x, y, turn)[0] not in lanes
        assert set(GRAPH.nearest_lanes(at, yaw, z_m=GRAPH.z_m[rows])[0].tolist()) <= lanes
    assert without > 0


TOWN04 = Path(__file__).parents[2] / "shared/data/maps/Town04.xodr"


@pytest.mark.skipif(not TOWN04.exists(), reason="no Town04")
def test_carlas_motorway_merges_inside_junctions_and_its_bridge_is_found() -> None:
    """Every lane goes on, two that become one do so in a junction and know of one another; road 39 crosses over."""
    graph = graph_of(TOWN04)
    assert (graph.succ_count > 0).all() and (graph.pred_count > 0).all()
    lanes = np.repeat(np.arange(graph.lanes), graph.conflict_count)
    known = set(zip(lanes.tolist(), graph.conflict_lane.tolist(), strict=True))
    merged = 0
    for lane in np.flatnonzero(graph.pred_count > 1):
        for a, b in combinations(graph.predecessors(int(lane)).tolist(), 2):
            assert (a, b) in known and graph.lane_junction[a] == graph.lane_junction[b] >= 0
            merged += 1
    assert merged > 100
    ground = ground_of(map_of(TOWN04).strips(2.0))
    assert isinstance(ground, Earthworks) and [span.road for span in ground.spans] == ["39"]


def test_a_ring_too_small_for_its_interchanges_is_refused() -> None:
    corners = ((500.0, 0.0), (500.0, 700.0), (-500.0, 700.0), (-500.0, 0.0))
    small = Highway(corners_m=corners, radius_m=300.0, limit_kmh=80)
    with pytest.raises(ValueError, match=r"highway: found .* expected 50 m or more"):
        random_map(NAMED["highway"][0], "small", small)
    with pytest.raises(ValueError, match=r"highway: found a bend of 300 m, expected 720 m or more at 120 km/h"):
        random_map(NAMED["highway"][0], "small", replace(small, limit_kmh=120))


# ---------------------------------------------------------------- what stands there

SCENERY = cache(lambda seed=1: build(MAP, GRAPH, seed))


def faces(*semantic: int) -> np.ndarray:
    """(T, 3, 3) corners of the faces of these classes."""
    mesh = SCENERY().mesh
    return mesh.corners()[np.isin(mesh.semantic, semantic)].astype(np.float64)


def over(corners: np.ndarray, xyz: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of points that lie below or above some of the faces, and the lowest corner of each such face."""
    tree = shapely.STRtree(shapely.polygons(corners[:, :, :2]))
    point, face = tree.query(shapely.points(xyz[:, :2]), predicate="intersects")
    return point, corners[face, :, 2].min(axis=1)


@pytest.mark.slow
def test_nothing_hangs_or_stands_in_the_way_of_a_lorry() -> None:
    """4.7 m are free over every lane of the motorway and of the roads over it (RAA 2008, 4.1)."""
    lanes = np.stack([GRAPH.x_m, GRAPH.y_m, GRAPH.z_m], axis=1).astype(np.float64)
    for side in (-1.4, 0.0, 1.4):
        shift = side * np.stack([-np.sin(GRAPH.yaw_rad), np.cos(GRAPH.yaw_rad), np.zeros(len(lanes))], axis=1)
        point, low = over(
            faces(Semantic.BRIDGE, Semantic.GUARD_RAIL, Semantic.WALL, Semantic.POLE, Semantic.TRAFFIC_SIGN),
            lanes + shift,
        )
        height = low - lanes[point, 2]
        assert ((height > 4.7) | (height < -0.05)).all()  # or below the lane, as what carries it
        assert (height > 4.7).sum() > 40  # bridges and gantries


def test_a_bridge_stands_on_columns_and_its_ends_on_the_slope() -> None:
    """The ground under the middle of each span is the motorway's, at its ends little below the deck."""
    ground = ground_of(MAP.strips(2.0))
    assert isinstance(ground, Earthworks) and len(ground.spans) == 2
    concrete = faces(Semantic.BRIDGE)
    for span in ground.spans:
        middle = 0.5 * (span.left_m + span.right_m)
        n = len(middle)
        z = ground.heights(middle[:, :2])
        assert middle[n // 2, 2] - z[n // 2] > 6.5
        assert (middle[[0, -1], 2] - z[[0, -1]] < 1.5).all()
        near = concrete[shapely.contains_xy(span.area, *concrete.mean(axis=1)[:, :2].T)]
        feet = near[near[:, :, 2].min(axis=1) < 1.0].mean(axis=1)[:, :2]
        gaps = np.unique(
            np.round(feet @ (middle[-1, :2] - middle[0, :2]) / np.linalg.norm(middle[-1, :2] - middle[0, :2]))
        )
        assert (np.diff(gaps) > 3.0).sum() == 2  # three rows: beside the carriageways and in the median


def test_slopes_are_as_steep_as_embankments_are_and_no_steeper() -> None:
    """1 : 1.5 at most, the standard slope, but where a cell lies across a ridge; away from abutments and roads."""
    mesh = SCENERY().mesh
    ground = ground_of(MAP.strips(2.0))
    rows = mesh.semantic == Semantic.TERRAIN
    centres, normals = mesh.corners()[rows].mean(axis=1), mesh.normals()[rows]
    away = ~shapely.contains_xy(ground.area.buffer(6.0), centres[:, 0], centres[:, 1])
    grade = np.hypot(normals[away, 0], normals[away, 1]) / normals[away, 2]
    assert 0.4 < np.quantile(grade[grade > 0.1], 0.99) < 1.0 / 1.5 and grade.max() < 0.75


def test_guard_rails_line_both_carriageways_on_both_sides() -> None:
    rails = faces(Semantic.GUARD_RAIL).reshape(-1, 3)
    tree = cKDTree(rails[:, :2])
    strips = {(s.road, s.section, s.lane): s for s in MAP.strips(2.0)}
    edges = [s.right_m for s in strips.values() if s.road in MAIN and (s.road, s.section, s.lane - 1) not in strips]
    edges += [s.right_m for s in strips.values() if s.kind == "median"]
    for edge in edges:
        inner = edge[2:-2]
        assert len(inner) == 0 or tree.query(inner[:, :2])[0].max() < 4.2
    boxes = SCENERY().static_boxes
    rail = boxes[boxes[:, 4] == 0.15]
    assert rail[:, 3].sum() > 4 * 6000.0  # four lines round the ring, and the ramps


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_contact_boxes_leave_all_lanes_free_on_the_bridges_too(seed: int) -> None:
    """Of what is at the height of a lorry: 4 m, from a kerb up; what stands over or under a bridge is not."""
    x, y, yaw, length, width, bottom, top = SCENERY(seed).static_boxes.T
    lanes = np.stack([GRAPH.x_m, GRAPH.y_m, GRAPH.z_m], axis=1).astype(np.float64)
    tree = cKDTree(lanes[:, :2])
    other_storey = 0
    for k in np.flatnonzero(tree.query(np.stack([x, y], axis=1))[0] < 0.5 * np.hypot(length, width) + 1.2):
        plan = shapely.box(x[k] - length[k] / 2, y[k] - width[k] / 2, x[k] + length[k] / 2, y[k] + width[k] / 2)
        plan = shapely.affinity.rotate(plan, np.rad2deg(yaw[k]))
        near = lanes[tree.query_ball_point((x[k], y[k]), 12.0)]
        level = (bottom[k] < near[:, 2] + 4.0) & (top[k] > near[:, 2] + 0.3)
        assert not level.any() or plan.distance(shapely.MultiPoint(near[level, :2])) > 1.2  # half a lorry
        other_storey += plan.distance(shapely.MultiPoint(near[:, :2])) < 1.2
    assert other_storey > 20  # rails of the motorway below the bridges, parapets over it


def test_boards_stand_where_the_map_has_them() -> None:
    signs = cKDTree(faces(Semantic.TRAFFIC_SIGN).reshape(-1, 3))
    named = [post for post in MAP.signals if post.name.split()[0] in ("board", "beacon", "arrow", "gantry")]
    assert len(named) == 4 * 6
    for post in named:
        assert signs.query(post.xyz_m)[0] < 6.0


def test_houses_hide_behind_a_noise_barrier() -> None:
    panels = faces(Semantic.WALL)
    assert np.ptp(panels[:, :, 2]) > 4.0 and len(panels) > 1000
    houses = faces(Semantic.BUILDING).mean(axis=1)
    assert (cKDTree(panels.mean(axis=1)[:, :2]).query(houses[:, :2])[0] < 60.0).sum() > 200
