"""The recorder and the replayer through the stock client (needs 33)."""

import carla
import pytest

from tests.carla_server import Served
from tests.carla_steps import spawned, synchronous, ticked

pytestmark = pytest.mark.carla


def drive_into_another(world: carla.World) -> tuple[carla.Actor, carla.Actor]:
    """Five seconds: a car runs into one that stands 12 m ahead."""
    point = world.get_map().get_spawn_points()[3]
    ahead = carla.Transform(point.location + point.get_forward_vector() * 14.0, point.rotation)
    car = spawned(world, "vehicle.tesla.model3", point, role_name="hero")
    other = spawned(world, "vehicle.audi.tt", ahead)
    ticked(world, 20)
    car.set_target_velocity(point.get_forward_vector() * 8.0)
    ticked(world, 80)
    return car, other


def stop(client: carla.Client) -> None:
    """End the recording. The client does not wait for it, and `world` has a connection of its own."""
    client.stop_recorder()
    client.get_server_version()


def test_what_is_recorded_can_be_told(served: Served, world: carla.World) -> None:
    client = served.client()
    assert client.start_recorder("told.rec").endswith("told.rec")
    car, other = drive_into_another(world)
    stop(client)
    world.tick()
    text = client.show_recorder_file_info("told.rec", False)
    assert "Map: town_a" in text and "Frames: 100" in text
    assert f"Create {car.id}: vehicle.tesla.model3 (h)" in text
    assert "role_name = hero" in text
    hits = client.show_recorder_collisions("told.rec", "h", "v").splitlines()
    assert any(str(car.id) in line and str(other.id) in line and "h v" in line for line in hits)
    assert str(car.id) not in "\n".join(
        client.show_recorder_collisions("told.rec", "w", "a").splitlines()[5:-3]
    )  # but the end: numbers, too
    blocked = client.show_recorder_actors_blocked("told.rec", 0.5, 50.0)
    assert "vehicle.audi.tt" in blocked


def test_a_replay_goes_the_same_way(served: Served, world: carla.World) -> None:
    client = served.client()
    client.start_recorder("again.rec")
    car, _ = drive_into_another(world)
    stop(client)
    end, kind = car.get_transform(), car.type_id
    world = synchronous(client.load_world("town_a"))
    client.set_replayer_time_factor(1.0)
    client.set_replayer_ignore_hero(False)
    assert "again.rec" in client.replay_file("again.rec", 0.0, 0.0, 0)
    ticked(world, 99)
    again = [a for a in world.get_actors().filter("vehicle.*") if a.type_id == kind]
    assert len(again) == 1
    assert again[0].get_location().distance(end.location) < 0.02
    client.stop_replayer(False)


def test_a_replay_can_begin_later_and_go_faster(served: Served, world: carla.World) -> None:
    client = served.client()
    client.start_recorder("fast.rec")
    car = spawned(world, "vehicle.tesla.model3", 3)
    ticked(world, 10)
    car.enable_constant_velocity(carla.Vector3D(5.0, 0.0, 0.0))
    ticked(world, 90)
    stop(client)
    start = car.get_location()
    world = synchronous(client.load_world("town_a"))
    client.set_replayer_time_factor(2.0)
    client.replay_file("fast.rec", 2.0, 2.0, 0)
    world.tick()
    again = world.get_actors().filter("vehicle.*")[0]
    first = again.get_location()
    ticked(world, 15)
    assert again.get_location().distance(first) == pytest.approx(15 * 0.05 * 2.0 * 5.0, abs=0.4)
    client.stop_replayer(True)
    client.set_replayer_time_factor(1.0)
    world.tick()
    assert again.is_alive
    assert start.distance(first) > 1.0


@pytest.mark.parametrize("name", ["missing.rec", "../../etc/passwd", ""])
def test_a_file_that_is_not_there_is_said(served: Served, world: carla.World, name: str) -> None:
    with pytest.raises(RuntimeError, match=r"not found|expected the name"):
        served.client().show_recorder_file_info(name, False)


def test_a_replay_can_leave_the_hero_and_the_spectator_alone(served: Served, world: carla.World) -> None:
    """Need 33: the switches have effect."""
    client = served.client()
    client.start_recorder("alone.rec")
    point = world.get_map().get_spawn_points()[3]
    hero = spawned(world, "vehicle.tesla.model3", point, role_name="hero")
    other = spawned(world, "vehicle.audi.tt", 40)
    ticked(world, 10)
    for car in (hero, other):
        car.enable_constant_velocity(carla.Vector3D(6.0, 0.0, 0.0))
    ticked(world, 60)
    stop(client)
    number = hero.id
    went = hero.get_location().distance(point.location)
    assert went > 10.0
    for ignored in (False, True):
        world = synchronous(client.load_world("town_a"))
        client.set_replayer_ignore_hero(ignored)
        client.set_replayer_ignore_spectator(ignored)
        before = world.get_spectator().get_transform().location
        client.replay_file("alone.rec", 0.0, 0.0, number)
        ticked(world, 69)
        cars = {car.type_id: car for car in world.get_actors().filter("vehicle.*")}
        moved = cars["vehicle.tesla.model3"].get_location().distance(point.location)
        assert (moved < 1.0) if ignored else (moved == pytest.approx(went, abs=1.0))
        assert cars["vehicle.audi.tt"].get_velocity().length() == pytest.approx(6.0, abs=0.5)
        followed = world.get_spectator().get_transform().location.distance(before)
        assert (followed < 0.01) if ignored else (followed > 1.0)
        client.stop_replayer(False)
    client.set_replayer_ignore_hero(False)
    client.set_replayer_ignore_spectator(False)
