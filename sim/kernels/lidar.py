"""Turning LiDAR: exact ranges by scan conversion in azimuth and tangent of elevation, quantised; then chance and noise.

A cast sees an arc of up to half a turn, its columns running clockwise and evenly spaced. In the arc's frame, whose x axis
points to the arc's middle, a beam is d = (cos a, sin a, t) with t = tan(elevation). It meets a triangle (v0, v1, v2)
where the three scalar triple products w_k = d . (v_i x v_j) have one sign. In one column each w_k is linear in t, so
the triangle fills an interval of t: no ray is tested in vain, and neighbours share the interval's end, so that no ray
slips between. The range is n . v0 / n . d with the plane's normal n; the nearest triangle is kept by an atomic
minimum over (range, triangle), which does not depend on the order of threads. The sweep is a snapshot of the frame's
instant, as a driver delivers it after removing the car's own motion; the stamps say when each column fired.

Power of a return, over that of a white wall at 1 m: (diffuse cos(incidence) + retroreflective) / range^2, the lidar
equation for a target wider than the beam (Wagner et al., ISPRS J. 60, 2006). A weak return is missed more often.

The ideal sweep is whole numbers (steps of LIDAR_STEP_M, intensity in 1/255); its errors are a function of these, the
seed, the tick and the beam. Who holds the ideal sweep can add the very same errors.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import warp as wp

from sim.geometry import Geometry, GeometryArrays, Material
from sim.state import State, StateArrays
from stack.frames import F64
from stack.loop import TICK_S
from stack.messages import F32, LIDAR_STEP_M, U8, U16, Rig
from stack.seeds import Stream, draw

wp.set_module_options({"enable_backward": False})

RANGE_SIGMA_M = 0.02
RANGE_MIN_M = 0.4
LOST_SHARE = 0.004  # of strong returns
REACH_M = 60.0  # a tenth of the light of a white wall comes back from here 95 times in 100
BINS = 1024
KEY_PER_M = 1.0e7  # of the range in a key
NOTHING = (1 << 64) - 1

# diffuse and retroreflective share of the light, per Material: asphalt is dark, paint and signs hold glass beads
REFLECTION: dict[Material, tuple[float, float]] = {
    Material.PLAIN: (0.45, 0.02), Material.ASPHALT: (0.18, 0.03), Material.PAINT: (0.50, 0.35),
    Material.SIDEWALK: (0.35, 0.04), Material.KERB: (0.40, 0.04), Material.GRASS: (0.45, 0.05),
    Material.FACADE: (0.45, 0.03), Material.ROOF: (0.30, 0.03), Material.FOLIAGE: (0.45, 0.08),
    Material.BARK: (0.30, 0.04), Material.METAL: (0.35, 0.06), Material.GLASS: (0.05, 0.005),
    Material.CAR_PAINT: (0.40, 0.04), Material.RUBBER: (0.06, 0.01), Material.LAMP_RED: (0.20, 0.10),
    Material.LAMP_YELLOW: (0.20, 0.10), Material.LAMP_GREEN: (0.20, 0.10), Material.HEAD_LIGHT: (0.20, 0.30),
    Material.TAIL_LIGHT: (0.20, 0.60), Material.SIGN: (0.50, 0.50), Material.STREET_LAMP: (0.30, 0.05),
    Material.BLUE_LAMP: (0.20, 0.10),
    Material.FENCE: (0.35, 0.05),
}  # fmt: skip


@wp.struct
class LidarArrays:
    """R rings, C columns in an arc; the sensor's place in the world."""

    tan: wp.array(dtype=wp.float32)  # (R,) of each ring's elevation, top first
    cos: wp.array(dtype=wp.float32)  # (R,)
    first_ring: wp.array(dtype=wp.int32)  # (BINS,) of equal steps of t from the top: the first ring that may lie there
    beam: wp.array(dtype=wp.vec2)  # (C,) cos and sin of azimuth in the arc's frame: x > 0
    reflection: wp.array2d(dtype=wp.float32)  # (materials, 2)
    pose: wp.array(dtype=wp.mat33)  # (1,) arc's frame from world
    origin: wp.array(dtype=wp.vec3)  # (1,) in the world
    key: wp.array2d(dtype=wp.uint64)  # (C, R) range and triangle of the nearest hit
    steps: wp.array2d(dtype=wp.uint16)  # (R, C)
    intensity: wp.array2d(dtype=wp.uint8)  # (R, C)
    mount: wp.vec3  # in the carrier's frame
    turn: wp.mat33  # rotation, carrier from sensor
    skip: int  # chunk of the carrier, which is not seen; -1: none
    first_rad: float  # azimuth of column 0 in the arc's frame
    per_rad: float  # columns
    bin_per_tan: float
    top_rad: float
    bottom_rad: float
    range_m: float


