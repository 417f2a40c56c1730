"""Signals and objects of an OpenDRIVE map in world coordinates.

VectorZero (the exporter of CARLA's towns) writes `orientation` for the way the face points and hOffset from the road's
own direction, where the standard has `orientation` for the traffic that is meant and hOffset from that; both are read.
Its towns also write signs as objects: `Speed_60` (km/h) and the stencil `Stencil_STOP`, which is paint, not a post.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np

from stack.frames import F64, wrap
from stack.opendrive.geometry import lane_edges, reference
from stack.opendrive.records import Document, ObjectRecord, Road, SignalRecord, SignalReference

LIGHT_TYPES = ("1000001", "1000009", "1000010", "1000011", "1000012")
SIGN_KINDS = {"206": "stop", "R1-1": "stop", "205": "yield", "R1-2": "yield", "274": "speed", "R2-1": "speed"}
KMH = {"mph": 1.609344, "m/s": 3.6}  # any other unit is read as km/h
OBJECT_KINDS = {"parkingSpace": "parking", "stopLine": "stop_line", "stopline": "stop_line", "StopLine": "stop_line",
                "stop_line": "stop_line"}  # fmt: skip
PAINT = re.compile(r"(Solid|Dashed).*?(White|Yellow)")


@dataclass(frozen=True)
class SignalPost:
    """A light or sign where it stands, with what it controls."""

    id: str
    name: str
    kind: str  # light, stop, yield, speed, other
    subtype: str
    xyz_m: F64  # (3,) its reference point: s, t, zOffset; for lights see stack/opendrive/control.py
    yaw_rad: float  # where the face looks: towards the traffic it controls
    value: float  # speed: km/h; otherwise the file's
    dynamic: bool
    controllers: tuple[str, ...]
    road: str
    s_m: float
    t_m: float
    forward: bool  # it controls traffic in the direction of increasing s
    lanes: tuple[tuple[int, int], ...]  # validity on its own road, from lane to lane; empty: all
    references: tuple[SignalReference, ...]  # where else it is valid
    height_m: float
    width_m: float
    z_offset_m: float
    painted: bool  # on the asphalt: no post, no face
    line: int  # of the file


@dataclass(frozen=True)
class MapObject:
    """An object with its outline; outline_m is closed by its first corner."""

    id: str
    kind: str  # crosswalk, stop_line, parking, building, tree, paint, ...
    name: str
    road: str
    outline_m: F64  # (k, 3)
    yaw_rad: float
    height_m: float


def _vectorzero(document: Document) -> bool:
    return "vectorzero" in document.vendor.lower().replace(" ", "")


def _post(road: Road, record: SignalRecord, flipped: bool, controllers: tuple[str, ...],
          references: tuple[SignalReference, ...], painted: bool = False) -> SignalPost:  # fmt: skip
    frame = reference(road, np.array([record.s_m]))
    forward = record.t_m < 0.0 if record.orientation not in ("+", "-") else (record.orientation == "+") != flipped
    along = float(frame.hdg_rad[0]) + record.h_offset_rad + (0.0 if flipped or forward else np.pi)
    kind = SIGN_KINDS.get(record.type, "light" if record.type in LIGHT_TYPES else "other")
    value, place = record.value, frame.place(np.array([record.t_m]), record.z_offset_m)[0]
    if kind == "speed":
        value *= KMH.get(record.unit, 1.0)
    return SignalPost(
        id=record.id, name=record.name, kind=kind, subtype=record.subtype,
        xyz_m=place, yaw_rad=float(wrap(along + np.pi)), value=value,
        dynamic=record.dynamic, controllers=controllers, road=road.id, s_m=record.s_m, t_m=record.t_m, forward=forward,
        lanes=record.lanes, references=references, height_m=record.height_m, width_m=record.width_m,
        z_offset_m=record.z_offset_m, painted=painted, line=record.line,
    )  # fmt: skip


def _sign_object(record: ObjectRecord) -> SignalRecord | None:
    """The sign that a VectorZero object stands for."""
    speed = re.fullmatch(r"[Ss]peed_(\d+)", record.name)
    if not speed and record.name != "Stencil_STOP":
        return None
    return SignalRecord(
        id=f"object {record.id}", name=record.name, type="274" if speed else "206", subtype="", dynamic=False,
        s_m=record.s_m, t_m=record.t_m, z_offset_m=record.z_offset_m, h_offset_rad=record.hdg_rad,
        orientation=record.orientation, value=float(speed[1]) if speed else -1.0, unit="km/h",
        height_m=record.height_m, width_m=record.width_m, lanes=(), line=record.line,
    )  # fmt: skip


def _lane_at(road: Road, s_m: float, t_m: float) -> int:
    section = [x for x in road.sections if x.s_m <= s_m][-1:] or [road.sections[0]]
    edges = lane_edges(road, section[0], np.array([s_m]))
    inside = [i for i, (a, b) in edges.items() if i and min(a[0], b[0]) <= t_m <= max(a[0], b[0])]
    return inside[0] if inside else 0


def signals(document: Document) -> list[SignalPost]:
    """All posts, those that VectorZero writes as objects too; references to no signal become warnings."""
    flipped = _vectorzero(document)
    controllers: dict[str, list[str]] = {}
    for controller in document.controllers.values():
        for id_ in controller.signals:
            controllers.setdefault(id_, []).append(controller.id)
    references: dict[str, list[SignalReference]] = {}
    for road in document.roads.values():
        for item in road.references:
            references.setdefault(item.id, []).append(item)
    out = []
    for road in document.roads.values():
        for record in road.signals:
            out.append(_post(road, record, flipped, tuple(controllers.get(record.id, ())),
                             tuple(references.get(record.id, ()))))  # fmt: skip
        for thing in road.objects if flipped else ():
            sign = _sign_object(thing)
            if sign is not None:
                post = _post(road, sign, flipped, (), (), painted=sign.type == "206")
                lane = _lane_at(road, post.s_m, post.t_m)
                out.append(post if lane == 0 or not post.painted else _restricted(post, lane))
    known = {post.id for post in out}
    for id_ in sorted((set(references) | set(controllers)) - known):
        line, element = (references[id_][0].line, "signalReference") if id_ in references else (
            document.controllers[controllers[id_][0]].line, "controller")  # fmt: skip
        document.doubt("no such signal", line, element, f"signal {id_} is referred to but is not in the file")
    return out


def _restricted(post: SignalPost, lane: int) -> SignalPost:
    return replace(post, lanes=((lane, lane),), forward=lane < 0)


def _kind(record: ObjectRecord) -> str:
    label = record.type if record.type not in ("", "-1", "none", "roadMark") else record.name
    if PAINT.match(label):
        return "paint"
    if label.startswith("Stencil"):
        return "stencil"
    if "stop" in label.lower() and "line" in label.lower():
        return "stop_line"
    return OBJECT_KINDS.get(label, label)


def _outline(road: Road, record: ObjectRecord) -> tuple[F64, float]:
    """(k, 3) outline and yaw in rad; from length and width, or radius, where the file has no corners."""
    frame = reference(road, np.array([record.s_m]))
    yaw = float(frame.hdg_rad[0]) + record.hdg_rad
    if len(record.corners) and not record.local:
        s, t, dz = record.corners[:, 0], record.corners[:, 1], record.corners[:, 2]
        return reference(road, s).place(t, dz), yaw
    corners = record.corners
    if len(corners) == 0:
        half = np.array([record.length_m, record.width_m]) / 2.0
        if record.radius_m > 0.0:
            half = np.array([record.radius_m, record.radius_m])
        signs = np.array([[1, -1], [1, 1], [-1, 1], [-1, -1]])
        corners = np.concatenate([signs * half, np.zeros((4, 2))], axis=1)
    if len(corners) > 2 and np.allclose(corners[0, :2], corners[-1, :2], atol=1e-6):
        corners = corners[:-1]
    origin = frame.place(np.array([record.t_m]), record.z_offset_m)[0]
    cos, sin = np.cos(yaw), np.sin(yaw)
    u, v, z = corners[:, 0], corners[:, 1], corners[:, 2]
    return origin + np.stack([u * cos - v * sin, u * sin + v * cos, z], axis=-1), yaw


def objects(document: Document) -> list[MapObject]:
    """All objects but the signs among them."""
    out = []
    for road in document.roads.values():
        for record in road.objects:
            if _vectorzero(document) and _sign_object(record) is not None:
                continue
            outline, yaw = _outline(road, record)
            height = max(record.height_m, float(record.corners[:, 3].max(initial=0.0)))
            out.append(MapObject(record.id, _kind(record), record.name, road.id, outline, float(wrap(yaw)), height))
    return out


def object_marks(document: Document) -> list[tuple[str, str, float, F64, float, float]]:
    """VectorZero's free lines (`SolidSingleWhite`, `DashedSingleYellow`) as the fields of a Mark."""
    out = []
    for item in objects(document):
        paint = PAINT.match(item.name)
        if item.kind == "paint" and paint and len(item.outline_m) >= 2:
            dash, gap = (1.0, 1.0) if paint[1] == "Dashed" else (0.0, 0.0)
            kind = "broken" if dash else "solid"
            out.append((kind, paint[2].lower(), 0.12, item.outline_m, dash, gap))
    return out
