"""Calls that move actors by hand: places, velocities, impulses, forces, physics switches; and batches of commands."""

from __future__ import annotations

import logging
import reprlib
from collections.abc import Callable
from typing import Any

import numpy as np

from sim.carla import convert
from sim.carla.server.methods import METHODS, answers
from sim.carla.server.methods.actors import alive
from sim.carla.server.values import FASTEST_MPS, number, numbers, place, pose, vector
from sim.carla.server.wire import Failed

log = logging.getLogger(__name__)


def body(game: Any, id_: int) -> int:
    """Row of an actor that has a body; raises Failed for any other."""
    actor = alive(game, id_)
    if actor.row < 0:
        raise Failed(f"actor {id_} ({actor.type_id}) has no body")
    return actor.row


@answers("set_actor_transform", "quiet")
def set_actor_transform(game: Any, caller: Any, id_: int, transform: list[Any]) -> None:
    game.episode.move(alive(game, id_), pose(transform))


@answers("set_actor_location", "quiet")
def set_actor_location(game: Any, caller: Any, id_: int, location: list[float]) -> None:
    actor = alive(game, id_)
    turn = convert.transform(convert.pose_of(game.episode.matrix(actor)))[1]
    game.episode.move(actor, pose([location, turn]))


@answers("set_actor_target_velocity", "quiet")
def set_target_velocity(game: Any, caller: Any, id_: int, velocity: list[float]) -> None:
    game.world.set_velocity(body(game, id_), vector(velocity, "velocity", FASTEST_MPS))


@answers("set_actor_target_angular_velocity", "quiet")
def set_target_angular_velocity(game: Any, caller: Any, id_: int, rate: list[float]) -> None:
    game.world.set_turn_rate(body(game, id_), convert.rate_rad(numbers(rate, "angular velocity", 3)))


@answers("enable_actor_constant_velocity", "quiet")
def enable_constant_velocity(game: Any, caller: Any, id_: int, velocity: list[float]) -> None:
    game.world.keep_velocity(body(game, id_), vector(velocity, "velocity", FASTEST_MPS))


@answers("disable_actor_constant_velocity", "quiet")
def disable_constant_velocity(game: Any, caller: Any, id_: int) -> None:
    game.world.keep_velocity(body(game, id_), None)


@answers("add_actor_impulse", "quiet")
def add_impulse(game: Any, caller: Any, id_: int, impulse: list[float]) -> None:
    game.world.push(body(game, id_), vector(impulse, "impulse"))


@answers("add_actor_impulse_at_location", "quiet")
def add_impulse_at(game: Any, caller: Any, id_: int, impulse: list[float], at: list[float]) -> None:
    game.world.push(body(game, id_), vector(impulse, "impulse"), place(at))


@answers("add_actor_force", "quiet")
def add_force(game: Any, caller: Any, id_: int, force: list[float]) -> None:
    game.world.force(body(game, id_), vector(force, "force"))


@answers("add_actor_force_at_location", "quiet")
def add_force_at(game: Any, caller: Any, id_: int, force: list[float], at: list[float]) -> None:
    game.world.force(body(game, id_), vector(force, "force"), place(at))


@answers("add_actor_angular_impulse", "quiet")
def add_angular_impulse(game: Any, caller: Any, id_: int, impulse: list[float]) -> None:
    game.world.twist(body(game, id_), convert.rate(numbers(impulse, "impulse", 3)))


@answers("add_actor_torque", "quiet")
def add_torque(game: Any, caller: Any, id_: int, torque: list[float]) -> None:
    game.world.torque(body(game, id_), convert.rate(numbers(torque, "torque", 3)))


@answers("set_actor_simulate_physics", "void")
def set_simulate_physics(game: Any, caller: Any, id_: int, on: bool) -> None:
    actor = game.episode.actors.alive.get(int(id_))
    if actor is not None and actor.row >= 0:
        game.world.simulate(actor.row, bool(on))


@answers("set_actor_collisions", "void")
def set_collisions(game: Any, caller: Any, id_: int, on: bool) -> None:
    actor = game.episode.actors.alive.get(int(id_))
    if actor is not None and actor.row >= 0:
        game.world.solid(actor.row, bool(on))


@answers("set_actor_enable_gravity", "quiet")
def set_gravity(game: Any, caller: Any, id_: int, on: bool) -> None:
    game.world.gravity(body(game, id_), bool(on))


@answers("set_actor_dead", "quiet")
def set_dead(game: Any, caller: Any, id_: int) -> None:
    """The actor stays, as in CARLA, but nothing drives it any more."""
    actor = alive(game, id_)
    game.episode.actors.records["state"][actor.at] = 3


@answers("set_actor_autopilot", "quiet")
def set_autopilot(game: Any, caller: Any, id_: int, on: bool) -> None:
    """The client's TrafficManager drives; a server has nothing to do."""


@answers("apply_control_to_walker", "quiet")
def apply_walker_control(game: Any, caller: Any, id_: int, control: list[Any]) -> None:
    direction, speed, jump = control
    actor = alive(game, id_)
    if not actor.is_walker:
        raise Failed(f"actor {id_} is no walker")
    way, fast = numbers(direction, "direction", 3), number(speed, "speed", -FASTEST_MPS, FASTEST_MPS)
    game.world.walk(actor.row, convert.location(way), fast, bool(jump))
    record = game.episode.actors.records
    record["direction"][actor.at], record["speed"][actor.at], record["jump"][actor.at] = way, fast, bool(jump)


