"""Calls about vehicles: controls, physics, lights, doors, wheels, telemetry."""

from __future__ import annotations

from typing import Any

from sim.carla import convert
from sim.carla.server import physics
from sim.carla.server.actors import Actor
from sim.carla.server.methods import answers
from sim.carla.server.methods.actors import alive, known
from sim.carla.server.values import U32, numbers, whole
from sim.carla.server.wire import CONTROL, Failed

ALL_DOORS = 6
ACKERMANN_GAINS = [0.15, 0.0, 0.25, 0.01, 0.0, 0.01]


def vehicle(game: Any, id_: int) -> Actor:
    """A vehicle that is alive; raises Failed for anything else."""
    return _checked(alive(game, id_))


def seen_vehicle(game: Any, id_: int) -> Actor:
    """A vehicle, alive or remembered; raises Failed for anything else."""
    return _checked(known(game, id_))


def _checked(actor: Actor) -> Actor:
    if not actor.is_vehicle:
        raise Failed(f"actor {actor.id} ({actor.type_id}) is no vehicle")
    return actor


@answers("apply_control_to_vehicle", "quiet")
def apply_control(game: Any, caller: Any, id_: int, control: list[Any]) -> None:
    throttle, steer, brake = numbers(control[:3], "control", 3)
    hand_brake, reverse, manual = (bool(v) for v in control[3:6])
    gear = min(max(int(control[6]), -1), physics.TOP_GEAR)
    actor = vehicle(game, id_)
    game.ackermann.pop(actor.id, None)
    backwards = reverse or (manual and gear < 0)
    push = 0.0 if manual and gear == 0 else throttle
    game.world.drive(actor.row, push, brake, convert.steer(steer), hand_brake, backwards)
    note(game, actor, [throttle, steer, brake, hand_brake, backwards, manual, gear])


def note(game: Any, actor: Actor, control: list[Any]) -> None:
    """What the snapshots say about a vehicle's control from now on."""
    game.episode.actors.records.view(CONTROL)[actor.at] = tuple(control)
    actor.state["gear"] = int(control[6]) if control[5] else (-1 if control[4] else None)


@answers("apply_ackermann_control_to_vehicle", "quiet")
def apply_ackermann(game: Any, caller: Any, id_: int, control: list[float]) -> None:
    game.ackermann[vehicle(game, id_).id] = numbers(control, "Ackermann control", 5)


@answers("get_ackermann_controller_settings")
def get_ackermann_settings(game: Any, caller: Any, id_: int) -> list[float]:
    gains: list[float] = known(game, id_).state.get("ackermann", ACKERMANN_GAINS)
    return gains


@answers("apply_ackermann_controller_settings", "quiet")
def apply_ackermann_settings(game: Any, caller: Any, id_: int, gains: list[float]) -> None:
    vehicle(game, id_).state["ackermann"] = numbers(gains, "Ackermann settings", 6)


@answers("get_physics_control")
def get_physics_control(game: Any, caller: Any, id_: int) -> list[Any]:
    return physics.control_of(seen_vehicle(game, id_), game.episode)


@answers("apply_physics_control", "quiet")
def apply_physics_control(game: Any, caller: Any, id_: int, control: list[Any]) -> None:
    physics.apply(vehicle(game, id_), game.episode, control)


@answers("get_telemetry_data")
def get_telemetry_data(game: Any, caller: Any, id_: int) -> list[Any]:
    return physics.telemetry(seen_vehicle(game, id_), game.episode)


@answers("show_vehicle_debug_telemetry", "quiet")
def show_debug_telemetry(game: Any, caller: Any, id_: int, on: bool) -> None:
    """There is no window to show it in; `get_telemetry_data` has the numbers."""


@answers("get_vehicle_light_state")
def get_vehicle_light_state(game: Any, caller: Any, id_: int) -> list[int]:
    return [known(game, id_).state.get("lights", 0)]


@answers("set_vehicle_light_state", "quiet")
def set_vehicle_light_state(game: Any, caller: Any, id_: int, flags: list[int]) -> None:
    vehicle(game, id_).state["lights"] = whole(flags[0], "lights", U32)


@answers("get_vehicle_light_states")
def get_vehicle_light_states(game: Any, caller: Any) -> list[list[int]]:
    return [[a.id, a.state.get("lights", 0)] for a in game.episode.actors.groups().vehicles]


@answers("open_vehicle_door", "quiet")
def open_vehicle_door(game: Any, caller: Any, id_: int, door: int) -> None:
    vehicle(game, id_).state.setdefault("doors", set()).add(whole(door, "door", ALL_DOORS))


@answers("close_vehicle_door", "quiet")
def close_vehicle_door(game: Any, caller: Any, id_: int, door: int) -> None:
    doors = vehicle(game, id_).state.setdefault("doors", set())
    doors.discard(int(door))
    if int(door) == ALL_DOORS:
        doors.clear()


@answers("set_wheel_steer_direction", "quiet")
def set_wheel_steer_direction(game: Any, caller: Any, id_: int, wheel: int, angle_deg: float) -> None:
    """Of the picture alone in CARLA, and our pictures' wheels do not turn."""
    vehicle(game, id_)


@answers("get_wheel_steer_angle")
def get_wheel_steer_angle(game: Any, caller: Any, id_: int, wheel: int) -> float:
    return physics.wheel_angle_deg(seen_vehicle(game, id_), game.episode) if int(wheel) < 2 else 0.0


@answers("set_wheel_pitch_angle", "quiet")
def set_wheel_pitch_angle(game: Any, caller: Any, id_: int, wheel: int, angle_deg: float) -> None:
    """As `set_wheel_steer_direction`."""
    vehicle(game, id_)


@answers("get_wheel_pitch_angle")
def get_wheel_pitch_angle(game: Any, caller: Any, id_: int, wheel: int) -> float:
    seen_vehicle(game, id_)
    return 0.0


for _name in ("enable_carsim", "use_carsim_road", "enable_chrono_physics", "restore_physx_physics"):
    answers(_name, "quiet")(lambda game, caller, id_, *rest: None)  # there is one kind of physics


@answers("is_sensor_enabled_for_ros")
def is_sensor_enabled_for_ros(game: Any, caller: Any, stream: int) -> bool:
    return False


for _name in ("enable_sensor_for_ros", "disable_sensor_for_ros"):
    answers(_name, "quiet")(lambda game, caller, stream: None)


@answers("set_ignored_vehicles", "void")
def set_ignored_vehicles(game: Any, caller: Any, id_: int, ids: list[int]) -> None:
    alive(game, id_).state["ignored"] = [int(i) for i in ids]
