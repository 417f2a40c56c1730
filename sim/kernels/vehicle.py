"""Vehicle dynamics: single-track model with Fiala tyres under combined slip, five sub-steps of 10 ms a tick.

Planar rigid body with lateral speed V at the centre of gravity, yaw rate r, wheel angle d (Rajamani, Vehicle Dynamics
and Control, ch. 2), written in the body frame; the state keeps the velocity of the origin under the rear axle:

    m (vx' - r V) = Fxf cos d - Fyf sin d + Fxr - drag - rolling - m g sin(pitch)
    m (V' + r vx) = Fyf cos d + Fxf sin d + Fyr
    I r'          = a (Fyf cos d + Fxf sin d) - b Fyr

Lateral tyre force: Fiala's brush model with the friction that the longitudinal force leaves over (Hindiyeh and
Gerdes, A Controller Framework for Autonomous Drifting, J. Dyn. Sys. 136, 2014). Axle loads shift with the
longitudinal force. The lateral step is linearly implicit, since tyre forces grow stiff as 1 / speed; below walking
pace the motion goes over to the kinematic bicycle, which stands still when braked. Brakes and rolling resistance are
dry friction: they stop, and never push back.
"""

from __future__ import annotations

from typing import Any

import warp as wp

from sim.state import Driver, StateArrays
from stack.labels import Kind
from stack.vehicle import GRAVITY_MPS2, Column, drive_available

wp.set_module_options({"enable_backward": False})

SUBSTEPS = 5
SUBSTEP_S = 0.01
KINEMATIC_BELOW_MPS = 0.5
DYNAMIC_ABOVE_MPS = 2.0
GRIP_USED = 0.98  # share of an axle's friction that drive and brake may take: traction control and anti-lock brakes
LOAD_MIN = 0.05  # of an axle's static load: a wheel that would lift keeps this much
TURN_RAD = 6.283185307
SLIP_SPEED_MIN_MPS = 0.1  # keeps slip angles finite at rest


@wp.struct
class Body:
    """One vehicle's motion within a tick; velocities of the origin in the body frame."""

    x: float
    y: float
    yaw: float
    ahead: wp.vec2  # cosine and sine of yaw
    vx: float
    vy: float
    r: float
    ax: float
    ay: float
    wheel: float
    drive: float


@wp.struct
class Axle:
    """Lateral force over mass, and its slope against lateral speed (a damping)."""

    force: float
    damping: float


@wp.func
def unit_vector(angle: float) -> wp.vec2:
    """Cosine and sine of an angle between -1 and 1 rad, to 1e-6: Taylor's polynomials, a fifth of the library's time."""
    u = angle * angle
    c = 1.0 - u * (0.5 - u * (1.0 / 24.0 - u * (1.0 / 720.0 - u / 40320.0)))
    s = angle * (1.0 - u * (1.0 / 6.0 - u * (1.0 / 120.0 - u * (1.0 / 5040.0 - u / 362880.0))))
    return wp.vec2(c, s)


@wp.func
def rotated(v: wp.vec2, by: wp.vec2) -> wp.vec2:
    return wp.vec2(v[0] * by[0] - v[1] * by[1], v[0] * by[1] + v[1] * by[0])


@wp.func
def axle_force(along: float, across: float, stiffness: float, load: float, mu: float, longitudinal: float) -> Axle:
    """Fiala's lateral force of one axle. Wheel-frame speeds in m/s; load and longitudinal force over vehicle mass,
    m/s2."""
    out = Axle()
    grip = mu * load
    left = wp.sqrt(wp.max(grip * grip - longitudinal * longitudinal, 0.0))
    ahead = wp.max(wp.abs(along), SLIP_SPEED_MIN_MPS)
    t = -across / ahead  # tangent of the slip angle
    c = stiffness * load
    u = c * wp.abs(t) / (3.0 * left + 1.0e-6)  # 1 where the whole contact patch slides
    if u >= 1.0:
        out.force = wp.sign(t) * left
        out.damping = 0.0
    else:
        out.force = c * t * (1.0 - u + u * u / 3.0)
        out.damping = c * (1.0 - u) * (1.0 - u) / ahead
    return out


@wp.func
def wanted_drive(p: wp.array2d(dtype=wp.float32), m: int, throttle: float, brake: float, speed: float) -> float:
    """What the pedals ask for, m/s2."""
    push = throttle * drive_available(p[m, Column.DRIVE_ACCEL_MAX], p[m, Column.POWER_PER_MASS], speed)
    return push - brake * p[m, Column.BRAKE_MAX]


@wp.func
def next_drive(p: wp.array2d(dtype=wp.float32), m: int, drive: float, wanted: float) -> float:
    """Engine and brake a sub-step later: a first-order lag."""
    lag = p[m, Column.DRIVE_LAG]
    if wanted < drive:
        lag = p[m, Column.BRAKE_LAG]
    return drive + (wanted - drive) * SUBSTEP_S / (lag + SUBSTEP_S)


