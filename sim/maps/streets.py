"""The street plan of a random town or a piece of country: a jittered grid with streets missing, through roads, bends, hills.

Grid points with three or four streets become junctions; where two streets are left they join into one that bends. No
street ends dead, and from every street every other can be reached both ways without turning round.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from typing import Any

import networkx as nx
import numpy as np

from sim.maps.geometry import Path, length_m, pose, rounded
from stack.frames import F64

Node = tuple[int, int]
Edge = tuple[Node, Node]
STEEPEST = 0.06  # grade of the steepest street
WINDING_M = (70.0, 220.0)  # radii of a winding road's bends, where there is room for them
HILL_M = 110.0  # from crest to dip of a rolling road
PARKING_END_M = 8.0  # from a junction to the first parking place
ARM_STRAIGHT_M = 5.0  # streets leave junctions straight, so that crosswalks lie square


@dataclass(frozen=True)
class Style:
    """What makes a map look like itself."""

    columns: int = 4
    rows: int = 4
    block_m: tuple[float, float] = (75.0, 140.0)
    jitter_m: float = 6.0
    missing: float = 0.1  # share of the grid's streets that are not there
    bent: float = 0.5  # share of streets with a bend of their own
    winding_m: float = 0.0  # instead: a bend about every so many metres
    through_columns: tuple[int, ...] = ()  # grid lines that are 2+2 lane roads
    through_rows: tuple[int, ...] = ()
    lane_width_m: tuple[float, float] = (3.1, 3.7)
    kind: str = "town"  # OpenDRIVE road type: beside "townLocal" gardens, "lowSpeed" tall house fronts, "rural" woods
    verge: str = "sidewalk"  # or "shoulder", which has no kerb
    verge_m: tuple[float, float] = (1.6, 2.6)
    corner_m: tuple[float, float] = (4.5, 7.5)  # least radius of the kerb round a junction's corners
    kerb_m: float = 0.13  # height of the sidewalk above the road
    limits_kmh: tuple[int, ...] = (30, 40, 50)
    hills_m: float = 0.0
    rolling_m: float = 0.0  # of the hills that a street crosses between its ends
    lights: float = 0.6  # share of junctions with lights
    heads: tuple[str, ...] = ("near", "far", "both")  # drawn per junction
    mast: float = 0.3  # share of far heads that hang over the lanes
    signs: str = (
        "mixed"  # at junctions without lights: "stop" (all-way where four streets meet), "yield", "none", or "mixed"
    )
    one_by_one: float = 0.25  # share of lights that serve one approach at a time
    crosswalks: float = 0.85
    centre: str = "yellow"
    edge_lines: bool = True
    setback_m: float = 11.0  # least distance from a junction's middle to its arms
    through_lanes: int = 2  # each way, of through roads
    through_limit_kmh: int = 0  # instead of the highest of limits_kmh
    median_m: float = (
        0.0  # between the directions of through roads; left-turn lanes open in it, and their crossings have lights
    )
    pocket_m: float = 3.0  # width of those left-turn lanes
    protected: float = 0.5  # share of crossings with left-turn lanes whose left turns have a green of their own
    parking_m: tuple[float, float] = (0.0, 0.0)  # width of parking lanes
    parked: float = 0.8  # share of the streets that have them
    oneway: float = 0.0  # share of the streets with one lane only
    midway: float = 0.0  # share of the streets with a crosswalk between junctions
    roundabouts: float = 0.0  # share of the junctions where there is room for one


@dataclass(frozen=True)
class Street:
    """A street from one junction to another; the path is its middle, from `nodes[0]` to `nodes[1]`.

    A one-way street is driven along its path, which is the left border of its lanes. Lanes count from the middle: 1, 2,
    ..., and 0 for the left-turn lane. Where cars may park, the sidewalk is wider by as much between the places.
    """

    road: int
    nodes: Edge
    points_m: F64  # (N, 2) polyline between the two grid points
    radii_m: tuple[float, ...]
    lanes: int  # each way
    lane_width_m: float
    verge_m: float
    limit_kmh: int
    solid_centre: bool
    hills: tuple[tuple[float, float], ...] = ()  # (share of the length, m above the slope from end to end)
    oneway: bool = False
    median_m: float = 0.0
    pockets_m: tuple[float, float] = (0.0, 0.0)  # width of the left-turn lane towards the start, towards the end
    parking_m: float = 0.0
    crossed: tuple[float, ...] = ()  # crosswalks between the junctions, as shares of the length
    island_m: float = 0.0  # raised ground left of a roundabout's ring

    @property
    def edge_m(self) -> float:
        """From the middle to the right kerb, at a junction."""
        return self.edge(right=True)

    def count(self, right: bool) -> int:
        """Lanes of one side of the path."""
        return self.lanes if right or not self.oneway else 0

    def edge(self, right: bool) -> float:
        """From the middle to a kerb, at a junction."""
        return 0.5 * self.median_m + self.count(right) * self.lane_width_m

    def inner_m(self, at_start: bool) -> float:
        """From the middle to the left border of the lanes that lead to an end; negative where that lies left of it."""
        return 0.5 * self.median_m - self.pockets_m[0 if at_start else 1]

    @property
    def corner_m(self) -> float:
        """Width of the verge at a junction."""
        return self.verge_m + self.parking_m

    def path(self, from_start_m: float = 0.0, from_end_m: float = 0.0) -> Path:
        """The middle line, cut back by so much at its two ends (within the first and last segment)."""
        points = self.points_m.copy()
        points[0] += from_start_m * _unit(points[1] - points[0])
        points[-1] += from_end_m * _unit(points[-2] - points[-1])
        return rounded(points, list(self.radii_m), straight_m=ARM_STRAIGHT_M)


@dataclass(frozen=True)
class StreetPlan:
    """Streets and the grid points that they join."""

    nodes_m: dict[Node, F64]  # (2,)
    height_m: dict[Node, float]
    streets: tuple[Street, ...]


def _unit(v: F64) -> F64:
    return v / math.hypot(*v)


def street_plan(style: Style, rng: np.random.Generator) -> StreetPlan:
    """Draw a town's streets."""
    nodes = _grid_points(style, rng)
    graph = _thinned(style, rng)
    oneway = _one_ways(graph, style, rng)
    limit = {line: int(rng.choice(style.limits_kmh)) for line in _lines(style)}
    streets: list[Street] = []
    for chain in _chains(graph):
        if tuple(chain[::-1]) in oneway:
            chain = chain[::-1]
        first: Edge = (chain[0], chain[1])
        through = is_through(style, first)
        points, radii = _polyline(chain, nodes, style, through, rng)
        width, verge = rng.uniform(*style.lane_width_m), rng.uniform(*style.verge_m)
        solid = bool(rng.random() < 0.3)
        streets.append(
            Street(
                road=len(streets) + 1,
                nodes=(chain[0], chain[-1]),
                points_m=points,
                radii_m=tuple(radii),
                lanes=style.through_lanes if through else 1,
                lane_width_m=round(float(width), 2),
                verge_m=round(float(verge), 2),
                limit_kmh=(style.through_limit_kmh or max(style.limits_kmh)) if through else limit[_line(first)],
                solid_centre=through or solid,
                median_m=style.median_m if through else 0.0,
                **_sides(style, chain, oneway, rng),
            )
        )
    height = _heights(style, nodes, streets, rng)
    if style.rolling_m > 0.0:
        streets = [replace(street, hills=_hills(style, street, height, rng)) for street in streets]
    return StreetPlan(nodes, height, tuple(streets))


