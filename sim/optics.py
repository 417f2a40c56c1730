"""What lies on a camera's lens: smears that dim and scatter, and drops of rain that show the scene upside down.

Both sit far nearer than the lens focuses, so their edges are soft. Smears: light * (1 - a) + SCATTER * a * (light far around).
Drops act as lenses of short focal length: the wide scene, inverted (Garg and Nayar, "Vision and Rain", 2007), with dark rims.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from stack.messages import CameraMount
from stack.seeds import Stream, generator

SCATTER = 0.55  # share of the light that a smear takes out of its way which comes back from around
SMEAR_MOST = 0.75  # opacity
DROP_RADIUS = 0.028, 0.4  # of the picture's width: median, and spread of the logarithm
DROP_VIEW = 0.9  # of the picture's size that a drop shows
RIM = 0.45  # light lost at the edge of a drop


class LensDirt:
    """The same on every picture of a drive; drawn from the seed and the camera's number."""

    def __init__(self, mount: CameraMount, seed: int, number: int, device: str) -> None:
        h, w, optics = mount.height_px, mount.width_px, mount.optics
        rng = generator(seed, Stream.CAMERA, actor=1 + number)
        self._far = max(w // 10, 1)
        self.opacity = torch.from_numpy(_smears(rng, h, w, optics.dirt)).to(device)
        cover, where, self.rim = (torch.from_numpy(x).to(device) for x in _drops(rng, h, w, optics.drops))
        self.cover, self._where = cover, where[None]

    def __call__(self, film: Tensor) -> Tensor:
        """(H, W, 3) light past the lens."""
        light = film.permute(2, 0, 1)[None]
        around = _blurred(light, self._far)
        dimmed = light * (1.0 - self.opacity) + around * (SCATTER * self.opacity)
        shown = F.grid_sample(
            _blurred(light, max(self._far // 4, 1)), self._where, padding_mode="border", align_corners=False
        )
        out = dimmed + (shown * self.rim - dimmed) * self.cover
        return out[0].permute(1, 2, 0).contiguous()


def _blurred(light: Tensor, px: int) -> Tensor:
    """Means over about 2 px of pixels, smooth."""
    small = F.avg_pool2d(light, px, ceil_mode=True, count_include_pad=False)
    small = F.avg_pool2d(F.pad(small, (1, 1, 1, 1), mode="replicate"), 3, 1)
    return F.interpolate(small, size=light.shape[2:], mode="bicubic", align_corners=False).clamp(min=0.0)


def _smears(rng: np.random.Generator, h: int, w: int, share: float) -> np.ndarray:
    """(H, W) opacity whose mean over SMEAR_MOST is `share`, of spots and streaks."""
    if share == 0.0:
        return np.zeros((h, w), np.float32)
    fy, fx = np.fft.fftfreq(h)[:, None] * h, np.fft.rfftfreq(w)[None] * w
    turn = rng.uniform(0.0, np.pi)
    along, across = fx * np.cos(turn) + fy * np.sin(turn), fy * np.cos(turn) - fx * np.sin(turn)
    field = np.zeros((h, w))
    for pull, scale in ((1.0, 1.0), (4.0, 0.6)):  # spots; streaks of a wiper or a hand
        f = np.hypot(along * pull, across)
        spectrum = np.fft.rfft2(rng.normal(size=(h, w))) * np.exp(-((f / 14.0) ** 2)) / np.maximum(f, 2.0)
        part = np.fft.irfft2(spectrum, s=(h, w))
        field += scale * part / part.std()
    low, high = np.quantile(field, (max(1.0 - 1.6 * share, 0.0), 1.0))
    cover = np.clip((field - low) / (0.5 * (high - low)), 0.0, 1.0)
    return (
        (SMEAR_MOST * cover * min(share / max(cover.mean(), 1e-6), 1.0 / SMEAR_MOST)).clip(0.0, 1.0).astype(np.float32)
    )


def _drops(rng: np.random.Generator, h: int, w: int, share: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(H, W) cover, (H, W, 2) where in the picture (-1 .. 1) a drop's pixel looks, (H, W) light left by its rim."""
    v, u = np.mgrid[0:h, 0:w] + 0.5
    cover, rim = np.zeros((h, w)), np.ones((h, w))
    where = np.stack([2.0 * u / w - 1.0, 2.0 * v / h - 1.0], axis=-1)
    placed = np.zeros((0, 3))
    for _ in range(4000):
        if cover.mean() >= share:
            break
        r = w * DROP_RADIUS[0] * np.exp(DROP_RADIUS[1] * rng.normal())
        x, y = rng.uniform(0.0, w), rng.uniform(0.0, h)
        if (np.hypot(*(placed[:, :2] - (x, y)).T) < 1.3 * (placed[:, 2] + r)).any():
            continue  # drops that meet become one
        placed = np.append(placed, [(x, y, r)], axis=0)
        long, bend = rng.uniform(1.0, 1.5), 0.12 * rng.normal(size=3)  # longer downward; not quite round
        dx, dy = (u - x) / r, (v - y) / (r * long)
        at = np.arctan2(dy, dx)
        radius = np.hypot(dx, dy) * (1.0 + bend[0] * np.cos(2 * at) + bend[1] * np.sin(3 * at) + bend[2] * np.sin(at))
        one = np.clip((1.25 - radius) / 0.5, 0.0, 1.0)
        one = one * one * (3.0 - 2.0 * one)
        inside = one > cover
        where[inside] = -DROP_VIEW * np.stack([dx, dy], axis=-1)[inside]
        rim[inside] = (1.0 - RIM * np.clip(radius, 0.0, 1.0) ** 4)[inside]
        cover = np.maximum(cover, one)
    return tuple(a.astype(np.float32) for a in (cover, where, rim))
