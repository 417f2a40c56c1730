"""Triangles that the cameras and the LiDAR share: static scenery, and the actors placed anew at every tick.

All triangles of a world lie in one set of flat arrays, world frame, m. Rows [0, static_triangles) are scenery,
sorted so that CHUNK neighbours lie close together; then each actor row has a slot of equal size. A chunk is a
run of triangles with a bounding sphere: one for each run of scenery, then one for each actor (count 0 where
there is none). Faces are seen from the side on which their corners run counter-clockwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import warp as wp
from numpy.typing import NDArray

from sim.state import State, StateArrays
from stack.frames import F64
from stack.labels import Kind, Semantic
from stack.messages import F32, I32, U8
from stack.seeds import mix

wp.set_module_options({"enable_backward": False})

CHUNK = 32  # triangles of scenery that are culled together
HELD_OUT_LOOK = 1000  # looks from here on use meshes and colours that training never sees
EMERGENCY_LOOK = 2000  # and from here on those of emergency vehicles
FLASH_TICKS = 10  # two flashes a second from each bank of blue lamps (UN R65: 2 to 4)
SHOW_M = 160.0  # actors farther than this from the viewer are not placed
WALK_FRAMES = 4  # meshes of one pedestrian, a step apart
STRIDE_M = 1.4  # walked in WALK_FRAMES frames


class Material(IntEnum):
    """What a face is made of; textures are procedural, see sim/kernels/shade.py."""

    PLAIN = 0
    ASPHALT = 1
    PAINT = 2
    SIDEWALK = 3
    KERB = 4
    GRASS = 5
    FACADE = 6
    ROOF = 7
    FOLIAGE = 8
    BARK = 9
    METAL = 10
    GLASS = 11
    CAR_PAINT = 12
    RUBBER = 13
    LAMP_RED = 14
    LAMP_YELLOW = 15
    LAMP_GREEN = 16
    HEAD_LIGHT = 17
    TAIL_LIGHT = 18
    SIGN = 19
    STREET_LAMP = 20
    FENCE = 21
    BLUE_LAMP = 22


OWN_COLOURS = 3  # colours 0, 1, 2 are the actor's own: paint or top, second or trousers, skin


def encode(kind: int, colour: int = 0, param: int = 0) -> int:
    """A face's material word: kind, palette index, and signal index (lamps), bank (blue lamps) or building index (facades)."""
    return int(kind) | int(colour) << 8 | int(param) << 16


@dataclass(frozen=True)
class Mesh:
    """Triangles with a semantic id and a material word each."""

    vertices: F32  # (V, 3)
    triangles: I32  # (T, 3)
    semantic: U8  # (T,)
    material: I32  # (T,) see `encode`

    def corners(self) -> F32:
        """(T, 3, 3) corners of each triangle."""
        return self.vertices[self.triangles]

    def normals(self) -> F32:
        """(T, 3) unit vectors to the side from which each triangle is seen; zeros where it has no area."""
        a, b, c = np.moveaxis(self.corners().astype(np.float64), 1, 0)
        n = np.cross(b - a, c - a)
        return (n / np.maximum(np.linalg.norm(n, axis=1, keepdims=True), 1e-12)).astype(np.float32)

    @staticmethod
    def join(parts: list[Mesh]) -> Mesh:
        """All parts as one mesh."""
        if not parts:
            return Mesh(
                np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int32), np.zeros(0, np.uint8), np.zeros(0, np.int32)
            )
        first = np.cumsum([0] + [len(p.vertices) for p in parts[:-1]])
        triangles = [p.triangles + k for p, k in zip(parts, first, strict=True)]
        return Mesh(
            np.concatenate([p.vertices for p in parts]), np.concatenate(triangles).astype(np.int32),
            np.concatenate([p.semantic for p in parts]), np.concatenate([p.material for p in parts]),
        )  # fmt: skip


