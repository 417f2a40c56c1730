"""`python -m scripts.parity`: the same drive in the embedded world and on `ringroad serve`, tick by tick.

python -m scripts.parity --seeds 1 2 3 4 5 --ticks 2000 --out docs/parity.md
"""

from __future__ import annotations

import argparse
import hashlib
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from scripts.build import DriveSettings, build_stack
from scripts.worlds import prepare
from stack.frames import wrap
from stack.loop import drive
from stack.rates import StageTimes


@dataclass
class Log:
    """Of each tick: places of the ego and of everybody, hashes of what the sensors gave; and all infractions."""

    ego: list[tuple[float, float, float, float]] = field(default_factory=list)
    actors: list[Any] = field(default_factory=list)
    pictures: list[str] = field(default_factory=list)
    sensors: list[dict[str, str]] = field(default_factory=list)
    pedals: list[tuple[float, ...]] = field(default_factory=list)
    events: list[tuple[str, int, str]] = field(default_factory=list)


def logged(settings: DriveSettings, ticks: int) -> Log:
    """Drive up to `ticks` ticks."""
    scenario, _, make = prepare(settings, "cpu", StageTimes())
    world, out = make(), Log()
    try:
        world.warm_up(scenario)
        stack = build_stack(scenario, settings, "cpu", world.truth)
        for step in islice(drive(world, stack, scenario), ticks):
            pose, frame = step.truth.ego.pose, step.frame
            out.ego.append((pose.x_m, pose.y_m, pose.z_m, pose.yaw_rad))
            out.actors.append(np.column_stack([step.truth.actors.xyz_m, step.truth.actors.yaw_rad]))
            out.pictures.append(hashlib.sha256(b"".join(image.jpeg for image in frame.cameras)).hexdigest())
            out.sensors.append(
                {name: _hash(getattr(frame, name)) for name in ("lidar", "radar", "imu", "gnss", "wheels")}
            )
            out.pedals.append(tuple(float(v) for v in step.command.pedals))
            out.events += [(event.kind.value, event.tick, event.other) for event in step.events]
    finally:
        world.close()
    return out


def _hash(message: Any) -> str:
    digest = hashlib.sha256()
    for value in vars(message).values():
        digest.update(np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()


def apart(a: Log, b: Log) -> dict[str, Any]:
    """How far two drives are from each other: greatest distances m and turns rad, and first ticks that differ."""
    n = min(len(a.ego), len(b.ego))
    p, q = np.array(a.ego[:n]), np.array(b.ego[:n])
    others = [(x, y) for x, y in zip(a.actors, b.actors, strict=False) if x.shape == y.shape]
    names = a.sensors[0] if n else {}
    return {
        "ticks": (len(a.ego), len(b.ego)),
        "ego_m": float(np.abs(p[:, :3] - q[:, :3]).max()), "ego_rad": float(np.abs(wrap(p[:, 3] - q[:, 3])).max()),
        "actors_m": max(float(np.abs(x[:, :3] - y[:, :3]).max(initial=0.0)) for x, y in others),
        "actors_rad": max(float(np.abs(wrap(x[:, 3] - y[:, 3])).max(initial=0.0)) for x, y in others),
        "actors_everywhere": len(others) == n,
        "pictures": _first(a.pictures, b.pictures), "pedals": _first(a.pedals, b.pedals),
        **{name: _first([s[name] for s in a.sensors], [s[name] for s in b.sensors]) for name in names},
        "events": (a.events, b.events),
    }  # fmt: skip


def _first(a: list[Any], b: list[Any]) -> int | None:
    """The first tick at which two lists differ; None: nowhere."""
    return next((k for k, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), None)


@contextmanager
def server() -> Iterator[int]:
    """The port of a `ringroad serve` in a process of its own."""
    command = [sys.executable, "-m", "scripts.cli", "serve", "--port", "0", "--device", "cpu"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = re.search(r":(\d+) \(streams", process.stdout.readline())
        if not found:
            raise RuntimeError("the server did not start")
        try:
            yield int(found[1])
        finally:
            process.terminate()


def row(seed: int, found: dict[str, Any]) -> str:
    """A line of the table."""
    sensors = [found[name] for name in ("pictures", "pedals", "lidar", "radar", "imu", "gnss", "wheels")]
    same = (
        "all equal"
        if sensors == [None] * len(sensors)
        else f"differ from tick {min(s for s in sensors if s is not None)}"
    )
    a, b = found["events"]
    said = ", ".join(f"{kind} {other} at {tick}" for kind, tick, other in a) or "none"
    return (
        f"| {seed} | {found['ticks'][0]} | {1e3 * found['ego_m']:.3f} | {found['ego_rad']:.1e} | {1e3 * found['actors_m']:.4f} "
        f"| {found['actors_rad']:.1e} | {same} | {said} | {'the same' if a == b else f'others: {b}'} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m scripts.parity", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--ticks", type=int, default=2000)
    parser.add_argument("--out", type=Path, help="FILE.md to write the table to")
    wanted = parser.parse_args()
    lines = [
        "| seed | ticks | ego mm | ego rad | others mm | others rad | pictures, ranges, motion, pedals | events | over the socket |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    with server() as port:
        for seed in wanted.seeds:
            here = logged(DriveSettings(rehearsed=True, seed=seed), wanted.ticks)
            there = logged(DriveSettings(world="carla", rehearsed=True, port=port, seed=seed), wanted.ticks)
            lines.append(row(seed, apart(here, there)))
            print(lines[-1], flush=True)
    if wanted.out:
        wanted.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
