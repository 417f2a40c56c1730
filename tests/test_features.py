"""The policy's numbers: bounded, and the same when the whole scene is moved and turned."""

import numpy as np
import pytest

from control.features import AHEAD_M, FEATURE_NAMES, FEATURES, Features
from stack.scenearrays import REFERENCE_POINTS, ReferenceArrays, SceneArrays, allocate

TURN = 2.1
SHIFT = np.array([120.0, -45.0])


def put(arrays: object, name: str, values: object) -> None:
    getattr(arrays, name).numpy()[0] = values


def scene_and_reference(turn: float, shift: np.ndarray) -> tuple[object, object]:
    """A car on a left bend with a car ahead and a walker to the right, the whole moved."""
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    scene, reference = allocate(SceneArrays, 1, 1, "cpu"), allocate(ReferenceArrays, 1, 1, "cpu")
    put(scene, "x_m", shift[0])
    put(scene, "y_m", shift[1])
    put(scene, "yaw_rad", turn)
    put(scene, "speed_mps", 6.0)
    for k, (kind, xy, v) in enumerate([(1, (15.0, 1.0), (4.0, 0.0)), (4, (8.0, -4.0), (0.0, 1.2))]):
        x, y = rotation @ xy + shift
        vx, vy = rotation @ v
        for name, value in {"track_kind": kind, "track_x_m": x, "track_y_m": y, "track_yaw_rad": turn,
                            "track_vx_mps": vx, "track_vy_mps": vy, "track_length_m": 4.0, "track_width_m": 1.8}.items():  # fmt: skip
            getattr(scene, name).numpy()[0, k] = value
    angle = np.arange(REFERENCE_POINTS) / 60.0  # radius 60 m
    path = np.stack([60.0 * np.sin(angle), 60.0 * (1.0 - np.cos(angle))], -1) @ rotation.T + shift
    put(reference, "x_m", path[:, 0])
    put(reference, "y_m", path[:, 1])
    put(reference, "yaw_rad", angle + turn)
    put(reference, "curvature_1pm", 1.0 / 60.0)
    put(reference, "target_mps", 8.0)
    put(reference, "limit_mps", 13.9)
    put(reference, "stop_s_m", 1e6)
    put(reference, "leader_gap_m", 11.0)
    put(reference, "leader_mps", 4.0)
    return scene, reference


def numbers(turn: float, shift: np.ndarray) -> np.ndarray:
    features = Features(*scene_and_reference(turn, shift), 1, "cpu")
    features.launch()
    return features.values.numpy()[0]


def test_nothing_depends_on_where_the_map_lies() -> None:
    np.testing.assert_allclose(numbers(0.0, np.zeros(2)), numbers(TURN, SHIFT), atol=2e-5)


def test_numbers_say_what_is_there() -> None:
    at = dict(zip(FEATURE_NAMES, numbers(TURN, SHIFT), strict=True))
    assert len(at) == FEATURES
    assert at["ahead_8m_lateral"] == pytest.approx(60.0 * (1 - np.cos(8 / 60)) / (2 + 0.25 * 8), abs=1e-4)
    assert at["ahead_22m_heading"] == pytest.approx(22 / 60, abs=1e-5)
    assert at["track_0_walker"] == 1.0  # the walker is nearer
    assert at["track_1_x"] == pytest.approx(15.0 / 40.0, abs=1e-5)
    assert at["leader_brake"] == pytest.approx((6.0 - 4.0) ** 2 / (2 * 11.0) / 5.0, abs=1e-5)
    assert at["stop_brake"] == 0.0
    assert all(at[f"track_{k}_near"] == 0.0 for k in range(2, 8))
    assert max(AHEAD_M) < REFERENCE_POINTS
