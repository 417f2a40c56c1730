"""Questions about the space of an open world: is there room, how high is the ground, what does a ray meet."""

from __future__ import annotations

from typing import Any

import numpy as np
import warp as wp

from sim.geometry import Mesh
from sim.kernels.contact import STEP_M
from sim.kernels.open_ground import NOTHING_M, pierce, probe
from stack.frames import F64, Pose, transforms
from stack.labels import SEMANTIC_OF_KIND, Kind
from stack.messages import F32

MOST_HITS = 64  # of one ray with the scenery
CLEAR_M = 0.01  # boxes that overlap by less than this have room


class Ground:
    """The static triangles as something to ask; nothing under foot where there are none."""

    def __init__(self, static: Mesh, device: str) -> None:
        self._device, self._semantic, self.id = device, static.semantic, 0
        if len(static.triangles):
            points = wp.array(static.vertices, dtype=wp.vec3, device=device)
            self._mesh = wp.Mesh(points, wp.array(static.triangles.ravel(), dtype=wp.int32, device=device))
            self.id = self._mesh.id

    def height_m(self, xyz: F64) -> F32:
        """(N,) height of the first surface under each of (N, 3) points, -inf where there is none."""
        points = wp.array(np.asarray(xyz, np.float32).reshape(-1, 3), dtype=wp.vec3, device=self._device)
        out = wp.zeros(len(points), dtype=wp.float32, device=self._device)
        wp.launch(probe, dim=len(points), inputs=[self.id, points, out], device=self._device)
        z = out.numpy()
        return np.where(z > NOTHING_M, z, -np.inf).astype(np.float32)

    def pierce(self, start: F64, end: F64) -> list[tuple[float, int]]:
        """Distances m and semantic ids of the surfaces between two points, nearest first."""
        way = np.asarray(end, float) - start
        length = float(np.linalg.norm(way))
        if length == 0.0 or not self.id:
            return []
        at = wp.zeros(MOST_HITS, dtype=wp.float32, device=self._device)
        face, count = (wp.zeros(n, dtype=wp.int32, device=self._device) for n in (MOST_HITS, 1))
        inputs = [self.id, wp.vec3(*start), wp.vec3(*(way / length)), length, MOST_HITS, at, face, count]
        wp.launch(pierce, dim=1, inputs=inputs, device=self._device)
        n = int(count.numpy()[0])
        return list(zip(at.numpy()[:n].tolist(), self._semantic[face.numpy()[:n]].tolist(), strict=True))


def overlaps(box: F64, others: F64) -> np.ndarray:
    """(N,) whether upright boxes (N, 7) x, y, yaw, length, width, bottom, top overlap one box (7,): separating axes of
    the plans, and heights."""
    d = others[:, :2] - box[:2]
    apart = (others[:, 5] >= box[6] - CLEAR_M) | (others[:, 6] <= box[5] + CLEAR_M)

    def reach(half: F64, yaw: F64, axis: F64) -> F64:
        return half[..., 0] * np.abs(np.cos(axis - yaw)) + half[..., 1] * np.abs(np.sin(axis - yaw))

    half, other_half = 0.5 * box[3:5], 0.5 * others[:, 3:5]
    for axis in (box[2], box[2] + 0.5 * np.pi, others[:, 2], others[:, 2] + 0.5 * np.pi):
        axis = np.broadcast_to(axis, len(others))
        between = np.abs(d[:, 0] * np.cos(axis) + d[:, 1] * np.sin(axis))
        apart |= between + CLEAR_M >= reach(half, box[2], axis) + reach(other_half, others[:, 2], axis)
    return ~apart


def has_room(size_m: tuple[float, float, float], pose: Pose, actors: F64, statics: F64) -> bool:
    """Whether a box fits between upright boxes (N, 7) and static ones (K, 7), of which those under the step of a body
    do not count."""
    length, width, height = size_m
    box = np.array([pose.x_m, pose.y_m, pose.yaw_rad, length, width, pose.z_m, pose.z_m + height])
    if overlaps(box, actors).any():
        return False
    reach = np.hypot(length, width) + np.hypot(statics[:, 3], statics[:, 4])
    near = statics[np.hypot(statics[:, 0] - pose.x_m, statics[:, 1] - pose.y_m) < 0.5 * reach]
    box[5:7] = pose.z_m + STEP_M, pose.z_m + max(height, 2.0 * STEP_M)
    return not overlaps(box, near).any()


def pierced_boxes(start: F64, end: F64, xyz: F64, rpy: F64, size: F64, kind: Any) -> list[tuple[float, int]]:
    """Distances m and semantic ids where a segment enters the boxes (N,) of actors, in any order."""
    way = np.asarray(end, float) - start
    length = float(np.linalg.norm(way))
    if length == 0.0 or not len(xyz):
        return []
    turn = transforms(xyz, rpy[:, 2], rpy[:, 1], rpy[:, 0])[:, :3, :3]
    local = np.einsum("nji,nj->ni", turn, start - xyz) - np.array([0.0, 0.0, 0.5]) * size
    ray = np.einsum("nji,j->ni", turn, way / length)
    ray = np.where(np.abs(ray) < 1e-12, 1e-12, ray)
    t0, t1 = (-0.5 * size - local) / ray, (0.5 * size - local) / ray
    enter, leave = np.minimum(t0, t1).max(axis=1), np.maximum(t0, t1).min(axis=1)
    hit = (enter <= leave) & (enter >= 0.0) & (enter <= length)
    labels = [int(SEMANTIC_OF_KIND[Kind(k)]) for k in kind[hit]]
    return list(zip(enter[hit].tolist(), labels, strict=True))
