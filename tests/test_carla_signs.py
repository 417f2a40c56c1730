"""What stop and yield signs tell vehicles, through the stock client: CARLA's TrafficManager takes turns by it (need 8)."""

from typing import Any

import carla
import numpy as np
import pytest

from sim.carla.server.giveway import BOX_M, GiveWay
from stack.opendrive import build_graph, find_map, load_map
from tests.carla_steps import STEP_S, spawned, ticked, up

STOP, YIELD = "traffic.stop", "traffic.yield"
STATE = carla.TrafficLightState


def entry(world: carla.World, sign: str) -> carla.Waypoint:
    """3 m before a junction, in the box of a sign of that type."""
    world.tick()
    for actor in world.get_actors().filter(sign):
        middle = actor.get_transform().transform(actor.trigger_volume.location)
        end = world.get_map().get_waypoint(middle).next_until_lane_end(0.5)[-1]
        if end.next(2.0)[0].is_junction:
            return end.previous(3.0)[0]
    raise AssertionError(f"no {sign}")


def way_across(lane: carla.Waypoint) -> Any:
    """The middle of a way through the junction ahead that neither begins nor ends on the road of `lane`."""
    pairs = lane.next(6.0)[0].get_junction().get_waypoints(carla.LaneType.Driving)
    for begin, _ in pairs:
        before, path = begin.previous(2.0)[0], begin.next_until_lane_end(0.5)
        after = path[-1].next(1.0)[0]
        if lane.road_id not in (before.road_id, after.road_id):
            return path[len(path) // 2].transform
    raise AssertionError("no way across")


@pytest.mark.carla
@pytest.mark.parametrize(("sign", "least_s"), [(STOP, 2.0), (YIELD, 0.0)])
def test_a_sign_tells_red_for_its_time_and_while_somebody_crosses(
    world: carla.World, sign: str, least_s: float
) -> None:
    lane = entry(world, sign)
    car = spawned(world, "vehicle.ringroad.sedan", up(lane.transform, 0.2))
    ticked(world, 20)
    assert not car.is_at_traffic_light() and car.get_traffic_light() is None
    assert (car.get_traffic_light_state() == STATE.Red) == (least_s > 1.0)
    ticked(world, round(least_s / STEP_S))
    assert car.get_traffic_light_state() == STATE.Green
    other = spawned(world, "vehicle.tesla.model3", up(way_across(lane), 0.2))
    for _ in range(60):
        world.tick()
        assert car.get_traffic_light_state() == STATE.Red
    other.destroy()
    ticked(world, 2)
    assert car.get_traffic_light_state() == STATE.Green


@pytest.mark.parametrize("name", ["oldtown", "town_a"])
def test_who_has_right_of_way_does_not_wait(name: str) -> None:
    """At junctions without lights: by rank where there are no signs, else those without one."""
    graph = build_graph(load_map(find_map(name)))
    rule, waited = GiveWay(graph), 0
    for way in np.flatnonzero(graph.lane_junction >= 0):
        same = graph.lane_junction == graph.lane_junction[way]
        if (graph.lane_signal[same] >= 0).any():
            continue
        signed = (graph.lane_sign[same] != 0).any()
        own = [int(p) for p in graph.predecessors(int(way))]
        for k in range(int(graph.conflict_start[way]), int(graph.conflict_start[way] + graph.conflict_count[way])):
            there = [int(p) for p in graph.predecessors(int(graph.conflict_lane[k]))]
            lanes = np.array([own[0], there[0]])
            if own[0] == there[0] or graph.conflict_rank[k] != -1:
                continue
            if signed and not any(graph.lane_sign[n] for n in graph.successors(own[0])):
                assert not rule.waiting(lanes, np.array([2.0, 2.0]), np.array([9.0, 9.0]))[0]
                continue
            assert rule.waiting(lanes, np.array([2.0, 2.0]), np.array([9.0, 9.0]))[0]
            assert not rule.waiting(lanes, np.array([2.0, 40.0]), np.array([9.0, 9.0]))[0]  # nobody near yet
            assert not rule.waiting(lanes, np.array([BOX_M + 1.0, 2.0]), np.array([9.0, 9.0]))[0]  # not at the line yet
            waited += 1
    assert waited > 5
