"""Traffic lights and signs through the stock client: needs 6 to 10 of CARLA's programs."""

import math
from itertools import pairwise
from xml.etree import ElementTree

import carla
import pytest

from tests.carla_server import Served
from tests.carla_steps import STEP_S, after, spawned, ticked

pytestmark = pytest.mark.carla
STATE = carla.TrafficLightState


def lights_of(world: carla.World) -> list[carla.TrafficLight]:
    world.tick()
    return list(world.get_actors().filter("traffic.traffic_light"))


def test_lights_are_the_maps_signals(world: carla.World) -> None:
    """Every light signal of the OpenDRIVE text is one actor, found by its id."""
    root = ElementTree.fromstring(world.get_map().to_opendrive())
    wanted = {s.get("id") for s in root.iter("signal") if s.get("type") == "1000001"}
    lights = lights_of(world)
    assert wanted and {light.get_opendrive_id() for light in lights} == wanted
    for landmark in world.get_map().get_all_landmarks_of_type("1000001")[:10]:
        assert world.get_traffic_light(landmark).get_opendrive_id() == landmark.id
        assert world.get_traffic_light_from_opendrive_id(landmark.id).id == world.get_traffic_light(landmark).id


def test_lights_of_a_junction_are_one_group(world: carla.World) -> None:
    lights = lights_of(world)
    for light in lights:
        group = light.get_group_traffic_lights()
        assert light.id in {other.id for other in group}
        assert {other.id for other in group[0].get_group_traffic_lights()} == {other.id for other in group}
    junction = world.get_map().get_waypoint(lights[0].get_stop_waypoints()[0].transform.location).next(12.0)[0]
    if junction.is_junction:
        inside = {x.id for x in world.get_traffic_lights_in_junction(junction.junction_id)}
        assert inside == {x.id for x in lights[0].get_group_traffic_lights()}


def test_trigger_boxes_lie_across_the_approach_before_the_junction(world: carla.World) -> None:
    """Long axis along the box's own x, across the lane; its middle on a lane that leads into the junction."""
    for light in lights_of(world):
        box = light.trigger_volume
        middle = light.get_transform().transform(box.location)
        lane = world.get_map().get_waypoint(middle)
        assert not lane.is_junction
        assert math.hypot(lane.transform.location.x - middle.x, lane.transform.location.y - middle.y) < 4.0
        across = light.get_transform().rotation.yaw - lane.transform.rotation.yaw
        assert abs(math.sin(math.radians(across))) > 0.98
        assert box.extent.x >= 1.2 and box.extent.x >= 0.45 * lane.lane_width
        ahead = lane.next(14.0)
        assert ahead and any(w.is_junction for w in ahead)


def test_stop_waypoints_and_light_boxes(world: carla.World) -> None:
    for light in lights_of(world)[:12]:
        stops = light.get_stop_waypoints()
        assert stops and all(not w.is_junction for w in stops)
        boxes = light.get_light_boxes()
        assert boxes
        for box in boxes:
            assert 1.5 < box.location.z - stops[0].transform.location.z < 8.0
            assert box.location.distance(stops[0].transform.location) < 40.0


def test_a_group_is_green_one_after_the_other(world: carla.World) -> None:
    """Over a cycle every light is green once, never two controllers of a crossing at once, yellow between."""
    group = lights_of(world)[0].get_group_traffic_lights()
    shown: dict[int, list[str]] = {light.id: [] for light in group}
    for _ in range(int(70.0 / STEP_S)):
        world.tick()
        for light in group:
            state = str(light.state)
            if not shown[light.id] or shown[light.id][-1] != state:
                shown[light.id].append(state)
    for states in shown.values():
        assert "Green" in states
        for before, now in pairwise(states):
            assert (before, now) in {("Green", "Yellow"), ("Yellow", "Red"), ("Red", "Green")}


def test_times_can_be_set_and_are_kept_to(world: carla.World) -> None:
    light = next(x for x in lights_of(world) if x.state == STATE.Green)
    light.set_green_time(4.0)
    light.set_yellow_time(1.0)
    light.set_red_time(2.0)
    world.reset_all_traffic_lights()
    world.tick()
    assert (light.get_green_time(), light.get_yellow_time(), light.get_red_time()) == (4.0, 1.0, 2.0)
    green = 1
    while light.state == STATE.Green and green < 400:
        world.tick()
        green += 1
    assert green * STEP_S == pytest.approx(4.0, abs=0.15)
    ticked(world, 10)
    assert light.get_elapsed_time() == pytest.approx(0.5, abs=0.06)


