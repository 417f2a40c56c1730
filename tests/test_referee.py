"""The referee's rulings, each on a drive made by hand."""

from dataclasses import replace

import numpy as np
import pytest
from plain_graph import plain_graph

from sim.referee import BLOCKED_S, Hit, Referee, RouteProgress
from stack.frames import Pose
from stack.labels import Kind, LightState, Sign
from stack.lanegraph import LaneGraph, Route
from stack.loop import Scenario
from stack.messages import Actors, Ego, Event, EventKind, Truth
from stack.vehicle import load_vehicle

SEDAN = load_vehicle("sedan")
NOSE_M = SEDAN.centre_m + 0.5 * SEDAN.length_m
LINE_X = 95.0


def road(sign: Sign = Sign.NONE, signal: bool = False) -> LaneGraph:
    """Lanes 0 (x 0..100), 1 (junction, 100..120), 2 (120..300) east; line at x = 95."""
    lines = [
        np.stack([x, 0.0 * x, 0.0 * x], axis=-1)
        for x in (np.arange(101.0), np.arange(100.0, 121.0), np.arange(120.0, 301.0))
    ]
    graph = plain_graph(lines, [(0, 1), (1, 2)])
    graph = replace(
        graph, lane_junction=np.array([-1, 0, -1], np.int32), lane_stop_s_m=np.array([LINE_X, 20.0, 180.0], np.float32),
        lane_sign=np.array([0, sign, 0], np.uint8),
    )  # fmt: skip
    if not signal:
        return graph
    one = np.ones(1, np.float32)
    return replace(
        graph, lane_signal=np.array([-1, 0, -1], np.int32), signal_id=("a",), signal_junction=np.zeros(1, np.int32),
        signal_cycle_s=30.0 * one, signal_green_from_s=0.0 * one, signal_green_s=10.0 * one,
    )  # fmt: skip


def scenario(graph: LaneGraph, goal_s_m: float = 150.0) -> Scenario:
    route = Route(np.array([0, 1, 2], np.int32), 10.0, goal_s_m, 110.0 + goal_s_m)
    return Scenario("hand", "plain", graph, route, 1)


def truth(
    tick: int,
    x: float,
    y: float = 0.0,
    speed: float = 8.0,
    yaw: float = 0.0,
    light: int = 1,
    others: Actors | None = None,
) -> Truth:
    ego = Ego(Pose(x, y, yaw_rad=yaw), speed, 0.0, 0.0, 0.0, 0.0, np.zeros((5, 5)))
    return Truth(tick, ego, others or Actors.empty(), np.array([light], np.uint8), ())


def actor(number: int, kind: Kind, speed: float) -> Actors:
    f = np.float64
    return Actors(
        np.array([number], np.int32), np.array([kind], np.uint8), np.zeros((1, 3), f), np.zeros(1, f),
        np.array([[speed, 0.0]]),
        np.zeros(1, f), np.ones((1, 3), f), np.ones(1, f), np.zeros((1, 4, 4), f),
    )  # fmt: skip


def drive(referee: Referee, xs: np.ndarray, lights: list[int] | None = None, first: int = 0) -> list[Event]:
    """Drive along y = 0 through the places given, one a tick; speeds follow."""
    speeds = np.abs(np.gradient(xs)) / 0.05
    events: list[Event] = []
    for k, (x, v) in enumerate(zip(xs, speeds, strict=True)):
        events += referee.observe(truth(first + k, float(x), speed=float(v), light=lights[k] if lights else 1))
    return events


def kinds(events: list[Event]) -> list[EventKind]:
    return [event.kind for event in events]


def test_clean_drive_ends_done() -> None:
    referee = Referee(scenario(road(signal=True)))
    events = drive(referee, np.arange(10.0, 280.0, 0.5))
    assert kinds(events) == [EventKind.ROUTE_DONE]
    assert referee.done and referee.progress == 1.0
    assert referee.observe(truth(9999, 400.0)) == ()


