"""The server as a whole, seen by the stock client: maps, settings, ticks, snapshots, weather, several clients."""

import math
import threading
import time
from itertools import pairwise
from typing import Any

import carla
import numpy as np
import pytest

from tests.carla_server import Served
from tests.carla_steps import STEP_S, Listening, spawned, ticked

pytestmark = pytest.mark.carla


def test_version_is_the_clients(served: Served) -> None:
    client = served.client()
    assert client.get_server_version() == client.get_client_version() == "0.9.16"


@pytest.mark.slow
def test_maps_are_named_and_loaded_by_their_bare_name(served: Served) -> None:
    client = served.client()
    names = {name.rsplit("/", 1)[-1] for name in client.get_available_maps()}
    assert {"town_a", "oldtown", "highway", "rural"} <= names
    world = client.load_world("rural")
    assert world.get_map().name.rsplit("/", 1)[-1] == "rural"
    assert client.load_world_if_different("rural") is None


def test_a_reload_is_a_fresh_episode_of_the_same_map(served: Served, world: carla.World) -> None:
    client = served.client()
    car = world.spawn_actor(
        world.get_blueprint_library().find("vehicle.audi.tt"), world.get_map().get_spawn_points()[0]
    )
    world.tick()
    fresh = client.reload_world(False)
    assert fresh.id != world.id and fresh.get_map().name == world.get_map().name
    fresh.tick()
    assert car.id not in {actor.id for actor in fresh.get_actors()}
    assert fresh.get_settings().synchronous_mode


def test_an_unknown_map_is_refused_and_nothing_changes(served: Served, world: carla.World) -> None:
    before = world.id
    with pytest.raises(RuntimeError, match=r"Nowhere.*expected one of.*town_a"):
        served.client().load_world("Nowhere")
    assert served.client().get_world().id == before


@pytest.mark.slow
def test_carlas_towns_that_are_not_there_are_stood_in_for(served: Served) -> None:
    world = served.client().load_world("Town10HD_Opt")
    assert world.get_map().name.rsplit("/", 1)[-1] == "Town10HD_Opt"
    assert len(world.get_map().get_spawn_points()) > 20


@pytest.mark.slow
def test_a_world_of_ones_own_opendrive(served: Served) -> None:
    client = served.client()
    text = client.load_world("rural").get_map().to_opendrive()
    world = client.generate_opendrive_world(text, carla.OpendriveGenerationParameters())
    assert world.get_map().name.rsplit("/", 1)[-1] == "OpenDriveMap"
    assert world.get_map().to_opendrive() == text
    with pytest.raises(RuntimeError, match="cannot be read"):
        client.generate_opendrive_world("<OpenDRIVE><road>", carla.OpendriveGenerationParameters())


def test_spawn_points_lie_on_lanes_and_are_free(world: carla.World) -> None:
    points = world.get_map().get_spawn_points()
    assert len(points) >= 50
    for point in points[:60]:
        lane = world.get_map().get_waypoint(point.location, project_to_road=True)
        assert lane.transform.location.distance(point.location) < 0.5
        assert math.cos(math.radians(lane.transform.rotation.yaw - point.rotation.yaw)) > 0.99
    vehicle = world.get_blueprint_library().find("vehicle.tesla.model3")
    spawned = [world.try_spawn_actor(vehicle, point) for point in points[:60]]
    assert all(spawned)
    for a, b in pairwise(points):
        assert a.location.distance(b.location) > 3.0


def test_each_tick_is_one_frame_and_one_step(world: carla.World) -> None:
    before = world.get_snapshot()
    for k in range(1, 21):
        frame = world.tick()
        now = world.get_snapshot()
        assert now.frame == frame == before.frame + k
        assert now.timestamp.delta_seconds == pytest.approx(STEP_S, abs=1e-7)
        assert now.timestamp.elapsed_seconds == pytest.approx(before.timestamp.elapsed_seconds + k * STEP_S, abs=1e-9)


@pytest.mark.parametrize("step_s", [0.01, 1.0 / 30.0, 0.1])
def test_other_steps_move_the_same_way(world: carla.World, step_s: float) -> None:
    """A car coasts the same distance in two seconds, whatever the step."""
    point = world.get_map().get_spawn_points()[3]
    settings = world.get_settings()
    settings.fixed_delta_seconds = step_s
    world.apply_settings(settings)
    car = world.spawn_actor(world.get_blueprint_library().find("vehicle.tesla.model3"), point)
    ticked(world, round(0.5 / step_s))
    car.set_target_velocity(point.get_forward_vector() * 8.0)
    world.tick()
    start = car.get_location()
    ticked(world, round(2.0 / step_s))
    assert car.get_location().distance(start) == pytest.approx(15.5, abs=0.7)


