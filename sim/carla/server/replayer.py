"""The replayer: actors of a recording come back and go where they went, tick by tick."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from sim.carla import convert
from sim.carla.server.recorder import Frame
from sim.carla.server.wire import Failed

log = logging.getLogger(__name__)
EARLY_S = 1e-6
AHEAD_M = (-10.0, 0.0, 5.0)  # where the spectator is, from the actor that it follows


class Replayer:
    """`start` takes over the episode; `before_tick` puts everybody where they were."""

    def __init__(self, game: Any) -> None:
        self._game = game
        self.factor, self.ignore_hero, self.ignore_spectator = 1.0, False, False
        self._frames: list[Frame] = []

    @property
    def active(self) -> bool:
        return bool(self._frames)

    def start(self, name: str, start_s: float, duration_s: float, follow: int, sensors: bool) -> str:
        """Begin at start_s (negative: before the end), for duration_s (0: all). Raises Failed for a bad file."""
        game = self._game
        game.recorder.stop()  # as CARLA does: a recording of its own replay would grow without end
        map_, _, frames = game.recorder.open(name)
        kept = list(frames)
        if not kept:
            raise Failed(f"File {name} holds no frame")
        first = kept[0].seconds
        total = kept[-1].seconds - first
        begin = max(total + start_s, 0.0) if start_s < 0.0 else min(start_s, total)
        end = min(begin + duration_s, total) if duration_s > 0.0 else total
        self.stop()
        if game.episode.town.name != map_:
            game.load(map_, reset_settings=False)
        self._ids: dict[int, int] = {}  # of the recording: of this episode
        self._frames, self._first_s, self._now_s, self._end_s = kept, first, begin, end
        self._at, self._follow, self._sensors = -1, follow, sensors
        try:
            self._run_to(begin)
        except Exception as error:  # a file that has been tampered with
            log.warning("replay: cannot begin (%s)", error, exc_info=True)
            self.stop()
            raise Failed(f"File {name} is no recording of this server ({error})") from None
        return f"Replaying File: {game.recorder.path(name).name}\nMap: {map_}\nTotal time recorded: {total:g} seconds\n" \
               f"Replaying from {begin:g} s to {end:g} s\n"  # fmt: skip

    def stop(self, keep_actors: bool = False) -> None:
        """End the replay; its actors go, or stay where they are."""
        if self._frames and not keep_actors:
            for id_ in self._ids.values():
                self._game.destroy(id_)
        elif self._frames:
            self._release()
        self._frames = []

    def before_tick(self, dt_s: float) -> None:
        """Go on by dt_s times the time factor; at the end the actors are let go."""
        if self._frames and self._now_s >= self._end_s - EARLY_S:  # the end has been shown
            self._release()
            self._frames = []
        if not self._frames:
            return
        self._now_s += dt_s * self.factor
        try:
            self._run_to(min(self._now_s, self._end_s))
        except Exception as error:  # a file that has been tampered with
            log.warning("replay: ends here (%s)", error, exc_info=True)
            self.stop(keep_actors=True)

    def _run_to(self, seconds: float) -> None:
        """Let come and go who did until then, and put everybody where they were, between two frames in proportion."""
        while self._at + 1 < len(self._frames) and self._frames[self._at + 1].seconds - self._first_s <= seconds + 1e-6:
            self._at += 1
            self._come_and_go(self._frames[self._at])
        if self._at < 0:
            self._at = 0
            self._come_and_go(self._frames[0])
        now = self._frames[self._at]
        after = self._frames[min(self._at + 1, len(self._frames) - 1)]
        span = after.seconds - now.seconds
        share = (seconds - (now.seconds - self._first_s)) / span if span > 0.0 else 0.0
        self._place(now.states, after.states, min(max(share, 0.0), 1.0))

    def _come_and_go(self, frame: Frame) -> None:
        game = self._game
        for id_, type_id, uid, attributes, parent, _ in frame.spawned:
            state = frame.states[frame.states["id"] == id_]
            is_sensor = type_id.startswith(("sensor.", "controller."))
            if type_id.startswith("traffic.") or type_id == "spectator" or not len(state):
                continue
            if is_sensor and not self._sensors:
                continue
            try:
                actor = game.spawn(
                    [uid, type_id, attributes], _pose(state[0]), self._ids.get(parent, 0)
                )  # fmt: skip
            except Failed:
                continue
            self._ids[id_] = actor.id
            if actor.row >= 0 and not self._ignored(actor):
                game.world.simulate(actor.row, False)
        for id_ in frame.destroyed:
            if id_ in self._ids:
                game.destroy(self._ids.pop(id_))

    def _place(self, now: Any, after: Any, share: float) -> None:
        game = self._game
        later = {int(s["id"]): s for s in after}
        for state in now:
            id_ = int(state["id"])
            actor = game.episode.actors.alive.get(self._ids.get(id_, 0))
            if actor is None or actor.row < 0 or self._ignored(actor):
                continue
            pose = _between(state, later.get(id_, state), share)
            game.episode.move(actor, pose)
            if actor.is_vehicle:
                record = game.episode.actors.records[actor.at : actor.at + 1]
                for name in ("throttle", "steer", "brake", "hand_brake", "reverse", "manual", "gear"):
                    record[name] = state[name]
            if id_ == self._follow and not self.ignore_spectator:
                matrix = pose.matrix()
                matrix[:3, 3] = (matrix @ np.array([*AHEAD_M, 1.0]))[:3]
                game.episode.move(game.episode.spectator, convert.pose_of(matrix))

    def _ignored(self, actor: Any) -> bool:
        return self.ignore_hero and actor.values.get("role_name") == "hero"

    def _release(self) -> None:
        for id_ in self._ids.values():
            actor = self._game.episode.actors.alive.get(id_)
            if actor is not None and actor.row >= 0 and (actor.is_vehicle or actor.is_walker):
                self._game.world.simulate(actor.row, True)


def _pose(state: Any) -> Any:
    place = [float(state[name]) for name in ("x", "y", "z")]
    return convert.pose([place, [float(state[name]) for name in ("pitch", "yaw", "roll")]])


def _between(a: Any, b: Any, share: float) -> Any:
    if share <= 0.0 or b is a:
        return _pose(a)
    place = [float(a[n]) + share * (float(b[n]) - float(a[n])) for n in ("x", "y", "z")]
    turn = [
        float(a[n]) + share * ((float(b[n]) - float(a[n]) + 180.0) % 360.0 - 180.0) for n in ("pitch", "yaw", "roll")
    ]
    return convert.pose([place, turn])
