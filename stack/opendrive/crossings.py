"""Crosswalks where they cross the lanes, and sidewalks, for walkers."""

from __future__ import annotations

import numpy as np
import shapely

from stack.frames import F64
from stack.opendrive.lanes import GraphLane
from stack.opendrive.roads import RoadMap

Crossing = tuple[int, int, float, float]  # lane, crosswalk, from, to in m along the lane


def crosswalks(road_map: RoadMap, lanes: list[GraphLane]) -> tuple[F64, list[Crossing]]:
    """(C, 4, 3) quadrilaterals, along one kerb and back along the other, and where they lie on lanes."""
    quads = [
        q for item in road_map.objects if item.kind == "crosswalk" if (q := _quadrilateral(item.outline_m)) is not None
    ]
    if not quads:
        return np.zeros((0, 4, 3)), []
    lines = np.array([shapely.LineString(lane.line_m[:, :2]) for lane in lanes])
    tree = shapely.STRtree(lines)
    crossings: list[Crossing] = []
    for index, quad in enumerate(quads):
        polygon = shapely.Polygon(quad[:, :2])
        along = np.zeros(2)
        for lane in sorted(int(i) for i in tree.query(polygon, predicate="intersects")):
            part = shapely.intersection(lines[lane], polygon)
            ends = shapely.line_locate_point(lines[lane], shapely.points(shapely.get_coordinates(part)))
            if not len(ends):  # they touch by a rounding error alone
                continue
            row = min(int(ends.mean() / lanes[lane].step_m), len(lanes[lane].line_m) - 2)
            if abs(lanes[lane].line_m[row, 2] - quad[:, 2].mean()) > 3.0 or np.ptp(ends) < 0.1:
                continue
            crossings.append((lane, index, float(ends.min()), float(ends.max())))
            heading = lanes[lane].line_m[row + 1, :2] - lanes[lane].line_m[row, :2]
            along += heading * np.sign(heading @ along or 1.0)
        quads[index] = _kerb_first(quad, along)
    return np.array(quads), sorted(crossings)


def _quadrilateral(outline_m: F64) -> F64 | None:
    """(4, 3) corners in order; outlines of another shape become their smallest rectangle. None: no area."""
    if len(outline_m) == 4 and shapely.Polygon(outline_m[:, :2]).is_valid:
        return outline_m if shapely.Polygon(outline_m[:, :2]).area > 0.1 else None
    box = shapely.MultiPoint(outline_m[:, :2]).minimum_rotated_rectangle
    if not isinstance(box, shapely.Polygon) or box.area <= 0.1:
        return None
    corners = shapely.get_coordinates(box)[:4]
    return np.column_stack([corners, np.full(4, outline_m[:, 2].mean())])


def _kerb_first(quad: F64, along: F64) -> F64:
    """Roll the corners so that the first edge lies along the road; where no lane crosses, the shorter edge."""
    first, second = quad[1, :2] - quad[0, :2], quad[2, :2] - quad[1, :2]
    a, b = max(float(np.hypot(*first)), 1e-9), max(float(np.hypot(*second)), 1e-9)
    turned = abs(first @ along) / a < abs(second @ along) / b if along.any() else a > b
    return np.roll(quad, -1, axis=0) if turned else quad


def walks(road_map: RoadMap) -> list[F64]:
    """Centre lines (n, 3) of the sidewalks, one for each lane section."""
    out = []
    for strip in road_map.strips():
        if strip.kind in ("sidewalk", "walking") and np.abs(strip.left_m - strip.right_m).max() > 0.5:
            out.append(0.5 * (strip.left_m + strip.right_m))
    return out
