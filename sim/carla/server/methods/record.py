"""Calls of the recorder and the replayer."""

from __future__ import annotations

from typing import Any

from sim.carla.server.methods import answers
from sim.carla.server.values import number


@answers("start_recorder")
def start_recorder(game: Any, caller: Any, name: str, additional: bool = False) -> str:
    text: str = game.recorder.start(name, bool(additional))
    return text


@answers("stop_recorder", "quiet")
def stop_recorder(game: Any, caller: Any) -> None:
    game.recorder.stop()


@answers("show_recorder_file_info")
def show_recorder_file_info(game: Any, caller: Any, name: str, show_all: bool = False) -> str:
    text: str = game.recorder.info(name, bool(show_all))
    return text


@answers("show_recorder_collisions")
def show_recorder_collisions(game: Any, caller: Any, name: str, first: int, second: int) -> str:
    text: str = game.recorder.collisions(name, chr(int(first)), chr(int(second)))
    return text


@answers("show_recorder_actors_blocked")
def show_recorder_actors_blocked(game: Any, caller: Any, name: str, min_time: float, min_distance: float) -> str:
    text: str = game.recorder.blocked(name, float(min_time), float(min_distance))
    return text


@answers("replay_file")
def replay_file(
    game: Any, caller: Any, name: str, start: float = 0.0, duration: float = 0.0, follow: int = 0,
    replay_sensors: bool = False, offset: Any = None,
) -> str:  # fmt: skip
    text: str = game.replayer.start(
        name, number(start, "start"), number(duration, "duration"), int(follow), bool(replay_sensors)
    )
    return text


@answers("stop_replayer", "quiet")
def stop_replayer(game: Any, caller: Any, keep_actors: bool = False) -> None:
    game.replayer.stop(bool(keep_actors))


@answers("set_replayer_time_factor", "quiet")
def set_time_factor(game: Any, caller: Any, factor: float) -> None:
    game.replayer.factor = max(number(factor, "time factor"), 0.0)


@answers("set_replayer_ignore_hero", "quiet")
def set_ignore_hero(game: Any, caller: Any, on: bool) -> None:
    game.replayer.ignore_hero = bool(on)


@answers("set_replayer_ignore_spectator", "quiet")
def set_ignore_spectator(game: Any, caller: Any, on: bool) -> None:
    game.replayer.ignore_spectator = bool(on)