@wp.kernel(enable_backward=False)
def place(s: StateArrays, world: int, row: int, arc: wp.mat33, out: LidarArrays):
    """The sensor's place and the arc's frame; `arc`: rotation, arc from sensor. Row -1: the mount is the place itself."""
    rotation = wp.identity(n=3, dtype=float)
    origin = out.mount
    if row >= 0:
        cy, sy = wp.cos(s.yaw_rad[world, row]), wp.sin(s.yaw_rad[world, row])
        cp, sp = wp.cos(s.pitch_rad[world, row]), wp.sin(s.pitch_rad[world, row])
        cr, sr = wp.cos(s.roll_rad[world, row]), wp.sin(s.roll_rad[world, row])
        rotation = wp.mat33(
            cy * cp, -cy * sp * sr - sy * cr, -cy * sp * cr + sy * sr,
            sy * cp, -sy * sp * sr + cy * cr, -sy * sp * cr - cy * sr,
            sp, cp * sr, cp * cr,
        )  # fmt: skip
        origin = wp.vec3(s.x_m[world, row], s.y_m[world, row], s.z_m[world, row]) + rotation @ out.mount
    out.origin[0] = origin
    out.pose[0] = arc @ (wp.transpose(out.turn) @ wp.transpose(rotation))


@wp.func
def arctangent(x: float) -> float:
    """Within 1e-5 for |x| <= 1 (Abramowitz and Stegun, 4.4.49)."""
    q = x * x
    return x * (0.9998660 + q * (-0.3302995 + q * (0.1801410 + q * (-0.0851330 + q * 0.0208351))))


@wp.func
def azimuth(x: float, y: float) -> float:
    """Angle of a point with x > 0, in (-pi/2, pi/2)."""
    if wp.abs(y) <= x:
        return arctangent(y / x)
    return 1.5707964 * wp.sign(y) - arctangent(x / y)


@wp.func
def widen(bounds: wp.vec2, a: wp.vec3, b: wp.vec3) -> wp.vec2:
    """Azimuth bounds, widened by the part of edge a-b that lies ahead (x > 0)."""
    if a[0] > 0.0:
        angle = azimuth(a[0], a[1])
        bounds = wp.vec2(wp.min(bounds[0], angle), wp.max(bounds[1], angle))
    if (a[0] > 0.0) != (b[0] > 0.0):  # the edge leaves the arc's half on the left or on the right
        if (a[1] * b[0] - b[1] * a[0]) / (b[0] - a[0]) > 0.0:
            bounds = wp.vec2(bounds[0], 1.5707964)
        else:
            bounds = wp.vec2(-1.5707964, bounds[1])
    return bounds


@wp.func
def in_reach(centre: wp.vec3, radius: float, lidar: LidarArrays) -> bool:
    """Whether a bounding sphere touches the field of view of half a turn."""
    if centre[0] < -radius or wp.length(centre) > lidar.range_m + radius:
        return False
    rho = wp.sqrt(centre[0] * centre[0] + centre[1] * centre[1])
    above = centre[2] * wp.cos(lidar.top_rad) - rho * wp.sin(lidar.top_rad)
    below = rho * wp.sin(lidar.bottom_rad) - centre[2] * wp.cos(lidar.bottom_rad)
    return above <= radius and below <= radius


@wp.func
def edge_line(c: wp.vec3) -> wp.vec3:
    """Edge as a line t = p . (cos a, sin a) over the columns; the third number is 1 where inside is above."""
    z = c[2]
    if z == 0.0:
        z = 1.0e-30
    return wp.vec3(-c[0] / z, -c[1] / z, wp.where(z > 0.0, 1.0, 0.0))


@wp.func
def cut(interval: wp.vec2, edge: wp.vec3, beam: wp.vec2) -> wp.vec2:
    """What an edge leaves of a column's interval of t."""
    t = edge[0] * beam[0] + edge[1] * beam[1]
    if edge[2] > 0.0:
        if t > interval[0]:
            return wp.vec2(t, interval[1])
    else:
        if t < interval[1]:
            return wp.vec2(interval[0], t)
    return interval


