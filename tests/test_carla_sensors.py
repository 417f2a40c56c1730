"""Sensors through the stock client: what arrives, when, and whether it is true."""

import math
from typing import Any

import carla
import numpy as np
import pytest

from tests.carla_steps import STEP_S, Listening, car_at, spawned, ticked

pytestmark = pytest.mark.carla
HERE = carla.Transform
CAMERAS = (
    "rgb", "depth", "semantic_segmentation", "instance_segmentation", "normals", "optical_flow", "dvs",
    "cosmos_visualization",
)  # fmt: skip
SMALL = {"image_size_x": 160, "image_size_y": 90}


def pixels(image: Any) -> np.ndarray:
    """(H, W, 4) BGRA."""
    return np.frombuffer(image.raw_data, np.uint8).reshape(image.height, image.width, 4)


@pytest.mark.parametrize("kind", CAMERAS)
def test_every_camera_gives_each_frame_once_and_in_order(world: carla.World, kind: str) -> None:
    """Need 12: the header's frame, time and place are the tick's."""
    car = car_at(world)
    at = HERE(carla.Location(0.3, 0.0, 1.3))
    listening = Listening(spawned(world, f"sensor.camera.{kind}", at, car, **SMALL))
    for _ in range(5):
        frame = world.tick()
        data = listening.next()
        stamp = world.get_snapshot().timestamp
        assert data.frame == frame == stamp.frame
        assert data.timestamp == stamp.elapsed_seconds
        assert data.transform.location.distance(listening.sensor.get_location()) < 1e-4
        assert (data.width, data.height) == (160, 90)
        assert data.fov == pytest.approx(90.0)
    listening.sensor.stop()


def test_depth_is_the_distance_to_a_wall_of_a_van(world: carla.World) -> None:
    """A van stands 20 m ahead: the pixel in the middle shows its rear, labelled, numbered, facing the camera."""
    point = world.get_map().get_spawn_points()[3]
    car = car_at(world)
    ahead = HERE(point.location + point.get_forward_vector() * 20.0, point.rotation)
    van = spawned(world, "vehicle.mercedes.sprinter", ahead)
    ticked(world, 20)
    at = HERE(carla.Location(0.5, 0.0, 1.2))
    sensors = {
        kind: Listening(spawned(world, f"sensor.camera.{kind}", at, car, **SMALL))
        for kind in ("depth", "semantic_segmentation", "instance_segmentation", "normals", "rgb")
    }
    world.tick()
    got = {kind: pixels(listening.next()) for kind, listening in sensors.items()}
    eye = sensors["depth"].sensor.get_location()
    rear = van.get_location() - van.get_transform().get_forward_vector() * van.bounding_box.extent.x
    wanted = (rear - eye).dot(car.get_transform().get_forward_vector())
    b, g, r = (int(v) for v in got["depth"][45, 80, :3])
    assert (r + 256 * g + 65536 * b) / (2**24 - 1) * 1000.0 == pytest.approx(wanted, abs=0.5)
    assert got["semantic_segmentation"][45, 80, 2] in (int(carla.CityObjectLabel.Truck), int(carla.CityObjectLabel.Car))
    b, g, r = (int(v) for v in got["instance_segmentation"][45, 80, :3])
    assert g + 256 * b == van.id & 0xFFFF
    normal = got["normals"][45, 80, 2::-1].astype(float) / 127.5 - 1.0
    assert (
        np.dot(normal, [car.get_transform().get_forward_vector().x, car.get_transform().get_forward_vector().y, 0.0])
        < -0.8
    )
    assert got["rgb"][..., :3].std() > 10.0
    for listening in sensors.values():
        listening.sensor.stop()


def test_a_camera_sits_in_its_car_or_sees_it(world: carla.World) -> None:
    car = car_at(world)
    inside, behind = (
        HERE(carla.Location(0.3, 0.0, 1.2)),
        HERE(carla.Location(-6.0, 0.0, 3.0), carla.Rotation(pitch=-15.0)),
    )
    seen = []
    for at in (inside, behind):
        listening = Listening(spawned(world, "sensor.camera.semantic_segmentation", at, car, **SMALL))
        world.tick()
        seen.append(int((pixels(listening.next())[..., 2] == int(carla.CityObjectLabel.Car)).sum()))
        listening.sensor.stop()
    assert seen[1] > 300 > 50 > seen[0]


