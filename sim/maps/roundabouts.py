"""Roundabouts: a ring of short one-way streets round a raised island, with a junction at each arm.

The ring is driven anticlockwise. Its path is the island's edge, so that the island lies left of it. At an arm one road
leads into the ring, one out of it, each an arc that touches the arm's middle line and the island.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from sim.maps.arms import Arm, Band, Junction, Movement
from sim.maps.geometry import Curve, Path, between, length_m, level_cubics
from sim.maps.streets import Node, Street
from stack.frames import F64

RING_M = 8.5  # least length of ring between two arms: room for a car and more
LANE_M = (4.2, 4.6)
OUTER_M = (17.0, 20.0)
ENTRY_M = (9.0, 9.8)  # radius of the arcs between arm and island
CENTRE_M = 0.05  # radius about which the island's pieces meet


Pieces = list[tuple[Street, Path]]


@dataclass(frozen=True)
class Ring:
    """Measures of a roundabout."""

    lane_m: float
    island_m: float  # radius of the island
    entry_m: float  # radius of the arcs
    kerb_m: float

    @property
    def half_rad(self) -> float:
        """From an arm to the place where its arc touches the island: both tangents of the arc are equally long there."""
        low, high = 0.0, 0.5 * math.pi
        for _ in range(60):
            middle = 0.5 * (low + high)
            short = self.island_m * math.tan(middle) < self.entry_m * math.tan(0.5 * (0.5 * math.pi - middle))
            low, high = (middle, high) if short else (low, middle)
        return low

    @property
    def setback_m(self) -> float:
        """From the middle to the arms' ends."""
        return self.island_m / math.cos(self.half_rad) + self.island_m * math.tan(self.half_rad)

    def fits(self, headings_rad: list[float]) -> bool:
        """Is there enough ring between every two of the arms?"""
        turned = sorted(heading % math.tau for heading in headings_rad)
        gaps = np.diff([*turned, turned[0] + math.tau])
        return bool(gaps.min() - 2.0 * self.half_rad > RING_M / (self.island_m + 0.5 * self.lane_m))


def draw_ring(rng: np.random.Generator, kerb_m: float) -> Ring:
    """A mini to normal roundabout."""
    lane, outer, entry = (round(float(rng.uniform(*span)), 2) for span in (LANE_M, OUTER_M, ENTRY_M))
    return Ring(lane, outer - lane, entry, kerb_m)


def ring_streets(ring: Ring, middle_m: F64, node: Node, arms: tuple[Arm, ...], first_road: int) -> Pieces:
    """The pieces of ring from each arm to the next, counter-clockwise."""
    out = []
    for k, arm in enumerate(arms):
        start = arm.heading_rad + math.pi + ring.half_rad
        turned = (arms[(k + 1) % len(arms)].heading_rad - arm.heading_rad) % math.tau - 2.0 * ring.half_rad
        verge, limit = min(a.street.corner_m for a in arms), min(a.street.limit_kmh for a in arms)
        street = Street(
            first_road + k, (node, node), np.zeros((0, 2)), (), 1, ring.lane_m, verge, min(limit, 30), False,
            oneway=True, island_m=ring.island_m - CENTRE_M,
        )  # fmt: skip
        out.append((street, _arc(ring, middle_m, start, turned)))
    return out


def _arc(ring: Ring, middle_m: F64, start_rad: float, turned_rad: float) -> Path:
    x, y = middle_m + ring.island_m * np.array([math.cos(start_rad), math.sin(start_rad)])
    bend = 1.0 / ring.island_m
    return (Curve(0.0, float(x), float(y), start_rad + 0.5 * math.pi, ring.island_m * turned_rad, bend, bend),)


def ring_junctions(
    ring: Ring, middle_m: F64, node: Node, arms: tuple[Arm, ...], pieces: Pieces, first_road: int, first_id: int
) -> list[Junction]:
    """The junction at each arm: along the ring, into it and out of it."""
    out = []
    for k, arm in enumerate(arms):
        start, end = _end(*pieces[k - 1], at_start=False), _end(*pieces[k], at_start=True)
        road = first_road + 3 * k
        along = _arc(ring, middle_m, arm.heading_rad + math.pi - ring.half_rad, 2.0 * ring.half_rad)
        island = Band("median", ((0.0, ring.island_m - CENTRE_M, 0.0, 0.0, 0.0),), ring.kerb_m)
        into = between(arm.point_m, arm.heading_rad, end.point_m, end.heading_rad + math.pi, clothoids=False)
        out_of = between(start.point_m, start.heading_rad, arm.point_m, arm.heading_rad + math.pi, clothoids=False)
        movements = (
            Movement(road, start, 1, end, 1, 0, False, along, left=(island,)),
            Movement(road + 1, arm, 1, end, 1, -1, True, into, left=_beside(arm, into, leaving=False)),
            Movement(road + 2, start, 1, arm, 1, -1, True, out_of, left=_beside(arm, out_of, leaving=True)),
        )
        out.append(Junction(first_id + k, node, (start, arm, end), movements, ring=True))
    return out


def _end(street: Street, path: Path, at_start: bool) -> Arm:
    curve = path[0]
    if at_start:
        return Arm(street, True, np.array([curve.x_m, curve.y_m]), curve.heading_rad + math.pi)
    turned = curve.start_1pm * curve.length_m
    chord = 2.0 / curve.start_1pm * math.sin(0.5 * turned)
    towards = curve.heading_rad + 0.5 * turned
    point = np.array([curve.x_m + chord * math.cos(towards), curve.y_m + chord * math.sin(towards)])
    return Arm(street, False, point, curve.heading_rad + turned)


def _beside(arm: Arm, path: Path, leaving: bool) -> tuple[Band, ...]:
    """Asphalt left of an arc, over the middle of the arm and up to the ring."""
    wide, length = arm.street.lane_width_m, length_m(path)
    knots = [(0.0, 0.0), (length, wide)] if leaving else [(0.0, wide), (length, 0.0)]
    return (Band("restricted", tuple(level_cubics(knots))),)
