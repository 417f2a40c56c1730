"""Sidewalks, crosswalks and roads of a map -> the navigation mesh on which CARLA's clients let pedestrians walk.

The outlines of all surfaces cut the plane into faces. Each face is sidewalk, crosswalk or road, once per storey; faces
of one kind are joined and cut into convex polygons. Since all of them come from the same cut, neighbours share whole
edges, which is what Detour links by.
"""

from __future__ import annotations

import hashlib

import numpy as np
import shapely
from numpy.typing import NDArray

from sim.carla import convert
from sim.carla.detour import CORNERS, tile_set
from sim.carla.grounds import CM, GAP_CM, STOREY_M, Area, Pieces, Surfaces, footed, heights, pieces_of, surfaces_of
from stack.frames import F64
from stack.lanegraph import LaneGraph
from stack.messages import I32
from stack.opendrive.roads import RoadMap


def name(map_name: str, data: bytes) -> str:
    """What a server calls the file. Clients keep files by name for ever, hence the hash of what is in it."""
    return f"Nav/{map_name.rpartition('/')[2]}_{hashlib.sha256(data).hexdigest()[:12]}.bin"


def navmesh(road_map: RoadMap, graph: LaneGraph) -> bytes:
    """The file that CARLA 0.9.16 clients load for pedestrians: a Detour tile set in CARLA's frame. Deterministic.

    ValueError: the map is too large for one tile (32766 polygons)."""
    polygons, xy_m, z_m, area = mesh(road_map, graph)
    vertex, vertices_m = _welded(np.column_stack([xy_m, z_m]))
    corner, height_m = np.full((len(polygons), CORNERS), -1, np.int32), np.zeros((len(polygons), CORNERS))
    for row, polygon in enumerate(polygons):
        corner[row, : len(polygon)], height_m[row, : len(polygon)] = vertex[polygon], z_m[polygon]
    return tile_set(convert.locations(vertices_m)[:, [0, 2, 1]], corner, height_m, area)


def mesh(road_map: RoadMap, graph: LaneGraph) -> tuple[list[list[int]], F64, F64, I32]:
    """Convex counter-clockwise polygons as indices of corners, the corners' x, y (C, 2) m and height (C,) m, and the
    polygons' areas (P,). Corners are the same exactly where polygons share them, up to a kerb's height."""
    pieces, ends = pieces_of(footed(road_map.strips()))
    faces, area, storey = _faces(pieces, surfaces_of(pieces, ends, graph))
    polygons: list[list[int]] = []
    corners, height, areas, offset = [], [], [], 0
    for kind, level in sorted(set(zip(area.tolist(), storey.tolist(), strict=True))):
        ground = shapely.coverage_union_all(faces[(area == kind) & (storey == level)])
        triangles = shapely.get_parts(shapely.constrained_delaunay_triangles(shapely.get_parts(ground)))
        xy, index = np.unique(shapely.get_coordinates(triangles), axis=0, return_inverse=True)
        convex = _convex(xy.astype(np.int64), index.reshape(-1, 4)[:, :3])
        polygons += [[offset + i for i in p] for p in convex]
        areas += [kind] * len(convex)
        corners.append(xy / CM)
        height.append(heights(pieces, kind, level, xy))
        offset += len(xy)
    return polygons, np.concatenate(corners), np.concatenate(height), np.array(areas, np.int32)


def _welded(xyz_m: F64) -> tuple[I32, F64]:
    """Corners -> vertices: those in one place up to a kerb's height become one, at the greatest height of them."""
    order = np.lexsort(xyz_m.T[::-1])
    rows = xyz_m[order]
    new = np.ones(len(rows), bool)
    new[1:] = (rows[1:, :2] != rows[:-1, :2]).any(axis=1) | (np.diff(rows[:, 2]) > STOREY_M / 2)
    vertex = np.zeros(len(rows), np.int32)
    vertex[order] = np.cumsum(new) - 1
    return vertex, rows[np.flatnonzero(np.append(new[1:], True))]


