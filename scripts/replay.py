"""`ringroad replay`: the stack over a recorded drive, open loop: scores, or a bit-exact check of every module.

Each module gets the inputs that were recorded, not what the module before it says now, so that a difference names the
module that changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from scripts.build import build_stack, device_of, settings_from
from sim.replay import ReplayWorld
from stack import codec
from stack.loop import TICK_S, Scenario, Stack
from stack.messages import Detections, Ego, Plan, Step
from stack.recording import Recording, versions

MODULES = {"perceive": "scene", "plan": "plan", "control": "wanted", "guard": "command"}  # and what each gives
HORIZONS_S = (1.0, 2.0, 3.0)


def run(file: Path, check: bool = False, device: str = "auto", quiet: bool = False) -> dict[str, Any]:
    """The JSON object of `ringroad replay`; raises ValueError for a recording that cannot be replayed.

    `difference`: None, or module, tick, field, found, expected of the first difference. `scores`: None with `check`.
    """
    torch.set_num_threads(1)
    console = Console(quiet=quiet, highlight=False)
    where = device_of(device)
    recording = Recording(file, where)
    scenario, _ = recording.scenario()
    settings = settings_from(recording.meta["settings"], f"{file}: settings")
    world = ReplayWorld(recording)
    stack = build_stack(scenario, settings, where, world.truth)
    first: dict[str, Any] | None = None
    again: list[Step] = []
    for recorded, replayed in rerun(world, stack, scenario):
        first = first or difference(replayed, recorded)
        if check and first:
            break
        if not check:
            again.append(_slim(replayed))
    warn_of_versions(recording, Console(stderr=True, quiet=quiet))
    result: dict[str, Any] = {"file": str(file), "ticks": len(recording), "difference": first, "scores": None}
    if not check:
        result["scores"] = scores(recording, again)
        console.print(table(result["scores"]))
    console.print(sentence(first, len(recording)))
    return result


def rerun(world: ReplayWorld, stack: Stack, scenario: Scenario) -> Iterator[tuple[Step, Step]]:
    """(recorded, replayed) of every tick, each module on its recorded inputs."""
    frame = world.reset(scenario)
    while not world.done:
        was = world.recorded
        scene = stack.perceive(frame)
        plan = stack.plan(was.scene)
        wanted = stack.control(was.plan, was.scene)
        command = stack.guard(was.wanted, was.plan, was.scene, frame)
        yield was, Step(frame, was.truth, scene, plan, wanted, command, was.events)
        frame = world.step(command)


# ---------------------------------------------------------------- bit for bit


def difference(replayed: Step, recorded: Step) -> dict[str, Any] | None:
    """The first field of the first module that differs in any bit."""
    for module, part in MODULES.items():
        found, expected = (codec.encode(getattr(step, part)) for step in (replayed, recorded))
        if found != expected:
            return {
                "module": module,
                "tick": recorded.frame.tick,
                **_field(codec.leaves(found), codec.leaves(expected)),
            }
    return None


def _field(found: dict[str, Any], expected: dict[str, Any]) -> dict[str, str]:
    for name in [*expected, *(name for name in found if name not in expected)]:
        a, b = found.get(name), expected.get(name)
        if a is None or b is None:
            return {"field": name, "found": _text(a), "expected": _text(b)}
        x, y = np.asarray(a), np.asarray(b)
        if type(a) is not type(b) or x.dtype != y.dtype or x.shape != y.shape:
            return {"field": name, "found": f"{x.dtype} {x.shape}", "expected": f"{y.dtype} {y.shape}"}
        if x.tobytes() != y.tobytes():
            same = np.array([p.tobytes() == q.tobytes() for p, q in zip(x.ravel(), y.ravel(), strict=True)])
            at = np.unravel_index(int(np.argmin(same)), x.shape)
            index = f"[{', '.join(str(i) for i in at)}]" if at else ""
            return {"field": name + index, "found": _text(x[at].item()), "expected": _text(y[at].item())}
    raise AssertionError("messages differ in no field")


def _text(value: Any) -> str:
    return "nothing" if value is None else repr(value)[:80]


def sentence(first: dict[str, Any] | None, ticks: int) -> str:
    """What a check says."""
    if first is None:
        return f"no difference in {ticks} ticks"
    return "first difference: {module}, tick {tick}, {field}: found {found}, expected {expected}".format(**first)


def warn_of_versions(recording: Recording, console: Console) -> None:
    """Say where the recording was made with other versions: bits may differ for that alone."""
    here = versions()
    for name, there in recording.meta.get("versions", {}).items():
        if here.get(name) != there:
            console.print(
                f"{recording.path}: recorded with {name} {there or 'unknown'}, here {here.get(name) or 'unknown'}"
            )


# ---------------------------------------------------------------- scores


def _slim(step: Step) -> Step:
    """Without the sensors' samples, which no score reads."""
    return replace(step, frame=replace(step.frame, cameras=()))