@dataclass(frozen=True)
class Library:
    """Actor meshes in a unit box (x, y in -0.5..0.5, z in 0..1), and which of them stand for what.

    `catalogue[group, kind, size]` = first mesh and how many; group 1: held out, 2: emergency vehicles; size 0, 1, 2 by
    SIZE_STEPS_M of length.
    """

    meshes: tuple[Mesh, ...]
    catalogue: NDArray[np.int32]  # (3, 6, 3, 2)
    paints: F32  # (3, P, 3) linear RGB: body colours, by group
    skins: F32  # (K, 3)


SIZE_STEPS_M = {Kind.TRUCK: (6.6, 9.5), Kind.CYCLIST: (1.9, 99.0), Kind.PROP: (0.6, 99.0)}  # van | truck | bus, ...


@wp.struct
class GeometryArrays:
    """What kernels read: T triangles, C chunks, A actors, S signals."""

    corner: wp.array(dtype=wp.vec3)  # (3 T,)
    normal: wp.array(dtype=wp.vec3)  # (T,) unit vectors to the side that is seen
    semantic: wp.array(dtype=wp.uint8)  # (T,)
    instance: wp.array(dtype=wp.int32)  # (T,) actor row + 1; 0 scenery
    material: wp.array(dtype=wp.int32)  # (T,)
    chunk_start: wp.array(dtype=wp.int32)  # (C,)
    chunk_count: wp.array(dtype=wp.int32)
    chunk_centre: wp.array(dtype=wp.vec3)
    chunk_radius: wp.array(dtype=wp.float32)
    chunk_grain_m: wp.array(dtype=wp.float32)  # the longest edge in the chunk: what is too small far away is left out
    colour: wp.array2d(dtype=wp.vec3)  # (A, OWN_COLOURS) linear RGB
    brake: wp.array(dtype=wp.float32)  # (A,)
    blue: wp.array(dtype=wp.int32)  # (A,) bank of its blue lamps that is lit, or -1
    kind: wp.array(dtype=wp.int32)  # (A,) labels.Kind
    base: wp.array(dtype=wp.vec3)  # (A,) centre of the actor's box, on the ground
    size: wp.array(dtype=wp.vec3)  # (A,) length, width, height
    heading: wp.array(dtype=wp.vec2)  # (A,) cos, sin of its yaw
    signal: wp.array(dtype=wp.int32)  # (S,) labels.LightState
    static_chunks: int
    static_triangles: int
    slot: int  # triangles reserved for each actor


@wp.struct
class LibraryArrays:
    corner: wp.array(dtype=wp.vec3)
    normal: wp.array(dtype=wp.vec3)
    semantic: wp.array(dtype=wp.uint8)
    material: wp.array(dtype=wp.int32)
    start: wp.array(dtype=wp.int32)
    count: wp.array(dtype=wp.int32)
    catalogue: wp.array4d(dtype=wp.int32)
    size_steps_m: wp.array2d(dtype=wp.float32)
    paints: wp.array2d(dtype=wp.vec3)
    skins: wp.array(dtype=wp.vec3)


@wp.func
def _group(look: int) -> int:
    """Of the library's catalogue."""
    return wp.where(look >= EMERGENCY_LOOK, 2, wp.where(look >= HELD_OUT_LOOK, 1, 0))


@wp.func
def _lit_bank(tick: int) -> int:
    """Bank of blue lamps that is lit, -1: none. The banks take turns, each flashes twice."""
    phase = tick % FLASH_TICKS
    half = FLASH_TICKS / 2
    if phase % half == 2 or phase % half == half - 1:
        return -1
    return phase / half


@wp.func
def _pick_mesh(library: LibraryArrays, kind: int, look: int, length_m: float, frame: int) -> int:
    size = 0
    if length_m >= library.size_steps_m[kind, 0]:
        size = 1
    if length_m >= library.size_steps_m[kind, 1]:
        size = 2
    group = _group(look)
    first = library.catalogue[group, kind, size, 0]
    count = library.catalogue[group, kind, size, 1]
    if kind == 4:  # a pedestrian's mesh depends on how far it has walked
        return first + (look % (count / WALK_FRAMES)) * WALK_FRAMES + frame
    return first + look % count


