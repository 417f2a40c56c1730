"""Tracks: right identities, honest covariance, textbook filter."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chi2

from perception.tracker import ACCEL_DENSITY, START_SPEED_MPS, Observations, Tracker
from stack.frames import F64, Pose
from stack.labels import Kind
from stack.messages import Ego

DT = 0.05


def observed(
    rows: list[tuple[Kind, float, float]],
    time_s: float,
    sigma_m: float = 0.2,
    radial: F64 | None = None,
    yaw: float = 0.0,
) -> Observations:
    n = len(rows)
    size = {Kind.CAR: (4.5, 1.9, 1.5), Kind.TRUCK: (8.0, 2.5, 3.0), Kind.PEDESTRIAN: (0.5, 0.5, 1.75)}
    return Observations(
        np.full(n, time_s), np.array([r[0] for r in rows], np.uint8), np.full(n, 0.8), np.full(n, 0.9),
        np.array([(r[1], r[2], 0.0) for r in rows], float).reshape(n, 3), np.tile(np.eye(2) * sigma_m**2, (n, 1, 1)),
        np.full(n, yaw), np.full(n, 0.1), np.array([size[r[0]] for r in rows], float).reshape(n, 3),
        np.full((n, 3), np.nan) if radial is None else radial,
    )  # fmt: skip


def test_same_numbers_as_filterpy() -> None:
    kalman = pytest.importorskip("filterpy.kalman").KalmanFilter(dim_x=4, dim_z=2)
    common = pytest.importorskip("filterpy.common")
    q2 = ACCEL_DENSITY[Kind.CAR] * np.array([[DT**3 / 3, DT**2 / 2], [DT**2 / 2, DT]])
    kalman.F = np.eye(4) + DT * np.eye(4, k=2)
    kalman.H, kalman.R = np.eye(2, 4), 0.2**2 * np.eye(2)
    kalman.Q = np.kron(q2, np.eye(2))
    np.testing.assert_allclose(q2 / ACCEL_DENSITY[Kind.CAR], common.Q_continuous_white_noise(2, DT), rtol=1e-12)
    kalman.P = np.diag([0.04, 0.04, *[START_SPEED_MPS[Kind.CAR] ** 2] * 2])
    rng, tracker = np.random.default_rng(1), Tracker()
    for i in range(40):
        z = np.array([8.0 * i * DT, 0.0]) + rng.normal(0, 0.2, 2)
        out = tracker(observed([(Kind.CAR, *z)], i * DT), i * DT)
        tracker._tracks.turn[:, 1] = 0.0  # the linear part: no turning
        if i == 0:
            kalman.x[:2, 0] = z
        else:
            kalman.predict()
            kalman.update(z)
    np.testing.assert_allclose(np.r_[out.xyz_m[0, :2], out.velocity_mps[0]], kalman.x[:, 0], atol=1e-6)
    np.testing.assert_allclose(out.covariance[0], kalman.P, atol=1e-8)


@pytest.mark.parametrize("kind", [Kind.CAR, Kind.PEDESTRIAN])
def test_covariance_is_honest(kind: Kind) -> None:
    """Mean NEES of objects that move as the model says lies in its 99.9 % chi-square interval."""
    rng, objects, errors = np.random.default_rng(4), 16, []
    q = np.kron(ACCEL_DENSITY[kind] * np.array([[DT**3 / 3, DT**2 / 2], [DT**2 / 2, DT]]), np.eye(2))
    f, root = np.eye(4) + DT * np.eye(4, k=2), np.linalg.cholesky(q)
    for _ in range(objects):
        state = np.concatenate([rng.uniform(-5, 5, 2), rng.normal(0, START_SPEED_MPS[kind] * 0.7, 2)])
        tracker = Tracker()
        for i in range(60):
            state = f @ state + root @ rng.normal(size=4)
            out = tracker(observed([(kind, *(state[:2] + rng.normal(0, 0.2, 2)))], i * DT), i * DT)
            tracker._tracks.turn[:, 1] = 0.0  # and its yaw is no part of the model here
        e = np.r_[out.xyz_m[0, :2], out.velocity_mps[0]] - state
        errors.append(e @ np.linalg.solve(out.covariance[0], e))
    low, high = chi2.ppf([0.0005, 0.9995], 4 * objects) / objects
    assert low < np.mean(errors) < high


def test_two_cars_that_meet_keep_their_ids() -> None:
    rng, tracker, ids = np.random.default_rng(2), Tracker(), []
    for i in range(100):
        x = 10.0 * i * DT
        rows = [(Kind.CAR, x + rng.normal(0, 0.15), -1.75), (Kind.CAR, 50.0 - x + rng.normal(0, 0.15), 1.75)]
        out = tracker(observed(rows[:: 1 if i % 2 else -1], i * DT), i * DT)
        ids.append(dict(zip(out.id.tolist(), out.velocity_mps[:, 0].round().tolist(), strict=True)))
    assert list(ids[-1]) == list(ids[10]) and len(ids[-1]) == 2
    assert sorted(ids[-1].values()) == [-10.0, 10.0] and ids[-1] == ids[60]


def test_ghost_is_never_shown_and_lost_track_fades() -> None:
    tracker = Tracker()
    assert len(tracker(observed([(Kind.CAR, 5.0, 0.0)], 0.0), 0.0)) == 0
    for i in range(1, 10):
        assert len(tracker(Observations.empty(), i * DT)) == 0
    assert len(tracker._tracks.id) == 0
    for i in range(10, 20):
        out = tracker(observed([(Kind.CAR, i * 0.5, 0.0)], i * DT), i * DT)
    before = out.confidence[0]
    out = tracker(Observations.empty(), 20 * DT + 0.4)
    assert len(out) == 1 and out.confidence[0] < before
    assert out.xyz_m[0, 0] == pytest.approx(14.0, abs=1.0)  # coasts at 10 m/s through a gap
    assert len(tracker(Observations.empty(), 20 * DT + 1.5)) == 0


def test_radar_gives_speed_at_first_sight() -> None:
    tracker = Tracker()
    doppler = np.array([[1.0, 0.0, -12.0]])
    tracker(observed([(Kind.CAR, 40.0, 0.0)], 0.0, radial=doppler), 0.0)
    tracker(observed([(Kind.CAR, 39.4, 0.0)], DT, radial=doppler), DT)
    out = tracker(observed([(Kind.CAR, 38.8, 0.0)], 2 * DT, radial=doppler), 2 * DT)
    assert out.velocity_mps[0, 0] == pytest.approx(-12.0, abs=0.6)


def test_turning_car_is_followed() -> None:
    rng, tracker = np.random.default_rng(6), Tracker()
    for i in range(80):
        a = 0.4 * i * DT
        z = 20.0 * np.array([np.sin(a), 1.0 - np.cos(a)]) + rng.normal(0, 0.1, 2)
        out = tracker(observed([(Kind.CAR, *z)], i * DT, 0.1, yaw=a + rng.normal(0, 0.05)), i * DT)
    assert out.yaw_rad[0] == pytest.approx(0.4 * 79 * DT, abs=0.08)
    assert out.yaw_rate_radps[0] == pytest.approx(0.4, abs=0.1)
    assert np.hypot(*out.velocity_mps[0]) == pytest.approx(8.0, abs=0.6)


def test_flipped_boxes_and_other_class_do_not_break_a_track() -> None:
    tracker = Tracker()
    for i in range(40):
        kind = Kind.TRUCK if i % 7 == 6 else Kind.CAR
        out = tracker(observed([(kind, 0.4 * i, 0.0)], i * DT, yaw=np.pi if i > 10 and i % 3 == 0 else 0.0), i * DT)
    assert len(out) == 1 and out.kind[0] == Kind.CAR and out.id[0] == 1
    assert out.yaw_rad[0] == pytest.approx(0.0, abs=0.05)


def test_measurement_of_the_past_is_put_where_it_belongs() -> None:
    tracker = Tracker()
    for i in range(60):
        stamp = i * DT - 0.05
        out = tracker(observed([(Kind.CAR, 14.0 * stamp, 0.0)], stamp, 0.1), i * DT)
    assert out.xyz_m[0, 0] == pytest.approx(14.0 * 59 * DT, abs=0.05)


def test_no_track_where_the_own_car_is() -> None:
    tracker, ego = Tracker(), Ego(Pose(0.0, 0.0), 0.0, 0.0, 0.0, 0.0, 0.0, np.zeros((5, 5)))
    for i in range(10):
        out = tracker(observed([(Kind.CAR, 1.0, 0.2), (Kind.CAR, -4.5, 0.0)], i * DT), i * DT, ego)
    assert len(out) == 1
    assert out.xyz_m[0, 0] == pytest.approx(-4.5, abs=0.2)


def test_a_far_look_along_the_line_of_sight_starts_no_second_track() -> None:
    """A camera alone knows the range badly: its look 6 m behind a known car is that car; a firm look there is not."""
    for sigma_m, tracks in ((4.0, 1), (0.2, 2)):
        tracker = Tracker()
        for i in range(20):
            seen = observed([(Kind.CAR, 50.0, 0.0), (Kind.CAR, 56.0, 0.0)][: 1 if i < 10 else 2], i * DT)
            seen.covariance[1:, 0, 0] = sigma_m**2
            out = tracker(seen, i * DT)
        assert len(out) == tracks


def test_a_track_seen_for_a_moment_is_soon_given_up() -> None:
    for looks, shown in ((3, 0), (20, 1)):
        tracker = Tracker()
        for i in range(looks):
            tracker(observed([(Kind.CAR, 0.5 * i, 0.0)], i * DT), i * DT)
        assert len(tracker(Observations.empty(), (looks - 1) * DT + 0.4)) == shown
