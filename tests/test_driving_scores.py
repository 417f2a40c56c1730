"""Driving scores against hand-worked examples of the leaderboard's rules, exposure against scenes made by hand."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from handmade import actors, line, make_graph, make_route
from steps import ego_at, step_at

from evaluation.driving import DriveScore, comfort, driving_scores
from stack.labels import Kind, LightState
from stack.loop import TICK_S
from stack.messages import Actors, Event, EventKind, Step, Truth


def street() -> tuple[Any, Any]:
    """100 m of road, a 20 m junction lane behind a light, 100 m of road; the line is 1 m before the junction."""
    graph = make_graph(
        [line(0, 0, 100, 0), line(100, 0, 120, 0), line(120, 0, 220, 0)],
        {0: [1], 1: [2]}, signals=1, lane_signal={1: 0}, lane_junction={1: 0},
    )  # fmt: skip
    return graph, make_route(graph, [0, 1, 2])


@cache
def step_zero() -> Step:
    return step_at(0)


def step(tick: int, x: float, speed: float = 8.0, others: Actors | None = None, light: LightState = LightState.GREEN,
         kinds: tuple[EventKind, ...] = (), value: float = 0.0, guard: str = "") -> Step:  # fmt: skip
    plain = step_zero()
    truth = Truth(tick, ego_at(x, speed_mps=speed), others or Actors.empty(), np.array([light], np.uint8), ())
    events = tuple(Event(kind, tick + 1, (tick + 1) * TICK_S, "", True, value) for kind in kinds)
    return replace(
        plain, frame=replace(plain.frame, tick=tick, time_s=tick * TICK_S), truth=truth, events=events,
        command=replace(plain.command, intervention=guard),
    )  # fmt: skip


def driven(*steps: Step) -> DriveScore:
    score = DriveScore(*street())
    for one in steps:
        score.add(one)
    return score


def test_scores_follow_the_three_rule_books():
    kinds = [EventKind.COLLISION_VEHICLE, EventKind.RED_LIGHT, EventKind.RED_LIGHT]
    found = driving_scores(0.8, kinds, outside_share=0.1, speed_shares=[0.5, 1.4])
    assert found["1.0"] == pytest.approx(80 * 0.9 * 0.6 * 0.7 * 0.7, abs=1e-3)
    assert found["2.0"] == pytest.approx(80 * 0.9 * 0.6 * 0.7 * 0.7 * (1 - 0.3 * 0.5), abs=1e-3)
    assert found["2.1"] == pytest.approx(80 * 0.9 / (1 + 0.7 + 0.4 + 0.4 + 0.4 * 0.5), abs=1e-3)


@pytest.mark.parametrize(
    ("kind", "factors"),
    [
        (EventKind.COLLISION_PEDESTRIAN, (50.0, 50.0, 50.0)),
        (EventKind.COLLISION_STATIC, (65.0, 65.0, 62.5)),
        (EventKind.STOP_SIGN, (80.0, 80.0, 80.0)),
        (EventKind.BLOCKED, (100.0, 100.0, 100.0)),  # costs the rest of the route, nothing more
    ],
)
def test_one_infraction_costs_its_factor(kind: EventKind, factors: tuple[float, ...]):
    assert tuple(driving_scores(1.0, [kind], 0.0, []).values()) == pytest.approx(factors)


def test_a_clean_drive_is_perfect():
    steps = [step(k, 2.0 * k) for k in range(105)] + [step(105, 211.0, kinds=(EventKind.ROUTE_DONE,))]
    result = driven(*steps).result(1.0)
    assert result["status"] == "perfect"
    assert result["clean"]
    assert set(result["driving_score"].values()) == {100.0}
    assert result["exposure"]["junctions"] == 1
    assert result["exposure"]["route_m"] == 220.0
    assert result["infractions"] == []


@pytest.mark.parametrize(
    ("kinds", "status", "clean"),
    [
        ((EventKind.STOP_SIGN, EventKind.ROUTE_DONE), "completed", True),
        ((EventKind.RED_LIGHT, EventKind.ROUTE_DONE), "completed", False),
        ((EventKind.COLLISION_STATIC, EventKind.ROUTE_DONE), "completed", False),
        ((EventKind.BLOCKED,), "blocked", False),
        ((EventKind.TIMED_OUT,), "timed_out", False),
        ((EventKind.DEVIATED,), "deviated", False),
        ((), "crashed", False),
    ],
)
def test_status_says_how_it_ended(kinds: tuple[EventKind, ...], status: str, clean: bool):
    result = driven(step(0, 5.0), step(1, 5.4, kinds=kinds, guard="time to collision")).result(0.5)
    assert (result["status"], result["clean"]) == (status, clean)
    assert result["interventions"] == 1
    assert result["sim_s"] == pytest.approx(2 * TICK_S)


def test_outside_lanes_costs_the_share_of_the_distance():
    steps = [step(k, 0.4 * k) for k in range(50)]  # 8 m/s: 20 m
    steps.append(step(50, 20.0, speed=0.0, kinds=(EventKind.OUTSIDE_LANES,), value=5.0))
    assert driven(*steps).result(1.0)["driving_score"]["2.0"] == pytest.approx(75.0, abs=0.1)


def test_idling_gains_nothing():
    assert set(driven(*[step(k, 0.0, speed=0.0) for k in range(40)]).result(0.0)["driving_score"].values()) == {0.0}


def test_red_stops_count_once_for_each_light_and_only_for_a_light():
    red, green = LightState.RED, LightState.GREEN
    before = 95.0 - 4.0  # the sedan's front is about 3.7 m ahead of its origin; the line is at 99 m

    def stops(*rows: tuple[float, float, LightState]) -> int:
        way = [step(k, 2.0 * k) for k in range(int(rows[0][0] / 2.0))]
        halts = [step(len(way) + k, x, speed, light=light) for k, (x, speed, light) in enumerate(rows)]
        return driven(*way, *halts).result(0.4)["exposure"]["red_light_stops"]

    assert stops(*[(before, 0.0, red)] * 30, (before + 0.5, 0.5, red), (before + 0.6, 0.0, red)) == 1
    assert stops((before, 0.0, green)) == 0
    assert stops((50.0, 0.0, red)) == 0
    assert stops((before, 0.3, red)) == 0


def test_following_needs_a_moving_leader_on_the_own_lane():
    def seconds(*rows: tuple[Any, ...], speed: float = 8.0) -> float:
        return driven(step(0, 10.0, speed, actors(list(rows)))).result(0.1)["exposure"]["following_s"]

    assert seconds((Kind.CAR, 40.0, 0.0, 0.0, 8.0)) == TICK_S
    assert seconds((Kind.CAR, 40.0, 0.0, 0.0, 0.0)) == 0.0  # parked
    assert seconds((Kind.CAR, 40.0, 3.5, np.pi, 8.0)) == 0.0  # oncoming, on the other side
    assert seconds((Kind.CAR, 75.0, 0.0, 0.0, 8.0)) == 0.0  # too far
    assert seconds((Kind.CAR, 0.0, 0.0, 0.0, 8.0)) == 0.0  # behind
    assert seconds((Kind.CAR, 40.0, 0.0, 0.0, 8.0), speed=0.0) == 0.0  # ego stands


def test_exposure_counts_vehicles_and_distinct_pedestrians():
    near = actors([(Kind.CAR, 30.0, 0.0, 0.0, 5.0), (Kind.CYCLIST, 10.0, 8.0, 0.0, 5.0), (Kind.PEDESTRIAN, 14.0, 5.0, 0.0, 1.0),
                   (Kind.CAR, 80.0, 0.0, 0.0, 5.0), (Kind.PROP, 12.0, 2.0, 0.0, 0.0)])  # fmt: skip
    exposure = driven(step(0, 10.0, others=near), step(1, 10.4, others=near), step(2, 10.8)).result(0.1)["exposure"]
    assert exposure["vehicles_within_30m"] == pytest.approx(4 / 3, abs=0.01)
    assert exposure["vehicles_within_30m_max"] == 2
    assert exposure["pedestrians_within_15m"] == 1


def test_half_the_speed_of_traffic_costs_at_every_checkpoint():
    steps = [step(k, 0.5 * k, 5.0, actors([(Kind.CAR, 0.5 * k + 20.0, 0.0, 0.0, 10.0), (Kind.CAR, 0.5 * k, 9.0, 0.0, 0.0)]))
             for k in range(420)]  # fmt: skip
    result = driven(*steps, step(420, 211.0, kinds=(EventKind.ROUTE_DONE,))).result(1.0)
    assert result["speed_of_traffic"] == pytest.approx([0.5] * 4, abs=0.01)
    assert result["driving_score"]["2.0"] == pytest.approx(100.0 * 0.85**4, abs=1.0)
    assert result["driving_score"]["1.0"] == 100.0
    assert result["status"] == "perfect"


def test_comfort_tells_a_smooth_drive_from_a_jerky_one():
    t = np.arange(0.0, 20.0, TICK_S)
    still = np.zeros_like(t)
    assert comfort(8.0 + np.sin(0.3 * t), still, 0.1 * np.sin(0.2 * t)) == 1.0
    assert comfort(8.0 + 2.0 * np.sign(np.sin(1.5 * t)), still, still) < 0.2
    assert comfort(np.full_like(t, 15.0), still, np.full_like(t, 0.4)) == 0.0  # 6 m/s2 to the side
