"""Plan views: chains of lines, arcs and clothoids without a kink, from polylines with rounded corners.

All three are one record, a curve whose curvature grows linearly along it (OpenDRIVE 1.6, section 9: line, arc, spiral).
A corner is rounded by an arc, or by clothoid - arc - clothoid; both scale with their radius, so that the radius follows
from the length of the tangents.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np

from stack.frames import F64

NODES, WEIGHTS = np.polynomial.legendre.leggauss(16)
SMALL_RAD = 1e-7  # corners flatter than this are no corners
CLOTHOID_SHARE = 0.25  # of the corner's angle, turned in each of its two clothoids, where nothing else is asked for
CLOTHOID_FROM_RAD = 0.05  # flatter corners get a plain arc


@dataclass(frozen=True)
class Curve:
    """A record of the plan view: starts at (x, y) with a heading; curvature runs linearly from start to end."""

    s_m: float
    x_m: float
    y_m: float
    heading_rad: float
    length_m: float
    start_1pm: float
    end_1pm: float


Path = tuple[Curve, ...]
Knots = list[tuple[float, float]]
Cubic = tuple[float, float, float, float, float]  # s, and a + b ds + c ds2 + d ds3 from there on


def travel(curve: Curve, s_m: float) -> tuple[float, float, float]:
    """x, y, heading at s_m along a curve, by Gauss-Legendre quadrature (16 nodes; exact to rounding for our turns)."""
    rate = (curve.end_1pm - curve.start_1pm) / curve.length_m
    at = 0.5 * s_m * (NODES + 1.0)
    heading = curve.heading_rad + curve.start_1pm * at + 0.5 * rate * at * at
    x = curve.x_m + 0.5 * s_m * float(WEIGHTS @ np.cos(heading))
    y = curve.y_m + 0.5 * s_m * float(WEIGHTS @ np.sin(heading))
    return x, y, curve.heading_rad + curve.start_1pm * s_m + 0.5 * rate * s_m * s_m


def length_m(path: Path) -> float:
    """Length of a path."""
    return path[-1].s_m + path[-1].length_m


def pose(path: Path, s_m: float) -> tuple[float, float, float]:
    """x, y, heading at s_m along a path."""
    curve = next(c for c in reversed(path) if c.s_m <= s_m or c is path[0])
    return travel(curve, s_m - curve.s_m)


def sample(path: Path, step_m: float = 1.0) -> F64:
    """(N, 3) x, y, heading, evenly spaced, both ends included."""
    total = length_m(path)
    return np.array([pose(path, s) for s in np.linspace(0.0, total, max(2, math.ceil(total / step_m) + 1))])


def station(path: Path, x_m: float, y_m: float) -> tuple[float, float]:
    """(s, t) of the point of the road frame nearest to a point: t is positive to the left."""
    dense = sample(path, 0.05)
    index = int(np.argmin(np.hypot(dense[:, 0] - x_m, dense[:, 1] - y_m)))
    px, py, heading = dense[index]
    t = (y_m - py) * math.cos(heading) - (x_m - px) * math.sin(heading)
    return index * length_m(path) / (len(dense) - 1), t


def level_cubics(knots: Knots) -> list[Cubic]:
    """Cubics through (s, value) knots, level at each."""
    out = []
    for (s, start), (end_s, end) in itertools.pairwise(knots):
        length, rise = end_s - s, end - start
        out.append((s, start, 0.0, 3.0 * rise / length**2, -2.0 * rise / length**3))
    return out


def cut(path: Path, from_m: float, to_m: float) -> Path:
    """The part of a path between two stations."""
    out: list[Curve] = []
    for c in path:
        low, high = max(from_m - c.s_m, 0.0), min(to_m - c.s_m, c.length_m)
        if high - low > 1e-6:
            rate = (c.end_1pm - c.start_1pm) / c.length_m
            at = out[-1].s_m + out[-1].length_m if out else 0.0
            out.append(Curve(at, *travel(c, low), high - low, c.start_1pm + rate * low, c.start_1pm + rate * high))
    return tuple(out)


def backwards(path: Path) -> Path:
    """The path from its end to its start."""
    out: list[Curve] = []
    total = length_m(path)
    for c in reversed(path):
        x, y, heading = travel(c, c.length_m)
        out.append(Curve(total - c.s_m - c.length_m, x, y, heading + math.pi, c.length_m, -c.end_1pm, -c.start_1pm))
    return tuple(out)


def _chain(x_m: float, y_m: float, heading_rad: float, pieces: list[tuple[float, float, float]]) -> Path:
    """Pieces (length, curvature at start, at end) one after the other."""
    out: list[Curve] = []
    s = 0.0
    for length, start, end in pieces:
        if length < 1e-6:
            continue
        out.append(Curve(s, x_m, y_m, heading_rad, length, start, end))
        x_m, y_m, heading_rad = travel(out[-1], length)
        s += length
    return tuple(out)


def _corner(angle_rad: float, clothoids: bool, share: float) -> tuple[float, list[tuple[float, float, float]]]:
    """Tangent length and pieces of a corner of radius 1 m that turns by angle_rad (left positive), `share` of it in each
    of its clothoids."""
    turn, sign = abs(angle_rad), math.copysign(1.0, angle_rad)
    if not clothoids or turn < CLOTHOID_FROM_RAD:
        return math.tan(0.5 * turn), [(turn, sign, sign)]
    ramp = 2.0 * share * turn  # a clothoid from 0 to 1/R turns by half its length over R
    pieces = [(ramp, 0.0, sign), ((1.0 - 2.0 * share) * turn, sign, sign), (ramp, sign, 0.0)]
    last = _chain(0.0, 0.0, 0.0, pieces)[-1]
    x, y, _ = travel(last, last.length_m)
    return x - abs(y) / math.tan(turn), pieces


def rounded(
    points: F64, radii_m: list[float], clothoids: bool = True, straight_m: float = 0.0, share: float = CLOTHOID_SHARE
) -> Path:
    """The polyline `points` (N, 2) with its N-2 inner corners rounded by the radii, or by less where they do not fit.

    Corners share the segment between them by halves; straight_m stays straight at both ends. A corner turns by `share` of
    its angle in each of its clothoids.
    """
    steps = np.diff(points, axis=0)
    lengths = np.hypot(steps[:, 0], steps[:, 1])
    headings = np.arctan2(steps[:, 1], steps[:, 0])
    room = np.concatenate([[lengths[0] - straight_m], 0.5 * lengths[1:-1], [lengths[-1] - straight_m]])
    pieces: list[tuple[float, float, float]] = []
    used = 0.0  # of the segment, by the corner before
    for i, radius in enumerate(radii_m):
        angle = math.remainder(float(headings[i + 1] - headings[i]), math.tau)
        tangent, unit = 0.0, []
        if abs(angle) > SMALL_RAD:
            unit_tangent, unit = _corner(angle, clothoids, share)
            tangent = min(radius * unit_tangent, float(min(room[i], room[i + 1])))
            scale = tangent / unit_tangent
            unit = [(length * scale, start / scale, end / scale) for length, start, end in unit]
        pieces += [(float(lengths[i]) - used - tangent, 0.0, 0.0), *unit]
        used = tangent
    pieces.append((float(lengths[-1]) - used, 0.0, 0.0))
    return _chain(float(points[0, 0]), float(points[0, 1]), float(headings[0]), pieces)


def crossing(p: F64, p_heading_rad: float, q: F64, q_heading_rad: float) -> F64 | None:
    """Where the ray from p ahead meets the ray that arrives at q; None where it does not, or far off."""
    a = np.array([math.cos(p_heading_rad), math.sin(p_heading_rad)])
    b = np.array([math.cos(q_heading_rad), math.sin(q_heading_rad)])
    determinant = a[0] * b[1] - a[1] * b[0]
    if abs(determinant) < 0.3:
        return None
    gap = q - p
    ahead = (gap[0] * b[1] - gap[1] * b[0]) / determinant
    before = (a[0] * gap[1] - a[1] * gap[0]) / determinant  # from the crossing on to q
    return p + ahead * a if ahead > 0.0 and before > 0.0 else None


def between(p: F64, p_heading_rad: float, q: F64, q_heading_rad: float, clothoids: bool) -> Path:
    """A path from pose p to pose q: one corner where their lines meet, else a gentle S."""
    corner = crossing(p, p_heading_rad, q, q_heading_rad)
    if corner is not None:
        return rounded(np.array([p, corner, q]), [1e9], clothoids)
    reach = 0.35 * math.hypot(*(q - p))
    a = p + reach * np.array([math.cos(p_heading_rad), math.sin(p_heading_rad)])
    b = q - reach * np.array([math.cos(q_heading_rad), math.sin(q_heading_rad)])
    return rounded(np.array([p, a, b, q]), [1e9, 1e9], clothoids)