def test_red_light_counts_once_and_only_when_crossed_on_red() -> None:
    xs = np.arange(60.0, 125.0, 0.4)
    crossing = int(np.argmax(xs + NOSE_M >= LINE_X))
    red, green, yellow = int(LightState.RED), int(LightState.GREEN), int(LightState.YELLOW)
    events = drive(Referee(scenario(road(signal=True))), xs, [red] * len(xs))
    assert kinds(events) == [EventKind.RED_LIGHT] and events[0].tick == crossing and events[0].other == "signal 0"
    late = [yellow] * (crossing + 2) + [red] * (len(xs) - crossing - 2)
    assert drive(Referee(scenario(road(signal=True))), xs, late) == []
    assert (
        drive(Referee(scenario(road(signal=True))), xs, [red] * (crossing - 2) + [green] * (len(xs) - crossing + 2))
        == []
    )


def test_crossing_far_lines_on_yellow_and_entering_on_red_is_none() -> None:
    xs = np.arange(60.0, 125.0, 0.1)  # 2 m/s: the junction comes seconds after the line
    crossing = int(np.argmax(xs + NOSE_M >= LINE_X))
    lights = [int(LightState.YELLOW)] * (crossing + 2) + [int(LightState.RED)] * (len(xs) - crossing - 2)
    assert drive(Referee(scenario(road(signal=True))), xs, lights) == []


def test_creeping_over_the_line_on_green_and_going_on_red_is_a_red_light() -> None:
    xs = np.concatenate([np.arange(80.0, 93.0, 0.2), np.full(100, 93.0), np.arange(93.0, 125.0, 0.3)])
    lights = [int(LightState.GREEN)] * 80 + [int(LightState.RED)] * (len(xs) - 80)
    assert kinds(drive(Referee(scenario(road(signal=True))), xs, lights)) == [EventKind.RED_LIGHT]


def test_stop_sign() -> None:
    through = np.arange(60.0, 125.0, 0.4)
    assert kinds(drive(Referee(scenario(road(Sign.STOP))), through)) == [EventKind.STOP_SIGN]
    at_line = LINE_X - NOSE_M - 1.0
    stops = np.concatenate([np.arange(60.0, at_line, 0.2), np.full(20, at_line), np.arange(at_line, 125.0, 0.2)])
    assert drive(Referee(scenario(road(Sign.STOP))), stops) == []
    early = LINE_X - NOSE_M - 8.0
    stops = np.concatenate([np.arange(60.0, early, 0.2), np.full(20, early), np.arange(early, 125.0, 0.2)])
    assert kinds(drive(Referee(scenario(road(Sign.STOP))), stops)) == [EventKind.STOP_SIGN]
    assert drive(Referee(scenario(road(Sign.YIELD))), through) == []


@pytest.mark.parametrize(
    ("kind", "other_mps", "x", "y", "lateral", "expected", "fault"),
    [
        (Kind.CAR, 5.0, NOSE_M, 0.0, 0.0, EventKind.COLLISION_VEHICLE, True),  # with its front
        (Kind.CAR, 5.0, NOSE_M - SEDAN.length_m, 0.0, 0.0, EventKind.COLLISION_VEHICLE, False),  # from behind
        (Kind.CAR, 5.0, SEDAN.centre_m, 0.5 * SEDAN.width_m, 0.0, EventKind.COLLISION_VEHICLE, False),  # side, in lane
        (
            Kind.CAR,
            5.0,
            SEDAN.centre_m,
            0.5 * SEDAN.width_m,
            1.2,
            EventKind.COLLISION_VEHICLE,
            True,
        ),  # side, over the line
        (Kind.CAR, 0.0, SEDAN.centre_m, 0.5 * SEDAN.width_m, 0.0, EventKind.COLLISION_VEHICLE, True),  # it stood
        (Kind.PEDESTRIAN, 1.4, NOSE_M, 0.3, 0.0, EventKind.COLLISION_PEDESTRIAN, True),
        (Kind.PROP, 0.0, NOSE_M, 0.3, 0.0, EventKind.COLLISION_STATIC, True),
    ],
)
def test_fault(
    kind: Kind, other_mps: float, x: float, y: float, lateral: float, expected: EventKind, fault: bool
) -> None:
    referee = Referee(scenario(road()))
    others = actor(7, kind, other_mps)
    events = referee.observe(truth(0, 50.0, lateral, others=others), [Hit(7, 3.0, 50.0 + x, lateral + y)])
    assert [(e.kind, e.at_fault, e.value, e.other) for e in events] == [
        (expected, fault, 3.0, f"{kind.name.lower()} 7")
    ]


