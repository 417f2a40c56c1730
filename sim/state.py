"""The simulator's state: one struct of arrays `[worlds, actors]` of fixed capacity. Save, restore and hash any of it.

Row 0 of a world is the ego of a single drive; every actor whose driver is POLICY is a learner. A vehicle's x, y is its
origin (on the ground under the rear axle), a walker's the centre of its box.
"""

from __future__ import annotations

import hashlib
from enum import IntEnum
from typing import Any

import numpy as np
import warp as wp


class Driver(IntEnum):
    """Who moves an actor."""

    NONE = 0  # nobody: it stands
    IDM = 1  # the traffic model, or the walker model for a pedestrian
    EXTERNAL = 2  # pedals come from outside (a CARLA client, a script)
    POLICY = 3  # pedals come from a learner or from the stack
    PLACED = 4  # its pose comes from outside: it stands where it is put, and gives way to nothing


@wp.struct
class StateArrays:
    """All of the state that kernels read and write."""

    # per world [W]
    seed: wp.array(dtype=wp.uint32)
    tick: wp.array(dtype=wp.int32)
    friction: wp.array(dtype=wp.float32)  # of the road, 1 dry
    map_index: wp.array(dtype=wp.int32)  # of the maps of the batch, the one this world is on
    sirens: wp.array(dtype=wp.int32)  # how many actors have theirs on; 0: nobody listens
    # per world and signal [W, S]; per world and junction [W, J]
    signal_state: wp.array2d(dtype=wp.int32)  # labels.LightState
    signal_offset_s: wp.array2d(dtype=wp.float32)
    # per actor [W, A]
    kind: wp.array2d(dtype=wp.int32)  # labels.Kind; NONE: the row is free
    driver: wp.array2d(dtype=wp.int32)
    model: wp.array2d(dtype=wp.int32)  # row of the vehicle parameter table
    look: wp.array2d(dtype=wp.int32)  # mesh and colour variant
    paint: wp.array2d(dtype=wp.int32)  # body colour: 1 + 0xRRGGBB, sRGB; 0: that of its look
    length_m: wp.array2d(dtype=wp.float32)
    width_m: wp.array2d(dtype=wp.float32)
    height_m: wp.array2d(dtype=wp.float32)
    centre_m: wp.array2d(dtype=wp.float32)  # from the origin ahead to the box centre
    x_m: wp.array2d(dtype=wp.float32)
    y_m: wp.array2d(dtype=wp.float32)
    z_m: wp.array2d(dtype=wp.float32)
    yaw_rad: wp.array2d(dtype=wp.float32)
    pitch_rad: wp.array2d(dtype=wp.float32)
    roll_rad: wp.array2d(dtype=wp.float32)
    vx_mps: wp.array2d(dtype=wp.float32)  # body frame, at the origin
    vy_mps: wp.array2d(dtype=wp.float32)
    yaw_rate_radps: wp.array2d(dtype=wp.float32)
    ax_mps2: wp.array2d(dtype=wp.float32)  # body frame, of the last sub-step
    ay_mps2: wp.array2d(dtype=wp.float32)
    wheel_angle_rad: wp.array2d(dtype=wp.float32)
    drive_mps2: wp.array2d(dtype=wp.float32)  # engine and brake after actuator lag
    throttle: wp.array2d(dtype=wp.float32)  # commands
    brake: wp.array2d(dtype=wp.float32)
    steer: wp.array2d(dtype=wp.float32)  # -1..1, left positive
    reverse: wp.array2d(dtype=wp.int32)  # 1: the throttle pushes backwards
    # where on the map; kept by traffic for its own, by `locate` for learners
    lane: wp.array2d(dtype=wp.int32)
    lane_s_m: wp.array2d(dtype=wp.float32)
    lane_d_m: wp.array2d(dtype=wp.float32)  # left positive
    # traffic
    next_lane: wp.array2d(dtype=wp.int32)  # chosen lane after `lane`
    after_lane: wp.array2d(dtype=wp.int32)  # and the one after that
    target_lane: wp.array2d(dtype=wp.int32)  # of a lane change under way, else `lane`
    choices: wp.array2d(dtype=wp.int32)  # route choices made so far: counter of the draws
    way: wp.array2d(
        dtype=wp.int32
    )  # where it wants to go at the end of this stretch of road (LaneGraph.succ_way), or -1
    passing: wp.array2d(dtype=wp.int32)  # row of the cyclist that it overtakes, or -1
    wish_factor: wp.array2d(dtype=wp.float32)  # of the speed limit
    wish_max_mps: wp.array2d(dtype=wp.float32)  # whatever the limit
    headway_s: wp.array2d(dtype=wp.float32)
    accel_max_mps2: wp.array2d(dtype=wp.float32)
    brake_comfort_mps2: wp.array2d(dtype=wp.float32)
    gap_min_m: wp.array2d(dtype=wp.float32)
    waited_s: wp.array2d(dtype=wp.float32)  # standing at a sign or for a gap
    stuck_s: wp.array2d(dtype=wp.float32)
    granted: wp.array2d(dtype=wp.int32)  # junction lane whose right of way it holds, else -1; -2: waits for a gap
    entry_lane: wp.array2d(dtype=wp.int32)  # junction lane it is on, or else the next within its three lanes, or -1
    entry_in_m: wp.array2d(dtype=wp.float32)  # from its origin to the start of that lane; negative on it
    # emergency vehicles, and who hears them (sim/kernels/siren.py)
    siren: wp.array2d(dtype=wp.int32)  # 1: its siren and lamps are on
    hears: wp.array2d(dtype=wp.int32)  # row of the one that it makes way for, or -1
    aside_m: wp.array2d(dtype=wp.float32)  # where it wants to drive beside its lane's middle, left positive
    calm_mps: wp.array2d(dtype=wp.float32)  # and no faster than this
    # walkers
    walk: wp.array2d(dtype=wp.int32)  # sidewalk or crosswalk path
    walk_s_m: wp.array2d(dtype=wp.float32)
    walk_direction: wp.array2d(dtype=wp.int32)
    walk_mode: wp.array2d(dtype=wp.int32)
    walk_timer_s: wp.array2d(dtype=wp.float32)
    walk_speed_mps: wp.array2d(dtype=wp.float32)
    # contact of the last tick
    hit_other: wp.array2d(dtype=wp.int32)  # actor row, -2 for scenery, -1 none
    hit_speed_mps: wp.array2d(dtype=wp.float32)  # closing speed
    hit_x_m: wp.array2d(dtype=wp.float32)
    hit_y_m: wp.array2d(dtype=wp.float32)
    # sensors of row 0 [W, fixed]: what they remember from tick to tick (sim/kernels/inertial.py)
    imu_bias: wp.array2d(dtype=wp.float32)  # [W, 6] accelerometer m/s2, gyro rad/s
    imu_last: wp.array2d(dtype=wp.float32)  # [W, 6] vx, vy, yaw, pitch, roll, yaw rate at the tick before
    gnss_error: wp.array2d(dtype=wp.float32)  # [W, 3] correlated part of the error, m


