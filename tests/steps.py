"""Synthetic Steps of the right shapes: a car on a straight road with traffic round it. No simulator, no stack."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import torch
from PIL import Image
from torchvision.io import ImageReadMode, decode_jpeg

from stack.frames import BODY_FROM_OPTICAL, Pose, intrinsics, transform
from stack.labels import Kind, LightState, Semantic
from stack.loop import TICK_S
from stack.messages import (
    Actors,
    CameraImage,
    CameraMount,
    Command,
    Control,
    Detections,
    Ego,
    Event,
    Extents,
    GnssSamples,
    ImuSamples,
    LidarSweep,
    Maneuver,
    Plan,
    RadarSamples,
    Reference,
    Rig,
    Scene,
    SensorFrame,
    Step,
    Trajectory,
    Truth,
    TruthImages,
    WheelSamples,
)  # fmt: skip

SPEED_MPS = 8.0
SIGNALS = 3


def ego_at(x_m: float, y_m: float = 0.0, yaw_rad: float = 0.0, speed_mps: float = SPEED_MPS) -> Ego:
    """An exact ego."""
    return Ego(Pose(x_m, y_m, 0.0, yaw_rad), speed_mps, 0.0, 0.0, 0.0, 0.0, np.zeros((5, 5)))


def actors_at(places: list[tuple[float, float]], kind: Kind = Kind.CAR, speed_mps: float = 5.0) -> Actors:
    """Cars (or others) heading along x at (x, y) in m; ids count from 1."""
    n = len(places)
    size = {Kind.PEDESTRIAN: (0.5, 0.5, 1.75), Kind.TRUCK: (8.0, 2.5, 3.0)}.get(kind, (4.5, 1.9, 1.5))
    return Actors(
        np.arange(1, n + 1, dtype=np.int32), np.full(n, kind, np.uint8),
        np.array([(x, y, 0.0) for x, y in places]).reshape(n, 3), np.zeros(n),
        np.tile([speed_mps, 0.0], (n, 1)), np.zeros(n), np.tile(size, (n, 1)), np.ones(n), np.zeros((n, 4, 4)),
    )  # fmt: skip


def detections_at(boxes_px: list[tuple[float, float, float, float]], kind: Kind = Kind.CAR) -> Detections:
    """Boxes (left, top, right, bottom) in px, sure of themselves; ids count from 1."""
    n = len(boxes_px)
    return Detections(
        np.array(boxes_px, np.float32).reshape(n, 4), np.full(n, kind, np.uint8), np.ones(n, np.float32),
        np.full(n, 20.0, np.float32), np.zeros(n, np.float32), np.arange(1, n + 1, dtype=np.int32),
    )  # fmt: skip


def camera_image(mount: CameraMount, tick: int, rng: np.random.Generator) -> CameraImage:
    """A noisy picture, as JPEG bytes and as what they decode to."""
    coarse = rng.integers(0, 256, (mount.height_px // 20 + 1, mount.width_px // 20 + 1, 3), np.uint8)
    pixels = coarse.repeat(20, 0).repeat(20, 1)[: mount.height_px, : mount.width_px]
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=90)
    jpeg = out.getvalue()
    rgb = decode_jpeg(torch.frombuffer(bytearray(jpeg), dtype=torch.uint8), mode=ImageReadMode.RGB)
    pose = transform(mount.x_m, mount.y_m, mount.z_m, mount.yaw_rad, mount.pitch_rad) @ BODY_FROM_OPTICAL
    return CameraImage(
        mount.name, tick * TICK_S, jpeg, rgb, intrinsics(mount.width_px, mount.height_px, mount.hfov_rad), pose
    )


def sensor_frame(tick: int, rng: np.random.Generator, rig: Rig = Rig()) -> SensorFrame:
    """Samples of every sensor; the LiDAR sees half a turn, the GNSS speaks every second tick."""
    rings, columns, now = rig.lidar_rings, rig.lidar_columns // 2, tick * TICK_S
    start = np.pi * (tick % 2)
    lidar = LidarSweep(
        now + np.linspace(-TICK_S, 0.0, columns), np.linspace(start, start + np.pi, columns, dtype=np.float32),
        np.linspace(*rig.lidar_elevation_rad[::-1], rings, dtype=np.float32),
        rng.integers(0, 20000, (rings, columns), np.uint16), rng.integers(0, 256, (rings, columns), np.uint8),
        transform(*rig.lidar_xyz_m),
    )  # fmt: skip

    def noise(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    fixes = tick % 2
    return SensorFrame(
        tick, now, tuple(camera_image(mount, tick, rng) for mount in rig.cameras), lidar,
        RadarSamples(np.full(7, now), noise(7, 4)), ImuSamples(now + np.arange(5) * 0.01, noise(5, 3), noise(5, 3)),
        GnssSamples(np.full(fixes, now), noise(fixes, 3)), WheelSamples(np.array([now]), noise(1), noise(1)),
    )  # fmt: skip


def truth_images(rig: Rig, boxes: Detections) -> tuple[TruthImages, ...]:
    """For each camera: sky over road, and each box filled with its car."""
    out = []
    for mount in rig.cameras:
        h, w = mount.height_px, mount.width_px
        semantic = torch.full((h, w), int(Semantic.ROAD), dtype=torch.uint8)
        semantic[: h // 2] = int(Semantic.SKY)
        instance = torch.zeros((h, w), dtype=torch.int32)
        for (left, top, right, bottom), id_ in zip(boxes.box_px.astype(int), boxes.id, strict=True):
            semantic[top:bottom, left:right] = int(Semantic.CAR)
            instance[top:bottom, left:right] = int(id_) + 1
        out.append(TruthImages(semantic, instance, torch.full((h, w), 20.0), boxes, Extents.unknown(len(boxes.id))))
    return tuple(out)


def straight_plan(ego: Ego, route_s_m: float = 0.0) -> Plan:
    """Straight on along the ego's heading at its speed, for 4 s; the emergency trajectory brakes with 6 m/s2."""
    pose, v = ego.pose, ego.speed_mps
    along = np.array([np.cos(pose.yaw_rad), np.sin(pose.yaw_rad)])

    def points(s: np.ndarray) -> np.ndarray:
        return (np.array([pose.x_m, pose.y_m]) + s[:, None] * along).astype(np.float32)

    def constant(n: int, value: float) -> np.ndarray:
        return np.full(n, value, np.float32)

    s = np.arange(64.0)
    reference = Reference(
        s.astype(np.float32), points(s), constant(64, pose.yaw_rad), constant(64, 0.0), constant(64, 13.9),
        constant(64, v), float("inf"), float("inf"), 0.0, Maneuver.CRUISE, route_s_m, 500.0 - route_s_m,
    )  # fmt: skip
    t = np.arange(0.0, 4.01, 0.1)
    n = len(t)

    def timed(speed: np.ndarray, accel: np.ndarray, travelled: np.ndarray) -> Trajectory:
        times, speeds, accels = (x.astype(np.float32) for x in (t, speed, accel))
        return Trajectory(times, points(travelled), constant(n, pose.yaw_rad), speeds, accels, constant(n, 0.0))

    stop_s = v / 6.0
    slowed = np.minimum(t, stop_s)
    return Plan(
        reference,
        timed(np.full(n, v), np.zeros(n), v * t),
        timed(v - 6.0 * slowed, np.where(t < stop_s, -6.0, 0.0), v * slowed - 3.0 * slowed**2),
    )


