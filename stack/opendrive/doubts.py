"""What looks wrong in a map that can be used all the same: found by walking over its lane graph, for `ringroad maps check`."""

from __future__ import annotations

import numpy as np
import shapely
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from stack.frames import F64
from stack.lanegraph import LaneGraph
from stack.opendrive.lanes import named
from stack.opendrive.records import Doubt, LaneRecord
from stack.opendrive.roads import RoadMap

APART_M = 0.3  # between the end of a lane and the start of the next
KINK_COS = 0.97  # 14 degrees
NARROW_M = 2.0  # no car fits a lane that is nowhere wider
OVERLAP_M2, LEVEL_M = 4.0, 3.0  # of the areas of two junctions; bridges pass over


def doubts(road_map: RoadMap, graph: LaneGraph) -> list[Doubt]:
    """Those of the reader, then those of the graph. `graph`: that of the map."""
    walk = Walk(road_map, graph)
    walk.links()
    walk.ends()
    walk.parts()
    walk.junctions()
    walk.control()
    return [*road_map.document.doubts, *walk.found]


class Walk:
    """Gathers doubts about the lanes of a graph."""

    def __init__(self, road_map: RoadMap, graph: LaneGraph) -> None:
        self.road_map, self.graph = road_map, graph
        self.found: list[Doubt] = []

    def record(self, lane: int) -> LaneRecord:
        road, section, id_ = self.graph.lane_key[lane]
        return self.road_map.document.roads[road].sections[section].lanes[id_]

    def lane(self, kind: str, lane: int, text: str) -> None:
        self.found.append(Doubt(kind, self.record(lane).line, "lane", f"{named(self.graph.lane_key[lane])} {text}"))

    def links(self) -> None:
        """Lanes that are linked and do not meet."""
        g = self.graph
        for lane in range(g.lanes):
            end = int(g.lane_start[lane] + g.lane_count[lane]) - 1
            for other in g.successors(lane):
                start, name = int(g.lane_start[other]), named(g.lane_key[other])
                apart = float(np.linalg.norm(g.points(lane)[-1] - g.points(int(other))[0]))
                turned = float(g.yaw_rad[end] - g.yaw_rad[start])
                if apart > APART_M:
                    self.lane(
                        "gap between lanes", lane, f"ends {apart:.2f} m from the start of {name}, to which it leads"
                    )
                if np.cos(turned) < KINK_COS:
                    degrees = np.degrees(np.arccos(np.cos(turned)))
                    self.lane("kink between lanes", lane, f"meets {name}, to which it leads, at {degrees:.0f} degrees")

    def ends(self) -> None:
        """Lanes at whose end a car must stop for good, lanes to which nothing leads, lanes too narrow for a car."""
        g = self.graph
        reached = g.pred_count > 0
        for beside, allowed in ((g.lane_left, g.lane_change_left), (g.lane_right, g.lane_change_right)):
            reached[beside[(beside >= 0) & (allowed > 0)]] = True
        for lane in range(g.lanes):
            inside = " inside a junction" if g.lane_junction[lane] >= 0 else ""
            if g.succ_count[lane] == 0:
                self.lane(f"no way out{inside}", lane, f"leads to no other lane ({g.lane_length_m[lane]:.0f} m long)")
            if not reached[lane]:
                self.lane(f"no way in{inside}", lane, "can be reached from no other lane")
            rows = slice(int(g.lane_start[lane]), int(g.lane_start[lane] + g.lane_count[lane]))
            widest = float(g.width_m[rows].max())
            if widest < NARROW_M:
                self.lane("narrow lane", lane, f"is at most {widest:.2f} m wide")

    def parts(self) -> None:
        """Lanes that no way joins with the largest part of the map; the lanes of a road count as joined."""
        g = self.graph
        ends = [(lane, int(other)) for lane in range(g.lanes) for other in g.successors(lane)]
        ends += [(lane - 1, lane) for lane in range(1, g.lanes) if g.lane_key[lane - 1][0] == g.lane_key[lane][0]]
        a, b = np.array(ends, dtype=int).reshape(-1, 2).T
        count, part = connected_components(coo_matrix((np.ones(len(a)), (a, b)), (g.lanes, g.lanes)), directed=False)
        if count > 1:
            largest = int(np.argmax(np.bincount(part)))
            for lane in np.flatnonzero(part != largest):
                self.lane("apart from the rest", int(lane), "is joined to the largest part of the map by no way")

    def junctions(self) -> None:
        """Junctions that hold no lane, and junctions that lie over one another."""
        g, areas, levels, owners = self.graph, [], [], []
        for index, junction in enumerate(self.road_map.junctions):
            lanes = np.flatnonzero(g.lane_junction == index)
            if not len(lanes):
                if junction.kind == "default":
                    text = f"junction {junction.id} has no drivable lane"
                    self.found.append(Doubt("empty junction", junction.line, "junction", text))
                continue
            areas.append(shapely.union_all([self._area(int(lane)) for lane in lanes]))
            levels.append(float(np.mean([g.points(int(lane))[:, 2].mean() for lane in lanes])))
            owners.append(junction)
        pairs = shapely.STRtree(areas).query(np.array(areas, dtype=object), predicate="intersects").T
        for a, b in sorted(pairs.tolist()):
            shared = float(shapely.intersection(areas[a], areas[b]).area) if a < b else 0.0
            if shared > OVERLAP_M2 and abs(levels[a] - levels[b]) < LEVEL_M:
                text = f"junctions {owners[a].id} and {owners[b].id} overlap by {shared:.0f} m2"
                self.found.append(Doubt("overlapping junctions", owners[a].line, "junction", text))

    def _area(self, lane: int) -> shapely.Geometry:
        line: F64 = self.graph.points(lane)[:, :2].astype(np.float64)
        return shapely.LineString(line).buffer(1.0, cap_style="flat")

    def control(self) -> None:
        """Lights without a controller, and lights and signs at which nobody has to look."""
        g = self.graph
        lit = {id_ for i in set(g.lane_signal.tolist()) - {-1} for id_ in g.signal_id[i].split(",")}
        for post in self.road_map.signals:
            if post.kind != "light":
                continue
            if not post.controllers:
                text = f"light {post.id} has no controller: it follows a cycle of its own"
                self.found.append(Doubt("light without controller", post.line, "signal", text))
            if post.id not in lit:
                self.found.append(
                    Doubt("idle light", post.line, "signal", f"light {post.id} controls the entry to no lane")
                )
