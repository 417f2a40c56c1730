"""Where pedestrians walk: sidewalks and crosswalks as one set of paths, with the places where one leads into another.

Paths 0..W-1 are the sidewalks of the maps, then come the crosswalks from kerb to kerb. Points are evenly spaced.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import warp as wp
from numpy.typing import NDArray

from stack.frames import F64
from stack.lanegraph import LaneGraph

STEP_M = 1.0
JOIN_M = 8.0  # ends of sidewalks this close belong together
KERB_M = 7.0  # a crosswalk's end this close to a sidewalk can be reached from it
BEFORE_LIGHT_M = 15.0  # a crosswalk farther from its lane's end is not the junction's
ROAD_M = (5.0, 22.0)  # widths of road that a pedestrian may cross away from crosswalks


@wp.struct
class WalkArrays:
    """Paths (P), their ends (2 P: start, end), doors from sidewalks to crosswalks (CSR), points, signals."""

    path_start: wp.array(dtype=wp.int32)
    path_count: wp.array(dtype=wp.int32)
    path_step_m: wp.array(dtype=wp.float32)
    path_length_m: wp.array(dtype=wp.float32)
    path_is_crosswalk: wp.array(dtype=wp.int32)
    end_path: wp.array(dtype=wp.int32)  # path that goes on from this end, -1: turn round
    end_s_m: wp.array(dtype=wp.float32)  # and where on it
    door_start: wp.array(dtype=wp.int32)
    door_count: wp.array(dtype=wp.int32)
    door_s_m: wp.array(dtype=wp.float32)  # on the sidewalk
    door_path: wp.array(dtype=wp.int32)  # the crosswalk
    door_end: wp.array(dtype=wp.int32)  # 0: enter at its start, 1: at its end
    x_m: wp.array(dtype=wp.float32)
    y_m: wp.array(dtype=wp.float32)
    z_m: wp.array(dtype=wp.float32)
    over_path: wp.array(dtype=wp.int32)  # for each point: the sidewalk across the road, -1 none
    over_s_m: wp.array(dtype=wp.float32)
    # lights of the lanes that each crosswalk path crosses on their way into a junction, CSR per path
    light_start: wp.array(dtype=wp.int32)
    light_count: wp.array(dtype=wp.int32)
    light: wp.array(dtype=wp.int32)
    signal_junction: wp.array(dtype=wp.int32)
    signal_cycle_s: wp.array(dtype=wp.float32)
    signal_green_from_s: wp.array(dtype=wp.float32)


def walk_tables(graph: LaneGraph) -> dict[str, NDArray[Any]]:
    """The arrays of WalkArrays for one map, on the host."""
    sidewalks = [graph.walk_xyz_m[a : a + n] for a, n in zip(graph.walk_start, graph.walk_count, strict=True)]
    crossings = [np.stack([q[:2].mean(axis=0), q[2:].mean(axis=0)]) for q in graph.crosswalk_xyz_m]
    paths = [_evenly(line) for line in [*sidewalks, *crossings]]
    count = np.array([len(p) for p in paths], np.int32)
    step = np.array([np.hypot(*(p[1, :2] - p[0, :2])) for p in paths], np.float32)
    start = (np.cumsum(count) - count).astype(np.int32)
    points = np.concatenate(paths) if paths else np.zeros((0, 3))
    ends = _join_ends(paths, len(sidewalks), step)
    doors = _doors(ends, len(paths), len(sidewalks))
    lights = [_lights(graph, c - len(sidewalks)) if c >= len(sidewalks) else [] for c in range(len(paths))]
    light_count = np.array([len(x) for x in lights], np.int32)
    over_path, over_s = _across(graph, paths[: len(sidewalks)], step, len(points))
    return {
        "path_start": start, "path_count": count, "path_step_m": step,
        "path_length_m": (step * (count - 1)).astype(np.float32),
        "path_is_crosswalk": (np.arange(len(paths)) >= len(sidewalks)).astype(np.int32),
        "end_path": np.array([e[0] for e in ends], np.int32), "end_s_m": np.array([e[1] for e in ends], np.float32),
        **doors,
        "x_m": points[:, 0].astype(np.float32), "y_m": points[:, 1].astype(np.float32),
        "z_m": points[:, 2].astype(np.float32),
        "over_path": over_path, "over_s_m": over_s,
        "light_start": (np.cumsum(light_count) - light_count).astype(np.int32), "light_count": light_count,
        "light": np.array([s for row in lights for s in row], np.int32),
        "signal_junction": graph.signal_junction, "signal_cycle_s": graph.signal_cycle_s,
        "signal_green_from_s": graph.signal_green_from_s,
    }  # fmt: skip


def walk_arrays(graphs: LaneGraph | Sequence[LaneGraph], device: str) -> Any:
    """WalkArrays of a map, or of several in the order in which `lanegraph.concatenate` joins them."""
    maps = [graphs] if isinstance(graphs, LaneGraph) else list(graphs)
    tables = [walk_tables(g) for g in maps]
    sizes = {"path": "path_start", "point": "x_m", "door": "door_s_m", "light_row": "light"}
    shift_of = {
        "path_start": "point", "end_path": "path", "door_start": "door", "door_path": "path", "over_path": "path",
        "light_start": "light_row", "light": "signal", "signal_junction": "junction",
    }  # fmt: skip
    shift = dict.fromkeys([*sizes, "signal", "junction"], 0)
    parts: dict[str, list[NDArray[Any]]] = {name: [] for name in WalkArrays.vars}
    for graph, table in zip(maps, tables, strict=True):
        for name, values in table.items():
            k = shift[shift_of[name]] if name in shift_of else 0
            parts[name].append(np.where(values < 0, values, values + k).astype(values.dtype) if k else values)
        for key, name in sizes.items():
            shift[key] += len(table[name])
        shift["signal"] += graph.signals
        shift["junction"] += graph.junctions
    out = WalkArrays()
    for name, values in _sidewalks_first({name: np.concatenate(parts[name]) for name in WalkArrays.vars}).items():
        setattr(out, name, wp.array(np.ascontiguousarray(values), device=device))
    return out


def _sidewalks_first(table: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Renumber the paths so that sidewalk k of the joined lane graph is path k."""
    order = np.argsort(table["path_is_crosswalk"], kind="stable")
    number = np.argsort(order).astype(np.int32)
    for name, values in table.items():
        if name in ("end_path", "end_s_m"):
            table[name] = values.reshape(-1, 2)[order].ravel()
        elif len(values) == len(order) and name.startswith(
            ("path_", "door_start", "door_count", "light_start", "light_count")
        ):
            table[name] = values[order]
    for name in ("end_path", "door_path", "over_path"):
        table[name] = np.where(table[name] < 0, -1, number[table[name]]) if len(order) else table[name]
    return table


