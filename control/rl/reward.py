"""Reward and ends of an episode, one Warp thread per learner.

Shaped after CaRL (Jaeger et al., 2025): progress along the route times soft penalties in [0, 1], hard infractions end the
episode. `ROACH` adds Roach's dense speed term (Zhang et al., 2021). The guard is off in training; the braking that it
would have had to do is one of the penalties.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import warp as wp

from stack.scenearrays import ReferenceArrays, SceneArrays

wp.set_module_options({"enable_backward": False})


class End(IntEnum):
    """Why an episode ended."""

    NOT = 0
    COLLISION = 1
    RED_LIGHT = 2
    OFF_ROUTE = 3
    STUCK = 4
    DONE = 5  # reached the goal
    TIME = 6  # cut off: not an end of the task


@dataclass(frozen=True)
class Reward:
    """Weights of the terms. Per tick of 0.05 s."""

    progress_per_m: float = 0.2
    speed: float = 0.0  # Roach's term: 1 - |v - target| / limit
    comfort: float = 0.008  # per unit of squared change of the action
    over: float = 0.05  # taken away for each m/s above the target speed and 0.2, up to 2
    idle: float = 0.02  # taken away while it stands though the target is to drive
    end: float = 4.0  # taken away at a hard infraction
    off_route_m: float = 2.2
    stuck_s: float = 20.0
    time_s: float = 90.0


CARL = Reward()
ROACH = Reward(progress_per_m=0.1, speed=0.05)
PRESETS = {"carl": CARL, "roach": ROACH}


@wp.struct
class RewardArrays:
    """[W] what came of a step; the first group is filled by the worlds, the rest is kept here."""

    hit: wp.array(dtype=wp.int32)  # 1: touched something
    red_run: wp.array(dtype=wp.int32)  # 1: entered a junction on red
    action: wp.array2d(dtype=wp.float32)
    last_action: wp.array2d(dtype=wp.float32)
    last_route_s_m: wp.array(dtype=wp.float32)
    still_s: wp.array(dtype=wp.float32)
    age_s: wp.array(dtype=wp.float32)
    reward: wp.array(dtype=wp.float32)
    end: wp.array(dtype=wp.int32)


@wp.struct
class Weights:
    """`Reward` for the kernel."""

    progress_per_m: float
    speed: float
    comfort: float
    over: float
    idle: float
    end: float
    off_route_m: float
    stuck_s: float
    time_s: float


@wp.func
def soft(excess: float, scale: float) -> float:
    """1 where nothing is exceeded, falling to 0 at `scale`."""
    return 1.0 - wp.clamp(excess / scale, 0.0, 1.0)


@wp.kernel(enable_backward=False)
def reward_kernel(scene: SceneArrays, reference: ReferenceArrays, k: Weights, dt: float, out: RewardArrays):
    w = wp.tid()
    v = scene.speed_mps[w]
    target = reference.target_mps[w, 0]
    lateral = wp.abs(reference.lateral_m[w])
    gap = reference.leader_gap_m[w]
    stop = reference.stop_s_m[w]
    closing = wp.max(v - reference.leader_mps[w], 0.0)
    brake_leader = wp.where(gap < 100.0, closing * closing / (2.0 * wp.max(gap - 0.5, 0.3)), 0.0)
    brake_stop = wp.where(stop < 100.0, v * v / (2.0 * wp.max(stop, 0.3)), 0.0)

    progress = wp.clamp(reference.route_s_m[w] - out.last_route_s_m[w], -1.0, 1.5)
    factor = soft(lateral - 0.10, 1.0) * soft(wp.abs(reference.heading_rad[w]) - 0.15, 0.6)
    factor = factor * soft(v - target - 0.2, 2.0)
    factor = factor * soft(wp.max(brake_leader, brake_stop) - 3.0, 3.0)  # the guard would have braked
    factor = factor * (1.0 - 0.3 * wp.clamp(wp.abs(v * scene.yaw_rate_radps[w]) - 2.5, 0.0, 1.0))
    if target < 0.1:  # who should stand gains nothing by creeping on
        factor = 0.0
    reward = k.progress_per_m * progress * wp.where(progress > 0.0, factor, 1.0)
    reward -= k.over * wp.clamp(v - target - 0.2, 0.0, 2.0)
    reward += k.speed * (1.0 - wp.abs(v - target) / wp.max(reference.limit_mps[w, 0], 5.0)) * factor
    d0 = out.action[w, 0] - out.last_action[w, 0]
    d1 = out.action[w, 1] - out.last_action[w, 1]
    reward -= k.comfort * (d0 * d0 + d1 * d1)

    if v < 0.5 and target > 1.0:
        reward -= k.idle

    out.age_s[w] = out.age_s[w] + dt
    out.still_s[w] = wp.where(v < 0.3 and target > 1.0, out.still_s[w] + dt, 0.0)
    end = wp.int32(0)
    if reference.route_left_m[w] < 4.0:
        end = 5
    elif out.age_s[w] > k.time_s:
        end = 6
    if out.still_s[w] > k.stuck_s:
        end = 4
    if lateral > k.off_route_m:
        end = 3
    if out.red_run[w] != 0:
        end = 2
    if out.hit[w] != 0:
        end = 1
    if end >= 1 and end <= 4:
        reward -= k.end
    out.reward[w] = reward
    out.end[w] = end
    out.last_route_s_m[w] = reference.route_s_m[w]
    out.last_action[w, 0] = out.action[w, 0]
    out.last_action[w, 1] = out.action[w, 1]