def test_a_step_that_cannot_be_is_refused(world: carla.World) -> None:
    settings = world.get_settings()
    settings.fixed_delta_seconds = 30.0
    with pytest.raises(RuntimeError, match=r"fixed_delta_seconds: found 30"):
        world.apply_settings(settings)


@pytest.mark.slow
def test_free_running_keeps_up_with_the_clock(served: Served) -> None:
    world = served.client().load_world("rural")
    assert not world.get_settings().synchronous_mode
    first = world.wait_for_tick()
    started = time.perf_counter()
    seen: list[int] = []
    number = world.on_tick(lambda snapshot: seen.append(snapshot.frame))
    while time.perf_counter() - started < 1.0:
        last = world.wait_for_tick()
    world.remove_on_tick(number)
    assert last.timestamp.elapsed_seconds - first.timestamp.elapsed_seconds == pytest.approx(1.0, abs=0.2)
    assert seen == list(range(seen[0], seen[0] + len(seen)))


def test_settings_come_back_as_they_were_set(world: carla.World) -> None:
    settings = world.get_settings()
    settings.no_rendering_mode = True
    settings.substepping = True
    settings.max_substep_delta_time, settings.max_substeps = 0.005, 16
    settings.fixed_delta_seconds = 0.04
    settings.max_culling_distance = 120.0
    world.apply_settings(settings)
    assert world.get_settings() == settings


def test_a_load_can_keep_the_settings(served: Served, world: carla.World) -> None:
    client = served.client()
    world = client.load_world("town_a", reset_settings=False)
    assert world.get_settings().synchronous_mode
    assert world.get_settings().fixed_delta_seconds == pytest.approx(STEP_S)
    world = client.load_world("town_a", reset_settings=True)
    assert not world.get_settings().synchronous_mode
    assert world.get_settings().fixed_delta_seconds in (None, 0.0)


def test_numbers_of_actors_are_never_used_twice(served: Served, world: carla.World) -> None:
    client = served.client()
    point = world.get_map().get_spawn_points()[0]
    old = world.spawn_actor(world.get_blueprint_library().find("static.prop.trafficcone01"), point)
    world.tick()
    seen = {actor.id for actor in world.get_actors()}
    assert old.id in seen
    frame = world.get_snapshot().frame
    world = client.load_world("town_a", reset_settings=False)
    world.tick()
    fresh = {actor.id for actor in world.get_actors()}
    assert fresh and min(fresh) > max(seen)
    assert world.get_snapshot().frame > frame
    assert world.get_snapshot().timestamp.elapsed_seconds <= 3.0 * STEP_S  # the clock starts afresh
    assert client.apply_batch_sync([carla.command.DestroyActor(old.id)])[0].error
    world.tick()
    assert {actor.id for actor in world.get_actors()} == fresh


def test_weather_comes_back_as_it_was_set(world: carla.World) -> None:
    for wanted in (carla.WeatherParameters.ClearNoon, carla.WeatherParameters.HardRainNight):
        world.set_weather(wanted)
        assert world.get_weather() == wanted


def test_geolocation_goes_there_and_back(world: carla.World) -> None:
    here = carla.Location(120.0, -45.0, 3.0)
    there = world.get_map().transform_to_geolocation(here)
    assert there.latitude == pytest.approx(49.0, abs=0.01)
    assert there.longitude == pytest.approx(8.4, abs=0.01)
    assert there.altitude == pytest.approx(3.0)


def test_two_clients_see_one_world(served: Served, world: carla.World) -> None:
    """One ticks, the other waits for its ticks and sees the same frames and actors."""
    other = served.client().get_world()
    car = world.spawn_actor(
        world.get_blueprint_library().find("vehicle.audi.tt"), world.get_map().get_spawn_points()[5]
    )
    seen: list[int] = []
    other.on_tick(lambda snapshot: seen.append(snapshot.frame))
    frames = [world.tick() for _ in range(10)]
    deadline = time.time() + 5.0
    while len(seen) < 10 and time.time() < deadline:
        time.sleep(0.01)
    assert seen[-10:] == frames
    assert car.id in {actor.id for actor in other.get_actors()}
    assert other.get_actor(car.id).get_location().distance(car.get_location()) < 1e-6


def test_a_snapshot_knows_every_actor(world: carla.World) -> None:
    world.tick()
    snapshot = world.get_snapshot()
    ids = {actor.id for actor in world.get_actors()}
    assert {item.id for item in snapshot} == ids
    assert world.get_spectator().id in ids
    assert not snapshot.has_actor(0)


def test_the_spectator_can_be_moved(world: carla.World) -> None:
    wanted = carla.Transform(carla.Location(10.0, -20.0, 30.0), carla.Rotation(-30.0, 75.0, 0.0))
    world.get_spectator().set_transform(wanted)
    world.tick()
    found = world.get_spectator().get_transform()
    assert found.location.distance(wanted.location) < 1e-4
    assert (found.rotation.pitch, found.rotation.yaw) == pytest.approx((-30.0, 75.0), abs=1e-3)


