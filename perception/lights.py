"""State of traffic lights: the map says where the heads are, projection gives the crop, a small network says the state.

The crop comes from the camera in which the head is largest. Its side is CROP_M at the head's distance, so that a pose
error of half a metre keeps the lamps inside.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stack.frames import F64, apply, inverse, project
from stack.labels import LightState
from stack.lanegraph import LaneGraph
from stack.messages import F32, U8, CameraImage, Ego

WEIGHTS = Path(__file__).parent / "weights" / "lights.safetensors"
CROP_M = 2.2
CROP_PX = 24
REACH_M = 75.0
FACING_COS = np.cos(np.deg2rad(65.0))
STATES = (LightState.UNKNOWN, LightState.GREEN, LightState.YELLOW, LightState.RED)
_LINE = (np.arange(CROP_PX, dtype=np.float32) + 0.5) / CROP_PX - 0.5  # pixel centres of a crop, from its middle
SMOOTHING = 0.6  # weight of the newest look


class LightNet(nn.Module):
    """(N, 3, 24, 24) uint8 crops -> (N, 4) logits of STATES; UNKNOWN means that no lamp of ours can be seen."""

    def __init__(self) -> None:
        super().__init__()

        def block(a: int, b: int, stride: int) -> nn.Sequential:
            return nn.Sequential(nn.Conv2d(a, b, 3, stride, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU(inplace=True))

        self.body = nn.Sequential(block(3, 24, 1), block(24, 32, 2), block(32, 48, 2), block(48, 64, 1))
        self.head = nn.Linear(64 * 2, len(STATES))

    def forward(self, crops: Tensor) -> Tensor:
        x = self.body(crops.float() / 127.5 - 1.0)
        return self.head(torch.cat([x.mean(dim=(2, 3)), x.amax(dim=(2, 3))], dim=1))


def visible_heads(graph: LaneGraph, world_from_ego: F64) -> NDArray[np.int64]:
    """Heads within reach, ahead of the car and facing it."""
    if not len(graph.head_signal):
        return np.zeros(0, np.int64)
    head_ego = apply(inverse(world_from_ego), graph.head_xyz_m)
    to_car = world_from_ego[:3, 3] - graph.head_xyz_m
    distance = np.linalg.norm(to_car[:, :2], axis=1)
    facing = np.cos(graph.head_yaw_rad) * to_car[:, 0] + np.sin(graph.head_yaw_rad) * to_car[:, 1]
    return np.flatnonzero((distance < REACH_M) & (head_ego[:, 0] > 2.0) & (facing > FACING_COS * distance))


def crop_windows(
    graph: LaneGraph, heads: NDArray[np.int64], world_from_ego: F64, cameras: tuple[CameraImage, ...]
) -> tuple[NDArray[np.int64], F64]:
    """For each head: index of the camera that sees it largest (-1: none), and (n, 3) centre u, v and side of the crop, px."""
    camera = np.full(len(heads), -1, np.int64)
    window = np.zeros((len(heads), 3))
    for k, image in enumerate(cameras):
        camera_from_world = inverse(world_from_ego @ image.ego_from_camera)
        uv, depth = project(image.intrinsics, apply(camera_from_world, graph.head_xyz_m[heads]))
        side = image.intrinsics[0, 0] * CROP_M / np.maximum(depth, 0.5)
        h, w = image.rgb.shape[1:]
        margin = 0.15 * side
        inside = (uv[:, 0] > margin) & (uv[:, 0] < w - margin) & (uv[:, 1] > margin) & (uv[:, 1] < h - margin)
        better = inside & (depth > 1.0) & (side > window[:, 2])
        camera[better] = k
        window[better] = np.column_stack([uv, side])[better]
    return camera, window


def crops(image: Tensor, window: F64) -> Tensor:
    """(n, 3, 24, 24) uint8 crops of a (3, H, W) uint8 picture, bilinear; outside the picture is black."""
    h, w = image.shape[1:]
    at = window.astype(np.float32)[..., None]
    grid = np.empty((len(at), CROP_PX, CROP_PX, 2), np.float32)
    grid[..., 0] = (2.0 * (at[:, 0] + at[:, 2] * _LINE) / w - 1.0)[:, None, :]
    grid[..., 1] = (2.0 * (at[:, 1] + at[:, 2] * _LINE) / h - 1.0)[:, :, None]
    batch = image.float()[None].expand(len(at), -1, -1, -1)
    places = torch.from_numpy(grid).to(image.device)
    return torch.nn.functional.grid_sample(batch, places, align_corners=False).round().to(torch.uint8)


class Lights:
    """Signal states from crops, smoothed over time; UNKNOWN for signals whose heads are not seen."""

    def __init__(self, graph: LaneGraph, net: Callable[[Tensor], Tensor]) -> None:
        self.graph, self.net = graph, net
        self.belief = np.zeros((graph.signals, len(STATES)), np.float64)
        self.belief[:, 0] = 1.0

    @torch.inference_mode()
    def __call__(self, cameras: tuple[CameraImage, ...], ego: Ego) -> tuple[U8, F32]:
        """(S,) LightState and (S,) confidence."""
        world_from_ego = ego.pose.matrix()
        heads = visible_heads(self.graph, world_from_ego)
        camera, window = crop_windows(self.graph, heads, world_from_ego, cameras)
        seen = np.zeros_like(self.belief)
        weight = np.zeros(self.graph.signals)
        parts = [(k, np.flatnonzero(camera == k)) for k in range(len(cameras))]
        parts = [(k, rows) for k, rows in parts if len(rows)]
        if parts:
            batch = torch.cat([crops(cameras[k].rgb, window[rows]) for k, rows in parts])
            chance = self.net(batch).softmax(dim=1).double().cpu().numpy()
            rows = np.concatenate([rows for _, rows in parts])
            signal = self.graph.head_signal[heads[rows]]
            known = 1.0 - chance[:, 0] + 1e-3  # a head that is hidden says little beside one that is seen
            np.add.at(seen, signal, chance * known[:, None])
            np.add.at(weight, signal, known)
        looked = weight > 0.0
        seen[looked] /= weight[looked, None]
        seen[~looked, 0] = 1.0
        self.belief += SMOOTHING * (seen - self.belief)
        state = np.array([int(s) for s in STATES], np.uint8)[self.belief.argmax(axis=1)]
        return state, self.belief.max(axis=1, initial=0.0).astype(np.float32)
