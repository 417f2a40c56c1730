"""The fundamental diagram of the highway's main line by section, as traffic engineers measure it: `python -m scripts.flow --curve`.

Both carriageways are cut into cells of about CELL_M. Those within NEAR_M of a gore, of a lane that ends or of where one begins
are set apart; the others have a constant number of lanes. For each cell and minute, by Edie (1963, Discussion of traffic stream
measurements and definitions): density = time spent / (lane length x window), flow = distance driven / (the same).

The theory is the intelligent driver model's equilibrium (Treiber & Kesting, Traffic Flow Dynamics, 2013, eq. 11.19),
gap_i(v) = (s0_i + v T_i) / sqrt(1 - (v / wish_i)^4), of the drivers that are there: at the common speed v the density is
1 / mean(gap_i + length_i). Who wishes to go slower than v drives at FREE of the own wish, and the flow is the density times the
mean speed: as if overtaking cost nothing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scripts.flow import started
from stack.messages import F64

CELL_M, NEAR_M = 100.0, 150.0
DENSITIES_PER_KM = (4, 8, 12, 16, 20, 25, 30, 40, 50, 60)  # of each lane, at the start
SETTLE_TICKS, WINDOW_TICKS, WINDOWS, SAMPLE_TICKS = 2400, 1200, 4, 10
FREE = 0.99
LIMIT_MPS = 120.0 / 3.6
APART = f"within {NEAR_M:.0f} m of ramps, drop and gain"
BEFORE_DROP = "three lanes before the drop"
COLOURS = {APART: "0.75", "two lanes": "tab:blue", "three lanes": "tab:green", BEFORE_DROP: "tab:orange"}


@dataclass(frozen=True)
class Cells:
    """The cell of a place on a lane is first + int(start + span * its share of the lane)."""

    first: NDArray[np.int64]  # (lanes,) first cell of the lane's carriageway; -1: not on the main line
    start: F64  # (lanes,) in cells
    span: F64  # (lanes,) in cells
    kind: NDArray[np.str_]  # (cells,) keys of COLOURS
    lane_km: F64  # (cells,)

    def of(self, lane: NDArray[np.int32], share: F64) -> NDArray[np.int64]:
        """Cells of vehicles at a share of their lanes; -1: none."""
        inside = (self.start[lane] + np.minimum(share, 0.9999) * self.span[lane]).astype(np.int64)
        return np.where((lane >= 0) & (self.first[lane] >= 0), self.first[lane] + inside, -1)


def cells_of(graph: Any, names: dict[str, str]) -> Cells:
    """Cells of both carriageways; `names` of the roads, by id."""
    first, start, span = np.full(graph.lanes, -1), np.zeros(graph.lanes), np.zeros(graph.lanes)
    kinds: list[str] = []
    km: list[float] = []
    for side in ("counter-clockwise", "clockwise"):
        pieces = _around(graph, {road: name for road, name in names.items() if name.split()[0] == side})
        ends = np.cumsum([float(graph.lane_length_m[piece].mean()) for piece in pieces])
        cells = round(ends[-1] / CELL_M)
        ends *= cells / ends[-1]
        begins = np.concatenate([[0.0], ends[:-1]])
        busy = [
            span
            for piece, low, high in zip(pieces, begins, ends, strict=True)
            for span in _busy(graph, piece, low, high)
        ]
        for k in range(cells):
            near = NEAR_M / CELL_M + 0.5
            apart = any(low - near < k + 0.5 + turn < high + near for low, high in busy for turn in (-cells, 0, cells))
            piece = pieces[int(np.searchsorted(ends, k + 0.5))]
            drops = names[graph.lane_key[piece[0]][0]].endswith("main road 2")
            kinds.append(
                APART if apart else "two lanes" if len(piece) == 2 else BEFORE_DROP if drops else "three lanes"
            )
            inside = np.clip(np.minimum(ends, k + 1) - np.maximum(begins, k), 0.0, None) / (ends - begins)
            km.append(
                sum(float(part * graph.lane_length_m[piece].sum()) for part, piece in zip(inside, pieces, strict=True))
                / 1e3
            )
        for piece, low, high in zip(pieces, begins, ends, strict=True):
            first[piece], start[piece], span[piece] = len(kinds) - cells, low, high - low
    return Cells(first, start, span, np.array(kinds), np.array(km))


def _around(graph: Any, names: dict[str, str]) -> list[list[int]]:
    """Lanes of each section of a carriageway, in the order of travel; `names` of its roads."""
    sections: dict[tuple[str, int], list[int]] = {}
    for k, (road, section, _) in enumerate(graph.lane_key):
        if road in names:
            sections.setdefault((road, section), []).append(k)
    key = first = next(key for key in sections if names[key[0]].endswith("main road 1"))
    out: list[list[int]] = []
    while not out or key != first:
        out.append(sections[key])
        key = next(key for k in out[-1] for s in graph.successors(k) if (key := graph.lane_key[int(s)][:2]) in sections)
    return out


def _busy(graph: Any, piece: list[int], low: float, high: float) -> list[tuple[float, float]]:
    """The stretches of a section, in cells, that are a gore, have a lane that ends, or where one begins."""
    if (graph.lane_junction[piece] >= 0).any() or (graph.succ_count[piece] == 0).any():
        return [(low, high)]
    return [(low, low)] if (graph.pred_count[piece] == 0).any() else []


def measure(per_km: float, seed: int) -> tuple[list[dict[str, Any]], dict[str, F64]]:
    """(dots, drivers): kind, minute, density per km and flow per hour of a lane, and speed, for each cell and minute of a
    highway that starts with so many vehicles per km of its main line; the parameters that its drivers drew."""
    from stack.opendrive import find_map, load_map

    graph_names = {road.id: road.name for road in load_map(find_map("highway")).document.roads.values()}
    _, graph = started("highway", seed, 1, 0)
    cells = cells_of(graph, graph_names)
    main = np.flatnonzero(cells.first >= 0)
    batch, _ = started("highway", seed, round(per_km * float(graph.lane_length_m[main].sum()) / 1e3), 0, main)
    c = {name: batch.state.numpy(name)[0] for name in (
        "lane", "lane_s_m", "vx_mps", "wish_factor", "wish_max_mps", "headway_s", "gap_min_m", "length_m",
    )}  # fmt: skip
    dots = []
    for minute in range(-SETTLE_TICKS // WINDOW_TICKS, WINDOWS):
        here, driven = np.zeros(len(cells.kind)), np.zeros(len(cells.kind))
        for tick in range(WINDOW_TICKS):
            batch.step()
            if minute >= 0 and tick % SAMPLE_TICKS == 0:
                cell = cells.of(c["lane"], c["lane_s_m"] / graph.lane_length_m[c["lane"]])
                here += np.bincount(cell[cell >= 0], minlength=len(here))
                driven += np.bincount(cell[cell >= 0], c["vx_mps"][cell >= 0], minlength=len(here))
        if minute >= 0:
            lane_km = cells.lane_km * (WINDOW_TICKS // SAMPLE_TICKS)
            for kind, k, q in zip(cells.kind, here / lane_km, 3.6 * driven / lane_km, strict=True):
                dots.append(
                    {"kind": str(kind), "start": per_km, "minute": minute, "per_km": round(k, 2), "per_h": round(q, 1)}
                )
    return dots, {name: np.array(c[name], np.float64) for name in list(c)[3:]}


def theory(drivers: dict[str, F64]) -> tuple[F64, F64]:
    """(density per km, flow per hour) of one lane in equilibrium, of drivers with these parameters."""
    wish = np.minimum(LIMIT_MPS * drivers["wish_factor"], drivers["wish_max_mps"])
    common = np.linspace(0.2, wish.max(), 400)[:, None]
    v = np.minimum(common, FREE * wish)
    gap = (drivers["gap_min_m"] + v * drivers["headway_s"]) / np.sqrt(1.0 - (v / wish) ** 4)
    density = 1e3 / (gap + drivers["length_m"]).mean(axis=1)
    return density, 3.6 * density * v.mean(axis=1)


def draw(dots: list[dict[str, Any]], drivers: dict[str, F64], path: Path) -> None:
    """Dots beside the theory's line, as a picture."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 5.2), dpi=130, layout="constrained")
    for kind, colour in COLOURS.items():
        own = [dot for dot in dots if dot["kind"] == kind]
        axes.scatter([d["per_km"] for d in own], [d["per_h"] for d in own], s=7, color=colour, label=kind, linewidths=0)
    axes.plot(*theory(drivers), color="k", lw=1.5, label="IDM in equilibrium, the same drivers, 120 km/h")
    axes.set(xlabel="vehicles per km and lane", ylabel="vehicles per hour and lane", xlim=(0, 100), ylim=(0, 2400))
    axes.grid(alpha=0.3)
    axes.legend(loc="upper right", fontsize=8, markerscale=2)
    figure.savefig(path)
    plt.close(figure)


def curve(path: Path, seed: int = 0) -> None:
    """Measure at all densities; print the capacity of each kind of cell and draw."""
    dots: list[dict[str, Any]] = []
    drawn = []
    for per_km in DENSITIES_PER_KM:
        found, drivers = measure(per_km, seed)
        drawn.append(drivers)
        dots += found
        for kind in COLOURS:
            own = [d for d in found if d["kind"] == kind]
            k, q = (float(np.mean([d[name] for d in own])) for name in ("per_km", "per_h"))
            most = float(np.quantile([d["per_h"] for d in own], 0.95))
            print(json.dumps({"start_per_km": per_km, "kind": kind, "per_km": round(k, 1), "per_h": round(q),
                              "mps": round(q / k / 3.6, 1), "per_h_95": round(most)}), flush=True)  # fmt: skip
    draw(dots, {name: np.concatenate([d[name] for d in drawn]) for name in drawn[0]}, path)
