"""A recording as a world, and the check that names the module that changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from scripts.build import DriveSettings, build_scenario, build_stack
from scripts.replay import difference, plan_scores, rerun, run, scores
from sim.replay import START_HASH, ReplayWorld
from stack import codec
from stack.loop import Scenario, Stack, drive
from stack.messages import CameraMount, Event, EventKind, Rig, Scene, SensorFrame
from stack.opendrive import RoadMap
from stack.recording import Recorder, Recording, RecordingError, drive_meta
from tests.steps import ego_at, step_at, straight_plan

SETTINGS = DriveSettings(perception="oracle", controller="classical", seed=3, device="cpu")
TICKS = 12
SMALL = Rig((CameraMount("wide", 48, 32, 1.5, 1.6, 0.0, 1.5),), lidar_rings=4, lidar_columns=32)


@pytest.fixture(scope="module")
def town() -> tuple[Scenario, RoadMap]:
    scenario, road_map = build_scenario(SETTINGS)
    return replace(scenario, rig=SMALL), road_map


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory: pytest.TempPathFactory, town: tuple[Scenario, RoadMap]) -> Path:
    """Made-up steps under a real scenario; the drive ends with an event."""
    path = tmp_path_factory.mktemp("replay") / "a.mcap"
    with Recorder(path, drive_meta(*town, SETTINGS)) as recorder:
        for tick in range(TICKS):
            done = (Event(EventKind.ROUTE_DONE, tick + 1, 0.05 * (tick + 1)),) if tick == TICKS - 1 else ()
            recorder.write(step_at(tick, rig=SMALL, events=done), f"{tick:016x}")
    return path


@pytest.fixture(scope="module")
def scenario(synthetic: Path) -> Scenario:
    """As it is read from the recording."""
    return Recording(synthetic).scenario()[0]


def as_recorded(recording: Recording) -> Stack:
    """A stack that says what was recorded."""

    step_of = cache(recording.step)

    def at(part: str) -> Callable[[Any], Any]:
        return lambda message: getattr(step_of(message.tick), part)

    scene_of = at("scene")

    def perceive(frame: SensorFrame) -> Scene:
        out: Scene = scene_of(frame)
        return out

    return Stack(
        perceive, at("plan"), lambda plan, scene: at("wanted")(scene), lambda w, p, scene, f: at("command")(scene)
    )


def test_the_scenario_comes_back(synthetic: Path, town: tuple[Scenario, RoadMap]) -> None:
    again, road_map = Recording(synthetic).scenario()
    assert road_map.document.text == town[1].document.text and road_map.name == town[1].name
    for name in ("name", "map_name", "seed", "vehicles", "pedestrians", "weather", "rig"):
        assert getattr(again, name) == getattr(town[0], name), name
    for a, b in ((again.graph, town[0].graph), (again.route, town[0].route)):
        for key, value in vars(b).items():
            if isinstance(value, np.ndarray):
                assert np.array_equal(getattr(a, key), value, equal_nan=value.dtype.kind == "f"), key
    assert again.route.length_m == town[0].route.length_m


def test_a_recording_is_a_world(synthetic: Path, scenario: Scenario) -> None:
    recording = Recording(synthetic)
    world = ReplayWorld(recording)
    for _ in range(2):  # it can be driven again
        seen = list(drive(world, as_recorded(recording), scenario))
        assert [step.frame.tick for step in seen] == list(range(TICKS))
        assert [len(step.events) for step in seen] == [0] * (TICKS - 1) + [1]
        assert world.done and world.progress == 1.0 and world.state_hash() == f"{TICKS - 1:016x}"
        for step in seen:
            assert step.truth.tick == step.frame.tick
            assert codec.encode(step.frame) == codec.encode(recording.step(step.frame.tick).frame)
            assert len(step.truth.images) == 1 and len(step.truth.images[0].boxes.id) == 1
    with pytest.raises(ValueError, match="found a step after the end"):
        world.step(seen[0].command)
    world.reset(scenario)
    assert world.state_hash() == START_HASH and not world.done and world.events() == ()


def test_another_scenario_is_refused(synthetic: Path, scenario: Scenario) -> None:
    recording = Recording(synthetic)
    with pytest.raises(RecordingError, match="found a drive with seed 3, expected 4"):
        ReplayWorld(recording).reset(replace(scenario, seed=4))


def test_broken_metadata_is_named(tmp_path: Path, town: tuple[Scenario, RoadMap]) -> None:
    meta = drive_meta(*town, SETTINGS)
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"route": meta["route"] | {"lanes": [10**6]}}, "route: found lanes"),
        ({"route": {"lanes": [0]}}, "start_s_m Field required"),
        ({"opendrive": "<OpenDRIVE>"}, "expected well-formed XML"),
        ({"settings": []}, "settings: found '\\[\\]', expected dict"),
        ({"rig": meta["rig"] | {"lidar_rings": "many"}}, "lidar_rings"),
    ]
    for k, (change, said) in enumerate(wrong):
        path = tmp_path / f"{k}.mcap"
        with Recorder(path, meta | change) as recorder:
            recorder.write(step_at(0, rig=SMALL), "")
        with pytest.raises(RecordingError, match=said) as error:
            Recording(path).scenario()
        assert str(path) in str(error.value)


def test_each_module_is_told_apart(synthetic: Path, scenario: Scenario) -> None:
    recording = Recording(synthetic)
    same = as_recorded(recording)
    pairs = list(rerun(ReplayWorld(recording), same, scenario))
    assert [difference(replayed, recorded) for recorded, replayed in pairs] == [None] * TICKS

    def off(stage: Callable[..., Any], change: Callable[[Any], Any], tick: int) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            at = next(a.tick for a in args if isinstance(a, Scene | SensorFrame))
            return change(stage(*args)) if at == tick else stage(*args)

        return call

    def nudged(scene: Scene) -> Scene:
        xyz = scene.tracks.xyz_m.copy()
        xyz[1, 0] = np.nextafter(xyz[1, 0], np.inf)
        return replace(scene, tracks=replace(scene.tracks, xyz_m=xyz))

    changes: dict[str, tuple[str, Callable[[Any], Any]]] = {
        "perceive": ("tracks.xyz_m[1, 0]", nudged),
        "plan": ("reference.stop_s_m", lambda p: replace(p, reference=replace(p.reference, stop_s_m=5.0))),
        "control": ("accel_mps2", lambda c: replace(c, accel_mps2=np.float64(c.accel_mps2))),
        "guard": ("pedals[2]", lambda c: replace(c, pedals=c.pedals * np.array([1, 1, -1], np.float32))),
    }
    for module, (field, change) in changes.items():
        stack = replace(same, **{module: off(getattr(same, module), change, 5)})
        found = [difference(again, was) for was, again in rerun(ReplayWorld(recording), stack, scenario)]
        assert [k for k, d in enumerate(found) if d] == [5]
        assert found[5] is not None and (found[5]["module"], found[5]["tick"], found[5]["field"]) == (module, 5, field)


def test_scores_of_a_perfect_stack(synthetic: Path) -> None:
    recording = Recording(synthetic)
    again = scores(recording, list(recording))
    assert again["detection"]["map"] == pytest.approx(1.0)
    assert again["localisation"]["lateral_m_mean"] == 0.0
    assert again["tracking"]["hota"] == pytest.approx(1.0)
    assert again["driving"] == {}


def test_plan_error_of_a_car_that_goes_half_as_fast_as_planned() -> None:
    driven = [ego_at(0.05 * tick * 4.0) for tick in range(81)]
    found = plan_scores([straight_plan(ego_at(e.pose.x_m, speed_mps=8.0)) for e in driven], driven)
    for horizon in (1.0, 2.0, 3.0):
        assert found[f"fde_{horizon:g}s_m"] == pytest.approx(4.0 * horizon, abs=1e-3)
        assert found[f"ade_{horizon:g}s_m"] == pytest.approx(4.0 * (horizon + 0.1) / 2.0, abs=1e-3)
    assert plan_scores([straight_plan(ego_at(0.0))] * 10, driven[:10]) == {}  # no horizon lies within half a second


def record(path: Path, settings: DriveSettings, ticks: int) -> Path:
    """The first ticks of a drive in the embedded world."""
    from sim.world import EmbeddedWorld

    torch.set_num_threads(1)
    scenario, road_map = build_scenario(settings)
    world = EmbeddedWorld(road_map, "cpu")
    stack = build_stack(scenario, settings, "cpu", world.truth)
    with Recorder(path, drive_meta(scenario, road_map, settings)) as recorder:
        for step in islice(drive(world, stack, scenario), ticks):
            recorder.write(step, world.state_hash())
        recorder.finish({"status": "cut"})
    world.close()
    return path


@pytest.fixture(scope="module")
def driven(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds in the embedded world."""
    return record(tmp_path_factory.mktemp("drive") / "drive.mcap", SETTINGS, 40)