def _evenly(line: F64) -> F64:
    """The line again with evenly spaced points, STEP_M apart or a little more."""
    s = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(line[:, :2], axis=0).T))])
    at = np.linspace(0.0, s[-1], max(int(s[-1] / STEP_M), 1) + 1)
    return np.stack([np.interp(at, s, line[:, k]) for k in range(3)], axis=-1)


def _join_ends(paths: list[F64], sidewalks: int, step: NDArray[np.float32]) -> list[tuple[int, float]]:
    """For each end of each path (start, end) the sidewalk that goes on from there and the place on it; -1 for none."""
    if not sidewalks:
        return [(-1, 0.0)] * (2 * len(paths))
    count = np.array([len(p) for p in paths[:sidewalks]])
    points = np.concatenate(paths[:sidewalks])
    owner = np.repeat(np.arange(sidewalks), count)
    index = np.concatenate([np.arange(n) for n in count])
    is_end = (index == 0) | (index == count[owner] - 1)
    out: list[tuple[int, float]] = []
    for i, path in enumerate(paths):
        allowed = is_end & (owner != i) if i < sidewalks else np.ones(len(points), bool)
        for end in (path[0], path[-1]):
            apart = np.hypot(points[:, 0] - end[0], points[:, 1] - end[1]) + np.where(allowed, 0.0, np.inf)
            apart += np.where(np.abs(points[:, 2] - end[2]) < 2.0, 0.0, np.inf)
            k = int(np.argmin(apart))
            reached = apart[k] < (JOIN_M if i < sidewalks else KERB_M)
            out.append((int(owner[k]), float(index[k] * step[owner[k]])) if reached else (-1, 0.0))
    return out


