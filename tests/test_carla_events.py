"""Sensors of motion and of events through the stock client."""

import math

import carla
import numpy as np
import pytest

from tests.carla_server import Served
from tests.carla_steps import Listening, car_at, spawned, ticked

pytestmark = pytest.mark.carla
HERE = carla.Transform

# ------------------------------------------------ motion


def test_imu_at_rest_feels_gravity_and_knows_where_north_is(world: carla.World) -> None:
    car = car_at(world)
    listening = Listening(spawned(world, "sensor.other.imu", HERE(), car))
    data = listening.until(world.tick())
    a, g = data.accelerometer, data.gyroscope
    assert (a.x, a.y) == pytest.approx((0.0, 0.0), abs=0.3) and a.z == pytest.approx(9.81, abs=0.05)
    assert (g.x, g.y, g.z) == pytest.approx((0.0, 0.0, 0.0), abs=1e-3)
    ahead = car.get_transform().get_forward_vector()
    assert data.compass == pytest.approx(math.atan2(ahead.x, -ahead.y) % (2.0 * math.pi), abs=1e-3)
    listening.sensor.stop()


def test_imu_feels_turns_and_brakes(world: carla.World) -> None:
    car = car_at(world)
    listening = Listening(spawned(world, "sensor.other.imu", HERE(), car))
    car.set_target_velocity(car.get_transform().get_forward_vector() * 8.0)
    car.apply_control(carla.VehicleControl(steer=0.2))
    ticked(world, 12)
    data = listening.until(world.tick())
    rate = math.radians(car.get_angular_velocity().z)
    assert rate > 0.05
    assert data.gyroscope.z == pytest.approx(rate, abs=0.05)
    assert data.accelerometer.y > 0.5  # to the right, where the turn's centre is
    car.apply_control(carla.VehicleControl(brake=0.5))
    ticked(world, 5)
    assert listening.until(world.tick()).accelerometer.x < -2.0
    listening.sensor.stop()


def test_noise_is_what_the_attributes_say(world: carla.World) -> None:
    """Need 13."""
    car = car_at(world)
    sigma = {f"noise_accel_stddev_{axis}": 0.5 for axis in "xyz"} | {"noise_gyro_bias_z": 0.2, "noise_seed": 5}
    imu = Listening(spawned(world, "sensor.other.imu", HERE(), car, **sigma))
    gnss = Listening(spawned(world, "sensor.other.gnss", HERE(), car, noise_alt_bias=10.0, noise_lat_stddev=1e-5))
    first = world.tick()
    ticked(world, 199)
    a = np.array([[d.accelerometer.x, d.accelerometer.y, d.accelerometer.z] for d in (imu.next() for _ in range(200))])
    assert a.std(axis=0) == pytest.approx(0.5, abs=0.1)
    fixes = [gnss.next() for _ in range(200)]
    assert fixes[0].frame == first
    assert np.std([f.latitude for f in fixes]) == pytest.approx(1e-5, rel=0.25)
    assert np.mean([f.altitude for f in fixes]) == pytest.approx(car.get_location().z + 10.0, abs=0.1)
    imu.sensor.stop(), gnss.sensor.stop()


def test_gnss_follows_the_maps_georeference(world: carla.World) -> None:
    """Need 11: the leaderboard's formula for where a place is (a Mercator map about lat_0, lon_0)."""
    car = car_at(world)
    listening = Listening(spawned(world, "sensor.other.gnss", HERE(), car))
    fix, place = listening.until(world.tick()), car.get_location()
    lat_0, lon_0, earth = 49.0, 8.4, 6378137.0
    scale = math.cos(math.radians(lat_0))
    x = scale * lon_0 * math.pi * earth / 180.0 + place.x
    y = scale * earth * math.log(math.tan((90.0 + lat_0) * math.pi / 360.0)) - place.y
    assert fix.longitude == pytest.approx(x * 180.0 / (math.pi * earth * scale), abs=1e-9)
    assert fix.latitude == pytest.approx(360.0 * math.atan(math.exp(y / (earth * scale))) / math.pi - 90.0, abs=1e-9)
    listening.sensor.stop()


# ------------------------------------------------ events


