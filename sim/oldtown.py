"""What stands along the streets of an old town: tall houses wall to wall, close to the sidewalk; lamps; drawn from the seed."""

from __future__ import annotations

import numpy as np
import shapely
from scipy.spatial import cKDTree

from sim.meshes import moved
from sim.roadside import Ground, Rng, Roadside, is_free, outer_edges, place_at, put_building, street_lamp, tree, walk
from stack.frames import F64
from stack.opendrive.roads import Strip

FRONT_M = (8.0, 15.0)  # width of a house
DEPTH_M = (9.0, 13.0)
BACK_M = 0.25  # from the sidewalk to a house
CORNER_M = 4.0  # the first and last house of a row reach round the corner by as much, where there is room
PASSAGE = 0.06  # share of houses with a way through beside them
LAMPS_M = 24.0


def line_old_streets(strips: list[Strip], ground: Ground, keep_clear: F64, rng: Rng, side: Roadside) -> None:
    """Walk along the outer edges of streets, with the road on the left, and put up houses where there is room."""
    edges = outer_edges(strips)
    clear = cKDTree(keep_clear) if len(keep_clear) else None
    for line in edges:
        _row_of_houses(line, ground, side, rng)
    for line in edges:
        _lamps_and_trees(line, ground, side, clear, rng)


def _row_of_houses(line: F64, ground: Ground, side: Roadside, rng: Rng) -> None:
    s, line = walk(line)
    where = -CORNER_M
    while where < s[-1] + CORNER_M - FRONT_M[0]:
        length, depth = float(rng.uniform(*FRONT_M)), float(rng.uniform(*DEPTH_M))
        draws = rng.random(8)
        draws[2] = 0.3 + 0.7 * draws[2]  # three storeys and more
        for front, deep in ((length, depth), (0.7 * length, 0.6 * depth)):  # a smaller one where that has no room
            x, y, yaw = place_at(line, s, where + 0.5 * front)
            sag = front**2 * abs(_bend(line, s, where + 0.5 * front)) / 8.0  # of a chord in a bend
            off = BACK_M + sag + 0.5 * deep
            cx, cy = x + off * np.sin(yaw), y - off * np.cos(yaw)
            plan = shapely.box(cx - front / 2, cy - deep / 2, cx + front / 2, cy + deep / 2)
            shape = shapely.affinity.rotate(plan, np.rad2deg(yaw))
            if is_free(shape, ground, side, 0.02):
                side.take(shape)
                put_building(side, cx, cy, yaw, front, deep, ground.height(cx, cy), True, draws)
                where += front + 0.05 + (3.0 if rng.random() < PASSAGE else 0.0)
                break
        else:
            where += 2.0


def _bend(line: F64, s: F64, where: float) -> float:
    """Curvature of a line, 1/m, over some ten metres."""
    a, b = (place_at(line, s, where + half)[2] for half in (-5.0, 5.0))
    return float(np.sin(b - a)) / 10.0


def _lamps_and_trees(line: F64, ground: Ground, side: Roadside, clear: cKDTree | None, rng: Rng) -> None:
    """Lamps in front of the houses, and trees in the yards behind them."""
    s, line = walk(line)
    for where in np.arange(12.0, s[-1] - 8.0, LAMPS_M):
        x, y, yaw = place_at(line, s, float(where) + float(rng.uniform(-2.0, 2.0)))
        px, py = x - 0.25 * np.sin(yaw), y + 0.25 * np.cos(yaw)
        if clear is None or clear.query((px, py))[0] > 6.0:
            lamp = moved(street_lamp(), px, py, ground.height(px, py), yaw + np.pi / 2)
            side.put(lamp, px, py, yaw, 0.2, 0.2)
    for _ in range(int(s[-1] / 20.0)):
        x, y, yaw = place_at(line, s, float(rng.uniform(0.0, s[-1])))
        out, draws = float(rng.uniform(15.0, 30.0)), rng.random(6)
        px, py = x + out * np.sin(yaw), y - out * np.cos(yaw)
        if is_free(shapely.Point(px, py).buffer(1.5), ground, side, 0.5):
            place = px, py, ground.height(px, py) - 0.1
            side.put(moved(tree(draws), *place, yaw=6.28 * float(draws[5])), px, py, 0.0, 0.4, 0.4)
