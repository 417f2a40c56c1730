"""The car knows where it is: in its lane on a synthetic street, and over a real minute of driving."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from synthetic_street import KERB_HEIGHT_M, LANE_M, Car, Street

from perception import lidar, sweep
from perception.geometry import camera_edges, ground_points_from_mask
from perception.localizer import Localizer, ground_pose
from perception.mapmatch import EdgePoints, MapLines, register
from stack.frames import BODY_FROM_OPTICAL, F64, Pose, apply, intrinsics, inverse, project, transform, wrap
from stack.labels import Semantic
from stack.messages import (
    CameraImage,
    Ego,
    GnssSamples,
    ImuSamples,
    LidarSweep,
    RadarSamples,
    SensorFrame,
    WheelSamples,
)

REAL = Path(__file__).parents[2] / "shared/data/comma2k19"


def drive(street: Street, seed: int, ticks: int, with_lidar: bool) -> F64:
    """(ticks, 6): lateral, longitudinal, yaw, speed error, NEES of (x, y, yaw, speed), true speed."""
    car, rng = Car(street, seed), np.random.default_rng(seed + 1000)
    p = car.pose
    start = Pose(p.x_m + rng.normal(0, 0.4), p.y_m + rng.normal(0, 0.4), 0.0, p.yaw_rad + rng.normal(0, 0.03))
    localizer, rows = Localizer(street.graph(), start), []
    for _ in range(ticks):
        frame = car.frame(with_lidar=with_lidar)
        ego = localizer(frame, [lidar.edges(lidar.scan(frame.lidar))] if with_lidar else [])
        rows.append(errors(ego, car.pose, car.v))
    return np.array(rows)


def errors(ego: Ego, truth: Pose, speed_mps: float) -> tuple[float, ...]:
    d = np.array([ego.pose.x_m - truth.x_m, ego.pose.y_m - truth.y_m])
    cos, sin = np.cos(truth.yaw_rad), np.sin(truth.yaw_rad)
    off = np.array([*d, wrap(ego.pose.yaw_rad - truth.yaw_rad), ego.speed_mps - speed_mps])
    nees = off @ np.linalg.solve(ego.covariance[:4, :4], off)
    return d[1] * cos - d[0] * sin, d[0] * cos + d[1] * sin, off[2], off[3], nees, speed_mps


def test_stays_in_lane_with_kerbs_and_markings() -> None:
    rows = drive(Street(), seed=1, ticks=250, with_lidar=True)
    assert rows[:, 5].max() > 5.0
    settled = np.abs(rows[40:])
    assert np.percentile(settled[:, 0], 95) < 0.15
    assert settled[:, 0].max() < 0.3
    assert np.percentile(settled[:, 1], 95) < 1.5
    assert np.rad2deg(np.percentile(settled[:, 2], 95)) < 0.5
    assert np.percentile(settled[:, 3], 95) < 0.2


def test_covariance_without_lidar_is_honest() -> None:
    """NEES of 4 numbers, averaged over drives: near 4, and in no case a belief far better than the truth."""
    nees = np.concatenate([drive(Street(), seed, 200, with_lidar=False)[60::20, 4] for seed in range(8)])
    assert 1.5 < nees.mean() < 8.0


def test_gnss_alone_would_not_do() -> None:
    rows = np.concatenate([drive(Street(), seed, 400, with_lidar=False)[40:] for seed in range(3)])
    assert 0.3 < np.percentile(np.abs(rows[:, 0]), 95) < 3.0


def test_same_input_same_belief() -> None:
    assert np.array_equal(drive(Street(), 5, 30, with_lidar=True), drive(Street(), 5, 30, with_lidar=True))


def test_standing_car_does_not_wander() -> None:
    street = Street()
    car = Car(street, 2)
    localizer, poses = Localizer(street.graph(), car.pose), []
    for tick in range(1, 401):
        now = tick * 0.05
        rng = np.random.default_rng(tick)
        imu = np.tile([0.1, 0.0, 9.81], (5, 1)) + rng.normal(0, 0.01, (5, 3))
        gyro = np.tile([0.0, 0.0, 0.004], (5, 1)) + rng.normal(0, 0.002, (5, 3))
        ego = localizer(frame_of(tick, now, now + np.arange(-4, 1) * 0.01, imu, gyro, 0.0))
        poses.append((ego.pose.x_m, ego.pose.y_m, ego.pose.yaw_rad, ego.yaw_rate_radps, ego.accel_mps2))
    drift = np.abs(np.array(poses[-1]) - poses[0])
    assert drift[:2].max() < 0.05 and drift[2] < 0.005
    assert abs(poses[-1][3]) < 0.003 and abs(poses[-1][4]) < 0.1


def frame_of(
    tick: int, now: float, times: F64, accel: F64, gyro: F64, speed: float, fix: F64 | None = None
) -> SensorFrame:
    f32, none, stamp = np.float32, np.zeros(0), np.array([now])
    sweep = LidarSweep(
        none, none.astype(f32), np.zeros(2, f32), np.zeros((2, 0), np.uint16), np.zeros((2, 0), np.uint8), np.eye(4)
    )
    fixes = np.zeros((0, 3)) if fix is None else fix
    return SensorFrame(
        tick, now, (), sweep, RadarSamples(none, np.zeros((0, 4), f32)),
        ImuSamples(times, accel.astype(f32), gyro.astype(f32)),
        GnssSamples(stamp.repeat(len(fixes)), fixes.astype(f32)),
        WheelSamples(stamp, np.array([speed], f32), np.zeros(1, f32)),
    )  # fmt: skip


def test_registration_finds_a_known_offset() -> None:
    lines = MapLines.of(Street((100.0, 0.0)).graph())
    x = np.arange(5.0, 40.0, 0.7)
    # the car stands at the middle line, heading along it
    kerb = np.concatenate([np.stack([x, np.full_like(x, y)], -1) for y in (LANE_M, -LANE_M)])
    pose = np.array([20.0, 0.3, 0.02])
    delta, covariance = register(EdgePoints(kerb, np.zeros((0, 2))), lines, pose, 0.0, gate_m=1.2)
    assert pose[1] + delta[1] == pytest.approx(0.0, abs=0.02)
    assert pose[2] + delta[2] == pytest.approx(0.0, abs=0.003)
    assert covariance[0, 0] > 1e3 and covariance[1, 1] < 0.01  # along the street nothing was measured
    assert register(EdgePoints(kerb[:5], np.zeros((0, 2))), lines, pose, 0.0, gate_m=1.2) is None


def test_map_edges_of_the_street() -> None:
    street = Street((100.0, 0.0))
    lines = MapLines.of(street.graph())
    np.testing.assert_allclose(np.abs(lines.kerb.xy_m[:, 1]), LANE_M, atol=1e-5)
    assert set(np.abs(lines.marking.xy_m[:, 1]).round(3)) == {0.0, LANE_M}


def test_kerbs_and_markings_are_seen_where_they_are() -> None:
    street = Street((200.0, 0.0))
    car = Car(street, 3, start_s_m=80.0)
    frame = car.frame()
    pose, edges = car.pose, lidar.edges(lidar.scan(frame.lidar))
    cos, sin = np.cos(pose.yaw_rad), np.sin(pose.yaw_rad)
    turn = np.array([[cos, -sin], [sin, cos]])
    kerb = np.abs((edges.kerb_xy_m @ turn.T)[:, 1] + pose.y_m)
    marking = np.abs((edges.marking_xy_m @ turn.T)[:, 1] + pose.y_m)
    assert len(kerb) > 20 and np.abs(kerb - LANE_M).mean() < 0.15 and abs(np.median(kerb) - LANE_M) < 0.06
    off = np.minimum(marking, np.abs(marking - LANE_M + 0.1))
    assert len(marking) > 20 and np.percentile(off, 90) < 0.12
    assert sweep.KERB_M[0] < KERB_HEIGHT_M < sweep.KERB_M[1]


def test_height_and_pitch_follow_the_lane() -> None:
    graph = Street((100.0, 0.0)).graph()
    graph.z_m[:] = 0.05 * graph.x_m
    graph.pitch_rad[:] = np.arctan(0.05) * np.cos(graph.yaw_rad)
    up = ground_pose(graph, 40.3, -1.75, 0.0, 2.0)
    assert up.z_m == pytest.approx(2.015, abs=1e-3) and up.pitch_rad == pytest.approx(0.05, abs=1e-3)
    down = ground_pose(graph, 40.3, 1.75, np.pi, 2.0)
    assert down.z_m == pytest.approx(2.015, abs=1e-3) and down.pitch_rad == pytest.approx(-0.05, abs=1e-3)


def ecef(latitude_deg: F64, longitude_deg: F64, height_m: F64) -> F64:
    """(N, 3) WGS-84 Earth-centred coordinates."""
    a, e2 = 6378137.0, 6.69437999014e-3
    lat, lon = np.deg2rad(latitude_deg), np.deg2rad(longitude_deg)
    n = a / np.sqrt(1 - e2 * np.sin(lat) ** 2)
    x, y = (n + height_m) * np.cos(lat) * np.cos(lon), (n + height_m) * np.cos(lat) * np.sin(lon)
    return np.stack([x, y, (n * (1 - e2) + height_m) * np.sin(lat)], axis=-1)


def test_real_minute_without_a_map() -> None:
    """comma2k19: phone IMU at 100 Hz, CAN wheel speed, u-blox fixes, against the optimised pose."""
    if not REAL.exists():
        pytest.skip("shared/data/comma2k19 is not here")

    def load(name: str) -> F64:
        return np.load(REAL / name)

    times, positions = load("global_pose/frame_times"), load("global_pose/frame_positions")
    log = "processed_log/"
    fix_t, fix = load(log + "GNSS/live_gnss_ublox/t"), load(log + "GNSS/live_gnss_ublox/value")
    imu_t, accel = load(log + "IMU/accelerometer/t"), load(log + "IMU/accelerometer/value")
    gyro, wheel_t = load(log + "IMU/gyro/value"), load(log + "CAN/wheel_speed/t")
    wheel = load(log + "CAN/wheel_speed/value").mean(axis=1)
    lat, lon = np.deg2rad(fix[0, 0]), np.deg2rad(fix[0, 1])
    enu = np.array(
        [
            [-np.sin(lon), np.cos(lon), 0.0],
            [-np.sin(lat) * np.cos(lon), -np.sin(lat) * np.sin(lon), np.cos(lat)],
            [np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)],
        ]
    )
    reference = (positions - positions[0]) @ enu.T
    fixes = (ecef(fix[:, 0], fix[:, 1], fix[:, 4]) - positions[0]) @ enu.T
    velocity = load("global_pose/frame_velocities") @ enu.T
    axes = np.array([1.0, -1.0, -1.0])  # the phone's are ahead, right, down
    start = Pose(*reference[0, :2], 0.0, float(np.arctan2(velocity[0, 1], velocity[0, 0])))
    localizer, off, last = Localizer(None, start), [], times[0] - 0.05
    for i, now in enumerate(times):
        rows = (imu_t > last) & (imu_t <= now)
        speed = float(np.interp(now, wheel_t, wheel))
        new = fixes[(fix_t > last) & (fix_t <= now)]
        ego = localizer(frame_of(i, now, imu_t[rows], accel[rows] * axes, gyro[rows] * axes, speed, new))
        off.append(np.hypot(ego.pose.x_m - reference[i, 0], ego.pose.y_m - reference[i, 1]))
        last = now
    raw = np.hypot(*(fixes[:, :2] - np.stack([np.interp(fix_t, times, reference[:, k]) for k in (0, 1)], -1)).T)
    print(f"position error m: filter {np.mean(off):.2f} mean, {np.max(off):.2f} most; fixes {np.mean(raw):.2f} mean")
    assert np.hypot(*np.diff(reference[:, :2], axis=0).T).sum() > 300.0
    assert np.mean(off) < 3.0 and np.max(off) < 6.0


def test_painted_pixels_come_to_lie_on_the_road() -> None:
    matrix, pose = intrinsics(320, 180, np.deg2rad(90.0)), transform(1.6, 0.0, 1.5) @ BODY_FROM_OPTICAL
    camera = CameraImage("wide", 0.0, b"", torch.zeros(3, 180, 320, dtype=torch.uint8), matrix, pose)
    line = np.stack([np.linspace(4.0, 15.0, 200), np.full(200, 1.75), np.zeros(200)], axis=-1)
    pixels, _ = project(matrix, apply(inverse(pose), line))
    mask = torch.zeros(45, 80, dtype=torch.uint8)
    rows = (pixels / 4.0).astype(int)
    mask[rows[:, 1].clip(0, 44), rows[:, 0].clip(0, 79)] = Semantic.ROAD_LINE
    found = ground_points_from_mask(mask, camera)
    assert len(found) > 8 and found[:, 0].min() > 3.0 and found[:, 0].max() < 16.0
    assert np.abs(found[:, 1] - 1.75).max() < 0.5 and abs(found[:, 1].mean() - 1.75) < 0.1
    assert len(camera_edges((mask,), (camera,)).marking_xy_m) == len(found)