def _doors(ends: list[tuple[int, float]], paths: int, sidewalks: int) -> dict[str, NDArray[Any]]:
    """Doors of each path by place; a crosswalk that ends nowhere on one side has none."""
    rows: list[tuple[int, float, int, int]] = []
    for c in range(sidewalks, paths):
        if min(ends[2 * c][0], ends[2 * c + 1][0]) >= 0:
            rows += [(*ends[2 * c], c, 0), (*ends[2 * c + 1], c, 1)]
    rows.sort()
    count = np.bincount([r[0] for r in rows], minlength=paths).astype(np.int32) if paths else np.zeros(0, np.int32)
    return {
        "door_start": (np.cumsum(count) - count).astype(np.int32), "door_count": count,
        "door_s_m": np.array([r[1] for r in rows], np.float32), "door_path": np.array([r[2] for r in rows], np.int32),
        "door_end": np.array([r[3] for r in rows], np.int32),
    }  # fmt: skip


def _lights(graph: LaneGraph, crosswalk: int) -> list[int]:
    """Signals that must be red before one may walk: those of the entries just behind the crosswalk."""
    found: set[int] = set()
    mine = graph.crosswalk_index == crosswalk
    for lane, to_m in zip(graph.crosswalk_lane[mine], graph.crosswalk_to_m[mine], strict=True):
        if graph.lane_length_m[lane] - to_m > BEFORE_LIGHT_M:
            continue  # those lights are at the other end of the street
        entries = [lane] if graph.lane_junction[lane] >= 0 else graph.successors(lane)
        found |= {int(graph.lane_signal[e]) for e in entries if graph.lane_signal[e] >= 0}
    return sorted(found)


def _across(
    graph: LaneGraph, sidewalks: list[F64], step: NDArray[np.float32], points: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """For points of sidewalks away from junctions: the nearest point of a sidewalk beyond a road."""
    over, over_s = np.full(points, -1, np.int32), np.zeros(points, np.float32)
    if not sidewalks:
        return over, over_s
    where, height = np.concatenate(sidewalks)[:, :2], np.concatenate(sidewalks)[:, 2]
    owner = np.repeat(np.arange(len(sidewalks)), [len(p) for p in sidewalks])
    index = np.concatenate([np.arange(len(p)) for p in sidewalks])
    inside = np.repeat(graph.lane_junction >= 0, graph.lane_count)
    junction_xy = np.stack([graph.x_m, graph.y_m], axis=-1)[inside]
    for i in range(0, len(where), 5):
        if len(junction_xy) and np.hypot(*(junction_xy - where[i]).T).min() < 20.0:
            continue
        apart = np.hypot(*(where - where[i]).T)
        apart[(owner == owner[i]) | (apart < ROAD_M[0])] = np.inf
        j = int(np.argmin(apart))
        middle, level = 0.5 * (where[i] + where[j]), 0.5 * (height[i] + height[j])
        if apart[j] < ROAD_M[1] and abs(graph.nearest(*middle, z_m=level)[2]) < 3.0:
            over[i], over_s[i] = owner[j], index[j] * step[owner[j]]
    return over, over_s