@wp.func
def fill(v0: wp.vec3, v1: wp.vec3, v2: wp.vec3, triangle: int, lidar: LidarArrays):
    """Enter a triangle, in the arc's frame, into every beam that it meets."""
    n = wp.cross(v1 - v0, v2 - v0)
    plane = wp.dot(n, v0)
    if plane >= 0.0 or (v0[0] <= 0.0 and v1[0] <= 0.0 and v2[0] <= 0.0):
        return
    columns = lidar.beam.shape[0]
    rings = lidar.tan.shape[0]
    bounds = widen(widen(widen(wp.vec2(2.0, -2.0), v0, v1), v1, v2), v2, v0)
    first = wp.max(int(wp.ceil((lidar.first_rad - bounds[1]) * lidar.per_rad - 0.01)), 0)
    last = wp.min(int(wp.floor((lidar.first_rad - bounds[0]) * lidar.per_rad + 0.01)), columns - 1)
    if first > last:
        return
    e0 = edge_line(wp.cross(v2, v1))
    e1 = edge_line(wp.cross(v0, v2))
    e2 = edge_line(wp.cross(v1, v0))
    tan_high = lidar.tan[0]
    whole = wp.vec2(lidar.tan[rings - 1], tan_high)
    for column in range(first, last + 1):
        beam = lidar.beam[column]
        inside = cut(cut(cut(whole, e0, beam), e1, beam), e2, beam)
        if inside[0] <= inside[1]:
            flat = beam[0] * n[0] + beam[1] * n[1]
            ring = lidar.first_ring[int((tan_high - inside[1]) * lidar.bin_per_tan)]
            while ring < rings and lidar.tan[ring] > inside[1]:
                ring += 1
            while ring < rings and lidar.tan[ring] >= inside[0]:
                distance = plane / ((flat + lidar.tan[ring] * n[2]) * lidar.cos[ring])
                if distance > RANGE_MIN_M and distance < lidar.range_m:
                    key = (wp.uint64(distance * KEY_PER_M) << wp.uint64(32)) | wp.uint64(triangle)
                    wp.atomic_min(lidar.key, column, ring, key)
                ring += 1


@wp.kernel(enable_backward=False)
def cast(geometry: GeometryArrays, lidar: LidarArrays, lanes: int):
    """One chunk of triangles; `lanes` threads share it."""
    chunk, lane = wp.tid()
    count = geometry.chunk_count[chunk]
    if count == 0 or chunk == lidar.skip:
        return
    origin = lidar.origin[0]
    pose = lidar.pose[0]
    if not in_reach(pose @ (geometry.chunk_centre[chunk] - origin), geometry.chunk_radius[chunk], lidar):
        return
    start = geometry.chunk_start[chunk]
    for triangle in range(start + lane, start + count, lanes):
        a = geometry.corner[3 * triangle] - origin
        b = geometry.corner[3 * triangle + 1] - origin
        c = geometry.corner[3 * triangle + 2] - origin
        if wp.dot(wp.cross(b - a, c - a), a) < 0.0:  # faces the sensor; others are seen through, as by the cameras
            fill(pose @ a, pose @ b, pose @ c, triangle, lidar)


@wp.func
def bell(bits: wp.uint32) -> float:
    """Nearly standard normal: the sum of four bytes (Irwin-Hall), within 3.5 sigma."""
    b = wp.uint32(255)
    total = (bits & b) + ((bits >> wp.uint32(8)) & b) + ((bits >> wp.uint32(16)) & b) + (bits >> wp.uint32(24))
    return (float(total) - 510.0) * 0.0067658  # 1 / sqrt(4 (256^2 - 1) / 12)


@wp.func
def incidence_of(geometry: GeometryArrays, origin: wp.vec3, triangle: int, distance: float) -> float:
    """Cosine of the angle between a beam and the normal of the triangle that it meets."""
    v0 = geometry.corner[3 * triangle]
    n = wp.normalize(wp.cross(geometry.corner[3 * triangle + 1] - v0, geometry.corner[3 * triangle + 2] - v0))
    return wp.min(wp.abs(wp.dot(n, v0 - origin)) / distance, 1.0)


@wp.kernel(enable_backward=False)
def answer(geometry: GeometryArrays, lidar: LidarArrays):
    """One beam, ideal: what it measures, quantised; 0, 0 where nothing comes back. Clears the key for the next cast."""
    column, ring = wp.tid()
    key = lidar.key[column, ring]
    lidar.key[column, ring] = wp.uint64(NOTHING)
    lidar.steps[ring, column] = wp.uint16(0)
    lidar.intensity[ring, column] = wp.uint8(0)
    if key == wp.uint64(NOTHING):
        return
    triangle = int(key & wp.uint64(0xFFFFFFFF))
    distance = float(key >> wp.uint64(32)) / KEY_PER_M
    incidence = incidence_of(geometry, lidar.origin[0], triangle, distance)
    material = geometry.material[triangle] & 255
    returned = lidar.reflection[material, 0] * incidence + lidar.reflection[material, 1]
    lidar.steps[ring, column] = wp.uint16(wp.clamp(distance / LIDAR_STEP_M + 0.5, 1.0, 65535.0))
    lidar.intensity[ring, column] = wp.uint8(wp.clamp(255.0 * returned + 0.5, 1.0, 255.0))


