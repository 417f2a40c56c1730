"""Watches one drive tick by tick and says what came of it: infractions, collisions with their fault, progress, the end.

Definitions follow the CARLA leaderboard (2.x) and, for fault, nuPlan; docs/scores.md has them all. Red light: the front
bumper crosses the line on red, or a car that paused beyond the line goes on into the junction on red. Stop sign: not below
0.1 m/s within 4 m of the line before the box centre enters the junction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from stack.frames import F64, wrap
from stack.labels import Kind, LightState, Sign
from stack.lanegraph import STOREY_M, LaneGraph, Route
from stack.loop import TICK_S, Scenario
from stack.messages import Ego, Event, EventKind, Truth
from stack.vehicle import VehicleParams, load_vehicle

STANDING_MPS = 0.1
SAME_ACTOR_S, SAME_PLACE_M = 5.0, 5.0  # a collision this soon or near is the same one
STOP_ZONE_M = 4.0
PAUSED_MPS = 0.5  # who was slower than this beyond the line waits there for green; others are on their way
OUTSIDE_MARGIN_M = 0.5  # beyond the lane's edge
OUTSIDE_REPORT_M = 5.0
OFF_ROUTE_M, OFF_ROUTE_LONG_M, OFF_ROUTE_SHARE = 30.0, 15.0, 0.3
BLOCKED_S = 180.0
TIME_OUT_S, TIME_OUT_SPM = 300.0, 0.8  # at the start, and more for each metre of progress
GOAL_M = 10.0
STOPPED_MPS = 0.05  # nuPlan: an object slower than this is stopped


@dataclass(frozen=True)
class Hit:
    """A contact of the ego in one tick."""

    other: int  # actor id, or -2 for scenery
    speed_mps: float  # closing
    x_m: float  # where, in the world frame
    y_m: float


class RouteProgress:
    """Follows a car along a route. Distances in m from the route's start; changing lanes neither gains nor loses."""

    def __init__(self, graph: LaneGraph, route: Route) -> None:
        self.graph, self.route = graph, route
        lanes = [int(k) for k in route.lanes]
        self.offset_m = np.zeros(len(lanes))
        self.offset_m[0] = -route.start_s_m
        for i, (a, b) in enumerate(pairwise(lanes)):
            step = float(graph.lane_length_m[a]) if b in graph.successors(a) else 0.0
            self.offset_m[i + 1] = self.offset_m[i] + step
        self.total_m = float(self.offset_m[-1] + route.goal_s_m)
        self.points = np.concatenate([graph.points(k) for k in lanes]).astype(np.float64)
        self.index, self.done_m = 0, 0.0
        self.apart_m = 0.0  # from the nearest point of the route

    def follow(self, x_m: float, y_m: float, yaw_rad: float, z_m: float) -> None:
        """Take note of the car's place; progress only grows."""
        level = np.abs(self.points[:, 2] - z_m) < STOREY_M
        away = np.hypot(self.points[:, 0] - x_m, self.points[:, 1] - y_m)
        self.apart_m = float(away[level].min(initial=np.inf))
        best, best_cost, best_s = self.index, np.inf, 0.0
        for i in range(max(self.index - 1, 0), min(self.index + 5, len(self.route.lanes))):
            lane = int(self.route.lanes[i])
            s, d, turned = project(self.graph, lane, x_m, y_m, yaw_rad)
            over = max(-s, s - float(self.graph.lane_length_m[lane]), 0.0)
            cost = abs(d) + 2.0 * over + (20.0 if abs(turned) > 0.5 * np.pi else 0.0)
            if cost < best_cost - 1e-3:
                best, best_cost, best_s = i, cost, s
        if best_cost < OFF_ROUTE_LONG_M:
            self.index = best
            best_s = float(np.clip(best_s, 0.0, self.graph.lane_length_m[int(self.route.lanes[best])]))
            self.done_m = float(np.clip(self.offset_m[best] + best_s, self.done_m, self.total_m))


