"""A two-lane street that bends, and a car on it with noisy sensors: analytic ground truth for the perception tests."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from stack.frames import F64, Pose
from stack.lanegraph import LaneGraph
from stack.messages import (
    GnssSamples,
    ImuSamples,
    LidarSweep,
    RadarSamples,
    Rig,
    SensorFrame,
    WheelSamples,
)

LANE_M, KERB_HEIGHT_M, STEP_M, TICK_S = 3.5, 0.13, 0.25, 0.05
RIG = Rig()


class Street:
    """Straight, left bend, straight, right bend, straight; the middle line is the road's, lanes lie on both sides."""

    def __init__(self, *legs: tuple[float, float]) -> None:
        """`legs`: length and curvature of each stretch."""
        legs = legs or ((120, 0), (60, 1 / 45), (60, 0), (60, -1 / 45), (200, 0))
        curvature = np.concatenate([np.full(int(length / STEP_M), k) for length, k in legs])
        self.curvature = curvature
        self.yaw = np.concatenate([[0.0], np.cumsum(curvature * STEP_M)])[:-1]
        middle = self.yaw + 0.5 * curvature * STEP_M
        step = np.stack([np.cos(middle), np.sin(middle)], axis=-1) * STEP_M
        self.xy = np.concatenate([[[0.0, 0.0]], np.cumsum(step, axis=0)])[:-1]
        self.tree = cKDTree(self.xy)

    def at(self, s_m: float, lateral_m: float) -> tuple[float, float, float]:
        """x, y, yaw beside the middle line."""
        i = min(int(s_m / STEP_M), len(self.xy) - 1)
        rest, yaw = s_m - i * STEP_M, self.yaw[i] + self.curvature[i] * (s_m - i * STEP_M)
        x, y = self.xy[i] + rest * np.array([np.cos(yaw), np.sin(yaw)])
        return x - lateral_m * np.sin(yaw), y + lateral_m * np.cos(yaw), float(yaw)

    def lateral(self, xy: F64) -> F64:
        """(N,) signed distance from the middle line, left positive."""
        _, i = self.tree.query(xy)
        d = xy - self.xy[i]
        return d[:, 1] * np.cos(self.yaw[i]) - d[:, 0] * np.sin(self.yaw[i])

    def graph(self) -> LaneGraph:
        """Right lane ahead, left lane back."""
        rows = slice(0, None, int(1.0 / STEP_M))
        yaw = self.yaw[rows]
        left = np.stack([-np.sin(yaw), np.cos(yaw)], axis=-1)
        right_lane, left_lane = self.xy[rows] - 0.5 * LANE_M * left, (self.xy[rows] + 0.5 * LANE_M * left)[::-1]
        xy, yaw = np.concatenate([right_lane, left_lane]), np.concatenate([yaw, yaw[::-1] + np.pi])
        n = len(right_lane)
        i32, f32 = np.int32, np.float32
        values: dict[str, Any] = {
            "name": "street", "lane_key": (("1", 0, -1), ("1", 0, 1)), "lane_start": np.array([0, n], i32),
            "lane_count": np.array([n, n], i32), "lane_step_m": np.ones(2, f32),
            "lane_length_m": np.full(2, n - 1, f32), "lane_limit_mps": np.full(2, 13.9, f32),
            "x_m": xy[:, 0].astype(f32), "y_m": xy[:, 1].astype(f32),
            "yaw_rad": yaw.astype(f32), "width_m": np.full(2 * n, LANE_M, f32), "signal_id": (),
            "head_xyz_m": np.zeros((0, 3)), "sign_xyz_m": np.zeros((0, 3)), "walk_xyz_m": np.zeros((0, 3)),
            "crosswalk_xyz_m": np.zeros((0, 4, 3)), "park_xyz_m": np.zeros((0, 3)),
        }  # fmt: skip
        for field in fields(LaneGraph):
            if field.name in values:
                continue
            kind = f32 if field.name.endswith(("_m", "_mps", "_s", "_rad", "_1pm")) else i32
            size = 2 * n if field.name in ("z_m", "pitch_rad", "curvature_1pm") else 2 * field.name.startswith("lane_")
            fill = -1 if field.name in ("lane_left", "lane_right", "lane_junction", "lane_signal") else 0
            values[field.name] = np.full(size, fill, kind)
        return LaneGraph(**values)


