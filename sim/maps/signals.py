"""What regulates the junctions of a town: lights with their phases, stop and yield signs, stop lines, crosswalks.

Every lamp housing is a `<signal>` of its own. A near-side head stands on the street it controls, right of the lanes, at
the stop line. A far-side head stands (or hangs) beyond the junction: it lies on a connecting road of its approach, and
the street it controls holds a `<signalReference>` to it at the stop line. zOffset is the height of the housing's centre
above the road. A lamp faces against the traffic of its orientation ("+": along the road), turned by hOffset.
Controllers, in the order of the phases, say how long they are green (userData green_s).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from sim.maps.arms import Arm, Junction, Movement
from sim.maps.elements import Element, put
from sim.maps.geometry import Path, length_m, pose, sample, station
from sim.maps.junctions import Town, turn_of
from sim.maps.roads import beside, junction_element
from sim.maps.streets import Street, Style

POST_ASIDE_M = 0.8  # of a pole, from the kerb
CROSSWALK_M = (1.0, 4.0)  # stretch of street before the junction
LINE_BEFORE_CROSSWALK_M = 1.0
RING_CROSSWALK_M = (13.0, 16.0)  # a place for two cars between it and the ring
RING_LINE_M = 0.3
NOSE_M = 0.6  # from a median's edge to a pole in it
LINE_BARE_M = 1.5  # stop line before a junction without crosswalk
LINE_WIDTH_M = 0.3
SIGN_HEIGHT_M = 2.2
LIGHT, STOP, YIELD, LIMIT = "1000001", "206", "205", "274"


@dataclass
class Writer:
    """The elements that are being filled, and the next free id of signals, objects and controllers."""

    root: Element
    roads: dict[int, Element]
    paths: dict[int, Path]
    style: Style
    rng: np.random.Generator
    next_id: int = 1
    controllers: list[tuple[int, list[int], int]] = field(default_factory=list)  # id, signals, green s
    junctions: list[tuple[Junction, list[tuple[int, int]], list[int]]] = field(default_factory=list)

    def new_id(self) -> int:
        self.next_id += 1
        return self.next_id - 1

    def signal(self, road: int, s: float, t: float, orientation: str, kind: str, **attributes: str | float) -> int:
        """A `<signal>`; its id."""
        number = self.new_id()
        signals = self.roads[road].find("signals")
        given: dict[str, str | float] = {
            "dynamic": "yes" if kind == LIGHT else "no", "name": f"{kind}_{number}", "zOffset": SIGN_HEIGHT_M,
            "hOffset": 0.0, "subtype": "-1", "value": -1, "height": 0.9 if kind == LIGHT else 0.7,
            "width": 0.3 if kind == LIGHT else 0.7,
        } | attributes  # fmt: skip
        put(
            signals, "signal", s=s, t=t, id=number, orientation=orientation, country="OpenDRIVE", type=kind,
            pitch=0.0, roll=0.0, **given,
        )  # fmt: skip
        return number


def regulate(writer: Writer, town: Town) -> None:
    """Fill in signals, objects, controllers and junctions."""
    order = writer.rng.permutation(len(town.junctions))
    lit = set(order[: round(writer.style.lights * len(order))].tolist())
    for index, junction in enumerate(town.junctions):
        if junction.ring:
            _ring(writer, junction)
            continue
        crossed = [bool(writer.rng.random() < writer.style.crosswalks) for _ in junction.arms]
        for arm, crosswalk in zip(junction.arms, crossed, strict=True):
            if crosswalk:
                _crosswalk(writer, arm, CROSSWALK_M)
        lines = [_line_before_m(crosswalk) for crosswalk in crossed]
        if index in lit or any(arm.street.median_m > 0.0 for arm in junction.arms):
            _lights(writer, junction, lines)
        else:
            _signs(writer, junction, lines)
    for street in town.plan.streets:
        for share in street.crossed:
            middle = share * length_m(writer.paths[street.road])
            _outlined(writer, street, "crosswalk", middle, "none", 3.0, (-street.edge(True), street.edge(False)))
        if street.island_m == 0.0:
            _limit_signs(writer, street)
    for number, signals, green_s in writer.controllers:
        controller = put(writer.root, "controller", id=number, name=f"phase {number}", sequence=0)
        for signal in signals:
            put(controller, "control", signalId=signal, type="0")
        put(controller, "userData", code="green_s", value=green_s)
    for junction, priority, phases in writer.junctions:
        junction_element(writer.root, junction, priority, phases)


def _line_before_m(crosswalk: bool) -> float:
    return CROSSWALK_M[1] + LINE_BEFORE_CROSSWALK_M if crosswalk else LINE_BARE_M


# ---------------------------------------------------------------- objects


def _outlined(
    writer: Writer, street: Street, kind: str, s: float, orientation: str, length: float, sides: tuple[float, float]
) -> None:
    """A flat rectangle on a street, about s; from, to left of the reference line (t)."""
    width, t = sides[1] - sides[0], 0.5 * (sides[0] + sides[1])
    name = "crosswalk" if kind == "crosswalk" else "stop_line"
    element = put(
        writer.roads[street.road].find("objects"), "object", type=kind, id=writer.new_id(), name=name, s=s, t=t,
        zOffset=0.0, hdg=0.0, pitch=0.0, roll=0.0, orientation=orientation, length=length, width=width, height=0.0,
    )  # fmt: skip
    outline = put(element, "outline", id=0, closed="true")
    corners = [(-1, -1), (-1, 1), (1, 1), (1, -1), (-1, -1)]
    for index, (a, b) in enumerate(corners):
        put(outline, "cornerLocal", id=index, u=0.5 * a * length, v=0.5 * b * width, z=0.0, height=0.0)


def _crosswalk(writer: Writer, arm: Arm, before_m: tuple[float, float]) -> None:
    street = arm.street
    s, _, _ = beside(arm, writer.paths[street.road], 0.5 * sum(before_m), 0.0)
    _outlined(
        writer, street, "crosswalk", s, "none", before_m[1] - before_m[0], (-street.edge(True), street.edge(False))
    )


def _stop_line(writer: Writer, arm: Arm, before_m: float, dashes: int = 1) -> None:
    """Across the lanes that enter the junction, in so many dashes with gaps half as long."""
    inner, outer = arm.street.inner_m(arm.at_start), arm.kerb_m
    s, _, orientation = beside(arm, writer.paths[arm.street.road], before_m + 0.5 * LINE_WIDTH_M, 0.0)
    dash = (outer - inner) / (1.5 * dashes - 0.5)
    for k in range(dashes):
        start = inner + 1.5 * k * dash
        sides = (start, start + dash) if arm.at_start else (-start - dash, -start)
        _outlined(writer, arm.street, "stopLine", s, orientation, LINE_WIDTH_M, sides)


# ---------------------------------------------------------------- lights


def _lights(writer: Writer, junction: Junction, lines_m: list[float]) -> None:
    heads = str(writer.rng.choice(writer.style.heads))
    mast = bool(writer.rng.random() < writer.style.mast)
    post_m = round(float(writer.rng.uniform(2.7, 3.4)), 2)
    mast_m = round(float(writer.rng.uniform(5.0, 5.5)), 2)
    signals: dict[int, list[int]] = {}
    turning: dict[int, list[int]] = {}  # heads of left-turn lanes with a green of their own
    pockets = [k for k, arm in enumerate(junction.arms) if arm.pocket_m > 0.0]
    own_green = bool(pockets) and bool(writer.rng.random() < writer.style.protected)
    entered = [k for k, arm in enumerate(junction.arms) if arm.lanes(entering=True)]
    for k in entered:
        arm = junction.arms[k]
        lanes = (0 if k in pockets and not own_green else 1, arm.street.lanes)
        _stop_line(writer, arm, lines_m[k])
        signals[k] = []
        if heads != "far":
            signals[k].append(_near_head(writer, arm, lines_m[k], arm.kerb_m + POST_ASIDE_M, post_m, lanes))
        if heads != "near":
            signals[k] += _far_heads(writer, junction, arm, lines_m[k], mast_m if mast else post_m, mast, lanes)
        if k in pockets and own_green:
            turning[k] = _turn_heads(writer, junction, arm, lines_m[k], post_m)
    phases = []
    for group in _phases(junction, entered, bool(writer.rng.random() < writer.style.one_by_one)):
        for heads_of in (turning, signals):
            if any(k in heads_of for k in group):
                number = writer.new_id()
                green_s = int(writer.rng.integers(8, 17 if heads_of is signals else 12))
                writer.controllers.append((number, [head for k in group for head in heads_of.get(k, ())], green_s))
                phases.append(number)
    writer.junctions.append((junction, [], phases))


def _phases(junction: Junction, entered: list[int], one_by_one: bool) -> list[list[int]]:
    """Arms that are green together: opposite ones, or each alone."""
    left = list(entered)
    phases = []
    while left:
        k = left.pop(0)
        facing = junction.facing(junction.arms[k])
        partner = [j for j in left if junction.arms[j] is facing and not one_by_one]
        left = [j for j in left if j not in partner]
        phases.append([k, *partner])
    return phases


def _near_head(writer: Writer, arm: Arm, line_m: float, aside_m: float, height_m: float, lanes: tuple[int, int]) -> int:
    s, t, orientation = beside(arm, writer.paths[arm.street.road], line_m, aside_m)
    number = writer.signal(arm.street.road, s, t, orientation, LIGHT, zOffset=height_m)
    _valid(writer, arm, number, lanes)
    return number


def _turn_heads(writer: Writer, junction: Junction, arm: Arm, line_m: float, height_m: float) -> list[int]:
    """Heads of a left-turn lane: in the median beside it, and in that across the junction."""
    numbers = [_near_head(writer, arm, line_m, arm.street.inner_m(arm.at_start) - NOSE_M, height_m, (0, 0))]
    ahead = next(m.target for m in junction.of(arm) if m.turn == 0)
    left = next(m for m in junction.of(arm) if m.turn == 1)
    out = ahead.heading_rad + math.pi
    x, y = ahead.border(1, entering=False) + NOSE_M * np.array([-math.sin(out), math.cos(out)])
    numbers.append(_beside_movement(writer, left, arm, float(x), float(y), height_m))
    _refer(writer, arm, numbers[-1], line_m, (0, 0))
    return numbers


def _beside_movement(writer: Writer, movement: Movement, arm: Arm, x_m: float, y_m: float, height_m: float) -> int:
    """A head at a point, which faces an arm and speaks to one of its movements."""
    s, t = station(movement.path, x_m, y_m)
    turned = math.remainder(arm.heading_rad - pose(movement.path, s)[2], math.tau)
    return _on_movement(writer, movement, s, t, turned, height_m)


def _valid(writer: Writer, arm: Arm, signal: int, lanes: tuple[int, int]) -> None:
    """The lanes that a signal or a reference on a street speaks to."""
    signals = writer.roads[arm.street.road].find("signals")
    element = next(e for e in reversed(signals) if e.get("id") == str(signal))
    first, last = sorted(arm.lane_id(lane, entering=True) for lane in lanes)
    put(element, "validity", fromLane=first, toLane=last)


def _refer(writer: Writer, arm: Arm, signal: int, line_m: float, lanes: tuple[int, int]) -> None:
    """A reference to a head elsewhere, at an arm's stop line."""
    road = arm.street.road
    s, t, orientation = beside(arm, writer.paths[road], line_m, arm.kerb_m)
    put(writer.roads[road].find("signals"), "signalReference", s=s, t=t, id=signal, orientation=orientation)
    _valid(writer, arm, signal, lanes)


