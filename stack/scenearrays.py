"""The Scene, the route and the Reference as batched arrays: what the planner's and the policy's kernels read and write.

The same kernels run online (a batch of one, filled from a Scene) and in RL (a batch of many, filled from the simulator's
state). All positions are in the world frame; float32; TRACKS nearest road users, unused rows have kind 0.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import warp as wp
from numpy.typing import NDArray

from stack.frames import wrap
from stack.messages import Ego, Maneuver, Reference, Scene

TRACKS = 24  # nearest road users that planner and policy see
LEVEL_M, LEVEL_SHARE = 3.5, 0.08  # who is higher or lower than this, and this share of the distance, is on another road
ROUTE_LANES = 64  # longest route, in lanes
REFERENCE_POINTS = 64
REFERENCE_STEP_M = 1.0
MANEUVERS = tuple(Maneuver)  # ReferenceArrays.maneuver indexes it


@wp.struct
class SceneArrays:
    """[W] worlds, [W, TRACKS] road users, [W, S] signals."""

    time_s: wp.array(dtype=wp.float32)
    x_m: wp.array(dtype=wp.float32)
    y_m: wp.array(dtype=wp.float32)
    z_m: wp.array(dtype=wp.float32)
    yaw_rad: wp.array(dtype=wp.float32)
    speed_mps: wp.array(dtype=wp.float32)
    yaw_rate_radps: wp.array(dtype=wp.float32)
    accel_mps2: wp.array(dtype=wp.float32)
    wheel_angle_rad: wp.array(dtype=wp.float32)
    track_id: wp.array2d(dtype=wp.int32)
    track_kind: wp.array2d(dtype=wp.int32)
    track_x_m: wp.array2d(dtype=wp.float32)
    track_y_m: wp.array2d(dtype=wp.float32)
    track_z_m: wp.array2d(dtype=wp.float32)  # of the ground under it
    track_yaw_rad: wp.array2d(dtype=wp.float32)
    track_vx_mps: wp.array2d(dtype=wp.float32)
    track_vy_mps: wp.array2d(dtype=wp.float32)
    track_length_m: wp.array2d(dtype=wp.float32)
    track_width_m: wp.array2d(dtype=wp.float32)
    signal_state: wp.array2d(dtype=wp.int32)


@wp.struct
class RouteArrays:
    """[W, ROUTE_LANES] lanes of each route, -1 past its end."""

    lane: wp.array2d(dtype=wp.int32)
    start_s_m: wp.array(dtype=wp.float32)
    goal_s_m: wp.array(dtype=wp.float32)


@wp.struct
class ReferenceArrays:
    """[W, REFERENCE_POINTS] path and speed, [W] scalars, and the planner's memory from tick to tick."""

    x_m: wp.array2d(dtype=wp.float32)
    y_m: wp.array2d(dtype=wp.float32)
    z_m: wp.array2d(dtype=wp.float32)
    yaw_rad: wp.array2d(dtype=wp.float32)
    curvature_1pm: wp.array2d(dtype=wp.float32)
    limit_mps: wp.array2d(dtype=wp.float32)
    target_mps: wp.array2d(dtype=wp.float32)
    lateral_m: wp.array(dtype=wp.float32)  # ego's offset from the path, left positive
    heading_rad: wp.array(dtype=wp.float32)  # ego yaw minus path yaw
    stop_s_m: wp.array(dtype=wp.float32)  # distance ahead of the front bumper; 1e6: none
    leader_gap_m: wp.array(dtype=wp.float32)  # 1e6: none
    leader_mps: wp.array(dtype=wp.float32)
    maneuver: wp.array(dtype=wp.int32)  # index into MANEUVERS
    route_s_m: wp.array(dtype=wp.float32)
    route_left_m: wp.array(dtype=wp.float32)
    # memory
    route_index: wp.array(dtype=wp.int32)  # lane of the route the ego is on
    lane_s_m: wp.array(dtype=wp.float32)
    waited_s: wp.array(dtype=wp.float32)  # at the stop sign or gap in front
    cleared_lane: wp.array(dtype=wp.int32)  # junction lane already entered on a granted right of way
    held_lane: wp.array(dtype=wp.int32)  # junction lane before whose yellow or red light it has begun to stop
    granted_lane: wp.array(dtype=wp.int32)  # junction lane whose gap was accepted and is now too near to stop before
    pass_offset_m: wp.array(dtype=wp.float32)  # lateral shift of the path round a blocked lane
    blocked_s: wp.array(dtype=wp.float32)
    started: wp.array(dtype=wp.int32)  # 0: forget all memory and begin at the start of the route
    last_time_s: wp.array(dtype=wp.float32)
    shift_m: wp.array(dtype=wp.float32)  # of a lane change: lateral offset that fades out,
    shift_length_m: wp.array(dtype=wp.float32)  # over this length,
    shift_left_m: wp.array(dtype=wp.float32)  # of which this is left
    pass_from_m: wp.array(dtype=wp.float32)  # pass_offset_m ramps in from this distance ahead,
    pass_ramp_m: wp.array(dtype=wp.float32)  # over this length,
    pass_until_m: wp.array(dtype=wp.float32)  # and out again from this distance ahead