def boxes_hit(origin: F64, rays: F64, boxes: F64) -> F64:
    """(N,) distance along each ray to the nearest box; (B, 7): x, y, z of the bottom, yaw, length, width, height."""
    nearest = np.full(len(rays), np.inf)
    for x, y, z, yaw, length, width, height in boxes:
        c, s = np.cos(yaw), np.sin(yaw)
        turn = np.array([[c, s, 0], [-s, c, 0], [0, 0, 1.0]])
        start, ray = turn @ (origin - [x, y, z + 0.5 * height]), rays @ turn.T
        ray = np.where(np.abs(ray) < 1e-9, 1e-9, ray)
        half = 0.5 * np.array([length, width, height])
        one, two = (-half - start) / ray, (half - start) / ray
        enter, leave = np.minimum(one, two).max(1), np.maximum(one, two).min(1)
        nearest = np.where((enter <= leave) & (enter > 0), np.minimum(nearest, enter), nearest)
    return nearest


def lidar(street: Street, pose: Pose, half: int, time_s: float, boxes: F64, rng: np.random.Generator) -> LidarSweep:
    """Half a turn seen from `pose`, half 0 ahead, all at once: road, kerbs, markings and boxes; 2 cm of noise."""
    columns = RIG.lidar_columns // 2
    turned = half * np.pi + (np.arange(columns) + 0.5) * np.pi / columns  # clockwise from the left
    azimuth = np.remainder(1.5 * np.pi - turned, 2 * np.pi).astype(np.float32) - np.float32(np.pi)
    elevation = np.linspace(*RIG.lidar_elevation_rad[::-1], RIG.lidar_rings).astype(np.float32)
    ego_from_lidar = np.eye(4)
    ego_from_lidar[:3, 3] = RIG.lidar_xyz_m
    e, a = np.meshgrid(elevation, azimuth, indexing="ij")
    rays = np.stack([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)], axis=-1).reshape(-1, 3)
    world = pose.matrix() @ ego_from_lidar
    rays, origin = rays @ world[:3, :3].T, world[:3, 3]
    down = np.minimum(rays[:, 2], -1e-6)
    t_road, t_walk = -origin[2] / down, (KERB_HEIGHT_M - origin[2]) / down
    on_road, on_walk = np.full((2, len(rays)), 1e3)
    low = t_road < RIG.lidar_range_m
    on_road[low] = np.abs(street.lateral(origin[:2] + t_road[low, None] * rays[low, :2]))
    on_walk[low] = np.abs(street.lateral(origin[:2] + t_walk[low, None] * rays[low, :2]))
    face = (LANE_M - on_walk) / np.maximum(on_road - on_walk, 1e-9)
    distance = np.where(
        on_walk >= LANE_M, t_walk, np.where(on_road < LANE_M, t_road, t_walk + np.clip(face, 0, 1) * (t_road - t_walk))
    )
    line = np.min([np.abs(on_road - d) for d in (0.0, LANE_M - 0.1)], axis=0) < 0.07
    intensity = np.where(line & (on_walk < LANE_M), 120, np.where(on_walk < LANE_M, 40, 60))
    hit_box = boxes_hit(origin, rays, boxes)
    intensity = np.where(hit_box < distance, 80, intensity)
    distance = np.minimum(distance, hit_box) + rng.normal(0, 0.02, len(rays))
    seen = (distance < RIG.lidar_range_m) & (rng.random(len(rays)) > 0.02)
    shape = (RIG.lidar_rings, columns)
    return LidarSweep(
        np.full(columns, time_s), azimuth, elevation,
        np.where(seen, np.rint(distance / 0.005), 0).astype(np.uint16).reshape(shape),
        np.clip(intensity + rng.normal(0, 3, len(rays)), 0, 255).astype(np.uint8).reshape(shape), ego_from_lidar,
    )  # fmt: skip


