"""Procedural textures: what colour a face has at a point, from its material word and noise in world space.

All detail comes from one tileable noise picture and is faded out where it is finer than a pixel, so that
nothing shimmers.
"""

from __future__ import annotations

import numpy as np
import warp as wp
from numpy.typing import NDArray

from sim.geometry import Material
from stack.seeds import Stream, generator, mix

wp.set_module_options({"enable_backward": False})

NOISE_TEXELS = 256  # 64 KiB: it stays in the processor's cache
TEXELS = wp.constant(NOISE_TEXELS)
LAST = wp.constant(NOISE_TEXELS - 1)
AREA = wp.constant(NOISE_TEXELS * NOISE_TEXELS - 1)
SIZE = wp.constant(float(NOISE_TEXELS))
UNIT = wp.constant(1.0 / 127.0)

ASPHALT = wp.constant(int(Material.ASPHALT))
PAINT = wp.constant(int(Material.PAINT))
SIDEWALK = wp.constant(int(Material.SIDEWALK))
KERB = wp.constant(int(Material.KERB))
GRASS = wp.constant(int(Material.GRASS))
FACADE = wp.constant(int(Material.FACADE))
ROOF = wp.constant(int(Material.ROOF))
FOLIAGE = wp.constant(int(Material.FOLIAGE))
BARK = wp.constant(int(Material.BARK))
FENCE = wp.constant(int(Material.FENCE))


@wp.struct
class Textures:
    noise: wp.array(dtype=wp.int8)  # (256 * 256,) tileable, mean 0, in 1/127
    palette: wp.array(dtype=wp.vec3)  # linear RGB
    facades: wp.array(dtype=wp.vec4)  # base z, storey m, window pitch m, style
    wear: float  # 0 new .. 1 worn paint and patched asphalt


@wp.struct
class Surface:
    """What a face looks like at a point."""

    albedo: wp.vec3
    gloss: float  # share of mirror reflection at normal incidence
    glow: float  # share of the albedo that shines by itself at night (lit windows)


@wp.func
def noise(tile: wp.array(dtype=wp.int8), x: float, y: float) -> float:
    """Bilinear; one tile spans one unit."""
    u, v = x * SIZE, y * SIZE
    fu, fv = u - wp.floor(u), v - wp.floor(v)
    i, j = int(wp.floor(u)) & LAST, (int(wp.floor(v)) & LAST) * TEXELS
    i1, j1 = (i + 1) & LAST, (j + TEXELS) & AREA
    low = float(tile[j + i]) * (1.0 - fu) + float(tile[j + i1]) * fu
    high = float(tile[j1 + i]) * (1.0 - fu) + float(tile[j1 + i1]) * fu
    return (low * (1.0 - fv) + high * fv) * UNIT


@wp.func
def _fine_noise(t: Textures, x: float, y: float, share: float) -> float:
    """`share` of the noise, which is not looked up where there is none."""
    if share > 0.0:
        return noise(t.noise, x, y) * share
    return 0.0


@wp.func
def _chance(a: int, b: int, c: int) -> float:
    h = mix(wp.uint32(a) ^ mix(wp.uint32(b) ^ mix(wp.uint32(c))))
    return float(h >> wp.uint32(8)) * 5.9604644775390625e-08


@wp.func
def _line(x: float, half: float, pixel: float) -> float:
    """Coverage of the joints at whole numbers of x by a pixel of width `pixel` (same unit)."""
    d = wp.abs(x - wp.floor(x + 0.5))
    wide = wp.max(pixel, 0.5 * half)
    return wp.clamp((half + 0.5 * wide - d) / wide, 0.0, 1.0) * wp.min(1.0, 2.0 * half / pixel)


