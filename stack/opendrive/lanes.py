"""Drivable lanes as centre lines in driving direction, and the links between them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from stack.frames import F64, wrap
from stack.lanegraph import POINT_STEP_M
from stack.opendrive.geometry import lane_edges, lane_height, reference
from stack.opendrive.records import Document, LaneRecord, LaneSection, MapError, Road, RoadLink
from stack.opendrive.roads import RoadMap

DRIVABLE = {"driving", "entry", "exit", "onRamp", "offRamp", "connectingRamp", "slipLane", "bidirectional", "mwyEntry",
            "mwyExit"}  # fmt: skip
MIN_LENGTH_M = 0.01
MIN_WIDTH_M = 0.1  # lanes that are nowhere wider are placeholders
MAX_LENGTH_M, MAX_JUNCTION_LANE_M = 2e5, 2e3  # within junctions each lane is compared with every other
SLOPE_M = 1e-3  # half the difference from which slopes along the road are taken
Key = tuple[str, int, int]  # road id, section index, lane id
Pair = tuple[int, int]


@dataclass(frozen=True)
class GraphLane:
    """A drivable lane of one section; arrays run in driving direction, evenly spaced by step_m."""

    key: Key
    road: Road
    section: LaneSection
    record: LaneRecord
    forward: bool  # drives towards increasing s
    line_m: F64  # (n, 3)
    yaw_rad: F64  # (n,), without jumps of a full turn
    s_m: F64  # (n,) stations on the road
    width_m: F64  # (n,)
    step_m: float

    @property
    def length_m(self) -> float:
        return self.step_m * (len(self.line_m) - 1)


def graph_lanes(road_map: RoadMap) -> list[GraphLane]:
    """All drivable lanes, in the order of the file, sections along s, lanes from left to right."""
    out: list[GraphLane] = []
    for road in road_map.document.roads.values():
        for index, section in enumerate(road.sections):
            ids = sorted((i for i, lane in section.lanes.items() if i and lane.kind in DRIVABLE), reverse=True)
            if ids and section.end_m - section.s_m >= MIN_LENGTH_M:
                out += _section_lanes(road_map, road, index, ids)
    return out


def _section_lanes(road_map: RoadMap, road: Road, index: int, ids: list[int]) -> Iterator[GraphLane]:
    section = road.sections[index]
    coarse = np.linspace(section.s_m, section.end_m, int(np.ceil((section.end_m - section.s_m) / 0.5)) + 2)
    frame, edges = reference(road, coarse), lane_edges(road, section, coarse)
    stations, kept = [], []
    for id_ in ids:
        inner, outer = edges[id_]
        if np.max(np.abs(outer - inner)) < MIN_WIDTH_M:
            continue
        middle = frame.place(0.5 * (inner + outer))
        along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(middle[:, :2], axis=0).T))])
        most = MAX_LENGTH_M if road_map.junction_of(road) < 0 else MAX_JUNCTION_LANE_M
        if along[-1] > most:
            where = f"{road_map.document.file}:{section.lanes[id_].line}: <lane>"
            found = f"{named((road.id, index, id_))} {along[-1]:g} m long"
            raise MapError(f"{where}: found {found}, expected at most {most:g} m")
        if along[-1] < MIN_LENGTH_M:
            continue
        count = max(int(np.ceil(along[-1] / POINT_STEP_M - 1e-6)), 1) + 1
        stations.append(np.interp(np.linspace(0.0, along[-1], count), along, coarse))
        kept.append((id_, along[-1] / (count - 1)))
    if not kept:
        return
    s = np.concatenate(stations)
    low_s, high_s = np.maximum(s - SLOPE_M, section.s_m), np.minimum(s + SLOPE_M, section.end_m)
    three = np.concatenate([s, low_s, high_s])
    frame, edges = reference(road, three), lane_edges(road, section, three)
    reach = high_s - low_s
    hdg, hdg_low, hdg_high = np.split(frame.hdg_rad, 3)
    curvature = wrap(hdg_high - hdg_low) / reach
    start = 0
    for (id_, step), own in zip(kept, stations, strict=True):
        rows = slice(start, start + len(own))
        start = rows.stop
        inner, outer = edges[id_]
        low, high = lane_height(section.lanes[id_], three - section.s_m)
        line = frame.place(0.5 * (inner + outer), 0.5 * (low + high))[rows]
        t, t_low, t_high = np.split(0.5 * (inner + outer), 3)
        # direction of the curve at offset t(s) from a line of curvature k: (1 - k t, dt/ds); a kink of the line itself
        # would look like k without bounds
        yaw = np.unwrap((hdg + np.arctan2((t_high - t_low) / reach, np.maximum(1.0 - curvature * t, 0.2)))[rows])
        width, forward = np.abs(outer - inner)[rows], id_ < 0
        if not forward:
            line, width, own, yaw = line[::-1], width[::-1], own[::-1], yaw[::-1] + np.pi
        yield GraphLane((road.id, index, id_), road, section, section.lanes[id_], forward, line, yaw, own, width, step)


def named(key: Key) -> str:
    """A lane for people."""
    road, section, lane = key
    return f"lane {lane} of road {road}" + (f" (section {section})" if section else "")


class Linker:
    """Gathers the links between lanes; what leads nowhere is noted in the map's warnings and left out."""

    def __init__(self, road_map: RoadMap, lanes: list[GraphLane]) -> None:
        self.document: Document = road_map.document
        self.index = {lane.key: i for i, lane in enumerate(lanes)}
        self.pairs: set[Pair] = set()

    def dangling(self, line: int, element: str, text: str) -> None:
        self.document.doubt("leads nowhere", line, element, text)

    def join(self, a: Key, a_end: bool, b: Key, b_end: bool, line: int) -> None:
        """Join end or start of lane a with end or start of lane b, in the direction in which they drive."""
        if a not in self.index or b not in self.index:
            return
        a_leaves, b_leaves = (a[2] < 0) == a_end, (b[2] < 0) == b_end
        if a_leaves == b_leaves:
            self.document.doubt(
                "head-on", line, "link", f"{named(a)} and {named(b)} meet head-on; the link is left out"
            )
            return
        first, second = (a, b) if a_leaves else (b, a)
        self.pairs.add((self.index[first], self.index[second]))

    def road_sections(self, road: Road) -> None:
        for index, (section, following) in enumerate(zip(road.sections, road.sections[1:], strict=False)):
            for lane in section.lanes.values():
                for other in lane.successor:
                    self.check(following, other, lane, road)
                    self.join((road.id, index, lane.id), True, (road.id, index + 1, other), False, lane.line)
            for lane in following.lanes.values():
                for other in lane.predecessor:
                    self.join((road.id, index, other), True, (road.id, index + 1, lane.id), False, lane.line)

    def check(self, section: LaneSection, id_: int, lane: LaneRecord, road: Road) -> None:
        if id_ not in section.lanes:
            self.dangling(
                lane.line, "lane", f"lane {lane.id} of road {road.id} leads to lane {id_}, which does not exist"
            )

    def road_end(self, road: Road, link: RoadLink | None, at_end: bool) -> None:
        if link is None or link.kind != "road":
            if link is not None and link.kind == "junction" and link.id not in self.document.junctions:
                self.dangling(road.line, "road", f"road {road.id} leads to junction {link.id}, which does not exist")
            return
        other = self.document.roads.get(link.id)
        if other is None:
            self.dangling(road.line, "road", f"road {road.id} leads to road {link.id}, which does not exist")
            return
        own_index = len(road.sections) - 1 if at_end else 0
        other_end = link.contact == "end"
        other_index = len(other.sections) - 1 if other_end else 0
        for lane in road.sections[own_index].lanes.values():
            for id_ in lane.successor if at_end else lane.predecessor:
                self.check(other.sections[other_index], id_, lane, road)
                self.join((road.id, own_index, lane.id), at_end, (other.id, other_index, id_), other_end, lane.line)

    def junctions(self) -> None:
        for junction in self.document.junctions.values():
            if junction.kind == "virtual":
                text = f"the connections of junction {junction.id}, which is virtual, are left out"
                self.document.doubt("not read", junction.line, "junction", text)
                continue
            for connection in junction.connections:
                incoming = self.document.roads.get(connection.incoming)
                connecting = self.document.roads.get(connection.connecting)
                if incoming is None or connecting is None:
                    name = connection.connecting if connecting is None else connection.incoming
                    text = f"junction {junction.id} connects road {name!r}, which does not exist"
                    self.dangling(connection.line, "connection", text)
                    continue
                at_end = connection.contact == "end"
                incoming_end = _incoming_end(incoming, connecting, at_end, junction.id)
                a = len(incoming.sections) - 1 if incoming_end else 0
                b = len(connecting.sections) - 1 if at_end else 0
                for from_, to in connection.lane_links:
                    if from_ not in incoming.sections[a].lanes or to not in connecting.sections[b].lanes:
                        ends = f"lane {from_} of road {incoming.id} to lane {to} of road {connecting.id}"
                        self.dangling(
                            connection.line, "connection", f"junction {junction.id} links {ends}: no such lane"
                        )
                    self.join((incoming.id, a, from_), incoming_end, (connecting.id, b, to), at_end, connecting.line)


