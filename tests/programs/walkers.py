"""A minute of the client's AI walkers: how far and how fast they go, and how high their feet are over the ground."""

from __future__ import annotations

import json

import carla

from tests.programs.common import connected, loaded

client = connected()
world = loaded(client)
library = world.get_blueprint_library()
world.set_pedestrians_seed(3)
world.set_pedestrians_cross_factor(0.3)
blueprints = sorted(library.filter("walker.pedestrian.*"), key=lambda b: b.id)
walkers = []
for k in range(20):
    place = carla.Transform(world.get_random_location_from_navigation() + carla.Location(z=1.0))
    walker = world.try_spawn_actor(blueprints[k % len(blueprints)], place)
    if walker:
        walkers.append(walker)
world.tick()
drivers = [
    world.spawn_actor(library.find("controller.ai.walker"), carla.Transform(), attach_to=walker) for walker in walkers
]
world.tick()
for driver in drivers:
    driver.start()
    driver.go_to_location(world.get_random_location_from_navigation())
    driver.set_max_speed(1.4)
start = {walker.id: walker.get_location() for walker in walkers}
height = {walker.id: walker.bounding_box.extent.z for walker in walkers}
farthest = dict.fromkeys(start, 0.0)
speeds, feet = [], []
for tick in range(1200):
    world.tick()
    for walker in walkers:
        place = walker.get_location()
        farthest[walker.id] = max(farthest[walker.id], place.distance(start[walker.id]))
        if tick > 100 and tick % 20 == 0:
            speeds.append(walker.get_velocity().length())
            ground = world.ground_projection(place + carla.Location(z=0.5), 4.0)
            if ground:
                feet.append(place.z - ground.location.z - height[walker.id])
for driver in drivers:
    driver.stop()
speeds.sort()
feet.sort()
print(
    json.dumps(
        {
            "walkers": len(walkers), "far": sum(far > 20.0 for far in farthest.values()),
            "speed_mps": speeds[int(len(speeds) * 0.8)], "low_m": feet[len(feet) // 50], "high_m": feet[-len(feet) // 50],
        }
    )
)  # fmt: skip
client.apply_batch_sync([carla.command.DestroyActor(actor.id) for actor in [*drivers, *walkers]], True)