@wp.func
def _facade(t: Textures, base: wp.vec3, row: int, p: wp.vec3, n: wp.vec3, pixel: float) -> Surface:
    """Storeys of windows with frames and sills; a shop front below on some; all from the building's row and a hash."""
    info = t.facades[row]
    along = -n[1] * p[0] + n[0] * p[1]
    storey, pitch, style = info[1], info[2], info[3]
    v = (p[2] - info[0]) / storey
    u = along / pitch
    cell_u, cell_v = int(wp.floor(u)), int(wp.floor(v))
    fu, fv = u - wp.floor(u), v - wp.floor(v)
    out = Surface()
    grain = (
        1.0
        + 0.10 * noise(t.noise, along * 0.11, p[2] * 0.11)
        + 0.08 * noise(t.noise, along * 0.9, p[2] * 0.9) * wp.clamp(1.0 - pixel * 8.0, 0.0, 1.0)
    )
    out.albedo = base * grain
    if style > 0.6:  # brick courses
        out.albedo = out.albedo * (1.0 - 0.22 * _line(p[2] / 0.16, 0.09, pixel / 0.16))
    elif style > 0.4:  # a band between storeys
        out.albedo = out.albedo * (1.0 - 0.25 * _line(v, 0.03, pixel / storey))
    half = 0.22 + 0.13 * style
    top, bottom = 0.82, 0.3 - 0.12 * wp.floor(style * 3.0)
    if cell_v == 0 and style < 0.35:
        half, top, bottom = 0.44, 0.78, 0.08
    edge_u, edge_v = wp.abs(fu - 0.5) - half, wp.max(bottom - fv, fv - top)
    inside = wp.clamp(0.5 - edge_u * pitch / pixel, 0.0, 1.0) * wp.clamp(0.5 - edge_v * storey / pixel, 0.0, 1.0)
    if p[2] < info[0] - 0.1 or cell_v < 0:
        inside = 0.0
    frame_u, frame_v = (edge_u + 0.04) * pitch, (edge_v + 0.03) * storey
    frame = wp.clamp(0.5 + wp.max(frame_u, frame_v) / wp.max(pixel, 0.02), 0.0, 1.0) + _line(fu, 0.02, pixel / pitch)
    pane = _chance(cell_u, cell_v, row)
    glass = wp.vec3(0.03, 0.035, 0.04) + wp.vec3(0.22, 0.2, 0.17) * wp.max(pane - 0.72, 0.0)
    window = wp.lerp(glass, wp.vec3(0.5, 0.49, 0.46), wp.min(frame, 1.0) * 0.8)
    out.albedo = wp.lerp(out.albedo, window, inside)
    out.gloss = 0.10 * inside * (1.0 - wp.min(frame, 1.0))
    out.glow = wp.where(pane < 0.3, inside * 0.9, 0.0)
    return out


