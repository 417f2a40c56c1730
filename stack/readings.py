"""What the sensors deliver: the rig, one message for each kind of sensor, and the frame that holds a tick of them all.

Part of `stack.messages`, which gives these names on; arrays are checked for shape and dtype when built.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from stack.frames import F64

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]
U8 = NDArray[np.uint8]
U16 = NDArray[np.uint16]


def check_arrays(message: object, **specs: tuple[tuple[int | str, ...], Any]) -> None:
    """Raise ValueError where a field's shape or dtype is not the one in `specs`; letters bind to one size each."""
    sizes: dict[str, int] = {}
    for name, (shape, dtype) in specs.items():
        value = getattr(message, name)
        if value.dtype != dtype:
            raise ValueError(f"{type(message).__name__}.{name}: dtype {value.dtype}, expected {dtype}")
        found = tuple(value.shape)
        if len(found) != len(shape) or found != tuple(
            [
                sizes.setdefault(want, have) if isinstance(want, str) else want
                for have, want in zip(found, shape, strict=True)
            ]
        ):
            with_sizes = f" with {sizes}" if len(found) == len(shape) else ""
            raise ValueError(f"{type(message).__name__}.{name}: shape {found}, expected {shape}{with_sizes}")


@dataclass(frozen=True)
class CameraMount:
    """A camera of the rig: where it sits and what it sees."""

    name: str
    width_px: int
    height_px: int
    hfov_rad: float
    x_m: float  # in the ego frame
    y_m: float
    z_m: float
    yaw_rad: float = 0.0
    pitch_rad: float = 0.0


@dataclass(frozen=True)
class Rig:
    """What the car carries. The default: two front cameras, roof LiDAR 32x512, front radar."""

    cameras: tuple[CameraMount, ...] = (
        CameraMount("wide", 320, 180, np.deg2rad(90.0), 1.6, 0.0, 1.5),
        CameraMount("narrow", 320, 180, np.deg2rad(30.0), 1.6, 0.0, 1.5),
    )
    lidar_xyz_m: tuple[float, float, float] = (1.2, 0.0, 1.9)
    lidar_rings: int = 32
    lidar_columns: int = 512  # per turn; 10 turns a second, so a tick of 0.05 s sees half of them
    lidar_elevation_rad: tuple[float, float] = (np.deg2rad(-24.0), np.deg2rad(8.0))
    lidar_range_m: float = 100.0
    radar_xyz_m: tuple[float, float, float] = (3.6, 0.0, 0.6)
    radar_hfov_rad: float = np.deg2rad(60.0)
    radar_range_m: float = 120.0


@dataclass(frozen=True)
class CameraImage:
    """One picture: the very bytes of the sensor (JPEG, quality 90) and what they decode to."""

    name: str
    time_s: float
    jpeg: bytes
    rgb: torch.Tensor  # (3, H, W) uint8
    intrinsics: F64  # (3, 3)
    ego_from_camera: F64  # (4, 4), camera optical

    def __post_init__(self) -> None:
        check_arrays(
            self,
            rgb=((3, "H", "W"), torch.uint8),
            intrinsics=((3, 3), np.float64),
            ego_from_camera=((4, 4), np.float64),
        )


LIDAR_STEP_M = 0.005  # one unit of `LidarSweep.range_steps`


@dataclass(frozen=True)
class LidarSweep:
    """The columns of the turning LiDAR that fall in one tick; C may be 0. Rays start at the sensor in the ego frame."""

    time_s: F64  # (C,) stamp of each column
    azimuth_rad: F32  # (C,) in the sensor frame, axes parallel to the ego's
    elevation_rad: F32  # (R,) of each ring, top first
    range_steps: U16  # (R, C) units of 5 mm; 0: no return
    intensity: U8  # (R, C)
    ego_from_lidar: F64  # (4, 4)

    def __post_init__(self) -> None:
        check_arrays(
            self, time_s=(("C",), np.float64), azimuth_rad=(("C",), np.float32), elevation_rad=(("R",), np.float32),
            range_steps=(("R", "C"), np.uint16), intensity=(("R", "C"), np.uint8), ego_from_lidar=((4, 4), np.float64),
        )  # fmt: skip

    def points_ego(self) -> tuple[F64, U8]:
        """(N, 3) points in the ego frame in m, and (N,) intensity, of the rays that returned."""
        back = np.flatnonzero(self.range_steps != 0)
        distance = self.range_steps * LIDAR_STEP_M
        flat = distance * np.cos(self.elevation_rad)[:, None]
        xyz = np.empty((3, *distance.shape))  # planes: picking from them is quicker than from rows of three
        xyz[0], xyz[1] = flat * np.cos(self.azimuth_rad), flat * np.sin(self.azimuth_rad)
        xyz[2] = distance * np.sin(self.elevation_rad)[:, None]
        returned = self.ego_from_lidar[:3, :3] @ xyz.reshape(3, -1)[:, back] + self.ego_from_lidar[:3, 3:]
        return returned.T, self.intensity.reshape(-1)[back]


@dataclass(frozen=True)
class RadarSamples:
    """Returns of the front radar; Doppler is positive when the distance grows."""

    time_s: F64  # (N,)
    returns: F32  # (N, 4) range m, azimuth rad (left positive), elevation rad, Doppler m/s

    def __post_init__(self) -> None:
        check_arrays(self, time_s=(("N",), np.float64), returns=(("N", 4), np.float32))


@dataclass(frozen=True)
class ImuSamples:
    """Specific force and rotation rate in the ego's axes, at the ego origin."""

    time_s: F64  # (N,)
    accel_mps2: F32  # (N, 3); +9.81 on z at rest
    gyro_radps: F32  # (N, 3)

    def __post_init__(self) -> None:
        check_arrays(
            self, time_s=(("N",), np.float64), accel_mps2=(("N", 3), np.float32), gyro_radps=(("N", 3), np.float32)
        )


@dataclass(frozen=True)
class GnssSamples:
    """Fixes already brought into the map's frame (east, north, up), antenna over the ego origin."""

    time_s: F64  # (N,)
    xyz_m: F32  # (N, 3)

    def __post_init__(self) -> None:
        check_arrays(self, time_s=(("N",), np.float64), xyz_m=(("N", 3), np.float32))


@dataclass(frozen=True)
class WheelSamples:
    """Wheel odometry: speed of the rear axle and angle of the front wheels (left positive)."""

    time_s: F64  # (N,)
    speed_mps: F32  # (N,)
    wheel_angle_rad: F32  # (N,)

    def __post_init__(self) -> None:
        check_arrays(
            self, time_s=(("N",), np.float64), speed_mps=(("N",), np.float32), wheel_angle_rad=(("N",), np.float32)
        )


@dataclass(frozen=True)
class SensorFrame:
    """Everything the car senses at one tick. Nothing here comes from truth."""

    tick: int
    time_s: float
    cameras: tuple[CameraImage, ...]
    lidar: LidarSweep
    radar: RadarSamples
    imu: ImuSamples
    gnss: GnssSamples
    wheels: WheelSamples
