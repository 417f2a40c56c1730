"""The classical controller on a kinematic bicycle: tracks curves, stops before a line, is smooth."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from handmade import arc, line, make_graph, make_route, make_scene, route_arrays

from control.classical import Classical
from planning.behavior import LINE_MARGIN_M
from planning.reference import ReferenceKernel, to_message
from stack.labels import Kind, LightState
from stack.lanegraph import LaneGraph, Route
from stack.messages import Plan, Trajectory
from stack.scenearrays import ReferenceArrays, SceneArrays, allocate, fill_from_scene
from stack.vehicle import load_vehicle

SEDAN = load_vehicle("sedan")
FRONT_M = SEDAN.centre_m + 0.5 * SEDAN.length_m


NOTHING = np.zeros(0, np.float32)
NO_TRAJECTORY = Trajectory(NOTHING, np.zeros((0, 2), np.float32), NOTHING, NOTHING, NOTHING, NOTHING)


class Bicycle:
    """A kinematic bicycle, rear axle as origin, with the wheels' rate and the pedals' lag of the sedan."""

    def __init__(self, graph: LaneGraph, route: Route, speed: float) -> None:
        self.graph = graph
        self.kernel = ReferenceKernel(graph, "cpu", 1, FRONT_M, SEDAN.length_m - FRONT_M, SEDAN.width_m)
        self.scene, self.route = allocate(SceneArrays, 1, graph.signals, "cpu"), route_arrays([route])
        self.reference, self.control = allocate(ReferenceArrays, 1, 0, "cpu"), Classical(SEDAN)
        lane = int(route.lanes[0])
        self.x, self.y, self.yaw = *graph.points(lane)[0, :2].tolist(), float(graph.yaw_rad[graph.lane_start[lane]])
        self.speed, self.accel, self.angle, self.tick = speed, 0.0, 0.0, 0
        self.log: list[tuple[float, ...]] = []

    def step(self, tracks: Any = (), signals: Any = (), dt: float = 0.05) -> Plan:
        scene = make_scene(
            self.tick, self.x, self.y, self.yaw, self.speed, tracks, signals, accel=self.accel, wheel_angle=self.angle
        )
        fill_from_scene(self.scene, scene)
        for command in self.kernel.record(self.scene, self.route, self.reference):
            command.launch()
        plan = Plan(to_message(self.reference), NO_TRAJECTORY, NO_TRAJECTORY)
        wanted = self.control(plan, scene)
        turn = SEDAN.wheel_rate_max_radps * dt
        self.angle += float(np.clip(wanted.wheel_angle_rad - self.angle, -turn, turn))
        self.accel += (wanted.accel_mps2 - self.accel) * (1.0 - np.exp(-dt / SEDAN.brake_lag_s))
        self.speed = max(self.speed + self.accel * dt, 0.0)
        self.yaw += self.speed * np.tan(self.angle) / SEDAN.wheelbase_m * dt
        self.x += self.speed * np.cos(self.yaw) * dt
        self.y += self.speed * np.sin(self.yaw) * dt
        off = float(self.reference.lateral_m.numpy()[0])
        self.log.append((self.x, self.y, self.speed, wanted.accel_mps2, wanted.wheel_angle_rad, off))
        self.tick += 1
        return plan


def test_tracks_a_circle_within_20_cm() -> None:
    graph = make_graph([arc(0, 0, 0.0, 15.0, 2 * np.pi * 0.95)])
    car = Bicycle(graph, make_route(graph, [0]), 5.0)
    for _ in range(220):
        car.step()
    log = np.array(car.log)
    away = np.abs(np.hypot(log[:, 0], log[:, 1] - 15.0) - 15.0)
    assert away.max() < 0.2
    assert log[60:160, 2] == pytest.approx(np.sqrt(2.0 * 15.0), rel=0.08)


@pytest.mark.parametrize("radius", [12.0, 25.0, 60.0])
def test_tracks_an_s_curve_within_20_cm(radius: float) -> None:
    first = arc(30, 0, 0.0, radius, 1.2)
    end = first[-1]
    second = arc(end[0], end[1], 1.2, radius, -1.2)
    tip = second[-1]
    graph = make_graph(
        [line(0, 0, 30, 0), first, second, line(tip[0], tip[1], tip[0] + 60, tip[1])], {0: [1], 1: [2], 2: [3]}
    )
    car = Bicycle(graph, make_route(graph, [0, 1, 2, 3]), 6.0)
    for _ in range(600):
        plan = car.step()
        if plan.reference.route_left_m < 5.0:
            break
    log = np.array(car.log)
    assert log[-1, 0] > tip[0] + 20
    assert np.abs(log[:, 5]).max() < 0.2


@pytest.mark.parametrize("speed", [4.0, 9.0, 13.0])
def test_stops_within_half_a_metre_of_its_mark_before_a_line(speed: float) -> None:
    graph = make_graph(
        [line(0, 0, 90, 0), line(90, 0, 110, 0), line(110, 0, 160, 0)], {0: [1], 1: [2]}, 1,
        lane_signal={1: 0}, lane_junction={1: 0},
    )  # fmt: skip
    car = Bicycle(graph, make_route(graph, [0, 1, 2]), speed)
    for _ in range(500):
        car.step(signals=[LightState.RED])
    log = np.array(car.log)
    mark = 89.0 - LINE_MARGIN_M
    assert mark - 0.5 < car.x + FRONT_M <= mark
    assert log[-1, 2] < 0.02
    assert log[:, 3].min() > -3.0
    moving = log[1:, 2] > 0.5
    assert np.abs(np.diff(log[:, 3]))[moving].max() <= 8.0 * 0.05 + 1e-6


def test_drives_straight_at_the_limit() -> None:
    graph = make_graph([line(0, 0, 500, 0)])
    car = Bicycle(graph, make_route(graph, [0]), 0.0)
    for _ in range(400):
        car.step()
    log = np.array(car.log)
    assert log[-1, 2] == pytest.approx(13.9, abs=0.2)
    assert log[:, 2].max() < 14.1
    assert np.abs(log[:, 4]).max() < 1e-3


def test_follows_a_leader_that_stops_and_goes() -> None:
    graph = make_graph([line(0, 0, 900, 0)])
    car = Bicycle(graph, make_route(graph, [0]), 10.0)
    lead, lead_speed, nearest = 40.0, 10.0, 1e9
    for n in range(800):
        lead_speed = float(np.clip(lead_speed + (-2.0 if 200 < n < 400 else 1.5) * 0.05, 0.0, 11.0))
        lead += lead_speed * 0.05
        plan = car.step([(Kind.CAR, lead, 0.0, 0.0, lead_speed)])
        nearest = min(nearest, lead - 2.25 - car.x - FRONT_M)
    assert 7.0 < nearest < 9.0  # not at a junction: far enough to drive round, should it stand for long
    assert car.speed == pytest.approx(11.0, abs=1.0)
    assert 2.5 + 1.2 * 11.0 < plan.reference.leader_gap_m < 30.0  # closing up again
    assert np.array(car.log)[:, 3].min() > -3.5
