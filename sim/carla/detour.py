"""Convex polygons -> the bytes of a Detour tile set with one tile, as CARLA's clients read their navigation mesh.

Detour's axes: x, up, z; here (x, up, y) of CARLA's left-handed frame, in which corners go clockwise seen from above.
Layouts: DetourNavMesh.h of Recast Navigation, file version 7, and the "MSET" frame of its sample program.
"""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

from stack.frames import F64
from stack.messages import I32

CORNERS = 6  # DT_VERTS_PER_POLYGON
MAX_POLYGONS = 0x7FFE  # neighbours are u16, their highest bit marks other tiles
MAX_VERTICES = 0xFFFF
SET_MAGIC, SET_VERSION = 0x4D534554, 1
TILE_MAGIC, TILE_VERSION = 0x444E4156, 7
WALKER_M = (1.8, 0.3, 0.4)  # height, radius, highest step
MARGIN_M = 1.0  # of the tile's box round its polygons
STEP_M = 0.01  # corners that lie farther from their vertex get a height of their own

POLYGON = np.dtype([
    ("link", "<u4"), ("corner", "<u2", CORNERS), ("neighbour", "<u2", CORNERS), ("flags", "<u2"), ("corners", "u1"),
    ("area", "u1"),
])  # fmt: skip
DETAIL = np.dtype([("vertex", "<u4"), ("triangle", "<u4"), ("vertices", "u1"), ("triangles", "u1"), ("pad", "<u2")])


def tile_set(vertices_m: F64, corner: I32, height_m: F64, area: I32) -> bytes:
    """One tile. `vertices_m` (V, 3); `corner` (P, 6) indices of vertices, -1 behind the last corner; `height_m` (P, 6)
    the polygon's own heights at its corners, up to a kerb away from the vertex; `area` (P,) becomes flag 1 << area.

    ValueError: more polygons or vertices than one tile holds."""
    if len(corner) > MAX_POLYGONS or len(vertices_m) > MAX_VERTICES:
        raise ValueError(f"{len(corner)} polygons, {len(vertices_m)} vertices: too many for one Detour tile")
    polygons = np.zeros(len(corner), POLYGON)
    count = (corner >= 0).sum(axis=1)
    polygons["link"] = 0xFFFFFFFF
    polygons["corner"] = np.maximum(corner, 0)
    polygons["neighbour"] = neighbours(corner) + 1
    polygons["flags"] = 1 << area
    polygons["corners"] = count
    polygons["area"] = area
    details, detail_vertices, triangles = _details(vertices_m, corner, count, height_m)
    low = vertices_m.min(axis=0) - MARGIN_M
    high = np.maximum(vertices_m.max(axis=0), np.where(corner >= 0, height_m, -np.inf).max()) + MARGIN_M
    links = int(count.sum())
    header = struct.pack(
        "<15i10f", TILE_MAGIC, TILE_VERSION, 0, 0, 0, 0,
        len(corner), len(vertices_m), links, len(corner), len(detail_vertices), len(triangles), 0, 0,
        len(corner), *WALKER_M, *low, *high, 0.0,
    )  # fmt: skip
    tile = b"".join([
        header, vertices_m.astype("<f4").tobytes(), polygons.tobytes(), bytes(12 * links), details.tobytes(),
        detail_vertices.astype("<f4").tobytes(), triangles.tobytes(),
    ])  # fmt: skip
    bits = max(len(corner) - 1, 1).bit_length()  # of a polygon's number; above them stands the tile's salt, 1
    width, depth = high[0] - low[0], high[2] - low[2]
    frame = struct.pack("<3i3f2f2i", SET_MAGIC, SET_VERSION, 1, *low, width, depth, 1, 1 << bits)
    return frame + struct.pack("<Ii", 1 << bits, len(tile)) + tile


def neighbours(corner: I32) -> I32:
    """(P, 6) the polygon beyond the edge from each corner to the next, -1 for none."""
    count = (corner >= 0).sum(axis=1)
    polygon, place = np.nonzero(corner >= 0)
    a = corner[polygon, place]
    b = corner[polygon, (place + 1) % count[polygon]]
    key = np.stack([np.minimum(a, b), np.maximum(a, b)], axis=1)
    _, edge, users = np.unique(key, axis=0, return_inverse=True, return_counts=True)
    order = np.argsort(edge.ravel(), kind="stable")
    pairs = order[users[edge.ravel()[order]] == 2].reshape(-1, 2)
    out = np.full(corner.shape, -1, np.int32)
    for mine, other in (pairs.T, pairs.T[::-1]):
        out[polygon[mine], place[mine]] = polygon[other]
    return out


def _details(vertices_m: F64, corner: I32, count: NDArray[np.int64], height_m: F64) -> tuple[NDArray, F64, NDArray]:
    """Fans of triangles that carry the heights, with corners of their own where a vertex serves both sides of a kerb.

    The last byte of a triangle marks its edges that lie on the polygon's outline, two bits each; a client that finds
    none marked reads beyond its arrays."""
    inside = corner >= 0
    at = vertices_m[np.maximum(corner, 0)]
    own = (inside & (np.abs(height_m - at[:, :, 1]) > STEP_M)).any(axis=1)
    details = np.zeros(len(corner), DETAIL)
    details["vertices"] = np.where(own, count, 0)
    details["vertex"] = np.cumsum(details["vertices"], dtype=np.int64) - details["vertices"]
    details["triangles"] = count - 2
    details["triangle"] = np.cumsum(count - 2) - (count - 2)
    at[:, :, 1] = height_m
    polygon = np.repeat(np.arange(len(corner)), count - 2)
    k = np.arange(len(polygon)) - details["triangle"][polygon] + 1
    first, last = k == 1, k == count[polygon] - 2
    corners = np.stack([np.zeros_like(k), k, k + 1], axis=1) + np.where(own, count, 0)[polygon, None]
    outline = np.where(first, 1, 0) | 4 | np.where(last, 16, 0)
    return details, at[inside & own[:, None]], np.column_stack([corners, outline]).astype(np.uint8)