class State:
    """Owns the arrays. `arrays` is the struct to pass to kernels; `numpy(name)` a host view (a copy on CUDA)."""

    def __init__(self, worlds: int, actors: int, signals: int, junctions: int, device: str) -> None:
        self.worlds, self.actors, self.device = worlds, actors, device
        self.arrays: Any = StateArrays()
        columns = {"signal_state": max(signals, 1), "signal_offset_s": max(junctions, 1)}
        columns |= {"imu_bias": 6, "imu_last": 6, "gnss_error": 3}
        self.not_per_actor = tuple(columns)  # arrays [W, n] whose second axis is something else
        for name, var in StateArrays.vars.items():
            shape = (worlds,) if var.type.ndim == 1 else (worlds, columns.get(name, actors))
            setattr(self.arrays, name, wp.zeros(shape, dtype=var.type.dtype, device=device))
        on_host = wp.get_device(device).is_cpu  # views are made once: making one costs 8 us
        self._views = {name: getattr(self.arrays, name).numpy() for name in StateArrays.vars} if on_host else {}

    def numpy(self, name: str) -> Any:
        """Host array of a column: a writable view on the CPU, a copy on CUDA."""
        return self._views[name] if self._views else getattr(self.arrays, name).numpy()

    def write(self, name: str, world: int, value: Any) -> None:
        """Set a column of one world: to a row of numbers, or to one number."""
        if self._views:
            self._views[name][world] = value
        elif np.ndim(value):
            getattr(self.arrays, name)[world].assign(value)
        else:
            getattr(self.arrays, name)[world : world + 1].fill_(value)

    def save(self) -> dict[str, Any]:
        """A copy of every array."""
        return {name: self.numpy(name).copy() for name in StateArrays.vars}

    def restore(self, saved: dict[str, Any]) -> None:
        """Bring back what `save` returned; raises ValueError where names or shapes differ."""
        if set(saved) != set(StateArrays.vars):
            raise ValueError(f"saved state: columns differ by {sorted(set(saved) ^ set(StateArrays.vars))}")
        for name, value in saved.items():
            target = getattr(self.arrays, name)
            if tuple(target.shape) != tuple(value.shape):
                raise ValueError(f"saved state: {name} has shape {value.shape}, expected {tuple(target.shape)}")
            target.assign(value)

    def hash(self, world: int | None = None) -> str:
        """16 hex digits over every array, of one world or of all."""
        digest = hashlib.blake2b(digest_size=8)
        for name in StateArrays.vars:
            values = self.numpy(name)
            digest.update(np.ascontiguousarray(values if world is None else values[world]).tobytes())
        return digest.hexdigest()
