"""An orbital motorway: a closed ring of two carriageways with two diamond interchanges and a road between them.

Both carriageways follow one line, the middle of the median, each in its own direction. From there outwards a carriageway
has half of the median, a margin, its lanes, where there is one an acceleration or deceleration lane, and a hard
shoulder. Around an interchange it is cut into roads: the junction where the off-ramp leaves (the gore), the stretch
below the bridge, the junction where the on-ramp arrives, and the main road on to the next interchange, on which a
lane is gained or dropped. Measures follow the German guidelines for motorways (RAA 2008: cross-sections RQ 31 and RQ 36, least
radius and clothoids of bends; RMS-1 for lane lines). A tapering lane is "restricted", paved but not to be driven on: lanes of
the lane graph are whole.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from sim.maps.geometry import Path, backwards, cut, length_m, pose, rounded, station
from sim.maps.sections import Joint, Lane, Line, PlannedRoad, Section

MEDIAN_M, MARGIN_M, SHOULDER_M = 2.0, 0.75, 2.5
LANE_M, RAMP_M = 3.75, 3.75
GORE_M = 290.0  # from the bridge back to where the off-ramp leaves; the on-ramp arrives as far after it
NOSE_M = 80.0  # length of the junctions at the gores: enough for a hard shoulder to open between main line and ramp
SOLID_M = 40.0  # of the line beside a gore that nobody may cross
ACCELERATE_M, DECELERATE_M = 250.0, 200.0  # with a line that may be crossed
OPEN_M, CLOSE_M = 60.0, 80.0  # tapers of the lanes beside the main line
GAIN_M, END_M, DROP_M = (
    240.0,
    300.0,
    240.0,
)  # taper of a lane that opens; announced end, and taper, of one that closes: so
# long that lanes which it moves aside bend no more than 1 m/s2 at the limit
OFF_KMH = 80  # on a deceleration lane
RADIUS_MIN_M = {120: 720.0, 100: 470.0, 80: 280.0}  # by limit in km/h (RAA 2008, classes EKA 1 B, EKA 2, EKA 3)
CLOTHOID_SHARE = 0.05  # of a bend's angle: 116 m at a right angle, more than the least parameter R / 3 asks for
EDGE = Line("solid", 0.3)
BESIDE = Line("solid", 0.15)
DASHES = Line("broken", 0.15, "both", 6.0, 12.0)
BLOCKS = Line("broken", 0.3, "both", 6.0, 6.0)
PAINT = replace(BLOCKS, change="none")  # beside a taper
SHOULDER = Lane("shoulder", "shoulder", (SHOULDER_M, SHOULDER_M))


@dataclass(frozen=True)
class Highway:
    """What makes an orbital motorway look like itself. Corners are those of a polygon, counter-clockwise; the first and
    third side are long and hold the interchanges."""

    corners_m: tuple[tuple[float, float], ...] = ((1120.0, 0.0), (1170.0, 1615.0), (-1080.0, 1655.0), (-1120.0, 0.0))
    radius_m: float = 740.0  # of the middle of the median
    limit_kmh: int = 120
    near_limit_kmh: int = 100  # past the interchanges
    ramp_limit_kmh: int = 60
    road_limit_kmh: int = 70
    hill_m: tuple[float, float] = (5.0, -3.0)  # of the two halves of the ring, between the interchanges
    terminal_m: float = 6.2  # height of the ramps' upper ends
    deck_m: float = 7.4
    aside_m: float = 72.0  # from the middle of the median to where the ramps meet the crossing road


@dataclass
class Network:
    """Roads as they are planned, by id, and what regulates them."""

    roads: dict[int, PlannedRoad] = field(default_factory=dict)
    priority: dict[int, list[tuple[int, int]]] = field(default_factory=dict)  # by junction
    exits: dict[int, int] = field(default_factory=dict)  # junction where an off-ramp leaves -> number of the exit
    off_ramps: list[PlannedRoad] = field(default_factory=list)

    def add(self, **given: object) -> PlannedRoad:
        """Plan one more road; it gets the next id."""
        road = PlannedRoad(road=len(self.roads) + 1, **given)  # type: ignore[arg-type]
        self.roads[road.road] = road
        return road


@dataclass(frozen=True)
class Carriageway:
    """One direction of travel; stations run on past the ring's length."""

    path: Path  # twice round
    round_m: float
    inner: bool  # clockwise: the ramps are inside the ring
    bridges_m: tuple[float, float]  # stations of the interchanges, in the order of travel
    extra: str  # the lane that the first half from bridge to bridge gains and the second drops

    def part(self, from_m: float, to_m: float) -> Path:
        """The path between two stations."""
        back = self.round_m * math.floor(from_m / self.round_m)
        return cut(self.path, from_m - back, to_m - back)

    def lanes(self, wide: bool) -> tuple[str, ...]:
        """Names of the lanes, from the median outwards."""
        return ("1", "2", "3") if wide else tuple(name for name in "123" if name != self.extra)


