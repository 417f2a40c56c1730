"""The policy's file format and its actions."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import warp as wp

from control.actions import PolicyNet, control_kernel
from control.features import FEATURES
from control.policy import load_policy, save_policy
from control.rl.train import BetaDistribution


def small(path: Path) -> Path:
    torch.manual_seed(0)
    save_policy(PolicyNet(FEATURES, (16, 8)), path, {"command": "test"})
    return path


def test_saved_and_loaded_act_alike(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = PolicyNet(FEATURES, (16, 8))
    save_policy(net, tmp_path / "p.safetensors", {})
    x = torch.randn(5, FEATURES)
    assert torch.equal(net(x), load_policy(tmp_path / "p.safetensors")(x))
    assert net(x).abs().max() < 1.0


def test_bad_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not found"):
        load_policy(tmp_path / "none.safetensors")
    path = small(tmp_path / "p.safetensors")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match="not a policy file"):
        load_policy(path)
    card = small(path).with_suffix(".json")
    card.write_text(json.dumps(json.loads(card.read_text()) | {"features": ["speed"]}))
    with pytest.raises(ValueError, match="other features"):
        load_policy(path)


def act(actions: list[list[float]], speed: list[float], target: float) -> np.ndarray:
    """(n, 2) wheel angles and accelerations."""
    n = len(speed)
    control = wp.zeros((n, 2), dtype=wp.float32, device="cpu")
    given = (np.array(actions), np.array(speed), np.full((n, 1), target))
    arrays = [wp.array(np.asarray(value, np.float32), device="cpu") for value in given]
    wp.launch(control_kernel, dim=n, inputs=[*arrays, 2.6, control], device="cpu")
    return np.array(control.numpy())


def test_actions_mean_the_same_discomfort_at_any_speed() -> None:
    control = act([[1.0, -1.0]] * 4, [0.0, 5.0, 10.0, 20.0], 10.0)
    np.testing.assert_allclose(np.tan(control[:, 0]) / 2.6, [0.2, 0.16, 0.04, 0.01], rtol=1e-5)
    np.testing.assert_allclose(control[:, 1], -6.0)


def test_a_car_that_should_stand_is_held_and_any_other_is_not() -> None:
    assert act([[0.0, 0.3]] * 2, [0.0, 0.39], 0.0)[:, 1].max() < -1.0
    np.testing.assert_allclose(act([[0.0, 0.4]], [0.0], 2.0)[:, 1], 1.0, rtol=1e-5)  # it may start
    np.testing.assert_allclose(act([[0.0, 0.4]], [3.0], 0.0)[:, 1], 1.0, rtol=1e-5)  # the policy must brake by itself


def test_beta_distribution_agrees_with_scipy() -> None:
    from scipy.stats import beta

    raw = torch.tensor([[0.3, -1.0, 2.0, 0.5]])
    distribution = BetaDistribution().proba_distribution(raw)
    a, b = np.log1p(np.exp(raw[0, :2].numpy())) + 1, np.log1p(np.exp(raw[0, 2:].numpy())) + 1
    action = torch.tensor([[0.4, -0.7]])
    want = beta.logpdf((action[0].numpy() + 1) / 2, a, b).sum()
    assert float(distribution.log_prob(action)) == pytest.approx(want, rel=1e-4)
    np.testing.assert_allclose(distribution.mode()[0], 2 * a / (a + b) - 1, rtol=1e-5)
