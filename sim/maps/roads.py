"""Town -> OpenDRIVE 1.6 elements: header, roads with their lanes, junctions (ASAM OpenDRIVE 1.6, sections 8 to 11)."""

from __future__ import annotations

import itertools
import math

from lxml import etree

from sim.maps.geometry import Path, length_m, sample
from sim.maps.junctions import Arm, Junction, Movement, Town
from sim.maps.streets import Street, Style

Element = etree._Element
GEO_REFERENCE = "+proj=tmerc +lat_0=49 +lon_0=8.4 +k=1 +x_0=0 +y_0=0 +datum=WGS84 +units=m +no_defs"

APRON_M = 4.0  # wide enough to close the gaps between the turns of our junctions


def number(value: float) -> str:
    """Nine decimals, which keeps 100 m arcs true to a micrometre; no negative zero."""
    text = f"{value:.9f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def put(parent: Element, tag: str, **attributes: str | float) -> Element:
    """A child element; floats as short decimals; a trailing underscore keeps a name clear of Python's keywords."""
    written = {
        key.rstrip("_"): number(value) if isinstance(value, float) else str(value) for key, value in attributes.items()
    }
    return etree.SubElement(parent, tag, written)


def document(name: str, town: Town, style: Style) -> tuple[Element, dict[int, Element]]:
    """The document without junction elements, and the road elements by id."""
    root = etree.Element("OpenDRIVE")
    _header(root, name, town)
    roads: dict[int, Element] = {}
    ends: dict[tuple[int, bool], int] = {}
    for junction in town.junctions:
        for arm in junction.arms:
            ends[arm.street.road, arm.at_start] = junction.id
    for street in town.plan.streets:
        roads[street.road] = _street(root, street, town, style, ends)
    for junction in town.junctions:
        for movement in junction.movements:
            height = town.plan.height_m[junction.node]
            roads[movement.road] = _connecting(root, movement, junction.id, height, style)
    return root, roads


def _header(root: Element, name: str, town: Town) -> None:
    points = [sample(path, 5.0) for path in town.paths.values()]
    xs, ys = [p[:, 0] for p in points], [p[:, 1] for p in points]
    header = put(
        root, "header", revMajor=1, revMinor=6, name=name, version="1.00", date="2026-01-01T00:00:00",
        north=float(max(y.max() for y in ys)), south=float(min(y.min() for y in ys)),
        east=float(max(x.max() for x in xs)), west=float(min(x.min() for x in xs)),
    )  # fmt: skip
    put(header, "geoReference").text = etree.CDATA(GEO_REFERENCE)


def _road(
    root: Element, road: int, name: str, path: Path, junction: int, limit_kmh: int, kind: str
) -> tuple[Element, Element]:
    """A road with its plan view, and its link element, still empty."""
    element = put(root, "road", name=name, length=length_m(path), id=road, junction=junction, rule="RHT")
    link = put(element, "link")
    put(put(element, "type", s=0.0, type=kind), "speed", max=limit_kmh, unit="km/h")
    plan = put(element, "planView")
    for curve in path:
        geometry = put(
            plan, "geometry", s=curve.s_m, x=curve.x_m, y=curve.y_m, hdg=curve.heading_rad, length=curve.length_m
        )
        if curve.start_1pm == curve.end_1pm == 0.0:
            put(geometry, "line")
        elif curve.start_1pm == curve.end_1pm:
            put(geometry, "arc", curvature=curve.start_1pm)
        else:
            put(geometry, "spiral", curvStart=curve.start_1pm, curvEnd=curve.end_1pm)
    return element, link


def _level_cubic(element: Element, length: float, start: float, end: float) -> None:
    """The polynomial a + b s + c s2 + d s3 from start to end that is level at both."""
    rise = end - start
    c, d = (f"{value + 0.0:.12g}" for value in (3.0 * rise / length**2, -2.0 * rise / length**3))
    element.attrib.update({"a": number(start), "b": "0", "c": c, "d": d})


def _elevation(road: Element, knots: list[tuple[float, float]]) -> None:
    """Through (s, height) knots, level at each."""
    profile = put(road, "elevationProfile")
    for (s, start_m), (end_s, end_m) in itertools.pairwise(knots):
        _level_cubic(put(profile, "elevation", s=s), end_s - s, start_m, end_m)


def _street(root: Element, street: Street, town: Town, style: Style, ends: dict[tuple[int, bool], int]) -> Element:
    path = town.paths[street.road]
    road, link = _road(root, street.road, f"street {street.road}", path, -1, street.limit_kmh, style.kind)
    put(link, "predecessor", elementType="junction", elementId=ends[street.road, True])
    put(link, "successor", elementType="junction", elementId=ends[street.road, False])
    start, end = (town.plan.height_m[node] for node in street.nodes)
    hills = [(share, start + share * (end - start) + above) for share, above in street.hills]
    _elevation(road, [(share * length_m(path), z) for share, z in ((0.0, start), *hills, (1.0, end))])
    section = put(put(road, "lanes"), "laneSection", s=0.0)
    left, centre, right = put(section, "left"), put(section, "center"), put(section, "right")
    middle = put(centre, "lane", id=0, type="none", level="false")
    _mark(middle, "solid" if street.solid_centre else "broken", style.centre, 0.15)
    for lane in range(street.lanes + 1, 0, -1):
        _street_lane(left, lane, street, style)
    for lane in range(1, street.lanes + 2):
        _street_lane(right, -lane, street, style)
    put(road, "objects")
    put(road, "signals")
    return road


