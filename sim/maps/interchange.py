"""Diamond interchanges: ramps, the junctions at their upper ends, the road over the motorway and the one that links them.

A ramp's reference line is the left border of its one lane, from the outermost lane of the motorway to the crossing road
and back; the part in the gore is a connecting road, the rest a road. The junctions at the ramps' upper ends are level
squares of JUNCTION_M each way; restricted lanes close the gaps between their turns.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from sim.maps.geometry import Path, between, cut, length_m, pose, rounded
from sim.maps.highway import (
    MARGIN_M,
    NOSE_M,
    RAMP_M,
    Carriageway,
    Gore,
    Highway,
    Network,
    beside,
    carriageways,
    plan_carriageway,
)
from sim.maps.sections import Joint, Lane, Line, PlannedRoad, Section
from stack.frames import F64

JUNCTION_M = 18.0  # from the middle of a junction to its arms
LANE_M, VERGE_M = 3.5, 1.25  # of the crossing road
RAMP_SHOULDER_M = 1.75
LEAVE_M, ARRIVE_M = 70.0, 70.0  # straight parts of the ramps' polylines, before they are rounded
CLIMB_M = 165.0  # the linking road comes down from the ramps' level in so much
EDGE = Line("solid", 0.12)
CENTRE = Line("solid", 0.12)
APRON_M = 5.0


@dataclass(frozen=True)
class Arm:
    """A road's end at a junction. enters, leaves: names of its lanes into and out of the junction, "" where none."""

    road: PlannedRoad
    at_start: bool
    enters: str
    leaves: str

    @property
    def point_m(self) -> F64:
        """(2,) the left border of both lanes."""
        return np.array(pose(self.road.path, 0.0 if self.at_start else length_m(self.road.path))[:2])

    @property
    def heading_rad(self) -> float:
        """Of traffic that enters the junction."""
        heading = pose(self.road.path, 0.0 if self.at_start else length_m(self.road.path))[2]
        return heading + math.pi if self.at_start else heading

    @property
    def width_m(self) -> float:
        return RAMP_M if self.road.kind == "motorway" else LANE_M

    @property
    def verge_m(self) -> float:
        return RAMP_SHOULDER_M if self.road.kind == "motorway" else VERGE_M


@dataclass(frozen=True)
class Terminal:
    """The junction at the upper end of two ramps: where it lies, and the way of the traffic that leaves the motorway."""

    junction: int
    middle_m: F64  # (2,)
    heading_rad: float


def plan(style: Highway) -> Network:
    """The whole motorway with its interchanges."""
    network, ways = Network(), carriageways(style)
    gores = [plan_carriageway(network, way, style, [10001 + 4 * k + j for j in range(4)]) for k, way in enumerate(ways)]
    inner: list[Arm] = []
    for k in range(2):
        pairs = ((ways[0], gores[0][k], 10009 + 2 * k), (ways[1], gores[1][1 - k], 10010 + 2 * k))
        ends = [_terminal(way, 0.5 * (off.at_m + on.at_m), junction, style) for way, (off, on), junction in pairs]
        over = _overpass(network, ends[0], ends[1], style)
        arms = []
        for (way, (off, on), _), terminal in zip(pairs, ends, strict=True):
            arms.append([_off_ramp(network, way, off, terminal, style), _on_ramp(network, way, on, terminal, style)])
            network.off_ramps.append(arms[-1][0].road)
            network.exits[off.junction] = k + 1
        _outer(network, ends[0].junction, *arms[0], Arm(over, True, "left", "right"))
        inner += [*arms[1], Arm(over, False, "right", "left")]
    link = _link(network, inner[2], inner[5], (10010, 10012), style)
    _inner(network, 10010, *inner[:3], Arm(link, True, "left", "right"))
    _inner(network, 10012, *inner[3:], Arm(link, False, "right", "left"))
    return network


def _terminal(way: Carriageway, bridge_m: float, junction: int, style: Highway) -> Terminal:
    return Terminal(junction, *beside(way, bridge_m, style.aside_m))


def _ahead(heading: float) -> F64:
    return np.array([math.cos(heading), math.sin(heading)])


