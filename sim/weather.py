"""Weathers: sun, sky, fog, wetness and exposure as frozen presets, and ways to vary them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from stack.frames import F64
from stack.seeds import Stream, generator

Rgb = tuple[float, float, float]
SHUTTER_DAY_S, SHUTTER_NIGHT_S = 1.0 / 500.0, 1.0 / 30.0


@dataclass(frozen=True)
class Weather:
    """Light is linear and relative: a white, sunlit, upright wall on a clear day is about 1."""

    sun_azimuth_rad: float = 0.8  # from the map's x axis, counter-clockwise
    sun_elevation_rad: float = 0.75
    sun_rgb: Rgb = (1.15, 1.05, 0.9)
    zenith_rgb: Rgb = (0.16, 0.30, 0.62)
    horizon_rgb: Rgb = (0.62, 0.74, 0.9)
    ambient_rgb: Rgb = (0.27, 0.32, 0.4)
    clouds: float = 0.35  # 0 none .. 1 overcast
    fog_m: float = 900.0  # distance at which contrast has fallen to 1/e
    wet: float = 0.0  # 0 dry .. 1 standing water
    night: float = 0.0  # 1: lamps, windows and head lights shine
    exposure: float = 1.0
    noise: float = 0.010  # standard deviation of the sensor's noise, of full scale at middle grey
    vignette: float = 0.25  # loss of light in the corners

    def to_sun(self) -> F64:
        """(3,) unit vector."""
        a, e = self.sun_azimuth_rad, self.sun_elevation_rad
        return np.array([np.cos(a) * np.cos(e), np.sin(a) * np.cos(e), np.sin(e)])

    def shutter_s(self) -> float:
        """Time for which a camera's shutter is open: 2 ms on a clear day, up to 33 ms (a frame at 30 Hz) by night."""
        return min(SHUTTER_DAY_S * (SHUTTER_NIGHT_S / SHUTTER_DAY_S) ** self.night * self.exposure, SHUTTER_NIGHT_S)


WEATHERS: dict[str, Weather] = {
    "clear": Weather(),
    "cloudy": Weather(sun_rgb=(0.12, 0.12, 0.12), zenith_rgb=(0.45, 0.5, 0.56), horizon_rgb=(0.66, 0.7, 0.73),
                      ambient_rgb=(0.55, 0.58, 0.62), clouds=1.0, fog_m=600.0, exposure=1.05),
    "dusk": Weather(sun_elevation_rad=0.14, sun_rgb=(1.0, 0.5, 0.2), zenith_rgb=(0.10, 0.14, 0.30),
                    horizon_rgb=(0.75, 0.45, 0.28), ambient_rgb=(0.16, 0.16, 0.22), clouds=0.45,
                    fog_m=700.0, night=0.35,                    exposure=1.4, noise=0.014),
    "fog": Weather(sun_rgb=(0.05, 0.05, 0.05), zenith_rgb=(0.6, 0.63, 0.65), horizon_rgb=(0.66, 0.68, 0.7),
                   ambient_rgb=(0.52, 0.54, 0.56), clouds=1.0, fog_m=70.0, exposure=1.0),
    "rain": Weather(sun_rgb=(0.04, 0.04, 0.04), zenith_rgb=(0.3, 0.33, 0.37), horizon_rgb=(0.46, 0.49, 0.52),
                    ambient_rgb=(0.38, 0.41, 0.45), clouds=1.0, fog_m=220.0, wet=0.9, night=0.15,
                    exposure=1.4, noise=0.014),
    "night": Weather(sun_elevation_rad=0.9, sun_rgb=(0.012, 0.014, 0.02), zenith_rgb=(0.004, 0.006, 0.014),
                     horizon_rgb=(0.02, 0.022, 0.03), ambient_rgb=(0.022, 0.023, 0.03), clouds=0.3,
                     fog_m=500.0, night=1.0,                     exposure=3.2, noise=0.022),
}  # fmt: skip


def weather(name: str) -> Weather:
    """A preset by name. Raises ValueError."""
    if name not in WEATHERS:
        raise ValueError(f"weather: found {name!r}, expected one of {', '.join(sorted(WEATHERS))}")
    return WEATHERS[name]


def varied(preset: Weather, seed: int, amount: float = 1.0) -> Weather:
    """The preset with its sun moved and light, clouds, fog, exposure and noise drawn about their values."""
    rng = generator(seed, Stream.WEATHER)
    scale = np.exp(amount * 0.2 * rng.normal(size=4))
    return replace(
        preset,
        sun_azimuth_rad=float(preset.sun_azimuth_rad + amount * rng.uniform(-np.pi, np.pi)),
        sun_elevation_rad=float(np.clip(preset.sun_elevation_rad * np.exp(amount * rng.uniform(-0.5, 0.4)), 0.08, 1.3)),
        clouds=float(np.clip(preset.clouds + amount * rng.uniform(-0.3, 0.3), 0.0, 1.0)),
        fog_m=float(preset.fog_m * scale[0]), exposure=float(preset.exposure * scale[1]),
        noise=float(preset.noise * scale[2]), vignette=float(np.clip(preset.vignette * scale[3], 0.0, 0.6)),
    )  # fmt: skip
