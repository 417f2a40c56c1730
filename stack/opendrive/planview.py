"""The plan view of a road: its records, that they follow one another, and where they lie. ASAM OpenDRIVE 1.8, section 8."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np

from stack.frames import wrap
from stack.opendrive.fields import Element, Fields
from stack.opendrive.geometry import local_point
from stack.opendrive.records import Geometry, Road

MAX_ROAD_M = 1e5
MAX_TURN_RAD = {"arc": 100.0, "spiral": 40.0}  # of one record; the quadrature of spirals is good for about 20
MAX_GAP_M, SEEN_GAP_M, SEEN_KINK_RAD = 10.0, 0.1, 0.05  # between records: refused, reported
FAR_M = 1e5  # 32 bits hold coordinates so far from the origin to the centimetre
PARAM_NAMES = {
    "line": (),
    "arc": ("curvature",),
    "spiral": ("curvStart", "curvEnd"),
    "poly3": ("a", "b", "c", "d"),
    "paramPoly3": ("aU", "bU", "cU", "dU", "aV", "bV", "cV", "dV"),
}


def plan_view(fields: Fields, road: Element, length_m: float) -> tuple[Geometry, ...]:
    """The records of a road, sorted by s. Raises MapError where one does not start near the end of the one before."""
    plan = road.find("planView")
    if plan is None or not plan.findall("geometry"):
        raise fields.error(road, f"road {road.get('id')} without <planView> and <geometry>", "at least one geometry")
    found = sorted(((_geometry(fields, el), el) for el in plan.findall("geometry")), key=lambda pair: pair[0].s_m)
    for (record, _), (following, el) in pairwise(found):
        _joined(fields, record, following, el)
    first, last = found[0][0], found[-1][0]
    if abs(first.s_m) > MAX_GAP_M:
        raise fields.error(found[0][1], f"s={first.s_m:g} in the first record", "0")
    end, slack = last.s_m + last.length_m, max(1.0, 0.01 * length_m)
    if length_m > end + slack:
        raise fields.error(road, f"length={length_m:g}", f"{end:g}, where its last <geometry> ends")
    if abs(length_m - end) > SEEN_GAP_M:
        fields.doubt("length", road, f"road {road.get('id')} is {length_m:g} m long, its geometry {end:g} m")
    return tuple(record for record, _ in found)


def _geometry(fields: Fields, el: Element) -> Geometry:
    shapes = [child for child in el if isinstance(child.tag, str) and child.tag != "userData"]
    if not shapes or shapes[0].tag not in PARAM_NAMES:
        found = f"<{shapes[0].tag}>" if shapes else "no shape"
        raise fields.error(el, found, "one of " + ", ".join(f"<{name}>" for name in PARAM_NAMES))
    shape = shapes[0]
    length = fields.number(el, "length", low=0.0)
    if length > MAX_ROAD_M:
        raise fields.error(el, f"length {length:g} m", f"at most {MAX_ROAD_M:g} m")
    params = tuple(fields.number(shape, name, 0.0 if "poly" in shape.tag.lower() else None)
                   for name in PARAM_NAMES[shape.tag])  # fmt: skip
    s, x, y, hdg = (fields.number(el, name) for name in ("s", "x", "y", "hdg"))
    record = Geometry(shape.tag, s, x, y, hdg, length, params, shape.get("pRange") == "normalized")
    if shape.tag in MAX_TURN_RAD:
        turn = max(abs(k) for k in params) * length
        if turn > MAX_TURN_RAD[shape.tag]:
            raise fields.error(shape, f"a bend of {turn:g} rad", f"at most {MAX_TURN_RAD[shape.tag]:g} in one record")
    if shape.tag == "paramPoly3":
        _arc_length(fields, shape, record)
    return record


def _arc_length(fields: Fields, shape: Element, record: Geometry) -> None:
    """The length of a parametric cubic is that which its record states."""
    p = np.linspace(0.0, 1.0 if record.normalized else record.length_m, 129)
    u, v = (np.polynomial.polynomial.polyval(p, record.params[k : k + 4]) for k in (0, 4))
    along = float(np.hypot(np.diff(u), np.diff(v)).sum())
    if not 0.5 * record.length_m - 0.1 <= along <= 2.0 * record.length_m + 0.1:
        raise fields.error(shape, f"a curve of {along:g} m", f"{record.length_m:g} m, the length of its <geometry>")
    if abs(along - record.length_m) > 0.01 * record.length_m + SEEN_GAP_M:
        fields.doubt("length", shape, f"the curve is {along:g} m long, its geometry {record.length_m:g} m")


def _joined(fields: Fields, record: Geometry, following: Geometry, el: Element) -> None:
    u, v, turn = (float(x[0]) for x in local_point(record, np.array([following.s_m - record.s_m])))
    cos, sin = np.cos(record.hdg_rad), np.sin(record.hdg_rad)
    x, y = record.x_m + u * cos - v * sin, record.y_m + u * sin + v * cos
    gap, kink = np.hypot(following.x_m - x, following.y_m - y), abs(wrap(following.hdg_rad - record.hdg_rad - turn))
    if gap > MAX_GAP_M:
        found = f"x={following.x_m:g} y={following.y_m:g}, {gap:g} m from the end of the record before"
        raise fields.error(el, found, f"x={x:g} y={y:g}")
    if gap > SEEN_GAP_M:
        fields.doubt("gap", el, f"{gap:.2f} m between this record and the end of the one before")
    if kink > SEEN_KINK_RAD:
        fields.doubt("kink", el, f"a bend of {np.degrees(kink):.1f} degrees where this record begins")


def brought_near(fields: Fields, roads: dict[str, Road], elements: list[Element]) -> dict[str, Road]:
    """The roads about the origin: where coordinates are too large for 32 bits, the map is shifted by whole kilometres.

    `elements`: those of the roads, in their order. Raises MapError where a road lies too far from the others."""
    starts = np.array([[g.x_m, g.y_m] for road in roads.values() for g in road.geometry])
    shift = np.zeros(2)
    if np.abs(starts).max() > FAR_M:
        shift = np.round(np.median(starts, axis=0) / 1e3) * 1e3
        text = f"coordinates up to {np.abs(starts).max():g} m: the map is shifted by {-shift[0]:.0f}, {-shift[1]:.0f} m"
        fields.doubt("far away", elements[0].getparent(), text)
    for road, el in zip(roads.values(), elements, strict=True):
        for g in road.geometry:
            away = max(abs(g.x_m - shift[0]), abs(g.y_m - shift[1]))
            if away > FAR_M:
                found = f"road {road.id} at x={g.x_m:g} y={g.y_m:g}"
                raise fields.error(el, found, f"a place within {FAR_M / 1e3:g} km of the map's middle")
    if not shift.any():
        return roads
    return {
        id_: replace(r, geometry=tuple(replace(g, x_m=g.x_m - shift[0], y_m=g.y_m - shift[1]) for g in r.geometry))
        for id_, r in roads.items()
    }
