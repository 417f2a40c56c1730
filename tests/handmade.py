"""Lane graphs and scenes made by hand, for tests of planning and control."""

from __future__ import annotations

from typing import Any

import numpy as np

from stack.frames import Pose
from stack.labels import Kind
from stack.lanegraph import LaneGraph, Route
from stack.messages import Actors, Ego, Scene
from stack.scenearrays import RouteArrays, allocate

I, F, U = np.int32, np.float32, np.uint8


def line(x0: float, y0: float, x1: float, y1: float, n: int = 0) -> Any:
    n = n or int(np.hypot(x1 - x0, y1 - y0)) + 1
    return np.stack([np.linspace(x0, x1, n), np.linspace(y0, y1, n)], axis=-1)


def arc(x0: float, y0: float, yaw: float, radius: float, angle: float) -> Any:
    """Points of an arc that starts at (x0, y0); radius and angle are positive to the left."""
    a = np.linspace(0.0, angle, int(abs(radius * angle)) + 2)
    sign = np.sign(angle)
    r = abs(radius) * sign
    return np.stack([x0 + r * (np.sin(yaw + a) - np.sin(yaw)), y0 - r * (np.cos(yaw + a) - np.cos(yaw))], axis=-1)


def make_graph(
    polylines: list[Any], successors: dict[int, list[int]] | None = None, signals: int = 0,
    conflicts: list[tuple[int, int, float, float, float, float, int]] = (), **columns: dict[int, Any],
) -> LaneGraph:  # fmt: skip
    """Lanes from evenly spaced (n, 2) polylines; conflicts as (lane, other, from, to, other from, other to, rank)."""
    n = len(polylines)
    lengths = np.array([np.linalg.norm(np.diff(p, axis=0), axis=1).sum() for p in polylines], F)
    counts = np.array([len(p) for p in polylines], I)
    yaws, bends = [], []
    for p, length in zip(polylines, lengths, strict=True):
        d = np.gradient(p, axis=0, edge_order=2 if len(p) > 2 else 1)
        yaw = np.unwrap(np.arctan2(d[:, 1], d[:, 0]))
        yaws.append((yaw + np.pi) % (2 * np.pi) - np.pi)
        bends.append(np.gradient(yaw, length / (len(p) - 1)))
    points = int(counts.sum())
    out: dict[str, Any] = {
        "name": "handmade",
        "lane_key": tuple((f"{lane}", 0, -1) for lane in range(n)),
        "lane_start": np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(I),
        "lane_count": counts,
        "lane_step_m": (lengths / (counts - 1)).astype(F),
        "lane_length_m": lengths,
        "lane_limit_mps": np.full(n, 13.9, F),
        "lane_stop_s_m": lengths - F(1.0),
        "x_m": np.concatenate([p[:, 0] for p in polylines]).astype(F),
        "y_m": np.concatenate([p[:, 1] for p in polylines]).astype(F),
        "yaw_rad": np.concatenate(yaws).astype(F),
        "curvature_1pm": np.concatenate(bends).astype(F),
        "width_m": np.full(points, 3.5, F),
    }
    for name in ("z_m", "pitch_rad"):
        out[name] = np.zeros(points, F)
    for name in ("lane_left", "lane_right", "lane_junction", "lane_signal"):
        out[name] = np.full(n, -1, I)
    out["lane_turn"] = np.zeros(n, I)
    for name in ("lane_sign", "lane_change_left", "lane_change_right"):
        out[name] = np.zeros(n, U)
    links = {a: list(bs) for a, bs in (successors or {}).items()}
    back = {b: [a for a, bs in links.items() if b in bs] for b in range(n)}
    for name, table in (("succ", links), ("pred", back)):
        rows = [table.get(lane, []) for lane in range(n)]
        out[f"{name}_count"] = np.array([len(r) for r in rows], I)
        out[f"{name}_start"] = (np.cumsum(out[f"{name}_count"]) - out[f"{name}_count"]).astype(I)
        out[name] = np.array([x for r in rows for x in r], I)
    rows = sorted(conflicts, key=lambda c: c[0])
    out["conflict_count"] = np.array([sum(c[0] == lane for c in rows) for lane in range(n)], I)
    out["conflict_start"] = (np.cumsum(out["conflict_count"]) - out["conflict_count"]).astype(I)
    names = (
        "conflict_lane",
        "conflict_from_m",
        "conflict_to_m",
        "conflict_other_from_m",
        "conflict_other_to_m",
        "conflict_rank",
    )
    for column, name in enumerate(names, 1):
        out[name] = np.array([c[column] for c in rows], I if name in ("conflict_lane", "conflict_rank") else F)
    out["signal_id"] = tuple(str(s) for s in range(signals))
    out["signal_junction"] = np.zeros(signals, I)
    for name in ("signal_cycle_s", "signal_green_from_s", "signal_green_s"):
        out[name] = np.full(signals, 20.0, F)
    for name, dtype in (("head_signal", I), ("sign_kind", U), ("crosswalk_lane", I), ("crosswalk_index", I),
                        ("crosswalk_from_m", F), ("crosswalk_to_m", F), ("walk_start", I), ("walk_count", I),
                        ("head_yaw_rad", float), ("sign_yaw_rad", float), ("park_yaw_rad", float)):  # fmt: skip
        out[name] = np.zeros(0, dtype)
    for name in ("head_xyz_m", "sign_xyz_m", "walk_xyz_m", "park_xyz_m"):
        out[name] = np.zeros((0, 3))
    out["crosswalk_xyz_m"] = np.zeros((0, 4, 3))
    for name, values in columns.items():
        if name == "lane_key":
            out[name] = tuple(values.get(lane, key) for lane, key in enumerate(out[name]))
            continue
        for lane, value in values.items():
            out[name][lane] = value
    return LaneGraph(**out)


