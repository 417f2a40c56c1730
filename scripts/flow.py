"""`python -m scripts.flow`: does traffic flow? Every map with 100 vehicles for ten minutes, and the highway at all densities.

The table says who touched whom, who stood longest, how many junctions were crossed, and how fast cars drive that nothing holds
up. The curve is flow over density on the highway's main line (scripts/fundamental.py).
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stack.messages import F64

VEHICLES, WALKERS, MINUTES = 100, 30, 10.0
TICKS_PER_MINUTE = 1200
FREE_M = 60.0  # nothing on the way within this: the car is not held up
SAMPLE_TICKS = 20


@dataclass(frozen=True)
class Flow:
    """What became of the traffic of one world."""

    map: str
    seed: int
    vehicles: int
    collisions: int  # pairs of vehicles that touched
    brushes: int  # pairs of a vehicle and a walker, a prop or scenery
    longest_stand_s: float
    crossings: int  # junction lanes entered from outside junctions
    free_share: float  # speed over limit, mean over cars that nothing holds up; bicycles left out


def started(name: str, seed: int, vehicles: int, walkers: int, lanes: Any = None) -> Any:
    """(batch of one world, lane graph) with as many vehicles as found room, on `lanes` alone where they are given."""
    from sim.batch import Batch
    from sim.spawn import spawn
    from stack.opendrive import build_graph, find_map, load_map
    from stack.vehicle import VEHICLES as MODELS
    from stack.vehicle import load_vehicle

    graph = build_graph(load_map(find_map(name)))
    params = [load_vehicle(model) for model in MODELS]
    rows = spawn(graph, params, seed, vehicles, walkers, lanes=lanes)
    batch = Batch(graph, params, 1, len(rows["kind"]))
    batch.reset_world(0, rows, seed)
    return batch, graph


def flow(name: str, seed: int, vehicles: int = VEHICLES, walkers: int = WALKERS, minutes: float = MINUTES) -> Flow:
    """Drive one world and count."""
    from sim.batch import VEHICLE_KINDS

    batch, graph = started(name, seed, vehicles, walkers)
    column = {k: batch.state.numpy(k)[0] for k in ("lane", "stuck_s", "hit_other", "kind")}
    moving = np.isin(column["kind"], VEHICLE_KINDS)
    before = column["lane"].copy()
    hits: set[tuple[int, int]] = set()
    longest, crossings, free = 0.0, 0, []
    for tick in range(round(minutes * TICKS_PER_MINUTE)):
        batch.step()
        lane = column["lane"]
        inside = (lane >= 0) & (graph.lane_junction[lane] >= 0)
        crossings += int((inside & (before >= 0) & (graph.lane_junction[before] < 0) & moving).sum())
        before = lane.copy()
        for row in np.flatnonzero((column["hit_other"] != -1) & moving):
            other = int(column["hit_other"][row])
            hits.add((min(int(row), other), max(int(row), other)))
        longest = max(longest, float(column["stuck_s"][moving].max()))
        if tick % SAMPLE_TICKS == 0:
            free += list(_free_shares(batch, graph, moving))
    collisions = sum(a >= 0 and bool(moving[a] and moving[b]) for a, b in hits)
    return Flow(
        name, seed, int(moving.sum()), collisions, len(hits) - collisions, round(longest, 1), crossings,
        round(float(np.mean(free)), 3),
    )  # fmt: skip


def _free_shares(batch: Any, graph: Any, moving: NDArray[np.bool_]) -> F64:
    """Speed over limit of the cars that no leader, junction or wish of their own holds up."""
    c = {k: batch.state.numpy(k)[0] for k in (
        "lane", "lane_s_m", "next_lane", "vx_mps", "entry_lane", "entry_in_m", "wish_max_mps",
    )}  # fmt: skip
    limit = graph.lane_limit_mps[np.maximum(c["lane"], 0)]
    clear = moving & (c["lane"] >= 0) & (c["vx_mps"] > 0.5) & (c["wish_max_mps"] > limit)
    clear &= (c["entry_lane"] < 0) | (c["entry_in_m"] > FREE_M)
    rows = []
    for i in np.flatnonzero(clear):
        on_lane = np.where(moving & (c["lane"] == c["lane"][i]), c["lane_s_m"] - c["lane_s_m"][i], -1.0)
        after = moving & (c["lane"] == c["next_lane"][i])
        on_next = np.where(after, c["lane_s_m"] + graph.lane_length_m[c["lane"][i]] - c["lane_s_m"][i], -1.0)
        ahead = np.concatenate([on_lane, on_next])
        if not ((ahead > 0.0) & (ahead < FREE_M)).any():
            rows.append(i)
    share: F64 = (c["vx_mps"][rows] / limit[rows]).astype(np.float64)
    return share


def main() -> None:
    from scripts.fundamental import curve
    from sim.maps.generate import NAMED

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--maps", nargs="*", default=list(NAMED), help="maps of the table; none: only the curve")
    parser.add_argument("--seeds", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--curve", type=Path, help="write the highway's curve to this PNG too")
    args = parser.parse_args()
    for name in args.maps:
        for seed in args.seeds:
            print(json.dumps(asdict(flow(name, seed))), flush=True)
    if args.curve:
        curve(args.curve)


if __name__ == "__main__":
    main()
