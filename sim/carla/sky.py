"""CARLA's fourteen weather numbers as a weather of our renderer.

Colours and exposures are mixed between our presets (sim/weather.py): by the sun's height between day, dusk and night,
by cloudiness and rain towards an overcast sky, by fog towards grey. The sun stands where CARLA has it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields
from enum import IntEnum

import numpy as np

from sim.weather import WEATHERS, Weather
from stack.seeds import Stream, generator

MOON_RAD = 0.9  # height from which a night is lit
LOWEST_RAD = 0.08
CLEAR_M, THICK_M = 1200.0, 25.0  # distance at which contrast has fallen to 1/e, without fog and in the thickest


class W(IntEnum):
    """Places of carla.WeatherParameters on the wire."""

    CLOUDINESS = 0
    PRECIPITATION = 1
    DEPOSITS = 2
    WIND = 3
    SUN_AZIMUTH = 4
    SUN_ALTITUDE = 5
    FOG_DENSITY = 6
    FOG_DISTANCE = 7
    FOG_FALLOFF = 8
    WETNESS = 9
    SCATTERING = 10
    MIE = 11
    RAYLEIGH = 12
    DUST = 13


# our presets in CARLA's numbers; a seed turns the sun and moves its height a little
PRESETS: dict[str, dict[W, float]] = {
    "clear": {W.CLOUDINESS: 15.0, W.SUN_ALTITUDE: 43.0},
    "cloudy": {W.CLOUDINESS: 95.0, W.SUN_ALTITUDE: 43.0, W.FOG_DENSITY: 2.0},
    "dusk": {W.CLOUDINESS: 40.0, W.SUN_ALTITUDE: 8.0},
    "fog": {W.CLOUDINESS: 80.0, W.SUN_ALTITUDE: 40.0, W.FOG_DENSITY: 55.0},
    "rain": {
        W.CLOUDINESS: 100.0, W.SUN_ALTITUDE: 40.0, W.PRECIPITATION: 80.0, W.DEPOSITS: 60.0, W.WETNESS: 90.0, W.WIND: 40.0,
    },
    "night": {W.CLOUDINESS: 20.0, W.SUN_ALTITUDE: -30.0},
}  # fmt: skip
WET_GRIP = 0.4  # share of the tyres' grip that a wet road takes


def numbers_of(preset: str, seed: int) -> list[float]:
    """CARLA's fourteen numbers, of 32 bits, for one of our presets. Raises ValueError for an unknown one."""
    if preset not in PRESETS:
        raise ValueError(f"weather: found {preset!r}, expected one of {', '.join(sorted(PRESETS))}")
    azimuth, height = generator(seed, Stream.WEATHER).uniform(size=2)
    out = [0.0] * len(W)
    out[W.FOG_DISTANCE], out[W.FOG_FALLOFF] = 0.75, 0.1
    out[W.SCATTERING], out[W.MIE], out[W.RAYLEIGH] = 1.0, 0.03, 0.0331
    for place, value in PRESETS[preset].items():
        out[place] = value
    out[W.SUN_AZIMUTH] = 360.0 * float(azimuth)
    out[W.SUN_ALTITUDE] *= 0.75 + 0.5 * float(height)
    return [float(np.float32(value)) for value in out]


def smooth(x: float, low: float, high: float) -> float:
    """0 below `low`, 1 above `high`, a smooth step between."""
    t = min(max((x - low) / (high - low), 0.0), 1.0)
    return t * t * (3.0 - 2.0 * t)


def mix(a: Weather, b: Weather, share: float) -> Weather:
    """Every number of two weathers, `share` of b."""
    values = {}
    for item in fields(Weather):
        x, y = getattr(a, item.name), getattr(b, item.name)
        if isinstance(x, tuple):
            values[item.name] = tuple(p + share * (q - p) for p, q in zip(x, y, strict=True))
        else:
            values[item.name] = x + share * (y - x)
    return Weather(**values)


def weather_of(numbers: Sequence[float]) -> Weather:
    """Our weather for CARLA's numbers (degrees, percent)."""
    part = [min(max(v / 100.0, 0.0), 1.0) for v in numbers]
    altitude = math.radians(numbers[W.SUN_ALTITUDE])
    rain, dust = part[W.PRECIPITATION], part[W.DUST]
    night, day = smooth(-altitude, -0.03, 0.12), smooth(altitude, 0.1, 0.5)
    out = mix(mix(WEATHERS["dusk"], WEATHERS["clear"], day), WEATHERS["night"], night)
    grey = max(smooth(part[W.CLOUDINESS], 0.35, 0.95), rain) * (1.0 - night)
    overcast = mix(WEATHERS["cloudy"], WEATHERS["rain"], rain)
    dim = 0.45 + 0.55 * day  # of the sky behind clouds when the sun is low
    light = {
        name: tuple(dim * v for v in getattr(overcast, name)) for name in ("zenith_rgb", "horizon_rgb", "ambient_rgb")
    }
    out = mix(out, Weather(**(vars(overcast) | light | {"exposure": overcast.exposure / dim})), grey)
    fog = part[W.FOG_DENSITY]
    thick = CLEAR_M * (THICK_M / CLEAR_M) ** math.sqrt(fog) if fog > 0.0 else CLEAR_M
    far = min(thick, CLEAR_M * (WEATHERS["rain"].fog_m / CLEAR_M) ** rain)
    haze = tuple(v * (1.0 - dust) + dust * sand for v, sand in zip(out.horizon_rgb, (0.55, 0.42, 0.28), strict=True))
    values = vars(out) | {
        "sun_azimuth_rad": -math.radians(numbers[W.SUN_AZIMUTH]),
        "sun_elevation_rad": MOON_RAD if altitude < 0.0 else max(altitude, LOWEST_RAD),
        "clouds": max(part[W.CLOUDINESS], rain), "wet": max(part[W.WETNESS], part[W.DEPOSITS]), "night": max(
            night, 0.35 * (1.0 - day), 0.15 * rain),
        "horizon_rgb": haze, "fog_m": far * (1.0 - 0.9 * dust),
        "sun_rgb": tuple(v * (1.0 - 0.9 * smooth(fog, 0.3, 0.9)) for v in out.sun_rgb),
    }  # fmt: skip
    return Weather(**values)