@dataclass(frozen=True)
class Gore:
    """Where a ramp leaves or joins a carriageway."""

    junction: int
    main: PlannedRoad  # before an off-ramp, after an on-ramp
    at_m: float  # station on the carriageway's path
    lanes: tuple[str, ...]

    @property
    def edge_m(self) -> float:
        """From the middle of the median to the ramp's left border."""
        return MEDIAN_M + MARGIN_M + LANE_M * len(self.lanes)


def ring(style: Highway) -> Path:
    """The middle of the median, counter-clockwise, from the middle of the first side to itself."""
    corners = np.array(style.corners_m)
    start = 0.5 * (corners[-1] + corners[0])
    line = rounded(np.vstack([start, corners, start]), [style.radius_m] * len(corners), share=CLOTHOID_SHARE)
    sharpest = 1.0 / max(max(abs(curve.start_1pm), abs(curve.end_1pm)) for curve in line)
    if sharpest < RADIUS_MIN_M[style.limit_kmh]:
        raise ValueError(
            f"highway: found a bend of {sharpest:.0f} m, expected {RADIUS_MIN_M[style.limit_kmh]:.0f} m or more at "
            f"{style.limit_kmh} km/h"
        )
    return line


def carriageways(style: Highway) -> tuple[Carriageway, Carriageway]:
    """Counter-clockwise and clockwise."""
    line = ring(style)
    total = length_m(line)
    corners = np.array(style.corners_m)
    second = station(line, *(0.5 * (corners[1] + corners[2])))[0]
    out = []
    for inner, path, bridges, extra in (
        (False, line, (0.0, second), "1"),
        (True, backwards(line), (total - second, total), "3"),
    ):
        again = tuple(replace(curve, s_m=curve.s_m + total) for curve in path)
        out.append(Carriageway(path + again, total, inner, bridges, extra))
    return out[0], out[1]


def cross_section(
    s_m: float, names: tuple[str, ...], beside: Lane | None = None, beside_line: Line = EDGE, *,
    extra: Lane | None = None, extra_line: Line = DASHES, shoulder: Lane = SHOULDER,
) -> Section:  # fmt: skip
    """A carriageway's lanes. `beside` lies right of the lanes, behind `beside_line`; `extra` stands in for the lane of
    its name, and `extra_line` parts it from its neighbour."""
    lanes = [Lane("median", "median", (MEDIAN_M, MEDIAN_M)), Lane("margin", "shoulder", (MARGIN_M, MARGIN_M), EDGE)]
    for name, following in zip(names, [*names[1:], ""], strict=True):
        own = extra if extra is not None and name == extra.name else Lane(name, "driving", (LANE_M, LANE_M))
        line = extra_line if extra is not None and extra.name in (name, following) else DASHES
        if not following:
            line = EDGE if beside is None else beside_line
        lanes.append(replace(own, line=line))
    if beside is not None:
        lanes.append(replace(beside, line=EDGE))
    return Section(s_m, (*lanes, shoulder))


