"""What the server plays: the episode under way, its settings and weather, its sensors, and who may tick it."""

from __future__ import annotations

import logging
import time
from collections import deque
from pathlib import Path
from typing import Any

from sim.carla.server import memory, physics
from sim.carla.server.actors import DEAD_KEPT, Actor
from sim.carla.server.episode import Episode
from sim.carla.server.managers import Managers
from sim.carla.server.recorder import Recorder
from sim.carla.server.replayer import Replayer
from sim.carla.server.sensors import Sensors
from sim.carla.server.settings import Settings
from sim.carla.server.streams import WORLD, Streams
from sim.carla.server.town import Atlas
from sim.carla.server.wire import STREETLIGHTS_PENDING, failed, ok, token
from sim.carla.sky import WET_GRIP, weather_of
from stack.frames import Pose

log = logging.getLogger(__name__)
CLEAR = [10.0, 0.0, 0.0, 10.0, 0.0, 45.0, 2.0, 0.75, 0.1, 0.0, 1.0, 0.03, 0.0331, 0.0]  # about CARLA's ClearNoon


class Game:
    """The state that methods work on."""

    def __init__(self, atlas: Atlas, town: str, streams: Streams, host: str, recordings: Path) -> None:
        """Raises Failed where the town cannot be loaded."""
        self.atlas, self.streams, self._host = atlas, streams, host
        self.settings = Settings()
        self.weather: list[float] = list(CLEAR)
        self.imui_gravity = 9.81
        self.managers = Managers()
        self.ackermann: dict[int, list[float]] = {}
        self.tombstones: dict[int, Actor] = {}  # of earlier episodes
        self.waiting: deque[tuple[Any, int]] = deque()  # ticks asked for: caller, request
        self.started = time.monotonic()
        self.episode = Episode(1, atlas.load(town), 1, 1)
        self.sensors = Sensors(self)
        self.recorder, self.replayer = Recorder(self, recordings), Replayer(self)
        streams.greeting = self.snapshot
        self._flags = STREETLIGHTS_PENDING

    @property
    def world(self) -> Any:
        """The open world of the episode."""
        return self.episode.world

    def token(self, stream: int) -> bytes:
        return token(stream, self.streams.port, self._host)

    def world_token(self) -> bytes:
        return self.token(WORLD)

    def snapshot(self) -> bytes:
        return self.episode.snapshot(time.monotonic() - self.started, self._flags)

    # ------------------------------------------------ episodes and settings

    def load(self, name: str, reset_settings: bool = True) -> None:
        """A new episode, on the same map where none is named. Nothing has changed where it cannot be loaded.

        Until it ticks only new subscribers get its snapshot: a client whose old subscription tells it of the new episode
        while it takes up the new one ends its TrafficManager in two threads, and crashes.
        """
        town = self.atlas.load(name) if name else self.episode.town
        old = self.episode
        self.recorder.stop()
        self.replayer.stop(keep_actors=True)
        self.sensors.clear()
        old.end()
        self.tombstones = dict(list((self.tombstones | old.actors.dead).items())[-DEAD_KEPT:])
        if reset_settings:
            self.settings = Settings()
        self.ackermann.clear()
        self.episode = Episode(old.number + 1, town, old.actors.next_id, old.frame + 1)
        self._wet()
        self.sensors.set_weather()
        del old
        memory.hand_back()
        log.info("episode %d: %s", self.episode.number, town.name)

    def apply(self, settings: list[Any]) -> None:
        self.settings = Settings.checked(settings)

    def set_weather(self, weather: list[float]) -> None:
        self.weather = weather
        self._wet()
        self.sensors.set_weather()

    def _wet(self) -> None:
        """A wet road has less grip."""
        self.world.state.numpy("friction")[0] = 1.0 - WET_GRIP * weather_of(self.weather).wet

    # ------------------------------------------------ actors

    def spawn(
        self, description: list[Any], pose: Pose, parent: int = 0, attachment: int = 0, owner: Any = None
    ) -> Actor:
        """See `Episode.spawn`; sensors get their stream."""
        actor = self.episode.spawn(description, pose, parent, attachment, owner)
        if owner is not None:
            owner.actors.add(actor.id)
        if actor.is_sensor:
            self.sensors.add(actor)
        self.recorder.spawned(actor)
        return actor

    def destroy(self, id_: int) -> bool:
        for child in list(self.episode.actors.children.get(id_, ())):
            self.destroy(child.id)
        if not self.episode.destroy(id_):
            return False
        self.sensors.remove(id_)
        self.ackermann.pop(id_, None)
        self.recorder.destroyed(id_)
        return True

    def left(self, caller: Any, tidy: bool) -> None:
        """A client is gone: its TrafficManagers with it, and its ticks; with `tidy` also its actors."""
        self.managers.left(caller)
        self.waiting = deque(item for item in self.waiting if item[0] is not caller)
        if tidy:
            for id_ in sorted(caller.actors & self.episode.actors.alive.keys()):
                self.destroy(id_)

    # ------------------------------------------------ ticks

    def ask_tick(self, caller: Any, number: int) -> None:
        self.waiting.append((caller, number))

    def answer_tick(self) -> None:
        """Tick for the first of those who have asked, once nobody is about to subscribe."""
        if self.waiting and not self.streams.awaited():
            caller, number = self.waiting.popleft()
            fault = self.try_tick()
            self.managers.ticked()
            if caller.sock.fileno() >= 0:
                caller.reply(number, failed(fault, void=False) if fault else ok(self.episode.frame))

    def try_tick(self) -> str:
        """Tick; whatever goes wrong is logged and returned, and the server goes on."""
        try:
            self.tick()
        except Exception as error:  # a fault of ours
            log.exception("tick %d", self.episode.frame)
            return f"tick: {type(error).__name__}: {error}"
        return ""

    def tick(self) -> None:
        """One tick: the world goes on, then the snapshot and what the sensors saw go out."""
        episode, dt = self.episode, self.settings.step_s
        for id_, control in self.ackermann.items():
            physics.drive_ackermann(episode.actors.alive[id_], episode, control)
        self.replayer.before_tick(dt)
        episode.tick(dt)
        self.streams.publish(WORLD, self.snapshot())
        self._flags = 0
        self.sensors.after_tick()
        self.recorder.after_tick()
