"""What stands beside country roads: woods, fields with hedges and fences, farms, delineator posts; drawn from the seed."""

from __future__ import annotations

import numpy as np
import shapely
from scipy.spatial import cKDTree

from sim.geometry import Material, Mesh, encode
from sim.meshes import box, moved
from sim.palette import Colour
from sim.roadside import Ground, Rng, Roadside, is_free, outer_edges, place_at, put_building, put_front, tree, walk
from stack.frames import F64
from stack.labels import Semantic
from stack.opendrive.roads import Strip

STRETCH_M = (50.0, 190.0)  # of one kind of land
POSTS_M = 50.0
WOOD_PER_M, WOOD_DEEP_M = 0.3, 32.0
ALOFT_M = 1.0  # an edge so high over the ground is a bridge's
SIGHT_M = 22.0  # nothing high so near to the end of a road


def line_country_roads(strips: list[Strip], ground: Ground, keep_clear: F64, rng: Rng, side: Roadside) -> None:
    """Walk along the outer edges of country roads, with the road on the left, and put things up where there is room."""
    clear = cKDTree(keep_clear) if len(keep_clear) else None
    for line in outer_edges(strips):
        s, line = walk(line)
        fill_land(line, s, ground, side, rng)
        put_delineators(line, s, np.arange(12.0, s[-1] - 10.0, POSTS_M), 0.5, clear, 2.0, ground, side)


def fill_land(line: F64, s: F64, ground: Ground, side: Roadside, rng: Rng, beyond_m: float = 0.0) -> None:
    """Woods, farms and fields along a road's edge, from so far beyond it where they would stand right beside it."""
    where = SIGHT_M
    while where < s[-1] - SIGHT_M:
        end = min(where + float(rng.uniform(*STRETCH_M)), float(s[-1]) - SIGHT_M)
        draw = float(rng.random())
        if draw < 0.42:
            _wood(line, s, where, end, ground, side, rng, beyond_m)
        elif draw < 0.56:
            _farm(line, s, 0.5 * (where + end), ground, side, rng, beyond_m)
        else:
            _field(line, s, where, end, ground, side, rng, beyond_m)
        where = end


def _wood(
    line: F64, s: F64, start: float, end: float, ground: Ground, side: Roadside, rng: Rng, beyond_m: float
) -> None:
    """Trees, denser towards the road, where the eye is."""
    for _ in range(int((end - start) * WOOD_PER_M)):
        where, out = float(rng.uniform(start, end)), 3.5 + beyond_m + WOOD_DEEP_M * float(rng.random()) ** 2
        draws = rng.random(6)
        draws[3] *= 0.4 if draws[0] < 0.5 else 1.0  # every other one may be a conifer
        put_tree(line, s, where, out, draws, ground, side)


def put_tree(line: F64, s: F64, where: float, out: float, draws: F64, ground: Ground, side: Roadside) -> None:
    """A tree `out` metres from the road, if there is room."""
    x, y, yaw = place_at(line, s, where)
    px, py = x + out * np.sin(yaw), y - out * np.cos(yaw)
    if is_free(shapely.Point(px, py).buffer(1.0), ground, side, 1.5):
        place = px, py, ground.height(px, py) - 0.1
        side.put(moved(tree(draws), *place, yaw=6.28 * float(draws[5]), scale=1.3), px, py, 0.0, 0.5, 0.5)


def _field(
    line: F64, s: F64, start: float, end: float, ground: Ground, side: Roadside, rng: Rng, beyond_m: float
) -> None:
    """Open land behind a hedge, a fence or nothing, and a lone tree now and then."""
    rows = (s >= start) & (s <= end)
    draw = float(rng.random())
    if draw < 0.6 and rows.sum() > 3:
        part_s, part = walk(line[rows])
        put_front(
            part,
            part_s,
            ground,
            side,
            hedge=draw < 0.25 or beyond_m > 0.0,
            height=1.0 + 0.5 * draw,
            setback=3.0 + beyond_m + 4.0 * draw,
        )
    if rng.random() < 0.5:
        where, out = float(rng.uniform(start, end)), beyond_m + float(rng.uniform(6.0, 40.0))
        put_tree(line, s, where, out, rng.random(6), ground, side)


def _farm(line: F64, s: F64, where: float, ground: Ground, side: Roadside, rng: Rng, beyond_m: float) -> None:
    """A house and barns round a yard, well back from the road."""
    x, y, yaw = place_at(line, s, where)
    back = beyond_m + float(rng.uniform(14.0, 26.0))
    sizes = ((12.0, 9.0), (24.0, 11.0), (18.0, 10.0))
    for k in range(int(rng.integers(1, 4))):
        along, out = (-16.0, 0.0, 20.0)[k], back + (0.0, 20.0, 4.0)[k]
        length, depth = sizes[k][0] * float(rng.uniform(0.85, 1.2)), sizes[k][1]
        cx = x + along * np.cos(yaw) + out * np.sin(yaw)
        cy = y + along * np.sin(yaw) - out * np.cos(yaw)
        turned = yaw + (0.5 * np.pi if k == 2 else 0.0)
        plan = shapely.box(cx - length / 2, cy - depth / 2, cx + length / 2, cy + depth / 2)
        shape = shapely.affinity.rotate(plan, np.rad2deg(turned))
        if is_free(shape, ground, side, 2.0):
            side.take(shape)
            put_building(side, cx, cy, turned, length, depth, ground.height(cx, cy), False, rng.random(8))


def put_delineators(
    line: F64, s: F64, places: F64, out_m: float, clear: cKDTree | None, clear_m: float, ground: Ground, side: Roadside
) -> None:
    """Posts at distances along a road's edge, so far beside it; none on a bridge: they would stand on the road below."""
    for where in places:
        x, y, yaw = place_at(line, s, float(where))
        px, py = x + out_m * np.sin(yaw), y - out_m * np.cos(yaw)
        base = ground.height(px, py)
        aloft = float(np.interp(where, s, line[:, 2])) > base + ALOFT_M
        if not aloft and (clear is None or clear.query((px, py))[0] > clear_m):
            side.parts.append(moved(delineator(), px, py, base, yaw))


def delineator() -> Mesh:
    """A delineator: white with a black band."""
    white, black = encode(Material.PLAIN, Colour.WHITE), encode(Material.PLAIN, Colour.SIGN_BLACK)
    parts = [
        box(0.1, 0.1, z0, z1, Semantic.STATIC, look, bottom=False)
        for z0, z1, look in ((-0.3, 0.68, white), (0.68, 0.86, black), (0.86, 1.0, white))
    ]
    return Mesh.join(parts)
