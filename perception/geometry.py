"""Pixels on the ground: inverse perspective for a camera that looks along a flat road."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch

from perception.mapmatch import EdgePoints
from stack.frames import F64
from stack.labels import Semantic
from stack.messages import CameraImage

NEAREST_M, FARTHEST_M = 3.0, 16.0  # ahead of the ego origin; farther out a pixel covers more than a lane marking


def ground_points_from_mask(mask: torch.Tensor, camera: CameraImage, label: int = Semantic.ROAD_LINE) -> F64:
    """(N, 2) points of the ego frame, on its ground plane, at the pixel centres where `mask` shows `label`.

    `mask` (h, w) uint8 covers the same field of view as the picture and may be coarser.
    """
    h, w = mask.shape
    scale = w / camera.rgb.shape[2]
    xy, valid = _ground(h, w, scale, camera.intrinsics.tobytes(), camera.ego_from_camera.tobytes())
    chosen: F64 = xy[(mask.cpu().numpy() == label) & valid]
    return chosen


def camera_edges(masks: tuple[torch.Tensor, ...], cameras: tuple[CameraImage, ...]) -> EdgePoints:
    """Lane markings of all cameras as edge points for the localizer."""
    found = [ground_points_from_mask(mask, camera) for mask, camera in zip(masks, cameras, strict=True)]
    return EdgePoints(np.zeros((0, 2)), np.concatenate([np.zeros((0, 2)), *found]))


@lru_cache(maxsize=16)
def _ground(h: int, w: int, scale: float, intrinsics: bytes, ego_from_camera: bytes) -> tuple[F64, np.ndarray]:
    """(h, w, 2) ground point of each pixel centre, and (h, w) where there is one within range."""
    k, pose = np.frombuffer(intrinsics).reshape(3, 3), np.frombuffer(ego_from_camera).reshape(4, 4)
    v, u = np.meshgrid((np.arange(h) + 0.5) / scale, (np.arange(w) + 0.5) / scale, indexing="ij")
    rays = np.stack([(u - k[0, 2]) / k[0, 0], (v - k[1, 2]) / k[1, 1], np.ones_like(u)], axis=-1) @ pose[:3, :3].T
    down = np.minimum(rays[..., 2], -1e-6)
    xy = pose[:2, 3] - pose[2, 3] / down[..., None] * rays[..., :2]
    return xy, (rays[..., 2] < -1e-6) & (xy[..., 0] > NEAREST_M) & (xy[..., 0] < FARTHEST_M)
