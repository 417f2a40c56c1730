"""RoadMap -> LaneGraph: gathers lanes, links, conflicts, control and crossings into arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stack.frames import F64, wrap
from stack.labels import Sign
from stack.lanegraph import LaneGraph
from stack.messages import I32
from stack.opendrive.conflicts import Conflict, Entry, conflicts
from stack.opendrive.control import (
    GraphSignal,
    Network,
    entry_signs,
    graph_signals,
    head_place,
    speed_limits,
    stop_places,
)
from stack.opendrive.crossings import Crossing, crosswalks, walks
from stack.opendrive.lanes import GraphLane, Pair, graph_lanes, lane_links, neighbours
from stack.opendrive.parking import parking_places
from stack.opendrive.records import MapError
from stack.opendrive.roads import RoadMap
from stack.opendrive.sight import in_sight

TURN_RAD = 0.5  # heading change from which a junction lane is a turn


def build_graph(road_map: RoadMap) -> LaneGraph:
    """The lane graph of a map. Raises MapError where it has no drivable lane."""
    lanes = graph_lanes(road_map)
    if not lanes:
        raise MapError(f"{road_map.document.file}:1: <OpenDRIVE>: found no drivable lane, expected at least one")
    links = lane_links(road_map, lanes)
    network = Network(road_map, lanes, links)
    signals = graph_signals(road_map, network)
    lane_signal = {lane: i for i, signal in reversed(list(enumerate(signals))) for lane in signal.lanes}
    signs = entry_signs(road_map, network, set(lane_signal))
    quads, crossings = crosswalks(road_map, lanes)
    places, yaws = parking_places(road_map, quads)
    starts: dict[int, list[float]] = {}
    for lane, _, start, _ in crossings:
        starts.setdefault(lane, []).append(start)
    lines = [item.outline_m for item in road_map.objects if item.kind == "stop_line"]
    turns = [_turn(lane) if network.junction[i] >= 0 else 0 for i, lane in enumerate(lanes)]
    found = _conflicts(road_map, network, links, signals, lane_signal, signs, turns)
    beside, allowed = neighbours(lanes)
    graph = LaneGraph(
        name=road_map.name,
        lane_key=tuple(lane.key for lane in lanes),
        lane_limit_mps=_f32(speed_limits(road_map, network)),
        lane_left=_i32([left for left, _ in beside]),
        lane_right=_i32([right for _, right in beside]),
        lane_change_left=_u8([left for left, _ in allowed]),
        lane_change_right=_u8([right for _, right in allowed]),
        lane_junction=_i32(network.junction),
        lane_turn=_i32(turns),
        lane_signal=_i32([lane_signal.get(i, -1) for i in range(len(lanes))]),
        lane_sign=_u8([signs.get(i, Sign.NONE) for i in range(len(lanes))]),
        lane_stop_s_m=_f32(stop_places(network, signals, signs, lines, starts)),
        **_csr("succ", [(a, b) for a, b in links], len(lanes)),
        **_csr("pred", [(b, a) for a, b in links], len(lanes)),
        **_conflict_arrays(found, len(lanes)),
        **_point_arrays(lanes),
        **_signal_arrays(signals),
        **_sign_arrays(road_map),
        **_crossing_arrays(quads, crossings),
        **_walk_arrays(walks(road_map)),
        park_xyz_m=places,
        park_yaw_rad=yaws,
    )
    return in_sight(graph)


def _f32(values: ArrayLike) -> NDArray[np.float32]:
    return np.asarray(values, dtype=np.float32)


def _i32(values: ArrayLike) -> I32:
    return np.asarray(values, dtype=np.int32)


def _u8(values: ArrayLike) -> NDArray[np.uint8]:
    return np.asarray(values, dtype=np.uint8)


def _turn(lane: GraphLane) -> int:
    change = lane.yaw_rad[-1] - lane.yaw_rad[0]
    return int(np.sign(change)) if abs(change) > TURN_RAD else 0


def _conflicts(road_map: RoadMap, network: Network, links: list[Pair], signals: list[GraphSignal],
               lane_signal: dict[int, int], signs: dict[int, Sign], turns: list[int]) -> list[Conflict]:  # fmt: skip
    members: list[list[int]] = [[] for _ in road_map.junctions]
    entries = {}
    for i, lane in enumerate(network.lanes):
        if network.junction[i] < 0:
            continue
        members[network.junction[i]].append(i)
        signal = lane_signal.get(i, -1)
        entries[i] = Entry(
            road=lane.road.id,
            incoming=frozenset(network.lanes[p].road.id for p in network.before[i]),
            heading_rad=float(lane.yaw_rad[0]),
            turn=turns[i],
            sign=int(signs.get(i, Sign.NONE)),
            signal=signal,
            phase=(signals[signal].green_from_s, signals[signal].green_s) if signal >= 0 else None,
        )
    priorities = [set(junction.priorities) for junction in road_map.junctions]
    return conflicts(network.lanes, members, links, entries, priorities)


def _csr(name: str, pairs: list[Pair], count: int) -> dict[str, Any]:
    pairs = sorted(pairs)
    counts = np.bincount(_i32([a for a, _ in pairs]), minlength=count) if pairs else np.zeros(count)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    return {f"{name}_start": _i32(starts), f"{name}_count": _i32(counts), name: _i32([b for _, b in pairs])}


def _conflict_arrays(found: list[Conflict], count: int) -> dict[str, Any]:
    rows = _csr("conflict", [(c.lane, c.other) for c in found], count)
    return {
        "conflict_start": rows["conflict_start"],
        "conflict_count": rows["conflict_count"],
        "conflict_lane": rows["conflict"],
        "conflict_from_m": _f32([c.from_m for c in found]),
        "conflict_to_m": _f32([c.to_m for c in found]),
        "conflict_other_from_m": _f32([c.other_from_m for c in found]),
        "conflict_other_to_m": _f32([c.other_to_m for c in found]),
        "conflict_rank": _i32([c.rank for c in found]),
    }


def _point_arrays(lanes: list[GraphLane]) -> dict[str, Any]:
    counts = [len(lane.line_m) for lane in lanes]
    points = np.concatenate([lane.line_m for lane in lanes])
    curvature = [np.gradient(lane.yaw_rad) / lane.step_m for lane in lanes]
    pitch = [np.arctan(np.gradient(lane.line_m[:, 2]) / lane.step_m) for lane in lanes]
    return {
        "lane_start": _i32(np.concatenate([[0], np.cumsum(counts)[:-1]])),
        "lane_count": _i32(counts),
        "lane_step_m": _f32([lane.step_m for lane in lanes]),
        "lane_length_m": _f32([lane.length_m for lane in lanes]),
        "x_m": _f32(points[:, 0]),
        "y_m": _f32(points[:, 1]),
        "z_m": _f32(points[:, 2]),
        "yaw_rad": _f32(wrap(np.concatenate([lane.yaw_rad for lane in lanes]))),
        "pitch_rad": _f32(np.concatenate(pitch)),
        "curvature_1pm": _f32(np.concatenate(curvature)),
        "width_m": _f32(np.concatenate([lane.width_m for lane in lanes])),
    }


def _signal_arrays(signals: list[GraphSignal]) -> dict[str, Any]:
    heads = [(i, post) for i, signal in enumerate(signals) for post in signal.heads]
    return {
        "signal_id": tuple(",".join(signal.ids) for signal in signals),
        "signal_junction": _i32([signal.junction for signal in signals]),
        "signal_cycle_s": _f32([signal.cycle_s for signal in signals]),
        "signal_green_from_s": _f32([signal.green_from_s for signal in signals]),
        "signal_green_s": _f32([signal.green_s for signal in signals]),
        "head_signal": _i32([i for i, _ in heads]),
        "head_xyz_m": np.array([head_place(post) for _, post in heads]).reshape(-1, 3),
        "head_yaw_rad": np.array([post.yaw_rad for _, post in heads], dtype=np.float64),
    }


def _sign_arrays(road_map: RoadMap) -> dict[str, Any]:
    posts = [post for post in road_map.signals if post.kind in ("stop", "yield") and not post.painted]
    return {
        "sign_kind": _u8([Sign.STOP if post.kind == "stop" else Sign.YIELD for post in posts]),
        "sign_xyz_m": np.array([post.xyz_m for post in posts]).reshape(-1, 3),
        "sign_yaw_rad": np.array([post.yaw_rad for post in posts], dtype=np.float64),
    }


def _crossing_arrays(quads: F64, crossings: list[Crossing]) -> dict[str, Any]:
    return {
        "crosswalk_xyz_m": quads,
        "crosswalk_lane": _i32([c[0] for c in crossings]),
        "crosswalk_index": _i32([c[1] for c in crossings]),
        "crosswalk_from_m": _f32([c[2] for c in crossings]),
        "crosswalk_to_m": _f32([c[3] for c in crossings]),
    }


def _walk_arrays(lines: list[F64]) -> dict[str, Any]:
    counts = np.array([len(line) for line in lines], dtype=np.int32)
    return {
        "walk_start": _i32(np.cumsum(counts) - counts),
        "walk_count": counts,
        "walk_xyz_m": np.concatenate(lines) if lines else np.zeros((0, 3)),
    }
