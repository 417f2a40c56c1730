"""Where actors are, and where they have been: the poses that instruments are mounted on."""

from __future__ import annotations

import numpy as np

from sim.state import State
from stack.frames import F64, transforms
from stack.labels import Kind

SKIN_M = 0.2  # what lies no farther than this outside an actor's box is on it: a camera behind the windscreen, say


def poses(state: State, world: int = 0) -> F64:
    """(A, 4, 4) world from actor, at each actor's origin."""
    x, y, z, yaw, pitch, roll = (
        state.numpy(name)[world].astype(np.float64)
        for name in ("x_m", "y_m", "z_m", "yaw_rad", "pitch_rad", "roll_rad")
    )
    return transforms(np.stack([x, y, z], -1), yaw, pitch, roll)


def pose(state: State, row: int, world: int = 0) -> F64:
    """(4, 4) world from actor."""
    x, y, z, yaw, pitch, roll = (
        state.numpy(name)[world, row : row + 1].astype(np.float64)
        for name in ("x_m", "y_m", "z_m", "yaw_rad", "pitch_rad", "roll_rad")
    )
    return transforms(np.stack([x, y, z], -1), yaw, pitch, roll)[0]


def is_aboard(state: State, row: int, xyz_m: F64, world: int = 0) -> bool:
    """Does a point (3,) of an actor's frame lie in its box, or no more than SKIN_M outside?"""
    length, width, height, centre = (
        float(state.numpy(name)[world, row]) for name in ("length_m", "width_m", "height_m", "centre_m")
    )
    x, y, z = xyz_m
    within = abs(x - centre) <= 0.5 * length + SKIN_M and abs(y) <= 0.5 * width + SKIN_M
    return bool(within and -SKIN_M <= z <= height + SKIN_M)


def has_head_lights(state: State, row: int | None, world: int = 0) -> bool:
    """Is a row a car or a truck?"""
    return row is not None and int(state.numpy("kind")[world, row]) in (Kind.CAR, Kind.TRUCK)
