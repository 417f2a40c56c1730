"""The training env: Gymnasium's contract, resets that others do not notice, ends with their reasons."""

import numpy as np
import pytest
from shared_maps import graph_of

from control.features import FEATURES
from control.rl.env import DrivingEnv
from control.rl.reward import CARL, End
from planning.reference import ReferenceKernel
from planning.route import random_route
from sim.learners import Learners
from stack.lanegraph import concatenate
from stack.scenearrays import ReferenceArrays, allocate
from stack.vehicle import load_vehicle

WORLDS = 4


def make(seed: int) -> DrivingEnv:
    graphs = [graph_of("town_a")]
    merged, first = concatenate(graphs)
    worlds = Learners(merged, graphs, first, load_vehicle("sedan"), WORLDS, seed, "cpu", random_route)
    arrays = allocate(ReferenceArrays, WORLDS, merged.signals, "cpu")
    return DrivingEnv(worlds, ReferenceKernel(merged, "cpu", WORLDS), arrays, CARL)


@pytest.fixture(scope="module")
def env() -> DrivingEnv:
    return make(0)


def play(env: DrivingEnv, ticks: int, action: tuple[float, float]) -> tuple[np.ndarray, np.ndarray, set[int]]:
    observation = env.reset()
    rewards, ends = [], set()
    for _ in range(ticks):
        observation, reward, done, infos = env.step(np.tile(np.float32(action), (WORLDS, 1)))
        rewards.append(reward)
        ends |= {int(w) for w in np.flatnonzero(done)}
        for w in np.flatnonzero(done):
            assert infos[w]["terminal_observation"].shape == (FEATURES,)
    return observation, np.array(rewards), ends


def test_observations_are_finite_and_scaled(env: DrivingEnv) -> None:
    observation, _, _ = play(env, 40, (0.0, 0.3))
    assert observation.shape == (WORLDS, FEATURES) and observation.dtype == np.float32
    assert np.isfinite(observation).all() and np.abs(observation).max() < 30.0


def test_hard_left_leaves_the_route(env: DrivingEnv) -> None:
    env.finished.clear()
    play(env, 200, (1.0, 0.5))
    assert env.finished and {e["end"] for e in env.finished} <= {End.OFF_ROUTE, End.COLLISION, End.RED_LIGHT}


def test_standing_still_never_pays(env: DrivingEnv) -> None:
    _, rewards, _ = play(env, 120, (0.0, -1.0))
    assert rewards[60:].max() <= 1e-6


def test_same_seed_same_rewards() -> None:
    first, second = (play(make(3), 60, (0.1, 0.4))[1] for _ in range(2))
    np.testing.assert_array_equal(first, second)
