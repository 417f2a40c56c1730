"""What all cameras of a world share: surfaces, weather and light, the sun's shadow map, and two threads."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import warp as wp

from sim.camera import light_of, textures_of
from sim.geometry import Geometry
from sim.kernels.shade import grain_table, tone_table
from sim.kernels.shadow import shadow_map
from sim.scenery import Scenery
from sim.weather import Weather
from stack.frames import F64

SUN_STEP_RAD = np.deg2rad(1.0)  # the sun may move so far before the shadows of the scenery are drawn anew
THREADS = 2
MODULES = ("sim.kernels.raster", "sim.kernels.shade", "sim.kernels.views")

T = TypeVar("T")


class Surroundings:
    """Shared by the camera sets of one world. Setting `weather` costs nothing until the sun has moved by SUN_STEP_RAD."""

    def __init__(self, geometry: Geometry, scenery: Scenery, weather: Weather, seed: int) -> None:
        self.geometry, self.seed, self.weather = geometry, seed, weather
        device = geometry.device
        self.textures = textures_of(scenery, seed, device)
        self.film = wp.array(tone_table(), device=device), wp.array(grain_table(seed), device=device)
        self._shadows: Any = None
        self._drawn_for: F64 = np.zeros(3)
        for name in MODULES:
            wp.load_module(name, device=device)  # before threads could ask for it at once
        self._pool = None if wp.get_device(device).is_cuda else ThreadPoolExecutor(THREADS, "camera")

    def shadows(self) -> Any:
        """The scenery's shadows (ShadowArrays), for the sun where it is or has been within SUN_STEP_RAD of."""
        to_sun = self.weather.to_sun()
        if self._shadows is None or float(self._drawn_for @ to_sun) < np.cos(SUN_STEP_RAD):
            self._shadows, self._drawn_for = shadow_map(self.geometry, to_sun), to_sun
        return self._shadows

    def light(self, beam_from: F64, beam_ahead: F64, grain: bool = True) -> Any:
        """The weather, with head lights at a place of the world that point somewhere."""
        light = light_of(self.weather)
        light.beam_from, light.beam_ahead = wp.vec3(*beam_from), wp.vec3(*beam_ahead)
        if not grain:
            light.noise = 0.0
        return light

    def map(self, function: Callable[[int], T], items: Iterable[int]) -> Iterable[T]:
        """`map`, in threads of its own where there are several items."""
        items = list(items)
        return map(function, items) if self._pool is None or len(items) < 2 else self._pool.map(function, items)


def copied(struct: Any) -> Any:
    """Another struct that names the same arrays and numbers."""
    out = struct._cls()
    for name in struct._cls.vars:
        setattr(out, name, getattr(struct, name))
    return out