def test_a_collision_is_reported_and_felt(world: carla.World) -> None:
    """Needs 5 and 18: both cars say who the other is; momentum is kept, and the one that stood moves on."""
    point = world.get_map().get_spawn_points()[3]
    car, other = car_at(world), None
    ahead = HERE(point.location + point.get_forward_vector() * 12.0, point.rotation)
    other = spawned(world, "vehicle.audi.tt", ahead)
    ticked(world, 15)
    sensors = [Listening(spawned(world, "sensor.other.collision", HERE(), a)) for a in (car, other)]
    car.set_target_velocity(point.get_forward_vector() * 9.0)
    ticked(world, 40)
    events = [s.next() for s in sensors]
    assert [(e.actor.id, e.other_actor.id) for e in events] == [(car.id, other.id), (other.id, car.id)]
    assert events[0].other_actor.type_id == "vehicle.audi.tt"
    assert events[0].frame == events[1].frame
    push = events[1].normal_impulse
    assert math.hypot(push.x, push.y) == pytest.approx(
        math.hypot(events[0].normal_impulse.x, events[0].normal_impulse.y), rel=0.01
    )
    assert push.dot(point.get_forward_vector()) > 1000.0
    assert other.get_location().distance(ahead.location) > 0.5
    for s in sensors:
        s.sensor.stop()


def test_running_into_a_building_is_a_collision_with_something_static(world: carla.World) -> None:
    buildings = world.get_environment_objects(carla.CityObjectLabel.Buildings)
    point = world.get_map().get_spawn_points()[3]
    house = min(buildings, key=lambda b: b.transform.location.distance(point.location))
    at = house.transform.location
    aim = math.degrees(math.atan2(at.y - point.location.y, at.x - point.location.x))
    car = spawned(world, "vehicle.ringroad.sedan", HERE(point.location, carla.Rotation(yaw=aim)))
    ticked(world, 20)
    listening = Listening(spawned(world, "sensor.other.collision", HERE(), car))
    car.enable_constant_velocity(carla.Vector3D(10.0, 0.0, 0.0))
    ticked(world, 120)
    event = listening.next()
    assert event.other_actor.type_id.startswith("static.")
    assert event.other_actor.id == 0
    listening.sensor.stop()


def test_an_obstacle_ahead_is_named_with_its_distance(world: carla.World) -> None:
    point = world.get_map().get_spawn_points()[3]
    car = car_at(world)
    other = spawned(world, "vehicle.audi.tt", HERE(point.location + point.get_forward_vector() * 10.0, point.rotation))
    at = HERE(carla.Location(2.0, 0.0, 0.6))
    listening = Listening(spawned(world, "sensor.other.obstacle", at, car, distance=15.0, only_dynamics=True))
    ticked(world, 10)
    event = listening.until(world.tick())
    assert event.other_actor.id == other.id
    assert event.distance == pytest.approx(10.0 - 2.0 - other.bounding_box.extent.x, abs=0.8)
    listening.sensor.stop()


def test_lane_invasion_is_seen_by_the_client(world: carla.World) -> None:
    car = car_at(world)
    listening = Listening(spawned(world, "sensor.other.lane_invasion", HERE(), car))
    ahead, right = car.get_transform().get_forward_vector(), car.get_transform().get_right_vector()
    for _ in range(60):
        car.set_target_velocity(ahead * 5.0 - right * 2.5)
        world.tick()
    event = listening.next()
    assert event.crossed_lane_markings
    listening.sensor.stop()


def test_several_clients_hear_one_sensor(served: Served, world: carla.World) -> None:
    car = car_at(world)
    sensor = spawned(world, "sensor.other.gnss", HERE(), car)
    world.tick()
    others = [served.client().get_world().get_actor(sensor.id) for _ in range(3)]
    listening = [Listening(s) for s in (sensor, *others)]
    frames = [world.tick() for _ in range(10)]
    for each in listening:
        assert [each.next().frame for _ in range(10)] == frames
    for each in listening:
        each.sensor.stop()


def test_a_car_throws_a_walker_of_the_crowd(world: carla.World) -> None:
    """One with a `controller.ai.walker`, which says each tick where it is to be."""
    point = world.get_map().get_spawn_points()[3]
    ahead = point.get_forward_vector()
    walker = spawned(world, "walker.pedestrian.0001", HERE(point.location + ahead * 15.0 + carla.Location(z=1.0)))
    world.tick()
    mind = spawned(world, "controller.ai.walker", HERE(), walker)
    world.tick()
    mind.start()
    mind.set_max_speed(0.0)
    ticked(world, 3)
    stood = walker.get_location()
    car = spawned(world, "vehicle.tesla.model3", HERE(stood - ahead * 12.0 - carla.Location(z=0.4), point.rotation))
    hits: list[carla.CollisionEvent] = []
    sensor = spawned(world, "sensor.other.collision", HERE(), car)
    sensor.listen(hits.append)
    ticked(world, 5)
    car.set_target_velocity(ahead * 10.0)
    ticked(world, 40)
    assert {event.other_actor.id for event in hits} == {walker.id}
    assert 400.0 < hits[0].normal_impulse.length() < 1500.0  # of a person of 75 kg, not of a wall
    assert walker.get_location().distance(stood) > 5.0
    mind.stop()
    sensor.stop()
    world.tick()
