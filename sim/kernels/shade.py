"""Deferred shading: from the triangle that each sample sees to colour, depth, class and instance of each pixel.

The colour of a pixel is filtered over its 3 x 3 samples with a tent: the face at its centre, and one more face
among the eight around it, which is enough for edges, lane lines and poles. Everything else (depth, class,
instance) is that of the centre. Light: sun past shadows, sky from above and bounced from below, fog, and at
night lamps and the ego's head lights.
"""

from __future__ import annotations

import numpy as np
import warp as wp
from numpy.typing import NDArray

from sim.geometry import OWN_COLOURS, GeometryArrays, Material
from sim.kernels.native import FACE, POINT, ROWS, source
from sim.kernels.raster import View
from sim.kernels.shadow import CELL_M, CELLS, ShadowArrays
from sim.kernels.texture import Textures
from stack.labels import Semantic
from stack.seeds import Stream, generator, mix

# LLVM must take every function into the kernel: a call copies the structs that it is given, 2 KB for each pixel.
INLINE = (
    "-march=native -ffp-contract=fast"
    " -mllvm=-inline-threshold=100000 -mllvm=-inline-cold-callsite-threshold=30000 -mllvm=-slp-recursion-max-depth=4"
)
wp.set_module_options({"enable_backward": False, "cpu_compiler_flags": INLINE})

TONE_MAX = 16.0
TONE_BITS = 9  # of the mantissa
TONE_OCTAVES = 16
GRAIN = 65536
LANES = 16  # pixels that a CPU shades at once, see native/lanes.h
TONE_SHIFT = wp.constant(23 - TONE_BITS)
FIRST_BITS = wp.constant((127 - TONE_OCTAVES) << 23)  # of the next number as a float
DARKEST = wp.constant(2.0**-TONE_OCTAVES)
ALMOST_ONE = wp.constant(1.0 - 2.0**-24)
TRIANGLE = wp.constant(wp.int64(0x7FFFFFFF))
GRAIN_LAST = wp.constant(GRAIN - 1)
GRAIN_STEP = 2.45 / 127.0 * 255.0 * 64.0 * 256.0
GRAIN_UNIT = wp.constant(GRAIN_STEP)
BRIGHTEST = wp.constant(TONE_MAX)
TILE_PX = 128, 64  # width, height that a CPU shades at a time
SKY = wp.constant(wp.uint8(Semantic.SKY))
LAMP = 8.0  # light of a lit lamp: saturates a pixel of which it fills a fifth


@wp.struct
class Light:
    """The weather, as sim/weather.py describes it, and the ego's head lights."""

    to_sun: wp.vec3
    sun: wp.vec3
    zenith: wp.vec3
    horizon: wp.vec3
    ambient: wp.vec3
    clouds: float
    fog_per_m: float
    wet: float
    night: float
    exposure: float
    noise: float
    vignette: float
    beam_from: wp.vec3
    beam_ahead: wp.vec3


@wp.struct
class Picture:
    """What one camera shows; H x W pixels."""

    rgb: wp.array3d(dtype=wp.uint8)  # (3, H, W)
    depth_m: wp.array2d(dtype=wp.float32)
    semantic: wp.array2d(dtype=wp.uint8)
    instance: wp.array2d(dtype=wp.int32)
    visible: wp.array(dtype=wp.int32)  # (A,) samples in which each actor is seen


MATERIALS = {m.name: int(m) for m in Material}
NUMBERS = {**MATERIALS, "OWN_COLOURS": OWN_COLOURS, "CELLS": CELLS, "CELL_M": CELL_M, "LAMP": LAMP}


@wp.func_native(
    source(*POINT)
    + """
    const V seen = sky(all(d));
    return wp::vec3(seen.x, seen.y, seen.z);
    """
)
def sky(light: Light, t: Textures, d: wp.vec3) -> wp.vec3:
    """Light from a direction of the sky."""
    ...


