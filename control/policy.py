"""The learned controller: an exported policy (safetensors + JSON, no pickle) on the features of Scene and Reference."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import warp as wp
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from control.actions import PolicyNet, control_kernel
from control.features import FEATURE_NAMES, FEATURES, Features
from stack.messages import Control, Plan, Scene
from stack.scenearrays import ReferenceArrays, SceneArrays, allocate, fill_from_reference, fill_from_scene

WEIGHTS = Path(__file__).parent / "weights" / "policy.safetensors"


def save_policy(net: PolicyNet, path: Path, card: dict[str, Any]) -> None:
    """Write weights to `path` and the card (features, widths, training facts) beside it as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {name: value.detach().cpu().contiguous() for name, value in net.state_dict().items()}
    hidden = [layer.out_features for layer in net.body if isinstance(layer, torch.nn.Linear)]
    part = path.with_suffix(".part")
    save_file(tensors, part)
    part.replace(path)
    text = json.dumps({"features": list(FEATURE_NAMES), "hidden": hidden, **card}, indent=1)
    path.with_suffix(".json").write_text(text + "\n", encoding="utf-8")


def load_policy(path: Path) -> PolicyNet:
    """The network in a policy file; ValueError where it is missing, broken or made for other features."""
    card_path = path.with_suffix(".json")
    for file in (path, card_path):
        if not file.is_file():
            raise ValueError(f"{file}: policy weights not found; `ringroad train policy` or `make weights` makes them")
    try:
        card = json.loads(card_path.read_text(encoding="utf-8"))
        tensors = load_file(path)
    except (json.JSONDecodeError, SafetensorError) as error:
        raise ValueError(f"{path}: not a policy file ({error})") from None
    if tuple(card["features"]) != FEATURE_NAMES:
        raise ValueError(f"{card_path}: made for {len(card['features'])} other features, expected {FEATURES}; retrain")
    net = PolicyNet(FEATURES, tuple(card["hidden"]))
    try:
        net.load_state_dict(tensors)
    except RuntimeError as error:
        raise ValueError(f"{path}: weights do not fit the network ({' '.join(str(error).split())})") from None
    return net.eval()


class Policy:
    """Plan + Scene -> Control by the learned policy, acting by the mean of its distribution."""

    def __init__(self, wheelbase_m: float, device: str = "cpu", dead: bool = False, path: Path = WEIGHTS) -> None:
        """`dead` sets all weights to zero: the ablation that says what the policy is worth."""
        self.net = load_policy(path).to(device)
        if dead:
            for value in self.net.parameters():
                torch.nn.init.zeros_(value)
        self.scene = allocate(SceneArrays, 1, 1, device)
        self.reference = allocate(ReferenceArrays, 1, 1, device)
        self.features = Features(self.scene, self.reference, 1, device)
        self.action = wp.zeros((1, 2), dtype=wp.float32, device=device)
        self.control = wp.zeros((1, 2), dtype=wp.float32, device=device)
        inputs = [self.action, self.scene.speed_mps, self.reference.target_mps, wheelbase_m, self.control]
        self.launch = wp.launch(control_kernel, dim=1, inputs=inputs, device=device, record_cmd=True)
        self.values, self.acts = wp.to_torch(self.features.values), wp.to_torch(self.action)

    @torch.inference_mode()
    def __call__(self, plan: Plan, scene: Scene) -> Control:
        fill_from_scene(self.scene, scene, with_signals=False)
        fill_from_reference(self.reference, plan.reference, scene.ego)
        self.features.launch()
        self.acts.copy_(self.net(self.values))
        self.launch.launch()
        wheel_angle, accel = self.control.numpy()[0].tolist()
        return Control(wheel_angle, accel)