class Car:
    """Drives along the right lane at a varying speed and senses: biased gyro and accelerometer, scaled wheels, GNSS."""

    def __init__(self, street: Street, seed: int, start_s_m: float = 5.0) -> None:
        self.street, self.rng, self.tick = street, np.random.default_rng(seed), 0
        self.s, self.v = start_s_m, 0.0
        self.gyro_bias, self.accel_bias, self.scale = self.rng.normal(0, [0.005, 0.1, 0.015])
        self.gnss = self.rng.normal(0, 0.8, 2)
        self.yaw_rate = 0.0

    @property
    def offset_m(self) -> float:
        """The car weaves in its lane."""
        return -0.5 * LANE_M + 0.25 * np.sin(self.s / 15.0)

    @property
    def pose(self) -> Pose:
        x, y, yaw = self.street.at(self.s, self.offset_m)
        return Pose(x, y, 0.0, float(yaw + np.arctan(0.25 / 15.0 * np.cos(self.s / 15.0))))

    def frame(self, boxes: F64 | None = None, with_lidar: bool = True) -> SensorFrame:
        """Advance one tick and sense."""
        times, accel, gyro = [], [], []
        for i in range(5):
            before = self.pose
            a = 1.5 * np.cos(0.12 * (self.tick + 0.2 * i) * TICK_S) if self.tick > 20 else 0.0
            a = a if self.v > 0.5 or a > 0 else 0.0
            v_mid = self.v + 0.005 * a
            k = self.street.curvature[min(int(self.s / STEP_M), len(self.street.curvature) - 1)]
            self.s += v_mid * 0.01 / (1.0 - k * self.offset_m)
            self.v += 0.01 * a
            turn = np.remainder(self.pose.yaw_rad - before.yaw_rad + np.pi, 2 * np.pi) - np.pi
            self.yaw_rate = turn / 0.01
            times.append(self.tick * TICK_S + 0.01 * (i + 1))
            accel.append([a + self.accel_bias + self.rng.normal(0, 0.05), 0.0, 9.81])
            gyro.append([0.0, 0.0, self.yaw_rate + self.gyro_bias + self.rng.normal(0, 0.003)])
        self.tick += 1
        now = self.tick * TICK_S
        decay = np.exp(-TICK_S / 30.0)
        self.gnss = decay * self.gnss + 0.8 * np.sqrt(1 - decay**2) * self.rng.normal(size=2)
        pose, stamp = self.pose, np.array([now])
        fix = np.array([[pose.x_m, pose.y_m, 0.0]]) + np.append(self.gnss + self.rng.normal(0, 0.3, 2), 0.0)
        half = self.tick % 2
        boxes = np.zeros((0, 7)) if boxes is None else boxes
        sweep = lidar(self.street, pose, half, now, boxes, self.rng) if with_lidar else None
        wheel = self.v * (1 + self.scale) + self.rng.normal(0, 0.03) if self.v > 0.05 else 0.0
        f32 = np.float32
        return SensorFrame(
            self.tick, now, (), sweep, RadarSamples(np.zeros(0), np.zeros((0, 4), f32)),
            ImuSamples(np.array(times), np.array(accel, f32), np.array(gyro, f32)),
            GnssSamples(stamp[self.tick % 2 :], fix.astype(f32)[self.tick % 2 :]),
            WheelSamples(stamp, np.array([wheel], f32), np.zeros(1, f32)),
        )  # fmt: skip
