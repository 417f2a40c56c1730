"""`ringroad train perception`: the multi-head network and the light classifier, on frames that our worlds render."""

from __future__ import annotations

import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

from rich.console import Console

from scripts.build import device_of
from stack.config import fill, read_yaml

CONFIG = Path(__file__).parents[1] / "configs" / "train_perception.yaml"


def run(config: Path | None, out: Path, resume: bool, seed: int, device: str) -> dict[str, Any]:
    """Render the data where it is missing, train, validate on held-out towns, write weights and card to `out`."""
    import torch

    from evaluation.perception import detection_scores
    from perception.dataset import load
    from perception.detector import decode
    from perception.lights import LightNet
    from perception.network import Outputs, Seeing, load_network, save_network
    from perception.train import TrainSettings, train_lights, train_network, validate
    from scripts.dataset import render
    from sim.maps import HELD_OUT, TRAINING

    device_of(device)
    console = Console(file=sys.stderr)
    path = config or CONFIG
    settings = fill(TrainSettings, read_yaml(path), str(path))
    torch.set_num_threads(settings.threads)
    out.mkdir(parents=True, exist_ok=True)
    folders = {"train": (TRAINING, settings.frames), "validation": (HELD_OUT, settings.validation_frames)}
    for k, (name, (maps, frames)) in enumerate(folders.items()):
        if not (out / name / "coco.json").is_file():
            render(out / name, maps, frames, seed + 1000 * k, console.print, optics=settings.optics, unseen=k == 1)
    samples = load(out / "train")
    if resume and (out / "lights.safetensors").is_file():
        lights = load_network(LightNet(), out / "lights.safetensors")
    else:
        lights = train_lights(samples, settings, seed, console.print)
        save_network(lights, out / "lights.safetensors", {})
    net, seconds = train_network(samples, settings, out, seed, resume, console.print)
    held_out = load(out / "validation")
    scores = validate(net, lights, held_out)
    found, focal, see = [], held_out.focal_px.tolist(), Seeing(net)
    with torch.inference_mode():
        for k in range(0, len(held_out.rgb), 32):
            found += decode(Outputs(*see(held_out.rgb[k : k + 32])), focal[k : k + 32], score_min=0.05)
    wanted = [
        (b.numpy(), k.numpy(), d.numpy())
        for b, k, d in zip(held_out.boxes, held_out.kinds, held_out.distance_m, strict=True)
    ]
    scores |= detection_scores(found, wanted)
    card = {
        "what": "boxes with class, distance and heading; segmentation; light states",
        "command": f"ringroad train perception --seed {seed}", "data": f"rendered from {', '.join(TRAINING)}",
        "scored_on": f"rendered from {', '.join(HELD_OUT)}, with cars, walkers and colours that were never trained on either",
        "settings": {f.name: getattr(settings, f.name) for f in fields(TrainSettings)},
        "minutes": {"data": samples.info["minutes"], "network": round(seconds / 60, 1)},
        "scores": {name: round(value, 4) for name, value in scores.items()},
    }  # fmt: skip
    save_network(net, out / "network.safetensors", card)
    save_network(lights, out / "lights.safetensors", card)
    console.print(f"exported {out / 'network.safetensors'} and {out / 'lights.safetensors'}: {card['scores']}")
    return card
