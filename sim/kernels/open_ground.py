"""What carries the bodies of the open world: lanes, the ground beside them, or the air.

A vehicle on a lane lies on the road as sim/kernels/locate.py has it. Beside the lanes it lies on the ground under its four
wheels, walkers and props on that under their middle: the first surface that a ray meets that starts STEP_M over the body,
so that kerbs are climbed and a roof overhead is not. What is above its ground falls freely, the air does not push, and
lands without a bounce. Below all ground there is nothing to land on: such bodies fall on.
"""

from __future__ import annotations

import warp as wp

from sim.kernels.boxes import left_of
from sim.kernels.contact import is_vehicle
from sim.kernels.locate import NOWHERE_M, follow
from sim.kernels.open_rows import AIR, GROUND, INNER_S, LOOK, OpenArrays, ahead_of, origin_of, set_velocity, turned
from sim.kernels.paths import point_index
from sim.kernels.rows import INLINE
from sim.state import Driver, StateArrays
from stack.labels import Kind
from stack.lanegraph import STOREY_M, LaneArrays
from stack.vehicle import GRAVITY_MPS2, Column

wp.set_module_options({"enable_backward": False, "cpu_compiler_flags": INLINE})

STEP_M = 0.4  # what is no higher than this over a body's ground is stepped upon
STICKS_M = 0.05  # a body that would be no farther over its ground than this stays on it
BESIDE_M = 0.3  # past a lane's edge the road ends
DROP_M = 1.0  # a wheel whose ground lies deeper than this under the highest one hangs in the air
TRACK_SHARE = 0.8  # of the width, between the wheels
NOTHING_M = -1.0e9  # height of the ground where there is none
DEEP_M = 3000.0  # rays end there


@wp.struct
class Ground:
    """What carries a body: height at its origin (NOTHING_M: nothing), and how it lies there."""

    z: float
    pitch: float
    roll: float


@wp.func
def surface(mesh: wp.uint64, x: float, y: float, top: float) -> float:
    """Height of the first surface under a point, or NOTHING_M."""
    z = float(NOTHING_M)
    if mesh != wp.uint64(0):
        hit = wp.mesh_query_ray(mesh, wp.vec3(x, y, top), wp.vec3(0.0, 0.0, -1.0), DEEP_M)
        if hit.result:
            z = top - hit.t
    return z


@wp.func
def find_lane(state: StateArrays, lanes: LaneArrays, i: int) -> None:
    """Follow a vehicle's lane; -1 where it fits none."""
    last = state.lane[0, i]
    if last < 0:
        last = state.target_lane[0, i]
    if last < 0:
        return
    at = origin_of(state, i)
    found = follow(lanes, last, state.lane_s_m[0, i], at[0], at[1], state.yaw_rad[0, i])
    state.target_lane[0, i] = last
    state.lane[0, i] = -1
    if found.cost < NOWHERE_M:
        state.lane[0, i] = found.lane
        state.target_lane[0, i] = found.lane
        state.lane_s_m[0, i] = found.s
        state.lane_d_m[0, i] = found.d


@wp.func
def road(state: StateArrays, lanes: LaneArrays, i: int) -> Ground:
    """What a vehicle's lane gives: nothing beside it, past its ends, or under the road."""
    out = Ground()
    out.z = NOTHING_M
    lane = state.lane[0, i]
    if lane < 0:
        return out
    p = point_index(lanes, lane, state.lane_s_m[0, i])
    if wp.abs(state.lane_d_m[0, i]) > 0.5 * lanes.width_m[p] + BESIDE_M:
        return out
    at = origin_of(state, i)
    ahead = wp.vec2(lanes.yaw_cos[p], lanes.yaw_sin[p])
    rest = wp.dot(wp.vec2(at[0] - lanes.x_m[p], at[1] - lanes.y_m[p]), ahead)
    slope = lanes.pitch_rad[p]
    z = lanes.z_m[p] + rest * wp.tan(slope)
    above = at[2] - z
    if wp.abs(rest) < lanes.lane_step_m[lane] + BESIDE_M and above > -STEP_M and above < STOREY_M:
        angle = state.yaw_rad[0, i] - lanes.yaw_rad[p]
        out.z = z
        out.pitch = slope * wp.cos(angle)
        out.roll = -slope * wp.sin(angle)
    return out


