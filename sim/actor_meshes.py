"""Meshes of road users: cars, vans, trucks, buses, two-wheelers with riders, pedestrians, props.

Each is built about the middle of its box at a natural size, nose along +x, then squeezed into the unit box; the
actor's own size stretches it again. Colours 0..2 are the actor's own (see sim/geometry.py).
"""

from __future__ import annotations

import numpy as np

from sim.emergency_meshes import ambulance, firetruck, police
from sim.geometry import WALK_FRAMES, Library, Material, Mesh, encode
from sim.meshes import ball, box, cylinder, frustum, loft, moved, polygon, rectangle, ring, unit, wheel
from sim.palette import Colour
from stack.frames import F64
from stack.labels import Kind, Semantic

PAINT = encode(Material.CAR_PAINT, Colour.OWN)
GLASS = encode(Material.GLASS, Colour.GLASS)
TYRE = encode(Material.RUBBER, Colour.TYRE)
HUB = encode(Material.METAL, Colour.METAL)
DARK = encode(Material.PLAIN, Colour.DARK)
FRONT = encode(Material.HEAD_LIGHT, Colour.WHITE)
REAR = encode(Material.TAIL_LIGHT, Colour.TAIL)
PLATE = encode(Material.PLAIN, Colour.WHITE)
TOP = encode(Material.PLAIN, Colour.OWN)
LEGS = encode(Material.PLAIN, Colour.SECOND)
SKIN = encode(Material.PLAIN, Colour.SKIN)
HAIR = encode(Material.PLAIN, Colour.HAIR)


def _section(x: float, half: float, low: float, high: float) -> F64:
    """Cross-section of a car's body at x: narrow at the sill, widest at a third, rounded at the shoulder."""
    mid = low + 0.45 * (high - low)
    right = [(-0.90 * half, low), (-half, mid), (-0.96 * half, high - 0.06), (-0.84 * half, high)]
    points = right + [(-y, z) for y, z in right[::-1]]
    return np.array([(x, y, z) for y, z in points])[::-1]


def _cabin(x: tuple[float, float, float, float], half: float, belt: float, roof: float, semantic: int) -> Mesh:
    """Greenhouse: x of the rear foot, rear roof, front roof, front foot; painted pillars, glass laid on."""
    low = np.array(
        [(x[3], half * 0.9, belt), (x[0], half * 0.9, belt), (x[0], -half * 0.9, belt), (x[3], -half * 0.9, belt)]
    )
    high = np.array(
        [(x[2], half * 0.72, roof), (x[1], half * 0.74, roof), (x[1], -half * 0.74, roof), (x[2], -half * 0.72, roof)]
    )
    parts = [frustum(low, high, semantic, PAINT, bottom=False)]
    for i in range(4):
        a, b, c, d = low[i], low[(i + 1) % 4], high[(i + 1) % 4], high[i]
        pane = np.array([_on(a, b, c, d, u, v) for u, v in ((0.07, 0.1), (0.93, 0.1), (0.93, 0.86), (0.07, 0.86))])
        normal = np.cross(pane[1] - pane[0], pane[3] - pane[0])
        normal /= np.linalg.norm(normal)
        if i in (0, 2):  # side windows are split by the middle pillar
            for u0, u1 in ((0.07, 0.47), (0.53, 0.93)):
                half_pane = np.array([_on(a, b, c, d, u, v) for u, v in ((u0, 0.1), (u1, 0.1), (u1, 0.86), (u0, 0.86))])
                parts.append(polygon(half_pane + 0.012 * normal, semantic, GLASS))
        else:
            parts.append(polygon(pane + 0.012 * normal, semantic, GLASS))
    return Mesh.join(parts)


def _on(a: F64, b: F64, c: F64, d: F64, u: float, v: float) -> F64:
    return (1 - v) * ((1 - u) * a + u * b) + v * ((1 - u) * d + u * c)


def _face_panel(x: float, y: float, z: float, width: float, height: float, semantic: int, material: int) -> Mesh:
    """A small upright plate across the car; it looks ahead for x > 0, back for x < 0."""
    y0, y1 = (y - width / 2, y + width / 2) if x > 0 else (y + width / 2, y - width / 2)
    return polygon([(x, y0, z), (x, y1, z), (x, y1, z + height), (x, y0, z + height)], semantic, material)


