"""Places for parked cars, in lanes of type "parking" (ASAM OpenDRIVE 1.6, section 9.5.3)."""

from __future__ import annotations

import numpy as np
import shapely

from stack.frames import F64, wrap
from stack.opendrive.geometry import lane_edges, lane_height, reference
from stack.opendrive.lanes import DRIVABLE
from stack.opendrive.records import LaneSection, Road
from stack.opendrive.roads import RoadMap

PITCH_M = 5.5  # along the road, from one car's middle to the next
WIDTH_M = 1.9  # least width of a lane to park in
JUNCTION_M = 5.0  # from a junction or a crosswalk to the nearest car
STEP_M = 0.25


def parking_places(road_map: RoadMap, crosswalks_m: F64) -> tuple[F64, F64]:
    """(K, 3) middles and (K,) yaws of places along the roads, one row of them in each parking lane.

    A car stands in the direction in which its side of the road is driven. `crosswalks_m`: (C, 4, 3) corners."""
    near = [shapely.Polygon(quad[:, :2]).buffer(JUNCTION_M) for quad in crosswalks_m]
    keep_clear = shapely.unary_union(near)
    shapely.prepare(keep_clear)
    places, yaws = [np.zeros((0, 3))], [np.zeros(0)]
    for road in road_map.document.roads.values():
        for section in road.sections if road_map.junction_of(road) < 0 else ():
            for id_, lane in section.lanes.items():
                if lane.kind == "parking":
                    xyz, yaw = _row(road, section, id_, keep_clear)
                    places.append(xyz)
                    yaws.append(yaw)
    return np.concatenate(places), np.concatenate(yaws)


def _row(road: Road, section: LaneSection, id_: int, keep_clear: shapely.Geometry) -> tuple[F64, F64]:
    """The places of one lane: as many as fit, each run of them about its middle."""
    s = np.linspace(section.s_m, section.end_m, max(int((section.end_m - section.s_m) / STEP_M), 1) + 1)
    frame = reference(road, s)
    inner, outer = lane_edges(road, section, s)[id_]
    line = frame.place(0.5 * (inner + outer), np.mean(lane_height(section.lanes[id_], s - section.s_m), axis=0))
    sag = PITCH_M**2 / 8.0 * np.abs(np.gradient(np.unwrap(frame.hdg_rad), s))  # of a car in a bend
    free = np.abs(outer - inner) >= WIDTH_M + sag
    if _at_junction(road.predecessor):
        free &= s >= JUNCTION_M
    if _at_junction(road.successor):
        free &= s <= road.length_m - JUNCTION_M
    free &= ~shapely.contains_xy(keep_clear, line[:, 0], line[:, 1])
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(line[:, :2], axis=0).T))])
    edges = np.flatnonzero(np.diff(np.concatenate([[0], free.astype(np.int8), [0]])))
    middles = [np.zeros(0)]
    for first, last in zip(edges[::2], edges[1::2] - 1, strict=True):
        count = int((along[last] - along[first]) / PITCH_M)
        middles.append(0.5 * (along[first] + along[last]) + PITCH_M * (np.arange(count) - 0.5 * (count - 1)))
    at = np.concatenate(middles)
    xyz = np.stack([np.interp(at, along, line[:, k]) for k in range(3)], axis=-1)
    yaw = np.interp(at, along, np.unwrap(frame.hdg_rad)) + (0.0 if _forward(section, id_) else np.pi)
    return xyz, np.asarray(wrap(yaw), dtype=np.float64)


def _at_junction(link: object) -> bool:
    return getattr(link, "kind", "") == "junction"


def _forward(section: LaneSection, id_: int) -> bool:
    """Whether cars beside a lane drive towards increasing s: those of its own side, or of the other where it has none."""
    own = any(i * id_ > 0 and lane.kind in DRIVABLE for i, lane in section.lanes.items())
    return (id_ < 0) == own
