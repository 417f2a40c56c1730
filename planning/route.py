"""Routes on the lane graph: A* between two places, and random walks for training and for drives without a scenario.

A* (Hart, Nilsson, Raphael 1968) over lanes; the cost is the time at the speed limit plus CHANGE_S for each lane
change, the heuristic the straight line at the map's highest limit. Lanes of one section lie side by side, so a lane
change costs no distance.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from stack.lanegraph import LaneGraph, Route
from stack.scenearrays import ROUTE_LANES
from stack.seeds import Stream, uniforms

CHANGE_S = 6.0  # worth a detour of 80 m at 50 km/h
U_TURN_RAD = 2.6  # a junction lane that turns by more leads back
ATTEMPTS = 400
MIN_START_LANE_M = 15.0
END_MARGIN_M = 5.0  # a goal lies so far from its lane's ends, where the lane is long enough


@dataclass(frozen=True)
class _Search:
    graph: LaneGraph
    start_lane: int
    start_s_m: float
    goal_lane: int
    goal_s_m: float

    def heuristic_s(self, lane: int, fastest_mps: float) -> float:
        graph = self.graph
        goal = graph.lane_start[self.goal_lane] + int(self.goal_s_m / graph.lane_step_m[self.goal_lane])
        here = graph.lane_start[lane]
        return float(np.hypot(graph.x_m[goal] - graph.x_m[here], graph.y_m[goal] - graph.y_m[here])) / fastest_mps

    def moves(self, lane: int, first: bool) -> list[tuple[int, bool, float]]:
        """(lane, still in the first section, s) of each way on."""
        graph = self.graph
        length = float(graph.lane_length_m[lane]) - (self.start_s_m if first else 0.0)
        out = [(int(n), False, max(length, 0.0) / float(graph.lane_limit_mps[lane])) for n in graph.successors(lane)]
        if graph.lane_left[lane] >= 0 and graph.lane_change_left[lane]:
            out.append((int(graph.lane_left[lane]), first, CHANGE_S))
        if graph.lane_right[lane] >= 0 and graph.lane_change_right[lane]:
            out.append((int(graph.lane_right[lane]), first, CHANGE_S))
        return out


def plan_route(graph: LaneGraph, start_lane: int, start_s_m: float, goal_lane: int, goal_s_m: float) -> Route:
    """The quickest route; distances along the lanes in m. ValueError where there is none, or it has too many lanes."""
    for lane, s in ((start_lane, start_s_m), (goal_lane, goal_s_m)):
        if not 0 <= lane < graph.lanes or not 0.0 <= s <= float(graph.lane_length_m[lane]) + 0.01:
            raise ValueError(f"route on {graph.name}: found lane {lane} at {s:.1f} m, expected a place on one of "
                             f"{graph.lanes} lanes")  # fmt: skip
    search = _Search(graph, start_lane, start_s_m, goal_lane, goal_s_m)
    lanes = _a_star(search)
    ends = f"from {_place(graph, start_lane, start_s_m)} to {_place(graph, goal_lane, goal_s_m)}"
    if lanes is None:
        raise ValueError(f"route on {graph.name}: found no way {ends}, expected the goal to be reachable")
    if len(lanes) > ROUTE_LANES:
        raise ValueError(f"route on {graph.name}: found {len(lanes)} lanes {ends}, expected at most {ROUTE_LANES}")
    return _route(graph, lanes, start_s_m, goal_s_m)


def _a_star(search: _Search) -> list[int] | None:
    fastest = float(search.graph.lane_limit_mps.max())
    start = (search.start_lane, True)
    best: dict[tuple[int, bool], float] = {start: 0.0}
    came: dict[tuple[int, bool], tuple[int, bool]] = {}
    queue = [(search.heuristic_s(search.start_lane, fastest), 0.0, start)]
    while queue:
        _, cost, node = heapq.heappop(queue)
        if cost > best[node]:
            continue
        lane, first = node
        if lane == search.goal_lane and (not first or search.goal_s_m >= search.start_s_m):
            return _trace(came, node)
        for other, still_first, step_s in search.moves(lane, first):
            following = (other, still_first)
            total = cost + step_s
            if total < best.get(following, np.inf):
                best[following], came[following] = total, node
                heapq.heappush(queue, (total + search.heuristic_s(other, fastest), total, following))
    return None


def _trace(came: dict[tuple[int, bool], tuple[int, bool]], node: tuple[int, bool]) -> list[int]:
    lanes = [node[0]]
    while node in came:
        node = came[node]
        lanes.append(node[0])
    return lanes[::-1]


def _place(graph: LaneGraph, lane: int, s_m: float) -> str:
    road, _, id_ = graph.lane_key[lane]
    return f"road {road} lane {id_} at {s_m:.1f} m"


def _route(graph: LaneGraph, lanes: list[int], start_s_m: float, goal_s_m: float) -> Route:
    """Lanes beside one another count once."""
    length = goal_s_m - start_s_m
    for lane, following in pairwise(lanes):
        if following in graph.successors(lane):
            length += float(graph.lane_length_m[lane])
    return Route(np.array(lanes, dtype=np.int32), start_s_m, goal_s_m, length)


def random_route(graph: LaneGraph, seed: int, min_m: float, max_m: float, *, min_signals: int = 0,
                 need_left: bool = False, need_right: bool = False) -> Route:  # fmt: skip
    """A walk along successors from a random place, min_m to max_m long; no U-turn, no lane twice.

    Keyed (seed, Stream.ROUTE). ValueError where none of ATTEMPTS walks fits."""
    starts = np.flatnonzero(
        (graph.lane_junction < 0) & (graph.lane_length_m >= MIN_START_LANE_M) & (graph.succ_count > 0)
    )
    if len(starts) == 0:
        starts = np.flatnonzero(graph.lane_junction < 0)
    weights = np.cumsum(graph.lane_length_m[starts].astype(np.float64))
    for attempt in range(ATTEMPTS if len(starts) else 0):
        chance = uniforms(seed, Stream.ROUTE, tick=attempt, n=ROUTE_LANES + 3).astype(np.float64)
        first = int(starts[np.searchsorted(weights, chance[0] * weights[-1], side="right")])
        route = _walk(graph, first, chance[1:], min_m, max_m)
        if route is None:
            continue
        inner = route.lanes[1:]
        turns, signals = graph.lane_turn[inner], int((graph.lane_signal[inner] >= 0).sum())
        if signals >= min_signals and not (need_left and 1 not in turns) and not (need_right and -1 not in turns):
            return route
    wishes = f"{min_signals} lights" + ", a left turn" * need_left + ", a right turn" * need_right
    raise ValueError(
        f"route on {graph.name}: found none of {min_m:.0f} to {max_m:.0f} m with {wishes} in {ATTEMPTS} walks"
    )


def _walk(graph: LaneGraph, lane: int, chance: np.ndarray, min_m: float, max_m: float) -> Route | None:
    room = max(float(graph.lane_length_m[lane]) - 2.0 * END_MARGIN_M, 0.0)
    start_s = min(END_MARGIN_M + float(chance[0]) * room, float(graph.lane_length_m[lane]))
    target = min_m + float(chance[1]) * (max_m - min_m)
    lanes, done = [lane], -start_s  # done: metres from the start to the last lane's beginning
    for pick in chance[2:]:
        lane = lanes[-1]
        length = float(graph.lane_length_m[lane])
        if graph.lane_junction[lane] < 0 and done + length >= target:
            low, high = min(END_MARGIN_M, 0.5 * length), max(length - END_MARGIN_M, 0.5 * length)
            goal_s = float(np.clip(target - done, low, high))
            fits = min_m <= done + goal_s <= max_m and (len(lanes) > 1 or goal_s > start_s)
            return _route(graph, lanes, start_s, goal_s) if fits else None
        ways = [
            int(n) for n in graph.successors(lane) if n not in lanes and _heading_change(graph, int(n)) < U_TURN_RAD
        ]
        if not ways or len(lanes) == ROUTE_LANES:
            return None
        done += length
        lanes.append(ways[int(float(pick) * len(ways))])
    return None


def _heading_change(graph: LaneGraph, lane: int) -> float:
    """Size of the heading change along a junction lane, rad; 0 outside junctions, where roads may curve at will."""
    if graph.lane_junction[lane] < 0:
        return 0.0
    rows = slice(graph.lane_start[lane], graph.lane_start[lane] + graph.lane_count[lane])
    return float(np.abs(graph.curvature_1pm[rows].astype(np.float64).sum() * graph.lane_step_m[lane]))
