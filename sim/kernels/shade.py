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

from sim.geometry import GeometryArrays, Material
from sim.kernels.raster import View
from sim.kernels.shadow import ShadowArrays, actor_light, sunlight
from sim.kernels.texture import Textures, noise, surface
from stack.seeds import Stream, generator, mix

# LLVM must take every function into the kernel: a call copies the structs that it is given, 2 KB for each pixel. Colours
# are rounded to 8 bits, so sums may be reordered (a tenth faster).
INLINE = (
    "-march=native -freciprocal-math -fno-signed-zeros -mreassociate -fapprox-func -ffp-contract=fast"
    " -mllvm=-inline-threshold=100000 -mllvm=-inline-cold-callsite-threshold=30000 -mllvm=-slp-recursion-max-depth=4"
)
wp.set_module_options({"enable_backward": False, "cpu_compiler_flags": INLINE})

TONE_MAX = 16.0
TONE_BITS = 9  # of the mantissa
TONE_OCTAVES = 16
GRAIN = 65536
TONE_SHIFT = wp.constant(23 - TONE_BITS)
FIRST_BITS = wp.constant((127 - TONE_OCTAVES) << 23)  # of the next number as a float
DARKEST = wp.constant(2.0**-TONE_OCTAVES)
ALMOST_ONE = wp.constant(1.0 - 2.0**-24)
TRIANGLE = wp.constant(wp.int64(0x7FFFFFFF))
GRAIN_LAST = wp.constant(GRAIN - 1)
GRAIN_UNIT = wp.constant(2.45 / 127.0 * 255.0 * 64.0 * 256.0)
BRIGHTEST = wp.constant(TONE_MAX)
LAMP = wp.constant(8.0)  # light of a lit lamp: saturates a pixel of which it fills a fifth

ASPHALT = wp.constant(int(Material.ASPHALT))
PAINT = wp.constant(int(Material.PAINT))
FOLIAGE = wp.constant(int(Material.FOLIAGE))
GLASS = wp.constant(int(Material.GLASS))
CAR_PAINT = wp.constant(int(Material.CAR_PAINT))
LAMP_RED = wp.constant(int(Material.LAMP_RED))
LAMP_YELLOW = wp.constant(int(Material.LAMP_YELLOW))
LAMP_GREEN = wp.constant(int(Material.LAMP_GREEN))
HEAD_LIGHT = wp.constant(int(Material.HEAD_LIGHT))
TAIL_LIGHT = wp.constant(int(Material.TAIL_LIGHT))
SIGN = wp.constant(int(Material.SIGN))
STREET_LAMP = wp.constant(int(Material.STREET_LAMP))
BLUE_LAMP = wp.constant(int(Material.BLUE_LAMP))


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


@wp.func
def sky(light: Light, tile: wp.array(dtype=wp.int8), d: wp.vec3) -> wp.vec3:
    """Light from a direction of the sky: gradient, clouds, glow round the sun."""
    up = wp.max(d[2], 0.0)
    blend = 1.0 - (1.0 - up) * (1.0 - up) * (1.0 - up)
    out = wp.lerp(light.horizon, light.zenith, wp.min(blend * 1.15, 1.0))
    if light.clouds > 0.0 and d[2] > 0.02:
        u, v = d[0] / (d[2] + 0.15), d[1] / (d[2] + 0.15)
        thick = noise(tile, u * 0.09, v * 0.09) + 0.5 * noise(tile, u * 0.31 + 0.4, v * 0.31)
        cover = wp.clamp((thick + 2.2 * light.clouds - 1.1) * 1.4, 0.0, 1.0) * wp.min(d[2] * 8.0, 1.0)
        white = light.horizon * 0.75 + light.sun * 0.35 + light.ambient * 0.2
        out = wp.lerp(out, white * (0.9 + 0.14 * thick), cover * 0.9)
    glow = wp.max(wp.dot(d, light.to_sun), 0.0)
    glow = glow * glow * glow * glow
    return out + light.sun * (0.25 * glow * glow * (1.0 - 0.7 * light.clouds))


@wp.func
def _own_light(g: GeometryArrays, light: Light, kind: int, base: wp.vec3, param: int, actor: int) -> wp.vec3:
    """What a face shines by itself."""
    state = int(0)
    if kind >= LAMP_RED and kind <= LAMP_GREEN:
        state = g.signal[param]
        if kind == LAMP_RED and state == 3:
            return wp.vec3(1.0, 0.005, 0.004) * LAMP
        if kind == LAMP_YELLOW and state == 2:
            return wp.vec3(1.0, 0.13, 0.001) * LAMP
        if kind == LAMP_GREEN and state == 1:
            return wp.vec3(0.004, 1.0, 0.16) * LAMP
    elif kind == HEAD_LIGHT:
        return wp.vec3(1.0, 0.95, 0.8) * (3.0 * light.night)
    elif kind == TAIL_LIGHT:
        brake = float(0.0)
        if actor >= 0:
            brake = wp.where(g.brake[actor] > 0.08, 1.0, 0.0)
        return wp.vec3(1.0, 0.012, 0.008) * (0.25 * light.night + 2.2 * brake)
    elif kind == BLUE_LAMP:
        if actor >= 0 and g.blue[wp.max(actor, 0)] == param:
            return wp.vec3(0.004, 0.035, 1.0) * LAMP
    elif kind == STREET_LAMP:
        return wp.vec3(1.0, 0.8, 0.5) * (5.0 * wp.max(light.night - 0.2, 0.0))
    return wp.vec3(0.0)


