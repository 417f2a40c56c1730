"""The rig as CARLA's sensors: which blueprint with which attributes, and where on the car."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from sim.carla import convert
from stack.frames import F64, Pose
from stack.messages import Rig
from stack.vehicle import VehicleParams

TURNS_PER_S = 10.0
RADAR_RAYS_PER_S = 960
RADAR_VFOV_DEG = 6.0
EXACT = {
    "atmosphere_attenuation_rate": 0.0, "dropoff_general_rate": 0.0, "dropoff_intensity_limit": 0.0,
    "dropoff_zero_intensity": 0.0, "noise_stddev": 0.0,
}  # fmt: skip
"""A LiDAR that loses nothing: errors are added where the samples are read (sim/carla/reader.py)."""


@dataclass(frozen=True)
class Order:
    """A sensor to be mounted. `transform`: [[x, y, z], [pitch, yaw, roll]] of CARLA, from the middle of the car's box."""

    name: str
    blueprint: str
    attributes: dict[str, str]
    transform: list[list[float]]

    def mount(self, centre_m: float) -> F64:
        """(4, 4) ego origin from sensor, exactly as it arrives over the wire. `centre_m`: from the origin to the box."""
        shift = np.eye(4)
        shift[0, 3] = float(np.float32(centre_m))  # as the state holds it
        out: F64 = shift @ convert.pose(self.transform).matrix()
        return out


def orders(rig: Rig, params: VehicleParams, seed: int) -> list[Order]:
    """All sensors of a rig. Raises ValueError for a camera that CARLA does not have."""
    out = [
        _order("collision", "sensor.other.collision", {}, Pose(0.0, 0.0), params)
    ]  # first: before what is waited for
    for camera in rig.cameras:
        if camera.distortion:
            raise ValueError(f"rig: found a fisheye lens (camera {camera.name}), expected pinholes: CARLA has no other")
        values = {
            "image_size_x": camera.width_px,
            "image_size_y": camera.height_px,
            "fov": math.degrees(camera.hfov_rad),
        }
        at = Pose(camera.x_m, camera.y_m, camera.z_m, camera.yaw_rad, camera.pitch_rad)
        out.append(_order(camera.name, "sensor.camera.rgb", values | {"noise_seed": seed}, at, params))
    low, high = rig.lidar_elevation_rad
    lidar = EXACT | {
        "channels": rig.lidar_rings, "range": rig.lidar_range_m, "rotation_frequency": TURNS_PER_S,
        "points_per_second": round(rig.lidar_rings * rig.lidar_columns * TURNS_PER_S),
        "upper_fov": math.degrees(high), "lower_fov": math.degrees(low), "noise_seed": seed,
    }  # fmt: skip
    radar = {
        "horizontal_fov": math.degrees(rig.radar_hfov_rad), "vertical_fov": RADAR_VFOV_DEG, "range": rig.radar_range_m,
        "points_per_second": RADAR_RAYS_PER_S, "noise_seed": seed,
    }  # fmt: skip
    out.append(_order("lidar", "sensor.lidar.ray_cast", lidar, Pose(*rig.lidar_xyz_m), params))
    out.append(_order("radar", "sensor.other.radar", radar, Pose(*rig.radar_xyz_m), params))
    for name in ("imu", "gnss"):
        out.append(_order(name, f"sensor.other.{name}", {}, Pose(0.0, 0.0), params))
    return out


def _order(name: str, blueprint: str, values: dict[str, float], at: Pose, params: VehicleParams) -> Order:
    place, turn = convert.transform(at)
    place = [place[0] - params.centre_m, *place[1:]]
    rounded = [[float(np.float32(v)) for v in part] for part in (place, turn)]
    return Order(name, blueprint, {key: repr(value) for key, value in values.items()}, rounded)
