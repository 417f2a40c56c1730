"""Vehicle parameters, and the one pedal map Control <-> throttle, brake, steer.

The drive force is throttle * min(accel_max, power / (mass * speed)); the brake force is brake * brake_max. Against
them stand drag, rolling resistance and grade. The pedal map inverts this, so that a wanted acceleration is met in
steady state:

    need = accel + drag * speed^2 + rolling * g * cos(pitch) + g * sin(pitch)
    throttle = need / drive_available(speed) where need > 0, else brake = -need / brake_max

The same functions run in Python and in kernels (`sim/kernels/vehicle.py`, traffic), which read the vehicles from the
table of `parameter_table`: one row per vehicle, one column per `Column`.
"""

from __future__ import annotations

from enum import IntEnum
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import warp as wp
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from stack.config import ConfigError, load
from stack.labels import Kind
from stack.messages import F32, Control

wp.set_module_options({"enable_backward": False})

FOLDER = Path(__file__).parents[1] / "configs" / "vehicles"
VEHICLES: tuple[str, ...] = tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))

GRAVITY_MPS2 = 9.81
AIR_KGPM3 = 1.204  # dry air, 20 degrees C, sea level
POWER_FROM_MPS = 1.0  # below this speed the engine's power sets no limit
STAND_MPS = 0.3  # below this speed a car that is not to accelerate is held by its brake
HOLD_MPS2 = 1.0  # brake held in reserve when standing, beyond what the grade needs

Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class VehicleParams:
    """A vehicle for the dynamic bicycle model. Origin: on the ground under the rear axle (for two-wheelers: wheel)."""

    name: str
    kind: Literal["car", "truck", "cyclist"]
    length_m: Positive
    width_m: Positive
    height_m: Positive
    centre_m: float  # from the rear axle ahead to the centre of the box
    mass_kg: Positive
    yaw_inertia_kgm2: Positive
    cg_height_m: Positive
    front_axle_m: Positive  # centre of gravity to front axle
    rear_axle_m: Positive  # centre of gravity to rear axle
    cornering_front_prad: Positive  # cornering stiffness over axle load, 1/rad
    cornering_rear_prad: Positive
    tyre_friction: Annotated[float, Field(gt=0.0, le=4.0)]  # on a dry road; times the world's friction
    wheel_angle_max_rad: Annotated[float, Field(gt=0.0, lt=1.4)]
    wheel_rate_max_radps: Positive
    drive_accel_max_mps2: Positive  # at low speed: tractive force over mass
    power_w: Positive  # at the wheels
    drive_front_share: Share  # 1: front-wheel drive
    brake_max_mps2: Positive  # at full pedal, if the tyres hold
    drag_area_m2: Positive  # drag coefficient times frontal area
    rolling_coefficient: Annotated[float, Field(ge=0.0, lt=0.2)]
    drive_lag_s: Positive  # first-order lag of the drive force
    brake_lag_s: Positive
    siren: bool = False  # an emergency vehicle

    @property
    def wheelbase_m(self) -> float:
        return self.front_axle_m + self.rear_axle_m

    @property
    def kind_id(self) -> Kind:
        return Kind[self.kind.upper()]


class Column(IntEnum):
    """Columns of the parameter table; units as in VehicleParams."""

    LENGTH = 0
    WIDTH = 1
    HEIGHT = 2
    CENTRE = 3
    MASS = 4
    YAW_INERTIA = 5
    CG_HEIGHT = 6
    FRONT_AXLE = 7
    REAR_AXLE = 8
    CORNERING_FRONT = 9
    CORNERING_REAR = 10
    TYRE_FRICTION = 11
    WHEEL_ANGLE_MAX = 12
    WHEEL_RATE_MAX = 13
    DRIVE_ACCEL_MAX = 14
    POWER_PER_MASS = 15  # W/kg
    DRIVE_FRONT_SHARE = 16
    BRAKE_MAX = 17
    DRAG_PER_MASS = 18  # 1/m: deceleration is this times speed squared
    ROLLING = 19
    DRIVE_LAG = 20
    BRAKE_LAG = 21


