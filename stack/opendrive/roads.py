"""RoadMap: what stands and lies on the roads of an OpenDRIVE map, in world coordinates.

World frame: the map's own (x east, y north, z up), m and rad. `strips` and `marks` are what scenery is made of.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from stack.frames import F64
from stack.opendrive.furniture import MapObject, SignalPost, object_marks, objects, signals
from stack.opendrive.geometry import RoadFrame, lane_edges, lane_height, reference
from stack.opendrive.records import Document, Junction, LaneRecord, LaneSection, Road, RoadMark

DASH_M, GAP_M = 3.0, 6.0  # of broken lines whose pattern the file leaves open (German RMS, inside towns)
DOUBLE_SPACING_M = 0.24  # between the axes of a double line
UNPAINTED = ("none", "curb", "grass", "edge")


@dataclass(frozen=True)
class Strip:
    """One lane of one section as a ribbon; left and right as seen in the direction of increasing s."""

    road: str
    section: int
    lane: int
    kind: str  # OpenDRIVE lane type
    junction: int  # index into RoadMap.junctions, -1 outside
    left_m: F64  # (n, 3)
    right_m: F64  # (n, 3)
    s_m: F64  # (n,)


@dataclass(frozen=True)
class Mark:
    """One painted line. dash_m = 0: unbroken."""

    kind: str  # solid, broken, ...
    colour: str
    width_m: float
    line_m: F64  # (n, 3)
    dash_m: float
    gap_m: float


@dataclass(frozen=True)
class RoadMap:
    """A map that has been read. Everything in world coordinates is worked out on first use."""

    name: str
    document: Document

    @property
    def warnings(self) -> list[str]:
        """What was found doubtful so far: by the reader, and by what has been worked out since."""
        return [f"{self.document.file}:{d.line}: <{d.element}>: {d.text}" for d in self.document.doubts]

    @property
    def georeference(self) -> str:
        """PROJ text, "" where the file has none."""
        return self.document.georeference

    @property
    def junctions(self) -> list[Junction]:
        """In the order of the file; indices of junctions count in this list."""
        return list(self.document.junctions.values())

    @cached_property
    def junction_index(self) -> dict[str, int]:
        return {id_: i for i, id_ in enumerate(self.document.junctions)}

    def junction_of(self, road: Road) -> int:
        return self.junction_index.get(road.junction, -1)

    @cached_property
    def signals(self) -> list[SignalPost]:
        return signals(self.document)

    @cached_property
    def objects(self) -> list[MapObject]:
        return objects(self.document)

    def strips(self, step_m: float = 2.0) -> list[Strip]:
        """Ribbons of all lanes of all types, with stations at most step_m apart."""
        out = []
        for road, index, section, s, frame in self._stations(step_m):
            for id_, (inner, outer) in lane_edges(road, section, s).items():
                if id_ == 0:
                    continue
                low, high = lane_height(section.lanes[id_], s - section.s_m)
                edges = frame.place(inner, low), frame.place(outer, high)
                left, right = edges if id_ < 0 else edges[::-1]
                out.append(Strip(road.id, index, id_, section.lanes[id_].kind, self.junction_of(road), left, right, s))
        return out

    def marks(self, step_m: float = 1.0) -> list[Mark]:
        """Painted lines, with points at most step_m apart; double lines as two."""
        out = []
        for road, _, section, s, frame in self._stations(step_m):
            edges = lane_edges(road, section, s)
            for id_, lane in section.lanes.items():
                for mark, rows in _mark_spans(section, lane, s):
                    out += _mark_lines(mark, id_, frame, edges[id_][1], rows)
        return out + [Mark(*line) for line in object_marks(self.document)]

    def _stations(self, step_m: float) -> Iterator[tuple[Road, int, LaneSection, F64, RoadFrame]]:
        for road in self.document.roads.values():
            for index, section in enumerate(road.sections):
                length = section.end_m - section.s_m
                if length > 1e-6:
                    s = np.linspace(section.s_m, section.end_m, int(np.ceil(length / step_m)) + 1)
                    yield road, index, section, s, reference(road, s)


def _mark_spans(section: LaneSection, lane: LaneRecord, s_m: F64) -> Iterator[tuple[RoadMark, slice]]:
    starts = [section.s_m + mark.s_offset_m for mark in lane.marks] + [section.end_m]
    for mark, (start, end) in zip(lane.marks, pairwise(starts), strict=True):
        rows = slice(int(np.searchsorted(s_m, start - 1e-6)), int(np.searchsorted(s_m, end + 1e-6)))
        if mark.kind not in UNPAINTED and rows.stop - rows.start >= 2:
            yield mark, rows


def _mark_lines(mark: RoadMark, lane: int, frame: RoadFrame, t_m: F64, rows: slice) -> list[Mark]:
    """Lines of one record; tOffset and the words of "solid broken" count from the inside to the outside of the road."""
    kinds = mark.kind.split()
    if mark.lines:
        pattern = [(dash if gap > 0.0 else 0.0, gap, offset, width) for dash, gap, offset, width in mark.lines]
    else:
        shift = [0.0] if len(kinds) == 1 else [(i - 0.5) * DOUBLE_SPACING_M for i in range(len(kinds))]
        outward = -1.0 if lane <= 0 else 1.0
        dashes = [(DASH_M, GAP_M) if kind == "broken" else (0.0, 0.0) for kind in kinds]
        pattern = [(*dash, o * outward, mark.width_m) for dash, o in zip(dashes, shift, strict=True)]
    part = RoadFrame(frame.x_m[rows], frame.y_m[rows], frame.z_m[rows], frame.hdg_rad[rows], frame.roll_rad[rows])
    return [
        Mark(
            "broken" if gap > 0.0 else "solid",
            mark.colour,
            width or mark.width_m,
            part.place(t_m[rows] + offset),
            dash,
            gap,
        )
        for dash, gap, offset, width in pattern
    ]
