"""Junctions: where streets are cut back, and the connecting roads for every movement.

A connecting road carries one lane to the right of its reference line, which runs from the left border of the lane it
comes from to the left border of the lane it leads to. The outermost movement at each corner also carries the verge, a sidewalk or a
shoulder. Right-hand traffic.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from sim.maps.geometry import Path, between
from sim.maps.streets import Node, Street, StreetPlan, Style, arm_pose
from stack.frames import F64

STRAIGHT_RAD = math.radians(45.0)  # movements that turn less go straight on
BACK_OF_VERGE_M = 1.5  # least radius at the inner edge of a corner's verge
SETBACKS_M = np.arange(11.0, 30.0, 0.5)


@dataclass(frozen=True)
class Arm:
    """A street's end at a junction."""

    street: Street
    at_start: bool
    point_m: F64  # (2,) on the street's middle line
    heading_rad: float  # of traffic that enters the junction

    def border(self, lane: int, entering: bool) -> F64:
        """Left border (2,) of the lane-th lane from the middle, of traffic that enters or leaves the junction."""
        heading = self.heading_rad if entering else self.heading_rad + math.pi
        right = np.array([math.sin(heading), -math.cos(heading)])
        return self.point_m + (lane - 1) * self.street.lane_width_m * right

    def lane_id(self, lane: int, entering: bool) -> int:
        """OpenDRIVE id of the lane-th lane from the middle; the verge is lane `street.lanes + 1`."""
        return lane if entering == self.at_start else -lane


@dataclass(frozen=True)
class Movement:
    """A connecting road."""

    road: int
    source: Arm
    source_lane: int
    target: Arm
    target_lane: int
    turn: int  # 1 left, 0 straight on, -1 right
    corner: bool  # carries the verge
    path: Path


@dataclass(frozen=True)
class Junction:
    """A junction: its arms counter-clockwise, and its movements."""

    id: int
    node: Node
    arms: tuple[Arm, ...]
    movements: tuple[Movement, ...]

    def of(self, arm: Arm) -> list[Movement]:
        """Movements that start at an arm."""
        return [m for m in self.movements if m.source is arm]

    def facing(self, arm: Arm) -> Arm | None:
        """The arm straight across."""
        return next((m.target for m in self.of(arm) if m.turn == 0), None)


@dataclass(frozen=True)
class Town:
    """Streets cut back to their junctions, and the junctions."""

    plan: StreetPlan
    paths: dict[int, Path]  # of each street, by road id
    junctions: tuple[Junction, ...]


def lay_out(plan: StreetPlan, style: Style, rng: np.random.Generator) -> Town:
    """Cut the streets back and connect them; every junction has a kerb radius of its own."""
    ends: dict[Node, list[tuple[Street, bool]]] = {}
    for street in plan.streets:
        ends.setdefault(street.nodes[0], []).append((street, True))
        ends.setdefault(street.nodes[1], []).append((street, False))
    setback = {node: _setback_m(ends[node], float(rng.uniform(*style.corner_m))) for node in sorted(ends)}
    paths = {s.road: s.path(setback[s.nodes[0]], setback[s.nodes[1]]) for s in plan.streets}
    road = 100
    junctions = []
    for index, node in enumerate(sorted(ends)):
        arms = tuple(_ordered([Arm(s, start, *arm_pose(paths[s.road], start)) for s, start in ends[node]]))
        movements = _movements(arms, road)
        road += len(movements)
        junctions.append(Junction(10001 + index, node, arms, tuple(movements)))
    return Town(plan, paths, tuple(junctions))


def _ordered(arms: list[Arm]) -> list[Arm]:
    return sorted(arms, key=lambda arm: (arm.heading_rad + math.pi) % math.tau)


def _setback_m(around: list[tuple[Street, bool]], kerb_radius_m: float) -> float:
    """Least distance from the grid point at which all corners are round enough."""
    for setback in SETBACKS_M:
        arms = _ordered([Arm(s, start, *arm_pose(s.path(setback, setback), start)) for s, start in around])
        if all(_is_round(arm, arms[(k + 1) % len(arms)], kerb_radius_m) for k, arm in enumerate(arms)):
            return float(setback)
    raise ValueError(f"road {around[0][0].road}: no room for its junction within {SETBACKS_M[-1]} m")


def _is_round(source: Arm, target: Arm, kerb_radius_m: float) -> bool:
    if turn_of(source, target) != -1:
        return True
    path = _path(source, source.street.lanes, target, target.street.lanes, -1)
    radius = min((1.0 / abs(c.start_1pm) for c in path if c.start_1pm != 0.0), default=math.inf)
    lane = max(source.street.lane_width_m, target.street.lane_width_m)
    verge = max(source.street.verge_m, target.street.verge_m)
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
        for target in others:
            turn = turn_of(source, target)
            corner = target is arms[(k + 1) % len(arms)]
            for a, b in _lane_pairs(source.street.lanes, target.street.lanes, turn, turns):
                outermost = a == source.street.lanes and b == target.street.lanes
                path = _path(source, a, target, b, turn)
                out.append(Movement(first_road + len(out), source, a, target, b, turn, corner and outermost, path))
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
