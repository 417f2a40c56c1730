"""Motion blur: how far each pixel moves while the shutter is open, and light gathered along that way.

The longest way in the tiles round a pixel says what may have passed over it, as in McGuire, Hennessy, Bukowski and Osman, "A
Reconstruction Filter for Plausible Motion Blur", 2012; but light is not weighed there: for each instant the pixel is led
back to where it was, so that what moves fast spreads over what is still beside it, and what is near over what is far.
"""

from __future__ import annotations

import warp as wp

from sim.kernels.film import Fisheye, fisheye_sample
from sim.kernels.raster import View
from sim.kernels.shade import Picture

wp.set_module_options({"enable_backward": False})

SKY_M = wp.constant(1.0e4)
LOOKS = wp.constant(24)  # most along one way
STILL_PX = wp.constant(0.25)  # half of a way that is not worth a look
TRUE_PX = wp.constant(0.75)  # a guess that leads this near is right


@wp.struct
class Motion:
    """Speeds while the shutter is open. World frame."""

    shutter_s: float
    velocity: wp.vec3  # of the camera
    turn: wp.vec3  # of the camera, rad/s
    actor: wp.array(dtype=wp.vec3)  # (A,) of the centre of each actor's base
    actor_yaw_rate: wp.array(dtype=wp.float32)  # (A,)
    base: wp.array(dtype=wp.vec3)  # (A,) as in GeometryArrays
    reach_px: float  # half of the longest way


@wp.func
def _pixel(view: View, lens: Fisheye, p: wp.vec3, fisheye: int) -> wp.vec2:
    if fisheye == 1:
        return fisheye_sample(lens, p) * view.step
    z = wp.max(p[2], 0.05)
    return wp.vec2(p[0] / z * view.focal_px + view.centre_px[0], p[1] / z * view.focal_px + view.centre_px[1])


@wp.kernel(enable_backward=False)
def ways(
    view: View, lens: Fisheye, fisheye: int, rays: wp.array(dtype=wp.vec3), motion: Motion, picture: Picture,
    way: wp.array2d(dtype=wp.vec2), seeing: wp.array2d(dtype=wp.uint8),
):  # fmt: skip
    """One thread per row: half of the way that what each pixel shows moves in the picture, px; does the lens see there?"""
    i = wp.tid()
    world_from_camera = wp.transpose(view.camera_from_world)
    for j in range(way.shape[1]):
        ray = rays[(2 * i + 1) * view.width + 2 * j + 1]
        out = wp.vec2(0.0, 0.0)
        seeing[i, j] = wp.uint8(0)
        if wp.length_sq(ray) > 0.0:
            seeing[i, j] = wp.uint8(1)
            p = ray * wp.min(picture.depth_m[i, j], SKY_M)
            from_eye = world_from_camera @ p
            speed = -motion.velocity - wp.cross(motion.turn, from_eye)
            actor = picture.instance[i, j] - 1
            if actor >= 0:
                arm = view.position + from_eye - motion.base[actor]
                speed += motion.actor[actor] + wp.cross(wp.vec3(0.0, 0.0, motion.actor_yaw_rate[actor]), arm)
            half = view.camera_from_world @ speed * (0.5 * motion.shutter_s)
            out = 0.5 * (_pixel(view, lens, p + half, fisheye) - _pixel(view, lens, p - half, fisheye))
            long = wp.length(out)
            if long > motion.reach_px:
                out = out * (motion.reach_px / long)
        way[i, j] = out


@wp.kernel(enable_backward=False)
def longest(way: wp.array2d(dtype=wp.vec2), side: int, out: wp.array2d(dtype=wp.vec2)):
    """One thread per tile of side x side pixels: its longest way."""
    r, c = wp.tid()
    best = wp.vec2(0.0, 0.0)
    for i in range(r * side, wp.min((r + 1) * side, way.shape[0])):
        for j in range(c * side, wp.min((c + 1) * side, way.shape[1])):
            if wp.length_sq(way[i, j]) > wp.length_sq(best):
                best = way[i, j]
    out[r, c] = best


@wp.func
def _at(p: wp.vec2, size: wp.vec2i) -> wp.vec2i:
    """The pixel (column, row) that a point lies in, points being middles of pixels at whole numbers."""
    u, v = int(wp.floor(p[0] + 0.5)), int(wp.floor(p[1] + 0.5))
    return wp.vec2i(wp.clamp(u, 0, size[0] - 1), wp.clamp(v, 0, size[1] - 1))


@wp.func
def _between(film: wp.array2d(dtype=wp.vec3), p: wp.vec2, size: wp.vec2i) -> wp.vec3:
    """Light at a point, bilinear."""
    x, y = wp.clamp(p[0], 0.0, float(size[0] - 1)), wp.clamp(p[1], 0.0, float(size[1] - 1))
    u, v = int(x), int(y)
    u1, v1 = wp.min(u + 1, size[0] - 1), wp.min(v + 1, size[1] - 1)
    low, high = wp.lerp(film[v, u], film[v, u1], x - float(u)), wp.lerp(film[v1, u], film[v1, u1], x - float(u))
    return wp.lerp(low, high, y - float(v))


@wp.kernel(enable_backward=False)
def smear(
    film: wp.array2d(dtype=wp.vec3), depth_m: wp.array2d(dtype=wp.float32), way: wp.array2d(dtype=wp.vec2),
    tiles: wp.array2d(dtype=wp.vec2), side: int, seeing: wp.array2d(dtype=wp.uint8), out: wp.array2d(dtype=wp.vec3),
):  # fmt: skip
    """One thread per row: the mean over the shutter's time of what was at a pixel. It came from where its way leads back
    to; two guesses, by the pixel's own way and by the longest near it, and the nearer of those that do lead here."""
    i = wp.tid()
    size = wp.vec2i(film.shape[1], film.shape[0])
    for j in range(size[0]):
        main = wp.vec2(0.0, 0.0)
        for r in range(wp.max(i / side - 1, 0), wp.min(i / side + 2, tiles.shape[0])):
            for c in range(wp.max(j / side - 1, 0), wp.min(j / side + 2, tiles.shape[1])):
                if wp.length_sq(tiles[r, c]) > wp.length_sq(main):
                    main = tiles[r, c]
        colour = film[i, j]
        if wp.length(main) > STILL_PX and seeing[i, j] != wp.uint8(0):
            here = wp.vec2(float(j), float(i))
            looks = wp.clamp(int(2.0 * wp.length(main)) + 1, 5, LOOKS)
            sum = wp.vec3(0.0)
            for k in range(looks):
                t = (float(k) + 0.5) / float(looks) * 2.0 - 1.0
                best, far, back = here, float(2.0e4), float(-1.0)
                behind = here
                for guess in range(2):
                    start = _at(here - t * wp.where(guess == 0, way[i, j], main), size)
                    start = _at(here - t * way[start[1], start[0]], size)
                    at = here - t * way[start[1], start[0]]
                    q = _at(at, size)
                    z = wp.min(depth_m[q[1], q[0]], SKY_M)
                    off = wp.length(at + t * way[q[1], q[0]] - here)
                    if off < TRUE_PX and z < far:
                        best, far = at, z
                    if z > back:  # what was hidden is taken to look like the farthest of the guesses
                        behind, back = at, z
                best = wp.where(far < 2.0e4, best, behind)
                q = _at(best, size)
                if seeing[q[1], q[0]] == wp.uint8(0):  # it comes in over the rim, as what is there now
                    best = here
                sum += _between(film, best, size)
            colour = sum / float(looks)
        out[i, j] = colour