def _lights(front: float, rear: float, half: float, z_front: float, z_rear: float, semantic: int) -> list[Mesh]:
    parts = []
    for side in (-1.0, 1.0):
        parts.append(_face_panel(front, side * half * 0.72, z_front, half * 0.4, 0.16, semantic, FRONT))
        parts.append(_face_panel(rear, side * half * 0.76, z_rear, half * 0.34, 0.2, semantic, REAR))
    parts.append(_face_panel(rear, 0.0, z_rear - 0.12, 0.5, 0.12, semantic, PLATE))
    parts.append(_face_panel(front, 0.0, z_front - 0.22, 0.5, 0.11, semantic, PLATE))
    parts.append(_face_panel(front, 0.0, z_front - 0.05, half * 0.9, 0.14, semantic, DARK))
    return parts


def _wheels(x: tuple[float, ...], half: float, radius: float, semantic: int, width: float = 0.22) -> list[Mesh]:
    return [
        wheel(10, radius, width, xi, s * (half - 0.55 * width), semantic, TYRE, HUB) for xi in x for s in (-1.0, 1.0)
    ]


def car(length: float, width: float, height: float, hood: float, tail: float, belt: float = 0.92,
        screens: tuple[float, float] = (0.75, 0.6)) -> Mesh:  # fmt: skip
    """A passenger car; hood and tail: length of body ahead of the wind screen's foot and behind the rear screen's."""
    half, front = width / 2, length / 2
    x = np.array([-front, -front + 0.12, -front + 0.5, front - hood, front - 0.35, front - 0.08, front])
    high = np.array([belt - 0.22, belt - 0.04, belt, belt, belt - 0.14, belt - 0.24, belt - 0.36])
    low = np.array([0.42, 0.28, 0.2, 0.2, 0.2, 0.26, 0.36])
    wide = np.array([0.86, 0.95, 1.0, 1.0, 0.98, 0.9, 0.78]) * half
    body = loft([_section(*row) for row in zip(x, wide, low, high, strict=True)], Semantic.CAR, PAINT)
    cabin_x = (-front + tail, -front + tail + screens[1], front - hood - screens[0], front - hood)
    parts = [body, _cabin(cabin_x, half, belt - 0.01, height, Semantic.CAR)]
    parts += _lights(front + 0.01, -front - 0.01, half, 0.44, belt - 0.34, Semantic.CAR)
    parts += _wheels((-0.29 * length, 0.31 * length), half, 0.32, Semantic.CAR)
    for side in (-1.0, 1.0):
        parts.append(box(0.12, 0.14, belt, belt + 0.13, Semantic.CAR, PAINT, front - hood - 0.25, side * (half + 0.01)))
    return unit(Mesh.join(parts))


def van(length: float = 5.6, width: float = 2.0, height: float = 2.4) -> Mesh:
    half, front, kind = width / 2, length / 2, Semantic.TRUCK
    x = np.array([-front, -front + 0.1, front - 1.5, front - 0.85, front - 0.1, front])
    high = np.array([height - 0.1, height, height, 1.25, 1.0, 0.8])
    low = np.array([0.4, 0.3, 0.3, 0.3, 0.3, 0.4])
    wide = np.array([0.97, 1.0, 1.0, 1.0, 0.95, 0.85]) * half
    parts = [loft([_section(*row) for row in zip(x, wide, low, high, strict=True)], kind, PAINT)]
    a, b = (front - 0.88, 1.3), (front - 1.42, height - 0.22)
    parts.append(polygon([(a[0] + 0.03, -half * 0.8, a[1]), (a[0] + 0.03, half * 0.8, a[1]),
                          (b[0] + 0.03, half * 0.76, b[1]),
                          (b[0] + 0.03, -half * 0.76, b[1])], kind, GLASS))  # fmt: skip
    for side in (-1.0, 1.0):
        pane = [(front - 2.1, side * half * 1.005, 1.3), (front - 1.1, side * half * 1.005, 1.3),
                (front - 1.5, side * half * 0.985, height - 0.45),
                (front - 2.1, side * half * 0.985, height - 0.45)]  # fmt: skip
        parts.append(polygon(pane if side < 0 else pane[::-1], kind, GLASS))
        parts.append(_face_panel(-front - 0.015, side * half * 0.4, 1.35, half * 0.6, 0.6, kind, GLASS))
    parts += _lights(front + 0.01, -front - 0.02, half, 0.6, 0.9, kind) + _wheels(
        (-0.3 * length, 0.32 * length), half, 0.34, kind
    )
    return unit(Mesh.join(parts))