@wp.func_native(
    source(*FACE, **NUMBERS)
    + """
    const int word = g.material.data[tri], own = word >> 8 & 255, actor = g.instance.data[tri] - 1;
    const wp::vec3* row = own < OWN_COLOURS && actor >= 0 ? g.colour.data + actor * OWN_COLOURS : t.palette.data;
    const wp::vec3 base = row[own];
    const V n = all(g.normal.data[tri]);
    const V seen = face_light(word & 255, all(base), word >> 16, actor, n, all(eye), all(d), depth, pixel_rad);
    return wp::vec3(seen.x, seen.y, seen.z);
    """
)
def colour_at(
    g: GeometryArrays, t: Textures, s: ShadowArrays, light: Light, tri: int, eye: wp.vec3, d: wp.vec3, depth: float,
    pixel_rad: float,
) -> wp.vec3:  # fmt: skip
    """Light that a triangle sends towards the eye along -d (world, 1 along the optical axis) from `depth` m."""
    ...


@wp.func_native(
    "#if !defined(__CUDA_ARCH__)\n"
    + source(
        *ROWS,
        **NUMBERS,
        TILE_W=TILE_PX[0],
        TILE_H=TILE_PX[1],
        MATERIALS=len(Material),
        SKY_LABEL=int(Semantic.SKY),
        TONE_MAX=TONE_MAX,
        DARKEST=2.0**-TONE_OCTAVES,
        ALMOST_ONE=1.0 - 2.0**-24,
        FIRST_BITS=(127 - TONE_OCTAVES) << 23,
        TONE_SHIFT=23 - TONE_BITS,
        GRAIN_LAST=GRAIN - 1,
        GRAIN_UNIT=GRAIN_STEP,
    )
    + "\n#endif\n"
)
def _shade_tile(
    g: GeometryArrays, t: Textures, s: ShadowArrays, light: Light, view: View, keys: wp.array(dtype=wp.int64),
    tone: wp.array(dtype=wp.int16), grain: wp.array(dtype=wp.int8), grain_key: wp.uint32, tile_x: int, tile_y: int,
    out: Picture,
):  # fmt: skip
    """The pixels of one tile, in vectors."""
    ...


@wp.kernel(enable_backward=False)
def shade_tiles(
    g: GeometryArrays, t: Textures, s: ShadowArrays, light: Light, view: View, keys: wp.array(dtype=wp.int64),
    tone: wp.array(dtype=wp.int16), grain: wp.array(dtype=wp.int8), grain_key: wp.uint32, out: Picture,
):  # fmt: skip
    """`shade` on a CPU: one thread per tile."""
    tile_y, tile_x = wp.tid()
    _shade_tile(g, t, s, light, view, keys, tone, grain, grain_key, tile_x, tile_y, out)


@wp.func
def triangle_of(key: wp.int64) -> int:
    """Triangle of a key, -1 for the sky."""
    return int(key & TRIANGLE) - 1


@wp.func
def depth_of(key: wp.int64) -> float:
    """m along the optical axis, of a key that is not the sky's."""
    return 1.0 / wp.cast(wp.int32(key >> wp.int64(32)), wp.float32)


@wp.func
def alike(g: GeometryArrays, a: int, b: int) -> bool:
    """Do two samples need no second look: the same face, or the same stuff of the same thing?"""
    if a == b:
        return True
    if a < 0 or b < 0:
        return False
    return g.material[a] == g.material[b] and g.instance[a] == g.instance[b]


@wp.func
def developed(light: float, tone: wp.array(dtype=wp.int16), grain: int) -> wp.uint8:
    """Level of a light as a share of TONE_MAX, with grain in 1/256 of 1/64 of a level."""
    bits = wp.cast(wp.clamp(light, DARKEST, ALMOST_ONE), wp.int32)  # exponent and first bits are the table's index
    level = int(tone[(bits - FIRST_BITS) >> TONE_SHIFT]) + 32 + (grain >> 8)
    return wp.uint8(wp.clamp(level, 0, 16383) >> 6)


