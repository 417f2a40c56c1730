"""Routes: the quickest one, and random ones."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import dijkstra
from shared_maps import graph_of

from planning.route import CHANGE_S, plan_route, random_route
from stack.lanegraph import LaneGraph, Route
from stack.scenearrays import ROUTE_LANES

DATA = Path(__file__).parents[2] / "shared/data/maps"
OURS = sorted((Path(__file__).parents[1] / "sim/maps").glob("*.xodr"))
FILES = [path for path in (DATA / "Town01.xodr", DATA / "Town04.xodr", *OURS[:2]) if path.is_file()]
PARAMS = [pytest.param(path, marks=pytest.mark.slow) if path.stem == "Town04" else path for path in FILES]  # it is big
assert OURS, "no maps in sim/maps"


@pytest.fixture(params=PARAMS, ids=lambda path: path.stem)
def graph(request: pytest.FixtureRequest) -> LaneGraph:
    return graph_of(request.param)


def assert_drivable(graph: LaneGraph, route: Route) -> None:
    for a, b in pairwise(route.lanes):
        left = b == graph.lane_left[a] and graph.lane_change_left[a]
        right = b == graph.lane_right[a] and graph.lane_change_right[a]
        assert b in graph.successors(int(a)) or left or right
    assert 0.0 <= route.start_s_m <= graph.lane_length_m[route.lanes[0]] + 1e-3
    assert 0.0 <= route.goal_s_m <= graph.lane_length_m[route.lanes[-1]] + 1e-3
    assert len(route.lanes) <= ROUTE_LANES


def time_s(graph: LaneGraph, lanes: list[int]) -> float:
    """From the start of the first lane to the start of the last."""
    total = 0.0
    for a, b in pairwise(lanes):
        total += float(graph.lane_length_m[a] / graph.lane_limit_mps[a]) if b in graph.successors(a) else CHANGE_S
    return total


def test_a_star_is_as_quick_as_dijkstra(graph: LaneGraph) -> None:
    rows, columns, costs = [], [], []
    for lane in range(graph.lanes):
        for other in graph.successors(lane):
            rows.append(lane), columns.append(other)
            costs.append(float(graph.lane_length_m[lane] / graph.lane_limit_mps[lane]))
        for beside, allowed in ((graph.lane_left, graph.lane_change_left), (graph.lane_right, graph.lane_change_right)):
            if beside[lane] >= 0 and allowed[lane]:
                rows.append(lane), columns.append(beside[lane]), costs.append(CHANGE_S)
    table = coo_matrix((costs, (rows, columns)), shape=(graph.lanes, graph.lanes)).tocsr()
    starts = np.flatnonzero(graph.lane_junction < 0)[::9]
    best = dijkstra(table, indices=starts)
    for i, start in enumerate(starts):
        for goal in range(0, graph.lanes, 23):
            if not np.isfinite(best[i, goal]):
                with pytest.raises(ValueError, match="no way"):
                    plan_route(graph, int(start), 0.0, goal, 0.0)
                continue
            try:
                route = plan_route(graph, int(start), 0.0, goal, 0.0)
            except ValueError as problem:
                assert f"at most {ROUTE_LANES}" in str(problem)
                continue
            assert_drivable(graph, route)
            assert time_s(graph, route.lanes.tolist()) == pytest.approx(best[i, goal], abs=1e-3)


def test_goal_behind_the_start_goes_round(graph: LaneGraph) -> None:
    lane = random_route(graph, 5, 100.0, 400.0).lanes[0]
    ahead = plan_route(graph, int(lane), 2.0, int(lane), 9.0)
    assert ahead.lanes.tolist() == [lane] and ahead.length_m == pytest.approx(7.0)
    if graph.name.startswith("Town"):
        behind = plan_route(graph, int(lane), 9.0, int(lane), 2.0)
        assert len(behind.lanes) > 2 and behind.length_m > 50.0


def test_random_routes_are_long_enough_and_repeat_no_lane(graph: LaneGraph) -> None:
    seen = set()
    for seed in range(20):
        route = random_route(graph, seed, 300.0, 600.0)
        assert_drivable(graph, route)
        assert 300.0 <= route.length_m <= 600.0
        assert len(set(route.lanes.tolist())) == len(route.lanes)
        assert graph.lane_junction[route.lanes[0]] < 0 and graph.lane_junction[route.lanes[-1]] < 0
        walked = sum(float(graph.lane_length_m[i]) for i in route.lanes[:-1]) - route.start_s_m + route.goal_s_m
        assert walked == pytest.approx(route.length_m, abs=0.01)
        again = random_route(graph, seed, 300.0, 600.0)
        assert again.lanes.tolist() == route.lanes.tolist() and again.goal_s_m == route.goal_s_m
        seen.add(tuple(route.lanes.tolist()))
    assert len(seen) > 15


def test_random_route_has_the_turns_asked_for() -> None:
    graph = graph_of(FILES[0])
    for seed in range(5):
        route = random_route(graph, seed, 400.0, 800.0, min_signals=2, need_left=True, need_right=True)
        turns = graph.lane_turn[route.lanes]
        assert 1 in turns and -1 in turns and (graph.lane_signal[route.lanes] >= 0).sum() >= 2


def test_no_route_says_what_was_asked() -> None:
    graph = graph_of(FILES[0])
    with pytest.raises(ValueError, match="99 lights"):
        random_route(graph, 1, 100.0, 200.0, min_signals=99)
    with pytest.raises(ValueError, match="expected a place"):
        plan_route(graph, graph.lanes, 0.0, 0, 0.0)
