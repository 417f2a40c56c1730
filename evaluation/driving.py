"""Steps of one drive -> the numbers of `ringroad drive`: status, driving scores, infractions, exposure, comfort.

Everything is counted from the truth, the events and the lane graph, never from what the driver believed or planned.
Driving score: the CARLA leaderboard's 1.0, 2.0 and 2.1 rules; comfort: Bench2Drive's. docs/scores.md has the formulas.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import savgol_filter

from stack.frames import F64
from stack.labels import Kind, LightState
from stack.lanegraph import STOREY_M, LaneGraph, Route
from stack.loop import TICK_S
from stack.messages import Actors, Ego, Event, EventKind, Step, Truth
from stack.vehicle import VehicleParams, load_vehicle

STANDING_MPS = 0.1
MOVING_MPS = 0.5  # ego and leader, to count as following
LINE_NEAR_M, LINE_PAST_M = 20.0, 5.0  # standing so far before or behind a red light's line is a stop at red
NEAR_VEHICLE_M, NEAR_PEDESTRIAN_M, LEADER_GAP_M = 30.0, 15.0, 40.0
TRAFFIC_M = 100.0  # the traffic whose speed is compared with the ego's
CHECKPOINTS = 4  # of the minimum speed, on a route
WINDOW_M = 40.0  # the ego is looked for so far ahead of its last place on the route

# kind: (factor in 1.0, factor in 2.0, coefficient in 2.1)
PENALTY: dict[EventKind, tuple[float, float, float]] = {
    EventKind.COLLISION_PEDESTRIAN: (0.50, 0.50, 1.00),
    EventKind.COLLISION_VEHICLE: (0.60, 0.60, 0.70),
    EventKind.COLLISION_STATIC: (0.65, 0.65, 0.60),
    EventKind.RED_LIGHT: (0.70, 0.70, 0.40),
    EventKind.STOP_SIGN: (0.80, 0.80, 0.25),
}
MIN_SPEED_20, MIN_SPEED_21 = 0.3, 0.4
STATUS_OF_END = {
    EventKind.ROUTE_DONE: "completed",
    EventKind.DEVIATED: "deviated",
    EventKind.BLOCKED: "blocked",
    EventKind.TIMED_OUT: "timed_out",
}
COLLISIONS = (EventKind.COLLISION_PEDESTRIAN, EventKind.COLLISION_VEHICLE, EventKind.COLLISION_STATIC)
VEHICLES = (int(Kind.CAR), int(Kind.TRUCK), int(Kind.CYCLIST))


def driving_scores(
    completion: float, kinds: Sequence[EventKind], outside_share: float, speed_shares: Sequence[float]
) -> dict[str, float]:
    """Driving score 0..100 by the leaderboard's 1.0, 2.0 and 2.1 rules.

    `completion`: 0..1 of the route. `kinds`: one for each infraction. `outside_share`: 0..1 of the distance driven
    outside the lanes. `speed_shares`: at each checkpoint passed, the ego's mean speed over the surrounding traffic's.
    """
    inside = 1.0 - min(max(outside_share, 0.0), 1.0)
    slow = [1.0 - min(share, 1.0) for share in speed_shares]
    counted = [PENALTY[kind] for kind in kinds if kind in PENALTY]
    first = inside * float(np.prod([factor for factor, _, _ in counted]))
    second = inside * float(np.prod([factor for _, factor, _ in counted]))
    second *= float(np.prod([1.0 - MIN_SPEED_20 * lack for lack in slow]))
    third = inside / (1.0 + sum(c for _, _, c in counted) + MIN_SPEED_21 * sum(slow))
    return {name: round(100.0 * completion * p, 4) for name, p in (("1.0", first), ("2.0", second), ("2.1", third))}


class RoutePath:
    """A route as one polyline, and a car's place on it. Distances in m from the route's start."""

    def __init__(self, graph: LaneGraph, route: Route) -> None:
        xy, z, s, yaw, half, begin = [], [], [], [], [], -route.start_s_m
        self.entries: list[tuple[float, int, int]] = []  # (distance of the stop line, signal, junction lane)
        self.junctions: list[float] = []  # where each stretch of junction lanes ends
        for i, lane in enumerate(int(k) for k in route.lanes):
            rows = slice(int(graph.lane_start[lane]), int(graph.lane_start[lane] + graph.lane_count[lane]))
            xy.append(np.stack([graph.x_m[rows], graph.y_m[rows]], axis=-1).astype(np.float64))
            z.append(graph.z_m[rows].astype(np.float64))
            s.append(begin + np.arange(int(graph.lane_count[lane])) * float(graph.lane_step_m[lane]))
            yaw.append(graph.yaw_rad[rows].astype(np.float64))
            half.append(0.5 * graph.width_m[rows].astype(np.float64))
            if i > 0 and graph.lane_signal[lane] >= 0:
                before = int(route.lanes[i - 1])
                setback = float(graph.lane_length_m[before] - graph.lane_stop_s_m[before])
                self.entries.append((begin - setback, int(graph.lane_signal[lane]), lane))
            following = int(route.lanes[i + 1]) if i + 1 < len(route.lanes) else -1
            if following in graph.successors(lane):  # a neighbour begins where this lane does
                begin += float(graph.lane_length_m[lane])
                if graph.lane_junction[lane] >= 0 and graph.lane_junction[following] < 0:
                    self.junctions.append(begin)
        self.xy_m: F64 = np.concatenate(xy)
        self.s_m: F64 = np.concatenate(s)
        self.z_m: F64 = np.concatenate(z)
        self.yaw_rad: F64 = np.concatenate(yaw)
        self.half_width_m: F64 = np.concatenate(half)
        self.at_m = 0.0

    def follow(self, x_m: float, y_m: float) -> float:
        """Distance of the nearest point of the route, sought about the last one."""
        rows = np.flatnonzero((self.s_m > self.at_m - 5.0) & (self.s_m < self.at_m + WINDOW_M))
        apart = np.hypot(self.xy_m[rows, 0] - x_m, self.xy_m[rows, 1] - y_m)
        if len(rows) and apart.min() < WINDOW_M:
            k = rows[np.argmin(apart)]
            dx, dy, yaw = x_m - self.xy_m[k, 0], y_m - self.xy_m[k, 1], self.yaw_rad[k]
            along = dx * np.cos(yaw) + dy * np.sin(yaw)
            self.at_m = float(self.s_m[k] + np.clip(along, -1.0, 1.0))
        return self.at_m

    def ahead(self, actors: Actors, reach_m: float) -> tuple[NDArray[np.bool_], F64]:
        """Which actors' centres are on the route's lane within `reach_m` ahead, heading its way, and how far along."""
        rows = np.flatnonzero((self.s_m > self.at_m) & (self.s_m < self.at_m + reach_m))
        if not len(rows) or not len(actors):
            return np.zeros(len(actors), bool), np.zeros(len(actors))
        delta = actors.xyz_m[:, None, :2] - self.xy_m[None, rows]
        apart = np.hypot(delta[..., 0], delta[..., 1])
        k = rows[np.argmin(apart, axis=1)]
        same_way = np.cos(actors.yaw_rad - self.yaw_rad[k]) > 0.5
        level = np.abs(actors.xyz_m[:, 2] - self.z_m[k]) < STOREY_M
        return level & (apart.min(axis=1) < self.half_width_m[k]) & same_way, self.s_m[k] - self.at_m


class Exposure:
    """What the drive had to deal with. `add` each truth, in order."""

    def __init__(self, graph: LaneGraph, route: Route, vehicle: VehicleParams) -> None:
        self.path, self.vehicle, self.route_m = RoutePath(graph, route), vehicle, route.length_m
        self.front_m = vehicle.centre_m + 0.5 * vehicle.length_m
        self.ticks, self.following_ticks = 0, 0
        self.red_stops: set[int] = set()  # indices into the path's entries
        self.vehicles_sum, self.vehicles_max = 0, 0
        self.pedestrians: set[int] = set()

    def add(self, truth: Truth) -> None:
        ego, actors = truth.ego, truth.actors
        self.ticks += 1
        self.path.follow(ego.pose.x_m, ego.pose.y_m)
        x = ego.pose.x_m + self.vehicle.centre_m * np.cos(ego.pose.yaw_rad)
        y = ego.pose.y_m + self.vehicle.centre_m * np.sin(ego.pose.yaw_rad)
        apart = np.hypot(actors.xyz_m[:, 0] - x, actors.xyz_m[:, 1] - y)
        apart[np.abs(actors.xyz_m[:, 2] - ego.pose.z_m) > STOREY_M] = np.inf  # not met: over or under a bridge
        near = int((np.isin(actors.kind, VEHICLES) & (apart < NEAR_VEHICLE_M)).sum())
        self.vehicles_sum, self.vehicles_max = self.vehicles_sum + near, max(self.vehicles_max, near)
        walkers = (actors.kind == Kind.PEDESTRIAN) & (apart < NEAR_PEDESTRIAN_M)
        self.pedestrians.update(int(k) for k in actors.id[walkers])
        self._red_stop(truth)
        self.following_ticks += self._follows(ego, actors)

    def _red_stop(self, truth: Truth) -> None:
        if abs(truth.ego.speed_mps) >= STANDING_MPS:
            return
        front = self.path.at_m + self.front_m
        for k, (line_m, signal, _) in enumerate(self.path.entries):
            if line_m > front - LINE_PAST_M:  # the next one
                if line_m - front < LINE_NEAR_M and truth.signal_state[signal] == LightState.RED:
                    self.red_stops.add(k)
                return

    def _follows(self, ego: Ego, actors: Actors) -> bool:
        if ego.speed_mps < MOVING_MPS:
            return False
        on_lane, ahead = self.path.ahead(actors, self.front_m + LEADER_GAP_M + 10.0)
        gap = ahead - self.front_m - 0.5 * actors.size_m[:, 0]
        moving = np.hypot(actors.velocity_mps[:, 0], actors.velocity_mps[:, 1]) > MOVING_MPS
        leads = on_lane & np.isin(actors.kind, VEHICLES) & (ahead > self.front_m) & (gap < LEADER_GAP_M) & moving
        return bool(leads.any())

    def result(self) -> dict[str, Any]:
        return {
            "route_m": round(self.route_m, 1),
            "red_light_stops": len(self.red_stops),
            "junctions": sum(end <= self.path.at_m for end in self.path.junctions),
            "vehicles_within_30m": round(self.vehicles_sum / max(self.ticks, 1), 2),
            "vehicles_within_30m_max": self.vehicles_max,
            "following_s": round(self.following_ticks * TICK_S, 2),
            "pedestrians_within_15m": len(self.pedestrians),
        }


class MinimumSpeed:
    """The ego's mean speed over that of the traffic around it, at each checkpoint of the route."""

    def __init__(self, route_m: float) -> None:
        self.step_m, self.next_m = route_m / CHECKPOINTS, route_m / CHECKPOINTS
        self.seen_moving: set[int] = set()  # parked vehicles are no traffic
        self.ego_sum, self.traffic_sum = 0.0, 0.0
        self.shares: list[float] = []

    def add(self, ego: Ego, actors: Actors, at_m: float) -> None:
        speed = np.hypot(actors.velocity_mps[:, 0], actors.velocity_mps[:, 1])
        near = np.hypot(actors.xyz_m[:, 0] - ego.pose.x_m, actors.xyz_m[:, 1] - ego.pose.y_m) < TRAFFIC_M
        rows = np.flatnonzero(near & np.isin(actors.kind, VEHICLES))
        self.seen_moving.update(int(k) for k in actors.id[rows[speed[rows] > MOVING_MPS]])
        traffic = [float(speed[k]) for k in rows if int(actors.id[k]) in self.seen_moving]
        if traffic:
            self.ego_sum += abs(ego.speed_mps)
            self.traffic_sum += sum(traffic) / len(traffic)
        if at_m >= self.next_m:
            self.close()

    def close(self) -> None:
        """A checkpoint has been passed."""
        self.shares.append(round(self.ego_sum / self.traffic_sum, 4) if self.traffic_sum > 0.0 else 1.0)
        self.ego_sum, self.traffic_sum = 0.0, 0.0
        self.next_m += self.step_m


