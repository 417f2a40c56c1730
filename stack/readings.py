"""What the sensors deliver: the rig, one message for each kind of sensor, and the frame that holds a tick of them all.

Part of `stack.messages`, which gives these names on; arrays are checked for shape and dtype when built.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from stack.frames import F64, bend, intrinsics

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
class Lens:
    """How directions become pixels. A fisheye is Kannala's and Brandt's, as cv2.fisheye has it; zeros: r = f angle."""

    model: Literal["pinhole", "fisheye"] = "pinhole"
    distortion: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)  # k1 .. k4 (cv2.fisheye's D)
    focal_px: tuple[float, float] | None = None  # fx, fy of K; none: what makes hfov_rad the width of the picture
    centre_px: tuple[float, float] | None = None  # cx, cy of K, from the picture's corner; none: its middle


@dataclass(frozen=True)
class Optics:
    """What a real lens and shutter do to a picture; all off: an ideal camera. docs/sensors.md has the equations."""

    shutter: float = 0.0  # motion blur: the shutter's time in units of what the weather asks for
    dirt: float = 0.0  # share of the lens that dust and smears dim
    drops: float = 0.0  # share of the lens that drops of rain cover


@dataclass(frozen=True)
class CameraMount:
    """A camera of the rig: where it sits and what it sees. Raises ValueError naming the key that is wrong."""

    name: str
    width_px: int
    height_px: int
    hfov_rad: float  # a fisheye lens: the cone that it sees, dark beyond
    x_m: float  # in the ego frame
    y_m: float
    z_m: float
    yaw_rad: float = 0.0
    pitch_rad: float = 0.0
    lens: Lens = Lens()
    optics: Optics = Optics()

    def __post_init__(self) -> None:
        fisheye = self.lens.model == "fisheye"
        most = np.deg2rad(220.0 if fisheye else 170.0)
        self._check("hfov_rad", self.hfov_rad, 0.0 < self.hfov_rad <= most, f"more than 0 and at most {most:.4f}")
        for name in ("width_px", "height_px"):
            self._check(name, getattr(self, name), 8 <= getattr(self, name) <= 8192, "8 to 8192")
        for name, last in (("shutter", 32.0), ("dirt", 1.0), ("drops", 1.0)):
            value = getattr(self.optics, name)
            self._check(f"optics.{name}", value, 0.0 <= value <= last, f"0 to {last:g}")
        if not fisheye:
            plain = Lens()
            for name in ("distortion", "focal_px", "centre_px"):
                value = getattr(self.lens, name)
                self._check(f"lens.{name}", value, value == getattr(plain, name), "none with a pinhole lens")
            return
        grows = np.diff(bend(self.lens.distortion, np.linspace(0.0, 0.5 * self.hfov_rad, 1000))) > 0.0
        self._check(
            "lens.distortion", self.lens.distortion, bool(grows.all()),
            f"coefficients with which the radius grows up to half of hfov_rad ({0.5 * self.hfov_rad:.3f} rad)",
        )  # fmt: skip
        focal = self.lens.focal_px or (1.0, 1.0)
        self._check("lens.focal_px", focal, min(focal) > 0.0, "two numbers above 0")

    def _check(self, key: str, found: Any, right: bool, expected: str) -> None:
        if not right:
            raise ValueError(f"{key}: found {found}, expected {expected} (camera {self.name})")

    @property
    def distortion(self) -> tuple[float, ...]:
        """What `CameraImage.distortion` is for this lens."""
        return self.lens.distortion if self.lens.model == "fisheye" else ()

    def matrix(self) -> F64:
        """(3, 3) camera matrix."""
        w, h = self.width_px, self.height_px
        if self.lens.model == "pinhole":
            return intrinsics(w, h, self.hfov_rad)
        f = 0.5 * w / float(bend(self.lens.distortion, np.array(0.5 * self.hfov_rad)))
        (fx, fy), (cx, cy) = self.lens.focal_px or (f, f), self.lens.centre_px or (0.5 * w, 0.5 * h)
        return np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])


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
    distortion: tuple[float, ...] = ()  # of a fisheye lens, k1 .. k4 as in `Lens`; (): a pinhole

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
