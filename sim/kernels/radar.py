"""Front radar: returns of road users and of standing scenery, with occlusion, detection probability and noise.

A road user gives up to three returns: its nearest point, and for one longer than LARGE_M the middles of the faces that it
shows. A return is lost when a vehicle or the scenery stands before it, and by chance: a Swerling I target is detected
with probability P = Pfa^(1 / (1 + SNR)), and SNR falls with the fourth power of range (Skolnik, Introduction to Radar
Systems, ch. 2). Radar cross sections: 10 m2 for a car, 1 m2 for a pedestrian. Clutter: rays of a fan that meet upright
scenery. Doppler is the rate of the range: positive when it grows.
"""

from __future__ import annotations

import math
from typing import Any

import warp as wp

from sim.state import State, StateArrays
from stack.labels import Kind
from stack.messages import F32, Rig
from stack.seeds import Stream, normal, uniform

wp.set_module_options({"enable_backward": False})

POINTS = 3  # of one road user
CLUTTER_RAYS = 48
LARGE_M = 3.0
RANGE_SIGMA_M = 0.15
AZIMUTH_SIGMA_RAD = math.radians(0.5)
ELEVATION_SIGMA_RAD = math.radians(1.0)
DOPPLER_SIGMA_MPS = 0.1
LOG_FALSE_ALARM = math.log(1e-6)
SNR_AT_100M = 10.0  # of 1 m2; 20 dB for a car
CLUTTER_M2 = 0.5
CLUTTER_SHARE = 0.2  # of the rays that meet scenery: most reflect elsewhere
UPRIGHT = 0.5  # largest |z| of the normal of scenery that reflects back


@wp.struct
class RadarMount:
    """Where the radar sits in the ego frame, and what it can see."""

    x: float
    y: float
    z: float
    half_fov_rad: float
    range_m: float
    noise: float  # 1, or 0 to switch off noise and chance
    scenery: wp.uint64  # id of a wp.Mesh in the world frame, or 0


@wp.struct
class Sensor:
    """The radar in the world, of one tick."""

    origin: wp.vec3
    rotation: wp.mat33  # world from ego
    velocity: wp.vec2


@wp.func
def sensor_of(s: StateArrays, w: int, mount: RadarMount) -> Sensor:
    cy = wp.cos(s.yaw_rad[w, 0])
    sy = wp.sin(s.yaw_rad[w, 0])
    cp = wp.cos(s.pitch_rad[w, 0])
    sp = wp.sin(s.pitch_rad[w, 0])
    cr = wp.cos(s.roll_rad[w, 0])
    sr = wp.sin(s.roll_rad[w, 0])
    out = Sensor()
    out.rotation = wp.mat33(
        cy * cp, -cy * sp * sr - sy * cr, -cy * sp * cr + sy * sr,
        sy * cp, -sy * sp * sr + cy * cr, -sy * sp * cr - cy * sr,
        sp, cp * sr, cp * cr,
    )  # fmt: skip
    out.origin = wp.vec3(s.x_m[w, 0], s.y_m[w, 0], s.z_m[w, 0]) + out.rotation * wp.vec3(mount.x, mount.y, mount.z)
    rate = s.yaw_rate_radps[w, 0]
    vx = s.vx_mps[w, 0] - rate * mount.y
    vy = s.vy_mps[w, 0] + rate * mount.x
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
def blocked(s: StateArrays, w: int, me: int, origin: wp.vec3, point: wp.vec3) -> bool:
    """Whether the box of a vehicle other than `me` and the ego cuts the line of sight (slab test, in the plane)."""
    for a in range(1, s.kind.shape[1]):
        kind = s.kind[w, a]
        if a != me and (kind == Kind.CAR or kind == Kind.TRUCK):
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
def write(
    mount: RadarMount, sensor: Sensor, point: wp.vec3, velocity: wp.vec2, seed: wp.uint32, tick: int, slot: int,
    returns: wp.array2d(dtype=wp.float32),
):  # fmt: skip
    """Put one return, with noise, into its slot; range 0 where the point is out of sight."""
    ray = wp.transpose(sensor.rotation) * (point - sensor.origin)
    flat = wp.sqrt(ray[0] * ray[0] + ray[1] * ray[1])
    distance = wp.length(ray)
    azimuth = wp.atan2(ray[1], ray[0])
    if distance > mount.range_m or distance < 0.2 or wp.abs(azimuth) > mount.half_fov_rad:
        return
    ahead = (point - sensor.origin) / distance
    doppler = (velocity[0] - sensor.velocity[0]) * ahead[0] + (velocity[1] - sensor.velocity[1]) * ahead[1]
    n = mount.noise
    returns[slot, 0] = wp.max(distance + n * RANGE_SIGMA_M * normal(seed, Stream.RADAR, tick, slot, 0), 0.1)
    returns[slot, 1] = azimuth + n * AZIMUTH_SIGMA_RAD * normal(seed, Stream.RADAR, tick, slot, 1)
    returns[slot, 2] = wp.atan2(ray[2], flat) + n * ELEVATION_SIGMA_RAD * normal(seed, Stream.RADAR, tick, slot, 2)
    returns[slot, 3] = doppler + n * DOPPLER_SIGMA_MPS * normal(seed, Stream.RADAR, tick, slot, 3)


@wp.func
def hidden(s: StateArrays, w: int, me: int, mount: RadarMount, origin: wp.vec3, point: wp.vec3) -> bool:
    """Whether a vehicle or the scenery stands before a point."""
    if mount.scenery != wp.uint64(0):
        ray = point - origin
        distance = wp.length(ray)
        if wp.mesh_query_ray(mount.scenery, origin, ray / distance, distance - 0.1).result:
            return True
    return blocked(s, w, me, origin, point)


