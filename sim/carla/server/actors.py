"""The actors of an episode and their records in the world snapshot.

Numbers of actors are never used twice while the server lives: programs destroy old actors by number in the next
episode. The dead are remembered, since a TrafficManager that asks about one and is told of an error ends its process.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sim.carla.catalogue import Blueprint
from sim.carla.server.wire import RECORD, Light
from stack.frames import F64

DEAD_KEPT = 2_000  # the last ones; a dead vehicle takes 7 KB


@dataclass(eq=False)
class Actor:
    """What a client can hold in its hands. `row` is its row in the open world, -1 for what has no body there."""

    id: int
    type_id: str
    attributes: list[list[Any]]  # [id, type, value] as spawned
    bbox: list[Any]  # [location, extent, rotation, actor id], CARLA's frame
    tags: bytes = b""
    uid: int = 0
    parent: int = 0
    row: int = -1
    stream: int = 0
    blueprint: Blueprint | None = None
    values: dict[str, Any] = field(default_factory=dict)  # typed attributes
    lift_m: float = 0.0  # from the ground to the actor's origin
    place: F64 | None = None  # parent_from_actor of what is attached, world_from_actor of what has no body
    level: bool = False  # on a spring arm: does not pitch and roll with its parent
    lamp: int = -1  # index of a traffic light
    owner: Any = None  # connection that spawned it
    state: dict[str, Any] = field(default_factory=dict)  # what was set and can be asked for: physics, lights, ...
    at: int = -1  # in the records

    @property
    def is_vehicle(self) -> bool:
        return self.type_id.startswith("vehicle.")

    @property
    def is_walker(self) -> bool:
        return self.type_id.startswith("walker.")

    @property
    def is_sensor(self) -> bool:
        return self.type_id.startswith("sensor.")


class Registry:
    """Actors by number, and their snapshot records, one behind the other in the order of their numbers."""

    def __init__(self, first_id: int = 1) -> None:
        self._next = first_id
        self.alive: dict[int, Actor] = {}
        self.dead: dict[int, Actor] = {}
        self.by_row: dict[int, Actor] = {}
        self._buffer = np.zeros(256, RECORD)
        self._order: list[Actor] = []
        self._stale = True
        self.children: dict[int, list[Actor]] = {}

    def __iter__(self) -> Iterator[Actor]:
        return iter(self._order)

    def __len__(self) -> int:
        return len(self._order)

    @property
    def records(self) -> Any:
        """(N,) RECORD, a view."""
        return self._buffer[: len(self._order)]

    def new_id(self) -> int:
        self._next += 1
        return self._next - 1

    @property
    def next_id(self) -> int:
        return self._next

    def add(self, actor: Actor) -> None:
        if len(self._order) == len(self._buffer):
            grown = np.zeros(2 * len(self._buffer), RECORD)  # by hand: concatenate would lay out the union anew
            grown[: len(self._buffer)] = self._buffer
            self._buffer = grown
        actor.at = len(self._order)
        self._order.append(actor)
        record = self._buffer[actor.at : actor.at + 1]
        record.view(np.uint8)[:] = 0
        record["id"], record["state"] = actor.id, 1
        if actor.is_vehicle:
            record["gear"], record["light_state"] = 1, Light.GREEN
        self.alive[actor.id] = actor
        if actor.row >= 0:
            self.by_row[actor.row] = actor
        if actor.parent:
            self.children.setdefault(actor.parent, []).append(actor)
        self._stale = True

    def remove(self, actor: Actor) -> None:
        del self.alive[actor.id]
        n = len(self._order)
        self._buffer[actor.at : n - 1] = self._buffer[actor.at + 1 : n].copy()
        self._order.pop(actor.at)
        for later in self._order[actor.at :]:
            later.at -= 1
        self.dead[actor.id] = actor
        if len(self.dead) > DEAD_KEPT:
            del self.dead[next(iter(self.dead))]
        if actor.row >= 0 and self.by_row.get(actor.row) is actor:
            del self.by_row[actor.row]
        if actor.parent in self.children:
            self.children[actor.parent].remove(actor)
        self.children.pop(actor.id, None)
        self._stale = True

    def clear(self) -> None:
        """Everybody is gone; numbers go on."""
        for actor in list(self._order):
            self.dead[actor.id] = actor
        self.alive, self.by_row, self.children = {}, {}, {}
        self._order, self._stale = [], True

    def changed(self) -> None:
        """Where something stands in the records, or what is fixed to whom, is another."""
        self._stale = True

    def known(self, id_: int) -> Actor | None:
        """Alive or remembered."""
        return self.alive.get(id_) or self.dead.get(id_)

    def groups(self) -> Groups:
        """Who is where in the records."""
        if self._stale:
            self._groups, self._stale = Groups(self._order, self.alive), False
        return self._groups


class Groups:
    """Indices into the records by how an actor's place is found."""

    def __init__(self, order: list[Actor], alive: dict[int, Actor]) -> None:
        bodies = [a for a in order if a.row >= 0]
        self.body_at = np.array([a.at for a in bodies], np.int64)
        self.body_row = np.array([a.row for a in bodies], np.int64)
        self.lift_m = np.array([a.lift_m for a in bodies], np.float32)
        self.vehicles = [a for a in bodies if a.is_vehicle]
        self.vehicle_at = np.array([a.at for a in self.vehicles], np.int64)
        self.vehicle_row = np.array([a.row for a in self.vehicles], np.int64)
        attached = [a for a in order if a.row < 0 and a.parent in alive]
        riders = [a for a in attached if alive[a.parent].row >= 0 and not a.level]  # fixed to a body
        carriers = [alive[a.parent] for a in riders]
        self.rider_at = np.array([a.at for a in riders], np.int64)
        self.rider_place = np.array([a.place for a in riders], float).reshape(-1, 4, 4)
        self.rider_row = np.array([a.row for a in carriers], np.int64)
        self.rider_lift_m = np.array([a.lift_m for a in carriers], float)
        self.carrier_at = np.array([a.at for a in carriers], np.int64)
        self.others = [a for a in attached if a.level or alive[a.parent].row < 0]
        lamps = [a for a in order if a.lamp >= 0]
        self.lamp_at = np.array([a.at for a in lamps], np.int64)
        self.lamp_index = np.array([a.lamp for a in lamps], np.int64)
        self.actor_of_lamp = np.zeros(len(lamps), np.int64)
        self.actor_of_lamp[self.lamp_index] = [a.id for a in lamps]
