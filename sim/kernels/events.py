"""Events of a dynamic vision sensor from two pictures: a pixel fires whenever its level has moved by a threshold.

Between pictures a pixel's level is taken to move evenly, and every level that lies a whole threshold from the last that
fired is an event at the time when it was crossed (Rebecq, Gehrig and Scaramuzza, "ESIM: an Open Event Camera Simulator",
CoRL 2018, without its choice of the moments at which to render).
"""

from __future__ import annotations

import warp as wp

from stack.seeds import Stream, normal

wp.set_module_options({"enable_backward": False})

LEAST_THRESHOLD = 0.01  # of one that noise has made small
STILL = 1.0e-6


@wp.struct
class Retina:
    """Of an event camera of H x W pixels."""

    level: wp.array2d(dtype=wp.float32)  # at the last picture
    seen: wp.array2d(dtype=wp.float32)  # at the present one
    fired: wp.array2d(dtype=wp.float32)  # level of the last event, or of the first picture
    fired_ns: wp.array2d(dtype=wp.int64)  # time of the last event; -1: none yet
    rising: float  # thresholds
    falling: float
    sigma_rising: float
    sigma_falling: float
    rest_ns: wp.int64  # a pixel that has fired is blind for so long
    use_log: int
    log_eps: float
    seed: wp.uint32


@wp.func
def level_of(r: Retina, rgb: wp.array3d(dtype=wp.uint8), i: int, j: int) -> float:
    """Luma (ITU-R BT.601) in 0..255, or the logarithm of it as a share of 255."""
    luma = 0.299 * float(rgb[i, j, 0]) + 0.587 * float(rgb[i, j, 1]) + 0.114 * float(rgb[i, j, 2])
    if r.use_log == 0:
        return luma
    return wp.log(r.log_eps + luma / 255.0)


@wp.kernel(enable_backward=False)
def begin(r: Retina, rgb: wp.array3d(dtype=wp.uint8)):
    i, j = wp.tid()
    level = level_of(r, rgb, i, j)
    r.level[i, j] = level
    r.fired[i, j] = level
    r.fired_ns[i, j] = wp.int64(-1)


@wp.kernel(enable_backward=False)
def fire(r: Retina, rgb: wp.array3d(dtype=wp.uint8), sample: int, then_ns: wp.int64, now_ns: wp.int64, keep: int,
         count: wp.array(dtype=wp.int32), first: wp.array(dtype=wp.int32), column: wp.array(dtype=wp.uint16),
         time_ns: wp.array(dtype=wp.int64), up: wp.array(dtype=wp.uint8)):  # fmt: skip
    """One thread per row of pixels. `keep` 0: look, and `count` the row's events; 1: write them from `first` on, and remember."""
    i = wp.tid()
    n = int(0)
    for j in range(rgb.shape[1]):
        was = r.level[i, j]
        now = r.seen[i, j]
        if keep == 0:
            now = level_of(r, rgb, i, j)
            r.seen[i, j] = now
        if wp.abs(now - was) > STILL:
            sign = wp.where(now > was, 1.0, -1.0)
            threshold = wp.where(now > was, r.rising, r.falling)
            sigma = wp.where(now > was, r.sigma_rising, r.sigma_falling)
            if sigma > 0.0:
                pixel = i * rgb.shape[1] + j
                threshold = threshold + sigma * normal(r.seed, Stream.CAMERA, sample, pixel + 1, 0)
            threshold = wp.max(threshold, LEAST_THRESHOLD)
            fired = r.fired[i, j]
            fired_ns = r.fired_ns[i, j]
            while sign * (now - fired) >= threshold:
                fired += sign * threshold
                share = wp.clamp(wp.float64(fired - was) / wp.float64(now - was), wp.float64(0.0), wp.float64(1.0))
                moment = then_ns + wp.int64(share * wp.float64(now_ns - then_ns))
                if fired_ns < wp.int64(0) or moment - fired_ns >= r.rest_ns:
                    fired_ns = moment
                    if keep == 1:
                        column[first[i] + n] = wp.uint16(j)
                        time_ns[first[i] + n] = moment
                        up[first[i] + n] = wp.where(sign > 0.0, wp.uint8(1), wp.uint8(0))
                    n += 1
            if keep == 1:
                r.fired[i, j] = fired
                r.fired_ns[i, j] = fired_ns
        if keep == 1:
            r.level[i, j] = now
    count[i] = n
