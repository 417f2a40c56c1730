"""OpenDRIVE text -> records. ASAM OpenDRIVE 1.4 to 1.8; lxml with no entities, no network, line numbers in errors."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from lxml import etree

from stack.frames import F64
from stack.opendrive.records import (
    EMPTY_POLY,
    Connection,
    Controller,
    Document,
    Geometry,
    Junction,
    LaneRecord,
    LaneSection,
    MapError,
    ObjectRecord,
    Road,
    RoadLink,
    RoadMark,
    SignalRecord,
    SignalReference,
)

MAX_NUMBER = 1e9  # larger ones overflow the polynomials
MAX_ROAD_M = 1e5
MAX_TOTAL_M = 5e6
MPS = {"m/s": 1.0, "mph": 0.44704, "km/h": 1.0 / 3.6, "": 1.0}
PARAM_NAMES = {
    "line": (),
    "arc": ("curvature",),
    "spiral": ("curvStart", "curvEnd"),
    "poly3": ("a", "b", "c", "d"),
    "paramPoly3": ("aU", "bU", "cU", "dU", "aV", "bV", "cV", "dV"),
}
Element = Any


class Reader:
    """Reads the elements of one file; remembers the file's name for errors and gathers warnings."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.warnings: list[str] = []

    def error(self, el: Element, found: str, expected: str) -> MapError:
        return MapError(f"{self.file}:{el.sourceline}: <{el.tag}>: found {found}, expected {expected}")

    def warn(self, el: Element, text: str) -> None:
        self.warnings.append(f"{self.file}:{el.sourceline}: <{el.tag}>: {text}")

    def number(self, el: Element, name: str, default: float | None = None, low: float = -MAX_NUMBER) -> float:
        text = el.get(name)
        if text is None:
            if default is None:
                raise self.error(el, f"no {name}", f"{name} as a number")
            return default
        try:
            value = float(text)
        except ValueError:
            raise self.error(el, f'{name}="{text[:40]}"', "a number") from None
        if not (math.isfinite(value) and low <= value <= MAX_NUMBER):
            raise self.error(el, f'{name}="{text[:40]}"', f"a number from {low:g} to {MAX_NUMBER:g}")
        return value

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

    def polynomials(self, parent: Element | None, tag: str, s_name: str = "s") -> F64:
        """(n, 5) rows of s, a, b, c, d, sorted by s."""
        rows = [
            [self.number(el, s_name, 0.0), *(self.number(el, name, 0.0) for name in "abcd")]
            for el in (parent.findall(tag) if parent is not None else [])
        ]
        return np.array(sorted(rows, key=lambda row: row[0])) if rows else EMPTY_POLY

    # ------------------------------------------------------------ roads

    def geometry(self, el: Element) -> Geometry:
        shapes = [child for child in el if child.tag != "userData"]
        if not shapes or shapes[0].tag not in PARAM_NAMES:
            found = f"<{shapes[0].tag}>" if shapes else "no shape"
            raise self.error(el, found, "one of " + ", ".join(f"<{name}>" for name in PARAM_NAMES))
        shape = shapes[0]
        length = self.number(el, "length", low=0.0)
        if length > MAX_ROAD_M:
            raise self.error(el, f"length {length:g} m", f"at most {MAX_ROAD_M:g} m")
        params = tuple(self.number(shape, name, 0.0 if "poly" in shape.tag.lower() else None)
                       for name in PARAM_NAMES[shape.tag])  # fmt: skip
        s, x, y, hdg = (self.number(el, name) for name in ("s", "x", "y", "hdg"))
        return Geometry(shape.tag, s, x, y, hdg, length, params, shape.get("pRange") == "normalized")

    def link(self, el: Element | None) -> RoadLink | None:
        if el is None or not el.get("elementId"):
            return None
        return RoadLink(el.get("elementType", "road"), el.get("elementId"), el.get("contactPoint", ""))

    def speed(self, el: Element) -> float | None:
        """m/s, or None for "no limit" and "undefined"."""
        if el.get("max") in ("no limit", "undefined", None):
            return None
        unit = el.get("unit", "")
        if unit not in MPS:
            raise self.error(el, f'unit="{unit[:40]}"', "m/s, mph or km/h")
        return self.number(el, "max", low=0.0) * MPS[unit]

    def mark(self, el: Element) -> RoadMark:
        width = self.number(el, "width", 0.12, low=0.0)
        lines = tuple(
            (
                self.number(line, "length", 0.0, low=0.0), self.number(line, "space", 0.0, low=0.0),
                self.number(line, "tOffset", 0.0), self.number(line, "width", width, low=0.0),
            )
            for line in el.iterfind("type/line")
        )  # fmt: skip
        colour = el.get("color", "standard")
        colour = "white" if colour == "standard" else colour
        start, kind = self.number(el, "sOffset", 0.0), el.get("type", "none")
        return RoadMark(start, kind, colour, width, el.get("laneChange", ""), lines)

    def lane(self, el: Element) -> LaneRecord:
        heights = [[self.number(h, "sOffset", 0.0), self.number(h, "inner", 0.0), self.number(h, "outer", 0.0)]
                   for h in el.findall("height")]  # fmt: skip
        speeds = [(self.number(v, "sOffset", 0.0), self.speed(v)) for v in el.findall("speed")]
        return LaneRecord(
            id=self.integer(el, "id"),
            kind=el.get("type", "none"),
            width=self.polynomials(el, "width", "sOffset"),
            border=self.polynomials(el, "border", "sOffset"),
            height=np.array(sorted(heights)) if heights else np.zeros((0, 3)),
            marks=tuple(sorted((self.mark(m) for m in el.findall("roadMark")), key=lambda m: m.s_offset_m)),
            predecessor=tuple(self.integer(x, "id") for x in el.iterfind("link/predecessor")),
            successor=tuple(self.integer(x, "id") for x in el.iterfind("link/successor")),
            speed=tuple((s, v) for s, v in speeds if v is not None),
            line=el.sourceline,
        )

    def sections(self, lanes: Element, length_m: float) -> tuple[LaneSection, ...]:
        found = sorted(((self.number(el, "s"), el) for el in lanes.findall("laneSection")), key=lambda pair: pair[0])
        if not found:
            raise self.error(lanes, "no <laneSection>", "at least one")
        out = []
        for (s, el), end in zip(found, [s for s, _ in found[1:]] + [length_m], strict=True):
            if not -0.01 <= s <= length_m + 0.01:
                raise self.error(el, f"s={s:g}", f"0 to the road's length {length_m:g}")
            records: dict[int, LaneRecord] = {}
            for lane_el in (lane for side in ("left", "center", "right") for lane in el.iterfind(f"{side}/lane")):
                lane = self.lane(lane_el)
                if lane.id in records:
                    raise self.error(lane_el, f"a second lane {lane.id}", "each lane id once in a section")
                records[lane.id] = lane
            out.append(LaneSection(min(max(s, 0.0), length_m), max(end, s), records))
        return tuple(out)

    def validity(self, el: Element) -> tuple[tuple[int, int], ...]:
        return tuple((self.integer(v, "fromLane"), self.integer(v, "toLane")) for v in el.findall("validity"))

    def signal(self, el: Element) -> SignalRecord:
        return SignalRecord(
            id=self.text(el, "id"),
            name=el.get("name", ""),
            type=el.get("type", ""),
            subtype=el.get("subtype", ""),
            dynamic=el.get("dynamic") == "yes",
            s_m=self.number(el, "s"),
            t_m=self.number(el, "t"),
            z_offset_m=self.number(el, "zOffset", 0.0),
            h_offset_rad=self.number(el, "hOffset", 0.0),
            orientation=el.get("orientation", "none"),
            value=self.number(el, "value", -1.0) if el.get("value") else -1.0,
            unit=el.get("unit", ""),
            height_m=self.number(el, "height", 0.0),
            width_m=self.number(el, "width", 0.0),
            lanes=self.validity(el),
        )

    def object(self, el: Element) -> ObjectRecord:
        outline = el.find("outline") if el.find("outline") is not None else el.find("outlines/outline")
        corners, local = [], True
        for corner in outline if outline is not None else []:
            if corner.tag not in ("cornerLocal", "cornerRoad"):
                continue
            local = corner.tag == "cornerLocal"
            names = ("u", "v", "z", "height") if local else ("s", "t", "dz", "height")
            corners.append([self.number(corner, name, None if i < 2 else 0.0) for i, name in enumerate(names)])
        return ObjectRecord(
            id=el.get("id", ""),
            name=el.get("name", ""),
            type=el.get("type", ""),
            s_m=self.number(el, "s"),
            t_m=self.number(el, "t"),
            z_offset_m=self.number(el, "zOffset", 0.0),
            hdg_rad=self.number(el, "hdg", 0.0),
            orientation=el.get("orientation", "none"),
            length_m=self.number(el, "length", 0.0),
            width_m=self.number(el, "width", 0.0),
            radius_m=self.number(el, "radius", 0.0),
            height_m=self.number(el, "height", 0.0),
            local=local,
            corners=np.array(corners) if corners else np.zeros((0, 4)),
        )

    def road(self, el: Element) -> Road:
        id_ = self.text(el, "id")
        length = self.number(el, "length", low=0.0)
        if not 0.0 < length <= MAX_ROAD_M:
            raise self.error(el, f'length="{el.get("length")}"', f"more than 0 and at most {MAX_ROAD_M:g} m")
        plan, lanes = el.find("planView"), el.find("lanes")
        if plan is None or not plan.findall("geometry"):
            raise self.error(el, f"road {id_} without <planView> and <geometry>", "at least one geometry")
        if lanes is None:
            raise self.error(el, f"road {id_} without <lanes>", "<lanes>")
        lateral = el.find("lateralProfile")
        if lateral is not None and (lateral.find("shape") is not None or lateral.find("crossfall") is not None):
            self.warn(lateral, f"road {id_}: lateral shape and crossfall are not used, only superelevation")
        if el.get("rule") == "LHT":
            self.warn(el, f"road {id_}: left-hand traffic is read as right-hand")
        return Road(
            id=id_,
            name=el.get("name", ""),
            length_m=length,
            junction=el.get("junction", "-1"),
            kind=next((t.get("type", "") for t in el.findall("type")), ""),
            predecessor=self.link(el.find("link/predecessor")),
            successor=self.link(el.find("link/successor")),
            speed=tuple(
                (self.number(t, "s", 0.0), self.speed(v)) for t in el.findall("type") for v in t.findall("speed")
            ),
            geometry=tuple(sorted((self.geometry(g) for g in plan.findall("geometry")), key=lambda g: g.s_m)),
            elevation=self.polynomials(el.find("elevationProfile"), "elevation"),
            superelevation=self.polynomials(lateral, "superelevation"),
            lane_offset=self.polynomials(lanes, "laneOffset"),
            sections=self.sections(lanes, length),
            signals=tuple(self.signal(x) for x in el.iterfind("signals/signal")),
            references=tuple(
                SignalReference(
                    self.text(x, "id"), id_, self.number(x, "s"), x.get("orientation", "none"), self.validity(x)
                )
                for x in el.iterfind("signals/signalReference")
            ),
            objects=tuple(self.object(x) for x in el.iterfind("objects/object")),
            line=el.sourceline,
        )

    # ------------------------------------------------------------ junctions

    def junction(self, el: Element) -> Junction:
        connections = []
        for c in el.findall("connection"):
            other = c.get("connectingRoad") or c.get("linkedRoad") or ""
            links = tuple((self.integer(x, "from"), self.integer(x, "to")) for x in c.findall("laneLink"))
            connections.append(Connection(c.get("incomingRoad", ""), other, c.get("contactPoint", "start"), links))
        return Junction(
            id=self.text(el, "id"),
            name=el.get("name", ""),
            kind=el.get("type", "default"),
            connections=tuple(connections),
            priorities=tuple((p.get("high", ""), p.get("low", "")) for p in el.findall("priority")),
            controllers=tuple(
                (self.text(c, "id"), self.integer(c, "sequence") if c.get("sequence") else None)
                for c in el.findall("controller")
            ),
        )

    def controller(self, el: Element) -> Controller:
        signals = dict.fromkeys(self.text(c, "signalId") for c in el.findall("control"))  # unique, in order
        settings = {u.get("code"): self.number(u, "value", low=0.0)
                    for u in el.findall("userData") if u.get("code") in ("green_s", "red_s")}  # fmt: skip
        return Controller(self.text(el, "id"), el.get("name", ""), tuple(signals), settings)

    def unique(self, elements: Iterator[Element], read: Callable[[Element], Any]) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for el in elements:
            record = read(el)
            if record.id in out:
                raise self.error(el, f'a second id="{record.id[:40]}"', f"each <{el.tag}> id once")
            out[record.id] = record
        return out

    def document(self, root: Element) -> Document:
        if root.tag != "OpenDRIVE":
            raise self.error(root, f"<{root.tag}> at the root", "<OpenDRIVE>")
        header = root.find("header")
        roads: dict[str, Road] = self.unique(root.iterfind("road"), self.road)
        if not roads:
            raise self.error(root, "no <road>", "at least one")
        total = sum(road.length_m for road in roads.values())
        if total > MAX_TOTAL_M:
            raise self.error(root, f"{total:g} m of roads", f"at most {MAX_TOTAL_M:g} m")
        return Document(
            file=self.file,
            vendor=header.get("vendor", "") if header is not None else "",
            georeference=(header.findtext("geoReference") or "").strip() if header is not None else "",
            roads=roads,
            junctions=self.unique(root.iterfind("junction"), self.junction),
            controllers=self.unique(root.iterfind("controller"), self.controller),
            warnings=self.warnings,
        )


