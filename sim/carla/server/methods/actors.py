"""Calls about actors as such: blueprints, spawning, destroying, places, bodies, bones."""

from __future__ import annotations

from typing import Any

from sim.carla import convert
from sim.carla.catalogue import catalogue, wire
from sim.carla.server.actors import Actor
from sim.carla.server.methods import answers
from sim.carla.server.values import pose
from sim.carla.server.wire import Failed

_definitions: list[Any] = []
BONES = ("crl_root", "crl_hips__C", "crl_spine__C", "crl_neck__C", "crl_Head__C")
BONE_HEIGHTS = (0.0, 0.53, 0.65, 0.84, 0.90)  # of a walker's height


def alive(game: Any, id_: int) -> Actor:
    """The actor; raises Failed where it is not there (any more)."""
    actor = game.episode.actors.alive.get(int(id_))
    if actor is None:
        raise Failed(f"unable to find actor {id_}")
    found: Actor = actor
    return found


def known(game: Any, id_: int) -> Actor:
    """The actor, or what is remembered of a dead one: a TrafficManager that is told of an error ends its process."""
    actor = game.episode.actors.known(int(id_)) or game.tombstones.get(int(id_))
    if actor is None:
        raise Failed(f"unable to find actor {id_}")
    found: Actor = actor
    return found


def wire_actor(game: Any, actor: Actor) -> list[Any]:
    """[id, parent, [uid, id, attributes], box, tags, token]."""
    token = game.token(actor.stream) if actor.stream else b""
    return [actor.id, actor.parent, [actor.uid, actor.type_id, actor.attributes], actor.bbox, actor.tags, token]


@answers("get_actor_definitions")
def get_actor_definitions(game: Any, caller: Any) -> list[Any]:
    if not _definitions:
        _definitions.extend(wire(bp) for bp in catalogue())
    return _definitions


@answers("get_spectator")
def get_spectator(game: Any, caller: Any) -> list[Any]:
    return wire_actor(game, game.episode.spectator)


@answers("get_actors_by_id")
def get_actors_by_id(game: Any, caller: Any, ids: list[int]) -> list[Any]:
    actors = game.episode.actors.alive
    return [wire_actor(game, actors[i]) for i in ids if i in actors]


@answers("spawn_actor")
def spawn_actor(game: Any, caller: Any, description: list[Any], transform: list[Any]) -> list[Any]:
    return wire_actor(game, game.spawn(description, pose(transform), owner=caller))


@answers("spawn_actor_with_parent")
def spawn_actor_with_parent(
    game: Any,
    caller: Any,
    description: list[Any],
    transform: list[Any],
    parent: int,
    attachment: int = 0,
    bone: str = "",
) -> list[Any]:
    if not parent:
        raise Failed(f"unable to attach actor: parent {parent} not found")
    return wire_actor(game, game.spawn(description, pose(transform), int(parent), int(attachment), caller))


@answers("destroy_actor")
def destroy_actor(game: Any, caller: Any, id_: int) -> bool:
    gone: bool = game.destroy(int(id_))
    return gone


@answers("get_actor_bounding_box")
def get_actor_bounding_box(game: Any, caller: Any, id_: int) -> list[Any]:
    return known(game, id_).bbox


@answers("get_actor_component_names")
def component_names(game: Any, caller: Any, id_: int) -> list[str]:
    return [known(game, id_).type_id.rsplit(".", 1)[-1]]


@answers("get_actor_component_world_transform")
def component_world(game: Any, caller: Any, id_: int, name: str) -> list[Any]:
    return world_transform(game, known(game, id_))


@answers("get_actor_component_relative_transform")
def component_relative(game: Any, caller: Any, id_: int, name: str) -> list[Any]:
    known(game, id_)
    return [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]


def world_transform(game: Any, actor: Actor) -> list[Any]:
    """Where an actor is, or was last."""
    matrix = game.episode.matrix(actor) if actor.id in game.episode.actors.alive else actor.place
    return convert.transform(convert.pose_of(matrix))


def bones(game: Any, actor: Actor, in_world: bool) -> list[Any]:
    """Transforms of a walker's few bones, one above the other; a vehicle's root alone."""
    height = 2.0 * actor.bbox[1][2]
    heights = [height * share - actor.lift_m for share in BONE_HEIGHTS] if actor.is_walker else [0.0]
    base = world_transform(game, actor) if in_world else [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    (x, y, z), turn = base
    return [[[x, y, z + up], turn] for up in heights]


@answers("get_actor_bone_names")
def bone_names(game: Any, caller: Any, id_: int) -> list[str]:
    return list(BONES) if known(game, id_).is_walker else ["root"]


@answers("get_actor_socket_names")
def socket_names(game: Any, caller: Any, id_: int) -> list[str]:
    known(game, id_)
    return []


def no_sockets(game: Any, caller: Any, id_: int) -> list[Any]:
    known(game, id_)
    return []


for _name in ("get_actor_bone_world_transforms", "get_vehicle_bone_world_transforms"):
    answers(_name)(lambda game, caller, id_: bones(game, known(game, id_), True))
answers("get_actor_bone_relative_transforms")(lambda game, caller, id_: bones(game, known(game, id_), False))
for _name in ("get_actor_socket_world_transforms", "get_actor_socket_relative_transforms"):
    answers(_name)(no_sockets)


@answers("get_bones_transform")
def get_bones_transform(game: Any, caller: Any, id_: int) -> list[Any]:
    walker = known(game, id_)
    world, local = bones(game, walker, True), bones(game, walker, False)
    return [[[name, w, c, c] for name, w, c in zip(BONES, world, local, strict=False)]]


for _name in ("set_bones_transform", "blend_pose"):
    answers(_name, "quiet")(lambda game, caller, id_, value: None)
answers("get_pose_from_animation", "quiet")(lambda game, caller, id_: None)
