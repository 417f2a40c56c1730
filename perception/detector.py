"""The network's maps <-> boxes: training targets from labels, detections from outputs."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torchvision.ops import nms

from perception.network import KINDS, STRIDE, Outputs
from stack.messages import Detections

FOCAL_PX = 160.0  # distances are learned as if every camera had this focal length: apparent size is what is seen
SIDE_PX = 16.0
SCORE_MIN = 0.30
MOST = 40  # detections per picture


def cell_centres(h: int, w: int, device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
    """(h, 1) and (1, w) pixel coordinates y, x of the centres of the cells."""
    y = (torch.arange(h, device=device, dtype=torch.float32) + 0.5) * STRIDE
    x = (torch.arange(w, device=device, dtype=torch.float32) + 0.5) * STRIDE
    return y[:, None], x[None, :]


def ray_yaw(box_centre_x_px: Tensor, focal_px: float, centre_px: float) -> Tensor:
    """Yaw of the line of sight through a pixel column, in a camera that looks ahead; left positive."""
    return -torch.atan2(box_centre_x_px - centre_px, torch.full_like(box_centre_x_px, focal_px))


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
    found = []
    for k in range(n):
        score, cell = outputs.score[k].flatten().topk(min(2 * MOST, h * w))
        cell = cell[score > score_min]
        score = score[: len(cell)]
        y, x = cell // w, cell % w
        cy, cx = (y + 0.5) * STRIDE, (x + 0.5) * STRIDE
        side = outputs.sides[k, :, y, x].float() * SIDE_PX
        box = torch.stack([cx - side[0], cy - side[1], cx + side[2], cy + side[3]], dim=1)
        kept = nms(box, score, 0.5)[:MOST]
        box, score, y, x = box[kept], score[kept], y[kept], x[kept]
        cos, sin = outputs.heading[k, :, y, x].float()
        sight = ray_yaw((box[:, 0] + box[:, 2]) / 2.0, focal_px[k], w * STRIDE / 2.0)
        log_distance = outputs.distance[k, 0, y, x].float().clamp(0.0, 6.0)  # 1 m to 400 m
        distance = torch.exp(log_distance) * focal_px[k] / FOCAL_PX
        kinds = torch.tensor([int(i) for i in KINDS], dtype=torch.uint8)
        found.append(
            Detections(
                box.cpu().numpy().astype(np.float32),
                kinds[outputs.kind[k, y, x].cpu().long()].numpy(),
                score.cpu().numpy().astype(np.float32),
                distance.cpu().numpy().astype(np.float32),
                torch.remainder(torch.atan2(sin, cos) + sight + np.pi, 2 * np.pi).sub(np.pi).cpu().numpy(),
                np.full(len(kept), -1, np.int32),
            )
        )
    return found
