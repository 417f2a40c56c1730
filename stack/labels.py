"""Class ids shared by worlds, perception and scores.

Semantic ids are CARLA 0.9.16's `CityObjectLabel`; colours are Cityscapes' palette.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray


class Semantic(IntEnum):
    """CARLA 0.9.16 `carla.CityObjectLabel`."""

    UNLABELED = 0
    ROAD = 1
    SIDEWALK = 2
    BUILDING = 3
    WALL = 4
    FENCE = 5
    POLE = 6
    TRAFFIC_LIGHT = 7
    TRAFFIC_SIGN = 8
    VEGETATION = 9
    TERRAIN = 10
    SKY = 11
    PEDESTRIAN = 12
    RIDER = 13
    CAR = 14
    TRUCK = 15
    BUS = 16
    TRAIN = 17
    MOTORCYCLE = 18
    BICYCLE = 19
    STATIC = 20
    DYNAMIC = 21
    OTHER = 22
    WATER = 23
    ROAD_LINE = 24
    GROUND = 25
    BRIDGE = 26
    RAIL_TRACK = 27
    GUARD_RAIL = 28


class Kind(IntEnum):
    """What an actor is. Detection and tracking use the same ids."""

    NONE = 0
    CAR = 1
    TRUCK = 2  # vans, trucks and buses
    CYCLIST = 3  # bicycles and motorcycles with their rider
    PEDESTRIAN = 4
    PROP = 5  # something static on the road


class LightState(IntEnum):
    """State of a traffic light. UNKNOWN: not seen, or seen without certainty."""

    UNKNOWN = 0
    GREEN = 1
    YELLOW = 2
    RED = 3


class Sign(IntEnum):
    """Sign that controls the entry to a lane."""

    NONE = 0
    STOP = 1
    YIELD = 2


SEMANTIC_OF_KIND = {
    Kind.CAR: Semantic.CAR,
    Kind.TRUCK: Semantic.TRUCK,
    Kind.CYCLIST: Semantic.BICYCLE,
    Kind.PEDESTRIAN: Semantic.PEDESTRIAN,
    Kind.PROP: Semantic.STATIC,
}

# (29, 3) RGB, Cityscapes palette where it has the class
COLOURS: NDArray[np.uint8] = np.array(
    [
        (0, 0, 0), (128, 64, 128), (244, 35, 232), (70, 70, 70), (102, 102, 156), (190, 153, 153),
        (153, 153, 153), (250, 170, 30), (220, 220, 0), (107, 142, 35), (152, 251, 152), (70, 130, 180),
        (220, 20, 60), (255, 0, 0), (0, 0, 142), (0, 0, 70), (0, 60, 100), (0, 80, 100), (0, 0, 230),
        (119, 11, 32), (110, 190, 160), (170, 120, 50), (55, 90, 80), (45, 60, 150), (157, 234, 50),
        (81, 0, 81), (150, 100, 100), (230, 150, 140), (180, 165, 180),
    ],
    dtype=np.uint8,
)  # fmt: skip
