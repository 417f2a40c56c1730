"""A long run: the map loaded anew again and again, each time with traffic, walkers and cameras of which no picture may be
missing; and how much memory the server and this client hold.

Arguments: the server's port, a TrafficManager's port, ticks in all, loads of a map, the server's process.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import carla

from tests.carla_steps import spawned
from tests.programs.common import TM_PORT, connected, loaded, traffic

TICKS, LOADS, SERVER = (int(word) for word in sys.argv[3:6])
TOWNS = ("town_a", "town_b", "suburb")
CARS, WALKERS, CAMERAS = 50, 20, 3
SIZE = 64, 36  # of a picture
SAY_EVERY = 2000  # ticks
WAIT_S = 20.0


def resident_mb(process: int | str) -> float:
    """Resident memory of a process, MB (Linux)."""
    lines = Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1e3


class Camera:
    """A camera and the frames that its pictures have had so far."""

    def __init__(self, world: carla.World, car: carla.Actor, k: int) -> None:
        place = carla.Transform(carla.Location(x=1.0, z=1.6), carla.Rotation(yaw=120.0 * k))
        self.sensor = spawned(
            world, "sensor.camera.rgb", place, car, image_size_x=SIZE[0], image_size_y=SIZE[1]
        )  # fmt: skip
        self.frames: list[int] = []
        self.odd = 0  # pictures of another size
        self.sensor.listen(self.take)

    def take(self, image: carla.Image) -> None:
        self.frames.append(image.frame)
        self.odd += len(image.raw_data) != 4 * SIZE[0] * SIZE[1]

    def wait(self, count: int) -> None:
        """Until so many pictures have come, or for WAIT_S."""
        until = time.monotonic() + WAIT_S
        while len(self.frames) < count and time.monotonic() < until:
            time.sleep(0.001)


def walkers(world: carla.World) -> list[tuple[Any, Any]]:
    """Walkers with their controllers, on their way."""
    library = world.get_blueprint_library()
    blueprints = sorted(library.filter("walker.pedestrian.*"), key=lambda b: b.id)
    pairs = []
    for k in range(2 * WALKERS):
        place = carla.Transform(world.get_random_location_from_navigation() + carla.Location(z=1.0))
        walker = world.try_spawn_actor(blueprints[k % len(blueprints)], place)
        if walker and len(pairs) < WALKERS:
            driver = world.spawn_actor(library.find("controller.ai.walker"), carla.Transform(), attach_to=walker)
            pairs.append((walker, driver))
    world.tick()
    for _, driver in pairs:
        driver.start()
        driver.go_to_location(world.get_random_location_from_navigation())
        driver.set_max_speed(1.4)
    return pairs


client = connected()
ticks, said = 0, 0
wrong: list[str] = []  # what was not as it should be, by load and camera
cars_least, walkers_least, moved_least = CARS, WALKERS, 1.0
server_mb, client_mb = [], []
start = time.monotonic()
for load in range(LOADS):
    world = loaded(client, TOWNS[load % len(TOWNS)])
    manager, cars = traffic(client, world, CARS, load)
    people = walkers(world)
    cameras = [Camera(world, cars[0], k) for k in range(CAMERAS)]
    at = [car.get_location() for car in cars]
    frames = [world.tick() for _ in range(TICKS // LOADS)]
    ticks += len(frames)
    for k, camera in enumerate(cameras):
        camera.wait(len(frames))
        if camera.frames != frames or camera.odd:
            wrong.append(
                f"load {load}, camera {k}: {len(camera.frames)} of {len(frames)}, {camera.odd} of another size"
            )
        camera.sensor.stop()
    cars = [car for car in cars if car.is_alive]
    moved = sum(car.get_location().distance(place) > 10.0 for car, place in zip(cars, at, strict=False)) / len(cars)
    cars_least, walkers_least = min(cars_least, len(cars)), min(walkers_least, len(people))
    moved_least = min(moved_least, moved)
    for _, driver in people:
        driver.stop()
    for car in cars:
        car.set_autopilot(False, TM_PORT)
    manager.set_synchronous_mode(False)  # or its end can miss the thread
    world.tick()
    gone = [camera.sensor for camera in cameras] + cars + [actor for pair in people for actor in reversed(pair)]
    client.apply_batch([carla.command.DestroyActor(actor.id) for actor in gone])
    world.tick()
    manager.shut_down()  # one that lives through a load can now and then read an episode that is gone
    server_mb.append(resident_mb(SERVER))
    client_mb.append(resident_mb("self"))
    if ticks - said >= SAY_EVERY or load == LOADS - 1:
        said = ticks
        sys.stderr.write(
            f"soak: {ticks} ticks, {load + 1} loads, {time.monotonic() - start:.0f} s, server {server_mb[-1]:.0f} MB, "
            f"client {client_mb[-1]:.0f} MB, {len(cars)} cars, {moved:.0%} moved, {len(people)} walkers\n"
        )
print(
    json.dumps(
        {
            "ticks": ticks, "loads": LOADS, "wrong": wrong, "cars": cars_least, "walkers": walkers_least,
            "moved": moved_least, "server_mb": server_mb, "client_mb": client_mb,
            "seconds": time.monotonic() - start,
        }
    )
)  # fmt: skip