def _far_heads(
    writer: Writer, junction: Junction, arm: Arm, line_m: float, height_m: float, mast: bool, lanes: tuple[int, int]
) -> list[int]:
    """Heads across the junction: one on a post at the kerb, or one over each lane."""
    movements = junction.of(arm)
    straight = [m for m in movements if m.turn == 0]
    numbers = []
    if straight:
        for movement in straight if mast else straight[-1:]:
            width = movement.target.street.lane_width_m
            aside = 0.5 * width if mast else width + POST_ASIDE_M
            numbers.append(_on_movement(writer, movement, length_m(movement.path) - 0.1, -aside, 0.0, height_m))
    else:
        left = next(m for m in movements if m.turn == 1)
        point = _across(junction, arm, -1.0 if mast else POST_ASIDE_M)
        numbers.append(_beside_movement(writer, left, arm, *point, height_m))
    for number in numbers:
        _refer(writer, arm, number, line_m, lanes)
    return numbers


def _on_movement(writer: Writer, movement: Movement, s: float, t: float, turned: float, height_m: float) -> int:
    return writer.signal(movement.road, s, t, "+", LIGHT, zOffset=height_m, hOffset=turned)


def _across(junction: Junction, arm: Arm, beyond_kerb_m: float) -> tuple[float, float]:
    """The place straight ahead of an arm's outer lane, so far beyond the kerb that closes the junction."""
    k = junction.arms.index(arm)
    facing = [m for m in junction.movements if m.corner and arm not in (m.source, m.target)]
    start = arm.border(arm.street.lanes, entering=True)
    ahead = np.array([math.cos(arm.heading_rad), math.sin(arm.heading_rad)])
    if not facing:
        raise ValueError(f"junction {junction.id}: nothing faces its arm {k}")
    middle = sample(facing[0].path, 0.1)
    kerb = middle[:, :2] + facing[0].target.street.lane_width_m * np.stack(
        [np.sin(middle[:, 2]), -np.cos(middle[:, 2])], axis=-1
    )
    offset = kerb - start
    hit = kerb[np.argmin(np.abs(ahead[0] * offset[:, 1] - ahead[1] * offset[:, 0]))]
    x, y = hit + beyond_kerb_m * ahead
    return float(x), float(y)


