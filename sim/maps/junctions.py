"""Junctions: where streets are cut back, and the connecting roads for every movement.

A connecting road carries one lane to the right of its reference line, which runs from the left border of the lane it
comes from to the left border of the lane it leads to. The outermost movement at each corner also carries the verge, a sidewalk or a
shoulder. Where nobody may
drive round a corner, a road without driving lane carries the verge. Right-hand traffic.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from sim.maps.arms import Arm, Junction, Movement
from sim.maps.geometry import Path, between
from sim.maps.roundabouts import Ring, draw_ring, ring_junctions, ring_streets
from sim.maps.streets import Node, Street, StreetPlan, Style, arm_pose

STRAIGHT_RAD = math.radians(45.0)  # movements that turn less go straight on
End = tuple[Street, bool]  # a street, at its start or its end
BACK_OF_VERGE_M = 1.5  # least radius at the inner edge of a corner's verge
SETBACKS_M = np.arange(0.0, 19.0, 0.5)  # tried, beyond the style's least


@dataclass(frozen=True)
class Town:
    """Streets cut back to their junctions, and the junctions."""

    plan: StreetPlan
    paths: dict[int, Path]  # of each street, by road id
    junctions: tuple[Junction, ...]


def lay_out(plan: StreetPlan, style: Style, rng: np.random.Generator) -> Town:
    """Cut the streets back and connect them; every junction has a kerb radius of its own."""
    ends: dict[Node, list[End]] = {}
    for street in plan.streets:
        ends.setdefault(street.nodes[0], []).append((street, True))
        ends.setdefault(street.nodes[1], []).append((street, False))
    if style.median_m > 0.0:
        streets = {s.road: replace(s, pockets_m=_pockets_m(s, ends, style)) for s in plan.streets}
        plan = replace(plan, streets=tuple(streets.values()))
        ends = {node: [(streets[s.road], start) for s, start in around] for node, around in ends.items()}
    cut: dict[tuple[int, bool], float] = {}
    rings: dict[Node, Ring] = {}
    for node in sorted(ends):
        radius = float(rng.uniform(*style.corner_m))
        ring = _ring(ends[node], style, rng)
        if ring is not None:
            rings[node] = ring
        setbacks = _setbacks_m(ends[node], radius, style) if ring is None else [ring.setback_m] * len(ends[node])
        cut |= {(s.road, start): setback for (s, start), setback in zip(ends[node], setbacks, strict=True)}
    paths = {s.road: s.path(cut[s.road, True], cut[s.road, False]) for s in plan.streets}
    road = 100
    junctions: list[Junction] = []
    pieces: list[Street] = []
    for node in sorted(ends):
        arms = tuple(_ordered([Arm(s, start, *arm_pose(paths[s.road], start)) for s, start in ends[node]]))
        if node in rings:
            streets = ring_streets(rings[node], plan.nodes_m[node], node, arms, road)
            road += len(streets)
            paths |= {street.road: path for street, path in streets}
            made = ring_junctions(rings[node], plan.nodes_m[node], node, arms, streets, road, 10001 + len(junctions))
            pieces += [street for street, _ in streets]
        else:
            made = [Junction(10001 + len(junctions), node, arms, tuple(_movements(arms, road)))]
        road += sum(len(junction.movements) for junction in made)
        junctions += made
    return Town(replace(plan, streets=(*plan.streets, *pieces)), paths, tuple(junctions))


def _ring(around: list[End], style: Style, rng: np.random.Generator) -> Ring | None:
    """A roundabout, where one is wanted and there is room."""
    if style.roundabouts <= 0.0:
        return None
    ring = draw_ring(rng, style.kerb_m)
    wanted = rng.random() < style.roundabouts
    headings = [arm.heading_rad for arm in _arms(around, [0.0] * len(around))]
    return ring if wanted and ring.fits(headings) else None


def _ordered(arms: list[Arm]) -> list[Arm]:
    return sorted(arms, key=lambda arm: (arm.heading_rad + math.pi) % math.tau)


def _arms(around: list[End], setbacks_m: list[float]) -> list[Arm]:
    """The ends of streets at a junction, cut back."""
    return [Arm(s, start, *arm_pose(s.path(m, m), start)) for (s, start), m in zip(around, setbacks_m, strict=True)]


def _pockets_m(street: Street, ends: dict[Node, list[End]], style: Style) -> tuple[float, float]:
    """Widths of the left-turn lanes at both ends of a street, where one can turn left and go straight on."""
    widths = []
    for node, at_start in zip(street.nodes, (True, False), strict=True):
        arms = _arms(ends[node], [0.0] * len(ends[node]))
        own = next(a for a in arms if a.street is street and a.at_start == at_start)
        turns = {turn_of(own, a) for a in arms if a is not own}
        widths.append(style.pocket_m if street.median_m > 0.0 and {0, 1} <= turns else 0.0)
    return widths[0], widths[1]


def _setbacks_m(around: list[End], kerb_radius_m: float, style: Style) -> list[float]:
    """Least distances of the arms from the grid point at which all corners are round enough.

    Beside a road with a median, which is wide, arms keep back by as much as the road that they cross is wider.
    """
    wider = [0.0] * len(around)
    if style.median_m > 0.0:
        arms = _arms(around, [0.0] * len(around))
        crossed = [max((b.street.edge_m for b in arms if b is not a and turn_of(a, b)), default=0.0) for a in arms]
        wider = [edge - min(crossed) for edge in crossed]
    for more in SETBACKS_M:
        setbacks = [float(style.setback_m + more + extra) for extra in wider]
        arms = _ordered(_arms(around, setbacks))
        if all(_is_round(arm, arms[(k + 1) % len(arms)], kerb_radius_m) for k, arm in enumerate(arms)):
            return setbacks
    raise ValueError(f"road {around[0][0].road}: no room for its junction within {style.setback_m + SETBACKS_M[-1]} m")


def _is_round(source: Arm, target: Arm, kerb_radius_m: float) -> bool:
    if turn_of(source, target) != -1:
        return True
    path = _path(source, max(source.lanes(True), 1), target, max(target.lanes(False), 1), -1)
    radius = min((1.0 / abs(c.start_1pm) for c in path if c.start_1pm != 0.0), default=math.inf)
    lane = max(source.street.lane_width_m, target.street.lane_width_m)
    verge = max(source.street.corner_m, target.street.corner_m)
    return radius - lane >= kerb_radius_m and radius - lane - verge >= BACK_OF_VERGE_M


def turn_of(source: Arm, target: Arm) -> int:
    """1 left, 0 straight on, -1 right."""
    angle = math.remainder(target.heading_rad + math.pi - source.heading_rad, math.tau)
    return 0 if abs(angle) < STRAIGHT_RAD else (1 if angle > 0.0 else -1)


def _path(source: Arm, source_lane: int, target: Arm, target_lane: int, turn: int) -> Path:
    return between(
        source.border(source_lane, entering=True),
        source.heading_rad,
        target.border(target_lane, entering=False),
        target.heading_rad + math.pi,
        clothoids=turn == 1,
    )


def _movements(arms: tuple[Arm, ...], first_road: int) -> list[Movement]:
    out: list[Movement] = []
    for k, source in enumerate(arms):
        others = [target for target in arms if target is not source]
        turns = {turn_of(source, target) for target in others}
        lanes = source.lanes(entering=True)
        for target in others:
            turn = turn_of(source, target)
            corner = target is arms[(k + 1) % len(arms)]
            driven = lanes > 0 and target.lanes(entering=False) > 0
            if not driven and not corner:
                continue
            target_lanes = max(target.lanes(entering=False), 1)
            pairs = _lane_pairs(max(lanes, 1), target_lanes, turn, turns)
            if driven and source.pocket_m > 0.0 and turn == 1:
                pairs = [(0, 1)]
            for a, b in pairs:
                outermost = a == max(lanes, 1) and b == target_lanes
                path = _path(source, a, target, b, turn)
                road = first_road + len(out)
                out.append(Movement(road, source, a, target, b, turn, corner and outermost, path, driven))
    return out


def _lane_pairs(lanes: int, target_lanes: int, turn: int, turns: set[int]) -> list[tuple[int, int]]:
    """(from, to) lanes of a movement: left turns from and to the inner lane, right turns the outer one."""
    if turn == 1:
        return [(1, 1)]
    if turn == -1:
        return [(lanes, target_lanes)]
    if lanes == target_lanes:
        return [(k, k) for k in range(1, lanes + 1)]
    if lanes > target_lanes:  # from the lane that has no turn of its own, the outer one when both have
        return [(1 if 1 not in turns and -1 in turns else lanes, 1)]
    return [(lanes, target_lanes)]
