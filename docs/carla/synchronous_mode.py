"""Two cameras on a car of the TrafficManager in synchronous mode: pictures of one and the same frame, side by side."""

import argparse
import queue
from pathlib import Path

import carla
import numpy as np
from PIL import Image

STEP_S, WAIT_S = 0.05, 10.0

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--host", default="127.0.0.1")
parser.add_argument("--port", type=int, default=2000)
parser.add_argument("--tm-port", type=int, default=8000)
parser.add_argument("--ticks", type=int, default=100)
parser.add_argument("--every", type=int, default=20, help="save each so many ticks")
parser.add_argument("--out", type=Path, default=Path("out/synchronous_mode"))
args = parser.parse_args()
args.out.mkdir(parents=True, exist_ok=True)
client = carla.Client(args.host, args.port)
client.set_timeout(30.0)
world = client.get_world()
before = world.get_settings()
manager = client.get_trafficmanager(args.tm_port)
library = world.get_blueprint_library()


def of_frame(waiting: queue.Queue, frame: int) -> carla.Image:
    """The picture of a frame; older ones are thrown away."""
    while True:
        picture = waiting.get(timeout=WAIT_S)
        if picture.frame == frame:
            return picture


def pixels(picture: carla.Image) -> np.ndarray:
    """(H, W, 3) red, green, blue."""
    bgra = np.frombuffer(picture.raw_data, np.uint8).reshape(picture.height, picture.width, 4)
    return bgra[:, :, 2::-1]


car, cameras = None, []
try:
    settings = world.get_settings()
    settings.synchronous_mode, settings.fixed_delta_seconds = True, STEP_S
    world.apply_settings(settings)
    manager.set_synchronous_mode(True)
    car = world.spawn_actor(library.find("vehicle.tesla.model3"), world.get_map().get_spawn_points()[0])
    car.set_autopilot(True, args.tm_port)
    queues = []
    for kind in ("rgb", "semantic_segmentation"):
        blueprint = library.find(f"sensor.camera.{kind}")
        blueprint.set_attribute("image_size_x", "480")
        blueprint.set_attribute("image_size_y", "320")
        place = carla.Transform(carla.Location(x=1.5, z=2.0))
        cameras.append(world.spawn_actor(blueprint, place, attach_to=car))
        queues.append(queue.Queue())
        cameras[-1].listen(queues[-1].put)
    for tick in range(1, args.ticks + 1):
        frame = world.tick()
        colour, classes = (of_frame(waiting, frame) for waiting in queues)
        if tick % args.every == 0:
            assert colour.frame == classes.frame == frame
            classes.convert(carla.ColorConverter.CityScapesPalette)
            file = args.out / f"{tick:05d}.png"
            Image.fromarray(np.hstack([pixels(colour), pixels(classes)])).save(file)
            print(f"frame {frame}, {colour.timestamp:.2f} s: {3.6 * car.get_velocity().length():.0f} km/h, {file}")
finally:
    for camera in cameras:
        camera.stop()
    world.tick()  # lets the last callbacks end: a batch would keep them waiting
    client.apply_batch_sync([carla.command.DestroyActor(a) for a in (*cameras, car) if a is not None], True)
    manager.set_synchronous_mode(False)
    world.apply_settings(before)
