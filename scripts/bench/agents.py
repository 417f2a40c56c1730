"""Traffic, physics, lights, walkers and contact: many worlds, many learners, one world."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from scripts.bench.measure import Figure, rate_figure, sample_ms, time_figure

WORLDS, VEHICLES, WALKERS = 64, 32, 12
ALONE_VEHICLES, ALONE_WALKERS = 50, 30
SETTLE_TICKS = 100  # from the spread of the start to traffic: queues at lights, walkers on crossings
LEARNER_TICKS = 40


def batch_of(map_: str, worlds: int, vehicles: int, walkers: int) -> tuple[Any, int]:
    """A batch in which traffic has settled, and how many vehicles found room in all its worlds."""
    from sim.batch import VEHICLE_KINDS, Batch
    from sim.spawn import spawn
    from stack.opendrive import build_graph, find_map, load_map
    from stack.vehicle import VEHICLES as MODELS
    from stack.vehicle import load_vehicle

    graph = build_graph(load_map(find_map(map_)))
    params = [load_vehicle(name) for name in MODELS]
    batch = Batch(graph, params, worlds, vehicles + walkers)
    for world in range(worlds):
        batch.reset_world(world, spawn(graph, params, world, vehicles, walkers), world)
    for _ in range(SETTLE_TICKS):
        batch.step()
    return batch, int(np.isin(batch.state.numpy("kind"), VEHICLE_KINDS).sum())


def traffic(map_: str, seconds: float) -> Iterator[Figure]:
    """Many worlds. Walkers are on the road but do not count as agents."""
    batch, agents = batch_of(map_, WORLDS, VEHICLES, WALKERS)

    def step() -> None:
        batch.step()
        batch.observations()

    times = sample_ms(step, seconds)
    what = f"agent-steps, {WORLDS} worlds x {VEHICLES} vehicles and {WALKERS} walkers"
    note = f"{agents} vehicles on {map_}; IDM, MOBIL, lights, contact, 5 sub-steps, observations of every vehicle"
    yield rate_figure(what, agents, times, "steps/s", 400_000, 1_500_000, note)
    yield time_figure(f"  of which one step of these {WORLDS} worlds", sample_ms(batch.step, seconds / 4))
    yield time_figure("  of which the observations", sample_ms(batch.observations, seconds / 4))


def world(map_: str, seconds: float) -> Iterator[Figure]:
    """One world without sensors."""
    batch, agents = batch_of(map_, 1, ALONE_VEHICLES, ALONE_WALKERS)
    what = f"tick of one world, {ALONE_VEHICLES} vehicles and {ALONE_WALKERS} walkers, no sensors"
    yield time_figure(what, sample_ms(batch.step, seconds), 0.5, 0.15, f"{agents} vehicles on {map_}")


def learners_env(worlds: int, seed: int = 0) -> Any:
    """The RL env on the training maps, as `ringroad train policy` builds it."""
    from control.rl.env import DrivingEnv
    from control.rl.reward import CARL
    from planning.reference import ReferenceKernel
    from planning.route import random_route
    from scripts.build import EGO
    from sim.learners import Learners
    from sim.maps import TRAINING
    from stack.lanegraph import concatenate
    from stack.opendrive import build_graph, find_map, load_map
    from stack.scenearrays import ReferenceArrays, allocate
    from stack.vehicle import load_vehicle

    graphs = [build_graph(load_map(find_map(name))) for name in TRAINING]
    merged, first_lane = concatenate(graphs)
    sim = Learners(merged, graphs, first_lane, load_vehicle(EGO), worlds, seed, "cpu", random_route)
    arrays = allocate(ReferenceArrays, worlds, merged.signals, "cpu")
    return DrivingEnv(sim, ReferenceKernel(merged, "cpu", worlds), arrays, CARL)


def learner(map_: str, seconds: float) -> Iterator[Figure]:
    """One learner in each world, driven by the committed policy (whose own time is not counted)."""
    from sim.learners import POOL

    env = learners_env(WORLDS)
    for _ in range(-(-POOL // WORLDS)):  # as in training, where all starts are drawn early
        observation = env.reset()
    act = policy()
    last = {"observation": observation}

    def decide() -> None:
        env.step_async(act(last["observation"]))

    def step() -> None:
        last["observation"] = env.step_wait()[0]

    for _ in range(LEARNER_TICKS):
        decide()
        step()
    vehicles = round(float((env.world.batch.state.numpy("kind") != 0).sum()) / WORLDS, 1)
    note = f"physics, look, Reference, features, reward, resets; {vehicles} actors a world on the training maps"
    times = sample_ms(step, seconds, decide)
    yield rate_figure(f"learner-steps, {WORLDS} worlds with one learner each", WORLDS, times, "steps/s",
                      30_000, 80_000, note)  # fmt: skip
    sim = env.world
    yield time_figure("  of which the worlds", sample_ms(sim.batch.step, seconds / 4))
    yield time_figure("  of which what the learners see", sample_ms(sim.observe, seconds / 4))
    planner = sample_ms(lambda: [command.launch() for command in env.plan], seconds / 4)
    yield time_figure("  of which the Reference", planner)
    yield time_figure("  of which the features", sample_ms(env.features.launch, seconds / 4))


def policy() -> Any:
    """The committed policy as observation (W, F) -> action (W, 2)."""
    import torch

    from control.policy import WEIGHTS, load_policy

    net = load_policy(WEIGHTS)

    def act(observation: Any) -> Any:
        with torch.no_grad():
            return net(torch.from_numpy(observation)).numpy()

    return act
