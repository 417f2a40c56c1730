"""A CARLA server as a World: the stock client in synchronous mode, with our rig.

Traffic starts where our own would, and is driven by CARLA's TrafficManager; pedestrians are rehearsed, and in a
rehearsed scenario so is everybody. Lights follow the scenario's seed. Data of sensors are matched by frame. Settings
and actors are handed back by `close`, whatever happened. Works against `ringroad serve` and, as far as CARLA's
published interface tells, against CARLA 0.9.16 (docs/carla.md).
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import queue
import socket
from typing import Any

import numpy as np

from sim.carla import convert
from sim.carla.mounts import orders
from sim.carla.reader import Raw, Reader
from sim.carla.sky import numbers_of
from sim.referee import Referee, Refereed
from sim.rehearsal import Rehearsal, Role
from sim.scripted import EGO, frame_hash, hits_of, start_pose, wings
from stack.frames import Pose
from stack.labels import LightState
from stack.loop import TICK_S, Scenario, WorldLost
from stack.messages import Actors, Command, Ego, SensorFrame, Truth
from stack.opendrive import RoadMap
from stack.rates import StageTimes
from stack.vehicle import load_vehicle

EGO_OF_CARLA = "vehicle.lincoln.mkz_2020"
LIKE = {  # vehicles of CARLA's own that come nearest to ours
    "sedan": "vehicle.lincoln.mkz_2020", "hatchback": "vehicle.seat.leon", "suv": "vehicle.nissan.patrol_2021",
    "van": "vehicle.mercedes.sprinter", "truck": "vehicle.carlamotors.carlacola", "bus": "vehicle.mitsubishi.fusorosa",
    "motorcycle": "vehicle.yamaha.yzf", "bicycle": "vehicle.diamondback.century",
}  # fmt: skip
WEATHER_NAMES = (
    "cloudiness", "precipitation", "precipitation_deposits", "wind_intensity", "sun_azimuth_angle", "sun_altitude_angle",
    "fog_density", "fog_distance", "fog_falloff", "wetness", "scattering_intensity", "mie_scattering_scale",
    "rayleigh_scattering_scale", "dust_storm",
)  # fmt: skip


class CarlaWorld(Refereed):
    """A `World` on a server. Actor ids count as in the rehearsal: the ego 0, then the roles."""

    def __init__(
        self, client: Any, road_map: RoadMap, before: tuple[Any, Any], device: str = "cpu",
        times: StageTimes | None = None, timeout_s: float = 20.0,
    ) -> None:  # fmt: skip
        """`road_map`: of the text that `connect.map_text` gave; `before`: settings and weather to hand back."""
        self._client, self.road_map, self.device = client, road_map, device
        self.times, self._timeout_s = times or StageTimes(), timeout_s
        self.params = load_vehicle(EGO)
        self._world = client.get_world()
        self._settings, self._weather = before
        self._spawned: list[Any] = []
        self._actors: list[Any] = []
        self._queues: dict[str, queue.Queue[Any]] = {}
        self._fresh = True
        self._manager: Any = None

    # ------------------------------------------------ the loop's side

    def reset(self, scenario: Scenario) -> SensorFrame:
        """A fresh episode: everybody at the start, braked; the first frame. Raises WorldLost."""
        with _lost_is_said():
            return self._reset(scenario)

    def step(self, command: Command) -> SensorFrame:
        """One tick with these pedals. Raises WorldLost where the server is gone."""
        with _lost_is_said():
            with self.times.section("world"):
                self._cast.step()
                self._put(self._cast.places.moved & self._placed)
                self._show_lights()
                self._drive(*(float(v) for v in command.pedals))
                frame = self._world.tick(self._timeout_s)
            self.tick += 1
            out = self._sense(frame)
        ego = self.truth().ego
        self._events = self.referee.observe(self.truth(), hits_of(self._contacts(frame), ego, self.params.mass_kg))
        return out

    def warm_up(self, scenario: Scenario) -> None:
        """The server compiles and loads at the first episode."""
        self.reset(scenario)
        self.times.seconds.clear()

    def truth(self) -> Truth:
        """Of the newest frame's instant; without pictures."""
        return self._truth

    def state_hash(self) -> str:
        """Over everybody's place and every byte that the sensors gave in this tick."""
        places = np.ascontiguousarray(self._truth.actors.xyz_m).tobytes() + repr(self._truth.ego.pose).encode()
        return hashlib.blake2b(places + self._sensor_hash, digest_size=8).hexdigest()

    def close(self) -> None:
        """Destroy what was spawned and hand back settings, weather and lights; silent where the server is gone."""
        with contextlib.suppress(RuntimeError):
            self._clear()
            self._world.freeze_all_traffic_lights(False)
            self._world.set_weather(self._weather)
            self._world.apply_settings(self._settings)

    # ------------------------------------------------ an episode

    def _reset(self, scenario: Scenario) -> SensorFrame:
        import carla

        self.scenario, self.tick, self._carla = scenario, 0, carla
        self._clear()
        settings = self._world.get_settings()
        settings.synchronous_mode, settings.fixed_delta_seconds = True, TICK_S
        settings.no_rendering_mode = not scenario.rig.cameras
        self._world.apply_settings(settings)
        if not self._fresh:
            self._world = self._client.reload_world(False)
        self._fresh = False
        self._library = self._world.get_blueprint_library()
        sky = dict(zip(WEATHER_NAMES, numbers_of(scenario.weather, scenario.seed), strict=True))
        self._world.set_weather(carla.WeatherParameters(**sky))
        self._cast = Rehearsal(scenario)
        self._ego = self._spawn_ego(start_pose(scenario))
        self._actors = self._spawn_roles()
        self._ids = [actor.id if actor is not None else 0 for actor in self._actors]
        self._there = np.array(self._ids, np.int64) > 0
        self._lifts = np.array([(0.0, 0.0, role.lift_m) for role in self._cast.roles]).reshape(-1, 3)
        self._rows = {self._ego.id: 0} | {a.id: k + 1 for k, a in enumerate(self._actors) if a is not None}
        self._put(np.ones(len(self._actors), bool))
        self._placed = np.ones(len(self._actors), bool)
        if not scenario.rehearsed:
            self._hand_over(scenario.seed)
        self._world.freeze_all_traffic_lights(True)
        self._lights: dict[str, Any] = {
            light.get_opendrive_id(): light for light in self._world.get_actors().filter("traffic.traffic_light")
        }
        self._shown: dict[str, int] = {}
        self._show_lights()
        self._drive(0.0, 1.0, 0.0)
        self._listen(scenario)
        self._reader = Reader(scenario.rig, scenario.seed, self.road_map.georeference, self.device)
        self.referee = Referee(scenario, self.params)
        self._events = ()
        return self._sense(self._world.tick(self._timeout_s))

    def _spawn_ego(self, at: Pose) -> Any:
        own = f"vehicle.ringroad.{EGO}"
        found = self._library.filter(own)
        blueprint = found[0] if len(found) else self._library.find(EGO_OF_CARLA)
        for name, value in (("role_name", "hero"), ("dynamics", "ringroad")):
            if blueprint.has_attribute(name):
                blueprint.set_attribute(name, value)
        ego = self._world.spawn_actor(blueprint, self._transform(at))
        self._spawned.append(ego)
        self._centre_m, self._steer = self.params.centre_m, 1.0
        if not len(found):  # another car: its rear axle and its wheels' angle are its own
            control = ego.get_physics_control()
            rear = [w.position / 100.0 for w in control.wheels if w.max_steer_angle == 0.0] or [ego.get_location()]
            middle = sum(r.x for r in rear) / len(rear), sum(r.y for r in rear) / len(rear)
            self._centre_m = math.hypot(at.x_m - middle[0], convert.location((0.0, at.y_m, 0.0))[1] - middle[1])
            most = math.radians(max(w.max_steer_angle for w in control.wheels))
            self._steer = self.params.wheel_angle_max_rad / most
        return ego

    def _spawn_roles(self) -> list[Any]:
        """Everybody of the cast, in the wings and without physics; None for one whom the server refuses."""
        actors = [
            self._world.try_spawn_actor(self._blueprint(role), self._transform(wings(self._pose(k), k)))
            for k, role in enumerate(self._cast.roles)
        ]
        for actor in actors:
            if actor is not None:
                actor.set_simulate_physics(False)
                self._spawned.append(actor)
        return actors

    def _hand_over(self, seed: int) -> None:
        """Leave the vehicles that drive to a TrafficManager of our own."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._manager_port = probe.getsockname()[1]
        self._manager = self._client.get_trafficmanager(self._manager_port)
        self._manager.set_synchronous_mode(True)
        self._manager.set_random_device_seed(seed)
        for k, (actor, role) in enumerate(zip(self._actors, self._cast.roles, strict=True)):
            if actor is not None and role.params is not None and not role.parked:
                self._placed[k] = False
                actor.set_simulate_physics(True)
                actor.set_autopilot(True, self._manager_port)

    def _blueprint(self, role: Role) -> Any:
        found = self._library.filter(role.blueprint)
        name = role.blueprint if len(found) else LIKE[role.blueprint.rsplit(".", 1)[-1]]
        blueprint = self._library.find(name)
        for key, value in role.attributes.items():
            if blueprint.has_attribute(key) and (key != "dynamics" or self.scenario.rehearsed):
                blueprint.set_attribute(key, value)  # a TrafficManager steers as CARLA's vehicles need it
        return blueprint

    def _listen(self, scenario: Scenario) -> None:
        """Mount the rig's sensors; what they give waits in queues."""
        self._queues = {}
        self._hits: queue.Queue[Any] = queue.Queue()
        for order in orders(scenario.rig, self.params, scenario.seed):
            blueprint = self._library.find(order.blueprint)
            for key, value in order.attributes.items():
                if blueprint.has_attribute(key):
                    blueprint.set_attribute(key, value)
            place, turn = order.transform
            at = self._carla.Transform(self._carla.Location(*place), self._carla.Rotation(*turn))
            sensor = self._world.spawn_actor(blueprint, at, attach_to=self._ego)
            self._spawned.append(sensor)
            waiting = self._hits if order.name == "collision" else self._queues.setdefault(order.name, queue.Queue())
            sensor.listen(waiting.put)

    def _clear(self) -> None:
        """Stop and destroy all that was spawned."""
        if self._manager is not None:
            for actor in self._actors:
                if actor is not None and actor.type_id.startswith("vehicle."):
                    with contextlib.suppress(RuntimeError):  # a TrafficManager destroys cars that stand for too long
                        actor.set_autopilot(False, self._manager_port)
            self._manager.set_synchronous_mode(
                False
            )  # its end, right after a tick, can miss the thread and never return
        sensors = [actor for actor in self._spawned if actor.type_id.startswith("sensor.")]
        for sensor in sensors:
            sensor.stop()
        if sensors and self._world.get_settings().synchronous_mode:
            self._world.tick(self._timeout_s)
        if self._manager is not None:  # it must not outlive the episode that it drives in
            self._manager.shut_down()
            self._manager = None
        if self._spawned:
            destroy = [self._carla.command.DestroyActor(actor.id) for actor in reversed(self._spawned)]
            self._client.apply_batch(destroy)  # the one that waits keeps Python's lock, for which callbacks may wait
        self._spawned, self._actors = [], []

    # ------------------------------------------------ a tick

    def _transform(self, pose: Pose) -> Any:
        (x, y, z), (pitch, yaw, roll) = convert.transform(pose)
        return self._carla.Transform(self._carla.Location(x, y, z), self._carla.Rotation(pitch, yaw, roll))

    def _pose(self, k: int) -> Pose:
        """As CARLA has it: of the actor's origin."""
        p = self._cast.places
        x, y, z = (float(v) for v in p.xyz_m[k])
        return Pose(
            x, y, z + self._cast.roles[k].lift_m, float(p.yaw_rad[k]), float(p.pitch_rad[k]), float(p.roll_rad[k])
        )

    def _put(self, moved: Any) -> None:
        """Move the roles that stand elsewhere now, in one message."""
        carla = self._carla
        move, at, to, turned = carla.command.ApplyTransform, carla.Transform, carla.Location, carla.Rotation
        p, rows = self._cast.places, np.flatnonzero(moved & self._there)
        places = convert.locations(p.xyz_m[rows]) + self._lifts[rows]
        turns = np.stack(convert.angles_deg(p.yaw_rad[rows], p.pitch_rad[rows], p.roll_rad[rows]), axis=-1)
        batch = [
            move(self._ids[k], at(to(*place), turned(*turn)))
            for k, place, turn in zip(rows.tolist(), places.tolist(), turns.tolist(), strict=True)
        ]
        if batch:
            self._client.apply_batch(batch)

    def _drive(self, throttle: float, brake: float, steer: float) -> None:
        self._ego.apply_control(
            self._carla.VehicleControl(throttle=throttle, brake=brake, steer=convert.steer(steer * self._steer))
        )

    def _show_lights(self) -> None:
        """Set the lights that have changed."""
        state = self._carla.TrafficLightState
        named = {LightState.GREEN: state.Green, LightState.YELLOW: state.Yellow, LightState.RED: state.Red}
        for ids, lamp in zip(self.scenario.graph.signal_id, self._cast.lights, strict=True):
            if self._shown.get(ids) == lamp:
                continue
            self._shown[ids] = int(lamp)
            for id_ in ids.split(","):
                if id_ in self._lights and LightState(lamp) in named:
                    self._lights[id_].set_state(named[LightState(lamp)])

    def _take(self, name: str, frame: int) -> Any:
        """A sensor's datum of a frame; older ones are let go."""
        waiting = self._queues[name]
        while True:
            try:
                data = waiting.get(timeout=self._timeout_s)
            except queue.Empty:
                raise RuntimeError(f"sensor {name} gave nothing for frame {frame} in {self._timeout_s:g} s") from None
            if data.frame >= frame:
                return data

    def _sense(self, frame: int) -> SensorFrame:
        with self.times.section("cameras"):
            pictures = [self._take(camera.name, frame) for camera in self.scenario.rig.cameras]
            rgb = [
                np.frombuffer(p.raw_data, np.uint8).reshape(p.height, p.width, 4)[..., 2::-1] for p in pictures
            ]  # fmt: skip
        lidar, radar, imu, gnss = (self._take(name, frame) for name in ("lidar", "radar", "imu", "gnss"))
        points = np.frombuffer(lidar.raw_data, np.float32).reshape(-1, 4)
        count = np.array([lidar.get_point_count(k) for k in range(lidar.channels)], np.int32)
        returns = np.frombuffer(radar.raw_data, np.float32).reshape(-1, 4)  # velocity, azimuth, altitude, depth
        seen = np.stack([returns[:, 3], convert.bearing(returns[:, 1]), returns[:, 2], returns[:, 0]], axis=-1)
        a, g = imu.accelerometer, imu.gyroscope
        telemetry = self._ego.get_telemetry_data()
        wheel = self._ego.get_wheel_steer_angle(self._carla.VehicleWheelLocation.FL_Wheel)
        raw = Raw(
            rgb, count, convert.locations(points[:, :3]), points[:, 3], seen.astype(np.float32),
            np.array(convert.location((a.x, a.y, a.z))), np.array(convert.rate((g.x, g.y, g.z))),
            (gnss.latitude, gnss.longitude, gnss.altitude), telemetry.speed, wheel,
        )  # fmt: skip
        out = self._reader.frame(self.tick, raw)
        self._sensor_hash = frame_hash(out)
        self._truth = self._read_truth(frame, telemetry.speed, wheel)
        return out

    def _read_truth(self, frame: int, speed_mps: float, wheel_deg: float) -> Truth:
        """Of the snapshot: everybody's box, and the ego about its rear axle."""
        snapshot = self._world.get_snapshot()
        if snapshot.frame != frame:
            raise RuntimeError(f"the server's snapshot is of frame {snapshot.frame}, expected {frame}")
        ego = snapshot.find(self._ego.id)
        at = self._ground_pose(ego.get_transform())
        yaw, c = at.yaw_rad, self._centre_m
        origin = Pose(
            at.x_m - c * math.cos(yaw) * math.cos(at.pitch_rad), at.y_m - c * math.sin(yaw) * math.cos(at.pitch_rad),
            at.z_m - c * math.sin(at.pitch_rad), yaw, at.pitch_rad, at.roll_rad,
        )  # fmt: skip
        v, w, f = ego.get_velocity(), ego.get_angular_velocity(), ego.get_acceleration()
        vx, vy, _ = convert.location((v.x, v.y, v.z))
        ax, ay, _ = convert.location((f.x, f.y, f.z))
        turn = convert.rate_rad((w.x, w.y, w.z))[2]
        side = vy * math.cos(yaw) - vx * math.sin(yaw) - turn * c
        accel = ax * math.cos(yaw) + ay * math.sin(yaw)
        angle = math.radians(convert.steer(wheel_deg))
        own = Ego(origin, speed_mps, side, turn, accel, angle, np.zeros((5, 5)))
        return Truth(self.tick, own, self._read_actors(snapshot), self._cast.lights, ())

    def _read_actors(self, snapshot: Any) -> Actors:
        rows, read = [], []
        for k, id_ in enumerate(self._ids):
            found = snapshot.find(id_) if id_ else None
            if found is None:
                continue
            transform, v, w = found.get_transform(), found.get_velocity(), found.get_angular_velocity()
            at, turn = transform.location, transform.rotation
            rows.append(k)
            read.append((at.x, at.y, at.z, v.x, v.y, v.z, w.x, w.y, w.z, turn.yaw))
        n, roles = len(rows), [self._cast.roles[k] for k in rows]
        of = np.array(read, float).reshape(n, 10)
        return Actors(
            np.array(rows, np.int32) + 1, np.array([role.kind for role in roles], np.uint8),
            convert.locations(of[:, :3]) - self._lifts[rows], convert.bearing(np.radians(of[:, 9])),
            convert.locations(of[:, 3:6])[:, :2], convert.rates_rad(of[:, 6:9])[:, 2],
            np.array([role.size_m for role in roles], float).reshape(n, 3), np.ones(n), np.zeros((n, 4, 4)),
        )  # fmt: skip

    @staticmethod
    def _ground_pose(transform: Any) -> Pose:
        place, turn = transform.location, transform.rotation
        return convert.pose([[place.x, place.y, place.z], [turn.pitch, turn.yaw, turn.roll]])

    def _contacts(self, frame: int) -> list[tuple[int, float]]:
        """Whom the ego touched in a frame, and how hard: rows of the rehearsal, -2 for what stands."""
        out = []
        while not self._hits.empty():
            event = self._hits.get()
            if event.frame <= frame:  # one that comes late counts now
                push = event.normal_impulse
                out.append((self._rows.get(event.other_actor.id, -2), math.hypot(push.x, push.y, push.z)))
        return out


@contextlib.contextmanager
def _lost_is_said() -> Any:
    """The client's errors are RuntimeErrors of many kinds; for a drive they mean one thing."""
    try:
        yield
    except RuntimeError as error:
        raise WorldLost(f"the CARLA server is gone or does not answer: {' '.join(str(error).split())}") from None
