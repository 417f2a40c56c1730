"""Roads that pass over one another: nothing on one of them touches, hides or delays who drives on the other."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import shapely
from handmade import actors, make_scene
from plain_graph import plain_graph
from scipy.spatial import cKDTree
from shared_maps import graph_of, map_of

from perception.fusion import Fusion
from perception.localizer import ground_pose
from perception.mapmatch import EdgePoints, MapLines, register
from perception.oracle import actors_in_view
from planning.pipeline import Pipeline
from planning.predict import predict
from scripts.build import DriveSettings, build_scenario, build_stack
from sim.batch import Batch
from sim.earthworks import Earthworks, ground_of
from sim.kernels.contact import SCENERY as SCENERY_HIT
from sim.referee import Referee, RouteProgress
from sim.scenery import build
from sim.state import Driver
from sim.world import EmbeddedWorld
from stack.frames import Pose
from stack.labels import Kind, Semantic
from stack.lanegraph import LaneGraph, Route
from stack.loop import Scenario, drive
from stack.messages import Actors, Ego, EventKind, Rig, Truth
from stack.vehicle import load_vehicle

GRAPH, MAP = graph_of("highway"), map_of("highway")
ROADS = MAP.document.roads
BELOW = [road.id for road in ROADS.values() if "below bridge" in road.name]
ABOVE = [road.id for road in ROADS.values() if road.name.startswith("bridge")]
SCENERY = cache(lambda: build(MAP, GRAPH, 1))
BATCH = cache(lambda: Batch(GRAPH, [load_vehicle("sedan")], 1, 1, static_boxes=SCENERY().static_boxes))


def passes(road: str) -> list[int]:
    """Lanes of a road that pass over or under a span."""
    ground = ground_of(MAP.strips(2.0))
    assert isinstance(ground, Earthworks)
    areas = shapely.union_all([span.area for span in ground.spans])
    own = [k for k in range(GRAPH.lanes) if GRAPH.lane_key[k][0] == road]
    return [k for k in own if shapely.contains_xy(areas, *GRAPH.points(k)[:, :2].T.astype(float)).any()]


def hits_along(lane: int, shift_m: float) -> np.ndarray:
    """hit_other of a car set down every 2 m along a lane, `shift_m` left of its middle."""
    points, batch = GRAPH.points(lane).astype(np.float64)[::2], BATCH()
    yaw = GRAPH.yaw_rad[GRAPH.lane_start[lane] :][: GRAPH.lane_count[lane]][::2]
    hits = []
    for (x, y, z), turn in zip(points, yaw, strict=True):
        where = {"x_m": x - shift_m * np.sin(turn), "y_m": y + shift_m * np.cos(turn), "z_m": z, "yaw_rad": turn}
        rows = {name: [value] for name, value in where.items()} | {"lane": [lane]}
        batch.reset_world(0, rows | {"kind": [int(Kind.CAR)], "driver": [int(Driver.EXTERNAL)]}, seed=0)
        batch.step()
        hits.append(int(batch.state.numpy("hit_other")[0, 0]))
    return np.array(hits)


@pytest.mark.slow
@pytest.mark.parametrize("below", [False, True])
def test_a_car_over_or_under_a_bridge_meets_the_rails_of_its_own_road_only(below: bool) -> None:
    """Nothing in the lanes; a rail or parapet all along for a car whose right side is off the road."""
    lanes = [k for road in (BELOW if below else ABOVE) for k in passes(road)]
    assert len(lanes) >= 4
    edges = 0
    for lane in lanes:
        assert (hits_along(lane, 0.0) == -1).all()
        road, section, number = GRAPH.lane_key[lane]
        strips = [s for s in MAP.strips(2.0) if (s.road, s.section) == (road, section) and s.lane < 0]
        if number == min(s.lane for s in strips if s.kind == "driving") and number < 0:
            outer = min(strips, key=lambda s: s.lane).right_m
            middle = GRAPH.points(lane)
            apart = cKDTree(outer[:, :2]).query(middle[len(middle) // 2, :2])[0]
            hits = hits_along(lane, -float(apart))
            edges += 1
            assert (hits[2:-2] == SCENERY_HIT).mean() > 0.9
    assert edges >= 2


@pytest.mark.slow
def test_posts_and_plants_stand_beside_all_lanes() -> None:
    """No corner of what is solid is within 1.2 m of the middle of a lane and between a kerb's height and 4.5 m over it."""
    solid = (Semantic.STATIC, Semantic.POLE, Semantic.GUARD_RAIL, Semantic.VEGETATION, Semantic.FENCE, Semantic.WALL,
             Semantic.BUILDING, Semantic.BRIDGE)  # fmt: skip
    mesh = SCENERY().mesh
    corners = np.unique(mesh.corners()[np.isin(mesh.semantic, solid)].reshape(-1, 3), axis=0).astype(np.float64)
    lanes = np.stack([GRAPH.x_m, GRAPH.y_m, GRAPH.z_m], axis=1).astype(np.float64)
    near = cKDTree(lanes[:, :2]).query_ball_point(corners[:, :2], 1.2)
    for corner, rows in zip(corners, near, strict=True):
        height = corner[2] - lanes[rows, 2]
        assert not ((height > 0.25) & (height < 4.5)).any(), corner