def _grid_points(style: Style, rng: np.random.Generator) -> dict[Node, F64]:
    xs = np.concatenate([[0.0], np.cumsum(rng.uniform(*style.block_m, style.columns - 1))])
    ys = np.concatenate([[0.0], np.cumsum(rng.uniform(*style.block_m, style.rows - 1))])
    xs, ys = xs - xs.mean(), ys - ys.mean()
    jitter = rng.uniform(-style.jitter_m, style.jitter_m, (style.columns, style.rows, 2))
    return {(i, j): np.array([xs[i], ys[j]]) + jitter[i, j] for i in range(style.columns) for j in range(style.rows)}


def _line(edge: Edge) -> tuple[str, int]:
    """The grid line that an edge lies on."""
    (i, j), (k, _) = edge
    return ("column", i) if i == k else ("row", j)


def _lines(style: Style) -> list[tuple[str, int]]:
    return [("column", i) for i in range(style.columns)] + [("row", j) for j in range(style.rows)]


def is_through(style: Style, edge: Edge) -> bool:
    """Whether an edge is part of a 2+2 lane road."""
    kind, index = _line(edge)
    return index in (style.through_columns if kind == "column" else style.through_rows)


def _thinned(style: Style, rng: np.random.Generator) -> nx.Graph:
    """The grid without some of its streets."""
    graph = nx.grid_2d_graph(style.columns, style.rows)
    edges: list[Edge] = sorted(tuple(sorted(edge)) for edge in graph.edges)
    wanted = round(style.missing * len(edges))
    for index in rng.permutation(len(edges)):
        edge = edges[index]
        if wanted == 0:
            break
        if is_through(style, edge):
            continue
        graph.remove_edge(*edge)
        if _is_sound(graph, style, edge):
            wanted -= 1
        else:
            graph.add_edge(*edge)
    return graph