@wp.kernel(enable_backward=False)
def label(geometry: GeometryArrays, lidar: LidarArrays, incidence: wp.array2d(dtype=wp.float32),
          instance: wp.array2d(dtype=wp.int32), semantic: wp.array2d(dtype=wp.uint8)):  # fmt: skip
    """What each beam meets, (R, C) each; to be called before `answer`, which clears the keys."""
    column, ring = wp.tid()
    key = lidar.key[column, ring]
    if key == wp.uint64(NOTHING):
        return
    triangle = int(key & wp.uint64(0xFFFFFFFF))
    distance = float(key >> wp.uint64(32)) / KEY_PER_M
    incidence[ring, column] = incidence_of(geometry, lidar.origin[0], triangle, distance)
    instance[ring, column] = geometry.instance[triangle]
    semantic[ring, column] = geometry.semantic[triangle]


@wp.kernel(enable_backward=False)
def err(seed: wp.array(dtype=wp.uint32), world: int, tick: int, steps: wp.array2d(dtype=wp.uint16),
        intensity: wp.array2d(dtype=wp.uint8)):  # fmt: skip
    """One beam of an ideal sweep (R, C), changed in place: whether it comes back, and noise of its range."""
    column, ring = wp.tid()
    if steps[ring, column] == wp.uint16(0):
        return
    distance = float(steps[ring, column]) * LIDAR_STEP_M
    returned = float(intensity[ring, column]) * (1.0 / 255.0)
    beam = ring * steps.shape[1] + column
    chance = float(draw(seed[world], Stream.LIDAR, tick, beam, 0) >> wp.uint32(8)) * 5.9604645e-08
    ratio = REACH_M / distance
    if chance > (1.0 - LOST_SHARE) * (1.0 - wp.exp(-30.0 * returned * ratio * ratio)):
        steps[ring, column] = wp.uint16(0)
        intensity[ring, column] = wp.uint8(0)
        return
    distance += RANGE_SIGMA_M * bell(draw(seed[world], Stream.LIDAR, tick, beam, 1))
    steps[ring, column] = wp.uint16(wp.clamp(distance / LIDAR_STEP_M + 0.5, 1.0, 65535.0))


def with_errors(steps: U16, intensity: U8, seed: int, tick: int) -> tuple[U16, U8]:
    """The half turn that the LiDAR of a world of this seed gives at a tick, from the ideal one, (R, C) each."""
    out, bright = wp.array(steps, device="cpu"), wp.array(intensity, device="cpu")
    seeds = wp.array(np.array([seed & 0xFFFFFFFF], np.uint32), device="cpu")
    wp.launch(err, steps.shape[::-1], [seeds, 0, tick, out, bright], device="cpu")
    return out.numpy(), bright.numpy()


def arc_rad(columns: int, step_rad: float) -> F64:
    """(C,) azimuths of an arc's columns in its frame, clockwise from the left."""
    return (0.5 * (columns - 1) - np.arange(columns)) * step_rad


