"""A TrafficManager in hybrid mode round a hero: what the far cars' speeds say, and how far they get.

Usage: python -m tests.programs.hybrid PORT TM_PORT.
"""

from __future__ import annotations

import json
from itertools import pairwise

import carla

from tests.programs.common import connected, loaded, traffic

RADIUS_M = 40.0
client = connected()
world = loaded(client)
manager, cars = traffic(client, world, 25, 3)
hero = world.get_blueprint_library().find("vehicle.lincoln.mkz_2020")
hero.set_attribute("role_name", "hero")
me = next(a for p in world.get_map().get_spawn_points() if (a := world.try_spawn_actor(hero, p)) is not None)
world.tick()
manager.set_hybrid_physics_mode(True)
manager.set_hybrid_physics_radius(RADIUS_M)
me.set_autopilot(True, manager.get_port())
far, told, gone = 0, [], []
places = {car.id: [car.get_location()] for car in cars}
for tick in range(400):
    world.tick()
    for car in cars:
        places[car.id].append(car.get_location())
    if tick < 100 or tick % 10:
        continue
    for car in cars:
        if car.get_location().distance(me.get_location()) > RADIUS_M + 20.0:
            steps = [a.distance(b) / 0.05 for a, b in pairwise(places[car.id][-4:])]
            if max(steps) < 30.0:  # not put elsewhere
                far += 1
                told.append(car.get_velocity().length())
                gone.append(sum(steps) / len(steps))
print(json.dumps({"far": far, "told_mps": sum(told) / far, "gone_mps": sum(gone) / far,
                  "hero_m": me.get_location().distance(places[cars[0].id][0])}))  # fmt: skip
manager.set_hybrid_physics_mode(False)
client.apply_batch([carla.command.DestroyActor(actor.id) for actor in [me, *cars]])
world.tick()
