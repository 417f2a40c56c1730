"""Between our frames and CARLA's: the only file with sign flips.

Ours: right-handed (x, y, z up), yaw counter-clockwise, radians. CARLA's: left-handed with y to the right, degrees;
Rotation is (pitch, yaw, roll) with pitch nose up. With M = diag(1, -1, 1) points map as p' = M p and rotations as
M R M, so that yaw changes its sign and pitch and roll keep theirs. Rates are vectors of a cross product, w' = -M w.
Functions take and give plain numbers and lists as they stand on the wire, or arrays (..., 3).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stack.frames import F64, Pose

Vector = list[float]
MIRROR = np.array([1.0, -1.0, 1.0])
MIRROR_RATE = np.array([-1.0, 1.0, -1.0])


def location(xyz_m: Sequence[float]) -> Vector:
    """Point or vector, either way."""
    return [float(xyz_m[0]), -float(xyz_m[1]), float(xyz_m[2])]


def locations(xyz_m: NDArray[Any]) -> NDArray[Any]:
    """(..., 3) points or vectors, either way; dtype kept."""
    out = np.array(xyz_m)
    out[..., 1] *= -1.0
    return out


def rate(w: Sequence[float]) -> Vector:
    """Rotation rate or moment, either way, same unit."""
    return [-float(w[0]), float(w[1]), -float(w[2])]


def rates_deg(w_radps: NDArray[Any]) -> NDArray[Any]:
    """(..., 3) rotation rates rad/s to CARLA's deg/s."""
    return np.degrees(w_radps) * MIRROR_RATE.astype(w_radps.dtype)


def rate_rad(w_degps: Sequence[float]) -> Vector:
    """CARLA's deg/s to rad/s."""
    return rate([math.radians(v) for v in w_degps])


def rotation(yaw_rad: float, pitch_rad: float, roll_rad: float) -> Vector:
    """[pitch, yaw, roll] degrees."""
    return [math.degrees(pitch_rad), -math.degrees(yaw_rad), math.degrees(roll_rad)]


def transform(pose: Pose) -> list[Vector]:
    """[[x, y, z], [pitch, yaw, roll]]."""
    return [
        location((pose.x_m, pose.y_m, pose.z_m)),
        rotation(pose.yaw_rad, pose.pitch_rad, pose.roll_rad),
    ]


def pose(transform: Sequence[Sequence[float]]) -> Pose:
    """The inverse of `transform`."""
    (x, y, z), (pitch, yaw, roll) = transform
    return Pose(
        float(x), -float(y), float(z), -math.radians(yaw), math.radians(pitch), math.radians(roll)
    )  # fmt: skip


def angles_deg(yaw_rad: NDArray[Any], pitch_rad: NDArray[Any], roll_rad: NDArray[Any]) -> tuple[Any, Any, Any]:
    """Arrays of (pitch, yaw, roll) degrees."""
    return np.degrees(pitch_rad), -np.degrees(yaw_rad), np.degrees(roll_rad)


def pose_of(matrix: F64) -> Pose:
    """Pose of a (4, 4) transform in our frame."""
    m = matrix
    return Pose(
        float(m[0, 3]), float(m[1, 3]), float(m[2, 3]), math.atan2(m[1, 0], m[0, 0]),
        math.atan2(m[2, 0], math.hypot(m[2, 1], m[2, 2])), math.atan2(m[2, 1], m[2, 2]),
    )  # fmt: skip


def poses_of(matrices: F64) -> tuple[F64, F64, F64, F64]:
    """Positions (N, 3), yaw, pitch and roll (N,) of transforms (N, 4, 4)."""
    m = matrices
    return (
        m[:, :3, 3], np.arctan2(m[:, 1, 0], m[:, 0, 0]), np.arctan2(m[:, 2, 0], np.hypot(m[:, 2, 1], m[:, 2, 2])),
        np.arctan2(m[:, 2, 1], m[:, 2, 2]),
    )  # fmt: skip


def steer(value: float) -> float:
    """Steering -1..1, either way: left is positive here, right is there."""
    return -float(value)
