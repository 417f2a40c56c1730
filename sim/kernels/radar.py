"""Radar: returns of road users and of standing scenery, with occlusion, detection probability and noise.

A road user gives up to three returns: its nearest point, and for one longer than LARGE_M the middles of the faces
that it shows. A return is lost when a vehicle or the scenery stands before it, and by chance: a Swerling I target is
detected with probability P = Pfa^(1 / (1 + SNR)), and SNR falls with the fourth power of range (Skolnik, Introduction
to Radar Systems, ch. 2). Radar cross sections: 10 m2 for a car, 1 m2 for a pedestrian. Clutter: rays of a fan that
meet upright scenery. Doppler is the rate of the range: positive when it grows.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import warp as wp

from sim.state import State, StateArrays
from stack.labels import Kind
from stack.messages import F32, Rig
from stack.seeds import Stream, normal, uniform

wp.set_module_options({"enable_backward": False})

POINTS = 3  # of one road user
CLUTTER_RAYS = 48
LARGE_M = 3.0
RANGE_MIN_M = 0.2
RANGE_SIGMA_M = 0.15
AZIMUTH_SIGMA_RAD = math.radians(0.5)
ELEVATION_SIGMA_RAD = math.radians(1.0)
DOPPLER_SIGMA_MPS = 0.1
LOG_FALSE_ALARM = math.log(1e-6)
SNR_AT_100M = 10.0  # of 1 m2; 20 dB for a car
CLUTTER_M2 = 0.5
CLUTTER_SLOPE = 0.05  # rays look up to 3 degrees above the horizon
CLUTTER_SHARE = 0.2  # of the rays that meet scenery: most reflect elsewhere
UPRIGHT = 0.5  # largest |z| of the normal of scenery that reflects back


@wp.struct
class RadarMount:
    """Where the radar sits, and what it can see."""

    row: int  # of its carrier, which it does not see; -1: its place is one in the world, where it stands still
    place: wp.vec3  # in the carrier's frame
    turn: wp.mat33  # rotation, carrier from radar
    half_fov_rad: float  # to the sides
    half_height_rad: float  # up and down
    low_slope: float  # of the clutter's rays over the horizon
    high_slope: float
    rays: int  # of clutter
    range_m: float
    noise: float  # 1, or 0 to switch off noise and chance
    scenery: wp.uint64  # id of a wp.Mesh in the world frame, or 0


@wp.struct
class Sensor:
    """The radar in the world, of one tick."""

    origin: wp.vec3
    rotation: wp.mat33  # world from radar
    velocity: wp.vec2


@wp.struct
class Target:
    """A point that may reflect; area 0: there is none."""

    point: wp.vec3
    velocity: wp.vec2
    area_m2: float


@wp.func
def sensor_of(s: StateArrays, w: int, mount: RadarMount) -> Sensor:
    out = Sensor()
    out.rotation = mount.turn
    out.origin = mount.place
    row = mount.row
    if row < 0:
        return out
    cy = wp.cos(s.yaw_rad[w, row])
    sy = wp.sin(s.yaw_rad[w, row])
    cp = wp.cos(s.pitch_rad[w, row])
    sp = wp.sin(s.pitch_rad[w, row])
    cr = wp.cos(s.roll_rad[w, row])
    sr = wp.sin(s.roll_rad[w, row])
    rotation = wp.mat33(
        cy * cp, -cy * sp * sr - sy * cr, -cy * sp * cr + sy * sr,
        sy * cp, -sy * sp * sr + cy * cr, -sy * sp * cr - cy * sr,
        sp, cp * sr, cp * cr,
    )  # fmt: skip
    out.rotation = rotation @ mount.turn
    out.origin = wp.vec3(s.x_m[w, row], s.y_m[w, row], s.z_m[w, row]) + rotation @ mount.place
    rate = s.yaw_rate_radps[w, row]
    vx = s.vx_mps[w, row] - rate * mount.place[1]
    vy = s.vy_mps[w, row] + rate * mount.place[0]
    out.velocity = wp.vec2(cy * vx - sy * vy, sy * vx + cy * vy)
    return out


@wp.func
def in_box(s: StateArrays, w: int, a: int, x: float, y: float) -> wp.vec2:
    """A world point in the axes of an actor's box, from its centre."""
    cos = wp.cos(s.yaw_rad[w, a])
    sin = wp.sin(s.yaw_rad[w, a])
    dx = x - s.x_m[w, a]
    dy = y - s.y_m[w, a]
    return wp.vec2(dx * cos + dy * sin - s.centre_m[w, a], dy * cos - dx * sin)


