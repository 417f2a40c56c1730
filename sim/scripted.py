"""The embedded world with rehearsed traffic: what `sim/carla/client.py` drives in over a socket, here in one process.

An open world carries out what a client would ask of a server, in the same order, and instruments give the ideal samples
that its sensors would send. So a drive goes the same way here and there (docs/carla.md).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from sim.carla import convert
from sim.carla.mounts import Order, orders
from sim.carla.reader import Raw, Reader
from sim.carla.sky import WET_GRIP, numbers_of, weather_of
from sim.instruments.cameras import CameraSet, PinholeSpec
from sim.instruments.lidar import Lidar, LidarPoints, LidarSpec
from sim.instruments.motion import Gnss, GnssSpec, Imu, ImuSpec
from sim.instruments.places import pose
from sim.instruments.radar import Radar, RadarSpec
from sim.instruments.surroundings import Surroundings
from sim.open_world import OpenWorld
from sim.referee import Hit, Referee, Refereed
from sim.rehearsal import Rehearsal
from sim.sensors import scenery_mesh
from sim.weather import Weather
from stack.frames import F64, Pose
from stack.loop import TICK_S, Scenario
from stack.messages import F32, Actors, Command, Ego, SensorFrame, Truth
from stack.opendrive import RoadMap
from stack.rates import StageTimes
from stack.vehicle import load_vehicle

EGO = "sedan"
WINGS_M = 200.0
DEG_PER_RAD = np.float32(180.0 / np.pi)


def start_pose(scenario: Scenario) -> Pose:
    """Where the middle of the ego's box stands at the start, as CARLA's wire carries it."""
    graph, params = scenario.graph, load_vehicle(EGO)
    lane, s = int(scenario.route.lanes[0]), scenario.route.start_s_m
    k = int(graph.lane_start[lane] + np.clip(round(s / graph.lane_step_m[lane]), 0, graph.lane_count[lane] - 1))
    rest = s - (k - graph.lane_start[lane]) * graph.lane_step_m[lane]
    yaw, pitch = float(graph.yaw_rad[k]), float(graph.pitch_rad[k])
    along = rest + params.centre_m * np.cos(pitch)
    at = Pose(
        float(graph.x_m[k]) + along * np.cos(yaw), float(graph.y_m[k]) + along * np.sin(yaw),
        float(graph.z_m[k]) + params.centre_m * np.sin(pitch), yaw, pitch,
    )  # fmt: skip
    return convert.pose([[float(np.float32(v)) for v in part] for part in convert.transform(at)])


def wings(pose: Pose, k: int) -> Pose:
    """Where role k waits before it is put in its place: high up, where nothing is in its way."""
    return replace(pose, z_m=WINGS_M + 8.0 * k)


def hits_of(contacts: list[tuple[int, float]], ego: Ego, mass_kg: float) -> list[Hit]:
    """Hits of the ego from (other's row or -2, impulse N s); the speed is by how much the ego's own changed."""
    return [Hit(other, push / mass_kg, ego.pose.x_m, ego.pose.y_m) for other, push in contacts]


class ScriptedWorld(Refereed):
    """A `World`. Actor ids are rows of the open world; the ego is row 0."""

    def __init__(self, road_map: RoadMap, device: str = "cpu", times: StageTimes | None = None) -> None:
        self.road_map, self.device, self.times = road_map, device, times or StageTimes()
        self.params = load_vehicle(EGO)
        self._open: OpenWorld | None = None

    def reset(self, scenario: Scenario) -> SensorFrame:
        """Everybody at the start, braked; the first frame."""
        self.scenario, self.tick = scenario, 0
        graph = scenario.graph
        if self._open is None or self._open.graph is not graph:
            self._open = OpenWorld(self.road_map, graph)
        world = self._open
        world.reset()
        sky = weather_of(numbers_of(scenario.weather, scenario.seed))
        world.state.numpy("friction")[0] = 1.0 - WET_GRIP * sky.wet
        self._cast = Rehearsal(scenario)
        size = self.params.length_m, self.params.width_m, self.params.height_m
        world.add(self.params.kind_id, size, start_pose(scenario), self.params)
        places = self._cast.places
        for k, role in enumerate(self._cast.roles):
            world.add(role.kind, role.size_m, wings(self._pose(k), k), role.params, role.look)
        for k in range(len(self._cast.roles)):
            world.simulate(k + 1, False)
        self._rows = np.arange(1, len(self._cast.roles) + 1)
        self._put(np.ones(len(places.moved), bool))
        self._show_lights()
        world.drive(0, 0.0, 1.0, 0.0)
        self._mount(scenario, sky)
        self.referee = Referee(scenario, self.params)
        self._events = ()
        world.tick(TICK_S)
        return self._sense()

    def step(self, command: Command) -> SensorFrame:
        """One tick with these pedals."""
        assert self._open is not None
        throttle, brake, steer = (float(v) for v in command.pedals)
        with self.times.section("world"):
            self._cast.step()
            self._put(self._cast.places.moved)
            self._show_lights()
            self._open.drive(0, throttle, brake, steer)
            self._open.tick(TICK_S)
        self.tick += 1
        frame = self._sense()
        contacts = [
            (c.other, float(np.linalg.norm(c.impulse_ns))) for c in self._open.contacts() if c.row == 0
        ]  # fmt: skip
        self._events = self.referee.observe(self.truth(), hits_of(contacts, self.truth().ego, self.params.mass_kg))
        return frame

    def warm_up(self, scenario: Scenario) -> None:
        """Compile and load every kernel; leaves no trace in the drive."""
        self.reset(scenario)
        self.times.seconds.clear()

    def truth(self) -> Truth:
        """Of the newest frame's instant; without pictures."""
        assert self._open is not None
        state, motion = self._open.state, self._open.motion()

        def own(name: str) -> float:
            return float(state.numpy(name)[0, 0])

        at = Pose(*(own(name) for name in ("x_m", "y_m", "z_m", "yaw_rad", "pitch_rad", "roll_rad")))
        ego = Ego(
            at, own("vx_mps"), own("vy_mps"), own("yaw_rate_radps"), own("ax_mps2"), own("wheel_angle_rad"),
            np.zeros((5, 5)),
        )  # fmt: skip
        rows = self._rows
        columns = [state.numpy(name)[0, rows].astype(np.float64) for name in ("length_m", "width_m", "height_m")]
        actors = Actors(
            rows.astype(np.int32), state.numpy("kind")[0, rows].astype(np.uint8), motion.xyz_m[rows].astype(np.float64),
            motion.rpy_rad[rows, 2].astype(np.float64), motion.velocity_mps[rows, :2].astype(np.float64),
            motion.turn_radps[rows, 2].astype(np.float64), np.stack(columns, axis=-1), np.ones(len(rows)),
            np.zeros((len(rows), 4, 4)),
        )  # fmt: skip
        return Truth(self.tick, ego, actors, self._cast.lights, ())

    def state_hash(self) -> str:
        """Over the whole open world and every byte that the sensors gave in this tick."""
        assert self._open is not None
        return hashlib.blake2b(self._open.hash().encode() + self._sensor_hash, digest_size=8).hexdigest()

    def close(self) -> None:
        """Nothing is held outside the process."""

    # ------------------------------------------------

    def _pose(self, k: int) -> Pose:
        p = self._cast.places
        x, y, z = (float(v) for v in p.xyz_m[k])
        return Pose(x, y, z, float(p.yaw_rad[k]), float(p.pitch_rad[k]), float(p.roll_rad[k]))

    def _put(self, moved: Any) -> None:
        assert self._open is not None
        p = self._cast.places
        self._open.place_many(
            self._rows[moved], p.xyz_m[moved], p.yaw_rad[moved], p.pitch_rad[moved], p.roll_rad[moved]
        )

    def _show_lights(self) -> None:
        assert self._open is not None
        lights = self._cast.lights
        self._open.state.numpy("signal_state")[0, : len(lights)] = lights

    def _mount(self, scenario: Scenario, sky: Weather) -> None:
        """All sensors of the rig, as a server mounts those that a client spawns."""
        assert self._open is not None
        world, state = self._open, self._open.state
        wanted = {order.name: order for order in orders(scenario.rig, self.params, scenario.seed)}

        def mount(name: str) -> F64:
            return wanted[name].mount(self.params.centre_m)

        around = Surroundings(world.geometry, world.scenery, sky, scenario.seed)
        specs = [_pinhole(wanted[c.name], mount(c.name)) for c in scenario.rig.cameras]
        self._cameras = CameraSet(around, specs, 0) if specs else None
        self._lidar = Lidar(world.geometry, _lidar(wanted["lidar"]), mount("lidar"), 0)
        self._radar = Radar(_radar(wanted["radar"]), scenery_mesh(world.geometry), mount("radar"), 0)
        self._imu, self._gnss = Imu(ImuSpec(), mount("imu"), 0), Gnss(GnssSpec(), mount("gnss"), 0)
        self._reader = Reader(scenario.rig, scenario.seed, self.road_map.georeference, self.device)
        self._state = state

    def _sense(self) -> SensorFrame:
        assert self._open is not None
        state, tick = self._open.state, self.tick
        self._open.geometry.update(state, 0, viewer=-1)
        with self.times.section("cameras"):
            shots = self._cameras.render(pose(state, 0), tick) if self._cameras else []
        with self.times.section("ranges"):
            points = self._lidar.scan(state, tick, TICK_S)
            assert isinstance(points, LidarPoints)
            returns = self._radar.scan(state, tick, TICK_S)
        motion = self._imu.sample(state, tick, TICK_S)
        radar: F32 = np.stack(
            [returns.depth_m, returns.azimuth_rad, returns.altitude_rad, returns.speed_mps], axis=-1
        ).astype(np.float32)
        wheel = state.numpy("wheel_angle_rad")[0, 0] * DEG_PER_RAD
        raw = Raw(
            [shot.rgb for shot in shots if shot.rgb is not None], points.count, points.xyz_m, points.intensity, radar,
            motion.accel_mps2, motion.gyro_radps,
            convert.geolocation(self._gnss.sample(state, tick), self.road_map.georeference),
            float(state.numpy("vx_mps")[0, 0]), convert.steer(float(wheel)),
        )  # fmt: skip
        frame = self._reader.frame(tick, raw)
        self._sensor_hash = frame_hash(frame)
        return frame


def frame_hash(frame: SensorFrame) -> bytes:
    """8 bytes over all that a frame's sensors gave."""
    digest = hashlib.blake2b(digest_size=8)
    for image in frame.cameras:
        digest.update(image.jpeg)
    for message in (frame.lidar, frame.radar, frame.imu, frame.gnss, frame.wheels):
        for value in vars(message).values():
            digest.update(np.ascontiguousarray(value).tobytes())
    return digest.digest()


def _pinhole(order: Order, mount: F64) -> PinholeSpec:
    a = order.attributes
    return PinholeSpec(int(a["image_size_x"]), int(a["image_size_y"]), np.radians(float(a["fov"])), mount)


def _lidar(order: Order) -> LidarSpec:
    a: Callable[[str], float] = lambda name: float(order.attributes[name])  # noqa: E731
    return LidarSpec(
        int(a("channels")), a("range"), int(a("points_per_second")), a("rotation_frequency"),
        np.radians(a("upper_fov")), np.radians(a("lower_fov")), 2.0 * np.pi, a("atmosphere_attenuation_rate"),
        a("dropoff_general_rate"), a("dropoff_intensity_limit"), a("dropoff_zero_intensity"), a("noise_stddev"),
        int(a("noise_seed")),
    )  # fmt: skip


def _radar(order: Order) -> RadarSpec:
    a = order.attributes
    return RadarSpec(
        np.radians(float(a["horizontal_fov"])), np.radians(float(a["vertical_fov"])), float(a["range"]),
        int(a["points_per_second"]), int(a["noise_seed"]),
    )  # fmt: skip
