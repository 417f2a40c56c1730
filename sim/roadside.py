"""What stands beside the road: terrain, buildings, trees, hedges, fences, street lamps; drawn from the seed."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import shapely
from scipy.spatial import cKDTree

from sim.geometry import Material, Mesh, encode
from sim.meshes import Block, ball, box, cylinder, footprint, frustum, moved, polygon, rectangle, ring, solid
from sim.palette import LEAVES, ROOFS, WALLS, Colour
from stack.frames import F64
from stack.labels import Semantic
from stack.opendrive.roads import Strip

FINE_M, COARSE = 5.0, 4  # terrain cells near roads, and how many of them make one far away
MARGIN_M = 90.0  # of terrain round the roads
TAKEN_M = 20.0
Rng = np.random.Generator


class Ground:
    """Where the roads lie, and how high the ground is there and beside them."""

    def __init__(self, strips: list[Strip]) -> None:
        self.points = np.concatenate([np.concatenate([s.left_m, s.right_m]) for s in strips])
        self._tree = cKDTree(self.points[:, :2])
        shapes = [shapely.Polygon(np.concatenate([s.left_m[:, :2], s.right_m[::-1, :2]])) for s in strips]
        valid = [p if p.is_valid else p.buffer(0.0) for p in shapes]
        self.area = shapely.unary_union(valid).buffer(0.05)
        paved = [p for p, s in zip(valid, strips, strict=True) if s.kind not in ("sidewalk", "none", "median")]
        self.paved = shapely.unary_union(paved).buffer(0.3)
        self.floor = self.area  # where no terrain is needed
        shapely.prepare(self.area)
        shapely.prepare(self.paved)

    def heights(self, xy_m: F64) -> F64:
        """(N,) ground height: the lowest road near by, blended from the nearest points."""
        distance, index = self._tree.query(xy_m, k=min(12, len(self.points)))
        z = self.points[index, 2]
        low = z.min(axis=1, keepdims=True)
        weight = (1.0 / (distance + 0.3) ** 3) * (z < low + 2.5)  # what passes overhead does not count
        blended: F64 = (weight * z).sum(axis=1) / weight.sum(axis=1)
        return blended

    def height(self, x_m: float, y_m: float) -> float:
        return float(self.heights(np.array([[x_m, y_m]]))[0])

    def on_road(self, x_m: float, y_m: float) -> bool:
        return bool(shapely.contains_xy(self.paved, x_m, y_m))

    def terrain(self) -> list[Mesh]:
        """Grass in square cells, fine ones near the roads, none below them; and a plane far below that hides gaps."""
        low, high = self.points[:, :2].min(axis=0) - MARGIN_M, self.points[:, :2].max(axis=0) + MARGIN_M
        cells = (np.ceil((high - low) / (FINE_M * COARSE)).astype(int)) * COARSE
        ix, iy = np.meshgrid(np.arange(cells[0] + 1), np.arange(cells[1] + 1), indexing="ij")
        xy = low + np.stack([ix, iy], axis=-1) * FINE_M
        flat = xy.reshape(-1, 2)
        z = self.heights(flat) - 0.06
        far = self._tree.query(flat)[0]
        z[shapely.contains_xy(self.floor, flat[:, 0], flat[:, 1])] -= 0.35
        z -= np.clip(far - 8.0, 0.0, 40.0) * 0.004
        far_grid, vertices = far.reshape(ix.shape), np.concatenate([flat, z[:, None]], axis=1)
        near = far_grid[:-1, :-1].reshape(cells[0] // COARSE, COARSE, -1, COARSE).min(axis=(1, 3)) < 4.0 * FINE_M
        boxes = shapely.box(xy[:-1, :-1, 0], xy[:-1, :-1, 1], xy[1:, 1:, 0], xy[1:, 1:, 1])
        covered = shapely.contains(self.floor, boxes)
        faces, stride = [], cells[1] + 1
        for i in range(0, cells[0], COARSE):
            for j in range(0, cells[1], COARSE):
                step = 1 if near[i // COARSE, j // COARSE] else COARSE
                for a in range(i, i + COARSE, step):
                    for b in range(j, j + COARSE, step):
                        if step > 1 or not covered[a, b]:
                            k, right = a * stride + b, (a + step) * stride + b
                            faces.append((k, right, right + step, k + step))
        look = Semantic.TERRAIN, encode(Material.GRASS, Colour.GRASS)
        deep = float(z.min()) - 1.5
        wide = np.array(
            [
                (low[0] - 400, low[1] - 400),
                (high[0] + 400, low[1] - 400),
                (high[0] + 400, high[1] + 400),
                (low[0] - 400, high[1] + 400),
            ]
        )
        plane = polygon(np.concatenate([wide, np.full((4, 1), deep)], axis=1), *look)
        return [solid(vertices, faces, *look), plane]


@dataclass
class Roadside:
    """What has been put up so far."""

    parts: list[Mesh] = field(default_factory=list)
    boxes: list[Block] = field(default_factory=list)
    facades: list[tuple[float, float, float, float]] = field(default_factory=list)
    taken: dict[tuple[int, int], list[shapely.Polygon]] = field(default_factory=dict)  # by cells of TAKEN_M

    def put(self, part: Mesh, x: float, y: float, yaw: float, length: float, width: float) -> None:
        """Put up a mesh that a car can hit, with the plan of what it can hit."""
        self.parts.append(part)
        self.boxes.append(footprint(part, x, y, yaw, length, width))

    def take(self, shape: shapely.Polygon) -> None:
        """Remember that a place is taken."""
        for cell in _cells(shape):
            self.taken.setdefault(cell, []).append(shape)


def line_streets(
    strips: list[Strip], ground: Ground, keep_clear: F64, rng: Rng, side: Roadside, dense: float = 0.55
) -> None:
    """Walk along the outer edges of streets and put things up where there is room; `dense`: share of closed house fronts."""
    edges = outer_edges(strips)
    clear = cKDTree(keep_clear) if len(keep_clear) else None
    for line in edges:
        _build_plots(line, ground, side, rng, dense)
    for line in edges:
        _plant(line, ground, side, clear, rng)


def outer_edges(strips: list[Strip]) -> list[F64]:
    """Outer edge lines of roads outside junctions, with the road on their left: (n, 3) each."""
    outermost: dict[tuple[str, int, bool], Strip] = {}
    for strip in strips:
        key = strip.road, strip.section, strip.lane > 0
        if strip.junction < 0 and (key not in outermost or abs(strip.lane) > abs(outermost[key].lane)):
            outermost[key] = strip
    return [s.right_m if s.lane < 0 else s.left_m[::-1] for s in outermost.values()]


def walk(line: F64) -> tuple[F64, F64]:
    s = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(line[:, :2], axis=0), axis=1))])
    return s, line


def place_at(line: F64, s: F64, where: float) -> tuple[float, float, float]:
    """x, y and direction of travel at a distance along a line."""
    where = float(np.clip(where, 0.0, s[-1]))
    k = int(np.clip(np.searchsorted(s, where) - 1, 0, len(s) - 2))
    d = line[k + 1, :2] - line[k, :2]
    p = line[k, :2] + d * (where - s[k]) / max(s[k + 1] - s[k], 1e-9)
    return float(p[0]), float(p[1]), float(np.arctan2(d[1], d[0]))


def is_free(shape: shapely.Polygon, ground: Ground, side: Roadside, margin_m: float) -> bool:
    grown = shape.buffer(margin_m, quad_segs=2)
    if ground.area.intersects(grown):
        return False
    return not any(grown.intersects(other) for cell in _cells(grown) for other in side.taken.get(cell, ()))


def _cells(shape: shapely.Polygon) -> list[tuple[int, int]]:
    x0, y0, x1, y1 = (int(v // TAKEN_M) for v in shape.bounds)
    return [(x, y) for x in range(x0, x1 + 1) for y in range(y0, y1 + 1)]


def _build_plots(line: F64, ground: Ground, side: Roadside, rng: Rng, share: float) -> None:
    """Buildings shoulder to shoulder or detached, set back from the edge; the road is on the left of the line."""
    s, line = walk(line)
    dense = rng.random() < share
    where = float(rng.uniform(2.0, 8.0))
    setback = float(rng.uniform(1.0, 3.0) if dense else rng.uniform(4.0, 8.0))
    while where < s[-1] - 6.0:
        length = float(rng.uniform(11.0, 24.0) if dense else rng.uniform(9.0, 14.0))
        depth = float(rng.uniform(9.0, 15.0) if dense else rng.uniform(8.0, 11.0))
        x, y, yaw = place_at(line, s, where + length / 2)
        off = setback + depth / 2 + float(rng.uniform(0.0, 0.6))
        cx, cy = x + off * np.sin(yaw), y - off * np.cos(yaw)
        shape = shapely.affinity.rotate(
            shapely.box(cx - length / 2, cy - depth / 2, cx + length / 2, cy + depth / 2), np.rad2deg(yaw)
        )
        draws = rng.random(8)
        if draws[0] < (0.92 if dense else 0.75) and is_free(shape, ground, side, 0.6):
            side.take(shape)
            put_building(side, cx, cy, yaw, length, depth, ground.height(cx, cy), dense, draws)
        where += length + (float(rng.choice([0.3, 0.3, 4.0])) if dense else float(rng.uniform(4.0, 14.0)))


def put_building(
    side: Roadside, x: float, y: float, yaw: float, length: float, depth: float, base: float, dense: bool, draws: F64
) -> None:
    storey = 2.8 + 0.9 * float(draws[1])
    storeys = 2 + int(draws[2] * 5) if dense else 1 + int(draws[2] * 2)
    row = len(side.facades)
    side.facades.append((base, storey, 1.8 + 2.2 * float(draws[3]), float(draws[4])))
    wall = encode(Material.FACADE, Colour.WALL + int(draws[5] * WALLS), row)
    roof = encode(Material.ROOF, Colour.ROOF + int(draws[6] * ROOFS))
    top, kind = storeys * storey + 0.4, Semantic.BUILDING
    low, high = rectangle(length, depth, -1.5), rectangle(length, depth, top)
    body = frustum(low, high, kind, wall, top=roof, bottom=False)
    if dense and draws[7] < 0.7:  # a parapet; else a gable
        upper = [box(length + 0.4, depth + 0.4, top - 0.35, top + 0.1, kind, encode(Material.PLAIN, Colour.KERB))]
        upper.append(box(length * 0.3, depth * 0.4, top, top + 2.2, kind, roof, length * (draws[7] - 0.35)))
    else:
        upper = [_gable(length + 0.8, depth + 0.8, top, 0.35 * depth, kind, wall, roof)]
    side.put(moved(Mesh.join([body, *upper]), x, y, base, yaw), x, y, yaw, length, depth)


def _gable(length: float, depth: float, z: float, rise: float, kind: int, wall: int, roof: int) -> Mesh:
    a, b = length / 2, depth / 2
    v = np.array([(-a, -b, z), (a, -b, z), (a, b, z), (-a, b, z), (-a, 0, z + rise), (a, 0, z + rise)])
    return Mesh.join(
        [solid(v, [(0, 1, 5, 4), (2, 3, 4, 5), (0, 3, 2, 1)], kind, roof), solid(v, [(1, 2, 5), (3, 0, 4)], kind, wall)]
    )


def _plant(line: F64, ground: Ground, side: Roadside, clear: cKDTree | None, rng: Rng) -> None:
    """Street lamps, trees, hedges and fences along an edge."""
    s, line = walk(line)
    if s[-1] < 8.0:
        return
    spacing, trees, front = float(rng.uniform(9.0, 22.0)), rng.random() < 0.7, rng.random()
    for k, where in enumerate(np.arange(6.0, s[-1] - 5.0, spacing)):
        x, y, yaw = place_at(line, s, float(where) + float(rng.uniform(-1.5, 1.5)))
        out = 0.6 + float(rng.uniform(0.0, 1.2))
        px, py = x + out * np.sin(yaw), y - out * np.cos(yaw)
        draws = rng.random(6)
        spot = shapely.Point(px, py)
        if (clear is not None and clear.query((px, py))[0] < 9.0) or not is_free(spot.buffer(0.3), ground, side, 0.1):
            continue
        base = ground.height(px, py)
        if k % 2 == 0 and draws[0] < 0.7:
            side.put(moved(street_lamp(), px, py, base, yaw + np.pi / 2), px, py, yaw, 0.2, 0.2)
        elif trees and draws[0] < 0.85:
            side.put(moved(tree(draws), px, py, base, yaw=6.28 * float(draws[5])), px, py, yaw, 0.4, 0.4)
    if front < 0.55:
        put_front(line, s, ground, side, hedge=front < 0.3, height=0.8 + front, setback=2.3)
    for _ in range(int(s[-1] / 14.0)):  # trees in the gardens behind
        x, y, yaw = place_at(line, s, float(rng.uniform(0.0, s[-1])))
        out, draws = float(rng.uniform(4.0, 34.0)), rng.random(6)
        px, py = x + out * np.sin(yaw), y - out * np.cos(yaw)
        if is_free(shapely.Point(px, py).buffer(1.5), ground, side, 0.5):
            place = px, py, ground.height(px, py) - 0.1
            side.put(moved(tree(draws), *place, yaw=6.28 * float(draws[5])), px, py, 0.0, 0.4, 0.4)


def put_front(line: F64, s: F64, ground: Ground, side: Roadside, hedge: bool, height: float, setback: float) -> None:
    """A hedge or a fence in pieces of 5 m with gaps for driveways."""
    look = (
        (Semantic.VEGETATION, encode(Material.FOLIAGE, Colour.LEAF + 1))
        if hedge
        else (Semantic.FENCE, encode(Material.FENCE, Colour.FENCE))
    )
    for k, where in enumerate(np.arange(4.0, s[-1] - 6.0, 5.0)):
        x, y, yaw = place_at(line, s, float(where) + 2.5)
        px, py = x + setback * np.sin(yaw), y - setback * np.cos(yaw)
        shape = shapely.affinity.rotate(shapely.box(px - 2.5, py - 0.3, px + 2.5, py + 0.3), np.rad2deg(yaw))
        if k % 4 == 3 or not is_free(shape, ground, side, 0.1):
            continue
        wide = 0.6 if hedge else 0.06
        piece = box(5.0, wide, -0.3, height, *look, taper=0.97 if hedge else 1.0)
        side.put(moved(piece, px, py, ground.height(px, py), yaw), px, py, yaw, 5.0, wide)


def street_lamp() -> Mesh:
    """Reaches over the road along -x... its arm along +x; 7 m tall."""
    pole = encode(Material.METAL, Colour.POLE)
    parts = [
        cylinder(6, 0.08, -0.2, 7.0, Semantic.POLE, pole, taper=0.7),
        box(1.8, 0.1, 6.9, 7.0, Semantic.POLE, pole, 0.9),
    ]
    parts.append(box(0.7, 0.28, 6.82, 6.95, Semantic.POLE, encode(Material.STREET_LAMP, Colour.WHITE), 1.8))
    return Mesh.join(parts)


def tree(draws: F64) -> Mesh:
    """Trunk and crown: round, tall or a conifer."""
    height, leaf = 4.5 + 4.5 * float(draws[1]), encode(Material.FOLIAGE, Colour.LEAF + int(draws[2] * LEAVES))
    bark = encode(Material.BARK, Colour.BARK)
    if draws[3] < 0.2:
        return _conifer(height, leaf, bark, np.random.default_rng(int(1e6 * draws[4])))
    parts = [cylinder(6, 0.2, -0.3, height * 0.6, Semantic.VEGETATION, bark, taper=0.6)]
    r, tall = height * (0.25 + 0.1 * float(draws[4])), height * (0.3 if draws[3] < 0.7 else 0.38)
    shape = np.random.default_rng(int(1e6 * draws[4]))  # a tree of its own
    clumps = _spread(5 + int(3.0 * draws[3])) * (0.55 * r, 0.55 * r, 0.6 * tall)
    for k, out in enumerate(clumps):
        size = shape.uniform(0.5, 0.65)
        tuft = moved(ball(0, Semantic.VEGETATION, leaf), *out, yaw=float(k), scale=(size * r, size * r, size * tall))
        parts.append(moved(tuft, 0.0, 0.0, height * 0.66))
        parts.append(moved(_sprays(out, (size * r, size * r, size * tall), leaf, shape), 0.0, 0.0, height * 0.66))
    return Mesh.join(parts)


def _conifer(height: float, leaf: int, bark: int, rng: Rng) -> Mesh:
    """Whorls of hanging branches, narrower the higher they are."""
    parts, whorls, arms = [cylinder(5, 0.16, -0.3, height * 0.4, Semantic.VEGETATION, bark)], 7, 9
    for k in range(whorls):
        z, r = height * (0.14 + 0.12 * k), height * 0.25 * (1.0 - 0.125 * k)
        reach = r * rng.uniform(0.8, 1.15, (arms, 1))
        phase = float(rng.uniform(0.0, 6.28))
        tips = ring(arms, 1.0, 0.0, phase) * reach - (0.0, 0.0, 0.35 * r)
        forks = ring(arms, 0.55 * r, 0.0, phase + np.pi / arms)
        rim = np.stack([tips, forks], axis=1).reshape(-1, 3)
        top, n = np.array([[0.0, 0.0, height * 0.2]]), 2 * arms
        faces = [(a, (a + 1) % n, n) for a in range(n)] + [((a + 1) % n, a, n + 1) for a in range(n)]
        whorl = solid(np.concatenate([rim, top, [[0.0, 0.0, 0.0]]]), faces, Semantic.VEGETATION, leaf)
        parts.append(moved(whorl, 0.0, 0.0, z))
    return Mesh.join(parts)


def _sprays(middle: F64, size: tuple[float, float, float], leaf: int, rng: Rng) -> Mesh:
    """Triangles about an ellipsoid that look outward, each askew: leaves catch the light one by one, and the outline is ragged."""
    n = 18
    out = _spread(n + 1)[1:]
    side = np.cross(out, rng.normal(size=(n, 3)))
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    up = np.cross(out, side)
    long, wide, tip = rng.uniform(0.28, 0.5, (3, n, 1))
    lean = rng.uniform(-0.16, 0.22, (3, n, 1))
    corners = np.stack(
        [
            out * (0.98 + lean[0]) - long * side - 0.4 * wide * up,
            out * (0.98 + lean[1]) + long * side - 0.4 * wide * up,
            out * (0.98 + lean[2]) + tip * up,
        ],
        axis=1,
    )
    faces = [(3 * k, 3 * k + 1, 3 * k + 2) for k in range(n)]
    return solid(middle + corners.reshape(-1, 3) * size, faces, Semantic.VEGETATION, leaf)


def _spread(n: int) -> F64:
    """(n, 3) the middle and n - 1 points evenly on the unit sphere (a spiral of golden angles)."""
    k = np.arange(n - 1)
    z = 1.0 - (2.0 * k + 1.0) / (n - 1)
    angle, wide = k * np.pi * (3.0 - np.sqrt(5.0)), np.sqrt(1.0 - z * z)
    return np.vstack([np.zeros((1, 3)), np.stack([wide * np.cos(angle), wide * np.sin(angle), z], axis=-1)])
