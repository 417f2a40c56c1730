"""The Frenet lattice: continuity, limits, collisions avoided, the emergency stop; and predictions along lanes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from handmade import arc, line, make_graph, make_route, make_scene

from planning.pipeline import Pipeline
from planning.predict import TIMES_S as PREDICTION_S
from planning.predict import predict
from planning.trajectory import ENDS_S, TIMES_S, discs_meet, to_speed, to_stop
from stack.labels import Kind, LightState
from stack.vehicle import load_vehicle

SEDAN = load_vehicle("sedan")


def planner(polylines: list[Any], successors: Any = None, lanes: Any = (0,), **columns: Any) -> Pipeline:
    graph = make_graph(polylines, successors, **columns)
    return Pipeline(graph, make_route(graph, list(lanes)), SEDAN)


def test_trajectory_starts_at_the_ego_and_keeps_to_the_path() -> None:
    plan = planner([line(0, 0, 300, 0)])(make_scene(0, 20.0, 0.6, 0.03, 9.0))
    t = plan.trajectory
    assert t.xy_m[0] == pytest.approx([20.0, 0.6], abs=1e-3)
    assert t.yaw_rad[0] == pytest.approx(0.03, abs=1e-3)
    assert t.speed_mps[0] == pytest.approx(9.0, abs=0.02)
    assert abs(t.xy_m[-1, 1]) < 0.1
    steps = np.hypot(*np.diff(t.xy_m, axis=0).T)
    assert steps == pytest.approx(0.5 * (t.speed_mps[1:] + t.speed_mps[:-1]) * 0.2, rel=0.01)


def test_polynomials_meet_their_ends() -> None:
    for end in ENDS_S:
        v = to_speed(8.0, 0.5, 3.0, end)
        assert v[0] == 8.0 and v[end <= TIMES_S] == pytest.approx(3.0)
        assert (v[1] - v[0]) / 0.2 == pytest.approx(0.5, abs=1.3)
    fine = to_stop(8.0, 0.0, 14.0, 3.0)
    assert np.trapezoid(fine, TIMES_S) == pytest.approx(14.0, abs=0.05)
    assert fine[-1] == pytest.approx(0.0, abs=1e-9)


def test_curvature_on_a_circle() -> None:
    plan = planner([arc(0, 0, 0.0, 20.0, 4.0)])(make_scene(0, 0.0, 0.0, 0.0, 5.0))
    assert plan.trajectory.curvature_1pm[1:15] == pytest.approx(1 / 20.0, rel=0.05)


def test_brakes_for_a_car_that_runs_into_its_path() -> None:
    plan = planner([line(0, 0, 300, 0)])(make_scene(0, 20.0, 0.0, 0.0, 10.0, [(Kind.CAR, 48.0, -14.0, np.pi / 2, 6.0)]))
    when = np.interp(48.0 - 2.25, plan.trajectory.xy_m[:, 0] + 3.7, TIMES_S)
    where = -14.0 + 6.0 * when
    assert where > 3.0 or plan.trajectory.xy_m[-1, 0] + 3.7 < 47.0


def test_no_way_out_gives_the_emergency_stop() -> None:
    plan = planner([line(0, 0, 300, 0)])(
        make_scene(0, 20.0, 0.0, 0.0, 12.0, [(Kind.PROP, 27.0, 0.0, 0.0, 0.0, 2.0, 6.0)])
    )
    assert np.array_equal(plan.trajectory.speed_mps, plan.emergency.speed_mps)
    assert plan.emergency.speed_mps[-1] == 0.0
    assert plan.emergency.accel_mps2.min() == pytest.approx(-7.0, abs=0.1)


def test_discs_meet_like_rectangles() -> None:
    shapely = pytest.importorskip("shapely")
    rng = np.random.default_rng(1)
    wrong = 0
    for _ in range(300):
        x, y, a, b = *rng.uniform(-4, 4, 2), *rng.uniform(-np.pi, np.pi, 2)
        arms = [np.array([(-1.5 * np.cos(a), -1.5 * np.sin(a)), (1.5 * np.cos(a), 1.5 * np.sin(a))])]
        capsule = shapely.LineString(arms[0]).buffer(1.0)
        box = shapely.affinity.translate(shapely.affinity.rotate(shapely.box(-2, -1, 2, 1), b, use_radians=True), x, y)
        ones = np.array([np.cos(a)]), np.array([np.sin(a)])
        zero = np.zeros(1)
        hit = discs_meet(
            zero, zero, *ones, np.array([x]), np.array([y]), np.array([b]), np.array([[2.0, 1.0]]), 1.5, 1.0
        )
        wrong += bool(hit[0]) != capsule.intersects(box)
    assert wrong < 9  # the discs leave small notches


def test_predictions_follow_the_lanes_and_branch() -> None:
    graph = make_graph([line(0, 0, 50, 0), line(50, 0, 120, 0), arc(50, 0, 0.0, 15.0, np.pi / 2)], {0: [1, 2]})
    scene = make_scene(0, 0, 0, 0, 0.0, [(Kind.CAR, 40.0, 0.5, 0.0, 8.0), (Kind.PEDESTRIAN, 10.0, 5.0, 1.0, 1.0)])
    p = predict(scene.tracks, graph, scene.signal_state)
    assert p.track.tolist() == [0, 1, 0, 0]
    assert np.bincount(p.track, p.weight) == pytest.approx([1.0, 1.0])
    assert p.xy_m[2, -1] == pytest.approx([72.0, 0.5 * np.exp(-2.0)], abs=0.05)
    assert p.yaw_rad[3, -1] == pytest.approx(22.0 / 15.0, abs=0.08)
    assert p.xy_m[1, -1] == pytest.approx([10 + 4 * np.cos(1.0), 5 + 4 * np.sin(1.0)])


def test_predictions_stop_at_a_red_light() -> None:
    graph = make_graph([line(0, 0, 50, 0), line(50, 0, 120, 0)], {0: [1]}, 1, lane_signal={1: 0})
    for state, far in ((LightState.RED, False), (LightState.GREEN, True)):
        scene = make_scene(0, 0, 0, 0, 0.0, [(Kind.CAR, 30.0, 0.0, 0.0, 10.0)], [state])
        p = predict(scene.tracks, graph, scene.signal_state)
        assert (p.xy_m[1, -1, 0] > 60.0) == far


def test_free_motion_turns() -> None:
    graph = make_graph([line(0, 50, 100, 50)])
    scene = make_scene(0, 0, 0, 0, 0.0, [(Kind.CAR, 0.0, 0.0, 0.0, 5.0)])
    scene.tracks.yaw_rate_radps[:] = 0.3
    p = predict(scene.tracks, graph, scene.signal_state)
    assert p.yaw_rad[0, -1] == pytest.approx(0.3 * 1.5 * (1 - np.exp(-4.0 / 1.5)), abs=1e-6)
    assert p.xy_m[0, -1, 1] > 3.0
    assert np.hypot(*np.diff(p.xy_m[0], axis=0).T) == pytest.approx(5.0 * np.diff(PREDICTION_S))
