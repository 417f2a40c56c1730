"""A highway as an OpenDRIVE document: its roads and junctions, and the signs beside them.

Types of signs are those of the German catalogue (VzKat): 448 exit ahead, 450 beacons 300, 200 and 100 m before it, 449
where the deceleration lane begins, 333 at the gore. What is written on a board is in the signal's name.
"""

from __future__ import annotations

import numpy as np
from lxml import etree

from sim.maps.elements import Element, put
from sim.maps.geometry import length_m
from sim.maps.highway import OPEN_M, Highway
from sim.maps.interchange import plan
from sim.maps.roads import header
from sim.maps.sections import PlannedRoad, write_junction, write_road
from sim.maps.signals import LIMIT, LINE_WIDTH_M, STOP, YIELD, Writer
from sim.maps.streets import Style

POST_ASIDE_M = 1.3  # behind the guard rail
AHEAD_M, BEACONS_M = 500.0, (300.0, 200.0, 100.0)  # before the deceleration lane
CHEVRON_EVERY_M, CHEVRON_M = 6.0, 1.0  # bars in a gore, how thick
CHEVRON_ASIDE_M, CHEVRON_FROM_M = 0.9, 0.6  # what is left free beside them; the least wide one
LINE_BEFORE_M = 1.5  # stop lines before the end of an off-ramp


def highway_document(name: str, style: Highway, rng: np.random.Generator) -> Element:
    """All of it, as the root element."""
    network = plan(style)
    root = etree.Element("OpenDRIVE")
    paths = {road.road: road.path for road in network.roads.values()}
    header(root, name, list(paths.values()))
    roads = {road.road: write_road(root, road, network.roads) for road in network.roads.values()}
    writer = Writer(root, roads, paths, Style(), rng)
    for road in network.roads.values():
        if road.junction >= 0:
            continue
        if road.after in network.exits:
            _main_road(writer, road, f"EXIT {network.exits[road.after]}", style.near_limit_kmh)
        elif road.before in network.exits and road not in network.off_ramps:
            edge = _edge_m(road, 0)
            _sign(writer, road, 6.0, edge + POST_ASIDE_M, "333", f"arrow EXIT {network.exits[road.before]}")
        _limits(writer, road)
    for road in network.roads.values():
        if any(lane.name == "gore" for lane in road.sections[0].right):
            _chevrons(writer, road)
    for ramp in network.off_ramps:
        _ramp_end(writer, ramp, STOP if network.exits[ramp.before] == 1 else YIELD)
    for junction in sorted({road.junction for road in network.roads.values()} - {-1}):
        write_junction(root, junction, network.roads, network.priority.get(junction, []))
    return root


def _edge_m(road: PlannedRoad, section: int) -> float:
    """From the reference line to the outer edge of the right side, where it is widest."""
    return sum(max(lane.widths_m) for lane in road.sections[section].right)


def _sign(
    writer: Writer, road: PlannedRoad, s: float, right_m: float, kind: str, name: str, height_m: float = 2.2
) -> None:
    writer.signal(road.road, s, -right_m, "+", kind, name=name, zOffset=height_m)


def _limits(writer: Writer, road: PlannedRoad) -> None:
    """A sign where the road begins, for each direction that it has."""
    value = road.limit_kmh
    attributes: dict[str, str | float] = {"subtype": value, "value": value, "unit": "km/h"}
    t = _edge_m(road, 0) + POST_ASIDE_M
    writer.signal(road.road, 12.0, -t, "+", LIMIT, **attributes)
    if any(lane.kind == "driving" for lane in road.sections[0].left):
        writer.signal(road.road, length_m(road.path) - 12.0, t, "-", LIMIT, **attributes)


def _main_road(writer: Writer, road: PlannedRoad, exit_: str, near_kmh: int) -> None:
    """Everything that announces an exit, and the limit that holds past it."""
    opens = len(road.sections) - 3
    start = road.sections[opens].s_m
    aside = _edge_m(road, opens - 1) + POST_ASIDE_M
    _sign(writer, road, start - AHEAD_M, aside + 1.0, "448", f"board {exit_} {AHEAD_M:.0f} m", 2.6)
    for distance in BEACONS_M:
        _sign(writer, road, start - distance, aside, "450", f"beacon {distance / 100.0:.0f}", 1.0)
    _sign(writer, road, start + OPEN_M, _edge_m(road, opens), "449", f"gantry {exit_}", 6.7)
    writer.signal(
        road.road,
        start + 20.0,
        -_edge_m(road, opens) - POST_ASIDE_M,
        "+",
        LIMIT,
        subtype=near_kmh,
        value=near_kmh,
        unit="km/h",
    )


def _chevrons(writer: Writer, road: PlannedRoad) -> None:
    """Bars across the pavement between main line and ramp, where it is CHEVRON_FROM_M or more wide."""
    *lanes, gore = road.sections[0].right
    edge, length = sum(lane.widths_m[0] for lane in lanes) + 0.3, length_m(road.path)
    opens = gore.widths_m[0] == 0.0
    for far in np.arange(CHEVRON_EVERY_M, length, CHEVRON_EVERY_M):
        share = float(far) / length  # of the gore, from its nose
        wide = max(gore.widths_m) * share * share * (3.0 - 2.0 * share) - CHEVRON_ASIDE_M
        if wide < CHEVRON_FROM_M:
            continue
        s, lean = (float(far), -wide) if opens else (length - float(far), wide)
        bar = put(
            writer.roads[road.road].find("objects"), "object", type="roadMark", id=writer.new_id(), name="chevron", s=s,
            t=-edge - 0.5 * wide, zOffset=0.0, hdg=0.0, orientation="none", length=CHEVRON_M, width=wide, height=0.0,
        )  # fmt: skip
        outline = put(bar, "outline", id=0, closed="true")
        corners = ((0.0, 0.0), (lean, -wide), (lean + CHEVRON_M, -wide), (CHEVRON_M, 0.0))
        for index, (along, across) in enumerate(corners):
            put(outline, "cornerRoad", id=index, s=s + along, t=across - edge, dz=0.0, height=0.0)


def _ramp_end(writer: Writer, ramp: PlannedRoad, kind: str) -> None:
    """A stop or yield sign and its line."""
    s = length_m(ramp.path) - LINE_BEFORE_M
    writer.signal(ramp.road, s, -_edge_m(ramp, 0) - 0.8, "+", kind)
    width = ramp.sections[0].right[0].widths_m[0]
    line = put(
        writer.roads[ramp.road].find("objects"), "object", type="stopLine", id=writer.new_id(), name="stop_line", s=s,
        t=-0.5 * width, zOffset=0.0, hdg=0.0, pitch=0.0, roll=0.0, orientation="+", length=LINE_WIDTH_M, width=width, height=0.0,
    )  # fmt: skip
    outline = put(line, "outline", id=0, closed="true")
    for index, (a, b) in enumerate([(-1, -1), (-1, 1), (1, 1), (1, -1), (-1, -1)]):
        put(outline, "cornerLocal", id=index, u=0.5 * a * LINE_WIDTH_M, v=0.5 * b * width, z=0.0, height=0.0)