def read(source: Path | str, file: str) -> Document:
    """Parse a file or a text. Raises MapError."""
    try:
        data = source.read_bytes() if isinstance(source, Path) else source.encode("utf-8", "replace")
    except OSError as problem:
        raise MapError(f"{file}:0: <file>: found {problem.strerror}, expected a readable file") from None
    if not data.strip():
        raise MapError(f"{file}:1: <OpenDRIVE>: found an empty file, expected OpenDRIVE")
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, remove_comments=True, remove_pis=True,
        encoding=None if isinstance(source, Path) else "utf-8",
    )  # fmt: skip
    try:
        root = etree.fromstring(data, parser)
    except (etree.LxmlError, LookupError, ValueError) as problem:
        line = getattr(problem, "lineno", None) or 1
        raise MapError(f"{file}:{line}: <xml>: found {str(problem)[:120]}, expected well-formed XML") from None
    for el in root.iter():  # OpenDRIVE 1.5+ may come with a namespace
        if isinstance(el.tag, str) and el.tag.startswith("{"):
            el.tag = el.tag.partition("}")[2]
    encoding = root.getroottree().docinfo.encoding if isinstance(source, Path) else "utf-8"
    return replace(Reader(file).document(root), text=data.decode(encoding or "utf-8", "replace"))
