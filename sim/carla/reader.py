"""From what CARLA's sensors give to the frame that the stack sees, with our sensors' errors and quantisation.

Sensors are asked for ideal samples; pictures become JPEG, and LiDAR, inertial unit, satellite fixes and wheels get the
errors of our own models, drawn from the scenario's seed: a car is as blind and as deaf in every world.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torchvision.io import ImageReadMode, decode_jpeg, encode_jpeg

from sim.carla import convert
from sim.kernels.inertial import GNSS_EVERY, IMU_PER_TICK, IMU_STEP_S, Errors
from sim.kernels.lidar import with_errors
from sim.pinhole import JPEG_QUALITY
from stack.frames import BODY_FROM_OPTICAL, F64, transform
from stack.loop import TICK_S
from stack.messages import (
    F32,
    I32,
    LIDAR_STEP_M,
    U8,
    CameraImage,
    GnssSamples,
    ImuSamples,
    LidarSweep,
    RadarSamples,
    Rig,
    SensorFrame,
    WheelSamples,
)

RAD_PER_DEG = np.float32(math.pi / 180.0)


@dataclass(frozen=True)
class Raw:
    """Ideal samples of one tick, in our frames."""

    rgb: list[U8]  # (H, W, 3) of each camera
    lidar_count: I32  # (R,)
    lidar_xyz_m: F32  # (N, 3) ring by ring
    lidar_intensity: F32  # (N,) 0..1
    radar: F32  # (M, 4) range m, azimuth rad, elevation rad, Doppler m/s
    accel_mps2: F64  # (3,)
    gyro_radps: F64  # (3,)
    place_deg: tuple[float, float, float]  # latitude, longitude, altitude m
    speed_mps: float  # of the wheels
    wheel_deg: float  # of the front wheels, to the right, as CARLA has it


class Reader:
    """Of one drive: remembers the errors that walk."""

    def __init__(self, rig: Rig, seed: int, georeference: str, device: str) -> None:
        self._rig, self._seed, self._device, self._georeference = rig, seed, device, georeference
        self._errors = Errors(seed)
        low, high = rig.lidar_elevation_rad
        self._elevation = np.linspace(high, low, rig.lidar_rings)
        self._columns = rig.lidar_columns // 2
        angle = 0.5 * np.pi - (np.arange(self._columns) + 0.5) * np.pi / self._columns
        behind = angle + np.where(angle > 0.0, -np.pi, np.pi)
        self._azimuth = angle.astype(np.float32), behind.astype(np.float32)
        self._mounts = [transform(m.x_m, m.y_m, m.z_m, m.yaw_rad, m.pitch_rad) @ BODY_FROM_OPTICAL for m in rig.cameras]

    def frame(self, tick: int, raw: Raw) -> SensorFrame:
        """The frame of a tick; ticks must come in order."""
        images = tuple(self._image(k, picture, tick) for k, picture in enumerate(raw.rgb))
        times = np.full(len(raw.radar), tick * TICK_S)
        return SensorFrame(
            tick,
            tick * TICK_S,
            images,
            self._sweep(raw, tick),
            RadarSamples(times, raw.radar),
            *self._motion(raw, tick),
        )

    def _image(self, k: int, rgb: U8, tick: int) -> CameraImage:
        mount = self._rig.cameras[k]
        planes = torch.from_numpy(np.ascontiguousarray(rgb.transpose(2, 0, 1)))
        jpeg = encode_jpeg(planes, quality=JPEG_QUALITY)
        decoded = decode_jpeg(jpeg, mode=ImageReadMode.RGB).to(self._device)
        return CameraImage(
            mount.name, tick * TICK_S, jpeg.numpy().tobytes(), decoded, mount.matrix(), self._mounts[k], ()
        )

    def _sweep(self, raw: Raw, tick: int) -> LidarSweep:
        """The half turn of a tick, each point in the beam that it came by."""
        rings, columns, half = self._rig.lidar_rings, self._columns, tick % 2
        steps, bright = np.zeros((rings, columns), np.uint16), np.zeros((rings, columns), np.uint8)
        p = raw.lidar_xyz_m.astype(np.float64)
        if len(p):
            flat = np.hypot(p[:, 0], p[:, 1])
            sign = 1.0 - 2.0 * half
            azimuth = np.arctan2(sign * p[:, 1], sign * p[:, 0])
            column = np.rint((0.5 - azimuth / np.pi) * columns - 0.5).astype(np.int64)
            step = (self._elevation[0] - self._elevation[-1]) / max(rings - 1, 1)
            ring = np.rint((self._elevation[0] - np.arctan2(p[:, 2], flat)) / step).astype(np.int64)
            good = (column >= 0) & (column < columns) & (ring >= 0) & (ring < rings)
            distance = np.rint(np.linalg.norm(p, axis=1) / LIDAR_STEP_M)
            level = np.rint(raw.lidar_intensity * np.float32(255.0))
            steps[ring[good], column[good]] = np.clip(distance[good], 1.0, 65535.0)
            bright[ring[good], column[good]] = np.clip(level[good], 1.0, 255.0)
        steps, bright = with_errors(steps, bright, self._seed, tick)
        times = np.maximum((tick - 1.0 + np.arange(1, columns + 1) / columns) * TICK_S, 0.0)
        return LidarSweep(
            times, self._azimuth[half], self._elevation.astype(np.float32), steps, bright,
            transform(*self._rig.lidar_xyz_m),
        )  # fmt: skip

    def _motion(self, raw: Raw, tick: int) -> tuple[ImuSamples, GnssSamples, WheelSamples]:
        """CARLA's unit gives one sample a tick: it stands for all of the tick's."""
        n = IMU_PER_TICK
        ideal = np.concatenate([raw.accel_mps2, raw.gyro_radps]).astype(np.float32)
        place = np.array(convert.place_of(raw.place_deg, self._georeference), np.float32)
        angle = convert.bearing(np.float32(raw.wheel_deg)) * RAD_PER_DEG
        wheels = np.array([raw.speed_mps, angle], np.float32)
        imu, gnss, odometry = self._errors(np.tile(ideal, (n, 1)), place, wheels, tick)
        now = np.array([tick * TICK_S])
        first = n - 1 if tick == 0 else 0
        times = now + np.arange(1 - n, 1) * IMU_STEP_S
        fix = slice(0, 1 if tick % GNSS_EVERY == 0 else 0)
        return (
            ImuSamples(times[first:], imu[first:, :3].copy(), imu[first:, 3:].copy()),
            GnssSamples(now[fix], gnss[None][fix].copy()),
            WheelSamples(now, odometry[:1].copy(), odometry[1:].copy()),
        )  # fmt: skip