@wp.func
def _linear(byte: int) -> float:
    """Of an sRGB value 0..255 (IEC 61966-2-1)."""
    v = float(byte) / 255.0
    if v <= 0.04045:
        return v / 12.92
    return wp.pow((v + 0.055) / 1.055, 2.4)


@wp.func
def _linear_rgb(word: int) -> wp.vec3:
    """Of a colour 0xRRGGBB."""
    return wp.vec3(_linear((word >> 16) & 255), _linear((word >> 8) & 255), _linear(word & 255))


@wp.kernel(enable_backward=False)
def _place_actors(
    state: StateArrays, world: int, viewer: int, library: LibraryArrays, out: GeometryArrays
):  # fmt: skip
    """One thread per actor row: pick its mesh, put it where the actor is, write its chunk."""
    row = wp.tid()
    chunk = out.static_chunks + row
    kind = state.kind[world, row]
    out.chunk_count[chunk] = 0
    if kind == 0 or row == viewer or kind > 5:
        return
    position = wp.vec3(state.x_m[world, row], state.y_m[world, row], state.z_m[world, row])
    if viewer >= 0:
        dx = position[0] - state.x_m[world, viewer]
        dy = position[1] - state.y_m[world, viewer]
        if dx * dx + dy * dy > SHOW_M * SHOW_M:
            return
    look = state.look[world, row]
    size = wp.vec3(state.length_m[world, row], state.width_m[world, row], state.height_m[world, row])
    frame = int(wp.floor(wp.abs(state.walk_s_m[world, row]) / (STRIDE_M / float(WALK_FRAMES)))) % WALK_FRAMES
    mesh = _pick_mesh(library, kind, look, size[0], frame)
    cy, sy = wp.cos(state.yaw_rad[world, row]), wp.sin(state.yaw_rad[world, row])
    cp, sp = wp.cos(state.pitch_rad[world, row]), wp.sin(state.pitch_rad[world, row])
    cr, sr = wp.cos(state.roll_rad[world, row]), wp.sin(state.roll_rad[world, row])
    rotation = wp.mat33(
        cy * cp, -cy * sp * sr - sy * cr, -cy * sp * cr + sy * sr,
        sy * cp, -sy * sp * sr + cy * cr, -sy * sp * cr - cy * sr,
        sp, cp * sr, cp * cr,
    )  # fmt: skip
    base = position + rotation @ wp.vec3(state.centre_m[world, row], 0.0, 0.0)
    first = out.static_triangles + row * out.slot
    source = library.start[mesh]
    for k in range(library.count[mesh]):
        for c in range(3):
            out.corner[3 * (first + k) + c] = base + rotation @ wp.cw_mul(size, library.corner[3 * (source + k) + c])
        out.normal[first + k] = wp.normalize(rotation @ wp.cw_div(library.normal[source + k], size))
        out.semantic[first + k] = library.semantic[source + k]
        out.material[first + k] = library.material[source + k]
    out.chunk_count[chunk] = library.count[mesh]
    out.chunk_centre[chunk] = base + rotation @ wp.vec3(0.0, 0.0, 0.5 * size[2])
    out.chunk_radius[chunk] = 0.5 * wp.length(size)
    out.brake[row] = wp.max(state.brake[world, row], wp.clamp(-0.4 * (state.ax_mps2[world, row] + 0.6), 0.0, 1.0))
    out.blue[row] = wp.where(state.siren[world, row] != 0, _lit_bank(state.tick[world]), -1)
    out.kind[row] = kind
    out.base[row] = base
    out.size[row] = size
    out.heading[row] = wp.vec2(cy, sy)
    h = mix(wp.uint32(look))
    group = _group(look)
    paints = wp.uint32(library.paints.shape[1])
    out.colour[row, 0] = library.paints[group, int((h >> wp.uint32(4)) % paints)]
    if state.paint[world, row] != 0:
        out.colour[row, 0] = _linear_rgb(state.paint[world, row] - 1)
    out.colour[row, 1] = library.paints[group, int((h >> wp.uint32(12)) % paints)] * 0.55
    out.colour[row, 2] = library.skins[int((h >> wp.uint32(20)) % wp.uint32(library.skins.shape[0]))]