# ---------------------------------------------------------------- signs


def _signs(writer: Writer, junction: Junction, lines_m: list[float]) -> None:
    """All-way stop, a major and a minor road, or neither (right before left, where nobody may go faster than 30)."""
    draw = float(writer.rng.random())
    slow = all(arm.street.limit_kmh <= 30 for arm in junction.arms)
    major = _major(junction)
    priority: list[tuple[int, int]] = []
    stops = writer.style.signs == "stop"
    crossroads = len(junction.arms) > 3 if stops else draw > 0.8 and writer.style.signs == "mixed"
    if writer.style.signs == "none" or (slow and draw < 0.6 and writer.style.signs == "mixed"):
        signed = {}
    elif crossroads and all(arm.street.lanes == 1 for arm in junction.arms):
        signed = dict.fromkeys(range(len(junction.arms)), STOP)
    else:
        kind = STOP if (writer.rng.random() < 0.5 and writer.style.signs == "mixed") or stops else YIELD
        signed = {k: kind for k, arm in enumerate(junction.arms) if arm not in major}
        high = [m.road for m in junction.movements if m.driven and m.source in major]
        low = [m.road for m in junction.movements if m.driven and m.source not in major]
        priority = [(a, b) for a in high for b in low]
    for k, kind in signed.items():
        if junction.arms[k].lanes(entering=True):
            _sign(writer, junction.arms[k], lines_m[k], kind)
    writer.junctions.append((junction, priority, []))