@wp.func
def substep(
    body: Body,
    p: wp.array2d(dtype=wp.float32),
    m: int,
    throttle: float,
    brake: float,
    steer: float,
    normal: float,
    grade: float,
    friction: float,
) -> Body:
    """The body SUBSTEP_S later; row `m` of the parameter table; gravity across and along the road, m/s2."""
    h = SUBSTEP_S
    a = p[m, Column.FRONT_AXLE]
    b = p[m, Column.REAR_AXLE]
    base = a + b
    mu = p[m, Column.TYRE_FRICTION] * friction
    # actuators: wheel angle at a limited rate, drive and brake with a first-order lag
    turn = p[m, Column.WHEEL_RATE_MAX] * h
    wheel = body.wheel + wp.clamp(steer * p[m, Column.WHEEL_ANGLE_MAX] - body.wheel, -turn, turn)
    speed = wp.sqrt(body.vx * body.vx + body.vy * body.vy)
    drive = next_drive(p, m, body.drive, wanted_drive(p, m, throttle, brake, wp.abs(body.vx)))
    # loads and longitudinal forces, all over mass
    shift = wp.clamp(drive, -mu * normal, mu * normal) * p[m, Column.CG_HEIGHT] / base
    if body.vx < 0.0 and drive < 0.0:
        shift = -shift
    load_f = wp.max(normal * b / base - shift, LOAD_MIN * normal * b / base)
    load_r = wp.max(normal * a / base + shift, LOAD_MIN * normal * a / base)
    grip_f = GRIP_USED * mu * load_f
    grip_r = GRIP_USED * mu * load_r
    push_f = wp.min(wp.max(drive, 0.0) * p[m, Column.DRIVE_FRONT_SHARE], grip_f)
    push_r = wp.min(wp.max(drive, 0.0) * (1.0 - p[m, Column.DRIVE_FRONT_SHARE]), grip_r)
    stop = wp.max(-drive, 0.0) / (load_f + load_r)  # electronic distribution: in proportion to load
    stop_f = wp.min(stop * load_f, grip_f)
    stop_r = wp.min(stop * load_r, grip_r)
    # lateral forces
    direction = unit_vector(wheel)
    cd = direction[0]
    sd = direction[1]
    across_f = body.vy + base * body.r
    front = axle_force(
        cd * body.vx + sd * across_f,
        cd * across_f - sd * body.vx,
        p[m, Column.CORNERING_FRONT],
        load_f,
        mu,
        push_f + stop_f,
    )
    rear = axle_force(body.vx, body.vy, p[m, Column.CORNERING_REAR], load_r, mu, push_r + stop_r)
    along_f = push_f - wp.sign(body.vx) * stop_f
    side_f = front.force * cd + along_f * sd
    # linearly implicit step of V and r: (1 - q J) delta = h f, q from h / 2 (trapezoidal rule) to h as tyres grow stiff
    inertia = p[m, Column.YAW_INERTIA] / p[m, Column.MASS]
    v_cg = body.vy + b * body.r
    df = front.damping * cd * cd
    dr = rear.damping
    turning = (a * a * df + b * b * dr) / inertia
    stiff = h * wp.max(df + dr, turning)
    q = h * (0.5 + 0.5 * stiff / (6.0 + stiff))  # exponential fitting, theta = 1 / 2 + z / 12 + ...
    j11 = 1.0 + q * (df + dr)
    j12 = q * (a * df - b * dr + body.vx)
    j21 = q * (a * df - b * dr) / inertia
    j22 = 1.0 + q * turning
    f1 = h * (side_f + rear.force - body.r * (body.vx + 0.5 * h * body.r * v_cg))  # mid-step: a spin gains no energy
    f2 = h * (a * side_f - b * rear.force) / inertia
    det = j11 * j22 - j12 * j21
    v_new = v_cg + (f1 * j22 - f2 * j12) / det
    r_new = body.r + (f2 * j11 - f1 * j21) / det
    # along: pushing forces first, then dry friction, which stops but never reverses
    blend = wp.clamp((speed - KINEMATIC_BELOW_MPS) / (DYNAMIC_ABOVE_MPS - KINEMATIC_BELOW_MPS), 0.0, 1.0)
    blend = blend * blend * (3.0 - 2.0 * blend)
    drag = p[m, Column.DRAG_PER_MASS] * body.vx * wp.abs(body.vx)
    free = push_f * cd + push_r - drag - grade + blend * (0.5 * body.r * (v_cg + v_new) - front.force * sd)
    vx = body.vx + h * free
    dry = h * (stop_f * cd + stop_r + p[m, Column.ROLLING] * normal)
    vx = wp.sign(vx) * wp.max(wp.abs(vx) - dry, 0.0)
    # blend with the kinematic bicycle: no slip at the rear axle
    r = blend * r_new + (1.0 - blend) * vx * sd / (cd * base)
    vy = blend * (v_new - b * r_new)
    out = Body()
    out.vx = vx
    out.vy = vy
    out.r = r
    out.wheel = wheel
    out.drive = drive
    out.ax = (vx - body.vx) / h - r * vy
    out.ay = (vy - body.vy) / h + r * vx
    turned = 0.5 * h * (body.r + r)
    half = unit_vector(0.5 * turned)
    middle = rotated(body.ahead, half)
    cm = 0.5 * h * middle[0]
    sm = 0.5 * h * middle[1]
    out.ahead = rotated(middle, half)
    out.x = body.x + (body.vx + vx) * cm - (body.vy + vy) * sm
    out.y = body.y + (body.vx + vx) * sm + (body.vy + vy) * cm
    out.yaw = body.yaw + turned
    return out


