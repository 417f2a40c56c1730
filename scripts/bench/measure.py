"""Figures: a median with its spread, the bounds it is held to, and the machine it was taken on."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).parents[2]
LEAST_SAMPLES = 5


@dataclass(frozen=True)
class Figure:
    """What was measured. `at_least` and `aim`: bounds on the median; a time may not exceed them, a rate not fall short."""

    what: str
    unit: str
    median: float
    p10: float
    p90: float
    at_least: float | None = None
    aim: float | None = None
    more_is_better: bool = False
    note: str = ""

    def meets(self, bound: float | None) -> bool | None:
        """None where there is no bound."""
        if bound is None:
            return None
        return bool(self.median >= bound if self.more_is_better else self.median <= bound)

    def record(self) -> dict[str, Any]:
        """For the JSON."""
        return {
            "median": self.median, "p10": self.p10, "p90": self.p90, "unit": self.unit, "at_least": self.at_least,
            "aim": self.aim, "passes_at_least": self.meets(self.at_least), "passes_aim": self.meets(self.aim),
            "note": self.note,
        }  # fmt: skip


def sample_ms(work: Callable[[], Any], seconds: float, before: Callable[[], Any] = lambda: None) -> list[float]:
    """Milliseconds of each call of `work` within `seconds`; `before` goes ahead of each, untimed. The first is dropped."""
    times: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) <= LEAST_SAMPLES:
        before()
        start = time.perf_counter()
        work()
        times.append(1e3 * (time.perf_counter() - start))
    return times[1:]


def spread(values: Sequence[float]) -> tuple[float, float, float]:
    """Median, 10th and 90th percentile, to five digits."""
    middle, low, high = (float(f"{v:.5g}") for v in np.percentile(values, (50, 10, 90)))
    return middle, low, high


def time_figure(what: str, times_ms: Sequence[float], at_least: Any = None, aim: Any = None, note: str = "") -> Figure:
    """A time in ms."""
    return Figure(what, "ms", *spread(times_ms), at_least, aim, note=note)


def rate_figure(
    what: str, count: float, times_ms: Sequence[float], unit: str, at_least: Any = None, aim: Any = None, note: str = ""
) -> Figure:
    """`count` things done in each of the times, per second."""
    rates = [1e3 * count / ms for ms in times_ms]
    return Figure(what, unit, *spread(rates), at_least, aim, more_is_better=True, note=note)


def share_figure(what: str, shares: Sequence[float], at_least: Any = None, aim: Any = None, note: str = "") -> Figure:
    """Percent of agreement, one number for each view."""
    low, middle, high = np.percentile(np.asarray(shares) * 100.0, (10, 50, 90))
    return Figure(what, "%", *(round(float(v), 4) for v in (middle, low, high)), at_least, aim, True, note)


def machine() -> dict[str, Any]:
    """Processor, cores, versions, commit, and how busy the machine was."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        lines = [line for line in cpuinfo.read_text(encoding="utf-8").splitlines() if line.startswith("model name")]
        model = lines[0].partition(":")[2].strip() if lines else model
    return {
        "processor": model, "cores": os.cpu_count(), "python": platform.python_version(),
        "versions": {name: version(name) for name in ("warp-lang", "numpy", "torch")},
        "torch_threads": torch.get_num_threads(), "commit": _commit(), "load": [round(x, 2) for x in os.getloadavg()],
    }  # fmt: skip


def _commit() -> str:
    """Of the checkout, with a + where files differ from it; empty outside a checkout."""
    try:
        said = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--abbrev=10"], cwd=ROOT, capture_output=True, text=True
        )
    except OSError:
        return ""
    return said.stdout.strip()