def test_static_objects_have_boxes_and_labels(world: carla.World) -> None:
    buildings = world.get_environment_objects(carla.CityObjectLabel.Buildings)
    assert len(buildings) > 10
    assert all(b.bounding_box.extent.z > 1.0 for b in buildings)
    boxes = world.get_level_bbs(carla.CityObjectLabel.Buildings)
    assert len(boxes) == len(buildings)
    world.enable_environment_objects({buildings[0].id}, False)
    assert len(world.get_level_bbs(carla.CityObjectLabel.TrafficLight)) > 0
    assert len(world.get_lightmanager().get_all_lights()) > 0


def test_rays_meet_the_ground_and_the_cars(world: carla.World) -> None:
    point = world.get_map().get_spawn_points()[8]
    hit = world.ground_projection(point.location + carla.Location(z=1.0), 2.0)
    assert hit is not None
    assert hit.label in (carla.CityObjectLabel.Roads, carla.CityObjectLabel.RoadLines)
    assert hit.location.z == pytest.approx(point.location.z - 0.3, abs=0.1)
    world.spawn_actor(world.get_blueprint_library().find("vehicle.audi.etron"), point)
    ticked(world, 20)
    ahead = point.get_forward_vector()
    start, end = point.location - ahead * 12.0, point.location + ahead * 12.0
    start.z, end.z = point.location.z + 0.5, point.location.z + 0.5
    labels = [(h.label, h.location) for h in world.cast_ray(start, end)]
    cars = [place for label, place in labels if label == carla.CityObjectLabel.Car]
    assert cars and np.hypot(cars[0].x - start.x, cars[0].y - start.y) == pytest.approx(12.0 - 2.45, abs=0.4)


def test_hidden_objects_are_not_in_the_picture_until_they_are_shown_again(world: carla.World) -> None:
    building = max(
        world.get_environment_objects(carla.CityObjectLabel.Buildings), key=lambda o: o.bounding_box.extent.x
    )
    box = building.bounding_box
    above = carla.Transform(box.location + carla.Location(z=box.extent.z + 15.0), carla.Rotation(pitch=-90.0))
    kinds = ("sensor.camera.rgb", "sensor.camera.semantic_segmentation")
    cameras = [Listening(spawned(world, kind, above, image_size_x=64, image_size_y=64, fov=30)) for kind in kinds]

    def look() -> list[Any]:
        frame = world.tick()
        return [np.frombuffer(c.until(frame).raw_data, np.uint8).reshape(64, 64, 4) for c in cameras]

    colours, labels = look()
    assert (labels[..., 2] == int(carla.CityObjectLabel.Buildings)).mean() > 0.9
    world.enable_environment_objects({building.id}, False)
    hidden = look()
    assert (hidden[1][..., 2] == int(carla.CityObjectLabel.Buildings)).mean() < 0.1
    assert np.abs(hidden[0][..., :3].astype(float) - colours[..., :3]).mean() > 5.0
    world.enable_environment_objects({building.id}, True)
    again = look()
    assert np.array_equal(again[1], labels)


def test_a_second_thread_waits_for_the_ticks_of_the_first(served: Served, world: carla.World) -> None:
    """Need 17: as the evaluator does; a thread sees whole snapshots, in order, and none twice."""
    seen: list[tuple[int, float]] = []

    def wait() -> None:
        while len(seen) < 20:
            snapshot = world.wait_for_tick(10.0)
            seen.append((snapshot.frame, snapshot.timestamp.elapsed_seconds))

    thread = threading.Thread(target=wait)
    thread.start()
    deadline = time.time() + 20.0
    while thread.is_alive() and time.time() < deadline:
        world.tick()
        time.sleep(0.005)
    thread.join(10.0)
    assert len(seen) == 20
    assert all(b[0] > a[0] and b[1] - a[1] == pytest.approx((b[0] - a[0]) * STEP_S) for a, b in pairwise(seen))


def test_hundreds_of_actors_are_all_in_the_snapshot(served: Served, world: carla.World) -> None:
    client = served.client()
    world = client.get_world()  # over the connection that waits for the frame after a batch
    blueprint = world.get_blueprint_library().find("static.prop.constructioncone")
    places = [carla.Location(x=3.0 * (k % 20), y=3.0 * (k // 20), z=-100.0) for k in range(400)]
    batch = [carla.command.SpawnActor(blueprint, carla.Transform(place)) for place in places]
    ids = [reply.actor_id for reply in client.apply_batch_sync(batch, True)]
    snapshot = world.get_snapshot()
    for id_, place in zip(ids, places, strict=True):
        assert snapshot.find(id_).get_transform().location.distance(place) < 1e-3
