"""How things look on the wire: replies, tokens, stream headers, the world snapshot.

Replies are MessagePack of CARLA's `Response<T>`; streams carry packed little-endian structs (0.9.16 layouts).
"""

from __future__ import annotations

import socket
import struct
from enum import IntEnum
from typing import Any

import numpy as np

VERSION = "0.9.16"
VOID: list[Any] = [[False]]  # Response<void> without an error
TOKEN = struct.Struct("<IHBB16s")
HEADER = struct.Struct("<QQd6f")  # sensor type, frame, seconds, x y z pitch yaw roll
SNAPSHOT = struct.Struct("<Qdf3iI")  # episode, platform seconds, delta, map origin, flags
LENGTH = struct.Struct("<I")
STREETLIGHTS_PENDING = 2  # flag of a snapshot: ask for the street lights
MAP_CHANGED = 1


class Stream(IntEnum):
    """Sensor type index in a stream's header."""

    COLLISION = 0
    DEPTH = 1
    NORMALS = 2
    DVS = 3
    GNSS = 4
    IMU = 5
    LANE_INVASION = 6
    OBSTACLE = 7
    OPTICAL_FLOW = 8
    RADAR = 9
    SEMANTIC_LIDAR = 10
    LIDAR = 11
    RGB = 13
    SEMANTIC = 14
    INSTANCE = 15
    COSMOS = 16
    WORLD = 17
    GBUFFER_U8 = 18
    GBUFFER_FLOAT = 19
    V2X = 20
    V2X_CUSTOM = 21


class Light(IntEnum):
    """carla.TrafficLightState."""

    RED = 0
    YELLOW = 1
    GREEN = 2
    OFF = 3
    UNKNOWN = 4


class Failed(Exception):
    """What a caller asked for cannot be: becomes the error of its Response, never an RPC error."""


def ok(value: Any) -> list[Any]:
    """Response<T> with a value."""
    return [[1, value]]


def failed(message: str, void: bool) -> list[Any]:
    """Response with an error; those of `Response<void>` are an optional."""
    return [[True, [message]]] if void else [[0, [message]]]


def token(stream: int, port: int, host: str) -> bytes:
    """The 24 bytes by which a client finds a stream."""
    return TOKEN.pack(stream, port, 1, 1, socket.inet_aton(host).ljust(16, b"\0"))


FIELDS: dict[str, tuple[str, int]] = {
    "id": ("<u4", 0), "state": ("u1", 4),
    "x": ("<f4", 5), "y": ("<f4", 9), "z": ("<f4", 13), "pitch": ("<f4", 17), "yaw": ("<f4", 21), "roll": ("<f4", 25),
    "velocity": ("(3,)<f4", 29), "angular": ("(3,)<f4", 41), "acceleration": ("(3,)<f4", 53),
    # vehicles
    "throttle": ("<f4", 65), "steer": ("<f4", 69), "brake": ("<f4", 73), "hand_brake": ("u1", 77),
    "reverse": ("u1", 78), "manual": ("u1", 79), "gear": ("<i4", 80), "speed_limit": ("<f4", 84),
    "light_state": ("u1", 88), "has_light": ("u1", 89), "light_id": ("<u4", 90), "failure": ("u1", 94),
    # walkers
    "direction": ("(3,)<f4", 65), "speed": ("<f4", 77), "jump": ("u1", 81),
    # traffic lights and signs
    "sign_id": ("S32", 65), "green_s": ("<f4", 97), "yellow_s": ("<f4", 101), "red_s": ("<f4", 105),
    "elapsed_s": ("<f4", 109), "pole": ("<u4", 113), "frozen": ("u1", 117), "lamp": ("u1", 118),
}  # fmt: skip
RECORD: Any = np.dtype(
    {"names": list(FIELDS), "formats": [f for f, _ in FIELDS.values()], "offsets": [o for _, o in FIELDS.values()],
     "itemsize": 119}
)  # fmt: skip
"""One actor of a snapshot: 119 bytes, of which the last 54 are a union by what the actor is."""
CONTROLS = ("throttle", "steer", "brake", "hand_brake", "reverse", "manual", "gear")
CONTROL: Any = np.dtype(
    {"names": CONTROLS, "formats": [FIELDS[name][0] for name in CONTROLS],
     "offsets": [FIELDS[name][1] for name in CONTROLS], "itemsize": RECORD.itemsize}
)  # fmt: skip
"""What a record says of a vehicle's control, to be written at once."""