def scores(recording: Recording, steps: Sequence[Step]) -> dict[str, dict[str, Any]]:
    """Scores of each module on its recorded inputs, and the result of the drive as it was recorded.

    A world that knows no true pictures (a CARLA server) leaves detection and segmentation without a score."""
    from evaluation import perception
    from perception.network import CLASS_OF_SEMANTIC, SEMANTIC_OF_CLASS

    egos = [step.truth.ego for step in steps]
    pictures = [
        (mask, image.semantic)
        for step in steps
        for mask, image in zip(step.scene.semantic, step.truth.images, strict=False)
    ]
    merge = SEMANTIC_OF_CLASS[CLASS_OF_SEMANTIC.long()].numpy()
    found = [boxes for step in steps for boxes in step.scene.detections]
    wanted = [wanted_boxes(boxes) for step in steps for boxes in recording.boxes(step.frame.tick)]
    return {
        "detection": perception.detection_scores(found, wanted) if wanted or not found else {},
        "segmentation": perception.miou([a.cpu() for a, _ in pictures], [b.cpu() for _, b in pictures], merge),
        "localisation": perception.localisation_scores([step.scene.ego for step in steps], egos),
        "tracking": perception.tracking_scores(
            [step.scene.tracks for step in steps], [step.truth.actors for step in steps], egos
        ),
        "plan": plan_scores([step.plan for step in steps], egos),
        "driving": recording.result or {},
    }


def wanted_boxes(boxes: Detections) -> tuple[Any, Any, Any]:
    """Boxes, kinds and distances of what a detector is asked for: as in the data set that it learns from."""
    from perception.dataset import BOX_MIN_PX, VISIBLE_MIN
    from perception.network import KINDS

    size = boxes.box_px[:, 2:] - boxes.box_px[:, :2]
    rows = (size.min(axis=1, initial=np.inf) >= BOX_MIN_PX) & (boxes.score >= VISIBLE_MIN) & np.isin(boxes.kind, KINDS)
    return boxes.box_px[rows], boxes.kind[rows], boxes.distance_m[rows]


def plan_scores(plans: Sequence[Plan], driven: Sequence[Ego]) -> dict[str, float]:
    """ADE and FDE (m) of the planned trajectory against the path driven, for each horizon of HORIZONS_S.

    Mean and last displacement of ETH/UCY (Pellegrini et al., 2009), over the ticks whose horizon lies in the drive.
    """
    path = np.array([(ego.pose.x_m, ego.pose.y_m) for ego in driven]).reshape(-1, 2)
    out = {}
    for horizon in HORIZONS_S:
        average, final = [], []
        for tick, plan in enumerate(plans):
            ahead = plan.trajectory.time_s.astype(np.float64)
            ahead = ahead[(ahead > 1e-6) & (ahead <= horizon + 1e-6)]
            at = tick + ahead / TICK_S
            if not len(at) or tick + horizon / TICK_S > len(path) - 1 + 1e-6:
                continue
            rows = np.searchsorted(plan.trajectory.time_s, ahead.astype(np.float32))
            there = np.stack([np.interp(at, np.arange(len(path)), path[:, k]) for k in (0, 1)], axis=-1)
            error = np.linalg.norm(plan.trajectory.xy_m[rows] - there, axis=1)
            average.append(float(error.mean()))
            final.append(float(error[-1]))
        if average:
            out |= {f"ade_{horizon:g}s_m": float(np.mean(average)), f"fde_{horizon:g}s_m": float(np.mean(final))}
    return out


def table(found: dict[str, dict[str, Any]]) -> Table:
    """The scores for people."""
    out = Table("module", "score", "value")
    for module, values in found.items():
        plain = {name: value for name, value in values.items() if isinstance(value, int | float | str)}
        for n, (name, value) in enumerate(plain.items()):
            out.add_row("" if n else module, name, f"{value:.4g}" if isinstance(value, float) else str(value))
    return out
