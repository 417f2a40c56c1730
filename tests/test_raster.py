"""Rasteriser against exact rays, on a town with traffic: the same triangles, another algorithm."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import warp as wp

from sim.actor_meshes import library
from sim.geometry import Geometry, Mesh, box_mesh
from sim.kernels.raster import View, clear_cover, draw_all, new_cover, rasterise
from sim.state import State
from stack.frames import BODY_FROM_OPTICAL, apply, intrinsics, inverse, project, transform
from stack.labels import Kind, Semantic

W, H, HFOV = 320, 180, np.deg2rad(90.0)


def place(
    state: State,
    row: int,
    kind: Kind,
    xy: tuple[float, float],
    yaw: float,
    size: tuple[float, float, float],
    look: int = 0,
) -> None:
    values = {
        "kind": kind,
        "x_m": xy[0],
        "y_m": xy[1],
        "yaw_rad": yaw,
        "length_m": size[0],
        "width_m": size[1],
        "height_m": size[2],
        "look": look,
    }
    for name, value in values.items():
        state.numpy(name)[0, row] = value


def town() -> tuple[Geometry, State]:
    """Boxes on a floor of 8 m tiles, cars and walkers among them."""
    rng = np.random.default_rng(4)
    parts = []
    for x, y in rng.uniform(-120.0, 120.0, (400, 2)):
        if np.hypot(x, y) > 6.0:
            block = box_mesh(rng.uniform(0.4, 9.0, 3), Semantic.BUILDING)
            parts.append(
                Mesh(
                    block.vertices + np.array([x, y, 0.0], np.float32), block.triangles, block.semantic, block.material
                )
            )
    for x in np.arange(-120.0, 120.0, 8.0):
        for y in np.arange(-120.0, 120.0, 8.0):
            v = np.array([(x, y, 0), (x + 8, y, 0), (x + 8, y + 8, 0), (x, y + 8, 0)], np.float32)
            parts.append(
                Mesh(
                    v,
                    np.array([(0, 1, 2), (0, 2, 3)], np.int32),
                    np.full(2, Semantic.ROAD, np.uint8),
                    np.zeros(2, np.int32),
                )
            )
    geometry, state = Geometry(Mesh.join(parts), library(), 16, 1, "cpu"), State(1, 16, 1, 1, "cpu")
    for row in range(1, 12):
        kind = (Kind.CAR, Kind.CYCLIST, Kind.PEDESTRIAN)[row % 3]
        size = {Kind.CAR: (4.5, 1.8, 1.5), Kind.CYCLIST: (1.8, 0.6, 1.7), Kind.PEDESTRIAN: (0.5, 0.5, 1.8)}[kind]
        place(state, row, kind, (4.0 + 2.5 * row, rng.uniform(-8.0, 8.0)), rng.uniform(-3.0, 3.0), size, row)
    geometry.update(state)
    return geometry, state


def draw(
    geometry: Geometry, world_from_camera: Any, step: float = 1.0, used: Any = None, by_chunks: bool = False
) -> tuple[Any, Any, Any]:
    """(H, W) triangle (-1 none) and depth, and the cover (`used`: of a picture before), sampled at pixel centres.
    `by_chunks`: by the kernel of GPUs."""
    v: Any = View()
    v.camera_from_world, v.position = wp.mat33(world_from_camera[:3, :3].T), wp.vec3(*world_from_camera[:3, 3])
    v.focal_px, v.centre_px, v.far_m = float(intrinsics(W, H, HFOV)[0, 0]), wp.vec2(W / 2, H / 2), 1000.0
    v.width, v.height, v.step, v.offset = W, H, step, 0.5
    keys, cover = wp.zeros(W * H, dtype=wp.int64, device="cpu"), used or new_cover(geometry.actors, W, H, "cpu")
    wp.launch(clear_cover, dim=geometry.actors, inputs=[cover], device="cpu")
    if by_chunks:
        wp.launch(rasterise, dim=geometry.chunks, inputs=[geometry.arrays, v, keys, cover], device="cpu")
    else:
        draw_all(geometry.arrays, geometry.chunks, v, keys, cover)
    k = keys.numpy().reshape(H, W)
    with np.errstate(divide="ignore"):
        depth = 1.0 / (k >> 32).astype(np.int32).view(np.float32)
    return (k & 0x7FFFFFFF) - 1, depth, cover


@pytest.mark.parametrize("yaw", [0.7, 0.1])
def test_vectors_draw_what_threads_of_a_gpu_draw(yaw: float) -> None:
    geometry, _ = town()
    world_from_camera = transform(5.0, -2.0, 1.2, yaw, -0.05, 0.02) @ BODY_FROM_OPTICAL
    triangle, depth, cover = draw(geometry, world_from_camera)
    other, far, silhouettes = draw(geometry, world_from_camera, by_chunks=True)
    assert np.array_equal(triangle, other) and np.array_equal(depth, far)
    assert len(np.unique(triangle)) > 100 and cover.total.numpy().any()
    for name in ("bits", "total", "left", "right", "top", "bottom"):
        assert np.array_equal(getattr(cover, name).numpy(), getattr(silhouettes, name).numpy())


@wp.kernel(enable_backward=False)
def cast(
    mesh: wp.uint64,
    origin: wp.vec3,
    rays: wp.array(dtype=wp.vec3),
    face: wp.array(dtype=wp.int32),
    far: wp.array(dtype=wp.float32),
):
    i = wp.tid()
    start = origin
    for _ in range(8):  # backs of faces are looked through
        hit = wp.mesh_query_ray(mesh, start, rays[i], 1.0e4)
        if not hit.result:
            return
        start = start + rays[i] * hit.t
        if hit.sign > 0.0:
            face[i] = hit.face
            far[i] = wp.length(start - origin)
            return
        start = start + rays[i] * 1.0e-4


@pytest.mark.parametrize("yaw", [0.1, 2.4, -1.3])
def test_agrees_with_exact_rays(yaw: float) -> None:
    geometry, _ = town()
    world_from_camera = transform(0.3, 0.2, 1.5, yaw, 0.03, 0.01) @ BODY_FROM_OPTICAL
    triangle, depth, _ = draw(geometry, world_from_camera)
    a, n = geometry.arrays, geometry.arrays.static_triangles
    alive = np.arange(geometry.triangles) < n
    for row, count in enumerate(a.chunk_count.numpy()[a.static_chunks :]):
        alive[n + row * a.slot : n + row * a.slot + count] = True
    rows = np.flatnonzero(alive)
    corners = a.corner.numpy().reshape(-1, 3, 3)[rows].reshape(-1, 3)
    mesh = wp.Mesh(
        wp.array(corners, dtype=wp.vec3, device="cpu"), wp.array(np.arange(len(corners), dtype=np.int32), device="cpu")
    )
    u, v = np.meshgrid(np.arange(W) + 0.5, np.arange(H) + 0.5)
    matrix = intrinsics(W, H, HFOV)
    rays = np.stack([(u - W / 2) / matrix[0, 0], (v - H / 2) / matrix[1, 1], np.ones_like(u)], axis=-1).reshape(-1, 3)
    length = np.linalg.norm(rays, axis=1)
    world_rays = (rays / length[:, None]) @ world_from_camera[:3, :3].T
    face, far = wp.full(W * H, -1, dtype=wp.int32, device="cpu"), wp.zeros(W * H, dtype=wp.float32, device="cpu")
    inputs = [mesh.id, wp.vec3(*world_from_camera[:3, 3]), wp.array(world_rays, dtype=wp.vec3, device="cpu"), face, far]
    wp.launch(cast, dim=W * H, inputs=inputs, device="cpu")
    found = face.numpy()
    expected = np.where(found >= 0, rows[found], -1).reshape(H, W)
    same = triangle == expected
    z = (far.numpy() / length).reshape(H, W)
    near = np.abs(depth - z) < 1e-3 * z
    assert (same | near)[expected >= 0].mean() > 0.999  # coplanar neighbours share their edge
    assert same.mean() > 0.995
    both = same & (expected >= 0)
    assert np.abs(depth - z)[both].max() < 0.02
    assert both.mean() > 0.4


def test_projection_is_that_of_frames() -> None:
    """The corners of a lone box in front of the camera bound its pixels."""
    geometry, state = Geometry(box_mesh(np.array([0.1, 0.1, 0.1])), library(), 2, 1, "cpu"), State(1, 2, 1, 1, "cpu")
    place(state, 1, Kind.PROP, (12.0, 2.0), 0.4, (1.0, 1.2, 1.4), 0)
    geometry.update(state)
    world_from_camera = transform(0.0, 0.0, 1.0, 0.1, -0.05) @ BODY_FROM_OPTICAL
    triangle, _, cover = draw(geometry, world_from_camera)
    first = geometry.arrays.static_triangles + geometry.arrays.slot
    corners = geometry.arrays.corner.numpy().reshape(-1, 3)[
        3 * first : 3 * (first + int(geometry.arrays.chunk_count.numpy()[-1]))
    ]
    pixels, _ = project(intrinsics(W, H, HFOV), apply(inverse(world_from_camera), corners.astype(np.float64)))
    rows, columns = np.nonzero(triangle >= first)
    assert abs(columns.min() + 0.5 - pixels[:, 0].min()) <= 1.0 and abs(columns.max() + 0.5 - pixels[:, 0].max()) <= 1.0
    assert abs(rows.min() + 0.5 - pixels[:, 1].min()) <= 1.0 and abs(rows.max() + 0.5 - pixels[:, 1].max()) <= 1.0
    assert cover.total.numpy()[1] == len(rows)  # nothing stands before it


def test_a_used_cover_keeps_nothing_of_the_picture_before() -> None:
    geometry, _ = town()
    front, turned = (transform(0.0, 0.0, 1.6, yaw) @ BODY_FROM_OPTICAL for yaw in (0.0, 0.1))
    _, _, used = draw(geometry, turned, used=draw(geometry, front)[2])
    _, _, fresh = draw(geometry, turned)
    assert (used.total.numpy() > 0).sum() >= 5
    for name in ("bits", "total", "left", "right", "top", "bottom"):
        assert np.array_equal(getattr(used, name).numpy(), getattr(fresh, name).numpy()), name


def test_a_floor_through_the_camera_plane_is_whole() -> None:
    v = np.array([(-50, -50, 0), (50, -50, 0), (50, 50, 0), (-50, 50, 0)], np.float32)
    floor = Mesh(v, np.array([(0, 1, 2), (0, 2, 3)], np.int32), np.full(2, 1, np.uint8), np.zeros(2, np.int32))
    geometry = Geometry(floor, library(), 1, 1, "cpu")
    triangle, depth, _ = draw(geometry, transform(0.0, 0.0, 1.5, 0.3) @ BODY_FROM_OPTICAL)
    below = (np.arange(H) + 0.5 - H / 2) / intrinsics(W, H, HFOV)[1, 1]
    expected = 1.5 / below
    rows = (below > 0) & (expected < 40.0)
    assert (triangle[rows] >= 0).all()
    assert np.abs(depth[rows] - expected[rows, None]).max() < 1e-2
    assert (triangle[below < 0] == -1).all()


def test_nobody_sees_the_viewer_or_a_free_row() -> None:
    geometry, state = town()
    counts = geometry.arrays.chunk_count.numpy()[geometry.arrays.static_chunks :]
    assert counts[0] == 0 and (counts[1:12] > 0).all() and (counts[12:] == 0).all()
    geometry.update(state, viewer=3)
    counts = geometry.arrays.chunk_count.numpy()[geometry.arrays.static_chunks :]
    assert counts[3] == 0
