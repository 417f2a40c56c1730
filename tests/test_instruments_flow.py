"""Optical flow against closed forms of moving walls, turning cameras and moving boxes; events against steps of light."""

from __future__ import annotations

import numpy as np
import pytest
from boxed_square import box_at, ground, make, put
from test_instruments_cameras import FREE, around, nobody, rays

from sim.instruments.cameras import CameraSet, PinholeSpec, Shot
from sim.instruments.events import EVENT, EventCamera, EventSpec
from sim.instruments.places import pose
from stack.frames import BODY_FROM_OPTICAL, transform

W, H, F = 160, 120, 160.0  # a field of view whose focal length is as many pixels as the picture is wide
FOV = 2.0 * np.arctan(0.5 * W / F)
WANT = frozenset({"flow_px", "depth_m", "instance", "semantic"})


def spec(place: np.ndarray = FREE) -> PinholeSpec:
    return PinholeSpec(W, H, FOV, place, WANT)


def pixels() -> np.ndarray:
    u, v = np.meshgrid(np.arange(W) + 0.5, np.arange(H) + 0.5)
    return np.stack([u - 0.5 * W, v - 0.5 * H], -1)


def test_driving_towards_a_wall_everything_flows_outwards() -> None:
    """A wall at Z that was at Z + d: a pixel at c from the middle has come from c Z / (Z + d)."""
    state, geometry = make([box_at(22.0, 0.0, (4.0, 300.0, 300.0))], actors=2)
    cameras = CameraSet(around(state, geometry), [spec(transform(1.0, 0.0, 1.4))], 0)
    first = cameras.render(pose(state, 0), 0)[0]
    assert np.abs(first.flow_px).max() < 1e-3
    put(state, 0, x_m=0.8)
    geometry.update(state, 0, viewer=-1)
    shot = cameras.render(pose(state, 0), 1)[0]
    z = 20.0 - 1.8
    wall = np.isfinite(shot.depth_m)
    np.testing.assert_allclose(shot.depth_m[wall], z, rtol=1e-4)
    np.testing.assert_allclose(shot.flow_px[wall], (pixels() * 0.8 / (z + 0.8))[wall], atol=2e-3)
    again = cameras.render(pose(state, 0), 2)[0]
    assert np.abs(again.flow_px).max() < 1e-3  # it stood since


def test_a_turning_camera_moves_the_sky_as_the_homography_says() -> None:
    """Turning by R moves every pixel, however far, by K R K^-1; to the left, so the sky moves to the right."""
    state, geometry = nobody()
    before, after = transform(0.0, 0.0, 2.0, 0.1, 0.2, 0.05), transform(0.0, 0.0, 2.0, 0.13, 0.19, 0.08)
    cameras = CameraSet(around(state, geometry), [spec()], None)
    cameras.render(before, 0)
    shot = cameras.render(after, 1)[0]
    turn = (before @ BODY_FROM_OPTICAL)[:3, :3].T @ (after @ BODY_FROM_OPTICAL)[:3, :3]
    was = rays(shot, W, H) @ turn.T
    expected = pixels() - F * was[..., :2] / was[..., 2:]
    np.testing.assert_allclose(shot.flow_px, expected, atol=2e-3)
    assert shot.flow_px[..., 0].mean() > 3.0


def test_a_box_that_drives_and_turns_carries_its_pixels() -> None:
    """Each pixel of an actor, put back by the actor's own two poses and projected by hand; what stands, does not flow."""
    state, geometry = make([ground()], actors=3)
    put(state, 0, kind=0)
    put(state, 2, x_m=12.0, y_m=1.0, yaw_rad=0.6)
    cameras = CameraSet(around(state, geometry), [spec(transform(0.0, 0.0, 1.6))], None)
    cameras.render(FREE, 0)
    before = pose(state, 2)
    put(state, 2, x_m=12.5, y_m=0.4, z_m=0.05, yaw_rad=0.75, pitch_rad=0.02)
    geometry.update(state, 0, viewer=-1)
    shot = cameras.render(FREE, 1)[0]
    mine = shot.instance == 3
    optical = np.linalg.inv(transform(0.0, 0.0, 1.6) @ BODY_FROM_OPTICAL)
    points = rays(shot, W, H)[mine] * shot.depth_m[mine][:, None]
    points = np.concatenate([points, np.ones((len(points), 1))], axis=1)
    was = points @ (optical @ before @ np.linalg.inv(pose(state, 2)) @ np.linalg.inv(optical)).T
    expected = pixels()[mine] - F * was[:, :2] / was[:, 2:3]
    assert mine.sum() > 300 and np.abs(expected).max() > 3.0
    np.testing.assert_allclose(shot.flow_px[mine], expected, atol=5e-3)
    assert np.abs(shot.flow_px[~mine]).max() < 1e-3
    assert shot.flow_px[mine][:, 0].mean() > 0.0  # it went to its left's opposite: to the right of the picture


