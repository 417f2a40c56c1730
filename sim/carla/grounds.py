"""Where people walk and what they cross, as areas in the plane: sidewalks, crosswalks and roads of each storey.

World frame of the map, m; outlines in whole centimetres, so that no test of sides is in doubt.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from itertools import groupby
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from sim.scenery import FOOT, PAVED, keep_rows
from sim.walkways import JOIN_M, KERB_M
from stack.frames import F64
from stack.lanegraph import LaneGraph
from stack.messages import I32
from stack.opendrive.roads import Strip

CM = 100.0  # whole centimetres per m
DRIVEN = ("driving", "bidirectional", "entry", "exit", "onRamp", "offRamp")
KERBS = ("curb", "border")
BESIDE = ("shoulder", "border")  # where people walk on maps without sidewalks
BESIDE_M = 2.0  # of ground beside the outermost lane, where there are no shoulders either
PIECE_M = 40.0  # areas have a corner at least this often along a road
EDGE_M = 0.3  # walkers' middles stay this far from the edges of a sidewalk; beside a kerb, roads reach up to there
TOUCH_M = 0.3  # ends of strips this close meet already
STOREY_M = 2.5  # surfaces at least this far above each other lie on different storeys
STOREYS = 8  # one above the other, at most
OVERLAP_M = 0.3  # of crosswalks and sidewalks
GAP_CM = 10.0  # faces thinner than this between strips are gaps of rounding, not ground

Surfaces = dict[tuple[int, int], shapely.MultiPolygon]  # by storey and area, in cm


class Area(IntEnum):
    """CARLA's areas, most wanted first; the flag of an area is 1 << area."""

    SIDEWALK = 1
    CROSSWALK = 2
    ROAD = 3


@dataclass(frozen=True)
class Pieces:
    """Quadrilaterals of strips."""

    xyz_m: F64  # (N, 4, 3) counter-clockwise
    area: I32  # (N,)
    driven: NDArray[np.bool_]  # (N,) part of a lane for cars
    storey: I32  # (N,)

    @cached_property
    def shapes(self) -> NDArray:
        """Their outlines in whole cm."""
        return shapely.polygons(np.rint(self.xyz_m[:, :, :2] * CM))


def footed(strips: list[Strip]) -> list[tuple[Strip, Area]]:
    """Strips on which people walk or that they cross. Without sidewalks: shoulders, or ground beside the roads."""
    for kinds in (FOOT, BESIDE):
        if any(s.kind in kinds and np.abs(s.left_m - s.right_m).max() > 0.5 for s in strips):
            foot = kinds
            break
    else:
        foot, strips = FOOT, strips + _verges(strips)
    return [(s, Area.SIDEWALK if s.kind in foot else Area.ROAD) for s in strips if s.kind in (*foot, *PAVED, *KERBS)]


def _verges(strips: list[Strip]) -> list[Strip]:
    """Ground beside the outermost lanes, as sidewalks."""
    out = []
    lanes = {(s.road, s.section, s.lane) for s in strips}
    for s in strips:
        side = 1 if s.lane > 0 else -1
        if (s.road, s.section, s.lane + side) not in lanes:
            edge = s.left_m if side > 0 else s.right_m
            ahead = np.gradient(edge[:, :2], axis=0)
            ahead /= np.maximum(np.hypot(*ahead.T), 1e-9)[:, None]
            beyond = edge + side * BESIDE_M * np.column_stack([-ahead[:, 1], ahead[:, 0], np.zeros(len(edge))])
            left, right = (beyond, edge) if side > 0 else (edge, beyond)
            out.append(Strip(s.road, s.section, s.lane + side, FOOT[0], s.junction, left, right, s.s_m))
    return out


