"""Attributes of elements as numbers and texts, each checked where it is read.

The bounds keep a file with absurd numbers from taking the machine's memory, and coordinates within what 32 bits hold to
the centimetre; no road of this world comes near them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from stack.frames import F64
from stack.opendrive.records import EMPTY_POLY, Doubt, MapError
from stack.opendrive.source import one_line

Element = Any
MAX_NUMBER = 1e9  # larger ones overflow the polynomials
MAX_ASIDE_M = 1e3  # lateral: lane offset, width, border
MAX_HEIGHT_M = 1e4  # elevation, and what stands on the road
MAX_ROLL_RAD = 1.5  # superelevation
MAX_AWAY_M = 1e4  # of signals and objects from their road
_SAMPLES = np.linspace(0.0, 1.0, 65)


class Fields:
    """Reads attributes of one file; remembers the file's name for errors and gathers doubts."""

    def __init__(self, file: str, lines: dict[Element, int]) -> None:
        self.file = file
        self.lines = lines
        self.doubts: list[Doubt] = []

    def line(self, el: Element) -> int:
        return self.lines.get(el) or int(el.sourceline or 0)

    def error(self, el: Element, found: str, expected: str) -> MapError:
        return MapError(f"{self.file}:{self.line(el)}: <{el.tag}>: found {one_line(found)}, expected {expected}")

    def doubt(self, kind: str, el: Element, text: str) -> None:
        self.doubts.append(Doubt(kind, self.line(el), el.tag, one_line(text)))

    def number(self, el: Element, name: str, default: float | None = None, low: float = -MAX_NUMBER,
               high: float = MAX_NUMBER) -> float:  # fmt: skip
        """A finite number from low to high; the default (required: None) where the attribute is missing."""
        text = el.get(name)
        if text is None:
            if default is None:
                raise self.error(el, f"no {name}", f"{name} as a number")
            return default
        try:
            value = float(text) if text.isascii() and "_" not in text else math.nan  # Python takes 1_0, XML does not
        except ValueError:
            raise self.error(el, f'{name}="{text[:40]}"', "a number") from None
        if not (math.isfinite(value) and low <= value <= high):
            raise self.error(el, f'{name}="{text[:40]}"', f"a number from {low:g} to {high:g}")
        return value

    def either_way(self, el: Element, name: str, default: float | None, most: float) -> float:
        return self.number(el, name, default, -most, most)

    def integer(self, el: Element, name: str) -> int:
        value = self.number(el, name)
        if value != int(value):
            raise self.error(el, f'{name}="{el.get(name)[:40]}"', "a whole number")
        return int(value)

    def text(self, el: Element, name: str) -> str:
        value = el.get(name)
        if not value:
            raise self.error(el, f"no {name}", name)
        return str(value)

    def polynomials(self, parent: Element | None, tag: str, most: float, end: float, s_name: str = "s") -> F64:
        """(n, 5) rows of s, a, b, c, d, sorted by s, whose values stay within +-most up to s = end."""
        rows = [
            ([self.number(el, s_name, 0.0), *(self.number(el, name, 0.0) for name in "abcd")], el)
            for el in (parent.findall(tag) if parent is not None else [])
        ]
        rows.sort(key=lambda row: row[0][0])
        starts = [0.0, *(row[0] for row, _ in rows[1:]), end]  # before its first record a polynomial goes on backwards
        for k, ((s, *abcd), el) in enumerate(rows):
            self._bounded(el, abcd, starts[k] - s, min(starts[k + 1], end) - s, most)
        return np.array([row for row, _ in rows]) if rows else EMPTY_POLY

    def _bounded(self, el: Element, abcd: list[float], low: float, high: float, most: float) -> None:
        reach, (a, b, c, d) = max(abs(low), abs(high)), abcd
        if abs(a) + reach * (abs(b) + reach * (abs(c) + reach * abs(d))) <= most:
            return
        ds = low + (max(high, low) - low) * _SAMPLES
        value = float(np.abs(a + ds * (b + ds * (c + ds * d))).max())
        if value > most:
            raise self.error(el, f"a value of {value:g}", f"at most {most:g} either way")