def test_a_frozen_light_stays_as_it_was_set(world: carla.World) -> None:
    light = next(x for x in lights_of(world) if x.state == STATE.Green)
    light.freeze(True)
    light.set_state(STATE.Red)
    ticked(world, 700)
    assert light.state == STATE.Red and light.is_frozen()
    light.set_state(STATE.Yellow)
    world.tick()
    assert light.state == STATE.Yellow
    light.freeze(False)
    seen = {after(world, 40, lambda: light.state) for _ in range(35)}
    assert STATE.Green in seen and STATE.Red in seen


def test_all_lights_can_be_frozen(world: carla.World) -> None:
    lights = lights_of(world)
    world.freeze_all_traffic_lights(True)
    world.tick()
    before = [light.state for light in lights]
    ticked(world, 400)
    assert [light.state for light in lights] == before
    assert all(light.is_frozen() for light in lights)
    world.freeze_all_traffic_lights(False)


def test_a_vehicle_knows_the_light_that_it_stands_before(world: carla.World) -> None:
    """Need 8."""
    light = next(x for x in lights_of(world) if x.get_stop_waypoints())
    stop = light.get_stop_waypoints()[0]
    before = stop.previous(2.5)[0].transform
    before.location.z += 0.3
    car = spawned(world, "vehicle.ringroad.hatchback", before)
    far = spawned(
        world, "vehicle.tesla.model3", max(world.get_map().get_spawn_points(), key=lambda p: _to_light(world, p))
    )
    ticked(world, 10)
    assert car.is_at_traffic_light()
    assert car.get_traffic_light().id in {x.id for x in light.get_group_traffic_lights()}
    assert car.get_traffic_light_state() == car.get_traffic_light().state
    assert not far.is_at_traffic_light()
    assert far.get_traffic_light() is None
    assert far.get_traffic_light_state() == carla.TrafficLightState.Green


def _to_light(world: carla.World, point: carla.Transform) -> float:
    stops = [
        w.transform.location for x in world.get_actors().filter("traffic.traffic_light") for w in x.get_stop_waypoints()
    ]
    return min(point.location.distance(s) for s in stops)


def test_stop_signs_have_boxes_on_the_lane(world: carla.World) -> None:
    """Need 10."""
    world.tick()
    stops = world.get_actors().filter("traffic.stop")
    for sign in stops:
        middle = sign.get_transform().transform(sign.trigger_volume.location)
        lane = world.get_map().get_waypoint(middle)
        assert math.hypot(lane.transform.location.x - middle.x, lane.transform.location.y - middle.y) < 2.5
        assert sign.trigger_volume.extent.x > 1.0
    assert stops or not world.get_map().get_all_landmarks_of_type("206")


def test_all_lights_are_there_from_the_first_snapshot(served: Served) -> None:
    """Need 6."""
    world = served.client().load_world("town_a")
    wanted = len({m.id for m in world.get_map().get_all_landmarks_of_type("1000001")})
    assert len(world.get_actors().filter("traffic.traffic_light")) >= wanted > 0


def test_a_scenario_holds_a_light_with_very_long_times_until_all_are_reset(world: carla.World) -> None:
    """Need 7."""
    lights = lights_of(world)
    first = [light.state for light in lights]
    held = next(x for x in lights if x.state == STATE.Red)
    held.set_state(STATE.Green)
    for light in held.get_group_traffic_lights():
        light.set_green_time(1e8)
        light.set_yellow_time(1e8)
        light.set_red_time(1e8)
    ticked(world, 3)
    assert held.state == STATE.Green and held.get_green_time() == pytest.approx(1e8)
    ticked(world, 300)
    states = [x.state for x in held.get_group_traffic_lights()]
    ticked(world, 700)
    assert [x.state for x in held.get_group_traffic_lights()] == states
    world.reset_all_traffic_lights()
    world.tick()
    assert [light.state for light in lights] == first


def test_street_lights_through_the_light_manager(world: carla.World) -> None:
    """Need 26: a list that can be switched, and a call for day and night that is taken."""
    ticked(world, 2)
    manager = world.get_lightmanager()
    lamps = manager.get_all_lights(carla.LightGroup.Street)
    assert len(lamps) > 3
    manager.turn_off(lamps[:2])
    manager.set_intensities(lamps[2:3], [321.0])
    manager.set_colors(lamps[2:3], [carla.Color(1, 2, 3)])
    manager.set_day_night_cycle(False)
    ticked(world, 3)
    assert not any(manager.is_active(lamps[:2])) and manager.is_active(lamps[2:3]) == [True]
    assert manager.get_intensity(lamps[2:3]) == pytest.approx([321.0])