@wp.func
def carried(height: float, highest: float) -> float:
    """Where a wheel is: on its ground, or level with the highest where that is out of reach."""
    if height < highest - DROP_M:
        return highest
    return height


@wp.func
def under_wheels(state: StateArrays, params: wp.array2d(dtype=wp.float32), mesh: wp.uint64, i: int) -> Ground:
    """The plane through the ground under the four wheels."""
    out = Ground()
    ahead = ahead_of(state, i)
    left = left_of(ahead)
    at = origin_of(state, i)
    top = at[2] + STEP_M
    base = params[i, Column.FRONT_AXLE] + params[i, Column.REAR_AXLE]
    track = TRACK_SHARE * state.width_m[0, i]
    heights = wp.vec4(0.0, 0.0, 0.0, 0.0)
    for k in range(4):
        along = float(0.0)
        if k < 2:
            along = base
        side = (0.5 - float(k % 2)) * track
        heights[k] = surface(
            mesh, at[0] + along * ahead[0] + side * left[0], at[1] + along * ahead[1] + side * left[1], top
        )
    highest = wp.max(wp.max(heights[0], heights[1]), wp.max(heights[2], heights[3]))
    fl = carried(heights[0], highest)
    fr = carried(heights[1], highest)
    rl = carried(heights[2], highest)
    rr = carried(heights[3], highest)
    out.z = 0.5 * (rl + rr)
    out.pitch = wp.atan2(0.5 * (fl + fr - rl - rr), base)
    out.roll = wp.atan2(0.5 * (fl + rl - fr - rr), track)
    if highest <= NOTHING_M:
        out.z = NOTHING_M
    return out


@wp.func
def ground_of(
    state: StateArrays, params: wp.array2d(dtype=wp.float32), lanes: LaneArrays, mesh: wp.uint64, i: int
) -> Ground:
    out = Ground()
    if is_vehicle(state.kind[0, i]):
        out = road(state, lanes, i)
        if out.z == NOTHING_M:
            out = under_wheels(state, params, mesh, i)
    else:
        out.z = surface(mesh, state.x_m[0, i], state.y_m[0, i], state.z_m[0, i] + STEP_M)
        out.pitch = state.pitch_rad[0, i]  # walkers stay upright, props as they lie
        out.roll = state.roll_rad[0, i]
    return out


@wp.func
def drift(state: StateArrays, params: wp.array2d(dtype=wp.float32), i: int, h: float) -> None:
    """Motion without tyres: the centre of gravity goes straight on, the body turns about it."""
    ahead = ahead_of(state, i)
    rate = state.yaw_rate_radps[0, i]
    b = float(0.0)
    if is_vehicle(state.kind[0, i]):
        b = params[i, Column.REAR_AXLE]
    v = state.vx_mps[0, i] * ahead + (state.vy_mps[0, i] + b * rate) * left_of(ahead)
    g = wp.vec2(state.x_m[0, i], state.y_m[0, i]) + b * ahead + h * v
    state.yaw_rad[0, i] = turned(state.yaw_rad[0, i] + h * rate)
    ahead = ahead_of(state, i)
    state.x_m[0, i] = g[0] - b * ahead[0]
    state.y_m[0, i] = g[1] - b * ahead[1]
    set_velocity(state, i, v - b * rate * left_of(ahead))


@wp.func
def lie(state: StateArrays, own: OpenArrays, i: int, ground: Ground) -> None:
    own.flies[i] = GROUND
    state.z_m[0, i] = ground.z
    state.pitch_rad[0, i] = ground.pitch
    state.roll_rad[0, i] = ground.roll
    own.vz_mps[i] = 0.0
    if is_vehicle(state.kind[0, i]):
        own.vz_mps[i] = state.vx_mps[0, i] * wp.tan(ground.pitch)


