"""Poses, transforms and projection. ISO 8855: x ahead, y left, z up, yaw counter-clockwise; SI units and radians.

Transforms read right to left and cancel: `points_world = world_from_ego @ ego_from_camera @ points_camera`.
Cameras are optical: x right, y down, z ahead. docs/frames.md has the table of frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]


@dataclass(frozen=True)
class Pose:
    """Position and attitude of a body in the world frame. Rotation is Rz(yaw) Ry(-pitch) Rx(roll): pitch is nose up."""

    x_m: float
    y_m: float
    z_m: float = 0.0
    yaw_rad: float = 0.0
    pitch_rad: float = 0.0
    roll_rad: float = 0.0

    def matrix(self) -> F64:
        """world_from_body, (4, 4)."""
        return transform(self.x_m, self.y_m, self.z_m, self.yaw_rad, self.pitch_rad, self.roll_rad)


def transform(x: float, y: float, z: float, yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0) -> F64:
    """parent_from_child, (4, 4), from a translation in m and angles in rad (pitch is nose up)."""
    cy, sy, cp, sp, cr, sr = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch), np.cos(roll), np.sin(roll)
    return np.array(
        [
            [cy * cp, -cy * sp * sr - sy * cr, -cy * sp * cr + sy * sr, x],
            [sy * cp, -sy * sp * sr + cy * cr, -sy * sp * cr - cy * sr, y],
            [sp, cp * sr, cp * cr, z],
            [0.0, 0.0, 0.0, 1.0],
        ]
    )


def transforms(xyz_m: F64, yaw_rad: F64, pitch_rad: F64, roll_rad: F64) -> F64:
    """parent_from_child, (N, 4, 4), of N bodies: `transform` for each row."""
    cy, sy, cp, sp = np.cos(yaw_rad), np.sin(yaw_rad), np.cos(pitch_rad), np.sin(pitch_rad)
    cr, sr = np.cos(roll_rad), np.sin(roll_rad)
    out = np.zeros((len(xyz_m), 4, 4))
    out[:, 0, 0], out[:, 0, 1], out[:, 0, 2] = cy * cp, -cy * sp * sr - sy * cr, -cy * sp * cr + sy * sr
    out[:, 1, 0], out[:, 1, 1], out[:, 1, 2] = sy * cp, -sy * sp * sr + cy * cr, -sy * sp * cr - cy * sr
    out[:, 2, 0], out[:, 2, 1], out[:, 2, 2] = sp, cp * sr, cp * cr
    out[:, :3, 3], out[:, 3, 3] = xyz_m, 1.0
    return out


# ego axes from optical axes: x ahead = z optical, y left = -x optical, z up = -y optical
BODY_FROM_OPTICAL: F64 = np.array(
    [[0.0, 0.0, 1.0, 0.0], [-1.0, 0.0, 0.0, 0.0], [0.0, -1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
)


def inverse(parent_from_child: F64) -> F64:
    """child_from_parent, (4, 4), of a rigid transform."""
    out = np.empty((4, 4))
    out[3] = 0.0, 0.0, 0.0, 1.0
    out[:3, :3] = parent_from_child[:3, :3].T
    out[:3, 3] = -out[:3, :3] @ parent_from_child[:3, 3]
    return out


def apply(parent_from_child: F64, points_child: F64) -> F64:
    """(..., 3) points moved into the parent frame."""
    moved: F64 = points_child @ parent_from_child[:3, :3].T + parent_from_child[:3, 3]
    return moved


def wrap(angle_rad: F64 | float) -> F64:
    """Angle in (-pi, pi]."""
    wrapped: F64 = -((-np.asarray(angle_rad) + np.pi) % (2.0 * np.pi) - np.pi)
    return wrapped


def intrinsics(width_px: int, height_px: int, hfov_rad: float) -> F64:
    """(3, 3) pinhole matrix; square pixels; pixel (0, 0) covers [0, 1) x [0, 1), so the centre is (W/2, H/2)."""
    f = 0.5 * width_px / np.tan(0.5 * hfov_rad)
    return np.array([[f, 0.0, 0.5 * width_px], [0.0, f, 0.5 * height_px], [0.0, 0.0, 1.0]])


def project(matrix: F64, points_camera: F64) -> tuple[F64, F64]:
    """Pixels (..., 2) and depth z (...) in m of (..., 3) optical points. Pixels mean nothing where depth <= 0."""
    depth = points_camera[..., 2]
    safe = np.where(np.abs(depth) < 1e-9, 1e-9, depth)
    uv = points_camera[..., :2] / safe[..., None] * np.array([matrix[0, 0], matrix[1, 1]]) + matrix[:2, 2]
    return uv, depth


def bend(distortion: Sequence[float], angle_rad: F64) -> F64:
    """Distance from the centre, in focal lengths, at which a fisheye lens shows an angle from its axis.

    angle (1 + k1 angle^2 + k2 angle^4 + k3 angle^6 + k4 angle^8): Kannala and Brandt, "A Generic Camera Model and
    Calibration Method for Conventional, Wide-Angle, and Fish-Eye Lenses", 2006, in the form of OpenCV's cv2.fisheye.
    Zeros: equidistant, r = f angle.
    """
    k1, k2, k3, k4 = distortion
    a2 = angle_rad * angle_rad
    return angle_rad * (1.0 + a2 * (k1 + a2 * (k2 + a2 * (k3 + a2 * k4))))


def project_fisheye(matrix: F64, distortion: Sequence[float], points_camera: F64) -> tuple[F64, F64]:
    """Pixels (..., 2) and angle from the axis (...) in rad of (..., 3) optical points; as good behind the lens as ahead."""
    x, y, z = np.moveaxis(points_camera, -1, 0)
    side = np.hypot(x, y)
    angle = np.arctan2(side, z)
    scale = bend(distortion, angle) / np.where(side < 1e-12, 1.0, side)
    uv = points_camera[..., :2] * scale[..., None] * np.array([matrix[0, 0], matrix[1, 1]]) + matrix[:2, 2]
    return uv, angle


def rays_fisheye(matrix: F64, distortion: Sequence[float], pixels: F64, angle_max_rad: float) -> F64:
    """(..., 3) unit optical vectors of (..., 2) pixels; zeros beyond `angle_max_rad`, up to which `bend` must grow."""
    at = (pixels - matrix[:2, 2]) / np.array([matrix[0, 0], matrix[1, 1]])
    radius = np.hypot(at[..., 0], at[..., 1])
    table = np.linspace(0.0, angle_max_rad, 8192)
    angle = np.interp(radius, bend(distortion, table), table)  # to 1e-8 rad, as the table is fine
    shown = radius <= bend(distortion, np.array(angle_max_rad))
    flat = at * (np.sin(angle) / np.where(radius < 1e-12, 1.0, radius))[..., None]
    return np.where(shown[..., None], np.concatenate([flat, np.cos(angle)[..., None]], axis=-1), 0.0)


def box_corners(length_m: F64, width_m: F64, height_m: F64) -> F64:
    """(N, 8, 3) corners of boxes about their centre on the ground: z runs from 0 to height."""
    unit = np.array([[x, y, z] for z in (0.0, 1.0) for x, y in ((0.5, 0.5), (0.5, -0.5), (-0.5, -0.5), (-0.5, 0.5))])
    size = np.stack([np.atleast_1d(length_m), np.atleast_1d(width_m), np.atleast_1d(height_m)], axis=-1)
    corners: F64 = unit[None] * size[:, None, :]
    return corners
