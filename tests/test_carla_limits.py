"""The limits of the CARLA server: of messages and replies, of ports, maps and disks; and how it ends."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.carla_raw import SYNCHRONOUS, Raw
from tests.carla_server import ROOT, Served, memory_bytes

pytestmark = [pytest.mark.carla, pytest.mark.slow]
MOST_GROWN_BYTES = 84e6  # one message's buffer may stay with the process


def test_a_message_that_is_too_long_ends_its_connection_alone(served: Served) -> None:
    raw, other = Raw(served.port), Raw(served.port)
    before = memory_bytes(served)
    raw.sock.sendall(b"\x94\x00\x01\xdb\xff\xff\xff\xff")  # a method's name of 4 GB
    sent, piece = 0, b"x" * (1 << 20)
    with pytest.raises((OSError, EOFError)):
        while sent < 200:
            raw.sock.sendall(piece)
            sent += 1
        raw.reply()
    assert sent < 100
    assert other.value("version") == "0.9.16"
    assert memory_bytes(served) - before < MOST_GROWN_BYTES
    raw.close()
    other.close()


def test_replies_that_nobody_fetches_end_their_connection_alone(served: Served) -> None:
    """A client asks for all blueprints again and again and does not read."""
    raw, other = Raw(served.port), Raw(served.port)
    for _ in range(2000):
        try:
            raw.send("get_actor_definitions")
        except OSError:
            break
    assert other.value("version") == "0.9.16"
    with pytest.raises((OSError, EOFError)):
        for _ in range(2000):
            raw.reply()
    raw.close()
    other.close()


def refused(*arguments: str) -> str:
    """What `ringroad serve` says before it ends with exit code 2: one line."""
    command = [sys.executable, "-m", "scripts.cli", "serve", "--device", "cpu", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2, done.stderr
    lines = [line for line in done.stderr.splitlines() if not line.startswith("Warp CUDA")]
    assert len(lines) == 1, done.stderr
    return lines[0]


@pytest.mark.slow
def test_what_cannot_be_served_is_said_in_one_line(served: Served, tmp_path: Path) -> None:
    taken = refused("--port", str(served.port))
    assert str(served.port) in taken and "in use" in taken
    assert "Atlantis" in refused("--port", "0", "--map", "Atlantis")
    assert str(tmp_path / "none") in refused("--port", "0", "--maps", str(tmp_path / "none"))
    assert "none.xodr" in refused("--port", "0", "--map", str(tmp_path / "none.xodr"))
    (tmp_path / "bad.xodr").write_text("<OpenDRIVE>\n<road></OpenDRIVE>")
    assert "bad" in refused("--port", "0", "--map", str(tmp_path / "bad.xodr"))
    assert "host.invalid" in refused("--port", "0", "--host", "host.invalid")


@pytest.mark.slow
def test_a_broken_map_is_told_to_whom_it_concerns(tmp_path: Path) -> None:
    """The server starts, and says file and line to the client that wants it."""
    (tmp_path / "cut.xodr").write_text("<OpenDRIVE>\n<header/>\n<road id='1'>\n")
    (tmp_path / "latin.xodr").write_bytes(b"<OpenDRIVE name='\xe4'/>")
    (tmp_path / "empty.xodr").write_text("")
    server = Served("--maps", str(tmp_path), cwd=tmp_path)
    try:
        client = server.client()
        for name, said in (("cut", r"cut\S*:\d+: "), ("latin", "latin"), ("empty", r"empty\S*:1: ")):
            with pytest.raises(RuntimeError, match=said):
                client.load_world(name)
        assert client.get_world().get_map().name.endswith("town_a")
    finally:
        server.close()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_when_asked_to_and_a_recording_under_way_can_be_read(number: int, tmp_path: Path) -> None:
    server = Served(cwd=tmp_path)
    raw = Raw(server.port)
    raw.value("set_episode_settings", SYNCHRONOUS)
    raw.value("start_recorder", "under_way.rec", True)
    for _ in range(10):
        raw.value("tick_cue")
    server.process.send_signal(number)
    assert server.process.wait(10) == 0
    with pytest.raises((EOFError, OSError)):
        raw.value("version")
    raw.close()
    server.close()
    again = Served(cwd=tmp_path)
    reader = Raw(again.port)
    assert "Frames: 10" in reader.value("show_recorder_file_info", "under_way.rec", False)
    reader.close()
    again.close()


@pytest.mark.slow
def test_a_recorder_that_cannot_write_says_so_and_the_drive_goes_on(tmp_path: Path) -> None:
    server = Served(cwd=tmp_path, limit_bytes=200_000)  # as a disk that is full after so much
    try:
        raw = Raw(server.port)
        raw.value("set_episode_settings", SYNCHRONOUS)
        raw.value("start_recorder", "full.rec", True)
        for _ in range(50):
            raw.value("tick_cue")
        text = raw.value("show_recorder_file_info", "full.rec", False)
        frames = int(text.split("Frames: ")[1].split()[0])
        assert 2 < frames < 50
        raw.call("stop_recorder")
        for name in ("../../outside.rec", "/outside.rec"):  # the name alone counts
            path = Path(raw.value("start_recorder", name, True))
            assert path == (tmp_path / "out/recordings/outside.rec").resolve()
        for name in ("", "..", ".", "/", "a\0b", "x" * 300, "..//"):
            assert raw.call("start_recorder", name, True)[0][0] == 0, name
        raw.close()
    finally:
        server.close()
    assert {p.name for p in tmp_path.rglob("*") if p.is_file()} == {"full.rec", "outside.rec"}


@pytest.mark.slow
def test_a_folder_that_cannot_be_written_to_is_said(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("no folder")
    server = Served(cwd=tmp_path)
    try:
        raw = Raw(server.port)
        ((good, said),) = raw.call("start_recorder", "x.rec", True)
        assert good == 0 and "x.rec" in said[0] and "cannot be written" in said[0]
        raw.value("tick_cue")
        raw.close()
    finally:
        server.close()
