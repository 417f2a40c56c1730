"""Fifty thousand ticks of the real client with a hundred loads of a map: nothing is lost, and nothing is left behind."""

import json
import subprocess
import sys

import pytest

from tests.carla_server import ROOT, Served

TICKS, LOADS = 50_000, 100
SETTLED = 20  # loads until every map has been there and pools are filled
GROWTH_MB = 20.0


@pytest.mark.carla
@pytest.mark.soak
def test_a_long_run_loses_no_picture_and_keeps_no_memory(served: Served, capfd: pytest.CaptureFixture[str]) -> None:
    """The client's process ends by itself; every camera gives each tick's picture once and in order."""
    arguments = [served.port, 8131, TICKS, LOADS, served.process.pid]
    command = [sys.executable, "-m", "tests.programs.soak", *map(str, arguments)]
    with capfd.disabled():  # it says every now and then how far it is
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=7000)
    assert done.returncode == 0
    found = json.loads(done.stdout.strip().splitlines()[-1])
    assert found["ticks"] == TICKS and found["loads"] == LOADS
    assert found["wrong"] == []
    assert found["cars"] >= 40 and found["walkers"] >= 15
    assert found["moved"] > 0.3
    held = found["server_mb"]
    assert held[-1] - held[SETTLED - 1] < GROWTH_MB
