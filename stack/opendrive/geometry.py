"""Reference line, elevation, superelevation and lane borders of a road, for many stations at once.

Lines and arcs in closed form. Spirals (curvature linear in s): the Fresnel-type integrals of cos and sin of the
heading, k0 s + (k1 - k0) s^2 / (2 L), by Gauss-Legendre quadrature; with 32 nodes it is exact to machine precision for
headings that turn by up to about 20 rad, and unlike Fresnel functions it loses nothing as k1 -> k0. Cubics: u, v in the
record's frame; p of the arc length by inverting the summed chord lengths. ASAM OpenDRIVE 1.8, sections 8 to 11.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stack.frames import F64
from stack.opendrive.records import Geometry, LaneRecord, LaneSection, Road

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(32)
_NODES, _WEIGHTS = 0.5 * (_NODES + 1.0), 0.5 * _WEIGHTS
_CUBIC_STEPS = 512  # chords per cubic record
_BLOCK = 32768  # stations
EDGE_M = 1e-5


@dataclass(frozen=True)
class RoadFrame:
    """The road's frame at n stations: position of the reference line, heading, cross slope; world frame."""

    x_m: F64
    y_m: F64
    z_m: F64
    hdg_rad: F64
    roll_rad: F64  # superelevation: positive lifts the left side

    def place(self, t_m: F64, dz_m: F64 | float = 0.0) -> F64:
        """(n, 3) points at lateral offsets t_m (left positive), dz_m above the road."""
        across = t_m * np.cos(self.roll_rad)
        return np.stack(
            [
                self.x_m - np.sin(self.hdg_rad) * across,
                self.y_m + np.cos(self.hdg_rad) * across,
                self.z_m + t_m * np.sin(self.roll_rad) + dz_m,
            ],
            axis=-1,
        )


def polynomial(table: F64, s_m: F64) -> F64:
    """Piecewise cubic a + b ds + c ds^2 + d ds^3 of a (n, 5) table; zero where the table is empty."""
    if len(table) == 0:
        return np.zeros_like(s_m)
    row = table[np.clip(np.searchsorted(table[:, 0], s_m, side="right") - 1, 0, None)]
    ds = s_m - row[:, 0]
    value: F64 = row[:, 1] + ds * (row[:, 2] + ds * (row[:, 3] + ds * row[:, 4]))
    return value


def _arc(k: float, ds: F64) -> tuple[F64, F64, F64]:
    half = 0.5 * k * ds
    chord = ds * np.sinc(half / np.pi)
    return chord * np.cos(half), chord * np.sin(half), k * ds


def _spiral(k0: float, k1: float, length_m: float, ds: F64) -> tuple[F64, F64, F64]:
    if len(ds) > _BLOCK:  # the nodes of all stations at once would take 32 times their memory
        parts = [_spiral(k0, k1, length_m, ds[i : i + _BLOCK]) for i in range(0, len(ds), _BLOCK)]
        u, v, turn = (np.concatenate(part) for part in zip(*parts, strict=True))
        return u, v, turn
    rate = (k1 - k0) / length_m if length_m > 0.0 else 0.0
    along = ds[:, None] * _NODES
    angle = along * (k0 + 0.5 * rate * along)
    return ds * (np.cos(angle) @ _WEIGHTS), ds * (np.sin(angle) @ _WEIGHTS), ds * (k0 + 0.5 * rate * ds)


def _cubic(u: F64, v: F64, p_end: float, length_m: float, scaled: bool, ds: F64, direct: bool) -> tuple[F64, F64, F64]:
    """Point and heading on (u(p), v(p)), coefficient arrays from a to d.

    `direct`: p is the arc length. `scaled`: p_end lies at the record's length, whatever the chords sum up to."""
    p = ds
    if not direct:
        grid = np.linspace(0.0, p_end, _CUBIC_STEPS + 1)
        chord = np.hypot(np.diff(_value(u, grid)), np.diff(_value(v, grid)))
        along = np.concatenate([[0.0], np.cumsum(chord)])
        factor = length_m / along[-1] if scaled and along[-1] > 0.0 else 1.0
        p = np.interp(ds, along * factor, grid)
    slope_u = u[1] + p * (2.0 * u[2] + 3.0 * p * u[3])
    slope_v = v[1] + p * (2.0 * v[2] + 3.0 * p * v[3])
    return _value(u, p), _value(v, p), np.arctan2(slope_v, slope_u)


def _value(c: F64, p: F64) -> F64:
    value: F64 = c[0] + p * (c[1] + p * (c[2] + p * c[3]))
    return value


def local_point(record: Geometry, ds: F64) -> tuple[F64, F64, F64]:
    """u, v in m and heading in rad, in the record's own frame, at distances ds from its start."""
    if record.kind == "line":
        return ds, np.zeros_like(ds), np.zeros_like(ds)
    if record.kind == "arc":
        return _arc(record.params[0], ds)
    if record.kind == "spiral":
        return _spiral(record.params[0], record.params[1], record.length_m, ds)
    if record.kind == "poly3":
        u = np.array([0.0, 1.0, 0.0, 0.0])
        return _cubic(u, np.array(record.params), record.length_m, record.length_m, False, ds, False)
    p = np.array(record.params)
    return _cubic(p[:4], p[4:], 1.0, record.length_m, True, ds, not record.normalized)


def reference(road: Road, s_m: F64) -> RoadFrame:
    """Frame of the road at stations s_m, in any order."""
    starts = np.array([g.s_m for g in road.geometry])
    index = np.clip(np.searchsorted(starts, s_m, side="right") - 1, 0, None)
    x, y, hdg = np.zeros_like(s_m), np.zeros_like(s_m), np.zeros_like(s_m)
    for i in np.unique(index):
        record, rows = road.geometry[i], index == i
        u, v, turn = local_point(record, s_m[rows] - record.s_m)
        cos, sin = np.cos(record.hdg_rad), np.sin(record.hdg_rad)
        x[rows] = record.x_m + u * cos - v * sin
        y[rows] = record.y_m + u * sin + v * cos
        hdg[rows] = record.hdg_rad + turn
    return RoadFrame(x, y, polynomial(road.elevation, s_m), hdg, polynomial(road.superelevation, s_m))


def lane_edges(road: Road, section: LaneSection, s_m: F64) -> dict[int, tuple[F64, F64]]:
    """Lateral offsets t in m of the inner and outer edge of every lane of the section, at stations s_m."""
    ds = s_m - section.s_m
    # at a section's ends its own record of the offset counts, which may jump to that of the next section
    inside = np.clip(s_m, section.s_m + EDGE_M, max(section.end_m - EDGE_M, section.s_m + EDGE_M))
    centre = polynomial(road.lane_offset, inside)
    edges = {0: (centre, centre)}
    for side in (1, -1):
        inner = centre
        for id_ in sorted((i for i in section.lanes if i * side > 0), key=abs):
            lane = section.lanes[id_]
            if len(lane.width) or not len(lane.border):
                outer = inner + side * np.maximum(polynomial(lane.width, ds), 0.0)
            else:
                outer = centre + polynomial(lane.border, ds)
            edges[id_] = (inner, outer)
            inner = outer
    return edges


def lane_height(lane: LaneRecord, ds_m: F64) -> tuple[F64, F64]:
    """Height in m of the inner and outer edge above the road."""
    if len(lane.height) == 0:
        return np.zeros_like(ds_m), np.zeros_like(ds_m)
    row = lane.height[np.clip(np.searchsorted(lane.height[:, 0], ds_m, side="right") - 1, 0, None)]
    return row[:, 1], row[:, 2]
