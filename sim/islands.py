"""Ground between lanes: medians and the islands of roundabouts, with what grows on them; drawn from the seed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from sim.geometry import Material, encode
from sim.meshes import ball, moved
from sim.palette import LEAVES, Colour
from sim.roadside import Rng, Roadside, tree
from stack.frames import F64
from stack.labels import Semantic
from stack.opendrive.geometry import lane_height
from stack.opendrive.roads import RoadMap, Strip

RAISED_M = 0.05  # above the road; where a map gives heights, lower ground is paved
BUSH_FROM_M, TREE_FROM_M = 1.8, 6.0  # width of the ground on which they grow
SPACING_M = 5.0
EDGE_M = 0.45  # from a bush to the lane
CLEAR_M = 5.0  # from lamp heads and signs


def is_paved(road_map: RoadMap, strip: Strip) -> NDArray[np.bool_]:
    """(n,) whether a median lies level with the road, at each of its stations; without heights it is green."""
    section = road_map.document.roads[strip.road].sections[strip.section]
    lane = section.lanes[strip.lane]
    low: NDArray[np.bool_] = lane_height(lane, strip.s_m - section.s_m)[0] < RAISED_M
    return low & (len(lane.height) > 0)


def plant_islands(road_map: RoadMap, strips: list[Strip], keep_clear: F64, rng: Rng, side: Roadside) -> None:
    """Bushes, and trees where there is more room, along the middle of every raised median."""
    clear = cKDTree(keep_clear) if len(keep_clear) else None
    for strip in strips:
        middle, wide = 0.5 * (strip.left_m + strip.right_m), np.hypot(*(strip.left_m - strip.right_m)[:, :2].T)
        free = ~is_paved(road_map, strip) & (wide > BUSH_FROM_M)
        last = -np.inf
        along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(middle[:, :2], axis=0).T))])
        for k in np.flatnonzero(free):
            x, y, z = middle[k]
            near = clear is not None and clear.query((x, y))[0] < CLEAR_M
            if along[k] - last < SPACING_M * (0.6 + 0.8 * rng.random()) or near:
                continue
            last = along[k]
            draws = rng.random(6)
            if wide[k] > TREE_FROM_M and draws[0] < 0.4:
                side.put(moved(tree(draws), x, y, z, yaw=6.28 * float(draws[5])), x, y, 0.0, 0.4, 0.4)
            elif draws[0] < 0.8:
                radius = min(0.5 * wide[k] - EDGE_M, 0.5 + 0.5 * draws[1])
                leaf = encode(Material.FOLIAGE, Colour.LEAF + int(draws[2] * LEAVES))
                bush = ball(1, Semantic.VEGETATION, leaf)
                side.parts.append(moved(bush, x, y, z + 0.3, scale=(radius, radius, 0.35 + 0.3 * float(draws[3]))))
