"""What a pinhole camera's samples say beside colour: depth, class, instance, normal, motion; and who is drawn at all.

Motion of a pixel: its surface point p = depth (x, y, 1) in the optical frame is carried to where it was at the last
picture, q = M p, with one rigid motion M for each actor and one for all that stands, and projected as the camera stood then:
flow = pixel(p) - pixel(q), as of Baker et al., "A Database and Evaluation Methodology for Optical Flow", IJCV 92, 2011, but at
the pixels of the newer picture. The sky is infinitely far.
"""

from __future__ import annotations

import warp as wp

from sim.geometry import GeometryArrays
from sim.kernels.raster import View
from sim.kernels.shade import SKY, depth_of, triangle_of
from sim.state import StateArrays

wp.set_module_options({"enable_backward": False})

BEHIND_M = wp.constant(1.0e-3)  # depths from which nothing can be projected


@wp.struct
class Labels:
    """What one camera shows, H x W pixels; arrays that are not wanted have no elements."""

    depth_m: wp.array2d(dtype=wp.float32)
    semantic: wp.array2d(dtype=wp.uint8)
    instance: wp.array2d(dtype=wp.int32)
    normal: wp.array2d(dtype=wp.vec3)
    flow_px: wp.array2d(dtype=wp.vec2)


@wp.kernel(enable_backward=False)
def cull(s: StateArrays, world: int, g: GeometryArrays, eye: wp.vec2, reach_m: float, skip: int,
         count: wp.array(dtype=wp.int32)):  # fmt: skip
    """One thread per chunk: `count`, what is drawn of it, of scenery everything, of actors none beyond reach nor `skip`."""
    chunk = wp.tid()
    row = chunk - g.static_chunks
    count[chunk] = g.chunk_count[chunk]
    if row >= 0 and row < s.x_m.shape[1]:
        dx = s.x_m[world, row] - eye[0]
        dy = s.y_m[world, row] - eye[1]
        if row == skip or dx * dx + dy * dy > reach_m * reach_m:
            count[chunk] = 0


@wp.func
def pixel_of(view: View, p: wp.vec3) -> wp.vec2:
    k = view.focal_px / p[2]
    return wp.vec2(p[0] * k + view.centre_px[0], p[1] * k + view.centre_px[1])


@wp.kernel(enable_backward=False)
def describe(g: GeometryArrays, view: View, per_px: int, keys: wp.array(dtype=wp.int64),
             motion: wp.array(dtype=wp.mat44), out: Labels):  # fmt: skip
    """One thread per row of pixels; `per_px` samples each way. `motion` (1 + A,): optical frame of the last picture from
    that of this one, of all that stands and then of each actor."""
    i = wp.tid()
    y = per_px * i + per_px - 1
    columns = view.width / per_px
    for j in range(columns):
        x = per_px * j + per_px - 1
        key = keys[y * view.width + x]
        t = triangle_of(key)
        if out.depth_m.shape[0] > 0:
            out.depth_m[i, j] = wp.inf
            if t >= 0:
                out.depth_m[i, j] = depth_of(key)
        if out.semantic.shape[0] > 0:
            out.semantic[i, j] = SKY
            if t >= 0:
                out.semantic[i, j] = g.semantic[t]
        if out.instance.shape[0] > 0:
            out.instance[i, j] = 0
            if t >= 0:
                out.instance[i, j] = g.instance[t]
        if out.normal.shape[0] > 0:
            out.normal[i, j] = wp.vec3(0.0)
            if t >= 0:
                out.normal[i, j] = view.camera_from_world @ g.normal[t]
        if out.flow_px.shape[0] > 0:
            px = wp.vec2(float(x) * view.step + view.offset, float(y) * view.step + view.offset)
            ray = wp.vec3((px[0] - view.centre_px[0]) / view.focal_px, (px[1] - view.centre_px[1]) / view.focal_px, 1.0)
            was = wp.transform_vector(motion[0], ray)
            if t >= 0:
                was = wp.transform_point(motion[g.instance[t]], ray * depth_of(key))
            out.flow_px[i, j] = wp.vec2(0.0)
            if was[2] > BEHIND_M:
                out.flow_px[i, j] = px - pixel_of(view, was)