def allocate(struct: Any, worlds: int, signals: int, device: str) -> Any:
    """A struct of this module with zeroed arrays for `worlds` worlds."""
    second = {SceneArrays: TRACKS, RouteArrays: ROUTE_LANES, ReferenceArrays: REFERENCE_POINTS}[struct]
    out = struct()
    for name, var in struct.vars.items():
        columns = max(signals, 1) if name == "signal_state" else second
        shape = (worlds,) if var.type.ndim == 1 else (worlds, columns)
        setattr(out, name, wp.zeros(shape, dtype=var.type.dtype, device=device))
    return out


_HOST: WeakKeyDictionary[Any, dict[str, NDArray[Any]]] = WeakKeyDictionary()


def _host(arrays: Any) -> dict[str, NDArray[Any]]:
    """The arrays of a struct for numpy: aliases on the processor, else a place to write to. Made once: warp takes longer
    to give an alias than it takes to use one."""
    if arrays not in _HOST:
        _HOST[arrays] = {name: getattr(arrays, name).numpy() for name in arrays._cls.vars}
    return _HOST[arrays]


def view(arrays: Any, name: str) -> NDArray[Any]:
    """What an array of a struct holds now; on the processor an alias."""
    target = getattr(arrays, name)
    return _host(arrays)[name] if target.device.is_cpu else target.numpy()


def fill_from_scene(arrays: Any, scene: Scene, with_signals: bool = True) -> None:
    """Write a Scene into a batch of one (CPU or CUDA); tracks beyond the TRACKS nearest are left out."""
    ego = scene.ego
    tracks = scene.tracks
    distance = np.hypot(tracks.xyz_m[:, 0] - ego.pose.x_m, tracks.xyz_m[:, 1] - ego.pose.y_m)
    level = np.abs(tracks.xyz_m[:, 2] - ego.pose.z_m) < LEVEL_M + LEVEL_SHARE * distance
    rows = np.argsort(np.where(level, distance, np.inf), kind="stable")[: min(TRACKS, int(level.sum()))]
    x, y, z = tracks.xyz_m[rows].T
    vx, vy = tracks.velocity_mps[rows].T
    length, width = tracks.size_m[rows, :2].T
    values: dict[str, Any] = {
        "time_s": scene.time_s, "x_m": ego.pose.x_m, "y_m": ego.pose.y_m, "z_m": ego.pose.z_m, "yaw_rad": ego.pose.yaw_rad,
        "speed_mps": ego.speed_mps, "yaw_rate_radps": ego.yaw_rate_radps, "accel_mps2": ego.accel_mps2,
        "wheel_angle_rad": ego.wheel_angle_rad, "track_x_m": x, "track_y_m": y, "track_z_m": z, "track_yaw_rad": tracks.yaw_rad[rows],
        "track_vx_mps": vx, "track_vy_mps": vy, "track_length_m": length, "track_width_m": width,
        "track_id": tracks.id[rows], "track_kind": tracks.kind[rows],
    }  # fmt: skip
    if with_signals and len(scene.signal_state):
        values["signal_state"] = scene.signal_state
    _write(arrays, values)


def fill_from_reference(arrays: Any, reference: Reference, ego: Ego) -> None:
    """Write a Reference into a batch of one: what the features kernel reads."""
    yaw = float(reference.yaw_rad[0])
    dx, dy = ego.pose.x_m - reference.xy_m[0, 0], ego.pose.y_m - reference.xy_m[0, 1]
    _write(arrays, {
        "x_m": reference.xy_m[:, 0], "y_m": reference.xy_m[:, 1], "yaw_rad": reference.yaw_rad,
        "curvature_1pm": reference.curvature_1pm, "limit_mps": reference.limit_mps, "target_mps": reference.target_mps,
        "lateral_m": dy * np.cos(yaw) - dx * np.sin(yaw), "heading_rad": float(wrap(ego.pose.yaw_rad - yaw)),
        "stop_s_m": min(reference.stop_s_m, 1e6), "leader_gap_m": min(reference.leader_gap_m, 1e6),
        "leader_mps": reference.leader_mps, "route_s_m": reference.route_s_m, "route_left_m": reference.route_left_m,
        "maneuver": MANEUVERS.index(reference.maneuver),
    })  # fmt: skip


def _write(arrays: Any, values: dict[str, Any]) -> None:
    """Write numbers and rows, the rest of which becomes 0."""
    host, on_host = _host(arrays), arrays.x_m.device.is_cpu
    for name, value in values.items():
        target = host[name]
        if target.ndim == 1:
            target[:] = value
        else:
            target[:, : len(value)] = value
            target[:, len(value) :] = 0
        if not on_host:
            getattr(arrays, name).assign(target)