@wp.func
def surface(t: Textures, kind: int, base: wp.vec3, param: int, p: wp.vec3, n: wp.vec3, pixel: float) -> Surface:
    """`pixel` is the width of a pixel on the face, m."""
    out = Surface()
    out.albedo = base
    fine = wp.clamp(1.0 - pixel * 12.0, 0.0, 1.0)
    if kind == ASPHALT:
        wide = noise(t.noise, p[0] * 0.013, p[1] * 0.013)
        middle = noise(t.noise, p[0] * 0.09 + 0.3, p[1] * 0.09)
        grain, crack = float(0.0), float(0.0)
        if fine > 0.0:  # most of a road is too far away for it
            grain = noise(t.noise, p[0] * 0.7, p[1] * 0.7)
            crack = wp.abs(noise(t.noise, p[0] * 0.021, p[1] * 0.021 + 0.5)) * 60.0
            crack = wp.clamp(1.0 - crack, 0.0, 1.0) * fine * t.wear
        patch = wp.clamp((wp.abs(noise(t.noise, p[0] * 0.007 + 0.2, p[1] * 0.007)) - 0.62) * 30.0, 0.0, 1.0) * t.wear
        out.albedo = base * (1.0 + 0.28 * wide + 0.16 * middle + 0.22 * grain * fine - 0.45 * crack - 0.3 * patch)
    elif kind == PAINT:
        worn = noise(t.noise, p[0] * 0.06, p[1] * 0.06) + 0.7 * _fine_noise(t, p[0] * 0.6, p[1] * 0.6, fine)
        gone = wp.clamp((worn + 1.3 * t.wear - 1.15) * 2.0, 0.0, 0.85)
        out.albedo = wp.lerp(base * (1.0 + 0.06 * worn), t.palette[14] * 1.2, gone)
    elif kind == SIDEWALK:
        tone = _chance(int(wp.floor(p[0])), int(wp.floor(p[1])), 7)
        joint = wp.max(_line(p[0], 0.012, pixel), _line(p[1], 0.012, pixel))
        stain = noise(t.noise, p[0] * 0.05, p[1] * 0.05)
        grain = _fine_noise(t, p[0] * 0.8, p[1] * 0.8, fine)
        near = wp.clamp(1.2 - pixel * 4.0, 0.0, 1.0)
        out.albedo = base * (1.0 + 0.2 * (tone - 0.5) * near + 0.14 * stain + 0.1 * grain - 0.5 * joint)
    elif kind == GRASS:
        wide = noise(t.noise, p[0] * 0.011, p[1] * 0.011)
        middle = noise(t.noise, p[0] * 0.1, p[1] * 0.1)
        grain = _fine_noise(t, p[0] * 0.9, p[1] * 0.9, fine)
        dry = wp.clamp(0.35 + 0.8 * wide, 0.0, 1.0)
        out.albedo = wp.lerp(base, wp.vec3(1.7 * base[0], 1.15 * base[1], 1.3 * base[2]), dry) * (
            1.0 + 0.25 * middle + 0.4 * grain
        )
    elif kind == FACADE:
        out = _facade(t, base, param, p, n, pixel)
    elif kind == ROOF:
        rows = _line(p[2] / 0.3, 0.12, pixel / 0.3) * wp.where(n[2] < 0.98, 1.0, 0.0)
        out.albedo = base * (1.0 + 0.3 * noise(t.noise, p[0] * 0.07, p[1] * 0.07 + p[2] * 0.05) - 0.3 * rows)
    elif kind == FOLIAGE:
        leaves = noise(t.noise, (p[0] + 0.7 * p[2]) * 0.23, (p[1] - 0.6 * p[2]) * 0.23)
        small = _fine_noise(t, (p[0] - p[2]) * 0.9, (p[1] + p[2]) * 0.9, wp.clamp(1.0 - pixel * 6.0, 0.0, 1.0))
        out.albedo = base * wp.max(1.0 + 0.75 * leaves + 0.7 * small, 0.15)
    elif kind == BARK or kind == KERB:
        out.albedo = base * (1.0 + 0.3 * noise(t.noise, (p[0] + p[1]) * 0.3, p[2] * 0.1 + p[0] * 0.2))
    elif kind == FENCE:
        along = -n[1] * p[0] + n[0] * p[1]
        out.albedo = base * (
            1.0 - 0.6 * _line(along / 0.14, 0.12, pixel / 0.14) + 0.2 * noise(t.noise, along * 0.3, p[2] * 0.3)
        )
    return out


def noise_picture(seed: int) -> NDArray[np.int8]:
    """(256 * 256,) tileable noise with a 1/f spectrum, mean 0, standard deviation 0.45 of full scale."""
    n = NOISE_TEXELS
    white = generator(seed, Stream.SCENERY, actor=2).normal(size=(n, n))
    f = np.hypot(np.fft.fftfreq(n)[:, None], np.fft.rfftfreq(n)[None]) * n
    spectrum = np.fft.rfft2(white) / np.maximum(f, 3.0) ** 0.9
    spectrum[0, 0] = 0.0
    picture = np.fft.irfft2(spectrum, s=(n, n))
    return np.round(np.clip(0.45 * picture / picture.std(), -1.0, 1.0) * 127.0).astype(np.int8).reshape(-1)
