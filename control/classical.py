"""The classical controller: pure pursuit for the wheels, speed tracking with feed-forward for the pedals.

Pure pursuit (Coulter 1992): the front wheel angle that brings the rear axle on a circle through a point of the path at
the look-ahead distance L: atan(2 wheelbase sin(alpha) / L). A term on the offset left over takes out what a short
circle cuts off in bends. Acceleration is that of the target speed along the path, v dv/ds, plus a term on the speed
error; before a stop it is at least the constant braking v^2 / (2 d). It is never more than the trajectory asks for,
and its change is limited, less so in an emergency.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stack.messages import Control, Maneuver, Plan, Reference, Scene
from stack.vehicle import VehicleParams


@dataclass(frozen=True)
class Gains:
    """Settings of the controller."""

    lookahead_s: float = 0.6
    lookahead_min_m: float = 3.5
    offset_gain: float = 0.25  # rad/m at standstill, less with speed: atan(gain offset / (1 + speed))
    speed_gain_ps: float = 1.2
    preview_s: float = 0.5  # the target speed is read this far ahead
    accel_max_mps2: float = 2.0
    brake_max_mps2: float = 7.0
    jerk_mps3: float = 4.0  # up, and down to ordinary braking
    brake_jerk_mps3: float = 20.0  # when more than brake_firm_mps2 is needed
    brake_firm_mps2: float = 3.0
    stop_margin_m: float = 0.25  # aim this far before the stop point
    hold_mps2: float = 1.5  # brake when standing


class Classical:
    """Controller of the stack; remembers the acceleration it asked for a tick ago."""

    def __init__(self, params: VehicleParams, gains: Gains = Gains(), dt_s: float = 0.05) -> None:
        self.params, self.gains, self.dt_s = params, gains, dt_s
        self.reset()

    def reset(self) -> None:
        self.accel_mps2 = 0.0

    def __call__(self, plan: Plan, scene: Scene) -> Control:
        angle = wheel_angle(plan.reference, scene, self.params, self.gains)
        wanted = acceleration(plan, scene, self.gains)
        down = self.gains.brake_jerk_mps3 if wanted < -self.gains.brake_firm_mps2 else self.gains.jerk_mps3
        if scene.ego.speed_mps < 0.3:  # let go of the brake, or set it, at once
            down = self.gains.brake_jerk_mps3
        low, high = self.accel_mps2 - down * self.dt_s, self.accel_mps2 + self.gains.jerk_mps3 * self.dt_s
        if self.accel_mps2 < 0.0:
            high += self.gains.jerk_mps3 * self.dt_s
        self.accel_mps2 = float(np.clip(wanted, low, high))
        return Control(angle, self.accel_mps2)


def wheel_angle(reference: Reference, scene: Scene, params: VehicleParams, gains: Gains) -> float:
    """Front wheel angle in rad, left positive, that leads the rear axle back to the path."""
    pose, speed = scene.ego.pose, max(scene.ego.speed_mps, 0.0)
    reach = max(gains.lookahead_min_m, gains.lookahead_s * speed)
    x, y = (float(np.interp(reach, reference.s_m, reference.xy_m[:, k])) for k in (0, 1))
    dx, dy = x - pose.x_m, y - pose.y_m
    cos, sin = np.cos(pose.yaw_rad), np.sin(pose.yaw_rad)
    ahead, left = dx * cos + dy * sin, dy * cos - dx * sin
    curvature = 2.0 * left / max(ahead * ahead + left * left, 1.0)
    yaw = float(reference.yaw_rad[0])
    offset = (pose.y_m - reference.xy_m[0, 1]) * np.cos(yaw) - (pose.x_m - reference.xy_m[0, 0]) * np.sin(yaw)
    angle = np.arctan(params.wheelbase_m * curvature) - np.arctan(gains.offset_gain * offset / (1.0 + speed))
    return float(np.clip(angle, -params.wheel_angle_max_rad, params.wheel_angle_max_rad))


def acceleration(plan: Plan, scene: Scene, gains: Gains) -> float:
    """Wanted acceleration in m/s2, before the limit on its change."""
    reference, speed = plan.reference, scene.ego.speed_mps
    left = reference.stop_s_m - gains.stop_margin_m
    if speed < 0.3 and (left < 0.5 or float(reference.target_mps[:3].max()) < 0.3):
        return -gains.hold_mps2
    s = speed * gains.preview_s
    target = float(np.interp(s, reference.s_m, reference.target_mps))
    now = float(reference.target_mps[0])
    slope = 2.0 * (target - now) / max(2.0 * s, 1.0)  # dv/ds over the preview
    accel = min(now, speed + 2.0) * slope if target < now else 0.0
    accel += gains.speed_gain_ps * (now - speed)
    if np.isfinite(left) and speed > 0.1:
        needed = speed * speed / (2.0 * max(left, 0.1))
        if needed > 0.8 * 1.8 or left < 1.0:
            accel = min(accel, -needed)
    if reference.maneuver == Maneuver.EMERGENCY:
        accel = min(accel, -gains.brake_firm_mps2)
    ahead = plan.trajectory.accel_mps2[plan.trajectory.time_s <= gains.preview_s]
    if len(ahead):
        accel = min(accel, max(float(ahead.mean()), -gains.brake_max_mps2) + 0.3)
    return float(np.clip(accel, -gains.brake_max_mps2, gains.accel_max_mps2))
