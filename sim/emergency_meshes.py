"""Meshes of emergency vehicles: the bodies of a van, a truck and a car in their colours, with blue lamps on the roof.

A lamp belongs to one of two banks, which flash in turn while the siren is on (sim/geometry.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from sim.geometry import Material, Mesh, encode
from sim.meshes import box, moved, polygon, unit
from sim.palette import Colour
from stack.labels import Semantic

BODY = encode(Material.CAR_PAINT, Colour.OWN)
CARGO = encode(Material.CAR_PAINT, Colour.CARGO)
WHITE = encode(Material.CAR_PAINT, Colour.WHITE)
RED = encode(Material.CAR_PAINT, Colour.SIGN_RED)
BLUE = encode(Material.PLAIN, Colour.SIGN_BLUE)
YELLOW = encode(Material.PLAIN, Colour.PAINT_YELLOW)
SHUTTER = encode(Material.METAL, Colour.METAL)
BANKS = tuple(encode(Material.BLUE_LAMP, Colour.SIGN_BLUE, bank) for bank in (0, 1))


def _in_colours(body: Mesh, size_m: tuple[float, float, float], colours: Mapping[int, int]) -> Mesh:
    """A mesh of the unit box at its size, materials replaced."""
    material = body.material.copy()
    for old, new in colours.items():
        material[body.material == old] = new
    return moved(replace(body, material=material), scale=size_m)


def _band(x0: float, x1: float, half: float, z0: float, z1: float, semantic: int, material: int) -> list[Mesh]:
    """A band along both sides."""
    out = []
    for side in (-1.0, 1.0):
        corners = [(x0, side * half, z0), (x1, side * half, z0), (x1, side * half, z1), (x0, side * half, z1)]
        out.append(polygon(corners if side < 0 else corners[::-1], semantic, material))
    return out


def _lamps(x: float, y: float, z: float, length: float, width: float, height: float, semantic: int) -> list[Mesh]:
    """A lamp on the left and one on the right, of different banks."""
    return [
        box(length, width, z, z + height, semantic, BANKS[bank], x, side * y, taper=0.8, bottom=False)
        for bank, side in ((0, 1.0), (1, -1.0))
    ]


def ambulance(van: Mesh) -> Mesh:
    """White and yellow with a red band."""
    kind, front, half = Semantic.TRUCK, 2.966, 1.01
    parts = [_in_colours(van, (2.0 * front, 2.0 * half, 2.6), {BODY: WHITE})]
    parts += _band(-front + 0.1, front - 1.2, 1.006 * half, 0.98, 1.26, kind, RED)
    parts += _band(-front + 0.1, front - 1.2, 1.004 * half, 0.5, 0.98, kind, YELLOW)
    parts += _lamps(front - 1.75, 0.55, 2.58, 0.35, 0.6, 0.22, kind) + _lamps(
        -front + 0.4, 0.7, 2.58, 0.3, 0.3, 0.2, kind
    )
    return unit(Mesh.join(parts))


def firetruck(truck: Mesh) -> Mesh:
    """Red with a white band, roller shutters and a ladder."""
    kind, front, half = Semantic.TRUCK, 3.8, 1.25
    parts = [_in_colours(truck, (2.0 * front, 2.0 * half, 3.1), {BODY: RED, CARGO: RED})]
    for k in range(3):
        x = -front + 0.25 + 1.75 * k
        parts += _band(x, x + 1.6, 1.004 * half, 1.25, 2.7, kind, SHUTTER)
    parts += _band(-front, front - 2.0, 1.006 * half, 0.98, 1.2, kind, WHITE)
    parts += [box(4.4, 0.07, 3.1, 3.2, kind, SHUTTER, -0.9, y, bottom=False) for y in (-0.25, 0.25)]
    parts += _lamps(front - 0.8, 0.75, 2.53, 0.4, 0.7, 0.24, kind) + _lamps(
        -front + 0.3, 0.9, 3.08, 0.3, 0.3, 0.22, kind
    )
    return unit(Mesh.join(parts))


def police(car: Mesh) -> Mesh:
    """Silver with a blue band."""
    kind, front, half = Semantic.CAR, 2.386, 0.916
    parts = [_in_colours(car, (2.0 * front, 2.0 * half, 1.5), {BODY: WHITE})]
    parts += _band(-front + 0.3, front - 0.6, 1.002 * half, 0.5, 0.72, kind, BLUE)
    parts += _lamps(-0.35, 0.33, 1.48, 0.3, 0.55, 0.15, kind)
    return unit(Mesh.join(parts))
