"""Objects from camera boxes, LiDAR clusters and radar: right place, class, size, heading and speed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from shapely.geometry import MultiPoint
from synthetic_street import LANE_M, RIG, Car, Street, lidar

from perception.fusion import Fusion, complete
from perception.lidar import Turn, fit_boxes, scan
from perception.tracker import Observations, Tracker
from stack.frames import BODY_FROM_OPTICAL, F64, Pose, apply, box_corners, intrinsics, inverse, project, transform
from stack.labels import Kind
from stack.messages import CameraImage, Detections, Ego, RadarSamples

CAMERAS = tuple(
    CameraImage(
        m.name, 0.0, b"", torch.zeros(3, 2, 2, dtype=torch.uint8), intrinsics(m.width_px, m.height_px, m.hfov_rad),
        transform(m.x_m, m.y_m, m.z_m) @ BODY_FROM_OPTICAL,
    )
    for m in RIG.cameras
)  # fmt: skip
NO_RADAR = RadarSamples(np.zeros(0), np.zeros((0, 4), np.float32))


def ego_at(pose: Pose, speed_mps: float = 0.0) -> Ego:
    return Ego(pose, speed_mps, 0.0, 0.0, 0.0, 0.0, np.diag([0.1, 0.1, 1e-5, 0.01, 1e-5]) ** 2)


def detections(pose: Pose, boxes: F64, kinds: list[Kind], distance_factor: float = 1.0) -> list[Detections]:
    """What a network would say of boxes (x, y, z, yaw, length, width, height) that are in view."""
    out = []
    for camera in CAMERAS:
        rows = []
        for box, kind in zip(boxes, kinds, strict=True):
            corners = apply(transform(*box[:4]), box_corners(*box[4:])[0])
            optical = apply(inverse(pose.matrix() @ camera.ego_from_camera), corners)
            pixels, depth = project(camera.intrinsics, optical)
            sides = np.concatenate([pixels.min(axis=0), pixels.max(axis=0)]).clip(0, [320, 180, 320, 180])
            if depth.min() > 1.0 and (sides[2:] - sides[:2]).min() > 2.0:
                rows.append((sides, kind, depth.mean() * distance_factor, box[3] - pose.yaw_rad))
        n = len(rows)
        box_px = np.array([r[0] for r in rows], np.float32).reshape(n, 4)
        kind = np.array([r[1] for r in rows], np.uint8)
        column = np.array([r[2:] for r in rows], np.float32).reshape(n, 2)
        score, ids = np.full(n, 0.8, np.float32), np.full(n, -1, np.int32)
        out.append(Detections(box_px, kind, score, column[:, 0], column[:, 1], ids))
    return out


def observe(
    boxes: F64, kinds: list[Kind], pose: Pose, named: bool, radar: RadarSamples = NO_RADAR, speed_mps: float = 0.0
) -> Observations:
    """A turn of the LiDAR, first astern, then ahead, and the cameras' boxes (where `named`), fused."""
    street, rng, turn = Street((300.0, 0.0)), np.random.default_rng(1), Turn()
    for half in (1, 0):
        clusters = turn(scan(lidar(street, pose, half, 0.05, boxes, rng)), 0.05, 0.0, 0.0)
    seen = detections(pose, boxes, kinds) if named else detections(pose, boxes[:0], [])
    return Fusion(street.graph(), RIG)(clusters, CAMERAS, seen, radar, ego_at(pose, speed_mps), 0.05)


POSE = Pose(50.0, -0.5 * LANE_M)
CAR = [75.0, -1.9, 0.0, 0.0, 4.4, 1.8, 1.5]
ONCOMING = [80.0, 1.8, 0.0, np.pi, 4.6, 1.8, 1.6]
TRUCK = [112.0, -1.7, 0.0, 0.0, 8.1, 2.5, 3.4]
WALKER = [68.0, 4.6, 0.13, 1.5, 0.5, 0.6, 1.75]
POLE = [70.0, 4.2, 0.0, 0.0, 0.25, 0.25, 6.0]
WALL = [85.0, 9.0, 0.0, 0.0, 40.0, 2.0, 8.0]


def test_camera_and_lidar_place_and_name_everybody() -> None:
    boxes = np.array([CAR, ONCOMING, WALKER])
    seen = observe(boxes, [Kind.CAR, Kind.CAR, Kind.PEDESTRIAN], POSE, named=True)
    assert len(seen) == 3
    order = [int(np.hypot(*(seen.xyz_m[:, :2] - box[:2]).T).argmin()) for box in boxes]
    off = np.hypot(*(seen.xyz_m[order, :2] - boxes[:, :2]).T)
    assert off[:2].max() < 0.4 and off[2] < 0.25
    assert seen.kind[order].tolist() == [Kind.CAR, Kind.CAR, Kind.PEDESTRIAN]
    assert np.abs(np.sin(seen.yaw_rad[order[:2]] - boxes[:2, 3])).max() < 0.1
    assert np.cos(seen.yaw_rad[order[1]]) < -0.9
    sigma = np.sqrt(np.linalg.eigvalsh(seen.covariance)[:, -1])
    assert (off < 3.0 * sigma[order]).all()


