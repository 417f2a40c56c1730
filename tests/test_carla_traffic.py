"""The client's own TrafficManager and AI walkers on our world. Each in a process of its own: a TrafficManager that is
told of an error ends its process, and that must fail a test and not the suite."""

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.carla_server import ROOT, Served

pytestmark = [pytest.mark.carla, pytest.mark.slow]


def ran(served: Served, program: str, tm_port: int, *arguments: str) -> dict[str, Any]:
    """What a program of tests/programs prints as JSON on its last line."""
    command = [sys.executable, "-m", f"tests.programs.{program}", str(served.port), str(tm_port), *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def test_traffic_keeps_to_its_lanes_stops_at_red_and_repeats(served: Served) -> None:
    """Need 8; and the same TrafficManager seed twice is the same traffic, bit for bit."""
    first, second = ran(served, "traffic", 8113), ran(served, "traffic", 8114)
    assert first["cars"] >= 28
    assert first["hash"] == second["hash"]
    assert first["median_off_m"] < 0.2 and first["p99_off_m"] < 1.5
    assert first["moved"] >= 0.8 * first["cars"]
    assert first["touched"] == 0
    assert first["ran_red"] == 0


def test_traffic_takes_turns_at_stop_signs(served: Served) -> None:
    """Need 8. Twelve junctions with one stop sign each: without taking turns eleven cars stand for good by now."""
    found = ran(served, "traffic", 8118, "suburb", "50", "2")
    assert found["moved"] >= 48
    assert found["stuck"] == 0 and found["touched"] == 0


def test_ai_walkers_walk_on_our_navigation_mesh(served: Served) -> None:
    """Need 28."""
    found = ran(served, "walkers", 8115)
    assert found["walkers"] >= 17
    assert found["far"] >= 0.6 * found["walkers"]
    assert found["speed_mps"] == pytest.approx(1.4, abs=0.3)
    assert found["low_m"] > -0.15 and found["high_m"] < 0.15  # of their feet over the ground


def test_traffic_in_a_free_running_world(served: Served) -> None:
    found = ran(served, "free", 8116)
    assert found["moved"] >= 0.6 * found["cars"]
    assert found["ticks"] > 150


def test_hybrid_traffic_is_told_at_the_speed_at_which_it_goes(served: Served) -> None:
    """Need 16: far from the hero the TrafficManager places its cars; their velocity is what takes them along."""
    found = ran(served, "hybrid", 8117)
    assert found["far"] > 100
    assert found["gone_mps"] > 1.0
    assert found["told_mps"] == pytest.approx(found["gone_mps"], rel=0.1)
