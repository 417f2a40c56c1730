"""Sensor actors as instruments: from CARLA's attributes to ours, and from samples to message bodies."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol

import msgpack
import numpy as np

from sim.carla import convert
from sim.carla.server import payloads
from sim.carla.server.actors import Actor
from sim.carla.server.payloads import Parts
from sim.carla.server.wire import Failed, Stream
from sim.instruments.cameras import PinholeSpec, Shot
from sim.instruments.events import EventCamera, EventSpec
from sim.instruments.lidar import RANGE_MOST_M, Lidar, LidarHits, LidarSpec
from sim.instruments.motion import Gnss, GnssSpec, Imu, ImuSpec
from sim.instruments.noise import normals
from sim.instruments.radar import Radar, RadarSpec
from stack.frames import F64
from stack.seeds import Stream as Draw

XYZ = "xyz"


class Instrument(Protocol):
    """Gives the body of one message a tick."""

    stream: int

    def read(self, game: Any, sample: int) -> Parts: ...


def instrument_of(game: Any, actor: Actor, scenery: Any, before: Any = None) -> Instrument | None:
    """The instrument of a sensor actor; None for one that gives nothing. `before`: what it was, when it has been moved."""
    make = INSTRUMENTS.get(actor.type_id)
    if make is None:
        return None
    row, mount = carrier_of(game, actor)
    if before is not None and hasattr(before, "move"):
        before.move(mount)
        return before
    try:
        return make(game, actor, row, mount, scenery)
    except ValueError as error:
        raise Failed(str(error)) from None


def carrier_of(game: Any, actor: Actor) -> tuple[int | None, F64]:
    """Row of the body that carries a sensor and the mount on it, or None and the place in the world."""
    parent = game.episode.actors.alive.get(actor.parent)
    if parent is None or parent.row < 0:
        return None, game.episode.matrix(actor)
    shift = np.eye(4)
    shift[0, 3], shift[2, 3] = float(game.world.state.numpy("centre_m")[0, parent.row]), parent.lift_m
    assert actor.place is not None
    return parent.row, shift @ actor.place


class _Lidar:
    def __init__(self, game: Any, actor: Actor, row: int | None, mount: F64, scenery: Any) -> None:
        v = actor.values
        self._names = actor.type_id.endswith("_semantic")
        self.stream = int(Stream.SEMANTIC_LIDAR if self._names else Stream.LIDAR)
        returns = {} if self._names else {
            "atmosphere_attenuation_rate": v["atmosphere_attenuation_rate"],
            "dropoff_general_rate": v["dropoff_general_rate"],
            "dropoff_intensity_limit": v["dropoff_intensity_limit"],
            "dropoff_zero_intensity": v["dropoff_zero_intensity"], "noise_stddev_m": v["noise_stddev"],
        }  # fmt: skip
        spec = LidarSpec(
            channels=v["channels"], range_m=min(v["range"], RANGE_MOST_M), points_per_second=v["points_per_second"],
            rotation_hz=v["rotation_frequency"], upper_fov_rad=math.radians(v["upper_fov"]),
            lower_fov_rad=math.radians(v["lower_fov"]), horizontal_fov_rad=math.radians(v["horizontal_fov"]),
            noise_seed=v.get("noise_seed", 0), **returns,
        )  # fmt: skip
        self._lidar = Lidar(game.world.geometry, spec, mount, row, names_hits=self._names)

    def move(self, mount: F64) -> None:
        self._lidar.move(mount)

    def read(self, game: Any, sample: int) -> Parts:
        found = self._lidar.scan(game.world.state, sample, game.episode.delta_s)
        if isinstance(found, LidarHits):
            return payloads.semantic_lidar(found, game.sensors.actor_of_row())
        return payloads.lidar(found)


class _Radar:
    stream = int(Stream.RADAR)

    def __init__(self, game: Any, actor: Actor, row: int | None, mount: F64, scenery: Any) -> None:
        v = actor.values
        spec = RadarSpec(
            horizontal_fov_rad=math.radians(v["horizontal_fov"]), vertical_fov_rad=math.radians(v["vertical_fov"]),
            range_m=v["range"], points_per_second=v["points_per_second"], noise_seed=v.get("noise_seed", 0),
        )  # fmt: skip
        self._radar = Radar(spec, scenery, mount, row)

    def move(self, mount: F64) -> None:
        self._radar.move(mount)

    def read(self, game: Any, sample: int) -> Parts:
        return payloads.radar(self._radar.scan(game.world.state, sample, game.episode.delta_s))


class _Imu:
    stream = int(Stream.IMU)

    def __init__(self, game: Any, actor: Actor, row: int | None, mount: F64, scenery: Any) -> None:
        v = actor.values
        accel = tuple(v[f"noise_accel_stddev_{axis}"] for axis in XYZ)
        gyro = tuple(v[f"noise_gyro_stddev_{axis}"] for axis in XYZ)
        bias = tuple(convert.rate([v[f"noise_gyro_bias_{axis}"] for axis in XYZ]))
        self._imu = Imu(ImuSpec(accel, gyro, bias, v["noise_seed"]), mount, row)

    def read(self, game: Any, sample: int) -> Parts:
        return payloads.imu(self._imu.sample(game.world.state, sample, game.episode.delta_s))


class _Gnss:
    """CARLA's errors are of latitude and longitude in degrees and of altitude in m."""

    stream = int(Stream.GNSS)

    def __init__(self, game: Any, actor: Actor, row: int | None, mount: F64, scenery: Any) -> None:
        v = actor.values
        self._gnss = Gnss(GnssSpec(), mount, row)
        self._sigma = np.array([v[f"noise_{axis}_stddev"] for axis in ("lat", "lon", "alt")])
        self._bias = np.array([v[f"noise_{axis}_bias"] for axis in ("lat", "lon", "alt")])
        self._seed, self._reference = v["noise_seed"], game.episode.town.road_map.georeference

    def read(self, game: Any, sample: int) -> Parts:
        place = convert.geolocation(self._gnss.sample(game.world.state, sample), self._reference)
        bell = normals(self._seed, Draw.GNSS, sample, 1, 3)
        return (msgpack.packb((np.array(place) + self._bias + self._sigma * bell).tolist()),)


