"""The network's maps <-> boxes: training targets from labels, detections from outputs."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from perception.network import KINDS, STRIDE, Outputs
from stack.messages import Detections

FOCAL_PX = 160.0  # distances are learned as if every camera had this focal length: apparent size is what is seen
SIDE_PX = 16.0
SCORE_MIN = 0.30
MOST = 40  # detections per picture
_KIND = np.array([int(kind) for kind in KINDS], np.uint8)


def cell_centres(h: int, w: int, device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
    """(h, 1) and (1, w) pixel coordinates y, x of the centres of the cells."""
    y = (torch.arange(h, device=device, dtype=torch.float32) + 0.5) * STRIDE
    x = (torch.arange(w, device=device, dtype=torch.float32) + 0.5) * STRIDE
    return y[:, None], x[None, :]


def ray_yaw(box_centre_x_px: Tensor, focal_px: float | Tensor, centre_px: float) -> Tensor:
    """Yaw of the line of sight through a pixel column, in a camera that looks ahead; left positive."""
    return -torch.atan2(box_centre_x_px - centre_px, torch.as_tensor(focal_px, dtype=box_centre_x_px.dtype))


def targets(boxes: Tensor, kinds: Tensor, distance: Tensor, yaw: Tensor, h: int, w: int, focal_px: float) -> Tensor:
    """(4 + 7 + 1, h, w): heat per class, sides, log distance, heading, weight of the regression.

    boxes (N, 4) px, kinds (N,) labels.Kind, distance (N,) m, yaw (N,) in the ego frame. Heat is a Gaussian whose size
    follows the box; nearer boxes win a cell.
    """
    out = torch.zeros(12, h, w)
    yy, xx = cell_centres(h, w)
    for n in torch.argsort(distance, descending=True).tolist():
        left, top, right, bottom = boxes[n].tolist()
        cx, cy = (left + right) / 2.0, (top + bottom) / 2.0
        sx, sy = max((right - left) / 6.0, STRIDE * 0.45), max((bottom - top) / 6.0, STRIDE * 0.45)
        bump = torch.exp(-0.5 * (((xx - cx) / sx) ** 2 + ((yy - cy) / sy) ** 2))
        peak_y, peak_x = min(max(int(cy / STRIDE), 0), h - 1), min(max(int(cx / STRIDE), 0), w - 1)
        bump[peak_y, peak_x] = 1.0
        channel = KINDS.index(int(kinds[n]))
        out[channel] = torch.maximum(out[channel], bump)
        own = bump > 0.4
        sight = float(ray_yaw(torch.tensor(cx), focal_px, w * STRIDE / 2.0))
        out[4][own] = ((xx - left) / SIDE_PX).expand(h, w)[own]
        out[5][own] = ((yy - top) / SIDE_PX).expand(h, w)[own]
        out[6][own] = ((right - xx) / SIDE_PX).expand(h, w)[own]
        out[7][own] = ((bottom - yy) / SIDE_PX).expand(h, w)[own]
        out[8][own] = float(torch.log(distance[n].clamp(min=1.0) * FOCAL_PX / focal_px))
        out[9][own] = float(torch.cos(yaw[n] - sight))
        out[10][own] = float(torch.sin(yaw[n] - sight))
        out[11][own] = bump[own]
    return out


def decode(outputs: Outputs, focal_px: list[float], score_min: float = SCORE_MIN) -> list[Detections]:
    """Detections of each picture: peaks of the heat maps, then non-maximum suppression over boxes."""
    n, h, w = outputs.score.shape
    best, cells = (top.numpy() for top in outputs.score.cpu().flatten(1).topk(min(2 * MOST, h * w)))  # best first
    # what is left is a few dozen numbers: numpy starts faster than torch, and torch once faster than for each picture
    sides, heading, distance, kind = (
        maps.cpu().reshape(n, -1, h * w).numpy()
        for maps in (outputs.sides.float(), outputs.heading.float(), outputs.distance.float(), outputs.kind)
    )
    boxes, scores, places = [], [], []
    for k in range(n):
        cell = cells[k, : np.count_nonzero(best[k] > score_min)]
        centre = (np.stack([cell % w, cell // w]).astype(np.float32) + np.float32(0.5)) * np.float32(STRIDE)
        side = sides[k].take(cell, axis=1) * np.float32(SIDE_PX)
        box = np.concatenate([centre - side[:2], centre + side[2:]]).T
        kept = distinct(box)[:MOST]
        boxes.append(box[kept])
        scores.append(best[k, kept])
        places.append(cell[kept])
    picture = np.repeat(np.arange(n), [len(cell) for cell in places])
    box, cell = np.concatenate(boxes), np.concatenate(places)
    focal = torch.from_numpy(np.array(focal_px, np.float32)[picture])
    sight = ray_yaw(torch.from_numpy((box[:, 0] + box[:, 2]) / np.float32(2.0)), focal, w * STRIDE / 2.0)
    cos, sin = (torch.from_numpy(heading[picture, i, cell]) for i in (0, 1))
    yaw = torch.remainder(torch.atan2(sin, cos) + sight + np.pi, 2 * np.pi).sub(np.pi).numpy()
    log_distance = torch.from_numpy(distance[picture, 0, cell]).clamp(0.0, 6.0)  # 1 m to 400 m
    metres = (torch.exp(log_distance) * focal / FOCAL_PX).numpy()
    kinds = _KIND[kind[picture, 0, cell]]
    ends = np.cumsum([len(part) for part in boxes])
    return [
        Detections(boxes[k], kinds[rows], scores[k], metres[rows], yaw[rows], np.full(len(boxes[k]), -1, np.int32))
        for k, rows in enumerate(slice(end - len(part), end) for end, part in zip(ends, boxes, strict=True))
    ]


def distinct(box: NDArray[np.float32]) -> list[int]:
    """Rows of boxes (N, 4), best first, that overlap no better one that stays by more than half of their union."""
    size = np.maximum(np.minimum(box[:, None, 2:], box[:, 2:]) - np.maximum(box[:, None, :2], box[:, :2]), 0.0)
    both = size[..., 0] * size[..., 1]
    area = (box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1])
    same = both / (area[:, None] + area - both) > 0.5
    kept: list[int] = []
    for i in range(len(box)):
        if not same[i, kept].any():
            kept.append(i)
    return kept