def make_route(graph: LaneGraph, lanes: list[int], start_s_m: float = 0.0, goal_s_m: float | None = None) -> Route:
    goal = float(graph.lane_length_m[lanes[-1]]) if goal_s_m is None else goal_s_m
    return Route(np.array(lanes, I), start_s_m, goal, float(graph.lane_length_m[lanes].sum()) - start_s_m)


def route_arrays(routes: list[Route], device: str = "cpu") -> Any:
    arrays = allocate(RouteArrays, len(routes), 0, device)
    lane = np.full(arrays.lane.shape, -1, I)
    for w, route in enumerate(routes):
        lane[w, : len(route.lanes)] = route.lanes
    arrays.lane.assign(lane)
    arrays.start_s_m.assign(np.array([r.start_s_m for r in routes], F))
    arrays.goal_s_m.assign(np.array([r.goal_s_m for r in routes], F))
    return arrays


def actors(rows: list[tuple[Any, ...]]) -> Actors:
    """Actors from (kind, x, y, yaw, speed[, length, width])."""
    n = len(rows)
    if n == 0:
        return Actors.empty()
    size = {Kind.PEDESTRIAN: (0.5, 0.5, 1.75), Kind.CAR: (4.5, 1.9, 1.5), Kind.PROP: (2.0, 1.5, 1.0)}
    yaw = np.array([r[3] for r in rows], float)
    speed = np.array([r[4] for r in rows], float)
    return Actors(
        id=np.arange(n, dtype=I),
        kind=np.array([r[0] for r in rows], U),
        xyz_m=np.array([(r[1], r[2], 0.0) for r in rows], float),
        yaw_rad=yaw,
        velocity_mps=np.stack([speed * np.cos(yaw), speed * np.sin(yaw)], axis=-1),
        yaw_rate_radps=np.zeros(n),
        size_m=np.array([(*r[5:7], 1.5) if len(r) > 5 else size.get(r[0], (4.5, 1.9, 1.5)) for r in rows], float),
        confidence=np.ones(n),
        covariance=np.zeros((n, 4, 4)),
    )


def make_scene(
    tick: int, x: float, y: float, yaw: float, speed: float, tracks: Any = (), signals: Any = (),
    accel: float = 0.0, wheel_angle: float = 0.0,
) -> Scene:  # fmt: skip
    ego = Ego(Pose(x, y, 0.0, yaw), speed, 0.0, 0.0, accel, wheel_angle, np.zeros((5, 5)))
    return Scene(tick, tick * 0.05, ego, actors(list(tracks)), np.array(signals, U), np.ones(len(signals), F), (), ())