@wp.kernel(enable_backward=False)
def _copy_signals(state: StateArrays, world: int, out: GeometryArrays):
    s = wp.tid()
    out.signal[s] = state.signal_state[world, s]


class Geometry:
    """Owns the triangle arrays of one world. `update` places the actors; nothing is allocated after construction."""

    def __init__(self, static: Mesh, library: Library, actors: int, signals: int, device: str) -> None:
        self.device, self.actors, self.signals = device, actors, max(signals, 1)
        static, chunks = _in_chunks(static)
        self.static = static
        slot = max((len(m.triangles) for m in library.meshes), default=0)
        count = len(static.triangles)
        total, n_chunks = count + actors * slot, len(chunks["start"])
        rows = np.repeat(np.arange(actors, dtype=np.int32) + 1, slot)

        def pad(values: NDArray[Any], size: int) -> NDArray[Any]:
            return np.concatenate([values, np.zeros((size - len(values), *values.shape[1:]), values.dtype)])

        def on_device(values: NDArray[Any], dtype: Any = Any) -> Any:
            return wp.array(values, dtype=dtype, device=device)

        self.arrays: Any = GeometryArrays()
        a = self.arrays
        a.corner = on_device(pad(static.corners().reshape(-1, 3), 3 * total), wp.vec3)
        a.normal = on_device(pad(static.normals(), total), wp.vec3)
        a.semantic = on_device(pad(static.semantic, total))
        a.material = on_device(pad(static.material, total))
        a.instance = on_device(np.concatenate([np.zeros(count, np.int32), rows]))
        slots = count + np.arange(actors, dtype=np.int32) * slot
        a.chunk_start = on_device(np.concatenate([chunks["start"], slots]).astype(np.int32))
        a.chunk_count = on_device(pad(chunks["count"], n_chunks + actors))
        a.chunk_centre = on_device(pad(chunks["centre"], n_chunks + actors), wp.vec3)
        a.chunk_radius = on_device(pad(chunks["radius"], n_chunks + actors))
        a.chunk_grain_m = on_device(np.concatenate([chunks["grain"], np.full(actors, 2.0, np.float32)]))
        a.colour = wp.zeros((max(actors, 1), OWN_COLOURS), dtype=wp.vec3, device=device)
        a.brake = wp.zeros(max(actors, 1), dtype=wp.float32, device=device)
        a.blue = wp.full(max(actors, 1), -1, dtype=wp.int32, device=device)
        a.kind = wp.zeros(max(actors, 1), dtype=wp.int32, device=device)
        a.base = wp.zeros(max(actors, 1), dtype=wp.vec3, device=device)
        a.size = wp.zeros(max(actors, 1), dtype=wp.vec3, device=device)
        a.heading = wp.zeros(max(actors, 1), dtype=wp.vec2, device=device)
        a.signal = wp.zeros(self.signals, dtype=wp.int32, device=device)
        a.static_chunks, a.static_triangles, a.slot = n_chunks, count, slot
        self.chunks, self.triangles = n_chunks + actors, total
        self._library = _on_device(library, device)

    def update(self, state: State, world: int = 0, viewer: int = 0) -> None:
        """Place the actors of one world and take over its lights. Row `viewer` is left out (-1: nobody is)."""
        self.state, self.world = state, world
        inputs = [state.arrays, world, viewer, self._library, self.arrays]
        wp.launch(_place_actors, dim=min(self.actors, state.actors), inputs=inputs, device=self.device)
        signals = min(self.signals, state.arrays.signal_state.shape[1])
        wp.launch(_copy_signals, dim=signals, inputs=[state.arrays, world, self.arrays], device=self.device)


