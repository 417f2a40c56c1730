"""Lane sections of a road and their lanes. ASAM OpenDRIVE 1.8, section 11."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from stack.frames import F64
from stack.opendrive.fields import MAX_ASIDE_M, Element, Fields
from stack.opendrive.records import LaneRecord, LaneSection, RoadMark

MAX_SPEED_MPS = 150.0
MIN_DASH_M = 0.2  # a dash and its gap
MAX_KERB_M = 100.0
MPS = {"m/s": 1.0, "mph": 0.44704, "km/h": 1.0 / 3.6, "kmh": 1.0 / 3.6, "": 1.0}
SIDES = {"left": 1, "center": 0, "right": -1}


def sections(fields: Fields, lanes: Element, length_m: float) -> tuple[LaneSection, ...]:
    """The sections of a road, sorted by s. Raises MapError."""
    found = sorted(((fields.number(el, "s"), el) for el in lanes.findall("laneSection")), key=lambda pair: pair[0])
    if not found:
        raise fields.error(lanes, "no <laneSection>", "at least one")
    if found[0][0] > 0.01:
        fields.doubt("no lanes", found[0][1], f"no lanes before the first section at s={found[0][0]:g}")
    groups: list[tuple[float, list[Element]]] = []
    for s, el in found:
        if not -0.01 <= s <= length_m + 0.01:
            raise fields.error(el, f"s={s:g}", f"0 to the road's length {length_m:g}")
        if groups and s == groups[-1][0] and _one_sided(el):
            groups[-1][1].append(el)
        else:
            groups.append((s, [el]))
    out: list[LaneSection] = []
    for (s, elements), end in zip(groups, [s for s, _ in groups[1:]] + [length_m], strict=True):
        section = LaneSection(min(max(s, 0.0), length_m), max(end, s), _lanes(fields, elements, end - s))
        if out and all(_one_sided(el) for el in elements):
            section, out[-1] = _other_side(section, out[-1])
        out.append(section)
    return tuple(out)


def _one_sided(section: Element) -> bool:
    return bool(section.get("singleSide") == "true")


def _lanes(fields: Fields, sections: list[Element], length_m: float) -> dict[int, LaneRecord]:
    """The lanes of the elements that make up one section."""
    records: dict[int, LaneRecord] = {}
    for side, sign in SIDES.items():
        for el in (lane for section in sections for lane in section.iterfind(f"{side}/lane")):
            lane = _lane(fields, el, length_m)
            if lane.id == 0 and 0 in records and len(sections) > 1:
                continue
            if lane.id in records:
                raise fields.error(el, f"a second lane {lane.id}", "each lane id once in a section")
            if np.sign(lane.id) != sign:
                fields.doubt("wrong side", el, f"lane {lane.id} stands under <{side}>")
            records[lane.id] = lane
    return records


def _other_side(section: LaneSection, before: LaneSection) -> tuple[LaneSection, LaneSection]:
    """A section that describes one side (singleSide) takes the lanes of the other from the section before.

    Returns it and the section before, whose lanes of that side now lead into it."""
    sides = {np.sign(id_) for id_ in section.lanes}
    carried = {id_: lane for id_, lane in before.lanes.items() if np.sign(id_) not in sides}
    shift = section.s_m - before.s_m
    later = {id_: replace(_shifted(lane, shift), predecessor=(id_,)) for id_, lane in carried.items()}
    earlier = {id_: replace(lane, successor=(id_,)) for id_, lane in carried.items()}
    return replace(section, lanes=section.lanes | later), replace(before, lanes=before.lanes | earlier)


def _shifted(lane: LaneRecord, ds_m: float) -> LaneRecord:
    """The lane as seen from a section that starts ds_m later."""

    def table(rows: F64) -> F64:
        moved = rows.copy()
        moved[:, 0] -= ds_m
        return moved

    return replace(
        lane, width=table(lane.width), border=table(lane.border), height=table(lane.height),
        marks=tuple(replace(mark, s_offset_m=mark.s_offset_m - ds_m) for mark in lane.marks),
        speed=tuple((s - ds_m, v) for s, v in lane.speed),
    )  # fmt: skip


def _lane(fields: Fields, el: Element, length_m: float) -> LaneRecord:
    heights = [[fields.number(h, "sOffset", 0.0), *(fields.either_way(h, k, 0.0, MAX_KERB_M) for k in ("inner", "outer"))]
               for h in el.findall("height")]  # fmt: skip
    speeds = [(fields.number(v, "sOffset", 0.0), speed(fields, v)) for v in el.findall("speed")]
    return LaneRecord(
        id=fields.integer(el, "id"),
        kind=el.get("type", "none"),
        width=fields.polynomials(el, "width", MAX_ASIDE_M, length_m, "sOffset"),
        border=fields.polynomials(el, "border", MAX_ASIDE_M, length_m, "sOffset"),
        height=np.array(sorted(heights)) if heights else np.zeros((0, 3)),
        marks=tuple(sorted((_mark(fields, m) for m in el.findall("roadMark")), key=lambda m: m.s_offset_m)),
        predecessor=tuple(fields.integer(x, "id") for x in el.iterfind("link/predecessor")),
        successor=tuple(fields.integer(x, "id") for x in el.iterfind("link/successor")),
        speed=tuple((s, v) for s, v in speeds if v is not None),
        line=fields.line(el),
    )


def _mark(fields: Fields, el: Element) -> RoadMark:
    width = fields.number(el, "width", 0.12, 0.0, 10.0)
    lines = []
    for line in el.iterfind("type/line"):
        dash, gap = (fields.number(line, name, 0.0, 0.0, MAX_ASIDE_M) for name in ("length", "space"))
        if dash > 0.0 and gap > 0.0 and dash + gap < MIN_DASH_M:
            raise fields.error(line, f"dashes of {dash:g} m, {gap:g} m apart", f"at least {MIN_DASH_M:g} m together")
        aside = fields.either_way(line, "tOffset", 0.0, MAX_ASIDE_M)
        lines.append((dash, gap, aside, fields.number(line, "width", width, 0.0, 10.0)))
    colour = el.get("color", "standard")
    colour = "white" if colour == "standard" else colour
    start, kind = fields.number(el, "sOffset", 0.0), el.get("type", "none")
    kind = "broken" if kind == "botts dots" else kind  # they stand for one
    return RoadMark(start, kind, colour, width, el.get("laneChange", ""), tuple(lines))


def speed(fields: Fields, el: Element) -> float | None:
    """m/s, or None for "no limit" and "undefined"."""
    if el.get("max") in ("no limit", "undefined", None):
        return None
    unit = el.get("unit", "")
    if unit not in MPS:
        raise fields.error(el, f'unit="{unit[:40]}"', "m/s, mph or km/h")
    return fields.number(el, "max", 0.0, 0.0, MAX_SPEED_MPS / MPS[unit]) * MPS[unit]