@answers("apply_walker_state", "quiet")
def apply_walker_state(game: Any, caller: Any, id_: int, transform: list[Any], speed: float) -> None:
    """Where the client's navigation has its walker stand, at the height of its feet, and how fast it goes."""
    actor = alive(game, id_)
    if not actor.is_walker:
        raise Failed(f"actor {id_} is no walker")
    at, fast = pose(transform), number(speed, "speed", -FASTEST_MPS, FASTEST_MPS)
    game.world.lead(actor.row, at, fast)
    game.episode.actors.records["speed"][actor.at] = fast


def spawn_command(game: Any, caller: Any, body_: list[Any]) -> int:
    """SpawnActor with what is to be done afterwards, in which actor 0 stands for the new one."""
    description, transform, parent, attachment, _, after = body_
    parent_id = int(parent[1]) if parent and parent[0] else 0
    actor = game.spawn(description, pose(transform), parent_id, int(attachment), caller)
    for command in after:
        index, inner = command[0] if isinstance(command[0], list) else command
        inner = list(inner)
        if index == 0 and inner[2] and inner[2][0] and int(inner[2][1]) == 0:
            inner[2] = [True, actor.id]
        elif index != 0 and int(inner[0]) == 0:
            inner[0] = actor.id
        run(game, caller, [[index, inner]])
    return int(actor.id)


def _call(name: str) -> Callable[..., Any]:
    def command(game: Any, caller: Any, body_: list[Any]) -> int:
        METHODS[name].function(game, caller, *body_)
        return int(body_[0])

    return command


def destroy_command(game: Any, caller: Any, body_: list[Any]) -> int:
    if not game.destroy(int(body_[0])):
        raise Failed(f"unable to destroy actor {body_[0]}: not found")
    return int(body_[0])


def light_command(game: Any, caller: Any, body_: list[Any]) -> int:
    METHODS["set_vehicle_light_state"].function(game, caller, body_[0], [body_[1]])
    return int(body_[0])


COMMANDS: dict[int, Callable[..., Any]] = {
    0: spawn_command, 1: destroy_command, 2: _call("apply_control_to_vehicle"),
    3: _call("apply_ackermann_control_to_vehicle"), 4: _call("apply_control_to_walker"),
    5: _call("apply_physics_control"), 6: _call("set_actor_transform"), 7: _call("apply_walker_state"),
    8: _call("set_actor_target_velocity"), 9: _call("set_actor_target_angular_velocity"),
    10: _call("add_actor_impulse"), 11: _call("add_actor_force"), 12: _call("add_actor_angular_impulse"),
    13: _call("add_actor_torque"), 14: _call("set_actor_simulate_physics"), 15: _call("set_actor_enable_gravity"),
    16: _call("set_actor_autopilot"), 17: _call("show_vehicle_debug_telemetry"), 18: light_command,
    19: _call("set_actor_location"), 20: lambda game, caller, body_: 0, 21: _call("set_traffic_light_state"),
}  # fmt: skip


def run(game: Any, caller: Any, command: Any) -> list[Any]:
    """Carry out one command [[index, body]]: [[1, actor]] or [[0, [message]]]."""
    index = None
    try:
        ((index, body_),) = command
        carry_out = COMMANDS.get(int(index))
        if carry_out is None:
            raise Failed(f"unknown command {index}")
        return [[1, carry_out(game, caller, body_)]]
    except Failed as error:
        return [[0, [str(error)]]]
    except Exception as error:  # whatever is wrong with it, the others of its batch are carried out
        log.info("client %s: command %s", caller.peer, reprlib.repr(index), exc_info=True)
        return [[0, [f"command {reprlib.repr(index)}: bad arguments ({error})"]]]


@answers("apply_batch", "plain")
def apply_batch(game: Any, caller: Any, commands: list[Any], do_tick: bool = False) -> list[Any]:
    out, places = [], Places(game)
    for command in commands:
        done = places.take(command)
        if not done:
            places.put()
            done = run(game, caller, command)
        out.append(done)
    places.put()
    if do_tick:
        game.tick()
    return out


class Places:
    """ApplyTransforms that follow one another, carried out together: one by one they cost ten times as much."""

    def __init__(self, game: Any) -> None:
        self._game = game
        self._rows: list[int] = []
        self._poses: list[tuple[float, ...]] = []

    def take(self, command: Any) -> list[Any] | None:
        """The reply to a command that moves a body, which then waits for `put`; None for any other, and for a wrong one."""
        try:
            ((index, (id_, transform)),) = command
            actor = self._game.episode.actors.alive[id_] if index == 6 else None
            if actor is None or actor.row < 0 or actor.row in self._rows:
                return None
            p = pose(transform)
        except (Failed, TypeError, ValueError, KeyError):
            return None
        self._rows.append(actor.row)
        self._poses.append((p.x_m, p.y_m, p.z_m - actor.lift_m, p.yaw_rad, p.pitch_rad, p.roll_rad))
        return [[1, id_]]

    def put(self) -> None:
        """Move all that wait."""
        if self._rows:
            values = np.array(self._poses)
            self._game.world.place_many(self._rows, values[:, :3], *values[:, 3:].T)
            self._rows, self._poses = [], []
