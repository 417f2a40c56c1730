"""Calls about traffic lights, and about the town's street lights."""

from __future__ import annotations

from typing import Any

from sim.carla.server.episode import light_box
from sim.carla.server.lights import Group
from sim.carla.server.methods import answers
from sim.carla.server.methods.actors import alive
from sim.carla.server.values import U8, number, whole
from sim.carla.server.wire import Failed, Light

LONGEST_S = 1e9


def lamp_of(game: Any, id_: int) -> int:
    """Index of a traffic light; raises Failed for any other actor."""
    lamp: int = alive(game, id_).lamp
    if lamp < 0:
        raise Failed(f"actor {id_} is no traffic light")
    return lamp


def group_of(game: Any, id_: int) -> Group:
    group: Group = game.episode.lights.group_of[lamp_of(game, id_)]
    return group


@answers("set_traffic_light_state", "quiet")
def set_state(game: Any, caller: Any, id_: int, state: int) -> None:
    game.episode.lights.set_state(lamp_of(game, id_), Light(int(state)))


def _set_time(name: str) -> Any:
    def set_time(game: Any, caller: Any, id_: int, seconds: float) -> None:
        value = number(seconds, f"{name} of traffic light {id_}", 0.0, LONGEST_S)
        setattr(game.episode.lights.phase_of[lamp_of(game, id_)], name, value)
        game.episode.writer.times_changed()

    return set_time


for _name, _field in (("green", "green_s"), ("yellow", "yellow_s"), ("red", "red_s")):
    answers(f"set_traffic_light_{_name}_time", "quiet")(_set_time(_field))


@answers("freeze_traffic_light", "quiet")
def freeze(game: Any, caller: Any, id_: int, on: bool) -> None:
    group_of(game, id_).frozen = bool(on)
    game.episode.writer.times_changed()


@answers("freeze_all_traffic_lights", "quiet")
def freeze_all(game: Any, caller: Any, on: bool) -> None:
    for group in game.episode.lights.groups:
        group.frozen = bool(on)
    game.episode.writer.times_changed()


@answers("reset_traffic_light_group", "quiet")
def reset_group(game: Any, caller: Any, id_: int) -> None:
    game.episode.lights.restart(group_of(game, id_))


@answers("reset_all_traffic_lights", "void")
def reset_all(game: Any, caller: Any) -> None:
    for group in game.episode.lights.groups:
        game.episode.lights.restart(group)


@answers("get_group_traffic_lights")
def get_group(game: Any, caller: Any, id_: int) -> list[int]:
    lamps = game.episode.lights.lamps
    return [lamps[k].actor for k in group_of(game, id_).lamps]


@answers("get_light_boxes")
def get_light_boxes(game: Any, caller: Any, id_: int) -> list[Any]:
    return light_box(game.episode.lights.lamps[lamp_of(game, id_)])


@answers("query_lights_state")
def query_lights_state(game: Any, caller: Any, client: str = "") -> list[Any]:
    return [list(lamp) for lamp in game.episode.street_lamps]


@answers("update_lights_state", "quiet")
def update_lights_state(game: Any, caller: Any, client: str, lamps: list[Any], discard_client: bool = False) -> None:
    """Street lights keep what was set; our pictures light them by the night alone."""
    own = {lamp[0]: lamp for lamp in game.episode.street_lamps}
    for id_, _, intensity, group, colour, active in lamps:
        new = [
            number(intensity, "intensity"),
            whole(group, "group", U8),
            [whole(c, "colour", U8) for c in colour[:3]],
            bool(active),
        ]
        if id_ in own:
            own[id_][2:] = new


@answers("update_day_night_cycle", "quiet")
def update_day_night_cycle(game: Any, caller: Any, client: str, on: bool) -> None:
    """Our street lights shine at night of themselves."""
