"""Bodies of sensor messages as CARLA packs them, from what our instruments give. Frames and signs by `convert`."""

from __future__ import annotations

import struct
from typing import Any

import cv2
import msgpack
import numpy as np
from numpy.typing import NDArray

from sim.carla import convert
from sim.instruments.cameras import Shot
from sim.instruments.lidar import LidarHits, LidarPoints
from sim.instruments.motion import ImuSample
from sim.instruments.radar import RadarReturns
from stack.labels import COLOURS

IMAGE = struct.Struct("<IIf")
FAR_M = 1000.0  # what a depth picture's full scale means
HIT = np.dtype([("xyz", "<f4", 3), ("cos", "<f4"), ("actor", "<u4"), ("tag", "<u4")])

Parts = tuple[Any, ...]


def image(bgra: NDArray[Any], fov_deg: float) -> Parts:
    """Any picture: size, field of view, then its pixels."""
    height, width = bgra.shape[:2]
    return IMAGE.pack(width, height, fov_deg), np.ascontiguousarray(bgra)


def colour(shot: Shot) -> NDArray[Any]:
    """(H, W, 4) BGRA."""
    return cv2.cvtColor(shot.rgb, cv2.COLOR_RGB2BGRA)


def depth(shot: Shot) -> NDArray[Any]:
    """24 bits of depth over FAR_M: red lowest."""
    assert shot.depth_m is not None
    steps = np.rint(np.minimum(shot.depth_m, FAR_M).astype(np.float64) * ((2**24 - 1) / FAR_M)).astype(np.uint32)
    return _bgra(steps >> 16, steps >> 8 & 255, steps & 255)


def semantic(shot: Shot) -> NDArray[Any]:
    """The label in red."""
    return _bgra(0, 0, shot.semantic)


def instance(shot: Shot, actor_of_row: NDArray[Any]) -> NDArray[Any]:
    """The label in red, the lower 16 bits of the actor's number in green and blue."""
    ids = actor_of_row[shot.instance]
    return _bgra(ids >> 8 & 255, ids & 255, shot.semantic)


def normals(shot: Shot) -> NDArray[Any]:
    """Components -1..1 of CARLA's world axes as 0..255."""
    world = convert.locations(shot.normal @ shot.world_from_camera[:3, :3].T.astype(np.float32))
    levels = np.clip((world + 1.0) * 127.5, 0.0, 255.0).astype(np.uint8)
    return _bgra(levels[..., 2], levels[..., 1], levels[..., 0])


def flow(shot: Shot) -> NDArray[Any]:
    """Motion since the last picture in normalised device coordinates: -2..2 to the right and up, as CARLA has it."""
    assert shot.flow_px is not None
    height, width = shot.flow_px.shape[:2]
    return np.clip(shot.flow_px * np.array([2.0 / width, -2.0 / height], np.float32), -2.0, 2.0)


def palette(shot: Shot) -> NDArray[Any]:
    """The classes in Cityscapes' colours."""
    rgb = COLOURS[shot.semantic]
    return _bgra(rgb[..., 2], rgb[..., 1], rgb[..., 0])


def _bgra(blue: Any, green: Any, red: Any) -> NDArray[Any]:
    out = np.empty((*np.shape(red), 4), np.uint8)
    out[..., 0], out[..., 1], out[..., 2], out[..., 3] = blue, green, red, 255
    return out


def lidar(points: LidarPoints) -> Parts:
    """Angle, counts of the channels, then x, y, z, intensity."""
    body = np.empty((len(points.xyz_m), 4), np.float32)
    body[:, :3], body[:, 3] = convert.locations(points.xyz_m), points.intensity
    return (*_channels(points.turned_rad, points.count), body)


def semantic_lidar(hits: LidarHits, actor_of_row: NDArray[Any]) -> Parts:
    """Angle, counts, then x, y, z, cosine of incidence, actor, label."""
    body = np.empty(len(hits.xyz_m), HIT)
    body["xyz"], body["cos"] = convert.locations(hits.xyz_m), hits.incidence
    body["actor"], body["tag"] = actor_of_row[hits.instance], hits.semantic
    return (*_channels(hits.turned_rad, hits.count), body)


def _channels(angle_rad: float, count: Any) -> Parts:
    return struct.pack("<fI", angle_rad, len(count)), np.ascontiguousarray(count, np.uint32)


def radar(returns: RadarReturns) -> Parts:
    """Velocity, azimuth (to the right), altitude, depth of each return."""
    columns = (returns.speed_mps, convert.bearing(returns.azimuth_rad), returns.altitude_rad, returns.depth_m)
    return (np.stack(columns, axis=-1).astype(np.float32),)


def imu(sample: ImuSample) -> Parts:
    """Specific force, rotation rate, compass."""
    body = [convert.location(sample.accel_mps2), convert.rate(sample.gyro_radps), sample.compass_rad]
    return (msgpack.packb(body),)
