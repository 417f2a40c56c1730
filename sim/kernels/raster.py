"""Visibility-buffer rasteriser: which triangle does each sample of a camera see, and how far away is it?

Each triangle writes `inverse depth | triangle index + 1` (0 is the sky) as one 64-bit number by atomic maximum, so that the
nearest wins in any order of threads. Edge functions and inverse depth are linear in the picture and valid
through the camera plane, so nothing is clipped (Olano and Greer, "Triangle scan conversion using 2D homogeneous
coordinates", 1997). A row of a triangle is one span; within it only depth is tested. Samples lie `step` pixels
apart, the first at `offset`.
"""

from __future__ import annotations

from typing import Any

import warp as wp

from sim.geometry import GeometryArrays
from sim.kernels.native import RASTER, source

wp.set_module_options({"enable_backward": False})

NEAR_M = 0.05
GRAIN_PX = 0.3  # chunks whose longest edge is smaller than this are left out

INV_NEAR = wp.constant(1.0 / NEAR_M)
NEAR = wp.constant(NEAR_M)
GRAIN = wp.constant(GRAIN_PX)


@wp.struct
class View:
    """A pinhole camera at one instant, and the sampling of its picture."""

    camera_from_world: wp.mat33  # rotation into the optical frame
    position: wp.vec3  # world, m
    focal_px: float
    centre_px: wp.vec2
    far_m: float
    width: int  # samples
    height: int
    step: float  # pixels between samples
    offset: float  # pixel coordinate of sample 0


@wp.struct
class Cover:
    """Silhouettes of the actors as if nothing stood before them: samples, bounds, a bit mask to count once."""

    bits: wp.array3d(dtype=wp.uint32)  # (A, height, words); 0 words: silhouettes are not wanted
    total: wp.array(dtype=wp.int32)
    left: wp.array(dtype=wp.int32)
    right: wp.array(dtype=wp.int32)
    top: wp.array(dtype=wp.int32)
    bottom: wp.array(dtype=wp.int32)


@wp.func
def bit_count(x: wp.uint32) -> int:
    v = x - ((x >> wp.uint32(1)) & wp.uint32(0x55555555))
    v = (v & wp.uint32(0x33333333)) + ((v >> wp.uint32(2)) & wp.uint32(0x33333333))
    v = (v + (v >> wp.uint32(4))) & wp.uint32(0x0F0F0F0F)
    return int((v * wp.uint32(0x01010101)) >> wp.uint32(24))


@wp.func
def _mark(cover: Cover, actor: int, y: int, x0: int, x1: int):
    """Set the bits of a span; count those that were not set yet."""
    for word in range(x0 / 32, x1 / 32 + 1):
        low, high = wp.max(x0 - 32 * word, 0), wp.min(x1 - 32 * word, 31)
        mask = (wp.uint32(0xFFFFFFFF) >> wp.uint32(31 - high)) & (wp.uint32(0xFFFFFFFF) << wp.uint32(low))
        before = wp.atomic_or(cover.bits, actor, y, word, mask)
        fresh = mask & ~before
        if fresh != wp.uint32(0):
            wp.atomic_add(cover.total, actor, bit_count(fresh))
    wp.atomic_min(cover.left, actor, x0)
    wp.atomic_max(cover.right, actor, x1)
    wp.atomic_min(cover.top, actor, y)
    wp.atomic_max(cover.bottom, actor, y)


@wp.func
def _grow(box: wp.vec4, p: wp.vec3) -> wp.vec4:
    """The box (min x, min y, max x, max y) with the direction of p in it."""
    x, y = p[0] / p[2], p[1] / p[2]
    return wp.vec4(wp.min(box[0], x), wp.min(box[1], y), wp.max(box[2], x), wp.max(box[3], y))


@wp.func
def grow_edge(box: wp.vec4, p: wp.vec3, q: wp.vec3) -> wp.vec4:
    """With p if it is ahead, and where p-q passes through the near plane."""
    out = box
    if p[2] >= NEAR:
        out = _grow(out, p)
    if (p[2] >= NEAR) != (q[2] >= NEAR):
        out = _grow(out, p + (q - p) * ((NEAR - p[2]) / (q[2] - p[2])))
    return out