@wp.func
def blocked(s: StateArrays, w: int, me: int, carrier: int, origin: wp.vec3, point: wp.vec3) -> bool:
    """Whether the box of a vehicle other than `me` and the carrier cuts the line of sight (slab test, in the plane)."""
    for a in range(s.kind.shape[1]):
        kind = s.kind[w, a]
        if a != me and a != carrier and (kind == Kind.CAR or kind == Kind.TRUCK):
            p = in_box(s, w, a, origin[0], origin[1])
            d = in_box(s, w, a, point[0], point[1]) - p
            near = float(0.0)
            far = float(1.0)
            for k in range(2):
                half = 0.5 * s.length_m[w, a]
                if k == 1:
                    half = 0.5 * s.width_m[w, a]
                slope = d[k]
                if wp.abs(slope) < 1.0e-6:
                    slope = 1.0e-6
                t0 = (-half - p[k]) / slope
                t1 = (half - p[k]) / slope
                near = wp.max(near, wp.min(t0, t1))
                far = wp.min(far, wp.max(t0, t1))
            height = origin[2] + (point[2] - origin[2]) * near
            if near < far and height > s.z_m[w, a] and height < s.z_m[w, a] + s.height_m[w, a]:
                return True
    return False


@wp.func
def cross_section_m2(kind: int) -> float:
    if kind == Kind.TRUCK:
        return 50.0
    if kind == Kind.CAR:
        return 10.0
    if kind == Kind.CYCLIST:
        return 2.0
    return 1.0


@wp.func
def detected(range_m: float, area_m2: float, chance: float) -> bool:
    ratio = 100.0 / wp.max(range_m, 1.0)
    snr = SNR_AT_100M * area_m2 * ratio * ratio * ratio * ratio
    return chance < wp.exp(LOG_FALSE_ALARM / (1.0 + snr))


@wp.func
def user_target(s: StateArrays, w: int, a: int, k: int, sensor: Sensor) -> Target:
    """Point `k` of actor `a`: 0 the nearest of its box, 1 and 2 the middles of the end and the side that it shows."""
    out = Target()
    eye = in_box(s, w, a, sensor.origin[0], sensor.origin[1])
    half = wp.vec2(0.5 * s.length_m[w, a], 0.5 * s.width_m[w, a])
    nearest = wp.vec2(wp.clamp(eye[0], -half[0], half[0]), wp.clamp(eye[1], -half[1], half[1]))
    if nearest == eye:  # inside the box
        return out
    local = nearest
    if k > 0:
        if k == 1:
            local = wp.vec2(half[0] * wp.sign(eye[0]), 0.0)
        else:
            local = wp.vec2(0.0, half[1] * wp.sign(eye[1]))
        if wp.abs(eye[k - 1]) <= half[k - 1] or 2.0 * half[0] < LARGE_M or wp.length(local - nearest) < 0.5:
            return out
    cos = wp.cos(s.yaw_rad[w, a])
    sin = wp.sin(s.yaw_rad[w, a])
    along = local[0] + s.centre_m[w, a]
    out.point = wp.vec3(
        s.x_m[w, a] + along * cos - local[1] * sin,
        s.y_m[w, a] + along * sin + local[1] * cos,
        s.z_m[w, a] + wp.min(0.6, 0.5 * s.height_m[w, a]),
    )
    vx = s.vx_mps[w, a] - s.yaw_rate_radps[w, a] * local[1]
    vy = s.vy_mps[w, a] + s.yaw_rate_radps[w, a] * along
    out.velocity = wp.vec2(cos * vx - sin * vy, sin * vx + cos * vy)
    out.area_m2 = cross_section_m2(s.kind[w, a])
    return out


@wp.func
def clutter_target(seed: wp.uint32, tick: int, slot: int, i: int, sensor: Sensor, mount: RadarMount) -> Target:
    """What a random ray in share `i` of the field of view meets of upright scenery."""
    out = Target()
    if mount.scenery == wp.uint64(0) or uniform(seed, Stream.RADAR, tick, slot, 17) > CLUTTER_SHARE:
        return out
    share = (float(i) + uniform(seed, Stream.RADAR, tick, slot, 18)) / float(mount.rays)
    azimuth = (2.0 * share - 1.0) * mount.half_fov_rad
    slope = mount.low_slope + (mount.high_slope - mount.low_slope) * uniform(seed, Stream.RADAR, tick, slot, 19)
    ray = wp.normalize(sensor.rotation @ wp.vec3(wp.cos(azimuth), wp.sin(azimuth), slope))
    hit = wp.mesh_query_ray(mount.scenery, sensor.origin, ray, mount.range_m)
    if hit.result and wp.abs(hit.normal[2]) < UPRIGHT:
        out.point = sensor.origin + hit.t * ray
        out.area_m2 = CLUTTER_M2
    return out


