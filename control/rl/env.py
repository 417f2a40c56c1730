"""Many embedded worlds as one stable-baselines3 VecEnv: the policy's actions in, its features and reward out.

The env owns no simulator and no planner: the script hands in `Worlds` (the embedded batch seen through a learner's eyes)
and the planner's batched Reference. A world whose episode ended starts another one within the same step; the others do not
notice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
import warp as wp
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv

from control.actions import control_kernel
from control.features import FEATURES, Features
from control.rl.reward import End, Reward, RewardArrays, Weights, reward_kernel
from stack.loop import TICK_S
from stack.scenearrays import view


class Worlds(Protocol):
    """What the env needs of the simulator: one learner in each of `worlds` worlds."""

    worlds: int
    device: str
    wheelbase_m: float
    control: Any  # (W, 2) float32 wheel angle in rad and acceleration in m/s2, what the next step acts on
    scene: Any  # SceneArrays, as the learner sees it
    route: Any  # RouteArrays
    hit: Any  # [W] int32, 1: the learner touched something in the last step
    red_run: Any  # [W] int32

    def step(self) -> None: ...
    def reset(self, worlds: NDArray[np.int64]) -> None: ...
    def observe(self) -> None: ...  # refills `scene`


class Planner(Protocol):
    """The batched Reference (planning.reference.ReferenceKernel)."""

    def reset(self, reference: Any, worlds: NDArray[np.int64]) -> None: ...
    def record(self, scene: Any, route: Any, reference: Any) -> list[Any]: ...


class DrivingEnv(VecEnv):
    """Observation: (FEATURES,) float32. Action: (2,) in [-1, 1] (control/actions.py). Reward: control/rl/reward.py."""

    render_mode = None

    def __init__(self, worlds: Worlds, planner: Planner, reference: Any, reward: Reward) -> None:
        """`reference`: the ReferenceArrays that the planner writes."""
        box = gym.spaces.Box(-np.inf, np.inf, (FEATURES,), np.float32)
        super().__init__(worlds.worlds, box, gym.spaces.Box(-1.0, 1.0, (2,), np.float32))
        self.world, self.planner, self.reference = worlds, planner, reference
        self.features = Features(worlds.scene, reference, worlds.worlds, worlds.device)
        self.plan = planner.record(worlds.scene, worlds.route, reference)
        self.weights = Weights()
        for name, value in vars(reward).items():
            setattr(self.weights, name, value)
        self.out: Any = RewardArrays()
        for name, var in RewardArrays.vars.items():
            shape = (worlds.worlds,) if var.type.ndim == 1 else (worlds.worlds, 2)
            setattr(self.out, name, wp.zeros(shape, dtype=var.type.dtype, device=worlds.device))
        self.out.hit, self.out.red_run = worlds.hit, worlds.red_run
        self.decide = self._record(control_kernel, [self.out.action, worlds.scene.speed_mps, reference.target_mps,
                                                    worlds.wheelbase_m, worlds.control])  # fmt: skip
        self.judge = self._record(reward_kernel, [worlds.scene, reference, self.weights, TICK_S, self.out])
        self.returns = np.zeros(worlds.worlds, np.float32)
        self.finished: list[dict[str, float]] = []  # episodes since the trainer last looked

    def _record(self, kernel: Any, inputs: list[Any]) -> Any:
        device = self.world.device
        return wp.launch(kernel, dim=self.num_envs, inputs=inputs, device=device, record_cmd=True).launch

    def reset(self) -> NDArray[np.float32]:
        self._restart(np.arange(self.num_envs))
        return self._look()

    def step_async(self, actions: NDArray[np.float32]) -> None:
        self.out.action.assign(np.ascontiguousarray(actions, np.float32))

    def step_wait(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
        self.decide()
        self.world.step()
        observation = self._look()
        self.judge()
        reward, end = view(self.out, "reward").copy(), view(self.out, "end").copy()
        self.returns += reward
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        ended = np.flatnonzero(end)
        if len(ended):
            age, route = view(self.out, "age_s"), view(self.out, "last_route_s_m")
            for w in ended:
                infos[w]["terminal_observation"] = observation[w].copy()
                infos[w]["TimeLimit.truncated"] = end[w] in (End.TIME, End.DONE)
                infos[w]["episode"] = {"r": float(self.returns[w]), "l": int(age[w] / TICK_S), "t": 0.0}
                self.finished.append({"end": int(end[w]), "return": float(self.returns[w]), "route_m": float(route[w])})
            self._restart(ended)
            observation[ended] = self._look()[ended]
        return observation, reward, end != 0, infos

    def _look(self) -> NDArray[np.float32]:
        """Scene -> Reference -> features, of every world; a world that already looked in this tick sees the same."""
        self.world.observe()
        for command in self.plan:
            command.launch()
        self.features.launch()
        features: NDArray[np.float32] = self.features.values.numpy().copy()
        return features

    def _restart(self, worlds: NDArray[np.int64]) -> None:
        self.world.reset(worlds)
        self.planner.reset(self.reference, worlds)
        for name in ("last_action", "last_route_s_m", "still_s", "age_s"):
            values = getattr(self.out, name).numpy()
            values[worlds] = 0.0
            if self.world.device != "cpu":
                getattr(self.out, name).assign(values)
        self.returns[worlds] = 0.0

    def close(self) -> None:
        """Nothing to close."""

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        return [getattr(self, attr_name)] * len(list(self._get_indices(indices)))

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        setattr(self, attr_name, value)

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        return [getattr(self, method_name)(*args, **kwargs)] * len(list(self._get_indices(indices)))

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        return [False] * len(list(self._get_indices(indices)))

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """The seed is the worlds'; it is given when they are built."""
        return [seed] * self.num_envs
