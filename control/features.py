"""Scene + Reference -> the policy's numbers: one Warp kernel, the same in RL (many worlds) and online (a batch of one).

All in the ego frame and scaled to about [-1, 1]. The layout is FEATURE_NAMES; the policy file stores it and refuses another.
"""

from __future__ import annotations

from typing import Any

import warp as wp

from stack.scenearrays import TRACKS, ReferenceArrays, SceneArrays

wp.set_module_options({"enable_backward": False})

AHEAD_M = (
    1,
    2,
    4,
    6,
    8,
    11,
    14,
    18,
    22,
    28,
    36,
    48,
)  # where along the Reference the policy looks; points are 1 m apart
NEAREST = 8  # road users described to the policy
MANEUVERS = 8

EGO_NAMES = (
    "speed", "accel", "yaw_rate", "wheel_angle", "lateral", "heading", "limit", "target", "over_target",
    "stop_near", "stop_brake", "leader_near", "leader_speed", "leader_brake", "stop_close", "leader_close",
)  # fmt: skip
FEATURE_NAMES: tuple[str, ...] = (
    EGO_NAMES
    + tuple(f"maneuver_{k}" for k in range(MANEUVERS))
    + tuple(f"ahead_{m}m_{what}" for m in AHEAD_M for what in ("lateral", "heading", "curvature", "target"))
    + tuple(
        f"track_{k}_{what}"
        for k in range(NEAREST)
        for what in ("x", "y", "cos", "sin", "vx", "vy", "length", "width", "walker", "near")
    )
)
FEATURES = len(FEATURE_NAMES)
EGO_COUNT = wp.constant(len(EGO_NAMES))
AHEAD_COUNT = wp.constant(len(AHEAD_M))
AHEAD = wp.constant(wp.types.vector(length=len(AHEAD_M), dtype=wp.int32)(*AHEAD_M))
NEAREST_COUNT = wp.constant(NEAREST)
MANEUVER_COUNT = wp.constant(MANEUVERS)
TRACK_COUNT = wp.constant(TRACKS)
TRACK_REACH_M = wp.constant(50.0)
CLOSE_M = wp.constant(3.0)  # where decimetres matter

Slots = wp.types.vector(length=NEAREST, dtype=wp.int32)
Distances = wp.types.vector(length=NEAREST, dtype=wp.float32)


@wp.func
def nearness(distance_m: float) -> float:
    """1 at the bumper, 0 at 60 m and beyond."""
    return 1.0 - wp.clamp(distance_m, 0.0, 60.0) / 60.0


@wp.func
def needed_brake(closing_mps: float, distance_m: float) -> float:
    """Deceleration that loses the closing speed within the distance, in units of 5 m/s2, at most 2."""
    v = wp.max(closing_mps, 0.0)
    return wp.min(v * v / (2.0 * wp.max(distance_m, 0.5)) / 5.0, 2.0)


@wp.func
def turned(angle: float) -> float:
    return wp.atan2(wp.sin(angle), wp.cos(angle))


