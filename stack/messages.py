"""All typed messages of the loop: frozen, arrays of shape and dtype checked when built.

N-of-something is a struct of arrays. Positions are in the world frame (the map's) unless a name says otherwise; SI
units and radians; ISO 8855 (stack/frames.py). The ego's position is its origin: on the ground under the rear axle. The
position of any other actor is the centre of its box, on the ground. Images are torch tensors on the loop's device; all
else is numpy. docs/frames.md keeps the table of who writes and who reads each array. What sensors deliver is defined in
stack/readings.py.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from stack.frames import F64, Pose
from stack.readings import (
    F32,
    I32,
    LIDAR_STEP_M,
    U8,
    U16,
    CameraImage,
    CameraMount,
    GnssSamples,
    ImuSamples,
    Lens,
    LidarSweep,
    Optics,
    RadarSamples,
    Rig,
    SensorFrame,
    WheelSamples,
    check_arrays,
)

__all__ = [
    "F32",
    "I32",
    "LIDAR_STEP_M",
    "U8",
    "U16",
    "Actors",
    "CameraImage",
    "CameraMount",
    "Command",
    "Control",
    "Detections",
    "Ego",
    "Event",
    "EventKind",
    "Extents",
    "GnssSamples",
    "ImuSamples",
    "Lens",
    "LidarSweep",
    "Maneuver",
    "Optics",
    "Plan",
    "RadarSamples",
    "Reference",
    "Rig",
    "Scene",
    "SensorFrame",
    "Step",
    "Trajectory",
    "Truth",
    "TruthImages",
    "WheelSamples",
]

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
        check_arrays(self, covariance=((5, 5), np.float64))


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
        check_arrays(
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
    distance_m: F32  # (N,) depth of the box centre along the axis (fisheye: its distance)
    yaw_rad: F32  # (N,) heading in the ego frame
    id: I32  # (N,) actor id in a Truth, -1 otherwise

    def __post_init__(self) -> None:
        check_arrays(
            self, box_px=(("N", 4), np.float32), kind=(("N",), np.uint8), score=(("N",), np.float32),
            distance_m=(("N",), np.float32), yaw_rad=(("N",), np.float32), id=(("N",), np.int32),
        )  # fmt: skip


@dataclass(frozen=True)
class Extents:
    """How far the objects of a truth's boxes reach; a row for each row of the boxes. nan: not known."""

    visible_px: F32  # (N, 4) left, top, right, bottom round the pixels that show the object; nan: all hidden but edges
    full_px: F32  # (N, 4) round its whole silhouette: what is hidden and what lies beyond the picture included
    truncation: (
        F32  # (N,) 0..1, share of its silhouette that lies beyond the picture; docs/sensors.md says how it is counted
    )
    ego_from_actor: (
        F64  # (N, 4, 4); the 3D box in the actor's frame: x and y within half of size_m, z from 0 to its height
    )
    size_m: F32  # (N, 3) length, width, height

    def __post_init__(self) -> None:
        check_arrays(
            self, visible_px=(("N", 4), np.float32), full_px=(("N", 4), np.float32), truncation=(("N",), np.float32),
            ego_from_actor=(("N", 4, 4), np.float64), size_m=(("N", 3), np.float32),
        )  # fmt: skip

    @staticmethod
    def unknown(n: int) -> Extents:
        """n rows of nan."""
        box, size = np.full((n, 4), np.nan, np.float32), np.full((n, 3), np.nan, np.float32)
        return Extents(box, box, size[:, 0], np.full((n, 4, 4), np.nan), size)


@dataclass(frozen=True)
class TruthImages:
    """What one camera would show if it could measure everything; aligned with its RGB picture."""

    semantic: torch.Tensor  # (H, W) uint8, labels.Semantic
    instance: torch.Tensor  # (H, W) int32; actor id + 1, 0 for scenery
    depth_m: torch.Tensor  # (H, W) float32, along the optical axis (fisheye: along the ray); inf for sky
    boxes: Detections  # round whole silhouettes, clipped to the picture
    extents: Extents  # of the same objects

    def __post_init__(self) -> None:
        check_arrays(
            self,
            semantic=(("H", "W"), torch.uint8),
            instance=(("H", "W"), torch.int32),
            depth_m=(("H", "W"), torch.float32),
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
        check_arrays(self, signal_state=(("S",), np.uint8))


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
        check_arrays(self, signal_state=(("S",), np.uint8), signal_confidence=(("S",), np.float32))


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
    """Path along route and manoeuvre, with the speed to drive there; points 1 m apart, the first beside the ego."""

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
        check_arrays(
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
        check_arrays(
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
        check_arrays(self, pedals=((3,), np.float32))


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
