"""A picture in stages, for lenses that are no pinhole and for what real optics do: gather, collect light, develop.

`sim/kernels/shade.py` does all of it in one pass for an ideal pinhole; here the light of each pixel is kept, linear, so that
blur and dirt can work on it before exposure, tone and grain, which belong to the whole picture.
"""

from __future__ import annotations

import warp as wp

from sim.geometry import GeometryArrays
from sim.kernels.raster import Cover, View
from sim.kernels.shade import (
    BRIGHTEST,
    GRAIN_LAST,
    GRAIN_UNIT,
    INLINE,
    Light,
    Picture,
    alike,
    colour_at,
    depth_of,
    developed,
    sky,
    triangle_of,
)
from sim.kernels.shadow import ShadowArrays
from sim.kernels.texture import Textures
from stack.seeds import mix

wp.set_module_options({"enable_backward": False, "cpu_compiler_flags": INLINE})

NEAREST = wp.constant(0.8)  # how far a face's neighbouring sample may be from its own depth
FARTHEST = wp.constant(1.25)


@wp.struct
class Fisheye:
    """Kannala's and Brandt's lens (stack/frames.py), in samples of the picture."""

    focal: wp.vec2
    centre: wp.vec2
    k: wp.vec4
    most_rad: float  # angle to which the radius grows


@wp.func
def fisheye_sample(lens: Fisheye, p: wp.vec3) -> wp.vec2:
    """Where the picture shows an optical direction, in samples."""
    side = wp.sqrt(p[0] * p[0] + p[1] * p[1])
    a = wp.min(wp.atan2(side, p[2]), lens.most_rad)
    a2 = a * a
    radius = a * (1.0 + a2 * (lens.k[0] + a2 * (lens.k[1] + a2 * (lens.k[2] + a2 * lens.k[3]))))
    scale = radius / wp.max(side, 1.0e-9)
    return wp.vec2(p[0] * scale * lens.focal[0] + lens.centre[0], p[1] * scale * lens.focal[1] + lens.centre[1])


@wp.kernel(enable_backward=False)
def gather(
    g: GeometryArrays, world_from_camera: wp.mat33, eye: wp.vec3, rays: wp.array(dtype=wp.vec3),
    at: wp.array(dtype=wp.int32), stretch: wp.array(dtype=wp.float32), faces: wp.array(dtype=wp.int64),
    width: int, out: wp.array(dtype=wp.int64),
):  # fmt: skip
    """One thread per row of `width` samples: the triangle that a cube face sees at each; its depth is the distance at
    which the sample's own ray meets the triangle's plane."""
    row = wp.tid()
    for i in range(row * width, (row + 1) * width):
        key = wp.int64(0)
        if at[i] >= 0:
            found = faces[at[i]]
            tri = triangle_of(found)
            if tri >= 0:
                far = depth_of(found) * stretch[i]
                d = world_from_camera @ rays[i]
                n = g.normal[tri]
                slope = wp.dot(d, n)
                if slope < -1.0e-5:
                    far = wp.clamp(wp.dot(g.corner[3 * tri] - eye, n) / slope, NEAREST * far, FARTHEST * far)
                key = (wp.int64(wp.cast(1.0 / far, wp.int32)) << wp.int64(32)) | wp.int64(tri + 1)
        out[i] = key


@wp.kernel(enable_backward=False)
def clear_bounds(cover: Cover):
    """One thread per actor: a silhouette of nothing, without bits."""
    a = wp.tid()
    cover.total[a] = 0
    cover.left[a] = 1 << 24
    cover.top[a] = 1 << 24
    cover.right[a] = -1
    cover.bottom[a] = -1


@wp.kernel(enable_backward=False)
def gather_cover(
    face: Cover, number: int, side: int, turn: wp.mat33, lens: Fisheye, width: int, height: int,
    at: wp.array(dtype=wp.int32), out: Cover,
):  # fmt: skip
    """One thread per actor: take over its silhouette on one face. `width`, `height`: samples that belong to pixels."""
    a = wp.tid()
    if face.total[a] == 0:
        return
    middle = 0.5 * float(side - 1)
    low, high = wp.vec2(1.0e9, 1.0e9), wp.vec2(-1.0e9, -1.0e9)
    x0, x1, y0, y1 = face.left[a], face.right[a], face.top[a], face.bottom[a]
    across, down = x1 - x0 + 1, y1 - y0 + 1
    for k in range(2 * (across + down)):  # round its bounds: their picture bounds its picture
        x = wp.where(k < 2 * across, x0 + k % across, wp.where(k % 2 == 0, x0, x1))
        y = wp.where(k < 2 * across, wp.where(k < across, y0, y1), y0 + (k - 2 * across) / 2)
        q = fisheye_sample(lens, turn @ wp.vec3((float(x) - middle) / middle, (float(y) - middle) / middle, 1.0))
        low, high = wp.min(low, q), wp.max(high, q)
    left, right = wp.max(int(low[0]) - 2, 0), wp.min(int(high[0]) + 2, width - 1)
    top, bottom = wp.max(int(low[1]) - 2, 0), wp.min(int(high[1]) + 2, height - 1)
    first, row = number * (side + 1) * (side + 1), side + 1
    for v in range(top, bottom + 1):
        for u in range(left, right + 1):
            place = at[v * (width + 1) + u] - first
            if place >= 0 and place < row * row:
                y, x = place / row, place % row
                word = face.bits[a, y, x / 32]
                if ((word >> wp.uint32(x % 32)) & wp.uint32(1)) != wp.uint32(0):
                    out.total[a] = out.total[a] + 1
                    out.left[a] = wp.min(out.left[a], u)
                    out.right[a] = wp.max(out.right[a], u)
                    out.top[a] = wp.min(out.top[a], v)
                    out.bottom[a] = wp.max(out.bottom[a], v)


