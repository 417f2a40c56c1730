"""All typed messages of the loop: frozen, arrays of shape and dtype checked when built.

N-of-something is a struct of arrays. Positions are in the world frame (the map's) unless a name says otherwise; SI units
and radians; ISO 8855 (stack/frames.py). The ego's position is its origin: on the ground under the rear axle. The position
of any other actor is the centre of its box, on the ground. Images are torch tensors on the loop's device; all else is
numpy. docs/frames.md keeps the table of who writes and who reads each array.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from stack.frames import F64, Pose

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]
U8 = NDArray[np.uint8]
U16 = NDArray[np.uint16]


def _check(message: object, **specs: tuple[tuple[int | str, ...], Any]) -> None:
    """Raise ValueError where a field's shape or dtype is not the one in `specs`; letters bind to one size each."""
    sizes: dict[str, int] = {}
    for name, (shape, dtype) in specs.items():
        value = getattr(message, name)
        where = f"{type(message).__name__}.{name}"
        if value.dtype != dtype:
            raise ValueError(f"{where}: dtype {value.dtype}, expected {dtype}")
        if len(value.shape) != len(shape):
            raise ValueError(f"{where}: shape {tuple(value.shape)}, expected {shape}")
        for found, want in zip(value.shape, shape, strict=True):
            expected = want if isinstance(want, int) else sizes.setdefault(want, found)
            if found != expected:
                raise ValueError(f"{where}: shape {tuple(value.shape)}, expected {shape} with {sizes}")


# ---------------------------------------------------------------- sensors


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
        _check(self, rgb=((3, "H", "W"), torch.uint8), intrinsics=((3, 3), np.float64), ego_from_camera=((4, 4), np.float64))


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
        _check(
            self, time_s=(("C",), np.float64), azimuth_rad=(("C",), np.float32), elevation_rad=(("R",), np.float32),
            range_steps=(("R", "C"), np.uint16), intensity=(("R", "C"), np.uint8), ego_from_lidar=((4, 4), np.float64),
        )  # fmt: skip

    def points_ego(self) -> tuple[F64, U8]:
        """(N, 3) points in the ego frame in m, and (N,) intensity, of the rays that returned."""
        hit = self.range_steps > 0
        distance = self.range_steps.astype(np.float64) * LIDAR_STEP_M
        ce, se = np.cos(self.elevation_rad)[:, None], np.sin(self.elevation_rad)[:, None]
        ca, sa = np.cos(self.azimuth_rad)[None], np.sin(self.azimuth_rad)[None]
        xyz = np.stack([distance * ce * ca, distance * ce * sa, distance * se * np.ones_like(ca)], axis=-1)[hit]
        return xyz @ self.ego_from_lidar[:3, :3].T + self.ego_from_lidar[:3, 3], self.intensity[hit]


@dataclass(frozen=True)
class RadarSamples:
    """Returns of the front radar; Doppler is positive when the distance grows."""

    time_s: F64  # (N,)
    returns: F32  # (N, 4) range m, azimuth rad (left positive), elevation rad, Doppler m/s

    def __post_init__(self) -> None:
        _check(self, time_s=(("N",), np.float64), returns=(("N", 4), np.float32))


@dataclass(frozen=True)
class ImuSamples:
    """Specific force and rotation rate in the ego's axes, at the ego origin."""

    time_s: F64  # (N,)
    accel_mps2: F32  # (N, 3); +9.81 on z at rest
    gyro_radps: F32  # (N, 3)

    def __post_init__(self) -> None:
        _check(self, time_s=(("N",), np.float64), accel_mps2=(("N", 3), np.float32), gyro_radps=(("N", 3), np.float32))


@dataclass(frozen=True)
class GnssSamples:
    """Fixes already brought into the map's frame (east, north, up), antenna over the ego origin."""

    time_s: F64  # (N,)
    xyz_m: F32  # (N, 3)

    def __post_init__(self) -> None:
        _check(self, time_s=(("N",), np.float64), xyz_m=(("N", 3), np.float32))


@dataclass(frozen=True)
class WheelSamples:
    """Wheel odometry: speed of the rear axle and angle of the front wheels (left positive)."""

    time_s: F64  # (N,)
    speed_mps: F32  # (N,)
    wheel_angle_rad: F32  # (N,)

    def __post_init__(self) -> None:
        _check(self, time_s=(("N",), np.float64), speed_mps=(("N",), np.float32), wheel_angle_rad=(("N",), np.float32))


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


