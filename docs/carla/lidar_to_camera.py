"""LiDAR points in the picture of a camera: by both sensors' places and the camera's field of view."""

import argparse
import queue
from pathlib import Path

import carla
import numpy as np
from PIL import Image

WIDTH, HEIGHT, FOV_DEG, STEP_S, WAIT_S = 800, 450, 90.0, 0.05, 10.0
NEAR_M, FAR_M = 0.5, 50.0


def intrinsics(width: int, height: int, fov_deg: float) -> np.ndarray:
    """(3, 3) pinhole matrix; the field of view is the horizontal one."""
    focal = width / (2.0 * np.tan(np.radians(fov_deg) / 2.0))
    return np.array([[focal, 0.0, width / 2.0], [0.0, focal, height / 2.0], [0.0, 0.0, 1.0]])


def project(points: np.ndarray, sensor: carla.Transform, camera: carla.Transform, k: np.ndarray) -> tuple:
    """(N, 2) pixels and (N,) depth in m of (N, 3) points in a sensor's frame (x ahead, y right, z up)."""
    camera_from_sensor = np.array(camera.get_inverse_matrix()) @ np.array(sensor.get_matrix())
    x, y, z = (camera_from_sensor @ np.column_stack([points, np.ones(len(points))]).T)[:3]
    u, v, depth = k @ np.array([y, -z, x])  # optical axes: right, down, ahead
    return np.column_stack([u, v]) / np.maximum(depth, 1e-6)[:, None], depth


def depth_m(picture: carla.Image) -> np.ndarray:
    """(H, W) of a depth camera."""
    bgra = np.frombuffer(picture.raw_data, np.uint8).reshape(picture.height, picture.width, 4).astype(float)
    return (bgra[:, :, 2] + 256.0 * bgra[:, :, 1] + 65536.0 * bgra[:, :, 0]) * (1000.0 / (2**24 - 1))


def rainbow(share: np.ndarray) -> np.ndarray:
    """(N, 3) red for 0 over green to blue for 1."""
    return np.clip(
        255.0 * np.stack([1.0 - 2.0 * share, 1.0 - np.abs(2.0 * share - 1.0), 2.0 * share - 1.0], -1), 0, 255
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=2000)
    parser.add_argument("--ticks", type=int, default=20)
    parser.add_argument("--cars", type=int, default=15, help="parked round about")
    parser.add_argument("--point", type=int, default=0, help="spawn point of the car with the sensors")
    parser.add_argument("--out", type=Path, default=Path("out/lidar_to_camera.png"))
    args = parser.parse_args()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    client = carla.Client(args.host, args.port)
    client.set_timeout(30.0)
    world = client.get_world()
    before, library = world.get_settings(), world.get_blueprint_library()
    points = world.get_map().get_spawn_points()
    own = points[args.point]
    near = sorted(points, key=lambda p: p.location.distance(own.location))[1:]
    cars, sensors, queues = [], [], []

    def mount(kind: str, **attributes: float) -> None:
        blueprint = library.find(f"sensor.{kind}")
        for name, value in attributes.items():
            blueprint.set_attribute(name, str(value))
        place = carla.Transform(carla.Location(x=0.0 if "lidar" in kind else 1.0, z=2.2))
        sensors.append(world.spawn_actor(blueprint, place, attach_to=cars[0]))
        queues.append(queue.Queue())
        sensors[-1].listen(queues[-1].put)

    try:
        settings = world.get_settings()
        settings.synchronous_mode, settings.fixed_delta_seconds = True, STEP_S
        world.apply_settings(settings)
        for k, at in enumerate([own, *near[: args.cars]]):
            car = world.try_spawn_actor(library.filter("vehicle.*.*")[k * 7 % 30], at)
            cars += [car] if car else []
        picture = {"image_size_x": WIDTH, "image_size_y": HEIGHT, "fov": FOV_DEG}
        mount("camera.rgb", **picture)
        mount("camera.depth", **picture)
        mount("lidar.ray_cast", channels=64, range=FAR_M, rotation_frequency=1.0 / STEP_S, points_per_second=1_500_000,
              upper_fov=10.0, lower_fov=-30.0, dropoff_general_rate=0.0)  # fmt: skip
        for _ in range(args.ticks):
            frame = world.tick()
            colour, distance, sweep = (next(d for d in iter(lambda q=q: q.get(timeout=WAIT_S), None) if d.frame == frame)
                                       for q in queues)  # fmt: skip
        xyz = np.frombuffer(sweep.raw_data, np.float32).reshape(-1, 4)[:, :3]
        px, depth = project(xyz, sweep.transform, colour.transform, intrinsics(WIDTH, HEIGHT, FOV_DEG))
        column, row = np.floor(px).astype(int).T
        inside = (depth > NEAR_M) & (column >= 0) & (column < WIDTH) & (row >= 0) & (row < HEIGHT)
        column, row, depth = column[inside], row[inside], depth[inside]
        seen = depth < depth_m(distance)[row, column] + 0.5  # the rest lies behind what the camera sees
        off = np.abs(depth - depth_m(distance)[row, column])[seen]
        image = np.frombuffer(colour.raw_data, np.uint8).reshape(HEIGHT, WIDTH, 4)[:, :, 2::-1].copy()
        shade = rainbow(np.clip(depth / FAR_M, 0.0, 1.0))
        for down, right in ((0, 0), (0, 1), (1, 0), (1, 1)):
            at = np.minimum(row[seen] + down, HEIGHT - 1), np.minimum(column[seen] + right, WIDTH - 1)
            image[at] = shade[seen]
        Image.fromarray(image).save(args.out)
        print(f"{len(xyz)} points, {len(depth)} in the picture, {seen.sum()} of them on what the camera sees")
        print(f"LiDAR against depth camera: median {np.median(off):.3f} m, 95 % under {np.quantile(off, 0.95):.2f} m")
        print(args.out)
    finally:
        for sensor in sensors:
            sensor.stop()
        world.tick()  # lets the last callbacks end: a batch would keep them waiting
        client.apply_batch_sync([carla.command.DestroyActor(a) for a in (*sensors, *cars)], True)
        world.apply_settings(before)


if __name__ == "__main__":
    main()