@wp.kernel(enable_backward=False)
def features_kernel(scene: SceneArrays, reference: ReferenceArrays, out: wp.array2d(dtype=wp.float32)):
    w = wp.tid()
    x = scene.x_m[w]
    y = scene.y_m[w]
    yaw = scene.yaw_rad[w]
    speed = scene.speed_mps[w]
    cos = wp.cos(yaw)
    sin = wp.sin(yaw)
    target = reference.target_mps[w, 0]
    stop = reference.stop_s_m[w]
    gap = reference.leader_gap_m[w]
    leader = reference.leader_mps[w]
    has_leader = gap < 100.0
    out[w, 0] = speed / 15.0
    out[w, 1] = scene.accel_mps2[w] / 5.0
    out[w, 2] = scene.yaw_rate_radps[w]
    out[w, 3] = scene.wheel_angle_rad[w] / 0.6
    out[w, 4] = wp.clamp(reference.lateral_m[w], -3.0, 3.0)
    out[w, 5] = wp.clamp(reference.heading_rad[w], -1.5, 1.5)
    out[w, 6] = reference.limit_mps[w, 0] / 15.0
    out[w, 7] = target / 15.0
    out[w, 8] = wp.clamp((speed - target) / 3.0, -2.0, 2.0)
    out[w, 9] = nearness(stop)
    out[w, 10] = wp.where(stop < 100.0, needed_brake(speed, stop), 0.0)
    out[w, 11] = nearness(gap)
    out[w, 12] = wp.where(has_leader, leader / 15.0, 1.0)
    out[w, 13] = wp.where(has_leader, needed_brake(speed - leader, gap), 0.0)
    out[w, 14] = wp.exp(-wp.max(stop, 0.0) / CLOSE_M)
    out[w, 15] = wp.exp(-wp.max(gap, 0.0) / CLOSE_M)
    at = EGO_COUNT
    for k in range(MANEUVER_COUNT):
        out[w, at + k] = wp.where(reference.maneuver[w] == k, 1.0, 0.0)
    at += MANEUVER_COUNT
    for k in range(AHEAD_COUNT):
        m = AHEAD[k]
        dx = reference.x_m[w, m] - x
        dy = reference.y_m[w, m] - y
        out[w, at] = wp.clamp((dy * cos - dx * sin) / (2.0 + 0.25 * float(m)), -2.0, 2.0)
        out[w, at + 1] = turned(reference.yaw_rad[w, m] - yaw)
        out[w, at + 2] = wp.clamp(reference.curvature_1pm[w, m] * 10.0, -2.0, 2.0)
        out[w, at + 3] = reference.target_mps[w, m] / 15.0
        at += 4
    # the NEAREST road users by insertion; ties go to the lower slot
    slots = Slots()
    best = Distances()
    for k in range(NEAREST_COUNT):
        slots[k] = -1
        best[k] = TRACK_REACH_M
    for t in range(TRACK_COUNT):
        if scene.track_kind[w, t] != 0:
            dx = scene.track_x_m[w, t] - x
            dy = scene.track_y_m[w, t] - y
            d = wp.sqrt(dx * dx + dy * dy)
            slot = t
            for k in range(NEAREST_COUNT):
                if d < best[k]:
                    d_old = best[k]
                    slot_old = slots[k]
                    best[k] = d
                    slots[k] = slot
                    d = d_old
                    slot = slot_old
    for k in range(NEAREST_COUNT):
        t = slots[k]
        for c in range(10):
            out[w, at + c] = 0.0
        if t >= 0:
            dx = scene.track_x_m[w, t] - x
            dy = scene.track_y_m[w, t] - y
            turn = scene.track_yaw_rad[w, t] - yaw
            vx = scene.track_vx_mps[w, t]
            vy = scene.track_vy_mps[w, t]
            out[w, at] = (dx * cos + dy * sin) / 40.0
            out[w, at + 1] = (dy * cos - dx * sin) / 20.0
            out[w, at + 2] = wp.cos(turn)
            out[w, at + 3] = wp.sin(turn)
            out[w, at + 4] = (vx * cos + vy * sin) / 15.0
            out[w, at + 5] = (vy * cos - vx * sin) / 15.0
            out[w, at + 6] = scene.track_length_m[w, t] / 5.0
            out[w, at + 7] = scene.track_width_m[w, t] / 2.0
            out[w, at + 8] = wp.where(scene.track_kind[w, t] == 4, 1.0, 0.0)
            out[w, at + 9] = 1.0 - best[k] / TRACK_REACH_M
        at += 10


class Features:
    """Owns the output array `values`, (W, FEATURES) float32; `launch` refills it from the two arrays of structs."""

    def __init__(self, scene: Any, reference: Any, worlds: int, device: str) -> None:
        self.values = wp.zeros((worlds, FEATURES), dtype=wp.float32, device=device)
        inputs = [scene, reference, self.values]
        self.launch = wp.launch(features_kernel, dim=worlds, inputs=inputs, device=device, record_cmd=True).launch
