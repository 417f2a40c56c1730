"""`ringroad train policy`: PPO on many embedded worlds over the training towns, then export without pickle."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from rich.console import Console

from scripts.build import EGO, device_of
from stack.config import fill, read_yaml

CONFIG = Path(__file__).parents[1] / "configs" / "train_policy.yaml"


def run(config: Path | None, out: Path, resume: bool, seed: int, device: str) -> dict[str, Any]:
    """Train, export `out/policy.safetensors` with its card; returns the card."""
    import torch

    from control.policy import save_policy
    from control.rl.env import DrivingEnv
    from control.rl.reward import PRESETS
    from control.rl.train import PpoSettings, exported, train
    from planning.reference import ReferenceKernel
    from planning.route import random_route
    from sim.learners import Learners
    from sim.maps import TRAINING
    from stack.lanegraph import concatenate
    from stack.opendrive import build_graph, find_map, load_map
    from stack.scenearrays import ReferenceArrays, allocate
    from stack.vehicle import load_vehicle

    torch.set_num_threads(1)
    console = Console(file=sys.stderr)
    path = config or CONFIG
    settings = fill(PpoSettings, read_yaml(path), str(path))
    if settings.reward not in PRESETS:
        raise ValueError(f"{path}: reward: found {settings.reward!r}, expected one of {', '.join(PRESETS)}")
    where = device_of(device)
    graphs = [build_graph(load_map(find_map(name))) for name in TRAINING]
    merged, first_lane = concatenate(graphs)
    console.print(f"policy: {settings.samples:,} samples in {settings.worlds} worlds on {', '.join(TRAINING)}")
    worlds = Learners(merged, graphs, first_lane, load_vehicle(EGO), settings.worlds, seed, where, random_route)
    arrays = allocate(ReferenceArrays, settings.worlds, merged.signals, where)
    planner = ReferenceKernel(merged, where, settings.worlds)
    env = DrivingEnv(worlds, planner, arrays, PRESETS[settings.reward])
    model = train(env, settings, out, seed, resume, console.print)
    card = {
        "what": "driving policy: features of Scene and Reference -> Beta over curvature and acceleration",
        "algorithm": "PPO (stable-baselines3)", "command": f"ringroad train policy --seed {seed}",
        "maps": list(TRAINING), "samples": model.num_timesteps, "minutes": round(model.spent_s / 60, 1),
        "settings": {name: getattr(settings, name) for name in PpoSettings.__dataclass_fields__},
    }  # fmt: skip
    save_policy(exported(model.policy, settings.hidden), out / "policy.safetensors", card)
    console.print(f"exported {out / 'policy.safetensors'}")
    return card
