"""The embedded world: one drive in our own simulator, as the loop sees it.

A batch of one world, its scenery, the sensors of the rig and the referee. Deterministic: (map, scenario, commands) decide
every byte.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.actor_meshes import library
from sim.batch import Batch
from sim.camera import Cameras
from sim.geometry import HELD_OUT_LOOK, Geometry
from sim.referee import Referee, Refereed, hits_of_ego
from sim.scenery import build
from sim.sensors import Sensors
from sim.spawn import SHARES, spawn
from sim.state import Driver
from sim.weather import varied, weather
from stack.frames import Pose
from stack.loop import Scenario
from stack.messages import Actors, Command, Ego, SensorFrame, Truth, TruthImages
from stack.opendrive import RoadMap
from stack.rates import StageTimes
from stack.vehicle import load_vehicle

EGO = "sedan"
WEATHER_VARIES = 0.6  # how far a seed moves sun, clouds, fog and exposure from the preset
PARKED = 48  # most parked cars of a drive, those nearest the route
TRAFFIC = ("hatchback", "suv", "van", "truck", "bus", "motorcycle", "bicycle")
EMERGENCY = ("ambulance", "firetruck", "police")


class EmbeddedWorld(Refereed):
    """A `World`. Built for one map; `reset` takes any scenario on it. Actor ids are rows of the state; the ego is row 0."""

    def __init__(
        self,
        road_map: RoadMap,
        device: str = "cpu",
        times: StageTimes | None = None,
        look: int = 0,
        unseen: bool = False,
    ) -> None:
        """`look`: seed of the scenery's dress (buildings, trees, colours). `unseen`: vehicles and walkers of shapes, and
        everything in colours, that nothing is trained on."""
        self.road_map, self.device, self.look_seed, self.unseen = road_map, device, look, unseen
        self.times = times or StageTimes()
        self.params = [load_vehicle(name) for name in (EGO, *TRAFFIC, *EMERGENCY)]

    def reset(self, scenario: Scenario) -> SensorFrame:
        """Everybody at the start; the first frame."""
        self._prepare(scenario, Driver.POLICY)
        self.referee = Referee(scenario, self.params[0])
        self._events = ()
        return self._sense(np.zeros(3))

    def step(self, command: Command) -> SensorFrame:
        """One tick with these pedals."""
        self.batch.set_pedals(0, 0, command.pedals)
        with self.times.section("world"):
            self._announce()
            self.batch.step()
        self.tick += 1
        self._place_actors()
        columns = {
            name: self.batch.state.numpy(name)[0] for name in ("hit_other", "hit_speed_mps", "hit_x_m", "hit_y_m")
        }
        frame = self._sense(np.zeros(3))
        self._events = self.referee.observe(self.truth(), hits_of_ego(columns))
        return frame

    def warm_up(self, scenario: Scenario) -> None:
        """Compile and load every kernel, so that the drive itself does not wait; leaves no trace in the drive."""
        self.reset(scenario)
        self.batch.step()
        self._sense(np.zeros(3))
        self.times.seconds.clear()

    def truth(self) -> Truth:
        """Of the newest frame's instant."""
        if self._truth is None:
            ego, actors = self._actors()
            signals = self.batch.state.numpy("signal_state")[0, : self.scenario.graph.signals].astype(np.uint8)
            self._truth = Truth(self.tick, ego, actors, signals, self._truth_images)
        return self._truth

    def state_hash(self) -> str:
        """Over every state array and every byte that the sensors gave in this tick."""
        digest = hashlib.blake2b(digest_size=8)
        digest.update(self.batch.hash().encode())
        digest.update(self._sensor_hash)
        return digest.hexdigest()

    def close(self) -> None:
        """Nothing is held outside the process."""

    # ------------------------------------------------ tours: the ego as part of traffic, for data sets

    def tour(self, scenario: Scenario, shares: Mapping[str, float] = SHARES) -> None:
        """Like `reset`, but the traffic model drives the ego and nothing is sensed until `look`; `shares` of models."""
        self._prepare(scenario, Driver.IDM, shares)

    def advance(self) -> None:
        """One tick without sensors."""
        self.batch.step()
        self.tick += 1

    def look(self, nudge: NDArray[np.float64]) -> tuple[SensorFrame, Truth]:
        """A frame with its truth, the cameras' car moved by (left m, yaw rad, pitch rad)."""
        self._place_actors()
        frame = self._sense(nudge)
        truth = self.truth()
        return frame, Truth(truth.tick, self._ego(self._nudged(nudge)), truth.actors, truth.signal_state, truth.images)

    # ------------------------------------------------

    def _prepare(self, scenario: Scenario, driver: Driver, shares: Mapping[str, float] = SHARES) -> None:
        sky = varied(weather(scenario.weather), scenario.seed, WEATHER_VARIES)
        self.scenario, self.tick = scenario, 0
        route = scenario.route
        start = (int(route.lanes[0]), route.start_s_m)
        rows = spawn(
            scenario.graph, self.params, scenario.seed, scenario.vehicles, scenario.pedestrians, start, near_route=route,
            beside_route=scenario.beside_route, shares=shares, parked=PARKED,
            emergency=scenario.emergency,
        )  # fmt: skip
        rows["driver"][0] = driver
        if self.unseen:
            rows["look"] += HELD_OUT_LOOK
        if driver == Driver.IDM:
            typical = {
                "wish_factor": 1.0,
                "wish_max_mps": 100.0,
                "headway_s": 1.4,
                "accel_max_mps2": 1.6,
                "brake_comfort_mps2": 2.0,
                "gap_min_m": 2.5,
            }
            for name, value in typical.items():
                rows[name][0] = value
        self._build(scenario)
        self.batch.reset_world(0, rows, scenario.seed, friction=1.0 - 0.4 * sky.wet)
        self.cameras = Cameras(scenario.rig, self.geometry, self.scenery, sky, scenario.seed)
        self.sensors.reset()
        self._place_actors()

    def _build(self, scenario: Scenario) -> None:
        """Batch, scenery and sensors; kept from drive to drive on the same graph and rig, whatever its cameras."""
        moving = scenario.vehicles + scenario.pedestrians + scenario.emergency
        key = (id(scenario.graph), replace(scenario.rig, cameras=()), moving)
        if getattr(self, "_key", None) == key:
            return
        self._key = key
        graph, rig = scenario.graph, scenario.rig
        actors = 1 + moving + min(PARKED, len(graph.park_yaw_rad))
        self.scenery = build(self.road_map, graph, self.look_seed, self.unseen)
        self.batch = Batch(graph, self.params, 1, actors, self.device, self.scenery.static_boxes)
        self.geometry = Geometry(self.scenery.mesh, library(), actors, graph.signals, self.device)
        self.sensors = Sensors(self.batch.state, self.geometry, rig)

    def _announce(self) -> None:
        """Tell traffic which lanes the ego means to take next, as its indicators would."""
        graph, lanes = self.scenario.graph, self.scenario.route.lanes
        lane = int(self._column("lane")[0])
        ahead = [-1, -1]
        at = np.flatnonzero(lanes == lane)
        for k, following in enumerate(lanes[at[-1] + 1 : at[-1] + 3] if len(at) else ()):
            if following not in graph.successors(lane):
                break
            ahead[k] = lane = int(following)
        for name, value in zip(("next_lane", "after_lane"), ahead, strict=True):
            self.batch.torch(name)[0, 0] = value

    def _place_actors(self) -> None:
        self.geometry.update(self.batch.state, 0, viewer=0)

    def _sense(self, nudge: NDArray[np.float64]) -> SensorFrame:
        with self.times.section("cameras"):
            pictures = self.cameras.start(self._nudged(nudge), self.tick)
            with self.times.section("ranges"):  # while the cameras' threads render
                lidar, radar, imu, gnss, wheels = self.sensors.read(self.tick)
            images, truths = pictures()
        self._truth_images: tuple[TruthImages, ...] = truths
        self._truth: Truth | None = None  # made when somebody asks
        digest = hashlib.blake2b(digest_size=8)
        for image in images:
            digest.update(image.jpeg)
        for message in (lidar, radar, imu, gnss, wheels):
            for value in vars(message).values():
                digest.update(np.ascontiguousarray(value).tobytes())
        self._sensor_hash = digest.digest()
        return SensorFrame(self.tick, self.tick * 0.05, images, lidar, radar, imu, gnss, wheels)

    def _column(self, name: str) -> Any:
        return self.batch.state.numpy(name)[0]

    def _nudged(self, nudge: NDArray[np.float64]) -> Pose:
        """The ego's pose, moved by (left m, yaw rad, pitch rad)."""
        x, y, z, yaw, pitch, roll = (
            float(self._column(name)[0]) for name in ("x_m", "y_m", "z_m", "yaw_rad", "pitch_rad", "roll_rad")
        )
        side, turn, tilt = (float(value) for value in nudge)
        return Pose(x - side * np.sin(yaw), y + side * np.cos(yaw), z, yaw + turn, pitch + tilt, roll)

    def _ego(self, pose: Pose) -> Ego:
        vx, vy, rate, accel, angle = (
            float(self._column(name)[0])
            for name in ("vx_mps", "vy_mps", "yaw_rate_radps", "ax_mps2", "wheel_angle_rad")
        )
        return Ego(pose, vx, vy, rate, accel, angle, np.zeros((5, 5)))

    def _actors(self) -> tuple[Ego, Actors]:
        rows = np.flatnonzero(self._column("kind"))
        rows = rows[rows != 0]

        def column(name: str) -> NDArray[np.float64]:
            return self._column(name)[rows].astype(np.float64)

        yaw, centre, vx, vy = column("yaw_rad"), column("centre_m"), column("vx_mps"), column("vy_mps")
        rate = column("yaw_rate_radps")
        cos, sin = np.cos(yaw), np.sin(yaw)
        side = vy + rate * centre  # speed of the box centre
        pitch = column("pitch_rad")
        n = len(rows)
        actors = Actors(
            rows.astype(np.int32), self._column("kind")[rows].astype(np.uint8),
            np.stack([column("x_m") + centre * cos, column("y_m") + centre * sin, column("z_m") + centre * np.sin(pitch)], -1),
            yaw, np.stack([vx * cos - side * sin, vx * sin + side * cos], -1), rate,
            np.stack([column("length_m"), column("width_m"), column("height_m")], -1), np.ones(n), np.zeros((n, 4, 4)),
        )  # fmt: skip
        return self._ego(self._nudged(np.zeros(3))), actors
