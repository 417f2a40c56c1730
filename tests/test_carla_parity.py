"""The same drive, with the whole stack, in one process and over a socket (docs/carla.md has two thousand ticks)."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scripts.build import DriveSettings
from scripts.parity import apart, logged
from tests.carla_server import ROOT, Served

pytestmark = [pytest.mark.carla, pytest.mark.slow]
MODULES = ("pictures", "lidar", "radar", "imu", "gnss", "wheels", "pedals")


def test_a_drive_is_the_same_in_one_process_and_over_the_socket(served: Served) -> None:
    """Everybody within 1 mm and 1e-3 rad, and every sensor the same to the last bit."""
    here = logged(DriveSettings(rehearsed=True, seed=3), 200)
    there = logged(DriveSettings(world="carla", rehearsed=True, port=served.port, seed=3), 200)
    found = apart(here, there)
    assert found["ticks"] == (200, 200) and found["actors_everywhere"]
    assert len(here.actors[0]) >= 15
    assert max(found["ego_m"], found["actors_m"]) < 1e-3
    assert max(found["ego_rad"], found["actors_rad"]) < 1e-3
    assert {name: found[name] for name in MODULES} == dict.fromkeys(MODULES)
    assert found["events"][0] == found["events"][1]


def test_settings_and_actors_are_handed_back(served: Served) -> None:
    world = served.client().load_world("holdout_a")
    logged(DriveSettings(world="carla", rehearsed=True, port=served.port, seed=3), 5)
    world = served.client().get_world()
    assert not world.get_settings().synchronous_mode
    world.wait_for_tick()
    assert not len(world.get_actors().filter("vehicle.*")) and not len(world.get_actors().filter("sensor.*"))
    assert not any(light.is_frozen() for light in world.get_actors().filter("traffic.traffic_light"))


def drive(port: int, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "scripts.cli", "drive", "--world", "carla", "--port", str(port), "--seed", "3"]
    return subprocess.Popen([*command, *more], cwd=ROOT, stderr=subprocess.PIPE, text=True)


def wait_until(found: Path, size: int) -> None:
    until = time.time() + 60.0
    while time.time() < until and (not found.exists() or found.stat().st_size < size):
        time.sleep(0.2)


def test_a_server_that_dies_ends_the_drive_with_one_line_and_a_readable_recording(tmp_path: Path) -> None:
    server, record = Served(), tmp_path / "lost.mcap"
    process = drive(server.port, "--record", str(record))
    part = tmp_path / "lost.mcap.part"
    wait_until(part, 400_000)
    server.process.kill()
    server.process.wait(10)
    _, said = process.communicate(timeout=90)
    server.close()
    lines = [line for line in said.splitlines() if line.startswith("ringroad:")]
    assert process.returncode == 1
    assert lines and all("CARLA server is gone" in line for line in lines)
    assert "Traceback" not in said and str(part) in lines[0]
    done = subprocess.run(
        [sys.executable, "-m", "scripts.cli", "replay", str(part), "--json", "-"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["ticks"] > 5


def test_an_interrupted_drive_hands_everything_back(tmp_path: Path) -> None:
    server, record = Served(), tmp_path / "cut.mcap"
    process = drive(server.port, "--record", str(record))
    wait_until(tmp_path / "cut.mcap.part", 400_000)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in said
    world = server.client().get_world()
    assert not world.get_settings().synchronous_mode
    world.wait_for_tick()
    assert not len(world.get_actors().filter("vehicle.*"))
    server.close()


def test_no_server_and_a_map_that_it_does_not_know_are_said(served: Served) -> None:
    done = drive(1)
    _, said = done.communicate(timeout=90)
    assert done.returncode == 2
    assert "no CARLA server answers at 127.0.0.1:1" in said and "ringroad serve --port 1" in said
    done = drive(served.port, "--map", "Nowhere")
    _, said = done.communicate(timeout=90)
    assert done.returncode == 2 and "it knows" in said and "town_a" in said