@wp.func
def _beam(light: Light, p: wp.vec3, n: wp.vec3) -> float:
    """Head lights: a wide low beam, cut off above the horizon."""
    r = p - light.beam_from
    far = wp.length(r)
    d = r / wp.max(far, 0.1)
    along = wp.dot(d, light.beam_ahead)
    cut = wp.clamp(1.0 - (d[2] - light.beam_ahead[2] + 0.01) * 25.0, 0.04, 1.0)
    spread = wp.clamp((along - 0.72) / 0.28, 0.0, 1.0)
    facing = wp.clamp(-wp.dot(n, d) * 1.5 + 0.25, 0.0, 1.0)
    return spread * spread * cut * facing * 60.0 / (60.0 + far * far) * 1.4


@wp.func
def _base_colour(g: GeometryArrays, t: Textures, colour: int, actor: int, kind: int) -> wp.vec3:
    if kind == LAMP_RED:
        return wp.vec3(0.05, 0.008, 0.006)
    if kind == LAMP_YELLOW:
        return wp.vec3(0.05, 0.03, 0.005)
    if kind == LAMP_GREEN:
        return wp.vec3(0.006, 0.035, 0.02)
    if colour < 3 and actor >= 0:
        return g.colour[actor, colour]
    return t.palette[colour]


@wp.func
def colour_at(
    g: GeometryArrays, t: Textures, s: ShadowArrays, light: Light, tri: int, eye: wp.vec3, d: wp.vec3, depth: float,
    pixel_rad: float,
) -> wp.vec3:  # fmt: skip
    """Light that a triangle sends towards the eye along -d (world, 1 along the optical axis) from `depth` m."""
    n = g.normal[tri]
    length = wp.length(d)
    ray = d / length
    slope = wp.dot(ray, n)
    far = length * depth
    p = eye + d * depth
    word = g.material[tri]
    kind, param = word & 255, word >> 16
    actor = g.instance[tri] - 1
    base = _base_colour(g, t, (word >> 8) & 255, actor, kind)
    width = pixel_rad * far / wp.sqrt(wp.max(-slope, 0.03))
    face = surface(t, kind, base, param, p, n, width)
    facing = wp.dot(n, light.to_sun)
    if kind == FOLIAGE:  # light seeps through leaves
        facing = wp.max(facing, 0.0) * 0.7 + 0.25
    direct = wp.max(facing, 0.0)
    past = actor_light(s, g, p, actor, light.to_sun)
    if direct > 0.0:
        direct = direct * sunlight(s, p, n) * past[0]
    up = 0.5 + 0.5 * n[2]
    gloom = past[1] * wp.clamp(0.75 + 0.25 * up, 0.0, 1.0)
    incoming = light.sun * direct + light.ambient * ((0.35 + 0.65 * up) * gloom)
    albedo, gloss = face.albedo * 1.0, face.gloss * 1.0
    mirrored = float(1.0)
    if kind == ASPHALT or kind == PAINT:
        if light.wet > 0.0:
            albedo = albedo * (1.0 - 0.5 * light.wet)
            puddle = wp.clamp(0.5 + 0.8 * noise(t.noise, p[0] * 0.03, p[1] * 0.03), 0.05, 1.0)
            gloss = 0.02 * light.wet
            mirrored = light.wet * puddle * 0.5  # a rough film of water
    elif kind == GLASS:
        gloss = 0.08
    elif kind == CAR_PAINT:
        gloss = 0.04
    out = wp.cw_mul(albedo, incoming)
    if light.night > 0.0:
        bright = wp.where(kind == SIGN or kind == PAINT, 2.0, 1.0)
        out += wp.cw_mul(albedo, wp.vec3(1.0, 0.93, 0.8)) * (light.night * bright * _beam(light, p, n))
        out += wp.vec3(0.9, 0.62, 0.3) * (face.glow * light.night * light.night * 0.5)
    if gloss > 0.0:
        k = 1.0 + wp.max(slope, -1.0)
        fresnel = (gloss + (1.0 - gloss) * k * k * k * k * k) * mirrored
        mirror = ray - n * (2.0 * slope)
        glance = wp.max(wp.dot(mirror, light.to_sun), 0.0)
        glance = glance * glance
        glance = glance * glance
        glance = glance * glance
        spark = glance * glance * glance * glance
        seen = sky(light, t.noise, wp.vec3(mirror[0], mirror[1], wp.abs(mirror[2])))
        dim = wp.where(mirror[2] < 0.05, 0.35, 0.8)
        out = (
            out * (1.0 - fresnel)
            + seen * (fresnel * dim)
            + light.sun * (spark * direct * 2.0 * wp.min(gloss * 12.0, 1.0))
        )
    out += _own_light(g, light, kind, base, param, actor)
    haze = 1.0 - wp.exp(-far * light.fog_per_m)
    return wp.lerp(out, light.horizon, haze)


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
def _column(keys: wp.array(dtype=wp.int64), at: int, width: int) -> wp.int64:
    """Bits in which the sample at `at` differs from those above and below."""
    key = keys[at]
    return (keys[at - width] ^ key) | (keys[at + width] ^ key)


