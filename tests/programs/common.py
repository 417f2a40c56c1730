"""What the programs share: a synchronous world, and cars of the client's TrafficManager on it."""

from __future__ import annotations

import random
import sys
from typing import Any

import carla

from tests.carla_steps import synchronous

PORT, TM_PORT = (int(word) for word in sys.argv[1:3])


def connected() -> carla.Client:
    client = carla.Client("127.0.0.1", PORT)
    client.set_timeout(60.0)
    return client


def loaded(client: carla.Client, name: str = "town_a") -> carla.World:
    return synchronous(client.load_world(name))


def cars_of(world: carla.World) -> list[Any]:
    """Blueprints of cars, in a fixed order."""
    cars = [b for b in world.get_blueprint_library().filter("vehicle.*") if b.get_attribute("base_type") == "car"]
    return sorted(cars, key=lambda b: b.id)


def traffic(client: carla.Client, world: carla.World, count: int, seed: int) -> tuple[Any, list[carla.Vehicle]]:
    """A synchronous TrafficManager with up to `count` cars at random spawn points."""
    manager = client.get_trafficmanager(TM_PORT)
    manager.set_synchronous_mode(True)
    manager.set_random_device_seed(seed)
    rng, points, command = random.Random(seed), world.get_map().get_spawn_points(), carla.command
    rng.shuffle(points)
    blueprints = cars_of(world)
    batch = []
    for point in points[:count]:
        spawn = command.SpawnActor(rng.choice(blueprints), point)
        batch.append(spawn.then(command.SetAutopilot(command.FutureActor, True, TM_PORT)))
    ids = [reply.actor_id for reply in client.apply_batch_sync(batch, True) if not reply.error]
    return manager, list(world.get_actors(ids))
