"""What the open world takes bodies for: the parameters of a vehicle of some size, the mass of a walker or a prop."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np

from sim.kernels.contact import PEDESTRIAN_KG
from stack.labels import Kind
from stack.messages import F32
from stack.vehicle import VEHICLES, Column, VehicleParams, load_vehicle

PROP_KGPM3 = 60.0  # of a prop's box: a traffic cone (0.4 x 0.4 x 0.7 m) weighs 6.7 kg, a bin (0.8 m3) 48 kg
PROP_KG = (1.0, 3000.0)  # least and most


@cache
def _ours(kind: Kind) -> tuple[VehicleParams, ...]:
    return tuple(p for p in map(load_vehicle, VEHICLES) if p.kind_id == kind and not p.siren)


def vehicle_of(kind: Kind, size_m: tuple[float, float, float]) -> VehicleParams:
    """Our own vehicle of that kind whose length is nearest, stretched to the size; mass and engine stay as they are."""
    p = min(_ours(kind), key=lambda p: abs(p.length_m - size_m[0]))
    scale = size_m[0] / p.length_m
    return replace(
        p, length_m=size_m[0], width_m=size_m[1], height_m=size_m[2], centre_m=scale * p.centre_m,
        front_axle_m=scale * p.front_axle_m, rear_axle_m=scale * p.rear_axle_m,
        yaw_inertia_kgm2=scale * scale * p.yaw_inertia_kgm2,
    )  # fmt: skip


def body_row(kind: Kind, size_m: tuple[float, float, float]) -> F32:
    """(len(Column),) row of the parameter table of a body that is no vehicle; numbers of tyres and engines are 0."""
    length, width, height = size_m
    mass = PEDESTRIAN_KG if kind == Kind.PEDESTRIAN else float(np.clip(PROP_KGPM3 * length * width * height, *PROP_KG))
    row = np.zeros(len(Column), np.float32)
    row[[Column.LENGTH, Column.WIDTH, Column.HEIGHT]] = size_m
    row[Column.MASS] = mass
    row[Column.YAW_INERTIA] = mass * max(length * length + width * width, 0.01) / 12.0
    return row
