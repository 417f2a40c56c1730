"""Procedural textures (native/surface.h): what colour a face has, from its material word and noise in world space.

All detail comes from one tileable noise picture and is faded out where it is finer than a pixel, so that
nothing shimmers.
"""

from __future__ import annotations

import numpy as np
import warp as wp
from numpy.typing import NDArray

from stack.seeds import Stream, generator

wp.set_module_options({"enable_backward": False})

NOISE_TEXELS = 256


@wp.struct
class Textures:
    noise: wp.array(dtype=wp.int32)  # (256 * 256,) four texels a number, see `quads`
    palette: wp.array(dtype=wp.vec3)  # linear RGB
    facades: wp.array(dtype=wp.vec4)  # base z, storey m, window pitch m, style
    wear: float  # 0 new .. 1 worn paint and patched asphalt


def noise_picture(seed: int) -> NDArray[np.int8]:
    """(256 * 256,) tileable noise with a 1/f spectrum, mean 0, standard deviation 0.45 of full scale."""
    n = NOISE_TEXELS
    white = generator(seed, Stream.SCENERY, actor=2).normal(size=(n, n))
    f = np.hypot(np.fft.fftfreq(n)[:, None], np.fft.rfftfreq(n)[None]) * n
    spectrum = np.fft.rfft2(white) / np.maximum(f, 3.0) ** 0.9
    spectrum[0, 0] = 0.0
    picture = np.fft.irfft2(spectrum, s=(n, n))
    return np.round(np.clip(0.45 * picture / picture.std(), -1.0, 1.0) * 127.0).astype(np.int8).reshape(-1)


def quads(noise: NDArray[np.int8]) -> NDArray[np.int32]:
    """(256 * 256,) what a point between four texels reads: each with those beyond it in x, y and both, a byte each."""
    picture = noise.reshape(NOISE_TEXELS, NOISE_TEXELS)
    beyond = np.roll(picture, -1, axis=0)
    four = np.stack([picture, np.roll(picture, -1, axis=1), beyond, np.roll(beyond, -1, axis=1)], axis=-1)
    return np.ascontiguousarray(four).view("<i4").reshape(-1)
