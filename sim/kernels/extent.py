"""How far actors reach: bounds of the pixels that show them, and how much of a silhouette lies beyond the picture.

A silhouette that touches the picture's edge is drawn once more, alone, on a grid of its own that spans all of it (to 80
degrees from the axis), and its samples within and beyond the picture are counted.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import warp as wp
from numpy.typing import NDArray

from sim.geometry import Geometry, GeometryArrays
from sim.kernels.raster import Cover, View, bit_count, draw_triangle, grow_edge, new_cover
from stack.messages import F32

wp.set_module_options({"enable_backward": False})

SAMPLES = 96  # each way, over a silhouette
LIMIT_DEG = 80.0  # a silhouette is followed that far from the axis: one that passes the camera's plane has no end

GRID = wp.constant(SAMPLES)
WORDS = wp.constant((SAMPLES + 32) // 32)
ONES = wp.constant(wp.uint32(0xFFFFFFFF))
LIMIT = wp.constant(float(np.tan(np.deg2rad(LIMIT_DEG))))


@wp.kernel(enable_backward=False)
def bound_shown(
    instance: wp.array2d(dtype=wp.int32), first: int, left: int, right: int, out: wp.array2d(dtype=wp.int32)
):
    """One thread per row of the picture, from `first` on; columns `left` to `right` (excluded). `out` (4, A), zero before:
    how far inside the right and the bottom edge the left and the top of an actor's pixels lie, then their right and bottom.
    """
    i = first + wp.tid()
    height, width = instance.shape[0], instance.shape[1]
    j = int(left)
    while j < right:
        one = instance[i, j]
        start = int(j)
        while j < right and instance[i, wp.min(j, width - 1)] == one:
            j += 1
        if one > 0:
            wp.atomic_max(out, 0, one - 1, width - start)
            wp.atomic_max(out, 1, one - 1, height - i)
            wp.atomic_max(out, 2, one - 1, j)
            wp.atomic_max(out, 3, one - 1, i + 1)


@wp.func
def _bits_from(cover: Cover, row: int, y: int, first: int, last: int) -> int:
    """How many bits from `first` to `last` are set."""
    count = int(0)
    for word in range(first / 32, last / 32 + 1):
        low, high = wp.max(first - 32 * word, 0), wp.min(last - 32 * word, 31)
        mask = (ONES >> wp.uint32(31 - high)) & (ONES << wp.uint32(low))
        count += bit_count(cover.bits[row, y, word] & mask)
    return count


@wp.func
def _corner(g: GeometryArrays, view: View, i: int, box: wp.vec4) -> wp.vec3:
    """A triangle's corner in the optical frame, sheared and stretched so that `box` becomes the grid."""
    p = view.camera_from_world @ (g.corner[i] - view.position)
    x, y = (p[0] - box[0] * p[2]) / (box[2] - box[0]), (p[1] - box[1] * p[2]) / (box[3] - box[1])
    return wp.vec3(x, y, p[2])


@wp.kernel(enable_backward=False)
def measure(
    g: GeometryArrays, view: View, picture: wp.vec2, rows: wp.array(dtype=wp.int32), keys: wp.array(dtype=wp.int64),
    cover: Cover, box: wp.array(dtype=wp.vec4), beyond: wp.array(dtype=wp.float32),
):  # fmt: skip
    """One thread per actor in `rows`: box of its silhouette in pixels, and the share of it beyond 0 .. `picture`."""
    k = wp.tid()
    chunk = g.static_chunks + rows[k]
    start = g.chunk_start[chunk]
    stop = start + g.chunk_count[chunk]
    one = wp.vec4(0.0, 0.0, 1.0, 1.0)
    b = wp.vec4(1.0e9, 1.0e9, -1.0e9, -1.0e9)
    for t in range(start, stop):
        p0, p1, p2 = _corner(g, view, 3 * t, one), _corner(g, view, 3 * t + 1, one), _corner(g, view, 3 * t + 2, one)
        if wp.dot(p0, wp.cross(p1 - p0, p2 - p0)) < -1.0e-12:  # seen from its front
            b = grow_edge(grow_edge(grow_edge(b, p0, p1), p1, p2), p2, p0)
    b = wp.vec4(wp.max(b[0], -LIMIT), wp.max(b[1], -LIMIT), wp.min(b[2], LIMIT), wp.min(b[3], LIMIT))
    f, c = view.focal_px, view.centre_px
    box[k] = wp.vec4(b[0] * f + c[0], b[1] * f + c[1], b[2] * f + c[0], b[3] * f + c[1])
    grid = View()
    grid.focal_px = float(GRID)
    grid.step = 1.0
    grid.offset = 0.5
    grid.width = GRID + 1  # the last column and row count for no silhouette
    grid.height = GRID + 1
    for y in range(GRID + 1):
        for word in range(WORDS):
            cover.bits[k, y, word] = wp.uint32(0)
    cover.total[k] = 0
    for t in range(start, stop):
        p0, p1, p2 = _corner(g, view, 3 * t, b), _corner(g, view, 3 * t + 1, b), _corner(g, view, 3 * t + 2, b)
        draw_triangle(t, k, p0, p1, p2, grid, keys, cover)
    left, width = (0.0 - c[0]) / f, picture[0] / f  # of the picture, as b
    top, height = (0.0 - c[1]) / f, picture[1] / f
    wide, high = (b[2] - b[0]) / float(GRID), (b[3] - b[1]) / float(GRID)
    x0 = int(wp.ceil(wp.clamp((left - b[0]) / wide - 0.5, 0.0, float(GRID))))
    x1 = int(wp.ceil(wp.clamp((left + width - b[0]) / wide - 0.5, 0.0, float(GRID)))) - 1
    inside = int(0)
    if x0 <= x1:
        for y in range(GRID):
            v = b[1] + (float(y) + 0.5) * high
            if v >= top and v < top + height:
                inside += _bits_from(cover, k, y, x0, x1)
    beyond[k] = 1.0 - float(inside) / float(wp.max(cover.total[k], 1))


class Edges:
    """Measures what one camera's picture cuts off."""

    def __init__(self, geometry: Geometry) -> None:
        device, most = geometry.device, max(geometry.actors, 1)
        self._cover = new_cover(most, SAMPLES + 1, SAMPLES + 1, device)
        self._keys = wp.zeros((SAMPLES + 1) * (SAMPLES + 1), dtype=wp.int64, device=device)  # written, never read
        self._rows = wp.zeros(most, dtype=wp.int32, device=device)
        self._box = wp.zeros(most, dtype=wp.vec4, device=device)
        self._beyond = wp.zeros(most, dtype=wp.float32, device=device)

    def __call__(self, g: Any, view: Any, width_px: int, height_px: int, rows: NDArray[np.int64]) -> tuple[F32, F32]:
        """(n, 4) boxes of the whole silhouettes, px, and (n,) the share of each beyond the picture."""
        device, n = self._box.device, len(rows)
        self._rows[:n].assign(rows.astype(np.int32))
        inputs = [g, view, wp.vec2(width_px, height_px), self._rows, self._keys, self._cover, self._box, self._beyond]
        wp.launch(measure, dim=n, inputs=inputs, device=device)
        return self._box.numpy()[:n].copy(), self._beyond.numpy()[:n].copy()
