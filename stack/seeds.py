"""Counter-based random numbers: the draw is a pure function of (seed, stream, tick, actor, index).

A world in a batch, a restored one and a single one draw the same numbers, in any order. The mixer is
Wellons' `lowbias32` (https://nullprogram.com/blog/2018/07/31/), chained over the key words. The numpy and the Warp
version give the same integers and the same uniforms, bit for bit.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import warp as wp
from numpy.typing import NDArray


class Stream(IntEnum):
    """One number per use, so that two uses never share draws."""

    SCENARIO = 1
    SPAWN = 2
    DRIVER = 3
    ROUTE = 4
    SIGNALS = 5
    WALKERS = 6
    CAMERA = 7
    LIDAR = 8
    RADAR = 9
    IMU = 10
    GNSS = 11
    WHEELS = 12
    WEATHER = 13
    SCENERY = 14
    FEATURES = 15
    ACTOR_LOOK = 16
    MAP = 17


# typed, since a literal above 2^31 in a kernel counts as an int32 that overflows
GOLDEN = wp.uint32(0x9E3779B9)
MIX_A = wp.uint32(0x7FEB352D)
MIX_B = wp.uint32(0x846CA68B)


@wp.func
def mix(x: wp.uint32) -> wp.uint32:
    x = x ^ (x >> wp.uint32(16))
    x = x * MIX_A
    x = x ^ (x >> wp.uint32(15))
    x = x * MIX_B
    return x ^ (x >> wp.uint32(16))


@wp.func
def key_of(seed: wp.uint32, stream: int, tick: int) -> wp.uint32:
    """What the draws of all actors at a tick begin with."""
    h = mix(seed + GOLDEN)
    h = mix(h ^ wp.uint32(stream))
    return mix(h ^ wp.uint32(tick))


@wp.func
def draw(seed: wp.uint32, stream: int, tick: int, actor: int, index: int) -> wp.uint32:
    """32 random bits for the key."""
    h = mix(key_of(seed, stream, tick) ^ wp.uint32(actor))
    return mix(h ^ wp.uint32(index))


@wp.func
def uniform(seed: wp.uint32, stream: int, tick: int, actor: int, index: int) -> float:
    """Uniform in [0, 1), 24 bits."""
    return float(draw(seed, stream, tick, actor, index) >> wp.uint32(8)) * 5.9604644775390625e-08


@wp.func
def normal(seed: wp.uint32, stream: int, tick: int, actor: int, index: int) -> float:
    """Standard normal (Box-Muller)."""
    a = uniform(seed, stream, tick, actor, 2 * index)
    b = uniform(seed, stream, tick, actor, 2 * index + 1)
    return wp.sqrt(-2.0 * wp.log(1.0 - a)) * wp.cos(6.283185307179586 * b)


def _mix(x: NDArray[np.uint32]) -> NDArray[np.uint32]:
    x = x ^ (x >> np.uint32(16))
    x = x * np.uint32(0x7FEB352D)
    x = x ^ (x >> np.uint32(15))
    x = x * np.uint32(0x846CA68B)
    return x ^ (x >> np.uint32(16))


def draws(seed: int, stream: int, tick: int = 0, actor: int = 0, n: int = 1) -> NDArray[np.uint32]:
    """(n,) random 32-bit integers: `draw` for index 0..n-1."""
    h = np.array([seed & 0xFFFFFFFF], dtype=np.uint32)
    with np.errstate(over="ignore"):
        h = _mix(h + np.uint32(0x9E3779B9))
        for word in (stream, tick, actor):
            h = _mix(h ^ np.uint32(word & 0xFFFFFFFF))
        return _mix(h ^ np.arange(n, dtype=np.uint32))


def uniforms(seed: int, stream: int, tick: int = 0, actor: int = 0, n: int = 1) -> NDArray[np.float32]:
    """(n,) uniforms in [0, 1)."""
    return (draws(seed, stream, tick, actor, n) >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24)


def generator(seed: int, stream: int, tick: int = 0, actor: int = 0) -> np.random.Generator:
    """A numpy generator keyed the same way, for set-up work (spawning, map making); never for a per-tick draw."""
    return np.random.Generator(np.random.Philox(key=draws(seed, stream, tick, actor, 4).view(np.uint64)))