def _left(heading: float) -> F64:
    return np.array([-math.sin(heading), math.cos(heading)])


# ---------------------------------------------------------------- ramps


def _ramp_section(s_m: float = 0.0, margin: tuple[float, ...] = (MARGIN_M, MARGIN_M), shoulder: tuple[float, ...] = (
    RAMP_SHOULDER_M, RAMP_SHOULDER_M)) -> Section:  # fmt: skip
    lane = Lane("ramp", "driving", (RAMP_M, RAMP_M), EDGE)
    return Section(s_m, (lane, Lane("shoulder", "shoulder", shoulder)), (Lane("inside", "shoulder", margin),), EDGE)


def _off_ramp(network: Network, way: Carriageway, gore: Gore, terminal: Terminal, style: Highway) -> Arm:
    start, heading = beside(way, gore.at_m, gore.edge_m)
    ahead = _ahead(terminal.heading_rad)
    end = terminal.middle_m - JUNCTION_M * ahead + 0.5 * RAMP_M * _left(terminal.heading_rad)
    path = _ramp_path(start, start + LEAVE_M * _ahead(heading), end - ARRIVE_M * ahead, end)
    length = length_m(path)
    rest = length - NOSE_M
    ramp = network.add(
        name=f"off-ramp {gore.junction}", path=cut(path, NOSE_M, length), kind="motorway", limit_kmh=style.ramp_limit_kmh,
        heights_m=((0.0, 0.0), (rest, style.terminal_m)), sections=(_ramp_section(),), before=gore.junction,
        after=terminal.junction,
    )  # fmt: skip
    network.add(
        name=f"off gore {gore.junction}", path=cut(path, 0.0, NOSE_M), kind="motorway", limit_kmh=style.ramp_limit_kmh,
        heights_m=((0.0, 0.0), (NOSE_M, 0.0)), sections=(_ramp_section(0.0, (0.0, MARGIN_M), (2.5, RAMP_SHOULDER_M)),),
        before=Joint(gore.main.road, False, {"ramp": "off"}), after=Joint(ramp.road, True), junction=gore.junction,
    )  # fmt: skip
    return Arm(ramp, False, "ramp", "")


def _on_ramp(network: Network, way: Carriageway, gore: Gore, terminal: Terminal, style: Highway) -> Arm:
    end, heading = beside(way, gore.at_m, gore.edge_m)
    ahead = _ahead(terminal.heading_rad)
    start = terminal.middle_m + JUNCTION_M * ahead + 0.5 * RAMP_M * _left(terminal.heading_rad)
    path = _ramp_path(start, start + ARRIVE_M * ahead, end - LEAVE_M * _ahead(heading), end)
    length = length_m(path)
    rest = length - NOSE_M
    ramp = network.add(
        name=f"on-ramp {gore.junction}", path=cut(path, 0.0, rest), kind="motorway", limit_kmh=style.ramp_limit_kmh,
        heights_m=((0.0, style.terminal_m), (rest, 0.0)), sections=(_ramp_section(),), before=terminal.junction,
        after=gore.junction,
    )  # fmt: skip
    network.add(
        name=f"on gore {gore.junction}", path=cut(path, rest, length), kind="motorway", limit_kmh=style.near_limit_kmh,
        heights_m=((0.0, 0.0), (NOSE_M, 0.0)), sections=(_ramp_section(0.0, (MARGIN_M, 0.0), (RAMP_SHOULDER_M, 2.5)),),
        before=Joint(ramp.road, False), after=Joint(gore.main.road, True, {"ramp": "on"}), junction=gore.junction,
    )  # fmt: skip
    return Arm(ramp, True, "", "ramp")


def _ramp_path(*points: F64) -> Path:
    return rounded(np.array(points), [1e9, 1e9])


# ---------------------------------------------------------------- the crossing road


def _road_section() -> Section:
    right = (Lane("right", "driving", (LANE_M, LANE_M), EDGE), Lane("right verge", "shoulder", (VERGE_M, VERGE_M)))
    left = tuple(replace(lane, name=lane.name.replace("right", "left")) for lane in right)
    return Section(0.0, right, left, CENTRE)