@wp.func
def _edge(n: wp.vec3, view: View, scale: float) -> wp.vec3:
    """Coefficients (a, b, c) of a x + b y + c over sample indices, of the function n . (ray) times `scale`."""
    k = scale / view.focal_px
    a, b = n[0] * k, n[1] * k
    ox, oy = view.offset - view.centre_px[0], view.offset - view.centre_px[1]
    return wp.vec3(a * view.step, b * view.step, n[2] * scale + a * ox + b * oy)


@wp.func_native(
    """
    wp::int64* row = keys.data + start;
    for (int x = first; x <= last; ++x) {
        const float inv_z = wp::add(wp::mul(slope, (float)x), base);
        const wp::int64 key = ((wp::int64) reinterpret_cast<const int&>(inv_z) << 32) | (t + 1);
        wp::atomic_max(row + x, inv_z < greatest ? key : 0);
    }
    """
)
def _fill(
    keys: wp.array(dtype=wp.int64), start: int, first: int, last: int, slope: float, base: float, greatest: float, t: int
):  # fmt: skip
    """Show triangle t to the samples of a span, of inverse depth slope x + base. In C++: this loop becomes vector code,
    Warp's own does not, and it is where half of the time of a picture goes."""


@wp.func
def draw_triangle(t: int, actor: int, p0: wp.vec3, p1: wp.vec3, p2: wp.vec3, view: View, keys: wp.array(dtype=wp.int64),
              cover: Cover):  # fmt: skip
    normal = wp.cross(p1 - p0, p2 - p0)
    volume = wp.dot(p0, normal)
    if volume >= -1.0e-12:  # seen from behind
        return
    box = wp.vec4(1.0e9, 1.0e9, -1.0e9, -1.0e9)
    box = grow_edge(grow_edge(grow_edge(box, p0, p1), p1, p2), p2, p0)
    per_ray = view.focal_px / view.step
    ox, oy = (view.centre_px[0] - view.offset) / view.step, (view.centre_px[1] - view.offset) / view.step
    left = int(wp.ceil(wp.clamp(box[0] * per_ray + ox, 0.0, 1.0e5)))
    top = int(wp.ceil(wp.clamp(box[1] * per_ray + oy, 0.0, 1.0e5)))
    right = int(wp.floor(wp.clamp(box[2] * per_ray + ox, -1.0, float(view.width - 1))))
    bottom = int(wp.floor(wp.clamp(box[3] * per_ray + oy, -1.0, float(view.height - 1))))
    if left > right or top > bottom:
        return
    inv = 1.0 / volume
    depth = _edge(normal, view, inv)  # 1 / z
    e0 = _edge(wp.cross(p1, p2 - p1), view, inv)
    e1 = _edge(wp.cross(p2, p0 - p2), view, inv)
    e2 = _edge(wp.cross(p0, p1 - p0), view, inv)
    s0, s1, s2 = _slope(e0), _slope(e1), _slope(e2)
    for y in range(top, bottom + 1):
        fy = float(y)
        lo, hi = float(left), float(right)
        x0 = -(e0[1] * fy + e0[2]) * s0
        x1 = -(e1[1] * fy + e1[2]) * s1
        x2 = -(e2[1] * fy + e2[2]) * s2
        lo = wp.max(lo, wp.where(s0 > 0.0, x0, lo))
        lo = wp.max(lo, wp.where(s1 > 0.0, x1, lo))
        lo = wp.max(lo, wp.where(s2 > 0.0, x2, lo))
        hi = wp.min(hi, wp.where(s0 > 0.0, hi, x0))
        hi = wp.min(hi, wp.where(s1 > 0.0, hi, x1))
        hi = wp.min(hi, wp.where(s2 > 0.0, hi, x2))
        first, last = int(wp.ceil(lo)), int(wp.floor(hi))
        if first <= last:
            base = depth[1] * fy + depth[2]
            _fill(keys, y * view.width, first, last, depth[0], base, INV_NEAR, t)
            last = wp.min(last, view.width - 2)  # the samples of the last column and row belong to no pixel
            if actor >= 0 and first <= last and y <= view.height - 2:
                _mark(cover, actor, y, first, last)


@wp.func
def _slope(e: wp.vec3) -> float:
    """1 / a, huge where the edge is parallel to the rows: then x = -c / a lies far left or far right, as c says."""
    return wp.where(wp.abs(e[0]) > 1.0e-12, 1.0 / e[0], 1.0e12)


