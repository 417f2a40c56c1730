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

from sim.geometry import Geometry
from sim.kernels.shade import Light, grain_table, tone_table
from sim.kernels.shadow import place_casters, shadow_map
from sim.kernels.texture import Textures, noise_picture, quads
from sim.pinhole import Camera
from sim.scenery import Scenery
from sim.staged import MODULES, StagedCamera, is_staged
from sim.weather import Weather
from stack.frames import Pose
from stack.messages import CameraImage, Rig, TruthImages
from stack.seeds import Stream, draws

HEAD_LIGHT_M = (3.6, 0.0, 0.65)  # in the ego frame


class Cameras:
    """Owns the pictures of a rig. `geometry.update` must have placed the actors before `render`."""

    def __init__(self, rig: Rig, geometry: Geometry, scenery: Scenery, weather: Weather, seed: int) -> None:
        self._geometry, self._seed, self._weather = geometry, seed, weather
        self._shadows = shadow_map(geometry, weather.to_sun())
        self._textures = textures_of(scenery, seed, geometry.device)
        self._light = light_of(weather)
        self._film = wp.array(tone_table(), device=geometry.device), wp.array(grain_table(seed), device=geometry.device)
        self._cameras = [
            StagedCamera(mount, geometry, weather, seed, k) if is_staged(mount) else Camera(mount, geometry)
            for k, mount in enumerate(rig.cameras)
        ]
        staged = MODULES if any(is_staged(mount) for mount in rig.cameras) else ()
        for name in ("sim.kernels.raster", "sim.kernels.shade", "sim.kernels.extent", *staged):
            wp.load_module(name, device=geometry.device)  # before threads could ask for it at once
        alone = wp.get_device(geometry.device).is_cuda or len(rig.cameras) < 2
        self._pool = None if alone else ThreadPoolExecutor(len(rig.cameras), "camera")

    def render(self, ego: Pose, tick: int) -> tuple[tuple[CameraImage, ...], tuple[TruthImages, ...]]:
        """The pictures of all cameras, in the rig's order, with the ego's origin at a pose."""
        return self.start(ego, tick)()

    def start(self, ego: Pose, tick: int) -> Callable[[], tuple[tuple[CameraImage, ...], tuple[TruthImages, ...]]]:
        """Begin to render in threads of its own; call what comes back for the pictures. Nothing may move meanwhile."""
        world_from_ego = ego.matrix()
        arrays, actors = self._geometry.arrays, self._geometry.actors
        place_casters(arrays, actors, self._shadows, self._weather.to_sun(), ego.x_m, ego.y_m)
        self._light.beam_from = wp.vec3(*(world_from_ego @ (*HEAD_LIGHT_M, 1.0))[:3])
        self._light.beam_ahead = wp.vec3(*world_from_ego[:3, 0])
        keys = draws(self._seed, Stream.CAMERA, tick, n=len(self._cameras))
        shared = self._geometry.arrays, self._textures, self._shadows, self._light

        def one(camera: Camera, key: int) -> tuple[CameraImage, TruthImages]:
            camera.draw(world_from_ego, shared, self._film, int(key))
            return camera.image(tick), camera.truth(ego)

        pairs = (map if self._pool is None else self._pool.map)(one, self._cameras, keys)

        def pictures() -> tuple[tuple[CameraImage, ...], tuple[TruthImages, ...]]:
            done = list(pairs)
            return tuple(image for image, _ in done), tuple(truth for _, truth in done)

        return pictures


def textures_of(scenery: Scenery, seed: int, device: str) -> Any:
    """What shading must know of the scenery's surfaces, a `Textures`."""
    t: Any = Textures()
    t.noise = wp.array(quads(noise_picture(seed)), device=device)
    t.palette = wp.array(scenery.palette, dtype=wp.vec3, device=device)
    facades = scenery.facades if len(scenery.facades) else np.zeros((1, 4), np.float32)
    t.facades = wp.array(facades, dtype=wp.vec4, device=device)
    t.wear = scenery.wear
    return t


def light_of(weather: Weather) -> Any:
    """The weather as shading sees it, a `Light`; the head lights are the caller's."""
    light: Any = Light()
    light.to_sun = wp.vec3(*weather.to_sun())
    light.sun, light.zenith = wp.vec3(*weather.sun_rgb), wp.vec3(*weather.zenith_rgb)
    light.horizon, light.ambient = wp.vec3(*weather.horizon_rgb), wp.vec3(*weather.ambient_rgb)
    light.fog_per_m = 1.0 / weather.fog_m
    for name in ("clouds", "wet", "night", "exposure", "noise", "vignette"):
        setattr(light, name, getattr(weather, name))
    return light