def test_cameras_that_skip_ticks_and_move_on_their_mounts() -> None:
    """Flow is since a camera's own last picture; somebody who has just come has not moved."""
    state, geometry = make([box_at(22.0, 0.0, (4.0, 300.0, 300.0))], actors=3)
    cameras = CameraSet(around(state, geometry), [spec(transform(1.0, 0.0, 1.4)), spec(transform(1.0, 0.0, 1.4))], 0)
    cameras.render(pose(state, 0), 0)
    for tick in (1, 2):
        put(state, 0, x_m=0.4 * tick)
        geometry.update(state, 0, viewer=-1)
        shots = cameras.render(pose(state, 0), tick, [1] if tick == 1 else None)
        assert len(shots) == tick
    z = 22.0 - 2.0 - 1.8
    for shot, d in zip(shots, (0.8, 0.4), strict=True):
        wall = np.isfinite(shot.depth_m)
        np.testing.assert_allclose(shot.flow_px[wall], (pixels() * d / (z + d))[wall], atol=2e-3)
    cameras.move(0, transform(1.0, 0.2, 1.4))
    put(state, 2, x_m=12.0)
    geometry.update(state, 0, viewer=-1)
    moved = cameras.render(pose(state, 0), 3, [0])[0]
    wall, car = np.isfinite(moved.depth_m) & (moved.instance == 0), moved.instance == 3
    np.testing.assert_allclose(moved.flow_px[wall][:, 0], F * 0.2 / z, rtol=1e-3)  # it went left: all goes right
    np.testing.assert_allclose(moved.flow_px[car][:, 0], F * 0.2 / moved.depth_m[car], rtol=1e-3)
    assert car.sum() > 50


def grey(level: int) -> np.ndarray:
    return np.full((4, 5, 3), level, np.uint8)


def test_a_step_of_light_fires_once_for_each_threshold() -> None:
    camera = EventCamera(EventSpec(), 5, 4)
    assert len(camera(grey(100), 0, 1.0)) == 0
    events = camera(grey(200), 1, 1.05)
    rise = np.log(0.001 + 200 / 255) - np.log(0.001 + 100 / 255)
    assert len(events) == 4 * 5 * int(rise / 0.3) == 40 and events["pol"].all()
    expected = np.repeat(1.0 + 0.05 * np.array([0.3, 0.6]) / rise, 20)
    np.testing.assert_allclose(events["t"] / 1e9, expected, rtol=1e-6)
    assert set(zip(events["x"].tolist(), events["y"].tolist(), strict=True)) == {
        (x, y) for x in range(5) for y in range(4)
    }
    fall = camera(grey(100), 2, 1.10)
    assert len(fall) == 40 and not fall["pol"].any() and (np.diff(fall["t"]) >= 0).all()
    assert len(camera(grey(100), 3, 1.15)) == 0
    assert EVENT.itemsize == 13


def test_slow_light_fires_as_often_as_fast_light() -> None:
    """What is left over below a threshold counts on: 50 small steps give the events of one large one."""
    fast, slow = EventCamera(EventSpec(), 5, 4), EventCamera(EventSpec(), 5, 4)
    fast(grey(10), 0, 0.0)
    slow(grey(10), 0, 0.0)
    gradual = sum(len(slow(grey(10 + 4 * k), k, 0.02 * k)) for k in range(1, 51))
    assert gradual == len(fast(grey(210), 1, 1.0)) > 100


def test_a_pixel_rests_after_it_has_fired() -> None:
    rise = np.log(0.001 + 200 / 255) - np.log(0.001 + 10 / 255)
    apart_ns = 0.3 / rise * 50e6
    counts = []
    for rest in (0, int(1.5 * apart_ns), 10**9):
        camera = EventCamera(EventSpec(refractory_period_ns=rest), 5, 4)
        camera(grey(10), 0, 0.0)
        counts.append(len(camera(grey(200), 1, 0.05)) // 20)
    n = int(rise / 0.3)
    assert counts == [n, (n + 1) // 2, 1]


def test_thresholds_scatter_and_repeat() -> None:
    def first_times(seed: int) -> np.ndarray:
        camera = EventCamera(EventSpec(sigma_positive_threshold=0.03, noise_seed=seed), 60, 40)
        camera(np.full((40, 60, 3), 100, np.uint8), 0, 0.0)
        events = camera(np.full((40, 60, 3), 150, np.uint8), 1, 0.05)
        return events["t"] / 50e6 * (np.log(0.001 + 150 / 255) - np.log(0.001 + 100 / 255))

    levels = first_times(1)
    assert levels.mean() == pytest.approx(0.3, abs=0.005) and levels.std() == pytest.approx(0.03, rel=0.1)
    assert np.array_equal(levels, first_times(1)) and not np.array_equal(levels, first_times(2))


def test_levels_without_logarithm() -> None:
    camera = EventCamera(EventSpec(use_log=False, positive_threshold=20.0, negative_threshold=50.0), 5, 4)
    camera(grey(100), 0, 0.0)
    assert len(camera(grey(165), 1, 0.05)) == 3 * 20
    assert len(camera(grey(100), 2, 0.10)) == 1 * 20


def test_a_moving_edge_fires_where_it_moves() -> None:
    """A camera that drives past a box: events lie where the picture changed, none in the even sky."""
    state, geometry = nobody(ground(), box_at(10.0, 2.0, (3.0, 3.0, 5.0)))
    cameras = CameraSet(around(state, geometry), [PinholeSpec(W, H, FOV, FREE, grain=False)], None)
    eye, shots = EventCamera(EventSpec(positive_threshold=0.15, negative_threshold=0.15), W, H), []
    for tick in range(3):
        shot: Shot = cameras.render(transform(0.0, 0.2 * tick, 1.6), tick)[0]
        shots.append(shot.rgb.astype(float) @ [0.299, 0.587, 0.114])
        events = eye(shot.rgb, tick, 0.05 * tick)
    change = np.abs(np.log(0.001 + shots[2] / 255) - np.log(0.001 + shots[1] / 255))
    assert len(events) > 50 and (change[events["y"], events["x"]] > 1e-3).all()
    assert (events["t"] >= 50_000_000).all() and (events["t"] <= 100_000_000).all()


def test_bad_thresholds_are_refused() -> None:
    with pytest.raises(ValueError, match="event camera: found"):
        EventSpec(positive_threshold=0.0)
