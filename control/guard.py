"""The safety shield: the last word before the wheels. Imports no planner and trusts no perception alone.

It lets the wanted control through unless that would be unsafe, clips it to what the actuators can do, and records why
it acted. What it watches is the corridor that the car sweeps with the wheel angle it is about to get:
- tracks, by the longitudinal safe distance of RSS (Shalev-Shwartz et al. 2017, def. 1):
  d = v r + a r^2 / 2 + (v + r a)^2 / (2 b) - v_front^2 / (2 b_front), not below 0;
- LiDAR points and radar returns outside the boxes of tracks, by the same distance to something that stands (radar: that
  moves as its Doppler says), so that a blind perception does not blind the guard.
It brakes as hard as is needed and no harder, at emergency parameters: ordinary driving stays far from them. A car that
stands before something is held there, and let go where the wheels, turned a little more or less, lead past it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from stack.frames import F64
from stack.labels import Kind
from stack.messages import Actors, Command, Control, Plan, Rig, Scene, SensorFrame
from stack.vehicle import VehicleParams, pedals

STANDS_MPS = 0.3  # who is slower stands
ANGLES = 17  # of the wheels, tried for a way out
RADAR_AHEAD_M, _, RADAR_HEIGHT_M = Rig().radar_xyz_m


@dataclass(frozen=True)
class Limits:
    """Settings of the guard."""

    response_s: float = 0.1  # two ticks
    response_accel_mps2: float = 1.0  # what the car may gain meanwhile
    act_mps2: float = 5.0  # b above: the guard acts once this braking is needed, far from what ordinary driving needs
    brake_mps2: float = 7.0  # when control or state are not finite
    front_brake_mps2: float = 8.0  # the other's hardest
    side_m: float = 0.1  # room beside the car that counts as swept
    gap_m: float = 0.4  # to stop short of things
    horizon_m: float = 60.0
    crawl_mps: float = 1.0  # at walking pace
    touch_m: float = 0.5  # nothing may stand nearer before the bumper;
    room_m: float = 2.0  # the way past it must be free so far,
    walker_side_m: float = 0.5  # and so wide beside pedestrians
    hold_mps2: float = 1.5  # brake when held
    roof_m: float = 2.2  # what is higher is a bridge or a branch
    storey_m: float = 3.0  # whose ground lies so far over or under the plane of the ego's is on another road,
    crest_m: float = 600.0  # and farther away on a crest or in a dip of this radius
    points_min: int = 3  # so many LiDAR points in a row of 1 m make an obstacle,
    height_m: float = 0.35  # if they span this height: more than road and kerb do on any grade
    track_side_m: float = 0.8  # returns this near to a track's box are the track's
    radar_min: int = 2
    lateral_mps2: float = 5.0
    accel_max_mps2: float = 3.0
    slack_mps2: float = 0.5  # braking up to this much more than wanted is no intervention


class Guard:
    """Remembers the last wheel angle, for the limit on its rate."""

    def __init__(self, params: VehicleParams, limits: Limits = Limits(), dt_s: float = 0.05) -> None:
        self.params, self.limits, self.dt_s = params, limits, dt_s
        self.reset()

    def reset(self) -> None:
        self.wheel_angle_rad: float | None = None
        self.lidar_gap_m = np.inf  # to what the LiDAR saw a tick ago

    def __call__(self, wanted: Control, plan: Plan, scene: Scene, frame: SensorFrame) -> Command:
        """The control to carry out, its pedals, and why it differs from the wanted one, if it does."""
        p, ego, why = self.params, scene.ego, ""
        state = (ego.speed_mps, ego.pose.pitch_rad, ego.wheel_angle_rad)
        speed, pitch, angle_now = (v if np.isfinite(v) else d for v, d in zip(state, (15.0, 0.0, 0.0), strict=True))
        before = angle_now if self.wheel_angle_rad is None else self.wheel_angle_rad
        angle, accel = wanted.wheel_angle_rad, wanted.accel_mps2
        if not (np.isfinite(angle) and np.isfinite(accel)):
            angle, accel, why = before, -self.limits.brake_mps2, "control is not finite"
        elif not np.isfinite(state).all():
            accel, why = -self.limits.brake_mps2, "speed, pitch or wheel angle is not finite"
        turn = p.wheel_rate_max_radps * self.dt_s
        most = min(p.wheel_angle_max_rad, np.arctan(self.limits.lateral_mps2 * p.wheelbase_m / max(speed, 1.0) ** 2))
        angle = float(min(max(angle, -most), most))
        accel = float(min(max(accel, -p.brake_max_mps2), self.limits.accel_max_mps2))
        scene = replace(scene, tracks=on_own_road(scene, self.limits))
        if speed < self.limits.crawl_mps and accel > 0.0:
            free = way_out(angle, scene, p, self.limits)
            if free is None:
                accel, why = -self.limits.hold_mps2, "no way past what is ahead"
            elif free != angle:
                turned = abs(free - before) <= turn
                angle, why = free, "steers past what is ahead"
                accel = min(accel, self.limits.response_accel_mps2) if turned else -self.limits.hold_mps2
        angle = min(max(angle, before - turn), before + turn)
        angle = float(min(max(angle, -p.wheel_angle_max_rad), p.wheel_angle_max_rad))
        obstacles = self._obstacles(angle, speed, scene, frame) if speed >= STANDS_MPS else []
        needed, reason = braking_needed(speed, obstacles, self.limits)
        needed = min(needed, p.brake_max_mps2)
        if needed > 0.0 and accel > -needed:
            if not why and accel + needed > self.limits.slack_mps2:
                why = reason
            accel = -needed
        self.wheel_angle_rad = angle
        control = Control(angle, accel)
        return Command(control, pedals(control, speed, pitch, p), why)

    def _obstacles(
        self, angle: float, speed: float, scene: Scene, frame: SensorFrame
    ) -> list[tuple[float, float, str]]:
        """(gap, speed along the corridor, name) of all that is in it. The LiDAR sees half a turn in a tick: what it saw in
        the tick before stands there still."""
        curvature = np.tan(angle) / self.params.wheelbase_m
        seen = from_lidar(curvature, scene, frame, self.params, self.limits)
        earlier = self.lidar_gap_m - speed * self.dt_s
        self.lidar_gap_m = seen[0][0] if seen else np.inf
        if not seen and np.isfinite(earlier):
            seen = [(max(earlier, 0.0), 0.0, "LiDAR: something")]
        tracks = from_tracks(curvature, scene, self.params, self.limits)
        return [*tracks, *seen, *from_radar(curvature, speed, scene, frame, self.params, self.limits)]


def rss_distance(
    rear_mps: float, front_mps: float, response_s: float, accel: float, brake: float, front_brake: float
) -> float:
    """Least safe distance in m behind a vehicle that goes the same way; accelerations in m/s2, all positive."""
    after = rear_mps + response_s * accel
    distance = rear_mps * response_s + 0.5 * accel * response_s**2 + after**2 / (2.0 * brake)
    return max(distance - front_mps**2 / (2.0 * front_brake), 0.0)


def braking_needed(speed: float, obstacles: list[tuple[float, float, str]], limits: Limits) -> tuple[float, str]:
    """Deceleration in m/s2 that keeps the car out of everything in its corridor, and what asks for it; 0: nothing."""
    worst, reason = 0.0, ""
    for gap, other_mps, what in obstacles:
        safe = rss_distance(
            speed, other_mps, limits.response_s, limits.response_accel_mps2, limits.act_mps2, limits.front_brake_mps2
        )
        left = gap - limits.gap_m - speed * limits.response_s + other_mps**2 / (2.0 * limits.front_brake_mps2)
        needed = max(speed * speed / (2.0 * max(left, 0.05)), limits.act_mps2)
        if other_mps < speed and gap - limits.gap_m < safe and needed > worst:
            worst, reason = needed, f"{what} {gap:.1f} m ahead"
    return worst, reason


def way_out(wanted: float, scene: Scene, params: VehicleParams, limits: Limits) -> float | None:
    """Of the wheel angles that lead a crawling car past what stands before it, the one nearest to the wanted; None: none.

    The wanted one serves as long as nothing is nearer than touch_m; another must have room_m, and walkers theirs.
    """
    walks = scene.tracks.kind == Kind.PEDESTRIAN

    def free_m(angle: float, rows: NDArray[np.bool_], side_m: float) -> float:
        only = replace(scene, tracks=scene.tracks.take(rows))
        seen = from_tracks(np.tan(angle) / params.wheelbase_m, only, params, replace(limits, side_m=side_m))
        return min((gap for gap, other_mps, _ in seen if other_mps < STANDS_MPS), default=np.inf)

    if free_m(wanted, walks | ~walks, 0.0) > limits.touch_m:
        return wanted
    most = params.wheel_angle_max_rad
    for angle in sorted(np.linspace(-most, most, ANGLES).tolist(), key=lambda angle: abs(angle - wanted)):
        if min(free_m(angle, ~walks, 0.0), free_m(angle, walks, limits.walker_side_m)) > limits.room_m:
            return float(angle)
    return None


def swept(curvature: float, xy_ego: F64, params: VehicleParams, side_m: float) -> tuple[F64, NDArray[np.bool_]]:
    """Distance in m from the front bumper along the arc to points (N, 2), and whether the body would sweep over them.

    The body sweeps the ring between the circles of its inner rear side and its outer front corner.
    """
    front, half = params.centre_m + 0.5 * params.length_m, 0.5 * params.width_m + side_m
    x, y = xy_ego[:, 0], xy_ego[:, 1]
    if abs(curvature) < 1e-3:
        off = y - 0.5 * curvature * x * x
        return x - front, (np.abs(off) < half) & (x > front)
    radius = 1.0 / abs(curvature)
    inward = radius - np.sign(curvature) * y  # from the turning centre, across the car
    away = np.hypot(x, inward)
    angle = np.arctan2(x, inward)
    front_angle = np.arctan2(front, np.maximum(away * away - front * front, 1e-6) ** 0.5)
    along = (angle - front_angle) * radius
    outer = np.hypot(radius + half, front)
    return along, (away > radius - half) & (away < outer) & (along > 0.0) & (angle < np.pi / 2)


def beside_path(curvature: float, x: F64, y: F64, params: VehicleParams, side_m: float) -> NDArray[np.bool_]:
    """Which points come into question for `swept`: all that it takes and some more, found without its square roots.

    A point on a circle at distance e to the left of the path has y - curvature (x^2 + y^2) / 2 = e to first order.
    """
    front, half = params.centre_m + 0.5 * params.length_m, 0.5 * params.width_m + side_m
    room = half + 0.5 * abs(curvature) * (half * half + front * front) + 0.1
    near: NDArray[np.bool_] = (x > 0.0) & (np.abs(y - 0.5 * curvature * (x * x + y * y)) < room)
    return near


def storey(away_m: F64, limits: Limits) -> F64:
    """How far over or under the plane on which the ego stands the ground of its own road may be, so far away."""
    return limits.storey_m + away_m * away_m / (2.0 * limits.crest_m)


def on_own_road(scene: Scene, limits: Limits) -> Actors:
    """The tracks that are not on a road over or under the ego's; one without a finite height counts."""
    pose, tracks = scene.ego.pose, scene.tracks
    d = tracks.xyz_m - np.array([pose.x_m, pose.y_m, pose.z_m])
    ahead = d[:, 0] * np.cos(pose.yaw_rad) + d[:, 1] * np.sin(pose.yaw_rad)
    pitch = pose.pitch_rad if np.isfinite(pose.pitch_rad) else 0.0
    return tracks.take(~(np.abs(d[:, 2] - ahead * np.tan(pitch)) > storey(np.hypot(d[:, 0], d[:, 1]), limits)))