def load_vehicle(name_or_path: str | Path) -> VehicleParams:
    """A vehicle of configs/vehicles by name, or of any YAML file by path; ConfigError (a ValueError) names file and
    key."""
    path = Path(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        if str(name_or_path) not in VEHICLES:
            raise ConfigError(
                f"vehicle {str(name_or_path)!r}: unknown, expected a .yaml file or one of {', '.join(VEHICLES)}"
            )
        path = FOLDER / f"{name_or_path}.yaml"
    return load(VehicleParams, path)


def parameter_row(p: VehicleParams) -> F32:
    """(len(Column),) one row of the table."""
    drag_pm = 0.5 * AIR_KGPM3 * p.drag_area_m2 / p.mass_kg
    row = [
        p.length_m, p.width_m, p.height_m, p.centre_m, p.mass_kg, p.yaw_inertia_kgm2, p.cg_height_m, p.front_axle_m,
        p.rear_axle_m, p.cornering_front_prad, p.cornering_rear_prad, p.tyre_friction, p.wheel_angle_max_rad,
        p.wheel_rate_max_radps, p.drive_accel_max_mps2, p.power_w / p.mass_kg, p.drive_front_share, p.brake_max_mps2,
        drag_pm, p.rolling_coefficient, p.drive_lag_s, p.brake_lag_s,
    ]  # fmt: skip
    return np.array(row, np.float32)


def parameter_table(vehicles: list[VehicleParams]) -> F32:
    """(M, len(Column)) float32; the state's column `model` is the row."""
    if not vehicles:
        raise ValueError("parameter table: found no vehicles, expected at least one")
    return np.stack([parameter_row(p) for p in vehicles])


@wp.func
def drive_available(accel_max_mps2: float, power_per_mass: float, speed_mps: float) -> float:
    """Largest drive force over mass, m/s2."""
    return wp.min(accel_max_mps2, power_per_mass / wp.max(speed_mps, POWER_FROM_MPS))


@wp.func
def resistance(drag_per_mass: float, rolling: float, speed_mps: float, pitch_rad: float) -> float:
    """Drag, rolling resistance and grade over mass, m/s2; pitch is nose up."""
    return drag_per_mass * speed_mps * speed_mps + GRAVITY_MPS2 * (rolling * wp.cos(pitch_rad) + wp.sin(pitch_rad))


@wp.func
def pedal_pair(accel_mps2: float, resist_mps2: float, available_mps2: float, brake_max_mps2: float) -> wp.vec2:
    """Throttle and brake, both 0..1, that give the acceleration."""
    need = accel_mps2 + resist_mps2
    return wp.vec2(wp.clamp(need / available_mps2, 0.0, 1.0), wp.clamp(-need / brake_max_mps2, 0.0, 1.0))


@wp.func
def hold_pair(accel_mps2: float, pitch_rad: float, brake_max_mps2: float) -> wp.vec2:
    """Throttle and brake that keep a car standing on its grade, or stop it no later than wanted."""
    hold = wp.max(-accel_mps2, GRAVITY_MPS2 * wp.abs(wp.sin(pitch_rad)) + HOLD_MPS2)
    return wp.vec2(0.0, wp.clamp(hold / brake_max_mps2, 0.0, 1.0))


@wp.func
def pedals_of(
    accel_mps2: float, speed_mps: float, pitch_rad: float, table: wp.array2d(dtype=wp.float32), model: int
) -> wp.vec2:
    """Throttle and brake for a wanted acceleration, for kernels; `model` is the vehicle's row of the parameter
    table."""
    if speed_mps < STAND_MPS and accel_mps2 <= 0.0:
        return hold_pair(accel_mps2, pitch_rad, table[model, Column.BRAKE_MAX])
    available = drive_available(table[model, Column.DRIVE_ACCEL_MAX], table[model, Column.POWER_PER_MASS], speed_mps)
    resist = resistance(table[model, Column.DRAG_PER_MASS], table[model, Column.ROLLING], speed_mps, pitch_rad)
    return pedal_pair(accel_mps2, resist, available, table[model, Column.BRAKE_MAX])


# what stands behind wp.func: warp's way of calling it from Python takes far longer than the few sums
_available, _resistance, _pedal_pair, _hold_pair = (
    f.func for f in (drive_available, resistance, pedal_pair, hold_pair)
)


def pedals(control: Control, speed_mps: float, pitch_rad: float, params: VehicleParams) -> F32:
    """(3,) throttle 0..1, brake 0..1, steer -1..1 (left positive: wheel angle over the largest) that carry out a
    control.

    A car that stands (below STAND_MPS) and is not to accelerate is held by its brake.
    """
    steer = min(max(control.wheel_angle_rad / params.wheel_angle_max_rad, -1.0), 1.0)
    if speed_mps < STAND_MPS and control.accel_mps2 <= 0.0:
        throttle, brake = _hold_pair(control.accel_mps2, pitch_rad, params.brake_max_mps2)
    else:
        available, resist = _forces(speed_mps, pitch_rad, params)
        throttle, brake = _pedal_pair(control.accel_mps2, resist, available, params.brake_max_mps2)
    return np.array([throttle, brake, steer], np.float32)


def control_of(pedals: F32, speed_mps: float, pitch_rad: float, params: VehicleParams) -> Control:
    """The control that pedals (3,) amount to in steady state: the inverse of `pedals`, within what the vehicle can
    do."""
    throttle, brake, steer = (float(value) for value in pedals)
    available, resist = _forces(speed_mps, pitch_rad, params)
    accel = throttle * available - brake * params.brake_max_mps2 - resist
    return Control(steer * params.wheel_angle_max_rad, accel)


def _forces(speed_mps: float, pitch_rad: float, p: VehicleParams) -> tuple[float, float]:
    """Drive available and resistance, over mass."""
    drag_pm = 0.5 * AIR_KGPM3 * p.drag_area_m2 / p.mass_kg
    available = _available(p.drive_accel_max_mps2, p.power_w / p.mass_kg, speed_mps)
    return available, _resistance(drag_pm, p.rolling_coefficient, speed_mps, pitch_rad)