@wp.kernel(enable_backward=False)
def road_users(s: StateArrays, mount: RadarMount, w: int, tick: int, returns: wp.array2d(dtype=wp.float32)):
    """Slots 0 .. POINTS * actors: one thread for each point of each actor. `returns` is (slots, 4), range 0: none."""
    slot = wp.tid()
    returns[slot, 0] = 0.0
    a = slot // POINTS
    k = slot % POINTS
    kind = s.kind[w, a]
    if a == 0 or kind == Kind.NONE:
        return
    sensor = sensor_of(s, w, mount)
    eye = in_box(s, w, a, sensor.origin[0], sensor.origin[1])
    half_x = 0.5 * s.length_m[w, a]
    half_y = 0.5 * s.width_m[w, a]
    if wp.abs(eye[0]) < half_x and wp.abs(eye[1]) < half_y:
        return
    nearest = wp.vec2(wp.clamp(eye[0], -half_x, half_x), wp.clamp(eye[1], -half_y, half_y))
    local = nearest
    if k > 0:
        if k == 1:
            local = wp.vec2(half_x * wp.sign(eye[0]), 0.0)
            if wp.abs(eye[0]) <= half_x:
                return
        else:
            local = wp.vec2(0.0, half_y * wp.sign(eye[1]))
            if wp.abs(eye[1]) <= half_y:
                return
        if s.length_m[w, a] < LARGE_M or wp.length(local - nearest) < 0.5:
            return
    cos = wp.cos(s.yaw_rad[w, a])
    sin = wp.sin(s.yaw_rad[w, a])
    along = local[0] + s.centre_m[w, a]
    point = wp.vec3(
        s.x_m[w, a] + along * cos - local[1] * sin,
        s.y_m[w, a] + along * sin + local[1] * cos,
        s.z_m[w, a] + wp.min(0.6, 0.5 * s.height_m[w, a]),
    )
    rate = s.yaw_rate_radps[w, a]
    vx = s.vx_mps[w, a] - rate * local[1]
    vy = s.vy_mps[w, a] + rate * along
    chance = mount.noise * uniform(s.seed[w], Stream.RADAR, tick, slot, 16)
    if wp.length(point - sensor.origin) > mount.range_m or hidden(s, w, a, mount, sensor.origin, point):
        return
    if detected(wp.length(point - sensor.origin), cross_section_m2(kind), chance):
        velocity = wp.vec2(cos * vx - sin * vy, sin * vx + cos * vy)
        write(mount, sensor, point, velocity, s.seed[w], tick, slot, returns)


@wp.kernel(enable_backward=False)
def clutter(s: StateArrays, mount: RadarMount, w: int, tick: int, first: int, returns: wp.array2d(dtype=wp.float32)):
    """Slots first .. first + CLUTTER_RAYS: each looks along a random ray of its share of the field of view."""
    i = wp.tid()
    slot = first + i
    returns[slot, 0] = 0.0
    seed = s.seed[w]
    if uniform(seed, Stream.RADAR, tick, slot, 16) > CLUTTER_SHARE:
        return
    sensor = sensor_of(s, w, mount)
    share = (float(i) + uniform(seed, Stream.RADAR, tick, slot, 17)) / float(CLUTTER_RAYS)
    azimuth = (2.0 * share - 1.0) * mount.half_fov_rad
    slope = 0.05 * uniform(seed, Stream.RADAR, tick, slot, 18)
    ray = wp.normalize(sensor.rotation * wp.vec3(wp.cos(azimuth), wp.sin(azimuth), slope))
    hit = wp.mesh_query_ray(mount.scenery, sensor.origin, ray, mount.range_m)
    if not hit.result or wp.abs(hit.normal[2]) > UPRIGHT:
        return
    point = sensor.origin + hit.t * ray
    if blocked(s, w, 0, sensor.origin, point):
        return
    if detected(hit.t, CLUTTER_M2, mount.noise * uniform(seed, Stream.RADAR, tick, slot, 19)):
        write(mount, sensor, point, wp.vec2(0.0, 0.0), seed, tick, slot, returns)


class Radar:
    """Owns the slots of one radar's returns."""

    def __init__(self, rig: Rig, actors: int, scenery: int, noise: bool, device: str) -> None:
        """`scenery`: id of a wp.Mesh, or 0 for none."""
        self._mount: Any = RadarMount()
        self._mount.x, self._mount.y, self._mount.z = rig.radar_xyz_m
        self._mount.half_fov_rad, self._mount.range_m = 0.5 * rig.radar_hfov_rad, rig.radar_range_m
        self._mount.noise, self._mount.scenery = float(noise), wp.uint64(scenery)
        self._actor_slots, self._has_scenery = POINTS * actors, scenery != 0
        self._returns = wp.zeros((self._actor_slots + CLUTTER_RAYS, 4), dtype=float, device=device)

    def scan(self, state: State, world: int, tick: int) -> F32:
        """(N, 4) range m, azimuth rad, elevation rad, Doppler m/s of the returns of one tick."""
        common = [state.arrays, self._mount, world, tick]
        wp.launch(road_users, self._actor_slots, [*common, self._returns], device=state.device)
        if self._has_scenery:
            wp.launch(clutter, CLUTTER_RAYS, [*common, self._actor_slots, self._returns], device=state.device)
        returns: F32 = self._returns.numpy()
        return returns[returns[:, 0] > 0.0]
