"""Which light or sign controls the entry to which junction lane, the lights' phases, speed limits, and where to stop.

One graph signal for each OpenDRIVE controller (a light without one is its own): all its heads show the same. The
controllers of a junction are green one after the other, in the order of `sequence` and the file; equal sequence numbers
are green together. A light whose zOffset exceeds HOUSING_FROM_M is the centre of its housing; otherwise the place is
the foot of a pole (CARLA's towns) and the housing is LAMP_M above the road.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from stack.frames import F64
from stack.labels import Sign
from stack.lanegraph import YELLOW_S
from stack.opendrive.furniture import SignalPost
from stack.opendrive.lanes import GraphLane, Pair
from stack.opendrive.roads import RoadMap

HOUSING_FROM_M = 1.5
LAMP_M = 3.0
GREEN_S, ALL_RED_S = 10.0, 2.0  # CARLA's towns give no durations; these are its defaults
REACH_M = 60.0  # a light or sign counts for a junction at most so far ahead
LANE_ENDS_M = 2.5  # a lane that leads nowhere is no lane where it is narrower
DEFAULT_LIMIT_MPS = 50.0 / 3.6
LIMITS_MPS = 1.0, 100.0
Validity = tuple[tuple[int, int], ...]


@dataclass
class GraphSignal:
    """One movement group: its heads and when it is green."""

    ids: list[str]
    junction: int
    green_s: float
    red_s: float  # all red after its yellow
    sequence: float
    lanes: set[int] = field(default_factory=set)
    heads: list[SignalPost] = field(default_factory=list)
    green_from_s: float = 0.0
    cycle_s: float = 0.0


class Network:
    """Lanes with their links, for questions about what lies ahead."""

    def __init__(self, road_map: RoadMap, lanes: list[GraphLane], links: list[Pair]) -> None:
        self.lanes = lanes
        self.junction = [road_map.junction_of(lane.road) for lane in lanes]
        self.after: list[list[int]] = [[] for _ in lanes]
        self.before: list[list[int]] = [[] for _ in lanes]
        for a, b in links:
            self.after[a].append(b)
            self.before[b].append(a)
        self.of_road: dict[str, list[int]] = {}
        for i, lane in enumerate(lanes):
            self.of_road.setdefault(lane.road.id, []).append(i)

    def is_entry(self, lane: int) -> bool:
        return self.junction[lane] >= 0 and all(self.junction[p] != self.junction[lane] for p in self.before[lane])

    def entries(self, road: str, s_m: float, forward: bool, validity: Validity) -> set[int]:
        """Junction lanes whose entry is controlled by something on `road` at s_m for that direction and those lanes.

        An explicit validity decides alone; on a junction's own road the lanes meant are those of that road."""
        out: set[int] = set()
        for i in self.of_road.get(road, ()):
            lane = self.lanes[i]
            if validity and not any(min(v) <= lane.key[2] <= max(v) for v in validity):
                continue
            if not validity and lane.forward != forward:
                continue
            if self.junction[i] >= 0:
                out |= {i} if self.is_entry(i) else set()
            elif lane.section.s_m - 0.5 <= s_m <= lane.section.end_m + 0.5:
                left = abs(float(lane.s_m[-1]) - s_m)
                out |= self.ahead(i, REACH_M - left) if left <= REACH_M else set()
        return out

    def ahead(self, lane: int, reach_m: float) -> set[int]:
        """Entries of the next junction, at most reach_m past the end of `lane`."""
        out: set[int] = set()
        best, todo = {lane: reach_m}, [(lane, reach_m)]
        while todo:
            at, left = todo.pop()
            for i in self.after[at]:
                if self.junction[i] >= 0:
                    out.add(i)
                elif self.lanes[i].length_m <= left:
                    rest = left - max(self.lanes[i].length_m, 1.0)
                    if rest > best.get(i, -np.inf):  # else it has been here with farther to go
                        best[i] = rest
                        todo.append((i, rest))
        return out

    def controlled(self, post: SignalPost) -> set[int]:
        out = self.entries(post.road, post.s_m, post.forward, post.lanes)
        for ref in post.references:
            out |= self.entries(ref.road, ref.s_m, ref.orientation != "-", ref.lanes)
        return out


