"""Twelve seconds of TrafficManager in a free-running world, and a car that is taken out of it."""

from __future__ import annotations

import json
import time

import carla

from tests.programs.common import TM_PORT, cars_of, connected

client = connected()
world = client.load_world("town_a")
manager = client.get_trafficmanager(TM_PORT)
blueprints, points = cars_of(world), world.get_map().get_spawn_points()
placed = [world.try_spawn_actor(blueprints[k % len(blueprints)], points[k * 3]) for k in range(15)]
cars = [car for car in placed if car]
for car in cars:
    car.set_autopilot(True, TM_PORT)
world.wait_for_tick()
start = [car.get_location() for car in cars]
until, ticks = time.time() + 12.0, 0
while time.time() < until:
    world.wait_for_tick()
    ticks += 1
moved = sum(car.get_location().distance(place) > 8.0 for car, place in zip(cars, start, strict=True))
cars[0].set_autopilot(False, TM_PORT)
world.wait_for_tick()
cars[0].destroy()
for _ in range(20):
    world.wait_for_tick()
for car in cars[1:]:
    car.set_autopilot(False, TM_PORT)
client.apply_batch([carla.command.DestroyActor(car.id) for car in cars[1:]])
for _ in range(5):
    world.wait_for_tick()
manager.shut_down()
print(json.dumps({"cars": len(cars), "moved": moved, "ticks": ticks}))
