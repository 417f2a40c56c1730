"""What the world snapshot says of actors that are carried, and of lights; and when that of a new episode goes out."""

import socket
import struct
from typing import Any

import carla
import msgpack
import pytest

from tests.carla_server import Served
from tests.carla_steps import car_at, spawned, ticked

MOUNT = carla.Transform(carla.Location(x=1.5, y=-0.4, z=2.0), carla.Rotation(pitch=-15.0, yaw=40.0))
OTHER = carla.Transform(carla.Location(x=-2.0, z=3.0), carla.Rotation(yaw=180.0))

pytestmark = pytest.mark.carla


def off_m(carried: carla.Actor, carrier: carla.Actor, mount: carla.Transform) -> float:
    """How far the carried actor is from where its carrier has it: of its origin and of a point a metre ahead of it."""
    base, own = carrier.get_transform(), carried.get_transform()

    def away_m(x_m: float) -> float:
        where = own.transform(carla.Location(x=x_m))  # which changes what it is given
        return float(where.distance(base.transform(mount.transform(carla.Location(x=x_m)))))

    return max(away_m(0.0), away_m(1.0))


def test_what_is_fixed_to_a_car_goes_where_the_car_goes(world: carla.World) -> None:
    """Also one fixed to what is fixed, and after it has been put elsewhere on the car."""
    car = car_at(world)
    camera = spawned(world, "sensor.camera.rgb", MOUNT, car)
    onto = spawned(world, "sensor.other.imu", OTHER, camera)
    start = car.get_location()
    car.apply_control(carla.VehicleControl(throttle=0.8, steer=0.15))
    for _ in range(10):
        ticked(world, 6)
        assert off_m(camera, car, MOUNT) < 2e-3
        assert off_m(onto, camera, OTHER) < 2e-3
        assert camera.get_velocity() == car.get_velocity()
    assert car.get_location().distance(start) > 10.0
    camera.set_transform(OTHER)
    ticked(world, 5)
    assert off_m(camera, car, OTHER) < 2e-3


def test_a_spring_arm_stays_level(world: carla.World) -> None:
    car = car_at(world)
    blueprint = world.get_blueprint_library().find("sensor.camera.rgb")
    arm = world.spawn_actor(blueprint, OTHER, attach_to=car, attachment_type=carla.AttachmentType.SpringArm)
    base = car.get_transform()
    car.set_transform(carla.Transform(base.location, carla.Rotation(pitch=10.0, yaw=base.rotation.yaw)))
    car.set_simulate_physics(False)
    ticked(world, 2)
    assert car.get_transform().rotation.pitch == pytest.approx(10.0, abs=0.1)
    assert arm.get_transform().rotation.pitch == pytest.approx(0.0, abs=0.1)
    ahead = car.get_transform().location - arm.get_transform().location
    assert ahead.x**2 + ahead.y**2 == pytest.approx(4.0, abs=0.01) and ahead.z == pytest.approx(-3.0, abs=0.01)


def test_a_light_that_is_set_shows_in_the_same_tick_to_who_stands_before_it(world: carla.World) -> None:
    """Nobody who asks in one tick for the light and for what it tells the car gets two answers."""
    light = world.get_actors().filter("traffic.traffic_light")[0]
    stop = light.get_stop_waypoints()[0].transform
    car = spawned(world, "vehicle.tesla.model3", carla.Transform(stop.location + carla.Location(z=0.3), stop.rotation))
    ticked(world, 20)
    assert car.is_at_traffic_light()
    for state in (carla.TrafficLightState.Green, carla.TrafficLightState.Red, carla.TrafficLightState.Yellow):
        car.get_traffic_light().set_state(state)
        ticked(world, 1)
        assert car.get_traffic_light().get_state() == car.get_traffic_light_state() == state


def test_a_loaded_episode_is_told_of_by_its_first_tick_alone(served: Served, world: carla.World) -> None:
    """A client that is told of it over its old subscription while it takes up the new one crashes: it ends its
    TrafficManager in two threads at once."""
    stream = socket.create_connection(("127.0.0.1", served.stream_port), timeout=10.0)
    calls = socket.create_connection(("127.0.0.1", served.port), timeout=60.0)
    with stream, calls:
        stream.sendall((1).to_bytes(4, "little"))
        before = episode_of(stream)
        assert asked(calls, "load_new_episode", "town_b", False, 0xFFFF) == [[False]]
        stream.settimeout(0.3)
        with pytest.raises(TimeoutError):
            stream.recv(1)
        stream.settimeout(10.0)
        asked(calls, "tick_cue")
        assert episode_of(stream) == before + 1


def asked(sock: socket.socket, method: str, *arguments: Any) -> Any:
    """The answer to a call that is sent by hand."""
    sock.sendall(msgpack.packb([0, 1, method, [[False], *arguments]]))
    unpacker = msgpack.Unpacker()
    while True:
        unpacker.feed(sock.recv(1 << 16))
        for _, _, _, result in unpacker:
            return result


def episode_of(stream: socket.socket) -> int:
    """The episode's number in the next snapshot of a stream."""
    (length,) = struct.unpack("<I", stream.recv(4, socket.MSG_WAITALL))
    return int(struct.unpack_from("<Q", stream.recv(length, socket.MSG_WAITALL), 48)[0])