def test_the_colour_of_a_car_is_the_one_asked_for(world: carla.World) -> None:
    car = car_at(world, color="230,20,20")
    behind = HERE(carla.Location(-5.0, 0.0, 1.6), carla.Rotation(pitch=-8.0))
    red = Listening(spawned(world, "sensor.camera.rgb", behind, car, **SMALL))
    label = Listening(spawned(world, "sensor.camera.semantic_segmentation", behind, car, **SMALL))
    world.tick()
    picture, mask = pixels(red.next()).astype(float), pixels(label.next())[..., 2] == int(carla.CityObjectLabel.Car)
    body = picture[mask]
    assert np.mean(body[:, 2] > 1.5 * body[:, 1]) > 0.3
    red.sensor.stop(), label.sensor.stop()


def test_weather_shows(world: carla.World) -> None:
    """Noon is brighter than midnight, and the fog hides what is far."""
    car = car_at(world)
    listening = Listening(spawned(world, "sensor.camera.rgb", HERE(carla.Location(0.5, 0.0, 1.2)), car, **SMALL))
    light = {}
    fog = carla.WeatherParameters(sun_altitude_angle=45.0, cloudiness=20.0, fog_density=90.0)
    for name, weather in (
        ("noon", carla.WeatherParameters.ClearNoon),
        ("night", carla.WeatherParameters.ClearNight),
        ("fog", fog),
    ):
        world.set_weather(weather)
        light[name] = pixels(listening.until(world.tick())).astype(float)[..., :3]
    assert light["noon"].mean() > 1.5 * light["night"].mean()
    assert light["fog"][20:45].std() < 0.6 * light["noon"][20:45].std()
    listening.sensor.stop()


def test_sensor_tick_thins_out_the_frames(world: carla.World) -> None:
    car = car_at(world)
    listening = Listening(spawned(world, "sensor.other.gnss", HERE(), car, sensor_tick=0.25))
    first = world.tick()
    ticked(world, 40)
    frames = [listening.next().frame for _ in range(9)]
    assert frames == [first + 5 * k for k in range(9)]
    assert listening.data.empty()
    listening.sensor.stop()


def test_no_rendering_stops_cameras_and_nothing_else(world: carla.World) -> None:
    car = car_at(world)
    camera = Listening(spawned(world, "sensor.camera.rgb", HERE(), car, **SMALL))
    lidar = Listening(spawned(world, "sensor.lidar.ray_cast", HERE(carla.Location(z=2.0)), car))
    settings = world.get_settings()
    settings.no_rendering_mode = True
    world.apply_settings(settings)
    while not lidar.data.empty():
        lidar.next()
    while not camera.data.empty():
        camera.next()
    frame = world.tick()
    assert lidar.until(frame).frame == frame
    assert camera.data.empty()
    settings.no_rendering_mode = False
    world.apply_settings(settings)
    assert camera.until(world.tick())
    camera.sensor.stop(), lidar.sensor.stop()


# ------------------------------------------------ ranges


def lidar_of(world: carla.World, car: carla.Actor, **attributes: Any) -> Listening:
    exact = {
        "dropoff_general_rate": 0.0,
        "dropoff_intensity_limit": 1.0,
        "dropoff_zero_intensity": 0.0,
        "noise_stddev": 0.0,
    }
    values = {"channels": 32, "range": 60.0, "rotation_frequency": 20.0, "points_per_second": 256_000,
              "upper_fov": 10.0, "lower_fov": -25.0} | exact | attributes  # fmt: skip
    return Listening(spawned(world, "sensor.lidar.ray_cast", HERE(carla.Location(z=2.2)), car, **values))


def points_of(data: Any) -> np.ndarray:
    return np.frombuffer(data.raw_data, np.float32).reshape(-1, 4)


