"""What tests with the real client do again and again."""

from __future__ import annotations

import math
import queue
from collections.abc import Callable
from typing import Any

import carla

STEP_S = 0.05
WAIT_S = 10.0


def synchronous(world: carla.World, step_s: float = STEP_S) -> carla.World:
    """The world in synchronous mode with a fixed step."""
    settings = world.get_settings()
    settings.synchronous_mode, settings.fixed_delta_seconds = True, step_s
    world.apply_settings(settings)
    return world


def ticked(world: carla.World, count: int) -> None:
    for _ in range(count):
        world.tick()


def spawned(world: carla.World, id_: str, at: Any, parent: Any = None, **attributes: Any) -> Any:
    """An actor of a blueprint with attributes, at a transform or at a spawn point by number."""
    blueprint = world.get_blueprint_library().find(id_)
    for name, value in attributes.items():
        blueprint.set_attribute(name, str(value))
    place = world.get_map().get_spawn_points()[at] if isinstance(at, int) else at
    return world.spawn_actor(blueprint, place, attach_to=parent) if parent else world.spawn_actor(blueprint, place)


class Listening:
    """Data of a sensor, in order of arrival."""

    def __init__(self, sensor: Any) -> None:
        self.sensor, self.data = sensor, queue.Queue[Any]()
        sensor.listen(self.data.put)

    def next(self) -> Any:
        return self.data.get(timeout=WAIT_S)

    def until(self, frame: int) -> Any:
        """The datum of a frame; those before it are thrown away."""
        while True:
            item = self.next()
            assert item.frame <= frame, f"frame {frame} is missing, {item.frame} came"
            if item.frame == frame:
                return item


def after(world: carla.World, count: int, read: Callable[[], Any]) -> Any:
    """What `read` says after some ticks."""
    ticked(world, count)
    return read()


def up(point: carla.Transform, z_m: float) -> carla.Transform:
    return carla.Transform(point.location + carla.Location(z=z_m), point.rotation)


def speed(actor: carla.Actor) -> float:
    return actor.get_velocity().length()


def straight_m(world: carla.World, point: carla.Transform) -> float:
    """How far the lane goes straight on from a point."""
    waypoint, far = world.get_map().get_waypoint(point.location), 0.0
    yaw = waypoint.transform.rotation.yaw
    while far < 120.0:
        following = waypoint.next(5.0)
        if len(following) != 1 or math.cos(math.radians(following[0].transform.rotation.yaw - yaw)) < 0.999:
            return far
        waypoint, far = following[0], far + 5.0
    return far


def car_at(world: carla.World, k: int = 3, id_: str = "vehicle.ringroad.sedan", **attributes: Any) -> carla.Vehicle:
    car = spawned(world, id_, k, **attributes)
    ticked(world, 20)
    return car
