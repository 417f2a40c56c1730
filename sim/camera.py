"""The rig's cameras on the embedded world: pictures, and what is true of them.

`Cameras.render` draws each camera once for colour, depth, class and instance together, counts how much of each
actor can be seen, and quantises the colour at the source: JPEG of quality 90, of which the stack sees the
decoded pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import warp as wp
from torchvision.io import ImageReadMode, decode_jpeg, encode_jpeg

from sim.geometry import Geometry
from sim.kernels.raster import View, clear_cover, new_cover, rasterise
from sim.kernels.shade import Light, Picture, grain_table, shade, tone_table
from sim.kernels.shadow import place_casters, shadow_map
from sim.kernels.texture import Textures, noise_picture
from sim.scenery import Scenery
from sim.sightings import Sightings
from sim.weather import Weather
from stack.frames import BODY_FROM_OPTICAL, F64, Pose, transform
from stack.loop import TICK_S
from stack.messages import CameraImage, CameraMount, Rig, TruthImages
from stack.seeds import Stream, draws

JPEG_QUALITY = 90
FAR_M = 500.0
SAMPLES_PER_PX = 2  # each way
HEAD_LIGHT_M = (3.6, 0.0, 0.65)  # in the ego frame


class Cameras:
    """Owns the pictures of a rig. `geometry.update` must have placed the actors before `render`."""

    def __init__(self, rig: Rig, geometry: Geometry, scenery: Scenery, weather: Weather, seed: int) -> None:
        self._geometry, self._seed, self._weather = geometry, seed, weather
        self._shadows = shadow_map(geometry, weather.to_sun())
        self._textures = _textures(scenery, seed, geometry.device)
        self._light = _light(weather)
        self._film = wp.array(tone_table(), device=geometry.device), wp.array(grain_table(seed), device=geometry.device)
        self._cameras = [_Camera(mount, geometry) for mount in rig.cameras]
        wp.load_module("sim.kernels.raster", device=geometry.device)  # before threads could ask for it at once
        wp.load_module("sim.kernels.shade", device=geometry.device)
        wp.load_module("sim.kernels.extent", device=geometry.device)
        alone = wp.get_device(geometry.device).is_cuda or len(rig.cameras) < 2
        self._pool = None if alone else ThreadPoolExecutor(len(rig.cameras), "camera")

    def render(self, ego: Pose, tick: int) -> tuple[tuple[CameraImage, ...], tuple[TruthImages, ...]]:
        """The pictures of all cameras, in the rig's order, with the ego's origin at a pose."""
        return self.start(ego, tick)()

    def start(self, ego: Pose, tick: int) -> Callable[[], tuple[tuple[CameraImage, ...], tuple[TruthImages, ...]]]:
        """Begin to render in threads of its own; call what comes back for the pictures. Nothing may move meanwhile."""
        world_from_ego = ego.matrix()
        place_casters(self._geometry, self._shadows, self._weather.to_sun(), ego.x_m, ego.y_m)
        self._light.beam_from = wp.vec3(*(world_from_ego @ (*HEAD_LIGHT_M, 1.0))[:3])
        self._light.beam_ahead = wp.vec3(*world_from_ego[:3, 0])
        keys = draws(self._seed, Stream.CAMERA, tick, n=len(self._cameras))
        shared = self._geometry.arrays, self._textures, self._shadows, self._light

        def one(camera: _Camera, key: int) -> tuple[CameraImage, TruthImages]:
            camera.draw(world_from_ego, shared, self._film, int(key))
            return camera.image(tick), camera.truth(ego)

        pairs = (map if self._pool is None else self._pool.map)(one, self._cameras, keys)

        def pictures() -> tuple[tuple[CameraImage, ...], tuple[TruthImages, ...]]:
            done = list(pairs)
            return tuple(image for image, _ in done), tuple(truth for _, truth in done)

        return pictures


class _Camera:
    """Buffers of one camera."""

    def __init__(self, mount: CameraMount, geometry: Geometry) -> None:
        self.mount, self._device = mount, geometry.device
        w, h = mount.width_px, mount.height_px
        self.ego_from_camera = (
            transform(mount.x_m, mount.y_m, mount.z_m, mount.yaw_rad, mount.pitch_rad) @ BODY_FROM_OPTICAL
        )
        self.intrinsics = mount.matrix()
        self.world_from_camera = self.ego_from_camera
        v: Any = View()
        v.focal_px, v.centre_px, v.far_m = float(self.intrinsics[0, 0]), wp.vec2(0.5 * w, 0.5 * h), FAR_M
        v.width, v.height = SAMPLES_PER_PX * w + 1, SAMPLES_PER_PX * h + 1
        v.step, v.offset = 1.0 / SAMPLES_PER_PX, 0.0
        self._view = v
        self._keys = wp.zeros(v.width * v.height, dtype=wp.int64, device=self._device)
        self._cover = new_cover(geometry.actors, v.width, v.height, self._device)
        p: Any = Picture()
        p.rgb = wp.zeros((3, h, w), dtype=wp.uint8, device=self._device)
        p.depth_m = wp.zeros((h, w), dtype=wp.float32, device=self._device)
        p.semantic = wp.zeros((h, w), dtype=wp.uint8, device=self._device)
        p.instance = wp.zeros((h, w), dtype=wp.int32, device=self._device)
        p.visible = wp.zeros(max(geometry.actors, 1), dtype=wp.int32, device=self._device)
        self._picture = p
        self._sightings = Sightings(mount, geometry)
        self._chunks, self._actors = geometry.chunks, geometry.actors

    def draw(self, world_from_ego: F64, shared: tuple[Any, ...], film: tuple[Any, Any], grain_key: int) -> None:
        """Fill the buffers."""
        self.world_from_camera = world_from_ego @ self.ego_from_camera
        self._view.camera_from_world = wp.mat33(self.world_from_camera[:3, :3].T)
        self._view.position = wp.vec3(*self.world_from_camera[:3, 3])
        geometry, textures, shadows, light = shared
        self._keys.zero_()
        self._picture.visible.zero_()
        device = self._device
        wp.launch(clear_cover, dim=self._actors, inputs=[self._cover], device=device)
        wp.launch(rasterise, dim=self._chunks, inputs=[geometry, self._view, self._keys, self._cover], device=device)
        columns = 1 if wp.get_device(device).is_cuda else self.mount.width_px  # a CPU thread does a whole row
        inputs = [
            geometry,
            textures,
            shadows,
            light,
            self._view,
            self._keys,
            *film,
            wp.uint32(grain_key),
            columns,
            self._picture,
        ]
        wp.launch(shade, dim=(self.mount.height_px, -(-self.mount.width_px // columns)), inputs=inputs, device=device)

    def image(self, tick: int) -> CameraImage:
        """The quantised picture."""
        rgb = wp.to_torch(self._picture.rgb)
        jpeg = encode_jpeg(rgb.cpu(), quality=JPEG_QUALITY)
        decoded = decode_jpeg(jpeg, mode=ImageReadMode.RGB).to(rgb.device)
        data = jpeg.numpy().tobytes()
        return CameraImage(self.mount.name, tick * TICK_S, data, decoded, self.intrinsics, self.ego_from_camera)

    def truth(self, ego: Pose) -> TruthImages:
        """Copies of the other modalities, and the labels of all actors that can be seen."""
        p = self._picture
        semantic, instance, depth = (wp.to_torch(a).clone() for a in (p.semantic, p.instance, p.depth_m))
        labels = self._sightings(ego, self.world_from_camera, self._view, self._cover, p)
        return TruthImages(semantic, instance, depth, *labels)


def _textures(scenery: Scenery, seed: int, device: str) -> Any:
    t: Any = Textures()
    t.noise = wp.array(noise_picture(seed), device=device)
    t.palette = wp.array(scenery.palette, dtype=wp.vec3, device=device)
    facades = scenery.facades if len(scenery.facades) else np.zeros((1, 4), np.float32)
    t.facades = wp.array(facades, dtype=wp.vec4, device=device)
    t.wear = scenery.wear
    return t


def _light(weather: Weather) -> Any:
    light: Any = Light()
    light.to_sun = wp.vec3(*weather.to_sun())
    light.sun, light.zenith = wp.vec3(*weather.sun_rgb), wp.vec3(*weather.zenith_rgb)
    light.horizon, light.ambient = wp.vec3(*weather.horizon_rgb), wp.vec3(*weather.ambient_rgb)
    light.fog_per_m = 1.0 / weather.fog_m
    for name in ("clouds", "wet", "night", "exposure", "noise", "vignette"):
        setattr(light, name, getattr(weather, name))
    return light