def _sign(writer: Writer, arm: Arm, line_m: float, kind: str) -> None:
    """A sign with its line, which has gaps where one may drive on."""
    s, t, orientation = beside(arm, writer.paths[arm.street.road], line_m, arm.kerb_m + POST_ASIDE_M)
    number = writer.signal(arm.street.road, s, t, orientation, kind)
    _valid(writer, arm, number, (1, arm.street.lanes))
    _stop_line(writer, arm, line_m, dashes=5 if writer.style.signs == "yield" else 1)


def _ring(writer: Writer, junction: Junction) -> None:
    """An arm of a roundabout gives way to the ring."""
    low = next(m for m in junction.movements if m.target.street.island_m > 0.0 and m.source.street.island_m == 0.0)
    if writer.rng.random() < writer.style.crosswalks:
        _crosswalk(writer, low.source, RING_CROSSWALK_M)
    _sign(writer, low.source, RING_LINE_M, YIELD)
    high = next(m for m in junction.movements if m.target is low.target and m is not low)
    writer.junctions.append((junction, [(high.road, low.road)], []))


def _major(junction: Junction) -> list[Arm]:
    """The two arms of the road that has priority: more lanes, then the higher limit, then the straighter."""

    def rank(pair: tuple[Arm, Arm]) -> tuple[float, ...]:
        a, b = pair
        bend = abs(math.remainder(b.heading_rad + math.pi - a.heading_rad, math.tau))
        return (a.street.lanes + b.street.lanes, a.street.limit_kmh + b.street.limit_kmh, -bend)

    pairs = [(a, b) for i, a in enumerate(junction.arms) for b in junction.arms[i + 1 :] if turn_of(a, b) == 0]
    return list(max(pairs, key=rank))


def _limit_signs(writer: Writer, street: Street) -> None:
    """A limit sign for each direction, now and then, one third into the street."""
    length, limit = length_m(writer.paths[street.road]), street.limit_kmh
    ways = ((0.33, -1.0, "+"), (0.67, 1.0, "-"))
    for share, side, orientation in ways[:1] if street.oneway else ways:
        if writer.rng.random() < 0.5:
            t = side * (street.edge_m + street.parking_m + POST_ASIDE_M)
            writer.signal(street.road, share * length, t, orientation, LIMIT, subtype=limit, value=limit, unit="km/h")
