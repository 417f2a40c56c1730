"""Boards beside and over motorways: exits ahead, beacons that count down to them, gantries; after the German catalogue.

What is on a board is in its signal's name: `board TEXT`, `gantry TEXT`, `arrow TEXT`, `beacon N` with 1 to 3 bars.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sim.geometry import Material, Mesh, encode
from sim.meshes import box, cylinder, moved, polygon
from sim.palette import Colour
from sim.roadside import Roadside
from sim.signposts import BACK, GLYPHS, POLE, SEGMENTS, WHITE, Heights
from stack.labels import Semantic
from stack.opendrive.furniture import SignalPost

BLUE = encode(Material.SIGN, Colour.SIGN_BLUE)
BORDER_M, LAYER_M = 0.06, 0.012
LETTER_M = 0.5
GANTRY_M = 0.5  # of its beam, which is as high
EXIT_AT_M, ON_AT_M, POST_M = -4.4, 6.75, 1.1  # boards from the outer edge and from the median's middle; its outer post
ROUTE = "A 9"  # the motorway's number
Strokes = Sequence[tuple[float, float, float, float]]  # from column, row, to column, row on a grid of 2 x 4
LETTERS: dict[str, Strokes] = {
    "A": [(0, 0, 1, 4), (1, 4, 2, 0), (0.4, 1.5, 1.6, 1.5)],
    "E": [(0, 0, 0, 4), (0, 4, 2, 4), (0, 2, 1.6, 2), (0, 0, 2, 0)],
    "X": [(0, 0, 2, 4), (0, 4, 2, 0)],
    "I": [(1, 0, 1, 4)],
    "T": [(1, 0, 1, 4), (0, 4, 2, 4)],
    "M": [(0, 0, 0, 4), (0, 4, 1, 1.6), (1, 1.6, 2, 4), (2, 0, 2, 4)],
    "/": [(0, 0, 2, 4), (2, 4, 0.6, 3.6), (2, 4, 1.9, 2.6)],  # an arrow to the upper right
    "^": [(1, 0, 1, 4), (1, 4, 0.2, 2.7), (1, 4, 1.8, 2.7)],  # an arrow straight on
}


def boards(posts: list[SignalPost], ground: Heights, side: Roadside) -> None:
    """All boards of a map, with what carries them and the footprints of their posts."""
    for post in posts:
        what, _, text = post.name.partition(" ")
        if what == "board":
            words = text.split()
            face = board([" ".join(words[:2]), " ".join(words[2:])], 3.4, 2.1)
            _on_posts(post, face, 2.4, ground, side)
        elif what == "arrow":
            _on_posts(post, board([text.split()[0], "/"], 2.1, 1.9), 1.4, ground, side)
        elif what == "beacon":
            _on_posts(post, _beacon(int(text)), 0.0, ground, side)
        elif what == "gantry":
            _gantry(post, text, ground, side)


def board(lines: list[str], wide_m: float, high_m: float) -> Mesh:
    """A blue board with a white rim about the origin, looking along +x."""
    parts = []
    for k, (shrink, look) in enumerate(((0.0, WHITE), (BORDER_M, BLUE))):
        parts.append(_plate(wide_m - 2.0 * shrink, high_m - 2.0 * shrink, k * LAYER_M, look))
    parts.append(_plate(wide_m, high_m, -0.02, BACK, front=False))
    pitch = high_m / (len(lines) + 0.15)
    size = min(LETTER_M, 0.72 * pitch)
    for k, line in enumerate(lines):
        parts += _text(line, size, 2.0 * LAYER_M, (0.5 * (len(lines) - 1) - k) * pitch)
    return Mesh.join(parts)


def _plate(wide_m: float, high_m: float, x: float, look: int, front: bool = True) -> Mesh:
    y, z = 0.5 * wide_m, 0.5 * high_m
    corners = np.array([(x, -y, -z), (x, y, -z), (x, y, z), (x, -y, z)])
    return polygon(corners if front else corners[::-1], Semantic.TRAFFIC_SIGN, look)


def _text(text: str, high_m: float, x: float, up_m: float) -> list[Mesh]:
    """Strokes of a line of text, to be read from +x (where +y is to the right)."""
    unit, thick, parts = high_m / 4.0, 0.15 * high_m, []
    for i, letter in enumerate(text.upper()):
        strokes = LETTERS.get(letter) or [SEGMENTS[s] for s in GLYPHS.get(letter, "")]
        middle = (i - 0.5 * (len(text) - 1)) * 3.1 * unit
        for c0, r0, c1, r1 in strokes:
            a = np.array([middle + (c0 - 1) * unit, up_m + (r0 - 2) * unit])
            b = np.array([middle + (c1 - 1) * unit, up_m + (r1 - 2) * unit])
            along = 0.5 * thick * (b - a) / np.linalg.norm(b - a)
            across = np.array([along[1], -along[0]])
            corners = (a - along + across, b + along + across, b + along - across, a - along - across)
            parts.append(polygon([(x, *c) for c in corners], Semantic.TRAFFIC_SIGN, WHITE))
    return parts


def _beacon(bars: int) -> Mesh:
    """A blue plate with one white bar for each 100 m."""
    parts = [_plate(0.8, 1.7, 0.0, BLUE), _plate(0.8, 1.7, -0.02, BACK, front=False)]
    for k in range(bars):
        z = (k - 0.5 * (bars - 1)) * 0.5
        corners = [(LAYER_M, -0.38, z - 0.2), (LAYER_M, 0.38, z), (LAYER_M, 0.38, z + 0.2), (LAYER_M, -0.38, z)]
        parts.append(polygon(corners, Semantic.TRAFFIC_SIGN, WHITE))
    return Mesh.join(parts)


def _on_posts(post: SignalPost, face: Mesh, apart_m: float, ground: Heights, side: Roadside) -> None:
    """A face at its signal's place; apart_m 0: on one post."""
    x, y, z = post.xyz_m
    yaw = post.yaw_rad
    side.parts.append(moved(face, x, y, z, yaw))
    top = float(face.vertices[:, 2].max()) + z
    for out in (0.0,) if apart_m == 0.0 else (-0.5 * apart_m, 0.5 * apart_m):
        px, py = x - 0.08 * np.cos(yaw) - out * np.sin(yaw), y - 0.08 * np.sin(yaw) + out * np.cos(yaw)
        pole = cylinder(6, 0.05, ground.height(px, py) - 0.4, top, Semantic.POLE, POLE)
        side.put(moved(pole, px, py), px, py, yaw, 0.15, 0.15)


def _gantry(post: SignalPost, text: str, ground: Heights, side: Roadside) -> None:
    """A portal over one carriageway, from behind its outer rail to the middle of the median, with its boards."""
    x, y, z = post.xyz_m
    yaw, wide = post.yaw_rad, abs(post.t_m)
    exit_, on = board([text, "/"], 3.4, 2.4), board([ROUTE, "^ ^"], 3.4, 2.4)
    parts = [moved(exit_, 0.3, EXIT_AT_M), moved(on, 0.3, ON_AT_M - wide)]
    beam = box(
        GANTRY_M, wide + POST_M, -0.5 * GANTRY_M, 0.5 * GANTRY_M, Semantic.POLE, POLE, 0.0, 0.5 * (POST_M - wide)
    )
    side.parts.append(moved(Mesh.join([*parts, beam]), x, y, z, yaw))
    for out in (POST_M, -wide):
        px, py = x - out * np.sin(yaw), y + out * np.cos(yaw)
        low = ground.height(px, py) - 0.4
        leg = box(0.4, 0.4, low, z + 0.5 * GANTRY_M, Semantic.POLE, POLE)
        side.put(moved(leg, px, py, yaw=yaw), px, py, yaw, 0.4, 0.4)
