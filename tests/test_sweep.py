"""Kernels over a sweep against the same rules in numpy and scipy."""

from __future__ import annotations

import numpy as np
import pytest
import warp as wp
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from synthetic_street import Car, Street

from perception import sweep
from perception.lidar import Scan, Turn, cluster, scan
from stack.frames import F64
from stack.messages import LidarSweep

CAR, WALKER = [95.0, -1.9, 0.0, 0.0, 4.4, 1.8, 1.5], [88.0, 6.0, 0.0, 0.4, 0.6, 0.6, 1.8]
BOXES = np.array([CAR, WALKER, [90.0, 9.0, 0.0, 0.0, 30.0, 1.0, 3.0]])


def seen_sweep() -> LidarSweep:
    return Car(Street((200.0, 0.0)), 3, start_s_m=80.0).frame(BOXES).lidar


def walked(points: F64, hit: np.ndarray) -> np.ndarray:
    """(R, C) ground, ring by ring from the lowest."""
    z, r = points[..., 2], np.hypot(points[..., 0], points[..., 1])
    last_z, last_r, ground = np.zeros(z.shape[1]), np.zeros(z.shape[1]), np.zeros(z.shape, bool)
    for i in range(len(z) - 1, -1, -1):
        run = r[i] - last_r
        ground[i] = hit[i] & (np.abs(z[i] - last_z) < np.minimum(0.5 * run + 0.03, 0.03 * run + 0.18))
        last_z, last_r = np.where(ground[i], z[i], last_z), np.where(ground[i], r[i], last_r)
    return ground


def test_points_and_ground_are_those_of_the_sweep() -> None:
    sent = seen_sweep()
    found, hit = scan(sent), sent.range_steps > 0
    points, _ = sent.points_ego()
    np.testing.assert_allclose(found.xyz_m[hit], points, atol=2e-5 * np.abs(points).max())
    own = (np.abs(found.xyz_m[..., 0] - 1.5) < 2.8) & (np.abs(found.xyz_m[..., 1]) < 1.2)
    assert (found.ground == walked(found.xyz_m.astype(float), hit & ~own)).mean() > 0.999
    assert found.ground.sum() > 2000 and found.obstacle.sum() > 100
    assert not (found.obstacle & (found.ground | ~hit)).any()
    assert found.height_m[found.obstacle].min() > sweep.OBSTACLE_M[0]


def test_groups_are_the_connected_cells() -> None:
    """Points in cells that touch, side by side or corner to corner, form a group, across the seam astern too."""
    rng = np.random.default_rng(0)
    middle = rng.uniform(-40.0, 40.0, (60, 1, 2))
    middle[0] = [-20.0, 0.0]
    xy = (middle + rng.normal(0.0, 0.4, (60, 12, 2))).reshape(-1, 2)
    xyz = np.column_stack([xy, np.ones(len(xy))]).astype(np.float32)
    found = cluster(xyz, np.ones(len(xyz), np.float32), np.zeros(len(xyz)), np.ones(len(xyz), bool))
    sector = ((np.arctan2(xyz[:, 1], xyz[:, 0]) + np.pi) * sweep.SECTORS / (2.0 * np.pi)).astype(int) % sweep.SECTORS
    depth = (np.log1p(np.hypot(xyz[:, 0], xyz[:, 1]) * (0.02 / 0.35)) / 0.02).astype(int)
    turn = np.abs(sector[:, None] - sector)
    touch = (np.minimum(turn, sweep.SECTORS - turn) < 2) & (np.abs(depth[:, None] - depth) < 2)
    _, label = connected_components(coo_array(touch), directed=False)
    size = np.bincount(label)
    assert sorted(found.count.tolist()) == sorted(size[size >= 3].tolist())
    for start, count in zip(found.start, found.count, strict=True):
        group = found.xyz_m[start : start + count]
        rows = [int(np.flatnonzero((xyz == point).all(axis=1))[0]) for point in group]
        assert len(set(label[rows].tolist())) == 1 and rows == sorted(rows)


def test_scans_do_not_share_memory_and_repeat() -> None:
    sent = seen_sweep()
    first: Scan = scan(sent)
    kept = {name: value.copy() for name, value in vars(first).items()}
    scan(Car(Street((200.0, 0.0)), 4, start_s_m=40.0).frame().lidar)
    again = scan(sent)
    for name, value in kept.items():
        np.testing.assert_array_equal(getattr(first, name), value)
        np.testing.assert_array_equal(getattr(again, name), value)
    one, two = (Turn()(scan(sent), 0.05, 5.0, 0.1) for _ in range(2))
    for name, value in vars(one).items():
        np.testing.assert_array_equal(getattr(two, name), value)


def test_nothing_seen_is_no_error() -> None:
    none, f32 = np.zeros(0), np.float32
    steps, intensity = np.zeros((2, 0), np.uint16), np.zeros((2, 0), np.uint8)
    empty = LidarSweep(none, none.astype(f32), np.zeros(2, f32), steps, intensity, np.eye(4))
    assert len(Turn()(scan(empty), 0.05, 0.0, 0.0)) == 0


@pytest.mark.gpu
@pytest.mark.skipif(not wp.is_cuda_available(), reason="needs a CUDA device")
def test_kernels_compile_for_cuda() -> None:
    wp.load_module(sweep, device="cuda")
