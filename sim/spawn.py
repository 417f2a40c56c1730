"""Where everybody is at the start of a drive: rows of state columns for the ego, traffic and pedestrians.

Deterministic in the seed. Vehicles stand on lanes outside junctions, behind their stop lines, clear of one another and
of the ego; a share of them lies along the ego's route. Driver parameters are drawn about the values of Treiber &
Kesting, Traffic Flow Dynamics (2013), table 11.2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import warp as wp
from numpy.typing import NDArray

from sim.geometry import EMERGENCY_LOOK
from sim.state import Driver, StateArrays
from stack.labels import Kind
from stack.lanegraph import STOREY_M, LaneGraph, Route
from stack.seeds import Stream, generator
from stack.vehicle import VehicleParams

ALONG_ROUTE = 0.4  # share of the vehicles placed on the route
NEAR_ROUTE_M = 60.0  # half of the pedestrians are this close to it, and a share of the vehicles on request
EGO_FREE_M = 12.0  # ahead of and behind the ego
LONG_M = 6.5
MOTORWAY_MPS = 25.5  # no bicycles on maps with a higher limit than 90 km/h
WISH_MAX_MPS = {  # whatever the limit
    "bicycle": (4.0, 6.5), "cyclist": (20.0, 30.0), "car": (30.0, 45.0), "van": (28.0, 38.0), "truck": (22.0, 25.0)
}  # fmt: skip
LOOKS = 64  # mesh and colour variants
SHARES = {"van": 0.08, "truck": 0.03, "bus": 0.02, "bicycle": 0.05, "motorcycle": 0.02}  # cars share the rest
OCCUPIED = 0.7  # share of the parking places that are taken
EMERGENCY_FREE_M = 25.0  # ahead of and behind an emergency vehicle: nobody is prepared for it
EMERGENCY_MPS = 4.0
TRIALS = 40  # places tried for each vehicle
URGENT = {  # how the driver of an emergency vehicle drives: half as fast again as allowed, 120 km/h at most
    "wish_factor": 1.5, "wish_max_mps": 33.0, "headway_s": 0.8, "accel_max_mps2": 3.0, "brake_comfort_mps2": 2.5,
    "gap_min_m": 2.0, "siren": 1,
}  # fmt: skip

INDICES = ("lane", "target_lane", "walk")  # -1 where an actor has none


def spawn(
    graph: LaneGraph,
    models: Sequence[VehicleParams],
    seed: int,
    vehicles: int,
    pedestrians: int,
    ego_start: tuple[int, float] | None = None,
    near_route: Route | None = None,
    ego_model: int = 0,
    lanes: Sequence[int] | None = None,
    walks: range | None = None,
    along_route: float = ALONG_ROUTE,
    beside_route: float = 0.0,
    shares: Mapping[str, float] = SHARES,
    parked: int = 0,
    places: range | None = None,
    emergency: int = 0,
    rolling: bool = False,
) -> dict[str, NDArray[Any]]:
    """Columns of StateArrays, one entry for each actor; the ego comes first (driver POLICY) where `ego_start` is given.

    `ego_start` is a lane and a distance along it. The columns left out are for `Batch.reset_world` to fill.

    `models` are the rows of the parameter table. `lanes`, `walks` and `places` keep everybody on a part of the map;
    a share `along_route` of the vehicles starts on the route, and `beside_route` within NEAR_ROUTE_M of it;
    `shares` say how often each model comes, cars take the rest.
    Up to `parked` cars stand in parking places, those nearest the route, of which OCCUPIED are taken.
    `emergency` vehicles with their siren on are added, on the route where one is given; they change nobody else's row.
    `rolling`: the ego moves with the traffic from the start; else it stands.
    Fewer vehicles come back where the map has no room for all.
    """
    rng = generator(seed, Stream.SPAWN)
    rows: list[dict[str, float]] = []
    if ego_start is not None:
        rows.append(_vehicle_row(graph, models, ego_model, *ego_start) | {"driver": Driver.POLICY})
    if graph.lane_limit_mps.max(initial=0.0) > MOTORWAY_MPS:
        shares = {**shares, "bicycle": 0.0}
    chance = model_shares(models, sharpest_bend(graph), shares)
    open_lanes = np.array([k for k in (range(graph.lanes) if lanes is None else lanes) if _open(graph, k)], np.int64)
    on_route = _route_lanes(graph, near_route)
    beside = open_lanes
    if near_route is not None and beside_route > 0.0:
        beside = open_lanes[np.isin(open_lanes, lanes_near(graph, near_route, NEAR_ROUTE_M))]
    for n in range(vehicles):
        pool = open_lanes
        if n < along_route * vehicles and len(on_route):
            pool = on_route
        elif n < (along_route + beside_route) * vehicles and len(beside):
            pool = beside
        model = int(rng.choice(len(models), p=chance))
        row = _find_place(graph, models, model, pool, rows, ego_start is not None, rng)
        if row is not None:
            rows.append(row | {"driver": Driver.IDM} | _driver(models[model], rng))
    _set_speeds(graph, models, rows, ego_start is not None and not rolling, rng)
    rows += _pedestrians(graph, pedestrians, near_route, walks, rng)
    rows += _parked(graph, models, parked, near_route, places, rng)
    rows += _emergency(graph, models, emergency, on_route if len(on_route) else open_lanes, rows, ego_start, seed)
    names = sorted({name for row in rows for name in row})
    return {
        name: np.array([row.get(name, -1 if name in INDICES else 0) for row in rows], _dtype(name)) for name in names
    }


def _dtype(column: str) -> Any:
    return wp.dtype_to_numpy(StateArrays.vars[column].type.dtype)


def lanes_near(graph: LaneGraph, route: Route, reach_m: float) -> NDArray[np.int64]:
    """Lanes whose middle is within `reach_m` of the route."""
    middle = graph.lane_start + graph.lane_count // 2
    line = np.concatenate([graph.points(int(lane))[::10, :2] for lane in route.lanes])
    xy = np.stack([graph.x_m[middle], graph.y_m[middle]], axis=-1)
    away = np.hypot(*(xy[:, None] - line[None]).transpose(2, 0, 1)).min(axis=1)
    return np.flatnonzero(away < reach_m)


def sharpest_bend(graph: LaneGraph) -> float:
    """Largest curvature outside junctions, 1/m."""
    outside = np.repeat(graph.lane_junction < 0, graph.lane_count)
    return float(np.abs(graph.curvature_1pm[outside]).max(initial=0.0))


def model_shares(
    models: Sequence[VehicleParams], bend_1pm: float = 0.0, wanted: Mapping[str, float] = SHARES
) -> NDArray[np.float64]:
    """How often each model is drawn; sums to 1. Long ones are kept off maps with bends that they would fill."""
    shares = np.array([wanted.get(m.name, 0.03 if m.kind != "car" and not m.siren else 0.0) for m in models])
    long = np.array([_too_long(m, bend_1pm) for m in models])
    cars = np.array([m.kind == "car" and not m.siren for m in models])
    shares[long & ~cars] = 0.0
    if cars.any():
        shares[cars] = (1.0 - shares.sum()) / cars.sum()
    if shares.sum() <= 0.0:
        raise ValueError(
            f"spawn: found only vehicles too long for this map ({[m.name for m in models]}), expected a car"
        )
    return shares / shares.sum()


def _too_long(p: VehicleParams, bend_1pm: float) -> bool:
    return p.length_m > LONG_M and p.length_m * bend_1pm > 0.8


def _open(graph: LaneGraph, lane: int) -> bool:
    return bool(graph.lane_junction[lane] < 0 and graph.lane_length_m[lane] > 12.0 and graph.succ_count[lane] > 0)


def _route_lanes(graph: LaneGraph, route: Route | None) -> NDArray[np.int64]:
    return np.array([k for k in route.lanes if _open(graph, k)] if route is not None else [], np.int64)


def _vehicle_row(
    graph: LaneGraph, models: Sequence[VehicleParams], model: int, lane: int, s_m: float
) -> dict[str, float]:
    p = models[model]
    k = int(graph.lane_start[lane] + np.clip(round(s_m / graph.lane_step_m[lane]), 0, graph.lane_count[lane] - 1))
    rest = s_m - (k - graph.lane_start[lane]) * graph.lane_step_m[lane]
    yaw = float(graph.yaw_rad[k])
    return {
        "kind": p.kind_id, "model": model, "length_m": p.length_m, "width_m": p.width_m, "height_m": p.height_m,
        "centre_m": p.centre_m, "x_m": float(graph.x_m[k] + rest * np.cos(yaw)),
        "y_m": float(graph.y_m[k] + rest * np.sin(yaw)), "z_m": float(graph.z_m[k]), "yaw_rad": yaw,
        "pitch_rad": float(graph.pitch_rad[k]), "lane": lane, "target_lane": lane, "lane_s_m": s_m,
    }  # fmt: skip


def _driver(p: VehicleParams, rng: np.random.Generator) -> dict[str, float]:
    u = rng.uniform(size=6)
    slow = {"car": 1.0, "truck": 0.75, "cyclist": 0.7}[p.kind]
    low, high = WISH_MAX_MPS.get(p.name, WISH_MAX_MPS[p.kind])
    return {
        "wish_factor": 0.85 + 0.25 * u[0], "wish_max_mps": low + (high - low) * u[0], "headway_s": 1.0 + 0.8 * u[1],
        "accel_max_mps2": slow * (1.2 + u[2]), "brake_comfort_mps2": 1.5 + u[3], "gap_min_m": 2.0 + u[4],
        "look": int(u[5] * LOOKS),
    }  # fmt: skip


def _find_place(
    graph: LaneGraph, models: Sequence[VehicleParams], model: int, pool: NDArray[np.int64],
    rows: list[dict[str, float]], ego: bool, rng: np.random.Generator, free_m: float = 3.0,
) -> dict[str, float] | None:  # fmt: skip
    """A vehicle on one of the lanes of `pool`, long lanes more often, that is clear of all others; None: no room."""
    p = models[model]
    rear, front = 0.5 * p.length_m - p.centre_m, p.centre_m + 0.5 * p.length_m
    length = graph.lane_length_m[pool].astype(np.float64)
    for _ in range(TRIALS if len(pool) else 0):
        lane = int(rng.choice(pool, p=length / length.sum()))
        low = rear + 1.0
        high = min(float(graph.lane_stop_s_m[lane]), float(graph.lane_length_m[lane])) - front - 0.5
        s_m = float(rng.uniform(low, max(high, low + 0.01)))
        row = _vehicle_row(graph, models, model, lane, s_m)
        if high > low and all(
            _clear(row, other, max(EGO_FREE_M, free_m) if ego and k == 0 else free_m) for k, other in enumerate(rows)
        ):
            return row
    return None


def _clear(a: dict[str, float], b: dict[str, float], free_m: float) -> bool:
    """Is b's box at least free_m ahead of, behind, or a lane beside a's, or on another storey?"""
    if abs(a["z_m"] - b["z_m"]) > STOREY_M:
        return True
    dx = b["x_m"] + b["centre_m"] * np.cos(b["yaw_rad"]) - a["x_m"] - a["centre_m"] * np.cos(a["yaw_rad"])
    dy = b["y_m"] + b["centre_m"] * np.sin(b["yaw_rad"]) - a["y_m"] - a["centre_m"] * np.sin(a["yaw_rad"])
    cos, sin = np.cos(a["yaw_rad"]), np.sin(a["yaw_rad"])
    turn = abs(np.sin(b["yaw_rad"] - a["yaw_rad"]))
    beside = 0.5 * (a["width_m"] + b["width_m"]) + 0.5 * turn * b["length_m"] + 0.3
    return bool(
        abs(dx * cos + dy * sin) > 0.5 * (a["length_m"] + b["length_m"]) + free_m or abs(dy * cos - dx * sin) > beside
    )


def _set_speeds(
    graph: LaneGraph,
    models: Sequence[VehicleParams],
    rows: list[dict[str, float]],
    first_stands: bool,
    rng: np.random.Generator,
) -> None:
    """Speeds from which everyone can still stop at the line and behind the next vehicle on the lane, and wheels that
    follow the bend."""
    for i, row in enumerate(rows):
        if first_stands and i == 0:
            continue
        lane, s_m = int(row["lane"]), row["lane_s_m"]
        front = s_m + row["centre_m"] + 0.5 * row["length_m"]
        free = max(float(graph.lane_stop_s_m[lane]) - front, 0.0)
        for other in rows:
            if other["lane"] == lane and other["lane_s_m"] > s_m:
                free = min(free, other["lane_s_m"] + other["centre_m"] - 0.5 * other["length_m"] - front)
        wish = float(rng.uniform(0.3, 0.8)) * min(
            float(graph.lane_limit_mps[lane]) * min(row.get("wish_factor", 1.0), 1.0), row.get("wish_max_mps", np.inf)
        )  # fmt: skip
        k = int(graph.lane_start[lane] + min(int(s_m / graph.lane_step_m[lane]), graph.lane_count[lane] - 1))
        bend = np.sqrt(2.0 / max(abs(float(graph.curvature_1pm[k])), 1e-3))
        row["vx_mps"] = float(min(wish, bend, np.sqrt(2.0 * max(free - 3.0, 0.0))))
        row["yaw_rate_radps"] = row["vx_mps"] * float(graph.curvature_1pm[k])
        row["wheel_angle_rad"] = float(np.arctan(models[int(row["model"])].wheelbase_m * graph.curvature_1pm[k]))


def _parked(
    graph: LaneGraph, models: Sequence[VehicleParams], count: int, route: Route | None, places: range | None,
    rng: np.random.Generator,
) -> list[dict[str, float]]:  # fmt: skip
    """Parked cars: driver NONE, on no lane."""
    taken = np.flatnonzero(rng.uniform(size=len(graph.park_yaw_rad)) < OCCUPIED)
    if places is not None:
        taken = taken[(taken >= places.start) & (taken < places.stop)]
    cars = [k for k, p in enumerate(models) if p.kind == "car" and not p.siren and p.length_m < LONG_M]
    if not count or not len(taken) or not cars:
        return []
    away = rng.uniform(size=len(taken))
    if route is not None:
        line = np.concatenate([graph.points(int(lane))[::10, :2] for lane in route.lanes])
        away = np.hypot(*(graph.park_xyz_m[taken, None, :2] - line[None]).transpose(2, 0, 1)).min(axis=1)
    out = []
    for place in taken[np.argsort(away, kind="stable")[:count]]:
        model = int(rng.choice(cars))
        p, yaw = models[model], float(graph.park_yaw_rad[place]) + float(rng.normal(0.0, 0.02))
        x, y, z = (float(v) for v in graph.park_xyz_m[place])
        ahead, side = float(rng.uniform(-0.3, 0.3)) - p.centre_m, float(rng.uniform(-0.1, 0.1))
        out.append({
            "kind": p.kind_id, "driver": Driver.NONE, "model": model, "length_m": p.length_m, "width_m": p.width_m,
            "height_m": p.height_m, "centre_m": p.centre_m, "yaw_rad": yaw, "z_m": z,
            "x_m": x + ahead * np.cos(yaw) - side * np.sin(yaw), "y_m": y + ahead * np.sin(yaw) + side * np.cos(yaw),
            "look": int(rng.integers(LOOKS)),
        })  # fmt: skip
    return out


def _emergency(
    graph: LaneGraph, models: Sequence[VehicleParams], count: int, pool: NDArray[np.int64], rows: list[dict[str, float]],
    ego_start: tuple[int, float] | None, seed: int,
) -> list[dict[str, float]]:  # fmt: skip
    """Emergency vehicles on their way, of the models that have a siren in turn, clear of `rows`."""
    bend = sharpest_bend(graph)
    sirens = [k for k, p in enumerate(models) if p.siren and not _too_long(p, bend)]
    if count and not sirens:
        raise ValueError("spawn: found no model with a siren that fits the map, expected one")
    rng = generator(seed, Stream.SPAWN, actor=1)
    others = [row for row in rows if "centre_m" in row]
    out: list[dict[str, float]] = []
    for n in range(count):
        model = sirens[n % len(sirens)]
        row = _find_place(graph, models, model, pool, others + out, ego_start is not None, rng, EMERGENCY_FREE_M)
        if row is not None:
            out.append(row | {"driver": Driver.IDM, "look": EMERGENCY_LOOK + n, "vx_mps": EMERGENCY_MPS} | URGENT)
    return out


def _pedestrians(
    graph: LaneGraph, count: int, route: Route | None, walks: range | None, rng: np.random.Generator
) -> list[dict[str, float]]:
    """Pedestrians on the sidewalks `walks`, one in two near the route."""
    points = graph.walk_xyz_m
    owner = np.repeat(np.arange(len(graph.walk_start)), graph.walk_count)
    everywhere = np.flatnonzero(np.isin(owner, walks)) if walks is not None else np.arange(len(points))
    if not len(everywhere):
        return []
    near = everywhere
    if route is not None:
        line = np.concatenate([graph.points(int(k))[:, :2] for k in route.lanes])[::10]
        away = np.hypot(*(points[everywhere, None, :2] - line[None]).transpose(2, 0, 1)).min(axis=1)
        near = everywhere[away < NEAR_ROUTE_M] if (away < NEAR_ROUTE_M).any() else near
    out = []
    for n in range(count):
        k = int(rng.choice(near if n % 2 == 0 else everywhere))
        path = int(np.searchsorted(graph.walk_start, k, side="right") - 1)
        line = points[graph.walk_start[path] : graph.walk_start[path] + graph.walk_count[path]]
        s = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(line[:, :2], axis=0).T))])
        at = float(np.clip(s[k - graph.walk_start[path]] + rng.uniform(-2.0, 2.0), 0.0, s[-1]))
        x, y, z = (float(np.interp(at, s, line[:, axis])) for axis in range(3))
        direction = 1 if rng.uniform() < 0.5 else -1
        ahead = [float(np.interp(at + 0.5 * side, s, line[:, axis])) for side in (1, -1) for axis in (0, 1)]
        yaw = np.arctan2(ahead[1] - ahead[3], ahead[0] - ahead[2]) + (np.pi if direction < 0 else 0.0)
        tall = float(rng.uniform(1.5, 1.9))
        out.append({
            "kind": Kind.PEDESTRIAN, "driver": Driver.IDM, "length_m": 0.5, "width_m": 0.6, "height_m": tall,
            "x_m": x + 0.35 * np.sin(yaw), "y_m": y - 0.35 * np.cos(yaw), "z_m": z,
            "yaw_rad": float(np.arctan2(np.sin(yaw), np.cos(yaw))), "walk": path, "walk_s_m": at,
            "walk_direction": direction, "walk_speed_mps": float(np.clip(rng.normal(1.4, 0.2), 0.8, 2.0)),
            "look": int(rng.integers(LOOKS)),
        })  # fmt: skip
    return out
