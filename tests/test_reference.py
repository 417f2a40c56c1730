"""The Reference against shapely's offset lines and the textbook, with a point mass that follows it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import shapely
import shapely.affinity
from handmade import arc, line, make_graph, make_route, make_scene, route_arrays

from planning.reference import ReferenceKernel, to_message
from stack.labels import Kind, LightState, Sign
from stack.lanegraph import LaneGraph, Route
from stack.messages import Maneuver, Reference
from stack.scenearrays import ReferenceArrays, SceneArrays, allocate, fill_from_scene

FRONT_M, REAR_M = 3.7, 1.0
GREEN, YELLOW, RED, UNKNOWN = LightState.GREEN, LightState.YELLOW, LightState.RED, LightState.UNKNOWN


class PointMass:
    """An ego that sits on the path and takes on the target speed, within 2.5 m/s2 up and 6 m/s2 down."""

    def __init__(self, graph: LaneGraph, route: Route, speed: float = 0.0, s: float = 0.0) -> None:
        self.kernel = ReferenceKernel(graph, "cpu", 1, FRONT_M, REAR_M)
        self.scene = allocate(SceneArrays, 1, graph.signals, "cpu")
        self.reference = allocate(ReferenceArrays, 1, 0, "cpu")
        self.route = route_arrays([route])
        lane = int(route.lanes[0])
        k = int(graph.lane_start[lane] + (route.start_s_m + s) / graph.lane_step_m[lane])
        self.x, self.y, self.yaw, self.speed = float(graph.x_m[k]), float(graph.y_m[k]), float(graph.yaw_rad[k]), speed
        self.tick, self.accel = 0, 0.0

    def look(self, tracks: Any = (), signals: Any = ()) -> Reference:
        fill_from_scene(self.scene, make_scene(self.tick, self.x, self.y, self.yaw, self.speed, tracks, signals))
        for command in self.kernel.record(self.scene, self.route, self.reference):
            command.launch()
        return to_message(self.reference)

    def step(self, tracks: Any = (), signals: Any = (), dt: float = 0.05) -> Reference:
        reference = self.look(tracks, signals)
        ahead = self.speed * dt
        wanted = float(np.interp(ahead, reference.s_m, reference.target_mps))
        self.accel = float(np.clip((wanted - self.speed) / dt, -6.0, 2.5))
        self.speed = max(self.speed + self.accel * dt, 0.0)
        moved = self.speed * dt
        self.x, self.y = (float(np.interp(moved, reference.s_m, reference.xy_m[:, k])) for k in (0, 1))
        self.yaw = float(reference.yaw_rad[0])
        self.tick += 1
        return reference


def crossing(rank: int = -1, sign: int = 0, signals: int = 0) -> LaneGraph:
    """A lane along x (0, then 2 in the junction, then 4, 6, 7) crossed at right angles by 1, 3, 5 at x = 100."""
    polylines = [
        line(0, 0, 90, 0), line(100, -90, 100, -10), line(90, 0, 110, 0), line(100, -10, 100, 10),
        line(110, 0, 140, 0), line(100, 10, 100, 100), line(140, 0, 160, 0), line(160, 0, 240, 0),
    ]  # fmt: skip
    conflicts = [(2, 3, 8.0, 12.0, 8.0, 12.0, rank), (3, 2, 8.0, 12.0, 8.0, 12.0, -rank)]
    columns: dict[str, Any] = {"lane_junction": {2: 0, 3: 0, 6: 1}, "lane_sign": {2: sign}}
    if signals:
        columns["lane_signal"] = {2: 0}
    return make_graph(polylines, {0: [2], 1: [3], 2: [4], 3: [5], 4: [6], 6: [7]}, signals, conflicts, **columns)


ROUTE = [0, 2, 4, 6, 7]  # another junction follows, without rules


def test_path_follows_the_lanes_and_is_where_shapely_has_it() -> None:
    bend = arc(40, 0, 0.0, 20.0, np.pi / 2)
    graph = make_graph([line(0, 0, 40, 0), bend, line(60, 20, 60, 80)], {0: [1], 1: [2]})
    car = PointMass(graph, make_route(graph, [0, 1, 2]), speed=5.0, s=20.0)
    car.y = 0.4
    reference = car.look()
    truth = shapely.LineString(np.concatenate([line(0, 0, 40, 0), bend[1:], line(60, 20, 60, 80)[1:]]))
    off = [truth.distance(shapely.Point(p)) for p in reference.xy_m]
    assert max(off) < 0.02
    assert np.diff(reference.xy_m, axis=0) == pytest.approx(
        np.stack([np.cos(reference.yaw_rad[:-1]), np.sin(reference.yaw_rad[:-1])], axis=-1), abs=0.06
    )
    assert float(car.reference.lateral_m.numpy()[0]) == pytest.approx(0.4, abs=1e-4)
    assert reference.curvature_1pm[30:40] == pytest.approx(1 / 20.0, rel=0.1)
    assert reference.target_mps[35] == pytest.approx(np.sqrt(2.0 * 20.0), rel=0.06)  # v^2 / r = 2 m/s2
    assert reference.route_s_m == pytest.approx(20.0, abs=0.01)


def test_shifted_path_is_shapelys_offset_line() -> None:
    bend = arc(0, 0, 0.0, 30.0, 3.0)
    graph = make_graph([bend])
    car = PointMass(graph, make_route(graph, [0]), speed=5.0, s=10.0)
    car.look()
    for name, value in {
        "pass_offset_m": -2.0,
        "pass_from_m": -50.0,
        "pass_ramp_m": 10.0,
        "pass_until_m": 500.0,
    }.items():
        getattr(car.reference, name).assign(np.array([value], np.float32))
    reference = car.look()
    wanted = shapely.LineString(bend).offset_curve(-2.0, quad_segs=64)
    assert max(wanted.distance(shapely.Point(p)) for p in reference.xy_m[:50]) < 0.03
    assert reference.curvature_1pm[5:50] == pytest.approx(1 / 32.0, rel=0.02)


def test_lane_change_is_smooth_and_25_to_40_m_long() -> None:
    graph = make_graph([line(0, 0, 300, 0), line(0, 3.5, 300, 3.5)], lane_left={0: 1}, lane_right={1: 0})
    car = PointMass(graph, make_route(graph, [0, 1]), speed=10.0)
    places = []
    for _ in range(140):
        reference = car.step()
        places.append((car.x, car.y))
        assert np.abs(np.diff(reference.yaw_rad)).max() < 0.05
    x, y = np.array(places).T
    begin, end = x[np.argmax(y > 0.02)], x[np.argmax(y > 3.48)]
    assert y[-1] == pytest.approx(3.5, abs=0.01)
    assert 20.0 < end - begin < 40.0
    assert int(car.reference.route_index.numpy()[0]) == 1


def test_lane_change_waits_for_a_gap() -> None:
    graph = make_graph([line(0, 0, 200, 0), line(0, 3.5, 200, 3.5)], lane_left={0: 1}, lane_right={1: 0})
    car = PointMass(graph, make_route(graph, [0, 1]), speed=8.0)
    for n in range(600):
        beside = [(Kind.CAR, car.x + 1.0, 3.5, 0.0, car.speed)] if n < 500 else []
        car.step(beside)
        assert n >= 500 or abs(car.y) < 0.1
    assert car.y == pytest.approx(3.5, abs=0.3)


@pytest.mark.parametrize("speed", [5.0, 9.0, 13.0])
def test_stops_at_the_red_line_and_goes_on_green(speed: float) -> None:
    graph = crossing(signals=1)
    car = PointMass(graph, make_route(graph, ROUTE), speed)
    braking = 0.0
    for _ in range(500):
        reference = car.step(signals=[RED])
        if reference.stop_s_m > 1.5:  # closer, the points are too far apart to read a square root off
            braking = min(braking, car.accel)
    assert 87.3 < car.x + FRONT_M < 88.02  # the line is at 89 m
    assert car.speed < 0.05
    assert reference.maneuver == Maneuver.STOP_LIGHT
    assert braking > -2.2
    for _ in range(300):
        car.step(signals=[GREEN])
    assert car.x > 105.0


def test_yellow_is_passed_only_where_stopping_would_be_harsh() -> None:
    graph = crossing(signals=1)
    for start, goes in ((20.0, False), (72.0, True)):
        car = PointMass(graph, make_route(graph, ROUTE), 12.0)
        car.x = start
        car.look(signals=[GREEN])
        for _ in range(60):
            car.step(signals=[YELLOW])
        for _ in range(100):
            car.step(signals=[RED])
        assert (car.x > 95.0) == goes


def test_unseen_light_is_approached_slowly() -> None:
    graph = crossing(signals=1)
    car = PointMass(graph, make_route(graph, ROUTE), 12.0)
    while car.x + FRONT_M < 86.0:
        car.step(signals=[UNKNOWN])
    assert 1.5 < car.speed < 4.6
    for _ in range(100):
        car.step(signals=[RED])
    assert car.x + FRONT_M < 89.1


def test_stop_sign_is_obeyed() -> None:
    graph = crossing(rank=1, sign=Sign.STOP)
    car = PointMass(graph, make_route(graph, ROUTE), 10.0)
    stood, x_stood = 0, 0.0
    for _ in range(600):
        car.step()
        if car.speed < 0.3 and car.x < 95:
            stood, x_stood = stood + 1, car.x
    assert 15 <= stood < 40
    assert 87.0 < x_stood + FRONT_M < 88.05
    assert car.x > 105.0


def test_gives_way_to_a_crossing_car_and_then_goes() -> None:
    graph = crossing(rank=-1)
    car = PointMass(graph, make_route(graph, ROUTE), 10.0)
    other, nearest, manoeuvres = -95.0, 1e9, set()
    for _ in range(500):
        reference = car.step([(Kind.CAR, 100.0, other, np.pi / 2, 10.0)] if other < 90 else [])
        other += 0.5
        manoeuvres.add(reference.maneuver)
        if abs(other) < 5.0 and car.x + FRONT_M > 92.0 and car.x < 104.0:
            nearest = 0.0
    assert Maneuver.GIVE_WAY in manoeuvres
    assert nearest > 0.0
    assert car.x > 125.0


def test_a_left_turn_keeps_its_nose_out_of_the_lane_of_those_who_come_out_of_hiding() -> None:
    """The way was free when the ego came to the line; then a column comes whose first car hid the others."""
    turn = arc(90, 0, 0.0, 12.0, np.pi / 2)  # crosses the oncoming lane at y = 3.5
    polylines = [line(0, 0, 90, 0), turn, line(102, 12, 102, 80), line(160, 3.5, 120, 3.5), line(120, 3.5, 90, 3.5)]
    conflicts = [(1, 4, 5.6, 12.0, 18.0, 28.0, -1), (4, 1, 18.0, 28.0, 5.6, 12.0, 1)]
    graph = make_graph(polylines, {0: [1], 1: [2], 3: [4]}, 0, conflicts, lane_junction={1: 0, 4: 0})
    car = PointMass(graph, make_route(graph, [0, 1, 2]), 4.0, s=70.0)
    column = np.array([128.0, 143.0, 158.0])
    waited = False
    for _ in range(500):
        inside = car.x + FRONT_M > 85.0  # 4 m before the line at 89 m: too late for that
        column -= 5.7 * 0.05 if inside else 0.0
        seen = [(Kind.CAR, float(x), 3.5, np.pi, 5.7) for x in column if x > 60.0]
        car.step(seen if inside else [])
        body = shapely.affinity.rotate(
            shapely.box(car.x - REAR_M, car.y - 0.95, car.x + FRONT_M, car.y + 0.95), car.yaw, (car.x, car.y), True
        )
        if column[-1] > 105.0:
            assert body.distance(shapely.box(60.0, 2.6, 160.0, 4.4)) > 0.3
            waited |= inside and car.speed < 0.1
    assert waited and car.y > 20.0  # and goes on when they have gone


def test_priority_road_does_not_wait() -> None:
    graph = crossing(rank=1)
    car = PointMass(graph, make_route(graph, ROUTE), 10.0)
    for n in range(160):
        other = min(-95.0 + 0.5 * n, -14.0)
        car.step([(Kind.CAR, 100.0, other, np.pi / 2, 10.0 if other < -14.0 else 0.0)])
    assert car.x > 85.0


def test_following_settles_at_the_time_gap() -> None:
    graph = make_graph([line(0, 0, 900, 0)])
    car = PointMass(graph, make_route(graph, [0]), 10.0)
    lead = 40.0
    for _ in range(900):
        reference = car.step([(Kind.CAR, lead, 0.0, 0.0, 8.0)])
        lead += 8.0 * 0.05
    assert car.speed == pytest.approx(8.0, abs=0.05)
    assert reference.leader_gap_m == pytest.approx(2.5 + 1.2 * 8.0, abs=0.3)
    assert reference.maneuver == Maneuver.FOLLOW


def test_stops_for_a_pedestrian_about_to_cross() -> None:
    graph = make_graph([line(0, 0, 200, 0)])
    car = PointMass(graph, make_route(graph, [0]), 8.0)
    y, hit = -9.0, False
    for _ in range(400):
        car.step([(Kind.PEDESTRIAN, 45.0, y, np.pi / 2, 1.4)])
        y += 1.4 * 0.05
        hit |= abs(y) < 1.5 and car.x - REAR_M < 45.0 < car.x + FRONT_M + 0.3
    assert not hit
    assert car.x > 60.0


def test_standing_pedestrian_beside_the_road_is_passed() -> None:
    graph = make_graph([line(0, 0, 200, 0)])
    car = PointMass(graph, make_route(graph, [0]), 8.0)
    for _ in range(120):
        car.step([(Kind.PEDESTRIAN, 45.0, -3.0, np.pi / 2, 0.1)])
    assert car.x > 48.0


def two_way(length: float = 300.0) -> LaneGraph:
    keys = {0: ("r", 0, -1), 1: ("r", 0, 1)}
    return make_graph([line(0, 0, length, 0), line(length, 3.5, 0, 3.5)], lane_key=keys)


def test_blocked_lane_is_passed_once_nobody_is_coming() -> None:
    graph = two_way()
    car = PointMass(graph, make_route(graph, [0]), 10.0)
    block = (Kind.CAR, 80.0, 0.0, 0.0, 0.0)
    oncoming, widest, hit = 230.0, 0.0, False
    for _ in range(900):
        car.step([block, (Kind.CAR, oncoming, 3.5, np.pi, 8.0)])
        oncoming -= 0.4
        body = shapely.box(car.x - REAR_M, car.y - 0.95, car.x + FRONT_M, car.y + 0.95)
        hit |= body.intersects(shapely.box(77.75, -0.95, 82.25, 0.95))
        hit |= body.intersects(shapely.box(oncoming - 2.25, 2.55, oncoming + 2.25, 4.45))
        widest = max(widest, car.y)
    assert not hit
    assert 2.4 < widest < 3.5
    assert car.x > 120.0 and abs(car.y) < 0.1


def test_queue_at_a_light_is_not_passed() -> None:
    graph = crossing(signals=1)
    car = PointMass(graph, make_route(graph, ROUTE), 10.0)
    queue = [(Kind.CAR, 86.0, 0.0, 0.0, 0.0), (Kind.CAR, 79.0, 0.0, 0.0, 0.0)]
    for _ in range(600):
        reference = car.step(queue, [RED])
    assert abs(car.y) < 0.01
    assert reference.leader_gap_m == pytest.approx(2.5, abs=0.3)


def test_stops_at_the_goal() -> None:
    graph = make_graph([line(0, 0, 200, 0)])
    car = PointMass(graph, make_route(graph, [0], goal_s_m=70.0), 10.0)
    for _ in range(400):
        reference = car.step()
    assert car.x == pytest.approx(70.0, abs=0.3)
    assert reference.maneuver == Maneuver.STOP_GOAL
    assert reference.xy_m[30, 0] == pytest.approx(100.0, abs=0.5)


def test_a_batch_gives_each_world_what_it_gets_alone() -> None:
    graph = crossing(rank=-1)
    route = make_route(graph, ROUTE)
    scenes = [
        make_scene(7, 10.0, 0.3, 0.02, 9.0, [(Kind.CAR, 30.0, 0.1, 0.0, 4.0)]),
        make_scene(7, 60.0, -0.2, 0.0, 8.0, [(Kind.CAR, 100.0, -50.0, np.pi / 2, 10.0)]),
        make_scene(7, 85.0, 0.0, 0.1, 3.0, [(Kind.PEDESTRIAN, 95.0, -4.0, np.pi / 2, 1.5)]),
    ]

    def outcome(chosen: list[Any]) -> dict[str, Any]:
        n = len(chosen)
        kernel = ReferenceKernel(graph, "cpu", n)
        arrays, reference = allocate(SceneArrays, n, 0, "cpu"), allocate(ReferenceArrays, n, 0, "cpu")
        one = allocate(SceneArrays, 1, 0, "cpu")
        for w, scene in enumerate(chosen):
            fill_from_scene(one, scene)
            for name in SceneArrays.vars:
                getattr(arrays, name).numpy()[w] = getattr(one, name).numpy()[0]
        for _ in range(3):
            for command in kernel.record(arrays, route_arrays([route] * n), reference):
                command.launch()
        return {name: getattr(reference, name).numpy().copy() for name in ReferenceArrays.vars}

    batch = outcome(scenes)
    for w, scene in enumerate(scenes):
        for name, values in outcome([scene]).items():
            assert np.array_equal(values[0], batch[name][w]), name


def test_reset_forgets_one_world_only() -> None:
    graph = make_graph([line(0, 0, 200, 0)])
    car = PointMass(graph, make_route(graph, [0]), 10.0)
    for _ in range(40):
        car.step()
    assert car.reference.route_s_m.numpy()[0] > 15.0
    car.kernel.reset(car.reference, np.array([False]))
    assert car.reference.started.numpy()[0] == 1
    car.kernel.reset(car.reference, np.array([0]))
    car.x = 0.0
    assert car.look().route_s_m == pytest.approx(0.0, abs=1e-3)


def test_who_began_to_stop_on_yellow_does_not_change_its_mind_in_the_last_metre() -> None:
    graph = crossing(signals=1)
    car = PointMass(graph, make_route(graph, ROUTE), 8.0, s=60.0)
    car.look(signals=[YELLOW])
    car.x, car.speed = 89.0 - FRONT_M - 2.2, 2.8  # a clumsy driver: it would take 6 m/s2 to stop where it meant to
    for _ in range(60):
        car.step(signals=[YELLOW])
    for light in (RED, UNKNOWN):  # the near-side light leaves the picture
        for _ in range(60):
            car.step(signals=[light])
    assert car.x + FRONT_M < 88.9 and car.speed < 0.05


def test_end_of_a_queue_is_not_passed_before_a_red_light_can_have_ended() -> None:
    graph = crossing(signals=1)
    car = PointMass(graph, make_route(graph, ROUTE), 10.0)
    hidden_queue = [(Kind.CAR, 45.0, 0.0, 0.0, 0.0)]  # of which only the last car is seen
    for _ in range(600):
        car.step(hidden_queue, [RED])
    assert abs(car.y) < 0.01 and car.x < 45.0
