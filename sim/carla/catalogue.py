"""The blueprint catalogue: what a CARLA client can spawn, with CARLA 0.9.16's names, attributes and defaults.

Vehicles have the sizes of the real ones and drive with the parameters of one of configs/vehicles, adapted. Beside
CARLA's own there is `vehicle.ringroad.NAME` for each of configs/vehicles, as it is.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from sim.carla.definitions import Attribute, AttributeType, Blueprint, read_all
from stack.vehicle import VehicleParams, load_vehicle

__all__ = ["Attribute", "AttributeType", "Blueprint", "blueprint", "catalogue", "checked", "vehicle_params", "wire"]

# How CARLA's vehicles steer and hold the road, which its TrafficManager and agents are tuned for: front wheels turn by up to
# 70 degrees, at 2.5 times that a second (SteerInputRate of UE4's vehicles), and tyres of friction 3.5 stand on 0.7.
WHEEL_ANGLE_RAD, STEER_PER_S, TYRE_FRICTION = math.radians(70.0), 2.5, 3.5 * 0.7
INT_RANGE = (-(2.0**31), 2.0**31 - 1.0)  # as CARLA's

Value = bool | int | float | str | tuple[int, int, int]


@cache
def catalogue() -> tuple[Blueprint, ...]:
    """All blueprints, in a fixed order."""
    return read_all()


@cache
def _by_id() -> dict[str, Blueprint]:
    return {bp.id: bp for bp in catalogue()}


def blueprint(id: str) -> Blueprint:
    """The blueprint with this id; ValueError names those with the nearest names."""
    found = _by_id().get(id)
    if found is None:
        raise ValueError(f"blueprint {id!r}: unknown{_nearest(id, _by_id())}")
    return found


@cache
def vehicle_params(bp: Blueprint, own: bool = False) -> VehicleParams:
    """The parameters of the blueprint's model, adapted to its length, width, height, wheelbase and mass.

    Yaw inertia as of a uniform box, m (l^2 + w^2) / 12; power with the mass and drag with the frontal area, so that it
    still drives like its model; height of the centre of gravity with the height; the share of the load on each axle,
    and of the wheelbase that lies behind the box's centre, are kept. Steering and grip are CARLA's, or the
    model's `own`. ValueError where it is no vehicle.
    """
    if bp.model is None or bp.size_m is None or bp.mass_kg is None or bp.wheelbase_m is None:
        raise ValueError(f"{bp.id}: found no vehicle, expected one of vehicle.*")
    p = load_vehicle(bp.model)
    if not own:
        p = dataclasses.replace(
            p, wheel_angle_max_rad=WHEEL_ANGLE_RAD, wheel_rate_max_radps=STEER_PER_S * WHEEL_ANGLE_RAD,
            tyre_friction=TYRE_FRICTION,
        )  # fmt: skip
    length, width, height = bp.size_m
    mass, base, tall = bp.mass_kg / p.mass_kg, bp.wheelbase_m / p.wheelbase_m, height / p.height_m
    return dataclasses.replace(
        p, length_m=length, width_m=width, height_m=height, mass_kg=bp.mass_kg, centre_m=p.centre_m * base,
        yaw_inertia_kgm2=p.yaw_inertia_kgm2 * mass * (length**2 + width**2) / (p.length_m**2 + p.width_m**2),
        cg_height_m=p.cg_height_m * tall, front_axle_m=p.front_axle_m * base, rear_axle_m=p.rear_axle_m * base,
        power_w=p.power_w * mass, drag_area_m2=p.drag_area_m2 * tall * (width / p.width_m),
    )  # fmt: skip


def checked(bp: Blueprint, attributes: Mapping[str, str]) -> dict[str, Value]:
    """All attributes of the blueprint as typed values: those given, the rest by default; colours as (red, green, blue).

    ValueError names blueprint, attribute, what was found and what was expected. Choices are enforced for texts and
    whole numbers only: CARLA's own programs set `use_wheelchair` on walkers that cannot.
    """
    known = {a.id: a for a in bp.attributes}
    for name in attributes:
        if name not in known:
            raise ValueError(f"{bp.id}: attribute {name!r}: unknown{_nearest(name, known)}")
    return {a.id: _value(bp.id, a, attributes.get(a.id, a.value)) for a in bp.attributes}


def wire(bp: Blueprint) -> list[Any]:
    """CARLA's ActorDefinition: [uid, id, "tag,tag", [[id, type, value, [recommended], modifiable, restricted], ...]]."""
    rows = [[a.id, int(a.type), a.value, list(a.recommended), a.modifiable, a.restricted] for a in bp.attributes]
    return [bp.uid, bp.id, ",".join(bp.tags), rows]


def _value(id: str, a: Attribute, text: str) -> Value:
    """The text as a value of the attribute's type; ValueError where it is none."""
    fault = f"{id}: attribute {a.id}: found {text!r}, expected"
    if not a.modifiable and text != a.value:
        raise ValueError(f"{fault} {a.value!r}, which cannot be changed")
    if a.restricted and a.type in (AttributeType.STRING, AttributeType.INT) and text not in a.recommended:
        raise ValueError(f"{fault} one of {', '.join(a.recommended)}")
    match a.type:
        case AttributeType.STRING:
            return text
        case AttributeType.BOOL:
            if text.lower() not in ("true", "false", "1", "0"):
                raise ValueError(f"{fault} true or false")
            return text.lower() in ("true", "1")
        case AttributeType.RGB_COLOR:
            parts = [part.strip() for part in text.split(",")]
            if len(parts) != 3 or not all(p.isascii() and p.isdigit() and int(p) < 256 for p in parts):
                raise ValueError(f"{fault} red,green,blue, each from 0 to 255")
            return int(parts[0]), int(parts[1]), int(parts[2])
    whole = a.type == AttributeType.INT
    low, high = a.within or (INT_RANGE if whole else (-math.inf, math.inf))
    limits = f" from {low:.10g} to {high:.10g}" if math.isfinite(high) else ""
    fault = f"{fault} a {'whole' if whole else 'finite'} number{limits}"
    try:
        number = float(text)
    except ValueError:
        raise ValueError(fault) from None
    if not math.isfinite(number) or not low <= number <= high or (whole and number != int(number)):
        raise ValueError(fault)
    return int(number) if whole else number


def _nearest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    return f", expected something like {', '.join(near)}" if near else ""
