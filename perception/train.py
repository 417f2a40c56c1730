"""Training the network and the light classifier on a data set in memory; AdamW with one cycle of the learning rate."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import generalized_box_iou_loss

from perception.dataset import Samples
from perception.detector import targets
from perception.lights import STATES, LightNet, crops
from perception.network import CLASSES, Network


@dataclass(frozen=True, config={"extra": "forbid"})
class TrainSettings:
    """What `configs/train_perception.yaml` may set."""

    frames: int = 6000  # pairs of pictures in the data set
    validation_frames: int = 1000
    optics: bool = False  # the data set has motion blur, smears and drops
    steps: int = 6000
    batch: int = 16
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    light_steps: int = 2500
    light_batch: int = 256
    checkpoint_every: int = 250
    threads: int = 1  # the other core trains the policy


# rare and thin classes weigh more
CLASS_WEIGHT = torch.tensor([1.0, 2.0, 1.5, 1.0, 2.0, 3.0, 3.0, 1.0, 1.0, 1.0, 4.0, 2.0, 2.0, 4.0, 1.0])


def augment(rgb: Tensor, draw: torch.Generator) -> Tensor:
    """(N, 3, H, W) uint8 with other brightness, contrast, colour balance and noise."""
    n = len(rgb)
    x = rgb.float()
    gain = 1.0 + 0.25 * (torch.rand(n, 1, 1, 1, generator=draw) * 2 - 1)
    tint = 1.0 + 0.08 * (torch.rand(n, 3, 1, 1, generator=draw) * 2 - 1)
    shift = 25.0 * (torch.rand(n, 1, 1, 1, generator=draw) * 2 - 1)
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    x = (x - mean) * gain * tint + mean + shift
    x += 6.0 * torch.rand(n, 1, 1, 1, generator=draw) * torch.randn(x.shape, generator=draw)
    return x.round().clamp(0, 255).to(torch.uint8)


def recolour(rgb: Tensor, draw: torch.Generator) -> Tensor:
    """(N, 3, H, W) uint8 with other saturation, and a quarter of the pictures with other hues: shape tells a car, not
    paint. The hue is turned about the grey axis."""
    n = len(rgb)
    grey = torch.full((3, 3), 1.0 / 3.0)
    angle = torch.pi * (torch.rand(n, 1, 1, generator=draw) * 2 - 1)
    angle *= torch.where(torch.rand(n, 1, 1, generator=draw) < 0.25, 1.0, 0.05)
    around = torch.tensor([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]]) / 3.0**0.5
    turn = grey + angle.cos() * (torch.eye(3) - grey) + angle.sin() * around  # Rodrigues' formula
    saturation = 0.3 + 1.1 * torch.rand(n, 1, 1, generator=draw)
    mix = grey + saturation * (turn - grey)
    x = torch.einsum("nij,njhw->nihw", mix, rgb.float())
    return x.round().clamp(0, 255).to(torch.uint8)


def mirror(want: Tensor) -> Tensor:
    """Targets (N, 12, h, w) of the same pictures seen in a mirror; their width is a multiple of the stride."""
    order = [0, 1, 2, 3, 6, 5, 4, 7, 8, 9, 10, 11]  # left and right side change places
    out = want.flip(-1)[:, order]
    out[:, 10].neg_()  # sine of the heading relative to the line of sight
    return out


def heat_loss(logits: Tensor, heat: Tensor) -> Tensor:
    """Penalty-reduced focal loss of CornerNet and CenterNet (alpha 2, beta 4), per object."""
    chance = logits.sigmoid().clamp(1e-4, 1.0 - 1e-4)
    peak = (heat >= 1.0).float()
    loss = peak * (1 - chance) ** 2 * chance.log() + (1 - peak) * (1 - heat) ** 4 * chance**2 * (1 - chance).log()
    return -loss.sum() / peak.sum().clamp(min=1.0)


def losses(out: tuple[Tensor, ...], want: Tensor, classes: Tensor) -> dict[str, Tensor]:
    """Terms of the loss: heat, box, distance, heading, segmentation."""
    heat, sides, distance, heading, logits = out
    weight = want[:, 11]
    total = weight.sum().clamp(min=1.0)
    own = weight > 0
    predicted, wanted = sides.permute(0, 2, 3, 1)[own], want[:, 4:8].permute(0, 2, 3, 1)[own]
    sign = torch.tensor([-1.0, -1.0, 1.0, 1.0])
    box = generalized_box_iou_loss(predicted * sign, wanted * sign)
    classes = classes[:, 1::2, 1::2]  # at stride 4, where the cells' centres are
    return {
        "heat": heat_loss(heat, want[:, :4]),
        "box": (box * weight[own]).sum() / total,
        "distance": (F.smooth_l1_loss(distance[:, 0], want[:, 8], reduction="none", beta=0.1) * weight).sum() / total,
        "heading": (F.smooth_l1_loss(heading, want[:, 9:11], reduction="none").sum(1) * weight).sum() / total,
        "segmentation": F.cross_entropy(logits, classes.long(), weight=CLASS_WEIGHT),
    }


LOSS_WEIGHT = {"heat": 1.0, "box": 1.0, "distance": 1.0, "heading": 0.5, "segmentation": 1.0}


class Targets:
    """(n, 12, h, w) training targets of some pictures; each picture's are made once and kept (86 KB)."""

    def __init__(self, samples: Samples) -> None:
        self.samples, self.made = samples, dict[int, Tensor]()

    def __call__(self, rows: list[int]) -> Tensor:
        for row in rows:
            if row not in self.made:
                self.made[row] = self._make(row).half()
        return torch.stack([self.made[row] for row in rows]).float()

    def _make(self, row: int) -> Tensor:
        s = self.samples
        h, w = -(-s.rgb.shape[2] // 4), -(-s.rgb.shape[3] // 4)
        return targets(s.boxes[row], s.kinds[row], s.distance_m[row], s.yaw_rad[row], h, w, float(s.focal_px[row]))


def train_network(
    samples: Samples, settings: TrainSettings, out: Path, seed: int, resume: bool, say: Callable[[str], None]
) -> tuple[Network, float]:
    """Train the multi-head network; checkpoints and a curve in `out`. Returns it and the seconds that it took in all."""
    torch.manual_seed(seed)
    draw = torch.Generator().manual_seed(seed)
    net = Network().train().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(net.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.learning_rate, settings.steps, pct_start=0.1)
    checkpoint, first, before = out / "network.checkpoint.pt", 0, 0.0
    if resume and checkpoint.is_file():
        kept = torch.load(checkpoint, weights_only=True)
        net.load_state_dict(kept["net"])
        optimizer.load_state_dict(kept["optimizer"])
        schedule.load_state_dict(kept["schedule"])
        draw.set_state(kept["draw"])
        first, before = int(kept["step"]), float(kept["seconds"])
        say(f"resumed at step {first}")
    elif (out / "network_curve.csv").exists():
        (out / "network_curve.csv").unlink()
    started, sums, wanted = time.monotonic(), dict.fromkeys(LOSS_WEIGHT, 0.0), Targets(samples)
    for step in range(first, settings.steps):
        rows = torch.randint(len(samples.rgb), (settings.batch,), generator=draw).tolist()
        rgb, want, classes = recolour(samples.rgb[rows], draw), wanted(rows), samples.classes[rows]
        if torch.rand((), generator=draw) < 0.5:
            rgb, want, classes = rgb.flip(-1), mirror(want), classes.flip(-1)
        rgb = augment(rgb, draw).contiguous(memory_format=torch.channels_last)
        terms = losses(net(rgb), want, classes)
        loss = sum(LOSS_WEIGHT[name] * value for name, value in terms.items())
        if not torch.isfinite(loss):
            raise ValueError(f"training: loss is {loss.item()} at step {step}")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 10.0)
        optimizer.step()
        schedule.step()
        for name, value in terms.items():
            sums[name] += float(value.detach())
        if (step + 1) % 100 == 0:
            row = {"step": step + 1, **{name: round(value / 100, 4) for name, value in sums.items()}}
            _append(out / "network_curve.csv", row)
            rate = (step + 1 - first) * settings.batch / (time.monotonic() - started)
            say(" ".join(f"{name} {value:g}" for name, value in row.items()) + f" ({rate:.0f} pictures/s)")
            sums = dict.fromkeys(LOSS_WEIGHT, 0.0)
        if (step + 1) % settings.checkpoint_every == 0 or step + 1 == settings.steps:
            kept = {"net": net.state_dict(), "optimizer": optimizer.state_dict(), "schedule": schedule.state_dict(),
                    "draw": draw.get_state(), "step": step + 1, "seconds": before + time.monotonic() - started}  # fmt: skip
            torch.save(kept, checkpoint.with_suffix(".part"))
            checkpoint.with_suffix(".part").replace(checkpoint)
    return net.eval(), before + time.monotonic() - started