def pieces_of(strips: list[tuple[Strip, Area]]) -> tuple[Pieces, list[tuple[F64, int]]]:
    """Quadrilaterals of all strips, cut at common stations of each road, and for each end of each sidewalk its two
    corners (2, 3) and its piece."""
    quads, areas, driven = [], [], []
    ends: list[tuple[F64, int]] = []
    total = 0
    for _, group in groupby(strips, key=lambda item: (item[0].road, item[0].section)):
        section = list(group)
        rows = np.unique(np.concatenate([keep_rows(s.left_m, s.right_m, PIECE_M) for s, _ in section]))
        foot = [s.lane for s, area in section if area == Area.SIDEWALK]
        for s, area in section:
            left, right = s.left_m[rows], s.right_m[rows]
            if area == Area.SIDEWALK:
                left, right = _narrowed(left, right, s.lane + 1 in foot, s.lane - 1 in foot)
            quads.append(np.stack([right[:-1], right[1:], left[1:], left[:-1]], axis=1))
            areas.append(np.full(len(rows) - 1, area, np.int32))
            driven.append(np.full(len(rows) - 1, area == Area.ROAD and s.kind in DRIVEN))
            if area == Area.SIDEWALK:
                ends.append((np.stack([left[0], right[0]]), total))
                ends.append((np.stack([left[-1], right[-1]]), total + len(rows) - 2))
            total += len(rows) - 1
    xyz = np.concatenate(quads)
    return Pieces(xyz, np.concatenate(areas), np.concatenate(driven), _storeys(xyz)), ends


def _narrowed(left: F64, right: F64, goes_on_left: bool, goes_on_right: bool) -> tuple[F64, F64]:
    """Edges beyond which there is no more sidewalk moved inwards by EDGE_M, a quarter of the width at most."""
    across = right - left
    width = np.maximum(np.hypot(across[:, 0], across[:, 1]), 1e-9)[:, None]
    inward = across * np.minimum(EDGE_M / width, 0.25)
    return left + inward * (not goes_on_left), right - inward * (not goes_on_right)


def _storeys(xyz_m: F64) -> I32:
    """(N,) 0 for what lies on nothing, above that one more than what lies below it."""
    storey = np.zeros(len(xyz_m), np.int32)
    shapes = shapely.polygons(xyz_m[:, :, :2])
    a, b = shapely.STRtree(shapes).query(shapes)
    a, b = (side[xyz_m[a, :, 2].min(axis=1) > xyz_m[b, :, 2].min(axis=1) + 0.5] for side in (a, b))  # a above b
    shared = shapely.intersection(shapely.make_valid(shapes[a]), shapely.make_valid(shapes[b]))
    a, b, shared = (side[shapely.area(shared) > 0.1] for side in (a, b, shared))
    middle = shapely.get_coordinates(shapely.centroid(shared))
    above = _plane(xyz_m[a], middle) - _plane(xyz_m[b], middle)
    upper, lower = np.where(above > 0, a, b), np.where(above > 0, b, a)
    upper, lower = upper[np.abs(above) > STOREY_M], lower[np.abs(above) > STOREY_M]
    for _ in range(STOREYS):
        np.maximum.at(storey, upper, storey[lower] + 1)
    return storey


def _plane(xyz_m: F64, xy_m: F64) -> F64:
    """Heights at (n, 2) on the planes nearest to n quadrilaterals (n, 4, 3), never beyond those of their corners."""
    middle = xyz_m.mean(axis=1)
    d = xyz_m - middle[:, None]
    xx, xy, yy = (d[:, :, 0] ** 2).sum(1) + 1e-3, (d[:, :, 0] * d[:, :, 1]).sum(1), (d[:, :, 1] ** 2).sum(1) + 1e-3
    xz, yz = (d[:, :, 0] * d[:, :, 2]).sum(1), (d[:, :, 1] * d[:, :, 2]).sum(1)
    slope = np.stack([xz * yy - yz * xy, yz * xx - xz * xy], axis=1) / (xx * yy - xy**2)[:, None]
    z = middle[:, 2] + (slope * (xy_m - middle[:, :2])).sum(axis=1)
    return np.clip(z, xyz_m[:, :, 2].min(axis=1), xyz_m[:, :, 2].max(axis=1))


def heights(pieces: Pieces, area: int, storey: int, xy_cm: F64) -> F64:
    """Heights at (n, 2) cm of the nearest strips: of sidewalks on a sidewalk, of roads elsewhere."""
    here = pieces.storey == storey
    own = here & ((pieces.area == Area.SIDEWALK) == (area == Area.SIDEWALK))
    chosen = np.flatnonzero(own if own.any() else here)
    nearest = shapely.STRtree(pieces.shapes[chosen]).query_nearest(shapely.points(xy_cm), all_matches=False)[1]
    return _plane(pieces.xyz_m[chosen[nearest]], xy_cm / CM)


