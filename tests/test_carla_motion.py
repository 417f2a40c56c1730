"""Actors that move, through the stock client: controls, impulses, physics, what their records say."""

import carla
import numpy as np
import pytest

from tests.carla_steps import STEP_S, spawned, speed, straight_m, ticked, up

pytestmark = pytest.mark.carla


def test_full_throttle_and_full_brake(world: carla.World) -> None:
    """A sedan reaches 10 m/s in 1.5 to 4 s, and stops from it within a dry road's distance v^2 / (2 mu g)."""
    point = max(world.get_map().get_spawn_points(), key=lambda p: straight_m(world, p))
    car = spawned(world, "vehicle.ringroad.sedan", point, dynamics="ringroad")
    ticked(world, 20)
    car.apply_control(carla.VehicleControl(throttle=1.0))
    ticks = 0
    while speed(car) < 10.0 and ticks < 200:
        world.tick()
        ticks += 1
    assert 1.5 < ticks * STEP_S < 4.0
    start, v = car.get_location(), speed(car)
    car.apply_control(carla.VehicleControl(brake=1.0))
    ticked(world, 60)
    assert speed(car) < 0.01
    assert car.get_location().distance(start) == pytest.approx(v * v / (2.0 * 1.0 * 9.81), rel=0.35)
    assert car.get_control().brake == 1.0


def test_steering_right_turns_to_the_right(world: carla.World) -> None:
    car = spawned(world, "vehicle.ringroad.sedan", 3, dynamics="ringroad")
    ticked(world, 20)
    before = car.get_transform()
    car.apply_control(carla.VehicleControl(throttle=0.6, steer=0.5))
    ticked(world, 30)
    aside = (car.get_location() - before.location).dot(before.get_right_vector())
    assert aside > 0.3
    assert car.get_angular_velocity().z > 1.0  # degrees a second, clockwise seen from above
    assert car.get_wheel_steer_angle(carla.VehicleWheelLocation.FL_Wheel) == pytest.approx(17.5, abs=1.0)


def test_reverse_gear_and_hand_brake(world: carla.World) -> None:
    car = spawned(world, "vehicle.ringroad.sedan", 3, dynamics="ringroad")
    ticked(world, 20)
    start = car.get_transform()
    car.apply_control(carla.VehicleControl(throttle=0.5, reverse=True))
    ticked(world, 30)
    assert (car.get_location() - start.location).dot(start.get_forward_vector()) < -0.5
    assert car.get_control().reverse and car.get_control().gear == -1
    car.apply_control(carla.VehicleControl(hand_brake=True))
    ticked(world, 40)
    assert speed(car) < 0.02


def test_constant_velocity_holds_against_everything(world: carla.World) -> None:
    """Need 24."""
    car = spawned(world, "vehicle.tesla.model3", 3)
    ticked(world, 20)
    car.enable_constant_velocity(carla.Vector3D(4.0, 0.0, 0.0))
    start = car.get_location()
    ticked(world, 40)
    assert car.get_location().distance(start) == pytest.approx(8.0, abs=0.3)
    car.disable_constant_velocity()
    car.apply_control(carla.VehicleControl(brake=1.0))
    ticked(world, 30)
    assert speed(car) < 0.02


def test_velocity_of_what_is_teleported(world: carla.World) -> None:
    """Need 16: a TrafficManager moves far vehicles by hand; their speed is that of the way from place to place."""
    car = spawned(world, "vehicle.tesla.model3", 3)
    car.set_simulate_physics(False)
    world.tick()
    place, ahead = car.get_transform(), car.get_transform().get_forward_vector()
    for _ in range(10):
        place.location += ahead * 0.4
        car.set_transform(place)
        world.tick()
    assert speed(car) == pytest.approx(8.0, abs=0.1)
    assert car.get_location().distance(place.location) < 1e-3
    ticked(world, 2)
    assert speed(car) < 0.01


def test_without_physics_an_actor_stays_put(world: carla.World) -> None:
    """Need 15."""
    car = spawned(world, "vehicle.tesla.model3", up(world.get_map().get_spawn_points()[3], 5.0))
    car.set_simulate_physics(False)
    world.tick()
    before = car.get_location()
    car.apply_control(carla.VehicleControl(throttle=1.0))
    ticked(world, 20)
    assert car.get_location().distance(before) < 1e-3
    car.set_simulate_physics(True)
    ticked(world, 40)
    assert car.get_location().z < before.z - 4.0


def test_an_impulse_is_a_change_of_momentum(world: carla.World) -> None:
    """Need 29: F dt = m dv, along and upwards."""
    car = spawned(world, "vehicle.tesla.model3", 3)
    ticked(world, 20)
    mass = car.get_physics_control().mass
    ground, top = car.get_location().z, 0.0
    car.add_impulse(carla.Vector3D(0.0, 0.0, mass * 4.0))
    for _ in range(30):
        world.tick()
        top = max(top, car.get_location().z - ground)
    assert top == pytest.approx(4.0**2 / (2.0 * 9.81), rel=0.15)
    ahead = car.get_transform().get_forward_vector()
    car.add_impulse(ahead * mass * 5.0)
    world.tick()
    assert speed(car) == pytest.approx(5.0, abs=0.5)


def test_a_force_accelerates(world: carla.World) -> None:
    car = spawned(world, "vehicle.tesla.model3", 3)
    ticked(world, 20)
    mass, ahead = car.get_physics_control().mass, car.get_transform().get_forward_vector()
    for _ in range(20):
        car.add_force(ahead * mass * 3.0)
        world.tick()
    assert speed(car) == pytest.approx(3.0, abs=0.5)


