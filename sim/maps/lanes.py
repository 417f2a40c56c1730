"""The lanes of a street from side to side, as OpenDRIVE lane sections (ASAM OpenDRIVE 1.6, section 9).

A street with left-turn lanes has three sections. Towards each end a left-turn lane opens in the median, which is then
all on the other side of the lane offset; in between each side has half of it. Its other lanes keep their numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

from lxml import etree

from sim.maps.elements import Element, put, put_cubics
from sim.maps.geometry import Knots, level_cubics
from sim.maps.streets import PARKING_END_M, Street, Style

POCKET_M = 62.0  # of left-turn lane, taper and all
TAPER_M = 20.0
PARKING_TAPER_M = 2.5
PARKING_WALK_M = 7.0  # from the middle of a crosswalk between junctions to the first place
FLAT_M = 6.0  # of median before a junction, where people cross
KEEP_LANE_M = 20.0  # before a junction, in a left-turn lane


@dataclass(frozen=True)
class Section:
    """A lane section, and the width of the left-turn lane in it that leads to the street's start or its end."""

    start_m: float
    end_m: float
    to_start_m: float = 0.0
    to_end_m: float = 0.0

    @property
    def length_m(self) -> float:
        return self.end_m - self.start_m


def write_lanes(parent: Element, street: Street, length_m: float, style: Style) -> None:
    """Lane offsets and sections of a street, left lanes from the outside in."""
    sections = _sections(street, length_m)
    for section in sections if len(sections) > 1 else ():
        cubics = level_cubics(_offset(street, section))
        put_cubics(parent, "laneOffset", "s", [(section.start_m + s, a, b, c, d) for s, a, b, c, d in cubics])
    for k, section in enumerate(sections):
        element = put(parent, "laneSection", s=section.start_m)
        left, centre, right = put(element, "left"), put(element, "center"), put(element, "right")
        middle = put(centre, "lane", id=0, type="none", level="false")
        if street.median_m > 0.0:
            turning = section.to_start_m > 0.0 or section.to_end_m > 0.0
            mark(middle, "solid" if turning else "none", style.centre, 0.15)
        elif street.oneway:
            outer_mark(middle, style)
        else:
            mark(middle, "solid" if street.solid_centre else "broken", style.centre, 0.15)
        _side(left, 1, street, section, length_m, style)
        left[:] = reversed(left)
        _side(right, -1, street, section, length_m, style)
        for lane in (*left, *right) if len(sections) > 1 else ():
            if abs(int(lane.get("id", "0"))) > 1:
                _link(lane, k > 0, k < len(sections) - 1)


def _sections(street: Street, length_m: float) -> list[Section]:
    reach = min(POCKET_M, 0.42 * length_m)
    first, last = street.pockets_m
    middle = Section(reach if first else 0.0, length_m - reach if last else length_m)
    before = [Section(0.0, reach, to_start_m=first)] if first else []
    return [*before, middle, *([Section(length_m - reach, length_m, to_end_m=last)] if last else [])]


def _pocket(section: Section) -> Knots:
    """Width of the left-turn lane along its section."""
    if section.to_end_m > 0.0:
        return [(0.0, 0.0), (TAPER_M, section.to_end_m), (section.length_m, section.to_end_m)]
    return [(0.0, section.to_start_m), (section.length_m - TAPER_M, section.to_start_m), (section.length_m, 0.0)]


def _offset(street: Street, section: Section) -> Knots:
    """Lane offset along a section: the left border of its left-turn lane, or the middle."""
    if section.to_start_m == section.to_end_m == 0.0:
        return [(0.0, 0.0), (section.length_m, 0.0)]
    sign = 1.0 if section.to_end_m > 0.0 else -1.0
    return [(s, sign * (width - 0.5 * street.median_m)) for s, width in _pocket(section)]


