"""Calls about the episode as a whole: version, maps, settings, weather, ticks, files."""

from __future__ import annotations

from typing import Any

from sim.carla import convert
from sim.carla.server.methods import answers
from sim.carla.server.rpc import LATER
from sim.carla.server.values import U16, U32, number, numbers, text, whole
from sim.carla.server.wire import VERSION, Failed

WEATHER_NUMBERS = 14


@answers("version")
def version(game: Any, caller: Any) -> str:
    return VERSION


@answers("get_episode_info")
def get_episode_info(game: Any, caller: Any) -> list[Any]:
    return [game.episode.number, [game.world_token()]]


@answers("get_sensor_token")
def get_sensor_token(game: Any, caller: Any, stream: int) -> list[Any]:
    number = whole(stream, "stream", U32)
    game.streams.announce(number, caller)
    return [game.token(number)]


@answers("get_episode_settings")
def get_episode_settings(game: Any, caller: Any) -> list[Any]:
    return game.settings.wire


@answers("set_episode_settings")
def set_episode_settings(game: Any, caller: Any, settings: list[Any]) -> int:
    game.apply(settings)
    frame: int = game.episode.frame
    return frame if game.settings.synchronous else frame + 1


@answers("tick_cue", "plain")
def tick_cue(game: Any, caller: Any, number: int) -> Any:
    game.ask_tick(caller, number)
    return LATER


@answers("get_map_info")
def get_map_info(game: Any, caller: Any) -> list[Any]:
    town = game.episode.town
    return [f"Carla/Maps/{town.name}", [convert.transform(pose) for pose in town.spawn_points]]


@answers("get_map_data")
def get_map_data(game: Any, caller: Any) -> str:
    xodr: str = game.episode.town.text
    return xodr


@answers("get_available_maps")
def get_available_maps(game: Any, caller: Any) -> list[str]:
    return [f"/Game/Carla/Maps/{name}" for name in game.atlas.names()]


@answers("get_required_files")
def get_required_files(game: Any, caller: Any, folder: str = "") -> list[str]:
    return [game.episode.town.navigation[0]] if folder == "Nav" else []


@answers("request_file")
def request_file(game: Any, caller: Any, name: str) -> bytes:
    known, data = game.episode.town.navigation
    if name != known:
        raise Failed(f"file {name!r} not found")
    content: bytes = data
    return content


@answers("load_new_episode", "void")
def load_new_episode(game: Any, caller: Any, name: str, reset_settings: bool = True, layers: int = 0xFFFF) -> None:
    game.load(name, reset_settings)


@answers("copy_opendrive_to_file", "void")
def copy_opendrive_to_file(game: Any, caller: Any, xodr: str, parameters: list[Any]) -> None:
    game.atlas.take(text(xodr, "OpenDRIVE"))


@answers("load_map_layer", "void")
def load_map_layer(game: Any, caller: Any, layer: int) -> None:
    """Our towns have no layers: there is nothing to load."""


@answers("unload_map_layer", "void")
def unload_map_layer(game: Any, caller: Any, layer: int) -> None:
    """Nor to unload."""


@answers("get_weather_parameters")
def get_weather_parameters(game: Any, caller: Any) -> list[float]:
    weather: list[float] = game.weather
    return weather


@answers("set_weather_parameters", "quiet")
def set_weather_parameters(game: Any, caller: Any, weather: list[float]) -> None:
    values = numbers(weather[:WEATHER_NUMBERS], "weather")
    game.set_weather([*values, *([0.0] * (WEATHER_NUMBERS - len(values)))])


@answers("get_imui_sensor_gravity")
def get_imui_gravity(game: Any, caller: Any) -> float:
    return float(game.imui_gravity)


answers("get_imui_gravity")(get_imui_gravity)


@answers("set_imui_sensor_gravity", "quiet")
def set_imui_gravity(game: Any, caller: Any, value: float) -> None:
    game.imui_gravity = number(value, "gravity")


answers("set_imui_gravity", "quiet")(set_imui_gravity)


@answers("is_traffic_manager_running")
def is_traffic_manager_running(game: Any, caller: Any, port: int) -> bool:
    return whole(port, "port", U16) in game.managers


@answers("get_traffic_manager_running")
def get_traffic_manager_running(game: Any, caller: Any, port: int) -> list[Any]:
    number_ = whole(port, "port", U16)
    if number_ not in game.managers:
        return ["", 0]
    return [game.managers.address(number_), number_]


@answers("add_traffic_manager_running")
def add_traffic_manager_running(game: Any, caller: Any, info: list[Any]) -> bool:
    address, port = text(info[0], "address"), whole(info[1], "port", U16, 1)
    if port in game.managers:
        return False
    game.managers.add(port, address, caller)
    return True


@answers("destroy_traffic_manager", "quiet")
def destroy_traffic_manager(game: Any, caller: Any, port: int) -> None:
    game.managers.remove(int(port))