@wp.func
def fall(
    state: StateArrays,
    params: wp.array2d(dtype=wp.float32),
    lanes: LaneArrays,
    mesh: wp.uint64,
    own: OpenArrays,
    i: int,
) -> None:
    """One inner step of the height, after that in the plane."""
    h = own.clock[INNER_S]
    ground = ground_of(state, params, lanes, mesh, i)
    pull = GRAVITY_MPS2
    if own.weightless[i] != 0:
        pull = 0.0
    free = state.z_m[0, i] + h * own.vz_mps[i] - 0.5 * h * h * pull
    reach = float(0.0)
    if own.flies[i] == GROUND:
        reach = STICKS_M
    if own.flies[i] == GROUND and own.weightless[i] != 0:
        free = ground.z  # nothing pulls it down, and nothing lifts it
        if ground.z == NOTHING_M:
            free = state.z_m[0, i]
    if free <= ground.z + reach:
        lie(state, own, i, ground)
    else:
        own.flies[i] = AIR
        state.z_m[0, i] = free
        own.vz_mps[i] = own.vz_mps[i] - h * pull


@wp.kernel(enable_backward=False)
def settle(
    state: StateArrays, params: wp.array2d(dtype=wp.float32), lanes: LaneArrays, mesh: wp.uint64, own: OpenArrays, stride: int
):  # fmt: skip
    """One inner step of all that rolls on no wheels, and of every height."""
    for i in range(wp.tid(), state.kind.shape[1], stride):
        kind = state.kind[0, i]
        if kind == int(Kind.NONE):
            continue
        if state.driver[0, i] == int(Driver.PLACED):
            if is_vehicle(kind):
                find_lane(state, lanes, i)
            continue
        if not is_vehicle(kind) or own.flies[i] != GROUND or own.kept[i] != 0:
            drift(state, params, i, own.clock[INNER_S])
        if is_vehicle(kind):
            find_lane(state, lanes, i)
        fall(state, params, lanes, mesh, own, i)


@wp.kernel(enable_backward=False)
def look(
    state: StateArrays, params: wp.array2d(dtype=wp.float32), lanes: LaneArrays, mesh: wp.uint64, own: OpenArrays, stride: int
):  # fmt: skip
    """Whether those that were put somewhere stand there or fall."""
    for i in range(wp.tid(), state.kind.shape[1], stride):
        if own.flies[i] == LOOK:
            own.flies[i] = AIR
            if is_vehicle(state.kind[0, i]):
                find_lane(state, lanes, i)
            ground = ground_of(state, params, lanes, mesh, i)
            if state.z_m[0, i] <= ground.z + STICKS_M and own.vz_mps[i] <= 0.0:
                lie(state, own, i, ground)


@wp.kernel(enable_backward=False)
def probe(mesh: wp.uint64, points: wp.array(dtype=wp.vec3), out: wp.array(dtype=wp.float32)):
    """Height of the surface under each point, or NOTHING_M."""
    i = wp.tid()
    out[i] = surface(mesh, points[i][0], points[i][1], points[i][2])


@wp.kernel(enable_backward=False)
def pierce(
    mesh: wp.uint64, start: wp.vec3, way: wp.vec3, length: float, most: int, at: wp.array(dtype=wp.float32),
    face: wp.array(dtype=wp.int32), count: wp.array(dtype=wp.int32),
):  # fmt: skip
    """Every surface along a ray, nearest first: how far, and which triangle; at most `most`."""
    n = int(0)
    done = float(0.0)
    while n < most and done < length:
        hit = wp.mesh_query_ray(mesh, start + done * way, way, length - done)
        if not hit.result:
            break
        at[n] = done + hit.t
        face[n] = hit.face
        n += 1
        done = done + hit.t + 1.0e-3
    count[0] = n