def truck(length: float = 8.0, width: float = 2.4, height: float = 3.3) -> Mesh:
    half, front, kind = width / 2, length / 2, Semantic.TRUCK
    cab, cargo = 1.9, encode(Material.CAR_PAINT, Colour.CARGO)
    parts = [box(cab, width * 0.96, 0.5, 2.7, kind, PAINT, front - cab / 2, taper=0.96)]
    parts.append(box(length - cab - 0.2, width, 1.0, height, kind, cargo, -front + (length - cab - 0.2) / 2))
    parts.append(box(length - 1.0, width * 0.5, 0.55, 1.0, kind, DARK, -0.2))
    parts.append(_face_panel(front + 0.005, 0.0, 1.55, width * 0.84, 0.85, kind, GLASS))
    for side in (-1.0, 1.0):
        pane = [(front - 1.3, side * half * 0.965, 1.55), (front - 0.3, side * half * 0.965, 1.55),
                (front - 0.35, side * half * 0.95, 2.3), (front - 1.3, side * half * 0.95, 2.3)]  # fmt: skip
        parts.append(polygon(pane if side < 0 else pane[::-1], kind, GLASS))
        parts.append(_face_panel(-front - 0.005, side * half * 0.48, 1.1, half * 0.9, height - 1.3, kind, cargo))
    parts += _lights(front + 0.02, -front - 0.02, half, 0.65, 0.75, kind)
    parts += _wheels((-0.28 * length, 0.34 * length), half, 0.48, kind, 0.3)
    return unit(Mesh.join(parts))


def bus(length: float = 11.5, width: float = 2.55, height: float = 3.1) -> Mesh:
    half, front, kind = width / 2, length / 2, Semantic.BUS
    parts = [box(length, width, 0.35, height, kind, PAINT, taper=0.985)]
    parts.append(box(length * 0.5, width * 0.7, height, height + 0.2, kind, PAINT, -1.0))
    parts.append(_face_panel(front + 0.01, 0.0, 1.1, width * 0.9, 1.4, kind, GLASS))
    parts.append(_face_panel(-front - 0.01, 0.0, 1.7, width * 0.8, 0.9, kind, GLASS))
    parts.append(_face_panel(front + 0.012, 0.0, 2.6, width * 0.6, 0.3, kind, DARK))
    for side in (-1.0, 1.0):
        for k in range(6):
            x = -front + 0.5 + k * (length - 0.8) / 6
            w, y = (length - 0.8) / 6 - 0.2, side * half * 1.002
            pane = [(x, y, 1.25), (x + w, y, 1.25), (x + w, y * 0.995, 2.5), (x, y * 0.995, 2.5)]
            parts.append(polygon(pane if side < 0 else pane[::-1], kind, GLASS))
    parts += _lights(front + 0.02, -front - 0.02, half, 0.6, 0.9, kind) + _wheels(
        (-0.26 * length, 0.3 * length), half, 0.48, kind, 0.3
    )
    return unit(Mesh.join(parts))


def _limb(
    length: float, thick: float, swing: float, x: float, y: float, top: float, semantic: int, material: int
) -> Mesh:
    """A tapered limb that hangs from (x, y, top) and swings ahead by an angle."""
    part = box(thick, thick, top - length, top, semantic, material, x, y, taper=1.35)
    return moved(part, pitch=swing, about=(x, y, top))


def pedestrian(frame: int, skirt: bool, bag: bool, build: float) -> Mesh:
    """A walker in one of WALK_FRAMES phases of a step; the size of its box includes the stride."""
    kind, swing = Semantic.PEDESTRIAN, 0.42 * np.sin(2.0 * np.pi * frame / WALK_FRAMES + 0.6)
    w = 0.42 * build
    parts = [frustum(rectangle(0.2, w * 0.8, 0.88), rectangle(0.24, w, 1.42), kind, TOP)]
    parts.append(box(0.12, 0.13, 1.42, 1.52, kind, SKIN))
    parts.append(moved(ball(1, kind, SKIN), 0.01, 0.0, 1.63, scale=(0.1, 0.085, 0.125)))
    parts.append(moved(ball(0, kind, HAIR), -0.025, 0.0, 1.67, scale=(0.105, 0.1, 0.1)))
    for side in (-1.0, 1.0):
        parts.append(_limb(0.86, 0.11, side * swing, 0.0, side * 0.1, 0.9, kind, SKIN if skirt else LEGS))
        parts.append(
            moved(box(0.24, 0.1, 0.0, 0.08, kind, DARK, 0.05 + 0.86 * np.sin(side * swing), side * 0.1), z=0.0)
        )
        parts.append(_limb(0.58, 0.08, -side * swing * 1.1, 0.0, side * (w / 2 + 0.045), 1.42, kind, TOP))
    if skirt:
        parts.append(frustum(ring(8, 0.26, 0.5), ring(8, 0.17, 0.95), kind, LEGS))
    if bag:
        parts.append(box(0.16, 0.3, 0.98, 1.4, kind, encode(Material.PLAIN, Colour.BAG), -0.2))
    return unit(Mesh.join(parts))


