"""The network: one shared backbone, several heads (a HydraNet), for both cameras in one batch.

torchvision's mobilenet_v3_small, a feature pyramid down to stride 4, and two towers: detection (heat map per class, box
sides, log distance, heading; anchor-free after CenterNet, Zhou et al. 2019, and FCOS, Tian et al. 2019) and segmentation.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torchvision.models import mobilenet_v3_small
from torchvision.ops import Conv2dNormActivation, FeaturePyramidNetwork

from stack.labels import Kind, Semantic

WEIGHTS = Path(__file__).parent / "weights" / "network.safetensors"
STRIDE = 4
KINDS = (Kind.CAR, Kind.TRUCK, Kind.CYCLIST, Kind.PEDESTRIAN)
# what segmentation tells apart; every CARLA id maps to one of them
CLASSES = (
    Semantic.ROAD, Semantic.ROAD_LINE, Semantic.SIDEWALK, Semantic.BUILDING, Semantic.POLE, Semantic.TRAFFIC_LIGHT,
    Semantic.TRAFFIC_SIGN, Semantic.VEGETATION, Semantic.TERRAIN, Semantic.SKY, Semantic.PEDESTRIAN, Semantic.CAR,
    Semantic.TRUCK, Semantic.BICYCLE, Semantic.STATIC,
)  # fmt: skip
_MERGED = {
    Semantic.WALL: Semantic.BUILDING, Semantic.FENCE: Semantic.BUILDING, Semantic.BRIDGE: Semantic.BUILDING,
    Semantic.GROUND: Semantic.TERRAIN, Semantic.WATER: Semantic.TERRAIN, Semantic.RIDER: Semantic.BICYCLE,
    Semantic.MOTORCYCLE: Semantic.BICYCLE, Semantic.BUS: Semantic.TRUCK, Semantic.TRAIN: Semantic.TRUCK,
    Semantic.UNLABELED: Semantic.STATIC, Semantic.DYNAMIC: Semantic.STATIC, Semantic.OTHER: Semantic.STATIC,
    Semantic.RAIL_TRACK: Semantic.ROAD, Semantic.GUARD_RAIL: Semantic.STATIC,
}  # fmt: skip
CLASS_OF_SEMANTIC = torch.tensor([CLASSES.index(_MERGED.get(s, s)) for s in Semantic], dtype=torch.uint8)  # (29,)
SEMANTIC_OF_CLASS = torch.tensor([int(s) for s in CLASSES], dtype=torch.uint8)  # (15,)

MEAN, STD = (0.45, 0.45, 0.45), (0.25, 0.25, 0.25)


@dataclass(frozen=True)
class Outputs:
    """What a picture gives, at stride 4: h = ceil(H / 4), w = ceil(W / 4)."""

    score: Tensor  # (N, h, w) of the likeliest class where its heat has a peak, else 0
    kind: Tensor  # (N, h, w) uint8, index into KINDS
    sides: Tensor  # (N, 4, h, w) left, top, right, bottom from the cell's centre, px / 16, after softplus
    distance: Tensor  # (N, 1, h, w) log of metres, for a focal length of 160 px
    heading: Tensor  # (N, 2, h, w) cos and sin of the heading relative to the line of sight
    semantic: Tensor  # (N, h, w) uint8, CARLA ids


class Network(nn.Module):
    """(N, 3, H, W) uint8 pictures -> raw maps: logits of heat (4), sides, distance, heading, logits of CLASSES (15)."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        backbone = mobilenet_v3_small(weights=None).features
        # channels at strides 4, 8, 16, 32
        self.stages = nn.ModuleList([backbone[:2], backbone[2:4], backbone[4:9], backbone[9:12]])
        self.pyramid = FeaturePyramidNetwork([16, 24, 48, 96], width)
        self.detect = nn.Sequential(Conv2dNormActivation(width, width), Conv2dNormActivation(width, width))
        self.segment = Conv2dNormActivation(width, width)
        self.heat = nn.Conv2d(width, len(KINDS), 1)
        self.rest = nn.Conv2d(width, 7, 1)
        self.classes = nn.Conv2d(width, len(CLASSES), 1)
        nn.init.constant_(self.heat.bias, -4.6)  # a prior of 1 %, as for focal loss (Lin et al., 2017)
        self.register_buffer("mean", 255.0 * torch.tensor(MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", 255.0 * torch.tensor(STD).view(1, 3, 1, 1))

    def forward(self, rgb: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        x = (rgb.float() - self.mean) / self.std
        maps = {}
        for k, stage in enumerate(self.stages):
            x = stage(x)
            maps[str(k)] = x
        finest = self.pyramid(maps)["0"]
        seen = self.detect(finest)
        rest = self.rest(seen)
        sides = nn.functional.softplus(rest[:, :4])
        return self.heat(seen), sides, rest[:, 4:5], rest[:, 5:7], self.classes(self.segment(finest))


def peaks(heat: Tensor) -> tuple[Tensor, Tensor]:
    """(N, 4, h, w) logits of heat -> `Outputs.score` and `Outputs.kind`."""
    heat = heat.sigmoid()
    highest = nn.functional.max_pool2d(heat, 3, 1, 1)
    score, kind = torch.where(heat == highest, heat, torch.zeros_like(heat)).max(dim=1)
    return score, kind.to(torch.uint8)


class Seeing(nn.Module):
    """A trained network with what needs no training: pictures -> the fields of `Outputs`, as a tuple to be traced."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("semantic_of_class", SEMANTIC_OF_CLASS)

    def forward(self, rgb: Tensor) -> tuple[Tensor, ...]:
        heat, sides, distance, heading, classes = self.net(rgb)
        return *peaks(heat), sides, distance, heading, self.semantic_of_class[classes.argmax(dim=1)]


def save_network(net: nn.Module, path: Path, card: dict[str, Any]) -> None:
    """Weights as float16 safetensors, whole or not at all, with the card beside them as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {
        name: (value.half() if value.is_floating_point() else value).detach().cpu().contiguous()
        for name, value in net.state_dict().items()
    }
    part = path.with_suffix(".part")
    save_file(tensors, part)
    part.replace(path)
    path.with_suffix(".json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")


def load_network(net: nn.Module, path: Path) -> nn.Module:
    """Fill `net` from a weights file; ValueError where it is missing, broken or of another shape."""
    if not path.is_file():
        raise ValueError(f"{path}: weights not found; `ringroad train perception` or `make weights` makes them")
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path}: not a safetensors file ({error})") from None
    own = net.state_dict()
    try:
        net.load_state_dict({name: value.to(own[name].dtype) for name, value in tensors.items()})
    except (KeyError, RuntimeError) as error:
        raise ValueError(f"{path}: weights do not fit the network ({' '.join(str(error).split())[:200]})") from None
    return net.eval()