@wp.kernel(enable_backward=False)
def scan(s: StateArrays, mount: RadarMount, seeds: wp.array(dtype=wp.uint32), at: int, w: int, tick: int,
         returns: wp.array2d(dtype=wp.float32)):  # fmt: skip
    """One thread per slot of `returns` (slots, 4): POINTS for each actor, then the clutter. Range 0: no return.
    Chance and noise come from seed `at`."""
    slot = wp.tid()
    returns[slot, 0] = 0.0
    a = slot // POINTS
    seed = seeds[at]
    sensor = sensor_of(s, w, mount)
    target = Target()
    if a >= s.kind.shape[1]:
        a = mount.row  # itself no vehicle that could hide another
        target = clutter_target(seed, tick, slot, slot - POINTS * s.kind.shape[1], sensor, mount)
    elif a != mount.row:
        if s.kind[w, a] != Kind.NONE:
            target = user_target(s, w, a, slot % POINTS, sensor)
    if target.area_m2 == 0.0:
        return
    ray = target.point - sensor.origin
    distance = wp.length(ray)
    local = wp.transpose(sensor.rotation) @ ray
    azimuth = wp.atan2(local[1], local[0])
    if distance > mount.range_m or distance < RANGE_MIN_M or wp.abs(azimuth) > mount.half_fov_rad:
        return
    if not detected(distance, target.area_m2, mount.noise * uniform(seed, Stream.RADAR, tick, slot, 16)):
        return
    if blocked(s, w, a, mount.row, sensor.origin, target.point):
        return
    ray = ray / distance
    if a != mount.row and mount.scenery != wp.uint64(0):
        if wp.mesh_query_ray(mount.scenery, sensor.origin, ray, distance).result:
            return
    elevation = wp.atan2(local[2], wp.sqrt(local[0] * local[0] + local[1] * local[1]))
    if wp.abs(elevation) > mount.half_height_rad:
        return
    closing = target.velocity - sensor.velocity
    doppler = closing[0] * ray[0] + closing[1] * ray[1]
    n = mount.noise
    returns[slot, 0] = wp.max(distance + n * RANGE_SIGMA_M * normal(seed, Stream.RADAR, tick, slot, 0), RANGE_MIN_M)
    returns[slot, 1] = azimuth + n * AZIMUTH_SIGMA_RAD * normal(seed, Stream.RADAR, tick, slot, 1)
    returns[slot, 2] = elevation + n * ELEVATION_SIGMA_RAD * normal(seed, Stream.RADAR, tick, slot, 2)
    returns[slot, 3] = doppler + n * DOPPLER_SIGMA_MPS * normal(seed, Stream.RADAR, tick, slot, 3)


class Radar:
    """Owns the slots of one radar's returns."""

    def __init__(self, mount: Any, actors: int, device: str) -> None:
        """`mount`: a RadarMount."""
        self.mount = mount
        self._returns = wp.zeros((POINTS * actors + mount.rays, 4), dtype=float, device=device)

    def scan(self, state: State, seeds: Any, at: int, world: int, tick: int) -> F32:
        """(N, 4) range m, azimuth rad, elevation rad, Doppler m/s of the returns of one tick; chance by seed `at`."""
        inputs = [state.arrays, self.mount, seeds, at, world, tick, self._returns]
        wp.launch(scan, self._returns.shape[0], inputs, device=state.device)
        returns: F32 = self._returns.numpy()
        return returns[returns[:, 0] > 0.0]


def mount_of(rig: Rig, scenery: int, noise: bool) -> Any:
    """The rig's radar on row 0, a RadarMount. `scenery`: id of a wp.Mesh, or 0 for none."""
    m: Any = RadarMount()
    m.row, m.place, m.turn = 0, wp.vec3(*rig.radar_xyz_m), wp.mat33(np.eye(3))
    m.half_fov_rad, m.half_height_rad, m.range_m = 0.5 * rig.radar_hfov_rad, math.pi, rig.radar_range_m
    m.low_slope, m.high_slope, m.rays = 0.0, CLUTTER_SLOPE, CLUTTER_RAYS
    m.noise, m.scenery = float(noise), wp.uint64(scenery)
    return m
