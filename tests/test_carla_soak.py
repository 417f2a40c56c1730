"""Fifty thousand ticks of the real client with a hundred loads of a map: nothing is lost, and nothing is left behind."""

import json
import subprocess
import sys
from statistics import mean
from typing import Any

import pytest

from tests.carla_server import ROOT, Served

TICKS, LOADS = 50_000, 100
SETTLED = 20  # loads until every map has been there and pools are filled
ROUND = 3  # maps that take turns, each of its own size
GROWTH_MB = 20.0


pytestmark = pytest.mark.carla


def soaked(served: Served, tm_port: int, ticks: int, loads: int) -> dict[str, Any]:
    """What the program says of its run. Its process ends by itself; every camera gave each tick's picture once, in order."""
    arguments = [served.port, tm_port, ticks, loads, served.process.pid]
    command = [sys.executable, "-X", "faulthandler", "-m", "tests.programs.soak", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=7000)
    assert done.returncode == 0
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    assert (found["ticks"], found["loads"]) == (ticks, loads)
    assert found["wrong"] == []
    assert found["cars"] >= 40 and found["walkers"] >= 15
    return found


@pytest.mark.slow
def test_a_few_loads_of_several_maps(served: Served) -> None:
    soaked(served, 8132, 150, 3)


@pytest.mark.soak
def test_a_long_run_loses_no_picture_and_keeps_no_memory(served: Served, capfd: pytest.CaptureFixture[str]) -> None:
    with capfd.disabled():  # it says every now and then how far it is
        found = soaked(served, 8131, TICKS, LOADS)
    assert found["moved"] > 0.3
    held = found["server_mb"]
    assert mean(held[-ROUND:]) - mean(held[SETTLED - ROUND : SETTLED]) < GROWTH_MB