@wp.kernel(enable_backward=False)
def add_beyond(
    face: Cover, number: int, side: int, turn: wp.mat33, lens: Fisheye, inside: wp.array3d(dtype=wp.uint8),
    rows: wp.array(dtype=wp.int32), box: wp.array(dtype=wp.vec4), within: wp.array2d(dtype=wp.float32),
):  # fmt: skip
    """One thread per actor in `rows`: grow the box of its whole silhouette (samples), and add the solid angle of what one
    face has of it: `within` (n, 2) in the picture, and in all."""
    k = wp.tid()
    a = rows[k]
    if face.total[a] == 0:
        return
    middle = 0.5 * float(side - 1)
    b = box[k]
    shown, whole = float(0.0), float(0.0)
    for y in range(face.top[a], face.bottom[a] + 1):
        for x in range(face.left[a], face.right[a] + 1):
            if ((face.bits[a, y, x / 32] >> wp.uint32(x % 32)) & wp.uint32(1)) != wp.uint32(0):
                p = wp.vec3((float(x) - middle) / middle, (float(y) - middle) / middle, 1.0)
                size = wp.length(p)
                angle = 1.0 / (size * size * size)
                whole += angle
                if inside[number, y, x] != wp.uint8(0):
                    shown += angle
                q = fisheye_sample(lens, turn @ p)
                b = wp.vec4(wp.min(b[0], q[0]), wp.min(b[1], q[1]), wp.max(b[2], q[0]), wp.max(b[3], q[1]))
    box[k] = b
    within[k, 0] = within[k, 0] + shown
    within[k, 1] = within[k, 1] + whole


@wp.kernel(enable_backward=False)
def collect(
    g: GeometryArrays, t: Textures, s: ShadowArrays, light: Light, view: View, rays: wp.array(dtype=wp.vec3),
    keys: wp.array(dtype=wp.int64), columns: int, out: Picture, film: wp.array2d(dtype=wp.vec3),
):  # fmt: skip
    """One thread per `columns` pixels of a row, as `shade`, but the rays come from a table and the light goes to `film`.
    Dark, UNLABELED and infinitely far where the lens sees nothing."""
    i, block = wp.tid()
    world_from_camera = wp.transpose(view.camera_from_world)
    per_px = 1.0 / view.focal_px
    for j in range(block * columns, wp.min((block + 1) * columns, film.shape[1])):
        centre = (2 * i + 1) * view.width + 2 * j + 1
        tri = triangle_of(keys[centre])
        other, beside = int(-2), int(centre)
        share = float(0.0)
        for k in range(9):
            dx, dy = k % 3 - 1, k / 3 - 1
            near = centre + dy * view.width + dx
            sample = triangle_of(keys[near])
            if not alike(g, tri, sample):
                share += wp.where(dx == 0 or dy == 0, 0.125, 0.0625)
                if other == -2 or (
                    beside != centre and (beside - centre) % view.width != 0 and wp.abs(beside - centre) != 1
                ):
                    other, beside = sample, near
            if sample >= g.static_triangles and dx <= 0 and dy <= 0:
                wp.atomic_add(out.visible, g.instance[sample] - 1, 1)
        blind = wp.length_sq(rays[centre]) == 0.0
        colour = wp.vec3(0.0)
        for layer in range(wp.where(other == -2, 1, 2)):
            face, at = wp.where(layer == 0, tri, other), wp.where(layer == 0, centre, beside)
            d = world_from_camera @ rays[at]
            seen = wp.vec3(0.0)
            if face < 0:
                if wp.length_sq(d) > 0.0:
                    seen = sky(light, t, wp.normalize(d))
            else:
                seen = colour_at(g, t, s, light, face, view.position, d, depth_of(keys[at]), per_px)
            colour = wp.where(layer == 0, seen, wp.lerp(colour, seen, share))
        film[i, j] = wp.where(blind, wp.vec3(0.0), colour)
        out.depth_m[i, j] = wp.inf
        out.semantic[i, j] = wp.uint8(wp.where(blind, 0, 11))
        out.instance[i, j] = 0
        if tri >= 0:
            out.depth_m[i, j] = depth_of(keys[centre])
            out.semantic[i, j] = g.semantic[tri]
            out.instance[i, j] = g.instance[tri]


@wp.kernel(enable_backward=False)
def develop(
    film: wp.array2d(dtype=wp.vec3), light: Light, centre_px: wp.vec2, tone: wp.array(dtype=wp.int16),
    grain: wp.array(dtype=wp.int8), grain_key: wp.uint32, out: Picture,
):  # fmt: skip
    """One thread per row: exposure and loss of light towards the rim, tone and grain, as `shade`."""
    i = wp.tid()
    half_width = 2.0 / float(film.shape[1])
    ry = (float(i) + 0.5 - centre_px[1]) * half_width
    red = mix(grain_key ^ wp.uint32(i))
    green = mix(red)
    start = wp.vec3i(int(red), int(green), int(mix(green)))
    roughness = int(light.noise * GRAIN_UNIT)
    for j in range(film.shape[1]):
        rx = (float(j) + 0.5 - centre_px[0]) * half_width
        rim = light.exposure * (1.0 - 0.75 * light.vignette * wp.min(rx * rx + ry * ry, 1.5)) / BRIGHTEST
        colour = film[i, j] * rim
        for c in range(3):
            out.rgb[c, i, j] = developed(colour[c], tone, roughness * int(grain[(start[c] + j) & GRAIN_LAST]))