def from_tracks(
    curvature: float, scene: Scene, params: VehicleParams, limits: Limits
) -> list[tuple[float, float, str]]:
    """(gap, speed along the corridor, name) of tracks whose box lies in the corridor."""
    tracks, pose = scene.tracks, scene.ego.pose
    if len(tracks) == 0:
        return []
    cos, sin = np.cos(pose.yaw_rad), np.sin(pose.yaw_rad)
    d = tracks.xyz_m[:, :2] - np.array([pose.x_m, pose.y_m])
    centre = np.stack([d[:, 0] * cos + d[:, 1] * sin, d[:, 1] * cos - d[:, 0] * sin], axis=-1)
    rows = np.flatnonzero(np.hypot(centre[:, 0], centre[:, 1]) < limits.horizon_m)
    yaw = tracks.yaw_rad[rows] - pose.yaw_rad
    cos, sin = np.cos(yaw), np.sin(yaw)
    axes = np.stack([cos, sin, -sin, cos], axis=-1).reshape(-1, 2, 2)
    grids = centre[rows, None] + (GRID * 0.5 * tracks.size_m[rows, None, :2]) @ axes
    distances, insides = swept(curvature, grids.reshape(-1, 2), params, limits.side_m)
    nearest = np.where(insides, distances, np.inf).reshape(grids.shape[:2])
    out = []
    for n in np.flatnonzero(np.isfinite(nearest).any(axis=1)):
        row, gap = rows[n], nearest[n].min()
        heading = pose.yaw_rad + curvature * gap  # of the corridor there
        velocity = tracks.velocity_mps[row]
        forward = float(velocity @ np.array([np.cos(heading), np.sin(heading)]))
        sideways = float(velocity @ np.array([-np.sin(heading), np.cos(heading)]))
        if leaves_in_time(centre[row], sideways, gap, scene.ego.speed_mps, params, float(max(tracks.size_m[row, :2]))):
            continue
        out.append((float(gap), max(forward, 0.0), f"track {tracks.id[row]}"))
    return out


