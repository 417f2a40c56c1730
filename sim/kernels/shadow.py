"""Shadows: a map of the static scenery as the sun sees it, made once; and the actors' boxes, found through a grid.

The map holds, per texel of the plane across the sun's rays, the height along them of the first thing that is
hit. The ground casts no shadow, so no bias is needed where most shadows fall. Actors are held as one
64-bit mask per cell of a grid that follows the viewer; a point tests the boxes of its cell only (native/shadows.h).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import warp as wp

from sim.geometry import Geometry, GeometryArrays
from stack.frames import F64
from stack.labels import Semantic

wp.set_module_options({"enable_backward": False})

MAP_TEXELS = 10_000_000
CELL_M = 4.0
CELLS = 64  # the grid spans 256 m about the viewer
CASTERS = 64  # actors beyond this row cast no shadow
STEPS_PER_M = 50.0  # of the heights in the map: +-650 m
GROUND = (Semantic.ROAD, Semantic.ROAD_LINE, Semantic.SIDEWALK, Semantic.TERRAIN)

CELL = wp.constant(CELL_M)
GRAIN = wp.constant(STEPS_PER_M)
N_CELLS = wp.constant(CELLS)


@wp.struct
class ShadowArrays:
    sun_from_world: wp.mat33  # rows: across, across, along the rays towards the sun
    origin: wp.vec2  # of the map in the plane across, m
    texel_m: float
    columns: int  # texels
    rows: int
    height: wp.array(dtype=wp.int16)  # 1/50 m, in tiles of 8 x 4 texels: one line of the cache each
    span: wp.array(dtype=wp.int32)  # greatest and least (upper, lower half) of a texel and the three beyond it
    cells: wp.array2d(dtype=wp.uint64)
    corner: wp.vec2  # world position of cell (0, 0)


@wp.kernel(enable_backward=False)
def _draw_map(
    g: GeometryArrays, casts: wp.array(dtype=wp.int32), out: ShadowArrays, height: wp.array2d(dtype=wp.int32)
):
    t = wp.tid()
    if casts[t] == 0:
        return
    a = out.sun_from_world @ g.corner[3 * t]
    b = out.sun_from_world @ g.corner[3 * t + 1]
    c = out.sun_from_world @ g.corner[3 * t + 2]
    area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
    if wp.abs(area) < 1.0e-6:
        return
    x0 = int(wp.ceil((wp.min(a[0], wp.min(b[0], c[0])) - out.origin[0]) / out.texel_m - 0.5))
    x1 = int(wp.floor((wp.max(a[0], wp.max(b[0], c[0])) - out.origin[0]) / out.texel_m - 0.5))
    y0 = int(wp.ceil((wp.min(a[1], wp.min(b[1], c[1])) - out.origin[1]) / out.texel_m - 0.5))
    y1 = int(wp.floor((wp.max(a[1], wp.max(b[1], c[1])) - out.origin[1]) / out.texel_m - 0.5))
    for y in range(wp.max(y0, 0), wp.min(y1, out.rows - 1) + 1):
        py = out.origin[1] + (float(y) + 0.5) * out.texel_m
        for x in range(wp.max(x0, 0), wp.min(x1, out.columns - 1) + 1):
            px = out.origin[0] + (float(x) + 0.5) * out.texel_m
            u = ((px - a[0]) * (c[1] - a[1]) - (py - a[1]) * (c[0] - a[0])) / area
            v = ((b[0] - a[0]) * (py - a[1]) - (b[1] - a[1]) * (px - a[0])) / area
            if u >= 0.0 and v >= 0.0 and u + v <= 1.0:
                z = a[2] + u * (b[2] - a[2]) + v * (c[2] - a[2])
                wp.atomic_max(height, y, x, wp.clamp(int(wp.ceil(z * GRAIN)), -32767, 32767))


@wp.func
def _place(s: ShadowArrays, x: int, y: int) -> int:
    return (((y >> 2) * ((s.columns + 7) >> 3) + (x >> 3)) << 5) + ((y & 3) << 3) + (x & 7)


@wp.kernel(enable_backward=False)
def _tile(height: wp.array2d(dtype=wp.int32), out: ShadowArrays):
    y, x = wp.tid()
    x1, y1 = wp.min(x + 1, out.columns - 1), wp.min(y + 1, out.rows - 1)
    a, b, c, d = height[y, x], height[y, x1], height[y1, x], height[y1, x1]
    least, greatest = wp.min(wp.min(a, b), wp.min(c, d)), wp.max(wp.max(a, b), wp.max(c, d))
    at = _place(out, x, y)
    out.height[at] = wp.int16(a)
    out.span[at] = (greatest << 16) | (least & 65535)


@wp.kernel(enable_backward=False)
def _enter_actors(g: GeometryArrays, sun: wp.vec3, out: ShadowArrays):
    """One thread per actor: set its bit in every cell that its box, its shadow or its gloom may touch."""
    a = wp.tid()
    if g.chunk_count[g.static_chunks + a] == 0:
        return
    base, size = g.base[a], g.size[a]
    reach = 0.5 * wp.sqrt(size[0] * size[0] + size[1] * size[1]) + 0.7
    long = wp.min(size[2] / wp.max(sun[2], 0.1), 14.0)
    dx, dy = -sun[0] * long, -sun[1] * long
    x0 = int(wp.floor((base[0] + wp.min(dx, 0.0) - reach - out.corner[0]) / CELL))
    x1 = int(wp.floor((base[0] + wp.max(dx, 0.0) + reach - out.corner[0]) / CELL))
    y0 = int(wp.floor((base[1] + wp.min(dy, 0.0) - reach - out.corner[1]) / CELL))
    y1 = int(wp.floor((base[1] + wp.max(dy, 0.0) + reach - out.corner[1]) / CELL))
    bit = wp.uint64(1) << wp.uint64(a)
    for y in range(wp.max(y0, 0), wp.min(y1, N_CELLS - 1) + 1):
        for x in range(wp.max(x0, 0), wp.min(x1, N_CELLS - 1) + 1):
            wp.atomic_or(out.cells, y, x, bit)


def shadow_map(geometry: Geometry, to_sun: F64) -> Any:
    """The static map for one sun direction, and an empty grid for the actors."""
    up = np.array([0.0, 0.0, 1.0]) if abs(to_sun[2]) < 0.99 else np.array([1.0, 0.0, 0.0])
    across = np.cross(up, to_sun)
    across /= np.linalg.norm(across)
    rotation = np.stack([across, np.cross(to_sun, across), to_sun])
    mesh = geometry.static
    casts = ~np.isin(mesh.semantic, GROUND)
    points = mesh.corners()[casts].reshape(-1, 3) @ rotation.T if casts.any() else np.zeros((1, 3))
    low, high = points.min(axis=0)[:2] - 1.0, points.max(axis=0)[:2] + 1.0
    texel = max(0.2, float(np.sqrt(np.prod(high - low) / MAP_TEXELS)))
    out: Any = ShadowArrays()
    out.sun_from_world, out.origin, out.texel_m = wp.mat33(rotation), wp.vec2(*low), texel
    width, height = (np.ceil((high - low) / texel)).astype(int)
    device = geometry.device
    out.columns, out.rows = int(width), int(height)
    tiles = -(-out.columns // 8) * -(-out.rows // 4)
    out.height = wp.full(32 * tiles, -32768, dtype=wp.int16, device=device)
    out.span = wp.zeros(32 * tiles, dtype=wp.int32, device=device)
    drawn = wp.full((out.rows, out.columns), -32768, dtype=wp.int32, device=device)
    out.cells = wp.zeros((CELLS, CELLS), dtype=wp.uint64, device=device)
    flags = wp.array(casts.astype(np.int32), device=device)
    wp.launch(_draw_map, dim=len(casts), inputs=[geometry.arrays, flags, out, drawn], device=device)
    wp.launch(_tile, dim=(out.rows, out.columns), inputs=[drawn, out], device=device)
    return out


def place_casters(arrays: Any, actors: int, shadows: Any, to_sun: F64, x_m: float, y_m: float) -> None:
    """Enter the actors of a GeometryArrays in the grid, which is laid about a viewer at x, y."""
    corner = np.floor(np.array([x_m, y_m]) / CELL_M) * CELL_M - 0.5 * CELLS * CELL_M
    shadows.corner = wp.vec2(*corner)
    shadows.cells.zero_()
    inputs = [arrays, wp.vec3(*to_sun), shadows]
    wp.launch(_enter_actors, dim=min(actors, CASTERS), inputs=inputs, device=shadows.cells.device)