@pytest.mark.slow
def test_an_unchanged_stack_gives_no_difference(driven: Path) -> None:
    from scripts.cli import app

    result = run(driven, check=True, device="cpu", quiet=True)
    assert result["difference"] is None and result["ticks"] == 40
    said = CliRunner().invoke(app, ["replay", str(driven), "--check", "--device", "cpu"])
    assert said.exit_code == 0 and "no difference in 40 ticks" in said.stdout
    found = run(driven, device="cpu", quiet=True)["scores"]
    assert found["segmentation"]["miou"] == 1.0 and found["driving"] == {"status": "cut"}
    assert found["plan"]["ade_1s_m"] < 0.5


@pytest.mark.slow
def test_a_changed_gain_is_named_control(driven: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from control.classical import Classical, Gains
    from scripts.cli import app

    monkeypatch.setattr("control.classical.Classical", partial(Classical, gains=Gains(jerk_mps3=5.0)))
    first = run(driven, check=True, device="cpu", quiet=True)["difference"]
    assert first is not None
    assert (first["module"], first["tick"], first["field"]) == ("control", 0, "accel_mps2")
    said = CliRunner().invoke(app, ["replay", str(driven), "--check", "--device", "cpu"])
    assert said.exit_code == 1 and "first difference: control, tick 0, accel_mps2: found 0.25" in said.stdout


@pytest.mark.slow
def test_one_weight_changed_by_a_hundredth_is_named_perceive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from perception import network

    path = record(tmp_path / "drive.mcap", DriveSettings(seed=3, device="cpu"), 10)
    assert run(path, check=True, device="cpu", quiet=True)["difference"] is None

    def heavier(net: torch.nn.Module, weights: Path) -> torch.nn.Module:
        loaded = network.load_network(net, weights)
        with torch.no_grad():
            if isinstance(loaded, network.Network):
                loaded.heat.weight.view(-1)[0] *= 1.01
        return loaded

    monkeypatch.setattr("perception.pipeline.load_network", heavier)
    first = run(path, check=True, device="cpu", quiet=True)["difference"]
    assert first is not None and (first["module"], first["tick"]) == ("perceive", 0)
