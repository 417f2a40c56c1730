"""PPO (Schulman et al., 2017) by stable-baselines3 on DrivingEnv, with a Beta policy (Chou et al., 2017)."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic.dataclasses import dataclass
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.distributions import Distribution
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import Tensor, nn

from control.actions import PolicyNet, beta_parameters
from control.features import FEATURES
from control.rl.env import DrivingEnv
from control.rl.reward import End


@dataclass(frozen=True, config={"extra": "forbid"})
class PpoSettings:
    """What `configs/train_policy.yaml` may set."""

    samples: int = 20_000_000
    worlds: int = 128
    learning_rate: float = 5e-4  # falls linearly to a tenth
    rollout: int = 128
    batch: int = 4096
    epochs: int = 4
    gamma: float = 0.99
    gae_lambda: float = 0.95
    entropy: float = 0.002
    clip: float = 0.2
    hidden: tuple[int, ...] = (256, 256)
    reward: str = "carl"
    checkpoint_every: int = 1_000_000  # samples


class BetaDistribution(Distribution):
    """Independent Beta distributions moved to [-1, 1]; the deterministic action is the mean."""

    def proba_distribution_net(self, latent_dim: int) -> nn.Module:
        return nn.Linear(latent_dim, 4)

    def proba_distribution(self, raw: Tensor) -> BetaDistribution:
        self.distribution = torch.distributions.Beta(*beta_parameters(raw), validate_args=False)
        return self

    def log_prob(self, actions: Tensor) -> Tensor:
        unit = ((actions + 1.0) / 2.0).clamp(1e-5, 1.0 - 1e-5)
        return self.distribution.log_prob(unit).sum(dim=1)

    def entropy(self) -> Tensor:
        return self.distribution.entropy().sum(dim=1)

    def sample(self) -> Tensor:
        return 2.0 * self.distribution.sample() - 1.0

    def mode(self) -> Tensor:
        return 2.0 * self.distribution.mean - 1.0

    def actions_from_params(self, raw: Tensor, deterministic: bool = False) -> Tensor:
        return self.proba_distribution(raw).get_actions(deterministic)

    def log_prob_from_params(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        actions = self.actions_from_params(raw)
        return actions, self.log_prob(actions)


class BetaPolicy(ActorCriticPolicy):
    """Two MLPs, one for the Beta parameters, one for the value."""

    def _build(self, lr_schedule: Any) -> None:
        self._build_mlp_extractor()
        self.action_dist = BetaDistribution()
        self.action_net = self.action_dist.proba_distribution_net(self.mlp_extractor.latent_dim_pi)
        self.value_net = nn.Linear(self.mlp_extractor.latent_dim_vf, 1)
        for module, gain in ((self.mlp_extractor, np.sqrt(2)), (self.action_net, 0.01), (self.value_net, 1.0)):
            for layer in module.modules():
                self.init_weights(layer, gain=gain)
        self.optimizer = self.optimizer_class(self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs)

    def _get_action_dist_from_latent(self, latent_pi: Tensor) -> BetaDistribution:
        return self.action_dist.proba_distribution(self.action_net(latent_pi))


def exported(policy: BetaPolicy, hidden: tuple[int, ...]) -> PolicyNet:
    """The actor alone."""
    net = PolicyNet(FEATURES, hidden)
    net.body.load_state_dict(policy.mlp_extractor.policy_net.state_dict())
    net.head.load_state_dict(policy.action_net.state_dict())
    return net.eval()


class Progress(BaseCallback):
    """Curve to CSV, a line for people, checkpoints that a crash cannot halve."""

    def __init__(self, out: Path, every: int, say: Callable[[str], None]) -> None:
        super().__init__()
        self.out, self.every, self.say = out, every, say
        self.next_save = 0
        self.started = self.counted_to = time.monotonic()

    def _on_training_start(self) -> None:
        self.first = self.num_timesteps
        self.next_save = self.num_timesteps + self.every

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        env = self.training_env
        assert isinstance(env, DrivingEnv)
        ends = np.array([episode["end"] for episode in env.finished], int)
        if len(ends) < 100:
            return
        row: dict[str, float] = {"samples": self.num_timesteps, "episodes": len(ends)}
        row |= {end.name.lower(): round(float(np.mean(ends == end)), 4) for end in End if end != End.NOT}
        row["return"] = round(float(np.mean([e["return"] for e in env.finished])), 3)
        row["route_m"] = round(float(np.mean([e["route_m"] for e in env.finished])), 1)
        env.finished.clear()
        rate = (self.num_timesteps - self.first) / (time.monotonic() - self.started)
        path = self.out / "curve.csv"
        new = not path.exists()
        with path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(row))
            if new:
                writer.writeheader()
            writer.writerow(row)
        for name, value in row.items():
            self.logger.record(f"drive/{name}", value)
        self.say(" ".join(f"{name} {value:g}" for name, value in row.items()) + f" ({rate:.0f} samples/s)")
        if self.num_timesteps >= self.next_save:
            self.next_save += self.every
            self.save()

    def save(self) -> None:
        """A checkpoint; `spent_s` in it counts the seconds of all its trainings."""
        now = time.monotonic()
        self.model.spent_s += now - self.counted_to
        self.counted_to = now
        save(self.model, self.out)


def save(model: Any, out: Path) -> None:
    part = out / "checkpoint.part.zip"
    model.save(part)
    part.replace(out / "checkpoint.zip")


def train(
    env: DrivingEnv, settings: PpoSettings, out: Path, seed: int, resume: bool, say: Callable[[str], None]
) -> PPO:
    """Train for `settings.samples` in all; with `resume`, from `out/checkpoint.zip`."""
    torch.set_num_threads(1)
    out.mkdir(parents=True, exist_ok=True)
    checkpoint = out / "checkpoint.zip"
    if resume and checkpoint.is_file():
        model = PPO.load(checkpoint, env=env, device="cpu")
        say(f"resumed at {model.num_timesteps} samples")
    else:
        (out / "curve.csv").unlink(missing_ok=True)
        net = {"pi": list(settings.hidden), "vf": list(settings.hidden)}
        model = PPO(
            BetaPolicy, env, learning_rate=lambda left: settings.learning_rate * max(left, 0.1), n_steps=settings.rollout,
            batch_size=settings.batch, n_epochs=settings.epochs, gamma=settings.gamma, gae_lambda=settings.gae_lambda,
            ent_coef=settings.entropy, clip_range=settings.clip, policy_kwargs={"net_arch": net}, seed=seed, device="cpu",
            tensorboard_log=str(out / "tensorboard"),
        )  # fmt: skip
        model.spent_s = 0.0
    left = settings.samples - model.num_timesteps
    if left > 0:
        callback = Progress(out, settings.checkpoint_every, say)
        model.learn(left, callback=callback, reset_num_timesteps=not resume, progress_bar=False)
        callback.save()
    return model
