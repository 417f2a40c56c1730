"""Stop and yield signs as they act on vehicles: who must wait at one is told a red light without a light.

CARLA's TrafficManager looks for no signs. It takes turns at a junction with whoever the server tells that the light is
red while he is at none, and drives on otherwise. So on CARLA's servers a vehicle in the box of a stop sign is told red
for some seconds, and in that of any sign for as long as somebody is in the way. Here so is a vehicle at a junction
without lights and signs, while somebody comes to whom it must give way: else all would drive in at once, for good.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stack.labels import Sign
from stack.lanegraph import LaneGraph

BOX_M = 4.5  # a vehicle whose front is so near the junction is in the sign's box
STOP_S = 2.0
COMING_M = 9.0  # so near the junction a vehicle counts as in it

Bools = NDArray[np.bool_]


class GiveWay:
    """Of one map, by the lanes that lead to a junction without lights."""

    def __init__(self, graph: LaneGraph) -> None:
        lit = {int(j) for j in graph.lane_junction[graph.lane_signal >= 0]}
        signed = {int(j) for j in graph.lane_junction[graph.lane_sign != Sign.NONE]}
        stops, watched = [], []
        self._place = np.full(graph.lanes + 1, -1, np.int64)  # among the lanes below; the last is of no lane
        for lane in np.flatnonzero(graph.lane_junction[: graph.lanes] < 0):
            ways = [int(n) for n in graph.successors(int(lane)) if graph.lane_junction[n] >= 0]
            junctions = {int(graph.lane_junction[n]) for n in ways}
            if not junctions or junctions & lit:
                continue
            signs = {int(graph.lane_sign[n]) for n in ways} - {int(Sign.NONE)}
            if junctions & signed and not signs:
                continue
            watch = _watched(graph, int(lane), ways, anybody=bool(signs))
            if signs or watch.any():
                self._place[lane] = len(stops)
                stops.append(int(Sign.STOP) in signs)
                watched.append(watch)
        self._stop = np.array(stops, bool)
        self._watched = np.array(watched, bool).reshape(len(stops), graph.lanes + 1)
        self._inside = np.append(graph.lane_junction[: graph.lanes] >= 0, False)

    def waiting(self, lane: NDArray[np.int64], front_m: NDArray[np.floating], in_box_s: NDArray[np.floating]) -> Bools:
        """(V,) who must wait. `lane`: (V,), -1 for none; `front_m`: from the front to the lane's end; `in_box_s`: how
        long each has been at its sign, as `at_sign` counts it."""
        at, here = self._place[lane], self.at_sign(lane, front_m)
        if not here.any():
            return here
        busy = np.zeros(self._watched.shape[1], bool)
        busy[lane[self._inside[lane] | ((lane >= 0) & (front_m < COMING_M))]] = True
        met = (self._watched & busy).any(axis=1)
        out: Bools = here & (met[at] | (self._stop[at] & (in_box_s < STOP_S)))
        return out

    def at_sign(self, lane: NDArray[np.int64], front_m: NDArray[np.floating]) -> Bools:
        """(V,) who is in the box of a sign."""
        out: Bools = (self._place[lane] >= 0) & (front_m < BOX_M)
        return out


def _watched(graph: LaneGraph, lane: int, ways: list[int], anybody: bool) -> Bools:
    """(lanes + 1,) lanes on which somebody keeps a vehicle of `lane` waiting: those in the junction that cross one of
    its ways, of which only ones with right of way unless `anybody`, and those that lead to them."""
    out = np.zeros(graph.lanes + 1, bool)
    for way in ways:
        rows = slice(int(graph.conflict_start[way]), int(graph.conflict_start[way] + graph.conflict_count[way]))
        for other, rank in zip(graph.conflict_lane[rows], graph.conflict_rank[rows], strict=True):
            before = [int(p) for p in graph.predecessors(int(other))]
            if lane not in before and (anybody or rank < 0):
                out[other] = True
                out[[p for p in before if graph.lane_junction[p] < 0]] = True
    return out