def main_sections(way: Carriageway, length: float, gains: bool) -> tuple[Section, ...]:
    """Sections of a main road from one interchange to the next. Changes are allowed out of a lane that ends, and into one
    that leaves."""
    few, many = way.lanes(False), way.lanes(True)
    first, last = (few, many) if gains else (many, few)
    on, off = Lane("on", "driving", (RAMP_M, RAMP_M)), Lane("off", "driving", (RAMP_M, RAMP_M), limit_kmh=OFF_KMH)
    leave = replace(BLOCKS, change="decrease" if way.extra == "1" else "increase")
    change: list[tuple[float, dict[str, Any]]] = [
        (END_M, {"names": many, "extra": Lane(way.extra, "driving", (LANE_M, LANE_M)), "extra_line": leave}),
        (DROP_M, {"names": many, "extra": _taper(way.extra, LANE_M, 0.0), "extra_line": PAINT}),
    ]
    if gains:
        change = [(GAIN_M, {"names": many, "extra": _taper(way.extra, 0.0, LANE_M), "extra_line": PAINT})]
    pieces: list[tuple[float, dict[str, Any]]] = [
        (SOLID_M, {"names": first, "beside": on, "beside_line": BESIDE}),
        (ACCELERATE_M, {"names": first, "beside": on, "beside_line": replace(BLOCKS, change="increase")}),
        (CLOSE_M, {"names": first, "beside": _taper("on", RAMP_M, 0.0), "beside_line": PAINT}),
        (math.nan, {"names": first}),
        *change,
        (math.nan, {"names": last}),
        (OPEN_M, {"names": last, "beside": _taper("off", 0.0, RAMP_M), "beside_line": PAINT}),
        (DECELERATE_M, {"names": last, "beside": off, "beside_line": replace(BLOCKS, change="decrease")}),
        (SOLID_M, {"names": last, "beside": off, "beside_line": BESIDE}),
    ]
    plain = 0.5 * (length - sum(piece for piece, _ in pieces if not math.isnan(piece)))
    if plain < 50.0:
        raise ValueError(f"highway: found {plain:.0f} m between two lane changes of a main road, expected 50 m or more")
    out, s = [], 0.0
    for piece, given in pieces:
        out.append(cross_section(s, **given))
        s += plain if math.isnan(piece) else piece
    return tuple(out)


def _taper(name: str, from_m: float, to_m: float) -> Lane:
    return Lane(name, "restricted", (from_m, to_m))


def plan_carriageway(
    network: Network, way: Carriageway, style: Highway, junctions: list[int]
) -> list[tuple[Gore, Gore]]:
    """Main roads, those below the bridges, and the through roads of the gores; (off, on) gores of each interchange.

    `junctions`: ids of the off-ramp's and on-ramp's gore at the first interchange, then at the second."""
    side = "clockwise" if way.inner else "counter-clockwise"
    mains = []
    for k, hill in enumerate(style.hill_m):
        start, end = way.bridges_m[k] + GORE_M, (way.bridges_m[1 - k] + way.round_m * k) - GORE_M
        length = end - start
        mains.append(network.add(
            name=f"{side} main road {k + 1}", path=way.part(start, end), kind="motorway", limit_kmh=style.limit_kmh,
            heights_m=((0.0, 0.0), (0.5 * length, hill), (length, 0.0)), sections=main_sections(way, length, k == 0),
            before=junctions[2 * k + 1], after=junctions[(2 * k + 2) % 4],
        ))  # fmt: skip
    gores = []
    for k, bridge in enumerate(way.bridges_m):
        names = way.lanes(k == 1)
        off, on = junctions[2 * k], junctions[2 * k + 1]
        inside = GORE_M - NOSE_M
        below = network.add(
            name=f"{side} below bridge {k + 1}", path=way.part(bridge - inside, bridge + inside), kind="motorway",
            limit_kmh=style.near_limit_kmh, heights_m=((0.0, 0.0), (2.0 * inside, 0.0)),
            sections=(cross_section(0.0, names),), before=off, after=on,
        )  # fmt: skip
        for junction, start, before, after in (
            (off, bridge - GORE_M, mains[1 - k], below), (on, bridge + inside, below, mains[k]),
        ):  # fmt: skip
            opening = Lane("gore", "shoulder", (0.0, SHOULDER_M) if junction == off else (SHOULDER_M, 0.0))
            end = Joint(after.road, True, {"gore": "shoulder"} if junction == off else {})
            begin = Joint(before.road, False, {"gore": "shoulder"} if junction == on else {})
            network.add(
                name=f"{side} past gore {junction}", path=way.part(start, start + NOSE_M), kind="motorway",
                limit_kmh=style.near_limit_kmh, heights_m=((0.0, 0.0), (NOSE_M, 0.0)), before=begin, after=end,
                sections=(cross_section(0.0, names, shoulder=opening),), junction=junction,
            )  # fmt: skip
        gores.append((Gore(off, mains[1 - k], bridge - GORE_M, names), Gore(on, mains[k], bridge + GORE_M, names)))
    return gores


def beside(way: Carriageway, at_m: float, right_m: float) -> tuple[np.ndarray, float]:
    """Point (2,) so far right of the middle of the median, and the heading there."""
    x, y, heading = pose(way.path, at_m % way.round_m)
    return np.array([x + right_m * math.sin(heading), y - right_m * math.cos(heading)]), heading
