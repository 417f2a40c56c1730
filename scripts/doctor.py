"""`ringroad doctor`: what this machine has, what is missing, and how to get it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import sys
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

NEEDED = (
    "torch",
    "torchvision",
    "warp-lang",
    "numpy",
    "scipy",
    "shapely",
    "lxml",
    "gymnasium",
    "stable-baselines3",
    "mcap",
    "av",
)
FOR_CARLA = "carla"


def checks() -> list[tuple[str, bool, str]]:
    """(what, present, version or remedy) of each thing looked at."""
    from control.policy import WEIGHTS as POLICY
    from perception.lights import WEIGHTS as LIGHTS
    from perception.network import WEIGHTS as NETWORK

    found: list[tuple[str, bool, str]] = []
    for name in (*NEEDED, FOR_CARLA):
        try:
            found.append((name, True, importlib.metadata.version(name)))
        except importlib.metadata.PackageNotFoundError:
            remedy = "only for --world carla, Linux x86-64 and Windows" if name == FOR_CARLA else f"pip install {name}"
            found.append((name, False, remedy))
    cuda = torch.cuda.is_available()
    found.append(("CUDA", cuda, torch.cuda.get_device_name() if cuda else "not needed; --device cpu is used"))
    for path in (NETWORK, LIGHTS, POLICY):
        found.append((path.name, path.is_file(), str(path) if path.is_file() else "make weights"))
    spec = importlib.util.find_spec("control")
    ours = (
        spec is not None
        and spec.origin is not None
        and Path(spec.origin).parent == Path(__file__).parents[1] / "control"
    )
    found.append(
        ("package `control` is ours", ours, "" if ours else "python-control is installed too: use a venv of its own")
    )
    return found


def run() -> int:
    """Print the table; 0 when a drive on the CPU can start, else 1."""
    table = Table()
    for column in ("what", "here", "version, or what to do"):
        table.add_column(column)
    rows = checks()
    for what, here, note in rows:
        table.add_row(what, "yes" if here else "no", note)
    Console().print(table)
    optional = ("CUDA", FOR_CARLA)
    missing = [what for what, here, _ in rows if not here and what not in optional]
    if missing:
        sys.stderr.write(f"ringroad doctor: missing: {', '.join(missing)}\n")
    return 1 if missing else 0