@wp.kernel(enable_backward=False)
def shade(
    g: GeometryArrays, t: Textures, s: ShadowArrays, light: Light, view: View, keys: wp.array(dtype=wp.int64),
    tone: wp.array(dtype=wp.int16), grain: wp.array(dtype=wp.int8), grain_key: wp.uint32, out: Picture,
):  # fmt: skip
    """One thread per pixel; samples are those of raster.py with step 0.5 and offset 0."""
    i, j = wp.tid()
    x, y = 2 * j + 1, 2 * i + 1
    per_px = 1.0 / view.focal_px
    world_from_camera = wp.transpose(view.camera_from_world)
    centre = y * view.width + x
    key = keys[centre]
    tri = triangle_of(key)
    other, ox, oy = int(-2), int(0), int(0)
    share = float(0.0)
    for k in range(9):
        dx, dy = k % 3 - 1, k / 3 - 1
        sample = triangle_of(keys[centre + dy * view.width + dx])
        if not alike(g, tri, sample):
            share += wp.where(dx == 0 or dy == 0, 0.125, 0.0625)
            if other == -2 or (ox != x and oy != y):  # prefer one straight beside the centre
                other, ox, oy = sample, x + dx, y + dy
        if sample >= g.static_triangles and dx <= 0 and dy <= 0:  # each sample is counted by one pixel only
            wp.atomic_add(out.visible, g.instance[sample] - 1, 1)
    colour = wp.vec3(0.0)
    for layer in range(wp.where(other == -2, 1, 2)):  # not unrolled: the code stays small
        face = wp.where(layer == 0, tri, other)
        u, v = wp.where(layer == 0, x, ox), wp.where(layer == 0, y, oy)
        d = world_from_camera @ wp.vec3(
            (0.5 * float(u) - view.centre_px[0]) * per_px, (0.5 * float(v) - view.centre_px[1]) * per_px, 1.0
        )
        seen = wp.vec3(0.0)
        if face < 0:
            seen = sky(light, t, wp.normalize(d))
        else:
            seen = colour_at(g, t, s, light, face, view.position, d, depth_of(keys[v * view.width + u]), per_px)
        colour = wp.where(layer == 0, seen, wp.lerp(colour, seen, share))
    out.depth_m[i, j] = wp.inf
    out.semantic[i, j] = SKY
    out.instance[i, j] = 0
    if tri >= 0:
        out.depth_m[i, j] = depth_of(key)
        out.semantic[i, j] = g.semantic[tri]
        out.instance[i, j] = g.instance[tri]
    half_width = 1.0 / view.centre_px[0]
    rx, ry = 0.5 * float(x) * half_width - 1.0, (0.5 * float(y) - view.centre_px[1]) * half_width
    colour = colour * (light.exposure * (1.0 - 0.75 * light.vignette * (rx * rx + ry * ry)) / BRIGHTEST)
    roughness = int(light.noise * GRAIN_UNIT)
    start = grain_key ^ wp.uint32(i)
    for c in range(3):
        start = mix(start)  # each row of each channel starts elsewhere in the grain
        out.rgb[c, i, j] = developed(colour[c], tone, roughness * int(grain[(int(start) + j) & GRAIN_LAST]))


def grain_table(seed: int) -> NDArray[np.int8]:
    """(GRAIN + LANES,) noise of the sensor, triangular and white, in 1/127 of its greatest; its end is its beginning."""
    draws = generator(seed, Stream.CAMERA).random((2, GRAIN)) - 0.5
    grain = np.round(127.0 * draws.sum(axis=0)).astype(np.int8)
    return np.append(grain, grain[:LANES])


def tone_table() -> NDArray[np.int16]:
    """sRGB level in 1/64 of 1/255 over the light as a share of TONE_MAX, in steps that grow with the light.

    Film-like shoulder and toe: K. Narkowicz, "ACES Filmic Tone Mapping Curve", 2015; then the sRGB transfer function.
    """
    steps = np.arange(TONE_OCTAVES << TONE_BITS)
    share = (1.0 + ((steps & ((1 << TONE_BITS) - 1)) + 0.5) / (1 << TONE_BITS)) * 2.0 ** (
        (steps >> TONE_BITS) - TONE_OCTAVES
    )
    x = 0.6 * TONE_MAX * share
    y = np.clip(x * (2.51 * x + 0.03) / (x * (2.43 * x + 0.59) + 0.14), 0.0, 1.0)
    srgb = np.where(y <= 0.0031308, 12.92 * y, 1.055 * y ** (1.0 / 2.4) - 0.055)
    return np.round(srgb * 255.0 * 64.0).astype(np.int16)
