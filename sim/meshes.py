"""Simple solids as meshes: what scenery and actors are put together from. All faces look outward; m."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from sim.geometry import Mesh
from stack.frames import F64

Block = tuple[
    float, float, float, float, float, float, float
]  # x, y, yaw, length, width, bottom, top of a box of contact


def solid(
    vertices: F64 | Sequence[Sequence[float]], faces: Sequence[Sequence[int]], semantic: int, material: int
) -> Mesh:
    """Convex polygons over (V, 3) vertices, each counter-clockwise as seen from outside."""
    triangles = np.array([(f[0], f[i], f[i + 1]) for f in faces for i in range(1, len(f) - 1)], np.int32).reshape(-1, 3)
    n = len(triangles)
    corners = np.asarray(vertices, np.float32).reshape(-1, 3)
    return Mesh(corners, triangles, np.full(n, semantic, np.uint8), np.full(n, material, np.int32))


def polygon(corners: F64 | Sequence[Sequence[float]], semantic: int, material: int, both: bool = False) -> Mesh:
    """One convex polygon; `both`: seen from both sides."""
    n = len(corners)
    faces = [list(range(n))] + ([list(range(n))[::-1]] if both else [])
    return solid(corners, faces, semantic, material)


def moved(mesh: Mesh, x: float = 0.0, y: float = 0.0, z: float = 0.0, yaw: float = 0.0, pitch: float = 0.0,
          about: tuple[float, float, float] = (0.0, 0.0, 0.0),
          scale: float | Sequence[float] = 1.0) -> Mesh:  # fmt: skip
    """Scaled, turned (pitch about y, nose up, then yaw about z) about a point, then shifted."""
    cy, sy, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
    rotation = np.array([[cy * cp, -sy, -cy * sp], [sy * cp, cy, -sy * sp], [sp, 0.0, cp]])
    vertices = (mesh.vertices.astype(np.float64) * scale - about) @ rotation.T + about + (x, y, z)
    return Mesh(vertices.astype(np.float32), mesh.triangles, mesh.semantic, mesh.material)


def frustum(low: F64, high: F64, semantic: int, material: int, top: int | None = None, bottom: bool = True) -> Mesh:
    """Between two polygons (n, 3), counter-clockwise from above, corner to corner; `top`: another material up there."""
    n = len(low)
    vertices = np.concatenate([low, high])
    faces = [(i, (i + 1) % n, n + (i + 1) % n, n + i) for i in range(n)]
    if bottom:
        faces.append(tuple(range(n))[::-1])
    walls = solid(vertices, faces, semantic, material)
    return Mesh.join([walls, polygon(high, semantic, material if top is None else top)])


def rectangle(length: float, width: float, z: float, x: float = 0.0, y: float = 0.0) -> F64:
    """(4, 3) corners counter-clockwise from above, about (x, y)."""
    signs = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]]) * 0.5
    return np.concatenate([signs * (length, width) + (x, y), np.full((4, 1), z)], axis=1)


def box(length: float, width: float, z0: float, z1: float, semantic: int, material: int, x: float = 0.0, y: float = 0.0,
        taper: float = 1.0, bottom: bool = True) -> Mesh:  # fmt: skip
    """A box, or with `taper` a frustum whose top is that much smaller."""
    low, high = rectangle(length, width, z0, x, y), rectangle(length * taper, width * taper, z1, x, y)
    return frustum(low, high, semantic, material, bottom=bottom)


def ribbon(left: F64, right: F64, semantic: int, material: int) -> Mesh:
    """(n, 3) left and right edges -> a strip that is seen from above."""
    n = len(left)
    faces = [(i, n + i, n + i + 1, i + 1) for i in range(n - 1)]
    return solid(np.concatenate([left, right]), faces, semantic, material)


def bar(line: F64, right: F64, profile: Sequence[tuple[float, float]], semantic: int, material: int) -> Mesh:
    """A closed profile drawn along a line (n, 3): corners (to the right, up), counter-clockwise as seen along the line.
    right: (n, 2) unit vectors to the right of the line."""
    lines = [line + np.concatenate([out * right, np.full((len(line), 1), up)], axis=1) for out, up in profile]
    return Mesh.join([ribbon(b, a, semantic, material) for a, b in zip(lines, lines[1:] + lines[:1], strict=True)])


def repeated(mesh: Mesh, places: F64) -> Mesh:
    """The mesh at each of (n, 4) places x, y, z, yaw."""
    x, y, z, yaw = (column[:, None] for column in np.asarray(places, np.float64).T)
    v, cos, sin = mesh.vertices.astype(np.float64), np.cos(yaw), np.sin(yaw)
    out = np.stack(
        [x + cos * v[:, 0] - sin * v[:, 1], y + sin * v[:, 0] + cos * v[:, 1], z + 0.0 * cos + v[:, 2]], axis=-1
    )
    first = np.arange(len(places))[:, None, None] * len(v)
    triangles = (mesh.triangles + first).reshape(-1, 3).astype(np.int32)
    n = len(places)
    return Mesh(out.reshape(-1, 3).astype(np.float32), triangles, np.tile(mesh.semantic, n), np.tile(mesh.material, n))


def footprint(mesh: Mesh, x: float, y: float, yaw: float, length: float, width: float) -> Block:
    """The box of contact of something that stands at a place, as high as its mesh."""
    z = mesh.vertices[:, 2]
    return x, y, yaw, length, width, float(z.min()), float(z.max())


def barriers(line: F64, width: float, low: float, high: float) -> list[Block]:
    """Boxes of contact along a line (n, 3), one for each piece, from `low` to `high` about it."""
    out = []
    for a, b in pairwise(line.tolist()):
        dx, dy = b[0] - a[0], b[1] - a[1]
        x, y, length = 0.5 * (a[0] + b[0]), 0.5 * (a[1] + b[1]), float(np.hypot(dx, dy))
        out.append((x, y, float(np.arctan2(dy, dx)), length, width, min(a[2], b[2]) + low, max(a[2], b[2]) + high))
    return out


def ring(n: int, radius: float, z: float, phase: float = 0.0) -> F64:
    """(n, 3) points of a circle, counter-clockwise from above."""
    angle = np.arange(n) * 2.0 * np.pi / n + phase
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), np.full(n, z)], axis=-1)


def cylinder(n: int, radius: float, z0: float, z1: float, semantic: int, material: int, taper: float = 1.0,
             bottom: bool = False) -> Mesh:  # fmt: skip
    """An upright cylinder of n sides, narrowing to `taper` at the top."""
    return frustum(ring(n, radius, z0), ring(n, radius * taper, z1), semantic, material, bottom=bottom)


def wheel(n: int, radius: float, width: float, x: float, y: float, semantic: int, tyre: int, hub: int) -> Mesh:
    """A wheel standing on the ground, axle along y."""
    circle = ring(n, radius, 0.0, np.pi / n)
    upright = np.stack([circle[:, 0], np.zeros(n), circle[:, 1]], axis=-1)  # counter-clockwise from -y
    outer, inner = upright - (0.0, width / 2, 0.0), upright + (0.0, width / 2, 0.0)
    faces = [(i, n + i, n + (i + 1) % n, (i + 1) % n)[::-1] for i in range(n)]
    faces += [tuple(range(n)), tuple(range(n, 2 * n))[::-1]]
    parts = [solid(np.concatenate([outer, inner]), faces, semantic, tyre)]
    small = upright * 0.6
    parts.append(polygon(small - (0.0, width / 2 + 0.01, 0.0), semantic, hub))
    parts.append(polygon((small + (0.0, width / 2 + 0.01, 0.0))[::-1], semantic, hub))
    return moved(Mesh.join(parts), x, y, radius)


def loft(sections: Sequence[F64], semantic: int, material: int) -> Mesh:
    """A skin over closed sections (n, 3), the first at the rear; each clockwise as seen from the front (+x)."""
    n = len(sections[0])
    faces: list[tuple[int, ...]] = []
    for k in range(len(sections) - 1):
        a, b = k * n, (k + 1) * n
        faces += [(a + i, a + (i + 1) % n, b + (i + 1) % n, b + i) for i in range(n)]
    last = (len(sections) - 1) * n
    faces += [tuple(range(n))[::-1], tuple(range(last, last + n))]
    return solid(np.concatenate(sections), faces, semantic, material)


_ICO = np.array(
    [[s * a, t * b, 0.0] for a, b in ((1.0, 1.618034),) for s in (-1, 1) for t in (-1, 1)]
    + [[0.0, s * 1.0, t * 1.618034] for s in (-1, 1) for t in (-1, 1)]
    + [[t * 1.618034, 0.0, s * 1.0] for s in (-1, 1) for t in (-1, 1)]
)


def ball(subdivide: int, semantic: int, material: int) -> Mesh:
    """A sphere of radius 1 about the origin: an icosahedron, its faces split in four `subdivide` times."""
    from scipy.spatial import ConvexHull

    points = _ICO / np.linalg.norm(_ICO, axis=1, keepdims=True)
    for level in range(subdivide + 1):
        faces = ConvexHull(points).simplices
        if level < subdivide:
            mid = np.concatenate(
                [points[faces[:, [0, 1]]].mean(1), points[faces[:, [1, 2]]].mean(1), points[faces[:, [2, 0]]].mean(1)]
            )
            mid = np.unique(np.round(mid, 9), axis=0)
            points = np.concatenate([points, mid / np.linalg.norm(mid, axis=1, keepdims=True)])
    a, b, c = points[faces[:, 0]], points[faces[:, 1]], points[faces[:, 2]]
    inward = (np.cross(b - a, c - a) * a).sum(1) < 0.0
    faces[inward] = faces[inward][:, ::-1]
    return solid(points, [list(f) for f in faces], semantic, material)


def unit(mesh: Mesh) -> Mesh:
    """Squeezed into the unit box: x, y in -0.5..0.5 and z in 0..1."""
    low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
    vertices = (mesh.vertices - low) / (high - low) - np.array([0.5, 0.5, 0.0], np.float32)
    return Mesh(vertices.astype(np.float32), mesh.triangles, mesh.semantic, mesh.material)
