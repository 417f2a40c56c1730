"""Roads by their cross-sections: lanes from the middle outwards, section after section, as OpenDRIVE elements.

Lanes are joined by name: a lane goes on in the next section, or in the road behind a joint, where that has a lane of
its name; one whose name is missing there begins or ends (ASAM OpenDRIVE 1.6, sections 9 and 10). Right-hand traffic.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lxml import etree

from sim.maps.elements import Element, put, put_cubics
from sim.maps.geometry import Path, length_m, level_cubics
from sim.maps.roads import elevation, road_element


@dataclass(frozen=True)
class Line:
    """What is painted on a lane's outer edge. change: who may cross it; "increase" leads to larger lane ids."""

    kind: str = "none"  # none, solid, broken
    width_m: float = 0.15
    change: str = "none"  # none, both, increase, decrease
    dash_m: float = 0.0
    gap_m: float = 0.0


@dataclass(frozen=True)
class Lane:
    """A lane of a section. Its width goes through evenly spaced knots, level at each; limit 0: the road's."""

    name: str
    kind: str  # OpenDRIVE lane type
    widths_m: tuple[float, ...]
    line: Line = Line()
    limit_kmh: int = 0


@dataclass(frozen=True)
class Section:
    """A lane section that starts at s_m: lanes right and left of the reference line, each from the middle outwards."""

    s_m: float
    right: tuple[Lane, ...]
    left: tuple[Lane, ...] = ()
    middle: Line = Line()

    def ids(self) -> dict[str, int]:
        """OpenDRIVE id of each lane, by name."""
        right = {lane.name: -1 - k for k, lane in enumerate(self.right)}
        return right | {lane.name: 1 + k for k, lane in enumerate(self.left)}


@dataclass(frozen=True)
class Joint:
    """The road at the end of a connecting road, and the names that lanes have there, where they differ."""

    road: int
    at_start: bool  # of that road
    names: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class PlannedRoad:
    """A road. Its two ends are ids of junctions; those of a junction's connecting road are joints."""

    road: int
    name: str
    path: Path
    kind: str  # OpenDRIVE road type
    limit_kmh: int
    heights_m: tuple[tuple[float, float], ...]  # (s, height), level at each
    sections: tuple[Section, ...]
    before: int | Joint
    after: int | Joint
    junction: int = -1

    def end_section(self, at_start: bool) -> Section:
        return self.sections[0 if at_start else -1]


Roads = Mapping[int, PlannedRoad]


def write_road(root: Element, plan: PlannedRoad, roads: Roads) -> Element:
    """The `<road>` of a plan; `roads` has those that it joins."""
    length = length_m(plan.path)
    road, link = road_element(root, plan.road, plan.name, plan.path, plan.junction, plan.limit_kmh, plan.kind)
    for tag, end in (("predecessor", plan.before), ("successor", plan.after)):
        if isinstance(end, Joint):
            contact = "start" if end.at_start else "end"
            put(link, tag, elementType="road", elementId=end.road, contactPoint=contact)
        else:
            put(link, tag, elementType="junction", elementId=end)
    elevation(road, list(plan.heights_m))
    lanes = put(road, "lanes")
    before = [_ids_behind(plan.before, roads), *(section.ids() for section in plan.sections[:-1])]
    after = [*(section.ids() for section in plan.sections[1:]), _ids_behind(plan.after, roads)]
    ends = [*(section.s_m for section in plan.sections[1:]), length]
    for section, end_m, low, high in zip(plan.sections, ends, before, after, strict=True):
        element = put(lanes, "laneSection", s=section.s_m)
        left, middle, right = (etree.Element(side) for side in ("left", "center", "right"))
        centre = put(middle, "lane", id=0, type="none", level="false")
        _write_line(centre, section.middle)
        ids = section.ids()
        for side, group in ((left, reversed(section.left)), (right, section.right)):
            for lane in group:
                _write_lane(side, lane, ids[lane.name], end_m - section.s_m, low.get(lane.name), high.get(lane.name))
        element.extend([part for part in (left, middle, right) if len(part)])
    put(road, "objects")
    put(road, "signals")
    return road


def _ids_behind(end: int | Joint, roads: Roads) -> dict[str, int]:
    """Own lane name -> id of the lane behind a joint."""
    if not isinstance(end, Joint):
        return {}
    there = roads[end.road].end_section(end.at_start).ids()
    return there | {own: there[name] for own, name in end.names.items()}


def _write_lane(side: Element, lane: Lane, id_: int, length: float, before: int | None, after: int | None) -> None:
    element = put(side, "lane", id=id_, type=lane.kind, level="false")
    if before is not None or after is not None:
        link = put(element, "link")
        for tag, other in (("predecessor", before), ("successor", after)):
            if other is not None:
                put(link, tag, id=other)
    piece = length / (len(lane.widths_m) - 1)
    put_cubics(element, "width", "sOffset", level_cubics([(k * piece, width) for k, width in enumerate(lane.widths_m)]))
    _write_line(element, lane.line)
    if lane.limit_kmh:
        put(element, "speed", sOffset=0.0, max=lane.limit_kmh, unit="km/h")


def _write_line(lane: Element, line: Line) -> None:
    mark = put(
        lane, "roadMark", sOffset=0.0, type=line.kind, weight="standard", color="white", width=line.width_m,
        laneChange=line.change, height=0.0,
    )  # fmt: skip
    if line.dash_m:
        pattern = put(mark, "type", name=line.kind, width=line.width_m)
        put(
            pattern,
            "line",
            length=line.dash_m,
            space=line.gap_m,
            tOffset=0.0,
            sOffset=0.0,
            rule="none",
            width=line.width_m,
        )


def write_junction(root: Element, junction: int, roads: Roads, priority: list[tuple[int, int]]) -> None:
    """The `<junction>` of all connecting roads planned for it; priority: (high, low) connecting roads."""
    element = put(root, "junction", id=junction, name=f"junction {junction}", type="default")
    for index, plan in enumerate(p for p in roads.values() if p.junction == junction):
        if not isinstance(plan.before, Joint):
            raise ValueError(f"road {plan.road}: found no joint before it, expected one in junction {junction}")
        connection = put(
            element,
            "connection",
            id=index,
            incomingRoad=plan.before.road,
            connectingRoad=plan.road,
            contactPoint="start",
        )
        there = _ids_behind(plan.before, roads)
        for name, id_ in plan.sections[0].ids().items():
            if name in there and id_ < 0:
                put(connection, "laneLink", from_=there[name], to=id_)
    for high, low in priority:
        put(element, "priority", high=high, low=low)
