"""2D and 3D boxes of vehicles in the picture of a camera; a depth camera tells who is hidden behind something."""

import argparse
import itertools
import queue
from pathlib import Path

import carla
import numpy as np
from PIL import Image, ImageDraw

WIDTH, HEIGHT, FOV_DEG, STEP_S, WAIT_S = 800, 450, 90.0, 0.05, 10.0
REACH_M, NEAR_M, HIDDEN_M = 100.0, 0.3, 1.0
SEEN = 0.1  # of the points on its edges, for a box to be drawn
EDGES = [(a, b) for a, b in itertools.combinations(range(8), 2) if (a ^ b).bit_count() == 1]


def intrinsics(width: int, height: int, fov_deg: float) -> np.ndarray:
    """(3, 3) pinhole matrix; the field of view is the horizontal one."""
    focal = width / (2.0 * np.tan(np.radians(fov_deg) / 2.0))
    return np.array([[focal, 0.0, width / 2.0], [0.0, focal, height / 2.0], [0.0, 0.0, 1.0]])


def corners(vehicle: carla.Actor, place: carla.Transform, camera: carla.Transform) -> np.ndarray:
    """(8, 3) corners of a vehicle's box in the camera's optical axes: right, down, ahead; m."""
    box = vehicle.bounding_box
    signs = np.array(list(itertools.product((-1.0, 1.0), repeat=3)))
    local = signs * [box.extent.x, box.extent.y, box.extent.z]
    camera_from_world, world_from_vehicle = np.array(camera.get_inverse_matrix()), np.array(place.get_matrix())
    vehicle_from_box = np.array(carla.Transform(box.location, box.rotation).get_matrix())
    x, y, z, _ = camera_from_world @ world_from_vehicle @ vehicle_from_box @ np.column_stack([local, np.ones(8)]).T
    return np.column_stack([y, -z, x])


def pixels(points: np.ndarray) -> np.ndarray:
    """(N, 2) of (N, 3) points in optical axes that lie ahead."""
    uvw = points @ intrinsics(WIDTH, HEIGHT, FOV_DEG).T
    return uvw[:, :2] / uvw[:, 2:]


def edges(points: np.ndarray) -> list:
    """The twelve edges as pairs of points, cut off where they reach behind the camera."""
    out = []
    for a, b in ((points[i], points[j]) for i, j in EDGES):
        if max(a[2], b[2]) > NEAR_M:
            cut = [p if p[2] > NEAR_M else q + (p - q) * (q[2] - NEAR_M) / (q[2] - p[2]) for p, q in ((a, b), (b, a))]
            out.append(pixels(np.array(cut)))
    return out


def seen(points: np.ndarray, depth: np.ndarray) -> float:
    """Share of points on the edges that lie in the picture with nothing more than HIDDEN_M before them."""
    share = np.linspace(0.0, 1.0, 6)[:, None, None]
    a, b = (points[[edge[end] for edge in EDGES]] for end in (0, 1))
    on = (a + share * (b - a)).reshape(-1, 3)
    ahead = on[on[:, 2] > NEAR_M]
    u, v = np.floor(pixels(ahead)).astype(int).T
    inside = (u >= 0) & (u < WIDTH) & (v >= 0) & (v < HEIGHT)
    return (depth[v[inside], u[inside]] > ahead[inside, 2] - HIDDEN_M).sum() / len(on)


def rgb(picture: carla.Image) -> np.ndarray:
    """(H, W, 3)."""
    return np.frombuffer(picture.raw_data, np.uint8).reshape(picture.height, picture.width, 4)[:, :, 2::-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=2000)
    parser.add_argument("--ticks", type=int, default=20)
    parser.add_argument("--cars", type=int, default=15, help="parked round about")
    parser.add_argument("--point", type=int, default=0, help="spawn point of the car with the cameras")
    parser.add_argument("--out", type=Path, default=Path("out/bounding_boxes"))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    client = carla.Client(args.host, args.port)
    client.set_timeout(30.0)
    world = client.get_world()
    before, library = world.get_settings(), world.get_blueprint_library()
    points = world.get_map().get_spawn_points()
    own = points[args.point]
    near = sorted(points, key=lambda p: p.location.distance(own.location))[1:]
    cars, cameras, queues = [], [], []
    try:
        settings = world.get_settings()
        settings.synchronous_mode, settings.fixed_delta_seconds = True, STEP_S
        world.apply_settings(settings)
        for k, at in enumerate([own, *near[: args.cars]]):
            car = world.try_spawn_actor(library.filter("vehicle.*.*")[k * 7 % 30], at)
            cars += [car] if car else []
        for kind in ("rgb", "depth", "instance_segmentation"):
            blueprint = library.find(f"sensor.camera.{kind}")
            for name, value in (("image_size_x", WIDTH), ("image_size_y", HEIGHT), ("fov", FOV_DEG)):
                blueprint.set_attribute(name, str(value))
            place = carla.Transform(carla.Location(x=1.0, z=2.2))
            cameras.append(world.spawn_actor(blueprint, place, attach_to=cars[0]))
            queues.append(queue.Queue())
            cameras[-1].listen(queues[-1].put)
        for _ in range(args.ticks):
            frame = world.tick()
            shots = [next(p for p in iter(lambda q=q: q.get(timeout=WAIT_S), None) if p.frame == frame) for q in queues]
        red, green, blue = rgb(shots[1]).astype(float).transpose(2, 0, 1)
        depth = (red + 256.0 * green + 65536.0 * blue) * (1000.0 / (2**24 - 1))
        flat, solid = Image.fromarray(rgb(shots[0])), Image.fromarray(rgb(shots[0]))
        snapshot, camera = world.get_snapshot(), shots[0].transform
        for car in world.get_actors().filter("vehicle.*"):
            found = corners(car, snapshot.find(car.id).get_transform(), camera)
            distance = float(np.linalg.norm(found.mean(axis=0)))
            if car.id == cars[0].id or distance > REACH_M or found[:, 2].max() < NEAR_M:
                continue
            if seen(found, depth) < SEEN:
                continue
            lines = edges(found)
            ends = np.concatenate(lines)
            x0, y0, x1, y1 = *np.maximum(ends.min(axis=0), 0), *np.minimum(ends.max(axis=0), (WIDTH - 1, HEIGHT - 1))
            if x0 >= x1 or y0 >= y1:
                continue
            for a, b in lines:
                ImageDraw.Draw(solid).line([*a, *b], fill=(255, 220, 0), width=2)
            ImageDraw.Draw(flat).rectangle([x0, y0, x1, y1], outline=(255, 40, 40), width=2)
            print(f"{car.id} {car.type_id} {distance:.1f} m box {x0:.0f} {y0:.0f} {x1:.0f} {y1:.0f}")
        flat.save(args.out / "flat.png")
        solid.save(args.out / "solid.png")
        Image.fromarray(rgb(shots[2])).save(args.out / "instance.png")  # red: label; green + 256 blue: actor
        print(args.out)
    finally:
        for sensor in cameras:
            sensor.stop()
        world.tick()  # lets the last callbacks end: a batch would keep them waiting
        client.apply_batch_sync([carla.command.DestroyActor(a) for a in (*cameras, *cars)], True)
        world.apply_settings(before)


if __name__ == "__main__":
    main()
