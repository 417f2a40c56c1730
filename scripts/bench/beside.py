"""Other simulators on the same machine, in the same run, each in a virtual environment of its own under out/bench.

`ringroad bench --beside metadrive,highway-env`. An environment that is there is used; else it is made, which needs PyPI.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from scripts.bench.agents import learner
from scripts.bench.measure import ROOT, Figure, rate_figure, spread
from scripts.bench.sensors import camera_env_ms

# simplepbr and gltf: newer ones ask for a later Panda3D than MetaDrive's
REQUIRES = {
    "metadrive": ("metadrive-simulator==0.3.0.1", "panda3d-simplepbr==0.10", "panda3d-gltf==0.13"),
    "highway-env": ("highway-env",),
}
OTHERS = tuple(REQUIRES)
HERE = Path(__file__).parent / "others"
HIGHWAYS = ("highway-fast-v0", "racetrack-v1")
WIDTH, HEIGHT = 320, 180
PUBLISHED_CAMERA_HZ = (
    2.0  # MetaDrive's RGB 320x180 by software; ours is held to the greater of this and what is measured
)
LEAST_RATIO, AIM_RATIO = 100.0, 1000.0
PATIENCE_S = 600.0


def environment(name: str) -> Path:
    """The Python of the other's environment, made if it is not there. ValueError where that fails."""
    folder = ROOT / "out" / "bench" / name
    python = folder / "bin" / "python"
    if (folder / ".ready").is_file():
        return python
    steps = ([sys.executable, "-m", "venv", "--clear", str(folder)],
             [str(python), "-m", "pip", "install", "--quiet", *REQUIRES[name]])  # fmt: skip
    for step in steps:
        done = subprocess.run(step, capture_output=True, text=True)
        if done.returncode:
            why = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise ValueError(f"--beside {name}: cannot install {' '.join(REQUIRES[name])} into {folder} ({why}); "
                             "it needs PyPI")  # fmt: skip
    (folder / ".ready").touch()
    return python


@contextmanager
def screen() -> Iterator[str]:
    """A display that nobody looks at, for OpenGL; ValueError where there is neither a display nor Xvfb."""
    if os.environ.get("DISPLAY"):
        yield os.environ["DISPLAY"]
        return
    xvfb = shutil.which("Xvfb")
    if xvfb is None:
        raise ValueError("--beside metadrive: its camera needs a display; found none, and no Xvfb (apt install xvfb)")
    told, tell = os.pipe()
    server = subprocess.Popen([xvfb, "-displayfd", str(tell), "-screen", "0", "1024x768x24", "-nolisten", "tcp"],
                              pass_fds=(tell,), stderr=subprocess.DEVNULL)  # fmt: skip
    os.close(tell)
    try:
        with os.fdopen(told) as pipe:
            number = pipe.readline().strip()
        if not number:
            raise ValueError("--beside metadrive: Xvfb did not start")
        yield f":{number}"
    finally:
        server.terminate()
        server.wait()


def ask(name: str, script: str, *arguments: object, display: str = "") -> dict[str, Any]:
    """What a script of `others` prints, run in the other's environment."""
    command = [str(environment(name)), str(HERE / script), *map(str, arguments)]
    variables = os.environ | {"OMP_NUM_THREADS": "1", "DISPLAY": display, "LIBGL_ALWAYS_SOFTWARE": "1"}
    variables.pop("PYTHONPATH", None)
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=variables, timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        raise ValueError(f"--beside {name}: {script} gave no answer in {PATIENCE_S:.0f} s") from None
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not lines:
        why = ((done.stderr or done.stdout).strip().splitlines() or ["no reason given"])[-1]
        raise ValueError(f"--beside {name}: {script} failed ({why})")
    answer: dict[str, Any] = json.loads(lines[-1])
    return answer


def compare(others: list[str], map_: str, seconds: float) -> Iterator[Figure]:
    """Their steps, ours, and how many times more ours are: medians over medians."""
    ours = next(iter(learner(map_, seconds)))
    yield ours
    runs = (
        [("metadrive", "MetaDrive 0.3.0.1, lidar", "drive_metadrive.py", (seconds, 0, 0))]
        if "metadrive" in others
        else []
    )
    if "highway-env" in others:
        runs += [("highway-env", f"highway-env, {env}", "drive_highway.py", (seconds, env)) for env in HIGHWAYS]
    for name, title, script, arguments in runs:
        said = ask(name, script, *arguments)
        theirs = rate_figure(f"{title}: env steps", 1, said["times_ms"], "steps/s",
                             note=f"one env, {said['vehicles']:.1f} other vehicles")  # fmt: skip
        yield theirs
        yield ratio(f"  ours over {title}", ours, theirs.median, AIM_RATIO)
    if "metadrive" in others:
        yield from cameras(map_, seconds)


def cameras(map_: str, seconds: float) -> Iterator[Figure]:
    """One env with one RGB camera."""
    with screen() as display:
        said = ask("metadrive", "drive_metadrive.py", seconds, WIDTH, HEIGHT, display=display)
    vehicles = round(said["vehicles"])
    theirs = rate_figure(f"MetaDrive 0.3.0.1, RGB {WIDTH}x{HEIGHT}: env steps", 1, said["times_ms"], "steps/s",
                         note=f"one env, {vehicles} other vehicles, software OpenGL")  # fmt: skip
    yield theirs
    times, picture = camera_env_ms(map_, seconds, vehicles)
    ours = rate_figure(f"ours, RGB {WIDTH}x{HEIGHT}: env steps", 1, times, "steps/s",
                       note=f"one world, {vehicles} other vehicles, on {map_}; depth, class and instance come with it")  # fmt: skip
    assert picture.std() > 0.0
    yield ours
    yield ratio("  ours over MetaDrive's RGB as measured here", ours, theirs.median, None)
    yield ratio(f"  ours over MetaDrive's published {PUBLISHED_CAMERA_HZ:g}/s", ours, PUBLISHED_CAMERA_HZ, None)


def ratio(what: str, ours: Figure, theirs: float, aim: float | None) -> Figure:
    """How many times more: our spread over their median."""
    values = spread([rate / theirs for rate in (ours.p10, ours.median, ours.p90)])
    middle, low, high = (float(np.round(v, 2)) for v in values)
    return Figure(what, "x", middle, low, high, LEAST_RATIO, aim, more_is_better=True)
