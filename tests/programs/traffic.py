"""TrafficManager: who left the lane, who touched whom, who ran a red light, who stood for long; and a hash of all places.

python -m tests.programs.traffic PORT TM_PORT [MAP CARS MINUTES]
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections import Counter
from typing import Any

import carla

from tests.programs.common import connected, loaded, traffic

NAME, COUNT, MINUTES = sys.argv[3:6] if len(sys.argv) > 3 else ("town_a", "30", "1")
LONG_TICKS = 1300  # 65 s: a round of our lights takes 60

client = connected()
world = loaded(client, NAME)
town = world.get_map()
_, cars = traffic(client, world, int(COUNT), 7)
digest = hashlib.sha256()
touched: set[tuple[int, int]] = set()
sensors = []
for car in cars:
    sensor = world.spawn_actor(
        world.get_blueprint_library().find("sensor.other.collision"), carla.Transform(), attach_to=car
    )
    sensor.listen(lambda event: touched.add((event.actor.id, event.other_actor.id)))
    sensors.append(sensor)
start = {car.id: car.get_location() for car in cars}
offsets: list[float] = []
farthest = dict.fromkeys(start, 0.0)
before: dict[int, tuple[bool, Any, Any]] = {}  # at a light, its state, and that half a second earlier
ran_red: set[int] = set()
standing: Counter[int] = Counter()
stuck: set[int] = set()
for tick in range(int(float(MINUTES) * 1200)):
    world.tick()
    snapshot = world.get_snapshot()
    for car in cars:
        if not snapshot.has_actor(car.id):  # the TrafficManager destroys who stands for 90 s
            continue
        standing[car.id] = standing[car.id] + 1 if car.get_velocity().length() < 0.1 else 0
        if standing[car.id] > LONG_TICKS:
            stuck.add(car.id)
        place = car.get_transform()
        digest.update(repr((place.location.x, place.location.y, place.rotation.yaw)).encode())
        farthest[car.id] = max(farthest[car.id], place.location.distance(start[car.id]))
        if tick % 10:
            continue
        lane = town.get_waypoint(place.location)
        if not lane.is_junction:
            offsets.append(abs((place.location - lane.transform.location).dot(lane.transform.get_right_vector())))
        was = before.get(car.id, (False, None, None))
        red = carla.TrafficLightState.Red
        if was[0] and lane.is_junction and was[1] == was[2] == red:
            ran_red.add(car.id)
        light = car.get_traffic_light()
        at = car.is_at_traffic_light() and not lane.is_junction
        before[car.id] = (at, light.state if light else None, was[1])
offsets.sort()
print(
    json.dumps(
        {
            "cars": len(cars), "hash": digest.hexdigest(), "touched": len(touched),
            "median_off_m": offsets[len(offsets) // 2], "p99_off_m": offsets[int(len(offsets) * 0.99)],
            "moved": sum(far > 30.0 for far in farthest.values()), "ran_red": len(ran_red), "stuck": len(stuck),
        }
    )
)  # fmt: skip
for sensor in sensors:
    sensor.stop()
for _ in range(3):
    world.tick()
client.apply_batch([carla.command.DestroyActor(actor.id) for actor in [*sensors, *cars] if actor.is_alive])
world.tick()