def test_lidar_points_lie_on_the_road_and_within_range(world: carla.World) -> None:
    """Need 31."""
    car = car_at(world)
    listening = lidar_of(world, car)
    data = listening.until(world.tick())
    xyz = points_of(data)
    assert data.channels == 32
    assert sum(data.get_point_count(k) for k in range(32)) == len(data) == len(xyz)
    assert len(xyz) <= 256_000 * STEP_S and len(xyz) > 0.2 * 256_000 * STEP_S
    distance = np.linalg.norm(xyz[:, :3], axis=1)
    assert distance.min() > 0.4 and distance.max() <= 60.01
    assert ((xyz[:, 3] >= 0.0) & (xyz[:, 3] <= 1.0)).all()
    elevation = np.degrees(np.arcsin(xyz[:, 2] / distance))
    assert elevation.min() > -25.2 and elevation.max() < 10.2
    near = xyz[(distance < 8.0) & (elevation < -15.0)]
    assert np.median(near[:, 2]) == pytest.approx(-2.2, abs=0.1)  # a sensor 2.2 m over its car's ground
    assert xyz[:, 0].min() < -5.0 and xyz[:, 0].max() > 5.0
    listening.sensor.stop()


def test_half_a_turn_a_tick_at_ten_hertz(world: carla.World) -> None:
    car = car_at(world)
    listening = lidar_of(world, car, rotation_frequency=10.0)
    halves = [points_of(listening.until(world.tick())) for _ in range(2)]
    turned = [np.arctan2(h[:, 1], h[:, 0]) for h in halves]
    for angles in turned:
        assert len(np.unique(np.round(np.degrees(angles)))) < 190
    assert abs(np.median(halves[0][:, 0]) - np.median(halves[1][:, 0])) > 3.0
    listening.sensor.stop()


def test_semantic_lidar_names_what_it_hits(world: carla.World) -> None:
    point = world.get_map().get_spawn_points()[3]
    car = car_at(world)
    other = spawned(
        world, "vehicle.audi.etron", HERE(point.location + point.get_forward_vector() * 12.0, point.rotation)
    )
    ticked(world, 20)
    at = HERE(carla.Location(z=1.6))
    bp = {"channels": 32, "range": 50.0, "rotation_frequency": 20.0, "points_per_second": 200_000, "lower_fov": -20.0}
    listening = Listening(spawned(world, "sensor.lidar.ray_cast_semantic", at, car, **bp))
    data = listening.until(world.tick())
    on_car = [d for d in data if d.object_idx == other.id]
    assert len(on_car) > 10
    assert {int(d.object_tag) for d in on_car} == {int(carla.CityObjectLabel.Car)}
    assert all(0.0 <= d.cos_inc_angle <= 1.0 for d in on_car)
    rear = 12.0 - 0.5 * 4.9
    assert min(d.point.x for d in on_car) == pytest.approx(rear, abs=0.6)
    assert not any(d.object_idx == car.id for d in data)
    listening.sensor.stop()


def test_lidar_drop_off_loses_points(world: carla.World) -> None:
    car = car_at(world)
    whole, half = lidar_of(world, car), lidar_of(world, car, dropoff_general_rate=0.5)
    frame = world.tick()
    ratio = len(points_of(half.until(frame))) / len(points_of(whole.until(frame)))
    assert ratio == pytest.approx(0.5, abs=0.05)
    whole.sensor.stop(), half.sensor.stop()


def test_radar_measures_a_car_that_comes(world: carla.World) -> None:
    point = world.get_map().get_spawn_points()[3]
    car = car_at(world)
    ahead = HERE(point.location + point.get_forward_vector() * 30.0, point.rotation)
    other = spawned(world, "vehicle.audi.etron", ahead)
    listening = Listening(spawned(world, "sensor.other.radar", HERE(carla.Location(2.3, 0.0, 0.6)), car, range=80.0))
    ticked(world, 10)
    other.enable_constant_velocity(carla.Vector3D(-6.0, 0.0, 0.0))
    ticked(world, 5)
    frame = world.tick()
    found = [d for d in listening.until(frame) if d.velocity < -4.0]
    assert found
    nearest = min(found, key=lambda d: d.depth)
    assert nearest.velocity == pytest.approx(-6.0, abs=0.5)
    gap = car.get_location().distance(other.get_location()) - 2.3 - 0.5 * 4.9
    assert nearest.depth == pytest.approx(gap, abs=1.0)
    assert abs(math.degrees(nearest.azimuth)) < 6.0
    listening.sensor.stop()