def _rider(lean: float, seat: float, foot: float, x: float, semantic: int) -> list[Mesh]:
    torso = frustum(rectangle(0.22, 0.34, seat, x), rectangle(0.24, 0.42, seat + 0.55, x), semantic, TOP)
    parts = [moved(torso, pitch=-lean, about=(x, 0.0, seat))]
    hx, hz = x + 0.75 * np.sin(lean), seat + 0.75 * np.cos(lean)
    parts.append(moved(ball(1, semantic, SKIN), hx, 0.0, hz, scale=(0.1, 0.09, 0.12)))
    parts.append(moved(ball(0, semantic, DARK), hx - 0.02, 0.0, hz + 0.05, scale=(0.14, 0.11, 0.1)))
    sx, sz = x + 0.5 * np.sin(lean), seat + 0.5 * np.cos(lean)
    for side in (-1.0, 1.0):
        parts.append(_limb(0.5, 0.13, 1.1 - 0.35 * side, x, side * 0.12, seat + 0.05, semantic, LEGS))
        knee = x + 0.48 * np.sin(1.1 - 0.35 * side)
        parts.append(box(0.1, 0.1, foot, seat - 0.1, semantic, LEGS, knee, side * 0.12))
        parts.append(_limb(0.6, 0.08, 1.0, sx, side * 0.22, sz, semantic, TOP))
    return parts


def bicycle() -> Mesh:
    kind, frame = Semantic.BICYCLE, encode(Material.PLAIN, Colour.SECOND)
    parts = [wheel(14, 0.34, 0.05, x, 0.0, kind, TYRE, HUB) for x in (-0.52, 0.52)]
    for a, b in (((-0.52, 0.34), (-0.1, 0.85)), ((-0.1, 0.32), (0.45, 0.85)), ((-0.12, 0.8), (0.42, 0.85)),
                 ((0.42, 0.95), (0.52, 0.34)), ((-0.52, 0.34), (-0.1, 0.32))):  # fmt: skip
        d = np.array([b[0] - a[0], 0.0, b[1] - a[1]])
        n = np.array([-d[2], 0.0, d[0]]) / np.linalg.norm(d) * 0.03
        p, q = np.array([a[0], 0.0, a[1]]), np.array([b[0], 0.0, b[1]])
        for y in (-0.035, 0.035):
            bar = np.array([p - n, q - n, q + n, p + n]) + (0.0, y, 0.0)
            parts.append(polygon(bar if y < 0 else bar[::-1], kind, frame))
    parts.append(box(0.05, 0.56, 0.98, 1.02, kind, DARK, 0.4))
    return unit(Mesh.join(parts + _rider(0.45, 0.88, 0.35, -0.15, Semantic.RIDER)))


def motorcycle() -> Mesh:
    kind = Semantic.MOTORCYCLE
    parts = [wheel(12, 0.31, 0.14, x, 0.0, kind, TYRE, HUB) for x in (-0.72, 0.72)]
    parts.append(box(0.9, 0.3, 0.35, 0.75, kind, DARK, 0.0, taper=0.8))
    parts.append(box(0.6, 0.34, 0.68, 0.98, kind, PAINT, 0.25, taper=0.7))
    parts.append(box(0.75, 0.3, 0.7, 0.84, kind, DARK, -0.45))
    parts.append(box(0.3, 0.4, 0.75, 1.15, kind, PAINT, 0.68, taper=0.7))
    parts.append(box(0.06, 0.7, 1.0, 1.06, kind, DARK, 0.5))
    parts.append(_face_panel(0.84, 0.0, 0.82, 0.22, 0.18, kind, FRONT))
    parts.append(_face_panel(-0.84, 0.0, 0.74, 0.24, 0.1, kind, REAR))
    return unit(Mesh.join(parts + _rider(0.25, 0.84, 0.3, -0.25, Semantic.RIDER)))


def cone() -> Mesh:
    kind, orange = Semantic.STATIC, encode(Material.PLAIN, Colour.ORANGE)
    parts = [box(0.36, 0.36, 0.0, 0.04, kind, DARK), cylinder(8, 0.14, 0.04, 0.3, kind, orange, taper=0.7)]
    parts.append(cylinder(8, 0.098, 0.3, 0.45, kind, PLATE, taper=0.7))
    parts.append(cylinder(8, 0.069, 0.45, 0.7, kind, orange, taper=0.4))
    return unit(Mesh.join(parts))