# (15, 2) points of a unit box's outline and axis
GRID: F64 = np.array([(a, b) for a in (-1.0, -0.5, 0.0, 0.5, 1.0) for b in (-1.0, 0.0, 1.0)])


def leaves_in_time(
    centre: F64, sideways_mps: float, gap: float, speed: float, params: VehicleParams, size: float
) -> bool:
    """Whether something that crosses the corridor is out of it well before the ego arrives."""
    if abs(sideways_mps) < 1.0:
        return False
    width = 0.5 * (params.width_m + size) + 0.5 - np.sign(sideways_mps) * float(centre[1])
    return max(width, 0.0) / abs(sideways_mps) + 0.3 < gap / max(speed, 0.1)


def untracked(xy_ego: F64, scene: Scene, room_m: float) -> NDArray[np.bool_]:
    """Which of the points (N, 2) are outside every track's box widened by room_m."""
    tracks, pose = scene.tracks, scene.ego.pose
    cos, sin = np.cos(pose.yaw_rad), np.sin(pose.yaw_rad)
    xy = xy_ego @ np.array([[cos, sin], [-sin, cos]]) + np.array([pose.x_m, pose.y_m])
    dx, dy = xy[:, 0] - tracks.xyz_m[:, 0, None], xy[:, 1] - tracks.xyz_m[:, 1, None]  # (tracks, N)
    cos, sin = np.cos(tracks.yaw_rad)[:, None], np.sin(tracks.yaw_rad)[:, None]
    half = 0.5 * tracks.size_m + room_m
    out: NDArray[np.bool_] = (
        (np.abs(dx * cos + dy * sin) > half[:, 0, None]) | (np.abs(dy * cos - dx * sin) > half[:, 1, None])
    ).all(axis=0)
    return out