@wp.func
def in_view(view: View, centre: wp.vec3, radius: float) -> bool:
    """Does a sphere (optical frame) touch the frustum? The axis may lie anywhere; the wider side counts for both."""
    half_x = wp.max(view.centre_px[0], float(view.width) * view.step - view.centre_px[0]) / view.focal_px
    half_y = wp.max(view.centre_px[1], float(view.height) * view.step - view.centre_px[1]) / view.focal_px
    inside = centre[2] + radius > NEAR and centre[2] - radius < view.far_m
    inside = inside and wp.abs(centre[0]) - centre[2] * half_x < radius * wp.sqrt(1.0 + half_x * half_x)
    return inside and wp.abs(centre[1]) - centre[2] * half_y < radius * wp.sqrt(1.0 + half_y * half_y)


@wp.kernel(enable_backward=False)
def rasterise(g: GeometryArrays, view: View, keys: wp.array(dtype=wp.int64), cover: Cover):
    """One thread per chunk; `keys` must be zero, `cover` as `clear_cover` leaves it."""
    chunk = wp.tid()
    count = g.chunk_count[chunk]
    if count == 0:
        return
    centre = view.camera_from_world @ (g.chunk_centre[chunk] - view.position)
    radius = g.chunk_radius[chunk]
    if not in_view(view, centre, radius):
        return
    if g.chunk_grain_m[chunk] * view.focal_px < GRAIN * (centre[2] - radius):
        return
    actor = wp.where(cover.bits.shape[2] > 0, wp.max(chunk - g.static_chunks, -1), -1)
    start = g.chunk_start[chunk]
    for t in range(start, start + count):
        p0 = view.camera_from_world @ (g.corner[3 * t] - view.position)
        p1 = view.camera_from_world @ (g.corner[3 * t + 1] - view.position)
        p2 = view.camera_from_world @ (g.corner[3 * t + 2] - view.position)
        draw_triangle(t, actor, p0, p1, p2, view, keys, cover)


@wp.func_native(
    "#if !defined(__CUDA_ARCH__)\n" + source(*RASTER, NEAR=NEAR_M, INV_NEAR=1.0 / NEAR_M, GRAIN=GRAIN_PX) + "\n#endif\n"
)
def _draw_chunks(g: GeometryArrays, view: View, keys: wp.array(dtype=wp.int64), cover: Cover):
    """All that `rasterise` does, in vectors."""
    ...


@wp.kernel(enable_backward=False)
def rasterise_all(g: GeometryArrays, view: View, keys: wp.array(dtype=wp.int64), cover: Cover):
    """`rasterise` on a CPU: one thread in all."""
    _draw_chunks(g, view, keys, cover)


@wp.kernel(enable_backward=False)
def clear_cover(cover: Cover):
    """One thread per actor: wipe the bits within its bounds, which are few of them all."""
    a = wp.tid()
    for y in range(cover.top[a], cover.bottom[a] + 1):
        for word in range(cover.left[a] / 32, cover.right[a] / 32 + 1):
            cover.bits[a, y, word] = wp.uint32(0)
    cover.total[a] = 0
    cover.left[a] = 1 << 24
    cover.top[a] = 1 << 24
    cover.right[a] = -1
    cover.bottom[a] = -1


def draw_all(g: Any, chunks: int, view: Any, keys: Any, cover: Any) -> None:
    """All chunks, by the kernel of the device on which `keys` lies; `rasterise` says what they must hold before."""
    vectors = keys.device.is_cpu and view.width >= 8  # which are that wide
    kernel, threads = (rasterise_all, 1) if vectors else (rasterise, chunks)
    wp.launch(kernel, dim=threads, inputs=[g, view, keys, cover], device=keys.device)


def new_cover(actors: int, width: int, height: int, device: str) -> Any:
    """A Cover for pictures of width x height samples."""
    cover: Any = Cover()
    cover.bits = wp.zeros((max(actors, 1), height, (width + 31) // 32), dtype=wp.uint32, device=device)
    for name in ("total", "left", "right", "top", "bottom"):
        setattr(cover, name, wp.zeros(max(actors, 1), dtype=wp.int32, device=device))
    return cover
