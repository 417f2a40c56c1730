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

from sim.maps.geometry import Path, length_m, pose, sample, station
from sim.maps.junctions import Arm, Junction, Movement, Town
from sim.maps.roads import Element, beside, junction_element, put
from sim.maps.streets import Style

POST_ASIDE_M = 0.8  # of a pole, from the kerb
CROSSWALK_M = (1.0, 4.0)  # stretch of street before the junction
LINE_BEFORE_CROSSWALK_M = 1.0
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
        crossed = [bool(writer.rng.random() < writer.style.crosswalks) for _ in junction.arms]
        for arm, crosswalk in zip(junction.arms, crossed, strict=True):
            if crosswalk:
                _crosswalk(writer, arm)
        lines = [_line_before_m(crosswalk) for crosswalk in crossed]
        if index in lit:
            _lights(writer, junction, lines)
        else:
            _signs(writer, junction, lines)
    for street in town.plan.streets:
        _limit_signs(writer, street.road, street.edge_m, street.limit_kmh)
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
    writer: Writer, arm: Arm, kind: str, name: str, before_m: tuple[float, float], sides: tuple[float, float]
) -> None:
    """A flat rectangle on the street: from, to before the junction; from, to left of the reference line (t)."""
    s, _, orientation = beside(arm, writer.paths[arm.street.road], 0.5 * sum(before_m), 0.0)
    length, width, t = before_m[1] - before_m[0], sides[1] - sides[0], 0.5 * (sides[0] + sides[1])
    element = put(
        writer.roads[arm.street.road].find("objects"), "object", type=kind, id=writer.new_id(), name=name, s=s, t=t,
        zOffset=0.0, hdg=0.0, pitch=0.0, roll=0.0, orientation="none" if kind == "crosswalk" else orientation,
        length=length, width=width, height=0.0,
    )  # fmt: skip
    outline = put(element, "outline", id=0, closed="true")
    corners = [(-1, -1), (-1, 1), (1, 1), (1, -1), (-1, -1)]
    for index, (a, b) in enumerate(corners):
        put(outline, "cornerLocal", id=index, u=0.5 * a * length, v=0.5 * b * width, z=0.0, height=0.0)


def _crosswalk(writer: Writer, arm: Arm) -> None:
    edge = arm.street.edge_m
    _outlined(writer, arm, "crosswalk", "crosswalk", CROSSWALK_M, (-edge, edge))


def _stop_line(writer: Writer, arm: Arm, before_m: float) -> None:
    edge = arm.street.edge_m
    sides = (0.0, edge) if arm.at_start else (-edge, 0.0)
    _outlined(writer, arm, "stopLine", "stop_line", (before_m, before_m + LINE_WIDTH_M), sides)


# ---------------------------------------------------------------- lights


def _lights(writer: Writer, junction: Junction, lines_m: list[float]) -> None:
    heads = str(writer.rng.choice(writer.style.heads))
    mast = bool(writer.rng.random() < writer.style.mast)
    post_m = round(float(writer.rng.uniform(2.7, 3.4)), 2)
    mast_m = round(float(writer.rng.uniform(5.0, 5.5)), 2)
    signals: dict[int, list[int]] = {}
    for k, arm in enumerate(junction.arms):
        _stop_line(writer, arm, lines_m[k])
        signals[k] = []
        if heads != "far":
            signals[k].append(_near_head(writer, arm, lines_m[k], post_m))
        if heads != "near":
            signals[k] += _far_heads(writer, junction, arm, lines_m[k], mast_m if mast else post_m, mast)
    phases = []
    for group in _phases(junction, bool(writer.rng.random() < writer.style.one_by_one)):
        number = writer.new_id()
        green_s = int(writer.rng.integers(8, 17))
        writer.controllers.append((number, [signal for k in group for signal in signals[k]], green_s))
        phases.append(number)
    writer.junctions.append((junction, [], phases))


