"""Actors through the stock client: blueprints, spawning, moving, physics, what is answered about the dead."""

import math

import carla
import pytest

from tests.carla_server import Served
from tests.carla_steps import spawned, speed, ticked, up

pytestmark = pytest.mark.carla
NAMES = (
    "vehicle.lincoln.mkz_2017", "vehicle.lincoln.mkz_2020", "vehicle.tesla.model3", "vehicle.audi.tt",
    "vehicle.volkswagen.t2", "vehicle.nissan.patrol", "vehicle.nissan.patrol_2021", "vehicle.nissan.micra",
    "vehicle.mini.cooper_s", "vehicle.carlamotors.carlacola", "vehicle.dodge.charger_police_2020",
    "vehicle.diamondback.century", "vehicle.gazelle.omafiets", "vehicle.bh.crossbike", "vehicle.kawasaki.ninja",
    "walker.pedestrian.0001", "static.prop.dirtdebris01", "static.prop.dirtdebris02", "static.prop.warningaccident",
    "static.prop.warningconstruction", "static.prop.trafficwarning", "static.prop.constructioncone",
    "static.prop.streetbarrier", "static.prop.chainbarrier", "static.prop.vendingmachine",
    "static.prop.advertisement", "static.prop.container", "static.prop.foodcart", "static.prop.haybalelb",
    "static.prop.busstoplb", "static.prop.mesh", "static.trigger.friction", "controller.ai.walker",
    "sensor.other.collision", "sensor.other.obstacle", "sensor.other.lane_invasion", "sensor.other.gnss",
    "sensor.other.imu", "sensor.other.radar", "sensor.lidar.ray_cast", "sensor.camera.rgb",
    "sensor.camera.cosmos_visualization", "sensor.other.v2x", "sensor.other.v2x_custom",
)  # fmt: skip


# ------------------------------------------------ blueprints (needs 2, 3, 20)


def test_blueprints_are_there_by_name(world: carla.World) -> None:
    library = world.get_blueprint_library()
    assert [library.find(id_).id for id_ in NAMES] == list(NAMES)


def test_blueprints_can_be_chosen_by_typed_attributes(world: carla.World) -> None:
    library = world.get_blueprint_library()
    vehicles = library.filter("vehicle.*")
    cars = [b for b in vehicles if b.get_attribute("base_type") == "car"]
    assert [b for b in cars if int(b.get_attribute("generation")) == 2 and b.get_attribute("special_type") == ""]
    assert [b for b in cars if b.get_attribute("has_lights").as_bool()]
    assert [b for b in vehicles if b.get_attribute("special_type") == "emergency"]
    assert [b for b in cars if b.get_attribute("has_dynamic_doors").as_bool()]
    assert [b for b in vehicles if b.get_attribute("base_type") == "bicycle"]
    assert {b.get_attribute("number_of_wheels").as_int() for b in vehicles} >= {2, 4}
    walkers = library.filter("walker.pedestrian.*")
    assert {b.get_attribute("generation").as_int() for b in walkers} >= {1, 2}
    assert all(len(b.get_attribute("speed").recommended_values) >= 3 for b in walkers)
    lidar = library.find("sensor.lidar.ray_cast")
    for name in ("dropoff_general_rate", "dropoff_intensity_limit", "dropoff_zero_intensity"):
        assert lidar.get_attribute(name).recommended_values


def test_attributes_are_given_back_as_set(world: carla.World) -> None:
    blueprint = world.get_blueprint_library().find("vehicle.tesla.model3")
    for name, value in (("role_name", "scenario no lights"), ("color", "12,200,40")):
        blueprint.set_attribute(name, value)
    car = world.spawn_actor(blueprint, world.get_map().get_spawn_points()[0])
    world.tick()
    found = next(a for a in world.get_actors().filter("vehicle.*") if a.id == car.id)
    assert found.attributes["role_name"] == "scenario no lights"
    assert found.attributes["color"] == "12,200,40"


# ------------------------------------------------ spawning


def test_where_a_body_is_nobody_else_can_be_put(world: carla.World) -> None:
    """Need 21: refused with a text, or None."""
    point = world.get_map().get_spawn_points()[0]
    spawned(world, "vehicle.tesla.model3", point)
    blueprint = world.get_blueprint_library().find("vehicle.audi.tt")
    assert world.try_spawn_actor(blueprint, point) is None
    with pytest.raises(RuntimeError, match="collision at spawn position"):
        world.spawn_actor(blueprint, point)
    assert world.try_spawn_actor(blueprint, up(point, 10.0)) is not None


