"""Upright boxes: exact overlap of their plans, a point in both, and static boxes in a uniform grid.

Two boxes overlap where no axis separates them (Gottschalk, Lin, Manocha, OBBTree, SIGGRAPH 1996); for rectangles four
axes are enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import warp as wp
from numpy.typing import NDArray

wp.set_module_options({"enable_backward": False})

CELL_M = 16.0  # of the grid over static boxes
COLUMNS = "x, y, yaw, length, width, bottom, top"


@wp.struct
class StaticBoxes:
    """[K] boxes that never move, and the cells (CSR) of each map's grid that each touches; the maps' grids are
    alike."""

    box: wp.array2d(dtype=wp.float32)  # [K, 7] x, y, yaw, length, width, bottom, top
    start: wp.array(dtype=wp.int32)  # [maps * rows * columns + 1]
    item: wp.array(dtype=wp.int32)
    x0: float
    y0: float
    columns: int
    rows: int


@wp.struct
class Box:
    """The plan of a box: centre, direction of the length, half extents."""

    centre: wp.vec2
    ahead: wp.vec2
    half: wp.vec2


@wp.func
def left_of(u: wp.vec2) -> wp.vec2:
    return wp.vec2(-u[1], u[0])


@wp.func
def cross2(a: wp.vec2, b: wp.vec2) -> float:
    return a[0] * b[1] - a[1] * b[0]


@wp.func
def static_box(statics: StaticBoxes, k: int) -> Box:
    box = Box()
    box.centre = wp.vec2(statics.box[k, 0], statics.box[k, 1])
    box.ahead = wp.vec2(wp.cos(statics.box[k, 2]), wp.sin(statics.box[k, 2]))
    box.half = wp.vec2(0.5 * statics.box[k, 3], 0.5 * statics.box[k, 4])
    return box


@wp.func
def is_level(statics: StaticBoxes, k: int, bottom: float, top: float) -> bool:
    """Whether a static box is neither wholly below nor wholly above a body."""
    return statics.box[k, 5] < top and statics.box[k, 6] > bottom


@wp.func
def reach(box: Box, n: wp.vec2) -> float:
    """Half of the box's extent along a direction."""
    return box.half[0] * wp.abs(wp.dot(box.ahead, n)) + box.half[1] * wp.abs(wp.dot(left_of(box.ahead), n))


@wp.func
def overlap(a: Box, b: Box) -> wp.vec3:
    """Normal from a to b and depth of the least overlap; depth <= 0: the boxes are apart."""
    d = b.centre - a.centre
    best = wp.vec3(0.0, 0.0, 1.0e9)
    for k in range(4):
        n = a.ahead
        if k >= 2:
            n = b.ahead
        if k == 1 or k == 3:
            n = left_of(n)
        along = wp.dot(d, n)
        depth = reach(a, n) + reach(b, n) - wp.abs(along)
        if depth < best[2]:
            if along < 0.0:
                n = -n
            best = wp.vec3(n[0], n[1], depth)
    return best


@wp.func
def corners_inside(a: Box, b: Box) -> wp.vec3:
    """Sum of the corners of a that lie in b, and their number."""
    total = wp.vec3(0.0, 0.0, 0.0)
    for k in range(4):
        sx = float(1.0)
        sy = float(1.0)
        if k == 1 or k == 2:
            sx = -1.0
        if k >= 2:
            sy = -1.0
        corner = a.centre + sx * a.half[0] * a.ahead + sy * a.half[1] * left_of(a.ahead)
        d = corner - b.centre
        if wp.abs(wp.dot(d, b.ahead)) <= b.half[0] and wp.abs(wp.dot(d, left_of(b.ahead))) <= b.half[1]:
            total = total + wp.vec3(corner[0], corner[1], 1.0)
    return total


@wp.func
def touch_point(a: Box, b: Box) -> wp.vec2:
    """A point in both boxes: the mean of the corners of one that lie in the other."""
    total = corners_inside(a, b) + corners_inside(b, a)
    if total[2] > 0.0:
        return wp.vec2(total[0] / total[2], total[1] / total[2])
    return 0.5 * (a.centre + b.centre)  # boxes that cross like a plus sign


@wp.func
def cell_of(statics: StaticBoxes, map_index: int, x: float, y: float) -> int:
    """Grid cell of a point of a map; -1 outside the grid."""
    cx = int(wp.floor((x - statics.x0) / CELL_M))
    cy = int(wp.floor((y - statics.y0) / CELL_M))
    if cx < 0 or cy < 0 or cx >= statics.columns or cy >= statics.rows:
        return -1
    return (map_index * statics.rows + cy) * statics.columns + cx


def static_boxes(maps: Sequence[NDArray[Any] | None], reach_m: float, device: str) -> Any:
    """`StaticBoxes` from one (K, 7) x, y, yaw, length, width, bottom, top (world z) for each map. A cell lists the
    boxes that a body of radius `reach_m` centred in it may touch. ValueError where the shape is wrong, a number is not
    finite or a size not positive."""
    parts = [np.zeros((0, 7), np.float32) if part is None else np.asarray(part, np.float32) for part in maps]
    for part in parts:
        if part.ndim != 2 or part.shape[1] != 7:
            raise ValueError(f"static boxes: shape {part.shape}, expected (K, 7): {COLUMNS}")
        if not np.isfinite(part).all() or (part[:, 3:5] <= 0.0).any() or (part[:, 5] >= part[:, 6]).any():
            raise ValueError(f"static boxes: found numbers that are not finite or sizes <= 0, expected {COLUMNS}")
    box, map_index = np.concatenate(parts), np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    c, s = np.abs(np.cos(box[:, 2:3])), np.abs(np.sin(box[:, 2:3]))
    half = 0.5 * np.hstack([box[:, 3:4] * c + box[:, 4:5] * s, box[:, 3:4] * s + box[:, 4:5] * c]) + reach_m  # (K, 2)
    origin = (box[:, :2] - half).min(axis=0) if len(box) else np.zeros(2)
    first = np.floor((box[:, :2] - half - origin) / CELL_M).astype(int)
    last = np.floor((box[:, :2] + half - origin) / CELL_M).astype(int)
    columns, rows = (last.max(axis=0) + 1).tolist() if len(box) else (0, 0)
    cells: list[list[int]] = [[] for _ in range(len(parts) * rows * columns)]
    for k in range(len(box)):
        for row in range(first[k, 1], last[k, 1] + 1):
            for column in range(first[k, 0], last[k, 0] + 1):
                cells[(map_index[k] * rows + row) * columns + column].append(k)
    out = StaticBoxes()
    out.x0, out.y0, out.columns, out.rows = float(origin[0]), float(origin[1]), columns, rows
    out.box = wp.array(box, dtype=wp.float32, device=device)
    out.start = wp.array(np.cumsum([0, *map(len, cells)]), dtype=wp.int32, device=device)
    out.item = wp.array([k for cell in cells for k in cell], dtype=wp.int32, device=device)
    return out