# ---------------------------------------------------------------- two lanes that cross, one 7 m over the other

TALL_M = 7.0


def crossing(angle_rad: float) -> LaneGraph:
    """Lane 0 eastwards on the ground, lane 1 over its middle at an angle; 200 m each, crossing at the origin."""
    at = np.arange(-100.0, 101.0)
    low = np.stack([at, 0.0 * at, 0.0 * at], axis=-1)
    high = np.stack([at * np.cos(angle_rad), at * np.sin(angle_rad), 0.0 * at + TALL_M], axis=-1)
    return plain_graph([low, high])


def truth(x: float, y: float, z: float, yaw: float, others: Actors | None = None, tick: int = 0) -> Truth:
    ego = Ego(Pose(x, y, z, yaw), 8.0, 0.0, 0.0, 0.0, 0.0, np.zeros((5, 5)))
    return Truth(tick, ego, others or Actors.empty(), np.zeros(0, np.uint8), ())


def at_height(rows: list[tuple[Any, ...]], z_m: list[float]) -> Actors:
    out = actors(rows)
    out.xyz_m[:, 2] = z_m
    return out


@pytest.mark.parametrize("level", [0, 1])
def test_a_car_that_is_set_down_is_on_the_lane_of_its_height(level: int) -> None:
    batch = Batch(crossing(0.7), [load_vehicle("sedan")], 1, 1)
    rows = {"x_m": [0.2], "y_m": [0.1], "z_m": [level * TALL_M], "yaw_rad": [0.35], "kind": [1], "driver": [2]}
    batch.reset_world(0, rows, seed=0)
    assert batch.state.numpy("lane")[0, 0] == level and batch.state.numpy("z_m")[0, 0] == level * TALL_M


@pytest.mark.parametrize("angle", [2.6, 0.5 * np.pi])
def test_who_drives_over_a_road_is_not_against_its_flow_nor_beside_its_lane(angle: float) -> None:
    graph = crossing(angle)
    route = Route(np.array([1], np.int32), 10.0, 190.0, 180.0)
    referee = Referee(Scenario("hand", "plain", graph, route, 1))
    events = []
    for tick, s in enumerate(np.arange(-60.0, 60.0, 0.4)):
        events += referee.observe(truth(s * np.cos(angle), s * np.sin(angle), TALL_M, angle, tick=tick))
    assert events == []


def test_who_is_below_the_route_is_off_it() -> None:
    progress = RouteProgress(crossing(1.0), Route(np.array([1], np.int32), 0.0, 200.0, 200.0))
    progress.follow(0.0, 0.0, 1.0, TALL_M)
    assert progress.apart_m == 0.0
    progress.follow(0.0, 0.0, 1.0, 0.0)
    assert progress.apart_m > 30.0


def test_a_prediction_keeps_to_its_own_road() -> None:
    """Whoever is on the crossing and turned half way between both lanes follows the one of its height."""
    for level, lane_yaw in ((0, 0.0), (1, 0.6)):
        tracks = at_height([(Kind.CAR, 0.1, 0.0, 0.3, 10.0)], [level * TALL_M])
        found = predict(tracks, crossing(0.6), np.zeros(0, np.uint8))
        assert len(found.track) == 2
        assert found.yaw_rad[1] == pytest.approx(lane_yaw, abs=1e-6)


def test_the_ground_under_the_car_is_that_of_the_road_it_was_on() -> None:
    for z in (0.0, TALL_M):
        assert ground_pose(crossing(0.6), 0.1, 0.1, 0.3, z).z_m == pytest.approx(z)


