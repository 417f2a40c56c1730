"""Short drives of the whole loop: they end well, they repeat bit for bit, and truth does not reach the driver."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch

from scripts.build import DriveSettings, build_scenario, build_stack
from sim.world import EmbeddedWorld
from stack.loop import Scenario, drive
from stack.messages import Actors, Truth


@pytest.fixture(scope="module")
def scenario_and_world() -> tuple[Scenario, EmbeddedWorld]:
    torch.set_num_threads(1)
    scenario, road_map = build_scenario(DriveSettings())
    return scenario, EmbeddedWorld(road_map, "cpu")


def commands(scenario: Scenario, world: EmbeddedWorld, settings: DriveSettings, ticks: int) -> np.ndarray:
    """(ticks, 3) pedals of the first ticks of a drive."""
    stack = build_stack(scenario, settings, "cpu", world.truth)
    return np.array([step.command.pedals for step in islice(drive(world, stack, scenario), ticks)])


@pytest.mark.slow
def test_oracle_and_classical_drive_off_and_repeat(scenario_and_world: tuple[Scenario, EmbeddedWorld]) -> None:
    scenario, world = scenario_and_world
    settings = DriveSettings(perception="oracle", controller="classical")
    stack = build_stack(scenario, settings, "cpu", world.truth)
    hashes, speed = [], 0.0
    for _ in range(2):
        for step in islice(drive(world, stack, scenario), 100):
            speed = max(speed, step.truth.ego.speed_mps)
            assert not [e for e in step.events if e.kind.startswith("collision")]
        hashes.append(world.state_hash())
        stack = build_stack(scenario, settings, "cpu", world.truth)
    assert speed > 3.0 and hashes[0] == hashes[1]


@pytest.mark.slow
def test_the_driver_never_sees_truth(
    scenario_and_world: tuple[Scenario, EmbeddedWorld], monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario, world = scenario_and_world
    settings = DriveSettings()
    honest = commands(scenario, world, settings, 40)
    true = EmbeddedWorld.truth

    def garbage(self: EmbeddedWorld) -> Truth:
        truth = true(self)
        return replace(truth, actors=Actors.empty(), signal_state=np.full_like(truth.signal_state, 1))

    monkeypatch.setattr(EmbeddedWorld, "truth", garbage)
    np.testing.assert_array_equal(honest, commands(scenario, world, settings, 40))


@pytest.mark.slow
def test_network_and_policy_drive_off(scenario_and_world: tuple[Scenario, EmbeddedWorld]) -> None:
    scenario, world = scenario_and_world
    stack = build_stack(scenario, DriveSettings(), "cpu")
    lateral, speed = 0.0, 0.0
    for step in islice(drive(world, stack, scenario), 160):
        assert not [e for e in step.events if e.kind.startswith("collision")]
        speed = max(speed, step.truth.ego.speed_mps)
        _, _, offset = scenario.graph.nearest(
            step.truth.ego.pose.x_m, step.truth.ego.pose.y_m, step.truth.ego.pose.yaw_rad
        )
        lateral = max(lateral, abs(offset))
    assert speed > 3.0 and lateral < 0.8


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
def test_the_whole_loop_on_cuda() -> None:
    scenario, road_map = build_scenario(DriveSettings())
    world = EmbeddedWorld(road_map, "cuda:0")
    stack = build_stack(scenario, DriveSettings(), "cuda:0")
    steps = list(islice(drive(world, stack, scenario), 60))
    assert steps[-1].frame.cameras[0].rgb.is_cuda
    assert steps[-1].truth.ego.speed_mps > 0.5
