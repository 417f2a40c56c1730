"""Bridges: what carries a span. A girder with its edge beams and railings, columns where no road is below, abutments."""

from __future__ import annotations

import numpy as np
import shapely

from sim.earthworks import Earthworks, Span
from sim.geometry import Material, encode
from sim.meshes import bar, barriers, box, cylinder, moved, repeated
from sim.palette import Colour
from sim.roadside import Roadside
from stack.frames import F64
from stack.labels import Semantic

EDGE_M, KERB_M, SLAB_M, GIRDER_M = 0.35, 0.12, 0.45, 1.15  # edge beam beside the road, above it; slab, girder below it
OVERHANG_M = 1.4  # of the slab beside the girder
COLUMN_M, ASIDE_M = 0.5, 2.4  # radius; from the edge of the road below, where there is room
COLUMNS_M = 5.0  # between two columns of a row
ABUTMENT_M = 1.2
RAILING_M = 1.1
CONCRETE = encode(Material.KERB, Colour.KERB)
STEEL = encode(Material.METAL, Colour.POLE)


def bridge(span: Span, ground: Earthworks, side: Roadside) -> None:
    """Everything of a span but the road on it."""
    across = span.left_m[:, :2] - span.right_m[:, :2]
    across = across / np.linalg.norm(across, axis=1, keepdims=True)
    wide = float(np.linalg.norm(span.left_m[:, :2] - span.right_m[:, :2], axis=1).min())
    _parapet(span.left_m[::-1], across[::-1], side)
    _parapet(span.right_m, -across, side)
    middle = 0.5 * (span.left_m + span.right_m)
    half = 0.5 * wide - OVERHANG_M + EDGE_M
    girder = ((-half, -SLAB_M), (-half, -GIRDER_M), (half, -GIRDER_M), (half, -SLAB_M))
    slab = ((0.5 * wide, -SLAB_M), (-0.5 * wide, -SLAB_M))
    side.parts += [
        bar(middle, -across, girder, Semantic.BRIDGE, CONCRETE),
        bar(middle, -across, slab, Semantic.BRIDGE, CONCRETE),
    ]
    _columns(middle, half, ground, side)
    for point, ahead in ((middle[0], middle[1] - middle[0]), (middle[-1], middle[-1] - middle[-2])):
        x, y, z = point
        foot = ground.height(x, y) - z - 1.5
        wall = box(ABUTMENT_M, wide + 2.0 * EDGE_M, min(foot, -2.5), -0.1, Semantic.BRIDGE, CONCRETE)
        yaw = float(np.arctan2(ahead[1], ahead[0]))
        side.put(moved(wall, x, y, z, yaw), x, y, yaw, ABUTMENT_M, wide + 2.0 * EDGE_M)


def _parapet(edge: F64, right: F64, side: Roadside) -> None:
    """Edge beam and railing beside an edge with the bridge on its left; right: (n, 2) outward."""
    beam = ((0.0, -SLAB_M), (EDGE_M, -SLAB_M), (EDGE_M, KERB_M), (0.0, KERB_M))
    side.parts.append(bar(edge, right, beam, Semantic.BRIDGE, CONCRETE))
    middle = edge + 0.5 * EDGE_M * np.column_stack([right, np.zeros(len(edge))])
    side.boxes += barriers(middle, EDGE_M, -SLAB_M, RAILING_M)
    kind = Semantic.GUARD_RAIL
    for low, high in ((0.42, 0.5), (0.72, 0.8), (RAILING_M - 0.1, RAILING_M)):
        rail = ((0.14, low), (0.22, low), (0.22, high), (0.14, high))
        side.parts.append(bar(edge, right, rail, kind, STEEL))
    yaw = np.arctan2(right[:, 0], -right[:, 1])
    post = box(0.08, 0.08, 0.0, RAILING_M, kind, STEEL, bottom=False)
    lined = edge[:, :2] + 0.18 * right
    side.parts.append(repeated(post, np.column_stack([lined, edge[:, 2], yaw])))


def _columns(middle: F64, half_m: float, ground: Earthworks, side: Roadside) -> None:
    """Rows of columns in the gaps between the roads below, and beside the outermost ones."""
    s = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(middle[:, :2], axis=0), axis=1))])
    at = np.arange(3.0, s[-1] - 3.0, 0.25)  # its own road begins before that
    xyz = np.stack([np.interp(at, s, middle[:, k]) for k in range(3)], axis=1)
    road = shapely.contains_xy(ground.paved, xyz[:, 0], xyz[:, 1])
    change = np.flatnonzero(np.diff(road.astype(int)))
    if not len(change):
        return
    places = [
        at[change[0]] - ASIDE_M,
        at[change[-1]] + ASIDE_M,
    ]  # the first and the last change are the outermost edges
    places += [0.5 * (at[a] + at[b]) for a, b in zip(change[1:-1:2], change[2:-1:2], strict=True)]
    for where in places:
        x, y, z = (float(np.interp(where, s, middle[:, k])) for k in range(3))
        k = int(np.clip(np.searchsorted(s, where), 1, len(s) - 1))
        dx, dy = middle[k, :2] - middle[k - 1, :2]
        yaw = float(np.arctan2(dy, dx))
        count = max(round(2.0 * half_m / COLUMNS_M), 2)
        for left in half_m * (np.arange(count) * 2.0 + 1.0 - count) / count:
            px, py = x - left * np.sin(yaw), y + left * np.cos(yaw)
            foot = ground.height(px, py) - 0.6
            column = cylinder(12, COLUMN_M, foot, z - GIRDER_M + 0.02, Semantic.BRIDGE, CONCRETE)
            side.put(moved(column, px, py), px, py, yaw, 2.0 * COLUMN_M, 2.0 * COLUMN_M)
