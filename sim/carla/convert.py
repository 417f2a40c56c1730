"""Between our frames and CARLA's: the only file with sign flips.

Ours: right-handed (x, y, z up), yaw counter-clockwise, radians. CARLA's: left-handed with y to the right, degrees;
Rotation is (pitch, yaw, roll) with pitch nose up. With M = diag(1, -1, 1) points map as p' = M p and rotations as
M R M, so that yaw changes its sign and pitch and roll keep theirs. Rates are vectors of a cross product, w' = -M w.
Functions take and give plain numbers and lists as they stand on the wire, or arrays (..., 3).
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stack.frames import F64, Pose

Vector = list[float]
EARTH_M = 6378137.0
ORIGIN_DEG = (42.0, 2.0)  # of maps without a geoReference
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


def rates_rad(w_degps: NDArray[Any]) -> NDArray[Any]:
    """The inverse of `rates_deg`."""
    return np.radians(w_degps) * MIRROR_RATE


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


def bearing(azimuth: Any) -> Any:
    """Angle to the side, either way, number or array: left is positive here, right is there."""
    return -azimuth


def steer(value: float) -> float:
    """Steering -1..1, either way: left is positive here, right is there."""
    return -float(value)


def geolocation(xyz_m: Sequence[float] | F64, georeference: str) -> tuple[float, float, float]:
    """Latitude and longitude in degrees, altitude in m, of a point of our frame, by the formula of CARLA's programs: a
    spherical Mercator map about the geoReference's lat_0, lon_0, true to scale at lat_0."""
    scale, east_0, north_0 = _mercator(georeference)
    latitude = 2.0 * math.degrees(math.atan(math.exp((north_0 + float(xyz_m[1])) / scale))) - 90.0
    return latitude, math.degrees((east_0 + float(xyz_m[0])) / scale), float(xyz_m[2])


def place_of(place_deg: Sequence[float], georeference: str) -> tuple[float, float, float]:
    """The inverse of `geolocation`."""
    scale, east_0, north_0 = _mercator(georeference)
    latitude, longitude, altitude = place_deg
    north = scale * math.log(math.tan(math.radians(90.0 + latitude) / 2.0))
    return math.radians(longitude) * scale - east_0, north - north_0, float(altitude)


def _mercator(georeference: str) -> tuple[float, float, float]:
    """Metres per radian of longitude at lat_0, and where the map's origin lies on the Mercator plane."""
    lat_0, lon_0 = origin_deg(georeference)
    scale = math.cos(math.radians(lat_0)) * EARTH_M
    return scale, math.radians(lon_0) * scale, scale * math.log(math.tan(math.radians(90.0 + lat_0) / 2.0))


def origin_deg(georeference: str) -> tuple[float, float]:
    """lat_0 and lon_0 of a PROJ text."""
    found = [re.search(rf"\+{name}=([-+.\deE]+)", georeference) for name in ("lat_0", "lon_0")]
    return (
        float(found[0][1]) if found[0] else ORIGIN_DEG[0],
        float(found[1][1]) if found[1] else ORIGIN_DEG[1],
    )  # fmt: skip
