"""Colours of faces: linear RGB reflectance by index. The first three belong to each actor (sim/geometry.py)."""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from stack.messages import F32
from stack.seeds import Stream, generator

COLOURS = 96
WALLS = 24  # wall colours, from Colour.WALL on
ROOFS = 8
LEAVES = 8


class Colour(IntEnum):
    """Index into the palette."""

    OWN = 0
    SECOND = 1
    SKIN = 2
    GLASS = 3
    TYRE = 4
    METAL = 5
    DARK = 6
    WHITE = 7
    TAIL = 8
    CARGO = 9
    HAIR = 10
    BAG = 11
    ORANGE = 12
    WOOD = 13
    ASPHALT = 14
    PAINT_WHITE = 15
    PAINT_YELLOW = 16
    SIDEWALK = 17
    KERB = 18
    GRASS = 19
    POLE = 20
    HOUSING = 21
    SIGN_RED = 22
    SIGN_WHITE = 23
    SIGN_BACK = 24
    BARK = 25
    FENCE = 26
    SIGN_BLACK = 27
    SIGN_BLUE = 28
    WALL = 32
    ROOF = 56
    LEAF = 64


_FIXED: dict[Colour, tuple[float, float, float]] = {
    Colour.GLASS: (0.025, 0.03, 0.035), Colour.TYRE: (0.012, 0.012, 0.012), Colour.METAL: (0.3, 0.3, 0.31),
    Colour.DARK: (0.015, 0.015, 0.016), Colour.WHITE: (0.75, 0.75, 0.73), Colour.TAIL: (0.28, 0.01, 0.008),
    Colour.CARGO: (0.62, 0.62, 0.6), Colour.HAIR: (0.03, 0.02, 0.012), Colour.BAG: (0.06, 0.05, 0.12),
    Colour.ORANGE: (0.75, 0.14, 0.02), Colour.WOOD: (0.24, 0.13, 0.06), Colour.ASPHALT: (0.13, 0.128, 0.126),
    Colour.PAINT_WHITE: (0.7, 0.7, 0.68), Colour.PAINT_YELLOW: (0.66, 0.43, 0.05), Colour.SIDEWALK: (0.31, 0.3, 0.28),
    Colour.KERB: (0.33, 0.33, 0.32), Colour.GRASS: (0.1, 0.135, 0.045), Colour.POLE: (0.12, 0.13, 0.13),
    Colour.HOUSING: (0.012, 0.013, 0.012), Colour.SIGN_RED: (0.5, 0.012, 0.012), Colour.SIGN_WHITE: (0.75, 0.75, 0.75),
    Colour.SIGN_BACK: (0.22, 0.23, 0.24), Colour.BARK: (0.07, 0.045, 0.028), Colour.FENCE: (0.16, 0.1, 0.06),
    Colour.SIGN_BLACK: (0.01, 0.01, 0.01), Colour.SIGN_BLUE: (0.006, 0.07, 0.36),
}  # fmt: skip
_WALLS = np.array([(0.45, 0.4, 0.32), (0.3, 0.1, 0.06), (0.5, 0.46, 0.4), (0.24, 0.22, 0.2), (0.42, 0.3, 0.16),
                   (0.33, 0.35, 0.37),                   (0.22, 0.075, 0.045), (0.55, 0.53, 0.48)])  # fmt: skip
_UNSEEN_WALLS = np.array(
    [(0.2, 0.3, 0.33), (0.5, 0.28, 0.22), (0.36, 0.38, 0.24), (0.14, 0.12, 0.12), (0.6, 0.5, 0.3), (0.3, 0.24, 0.32)]
)
_ROOFS = np.array([(0.18, 0.05, 0.03), (0.05, 0.05, 0.055), (0.12, 0.07, 0.05), (0.09, 0.095, 0.1)])
_UNSEEN_ROOFS = np.array([(0.1, 0.16, 0.13), (0.26, 0.12, 0.06), (0.16, 0.15, 0.13)])
_LEAVES = np.array([(0.07, 0.12, 0.03), (0.1, 0.15, 0.035), (0.055, 0.09, 0.03), (0.13, 0.14, 0.04)])

_UNSEEN_LEAVES = np.array([(0.16, 0.1, 0.02), (0.045, 0.1, 0.05), (0.15, 0.16, 0.08)])  # autumn, blue spruce, willow


def palette(seed: int, unseen: bool = False, spread: float = 0.15) -> F32:
    """(COLOURS, 3) linear RGB; `spread` is how far colours of walls, grass, asphalt and so on wander with the seed.
    `unseen`: about other walls, roofs and leaves, which nothing is trained on."""
    rng = generator(seed, Stream.SCENERY, actor=1)
    out = np.full((COLOURS, 3), 0.3)
    for index, rgb in _FIXED.items():
        out[index] = rgb
    walls, roofs, leaves = (_UNSEEN_WALLS, _UNSEEN_ROOFS, _UNSEEN_LEAVES) if unseen else (_WALLS, _ROOFS, _LEAVES)
    for first, count, colours in (
        (Colour.WALL, WALLS, walls),
        (Colour.ROOF, ROOFS, roofs),
        (Colour.LEAF, LEAVES, leaves),
    ):
        out[first : first + count] = colours[np.arange(count) % len(colours)]
    wander = np.exp(spread * (rng.normal(size=(COLOURS, 1)) + 0.4 * rng.normal(size=(COLOURS, 3))))
    keep = [
        Colour.SIGN_RED,
        Colour.SIGN_WHITE,
        Colour.SIGN_BLACK,
        Colour.SIGN_BLUE,
        Colour.ORANGE,
        Colour.TAIL,
        Colour.PAINT_WHITE,
        Colour.PAINT_YELLOW,
    ]
    wander[keep] = 1.0
    return np.clip(out * wander, 0.005, 0.85).astype(np.float32)
