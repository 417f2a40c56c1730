"""Lane graph and road map -> static triangles: roads with paint, kerbs, ground, buildings, lights, signs, green.

Everything is a pure function of (map, seed). Layers that would lie in one plane are kept 1-2 cm apart. World
frame, m.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
import shapely
from numpy.typing import NDArray

from sim.boards import boards
from sim.bridges import bridge
from sim.countryside import line_country_roads
from sim.earthworks import Earthworks, ground_of
from sim.geometry import Material, Mesh, encode
from sim.islands import is_paved, plant_islands
from sim.meshes import ribbon, solid
from sim.motorway import clear_zone, guard_rails, line_motorways
from sim.oldtown import line_old_streets
from sim.palette import Colour, palette
from sim.roadside import Ground, Rng, Roadside, line_streets
from sim.signposts import lights, signs
from stack.frames import F64
from stack.labels import Semantic
from stack.lanegraph import LaneGraph
from stack.messages import F32
from stack.opendrive.parking import PITCH_M
from stack.opendrive.roads import Mark, RoadMap, Strip
from stack.seeds import Stream, generator

PIECE_M = 8.0  # road is split in pieces no longer than this
PAINT_LIFT_M = 0.015
CROSSWALK_LIFT_M = 0.02
SKIRT_M = 0.5  # outer edges of the road reach down that far
BAR_M = 0.5  # of a zebra crossing, and the gap between two
BAY_M, BAY_LINE_M = 1.8, 0.1  # lines between parking places: across the lane, and along it
PAVED = (
    "driving",
    "shoulder",
    "parking",
    "stop",
    "bidirectional",
    "entry",
    "exit",
    "onRamp",
    "offRamp",
    "biking",
    "none",
    "restricted",
)
FOOT = ("sidewalk", "walking")
# what stands beside roads of an OpenDRIVE type, in the order in which it is put up; STREETS: beside all other roads
STREETS = ""
BESIDE: dict[str, Callable[[list[Strip], Ground, F64, Rng, Roadside], None]] = {
    STREETS: line_streets,
    "townLocal": partial(line_streets, dense=0.05),
    "rural": line_country_roads,
    "lowSpeed": line_old_streets,
    "motorway": line_motorways,
}


@dataclass(frozen=True)
class Scenery:
    """The static world: triangles, their colours, facades, and what a car can hit."""

    mesh: Mesh
    palette: F32  # (P, 3) linear RGB
    facades: F32  # (B, 4) base z m, storey m, window pitch m, style 0..1
    wear: float  # of paint and asphalt, 0 new .. 1
    static_boxes: F64  # (K, 7) x, y, yaw, length, width, bottom, top of buildings, poles, trunks, rails


def build(road_map: RoadMap, graph: LaneGraph, seed: int, unseen: bool = False) -> Scenery:
    """All scenery of a map, `unseen`: in colours that nothing is trained on.

    `road_map` gives strips, marks, signals, objects; `graph` the lamp heads and crosswalks."""
    strips = road_map.strips(2.0)
    kinds = {road.id: road.kind for road in road_map.document.roads.values()}
    motorway = [strip for strip in strips if kinds[strip.road] == "motorway"]
    ground = ground_of(strips)
    medians = [strip for strip in strips if strip.kind == "median"]
    parts = [_median(strip, is_paved(road_map, strip)) if strip.kind == "median" else _strip(strip) for strip in strips]
    parts += _kerbs(strips)
    parts += [_mark(mark) for mark in road_map.marks(1.0)]
    parts += [_zebra(quad) for quad in graph.crosswalk_xyz_m]
    parts += [_bay(xyz, yaw) for xyz, yaw in zip(graph.park_xyz_m, graph.park_yaw_rad, strict=True)]
    parts += [
        _flat(o.outline_m, CROSSWALK_LIFT_M)
        for o in road_map.objects
        if o.kind in ("stop_line", "chevron") and len(o.outline_m) >= 3
    ]
    parts += ground.terrain()
    light_parts, light_boxes = lights(graph, ground)
    sign_parts, sign_boxes = signs(road_map.signals, ground)
    keep_clear = np.concatenate([graph.head_xyz_m[:, :2], np.array([b[:2] for b in sign_boxes]).reshape(-1, 2)])
    side, rng = Roadside(), generator(seed, Stream.SCENERY)
    if isinstance(ground, Earthworks):
        clear_zone(motorway, ground, side)
        guard_rails(strips, motorway, ground, side)
        for span in ground.spans:
            bridge(span, ground, side)
    boards(road_map.signals, ground, side)
    for kind, line in BESIDE.items():
        own = [s for s in strips if (kinds[s.road] if kinds[s.road] in BESIDE else STREETS) == kind]
        line(own, ground, keep_clear, rng, side)
    islands = [strip for strip in medians if kinds[strip.road] != "motorway"]
    plant_islands(road_map, islands, keep_clear, rng, side)
    boxes = np.array(light_boxes + sign_boxes + side.boxes, np.float64).reshape(-1, 7)
    mesh = Mesh.join(parts + light_parts + sign_parts + side.parts)
    wear = float(generator(seed, Stream.SCENERY, actor=3).uniform(0.1, 0.6))
    return Scenery(mesh, palette(seed, unseen), np.array(side.facades, np.float32).reshape(-1, 4), wear, boxes)


def keep_rows(left: F64, right: F64, piece_m: float = PIECE_M) -> NDArray[np.int64]:
    """Stations that a ribbon needs: pieces of at most piece_m whose chords stay within 3 cm (5 mm in height)."""
    both = np.concatenate([left, right], axis=1) * np.tile([1.0, 1.0, 6.0], 2)
    rows, start, n = [0], 0, len(left)
    s = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(left, axis=0), axis=1))])
    while start < n - 1:
        end = start + 1
        while end + 1 < n and s[end + 1] - s[start] <= piece_m:
            inside = (np.arange(start + 1, end + 1) - start) / (end + 1 - start)
            chord = both[start] + inside[:, None] * (both[end + 1] - both[start])
            if np.abs(chord - both[start + 1 : end + 1]).max() > 0.03:
                break
            end += 1
        rows.append(end)
        start = end
    return np.array(rows)


def _strip(strip: Strip) -> Mesh:
    rows = keep_rows(strip.left_m, strip.right_m)
    if strip.kind in FOOT:
        look = Semantic.SIDEWALK, encode(Material.SIDEWALK, Colour.SIDEWALK)
    elif strip.kind in PAVED:
        look = Semantic.ROAD, encode(Material.ASPHALT, Colour.ASPHALT)
    elif strip.kind in ("curb", "border"):
        look = Semantic.SIDEWALK, encode(Material.KERB, Colour.KERB)
    else:
        look = Semantic.TERRAIN, encode(Material.GRASS, Colour.GRASS)
    return ribbon(strip.left_m[rows], strip.right_m[rows], *look)


def _median(strip: Strip, paved: NDArray[np.bool_]) -> Mesh:
    """Grass, and asphalt between stations at which it lies level with the road."""
    road = paved[1:] & paved[:-1]
    ends = [0, *(np.flatnonzero(np.diff(road)) + 1), len(road)]
    parts = []
    for first, last in pairwise(ends):
        left, right = strip.left_m[first : last + 1], strip.right_m[first : last + 1]
        look = Semantic.TERRAIN, encode(Material.GRASS, Colour.GRASS)
        if road[first]:
            look = Semantic.ROAD, encode(Material.ASPHALT, Colour.ASPHALT)
        rows = keep_rows(left, right)
        parts.append(ribbon(left[rows], right[rows], *look))
    return Mesh.join(parts)


def _bay(middle: F64, yaw: float) -> Mesh:
    """The lines at both ends of a parking place."""
    ahead, left = np.array([np.cos(yaw), np.sin(yaw), 0.0]), np.array([-np.sin(yaw), np.cos(yaw), 0.0])
    corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
    parts = []
    for end in (-0.5, 0.5):
        centre = middle + end * PITCH_M * ahead
        outline = centre + 0.5 * BAY_LINE_M * corners[:, :1] * ahead + 0.5 * BAY_M * corners[:, 1:] * left
        parts.append(_flat(outline, PAINT_LIFT_M))
    return Mesh.join(parts)


def _kerbs(strips: list[Strip]) -> list[Mesh]:
    """Upright faces where two lanes meet at different heights, and skirts round the outside of each road."""
    lanes = {(s.road, s.section, s.lane): s for s in strips}
    look = Semantic.SIDEWALK, encode(Material.KERB, Colour.KERB)
    out = []
    for (road, section, lane), strip in lanes.items():
        side = 1 if lane > 0 else -1
        outer = strip.left_m if lane > 0 else strip.right_m
        if lane == 1 and (road, section, -1) in lanes:
            across = lanes[road, section, -1].left_m
            rise = strip.right_m[:, 2] - across[:, 2]
            if np.abs(rise).max() > 0.01:
                out.append(_wall(across, rise, bool(rise.min() < -0.01), look))
        if lane < 0 and strip.junction < 0 and len(strip.s_m) and (road, section, 1) not in lanes and lane == -1:
            out.append(_wall(strip.left_m, -SKIRT_M * np.ones(len(outer)), True, look))
        beyond = lanes.get((road, section, lane + side))
        if beyond is None:
            if strip.junction < 0 or strip.kind in FOOT:
                out.append(_wall(outer, -SKIRT_M * np.ones(len(outer)), lane > 0, look))
            continue
        inner = beyond.right_m if lane > 0 else beyond.left_m
        rise = inner[:, 2] - outer[:, 2]
        if rise.max() > 0.01:
            out.append(_wall(outer, rise, lane < 0, look))
        elif rise.min() < -0.01:
            out.append(_wall(outer, rise, lane > 0, look))
    return out


def _wall(line: F64, rise_m: F64, seen_from_left: bool, look: tuple[int, int]) -> Mesh:
    """Upright faces from a line to rise_m above it (below, if negative), seen from its left or its right."""
    rows = keep_rows(line, line)
    low, high = line[rows].copy(), line[rows].copy()
    high[:, 2] += np.maximum(rise_m[rows], 0.0)
    low[:, 2] += np.minimum(rise_m[rows], 0.0)
    return ribbon(high, low, *look) if not seen_from_left else ribbon(low, high, *look)


def _mark(mark: Mark) -> Mesh:
    """A painted line, cut into its dashes."""
    line = mark.line_m
    s = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    tangent = (
        np.gradient(line[:, :2], s, axis=0) if len(line) > 2 else np.repeat(np.diff(line[:, :2], axis=0), 2, axis=0)
    )
    tangent = tangent / np.maximum(np.linalg.norm(tangent, axis=1, keepdims=True), 1e-9)
    side = np.stack([-tangent[:, 1], tangent[:, 0], np.zeros(len(line))], axis=1) * 0.5 * max(mark.width_m, 0.1)
    lifted = line + (0.0, 0.0, PAINT_LIFT_M)
    colour = Colour.PAINT_YELLOW if mark.colour == "yellow" else Colour.PAINT_WHITE
    look = Semantic.ROAD_LINE, encode(Material.PAINT, colour)
    if mark.dash_m <= 0.0:
        rows = keep_rows(lifted + side, lifted - side)
        return ribbon((lifted + side)[rows], (lifted - side)[rows], *look)
    parts = []
    for start in np.arange(0.5 * mark.gap_m, s[-1] - 0.3, mark.dash_m + mark.gap_m):
        end = min(start + mark.dash_m, s[-1])
        at = np.unique(np.concatenate([[start], s[(s > start + 0.1) & (s < end - 0.1)], [end]]))
        left = np.stack([np.interp(at, s, (lifted + side)[:, k]) for k in range(3)], axis=1)
        right = np.stack([np.interp(at, s, (lifted - side)[:, k]) for k in range(3)], axis=1)
        rows = keep_rows(left, right)
        parts.append(ribbon(left[rows], right[rows], *look))
    return Mesh.join(parts)


def _zebra(quad: F64) -> Mesh:
    """Bars along the traffic, side by side from kerb to kerb. `quad`: along one kerb, then back along the other."""
    lifted = quad + (0.0, 0.0, CROSSWALK_LIFT_M)
    across = np.linalg.norm(quad[3] - quad[0])
    bars = max(round(across / (2.0 * BAR_M)), 1)
    look = Semantic.ROAD_LINE, encode(Material.PAINT, Colour.PAINT_WHITE)
    parts = []
    for k in range(bars):
        t0, t1 = (k + 0.25) / bars, (k + 0.75) / bars
        a, b = lifted[0] + t0 * (lifted[3] - lifted[0]), lifted[1] + t0 * (lifted[2] - lifted[1])
        c, d = lifted[1] + t1 * (lifted[2] - lifted[1]), lifted[0] + t1 * (lifted[3] - lifted[0])
        parts.append(_upward(np.array([a, b, c, d]), *look))
    return Mesh.join(parts)


def _flat(outline: F64, lift_m: float) -> Mesh:
    """A painted area."""
    return _upward(outline + (0.0, 0.0, lift_m), Semantic.ROAD_LINE, encode(Material.PAINT, Colour.PAINT_WHITE))


def _upward(corners: F64, semantic: int, material: int) -> Mesh:
    ring = shapely.LinearRing(corners[:, :2])
    order = list(range(len(corners)))
    return solid(corners, [order if ring.is_ccw else order[::-1]], semantic, material)