INSTRUMENTS: dict[str, Callable[..., Instrument]] = {
    "sensor.lidar.ray_cast": _Lidar, "sensor.lidar.ray_cast_semantic": _Lidar, "sensor.other.radar": _Radar,
    "sensor.other.imu": _Imu, "sensor.other.gnss": _Gnss,
}  # fmt: skip

# ------------------------------------------------ cameras

WANTED = {
    "rgb": "rgb", "dvs": "rgb", "depth": "depth_m", "semantic_segmentation": "semantic", "normals": "normal",
    "optical_flow": "flow_px", "cosmos_visualization": "semantic",
}  # fmt: skip


def camera_spec(actor: Actor, mount: F64) -> PinholeSpec:
    """The pinhole of a camera actor."""
    v, kind = actor.values, actor.type_id.rsplit(".", 1)[-1]
    want = frozenset({"instance", "semantic"} if kind == "instance_segmentation" else {WANTED[kind]})
    size = int(v["image_size_x"]), int(v["image_size_y"])
    return PinholeSpec(*size, math.radians(v["fov"]), mount, want, grain=kind != "dvs")


def _of(make: Callable[[Shot], Any]) -> Callable[..., Parts]:
    def parts(shot: Shot, actor: Actor, ids: Any, episode: Any, sample: int) -> Parts:
        return payloads.image(make(shot), actor.values["fov"])

    return parts


def _instance(shot: Shot, actor: Actor, ids: Any, episode: Any, sample: int) -> Parts:
    return payloads.image(payloads.instance(shot, ids), actor.values["fov"])


def _dvs(shot: Shot, actor: Actor, ids: Any, episode: Any, sample: int) -> Parts:
    v = actor.values
    camera = actor.state.get("dvs")
    if camera is None:
        spec = EventSpec(
            v["positive_threshold"], v["negative_threshold"], v["sigma_positive_threshold"],
            v["sigma_negative_threshold"], v["refractory_period_ns"], v["use_log"], v["log_eps"],
            v.get("noise_seed", 0),
        )  # fmt: skip
        camera = actor.state["dvs"] = EventCamera(spec, int(v["image_size_x"]), int(v["image_size_y"]))
    found = camera(shot.rgb, sample, episode.seconds)
    assert shot.rgb is not None
    height, width = shot.rgb.shape[:2]
    return payloads.IMAGE.pack(width, height, v["fov"]), found


CAMERAS: dict[str, tuple[int, Callable[..., Parts]]] = {
    "sensor.camera.rgb": (int(Stream.RGB), _of(payloads.colour)),
    "sensor.camera.depth": (int(Stream.DEPTH), _of(payloads.depth)),
    "sensor.camera.semantic_segmentation": (int(Stream.SEMANTIC), _of(payloads.semantic)),
    "sensor.camera.instance_segmentation": (int(Stream.INSTANCE), _instance),
    "sensor.camera.normals": (int(Stream.NORMALS), _of(payloads.normals)),
    "sensor.camera.optical_flow": (int(Stream.OPTICAL_FLOW), _of(payloads.flow)),
    "sensor.camera.dvs": (int(Stream.DVS), _dvs),
    "sensor.camera.cosmos_visualization": (int(Stream.COSMOS), _of(payloads.palette)),
}