def crate(held_out: bool) -> Mesh:
    kind = Semantic.STATIC
    parts = [box(1.0, 1.0, 0.0, 1.0, kind, encode(Material.PLAIN, Colour.ORANGE if held_out else Colour.WOOD))]
    parts.append(box(1.02, 1.02, 0.42, 0.58, kind, PLATE if held_out else DARK))
    return unit(Mesh.join(parts))


CARS = (
    (4.5, 1.8, 1.44, 1.15, 0.75, 0.90, (0.8, 0.6)),  # sedan
    (4.0, 1.75, 1.5, 0.95, 0.08, 0.93, (0.75, 0.45)),  # hatchback
    (4.7, 1.9, 1.72, 1.1, 0.06, 1.05, (0.65, 0.35)),  # SUV
    (4.6, 1.8, 1.47, 1.1, 0.08, 0.90, (0.8, 0.55)),  # estate
    (4.3, 1.8, 1.32, 1.25, 0.5, 0.84, (0.8, 0.85)),  # coupe
)
HELD_OUT_CARS = ((3.6, 1.65, 1.53, 0.7, 0.06, 0.95, (0.7, 0.3)), (4.9, 1.95, 1.85, 1.2, 0.05, 1.1, (0.5, 0.3)))
PAINTS = ((0.72, 0.72, 0.70), (0.02, 0.02, 0.022), (0.25, 0.26, 0.28), (0.5, 0.52, 0.54), (0.35, 0.015, 0.015),
          (0.02, 0.06, 0.25),
          (0.05, 0.12, 0.2), (0.55, 0.5, 0.42), (0.02, 0.09, 0.05), (0.1, 0.1, 0.11), (0.5, 0.1, 0.02),
          (0.65, 0.63, 0.6))  # fmt: skip
HELD_OUT_PAINTS = (
    (0.6, 0.45, 0.02),
    (0.15, 0.4, 0.45),
    (0.3, 0.05, 0.25),
    (0.1, 0.3, 0.08),
    (0.4, 0.28, 0.2),
    (0.75, 0.3, 0.3),
)
SKINS = ((0.55, 0.34, 0.24), (0.4, 0.23, 0.14), (0.2, 0.1, 0.06), (0.62, 0.42, 0.32), (0.08, 0.04, 0.03))
WALKERS = ((False, False, 1.0), (True, False, 0.9), (False, True, 1.05), (False, False, 1.15), (True, True, 0.95))
HELD_OUT_WALKERS = ((False, True, 1.2), (True, False, 1.05))


def library() -> Library:
    """All meshes: those of training, those held out, and emergency vehicles."""
    meshes: list[Mesh] = []
    catalogue = np.zeros((3, 6, 3, 2), np.int32)
    for group in (0, 1):
        walkers = (WALKERS, HELD_OUT_WALKERS)[group]
        sets: dict[Kind, tuple[list[Mesh], ...]] = {
            Kind.CAR: ([car(*shape) for shape in (CARS, HELD_OUT_CARS)[group]],),
            Kind.TRUCK: ([van() if group == 0 else van(6.2, 2.1, 2.75)], [truck(height=(3.3, 2.9)[group])], [bus()]),
            Kind.CYCLIST: ([bicycle()], [motorcycle()]),
            Kind.PEDESTRIAN: ([pedestrian(f, *w) for w in walkers for f in range(WALK_FRAMES)],),
            Kind.PROP: ([cone()], [crate(group == 1)]),
        }
        for kind, sizes in sets.items():
            for size in range(3):
                if size < len(sizes):
                    first, count = len(meshes), len(sizes[size])
                    meshes += sizes[size]
                catalogue[group, kind, size] = first, count
    catalogue[2] = catalogue[0]
    patrol = car(4.77, 1.83, 1.5, 1.15, 0.08, 0.92, (0.8, 0.55))
    for kind, size, mesh in (
        (Kind.CAR, 0, police(patrol)), (Kind.TRUCK, 0, ambulance(van())), (Kind.TRUCK, 1, firetruck(truck()))
    ):  # fmt: skip
        catalogue[2, kind, size] = len(meshes), 1
        meshes.append(mesh)
    paints = np.array([PAINTS, (HELD_OUT_PAINTS * 2)[: len(PAINTS)], PAINTS], np.float32)
    return Library(tuple(meshes), catalogue, paints, np.array(SKINS, np.float32))
