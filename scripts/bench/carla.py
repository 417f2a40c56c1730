"""`ringroad serve` with CARLA's own client: the server in a process of its own, the client in this one.

What a call, a tick with traffic and a tick with pictures cost whoever holds the client; most of a tick with fifty cars
is the client's own work, as the tick with nobody shows.
"""

from __future__ import annotations

import queue
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from scripts.bench.measure import ROOT, Figure, rate_figure, sample_ms, time_figure

STEP_S = 0.05
CARS = 50
SETTLED = 40  # ticks until everybody moves
TM_PORT = 8021
WAIT_S = 10.0
LIDAR = {"channels": 64, "points_per_second": 600_000, "rotation_frequency": 10, "range": 85,
         "upper_fov": 10, "lower_fov": -30}  # fmt: skip
PICTURE = {"image_size_x": 640, "image_size_y": 360}


@contextmanager
def served(map_: str) -> Iterator[int]:
    """The port of a server of one's own."""
    command = [sys.executable, "-m", "scripts.cli", "serve", "--map", map_, "--port", "0", "--device", "cpu"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        found = re.search(r":(\d+) \(", line := process.stdout.readline())
        if not found:
            raise ValueError(f"server: found {line!r}, expected its address")
        yield int(found[1])
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def carla(map_: str, seconds: float) -> Iterator[Figure]:
    """All figures on one map; none without the `carla` package."""
    if find_spec("carla") is None:
        sys.stderr.write("carla: the package is not installed, its figures are left out\n")
        return
    with served(map_) as port:
        visit = Visit(port)
        yield time_figure("CARLA call", sample_ms(visit.client.get_server_version, seconds), note="get_server_version")
        visit.start()
        yield time_figure("CARLA tick, nobody there", sample_ms(visit.world.tick, seconds))
        visit.spawn(CARS)
        visit.drive()
        yield time_figure(f"CARLA tick, {CARS} cars", visit.tick_ms(seconds), 1.0, note="constant pedals and wheels")
        visit.hand_over()
        times = visit.tick_ms(seconds)
        yield time_figure(f"CARLA tick, {CARS} cars of a TrafficManager", times, 2.0, note="synchronous")
        visit.take_back()
        for count, at_least in ((1, 60.0), (3, 25.0)):
            mounts = [{"x": 1.0, "z": 1.6, "yaw": yaw} for yaw in (0.0, -55.0, 55.0)[:count]]
            times = visit.sensor_ms("sensor.camera.rgb", mounts, PICTURE, seconds)
            yield rate_figure(f"CARLA tick and {count} RGB 640x360", 1, times, "ticks/s", at_least)
        times = visit.sensor_ms("sensor.lidar.ray_cast", [{"x": 0.0, "z": 2.5}], LIDAR, seconds)
        yield rate_figure("CARLA tick and LiDAR of 64 channels, 600,000 points/s", 1, times, "ticks/s")
        visit.end()


class Visit:
    """One client with its cars."""

    def __init__(self, port: int) -> None:
        import carla

        self.carla, self.client = carla, carla.Client("127.0.0.1", port)
        self.client.set_timeout(60.0)
        self.world = self.client.get_world()
        self.cars: list[Any] = []
        self.manager: Any = None

    def start(self) -> None:
        """Synchronous, twenty ticks a second."""
        settings = self.world.get_settings()
        settings.synchronous_mode, settings.fixed_delta_seconds = True, STEP_S
        self.world.apply_settings(settings)

    def spawn(self, count: int) -> None:
        """Cars spread over the map."""
        vehicles = self.world.get_blueprint_library().filter("vehicle.*")
        blueprints = sorted((b for b in vehicles if b.get_attribute("base_type") == "car"), key=lambda b: b.id)
        points = self.world.get_map().get_spawn_points()
        for k in range(len(points)):
            if len(self.cars) == count:
                return
            place = points[k * max(len(points) // count, 1) % len(points)]
            car = self.world.try_spawn_actor(blueprints[k % len(blueprints)], place)
            self.cars += [car] if car else []
        raise ValueError(f"spawn: found room for {len(self.cars)} cars, expected {count}")

    def drive(self) -> None:
        """Every car in circles of its own."""
        for k, car in enumerate(self.cars):
            car.apply_control(self.carla.VehicleControl(throttle=0.4, steer=0.3 + 0.01 * (k % 20)))

    def hand_over(self) -> None:
        """Back to the start, and to a synchronous TrafficManager."""
        self.destroy()
        self.spawn(CARS)
        self.manager = self.client.get_trafficmanager(TM_PORT)
        self.manager.set_synchronous_mode(True)
        self.manager.set_random_device_seed(7)
        self.world.tick()
        for car in self.cars:
            car.set_autopilot(True, TM_PORT)

    def take_back(self) -> None:
        """From the TrafficManager, which may have destroyed some that stood too long; the others stop where they are."""
        self.cars = [car for car in self.cars if car.is_alive]
        for car in self.cars:
            car.set_autopilot(False, TM_PORT)
        self.manager.set_synchronous_mode(False)  # or its end can miss the thread
        self.world.tick()
        self.manager.shut_down()
        for car in self.cars:
            car.apply_control(self.carla.VehicleControl(brake=1.0))

    def tick_ms(self, seconds: float, work: Callable[[], Any] | None = None) -> list[float]:
        for _ in range(SETTLED):
            self.world.tick()
        return sample_ms(work or self.world.tick, seconds)

    def sensor_ms(self, id_: str, mounts: list[Any], attributes: dict[str, Any], seconds: float) -> list[float]:
        """Ticks until the data of every one of some sensors on the first car has come."""
        blueprint = self.world.get_blueprint_library().find(id_)
        for name, value in attributes.items():
            blueprint.set_attribute(name, str(value))
        came: list[queue.Queue[Any]] = [queue.Queue() for _ in mounts]
        sensors = []
        for mount, inbox in zip(mounts, came, strict=True):
            place = self.carla.Transform(
                self.carla.Location(x=mount["x"], z=mount["z"]), self.carla.Rotation(yaw=mount.get("yaw", 0.0))
            )
            sensors.append(self.world.spawn_actor(blueprint, place, attach_to=self.cars[0]))
            sensors[-1].listen(inbox.put)

        def work() -> None:
            frame = self.world.tick()
            for inbox in came:
                while inbox.get(timeout=WAIT_S).frame < frame:
                    pass

        times = self.tick_ms(seconds, work)
        for sensor in sensors:
            sensor.stop()
        self.world.tick()
        for sensor in sensors:
            sensor.destroy()
        return times

    def destroy(self) -> None:
        self.client.apply_batch([self.carla.command.DestroyActor(car.id) for car in self.cars])
        self.world.tick()
        self.cars.clear()

    def end(self) -> None:
        """Everybody gone, and the world running freely again."""
        self.destroy()
        settings = self.world.get_settings()
        settings.synchronous_mode = False
        self.world.apply_settings(settings)
