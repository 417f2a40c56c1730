"""Records of a junction: its arms, and the movements between them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from sim.maps.geometry import Cubic, Path
from sim.maps.streets import Node, Street
from stack.frames import F64


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
        street = self.street
        inner = street.inner_m(self.at_start) if lane == 0 else 0.5 * street.median_m + (lane - 1) * street.lane_width_m
        return self.point_m + inner * right

    def lanes(self, entering: bool) -> int:
        """Lanes that enter or leave the junction, left-turn lanes apart."""
        return self.street.count(right=entering != self.at_start)

    @property
    def kerb_m(self) -> float:
        """From the street's middle to the kerb on the right of traffic that enters the junction."""
        return self.street.edge(right=not self.at_start)

    @property
    def pocket_m(self) -> float:
        """Width of the left-turn lane, 0 without one."""
        return self.street.pockets_m[0 if self.at_start else 1]

    def lane_id(self, lane: int, entering: bool) -> int:
        """OpenDRIVE id of the lane-th lane from the middle: beside a median, which is the first, one more."""
        lane += self.street.median_m > 0.0
        return lane if entering == self.at_start else -lane

    def verge_id(self, entering: bool) -> int:
        """OpenDRIVE id of the verge; parking lanes, which have no width here, come before it."""
        return self.lane_id(self.lanes(entering) + (self.street.parking_m > 0.0) + 1, entering)


@dataclass(frozen=True)
class Band:
    """A lane that nobody drives on: OpenDRIVE type, width along the road, height above it."""

    kind: str
    width_m: tuple[Cubic, ...]
    height_m: float = 0.0


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
    driven: bool = True  # else it is there for its verge
    left: tuple[Band, ...] = ()  # beside the path, from it outwards

    def widths_m(self) -> tuple[float, float]:
        """Width of the lane at start and end."""
        source = self.source.street.lane_width_m if self.source.lanes(entering=True) else 0.0
        target = self.target.street.lane_width_m if self.target.lanes(entering=False) else 0.0
        return self.source.pocket_m if self.source_lane == 0 else source, target


@dataclass(frozen=True)
class Junction:
    """A junction: its arms counter-clockwise, and its movements."""

    id: int
    node: Node
    arms: tuple[Arm, ...]
    movements: tuple[Movement, ...]
    ring: bool = False  # an arm of a roundabout; the ring has priority

    def of(self, arm: Arm) -> list[Movement]:
        """Movements that start at an arm."""
        return [m for m in self.movements if m.source is arm and m.driven]

    def facing(self, arm: Arm) -> Arm | None:
        """The arm straight across."""
        return next((m.target for m in self.of(arm) if m.turn == 0), None)
