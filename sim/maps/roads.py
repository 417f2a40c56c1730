"""Town -> OpenDRIVE 1.6 elements: header, roads with their lanes, junctions (ASAM OpenDRIVE 1.6, sections 8 to 11)."""

from __future__ import annotations

import math

from lxml import etree

from sim.maps.arms import Arm, Band, Junction, Movement
from sim.maps.elements import Element, put, put_cubics
from sim.maps.geometry import Knots, Path, length_m, level_cubics, sample
from sim.maps.junctions import Town
from sim.maps.lanes import finish_verge, outer_mark, write_lanes
from sim.maps.streets import Street, Style

GEO_REFERENCE = "+proj=tmerc +lat_0=49 +lon_0=8.4 +k=1 +x_0=0 +y_0=0 +datum=WGS84 +units=m +no_defs"

APRON_M = 4.0  # wide enough to close the gaps between the turns of our junctions


def document(name: str, town: Town, style: Style) -> tuple[Element, dict[int, Element]]:
    """The document without junction elements, and the road elements by id."""
    root = etree.Element("OpenDRIVE")
    header(root, name, list(town.paths.values()))
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


def header(root: Element, name: str, paths: list[Path]) -> None:
    """The `<header>`, with the extent of the paths."""
    points = [sample(path, 5.0) for path in paths]
    xs, ys = [p[:, 0] for p in points], [p[:, 1] for p in points]
    element = put(
        root, "header", revMajor=1, revMinor=6, name=name, version="1.00", date="2026-01-01T00:00:00",
        north=float(max(y.max() for y in ys)), south=float(min(y.min() for y in ys)),
        east=float(max(x.max() for x in xs)), west=float(min(x.min() for x in xs)),
    )  # fmt: skip
    put(element, "geoReference").text = etree.CDATA(GEO_REFERENCE)


