"""`make weights`: data, network and policy from fixed seeds, side by side on two cores, then into the repository.

python -m scripts.weights                 train what is not finished in out/, then install
python -m scripts.weights --install-only  copy finished weights, cards and curves into place
"""

from __future__ import annotations

import csv
import shutil
import subprocess
import sys
import time
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt

ROOT = Path(__file__).parents[1]
OUT = ROOT / "out"
JOBS = {"perception": ("network.safetensors", "lights.safetensors"), "policy": ("policy.safetensors",)}
PLACE = {"perception": ROOT / "perception" / "weights", "policy": ROOT / "control" / "weights"}
CURVES = {
    "perception": ("network_curve.csv", "step", ("heat", "box", "distance", "segmentation"), "loss"),
    "policy": (
        "curve.csv",
        "samples",
        ("done", "collision", "red_light", "off_route", "stuck", "time"),
        "share of episodes",
    ),
}


def train() -> None:
    """Both trainings at once, one process and one thread each; their logs go to out/."""
    OUT.mkdir(exist_ok=True)
    running = {}
    for name in JOBS:
        log = (OUT / f"{name}.log").open("a", encoding="utf-8")
        command = [
            sys.executable,
            "-m",
            "scripts.cli",
            "train",
            name,
            "--seed",
            "0",
            "--out",
            str(OUT / name),
            "--resume",
        ]
        running[name] = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
        print(f"{name}: training, log in {OUT / f'{name}.log'}")
    while running:
        time.sleep(1.0)
        for name, process in list(running.items()):
            if process.poll() is not None:
                del running[name]
                if process.returncode:
                    raise SystemExit(f"{name}: training failed with exit code {process.returncode}, see its log")
                print(f"{name}: done")


def install() -> None:
    """Copy weights and cards into the packages, curves into docs/."""
    for name, files in JOBS.items():
        PLACE[name].mkdir(exist_ok=True)
        for file in files:
            shutil.copy(OUT / name / file, PLACE[name] / file)
            shutil.copy((OUT / name / file).with_suffix(".json"), (PLACE[name] / file).with_suffix(".json"))
        draw_curve(name)


def draw_curve(name: str) -> None:
    """docs/curve_NAME.png from the training's CSV."""
    file, x, columns, label = CURVES[name]
    with (OUT / name / file).open(encoding="utf-8") as text:
        rows = list(csv.DictReader(text))
    figure, axes = plt.subplots(figsize=(7, 3.5), layout="constrained")
    for column in columns:
        axes.plot([float(r[x]) for r in rows], [float(r[column]) for r in rows], label=column, linewidth=1.2)
    axes.set_xlabel(x)
    axes.set_ylabel(label)
    axes.set_ylim(bottom=0.0, top=1.05 if name == "policy" else 2.0)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, ncols=3)
    axes.set_title(f"make weights: {name}")
    figure.savefig(ROOT / "docs" / f"curve_{name}.png", dpi=110)


def main() -> None:
    if "--install-only" not in sys.argv[1:]:
        train()
    install()


if __name__ == "__main__":
    main()