def _faces(pieces: Pieces, surfaces: Surfaces) -> tuple[NDArray, I32, I32]:
    """Faces of the cut by all outlines, their area and storey. A face with several storeys is there several times."""
    lines = shapely.union_all([s.boundary for s in surfaces.values()], grid_size=1.0)
    faces = shapely.get_parts(shapely.polygonize(shapely.get_parts(lines)))
    thin = 2.0 * shapely.area(faces) < GAP_CM * shapely.length(faces)
    inner = shapely.get_coordinates(shapely.point_on_surface(faces))
    levels = 1 + max(level for level, _ in surfaces)
    kind = np.zeros((levels, len(faces)), np.int32)
    for (level, area), surface in sorted(surfaces.items(), reverse=True):
        shapely.prepare(surface)
        kind[level, shapely.contains_xy(surface, inner)] = area
    for level in range(levels):
        gap = np.flatnonzero(thin & (kind == 0).all(axis=0))
        if (level, Area.SIDEWALK) in surfaces:
            close = shapely.dwithin(surfaces[level, Area.SIDEWALK], faces[gap], GAP_CM)
            kind[level, gap[close]] = Area.SIDEWALK
    for level in range(1, levels):  # storeys overlap where a bridge begins: the same ground twice
        for below in range(level):
            twice = np.flatnonzero((kind[level] > 0) & (kind[below] > 0))
            z, low = (heights(pieces, Area.ROAD, k, inner[twice]) for k in (level, below))
            same = np.abs(z - low) < STOREY_M / 2
            better = kind[level, twice] < kind[below, twice]
            kind[below, twice[same & better]] = 0
            kind[level, twice[same & ~better]] = 0
    storey, face = np.nonzero(kind)
    return faces[face], kind[storey, face], storey.astype(np.int32)


def _convex(xy_cm: NDArray[np.int64], triangles: NDArray[np.int64]) -> list[list[int]]:
    """Triangles joined to convex polygons across their longest common edges first; counter-clockwise."""
    a, b, c = (xy_cm[triangles[:, k]] for k in range(3))
    turned = _cross(b - a, c - a) < 0
    triangles = np.where(turned[:, None], triangles[:, ::-1], triangles)
    polygons = dict(enumerate(triangles.tolist()))
    member = list(range(len(polygons)))  # where a triangle has gone

    def root(i: int) -> int:
        while member[i] != i:
            member[i] = member[member[i]]
            i = member[i]
        return i

    sides: dict[tuple[int, int], int] = {}
    shared = []
    points = xy_cm.tolist()
    for i, t in polygons.items():
        for u, v in zip(t, t[1:] + t[:1], strict=True):
            if (v, u) in sides:
                length = (points[u][0] - points[v][0]) ** 2 + (points[u][1] - points[v][1]) ** 2
                shared.append((-length, u, v, i, sides[v, u]))
            sides[u, v] = i
    for _, u, v, i, j in sorted(shared):
        i, j = root(i), root(j)
        one, two = polygons[i], polygons[j]
        if i == j or len(one) + len(two) - 2 > CORNERS:
            continue
        k, m = one.index(u), two.index(v)
        joined = one[k + 1 :] + one[: k + 1] + (two[m + 1 :] + two[: m + 1])[1:-1]  # v .. u, then two's from u to v
        if _bends_left(points, joined):
            polygons[i] = joined
            del polygons[j]
            member[j] = i
    return list(polygons.values())


def _cross(a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.int64]:
    return a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]


def _bends_left(points: list[list[int]], polygon: list[int]) -> bool:
    """Whether each corner of a closed polygon bends to the left."""
    for p, q, r in zip(polygon[-1:] + polygon[:-1], polygon, polygon[1:] + polygon[:1], strict=True):
        (px, py), (qx, qy), (rx, ry) = points[p], points[q], points[r]
        if (qx - px) * (ry - qy) - (qy - py) * (rx - qx) <= 0:
            return False
    return True