def graph_signals(road_map: RoadMap, network: Network) -> list[GraphSignal]:
    """All movement groups with their phases."""
    document = road_map.document
    home = {c: (road_map.junction_index[j.id], seq) for j in document.junctions.values() for c, seq in j.controllers}
    groups: dict[str, GraphSignal] = {}
    for post in road_map.signals:
        if post.kind != "light":
            continue
        key = post.controllers[0] if post.controllers else f"signal {post.id}"
        if key not in groups:
            settings = document.controllers[key].settings if post.controllers else {}
            junction, sequence = home.get(key, (-1, None))
            groups[key] = GraphSignal([], junction, settings.get("green_s", GREEN_S), settings.get("red_s", ALL_RED_S),
                                      float(sequence) if sequence is not None else np.inf)  # fmt: skip
        group = groups[key]
        group.ids.append(post.id)
        group.heads.append(post)
        lanes = network.controlled(post)
        if group.junction < 0 and lanes:
            group.junction = network.junction[min(lanes)]
        group.lanes |= {i for i in lanes if network.junction[i] == group.junction}
    _set_phases(list(groups.values()), list(groups), [c for j in document.junctions.values() for c, _ in j.controllers])
    return list(groups.values())


def _set_phases(groups: list[GraphSignal], keys: list[str], file_order: list[str]) -> None:
    rank = {key: i for i, key in enumerate(file_order)}
    for junction in sorted({g.junction for g in groups}):
        own = [(g.sequence, rank.get(k, len(rank)), i) for i, (g, k) in enumerate(zip(groups, keys, strict=True))
               if g.junction == junction]  # fmt: skip
        phases: list[list[GraphSignal]] = []
        last = np.inf
        for sequence, _, i in sorted(own):
            if phases and sequence == last and np.isfinite(sequence):
                phases[-1].append(groups[i])
            else:
                phases.append([groups[i]])
            last = sequence
        clock = 0.0
        for phase in phases:
            for group in phase:
                group.green_from_s = clock
            clock += max(g.green_s for g in phase) + YELLOW_S + max(g.red_s for g in phase)
        for phase in phases:
            for group in phase:
                group.cycle_s = clock


def head_place(post: SignalPost) -> F64:
    """(3,) centre of a light's housing."""
    lift = 0.0 if post.z_offset_m > HOUSING_FROM_M else LAMP_M - post.z_offset_m
    place: F64 = post.xyz_m + np.array([0.0, 0.0, lift])
    return place


def entry_signs(road_map: RoadMap, network: Network, signalled: set[int]) -> dict[int, Sign]:
    """Sign at the entry of junction lanes; a light takes precedence."""
    out: dict[int, Sign] = {}
    for post in road_map.signals:
        if post.kind in ("stop", "yield"):
            sign = Sign.STOP if post.kind == "stop" else Sign.YIELD
            for lane in network.controlled(post) - signalled:
                out[lane] = Sign.STOP if Sign.STOP in (sign, out.get(lane)) else sign
    return out


# ---------------------------------------------------------------- speed limits


def speed_limits(road_map: RoadMap, network: Network) -> list[float]:
    """m/s for each lane: the smaller of the road's or lane's speed and the sign that holds on most of the lane.

    A sign holds until the next one or the next junction. Junction lanes without a speed of their own take that of the
    lane before."""
    signs: dict[tuple[str, bool], list[SignalPost]] = {}
    for post in road_map.signals:
        if post.kind == "speed" and post.value > 0.0:
            signs.setdefault((post.road, post.forward), []).append(post)
    found = [_signs_on(lane, signs) for lane in network.lanes]
    known: dict[int, float | None] = {}
    limits = []
    for i, lane in enumerate(network.lanes):
        values = [_record_limit(lane), _sign_limit(network, found, i, known)]
        limits.append(min((v for v in values if v is not None), default=None))
    for i in range(len(limits)):
        if limits[i] is None and network.junction[i] >= 0:
            before = [limits[p] for p in network.before[i] if limits[p] is not None]
            limits[i] = min((v for v in before if v is not None), default=None)
    return [float(np.clip(v, *LIMITS_MPS)) if v is not None else DEFAULT_LIMIT_MPS for v in limits]