def test_collisions_are_counted_once_and_only_when_moving() -> None:
    referee = Referee(scenario(road()))
    others = actor(7, Kind.CAR, 4.0)
    hit = [Hit(7, 3.0, 52.0, 0.0)]
    assert referee.observe(truth(0, 50.0, speed=0.0, others=others), hit) == ()
    assert len(Referee(scenario(road())).observe(truth(0, 50.0, others=others), [Hit(-2, 1.0, 52.0, 0.0)])) == 1
    referee = Referee(scenario(road()))
    counted = [
        len(referee.observe(truth(k, 50.0 + 0.1 * k, others=others), [Hit(7, 3.0, 52.0 + 0.1 * k, 0.0)]))
        for k in range(99)
    ]
    assert sum(counted) == 1
    assert len(referee.observe(truth(400, 75.0, others=others), [Hit(7, 3.0, 77.0, 0.0)])) == 1


def test_metres_outside_the_lanes() -> None:
    referee = Referee(scenario(road()))
    ys = np.interp(np.arange(0.0, 60.0, 0.4), [0.0, 10.0, 15.0, 35.0, 40.0, 60.0], [0.0, 0.0, 4.0, 4.0, 0.0, 0.0])
    events = [e for k, y in enumerate(ys) for e in referee.observe(truth(k, 12.0 + 0.4 * k, float(y)))]
    assert set(kinds(events)) == {EventKind.OUTSIDE_LANES}
    assert sum(e.value for e in events) == pytest.approx(
        20.0 + 2 * 5.0 * (4.0 - 2.25) / 4.0 * np.hypot(4.0, 5.0) / 5.0, abs=1.0
    )


def test_deviated_blocked_timed_out() -> None:
    referee = Referee(scenario(road()))
    assert EventKind.DEVIATED in kinds([e for k in range(40) for e in referee.observe(truth(k, 50.0, float(k)))])
    assert referee.done
    referee = Referee(scenario(road()))
    events = [e for k in range(int(BLOCKED_S / 0.05) + 5) for e in referee.observe(truth(k, 50.0, speed=0.0))]
    assert kinds(events) == [EventKind.BLOCKED] and events[0].time_s == pytest.approx(BLOCKED_S, abs=0.1)
    referee = Referee(scenario(road()))
    assert referee.observe(truth(0, 20.0)) == ()
    events = list(referee.observe(truth(int(310 / 0.05), 20.0)))
    assert kinds(events) == [EventKind.TIMED_OUT] and referee.progress < 0.1


def test_progress_survives_a_lane_change() -> None:
    x = np.arange(201.0)
    lines = [np.stack([x, np.full(201, y), 0.0 * x], axis=-1) for y in (0.0, 3.5)]
    graph = plain_graph(lines)
    graph = replace(graph, lane_left=np.array([1, -1], np.int32), lane_right=np.array([-1, 0], np.int32))
    progress = RouteProgress(graph, Route(np.array([0, 1], np.int32), 20.0, 180.0, 160.0))
    assert progress.total_m == pytest.approx(160.0)
    done = []
    for at in np.arange(20.0, 180.0, 0.5):
        progress.follow(float(at), float(np.interp(at, [80.0, 110.0], [0.0, 3.5])), 0.0, 0.0)
        done.append(progress.done_m)
    assert np.allclose(done, np.arange(0.0, 160.0, 0.5), atol=0.6)
