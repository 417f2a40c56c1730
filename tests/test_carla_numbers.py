"""Numbers at the edge, from the stock client: said to be wrong or left aside, and the world stays whole."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import carla
import numpy as np
import pytest

from tests.carla_server import Served
from tests.carla_steps import Listening, car_at, spawned, synchronous, ticked, up

pytestmark = [pytest.mark.carla, pytest.mark.slow]
NAN, INF = math.nan, math.inf
EDGES = (NAN, INF, -INF, 1e30, -1e30, 1e11, 3e38)
FAR_M = 1.001e6


def whole(world: carla.World, *bodies: carla.Actor) -> None:
    """Ticks go on, everybody is somewhere, and a car that is spawned now drives off."""
    ticked(world, 3)
    snapshot = world.get_snapshot()
    for state in snapshot:
        place, turn, v = state.get_transform().location, state.get_transform().rotation, state.get_velocity()
        rate, push = state.get_angular_velocity(), state.get_acceleration()
        numbers = [place.x, place.y, place.z, turn.pitch, turn.yaw, turn.roll, v.x, v.y, v.z, rate.z, push.x, push.y]
        assert all(math.isfinite(n) for n in numbers) and np.abs(numbers[:3]).max() <= FAR_M, (state.id, numbers)
    for body in bodies:
        assert snapshot.has_actor(body.id)


IDS = ("vehicle.audi.tt", "walker.pedestrian.0002", "static.prop.mailbox", "sensor.camera.rgb", "sensor.other.gnss",
       "static.trigger.friction")  # fmt: skip


def test_nobody_is_spawned_nowhere(world: carla.World) -> None:
    before = len(world.get_actors())
    for blueprint in map(world.get_blueprint_library().find, IDS):
        for edge in (NAN, INF, 1e30, -1e7):
            for place in (carla.Transform(carla.Location(x=edge)), carla.Transform(carla.Location(z=edge))):
                with pytest.raises(RuntimeError, match="location"):
                    world.spawn_actor(blueprint, place)
                assert world.try_spawn_actor(blueprint, place) is None
        with pytest.raises(RuntimeError, match="rotation"):
            world.spawn_actor(blueprint, carla.Transform(carla.Location(), carla.Rotation(yaw=NAN)))
    whole(world)
    assert len(world.get_actors()) == before


def orders(car: carla.Vehicle, walker: carla.Walker, light: carla.TrafficLight, edge: float) -> list[Callable[[], Any]]:
    """All that can be asked of actors with such a number in it."""
    v, spot = carla.Vector3D(edge, 1.0, 0.0), carla.Location(edge, 0.0, 0.0)
    lifted, turned = carla.Vector3D(0.0, 0.0, edge), carla.Rotation(pitch=edge, yaw=edge)
    out: list[Callable[[], Any]] = [
        lambda: car.apply_control(carla.VehicleControl(throttle=edge, steer=edge, brake=edge)),
        lambda: car.apply_ackermann_control(carla.VehicleAckermannControl(steer=edge, speed=edge, acceleration=edge)),
        lambda: car.apply_ackermann_controller_settings(carla.AckermannControllerSettings(speed_kp=edge)),
        lambda: walker.apply_control(carla.WalkerControl(carla.Vector3D(1.0, 0.0, 0.0), edge, False)),
        lambda: walker.apply_control(carla.WalkerControl(v, 1.0, True)),
        lambda: light.set_green_time(edge), lambda: light.set_red_time(edge), lambda: light.set_yellow_time(edge),
    ]  # fmt: skip
    for actor in (car, walker):
        for order in (
            actor.set_target_velocity, actor.set_target_angular_velocity, actor.enable_constant_velocity, actor.add_impulse,
            actor.add_force, actor.add_angular_impulse, actor.add_torque,
        ):  # fmt: skip
            out += [lambda order=order: order(v), lambda order=order: order(lifted)]
        out += [
            actor.disable_constant_velocity,
            lambda actor=actor: actor.set_location(spot),
            lambda actor=actor: actor.set_transform(carla.Transform(spot)),
            lambda actor=actor: actor.set_transform(carla.Transform(actor.get_location(), turned)),
        ]
    return out


def test_orders_that_nobody_can_carry_out(world: carla.World) -> None:
    """Whatever is asked of a car and a walker, once and many times, all stay within the world; another car drives on."""
    points = world.get_map().get_spawn_points()
    other = spawned(world, "vehicle.tesla.model3", 40)
    light = world.get_actors().filter("traffic.traffic_light")[0]
    for edge in EDGES:
        car = spawned(world, "vehicle.audi.tt", 3)
        walker = spawned(world, "walker.pedestrian.0002", up(points[20], 1.0))
        other.set_transform(points[40])
        other.set_target_velocity(carla.Vector3D())
        ticked(world, 5)
        other.apply_control(carla.VehicleControl(throttle=0.5))
        for order in orders(car, walker, light, edge):
            order()
            world.tick()
        for order in orders(car, walker, light, edge):
            for _ in range(5):
                order()
        whole(world, car, walker, other)
        assert other.get_velocity().length() > 3.0, edge
        car.destroy()
        walker.destroy()
        world.tick()


def test_physics_that_no_vehicle_has(world: carla.World) -> None:
    car = car_at(world)
    first = car.get_physics_control()
    for name in ("mass", "drag_coefficient", "max_rpm", "final_ratio", "moi"):
        for edge in (NAN, INF, *((0.0, -1.0) if name == "mass" else ())):
            control = car.get_physics_control()
            setattr(control, name, edge)
            car.apply_physics_control(control)
            world.tick()
            assert getattr(car.get_physics_control(), name) == getattr(first, name), (name, edge)
    control = car.get_physics_control()
    wheels = control.wheels
    wheels[0].tire_friction = NAN
    control.wheels = wheels
    car.apply_physics_control(control)
    car.apply_control(carla.VehicleControl(throttle=1.0))
    ticked(world, 20)
    assert car.get_velocity().length() > 1.0
    whole(world, car)


def test_steps_that_cannot_be(world: carla.World) -> None:
    for step in (INF, 1e-9, 1e9):
        settings = world.get_settings()
        settings.fixed_delta_seconds = step
        with pytest.raises(RuntimeError, match="fixed_delta_seconds"):
            world.apply_settings(settings)
    assert world.get_settings().fixed_delta_seconds == 0.05
    for step in (0.0, -0.05, NAN):  # of which the client itself makes "no fixed step"
        settings.fixed_delta_seconds = step
        world.apply_settings(settings)
        assert world.get_settings().fixed_delta_seconds is None
        whole(world)


BAD = [
    ("sensor.camera.rgb", "image_size_x", (0, -1, 100_000)), ("sensor.camera.depth", "image_size_y", (0, 100_000)),
    ("sensor.camera.rgb", "fov", (0, 180, "nan")), ("sensor.lidar.ray_cast", "channels", (0, -1, 100_000)),
    ("sensor.lidar.ray_cast", "range", (0, "nan")), ("sensor.lidar.ray_cast", "points_per_second", (0, 10**9)),
    ("sensor.lidar.ray_cast", "rotation_frequency", (0, "nan", -1)), ("sensor.other.radar", "range", ("nan", -5)),
    ("sensor.other.imu", "noise_accel_stddev_x", ("nan",)), ("sensor.camera.rgb", "sensor_tick", (-1, "nan")),
]  # fmt: skip


def test_sensors_that_cannot_be(world: carla.World) -> None:
    for id_, name, values in BAD:
        for value in values:
            with pytest.raises(RuntimeError, match=name):
                spawned(world, id_, carla.Transform(), **{name: value})
    world.tick()


def test_smallest_sensors_work(world: carla.World) -> None:
    """One pixel, one channel, one point a second: something comes, in the right size."""
    above = carla.Transform(carla.Location(z=30.0), carla.Rotation(pitch=-90.0))
    camera = Listening(spawned(world, "sensor.camera.rgb", above, image_size_x=1, image_size_y=1))
    lidar = Listening(spawned(world, "sensor.lidar.ray_cast", above, channels=1, points_per_second=1, range=0.1))
    frame = world.tick()
    image = camera.until(frame)
    assert (image.width, image.height, len(image.raw_data)) == (1, 1, 4)
    assert lidar.until(frame).channels == 1


def test_lights_take_any_number_of_flags(served: Served, world: carla.World) -> None:
    """A flag that nobody knows comes back as it was; and a TrafficManager's question can always be answered."""
    car = car_at(world)
    car.set_light_state(carla.VehicleLightState(0x7FFFFFFF))
    world.tick()
    assert int(car.get_light_state()) == 0x7FFFFFFF
    assert int(world.get_vehicles_light_states()[car.id]) == 0x7FFFFFFF


def test_weather_at_the_edge_can_be_seen(world: carla.World) -> None:
    camera = Listening(spawned(world, "sensor.camera.rgb", up(world.get_map().get_spawn_points()[3], 2.0), image_size_x=32,
                               image_size_y=24))  # fmt: skip
    good = world.get_weather()
    for edge in EDGES:
        world.set_weather(carla.WeatherParameters(*[edge] * 14))
        image = camera.until(world.tick())
        assert np.frombuffer(image.raw_data, np.uint8).reshape(-1, 4)[:, :3].std() > 0.0
    world.set_weather(good)
    synchronous(world)
    whole(world)
