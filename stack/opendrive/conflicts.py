"""Where junction lanes conflict, and who gives way.

Two lanes of a junction conflict where two cars with their centres on them would touch sideways: where the centre lines
come closer than SWEPT_M. Lanes that leave the same lane diverge and are no conflict. The reasons for giving way, in
order: lights; the junction's priority records; stop and yield signs; left turn after oncoming; right before left.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import cdist

from stack.frames import wrap
from stack.opendrive.lanes import GraphLane, Pair

SWEPT_M = 2.5  # a car's 2.2 m with mirrors, and a margin
LEFT, STRAIGHT, RIGHT = 1, 0, -1


@dataclass(frozen=True)
class Conflict:
    """Stretches on lane and other, m, and the rank: 1 the other gives way, -1 this lane does, 0 undecided."""

    lane: int
    other: int
    from_m: float
    to_m: float
    other_from_m: float
    other_to_m: float
    rank: int


@dataclass(frozen=True)
class Entry:
    """What decides about a junction lane's right of way."""

    road: str
    incoming: frozenset[str]  # roads it comes from
    heading_rad: float
    turn: int
    sign: int
    signal: int
    phase: tuple[float, float] | None  # green from, green for


def conflicts(lanes: list[GraphLane], members: list[list[int]], links: list[Pair], entries: dict[int, Entry],
              priorities: list[set[tuple[str, str]]]) -> list[Conflict]:  # fmt: skip
    """All conflicts, both ways, sorted by lane and other. `members`: junction lanes of each junction."""
    linked = set(links)
    before: dict[int, set[int]] = {}
    for a, b in links:
        before.setdefault(b, set()).add(a)
    out = []
    for group, priority in zip(members, priorities, strict=True):
        for a, b in _close(lanes, group):
            if lanes[a].key[0] == lanes[b].key[0] or before.get(a, set()) & before.get(b, set()):
                continue
            stretch = _stretch(lanes[a], lanes[b])
            if stretch is None or (a, b) in linked or (b, a) in linked:
                continue
            own, other = stretch
            rank = _rank(entries[a], entries[b], priority)
            out += [Conflict(a, b, *own, *other, rank), Conflict(b, a, *other, *own, -rank)]
    return sorted(out, key=lambda c: (c.lane, c.other))


def _close(lanes: list[GraphLane], group: list[int]) -> Iterator[Pair]:
    """Pairs of lanes whose bounding boxes come closer than SWEPT_M."""
    low = np.array([lanes[i].line_m[:, :2].min(axis=0) for i in group]).reshape(-1, 2)
    high = np.array([lanes[i].line_m[:, :2].max(axis=0) for i in group]).reshape(-1, 2)
    for n, a in enumerate(group):
        apart = np.maximum(low[n] - high[n + 1 :], low[n + 1 :] - high[n]).max(axis=1)
        yield from ((a, group[n + 1 + int(k)]) for k in np.flatnonzero(apart <= SWEPT_M))


def _stretch(a: GraphLane, b: GraphLane) -> tuple[tuple[float, float], tuple[float, float]] | None:
    near = cdist(a.line_m[:, :2], b.line_m[:, :2]) < SWEPT_M
    level = np.abs(a.line_m[:, 2][:, None] - b.line_m[:, 2][None]) < 3.0  # bridges pass over
    near &= level
    if not near.any():
        return None
    return _span(near.any(axis=1), a), _span(near.any(axis=0), b)


def _span(touched: np.ndarray, lane: GraphLane) -> tuple[float, float]:
    rows = np.flatnonzero(touched)
    start, end = (rows[0] - 0.5) * lane.step_m, (rows[-1] + 0.5) * lane.step_m
    return max(float(start), 0.0), min(float(end), lane.length_m)


def _rank(a: Entry, b: Entry, priority: set[tuple[str, str]]) -> int:
    """1 where b gives way to a, -1 where a gives way to b, else 0."""
    if a.signal >= 0 and b.signal >= 0:
        return _oncoming(a, b) if a.phase == b.phase and a.phase is not None else 0
    if (a.signal >= 0) != (b.signal >= 0):
        return 1 if a.signal >= 0 else -1
    for high in {a.road, *a.incoming}:
        for low in {b.road, *b.incoming}:
            if (high, low) in priority:
                return 1
            if (low, high) in priority:
                return -1
    if bool(a.sign) != bool(b.sign):
        return 1 if b.sign else -1
    if a.sign and b.sign:
        return 0
    return _oncoming(a, b) or _right_before_left(a, b)


def _oncoming(a: Entry, b: Entry) -> int:
    if a.incoming & b.incoming or np.cos(a.heading_rad - b.heading_rad) > -np.sqrt(0.5):
        return 0
    return (b.turn == LEFT) - (a.turn == LEFT)


def _right_before_left(a: Entry, b: Entry) -> int:
    turned = float(wrap(b.heading_rad - a.heading_rad))
    if a.incoming & b.incoming or not 0.25 * np.pi < abs(turned) < 0.75 * np.pi:
        return 0
    return -1 if turned > 0.0 else 1  # b heads to the left of a, so b comes from a's right
