"""What stands beside motorways: guard rails, a planted median, delineators, a noise barrier before houses, open land."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import shapely
from scipy.spatial import cKDTree

from sim.countryside import fill_land, put_delineators, put_tree
from sim.earthworks import Earthworks
from sim.geometry import Material, Mesh, encode
from sim.meshes import ball, bar, barriers, box, cylinder, moved, repeated
from sim.palette import LEAVES, Colour
from sim.roadside import Ground, Rng, Roadside, is_free, outer_edges, place_at, put_building, walk
from stack.frames import F64
from stack.labels import Semantic
from stack.opendrive.roads import Strip

RAIL_M, RAIL_POST_M, RAIL_FOOT_M = 0.5, 4.0, -0.4  # from the edge of the road; between two posts; in the ground
# a W beam as a profile of sim/meshes.py's bar, with the road on its left
RAIL = ((0.0, 0.44), (0.0, 0.75), (-0.1, 0.68), (-0.03, 0.595), (-0.1, 0.51))
STEEP_M, STEEP_AT_M = 1.5, 6.0  # a country road has rails where the ground is so much lower so far beside it
CLEAR_M = 8.0  # nothing grows so near to a motorway
LAND_M = 9.0  # woods, fields and farms begin so much farther away than beside country roads
FAR_M, FAR_EVERY_M, FAR_SHARE = (50.0, 85.0), 8.0, 0.4
DELINEATOR_M = 50.0
BUSH_M = 5.0
BARRIER_M, BARRIER_HIGH_M, PANEL_M = 3.0, 4.0, 4.0
ESTATES = 2  # stretches with houses behind a noise barrier
ESTATE_FROM_M = 150.0  # least length of such a stretch


def clear_zone(strips: list[Strip], ground: Earthworks, side: Roadside) -> None:
    """Keep the surroundings of motorways and bridges free of trees and houses."""
    for span in ground.spans:
        side.take(span.area.buffer(2.0 * CLEAR_M))
    for strip in strips:
        for k in range(0, len(strip.s_m) - 1, 8):
            line = np.concatenate([strip.left_m[k : k + 9, :2], strip.right_m[k : k + 9, :2][::-1]])
            side.take(shapely.Polygon(line).buffer(CLEAR_M, quad_segs=2))


# ---------------------------------------------------------------- guard rails


def guard_rails(strips: list[Strip], motorway: list[Strip], ground: Earthworks, side: Roadside) -> None:
    """Along both edges of motorways and their ramps, in the median, and along other roads where the ground falls away.

    None on a span, which has its parapets.
    """
    aloft = shapely.unary_union([span.area for span in ground.spans])
    roads = {strip.road for strip in motorway}
    spans = {span.road for span in ground.spans}
    for road, line in _borders(strips):
        right = _right(line)
        beyond = line[:, :2] + 1.0 * right
        wanted = ~shapely.contains_xy(ground.paved, beyond[:, 0], beyond[:, 1])
        if road not in roads:
            wanted &= ground.heights(line[:, :2] + STEEP_AT_M * right) < line[:, 2] - STEEP_M
        if road in spans:
            wanted &= ~shapely.contains_xy(aloft.buffer(0.3), line[:, 0], line[:, 1])
        for start, end in _runs(wanted):
            _rail(line[start:end], right[start:end], side)
    for strip in motorway:
        if strip.kind == "median":
            line = strip.right_m[::-1]
            _rail(line, _right(line), side)


def _borders(strips: list[Strip]) -> Iterator[tuple[str, F64]]:
    """The two outer edges of each road section, junctions too, with the road on their left; but not a median's middle."""
    sections: dict[tuple[str, int], list[Strip]] = {}
    for strip in strips:
        sections.setdefault((strip.road, strip.section), []).append(strip)
    for (road, _), members in sections.items():
        yield road, min(members, key=lambda s: s.lane).right_m
        left = max(members, key=lambda s: s.lane)
        if left.lane > 0:
            yield road, left.left_m[::-1]


def _right(line: F64) -> F64:
    """(n, 2) unit vectors to the right of a line."""
    tangent = np.gradient(line[:, :2], axis=0)
    tangent /= np.maximum(np.linalg.norm(tangent, axis=1, keepdims=True), 1e-9)
    return np.stack([tangent[:, 1], -tangent[:, 0]], axis=1)


def _runs(wanted: np.ndarray) -> Iterator[tuple[int, int]]:
    """First and past-the-last index of each run of at least three."""
    change = np.flatnonzero(np.diff(np.concatenate([[0], wanted.astype(int), [0]])))
    for start, end in zip(change[::2], change[1::2], strict=True):
        if end - start >= 3:
            yield int(start), int(end)


def _rail(edge: F64, right: F64, side: Roadside) -> None:
    """A rail beside an edge, on posts, with boxes of contact."""
    s, _ = walk(edge)
    count = max(round(s[-1] / RAIL_POST_M), 1)
    at = np.linspace(0.0, s[-1], count + 1)
    line = np.stack([np.interp(at, s, edge[:, k]) for k in range(3)], axis=1)
    out = np.stack([np.interp(at, s, right[:, k]) for k in range(2)], axis=1)
    line[:, :2] += RAIL_M * out
    steel = Semantic.GUARD_RAIL, encode(Material.METAL, Colour.METAL)
    keep = np.unique([*range(0, count + 1, 2), count])
    side.parts.append(bar(line[keep], out[keep], RAIL, *steel))
    side.boxes += barriers(line, 0.15, RAIL_FOOT_M, RAIL[1][1])
    yaw = np.arctan2(out[:, 0], -out[:, 1])
    post = moved(cylinder(3, 0.06, RAIL_FOOT_M, 0.72, *steel), y=-0.06)
    side.parts.append(repeated(post, np.column_stack([line, yaw])))