def _phases(junction: Junction, one_by_one: bool) -> list[list[int]]:
    """Arms that are green together: opposite ones, or each alone."""
    left = list(range(len(junction.arms)))
    phases = []
    while left:
        k = left.pop(0)
        facing = junction.facing(junction.arms[k])
        partner = [j for j in left if junction.arms[j] is facing and not one_by_one]
        left = [j for j in left if j not in partner]
        phases.append([k, *partner])
    return phases


def _near_head(writer: Writer, arm: Arm, line_m: float, height_m: float) -> int:
    aside = arm.street.edge_m + POST_ASIDE_M
    s, t, orientation = beside(arm, writer.paths[arm.street.road], line_m, aside)
    number = writer.signal(arm.street.road, s, t, orientation, LIGHT, zOffset=height_m)
    _valid(writer, arm, number)
    return number


def _valid(writer: Writer, arm: Arm, signal: int) -> None:
    """The lanes that a signal or a reference on a street speaks to."""
    signals = writer.roads[arm.street.road].find("signals")
    element = next(e for e in reversed(signals) if e.get("id") == str(signal))
    lanes = sorted((arm.lane_id(1, entering=True), arm.lane_id(arm.street.lanes, entering=True)))
    put(element, "validity", fromLane=lanes[0], toLane=lanes[1])


def _far_heads(writer: Writer, junction: Junction, arm: Arm, line_m: float, height_m: float, mast: bool) -> list[int]:
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
        s, t = station(left.path, *point)
        turned = math.remainder(arm.heading_rad - pose(left.path, s)[2], math.tau)
        numbers.append(_on_movement(writer, left, s, t, turned, height_m))
    road = arm.street.road
    for number in numbers:
        s, t, orientation = beside(arm, writer.paths[road], line_m, arm.street.edge_m)
        put(writer.roads[road].find("signals"), "signalReference", s=s, t=t, id=number, orientation=orientation)
        _valid(writer, arm, number)
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
    crossroads = len(junction.arms) > 3 if writer.style.stops else draw > 0.8
    if slow and draw < 0.6 and not writer.style.stops:
        signed = {}
    elif crossroads and all(arm.street.lanes == 1 for arm in junction.arms):
        signed = dict.fromkeys(range(len(junction.arms)), STOP)
    else:
        kind = STOP if writer.rng.random() < 0.5 or writer.style.stops else YIELD
        signed = {k: kind for k, arm in enumerate(junction.arms) if arm not in major}
        high = [m.road for m in junction.movements if m.source in major]
        low = [m.road for m in junction.movements if m.source not in major]
        priority = [(a, b) for a in high for b in low]
    for k, kind in signed.items():
        arm = junction.arms[k]
        s, t, orientation = beside(arm, writer.paths[arm.street.road], lines_m[k], arm.street.edge_m + POST_ASIDE_M)
        number = writer.signal(arm.street.road, s, t, orientation, kind)
        _valid(writer, arm, number)
        _stop_line(writer, arm, lines_m[k])
    writer.junctions.append((junction, priority, []))


def _major(junction: Junction) -> list[Arm]:
    """The two arms of the road that has priority: more lanes, then the higher limit, then the straighter."""

    def rank(pair: tuple[Arm, Arm]) -> tuple[float, ...]:
        a, b = pair
        bend = abs(math.remainder(b.heading_rad + math.pi - a.heading_rad, math.tau))
        return (a.street.lanes + b.street.lanes, a.street.limit_kmh + b.street.limit_kmh, -bend)

    pairs = [(a, b) for i, a in enumerate(junction.arms) for b in junction.arms[i + 1 :] if junction.facing(a) is b]
    return list(max(pairs, key=rank))


def _limit_signs(writer: Writer, road: int, edge_m: float, limit_kmh: int) -> None:
    """A limit sign for each direction, now and then, one third into the street."""
    length = length_m(writer.paths[road])
    for share, side, orientation in ((0.33, -1.0, "+"), (0.67, 1.0, "-")):
        if writer.rng.random() < 0.5:
            t = side * (edge_m + POST_ASIDE_M)
            writer.signal(road, share * length, t, orientation, LIMIT, subtype=limit_kmh, value=limit_kmh, unit="km/h")
