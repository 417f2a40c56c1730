"""Cameras and LiDAR on one town with fifty actors, one thread."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from scripts.bench.measure import Figure, sample_ms, time_figure
from scripts.build import DriveSettings, build_scenario
from stack.frames import Pose
from stack.messages import CameraMount, Rig

VEHICLES, WALKERS = 30, 19  # and the ego: fifty actors
TICKS_BETWEEN = 20  # from view to view
CALLS_A_VIEW = 4
CAMERAS = ((320, 180, 3.5, 1.5), (640, 360, 11.0, 5.0))  # width, height, at least, aim
LIDARS = ((32, 512, 3.0, 1.5), (64, 1024, 8.0, 4.0))  # rings, columns, at least, aim


def mount(width: int, height: int) -> CameraMount:
    """The rig's wide camera at another size."""
    return replace(Rig().cameras[0], width_px=width, height_px=height)


class Street:
    """A drive through a town by the traffic model, which stops wherever a view is wanted."""

    def __init__(self, map_: str, rig: Rig, vehicles: int = VEHICLES, walkers: int = WALKERS) -> None:
        from sim.world import EmbeddedWorld

        scenario, road_map = build_scenario(DriveSettings(map=map_, perception="oracle", seed=3))
        self.world = EmbeddedWorld(road_map, "cpu")
        self.world.tour(replace(scenario, vehicles=vehicles, pedestrians=walkers, rig=rig))
        self.state, self.geometry = self.world.batch.state, self.world.geometry
        self.go(0)

    def go(self, ticks: int) -> None:
        """Drive on, and place the actors for the sensors."""
        for _ in range(ticks):
            self.world.advance()
        self.geometry.update(self.state, 0, viewer=0)

    def pose(self) -> Pose:
        names = ("x_m", "y_m", "z_m", "yaw_rad", "pitch_rad", "roll_rad")
        return Pose(*(float(self.state.numpy(name)[0, 0]) for name in names))

    def note(self, map_: str) -> str:
        actors = int((self.state.numpy("kind")[0] != 0).sum())
        return f"{actors} actors and {self.geometry.arrays.static_triangles:,} triangles of scenery on {map_}"

    def sample(self, work: Any, seconds: float) -> list[float]:
        """Times of `work`, of which each view gives a few."""
        calls = iter(range(1 << 30))

        def move_on() -> None:
            if next(calls) % CALLS_A_VIEW == 0:
                self.go(TICKS_BETWEEN)

        return sample_ms(work, seconds, move_on)


def picture(street: Street) -> Any:
    """What the cameras see from where the ego stands."""
    return street.world.cameras.render(street.pose(), street.world.tick)


def cameras(map_: str, seconds: float) -> Iterator[Figure]:
    """Colour, depth, class and instance in one pass, with shadows, textures, fog and noise, and the boxes; no JPEG."""
    for width, height, at_least, aim in CAMERAS:
        street = Street(map_, Rig(cameras=(mount(width, height),)))
        for camera in street.world.cameras._cameras:
            camera.image = lambda tick: None  # the picture is drawn; only its JPEG is left out
        times = street.sample(partial(picture, street), seconds)
        yield time_figure(f"camera {width}x{height}, four modalities", times, at_least, aim, street.note(map_))


def lidar(map_: str, seconds: float) -> Iterator[Figure]:
    """Whole turns: two ticks' half turns of one instant."""
    from sim.kernels.lidar import Lidar

    for rings, columns, at_least, aim in LIDARS:
        street = Street(map_, Rig(cameras=(), lidar_rings=rings, lidar_columns=columns))
        sensor = Lidar(Rig(cameras=(), lidar_rings=rings, lidar_columns=columns), street.geometry)

        def turn(sensor: Any = sensor, street: Street = street) -> None:
            for tick in (0, 1):
                sensor.scan(street.state, 0, tick)

        times = street.sample(turn, seconds)
        yield time_figure(f"LiDAR sweep {rings}x{columns}", times, at_least, aim, street.note(map_))


def drive(map_: str, seconds: float) -> Iterator[Figure]:
    """The parts of a tick of `ringroad drive` as it senses."""
    import torch

    from perception.export import ready
    from perception.network import Network

    street = Street(map_, Rig())
    world = street.world
    yield time_figure("two cameras 320x180, four modalities, JPEG",
                      street.sample(partial(picture, street), seconds), note=street.note(map_))  # fmt: skip
    yield time_figure("LiDAR half turn 32x256, radar, motion", street.sample(lambda: world.sensors.read(2), seconds))
    yield time_figure("placing the actors", sample_ms(lambda: street.geometry.update(street.state, 0, 0), seconds / 4))
    pictures = torch.zeros(1, 3, 180, 320, dtype=torch.uint8)
    net = ready(Network(), pictures, "cpu")
    yield time_figure("network, one picture 320x180", sample_ms(lambda: net(pictures), seconds))


def camera_env_ms(map_: str, seconds: float, vehicles: int) -> tuple[list[float], Any]:
    """Times of one step of one world with one camera of 320x180: physics, traffic, placing, the picture as an array."""
    street = Street(map_, Rig(cameras=(mount(320, 180),)), vehicles, 0)
    camera = street.world.cameras._cameras[0]
    camera.image = lambda tick: None

    def step() -> Any:
        street.go(1)
        picture(street)
        return np.array(camera._picture.rgb.numpy())

    return sample_ms(step, seconds), step()