def _on_device(library: Library, device: str) -> Any:
    counts = np.array([len(m.triangles) for m in library.meshes], np.int32)
    steps = np.full((6, 2), 1e9, np.float32)
    for kind, edges in SIZE_STEPS_M.items():
        steps[int(kind)] = edges
    whole = Mesh.join(list(library.meshes))
    out: Any = LibraryArrays()
    out.corner = wp.array(whole.corners().reshape(-1, 3), dtype=wp.vec3, device=device)
    out.normal = wp.array(whole.normals(), dtype=wp.vec3, device=device)
    out.semantic = wp.array(whole.semantic, device=device)
    out.material = wp.array(whole.material, device=device)
    out.start = wp.array((np.cumsum(counts) - counts).astype(np.int32), device=device)
    out.count = wp.array(counts, device=device)
    out.catalogue = wp.array(library.catalogue, dtype=wp.int32, device=device)
    out.size_steps_m = wp.array(steps, device=device)
    out.paints = wp.array(library.paints, dtype=wp.vec3, device=device)
    out.skins = wp.array(library.skins, dtype=wp.vec3, device=device)
    return out


def _in_chunks(mesh: Mesh) -> tuple[Mesh, dict[str, NDArray[Any]]]:
    """The mesh with triangles sorted by size class and along a Morton curve, and its chunks."""
    if len(mesh.triangles) == 0:
        f, i = np.zeros(0, np.float32), np.zeros(0, np.int32)
        return mesh, {"start": i, "count": i, "centre": np.zeros((0, 3), np.float32), "radius": f, "grain": f}
    corners = mesh.corners().astype(np.float64)
    edge = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=-1).max(axis=1)
    size_class = np.digitize(edge, (0.3, 1.0, 3.0, 12.0))
    cell = np.floor((corners.mean(axis=1)[:, :2] - corners.min(axis=(0, 1))[:2]) / 4.0).astype(np.int64)
    key = _spread(cell[:, 0]) | _spread(cell[:, 1]) << 1
    order = np.lexsort((key, size_class))
    mesh = Mesh(mesh.vertices, mesh.triangles[order], mesh.semantic[order], mesh.material[order])
    corners, edge = corners[order], edge[order]
    start = np.arange(0, len(order), CHUNK)
    low, high = np.minimum.reduceat(corners.min(axis=1), start), np.maximum.reduceat(corners.max(axis=1), start)
    return mesh, {
        "start": start.astype(np.int32),
        "count": np.diff(np.append(start, len(order))).astype(np.int32),
        "centre": (0.5 * (low + high)).astype(np.float32),
        "radius": (0.5 * np.linalg.norm(high - low, axis=1) + 1e-3).astype(np.float32),
        "grain": np.maximum.reduceat(edge, start).astype(np.float32),
    }


def _spread(x: NDArray[np.int64]) -> NDArray[np.int64]:
    """Bits of x with a zero between each two (16 bits in)."""
    for shift, mask in ((8, 0x00FF00FF), (4, 0x0F0F0F0F), (2, 0x33333333), (1, 0x55555555)):
        x = (x | x << shift) & mask
    return x


def box_mesh(size_m: F64, semantic: int = Semantic.STATIC, material: int = 0) -> Mesh:
    """A box about the origin on the ground; z from 0 to size_m[2]."""
    x, y, z = np.asarray(size_m) * (0.5, 0.5, 1.0)
    vertices = np.array([[i, j, k] for k in (0.0, z) for i, j in ((x, y), (x, -y), (-x, -y), (-x, y))], np.float32)
    quads = [(0, 1, 2, 3), (7, 6, 5, 4), (1, 0, 4, 5), (2, 1, 5, 6), (3, 2, 6, 7), (0, 3, 7, 4)]
    triangles = np.array([t for a, b, c, d in quads for t in ((a, b, c), (a, c, d))], np.int32)
    return Mesh(vertices, triangles, np.full(12, semantic, np.uint8), np.full(12, material, np.int32))