def _overpass(network: Network, outer: Terminal, inner: Terminal, style: Highway) -> PlannedRoad:
    inward = _ahead(outer.heading_rad + 0.5 * math.pi)
    ends = np.array([outer.middle_m + JUNCTION_M * inward, inner.middle_m - JUNCTION_M * inward])
    path = rounded(ends, [])
    length, up = length_m(path), style.terminal_m
    return network.add(
        name=f"bridge {outer.junction}", path=path, kind="rural", limit_kmh=50, sections=(_road_section(),),
        heights_m=((0.0, up), (0.5 * length, style.deck_m), (length, up)), before=outer.junction, after=inner.junction,
    )  # fmt: skip


def _link(network: Network, first: Arm, second: Arm, junctions: tuple[int, int], style: Highway) -> PlannedRoad:
    """From inner terminal to inner terminal, with two gentle bends."""
    (a, a_in), (b, b_in) = ((arm.point_m, arm.heading_rad) for arm in (first, second))
    a, b = a + 2.0 * JUNCTION_M * _ahead(a_in), b + 2.0 * JUNCTION_M * _ahead(b_in)
    reach = 0.34 * float(np.linalg.norm(b - a))
    path = rounded(np.array([a, a + reach * _ahead(a_in), b + reach * _ahead(b_in), b]), [160.0, 160.0])
    length, up = length_m(path), style.terminal_m
    heights = ((0.0, up), (CLIMB_M, 0.3), (length - CLIMB_M, 0.3), (length, up))
    return network.add(
        name="linking road", path=path, kind="rural", limit_kmh=style.road_limit_kmh, sections=(_road_section(),),
        heights_m=heights, before=junctions[0], after=junctions[1],
    )  # fmt: skip


# ---------------------------------------------------------------- the junctions at the ramps' upper ends


def _turn(network: Network, junction: int, source: Arm, target: Arm, verge: bool = False, apron: str = "") -> int:
    """A connecting road of one lane; `verge`: it carries the shoulder round the corner; `apron`: left or right."""
    path = between(source.point_m, source.heading_rad, target.point_m, target.heading_rad + math.pi, clothoids=False)
    right = [Lane("lane", "driving", (source.width_m, target.width_m), EDGE if verge else Line())]
    left: tuple[Lane, ...] = ()
    filling = Lane("apron", "restricted", (0.0, APRON_M, 0.0))
    if verge:
        right.append(Lane("verge", "shoulder", (source.verge_m, target.verge_m)))
    elif apron == "right":
        right.append(filling)
    if apron == "left":
        left = (filling,)
    height = network.roads[source.road.road].heights_m[0 if source.at_start else -1][1]
    joints = [
        Joint(arm.road.road, arm.at_start, {"lane": lane} | ({"verge": _verge(lane)} if verge else {}))
        for arm, lane in ((source, source.enters), (target, target.leaves))
    ]
    return network.add(
        name=f"turn in {junction}", path=path, kind="rural", limit_kmh=40, heights_m=((0.0, height), (length_m(path), height)),
        sections=(Section(0.0, tuple(right), left),), before=joints[0], after=joints[1], junction=junction,
    ).road  # fmt: skip


def _verge(lane: str) -> str:
    return "shoulder" if lane == "ramp" else f"{lane} verge"


def _outer(network: Network, junction: int, off: Arm, on: Arm, over: Arm) -> None:
    """Outside the ring: the crossing road ends here."""
    low = [_turn(network, junction, off, over), _turn(network, junction, off, on, verge=True, apron="left")]
    high = _turn(network, junction, over, on)
    network.priority[junction] = [(high, road) for road in low]


def _inner(network: Network, junction: int, off: Arm, on: Arm, over: Arm, link: Arm) -> None:
    """Inside the ring: the crossing road goes on as the linking road."""
    low = [_turn(network, junction, off, link, verge=True), _turn(network, junction, off, on),
           _turn(network, junction, off, over)]  # fmt: skip
    high = [_turn(network, junction, over, link, apron="right"), _turn(network, junction, link, over, apron="right"),
            _turn(network, junction, over, on), _turn(network, junction, link, on, verge=True)]  # fmt: skip
    network.priority[junction] = [(a, b) for a in high for b in low]