def test_lidar_alone_sees_cars_on_lanes_but_no_poles_walls_or_kerbs() -> None:
    seen = observe(np.array([CAR, POLE, WALL]), [], POSE, named=False)
    assert len(seen) == 1 and seen.kind[0] == Kind.CAR
    assert np.hypot(*(seen.xyz_m[0, :2] - CAR[:2])) < 0.4
    assert seen.size_m[0, 0] == pytest.approx(4.45, abs=0.5)


def test_beyond_the_lidar_the_camera_places_one_object_once() -> None:
    boxes = np.array([[125.0, -1.7, 0.0, 0.0, 4.5, 1.8, 1.5]])
    seen = observe(boxes, [Kind.CAR], POSE, named=True)
    assert len(seen) == 1 and seen.kind[0] == Kind.CAR
    assert abs(seen.xyz_m[0, 0] - 125.0) < 3.0 and abs(seen.xyz_m[0, 1] + 1.7) < 0.6
    assert seen.covariance[0, 0, 0] > 10.0 * seen.covariance[0, 1, 1]


def test_radar_turns_doppler_into_speed_over_ground() -> None:
    distance = CAR[0] - 2.2 - (POSE.x_m + RIG.radar_xyz_m[0])
    returns = np.array([[distance, 0.0, 0.0, -4.0], [distance + 30.0, 0.4, 0.0, -10.0]], np.float32)
    radar = RadarSamples(np.zeros(2), returns)
    seen = observe(np.array([CAR]), [Kind.CAR], POSE, named=True, radar=radar, speed_mps=10.0)
    np.testing.assert_allclose(seen.radial[0], [1.0, 0.0, 6.0], atol=0.03)


def test_tracks_of_a_drive_past_traffic() -> None:
    street = Street((400.0, 0.0))
    car, turn, tracker = Car(street, 1), Turn(), Tracker()
    fusion, off, ids = Fusion(street.graph(), RIG), [], set()
    for tick in range(80):
        now = (tick + 1) * 0.05
        boxes = np.array([[25.0 + 8.0 * now, *CAR[1:]], [110.0 - 9.0 * now, *ONCOMING[1:]], TRUCK, WALL])
        frame = car.frame(boxes)
        ego = ego_at(car.pose, car.v)
        clusters = turn(scan(frame.lidar), now, car.v, car.yaw_rate)
        seen = detections(car.pose, boxes[:3], [Kind.CAR, Kind.CAR, Kind.TRUCK], 1.0 + 0.05 * np.sin(tick))
        tracks = tracker(fusion(clusters, CAMERAS, seen, NO_RADAR, ego, now), now)
        if tick > 30:
            assert len(tracks) == 3, f"tick {tick}"
            truth = np.array([[8.0, 0.0], [-9.0, 0.0], [0.0, 0.0]])
            d = np.hypot(*(tracks.xyz_m[None, :, :2] - boxes[:3, None, :2]).transpose(2, 0, 1))
            nearest = d.argmin(axis=1)
            off.append([*d.min(axis=1), *np.hypot(*(tracks.velocity_mps[nearest] - truth).T)])
            ids.add(tuple(tracks.id[nearest].tolist()))
    assert len(ids) == 1
    median = np.median(off, axis=0)
    assert median[:2].max() < 0.6 and median[2] < 1.2
    assert median[3:].max() < 0.5


def test_near_side_is_trusted_and_the_rest_completed_away_from_it() -> None:
    rear_of_a_car = np.array([[20.0, 20.2, -0.9, 0.9]])
    centre, size, slack = complete(rear_of_a_car, np.array([Kind.CAR]))
    assert centre[0] == pytest.approx([20.0 + 0.5 * size[0, 0], 0.0]) and size[0, 0] == 4.45 and slack[0] > 0.9
    behind, _, _ = complete(-rear_of_a_car[:, [1, 0, 3, 2]], np.array([Kind.CAR]))
    assert behind[0, 0] == pytest.approx(-centre[0, 0])


def test_l_shapes_against_shapely() -> None:
    """Two sides of a box give its angle and, where both are seen whole, the smallest rectangle's area."""
    rng, points, yaws = np.random.default_rng(0), [], []
    long = np.stack([np.linspace(0, 4.4, 40), np.zeros(40)], axis=-1)
    side = np.concatenate([long, long[:17, ::-1]])
    for _ in range(12):
        yaw = rng.uniform(0, np.pi / 2)
        turn = np.array([[np.cos(yaw), np.sin(yaw)], [-np.sin(yaw), np.cos(yaw)]])
        points.append((side + rng.normal(0, 0.02, side.shape)) @ turn + rng.uniform(-20, 20, 2))
        yaws.append(yaw)
    count = np.array([len(p) for p in points])
    start = np.cumsum(count) - count
    yaw, bounds = fit_boxes(np.concatenate(points).astype(np.float32), start, count)
    off = np.remainder(yaw - yaws + np.pi / 4, np.pi / 2) - np.pi / 4
    assert np.rad2deg(np.abs(off)).max() < 3.0
    area = (bounds[:, 1] - bounds[:, 0]) * (bounds[:, 3] - bounds[:, 2])
    least = [MultiPoint(p).minimum_rotated_rectangle.area for p in points]
    np.testing.assert_allclose(area, least, rtol=0.12)
