"""What an OpenDRIVE file says, as typed records. Names follow ASAM OpenDRIVE 1.8; SI units and radians."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from stack.frames import F64


class MapError(ValueError):
    """A map that cannot be read; the text is `FILE:LINE: <element>: found ..., expected ...`."""


@dataclass(frozen=True)
class Doubt:
    """Something in a file that is left out or looks wrong, and does not keep the map from being used."""

    kind: str  # a few words that all of its kind share
    line: int
    element: str
    text: str


@dataclass(frozen=True)
class Geometry:
    """One record of the plan view. `params`: line (), arc (curvature,), spiral (start, end curvature),
    poly3 (a, b, c, d), paramPoly3 (aU, bU, cU, dU, aV, bV, cV, dV); `normalized`: its p runs from 0 to 1."""

    kind: str
    s_m: float
    x_m: float
    y_m: float
    hdg_rad: float
    length_m: float
    params: tuple[float, ...] = ()
    normalized: bool = False


@dataclass(frozen=True)
class RoadMark:
    """Marking of a lane's outer edge from `s_offset_m` on; `change` is both, increase, decrease, none or ""."""

    s_offset_m: float
    kind: str
    colour: str
    width_m: float
    change: str
    lines: tuple[tuple[float, float, float, float], ...]  # length, space, t offset, width in m


@dataclass(frozen=True)
class LaneRecord:
    id: int
    kind: str
    width: F64  # (n, 5): s offset from the section's start, a, b, c, d
    border: F64  # (n, 5), used where there is no width
    height: F64  # (n, 3): s offset, inner, outer
    marks: tuple[RoadMark, ...]
    predecessor: tuple[int, ...]
    successor: tuple[int, ...]
    speed: tuple[tuple[float, float], ...]  # (s offset, m/s)
    line: int


@dataclass(frozen=True)
class LaneSection:
    s_m: float
    end_m: float
    lanes: dict[int, LaneRecord]


@dataclass(frozen=True)
class RoadLink:
    kind: str  # road or junction
    id: str
    contact: str  # start, end, or "" for junctions


@dataclass(frozen=True)
class SignalReference:
    id: str
    road: str
    s_m: float
    orientation: str
    lanes: tuple[tuple[int, int], ...]  # validity, from lane to lane
    line: int


@dataclass(frozen=True)
class SignalRecord:
    id: str
    name: str
    type: str
    subtype: str
    dynamic: bool
    s_m: float
    t_m: float
    z_offset_m: float
    h_offset_rad: float
    orientation: str
    value: float
    unit: str
    height_m: float
    width_m: float
    lanes: tuple[tuple[int, int], ...]
    line: int


@dataclass(frozen=True)
class ObjectRecord:
    """`corners`: (k, 4) of cornerRoad (s, t, dz, height) or cornerLocal (u, v, z, height)."""

    id: str
    name: str
    type: str
    s_m: float
    t_m: float
    z_offset_m: float
    hdg_rad: float
    orientation: str
    length_m: float
    width_m: float
    radius_m: float
    height_m: float
    local: bool
    corners: F64
    line: int


@dataclass(frozen=True)
class Road:
    id: str
    name: str
    length_m: float
    junction: str  # "-1": none
    kind: str  # OpenDRIVE road type at its start: town, rural, motorway, ...; "" where none is given
    predecessor: RoadLink | None
    successor: RoadLink | None
    speed: tuple[tuple[float, float | None], ...]  # (s, m/s), None where the type gives no limit
    geometry: tuple[Geometry, ...]
    elevation: F64  # (n, 5)
    superelevation: F64
    lane_offset: F64
    sections: tuple[LaneSection, ...]
    signals: tuple[SignalRecord, ...]
    references: tuple[SignalReference, ...]
    objects: tuple[ObjectRecord, ...]
    line: int


@dataclass(frozen=True)
class Connection:
    incoming: str
    connecting: str
    contact: str
    lane_links: tuple[tuple[int, int], ...]
    line: int


@dataclass(frozen=True)
class Junction:
    id: str
    name: str
    kind: str  # default, direct, virtual
    connections: tuple[Connection, ...]
    priorities: tuple[tuple[str, str], ...]  # (high road, low road)
    controllers: tuple[tuple[str, int | None], ...]  # (controller id, sequence)
    line: int


@dataclass(frozen=True)
class Controller:
    id: str
    name: str
    signals: tuple[str, ...]
    settings: dict[str, float]  # green_s, red_s from userData of our own maps
    line: int


@dataclass(frozen=True)
class Document:
    file: str
    vendor: str
    georeference: str
    roads: dict[str, Road]
    junctions: dict[str, Junction]
    controllers: dict[str, Controller]
    doubts: dict[Doubt, None] = field(default_factory=dict)  # as an ordered set
    text: str = ""  # what was read

    def doubt(self, kind: str, line: int, element: str, text: str) -> None:
        self.doubts[Doubt(kind, line, element, text)] = None


EMPTY_POLY: F64 = np.zeros((0, 5))