def _incoming_end(incoming: Road, connecting: Road, at_end: bool, junction: str) -> bool:
    """Whether the junction lies at the end of the incoming road (else at its start)."""
    link = connecting.successor if at_end else connecting.predecessor
    if link is not None and link.kind == "road" and link.id == incoming.id:
        return link.contact == "end"
    own = incoming.successor
    return own is not None and own.kind == "junction" and own.id == junction


def lane_links(road_map: RoadMap, lanes: list[GraphLane]) -> list[Pair]:
    """Sorted pairs (lane, successor), indices into `lanes`."""
    linker = Linker(road_map, lanes)
    for road in road_map.document.roads.values():
        if road.junction not in ("-1", "") and road.junction not in road_map.junction_index:
            text = f"road {road.id} belongs to junction {road.junction}, which does not exist"
            road_map.document.doubt("no such junction", road.line, "road", text)
        linker.road_sections(road)
        linker.road_end(road, road.predecessor, False)
        linker.road_end(road, road.successor, True)
    linker.junctions()
    return sorted(linker.pairs)


def neighbours(lanes: list[GraphLane]) -> tuple[list[Pair], list[tuple[bool, bool]]]:
    """For each lane its (left, right) neighbour of the same direction, -1 where none, and whether one may change."""
    index = {lane.key: i for i, lane in enumerate(lanes)}
    beside, allowed = [], []
    for lane in lanes:
        road, section, id_ = lane.key
        side = 1 if id_ > 0 else -1
        left = index.get((road, section, id_ - side), -1) if id_ != side else -1
        right = index.get((road, section, id_ + side), -1)
        beside.append((left, right))
        inner = lanes[left].record if left >= 0 else None
        allowed.append((inner is not None and _may_change(lane, inner, id_ - side > id_),
                        right >= 0 and _may_change(lane, lane.record, id_ + side > id_)))  # fmt: skip
    return beside, allowed


def _may_change(lane: GraphLane, marked: LaneRecord, increasing: bool) -> bool:
    """Whether the marking on the outer edge of `marked` lets one cross to the larger (`increasing`) or smaller lane id.

    Of several markings along the lane the longest counts. Unmarked: allowed outside junctions."""
    if not marked.marks:
        return lane.road.junction == "-1"
    starts = [m.s_offset_m for m in marked.marks] + [lane.section.end_m - lane.section.s_m]
    mark = marked.marks[int(np.argmax(np.diff(starts)))]
    if mark.change:
        return mark.change in ("both", "increase" if increasing else "decrease")
    words = mark.kind.split()
    if len(words) == 2:  # the line on one's own side counts; the first word is the inner line
        from_outside = increasing == (marked.id < 0)
        return words[1 if from_outside else 0] == "broken"
    return words[0] in ("broken", "none") if words else True