def test_kerbs_of_a_road_below_a_bridge_are_kerbs_and_match_on_their_own_storey() -> None:
    lines = MapLines.of(crossing(0.5 * np.pi))
    assert len(lines.kerb.xy_m) == 4 * 201
    along = np.stack([np.arange(-8.0, 8.0, 0.25), np.full(64, 1.75 + 0.1)], axis=-1)  # seen 0.1 m off
    points, pose = EdgePoints(along, np.zeros((0, 2))), np.array([0.0, 0.0, 0.0])
    found = register(points, lines, pose, 0.0, gate_m=1.2)
    assert found is not None and found[0][1] == pytest.approx(-0.1, abs=0.01)
    assert register(points, lines, pose, 3.5 * TALL_M, gate_m=1.2) is None


@pytest.mark.parametrize(("other_m", "meets"), [(0.0, True), (TALL_M, False), (-TALL_M, False)])
def test_the_planner_heeds_who_is_on_its_own_level_only(other_m: float, meets: bool) -> None:
    """A car that stands across the road 25 m ahead, on it, over it or under it: speeds, stop and trajectory."""
    graph = crossing(0.5 * np.pi)
    plans = []
    for rows in ([], [(Kind.CAR, -25.0, 0.0, 0.5 * np.pi, 0.0)]):
        pipeline = Pipeline(graph, Route(np.array([0], np.int32), 10.0, 190.0, 180.0), load_vehicle("sedan"))
        scene = make_scene(0, -50.0, 0.0, 0.0, 12.0)
        plans.append(pipeline(replace(scene, tracks=at_height(rows, [other_m] * len(rows)))))
    free, plan = plans
    same = np.array_equal(free.reference.target_mps, plan.reference.target_mps)
    assert same != meets and np.isinf(plan.reference.leader_gap_m) != meets
    assert np.array_equal(free.trajectory.speed_mps, plan.trajectory.speed_mps) != meets


@pytest.mark.parametrize(("other_m", "hides"), [(0.0, True), (TALL_M, False)])
def test_who_drives_over_hides_nobody_below(other_m: float, hides: bool) -> None:
    rows = [(Kind.TRUCK, 20.0, 0.0, 0.5 * np.pi, 0.0, 10.0, 2.5), (Kind.CAR, 40.0, 0.0, 0.0, 5.0)]
    seen = truth(0.0, 0.0, 0.0, 0.0)
    assert actors_in_view(seen.ego, at_height(rows, [other_m, 0.0])).tolist() == [True, not hides]


def test_what_is_seen_on_a_road_has_its_height() -> None:
    fusion = Fusion(crossing(0.5 * np.pi), Rig())
    where = np.array([[0.3, 0.2], [50.0, 0.5], [0.5, 50.0], [60.0, 60.0]])
    for plane in (0.5, TALL_M - 0.5):
        expected = [round(plane / TALL_M) * TALL_M, 0.0, TALL_M, plane]  # under and over each other; alone; far off
        assert fusion.ground(where, np.full(4, plane)) == pytest.approx(expected)


# ---------------------------------------------------------------- drives


def way_through(lane: int, before_m: float, behind_m: float) -> str:
    """A route as `--route` takes it, from so far before a lane to so far behind it."""
    start, to_start = int(GRAPH.predecessors(lane)[0]), before_m
    while to_start > GRAPH.lane_length_m[start]:
        start, to_start = int(GRAPH.predecessors(start)[0]), to_start - float(GRAPH.lane_length_m[start])
    goal, to_goal = int(GRAPH.successors(lane)[0]), behind_m
    while to_goal > GRAPH.lane_length_m[goal]:
        goal, to_goal = int(GRAPH.successors(goal)[0]), to_goal - float(GRAPH.lane_length_m[goal])
    return f"{start}:{GRAPH.lane_length_m[start] - to_start:.1f},{goal}:{to_goal:.1f}"


@pytest.mark.slow
@pytest.mark.parametrize("below", [False, True])
def test_a_drive_over_and_a_drive_under_a_bridge_are_clean(below: bool) -> None:
    """With traffic on both; the guard has nothing to do."""
    lane = [k for road in (BELOW if below else ABOVE) for k in passes(road)][1]
    settings = DriveSettings(
        map="highway", route=way_through(lane, 60.0, 40.0), perception="oracle", controller="classical", cameras=False,
        seed=4,
    )  # fmt: skip
    scenario, road_map = build_scenario(settings)
    world = EmbeddedWorld(road_map, "cpu")
    stack = build_stack(scenario, settings, "cpu", world.truth)
    steps = list(drive(world, stack, scenario))
    assert [event.kind for step in steps for event in step.events] == [EventKind.ROUTE_DONE]
    assert not [step.command.intervention for step in steps if step.command.intervention]
    z = np.array([step.truth.ego.pose.z_m for step in steps])
    assert np.ptp(z) < 0.5 if below else z.max() > 7.0