def _one_ways(graph: nx.Graph, style: Style, rng: np.random.Generator) -> set[tuple[Node, ...]]:
    """Chains that are driven in one direction only, in either order of their points; from every street all can be reached."""
    chains = [tuple(chain) for chain in _chains(graph)]
    found: set[tuple[Node, ...]] = set()
    if style.oneway <= 0.0:
        return found
    for index in rng.permutation(len(chains)):
        if len(found) >= style.oneway * len(chains):
            break
        chain = chains[index][:: rng.choice((-1, 1))]
        if is_through(style, (chain[0], chain[1])):
            continue
        ways = [way for c in chains for way in (c, c[::-1]) if way[::-1] not in found | {chain}]
        turns = nx.DiGraph((a, b) for a in ways for b in ways if a[-1] == b[0] and a != b[::-1])
        if len(turns) == len(ways) and nx.is_strongly_connected(turns):
            found.add(chain)
    return found


def _sides(style: Style, chain: list[Node], oneway: set[tuple[Node, ...]], rng: np.random.Generator) -> dict[str, Any]:
    """Direction, parking lanes and crosswalks of a street; nothing is drawn for a style without them."""
    out: dict[str, Any] = {"oneway": tuple(chain) in oneway}
    if style.parking_m[1] > 0.0 and rng.random() < style.parked:
        out["parking_m"] = round(float(rng.uniform(*style.parking_m)), 2)
    if style.midway > 0.0 and rng.random() < style.midway:
        out["crossed"] = (round(float(rng.uniform(0.42, 0.58)), 3),)
    return out


def _is_sound(graph: nx.Graph, style: Style, removed: Edge) -> bool:
    for node in removed:
        around = list(graph.edges(node))
        if len(around) < 2 or (len(around) == 2 and len({is_through(style, edge) for edge in around}) == 2):
            return False
    if any(chain[0] == chain[-1] for chain in _chains(graph)):  # libcarla cannot follow a road back to its own junction
        return False
    turns = nx.DiGraph()
    for a, b in graph.edges:
        for start, end in ((a, b), (b, a)):
            turns.add_edges_from(((start, end), (end, nxt)) for nxt in graph[end] if nxt != start)
    return bool(nx.is_strongly_connected(turns))


def _chains(graph: nx.Graph) -> list[list[Node]]:
    """Runs of grid points from junction to junction, each once, in a fixed order."""
    done: set[frozenset[Node]] = set()
    chains = []
    for node in sorted(n for n in graph if graph.degree[n] > 2):
        for neighbour in sorted(graph[node]):
            if frozenset((node, neighbour)) in done:
                continue
            chain = [node, neighbour]
            while graph.degree[chain[-1]] == 2:
                chain.append(next(n for n in sorted(graph[chain[-1]]) if n != chain[-2]))
            done.update(frozenset(pair) for pair in itertools.pairwise(chain))
            chains.append(chain)
    return chains