def road_element(
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


def elevation(road: Element, knots: Knots) -> None:
    """Through (s, height) knots, level at each."""
    put_cubics(put(road, "elevationProfile"), "elevation", "s", level_cubics(knots))


def _street(root: Element, street: Street, town: Town, style: Style, ends: dict[tuple[int, bool], int]) -> Element:
    path = town.paths[street.road]
    road, link = road_element(root, street.road, f"street {street.road}", path, -1, street.limit_kmh, style.kind)
    put(link, "predecessor", elementType="junction", elementId=ends[street.road, True])
    put(link, "successor", elementType="junction", elementId=ends[street.road, False])
    start, end = (town.plan.height_m[node] for node in street.nodes)
    hills = [(share, start + share * (end - start) + above) for share, above in street.hills]
    elevation(road, [(share * length_m(path), z) for share, z in ((0.0, start), *hills, (1.0, end))])
    write_lanes(put(road, "lanes"), street, length_m(path), style)
    put(road, "objects")
    put(road, "signals")
    return road


def _connecting(root: Element, movement: Movement, junction: int, height_m: float, style: Style) -> Element:
    source, target, path = movement.source, movement.target, movement.path
    limit = min(source.street.limit_kmh, target.street.limit_kmh)
    road, link = road_element(root, movement.road, f"movement {movement.road}", path, junction, limit, style.kind)
    for tag, arm in (("predecessor", source), ("successor", target)):
        contact = "start" if arm.at_start else "end"
        put(link, tag, elementType="road", elementId=arm.street.road, contactPoint=contact)
    elevation(road, [(0.0, height_m), (length_m(path), height_m)])
    section = put(put(road, "lanes"), "laneSection", s=0.0)
    middle = put(put(section, "center"), "lane", id=0, type="none", level="false")
    put(middle, "roadMark", sOffset=0.0, type="none", laneChange="none")
    bands = movement.left or _apron(movement)
    if bands:
        section.insert(0, left := etree.Element("left"))
        for lane in range(len(bands), 0, -1):
            _band(left, lane, bands[lane - 1])
    right = put(section, "right")
    lane = _connecting_lane(right, -1, "driving" if movement.driven else "restricted", movement, movement.widths_m())
    if movement.driven:
        _link(
            lane,
            movement.source.lane_id(movement.source_lane, True),
            movement.target.lane_id(movement.target_lane, False),
        )
    if movement.corner:
        outer_mark(lane, style)
        widths = (movement.source.street.corner_m, movement.target.street.corner_m)
        verge = _connecting_lane(right, -2, style.verge, movement, widths)
        _link(verge, movement.source.verge_id(True), movement.target.verge_id(False))
        finish_verge(verge, style)
    else:
        put(lane, "roadMark", sOffset=0.0, type="none", laneChange="none")
    put(road, "objects")
    put(road, "signals")
    return road


def _apron(movement: Movement) -> tuple[Band, ...]:
    """Asphalt left of a right turn, of the lanes beside a median, and where a street goes on with one lane only.

    No movement's lane comes there: the middle of a junction has no holes."""
    source, target = movement.source.street, movement.target.street
    narrows = source.oneway != target.oneway
    widths = []
    for street in (source, target):
        width = 0.5 * street.median_m if movement.source_lane <= 1 or movement.turn == -1 else 0.0
        if movement.turn == -1 or (narrows and not street.oneway):
            width += min(APRON_M, street.lane_width_m)
        widths.append(width)
    length = length_m(movement.path)
    return (Band("restricted", tuple(level_cubics([(0.0, widths[0]), (length, widths[1])]))),) if any(widths) else ()


def _link(lane: Element, predecessor: int, successor: int) -> None:
    lane.insert(0, link := etree.Element("link"))
    put(link, "predecessor", id=predecessor)
    put(link, "successor", id=successor)


def _connecting_lane(side: Element, lane: int, kind: str, movement: Movement, widths_m: tuple[float, float]) -> Element:
    """A lane whose width goes over from that of one street to that of the next, level at both ends."""
    element = put(side, "lane", id=lane, type=kind, level="false")
    knots = [(0.0, widths_m[0]), (length_m(movement.path), widths_m[1])]
    put_cubics(element, "width", "sOffset", level_cubics(knots))
    return element


def _band(side: Element, lane: int, band: Band) -> None:
    element = put(side, "lane", id=lane, type=band.kind, level="false")
    put_cubics(element, "width", "sOffset", band.width_m)
    put(element, "roadMark", sOffset=0.0, type="none", laneChange="none")
    if band.height_m > 0.0:
        put(element, "height", sOffset=0.0, inner=band.height_m, outer=band.height_m)


def junction_element(
    root: Element, junction: Junction, priority: list[tuple[int, int]], controllers: list[int]
) -> None:
    """The `<junction>`: connections, (high, low) priorities of connecting roads, controllers in phase order."""
    element = put(root, "junction", id=junction.id, name=f"junction {junction.id}", type="default")
    for index, movement in enumerate(movement for movement in junction.movements if movement.driven):
        connection = put(
            element, "connection", id=index, incomingRoad=movement.source.street.road, connectingRoad=movement.road,
            contactPoint="start",
        )  # fmt: skip
        put(connection, "laneLink", from_=movement.source.lane_id(movement.source_lane, True), to=-1)
        if movement.corner:
            put(connection, "laneLink", from_=movement.source.verge_id(True), to=-2)
    for high, low in priority:
        put(element, "priority", high=high, low=low)
    for sequence, controller in enumerate(controllers):
        put(element, "controller", id=controller, type="0", sequence=sequence)


def beside(arm: Arm, path: Path, before_m: float, aside_m: float) -> tuple[float, float, str]:
    """(s, t, orientation) of a place on an arm: so far before the junction, so far right of the street's middle."""
    s = before_m if arm.at_start else length_m(path) - before_m
    return s, math.copysign(aside_m, 1.0 if arm.at_start else -1.0), "-" if arm.at_start else "+"
