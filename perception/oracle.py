"""Truth as a Scene: the privileged baseline that prices perception. The only class of the stack that may hold truth.

What no sensor of the car could know stays out: road users beyond RANGE_M, those hidden behind vehicles, and lights that
face away or lie behind. Scenery does not hide anything here.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from stack.frames import F64
from stack.labels import Kind, LightState
from stack.lanegraph import STOREY_M, LaneGraph
from stack.messages import Actors, Ego, Scene, SensorFrame, Truth

RANGE_M = 80.0
EYE_AHEAD_M = 1.4  # between the cameras and the LiDAR, ahead of the ego origin
FACING_COS = 0.25  # lamp seen up to 75 degrees off its axis: beside the near-side head at the stop line
_SAMPLES = np.array([[0.0, 0.0], [0.45, 0.45], [0.45, -0.45], [-0.45, -0.45], [-0.45, 0.45]])  # of length and width


class Oracle:
    """Perceives by asking the world. `truth` must speak of the same instant as the frame."""

    def __init__(self, truth: Callable[[], Truth], graph: LaneGraph) -> None:
        self._truth, self._graph = truth, graph

    def __call__(self, frame: SensorFrame) -> Scene:
        """The Scene of `frame`; raises ValueError when the truth at hand is of another tick."""
        truth = self._truth()
        if truth.tick != frame.tick:
            raise ValueError(f"oracle: truth is of tick {truth.tick}, the frame of tick {frame.tick}")
        seen = signals_in_view(self._graph, truth.ego)
        return Scene(
            tick=frame.tick,
            time_s=frame.time_s,
            ego=truth.ego,
            tracks=truth.actors.take(actors_in_view(truth.ego, truth.actors)),
            signal_state=np.where(seen, truth.signal_state, np.uint8(LightState.UNKNOWN)).astype(np.uint8),
            signal_confidence=seen.astype(np.float32),
            detections=tuple(image.boxes for image in truth.images),
            semantic=tuple(image.semantic for image in truth.images),
        )


def signals_in_view(graph: LaneGraph, ego: Ego) -> NDArray[np.bool_]:
    """(S,) whether some head of the signal is ahead of the ego within RANGE_M and faces it."""
    ray = graph.head_xyz_m[:, :2] - np.array([ego.pose.x_m, ego.pose.y_m])
    distance = np.maximum(np.hypot(ray[:, 0], ray[:, 1]), 1e-6)
    ahead = ray @ np.array([np.cos(ego.pose.yaw_rad), np.sin(ego.pose.yaw_rad)]) > EYE_AHEAD_M
    faces = -(ray * np.stack([np.cos(graph.head_yaw_rad), np.sin(graph.head_yaw_rad)], axis=-1)).sum(-1) / distance
    seen = np.zeros(graph.signals, dtype=bool)
    seen[graph.head_signal[(distance < RANGE_M) & ahead & (faces > FACING_COS)]] = True
    return seen


def actors_in_view(ego: Ego, actors: Actors) -> NDArray[np.bool_]:
    """(N,) whether the actor is within RANGE_M and its centre or a corner can be seen past every other vehicle.

    Vehicles over or under the road between hide nothing.
    """
    xy, yaw = actors.xyz_m[:, :2], actors.yaw_rad
    eye = np.array([ego.pose.x_m, ego.pose.y_m])
    eye = eye + EYE_AHEAD_M * np.array([np.cos(ego.pose.yaw_rad), np.sin(ego.pose.yaw_rad)])
    near = np.flatnonzero(np.hypot(*(xy - eye).T) < RANGE_M)
    seen = np.zeros(len(actors), dtype=bool)
    if len(near) == 0:
        return seen
    points = xy[near, None] + _turn(_SAMPLES * actors.size_m[near, None, :2], yaw[near, None])  # (n, 5, 2)
    blocker = near[np.isin(actors.kind[near], (Kind.CAR, Kind.TRUCK))]
    hidden = segments_hit_boxes(eye, points, xy[blocker], yaw[blocker], actors.size_m[blocker, :2])  # (n, 5, b)
    hidden &= ((near[:, None] != blocker) & _between(ego, actors, near, blocker))[:, None, :]
    seen[near] = ~hidden.any(axis=2).all(axis=1)
    return seen


def _between(ego: Ego, actors: Actors, seen: NDArray[np.int64], blocker: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(n, b) whether the blocker's ground is at the height of the line from the ego's to that of the actor seen."""
    z, z0 = actors.xyz_m[:, 2], ego.pose.z_m
    away = np.maximum(np.hypot(*(actors.xyz_m[:, :2] - np.array([ego.pose.x_m, ego.pose.y_m])).T), 1.0)
    line = z0 + (z[seen] - z0)[:, None] * np.minimum(away[blocker] / away[seen, None], 1.0)
    out: NDArray[np.bool_] = np.abs(z[blocker] - line) < STOREY_M
    return out


def segments_hit_boxes(start: F64, ends: F64, centre: F64, yaw_rad: F64, size_m: F64) -> NDArray[np.bool_]:
    """(..., B) whether the segments from `start` (2,) to `ends` (..., 2) enter the B oriented boxes (slab test)."""
    local_start = _turn(start - centre, -yaw_rad)  # (B, 2)
    local_ray = _turn(ends[..., None, :] - centre, -yaw_rad) - local_start
    ray = np.where(np.abs(local_ray) < 1e-9, 1e-9, local_ray)
    one, two = (-0.5 * size_m - local_start) / ray, (0.5 * size_m - local_start) / ray
    enter, leave = np.minimum(one, two).max(-1), np.maximum(one, two).min(-1)
    return (enter <= leave) & (leave >= 0.0) & (enter < 1.0)


def _turn(xy: F64, angle_rad: F64) -> F64:
    cos, sin = np.cos(angle_rad), np.sin(angle_rad)
    return np.stack([cos * xy[..., 0] - sin * xy[..., 1], sin * xy[..., 0] + cos * xy[..., 1]], axis=-1)
