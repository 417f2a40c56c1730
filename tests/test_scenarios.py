"""Scenarios: what is chosen, which route comes of it, and what bad input is told."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from shared_maps import graph_of

from planning.route import plan_route, random_route
from sim import scenarios
from stack.loop import Scenario

TOWN01 = Path(__file__).parents[2] / "shared/data/maps/Town01.xodr"


def resolved(seed: int = 0, scenario: str | None = None, map_: str | None = None, route: str | None = None) -> Scenario:
    spec = scenarios.choose(scenario, map_)
    return scenarios.resolve(spec, graph_of(spec.map), seed, plan_route, random_route, route=route)


def check_town_drive(scenario: Scenario) -> None:
    graph, lanes = scenario.graph, scenario.route.lanes
    assert 500.0 <= scenario.route.length_m <= 800.0
    inside = lanes[graph.lane_junction[lanes] >= 0]
    assert (graph.lane_signal[inside] >= 0).sum() >= 2
    assert {1, -1} <= set(graph.lane_turn[inside].tolist())


def test_the_default_is_the_held_out_town_with_lights_turns_and_an_unsignalled_junction() -> None:
    scenario = resolved()
    assert (scenario.name, scenario.map_name) == ("town", "holdout_a")
    check_town_drive(scenario)
    inside = scenario.route.lanes[scenario.graph.lane_junction[scenario.route.lanes] >= 0]
    assert (scenario.graph.lane_signal[inside] < 0).any()
    assert (scenario.graph.lane_sign[inside] > 0).any()


def test_every_lane_of_the_route_follows_or_lies_beside_the_one_before() -> None:
    scenario = resolved()
    graph, lanes = scenario.graph, scenario.route.lanes
    for lane, following in itertools.pairwise(lanes):
        assert following in {*graph.successors(lane).tolist(), graph.lane_left[lane], graph.lane_right[lane]}


def test_a_named_route_stays_whatever_the_seed() -> None:
    one, other = resolved(seed=1), resolved(seed=2)
    assert np.array_equal(one.route.lanes, other.route.lanes)
    assert (one.seed, other.seed) == (1, 2)
    assert one.route.length_m == other.route.length_m


def test_a_map_alone_has_a_route_drawn_from_the_seed() -> None:
    drives = [resolved(seed=seed, map_="town_b") for seed in range(6)]
    assert all(500.0 <= drive.route.length_m <= 800.0 for drive in drives)
    assert len({tuple(drive.route.lanes.tolist()) for drive in drives}) > 3
    again = resolved(seed=3, map_="town_b")
    assert np.array_equal(again.route.lanes, drives[3].route.lanes)
    assert again.name == "town_b"
    assert 20 <= again.vehicles <= scenarios.MOST_VEHICLES


def test_a_route_by_lane_index_wins() -> None:
    scenario = resolved(route="7:20,53:30")
    assert (scenario.route.lanes[0], scenario.route.lanes[-1]) == (7, 53)
    assert (scenario.route.start_s_m, scenario.route.goal_s_m) == (20.0, 30.0)


@pytest.mark.skipif(not TOWN01.is_file(), reason="CARLA's Town01 is not on this machine")
def test_town01_drives_on_carlas_own_map() -> None:
    scenario = resolved(scenario="town01", map_=str(TOWN01))
    assert scenario.map_name == "Town01"
    check_town_drive(scenario)


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (lambda: scenarios.choose("atlantis"), "scenario atlantis: .* expected .*town"),
        (lambda: scenarios.choose(None, "atlantis"), "atlantis"),
        (lambda: scenarios.choose("town", "town_a"), "expected its own map holdout_a"),
        (lambda: resolved(route="7:20"), "found 1 places"),
        (lambda: resolved(route="7:20,x:1"), '"x:1"'),
        (lambda: resolved(route="7:20,99999:1"), "found lane 99999"),
        (lambda: resolved(route="7:20,53:9999"), "found s 9999"),
        (lambda: resolved(route="7:nan,53:1"), "found s nan"),
    ],
)
def test_bad_input_is_told_what_was_expected(ask: Callable[[], object], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        ask()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("map: holdout_a\nstat: {road: '1', lane: -1, s_m: 0}\n", "stat: unknown key"),
        ("map: holdout_a\nstart: {road: '1', lane: -1, s_m: 0}\n", "found start alone"),
        ("vehicles: 3\n", "map"),
        (
            "map: holdout_a\nstart: {road: '999', lane: -1, s_m: 0}\ngoal: {road: '1', lane: -1, s_m: 0}\n",
            "no drivable lane .*999",
        ),
    ],
)
def test_a_wrong_scenario_file_is_named(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=told):
        resolved(scenario=str(file))
