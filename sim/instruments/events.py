"""Event cameras: pictures in, events out. The pictures should be rendered without grain (`PinholeSpec.grain`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import warp as wp
from numpy.typing import NDArray

from sim.kernels.events import Retina, begin, fire
from stack.messages import U8

EVENT = np.dtype([("x", "<u2"), ("y", "<u2"), ("t", "<i8"), ("pol", "?")])  # px, px, ns, brighter; 13 bytes
NS_PER_S = 1e9


@dataclass(frozen=True)
class EventSpec:
    """CARLA's attributes and defaults. Thresholds are in logarithms of brightness, or in levels of 0..255 without `use_log`."""

    positive_threshold: float = 0.3
    negative_threshold: float = 0.3
    sigma_positive_threshold: float = 0.0
    sigma_negative_threshold: float = 0.0
    refractory_period_ns: int = 0
    use_log: bool = True
    log_eps: float = 0.001
    noise_seed: int = 0

    def __post_init__(self) -> None:
        if self.positive_threshold <= 0.0 or self.negative_threshold <= 0.0 or self.log_eps <= 0.0:
            raise ValueError(
                f"event camera: found thresholds {self.positive_threshold}, {self.negative_threshold}, log_eps "
                f"{self.log_eps}; expected more than 0"
            )


class EventCamera:
    """Remembers the last picture. The first one gives no events."""

    def __init__(self, spec: EventSpec, width_px: int, height_px: int) -> None:
        shape, r = (height_px, width_px), Retina()
        self._retina: Any = r
        self._retina.level = wp.zeros(shape, dtype=float, device="cpu")
        self._retina.seen = wp.zeros(shape, dtype=float, device="cpu")
        self._retina.fired = wp.zeros(shape, dtype=float, device="cpu")
        self._retina.fired_ns = wp.zeros(shape, dtype=wp.int64, device="cpu")
        self._retina.rising, self._retina.falling = spec.positive_threshold, spec.negative_threshold
        self._retina.sigma_rising = spec.sigma_positive_threshold
        self._retina.sigma_falling = spec.sigma_negative_threshold
        self._retina.rest_ns, self._retina.seed = wp.int64(spec.refractory_period_ns), wp.uint32(spec.noise_seed)
        self._retina.use_log, self._retina.log_eps = int(spec.use_log), spec.log_eps
        self._count = wp.zeros(height_px, dtype=wp.int32, device="cpu")
        self._last_ns: int | None = None

    def __call__(self, rgb: U8, tick: int, time_s: float) -> NDArray[Any]:
        """(N,) EVENTs since the last picture, by time. `rgb`: (H, W, 3); `tick` numbers the draws of the thresholds' noise."""
        picture, now_ns = wp.array(np.ascontiguousarray(rgb), device="cpu", copy=False), round(time_s * NS_PER_S)
        then_ns, self._last_ns = self._last_ns, now_ns
        if then_ns is None:
            wp.launch(begin, rgb.shape[:2], [self._retina, picture], device="cpu")
            return np.zeros(0, EVENT)
        seen = [self._retina, picture, tick, wp.int64(then_ns), wp.int64(now_ns)]
        nothing = [wp.zeros(0, dtype=kind, device="cpu") for kind in (wp.int32, wp.uint16, wp.int64, wp.uint8)]
        wp.launch(fire, len(rgb), [*seen, 0, self._count, *nothing], device="cpu")
        count = self._count.numpy().copy()
        total = int(count.sum())
        first = wp.array((np.cumsum(count) - count).astype(np.int32), device="cpu")
        kept = [wp.empty(total, dtype=kind, device="cpu") for kind in (wp.uint16, wp.int64, wp.uint8)]
        wp.launch(fire, len(rgb), [*seen, 1, self._count, first, *kept], device="cpu")
        out = np.empty(total, EVENT)
        out["x"], out["t"], out["pol"] = (values.numpy() for values in kept)
        out["y"] = np.repeat(np.arange(len(rgb)), count)
        return out[np.lexsort((out["x"], out["y"], out["t"]))]
