"""OpenDRIVE text -> records. ASAM OpenDRIVE 1.4 to 1.8; lxml with no entities, no network, line numbers in errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from stack.opendrive.fields import MAX_ASIDE_M, MAX_AWAY_M, MAX_HEIGHT_M, MAX_ROLL_RAD, Element, Fields
from stack.opendrive.planview import MAX_ROAD_M, brought_near, plan_view
from stack.opendrive.records import (
    Connection,
    Controller,
    Document,
    Junction,
    LaneSection,
    ObjectRecord,
    Road,
    RoadLink,
    SignalRecord,
    SignalReference,
)
from stack.opendrive.sections import sections, speed
from stack.opendrive.source import parse

MAX_LANES_M = 2e6  # length of all lanes and of their lines; each metre takes some 200 bytes
OVERHANG_M = 10.0  # signals and objects may stand so far past the ends of their road


class Reader(Fields):
    """Reads the elements of one file."""

    lanes_m = 0.0  # length of all lanes so far

    # ------------------------------------------------------------ roads

    def link(self, el: Element | None) -> RoadLink | None:
        if el is None or not el.get("elementId"):
            return None
        return RoadLink(el.get("elementType", "road"), el.get("elementId"), el.get("contactPoint", ""))

    def validity(self, el: Element) -> tuple[tuple[int, int], ...]:
        return tuple((self.integer(v, "fromLane"), self.integer(v, "toLane")) for v in el.findall("validity"))

    def station(self, el: Element, length_m: float) -> float:
        return self.number(el, "s", None, -OVERHANG_M, length_m + OVERHANG_M)

    def signal(self, el: Element, length_m: float) -> SignalRecord:
        return SignalRecord(
            id=self.text(el, "id"),
            name=el.get("name", ""),
            type=el.get("type", ""),
            subtype=el.get("subtype", ""),
            dynamic=el.get("dynamic") == "yes",
            s_m=self.station(el, length_m),
            t_m=self.either_way(el, "t", None, MAX_AWAY_M),
            z_offset_m=self.either_way(el, "zOffset", 0.0, MAX_AWAY_M),
            h_offset_rad=self.number(el, "hOffset", 0.0),
            orientation=el.get("orientation", "none"),
            value=self.number(el, "value", -1.0) if el.get("value") else -1.0,
            unit=el.get("unit", ""),
            height_m=self.either_way(el, "height", 0.0, MAX_AWAY_M),
            width_m=self.either_way(el, "width", 0.0, MAX_AWAY_M),
            lanes=self.validity(el),
            line=self.line(el),
        )

    def signal_reference(self, el: Element, road: str, length_m: float) -> SignalReference:
        at, facing = self.station(el, length_m), el.get("orientation", "none")
        return SignalReference(self.text(el, "id"), road, at, facing, self.validity(el), self.line(el))

    def object(self, el: Element, length_m: float) -> ObjectRecord:
        outline = el.find("outline") if el.find("outline") is not None else el.find("outlines/outline")
        corners, local = [], True
        for corner in outline if outline is not None else []:
            if corner.tag not in ("cornerLocal", "cornerRoad"):
                continue
            local = corner.tag == "cornerLocal"
            first = self.either_way(corner, "u", None, MAX_AWAY_M) if local else self.station(corner, length_m)
            rest = ("v", "z", "height") if local else ("t", "dz", "height")
            values = (self.either_way(corner, name, None if name in "vt" else 0.0, MAX_AWAY_M) for name in rest)
            corners.append([first, *values])
        if el.find("repeat") is not None:
            self.doubt("not read", el, f"<repeat> of object {el.get('id', '')}: it stands once")
        sizes = {name: self.either_way(el, name, 0.0, MAX_AWAY_M) for name in ("length", "width", "radius", "height")}
        return ObjectRecord(
            id=el.get("id", ""),
            name=el.get("name", ""),
            type=el.get("type", ""),
            s_m=self.station(el, length_m),
            t_m=self.either_way(el, "t", None, MAX_AWAY_M),
            z_offset_m=self.either_way(el, "zOffset", 0.0, MAX_AWAY_M),
            hdg_rad=self.number(el, "hdg", 0.0),
            orientation=el.get("orientation", "none"),
            length_m=sizes["length"],
            width_m=sizes["width"],
            radius_m=sizes["radius"],
            height_m=sizes["height"],
            local=local,
            corners=np.array(corners) if corners else np.zeros((0, 4)),
            line=self.line(el),
        )

    def road(self, el: Element) -> Road:
        id_ = self.text(el, "id")
        length = self.number(el, "length", low=0.0)
        if not 0.0 < length <= MAX_ROAD_M:
            raise self.error(el, f'length="{el.get("length")}"', f"more than 0 and at most {MAX_ROAD_M:g} m")
        geometry, lanes, lateral = plan_view(self, el, length), el.find("lanes"), el.find("lateralProfile")
        if lanes is None:
            raise self.error(el, f"road {id_} without <lanes>", "<lanes>")
        for name in ("shape", "crossfall"):
            if lateral is not None and lateral.find(name) is not None:
                self.doubt("not read", lateral, f"<{name}> of road {id_}: only superelevation tilts it")
        if el.get("rule") == "LHT":
            self.doubt("not read", el, f"left-hand traffic of road {id_}: its lanes are read as right-hand")
        return Road(
            id=id_,
            name=el.get("name", ""),
            length_m=length,
            junction=el.get("junction", "-1"),
            kind=next((t.get("type", "") for t in el.findall("type")), ""),
            predecessor=self.link(el.find("link/predecessor")),
            successor=self.link(el.find("link/successor")),
            speed=tuple(
                (self.number(t, "s", 0.0), speed(self, v)) for t in el.findall("type") for v in t.findall("speed")
            ),
            geometry=geometry,
            elevation=self.polynomials(el.find("elevationProfile"), "elevation", MAX_HEIGHT_M, length),
            superelevation=self.polynomials(lateral, "superelevation", MAX_ROLL_RAD, length),
            lane_offset=self.polynomials(lanes, "laneOffset", MAX_ASIDE_M, length),
            sections=self.counted(el, sections(self, lanes, length)),
            signals=tuple(self.signal(x, length) for x in el.iterfind("signals/signal")),
            references=tuple(self.signal_reference(x, id_, length) for x in el.iterfind("signals/signalReference")),
            objects=tuple(self.object(x, length) for x in el.iterfind("objects/object")),
            line=self.line(el),
        )

    def counted(self, road: Element, found: tuple[LaneSection, ...]) -> tuple[LaneSection, ...]:
        """The sections, as long as those of all roads together do not take too much memory."""
        for section in found:
            lines = sum(1 + max((len(mark.lines) for mark in lane.marks), default=0) for lane in section.lanes.values())
            self.lanes_m += (section.end_m - section.s_m) * lines
        if self.lanes_m > MAX_LANES_M:
            raise self.error(
                road, f"{self.lanes_m:g} m of lanes and lines so far", f"at most {MAX_LANES_M:g} m in a map"
            )
        return found

    # ------------------------------------------------------------ junctions

    def junction(self, el: Element) -> Junction:
        connections = []
        for c in el.findall("connection"):
            other = c.get("connectingRoad") or c.get("linkedRoad") or ""
            links = tuple((self.integer(x, "from"), self.integer(x, "to")) for x in c.findall("laneLink"))
            contact = c.get("contactPoint", "start")
            connections.append(Connection(c.get("incomingRoad", ""), other, contact, links, self.line(c)))
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
            line=self.line(el),
        )

    def controller(self, el: Element) -> Controller:
        signals = dict.fromkeys(self.text(c, "signalId") for c in el.findall("control"))  # unique, in order
        settings = {u.get("code"): self.number(u, "value", low=0.0)
                    for u in el.findall("userData") if u.get("code") in ("green_s", "red_s")}  # fmt: skip
        return Controller(self.text(el, "id"), el.get("name", ""), tuple(signals), settings, self.line(el))

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
        return Document(
            file=self.file,
            vendor=header.get("vendor", "") if header is not None else "",
            georeference=(header.findtext("geoReference") or "").strip() if header is not None else "",
            roads=brought_near(self, roads, root.findall("road")),
            junctions=self.unique(root.iterfind("junction"), self.junction),
            controllers=self.unique(root.iterfind("controller"), self.controller),
            doubts=dict.fromkeys(self.doubts),
        )


def read(source: Path | str, file: str) -> Document:
    """Parse a file or a text. Raises MapError."""
    root, text, lines = parse(source, file)
    return replace(Reader(file, lines).document(root), text=text)
