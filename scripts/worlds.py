"""Settings -> Scenario and World, wherever that is: embedded, embedded with rehearsed traffic, or on a CARLA server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from scripts.build import DriveSettings, build_scenario
from stack.loop import Scenario
from stack.opendrive import RoadMap
from stack.rates import StageTimes

TIMEOUT_S = 20.0

Prepared = tuple[Scenario, RoadMap, Callable[[], Any]]


def prepare(settings: DriveSettings, device: str, times: StageTimes) -> Prepared:
    """What is to be driven, and a function that makes the world for it. Raises ValueError for bad input."""
    if settings.world == "carla":
        return _on_carla(settings, device, times)
    scenario, road_map = build_scenario(settings)

    def make() -> Any:
        from sim.scripted import ScriptedWorld
        from sim.world import EmbeddedWorld

        return (ScriptedWorld if scenario.rehearsed else EmbeddedWorld)(road_map, device, times)

    return scenario, road_map, make


def _on_carla(settings: DriveSettings, device: str, times: StageTimes) -> Prepared:
    """The map is the server's, by the name of the scenario's, or sent to it."""
    from sim.carla.connect import connect, map_text

    client = connect(settings.host, settings.port, TIMEOUT_S)
    world = client.get_world()
    before = world.get_settings(), world.get_weather()

    def text_of(name: str, file: Path | None) -> str:
        return map_text(client, name, file)

    scenario, road_map = build_scenario(settings, text_of)

    def make() -> Any:
        from sim.carla.client import CarlaWorld

        return CarlaWorld(client, road_map, before, device, times, TIMEOUT_S)

    return scenario, road_map, make
