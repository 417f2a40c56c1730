"""How exact the LiDAR and the rasteriser are: against rays through the same triangles, by another algorithm.

The rays go through Warp's bounding-volume hierarchy in single precision. Where it and the rasteriser name different
triangles, every triangle of the scene is tried in double precision, and that decides.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import warp as wp

from scripts.bench.measure import Figure, share_figure
from scripts.bench.sensors import LIDARS, Street, mount
from stack.frames import BODY_FROM_OPTICAL, F64, apply, intrinsics, transform
from stack.messages import I32, LIDAR_STEP_M, Rig

wp.set_module_options({"enable_backward": False})

VIEWS = 5
TICKS_BETWEEN = 100
NEAR_M = 0.02  # ranges that differ by less agree
TIE = 1e-6  # of a depth or an edge function: what single precision cannot tell apart
LOOKS_THROUGH = 16  # backs of faces on one ray
FAR_M = 1.0e4


@wp.kernel(enable_backward=False)
def cast(
    mesh: wp.uint64, origin: wp.vec3, ray: wp.array(dtype=wp.vec3), face: wp.array(dtype=wp.int32),
    far: wp.array(dtype=wp.float32),
):  # fmt: skip
    """The first face on each unit ray that shows its front, and how far away it is; -1 and 0 where there is none."""
    i = wp.tid()
    start = origin
    face[i] = -1
    far[i] = 0.0
    for _ in range(LOOKS_THROUGH):
        hit = wp.mesh_query_ray(mesh, start, ray[i], FAR_M)
        if not hit.result:
            return
        start = start + ray[i] * hit.t
        if hit.sign > 0.0:
            face[i] = hit.face
            far[i] = wp.length(start - origin)
            return
        start = start + ray[i] * 1.0e-4


class Rays:
    """The triangles that are placed now, for rays. `kept`: which chunks count; all by default."""

    def __init__(self, geometry: Any, kept: Any = None) -> None:
        a = geometry.arrays
        runs = zip(a.chunk_start.numpy(), a.chunk_count.numpy(), strict=True)
        chunks = [run for chunk, run in enumerate(runs) if kept is None or kept[chunk]]
        self.rows: I32 = np.concatenate([np.arange(start, start + count) for start, count in chunks])
        self.corners = a.corner.numpy().reshape(-1, 3, 3)[self.rows]
        index = np.arange(3 * len(self.rows), dtype=np.int32)
        self.mesh = wp.Mesh(wp.array(self.corners.reshape(-1, 3), dtype=wp.vec3, device="cpu"),
                            wp.array(index, device="cpu"))  # fmt: skip

    def cast(self, origin: F64, rays: F64) -> tuple[I32, F64]:
        """(N,) triangle (-1 none) and (N,) distance (0 none) on the unit rays (N, 3) from one point."""
        n = len(rays)
        face, far = (wp.zeros(n, dtype=kind, device="cpu") for kind in (wp.int32, wp.float32))
        inputs = [self.mesh.id, wp.vec3(*origin), wp.array(rays, dtype=wp.vec3, device="cpu"), face, far]
        wp.launch(cast, dim=n, inputs=inputs, device="cpu")
        found = face.numpy()
        return np.where(found >= 0, self.rows[found], -1).astype(np.int32), far.numpy().astype(np.float64)

    def may_name(self, triangle: I32, origin: F64, ray: F64, far: F64) -> Any:
        """(N,) whether a ray meets the front of the triangle named for it, no farther than `far`; double precision.

        Moller and Trumbore, Fast, minimum storage ray-triangle intersection, 1997.
        """
        at = np.searchsorted(self.rows, triangle)
        inside, t = meets(self.corners[at], origin, ray)
        return (triangle >= 0) & inside & (t <= far * (1.0 + TIE))

    def nearest(self, origin: F64, ray: F64) -> float:
        """Distance to the nearest front on one ray, every triangle tried in double precision; 0 where there is none."""
        inside, t = meets(self.corners, origin, ray[None])
        return float(t[inside].min(initial=np.inf)) if inside.any() else 0.0


def meets(corners: Any, origin: F64, ray: F64) -> tuple[Any, F64]:
    """(N,) whether ray k meets the front of triangle k, and (N,) how far away, for (N, 3, 3) and (N, 3) or (1, 3)."""
    a, b, c = (corners[:, k].astype(np.float64) - origin for k in range(3))
    normal = np.cross(b - a, c - a)
    facing = (normal * ray).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = (normal * a).sum(axis=1) / facing
    w = np.stack([(np.cross(p, q) * ray).sum(axis=1) for p, q in ((b, c), (c, a), (a, b))])
    return (facing < 0.0) & (t > 0.0) & (w <= TIE * np.abs(w.sum(axis=0))).all(axis=0), t


def lidar(map_: str, seconds: float) -> Iterator[Figure]:
    """Share of beams whose range is within 2 cm of the ray's, noise and chance off; beams that miss must miss too."""
    from sim.kernels.lidar import Lidar

    rings, columns, *_ = LIDARS[-1]
    rig = Rig(cameras=(), lidar_rings=rings, lidar_columns=columns)
    street = Street(map_, rig)
    sensor, shares = Lidar(rig, street.geometry, noise=False), []
    for _ in range(VIEWS):
        street.go(TICKS_BETWEEN)
        rays, matrix = Rays(street.geometry), street.pose().matrix()
        origin, agree = apply(matrix, np.array(rig.lidar_xyz_m)), []
        for tick in (0, 1):
            steps, _ = sensor.scan(street.state, 0, tick)
            up, round_ = sensor.elevation_rad[:, None].astype(float), sensor.azimuth_rad(tick)[None].astype(float)
            beam = np.stack(
                np.broadcast_arrays(np.cos(up) * np.cos(round_), np.cos(up) * np.sin(round_), np.sin(up)), -1
            )
            _, far = rays.cast(origin, beam.reshape(-1, 3) @ matrix[:3, :3].T)
            far[far > rig.lidar_range_m] = 0.0
            agree.append(np.abs(steps.ravel() * LIDAR_STEP_M - far) < NEAR_M)
        shares.append(float(np.mean(agree)))
    note = f"{VIEWS} turns of {rings}x{columns}, steps of {LIDAR_STEP_M * 1e3:.0f} mm; {street.note(map_)}"
    yield share_figure("LiDAR ranges within 2 cm of exact rays", shares, 99.0, 99.9, note)


