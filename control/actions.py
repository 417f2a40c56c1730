"""The policy's two numbers in [-1, 1] -> wheel angle and acceleration, and the network that makes them.

The first is a share of the curvature that the car may drive at its speed (lateral acceleration LATERAL_MPS2, at most
CURVATURE_1PM), so that one unit means the same discomfort at any speed. The second is acceleration, up to ACCEL_MPS2 ahead
and BRAKE_MPS2 back; braking grows with the square, so that gentle braking is finely set and random actions average to none.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import warp as wp
from torch import Tensor, nn

wp.set_module_options({"enable_backward": False})

GRID = 200  # points at which a Beta density is summed
CURVATURE_1PM = wp.constant(0.20)  # a circle of 5 m radius
LATERAL_MPS2 = wp.constant(4.0)
ACCEL_MPS2 = wp.constant(2.5)
BRAKE_MPS2 = wp.constant(6.0)
HOLD_BELOW_MPS = wp.constant(1.0)  # a car that should stand and all but does is held by its brakes: nobody creeps on
HOLD_MPS2 = wp.constant(1.5)


@wp.func
def wheel_angle_of(action: float, speed_mps: float, wheelbase_m: float) -> float:
    v = wp.max(speed_mps, 1.0)
    curvature = wp.clamp(action, -1.0, 1.0) * wp.min(CURVATURE_1PM, LATERAL_MPS2 / (v * v))
    return wp.atan(wheelbase_m * curvature)


@wp.func
def accel_of(action: float) -> float:
    a = wp.clamp(action, -1.0, 1.0)
    return wp.where(a > 0.0, ACCEL_MPS2 * a, -BRAKE_MPS2 * a * a)


@wp.kernel(enable_backward=False)
def control_kernel(
    action: wp.array2d(dtype=wp.float32),
    speed_mps: wp.array(dtype=wp.float32),
    target_mps: wp.array2d(dtype=wp.float32),
    wheelbase_m: float,
    control: wp.array2d(dtype=wp.float32),
):
    """[W, 2] actions -> [W, 2] wheel angle in rad, acceleration in m/s2. `target_mps`: of the Reference, [W, points]."""
    w = wp.tid()
    control[w, 0] = wheel_angle_of(action[w, 0], speed_mps[w], wheelbase_m)
    accel = accel_of(action[w, 1])
    if target_mps[w, 0] < 0.1 and speed_mps[w] < HOLD_BELOW_MPS:
        accel = wp.min(accel, -HOLD_MPS2)
    control[w, 1] = accel


class PolicyNet(nn.Module):
    """Features -> Beta parameters (alpha, beta > 1, so one mode) of each action on [0, 1]."""

    def __init__(self, features: int, hidden: tuple[int, ...]) -> None:
        super().__init__()
        widths = (features, *hidden)
        layers: list[nn.Module] = []
        for a, b in pairwise(widths):
            layers += [nn.Linear(a, b), nn.Tanh()]
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(hidden[-1], 4)

    def forward(self, features: Tensor) -> Tensor:
        """(N, F) -> (N, 2) actions in [-1, 1] that mean the mean of curvature and of acceleration.

        Acceleration is no linear function of the action, so it is averaged itself: the mean action brakes too little.
        """
        alpha, beta = beta_parameters(self.head(self.body(features)))
        steer = 2.0 * alpha[:, 0] / (alpha[:, 0] + beta[:, 0]) - 1.0
        x = (torch.arange(GRID, device=features.device) + 0.5) / GRID
        density = (alpha[:, 1:] - 1.0) * x.log() + (beta[:, 1:] - 1.0) * (1.0 - x).log()
        a = 2.0 * x - 1.0
        accel = (density.softmax(dim=1) * torch.where(a > 0.0, ACCEL_MPS2 * a, -BRAKE_MPS2 * a * a)).sum(dim=1)
        pedal = torch.where(accel > 0.0, accel / ACCEL_MPS2, -(accel.clamp(max=0.0) / -BRAKE_MPS2).sqrt())
        return torch.stack([steer, pedal], dim=1)


def beta_parameters(raw: Tensor) -> tuple[Tensor, Tensor]:
    """(N, 4) raw numbers -> alpha and beta, (N, 2) each, above 1."""
    positive = torch.nn.functional.softplus(raw) + 1.0
    return positive[:, :2], positive[:, 2:]