# ---------------------------------------------------------------- beyond the rails


def line_motorways(strips: list[Strip], ground: Ground, keep_clear: F64, rng: Rng, side: Roadside) -> None:
    """Delineators, the median's bushes, and the land beyond the rails; two stretches have houses behind a barrier."""
    clear = cKDTree(keep_clear) if len(keep_clear) else None
    _bushes([strip for strip in strips if strip.kind == "median"], rng, side)
    edges = outer_edges(strips)
    long = [k for k, line in enumerate(edges) if walk(line)[0][-1] > ESTATE_FROM_M and _has_room(line, ground)]
    estates = rng.choice(long, min(ESTATES, len(long)), replace=False).tolist() if long else []
    for k, line in enumerate(edges):
        s, line = walk(line)
        if k in estates:
            _barrier(line, s, ground, side)
            _estate(line, s, ground, side, rng)
        else:
            fill_land(line, s, ground, side, rng, LAND_M)
            _far_trees(line, s, ground, side, rng)
        put_delineators(line, s, np.arange(0.5 * DELINEATOR_M, s[-1], DELINEATOR_M), 0.9, clear, 1.0, ground, side)


def _has_room(line: F64, ground: Ground) -> bool:
    """Does no road cross or join where a barrier would stand?"""
    return not ground.area.intersects(shapely.LineString(line[:, :2] + BARRIER_M * _right(line)).buffer(1.0))


def _far_trees(line: F64, s: F64, ground: Ground, side: Roadside, rng: Rng) -> None:
    """Trees on the horizon."""
    for where in np.arange(0.0, s[-1], FAR_EVERY_M):
        out, draws = float(rng.uniform(*FAR_M)), rng.random(6)
        if rng.random() < FAR_SHARE:
            put_tree(line, s, float(where), out, draws, ground, side)


def _bushes(medians: list[Strip], rng: Rng, side: Roadside) -> None:
    """Low bushes in the middle of the median, in stretches; each median once, from the carriageway it lies left of."""
    for strip in medians:
        s, line = walk(strip.left_m)
        draws = rng.random(4)
        start, end = np.sort(draws[:2]) * s[-1]
        if strip.junction >= 0 or draws[2] < 0.35:
            continue
        places = np.array([(*place_at(line, s, float(where)), float(where)) for where in np.arange(start, end, BUSH_M)])
        if not len(places):
            continue
        z = np.interp(places[:, 3], s, line[:, 2]) - 0.1
        leaf = ball(1, Semantic.VEGETATION, encode(Material.FOLIAGE, Colour.LEAF + int(draws[3] * LEAVES)))
        bush = moved(leaf, 0.0, 0.0, 0.45, scale=(1.3, 0.55, 0.75))
        side.parts.append(repeated(bush, np.column_stack([places[:, :2], z, places[:, 2]])))


def _barrier(line: F64, s: F64, ground: Ground, side: Roadside) -> None:
    """Panels between posts, on a concrete foot."""
    wood = encode(Material.FENCE, Colour.WOOD)
    concrete = encode(Material.KERB, Colour.KERB)
    panel = Mesh.join([
        box(PANEL_M, 0.14, 0.4, BARRIER_HIGH_M, Semantic.WALL, wood),
        box(PANEL_M, 0.2, -0.6, 0.4, Semantic.WALL, concrete, bottom=False),
        box(0.22, 0.24, -0.6, BARRIER_HIGH_M + 0.1, Semantic.WALL, encode(Material.METAL, Colour.POLE), 0.5 * PANEL_M),
    ])  # fmt: skip
    for where in np.arange(0.0, s[-1] - PANEL_M, PANEL_M):
        x, y, yaw = place_at(line, s, float(where) + 0.5 * PANEL_M)
        px, py = x + BARRIER_M * np.sin(yaw), y - BARRIER_M * np.cos(yaw)
        side.put(moved(panel, px, py, ground.height(px, py), yaw), px, py, yaw, PANEL_M, 0.2)


def _estate(line: F64, s: F64, ground: Ground, side: Roadside, rng: Rng) -> None:
    """Two rows of houses behind the barrier."""
    for out in (18.0, 44.0):
        where = 10.0
        while where < s[-1] - 10.0:
            length, depth = float(rng.uniform(10.0, 15.0)), float(rng.uniform(8.0, 11.0))
            x, y, yaw = place_at(line, s, where)
            cx, cy = x + out * np.sin(yaw), y - out * np.cos(yaw)
            plan = shapely.box(cx - length / 2, cy - depth / 2, cx + length / 2, cy + depth / 2)
            shape = shapely.affinity.rotate(plan, np.rad2deg(yaw))
            draws = rng.random(8)
            if is_free(shape, ground, side, 2.0):
                side.take(shape)
                put_building(side, cx, cy, yaw, length, depth, ground.height(cx, cy), False, draws)
            where += length + float(rng.uniform(5.0, 12.0))
