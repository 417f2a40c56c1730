"""Maps and their lane graphs, read once for all test files of a process. Nobody writes into them."""

from functools import cache
from pathlib import Path

from stack.lanegraph import LaneGraph
from stack.opendrive import RoadMap, build_graph, find_map, load_map


def map_of(name_or_path: str | Path) -> RoadMap:
    """One of our own maps by name, or that of a file."""
    return _map(find_map(name_or_path).resolve())


def graph_of(name_or_path: str | Path) -> LaneGraph:
    return _graph(find_map(name_or_path).resolve())


@cache
def _map(path: Path) -> RoadMap:
    return load_map(path)


@cache
def _graph(path: Path) -> LaneGraph:
    return build_graph(_map(path))