def _side(side: Element, sign: int, street: Street, section: Section, length_m: float, style: Style) -> None:
    """The lanes of one side, from the middle outwards; sign 1 left, -1 right."""
    count, lane = street.count(right=sign < 0), 0
    level = [(0.0, 0.0), (section.length_m, 0.0)]
    if street.median_m > 0.0:
        lane += 1
        _inner(side, sign, street, section, length_m, style)
    for k in range(1, count + 1):
        lane += 1
        element = _lane(side, sign * lane, "driving", [(s, street.lane_width_m) for s, _ in level])
        if k < count:
            mark(element, "broken", "white", 0.12, change="both")
        else:
            outer_mark(element, style)
    if street.island_m > 0.0 and sign > 0:
        _raised(_lane(side, 1, "median", [(s, street.island_m) for s, _ in level]), [(0.0, style.kerb_m)])
        return
    parked = level
    if street.parking_m > 0.0:
        lane += 1
        parked = _parking(street, length_m)
        put(_lane(side, sign * lane, "parking", parked), "roadMark", sOffset=0.0, type="none", laneChange="none")
    widths = [(s, street.corner_m - width) for s, width in parked]
    finish_verge(_lane(side, sign * (lane + 1), style.verge, widths), style)


def _inner(side: Element, sign: int, street: Street, section: Section, length_m: float, style: Style) -> None:
    """What lies beside the middle: the left-turn lane, or the median."""
    if (section.to_start_m if sign > 0 else section.to_end_m) > 0.0:
        element = _lane(side, sign, "driving", _pocket(section))
        keep = min(KEEP_LANE_M, section.length_m / 3.0)
        pieces = [(0.0, "broken", "both"), (section.length_m - keep, "solid", "none")]
        if sign > 0:
            pieces = [(0.0, "solid", "none"), (keep, "broken", "both")]
        for s, kind, change in pieces:
            mark(element, kind, "white", 0.2, change, s)
        return
    widths = [(0.0, 0.5 * street.median_m), (section.length_m, 0.5 * street.median_m)]
    if section.to_start_m > 0.0 or section.to_end_m > 0.0:
        widths = [(s, street.median_m - width) for s, width in _pocket(section)]
    element = _lane(side, sign, "median", widths)
    mark(element, "solid", style.centre, 0.15)
    heights = [(0.0, style.kerb_m)]
    if section.start_m == 0.0:
        heights = [(0.0, 0.0), (FLAT_M, style.kerb_m)]
    if section.end_m == length_m:
        heights.append((section.length_m - FLAT_M, 0.0))
    for s, height in heights:
        put(element, "height", sOffset=s, inner=height, outer=height)


def _parking(street: Street, length_m: float) -> Knots:
    """Width of a parking lane along its street: none at junctions and crosswalks."""
    ends = [
        PARKING_END_M,
        *(share * length_m + d for share in street.crossed for d in (-PARKING_WALK_M, PARKING_WALK_M)),
    ]
    ends.append(length_m - PARKING_END_M)
    knots: Knots = [(0.0, 0.0)]
    for start, end in zip(ends[::2], ends[1::2], strict=True):
        if end - start > 4.0 * PARKING_TAPER_M:
            inside = start + PARKING_TAPER_M, end - PARKING_TAPER_M
            knots += [(start, 0.0), (inside[0], street.parking_m), (inside[1], street.parking_m), (end, 0.0)]
    return [*knots, (length_m, 0.0)]


def _lane(side: Element, lane: int, kind: str, width_m: Knots) -> Element:
    element = put(side, "lane", id=lane, type=kind, level="false")
    put_cubics(element, "width", "sOffset", level_cubics(width_m))
    return element


def _link(lane: Element, before: bool, after: bool) -> None:
    lane.insert(0, link := etree.Element("link"))
    for tag in ("predecessor",) * before + ("successor",) * after:
        put(link, tag, id=lane.get("id", ""))


def _raised(lane: Element, heights_m: Knots) -> None:
    put(lane, "roadMark", sOffset=0.0, type="none", laneChange="none")
    for s, height in heights_m:
        put(lane, "height", sOffset=s, inner=height, outer=height)


def mark(lane: Element, kind: str, colour: str, width_m: float, change: str = "none", s_m: float = 0.0) -> None:
    """A painted line along a lane's outer edge."""
    put(
        lane, "roadMark", sOffset=s_m, type=kind, weight="standard", color=colour, width=width_m, laneChange=change,
        height=0.0,
    )  # fmt: skip


def outer_mark(lane: Element, style: Style) -> None:
    """The line between the lanes and the kerb."""
    mark(lane, "solid" if style.edge_lines else "curb", "white", 0.12)


def finish_verge(lane: Element, style: Style) -> None:
    """What the outermost lane has beside its width."""
    _raised(lane, [(0.0, style.kerb_m)] if style.verge == "sidewalk" else [])