def train_lights(samples: Samples, settings: TrainSettings, seed: int, say: Callable[[str], None]) -> LightNet:
    """Train the light classifier on crops whose windows are shifted and scaled as a pose error would."""
    torch.manual_seed(seed)
    draw = np.random.default_rng(seed)
    net = LightNet().train()
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, settings.light_steps, pct_start=0.1)
    state = samples.lights[:, 4].astype(int)
    rows_of = [np.flatnonzero(state == int(s)) for s in STATES]
    rows_of = [rows for rows in rows_of if len(rows)]
    torch_draw = torch.Generator().manual_seed(seed)
    right, loss_sum = 0.0, 0.0
    for step in range(settings.light_steps):
        pick = [draw.choice(rows, settings.light_batch // len(rows_of)) for rows in rows_of]
        batch, label = light_batch(samples, np.concatenate(pick), draw)
        logits = net(augment(batch, torch_draw))
        loss = F.cross_entropy(logits, label, label_smoothing=0.02)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        right += float((logits.argmax(1) == label).float().mean())
        loss_sum += float(loss.detach())
        if (step + 1) % 250 == 0:
            say(f"lights step {step + 1} loss {loss_sum / 250:.4f} accuracy {right / 250:.4f}")
            right, loss_sum = 0.0, 0.0
    return net.eval()


def light_batch(samples: Samples, rows: np.ndarray, draw: np.random.Generator | None) -> tuple[Tensor, Tensor]:
    """Crops and labels (index into STATES) of some light windows; with `draw`, windows jitter."""
    window = samples.lights[rows, 1:4].copy()
    if draw is not None:
        window[:, :2] += window[:, 2:] * draw.uniform(-0.22, 0.22, (len(rows), 2))
        window[:, 2] *= draw.uniform(0.8, 1.25, len(rows))
    image = samples.lights[rows, 0].astype(int)
    batch = torch.cat([crops(samples.rgb[i], window[k : k + 1]) for k, i in enumerate(image)])
    order = {int(s): k for k, s in enumerate(STATES)}
    return batch, torch.tensor([order[int(s)] for s in samples.lights[rows, 4]])


@torch.inference_mode()
def validate(net: Network, lights: LightNet, samples: Samples) -> dict[str, float]:
    """Scores on pictures of maps never trained on: mIoU over classes present, accuracy of the light states."""
    n = len(CLASSES)
    confusion = torch.zeros(n, n, dtype=torch.long)
    for k in range(0, len(samples.rgb), 32):
        logits = net(samples.rgb[k : k + 32])[4]
        truth = samples.classes[k : k + 32]
        guess = F.interpolate(logits, size=truth.shape[1:], mode="bilinear", align_corners=False).argmax(1)
        confusion += torch.bincount(truth.long().flatten() * n + guess.flatten(), minlength=n * n).view(n, n)
    hit = confusion.diag().double()
    union = confusion.sum(0) + confusion.sum(1) - confusion.diag()
    present = confusion.sum(1) > 0
    scores = {"miou": float((hit[present] / union[present]).mean())}
    scores |= {f"iou_{CLASSES[k].name.lower()}": float(hit[k] / union[k]) for k in range(n) if present[k]}
    batch, label = light_batch(samples, np.arange(len(samples.lights)), None)
    guess = torch.cat([net_out.argmax(1) for net_out in map(lights, batch.split(512))])
    scores["light_accuracy"] = float((guess == label).double().mean())
    red, green = STATES.index(3), STATES.index(1)
    scores["light_red_as_green"] = float(
        ((label == red) & (guess == green)).double().sum() / (label == red).sum().clamp(min=1)
    )
    return scores


def _append(path: Path, row: dict[str, float]) -> None:
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(row))
        if new:
            writer.writeheader()
        writer.writerow(row)