@pytest.mark.parametrize("z_m", [-50.0, -200.0, -500.0, 500.0])
@pytest.mark.parametrize("id_", ["vehicle.audi.tt", "walker.pedestrian.0002", "static.prop.constructioncone"])
def test_scenarios_park_actors_out_of_sight(world: carla.World, id_: str, z_m: float) -> None:
    """Need 14: spawned far away, a tick, physics off, later put in place; nothing clamps or kills them."""
    point = world.get_map().get_spawn_points()[4]
    spawned(world, "vehicle.tesla.model3", point)
    actor = spawned(world, id_, carla.Transform(point.location + carla.Location(z=z_m), point.rotation))
    world.tick()
    assert actor.get_location().z == pytest.approx(point.location.z + z_m, abs=1.0)
    actor.set_simulate_physics(False)
    ticked(world, 20)
    assert actor.get_location().z == pytest.approx(point.location.z + z_m, abs=1.0)
    there = world.get_map().get_spawn_points()[9]
    actor.set_transform(there)
    ticked(world, 3)
    assert actor.get_location().distance(there.location) < 0.01
    assert speed(actor) < 0.01


def test_a_car_dropped_from_half_a_metre_settles_on_the_road(world: carla.World) -> None:
    point = world.get_map().get_spawn_points()[2]
    car = spawned(world, "vehicle.lincoln.mkz_2020", up(point, 0.3))
    world.tick()
    assert car.get_location().z > point.location.z + 0.2
    ticked(world, 20)
    assert car.get_location().z == pytest.approx(point.location.z - 0.3, abs=0.08)
    assert speed(car) < 0.02


def test_a_batch_spawns_attaches_and_destroys(served: Served, world: carla.World) -> None:
    client, command = served.client(), carla.command
    world = client.get_world()  # over the connection that waits for the frame after a batch
    library, points = world.get_blueprint_library(), world.get_map().get_spawn_points()
    spawn, push = command.SpawnActor, command.ApplyTargetVelocity
    batch = []
    for k in (0, 1, 2, 3, 4, 0):
        command_k = spawn(library.find("vehicle.audi.tt"), points[k])
        batch.append(command_k.then(push(command.FutureActor, points[k].get_forward_vector() * 3.0)))
    replies = client.apply_batch_sync(batch, True)
    assert [bool(r.error) for r in replies] == [False] * 5 + [True]
    ids = [r.actor_id for r in replies[:5]]
    cars = [world.get_actor(i) for i in ids]
    assert all(speed(car) > 1.0 for car in cars)
    gone = client.apply_batch_sync([command.DestroyActor(i) for i in [*ids, 999_999]], True)
    assert [bool(r.error) for r in gone] == [False] * 5 + [True]
    assert not set(ids) & {a.id for a in world.get_actors()}


def test_attached_actors_go_where_their_parent_goes(world: carla.World) -> None:
    car = spawned(world, "vehicle.tesla.model3", 3)
    at = carla.Transform(carla.Location(1.5, 0.4, 1.6), carla.Rotation(yaw=30.0))
    camera = spawned(world, "sensor.camera.rgb", at, car)
    ticked(world, 30)
    car.set_target_velocity(car.get_transform().get_forward_vector() * 6.0)
    ticked(world, 5)
    wanted = car.get_transform().transform(carla.Location(1.5, 0.4, 1.6))
    assert camera.get_location().distance(wanted) < 0.01
    turned = camera.get_transform().rotation.yaw - car.get_transform().rotation.yaw
    assert math.cos(math.radians(turned - 30.0)) > 0.99999
    assert camera.parent.id == car.id
    car.destroy()
    world.tick()
    assert camera.id not in {a.id for a in world.get_actors()}


def test_the_dead_are_answered_for(served: Served, world: carla.World) -> None:
    """Need 19: to destroy one twice is false, not an error; a box asked for late is the last one."""
    car = spawned(world, "vehicle.tesla.model3", 3)
    world.tick()
    box = car.bounding_box
    assert car.destroy()
    world.tick()
    again = served.client().get_world().get_actor(car.id)
    assert again is None
    assert served.client().apply_batch_sync([carla.command.DestroyActor(car.id)])[0].error
    assert box.extent.x == pytest.approx(2.35, abs=0.1)


def test_boxes_enclose_the_body_and_nothing_more(world: carla.World) -> None:
    car = spawned(world, "vehicle.tesla.model3", 3)
    box = car.bounding_box
    assert (box.extent.x, box.extent.y, box.extent.z) == pytest.approx((2.35, 0.93, 0.72), abs=0.12)
    assert box.location.z == pytest.approx(box.extent.z, abs=0.05)
    walker = spawned(world, "walker.pedestrian.0001", 9)
    assert 0.75 < walker.bounding_box.extent.z < 1.0
    assert walker.bounding_box.location.z == pytest.approx(0.0, abs=0.05)


def test_bones_of_a_walker(world: carla.World) -> None:
    """Need 32."""
    walker = spawned(world, "walker.pedestrian.0001", 9)
    ticked(world, 10)
    bones = walker.get_bones()
    assert len(bones.bone_transforms) >= 1
    assert all(b.world.location.distance(walker.get_location()) < 1.2 for b in bones.bone_transforms)