class Caster:
    """Buffers to cast arcs of one shape, and what came back of the last one."""

    def __init__(
        self, geometry: Geometry, elevation_rad: F64, columns: int, step_rad: float, range_m: float, mount: F64
    ) -> None:
        """`elevation_rad` (R,): of the rings, top first, within 1.57. `mount` (4, 4): carrier, or world, from sensor."""
        device, rings, a = geometry.device, len(elevation_rad), LidarArrays()
        self._geometry, self.columns = geometry, columns
        self._lanes = 1 if wp.get_device(device).is_cpu else 32
        tan, angle = np.tan(elevation_rad).astype(np.float32), arc_rad(columns, step_rad)
        bins = np.linspace(tan[0], tan[-1], BINS) + 1e-5
        table = np.zeros((max(Material) + 1, 2), np.float32)
        for material, shares in REFLECTION.items():
            table[material] = shares
        self.arrays: Any = a
        self.arrays.tan = wp.array(tan, device=device)
        self.arrays.first_ring = wp.array(np.searchsorted(-tan, -bins).astype(np.int32), device=device)
        self.arrays.cos = wp.array(np.cos(elevation_rad).astype(np.float32), device=device)
        beam = np.stack([np.cos(angle), np.sin(angle)], -1).astype(np.float32)
        self.arrays.beam = wp.array(beam, dtype=wp.vec2, device=device)
        self.arrays.reflection = wp.array(table, device=device)
        self.arrays.pose = wp.zeros(1, dtype=wp.mat33, device=device)
        self.arrays.origin = wp.zeros(1, dtype=wp.vec3, device=device)
        self.arrays.key = wp.full((columns, rings), NOTHING, dtype=wp.uint64, device=device)
        self.arrays.steps = wp.zeros((rings, columns), dtype=wp.uint16, device=device)
        self.arrays.intensity = wp.zeros((rings, columns), dtype=wp.uint8, device=device)
        self.arrays.first_rad, self.arrays.per_rad = angle[0], 1.0 / step_rad
        self.arrays.bin_per_tan = (BINS - 1) / float(tan[0] - tan[-1]) if rings > 1 else 0.0
        self.arrays.top_rad, self.arrays.bottom_rad = elevation_rad[0], elevation_rad[-1]
        self.arrays.range_m, self.arrays.skip = range_m, -1
        self.move(mount)

    def move(self, mount: F64) -> None:
        """Put the sensor elsewhere: (4, 4), carrier from sensor, or world from sensor where nobody carries it."""
        self.arrays.mount, self.arrays.turn = wp.vec3(*mount[:3, 3]), wp.mat33(mount[:3, :3])

    def cast(self, state: State, world: int, row: int, middle_rad: float) -> None:
        """Find what the arc round an azimuth of the sensor frame meets; the carrier `row` (-1: none) is not seen."""
        g, a, cos, sin = self._geometry, self.arrays, np.cos(middle_rad), np.sin(middle_rad)
        a.skip = g.arrays.static_chunks + row if row >= 0 else -1
        arc = wp.mat33(np.round([[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]], 12))
        wp.launch(place, 1, [state.arrays, world, row, arc, a], device=g.device)
        wp.launch(cast, (g.chunks, self._lanes), [g.arrays, a, self._lanes], device=g.device)

    def answer(self) -> None:
        """Fill `arrays.steps` and `arrays.intensity`."""
        wp.launch(answer, self.arrays.key.shape, [self._geometry.arrays, self.arrays], device=self._geometry.device)


def _check(rig: Rig) -> None:
    low, high = rig.lidar_elevation_rad
    if rig.lidar_columns % 2 or rig.lidar_rings < 2 or not -0.78 < low < high < 0.78:
        raise ValueError(
            f"rig: found a LiDAR of {rig.lidar_rings} rings, {rig.lidar_columns} columns, {low} to {high} rad; "
            "expected 2 rings or more, an even number of columns, rising elevations within 0.78 rad"
        )


class Lidar:
    """The rig's sensor, on row 0. Half turns alternate: ahead at even ticks, astern at odd ones."""

    def __init__(self, rig: Rig, geometry: Geometry, noise: bool = True) -> None:
        _check(rig)
        self._columns, self._noise = rig.lidar_columns // 2, noise
        bottom, top = rig.lidar_elevation_rad
        elevation = np.linspace(top, bottom, rig.lidar_rings)
        step, mount = np.pi / self._columns, np.eye(4)
        mount[:3, 3] = rig.lidar_xyz_m
        angle = arc_rad(self._columns, step)
        self.elevation_rad: F32 = elevation.astype(np.float32)
        self._azimuth = (angle.astype(np.float32), (angle + np.where(angle > 0.0, -np.pi, np.pi)).astype(np.float32))
        self._caster = Caster(geometry, elevation, self._columns, step, rig.lidar_range_m, mount)

    def azimuth_rad(self, tick: int) -> F32:
        """(C,) azimuth of the columns of a tick."""
        return self._azimuth[tick % 2]

    def times_s(self, tick: int) -> F64:
        """(C,) stamps: the half turn ends with the tick; none lies before the start."""
        return np.maximum((tick - 1.0 + np.arange(1, self._columns + 1) / self._columns) * TICK_S, 0.0)

    def scan(self, state: State, world: int, tick: int) -> tuple[U16, U8]:
        """(R, C) ranges in LIDAR_STEP_M and (R, C) intensities of the half turn of one tick."""
        a = self._caster.arrays
        self._caster.cast(state, world, 0, np.pi * (tick % 2))
        self._caster.answer()
        if self._noise:
            seed = state.arrays.seed
            wp.launch(err, a.key.shape, [seed, world, tick, a.steps, a.intensity], device=state.device)
        return a.steps.numpy().copy(), a.intensity.numpy().copy()
