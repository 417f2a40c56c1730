"""Values as clients send them, checked: what passes here can neither break the world nor come back to another client in
a form that it cannot read (a TrafficManager that does not understand a reply ends its process)."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Sequence
from typing import Any

from sim.carla import convert
from sim.carla.server.wire import Failed
from stack.frames import Pose

FAR_M = 1e6
FASTEST_MPS = 1e4
LARGEST = 1e12
U8, U16, U32 = 2**8 - 1, 2**16 - 1, 2**32 - 1


def number(value: Any, what: str, low: float = -LARGEST, high: float = LARGEST) -> float:
    """A finite float. Raises Failed."""
    out = float(value)
    if not low <= out <= high:  # false for nan
        raise Failed(f"{what}: found {out:g}, expected a number from {low:g} to {high:g}")
    return out


def numbers(values: Sequence[Any], what: str, count: int = 0, most: float = LARGEST) -> list[float]:
    """Finite floats of a sane size, `count` of them where it is given. Raises Failed."""
    out = [float(v) for v in values]
    if count and len(out) != count:
        raise Failed(f"{what}: found {len(out)} numbers, expected {count}")
    if not all(abs(v) <= most for v in out):  # false for nan
        raise Failed(f"{what}: found {reprlib.repr(out)}, expected numbers from {-most:g} to {most:g}")
    return out


def whole(value: Any, what: str, high: int, low: int = 0) -> int:
    """A whole number of a range. Raises Failed."""
    out = int(value)
    if not low <= out <= high:
        raise Failed(f"{what}: found {out}, expected {low} to {high}")
    return out


def text(value: Any, what: str) -> str:
    """A text. Raises Failed."""
    if not isinstance(value, str):
        raise Failed(f"{what}: found {reprlib.repr(value)}, expected a text")
    return value


def place(values: Sequence[Any], what: str = "location") -> list[float]:
    """A point of our frame. Raises Failed."""
    return convert.location(numbers(values, what, 3, FAR_M))


def vector(values: Sequence[Any], what: str, most: float = LARGEST) -> list[float]:
    """A vector in our frame. Raises Failed."""
    return convert.location(numbers(values, what, 3, most))


def pose(transform: Sequence[Sequence[Any]]) -> Pose:
    """A Pose of a Transform; angles are brought to one turn. Raises Failed."""
    at, turn = transform
    angles = [math.remainder(v, 360.0) for v in numbers(turn, "rotation", 3)]
    return convert.pose([numbers(at, "location", 3, FAR_M), angles])
