"""What is driven: named scenarios (`configs/scenarios/*.yaml`), or any map with a route drawn from the seed.

    spec = choose("town", None)
    graph = build_graph(load_map(find_map(spec.map)))
    scenario = resolve(spec, graph, seed, plan_route, random_route)

A named scenario keeps its route whatever the seed; a map alone has a new one for each. The route planner is handed in.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
from pydantic.dataclasses import dataclass

from stack.config import load
from stack.lanegraph import LaneGraph, Route
from stack.loop import Scenario
from stack.messages import Rig
from stack.opendrive import find_map

FOLDER = Path(__file__).parents[1] / "configs/scenarios"
DEFAULT = "town"
ROUTE_M = (500.0, 800.0)  # of a route drawn from the seed
LANE_KM_PER_VEHICLE = 0.16  # how dense traffic is on a map without a scenario
MOST_VEHICLES = 48


@dataclass(frozen=True, config={"extra": "forbid"})
class Place:
    """A place on a lane: OpenDRIVE road and lane id, and metres along the lane in driving direction."""

    road: str
    lane: int
    s_m: float
    section: int = 0


@dataclass(frozen=True, config={"extra": "forbid"})
class Spec:
    """A scenario as written: no start and goal means a route drawn from the seed; -1 means as many as suit the map."""

    map: str
    name: str = ""
    start: Place | None = None
    goal: Place | None = None
    vehicles: int = -1
    pedestrians: int = -1
    beside_route: float = 0.0
    emergency: int = 0
    weather: str = "clear"
    rehearsed: bool = False


class PlanRoute(Protocol):
    """The best route between two places; ValueError where there is none."""

    def __call__(
        self, graph: LaneGraph, start_lane: int, start_s_m: float, goal_lane: int, goal_s_m: float
    ) -> Route: ...


class RandomRoute(Protocol):
    """A route of a length between the two, drawn from the seed; ValueError where the map has none."""

    def __call__(self, graph: LaneGraph, seed: int, min_m: float, max_m: float) -> Route: ...


def names() -> tuple[str, ...]:
    """Named scenarios, sorted."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))


def choose(scenario: str | None = None, map_: str | None = None) -> Spec:
    """What `--scenario` (a name or FILE.yaml) and `--map` (a name or FILE.xodr) ask for; neither: DEFAULT.

    A map given beside a scenario must be the scenario's: it says where that map's file lies. Raises ValueError.
    """
    if scenario is None:
        if map_ is None:
            return choose(DEFAULT)
        return Spec(map=str(map_), name=find_map(map_).stem)
    file = Path(scenario) if scenario.endswith((".yaml", ".yml")) else FOLDER / f"{scenario}.yaml"
    if not file.is_file():
        raise ValueError(
            f"scenario {scenario}: found no {file.name}, expected a YAML file or one of: {', '.join(names())}"
        )
    spec = load(Spec, file)
    if (spec.start is None) != (spec.goal is None):
        raise ValueError(f"{file}: found {'goal' if spec.start is None else 'start'} alone, expected start and goal")
    wanted, given = Path(spec.map).stem, Path(map_ or spec.map).stem
    if wanted != given:
        raise ValueError(f"scenario {scenario}: found --map {map_}, expected its own map {wanted}")
    return _replaced(spec, name=spec.name or file.stem, map=str(map_ or spec.map))


def resolve(
    spec: Spec,
    graph: LaneGraph,
    seed: int,
    plan_route: PlanRoute,
    random_route: RandomRoute,
    route: str | None = None,
    weather: str | None = None,
    rig: Rig = Rig(),
) -> Scenario:
    """The scenario on its map's graph. `route` ("LANE:S,LANE:S") and `weather` win over the file. Raises ValueError."""
    if route is not None:
        start, goal = _places(route, graph)
        way = plan_route(graph, *start, *goal)
    elif spec.start is not None and spec.goal is not None:
        way = plan_route(graph, *_find(spec.start, graph, spec.name), *_find(spec.goal, graph, spec.name))
    else:
        way = random_route(graph, seed, *ROUTE_M)
    lane_km = float(graph.lane_length_m[graph.lane_junction < 0].sum()) / 1000.0
    suited = min(MOST_VEHICLES, round(lane_km / LANE_KM_PER_VEHICLE))
    return Scenario(
        name=spec.name,
        map_name=graph.name,
        graph=graph,
        route=way,
        seed=seed,
        vehicles=suited if spec.vehicles < 0 else spec.vehicles,
        pedestrians=suited // 2 if spec.pedestrians < 0 else spec.pedestrians,
        beside_route=spec.beside_route,
        emergency=spec.emergency,
        weather=weather or spec.weather,
        rehearsed=spec.rehearsed,
        rig=rig,
    )


def _replaced(spec: Spec, **changes: Any) -> Spec:
    return Spec(**({name: getattr(spec, name) for name in Spec.__dataclass_fields__} | changes))


def _find(place: Place, graph: LaneGraph, name: str) -> tuple[int, float]:
    """Lane index and distance of a place."""
    key = (place.road, place.section, place.lane)
    if key not in graph.lane_key:
        raise ValueError(f"scenario {name}: map {graph.name} has no drivable lane (road, section, lane) {key}")
    lane = graph.lane_key.index(key)
    return lane, _inside(lane, place.s_m, graph, f"scenario {name}: road {place.road} lane {place.lane}")


def _inside(lane: int, s_m: float, graph: LaneGraph, where: str) -> float:
    length = float(graph.lane_length_m[lane])
    if not (np.isfinite(s_m) and 0.0 <= s_m <= length):
        raise ValueError(f"{where}: found s {s_m:g} m, expected 0 to {length:.1f}")
    return s_m


def _places(text: str, graph: LaneGraph) -> tuple[tuple[int, float], tuple[int, float]]:
    """Start and goal from "LANE:S,LANE:S"."""
    places = []
    for part in text.split(","):
        lane, _, s = part.partition(":")
        try:
            index, s_m = int(lane), float(s)
        except ValueError:
            raise ValueError(f'route {text}: found "{part}", expected LANE:S, a lane index and metres') from None
        if not 0 <= index < graph.lanes:
            raise ValueError(f"route {text}: found lane {index}, expected 0 to {graph.lanes - 1}")
        places.append((index, _inside(index, s_m, graph, f"route {text}: lane {index}")))
    if len(places) != 2:
        raise ValueError(f"route {text}: found {len(places)} places, expected two: LANE:S,LANE:S")
    return places[0], places[1]
