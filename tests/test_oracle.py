"""The oracle sees what a driver could see, and nothing of another tick."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from shapely.geometry import LineString, Polygon

from perception.oracle import Oracle, actors_in_view, segments_hit_boxes, signals_in_view
from stack.frames import Pose
from stack.labels import Kind, LightState
from stack.messages import Actors, Ego, Truth


def ego(x: float = 0.0, y: float = 0.0, yaw: float = 0.0) -> Ego:
    return Ego(Pose(x, y, 0.0, yaw), 5.0, 0.0, 0.0, 0.0, 0.0, np.zeros((5, 5)))


def actors(rows: list[tuple[float, float, float, Kind]]) -> Actors:
    n = len(rows)
    size = {Kind.CAR: (4.5, 1.9, 1.5), Kind.TRUCK: (8.0, 2.5, 3.0), Kind.PEDESTRIAN: (0.5, 0.5, 1.75)}
    return Actors(
        np.arange(n, dtype=np.int32), np.array([r[3] for r in rows], np.uint8),
        np.array([(r[0], r[1], 0.0) for r in rows]).reshape(n, 3), np.array([float(r[2]) for r in rows]),
        np.zeros((n, 2)), np.zeros(n),
        np.array([size[r[3]] for r in rows]).reshape(n, 3), np.ones(n), np.zeros((n, 4, 4)),
    )  # fmt: skip


def graph(heads: list[tuple[float, float, float, int]], signals: int) -> SimpleNamespace:
    return SimpleNamespace(
        head_signal=np.array([h[3] for h in heads], np.int32), head_xyz_m=np.array([(h[0], h[1], 3.0) for h in heads]),
        head_yaw_rad=np.array([h[2] for h in heads]), signals=signals,
    )  # fmt: skip


def test_truck_hides_pedestrian_but_not_the_car_beside_it() -> None:
    them = actors([(20, 0, 0, Kind.TRUCK), (27, 0, 0, Kind.PEDESTRIAN), (27, 8, 0, Kind.CAR), (200, 0, 0, Kind.CAR)])
    assert actors_in_view(ego(), them).tolist() == [True, False, True, False]


def test_pedestrian_in_front_hides_nothing() -> None:
    assert actors_in_view(ego(), actors([(5, 0, 0, Kind.PEDESTRIAN), (20, 0, 0, Kind.CAR)])).all()


def test_nobody_around() -> None:
    assert actors_in_view(ego(), Actors.empty()).shape == (0,)


def test_segments_against_shapely() -> None:
    rng = np.random.default_rng(3)
    ends, centre = rng.uniform(-20, 20, (200, 2)), rng.uniform(-15, 15, (7, 2))
    yaw, size = rng.uniform(-3, 3, 7), rng.uniform(0.5, 8, (7, 2))
    found = segments_hit_boxes(np.array([0.5, -0.3]), ends, centre, yaw, size)
    for j in range(7):
        rotation = np.array([[np.cos(yaw[j]), np.sin(yaw[j])], [-np.sin(yaw[j]), np.cos(yaw[j])]])
        corners = np.array([[0.5, 0.5], [0.5, -0.5], [-0.5, -0.5], [-0.5, 0.5]]) * size[j] @ rotation + centre[j]
        box = Polygon(corners)
        assert found[:, j].tolist() == [LineString([(0.5, -0.3), e]).intersects(box) for e in ends]


def test_lights_that_face_the_car_ahead_of_it() -> None:
    lights = [(30.0, -4.0, np.pi, 0), (30.0, 4.0, 0.0, 1), (-10.0, 0.0, np.pi, 2), (120.0, 0.0, np.pi, 3)]
    seen = signals_in_view(graph(lights, 5), ego())
    assert seen.tolist() == [True, False, False, False, False]
    waiting = [(5.6, -4.0, np.pi, 0)]  # near-side head, 42 degrees to the right of a car at the line
    assert signals_in_view(graph(waiting, 1), ego()).all()


def test_scene_keeps_truth_and_hides_unseen_lights() -> None:
    truth = Truth(7, ego(), actors([(20, 0, 0, Kind.CAR)]), np.array([LightState.RED, LightState.GREEN], np.uint8), ())
    oracle = Oracle(lambda: truth, graph([(30, -4, np.pi, 0), (30, 4, 0.0, 1)], 2))  # type: ignore[arg-type]
    scene = oracle(SimpleNamespace(tick=7, time_s=0.35))  # type: ignore[arg-type]
    assert scene.ego is truth.ego and len(scene.tracks) == 1
    assert scene.signal_state.tolist() == [LightState.RED, LightState.UNKNOWN]
    assert scene.signal_confidence.tolist() == [1.0, 0.0]
    with pytest.raises(ValueError, match=r"tick 7.*tick 8"):
        oracle(SimpleNamespace(tick=8, time_s=0.4))  # type: ignore[arg-type]
