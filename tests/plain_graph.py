"""A lane graph made by hand for tests: an open field without lanes, or lanes from centre lines."""

from dataclasses import fields

import numpy as np

from stack.lanegraph import LaneGraph

DTYPES = {"I32": np.int32, "F32": np.float32, "U8": np.uint8, "F64": np.float64}
SHAPES = {
    "head_xyz_m": (0, 3),
    "sign_xyz_m": (0, 3),
    "crosswalk_xyz_m": (0, 4, 3),
    "walk_xyz_m": (0, 3),
    "park_xyz_m": (0, 3),
}
MINUS_ONE = ("lane_left", "lane_right", "lane_junction", "lane_signal")


def plain_graph(lines: list[np.ndarray] | None = None, links: list[tuple[int, int]] | None = None) -> LaneGraph:
    """Lanes of 3.5 m with the (n, 3) centre lines given, points 1 m apart; links are (lane, successor). None: an open
    field."""
    lines, links = lines or [], links or []
    n = len(lines)
    values: dict = {"name": "plain", "lane_key": tuple(("1", 0, -1 - k) for k in range(n)), "signal_id": ()}
    for field in fields(LaneGraph):
        if field.name in values:
            continue
        dtype = DTYPES[str(field.type)]
        size = (n,) if field.name.startswith(("lane_", "succ_", "pred_", "conflict_start", "conflict_count")) else (0,)
        values[field.name] = np.full(SHAPES.get(field.name, size), -1 if field.name in MINUS_ONE else 0, dtype)
    count = np.array([len(line) for line in lines], np.int32)
    values["lane_count"], values["lane_start"] = count, (np.cumsum(count) - count).astype(np.int32)
    values["lane_step_m"], values["lane_length_m"] = np.ones(n, np.float32), (count - 1).astype(np.float32)
    values["lane_limit_mps"] = np.full(n, 14.0, np.float32)
    values["lane_stop_s_m"] = values["lane_length_m"]
    for name, pairs in (("succ", links), ("pred", [(b, a) for a, b in links])):
        values[f"{name}_count"] = np.array([sum(a == k for a, _ in pairs) for k in range(n)], np.int32)
        values[f"{name}_start"] = (np.cumsum(values[f"{name}_count"]) - values[f"{name}_count"]).astype(np.int32)
        values[name] = np.array([b for k in range(n) for a, b in pairs if a == k], np.int32)
    if n:
        points = np.concatenate(lines)
        step = np.concatenate([np.gradient(line, axis=0) for line in lines])
        values |= {f"{axis}_m": points[:, k].astype(np.float32) for k, axis in enumerate("xyz")}
        values["yaw_rad"] = np.arctan2(step[:, 1], step[:, 0]).astype(np.float32)
        values["pitch_rad"] = np.arctan2(step[:, 2], np.hypot(step[:, 0], step[:, 1])).astype(np.float32)
        values["curvature_1pm"] = np.zeros(len(points), np.float32)
        values["width_m"] = np.full(len(points), 3.5, np.float32)
    return LaneGraph(**values)