def raster(map_: str, seconds: float) -> Iterator[Figure]:
    """Share of pixels whose triangle is the ray's, the sky included."""
    from sim.kernels.raster import GRAIN_PX, View, clear_cover, draw_all, new_cover

    eye = mount(640, 360)
    street, shares = Street(map_, Rig(cameras=())), []
    w, h = eye.width_px, eye.height_px
    matrix = intrinsics(w, h, eye.hfov_rad)
    view: Any = View()
    view.focal_px, view.centre_px, view.far_m = float(matrix[0, 0]), wp.vec2(0.5 * w, 0.5 * h), FAR_M
    view.width, view.height, view.step, view.offset = w, h, 1.0, 0.5
    x, y = np.meshgrid(np.arange(w) + 0.5, np.arange(h) + 0.5)
    rays_camera = np.stack([(x - 0.5 * w) / matrix[0, 0], (y - 0.5 * h) / matrix[1, 1], np.ones_like(x)], -1)
    rays_camera = (rays_camera / np.linalg.norm(rays_camera, axis=-1, keepdims=True)).reshape(-1, 3)
    for _ in range(VIEWS):
        street.go(TICKS_BETWEEN)
        matrix = street.pose().matrix() @ transform(eye.x_m, eye.y_m, eye.z_m) @ BODY_FROM_OPTICAL
        rotation, origin = matrix[:3, :3], matrix[:3, 3]
        view.camera_from_world, view.position = wp.mat33(rotation.T), wp.vec3(*origin)
        g = street.geometry
        keys, cover = wp.zeros(w * h, dtype=wp.int64, device="cpu"), new_cover(g.actors, w, h, "cpu")
        wp.launch(clear_cover, dim=g.actors, inputs=[cover], device="cpu")
        draw_all(g.arrays, g.chunks, view, keys, cover)
        found = (keys.numpy() & 0x7FFFFFFF).astype(np.int64) - 1
        a = g.arrays
        ahead = (a.chunk_centre.numpy().astype(np.float64) - origin) @ rotation[:, 2]
        kept = a.chunk_grain_m.numpy() * view.focal_px >= GRAIN_PX * (ahead - a.chunk_radius.numpy())
        seen, rays_world = np.float64(np.float32(origin)), rays_camera @ rotation.T
        shares.append(_share(Rays(g, kept), found, seen, rays_world))
    note = f"{VIEWS} pictures of {w}x{h}; {street.note(map_)}"
    yield share_figure("triangle ids those of exact rays, by pixel", [right for right, _ in shares], 99.99, None, note)
    yield share_figure(
        "  the very same id, where faces in one plane lie over one another too", [same for _, same in shares]
    )


def _share(rays: Rays, found: Any, origin: F64, directions: F64) -> tuple[float, float]:
    """Share of rays whose triangle is the nearest, or as near as it: faces in one plane may lie over one another. And the
    share for which Warp's rays name the same one of them."""
    expected, far = rays.cast(origin, directions)
    differ = np.flatnonzero(expected != found)
    right = rays.may_name(found[differ], origin, directions[differ], far[differ])
    for k in np.flatnonzero(~right):
        i = differ[k : k + 1]
        exact = np.array([rays.nearest(origin, directions[i[0]])])
        right[k] = rays.may_name(found[i], origin, directions[i], exact)[0] if found[i[0]] >= 0 else exact[0] == 0.0
    return 1.0 - float((~right).sum()) / len(found), 1.0 - len(differ) / len(found)
