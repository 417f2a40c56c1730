"""Ground below and beside roads that pass over one another: embankments, cuttings, and spans that stand on nothing.

The lie of the land is a smooth mean of the roads' heights where they run level with their surroundings. Roads above it stand on
embankments, roads below it lie in cuttings, both with slopes of SLOPE behind a berm; a cutting wins over an embankment.
Where a road is so high above another one that the slope of the cutting would not reach up to it, it is a span.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import shapely
from scipy.ndimage import map_coordinates
from scipy.spatial import cKDTree

from sim.roadside import FINE_M, MARGIN_M, Ground
from stack.frames import F64
from stack.opendrive.roads import Strip

SLOPE = 0.5  # rise over run of embankments and cuttings
BERM_M = 2.0  # level ground beside a road
SPAN_M = 0.5  # a road farther above the slope of what it crosses is a span
REACH_M = 30.0  # what lies farther off does not shape an embankment
LAND_M, LAND_STEP = 30.0, 12  # how smooth the land is; every so manieth point tells its height
LEVEL_M, AROUND_M = 1.0, 100.0  # a road no higher than this above the lowest road around runs level with the land


@dataclass(frozen=True)
class Span:
    """A stretch of road in the air: its two edges from end to end, left as seen along them."""

    road: str
    left_m: F64  # (n, 3)
    right_m: F64  # (n, 3)

    @property
    def area(self) -> shapely.Polygon:
        return shapely.Polygon(np.concatenate([self.left_m[:, :2], self.right_m[::-1, :2]]))


class Earthworks(Ground):
    """Ground with embankments and cuttings; heights are those of the terrain's fine cells."""

    def __init__(self, strips: list[Strip], aloft: list[np.ndarray]) -> None:
        """aloft: for each strip, at which of its stations it is a span."""
        super().__init__(strips)
        self.spans = list(_spans(strips, aloft))
        standing = [part for strip, mask in zip(strips, aloft, strict=True) for part in _parts(strip, ~mask)]
        shapes = [shapely.Polygon(np.concatenate([s.left_m[:, :2], s.right_m[::-1, :2]])).buffer(0.0) for s in standing]
        self.floor = shapely.unary_union(shapes).buffer(0.05)
        self.paved = shapely.unary_union(
            [p for p, s in zip(shapes, standing, strict=True) if s.kind not in ("sidewalk", "none", "median")]
        ).buffer(0.3)
        shapely.prepare(self.floor)
        shapely.prepare(self.paved)
        self._low = self.points[:, :2].min(axis=0) - MARGIN_M
        size = np.ceil((self.points[:, :2].max(axis=0) + MARGIN_M - self._low) / FINE_M).astype(int) + 9
        cells = np.stack(np.meshgrid(*(np.arange(n) for n in size), indexing="ij"), axis=-1).reshape(-1, 2)
        self._grid = _shaped(strips, standing, self._low + FINE_M * cells).reshape(size)

    def heights(self, xy_m: F64) -> F64:
        """(N,) ground height, between the corners of the cell that each point is in."""
        cell = (np.asarray(xy_m) - self._low) / FINE_M
        out: F64 = map_coordinates(self._grid, cell.T, order=1, mode="nearest")
        return out


def ground_of(strips: list[Strip]) -> Ground:
    """Earthworks where roads pass over one another, else plain ground that follows the roads."""
    aloft = _aloft(strips)
    return Earthworks(strips, aloft) if any(mask.any() for mask in aloft) else Ground(strips)


def _edges(strips: list[Strip]) -> dict[str, F64]:
    """Points on the edges of each road's strips."""
    out: dict[str, list[F64]] = {}
    for strip in strips:
        out.setdefault(strip.road, []).extend((strip.left_m, strip.right_m))
    return {road: np.concatenate(parts) for road, parts in out.items()}


def _near(tree: cKDTree, low: F64, high: F64, xy: F64) -> tuple[F64, np.ndarray, np.ndarray]:
    """Rows of xy within REACH_M of a road whose points lie between low and high, their distance, the nearest point."""
    rows = np.flatnonzero(((xy > low - REACH_M) & (xy < high + REACH_M)).all(axis=1))
    distance, index = tree.query(xy[rows], distance_upper_bound=REACH_M)
    found = np.isfinite(distance)
    return distance[found], rows[found], index[found]


