"""A vehicle's physics as CARLA describes it: engine, gears and wheels, made of our parameters and taken back into them.

What our model has no part for (clutch, gear times, wheel damping) is kept as set and given back, without effect.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from sim.carla import convert
from sim.carla.server.actors import Actor
from sim.carla.server.values import number
from sim.carla.server.wire import Failed
from stack.messages import Control
from stack.vehicle import GRAVITY_MPS2, VehicleParams, pedals

TYRE_FRICTION = 3.5  # CARLA's default, for a dry road of friction 1
WHEEL_RADIUS_M = 0.33
RPM_MAX, TORQUE_RPM = 6000.0, 3000.0
GEARS = ((4.25, 0.5, 0.65), (2.49, 0.5, 0.65), (1.66, 0.5, 0.65), (1.23, 0.5, 0.65), (1.0, 0.5, 0.65))
FINAL_RATIO = 4.0
TOP_GEAR = len(GEARS)
GEAR_FROM_MPS = np.array([6.0, 11.0, 17.0, 24.0])  # where the next gear is taken
SPEED_S = 0.5  # an Ackermann control closes its speed error in about this time
BRAKE_MPS2, PUSH_MPS2 = 6.0, 3.0  # where it asks for no acceleration of its own
MASS, DRAG, CENTRE, WHEELS, TORQUE = 11, 12, 13, 15, 0  # places in a VehiclePhysicsControl


def remember(actor: Actor, episode: Any) -> None:
    """Keep what can be asked of a vehicle that is about to go."""
    actor.state["last"] = (control_of(actor, episode), telemetry(actor, episode), wheel_angle_deg(actor, episode))


def control_of(actor: Actor, episode: Any) -> list[Any]:
    """VehiclePhysicsControl of a vehicle: as last applied, else of its parameters."""
    if "last" in actor.state:
        last: list[Any] = actor.state["last"][0]
        return last
    control: list[Any] = list(
        actor.state.get("physics") or default(actor.state.setdefault("params", _params(actor, episode)))
    )
    control[WHEELS] = _placed(control[WHEELS], actor, episode)
    return control


def _params(actor: Actor, episode: Any) -> VehicleParams:
    params: VehicleParams = episode.world.params(actor.row)
    return params


def default(p: VehicleParams) -> list[Any]:
    """VehiclePhysicsControl that our parameters amount to."""
    peak = p.power_w / (TORQUE_RPM * 2.0 * math.pi / 60.0)
    torque = [[0.0, 0.8 * peak], [TORQUE_RPM, peak], [RPM_MAX, 0.7 * peak]]
    brake = p.mass_kg * p.brake_max_mps2 * WHEEL_RADIUS_M / 4.0
    steering = [[0.0, 1.0], [120.0, 1.0]]
    wheels = []
    for k in range(2 if p.kind == "cyclist" else 4):
        front = k < 2 if p.kind != "cyclist" else k == 0
        angle = math.degrees(p.wheel_angle_max_rad) if front else 0.0
        wheels.append([TYRE_FRICTION, 0.25, angle, 100.0 * WHEEL_RADIUS_M, brake, 0.0 if front else brake, 3.0,
                       p.cornering_front_prad if front else p.cornering_rear_prad, 3000.0, [0.0, 0.0, 0.0]])  # fmt: skip
    centre = [p.rear_axle_m - p.centre_m, 0.0, p.cg_height_m]
    return [torque, RPM_MAX, 1.0, 0.15, 2.0, 0.35, True, 0.5, 10.0, FINAL_RATIO, [list(g) for g in GEARS], p.mass_kg,
            p.drag_area_m2 / max(p.width_m * p.height_m, 0.1), centre, steering, wheels, False]  # fmt: skip


def _placed(wheels: list[Any], actor: Actor, episode: Any) -> list[Any]:
    """The wheels with where they are now, cm."""
    p = _params(actor, episode)
    base = episode.matrix(actor)
    out = []
    for k, wheel in enumerate(wheels):
        if len(wheels) == 2:
            ahead, side = (p.wheelbase_m if k == 0 else 0.0), 0.0
        else:
            ahead, side = (p.wheelbase_m if k < 2 else 0.0), (0.42 if k % 2 == 0 else -0.42) * p.width_m
        at = base @ np.array([ahead - p.centre_m, side, WHEEL_RADIUS_M, 1.0])
        out.append([*wheel[:9], [100.0 * v for v in convert.location(at[:3])]])
    return out


def apply(actor: Actor, episode: Any, control: list[Any]) -> None:
    """Take a VehiclePhysicsControl over. Raises Failed for numbers that no vehicle can have."""
    first: VehicleParams = actor.state.setdefault("params", _params(actor, episode))
    usual = default(first)
    control = _like(control, usual, f"physics control of actor {actor.id}")
    wheels, plain = control[WHEELS], usual[WHEELS]
    if len(wheels) != len(plain):
        raise Failed(f"physics control of actor {actor.id}: found {len(wheels)} wheels, expected {len(plain)}")
    grip = float(np.mean([w[0] for w in wheels])) / TYRE_FRICTION
    angle = math.radians(max(float(w[2]) for w in wheels)) or first.wheel_angle_max_rad
    brake = sum(float(w[4]) for w in wheels) / max(sum(w[4] for w in plain), 1e-9)
    mass = float(control[MASS])
    torque = max((float(y) for _, y in control[TORQUE]), default=0.0) / max(y for _, y in usual[TORQUE])
    lighter = first.mass_kg / max(mass, 1e-9)
    x, _, z = (float(v) for v in control[CENTRE])
    shift = min(max(x - usual[CENTRE][0], 0.05 - first.rear_axle_m), first.front_axle_m - 0.05)
    try:
        params = replace(
            first, mass_kg=mass, yaw_inertia_kgm2=first.yaw_inertia_kgm2 / lighter,
            drag_area_m2=first.drag_area_m2 * max(float(control[DRAG]) / usual[DRAG], 1e-3),
            tyre_friction=min(max(first.tyre_friction * grip, 1e-3), 4.0), wheel_angle_max_rad=min(angle, 1.39),
            brake_max_mps2=max(first.brake_max_mps2 * brake * lighter, 1e-3),
            power_w=max(first.power_w * torque, 1.0),
            drive_accel_max_mps2=max(first.drive_accel_max_mps2 * torque * lighter, 1e-3),
            front_axle_m=first.front_axle_m - shift, rear_axle_m=first.rear_axle_m + shift,
            cg_height_m=max(first.cg_height_m + z - usual[CENTRE][2], 0.05),
        )  # fmt: skip
    except ValueError as error:
        raise Failed(f"physics control of actor {actor.id}: {error}") from None
    episode.world.set_params(actor.row, params)
    actor.state["physics"] = control


def _like(value: Any, usual: Any, what: str) -> Any:
    """The value with numbers, switches and lists where `usual` has them; lists of lists may be of any length."""
    if isinstance(usual, bool):
        return bool(value)
    if not isinstance(usual, list):
        return number(value, what)
    if usual and isinstance(usual[0], list) and isinstance(usual[-1], list):
        return [_like(item, usual[0], what) for item in value]
    if len(value) < len(usual):
        raise Failed(f"{what}: found {len(value)} values, expected {len(usual)}")
    return [_like(item, one, what) for item, one in zip(value, usual, strict=False)]


def wheel_angle_deg(actor: Actor, episode: Any) -> float:
    """Of the front wheels, degrees to the right."""
    if "last" in actor.state:
        return float(actor.state["last"][2])
    angle = episode.world.state.numpy("wheel_angle_rad")[0, actor.row]
    return convert.steer(float(angle * np.float32(180.0 / math.pi)))


def telemetry(actor: Actor, episode: Any) -> list[Any]:
    """TelemetryData: speeds and loads of the single-track model, shared out over the wheels of each axle."""
    if "last" in actor.state:
        last: list[Any] = actor.state["last"][1]
        return last
    state, row, p = episode.world.state, actor.row, _params(actor, episode)
    speed, steer, throttle, brake, ax = (
        float(state.numpy(name)[0, row]) for name in ("vx_mps", "steer", "throttle", "brake", "ax_mps2")
    )
    gear = gear_of(actor, speed)
    ratio = FINAL_RATIO * GEARS[max(gear, 1) - 1][0]
    rpm = min(max(abs(speed) / WHEEL_RADIUS_M * ratio * 60.0 / (2.0 * math.pi), 800.0), RPM_MAX)
    n = 2 if p.kind == "cyclist" else 4
    shift = p.mass_kg * ax * p.cg_height_m / p.wheelbase_m
    weight = p.mass_kg * GRAVITY_MPS2
    wheels = []
    for k in range(n):
        front = k < n // 2
        axle = weight * (p.rear_axle_m if front else p.front_axle_m) / p.wheelbase_m - (shift if front else -shift)
        load, usual = 2.0 * axle / n, weight / n
        force = p.mass_kg * ax / n
        wheels.append([TYRE_FRICTION * p.tyre_friction, 0.0, 0.0, speed / WHEEL_RADIUS_M, load, load / usual,
                       force * WHEEL_RADIUS_M, force, 0.0, force / max(load, 1.0), 0.0])  # fmt: skip
    return [speed, convert.steer(steer), throttle, brake, rpm, gear, p.drag_area_m2, wheels]


def gear_of(actor: Actor, speed_mps: float) -> int:
    """The gear set by hand or reverse; else the one that an automatic gearbox has at that speed."""
    fixed = actor.state.get("gear")
    return int(fixed) if fixed is not None else 1 + int(np.searchsorted(GEAR_FROM_MPS, speed_mps))


def drive_ackermann(actor: Actor, episode: Any, control: list[float]) -> None:
    """Pedals of this tick for an Ackermann control [steer rad, its speed, speed m/s, acceleration, jerk]."""
    steer, _, wanted, limit, _ = control
    world, row = episode.world, actor.row
    p = _params(actor, episode)
    speed = float(world.state.numpy("vx_mps")[0, row])
    backwards = wanted < 0.0 or (wanted == 0.0 and speed < -0.1)
    sign = -1.0 if backwards else 1.0
    accel = (abs(wanted) - sign * speed) / SPEED_S
    accel = min(max(accel, -abs(limit) or -BRAKE_MPS2), abs(limit) or PUSH_MPS2)
    pitch = float(world.state.numpy("pitch_rad")[0, row])
    throttle, brake, turn = pedals(Control(convert.steer(steer), accel), sign * speed, sign * pitch, p)
    world.drive(row, float(throttle), float(brake), float(turn), False, backwards)
