"""The sensors of an episode: when each is due, what it gives, and that it goes out with its tick's frame and time.

Pictures of one carrier come from one set of cameras; those from the same place, of the same size, from one pass.
Nothing is rendered for which nobody listens.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sim.carla.server import events
from sim.carla.server.actors import Actor
from sim.carla.server.instruments import CAMERAS, Instrument, camera_spec, carrier_of, instrument_of
from sim.carla.server.wire import HEADER
from sim.carla.sky import weather_of
from sim.instruments.cameras import CameraSet, PinholeSpec
from sim.instruments.places import pose
from sim.instruments.surroundings import Surroundings
from sim.sensors import scenery_mesh
from stack.frames import F64

log = logging.getLogger(__name__)
EARLY_S = 1e-6  # a sensor is due so much before its time
SILENT = ("sensor.other.lane_invasion", "sensor.other.rss")  # worked out by the client


@dataclass(eq=False)
class Sensor:
    """One sensor actor. `samples` counts what it has given or would have."""

    actor: Actor
    every_s: float
    next_s: float
    instrument: Instrument | None = None
    samples: int = 0
    mount: F64 | None = None

    @property
    def is_camera(self) -> bool:
        return self.actor.type_id in CAMERAS


@dataclass(eq=False)
class Group:
    """Cameras of one carrier that look at the same time."""

    members: list[Sensor] = field(default_factory=list)
    cameras: CameraSet | None = None
    index: list[int] = field(default_factory=list)  # of each member's picture


class Sensors:
    """All sensors of a game's episode."""

    def __init__(self, game: Any) -> None:
        self._game = game
        self._sensors: dict[int, Sensor] = {}
        self._groups: dict[tuple[Any, ...], Group] = {}
        self._around: dict[int, Surroundings] = {}  # by seed
        self._scenery: Any = None
        self._generation: Any = None

    def add(self, actor: Actor) -> None:
        """Give a new sensor actor its stream."""
        if actor.type_id in SILENT:
            return
        actor.stream = self._game.streams.new()
        every = float(actor.values.get("sensor_tick", 0.0))
        self._sensors[actor.id] = Sensor(actor, every, self._game.episode.seconds, mount=actor.place)

    def remove(self, id_: int) -> None:
        """A sensor actor is gone; its stream stays, and is silent."""
        if self._sensors.pop(id_, None) is not None:
            self._groups.clear()

    def clear(self) -> None:
        """The episode is over."""
        self._sensors.clear()
        self._groups.clear()
        self._around.clear()
        self._scenery, self._generation = None, None

    def set_weather(self) -> None:
        """The game's weather has changed."""
        for around in self._around.values():
            around.weather = weather_of(self._game.weather)

    # ------------------------------------------------ a tick

    def after_tick(self) -> None:
        """What every sensor that is due and heard saw of the tick."""
        game = self._game
        if not self._sensors:
            return
        now, due = game.episode.seconds, []
        for sensor in self._sensors.values():
            if now + EARLY_S < sensor.next_s + sensor.every_s and sensor.samples:
                continue
            sensor.next_s = now if not sensor.samples else max(sensor.next_s + sensor.every_s, now - sensor.every_s)
            sensor.samples += 1
            if game.streams.listened(sensor.actor.stream):
                due.append(sensor)
        if not due:
            return
        renders = game.settings.renders
        pictures = [s for s in due if s.is_camera and renders]
        if pictures or any(_sees(s) for s in due):
            self._place()
        for sensor in due:
            if not sensor.is_camera:
                self._try(self._read, sensor, [sensor])
        if pictures:
            self._look(pictures)

    def _try(self, give: Any, what: Any, sensors: list[Sensor]) -> None:
        """A sensor that cannot give what it should is given up; the tick goes on."""
        try:
            give(what)
        except Exception as error:
            for sensor in sensors:
                a = sensor.actor
                log.warning("actor %d (%s) gives nothing any more: %s", a.id, a.type_id, error, exc_info=error)
                self.remove(a.id)

    def _place(self) -> None:
        """Put everybody where pictures and ranges show them, anew after the world has grown."""
        world = self._game.world
        if self._generation != (id(world), world.generation):
            self._generation = id(world), world.generation
            self._groups.clear()
            self._around.clear()
            self._scenery = scenery_mesh(world.geometry)
            self._game.episode.town.draw_hidden()
            for sensor in self._sensors.values():
                if sensor.instrument is not None and _sees(sensor):
                    sensor.instrument = None
        world.geometry.update(world.state, 0, viewer=-1)

    def _read(self, sensor: Sensor) -> None:
        game, actor = self._game, sensor.actor
        found = events.of(game, actor)
        if found is not None:
            for body in found:
                self._publish(actor, events.STREAMS[actor.type_id], body)
            return
        if sensor.instrument is None or sensor.mount is not actor.place:
            sensor.mount = actor.place
            sensor.instrument = instrument_of(game, actor, self._scenery, sensor.instrument)
        if sensor.instrument is not None:
            body = sensor.instrument.read(game, sensor.samples - 1)
            self._publish(actor, sensor.instrument.stream, *body)

    # ------------------------------------------------ pictures

    def _look(self, due: list[Sensor]) -> None:
        together: dict[tuple[Any, ...], list[Sensor]] = {}
        for sensor in due:
            a = sensor.actor
            carrier = self._carrier(a)
            key = (carrier if carrier is not None else -a.id, int(a.values.get("noise_seed", 0)), sensor.samples)
            together.setdefault(key, []).append(sensor)
        for (carrier, seed, _), members in together.items():
            at = carrier if carrier >= 0 else None
            self._try(lambda members, at=at, seed=seed: self._shoot(at, seed, members), members, members)

    def _carrier(self, actor: Actor) -> int | None:
        """Row of the body that carries a sensor."""
        parent = self._game.episode.actors.alive.get(actor.parent)
        return parent.row if parent is not None and parent.row >= 0 and not actor.level else None

    def _shoot(self, carrier: int | None, seed: int, members: list[Sensor]) -> None:
        game = self._game
        free = carrier is None
        key = (carrier, seed, *((s.actor.id, id(s.actor.place)) for s in members))
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = self._group(carrier, seed, members)
        assert group.cameras is not None
        if free:
            world_from_carrier = game.episode.matrix(members[0].actor)
        else:
            world_from_carrier = pose(game.world.state, carrier)
        shots = group.cameras.render(world_from_carrier, members[0].samples - 1)
        ids = self.actor_of_row()
        for sensor, k in zip(members, group.index, strict=True):
            stream, make = CAMERAS[sensor.actor.type_id]
            body = make(shots[k], sensor.actor, ids, game.episode, sensor.samples - 1)
            self._publish(sensor.actor, stream, *body)

    def _group(self, carrier: int | None, seed: int, members: list[Sensor]) -> Group:
        specs: dict[tuple[Any, ...], PinholeSpec] = {}
        order: list[tuple[Any, ...]] = []
        for sensor in members:
            mount = np.eye(4) if carrier is None else carrier_of(self._game, sensor.actor)[1]
            spec = camera_spec(sensor.actor, mount)
            at = (spec.width_px, spec.height_px, spec.hfov_rad, mount.tobytes(), spec.grain)
            if at in specs:
                spec = PinholeSpec(*at[:3], mount, specs[at].want | spec.want, spec.grain)
            specs[at] = spec
            order.append(at)
        around = self._around.get(seed)
        if around is None:
            world = self._game.world
            around = Surroundings(world.geometry, world.scenery, weather_of(self._game.weather), seed)
            self._around[seed] = around
        places = list(specs)
        cameras = CameraSet(around, list(specs.values()), carrier)
        return Group(members, cameras, [places.index(at) for at in order])

    def actor_of_row(self) -> Any:
        """Actor number of each geometry instance: row + 1."""
        world = self._game.world
        out = np.zeros(world.state.actors + 1, np.uint32)
        for row, actor in self._game.episode.actors.by_row.items():
            out[row + 1] = actor.id
        return out

    # ------------------------------------------------

    def _publish(self, actor: Actor, stream: int, *body: Any) -> None:
        episode = self._game.episode
        r = episode.actors.records[actor.at]
        place = (r["x"], r["y"], r["z"], r["pitch"], r["yaw"], r["roll"])
        head = HEADER.pack(stream, episode.frame, episode.seconds, *place)
        self._game.streams.publish(actor.stream, head, *body)


def _sees(sensor: Sensor) -> bool:
    """Does it need everybody's faces?"""
    return sensor.actor.type_id.startswith(("sensor.lidar.", "sensor.other.radar"))