def test_ackermann_control_reaches_its_speed(world: carla.World) -> None:
    car = spawned(world, "vehicle.ringroad.sedan", 3, dynamics="ringroad")
    ticked(world, 20)
    settings = carla.AckermannControllerSettings(0.2, 0.1, 0.2, 0.02, 0.0, 0.01)
    car.apply_ackermann_controller_settings(settings)
    assert car.get_ackermann_controller_settings() == settings
    car.apply_ackermann_control(carla.VehicleAckermannControl(speed=5.0, acceleration=2.0))
    ticked(world, 70)
    assert speed(car) == pytest.approx(5.0, abs=0.4)
    car.apply_ackermann_control(carla.VehicleAckermannControl(speed=0.0))
    ticked(world, 80)
    assert speed(car) < 0.1


def test_walkers_walk_where_they_are_told(world: carla.World) -> None:
    """Need 25: direction times speed."""
    walker = spawned(world, "walker.pedestrian.0004", 6)
    ticked(world, 20)
    start = walker.get_transform()
    way = start.get_right_vector()
    walker.apply_control(carla.WalkerControl(direction=way, speed=1.4))
    ticked(world, 40)
    assert (walker.get_location() - start.location).dot(way) == pytest.approx(2.8, abs=0.15)
    assert walker.get_velocity().dot(way) == pytest.approx(1.4, abs=0.05)
    assert walker.get_control().speed == pytest.approx(1.4)
    walker.apply_control(carla.WalkerControl(speed=0.0))
    ticked(world, 5)
    assert speed(walker) < 0.02


def test_physics_control_goes_there_and_back(world: carla.World) -> None:
    car = spawned(world, "vehicle.tesla.model3", 3)
    control = car.get_physics_control()
    assert len(control.wheels) == 4 and control.mass > 1000.0
    control.mass, control.drag_coefficient, control.max_rpm = 2500.0, 0.5, 7000.0
    control.torque_curve = [carla.Vector2D(0.0, 400.0), carla.Vector2D(5000.0, 400.0)]
    wheels = control.wheels
    wheels[0].tire_friction = wheels[1].tire_friction = 2.0
    control.wheels = wheels
    car.apply_physics_control(control)
    world.tick()
    found = car.get_physics_control()
    assert (found.mass, found.drag_coefficient, found.max_rpm) == (2500.0, 0.5, 7000.0)
    assert [(p.x, p.y) for p in found.torque_curve] == [(0.0, 400.0), (5000.0, 400.0)]
    assert [w.tire_friction for w in found.wheels] == [2.0, 2.0, 3.5, 3.5]


def test_physics_control_has_effect(world: carla.World) -> None:
    """Twice the mass with the same engine: half the acceleration. Wheels that cannot steer do not."""
    points = world.get_map().get_spawn_points()
    light, heavy = (spawned(world, "vehicle.tesla.model3", points[k]) for k in (3, 12))
    control = heavy.get_physics_control()
    control.mass *= 2.0
    heavy.apply_physics_control(control)
    ticked(world, 20)
    for car in (light, heavy):
        car.apply_control(carla.VehicleControl(throttle=0.4))
    ticked(world, 30)
    assert speed(heavy) == pytest.approx(0.5 * speed(light), rel=0.2)


def test_a_friction_patch_is_slippery(world: carla.World) -> None:
    """Need 27."""
    point = max(world.get_map().get_spawn_points(), key=lambda p: straight_m(world, p))
    middle = carla.Transform(point.location + point.get_forward_vector() * 20.0)
    spawned(world, "static.trigger.friction", middle, friction=0.1, extent_x=4000.0, extent_y=4000.0, extent_z=500.0)
    car = spawned(world, "vehicle.ringroad.sedan", point, dynamics="ringroad")
    ticked(world, 20)
    car.set_target_velocity(point.get_forward_vector() * 10.0)
    world.tick()
    car.apply_control(carla.VehicleControl(brake=1.0))
    ticked(world, 20)
    assert speed(car) > 7.0


def test_telemetry_tells_of_speed_and_load(world: carla.World) -> None:
    car = spawned(world, "vehicle.tesla.model3", 3)
    ticked(world, 20)
    data = car.get_telemetry_data()
    assert len(data.wheels) == 4
    weight = car.get_physics_control().mass * 9.81
    assert sum(w.tire_load for w in data.wheels) == pytest.approx(weight, rel=0.01)
    car.apply_control(carla.VehicleControl(throttle=0.8))
    ticked(world, 30)
    data = car.get_telemetry_data()
    assert data.speed == pytest.approx(speed(car), abs=0.1)
    assert data.throttle == pytest.approx(0.8, abs=1e-6)


def test_lights_and_doors(world: carla.World) -> None:
    car = spawned(world, "vehicle.tesla.model3", 3)
    wanted = carla.VehicleLightState(carla.VehicleLightState.LowBeam | carla.VehicleLightState.LeftBlinker)
    car.set_light_state(wanted)
    world.tick()
    assert car.get_light_state() == wanted
    assert world.get_vehicles_light_states()[car.id] == wanted
    car.open_door(carla.VehicleDoor.FL)
    car.close_door(carla.VehicleDoor.All)


def test_speed_limits_follow_the_map(world: carla.World) -> None:
    """Need 22: the limit in a vehicle's record is that of its lane; also for one without physics."""
    for id_, k in (("vehicle.tesla.model3", 3), ("vehicle.audi.tt", 40)):
        car = spawned(world, id_, k)
        car.set_simulate_physics(k != 40)
        ticked(world, 12)
        assert car.get_speed_limit() in np.arange(10.0, 140.0, 5.0)
        assert car.get_speed_limit() > 25.0