def project(graph: LaneGraph, lane: int, x_m: float, y_m: float, yaw_rad: float) -> tuple[float, float, float]:
    """Distance along the lane (past its ends too), offset to the left, and heading relative to it, of a pose."""
    first, count = int(graph.lane_start[lane]), int(graph.lane_count[lane])
    rows = slice(first, first + count)
    k = first + int(np.argmin((graph.x_m[rows] - x_m) ** 2 + (graph.y_m[rows] - y_m) ** 2))
    dx, dy, yaw = x_m - float(graph.x_m[k]), y_m - float(graph.y_m[k]), float(graph.yaw_rad[k])
    s = (k - first) * float(graph.lane_step_m[lane]) + dx * np.cos(yaw) + dy * np.sin(yaw)
    return float(s), float(dy * np.cos(yaw) - dx * np.sin(yaw)), float(wrap(yaw_rad - yaw))


class Referee:
    """One for each drive. `observe` each tick, in order; then `done` and `progress` (0..1 of the route) hold."""

    def __init__(self, scenario: Scenario, vehicle: VehicleParams | None = None) -> None:
        """`vehicle`: the ego's; the sedan by default."""
        self.graph = scenario.graph
        self.route = RouteProgress(scenario.graph, scenario.route)
        self.vehicle = vehicle or load_vehicle("sedan")
        self.done = False
        self._last_xy: tuple[float, float] | None = None
        self._last_hit_s: dict[int, float] = {}
        self._last_hit_xy: tuple[float, float] | None = None
        self._entry = -1  # junction lane ahead
        self._line_gap_m = np.inf
        self._stopped = False  # at that lane's stop sign
        self._paused = False  # beyond that lane's line
        self._fined = False  # for that lane
        self._outside_m, self._off_route_m, self._standing_s = 0.0, 0.0, 0.0

    @property
    def progress(self) -> float:
        """Share of the route completed."""
        return self.route.done_m / max(self.route.total_m, 1e-6)

    def observe(self, truth: Truth, hits: Sequence[Hit] = ()) -> tuple[Event, ...]:
        """What has happened since the last tick. After the end: nothing more."""
        if self.done:
            return ()
        ego, time_s = truth.ego, truth.tick * TICK_S
        x, y = ego.pose.x_m, ego.pose.y_m
        moved = 0.0 if self._last_xy is None else float(np.hypot(x - self._last_xy[0], y - self._last_xy[1]))
        self._last_xy = (x, y)
        self.route.follow(x, y, ego.pose.yaw_rad, ego.pose.z_m)
        found = [
            *self._collisions(truth, hits, time_s),
            *self._junctions(truth),
            *self._end(ego, moved, time_s),
        ]
        found += self._lanes(ego, moved)  # last: it closes its account at the end
        return tuple(Event(kind, truth.tick, time_s, other, at_fault, value) for kind, other, at_fault, value in found)

    def _collisions(self, truth: Truth, hits: Sequence[Hit], time_s: float) -> list[tuple[EventKind, str, bool, float]]:
        out = []
        ego = truth.ego
        for hit in hits:
            again = time_s - self._last_hit_s.get(hit.other, -np.inf) < SAME_ACTOR_S
            self._last_hit_s[hit.other] = time_s
            near = (
                self._last_hit_xy is not None
                and np.hypot(hit.x_m - self._last_hit_xy[0], hit.y_m - self._last_hit_xy[1]) < SAME_PLACE_M
            )
            if again or near or np.hypot(ego.speed_mps, ego.lateral_mps) < STANDING_MPS:
                continue
            self._last_hit_xy = (hit.x_m, hit.y_m)
            rows = np.flatnonzero(truth.actors.id == hit.other)
            kind = int(truth.actors.kind[rows[0]]) if len(rows) else int(Kind.PROP)
            speed = float(np.hypot(*truth.actors.velocity_mps[rows[0]])) if len(rows) else 0.0
            event = {
                int(Kind.PEDESTRIAN): EventKind.COLLISION_PEDESTRIAN, int(Kind.PROP): EventKind.COLLISION_STATIC
            }.get(kind, EventKind.COLLISION_VEHICLE)  # fmt: skip
            name = f"{Kind(kind).name.lower()} {hit.other}" if len(rows) else "scenery"
            out.append((event, name, self._at_fault(ego, hit, speed), hit.speed_mps))
        return out

    def _at_fault(self, ego: Ego, hit: Hit, other_mps: float) -> bool:
        """nuPlan: hits something that stands, hits with the front, or sideways while not inside one lane."""
        if other_mps < STOPPED_MPS:
            return True
        dx, dy, yaw = hit.x_m - ego.pose.x_m, hit.y_m - ego.pose.y_m, ego.pose.yaw_rad
        ahead = (dx * np.cos(yaw) + dy * np.sin(yaw) - self.vehicle.centre_m) / (0.5 * self.vehicle.length_m)
        side = abs(dy * np.cos(yaw) - dx * np.sin(yaw)) / (0.5 * self.vehicle.width_m)
        if ahead > 0.9 or ahead > side:
            return True
        return not (ahead < -0.9 or -ahead > side) and not self._inside_one_lane(ego)

    def _inside_one_lane(self, ego: Ego) -> bool:
        p, yaw = self.vehicle, ego.pose.yaw_rad
        lane, _, _ = self.graph.nearest(ego.pose.x_m, ego.pose.y_m, yaw, z_m=ego.pose.z_m)
        for a in (p.centre_m - 0.5 * p.length_m, p.centre_m + 0.5 * p.length_m):
            for b in (-0.5 * p.width_m, 0.5 * p.width_m):
                x = ego.pose.x_m + a * np.cos(yaw) - b * np.sin(yaw)
                y = ego.pose.y_m + a * np.sin(yaw) + b * np.cos(yaw)
                s, d, _ = project(self.graph, lane, x, y, yaw)
                at = self.graph.lane_start[lane] + int(
                    np.clip(round(s / self.graph.lane_step_m[lane]), 0, self.graph.lane_count[lane] - 1)
                )
                if abs(d) > 0.5 * float(self.graph.width_m[at]):
                    return False
        return True

    def _next_entry(self, ego: Ego) -> tuple[int, float, float]:
        """Junction lane ahead (-1: none near); how far the front bumper is from its line, the centre from its start."""
        graph, front = self.graph, self.vehicle.centre_m + 0.5 * self.vehicle.length_m
        lane = int(self.route.route.lanes[self.route.index])
        s, d, turned = project(graph, lane, ego.pose.x_m, ego.pose.y_m, ego.pose.yaw_rad)
        on_route = abs(d) < 6.0 and abs(turned) < 0.5 * np.pi and s < float(graph.lane_length_m[lane]) + 1.0
        index = self.route.index
        if not on_route:
            lane, s, _ = graph.nearest(ego.pose.x_m, ego.pose.y_m, ego.pose.yaw_rad, z_m=ego.pose.z_m)
        left = -s
        while left < 60.0:
            left += float(graph.lane_length_m[lane])
            after = graph.successors(lane)
            if not len(after):
                break
            ahead = int(after[0])
            if on_route:
                index += 1
                while index < len(self.route.route.lanes) and int(self.route.route.lanes[index]) not in after:
                    # a lane change on the way: go on from the neighbour
                    lane, index = int(self.route.route.lanes[index]), index + 1
                    after = graph.successors(lane)
                if index >= len(self.route.route.lanes):
                    break
                ahead = int(self.route.route.lanes[index])
            if graph.lane_junction[ahead] >= 0 and graph.lane_junction[lane] < 0:
                setback = float(graph.lane_length_m[lane] - graph.lane_stop_s_m[lane])
                return ahead, left - setback - front, left - self.vehicle.centre_m
            lane = ahead
        return -1, np.inf, np.inf

    def _junctions(self, truth: Truth) -> list[tuple[EventKind, str, bool, float]]:
        ego = truth.ego
        entry, line_m, centre_m = self._next_entry(ego)
        out: list[tuple[EventKind, str, bool, float]] = []
        if entry != self._entry:  # the origin is past the start of the old one, or another way was taken
            if self._entry >= 0 and self._line_gap_m < 1.0:
                out += self._judge(truth, self._entry, -1.0, -1.0)
            self._entry, self._line_gap_m = entry, line_m
            self._stopped = self._paused = self._fined = False
        if entry >= 0:
            out += self._judge(truth, entry, line_m, centre_m)
        return out

    def _judge(
        self, truth: Truth, entry: int, line_m: float, centre_m: float
    ) -> list[tuple[EventKind, str, bool, float]]:
        speed = abs(truth.ego.speed_mps)
        signal = int(self.graph.lane_signal[entry])
        red = signal >= 0 and truth.signal_state[signal] == LightState.RED
        if line_m < STOP_ZONE_M and speed < STANDING_MPS:
            self._stopped = True
        crosses = self._line_gap_m > 0.0 >= line_m
        self._line_gap_m = line_m
        if line_m <= 0.0 < centre_m and speed < PAUSED_MPS:
            self._paused = True
        if red and not self._fined and (crosses or (self._paused and centre_m <= 0.0)):
            self._fined = True
            return [(EventKind.RED_LIGHT, f"signal {signal}", True, speed)]
        stop = signal < 0 and self.graph.lane_sign[entry] == Sign.STOP
        if stop and centre_m <= 0.0 and not self._stopped and not self._fined:
            self._fined = True
            return [(EventKind.STOP_SIGN, f"lane {entry}", True, speed)]
        return []

    def _lanes(self, ego: Ego, moved_m: float) -> list[tuple[EventKind, str, bool, float]]:
        """Metres driven beside all lanes, or against the flow outside junctions; told when back, or every few."""
        x, y, yaw = ego.pose.x_m, ego.pose.y_m, ego.pose.yaw_rad
        x += self.vehicle.centre_m * np.cos(yaw)
        y += self.vehicle.centre_m * np.sin(yaw)
        lane, s, d = self.graph.nearest(x, y, z_m=ego.pose.z_m)
        at = self.graph.lane_start[lane] + min(int(s / self.graph.lane_step_m[lane]), self.graph.lane_count[lane] - 1)
        beside = abs(d) > 0.5 * float(self.graph.width_m[at]) + OUTSIDE_MARGIN_M
        against = self.graph.lane_junction[lane] < 0 and np.cos(yaw - float(self.graph.yaw_rad[at])) < -0.5
        if beside or against:
            self._outside_m += moved_m
        if self._outside_m > OUTSIDE_REPORT_M or (self._outside_m > 0.0 and (self.done or not (beside or against))):
            value, self._outside_m = self._outside_m, 0.0
            return [(EventKind.OUTSIDE_LANES, "", True, value)]
        return []

    def _end(self, ego: Ego, moved_m: float, time_s: float) -> list[tuple[EventKind, str, bool, float]]:
        route = self.route
        self._standing_s = self._standing_s + TICK_S if abs(ego.speed_mps) < STANDING_MPS else 0.0
        self._off_route_m += moved_m if route.apart_m > OFF_ROUTE_LONG_M else 0.0
        reason = None
        if route.total_m - route.done_m < GOAL_M and route.apart_m < OFF_ROUTE_LONG_M:
            reason = EventKind.ROUTE_DONE
            route.done_m = route.total_m
        elif route.apart_m > OFF_ROUTE_M or self._off_route_m > OFF_ROUTE_SHARE * route.total_m:
            reason = EventKind.DEVIATED
        elif self._standing_s > BLOCKED_S:
            reason = EventKind.BLOCKED
        elif time_s > TIME_OUT_S + TIME_OUT_SPM * route.done_m:
            reason = EventKind.TIMED_OUT
        self.done = reason is not None
        return [(reason, "", True, self.progress)] if reason is not None else []


class Refereed:
    """The part of a `World` that its referee answers; `reset` and `step` of the world set both."""

    referee: Referee
    _events: tuple[Event, ...] = ()

    @property
    def done(self) -> bool:
        return self.referee.done

    @property
    def progress(self) -> float:
        """Share of the route completed."""
        return self.referee.progress

    def events(self) -> tuple[Event, ...]:
        """Of the newest tick."""
        return self._events


def hits_of_ego(columns: dict[str, F64], row: int = 0) -> tuple[Hit, ...]:
    """The ego's contact of this tick from the state's `hit_*` columns of its world; actor ids are rows."""
    other = int(columns["hit_other"][row])
    if other == -1:
        return ()
    return (Hit(other, *(float(columns[f"hit_{name}"][row]) for name in ("speed_mps", "x_m", "y_m"))),)