def _record_limit(lane: GraphLane) -> float | None:
    middle = float(lane.s_m[len(lane.s_m) // 2])
    road = [v for s, v in lane.road.speed if s <= middle + 1e-6][-1:]
    own = [v for s, v in lane.record.speed if lane.section.s_m + s <= middle + 1e-6][-1:]
    return min((v for v in road + own if v), default=None)


def _signs_on(lane: GraphLane, signs: dict[tuple[str, bool], list[SignalPost]]) -> list[tuple[float, float]]:
    """(distance along the lane, m/s) of the signs that stand beside it."""
    out = [
        (abs(post.s_m - float(lane.s_m[0])), post.value / 3.6)
        for post in signs.get((lane.road.id, lane.forward), ())
        if lane.section.s_m <= post.s_m <= lane.section.end_m
        and (not post.lanes or any(min(v) <= lane.key[2] <= max(v) for v in post.lanes) or post.lanes == ((0, 0),))
    ]
    return sorted(out)


def _sign_limit(network: Network, found: list[list[tuple[float, float]]], lane: int,
                known: dict[int, float | None]) -> float | None:  # fmt: skip
    places = [0.0, *(s for s, _ in found[lane]), network.lanes[lane].length_m]
    values = [_inherited(network, found, lane, known), *(v for _, v in found[lane])]
    return values[int(np.argmax(np.diff(places)))]


def _inherited(network: Network, found: list[list[tuple[float, float]]], lane: int,
               known: dict[int, float | None]) -> float | None:  # fmt: skip
    """The last sign before the start of a lane; `known` keeps the answers."""
    value, at, passed = None, lane, {lane: None}
    while network.junction[at] < 0 and at not in known:
        before = [p for p in network.before[at] if network.junction[p] < 0 and p not in passed]
        if not before:
            break
        at = before[0]
        if found[at]:
            value = found[at][-1][1]
            break
        passed[at] = None
    value = known.get(at) if value is None else value
    known.update(dict.fromkeys(passed, value))
    return value


# ---------------------------------------------------------------- where to stop


def stop_places(network: Network, signals: list[GraphSignal], signs: dict[int, Sign], lines: list[F64],
                crossings: dict[int, list[float]]) -> list[float]:  # fmt: skip
    """Where a bumper stops on each lane, m; a lane that leads nowhere ends where it grows narrow.

    `lines`: outlines of stop lines, `crossings`: starts of crosswalks.
    """
    near_light: dict[int, list[F64]] = {}
    for signal in signals:
        for entry in signal.lanes:
            for head in signal.heads:
                if head.z_offset_m <= HOUSING_FROM_M:
                    near_light.setdefault(entry, []).append(head.xyz_m)
    controlled = {entry for signal in signals for entry in signal.lanes} | set(signs)
    middles = np.array([line[:, :2].mean(axis=0) for line in lines]) if lines else np.zeros((0, 2))
    out = []
    for i, lane in enumerate(network.lanes):
        ahead = [k for k in network.after[i] if k in controlled]
        place = lane.length_m - 0.5
        if not network.after[i]:
            place -= float(np.cumprod(lane.width_m[::-1] < LANE_ENDS_M).sum()) * lane.step_m
        if ahead:
            painted = _at_line(lane, lines, middles)
            lights = [p for k in ahead for p in near_light.get(k, ())]
            bare = _before_light(lane, lights) if lights else lane.length_m - 1.0
            place = painted if painted is not None else bare
        for start in crossings.get(i, ()):
            if lane.length_m - 12.0 <= start <= place + 1.0:
                place = start - 1.0
        out.append(float(np.clip(place, 0.0, lane.length_m)))
    return out


def _along(lane: GraphLane, xy: F64) -> tuple[float, float]:
    """Distance past the lane's end (negative before it) and lateral offset of a point, on the end's tangent."""
    end = lane.line_m[-1, :2]
    tangent = end - lane.line_m[max(len(lane.line_m) - 3, 0), :2]
    tangent = tangent / max(float(np.hypot(*tangent)), 1e-9)
    offset = xy - end
    return float(offset @ tangent), float(tangent[0] * offset[1] - tangent[1] * offset[0])


def _at_line(lane: GraphLane, lines: list[F64], middles: F64) -> float | None:
    """0.5 m before the stop line that covers the lane's middle, from 12 m before its end to 3 m after."""
    end = lane.line_m[-1, :2]
    for i in np.flatnonzero(np.hypot(*(middles - end).T) < 20.0) if len(middles) else ():
        corners = [_along(lane, corner[:2]) for corner in lines[i]]
        past, aside = [c[0] for c in corners], [c[1] for c in corners]
        if -12.0 <= min(past) <= 3.0 and min(aside) <= 0.0 <= max(aside):
            return min(lane.length_m + min(past), lane.length_m) - 0.5
    return None


def _before_light(lane: GraphLane, lights: list[F64]) -> float:
    """5 m before the nearest of the lights at the entry, at most 8 m before the lane's end."""
    past = max(_along(lane, light[:2])[0] for light in lights)
    return float(np.clip(lane.length_m + past - 5.0, lane.length_m - 8.0, lane.length_m - 0.5))