def comfort(speed_mps: F64, lateral_mps: F64, yaw_rate_radps: F64, sample_s: float = TICK_S) -> float:
    """Share of 2 s chunks in which all six of Bench2Drive's comfort bounds hold; 1 where there is no full chunk.

    (N,) body-frame velocities and yaw rate every `sample_s`. Sampled at 10 Hz, smoothed and differentiated by
    Savitzky-Golay (window 7, order 2).
    """
    every = max(round(0.1 / sample_s), 1)
    dt = every * sample_s
    v, side, rate = (np.asarray(x, np.float64)[::every] for x in (speed_mps, lateral_mps, yaw_rate_radps))
    if len(v) < 20:
        return 1.0

    def smooth(x: F64, order: int = 0) -> F64:
        out: F64 = savgol_filter(x, 7, 2, deriv=order, delta=dt)
        return out

    ahead = smooth(v, 1) - smooth(rate) * smooth(side)  # acceleration in the body's axes
    across = smooth(side, 1) + smooth(rate) * smooth(v)
    jerk_ahead = smooth(ahead, 1) - smooth(rate) * across
    jerk_across = smooth(across, 1) + smooth(rate) * ahead
    good = (ahead > -4.05) & (ahead < 2.40) & (np.abs(across) < 4.89) & (np.hypot(jerk_ahead, jerk_across) < 8.37)
    good &= (np.abs(jerk_ahead) < 4.13) & (np.abs(smooth(rate, 1)) < 1.93) & (np.abs(smooth(rate)) < 0.95)
    chunks = good[: len(good) // 20 * 20].reshape(-1, 20)
    return float(chunks.all(axis=1).mean())


class DriveScore:
    """Takes the steps of one drive, in order; `result` gives the scores at any time."""

    def __init__(self, graph: LaneGraph, route: Route, vehicle: VehicleParams | None = None) -> None:
        """`vehicle`: the ego's; the sedan by default."""
        self.exposure = Exposure(graph, route, vehicle or load_vehicle("sedan"))
        self.minimum_speed = MinimumSpeed(route.length_m)
        self.ticks, self.interventions, self.driven_m, self.outside_m = 0, 0, 0.0, 0.0
        self.events: list[Event] = []
        self.motion: list[tuple[float, float, float]] = []  # speed, lateral speed, yaw rate
        self.status = "crashed"  # until an event says how it ended: the run broke off

    def add(self, step: Step) -> None:
        truth, ego = step.truth, step.truth.ego
        self.ticks += 1
        self.interventions += bool(step.command.intervention)
        self.driven_m += float(np.hypot(ego.speed_mps, ego.lateral_mps)) * TICK_S
        self.motion.append((ego.speed_mps, ego.lateral_mps, ego.yaw_rate_radps))
        self.exposure.add(truth)
        self.minimum_speed.add(ego, truth.actors, self.exposure.path.at_m)
        for event in step.events:
            self._note(event)

    def _note(self, event: Event) -> None:
        if event.kind in STATUS_OF_END:
            self.status = STATUS_OF_END[event.kind]
        if event.kind is EventKind.ROUTE_DONE and len(self.minimum_speed.shares) < CHECKPOINTS:
            self.minimum_speed.close()
        if event.kind is EventKind.OUTSIDE_LANES:
            self.outside_m += event.value
        if event.kind is not EventKind.ROUTE_DONE:
            self.events.append(event)

    def result(self, progress: float | None = None) -> dict[str, Any]:
        """The scores of `ringroad drive`; `progress` 0..1 is the share of the route completed, None: as seen here."""
        if progress is None:
            done = self.exposure.path.at_m / max(self.exposure.route_m, 1e-6)
            progress = 1.0 if self.status == "completed" else float(np.clip(done, 0.0, 1.0))
        kinds = [event.kind for event in self.events]
        status = "perfect" if self.status == "completed" and not kinds else self.status
        outside = self.outside_m / self.driven_m if self.driven_m > 0.0 else 0.0
        collided = any(kind in COLLISIONS for kind in kinds)
        columns = np.array(self.motion, np.float64).reshape(-1, 3).T
        return {
            "status": status,
            "clean": status in ("perfect", "completed") and not collided and EventKind.RED_LIGHT not in kinds,
            "route_completion": round(progress, 4),
            "driving_score": driving_scores(progress, kinds, outside, self.minimum_speed.shares),
            "infractions": [
                {"kind": str(e.kind), "tick": e.tick, "time_s": round(e.time_s, 3), "other": e.other,
                 "at_fault": e.at_fault}
                for e in self.events
            ],
            "exposure": {**self.exposure.result(), "driven_m": round(self.driven_m, 1)},
            "interventions": self.interventions,
            "comfort": round(comfort(*columns), 4),
            "outside_share": round(outside, 4),
            "speed_of_traffic": self.minimum_speed.shares,
            "ticks": self.ticks,
            "sim_s": round(self.ticks * TICK_S, 3),
        }  # fmt: skip