def step_at(tick: int, seed: int = 0, rig: Rig = Rig(), events: tuple[Event, ...] = ()) -> Step:
    """A perfect scene of a moving truth: ego along x at SPEED_MPS, three cars, one visible box in each camera."""
    rng = np.random.default_rng((seed, tick))
    ego = ego_at(tick * TICK_S * SPEED_MPS)
    cars = actors_at([(20.0 + tick * TICK_S * 5.0, 0.0), (35.0 + tick * TICK_S * 5.0, 3.5), (-15.0, -3.5)])
    boxes = detections_at([(150.0, 80.0, 180.0, 110.0)])
    frame = sensor_frame(tick, rng, rig)
    lights = np.array([LightState.RED, LightState.GREEN, LightState.UNKNOWN], np.uint8)
    truth = Truth(tick, ego, cars, lights, truth_images(rig, boxes))
    scene = Scene(
        tick, frame.time_s, replace(ego, covariance=0.01 * np.eye(5)), replace(cars, id=cars.id + 100), lights,
        np.array([0.9, 0.8, 0.0], np.float32), tuple(boxes for _ in rig.cameras),
        tuple(image.semantic[::4, ::4].contiguous() for image in truth.images),
    )  # fmt: skip
    wanted = Control(float(rng.normal(0.0, 0.05)), float(rng.normal()))
    pedals = rng.uniform(0.0, 1.0, 3).astype(np.float32)
    command = Command(wanted, pedals, "time to collision" if tick % 7 == 3 else "")
    return Step(frame, truth, scene, straight_plan(ego, ego.pose.x_m), wanted, command, events)


def steps(n: int, seed: int = 0, rig: Rig = Rig()) -> list[Step]:
    """`n` steps in a row."""
    return [step_at(tick, seed, rig) for tick in range(n)]
