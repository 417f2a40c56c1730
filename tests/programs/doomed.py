"""A client in mid-stream, to be killed: a car under a TrafficManager, two cameras, synchronous mode.

Usage: python -m tests.programs.doomed PORT. Says "under way TM_PORT CAR CAMERA CAMERA" and goes on ticking.
"""

from __future__ import annotations

import socket
import sys

import carla

from tests.carla_steps import spawned, synchronous


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def main() -> None:
    client = carla.Client("127.0.0.1", int(sys.argv[1]))
    client.set_timeout(20.0)
    world = synchronous(client.get_world())
    car = spawned(world, "vehicle.tesla.model3", 3)
    cameras = [
        spawned(
            world, "sensor.camera.rgb", carla.Transform(carla.Location(z=z)), car, image_size_x=160, image_size_y=120
        )
        for z in (2.0, 3.0)
    ]
    for camera in cameras:
        camera.listen(lambda image: None)
    manager = client.get_trafficmanager(free_port())
    manager.set_synchronous_mode(True)
    car.set_autopilot(True, manager.get_port())
    for tick in range(1_000_000):
        world.tick()
        if tick == 20:
            print("under way", manager.get_port(), car.id, *(camera.id for camera in cameras), flush=True)


if __name__ == "__main__":
    main()
