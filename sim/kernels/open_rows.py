"""The open world's own columns, and what comes from outside: pedals are the state's; forces, wanted walks and placings
are taken over here.

Every row has a private row of the parameter table (`model` = row), bodies that are no vehicles too: of theirs only mass
and yaw inertia count, and their origin is the centre of their box. Velocities of all bodies are the state's vx, vy:
body frame, at the origin.
"""

from __future__ import annotations

from typing import Any

import warp as wp

from sim.kernels.boxes import left_of
from sim.kernels.contact import is_vehicle
from sim.kernels.rows import INLINE, threads
from sim.state import Driver, StateArrays
from stack.labels import Kind
from stack.vehicle import GRAVITY_MPS2, Column

wp.set_module_options({"enable_backward": False, "cpu_compiler_flags": INLINE})

GROUND, AIR, LOOK = 0, 1, 2  # column `flies`; LOOK: not known yet
SLIDING = 0.6  # friction of a body that slides over the ground
GETS_UP_MPS = 0.2  # a thrown walker that slides slower walks on
JUMP_MPS = 100.0  # a placing faster than this is a jump to another place, no motion
INNER_S, TICK_S, SUBSTEP_S = 0, 1, 2  # of `clock`
SUBSTEPS, INNER = 0, 1  # of `count`


@wp.struct
class OpenArrays:
    """[A] each, but for the first two."""

    clock: wp.array(dtype=wp.float32)  # [3] inner step, tick and sub-step, s
    count: wp.array(dtype=wp.int32)  # [2] sub-steps of an inner step, and the number of this inner step in its tick
    flies: wp.array(dtype=wp.int32)  # GROUND, AIR or LOOK
    vz_mps: wp.array(dtype=wp.float32)
    ghost: wp.array(dtype=wp.int32)  # 1: touches nobody
    weightless: wp.array(dtype=wp.int32)
    kept: wp.array(dtype=wp.int32)  # 1: keeps `keep_mps`
    keep_mps: wp.array(dtype=wp.vec3)  # body frame, of the box centre
    force_n: wp.array(dtype=wp.vec3)  # world frame, of the next tick
    torque_nm: wp.array(dtype=wp.float32)  # about the vertical
    walk_to: wp.array(dtype=wp.vec2)  # wanted velocity of a walker, m/s
    thrown: wp.array(dtype=wp.int32)  # 1: a walker that was hit, until it lies
    placed: wp.array(dtype=wp.int32)  # 1: put somewhere since the last tick
    # at the end of the last tick
    origin_m: wp.array(dtype=wp.vec3)
    attitude_rad: wp.array(dtype=wp.vec3)  # roll, pitch, yaw
    velocity_mps: wp.array(dtype=wp.vec3)  # of the box centre
    accel_mps2: wp.array(dtype=wp.vec3)
    tilting_radps: wp.array(dtype=wp.vec2)  # rates of roll and pitch


@wp.func
def ahead_of(state: StateArrays, i: int) -> wp.vec2:
    return wp.vec2(wp.cos(state.yaw_rad[0, i]), wp.sin(state.yaw_rad[0, i]))


@wp.func
def attitude_of(state: StateArrays, i: int) -> wp.vec3:
    return wp.vec3(state.roll_rad[0, i], state.pitch_rad[0, i], state.yaw_rad[0, i])


@wp.func
def origin_of(state: StateArrays, i: int) -> wp.vec3:
    return wp.vec3(state.x_m[0, i], state.y_m[0, i], state.z_m[0, i])


@wp.func
def turned(angle: float) -> float:
    """In -pi to pi."""
    return angle - 2.0 * wp.PI * wp.round(angle / (2.0 * wp.PI))


@wp.func
def set_velocity(state: StateArrays, i: int, v: wp.vec2) -> None:
    """Of the origin, world frame."""
    ahead = ahead_of(state, i)
    state.vx_mps[0, i] = wp.dot(v, ahead)
    state.vy_mps[0, i] = wp.dot(v, left_of(ahead))


@wp.func
def take_placing(state: StateArrays, own: OpenArrays, i: int) -> None:
    """The velocity of what is moved from outside, from where it was a tick ago."""
    v = wp.vec3(0.0, 0.0, 0.0)
    rate = float(0.0)
    if own.placed[i] != 0:
        v = (origin_of(state, i) - own.origin_m[i]) / own.clock[TICK_S]
        rate = turned(state.yaw_rad[0, i] - own.attitude_rad[i][2]) / own.clock[TICK_S]
        if wp.length(v) > JUMP_MPS:
            v = wp.vec3(0.0, 0.0, 0.0)
            rate = 0.0
    set_velocity(state, i, wp.vec2(v[0], v[1]))
    own.vz_mps[i] = v[2]
    state.yaw_rate_radps[0, i] = rate


