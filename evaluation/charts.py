"""Charts of a drive as SVG text for an HTML page: lines and bands over time, and the town with the driven path.

Colours are classes, so that the page's style sheet sets them; the width follows the page. A chart over time carries its
span in `data-span`, by which the page's script seeks the video and moves the cursor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from evaluation.birdseye import lane_edges, route_points
from stack.frames import F64
from stack.lanegraph import LaneGraph, Route

WIDTH, LEFT, RIGHT, TOP, BOTTOM = 1000, 46, 12, 10, 22
POINTS_MAX = 1200  # of a line
MAP_MARGIN_M = 40.0


@dataclass(frozen=True)
class Line:
    """A value over time; NaN breaks the line."""

    name: str
    values: F64  # (N,)
    style: str  # class of the style sheet


@dataclass(frozen=True)
class Mark:
    """An instant worth a line across the chart."""

    time_s: float
    text: str
    style: str


def _nice_step(span: float, count: int) -> float:
    raw = max(span, 1e-9) / count
    scale = 10.0 ** np.floor(np.log10(raw))
    return float(next(step * scale for step in (1, 2, 5, 10) if step * scale >= raw))


class _Axes:
    """Pixels of time and value."""

    def __init__(self, end_s: float, low: float, high: float, height: int) -> None:
        self.end_s, self.low, self.high, self.height = max(end_s, 1e-3), low, max(high, low + 1e-6), height

    def x(self, time_s: float | F64) -> F64:
        return LEFT + np.asarray(time_s) / self.end_s * (WIDTH - LEFT - RIGHT)

    def y(self, value: float | F64) -> F64:
        share = (np.clip(value, self.low, self.high) - self.low) / (self.high - self.low)
        return self.height - BOTTOM - share * (self.height - TOP - BOTTOM)

    def open(self, label: str) -> str:
        return (
            f'<svg class="chart" viewBox="0 0 {WIDTH} {self.height}" role="img" aria-label="{escape(label)}" '
            f'data-span="{self.end_s:.2f}" data-left="{LEFT / WIDTH:.4f}" data-right="{1 - RIGHT / WIDTH:.4f}">'
        )

    def seconds(self) -> str:
        step = max(_nice_step(self.end_s, 10), 1.0)
        out = []
        for t in np.arange(0.0, self.end_s + 1e-6, step):
            x, y = float(self.x(t)), self.height - 6
            out.append(f'<text class="tick" x="{x:.1f}" y="{y}" text-anchor="middle">{t:.0f} s</text>')
        return "".join(out)

    def grid(self) -> str:
        out = []
        step = _nice_step(self.high - self.low, 4)
        for value in np.arange(np.ceil(self.low / step) * step, self.high + 1e-9, step):
            y = float(self.y(value))
            out.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
            out.append(f'<text class="tick" x="{LEFT - 7}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
        return "".join(out)

    def cursor(self) -> str:
        return f'<line class="cursor" x1="{LEFT}" x2="{LEFT}" y1="{TOP}" y2="{self.height - BOTTOM}"/></svg>'


def line_chart(time_s: F64, lines: Sequence[Line], label: str, span: tuple[float, float], marks: Sequence[Mark] = (),
               shaded: F64 | None = None, height: int = 180) -> str:  # fmt: skip
    """Lines over time, values clipped to `span`; `shaded` (N,) bool gives the ground a warning colour."""
    axes = _Axes(float(time_s[-1]), *span, height)
    out = [axes.open(label), axes.grid(), axes.seconds()]
    if shaded is not None:
        out += [
            f'<rect class="guarded" x="{axes.x(a):.1f}" width="{max(float(axes.x(b) - axes.x(a)), 1.5):.1f}" '
            f'y="{TOP}" height="{height - TOP - BOTTOM}"><title>the guard acted, {a:.1f} to {b:.1f} s</title></rect>'
            for a, b, value in runs(time_s, shaded.astype(bool).tolist()) if value
        ]  # fmt: skip
    every = max(len(time_s) // POINTS_MAX, 1)
    for line in lines:
        values, x = line.values[::every], axes.x(time_s[::every])
        y = axes.y(np.nan_to_num(values))
        path, pen_up = [], True
        for u, v, value in zip(x, y, values, strict=True):
            if np.isnan(value):
                pen_up = True
                continue
            path.append(f"{'M' if pen_up else 'L'}{u:.1f} {v:.1f}")
            pen_up = False
        out.append(f'<path class="{line.style}" d="{"".join(path)}"><title>{escape(line.name)}</title></path>')
    for mark in marks:
        at = float(axes.x(mark.time_s))
        out.append(
            f'<g class="mark {mark.style}"><line x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{height - BOTTOM}"/>'
            f'<circle cx="{at:.1f}" cy="{TOP}" r="5"/><title>{escape(mark.text)}</title></g>'
        )
    return "".join([*out, axes.cursor()])


def runs(time_s: F64, values: Sequence[object]) -> list[tuple[float, float, object]]:
    """(from, to, value) of each stretch of equal values."""
    out: list[tuple[float, float, object]] = []
    step = float(time_s[1] - time_s[0]) if len(time_s) > 1 else 0.0
    begin = 0
    for k in range(1, len(values) + 1):
        if k == len(values) or values[k] != values[begin]:
            out.append((float(time_s[begin]), float(time_s[k - 1]) + step, values[begin]))
            begin = k
    return out


def band_chart(time_s: F64, values: Sequence[str], texts: dict[str, str], label: str, height: int = 54) -> str:
    """A band whose colour says which of a few values held when; `texts` gives their readable names."""
    axes = _Axes(float(time_s[-1]), 0.0, 1.0, height)
    out = [axes.open(label), axes.seconds()]
    for a, b, value in runs(time_s, values):
        x, wide = float(axes.x(a)), float(axes.x(b) - axes.x(a))
        text = texts[str(value)]
        out.append(
            f'<rect class="band {value}" x="{x:.1f}" width="{wide:.1f}" y="{TOP - 4}" '
            f'height="{height - TOP - BOTTOM + 6}">'
            f"<title>{escape(text)}, {a:.1f} to {b:.1f} s</title></rect>"
        )
        if wide > 7.2 * len(text) + 8:
            out.append(f'<text class="bandname" x="{x + 6:.1f}" y="{height - BOTTOM - 5}">{escape(text)}</text>')
    return "".join([*out, axes.cursor()])


def town_map(graph: LaneGraph, route: Route, driven_m: F64, places: Sequence[tuple[float, float, str, str]]) -> str:
    """The town about a route, north up, with the (N, 2) driven path; `places`: (x, y, text, style)."""
    wanted = np.concatenate([route_points(graph, route), driven_m])
    low, high = wanted.min(axis=0) - MAP_MARGIN_M, wanted.max(axis=0) + MAP_MARGIN_M
    size = high - low
    k = 1000.0 / size[0]

    def at(xy: F64) -> str:
        u, v = (xy[:, 0] - low[0]) * k, (high[1] - xy[:, 1]) * k
        return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(u, v, strict=True))

    out = [f'<svg class="town" viewBox="0 0 1000 {size[1] * k:.0f}" role="img" aria-label="map of the drive">']
    for lane in range(graph.lanes):
        points = graph.points(lane)[:, :2]
        if not ((points > low) & (points < high)).all(axis=1).any():
            continue
        left, right = lane_edges(graph, lane)
        rows = np.unique(np.r_[np.arange(0, len(left), 4), len(left) - 1])
        out.append(f'<polygon class="road" points="{at(np.concatenate([left[rows], right[rows][::-1]]))}"/>')
    out.append(f'<polyline class="route" points="{at(route_points(graph, route)[::3])}"/>')
    out.append(f'<polyline class="driven" points="{at(driven_m[:: max(len(driven_m) // 800, 1)])}"/>')
    for x, y, text, style in places:
        u, v = (x - low[0]) * k, (high[1] - y) * k
        dot = f'<circle class="place {style}" cx="{u:.1f}" cy="{v:.1f}" r="7">'
        out.append(f"{dot}<title>{escape(text)}</title></circle>")
    scale_m = 50.0 if size[0] < 500 else 100.0
    v = size[1] * k - 22
    out.append(f'<line class="scale" x1="24" x2="{24 + scale_m * k:.1f}" y1="{v:.0f}" y2="{v:.0f}"/>')
    out.append(f'<text class="tick" x="24" y="{v - 8:.0f}">{scale_m:.0f} m</text></svg>')
    return "".join(out)
