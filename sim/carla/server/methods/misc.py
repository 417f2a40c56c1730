"""Calls about the static town: environment objects, rays; and those that only Unreal has something to do for."""

from __future__ import annotations

from typing import Any

from sim.carla import convert
from sim.carla.server.methods import answers
from sim.carla.server.methods.actors import alive
from sim.carla.server.values import FAR_M, U8, number, numbers, place
from sim.carla.server.wire import Failed

ANY = 255
SILENT = 0  # number of a stream that is nobody's


@answers("get_environment_objects")
def get_environment_objects(game: Any, caller: Any, tag: int = ANY) -> list[Any]:
    return [item.wire for item in game.episode.town.objects if tag in (ANY, item.label)]


@answers("get_all_level_BBs")
def get_all_level_boxes(game: Any, caller: Any, tag: int = ANY) -> list[Any]:
    return [item.wire[1] for item in game.episode.town.objects if tag in (ANY, item.label)]


@answers("enable_environment_objects", "quiet")
def enable_environment_objects(game: Any, caller: Any, ids: list[int], on: bool) -> None:
    game.episode.town.show({int(i) for i in ids}, bool(on))


@answers("get_names_of_all_objects")
def get_names_of_all_objects(game: Any, caller: Any) -> list[str]:
    return [item.wire[3] for item in game.episode.town.objects]


@answers("project_point")
def project_point(game: Any, caller: Any, location: list[float], direction: list[float], distance: float) -> list[Any]:
    start, way = place(location), convert.location(numbers(direction, "direction", 3))
    far = number(distance, "distance", -FAR_M, FAR_M)
    end = [a + min(max(far * d, -FAR_M), FAR_M) for a, d in zip(start, way, strict=True)]
    hits = game.world.cast(start, end)
    return [True, labelled(hits[0])] if hits else [False, [[0.0, 0.0, 0.0], 0]]


@answers("cast_ray")
def cast_ray(game: Any, caller: Any, start: list[float], end: list[float]) -> list[Any]:
    return [labelled(hit) for hit in game.world.cast(place(start), place(end))]


def labelled(hit: Any) -> list[Any]:
    point, label = hit
    return [convert.location(point), int(label)]


@answers("draw_debug_shape", "quiet")
def draw_debug_shape(game: Any, caller: Any, shape: list[Any]) -> None:
    """There is no window to draw in."""


for _name in ("clear_debug_shape", "clear_debug_string"):
    answers(_name, "quiet")(lambda game, caller: None)
for _name in ("apply_color_texture_to_objects", "apply_float_color_texture_to_objects"):
    answers(_name, "void")(lambda game, caller, names, material, texture: None)  # our textures are procedural
answers("set_annotations_traverse_translucency", "quiet")(lambda game, caller, on: None)


@answers("enable_gbuffers", "void")
def enable_gbuffers(game: Any, caller: Any, id_: int, on: bool) -> None:
    alive(game, id_).state["gbuffers"] = bool(on)


@answers("are_gbuffers_enabled")
def are_gbuffers_enabled(game: Any, caller: Any, id_: int) -> bool:
    return bool(alive(game, id_).state.get("gbuffers", False))


@answers("get_gbuffer_token", "plain")
def get_gbuffer_token(game: Any, caller: Any, id_: Any, buffer: Any) -> bytes:
    """A stream of its own, on which nothing comes: we have no such buffers. The reply has no place for an error."""
    sensor = game.episode.actors.alive.get(id_) if isinstance(id_, int) else None
    if sensor is None or not isinstance(buffer, int) or not 0 <= buffer <= U8:
        silent: bytes = game.token(SILENT)
        return silent
    streams = sensor.state.setdefault("gbuffer_streams", {})
    if buffer not in streams:
        streams[buffer] = game.streams.new()
    token: bytes = game.token(streams[buffer])
    return token


@answers("send", "quiet")
def send(game: Any, caller: Any, id_: int, text: str) -> None:
    """A custom V2X message, for the receivers near its sender."""
    sensor = alive(game, id_)
    if sensor.type_id != "sensor.other.v2x_custom":
        raise Failed(f"actor {id_} ({sensor.type_id}) sends no messages")
    sensor.state["message"] = str(text)[:100]