def _street_lane(side: Element, lane: int, street: Street, style: Style) -> None:
    verge = abs(lane) > street.lanes
    element = put(side, "lane", id=lane, type=style.verge if verge else "driving", level="false")
    width = street.verge_m if verge else street.lane_width_m
    put(element, "width", sOffset=0.0, a=width, b=0.0, c=0.0, d=0.0)
    if verge:
        _verge(element, style)
    elif abs(lane) < street.lanes:
        _mark(element, "broken", "white", 0.12, change="both")
    else:
        _outer_mark(element, style)


def _mark(lane: Element, kind: str, colour: str, width_m: float, change: str = "none") -> None:
    put(
        lane, "roadMark", sOffset=0.0, type=kind, weight="standard", color=colour, width=width_m, laneChange=change,
        height=0.0,
    )  # fmt: skip


def _verge(lane: Element, style: Style) -> None:
    """What the outermost lane has beside its width."""
    put(lane, "roadMark", sOffset=0.0, type="none", laneChange="none")
    if style.verge == "sidewalk":
        put(lane, "height", sOffset=0.0, inner=style.kerb_m, outer=style.kerb_m)


def _outer_mark(lane: Element, style: Style) -> None:
    _mark(lane, "solid" if style.edge_lines else "curb", "white", 0.12)


def _connecting(root: Element, movement: Movement, junction: int, height_m: float, style: Style) -> Element:
    source, target, path = movement.source, movement.target, movement.path
    limit = min(source.street.limit_kmh, target.street.limit_kmh)
    road, link = _road(root, movement.road, f"movement {movement.road}", path, junction, limit, style.kind)
    for tag, arm in (("predecessor", source), ("successor", target)):
        contact = "start" if arm.at_start else "end"
        put(link, tag, elementType="road", elementId=arm.street.road, contactPoint=contact)
    _elevation(road, [(0.0, height_m), (length_m(path), height_m)])
    section = put(put(road, "lanes"), "laneSection", s=0.0)
    middle = put(put(section, "center"), "lane", id=0, type="none", level="false")
    put(middle, "roadMark", sOffset=0.0, type="none", laneChange="none")
    if movement.turn == -1:
        _apron(section, movement)
    right = put(section, "right")
    widths = (source.street.lane_width_m, target.street.lane_width_m)
    lane = _connecting_lane(right, -1, "driving", movement, widths)
    if movement.corner:
        _outer_mark(lane, style)
        widths = (source.street.verge_m, target.street.verge_m)
        _verge(_connecting_lane(right, -2, style.verge, movement, widths), style)
    else:
        put(lane, "roadMark", sOffset=0.0, type="none", laneChange="none")
    put(road, "objects")
    put(road, "signals")
    return road


def _apron(section: Element, movement: Movement) -> None:
    """Asphalt left of a right turn, where no movement's lane comes: the middle of a junction has no holes."""
    left = etree.Element("left")
    section.insert(0, left)
    lane = put(left, "lane", id=1, type="restricted", level="false")
    widths = [min(APRON_M, arm.street.lane_width_m) for arm in (movement.source, movement.target)]
    _level_cubic(put(lane, "width", sOffset=0.0), length_m(movement.path), *widths)
    put(lane, "roadMark", sOffset=0.0, type="none", laneChange="none")


def _connecting_lane(side: Element, lane: int, kind: str, movement: Movement, widths_m: tuple[float, float]) -> Element:
    """A lane whose width goes over from that of one street to that of the next, level at both ends."""
    element = put(side, "lane", id=lane, type=kind, level="false")
    link = put(element, "link")
    extra = -1 - lane  # 1 for the verge, which lies one lane further out
    put(link, "predecessor", id=movement.source.lane_id(movement.source_lane + extra, entering=True))
    put(link, "successor", id=movement.target.lane_id(movement.target_lane + extra, entering=False))
    _level_cubic(put(element, "width", sOffset=0.0), length_m(movement.path), *widths_m)
    return element


def junction_element(
    root: Element, junction: Junction, priority: list[tuple[int, int]], controllers: list[int]
) -> None:
    """The `<junction>`: connections, (high, low) priorities of connecting roads, controllers in phase order."""
    element = put(root, "junction", id=junction.id, name=f"junction {junction.id}", type="default")
    for index, movement in enumerate(junction.movements):
        connection = put(
            element, "connection", id=index, incomingRoad=movement.source.street.road, connectingRoad=movement.road,
            contactPoint="start",
        )  # fmt: skip
        lanes = (0, 1) if movement.corner else (0,)
        for extra in lanes:
            start = movement.source.lane_id(movement.source_lane + extra, entering=True)
            put(connection, "laneLink", from_=start, to=-1 - extra)
    for high, low in priority:
        put(element, "priority", high=high, low=low)
    for sequence, controller in enumerate(controllers):
        put(element, "controller", id=controller, type="0", sequence=sequence)


def beside(arm: Arm, path: Path, before_m: float, aside_m: float) -> tuple[float, float, str]:
    """(s, t, orientation) of a place on an arm: so far before the junction, so far right of the street's middle."""
    s = before_m if arm.at_start else length_m(path) - before_m
    return s, math.copysign(aside_m, 1.0 if arm.at_start else -1.0), "-" if arm.at_start else "+"
