"""Traffic lights and signs as meshes, with their posts, and the footprints of the posts."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from sim.geometry import Material, Mesh, encode
from sim.meshes import Block, box, cylinder, footprint, moved, polygon
from sim.palette import Colour
from stack.frames import F64
from stack.labels import Semantic
from stack.lanegraph import LaneGraph
from stack.opendrive.furniture import SignalPost

LAMP_RADIUS_M = 0.15  # 300 mm lamps
LAMP_PITCH_M = 0.33
ARM_ABOVE_M = 0.65  # a mast arm's axis over the centre of the head
SIGN_M = 0.75
SIGN_HEIGHT_M = 2.2
POLE = encode(Material.METAL, Colour.POLE)
HOUSING = encode(Material.PLAIN, Colour.HOUSING)
RED, WHITE = encode(Material.SIGN, Colour.SIGN_RED), encode(Material.SIGN, Colour.SIGN_WHITE)
BLACK, BACK = encode(Material.SIGN, Colour.SIGN_BLACK), encode(Material.METAL, Colour.SIGN_BACK)


class Heights(Protocol):
    """What posts need to know of the ground."""

    def height(self, x_m: float, y_m: float) -> float: ...
    def on_road(self, x_m: float, y_m: float) -> bool: ...


def lamp_head(signal: int) -> Mesh:
    """A three-lamp head about the origin, looking along +x: housing, back plate with a pale rim, visors."""
    kind = Semantic.TRAFFIC_LIGHT
    parts = [box(0.24, 0.36, -0.53, 0.53, kind, HOUSING)]
    for x, y, z, look in ((-0.02, 0.30, 0.63, HOUSING), (-0.025, 0.34, 0.67, WHITE)):
        plate = np.array([(x, -y, -z), (x, y, -z), (x, y, z), (x, -y, z)])
        parts += [polygon(plate, kind, look), polygon(plate[::-1] - (0.01, 0, 0), kind, BACK)]
    for k, lamp in enumerate((Material.LAMP_RED, Material.LAMP_YELLOW, Material.LAMP_GREEN)):
        z = LAMP_PITCH_M * (1 - k)
        angle = np.arange(10) * np.pi / 5
        disc = np.stack([np.full(10, 0.13), LAMP_RADIUS_M * np.cos(angle), z + LAMP_RADIUS_M * np.sin(angle)], axis=1)
        parts.append(polygon(disc, kind, encode(lamp, 0, signal)))
        hood = [(0.12, -0.16, z + 0.13), (0.12, 0.16, z + 0.13), (0.3, 0.14, z + 0.16), (0.3, -0.14, z + 0.16)]
        parts.append(polygon(hood, kind, HOUSING, both=True))
    return Mesh.join(parts)


def lights(graph: LaneGraph, ground: Heights) -> tuple[list[Mesh], list[Block]]:
    """All lamp heads with their posts; a head over the lanes hangs from an arm that starts at the side of the road."""
    parts: list[Mesh] = []
    boxes: list[Block] = []
    for signal, (x, y, z), yaw in zip(graph.head_signal, graph.head_xyz_m, graph.head_yaw_rad, strict=True):
        parts.append(moved(lamp_head(int(signal)), x, y, z, yaw))
        reach = _reach(x - 0.2 * np.cos(yaw), y - 0.2 * np.sin(yaw), yaw, ground)
        px, py = x - 0.2 * np.cos(yaw) - reach * np.sin(yaw), y - 0.2 * np.sin(yaw) + reach * np.cos(yaw)
        base = ground.height(px, py) - 0.3
        top = z + (ARM_ABOVE_M + 0.1 if reach else 0.4)
        parts.append(moved(cylinder(8, 0.09 if reach else 0.06, base, top, Semantic.POLE, POLE), px, py))
        boxes.append(footprint(parts[-1], px, py, yaw, 0.2, 0.2))
        if reach:
            low, high = sorted((0.0, -reach))
            arm = box(
                0.12,
                high - low + 0.1,
                z + ARM_ABOVE_M - 0.06,
                z + ARM_ABOVE_M + 0.06,
                Semantic.POLE,
                POLE,
                0.0,
                0.5 * (low + high),
            )
            parts.append(moved(arm, px, py, yaw=yaw))
    return parts, boxes


def _reach(x: float, y: float, yaw: float, ground: Heights) -> float:
    """Signed distance to the left (as the head looks) of the nearest place for a post; 0: at the head."""
    for distance in np.arange(0.0, 16.0, 0.5):
        for side in (1.0, -1.0):
            if not ground.on_road(x - side * distance * np.sin(yaw), y + side * distance * np.cos(yaw)):
                return float(side * (distance + (0.4 if distance else 0.0)))
    return 0.0


def signs(posts: list[SignalPost], ground: Heights) -> tuple[list[Mesh], list[Block]]:
    """Stop, yield and speed signs on their posts."""
    parts: list[Mesh] = []
    boxes: list[Block] = []
    for post in posts:
        if post.kind not in ("stop", "yield", "speed") or post.painted:
            continue
        x, y, z = post.xyz_m
        base = ground.height(x, y)
        z = z if z - base > 1.2 else base + SIGN_HEIGHT_M
        parts.append(moved(sign_face(post.kind, post.value), x, y, z, post.yaw_rad))
        foot = x - 0.05 * np.cos(post.yaw_rad), y - 0.05 * np.sin(post.yaw_rad)
        parts.append(moved(cylinder(6, 0.035, base - 0.3, z + 0.3, Semantic.POLE, POLE), *foot))
        boxes.append(footprint(parts[-1], x, y, post.yaw_rad, 0.1, 0.1))
    return parts, boxes


def sign_face(kind: str, value: float) -> Mesh:
    """A sign about the origin, looking along +x."""
    if kind == "stop":
        layers = [(_disc(8, 0.54, np.pi / 8), WHITE), (_disc(8, 0.49, np.pi / 8), RED)]
        text, ink = "STOP", WHITE
    elif kind == "yield":
        layers = [(_disc(3, 0.55, -np.pi / 2), RED), (_disc(3, 0.34, -np.pi / 2), WHITE)]
        text, ink = "", WHITE
    else:
        layers = [(_disc(14, 0.38), RED), (_disc(14, 0.29), WHITE)]
        text, ink = f"{value:.0f}", BLACK
    semantic = Semantic.TRAFFIC_SIGN
    parts = [polygon(face + (0.008 * k, 0.0, 0.0), semantic, look) for k, (face, look) in enumerate(layers)]
    parts.append(polygon(layers[0][0][::-1] - (0.01, 0.0, 0.0), semantic, BACK))
    return Mesh.join(parts + _text(text, 0.26 if text != "STOP" else 0.3, 0.02, ink))


def _disc(n: int, radius: float, phase: float = 0.0) -> F64:
    """(n, 3) polygon in the y-z plane, counter-clockwise as seen from +x."""
    angle = np.arange(n) * 2.0 * np.pi / n + phase
    return np.stack([np.zeros(n), radius * np.cos(angle), radius * np.sin(angle)], axis=1)


# strokes on a grid of 2 x 4: (from column, row, to column, row); seven segments, and the letters of STOP
SEGMENTS = {
    "a": (0, 4, 2, 4),
    "b": (2, 2, 2, 4),
    "c": (2, 0, 2, 2),
    "d": (0, 0, 2, 0),
    "e": (0, 0, 0, 2),
    "f": (0, 2, 0, 4),
    "g": (0, 2, 2, 2),
}
GLYPHS = {"0": "abcdef", "1": "bc", "2": "abged", "3": "abgcd", "4": "fgbc", "5": "afgcd", "6": "afgedc", "7": "abc",
           "8": "abcdefg",           "9": "abcdfg", "S": "afgcd", "O": "abcdef", "P": "abefg"}  # fmt: skip


def _text(text: str, height: float, x: float, material: int) -> list[Mesh]:
    """Strokes of a text centred in the y-z plane, to be read from +x (where +y is to the right)."""
    unit, parts = height / 4.0, []
    thick, pitch = 0.16 * height, 3.0 * height / 4.0
    for i, letter in enumerate(text):
        strokes = [(1, 0, 1, 4), (0, 4, 2, 4)] if letter == "T" else [SEGMENTS[s] for s in GLYPHS.get(letter, "g")]
        offset = (i - (len(text) - 1) / 2.0) * pitch
        for c0, r0, c1, r1 in strokes:
            y0, y1 = offset + (c0 - 1) * unit - thick / 2, offset + (c1 - 1) * unit + thick / 2
            z0, z1 = (min(r0, r1) - 2) * unit - thick / 2, (max(r0, r1) - 2) * unit + thick / 2
            parts.append(polygon([(x, y0, z0), (x, y1, z0), (x, y1, z1), (x, y0, z1)], Semantic.TRAFFIC_SIGN, material))
    return parts