def _slope_m(distance: F64) -> F64:
    """Height gained by a slope that begins behind the berm."""
    return SLOPE * np.maximum(distance - BERM_M, 0.0)


def _aloft(strips: list[Strip]) -> list[np.ndarray]:
    """For each strip, at which of its stations it is a span."""
    edges = _edges(strips)
    out = [np.zeros(len(strip.s_m), bool) for strip in strips]
    both = [np.concatenate([strip.left_m, strip.right_m]) for strip in strips]
    owner = np.concatenate([np.full(len(p), k) for k, p in enumerate(both)])
    points, roads = np.concatenate(both), np.array([strip.road for strip in strips])[owner]
    station = np.concatenate([np.tile(np.arange(len(strip.s_m)), 2) for strip in strips])
    for road, own in edges.items():
        higher = np.flatnonzero((roads != road) & (points[:, 2] > own[:, 2].min() + SPAN_M))
        tree = cKDTree(own[:, :2])
        distance, rows, index = _near(tree, own[:, :2].min(axis=0), own[:, :2].max(axis=0), points[higher, :2])
        above = points[higher[rows], 2] - own[index, 2] - _slope_m(distance) > SPAN_M
        for k in higher[rows[above]]:
            out[owner[k]][station[k]] = True
    return out


def _parts(strip: Strip, wanted: np.ndarray) -> Iterator[Strip]:
    """The runs of a strip's stations that are wanted, each with one more station at either end."""
    edge = np.flatnonzero(np.diff(np.concatenate([[0], wanted.astype(int), [0]])))
    for start, end in zip(edge[::2], edge[1::2], strict=True):
        rows = slice(max(start - 1, 0), min(end + 1, len(wanted)))
        if rows.stop - rows.start > 1:
            yield replace(strip, left_m=strip.left_m[rows], right_m=strip.right_m[rows], s_m=strip.s_m[rows])


def _spans(strips: list[Strip], aloft: list[np.ndarray]) -> Iterator[Span]:
    """The spans of each road section, from its outermost left edge to its outermost right one."""
    sections: dict[tuple[str, int], list[int]] = {}
    for k, strip in enumerate(strips):
        sections.setdefault((strip.road, strip.section), []).append(k)
    for (road, _), members in sections.items():
        mask = np.logical_or.reduce([aloft[k] for k in members])
        first, last = max(members, key=lambda k: strips[k].lane), min(members, key=lambda k: strips[k].lane)
        whole = replace(strips[first], right_m=strips[last].right_m)
        for part in _parts(whole, mask):
            yield Span(road, part.left_m, part.right_m)


def _shaped(strips: list[Strip], standing: list[Strip], xy: F64) -> F64:
    """(N,) heights of the land with its embankments and cuttings."""
    z = _land(np.concatenate(list(_edges(strips).values())), xy)
    for road in _edges(standing).values():
        distance, rows, index = _near(cKDTree(road[:, :2]), road[:, :2].min(axis=0), road[:, :2].max(axis=0), xy)
        np.maximum.at(z, rows, road[index, 2] - _slope_m(distance))
    for road in _edges(standing).values():
        distance, rows, index = _near(cKDTree(road[:, :2]), road[:, :2].min(axis=0), road[:, :2].max(axis=0), xy)
        np.minimum.at(z, rows, road[index, 2] + _slope_m(distance))
    return z


def _land(points: F64, xy: F64) -> F64:
    """(N,) smooth height of the land: a mean of the roads level with it, the nearest ones weighing most."""
    some = points[::LAND_STEP]
    around = cKDTree(some[:, :2]).query_ball_point(some[:, :2], AROUND_M)
    lowest = np.array([some[near, 2].min() for near in around])
    some = some[some[:, 2] < lowest + LEVEL_M][::8]
    middle = some[:, :2].mean(axis=0)  # squares of distances lose digits far from the origin
    at = some[:, :2] - middle
    out = np.empty(len(xy))
    for start in range(0, len(xy), 4096):
        part = xy[start : start + 4096] - middle
        wide = part @ (-2.0 * at.T)  # squared distance + LAND_M^2, as a matrix product: a wide map has 10^8 of them
        wide += (part**2).sum(axis=1)[:, None] + ((at**2).sum(axis=1) + LAND_M**2)
        weight = 1.0 / (wide * wide)
        out[start : start + 4096] = (weight @ some[:, 2]) / weight.sum(axis=1)
    return out