def from_lidar(
    curvature: float, scene: Scene, frame: SensorFrame, params: VehicleParams, limits: Limits
) -> list[tuple[float, float, str]]:
    """The nearest row of LiDAR points in the corridor that stands up from the road, taken as standing still."""
    if frame.lidar.range_steps.size == 0:
        return []
    points, _ = frame.lidar.points_ego()
    x, y, z = points.T
    level = (z < limits.roof_m) & (z > -storey(x, limits))
    points = points[level & beside_path(curvature, x, y, params, limits.side_m)]
    along, inside = swept(curvature, points[:, :2], params, limits.side_m)
    inside &= along < limits.horizon_m
    points, along = points[inside], along[inside]
    free = untracked(points[:, :2], scene, limits.track_side_m)
    points, along = points[free], along[free]
    bins = int(limits.horizon_m) + 1
    row = along.astype(int)
    low, high = np.full(bins, np.inf), np.full(bins, -np.inf)
    np.minimum.at(low, row, points[:, 2])
    np.maximum.at(high, row, points[:, 2])
    solid = np.flatnonzero((np.bincount(row, minlength=bins) >= limits.points_min) & (high - low > limits.height_m))
    return [(float(along[row == solid[0]].min()), 0.0, "LiDAR: something")] if len(solid) else []


def from_radar(
    curvature: float, speed: float, scene: Scene, frame: SensorFrame, params: VehicleParams, limits: Limits
) -> list[tuple[float, float, str]]:
    """The nearest pair of radar returns in the corridor, with the speed that their Doppler gives."""
    returns = frame.radar.returns.astype(np.float64)
    if len(returns) < limits.radar_min:
        return []
    distance, azimuth, elevation, doppler = returns.T
    flat = distance * np.cos(elevation)
    xy = np.stack([RADAR_AHEAD_M + flat * np.cos(azimuth), flat * np.sin(azimuth)], axis=-1)
    height = RADAR_HEIGHT_M + distance * np.sin(elevation)
    along, inside = swept(curvature, xy, params, limits.side_m)
    inside &= (height > 0.3) & (height < limits.roof_m) & (along < limits.horizon_m)
    rows = np.flatnonzero(inside & untracked(xy, scene, limits.track_side_m))
    rows = rows[np.argsort(along[rows], kind="stable")]
    for a, b in pairwise(rows):
        if along[b] - along[a] < 1.5 and abs(doppler[b] - doppler[a]) < 1.0:
            other = speed * np.cos(azimuth[a]) + 0.5 * (doppler[a] + doppler[b])
            return [(float(along[a]), max(float(other), 0.0), "radar: something")]
    return []
