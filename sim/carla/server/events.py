"""Sensors that report events: collisions, and obstacles ahead."""

from __future__ import annotations

from typing import Any

import msgpack
import numpy as np

from sim.carla import convert
from sim.carla.server.actors import Actor
from sim.carla.server.methods.actors import wire_actor
from sim.carla.server.wire import Stream
from stack.frames import F64, inverse
from stack.labels import Semantic

STREAMS = {"sensor.other.collision": int(Stream.COLLISION), "sensor.other.obstacle": int(Stream.OBSTACLE)}
NEAR_M = 3.0  # a touched part of the scenery is looked for so far from the point of contact
NO_BOX: list[Any] = [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0], 0]


def of(game: Any, actor: Actor) -> list[bytes] | None:
    """Bodies of an event sensor's messages of this tick; None for any other sensor."""
    if actor.type_id == "sensor.other.collision":
        return collisions(game, actor)
    if actor.type_id == "sensor.other.obstacle":
        return obstacles(game, actor)
    return None


def collisions(game: Any, sensor: Actor) -> list[bytes]:
    """[self, other, impulse] for each body that the sensor's parent touched."""
    actors = game.episode.actors
    parent = actors.alive.get(sensor.parent)
    if parent is None or parent.row < 0:
        return []
    out = []
    for contact in game.episode.contacts_of(parent.row):
        other = actors.by_row.get(contact.other)
        seen = wire_actor(game, other) if other is not None else scenery(game, contact.point_m)
        out.append(msgpack.packb([wire_actor(game, parent), seen, convert.location(contact.impulse_ns)]))
    return out


def scenery(game: Any, point_m: F64) -> list[Any]:
    """What stands at a point of the map, as an actor without a number."""
    places, reach = game.episode.town.object_reach
    away = np.hypot(*(places - point_m[:2]).T) - reach
    nearest = int(np.argmin(away)) if len(away) else -1
    near = nearest >= 0 and away[nearest] < NEAR_M
    label = Semantic(game.episode.town.objects[nearest].label) if near else Semantic.STATIC
    return [0, 0, [0, f"static.{label.name.lower().replace('_', '')}", []], NO_BOX, bytes([int(label)]), b""]


def obstacles(game: Any, sensor: Actor) -> list[bytes]:
    """[self, other, distance] of what is first in the sensor's way: a tube of `hit_radius` round its axis."""
    actors = game.episode.actors
    parent = actors.alive.get(sensor.parent)
    place = game.episode.matrix(sensor)
    reach, radius = float(sensor.values["distance"]), float(sensor.values["hit_radius"])
    start, end = place[:3, 3], place[:3, 3] + reach * place[:3, 0]
    best, other = reach, None
    motion = game.world.motion()
    for row, actor in actors.by_row.items():
        if parent is not None and row == parent.row:
            continue
        if np.hypot(*(motion.xyz_m[row, :2] - start[:2])) > reach + 15.0:
            continue
        distance = _enters(game.episode.matrix(actor, motion), actor, start, end, radius)
        if distance is not None and distance < best:
            best, other = distance, wire_actor(game, actor)
    if not sensor.values["only_dynamics"]:
        hits = game.world.cast(start, end, actors=False)
        if hits and float(np.linalg.norm(hits[0][0] - start)) < best:
            best, other = float(np.linalg.norm(hits[0][0] - start)), scenery(game, hits[0][0])
    if other is None:
        return []
    own = wire_actor(game, parent if parent is not None else sensor)
    return [msgpack.packb([own, other, best])]


def _enters(world_from_actor: F64, actor: Actor, start: F64, end: F64, radius: float) -> float | None:
    """Distance at which a tube enters an actor's box."""
    local = inverse(world_from_actor)
    a, b = (local @ np.array([*p, 1.0]) for p in (start, end))
    middle, half = np.array(convert.location(actor.bbox[0])), np.array(actor.bbox[1]) + radius
    way = b[:3] - a[:3]
    way = np.where(np.abs(way) < 1e-9, 1e-9, way)
    t0, t1 = (middle - half - a[:3]) / way, (middle + half - a[:3]) / way
    enter, leave = float(np.minimum(t0, t1).max()), float(np.maximum(t0, t1).min())
    if enter > leave or leave < 0.0 or enter > 1.0:
        return None
    return max(enter, 0.0) * float(np.linalg.norm(end - start))