@wp.func
def rests(
    body: Body, p: wp.array2d(dtype=wp.float32), m: int, throttle: float, brake: float, normal: float, grade: float
) -> bool:  # fmt: skip
    """Does a vehicle that stands stay where it is for the whole tick, held by its brakes and its rolling resistance?"""
    if body.vx != 0.0 or body.vy != 0.0 or body.r != 0.0:
        return False
    wanted = wanted_drive(p, m, throttle, brake, 0.0)
    push = wp.max(wp.max(body.drive, wanted), 0.0)
    hold = wp.max(wp.min(-body.drive, -wanted), 0.0) + p[m, Column.ROLLING] * normal
    return push + wp.abs(grade) < 0.9 * hold


@wp.func
def wait(
    state: StateArrays, p: wp.array2d(dtype=wp.float32), w: int, i: int, throttle: float, brake: float, steer: float
) -> None:  # fmt: skip
    """A tick of a vehicle that rests: wheel and actuators go on, nothing else does."""
    m = state.model[w, i]
    wanted = wanted_drive(p, m, throttle, brake, 0.0)
    turn = p[m, Column.WHEEL_RATE_MAX] * SUBSTEP_S
    wheel = state.wheel_angle_rad[w, i]
    drive = state.drive_mps2[w, i]
    for _ in range(SUBSTEPS):
        wheel = wheel + wp.clamp(steer * p[m, Column.WHEEL_ANGLE_MAX] - wheel, -turn, turn)
        drive = next_drive(p, m, drive, wanted)
    state.wheel_angle_rad[w, i] = wheel
    state.drive_mps2[w, i] = drive
    state.ax_mps2[w, i] = 0.0
    state.ay_mps2[w, i] = 0.0


@wp.kernel(enable_backward=False)
def move(state: StateArrays, params: wp.array2d(dtype=wp.float32)):
    w, i = wp.tid()
    kind = state.kind[w, i]
    if kind != int(Kind.CAR) and kind != int(Kind.TRUCK) and kind != int(Kind.CYCLIST):
        return
    body = Body()
    body.x = state.x_m[w, i]
    body.y = state.y_m[w, i]
    body.yaw = state.yaw_rad[w, i]
    body.ahead = wp.vec2(wp.cos(body.yaw), wp.sin(body.yaw))
    body.vx = state.vx_mps[w, i]
    body.vy = state.vy_mps[w, i]
    body.r = state.yaw_rate_radps[w, i]
    body.wheel = state.wheel_angle_rad[w, i]
    body.drive = state.drive_mps2[w, i]
    throttle = wp.clamp(state.throttle[w, i], 0.0, 1.0)
    brake = wp.clamp(state.brake[w, i], 0.0, 1.0)
    if state.driver[w, i] == int(Driver.NONE):  # parked
        throttle = float(0.0)
        brake = float(1.0)
    steer = wp.clamp(state.steer[w, i], -1.0, 1.0)
    normal = GRAVITY_MPS2 * wp.cos(state.pitch_rad[w, i])
    grade = GRAVITY_MPS2 * wp.sin(state.pitch_rad[w, i])
    if rests(body, params, state.model[w, i], throttle, brake, normal, grade):
        wait(state, params, w, i, throttle, brake, steer)
        return
    for _ in range(SUBSTEPS):
        body = substep(body, params, state.model[w, i], throttle, brake, steer, normal, grade, state.friction[w])
    state.x_m[w, i] = body.x
    state.y_m[w, i] = body.y
    state.yaw_rad[w, i] = body.yaw - TURN_RAD * wp.round(body.yaw / TURN_RAD)
    state.vx_mps[w, i] = body.vx
    state.vy_mps[w, i] = body.vy
    state.yaw_rate_radps[w, i] = body.r
    state.ax_mps2[w, i] = body.ax
    state.ay_mps2[w, i] = body.ay
    state.wheel_angle_rad[w, i] = body.wheel
    state.drive_mps2[w, i] = body.drive


def launch(state: Any, params: Any, worlds: int, actors: int, device: str, record_cmd: bool = False) -> Any:
    """Move every vehicle of every world by one tick; with `record_cmd` return the launch instead of running it."""
    return wp.launch(move, dim=(worlds, actors), inputs=[state, params], device=device, record_cmd=record_cmd)