def surfaces_of(pieces: Pieces, ends: list[tuple[F64, int]], graph: LaneGraph) -> Surfaces:
    """What is walked on by (storey, area), in cm; sidewalks without what lies in a lane."""
    shapes = pieces.shapes
    foot = pieces.area == Area.SIDEWALK
    joins, crossings = _joins(pieces, ends), _crossings(pieces, shapes, graph)
    out = {}
    for level in range(int(pieces.storey.max()) + 1):
        here = pieces.storey == level
        lanes = _union(shapes[here & pieces.driven])
        walks = _union([*shapes[here & foot], *(shape for shape, storey in joins if storey == level)])
        out[level, Area.SIDEWALK] = _union(shapely.difference(walks, lanes, grid_size=1.0))
        out[level, Area.CROSSWALK] = _union([shape for shape, storey in crossings if storey == level])
        roads = _union([lanes, *shapes[here & ~foot & ~pieces.driven]])
        out[level, Area.ROAD] = _union(shapely.buffer(roads, EDGE_M * CM + GAP_CM, join_style="mitre", mitre_limit=2.0))
    return {key: surface for key, surface in out.items() if not surface.is_empty}


def _union(shapes: Any) -> shapely.MultiPolygon:
    """What the shapes cover, with corners on whole cm; without the lines and points to which some of them shrink.

    Pieces cross themselves where a lane is narrower than its bend."""
    parts = shapely.get_parts(shapely.make_valid(shapes))
    whole = shapely.get_parts(shapely.union_all(parts[shapely.area(parts) > 1.0], grid_size=1.0))
    return shapely.MultiPolygon([part for part in whole if part.geom_type == "Polygon"])


def _joins(pieces: Pieces, ends: list[tuple[F64, int]]) -> list[tuple[shapely.Geometry, int]]:
    """Ground between ends of sidewalks that belong together without meeting, and its storey."""
    if not ends:
        return []
    corners = np.array([e for e, _ in ends])
    middle = corners.mean(axis=1)
    out = []
    for i, (own, piece) in enumerate(ends):
        apart = np.hypot(*(middle[:, :2] - middle[i, :2]).T)
        apart[np.abs(middle[:, 2] - middle[i, 2]) > 2.0] = np.inf
        apart[i - i % 2 : i - i % 2 + 2] = np.inf
        k = int(np.argmin(apart))
        if TOUCH_M < apart[k] < JOIN_M:
            hull = shapely.MultiPoint(np.rint(np.concatenate([own, corners[k]])[:, :2] * CM)).convex_hull
            out.append((hull, int(pieces.storey[piece])))
    return [item for item in out if item[0].area > 1.0]


def _crossings(pieces: Pieces, shapes: NDArray, graph: LaneGraph) -> list[tuple[shapely.Geometry, int]]:
    """Crosswalks, lengthened until they reach the sidewalks, and their storeys."""
    out = []
    foot = np.flatnonzero(pieces.area == Area.SIDEWALK)
    every, walks = shapely.STRtree(shapes), shapely.STRtree(shapes[foot])
    for quad in graph.crosswalk_xyz_m:
        near = every.query(shapely.Polygon(quad[:, :2] * CM), predicate="intersects")
        if not len(near):
            continue
        apart = np.abs(pieces.xyz_m[near, :, 2].mean(axis=1) - quad[:, 2].mean())
        storey = int(pieces.storey[near[np.argmin(apart)]])
        corners = [quad[:, :2] * CM]
        for kerb, other in ((quad[:2, :2], quad[2:, :2]), (quad[2:, :2], quad[:2, :2])):
            middle, outward = kerb.mean(axis=0) * CM, kerb.mean(axis=0) - other.mean(axis=0)
            found = walks.query_nearest(shapely.Point(middle), max_distance=KERB_M * CM, all_matches=False)
            if len(found):
                reach = shapely.distance(shapes[foot[found[0]]], shapely.Point(middle)) + OVERLAP_M * CM
                corners.append(kerb * CM + outward / max(float(np.hypot(*outward)), 1e-9) * reach)
        out.append((shapely.MultiPoint(np.rint(np.concatenate(corners))).convex_hull, storey))
    return out