@wp.func
def developed(light: float, tone: wp.array(dtype=wp.int16), grain: int) -> wp.uint8:
    """Level of a light as a share of TONE_MAX, with grain in 1/256 of 1/64 of a level."""
    bits = wp.cast(wp.clamp(light, DARKEST, ALMOST_ONE), wp.int32)  # exponent and first bits are the table's index
    level = int(tone[(bits - FIRST_BITS) >> TONE_SHIFT]) + 32 + (grain >> 8)
    return wp.uint8(wp.clamp(level, 0, 16383) >> 6)


@wp.kernel(enable_backward=False)
def shade(
    g: GeometryArrays, t: Textures, s: ShadowArrays, light: Light, view: View, keys: wp.array(dtype=wp.int64),
    tone: wp.array(dtype=wp.int16), grain: wp.array(dtype=wp.int8), grain_key: wp.uint32, columns: int, out: Picture,
):  # fmt: skip
    """One thread per `columns` pixels of a row; samples are those of raster.py with step 0.5 and offset 0."""
    i, block = wp.tid()
    y = 2 * i + 1
    per_px = 1.0 / view.focal_px
    world_from_camera = wp.transpose(view.camera_from_world)
    right, down = (
        world_from_camera @ wp.vec3(0.5 * per_px, 0.0, 0.0),
        world_from_camera @ wp.vec3(0.0, 0.5 * per_px, 0.0),
    )
    ahead = world_from_camera @ wp.vec3(-view.centre_px[0] * per_px, -view.centre_px[1] * per_px, 1.0)
    half_width = 1.0 / view.centre_px[0]
    ry = float(y) * 0.5 * half_width - view.centre_px[1] * half_width
    vignette = light.exposure * 0.75 * light.vignette
    rim = light.exposure - vignette * ry * ry
    red = mix(grain_key ^ wp.uint32(i))  # each row of each channel starts elsewhere in the grain
    green = mix(red)
    start = wp.vec3i(int(red), int(green), int(mix(green)))
    roughness = int(light.noise * GRAIN_UNIT)
    left = y * view.width + 2 * block * columns
    left_key, left_bits = wp.int64(keys[left]), _column(keys, left, view.width)
    for j in range(block * columns, wp.min((block + 1) * columns, out.depth_m.shape[1])):
        x = 2 * j + 1
        centre = y * view.width + x
        key = keys[centre]
        tri = triangle_of(key)
        other, ox, oy = int(-2), int(0), int(0)
        share = float(0.0)
        right_key, right_bits = wp.int64(keys[centre + 1]), _column(keys, centre + 1, view.width)
        bits = left_bits | _column(keys, centre, view.width) | right_bits | (left_key ^ key) | (right_key ^ key)
        left_key, left_bits = right_key, right_bits
        if (bits & TRIANGLE) != wp.int64(0) or tri >= g.static_triangles:
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
            d = ahead + right * float(u) + down * float(v)
            seen = wp.vec3(0.0)
            if face < 0:
                seen = sky(light, t.noise, wp.normalize(d))
            else:
                seen = colour_at(g, t, s, light, face, view.position, d, depth_of(keys[v * view.width + u]), per_px)
            colour = wp.where(layer == 0, seen, wp.lerp(colour, seen, share))
        if tri < 0:
            out.depth_m[i, j] = wp.inf
            out.semantic[i, j] = wp.uint8(11)
            out.instance[i, j] = 0
        else:
            out.depth_m[i, j] = depth_of(key)
            out.semantic[i, j] = g.semantic[tri]
            out.instance[i, j] = g.instance[tri]
        rx = float(x) * 0.5 * half_width - 1.0
        colour = colour * ((rim - vignette * rx * rx) / BRIGHTEST)
        for c in range(3):
            out.rgb[c, i, j] = developed(colour[c], tone, roughness * int(grain[(start[c] + j) & GRAIN_LAST]))


def grain_table(seed: int) -> NDArray[np.int8]:
    """(GRAIN,) noise of the sensor, triangular and white, in 1/127 of its greatest."""
    draws = generator(seed, Stream.CAMERA).random((2, GRAIN)) - 0.5
    return np.round(127.0 * draws.sum(axis=0)).astype(np.int8)


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