@wp.func
def feel_force(state: StateArrays, params: wp.array2d(dtype=wp.float32), own: OpenArrays, i: int) -> None:
    """One inner step of the force and torque on the centre of gravity."""
    force = own.force_n[i]
    turn = own.torque_nm[i] / params[i, Column.YAW_INERTIA] * own.clock[INNER_S]
    if wp.length_sq(force) == 0.0 and turn == 0.0:
        return
    dv = force / params[i, Column.MASS] * own.clock[INNER_S]
    ahead = ahead_of(state, i)
    flat = wp.vec2(dv[0], dv[1])
    state.vx_mps[0, i] = state.vx_mps[0, i] + wp.dot(flat, ahead)
    state.vy_mps[0, i] = state.vy_mps[0, i] + wp.dot(flat, left_of(ahead)) - params[i, Column.REAR_AXLE] * turn
    state.yaw_rate_radps[0, i] = state.yaw_rate_radps[0, i] + turn
    lift = dv[2]
    if own.flies[i] == GROUND and own.weightless[i] == 0:
        lift = lift - GRAVITY_MPS2 * own.clock[INNER_S]  # what carries less than its weight stays on the ground
        if lift <= 0.0:
            return
        own.flies[i] = AIR
        lift = dv[2]
    if lift > 0.0:
        own.flies[i] = AIR
    if own.flies[i] == AIR:
        state.z_m[0, i] = (
            state.z_m[0, i] - 0.5 * lift * own.clock[INNER_S]
        )  # it gains speed over the step, not before it
    own.vz_mps[i] = own.vz_mps[i] + lift


@wp.func
def slide(state: StateArrays, own: OpenArrays, i: int) -> float:
    """Friction of the ground on a body without wheels; its speed afterwards."""
    speed = wp.sqrt(state.vx_mps[0, i] * state.vx_mps[0, i] + state.vy_mps[0, i] * state.vy_mps[0, i])
    if own.flies[i] != GROUND:
        return speed
    left = wp.max(speed - SLIDING * GRAVITY_MPS2 * own.clock[INNER_S], 0.0)
    share = left / wp.max(speed, 1.0e-9)
    state.vx_mps[0, i] = state.vx_mps[0, i] * share
    state.vy_mps[0, i] = state.vy_mps[0, i] * share
    state.yaw_rate_radps[0, i] = state.yaw_rate_radps[0, i] * share
    if left == 0.0:
        state.yaw_rate_radps[0, i] = 0.0
    return left


@wp.func
def stride(state: StateArrays, own: OpenArrays, i: int) -> None:
    """A walker goes where it is told, unless it was thrown."""
    if own.thrown[i] != 0:
        if slide(state, own, i) < GETS_UP_MPS and own.flies[i] == GROUND:
            own.thrown[i] = 0
        return
    v = own.walk_to[i]
    speed = wp.length(v)
    if speed > 0.0:
        state.yaw_rad[0, i] = wp.atan2(v[1], v[0])
    state.vx_mps[0, i] = speed
    state.vy_mps[0, i] = 0.0
    state.yaw_rate_radps[0, i] = 0.0
    state.walk_s_m[0, i] = state.walk_s_m[0, i] + speed * own.clock[INNER_S]


@wp.func
def keep(state: StateArrays, params: wp.array2d(dtype=wp.float32), own: OpenArrays, i: int) -> None:
    """Constant velocity in the body's own frame; a vehicle still turns as its wheels point."""
    v = own.keep_mps[i]
    rate = float(0.0)
    if is_vehicle(state.kind[0, i]):
        angle = wp.clamp(state.steer[0, i], -1.0, 1.0) * params[i, Column.WHEEL_ANGLE_MAX]
        state.wheel_angle_rad[0, i] = angle
        rate = v[0] * wp.tan(angle) / (params[i, Column.FRONT_AXLE] + params[i, Column.REAR_AXLE])
    state.vx_mps[0, i] = v[0]
    state.vy_mps[0, i] = v[1] - rate * state.centre_m[0, i]
    state.ax_mps2[0, i] = 0.0
    state.ay_mps2[0, i] = v[0] * rate
    state.yaw_rate_radps[0, i] = rate