# ---------------------------------------------------------------- what is, and what is believed


@dataclass(frozen=True)
class Ego:
    """The car's own state at its origin; in a Scene an estimate, in a Truth exact."""

    pose: Pose
    speed_mps: float  # along the car's x axis
    lateral_mps: float
    yaw_rate_radps: float
    accel_mps2: float  # along the car's x axis
    wheel_angle_rad: float
    covariance: F64  # (5, 5) of x, y, yaw, speed, yaw rate; zeros in a Truth

    def __post_init__(self) -> None:
        _check(self, covariance=((5, 5), np.float64))


@dataclass(frozen=True)
class Actors:
    """Other road users and props: true ones, or tracks. Rows are valid by construction (no mask)."""

    id: I32  # (N,)
    kind: U8  # (N,) labels.Kind
    xyz_m: F64  # (N, 3) box centre, on the ground
    yaw_rad: F64  # (N,)
    velocity_mps: F64  # (N, 2) in the world frame
    yaw_rate_radps: F64  # (N,)
    size_m: F64  # (N, 3) length, width, height
    confidence: F64  # (N,) 0..1; ones in a Truth
    covariance: F64  # (N, 4, 4) of x, y, vx, vy; zeros in a Truth

    def __post_init__(self) -> None:
        _check(
            self, id=(("N",), np.int32), kind=(("N",), np.uint8), xyz_m=(("N", 3), np.float64), yaw_rad=(("N",), np.float64),
            velocity_mps=(("N", 2), np.float64), yaw_rate_radps=(("N",), np.float64), size_m=(("N", 3), np.float64),
            confidence=(("N",), np.float64), covariance=(("N", 4, 4), np.float64),
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.id)

    def take(self, rows: NDArray[Any]) -> Actors:
        """The rows selected by a mask or by indices."""
        return Actors(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    @staticmethod
    def empty() -> Actors:
        """No actors."""
        f = np.float64
        return Actors(
            np.zeros(0, np.int32), np.zeros(0, np.uint8), np.zeros((0, 3), f), np.zeros(0, f), np.zeros((0, 2), f),
            np.zeros(0, f), np.zeros((0, 3), f), np.zeros(0, f), np.zeros((0, 4, 4), f),
        )  # fmt: skip


@dataclass(frozen=True)
class Detections:
    """2D boxes of one camera: what the network saw, or what truth says can be seen."""

    box_px: F32  # (N, 4) left, top, right, bottom
    kind: U8  # (N,)
    score: F32  # (N,) 0..1; in a Truth the visible share of the object's pixels
    distance_m: F32  # (N,) depth of the box centre
    yaw_rad: F32  # (N,) heading in the ego frame
    id: I32  # (N,) actor id in a Truth, -1 otherwise

    def __post_init__(self) -> None:
        _check(
            self, box_px=(("N", 4), np.float32), kind=(("N",), np.uint8), score=(("N",), np.float32),
            distance_m=(("N",), np.float32), yaw_rad=(("N",), np.float32), id=(("N",), np.int32),
        )  # fmt: skip


@dataclass(frozen=True)
class TruthImages:
    """What one camera would show if it could measure everything; aligned with its RGB picture."""

    semantic: torch.Tensor  # (H, W) uint8, labels.Semantic
    instance: torch.Tensor  # (H, W) int32; actor id + 1, 0 for scenery
    depth_m: torch.Tensor  # (H, W) float32, along the optical axis; inf for sky
    boxes: Detections

    def __post_init__(self) -> None:
        _check(
            self, semantic=(("H", "W"), torch.uint8), instance=(("H", "W"), torch.int32), depth_m=(("H", "W"), torch.float32)
        )


@dataclass(frozen=True)
class Truth:
    """What the simulator knows, of the same instant as the frame. For scores; never for the driver."""

    tick: int
    ego: Ego
    actors: Actors
    signal_state: U8  # (S,) labels.LightState of each signal of the lane graph
    images: tuple[TruthImages, ...]  # one for each camera of the frame

    def __post_init__(self) -> None:
        _check(self, signal_state=(("S",), np.uint8))


@dataclass(frozen=True)
class Scene:
    """What perception believes is around the car now."""

    tick: int
    time_s: float
    ego: Ego
    tracks: Actors
    signal_state: U8  # (S,) labels.LightState as seen; UNKNOWN where not seen
    signal_confidence: F32  # (S,)
    detections: tuple[Detections, ...]  # one for each camera
    semantic: tuple[torch.Tensor, ...]  # (h, w) uint8 for each camera; may be coarser than the picture

    def __post_init__(self) -> None:
        _check(self, signal_state=(("S",), np.uint8), signal_confidence=(("S",), np.float32))


# ---------------------------------------------------------------- what to do


class Maneuver(StrEnum):
    """Why the speed target is what it is."""

    CRUISE = "cruise"
    FOLLOW = "follow"
    STOP_LIGHT = "stop_light"
    STOP_SIGN = "stop_sign"
    GIVE_WAY = "give_way"
    PASS = "pass"  # moving round something that blocks the lane
    STOP_GOAL = "stop_goal"
    EMERGENCY = "emergency"


@dataclass(frozen=True)
class Reference:
    """Path along route and manoeuvre, with the speed to drive there. Points are STEP_M apart, the first beside the ego."""

    s_m: F32  # (N,) distance ahead along the path
    xy_m: F32  # (N, 2)
    yaw_rad: F32  # (N,)
    curvature_1pm: F32  # (N,)
    limit_mps: F32  # (N,) speed limit
    target_mps: F32  # (N,) speed to aim at, for leader, stops and bends
    stop_s_m: float  # distance ahead at which the front bumper must have stopped; inf: none
    leader_gap_m: float  # bumper to bumper; inf: none
    leader_mps: float
    maneuver: Maneuver
    route_s_m: float  # progress along the route
    route_left_m: float

    def __post_init__(self) -> None:
        _check(
            self, s_m=(("N",), np.float32), xy_m=(("N", 2), np.float32), yaw_rad=(("N",), np.float32),
            curvature_1pm=(("N",), np.float32), limit_mps=(("N",), np.float32), target_mps=(("N",), np.float32),
        )  # fmt: skip


@dataclass(frozen=True)
class Trajectory:
    """Timed states of the ego origin, DT_S apart, starting now."""

    time_s: F32  # (T,) from now
    xy_m: F32  # (T, 2)
    yaw_rad: F32  # (T,)
    speed_mps: F32  # (T,)
    accel_mps2: F32  # (T,)
    curvature_1pm: F32  # (T,)

    def __post_init__(self) -> None:
        _check(
            self, time_s=(("T",), np.float32), xy_m=(("T", 2), np.float32), yaw_rad=(("T",), np.float32),
            speed_mps=(("T",), np.float32), accel_mps2=(("T",), np.float32), curvature_1pm=(("T",), np.float32),
        )  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """Where the car should be over the next seconds, and how to stop if that fails."""

    reference: Reference
    trajectory: Trajectory
    emergency: Trajectory


@dataclass(frozen=True)
class Control:
    """What to do with the car: angle of the front wheels (left positive) and acceleration along its x axis."""

    wheel_angle_rad: float
    accel_mps2: float


@dataclass(frozen=True)
class Command:
    """What is given to the car: the control after the guard, and the pedals that it maps to."""

    control: Control
    pedals: F32  # (3,) throttle 0..1, brake 0..1, steer -1..1 (left positive)
    intervention: str = ""  # why the guard acted; empty: it did not

    def __post_init__(self) -> None:
        _check(self, pedals=((3,), np.float32))


class EventKind(StrEnum):
    """What can happen on a drive. Infraction names are the CARLA leaderboard's."""

    COLLISION_PEDESTRIAN = "collision_pedestrian"
    COLLISION_VEHICLE = "collision_vehicle"
    COLLISION_STATIC = "collision_static"
    RED_LIGHT = "red_light"
    STOP_SIGN = "stop_sign"
    OUTSIDE_LANES = "outside_lanes"
    DEVIATED = "deviated"
    BLOCKED = "blocked"
    TIMED_OUT = "timed_out"
    ROUTE_DONE = "route_done"


@dataclass(frozen=True)
class Event:
    """Something that came of a step."""

    kind: EventKind
    tick: int
    time_s: float
    other: str = ""  # what was hit or run: "car 12", "signal 3"
    at_fault: bool = True
    value: float = 0.0  # impact speed m/s; metres outside the lanes; depends on kind


@dataclass(frozen=True)
class Step:
    """One turn of the loop."""

    frame: SensorFrame
    truth: Truth
    scene: Scene
    plan: Plan
    wanted: Control
    command: Command
    events: tuple[Event, ...]
