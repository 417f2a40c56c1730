"""Cameras whose picture is made in stages: fisheye lenses, moving shutters, dirty lenses."""

from __future__ import annotations

from typing import Any

import numpy as np
import warp as wp
from numpy.typing import NDArray

from sim.geometry import Geometry
from sim.kernels.blur import Motion, longest, smear, ways
from sim.kernels.film import Fisheye, add_beyond, clear_bounds, collect, develop, gather, gather_cover
from sim.kernels.raster import View, clear_cover, draw_all, new_cover
from sim.lens import FACES, Cube, cube, growing_to, sample_rays
from sim.optics import LensDirt
from sim.pinhole import FAR_M, SAMPLES_PER_PX, Camera
from sim.weather import Weather
from stack.frames import F64
from stack.messages import F32, CameraMount, Optics

MODULES = "sim.kernels.film", "sim.kernels.blur"
REACH = 1.0 / 16.0  # half of the longest blur, of the picture's width


def is_staged(mount: CameraMount) -> bool:
    """Does a camera need more than the one pass of an ideal pinhole?"""
    return bool(mount.distortion) or mount.optics != Optics()


class StagedCamera(Camera):
    """See, collect light, blur, dim by dirt, develop."""

    def __init__(self, mount: CameraMount, geometry: Geometry, weather: Weather, seed: int, number: int) -> None:
        super().__init__(mount, geometry)
        w, h, device = mount.width_px, mount.height_px, geometry.device
        self._geometry = geometry
        rays = sample_rays(mount, SAMPLES_PER_PX)
        self._rays = wp.array(rays.reshape(-1, 3), dtype=wp.vec3, device=device)
        self._light = wp.zeros((h, w), dtype=wp.vec3, device=device)
        self._lens = _fisheye(mount)
        self._faces: _Faces | None = None
        if mount.distortion:
            self._faces = _Faces(geometry, cube(mount, rays, SAMPLES_PER_PX), self._lens)
            self._cover = new_cover(geometry.actors, 1, 1, device)  # bounds and counts; no bits
            self._sightings.edges = self._faces.beyond
        self._shutter_s = mount.optics.shutter * weather.shutter_s()
        self._dirt = LensDirt(mount, seed, number, device) if mount.optics.dirt + mount.optics.drops > 0.0 else None
        if self._shutter_s > 0.0:
            self._side = int(np.ceil(REACH * w))
            self._way = wp.zeros((h, w), dtype=wp.vec2, device=device)
            self._seeing = wp.zeros((h, w), dtype=wp.uint8, device=device)
            self._tiles = wp.zeros((-(-h // self._side), -(-w // self._side)), dtype=wp.vec2, device=device)
            self._smeared = wp.zeros((h, w), dtype=wp.vec3, device=device)

    def _see(self, geometry: Any) -> None:
        if self._faces is None:
            super()._see(geometry)
            return
        faces, device = self._faces, self._device
        faces.draw(geometry, self.world_from_camera)
        wp.launch(clear_bounds, dim=self._actors, inputs=[self._cover], device=device)
        faces.take_cover(self._view, self._cover)
        inputs = [
            geometry, wp.mat33(self.world_from_camera[:3, :3]), self._view.position, self._rays, faces.at, faces.stretch,
            faces.keys.flatten(), self._view.width, self._keys,
        ]  # fmt: skip
        wp.launch(gather, dim=self._view.height, inputs=inputs, device=device)

    def _expose(self, shared: tuple[Any, ...], film: tuple[Any, Any], grain_key: int) -> None:
        w, h, device = self.mount.width_px, self.mount.height_px, self._device
        columns = 1 if wp.get_device(device).is_cuda else w
        inputs = [*shared, self._view, self._rays, self._keys, columns, self._picture, self._light]
        wp.launch(collect, dim=(h, -(-w // columns)), inputs=inputs, device=device)
        light = self._light
        if self._shutter_s > 0.0:
            self._blur()
            light = self._smeared
        if self._dirt is not None:
            light = wp.from_torch(self._dirt(wp.to_torch(light)), dtype=wp.vec3)
        centre = wp.vec2(*self.intrinsics[:2, 2])
        inputs = [light, shared[3], centre, *film, wp.uint32(grain_key), self._picture]
        wp.launch(develop, dim=h, inputs=inputs, device=device)

    def _blur(self) -> None:
        h, device, m = self.mount.height_px, self._device, self._motion()
        inputs = [
            self._view,
            self._lens,
            int(bool(self.mount.distortion)),
            self._rays,
            m,
            self._picture,
            self._way,
            self._seeing,
        ]
        wp.launch(ways, dim=h, inputs=inputs, device=device)
        wp.launch(longest, dim=self._tiles.shape, inputs=[self._way, self._side, self._tiles], device=device)
        inputs = [self._light, self._picture.depth_m, self._way, self._tiles, self._side, self._seeing, self._smeared]
        wp.launch(smear, dim=h, inputs=inputs, device=device)

    def _motion(self) -> Any:
        """Speeds of the camera, on the ego (row 0), and of all actors, from the state."""
        state, n = self._geometry.state, self._geometry.world
        names = ("vx_mps", "vy_mps", "yaw_rate_radps", "yaw_rad", "pitch_rad", "centre_m")
        ahead, left, rate, yaw, pitch, centre = (state.numpy(name)[n].astype(np.float64) for name in names)
        cos, sin = np.cos(yaw), np.sin(yaw)

        def world(sideways: F64) -> F64:
            flat = ahead * np.cos(pitch)
            return np.stack([flat * cos - sideways * sin, flat * sin + sideways * cos, ahead * np.sin(pitch)], axis=-1)

        m: Any = Motion()
        turn = np.array([0.0, 0.0, rate[0]])
        arm = self.world_from_camera[:3, :3] @ self.ego_from_camera[:3, :3].T @ self.ego_from_camera[:3, 3]
        m.shutter_s, m.reach_px = self._shutter_s, float(self.mount.width_px * REACH)
        m.velocity, m.turn = wp.vec3(*(world(left)[0] + np.cross(turn, arm))), wp.vec3(*turn)
        m.actor = wp.array(world(left + rate * centre).astype(np.float32), dtype=wp.vec3, device=self._device)
        m.actor_yaw_rate = wp.array(rate.astype(np.float32), device=self._device)
        m.base = self._geometry.arrays.base
        return m


class _Faces:
    """The cube round a fisheye camera."""

    def __init__(self, geometry: Geometry, tables: Cube, lens: Any) -> None:
        self._device, self._chunks, self._actors = geometry.device, geometry.chunks, geometry.actors
        device, rows = self._device, tables.side + 1
        self._lens, self._side = lens, tables.side
        self.at, self.stretch = wp.array(tables.at, device=device), wp.array(tables.stretch, device=device)
        self._inside = wp.array(tables.inside, device=device)
        self.keys = wp.zeros((len(FACES), rows * rows), dtype=wp.int64, device=device)
        self._covers = [new_cover(geometry.actors, rows, rows, device) for _ in FACES]
        self._turns = [wp.mat33(turn) for turn in FACES]
        v: Any = View()
        middle = 0.5 * (tables.side - 1)
        v.focal_px, v.centre_px, v.far_m, v.step, v.offset = middle, wp.vec2(middle, middle), FAR_M, 1.0, 0.0
        v.width = v.height = rows  # the last row and column count for no silhouette
        self._view = v

    def draw(self, geometry: Any, world_from_camera: F64) -> None:
        """Which triangle each sample of each face sees."""
        self.keys.zero_()
        self._view.position = wp.vec3(*world_from_camera[:3, 3])
        for k, turn in enumerate(FACES):
            self._view.camera_from_world = wp.mat33((world_from_camera[:3, :3] @ turn).T)
            wp.launch(clear_cover, dim=self._actors, inputs=[self._covers[k]], device=self._device)
            draw_all(geometry, self._chunks, self._view, self.keys[k], self._covers[k])

    def take_cover(self, view: Any, out: Any) -> None:
        """Silhouettes as the picture has them."""
        for k, turn in enumerate(self._turns):
            inputs = [self._covers[k], k, self._side, turn, self._lens, view.width - 1, view.height - 1, self.at, out]
            wp.launch(gather_cover, dim=self._actors, inputs=inputs, device=self._device)

    def beyond(self, g: Any, view: Any, w: int, h: int, rows: NDArray[np.int64]) -> tuple[F32, F32]:
        """As `extent.Edges`: boxes of whole silhouettes, px, and the share of their solid angle beyond the picture."""
        device, n = self._device, len(rows)
        some = wp.array(rows.astype(np.int32), device=device)
        box = wp.array(np.tile((1e9, 1e9, -1e9, -1e9), (n, 1)).astype(np.float32), dtype=wp.vec4, device=device)
        within = wp.zeros((n, 2), dtype=wp.float32, device=device)
        for k, turn in enumerate(self._turns):
            inputs = [self._covers[k], k, self._side, turn, self._lens, self._inside, some, box, within]
            wp.launch(add_beyond, dim=n, inputs=inputs, device=device)
        shown, whole = within.numpy().T
        return box.numpy() * np.float32(view.step), (1.0 - shown / np.maximum(whole, 1e-12)).astype(np.float32)


def _fisheye(mount: CameraMount) -> Any:
    """The lens in samples of the picture; means nothing for a pinhole."""
    lens: Any = Fisheye()
    matrix = mount.matrix() * SAMPLES_PER_PX
    lens.focal, lens.centre = wp.vec2(matrix[0, 0], matrix[1, 1]), wp.vec2(matrix[0, 2], matrix[1, 2])
    if mount.distortion:
        lens.k, lens.most_rad = wp.vec4(*mount.distortion), growing_to(mount.distortion)
    return lens