@wp.kernel(enable_backward=False)
def obey(state: StateArrays, params: wp.array2d(dtype=wp.float32), own: OpenArrays, stride_rows: int):
    """Take over what came from outside."""
    for i in range(wp.tid(), state.kind.shape[1], stride_rows):
        if state.kind[0, i] == int(Kind.NONE):
            continue
        if state.driver[0, i] == int(Driver.PLACED):
            if own.count[INNER] == 0:
                take_placing(state, own, i)
            continue
        feel_force(state, params, own, i)
        if own.kept[i] != 0:
            keep(state, params, own, i)
        elif state.kind[0, i] == int(Kind.PEDESTRIAN):
            stride(state, own, i)
        elif state.kind[0, i] == int(Kind.PROP):
            slide(state, own, i)


@wp.func
def centre_velocity(state: StateArrays, own: OpenArrays, i: int) -> wp.vec3:
    """Of the box centre, world frame."""
    ahead = ahead_of(state, i)
    side = state.vy_mps[0, i] + state.yaw_rate_radps[0, i] * state.centre_m[0, i]
    v = state.vx_mps[0, i] * ahead + side * left_of(ahead)
    return wp.vec3(v[0], v[1], own.vz_mps[i])


@wp.kernel(enable_backward=False)
def remember(state: StateArrays, own: OpenArrays, stride_rows: int):
    """The end of a tick: acceleration and rates over it, and where everybody is."""
    first = wp.tid()
    for i in range(first, state.kind.shape[1], stride_rows):
        if state.kind[0, i] != int(Kind.NONE):
            now, v = attitude_of(state, i), centre_velocity(state, own, i)
            last = own.attitude_rad[i]
            per_s = 1.0 / own.clock[TICK_S]
            own.tilting_radps[i] = wp.vec2(turned(now[0] - last[0]), turned(now[1] - last[1])) * per_s
            own.accel_mps2[i] = (v - own.velocity_mps[i]) * per_s
            own.velocity_mps[i] = v
            own.attitude_rad[i] = now
            own.origin_m[i] = origin_of(state, i)
            own.placed[i] = 0
            own.force_n[i] = wp.vec3(0.0, 0.0, 0.0)
            own.torque_nm[i] = 0.0
    if first == 0:
        state.tick[0] = state.tick[0] + 1


@wp.kernel(enable_backward=False)
def report(state: StateArrays, own: OpenArrays, out: wp.array2d(dtype=wp.vec3), stride_rows: int):
    """Rows of `out`: box centre on the ground; roll, pitch, yaw; velocity; turn; acceleration."""
    for i in range(wp.tid(), state.kind.shape[1], stride_rows):
        if state.kind[0, i] == int(Kind.NONE):
            for k in range(5):
                out[k, i] = wp.vec3(0.0, 0.0, 0.0)
            continue
        ahead = ahead_of(state, i)
        left = left_of(ahead)
        pitch = state.pitch_rad[0, i]
        nose = wp.vec3(ahead[0] * wp.cos(pitch), ahead[1] * wp.cos(pitch), wp.sin(pitch))
        tilting = own.tilting_radps[i]
        out[0, i] = origin_of(state, i) + state.centre_m[0, i] * nose
        out[1, i] = attitude_of(state, i)
        out[2, i] = centre_velocity(state, own, i)
        out[3, i] = (
            wp.vec3(0.0, 0.0, state.yaw_rate_radps[0, i])
            + tilting[0] * nose
            - tilting[1] * wp.vec3(left[0], left[1], 0.0)
        )
        out[4, i] = own.accel_mps2[i]


def allocate(actors: int, device: str) -> Any:
    """`OpenArrays` of zeros."""
    out: Any = OpenArrays()
    sizes = {"clock": 3, "count": 2}
    for name, var in OpenArrays.vars.items():
        setattr(out, name, wp.zeros(sizes.get(name, actors), dtype=var.type.dtype, device=device))
    return out


def record(kernel: Any, inputs: list[Any], actors: int, device: str) -> Any:
    """A launch over all rows of the one world, to be run again and again; the kernel's last argument is the stride."""
    n = threads(actors, device)
    return wp.launch(kernel, dim=n, inputs=[*inputs, n], device=device, record_cmd=True)