def _polyline(
    chain: list[Node], nodes: dict[Node, F64], style: Style, through: bool, rng: np.random.Generator
) -> tuple[F64, list[float]]:
    """Corner points of a street, and the radius of each inner corner."""
    points, radii = [nodes[chain[0]]], []
    for k, (a, b) in enumerate(itertools.pairwise(chain)):
        start, end = nodes[a], nodes[b]
        span = end - start
        length = math.hypot(*span)
        left = np.array([-span[1], span[0]]) / length
        if style.winding_m > 0.0:
            bends = max(round(length / style.winding_m) - 1, 1)
            gaps = np.concatenate([[1.2], rng.uniform(0.6, 1.4, bends - 1), [1.2]])
            gaps *= length / gaps.sum()
            sides = rng.uniform(0.1, 0.3, bends) * np.minimum(gaps[:-1], gaps[1:])
            sides *= (-1.0) ** (np.arange(bends) + rng.integers(2))
            shares = np.cumsum(gaps)[:-1] / length
            points += list(start + shares[:, None] * span + sides[:, None] * left) + [end]
            radii += [float(radius) for radius in rng.uniform(*WINDING_M, bends + (k < len(chain) - 2))]
            continue
        offset = float(rng.uniform(0.04, 0.085) * length * rng.choice((-1.0, 1.0)))
        draw = rng.random()
        if not through and draw < style.bent:
            shares = (0.34, 0.66) if length > 105.0 and draw < 0.5 * style.bent else (rng.uniform(0.45, 0.55),)
            for share, side in zip(shares, (1.0, -1.0), strict=False):
                points.append(start + share * span + side * offset * (0.6 if len(shares) > 1 else 1.0) * left)
                radii.append(float(rng.uniform(60.0, 180.0)))
        points.append(end)
        if k < len(chain) - 2:
            radii.append(float(rng.uniform(18.0, 32.0)))
    return np.array(points), radii


def _heights(
    style: Style, nodes: dict[Node, F64], streets: list[Street], rng: np.random.Generator
) -> dict[Node, float]:
    """Height of each grid point: two long waves, scaled down until no street is steeper than STEEPEST.

    Streets climb from one end to the other as a cubic with level ends, whose steepest grade is 1.5 times the mean one.
    """
    phase = rng.uniform(0.0, math.tau, 2)
    turn = rng.uniform(0.0, math.tau)
    axis = np.array([math.cos(turn), math.sin(turn)])
    side = np.array([-axis[1], axis[0]])
    height = {}
    for node, point in nodes.items():
        waves = math.sin(float(axis @ point) / 70.0 + phase[0]) + 0.7 * math.sin(float(side @ point) / 50.0 + phase[1])
        height[node] = 0.5 * style.hills_m * waves
    grades = [1.5 * abs(height[s.nodes[0]] - height[s.nodes[1]]) / (length_m(s.path()) - 32.0) for s in streets]
    scale = min(1.0, STEEPEST / max(max(grades), 1e-9))
    return {node: round(scale * z, 3) for node, z in height.items()}


def _hills(
    style: Style, street: Street, height: dict[Node, float], rng: np.random.Generator
) -> tuple[tuple[float, float], ...]:
    """Crests and dips in turn, lower where the slopes between them would be steeper than STEEPEST."""
    length = length_m(street.path()) - 32.0
    count = round(length / HILL_M) - 1
    if count < 1:
        return ()
    above = rng.uniform(0.4, 1.0, count) * style.rolling_m * (-1.0) ** (np.arange(count) + rng.integers(2))
    slope = 1.5 * abs(height[street.nodes[1]] - height[street.nodes[0]]) / length
    steepest = 1.5 * np.abs(np.diff(above, prepend=0.0, append=0.0)).max() * (count + 1) / length
    scale = min(1.0, max(STEEPEST - slope, 0.0) / steepest)
    return tuple(((k + 1) / (count + 1), round(float(scale * z), 3)) for k, z in enumerate(above))


def arm_pose(path: Path, at_start: bool) -> tuple[F64, float]:
    """Point (2,) of a street's end at a junction, and the heading of traffic that enters the junction there."""
    x, y, heading = pose(path, 0.0 if at_start else length_m(path))
    return np.array([x, y]), heading + math.pi if at_start else heading
