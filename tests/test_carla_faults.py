"""The CARLA server under bad treatment: garbage, killed clients, sockets that say nothing or never read, bad numbers."""

from __future__ import annotations

import random
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import pytest

from tests.carla_garbage import noise, wrong_call
from tests.carla_raw import SYNCHRONOUS, Raw, frame, subscribed
from tests.carla_server import ROOT, Served, die_with_parent, memory_bytes

pytestmark = [pytest.mark.carla, pytest.mark.slow]
MOST_GROWN_BYTES = 20e6
LONGEST_S = 2.0  # a good client's tick meanwhile: the server waits a second for an announced subscriber


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server for mistreatment."""
    server = Served("--tidy", cwd=tmp_path_factory.mktemp("served"))
    yield server
    server.close()


class Good(threading.Thread):
    """A client that ticks and listens as it should, all the time."""

    def __init__(self, server: Served) -> None:
        super().__init__(daemon=True)
        self._raw = Raw(server.port)
        self._raw.value("set_episode_settings", SYNCHRONOUS)
        self._stream = subscribed(server.stream_port, 1)
        self.frames, self.longest_s, self.fault = [self._frame()], 0.0, ""
        self._on = True

    def _frame(self) -> int:
        kind, number = struct.unpack_from("<QQ", frame(self._stream))
        assert kind == 17
        return int(number)

    def run(self) -> None:
        try:
            while self._on:
                began = time.monotonic()
                wanted = self._raw.value("tick_cue")
                while self.frames[-1] < wanted:
                    self.frames.append(self._frame())
                self.longest_s = max(self.longest_s, time.monotonic() - began)
                time.sleep(0.005)
        except (AssertionError, OSError, EOFError) as error:
            self.fault = repr(error)

    def end(self) -> None:
        """Stop, and say whether all went well."""
        self._on = False
        self.join(20.0)
        self._raw.close()
        self._stream.close()
        assert not self.fault
        assert self.frames == list(range(self.frames[0], self.frames[-1] + 1)), "frames are missing"
        assert self.longest_s < LONGEST_S


def mistreat(server: Served, seed: int, count: int) -> None:
    """So many messages of a seed to both ports; every request that can be read is answered, and never by an RPC error."""
    from sim.carla.server.methods import METHODS, load_all

    load_all()
    names = sorted(set(METHODS) - {"load_new_episode", "set_actor_dead", "stop_recorder"})
    rng, raw = random.Random(seed), Raw(server.port)
    ids = [1, 2, raw.spawn("vehicle.tesla.model3", [[20.0 * seed, 0.0, -400.0], [0.0] * 3]), raw.spawn("sensor.camera.rgb"),
           raw.spawn("walker.pedestrian.0002", [[20.0 * seed + 9.0, 0.0, -400.0], [0.0] * 3]), 0, -1, 2**32 - 1]  # fmt: skip
    for name in names * (count // (2 * len(names)) or 1):
        name_, args = wrong_call(rng, [name], ids)
        raw.call(name_, *args)
    for _ in range(count // 2):
        port = server.stream_port if rng.random() < 0.3 else server.port
        with socket.create_connection(("127.0.0.1", port), timeout=20.0) as sock:
            try:
                sock.sendall(noise(rng, names, ids))
                if rng.random() < 0.1:
                    sock.shutdown(socket.SHUT_WR)
                    while sock.recv(1 << 16):
                        pass
            except OSError:
                pass  # hung up in the middle
    raw.close()


def warm(server: Served) -> None:
    """Have it made what is made once for a town."""
    raw = Raw(server.port)
    raw.value("get_required_files", "Nav")
    raw.value("get_environment_objects", 255)
    raw.close()


def still_serves(server: Served) -> None:
    """A new stock client finds a world that it can use, and nothing in it is nowhere."""
    import carla

    client = server.client()
    world = client.get_world()
    world.tick()
    point = world.get_map().get_spawn_points()[3]
    car = world.spawn_actor(world.get_blueprint_library().find("vehicle.audi.tt"), point)
    for _ in range(20):
        world.tick()
    car.apply_control(carla.VehicleControl(throttle=1.0))
    for _ in range(20):
        world.tick()
    assert car.get_velocity().length() > 1.0
    finite(world)
    car.destroy()


def finite(world: Any) -> None:
    for state in world.get_snapshot():
        place, turn, v = state.get_transform().location, state.get_transform().rotation, state.get_velocity()
        for number in (place.x, place.y, place.z, turn.pitch, turn.yaw, turn.roll, v.x, v.y, v.z):
            assert abs(number) < 1.001e6, (state.id, place, turn, v)


def test_garbage_is_survived(own: Served) -> None:
    warm(own)
    good = Good(own)
    good.start()
    mistreat(own, 1, 1000)
    good.end()
    still_serves(own)


@pytest.mark.slow
def test_ten_thousand_messages_leave_no_trace(own: Served) -> None:
    warm(own)
    mistreat(own, 2, 2000)
    before = memory_bytes(own)
    good = Good(own)
    good.start()
    mistreat(own, 3, 10_000)
    good.end()
    still_serves(own)
    assert memory_bytes(own) - before < MOST_GROWN_BYTES


# ---------------------------------------------------------------- killed clients


def doomed(server: Served) -> tuple[subprocess.Popen[str], int, list[int]]:
    """A client under way: its process, its TrafficManager's port, its actors."""
    command = [sys.executable, "-m", "tests.programs.doomed", str(server.port)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, preexec_fn=die_with_parent)
    assert process.stdout is not None
    line = process.stdout.readline().split()
    assert line[:2] == ["under", "way"], line
    return process, int(line[2]), [int(number) for number in line[3:]]


def killed(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait(10)
    assert process.stdout is not None
    process.stdout.close()
    time.sleep(0.3)  # the server finds out


@pytest.mark.slow
@pytest.mark.parametrize("tidy", [True, False])
def test_a_killed_client_leaves_no_ghost(tidy: bool, tmp_path: Path) -> None:
    """Need 35: nobody is left, so the world runs on by itself; the TrafficManager is forgotten, `--tidy` removes actors."""
    server = Served(*(["--tidy"] if tidy else []), cwd=tmp_path)
    try:
        process, port, ids = doomed(server)
        watcher = Raw(server.port)
        assert watcher.value("is_traffic_manager_running", port) is True
        assert watcher.value("get_episode_settings")[0] is True
        killed(process)
        assert watcher.value("is_traffic_manager_running", port) is False
        assert watcher.value("get_episode_settings")[0] is True, "somebody is still there"
        first = watcher.value("tick_cue")
        assert watcher.value("tick_cue") == first + 1
        there = [actor[0] for actor in watcher.value("get_actors_by_id", ids)]
        assert sorted(there) == ([] if tidy else sorted(ids))
        watcher.close()
        with socket.create_connection(("127.0.0.1", server.port)):  # who says nothing is no client
            time.sleep(0.3)
            late = Raw(server.port)
            assert late.value("get_episode_settings")[0] is False
            stream = subscribed(server.stream_port, 1)
            numbers = [struct.unpack_from("<QQ", frame(stream))[1] for _ in range(10)]
            assert numbers == list(range(numbers[0], numbers[0] + 10))
            stream.close()
            late.close()
    finally:
        server.close()


# ---------------------------------------------------------------- sockets that say nothing, or never read


def camera_of(raw: Raw, **size: int) -> tuple[int, int]:
    """A camera above the town: its actor and its stream."""
    place = [[0.0, 0.0, 40.0], [-90.0, 0.0, 0.0]]
    id_ = raw.spawn("sensor.camera.rgb", place, **size)
    ((*_, token),) = raw.value("get_actors_by_id", [id_])
    return id_, struct.unpack_from("<I", token)[0]


def test_silent_sockets_hold_nobody_up(own: Served) -> None:
    """200 connections that say nothing on either port, or only half of a stream's number, or one that is nobody's."""
    raw = Raw(own.port)
    raw.value("set_episode_settings", SYNCHRONOUS)
    raw.value("tick_cue")
    silent = [socket.create_connection(("127.0.0.1", own.port)) for _ in range(100)]
    silent += [socket.create_connection(("127.0.0.1", own.stream_port)) for _ in range(100)]
    for sock in silent[100:150]:
        sock.sendall(b"\x01\x00")
    for sock in silent[150:]:
        sock.sendall(struct.pack("<I", 3_000_000_000))
    times = []
    for _ in range(50):
        began = time.monotonic()
        raw.value("tick_cue")
        times.append(time.monotonic() - began)
    assert max(times) < LONGEST_S and sorted(times)[25] < 0.05
    for sock in silent[150:]:
        sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            sock.recv(1)
    for sock in silent:
        sock.close()
    raw.close()


def test_who_asks_for_a_stream_and_does_not_come_is_waited_for_once(own: Served) -> None:
    raw, other = Raw(own.port), Raw(own.port)
    raw.value("set_episode_settings", SYNCHRONOUS)
    began = time.monotonic()
    for _ in range(20):
        other.value("get_sensor_token", 1)
        raw.value("tick_cue")
    assert time.monotonic() - began < 2.0, "20 times half a second"
    with subscribed(own.stream_port, 1) as stream:  # it comes after all, and misses nothing
        frame(stream)
        other.value("get_sensor_token", 1)
        with subscribed(own.stream_port, 1) as second:
            wanted = raw.value("tick_cue")
            assert struct.unpack_from("<QQ", frame(second))[1] in (wanted - 1, wanted)
    other.close()
    raw.close()


@pytest.mark.slow
def test_who_never_reads_loses_whole_frames_and_holds_up_nobody(own: Served) -> None:
    """A subscriber of a camera of 640 x 360 that stops to read: ticks take as long as before, and what it finds in its
    socket later are whole frames in order, with a gap."""
    raw = Raw(own.port)
    raw.value("set_episode_settings", SYNCHRONOUS)
    _, stream = camera_of(raw, image_size_x=640, image_size_y=360)
    raw.value("get_sensor_token", stream)  # the next tick waits for
    reader = subscribed(own.stream_port, stream)
    got: list[int] = []

    def tick() -> float:
        began = time.monotonic()
        raw.value("tick_cue")
        got.append(struct.unpack_from("<QQ", frame(reader))[1])
        return time.monotonic() - began

    usual = [tick() for _ in range(30)][10:]
    raw.value("get_sensor_token", stream)
    lazy = subscribed(own.stream_port, stream)
    slowed = [tick() for _ in range(200)]
    assert sorted(slowed)[100] < 2.0 * sorted(usual)[10]
    assert got == list(range(got[0], got[0] + 230))
    numbers: list[int] = []
    lazy.settimeout(2.0)
    while not numbers or numbers[-1] < got[-1]:
        try:
            body = frame(lazy)
        except TimeoutError:
            tick()  # what was queued is through: the next one must come
            continue
        kind, number, *_ = struct.unpack_from("<QQ", body)
        width, height = struct.unpack_from("<II", body, 48)
        assert (kind, width, height, len(body)) == (13, 640, 360, 60 + 640 * 360 * 4)
        assert not numbers or number > numbers[-1]
        numbers.append(number)
    assert 60 < len(numbers) < 200
    raw.close()
    reader.close()
    lazy.close()


@pytest.mark.parametrize(("asks", "woken"), [(1, True), (0, False), (5, False)])
def test_a_traffic_manager_that_missed_a_frame_is_woken(own: Served, asks: int, woken: bool) -> None:
    """Its thread asks for the settings once before it waits for a frame, and then sends its cars' commands. One that
    does so no more has missed the frame; one that never did, or asks all the time, is not synchronous."""
    raw = Raw(own.port)
    with socket.create_server(("127.0.0.1", 0)) as manager:
        port = manager.getsockname()[1]
        raw.value("set_episode_settings", SYNCHRONOUS)
        assert raw.value(
            "add_traffic_manager_running", ["10.1.2.3", port]
        )  # whatever it says: it is where its client is
        for _ in range(30):
            for _ in range(asks):
                raw.value("get_episode_settings")
            raw.value("tick_cue")
            raw.value("get_weather_parameters")
        raw.value("get_episode_settings")
        raw.value("tick_cue")
        manager.settimeout(1.5)
        if not woken:
            with pytest.raises(TimeoutError):
                manager.accept()
        else:
            caller, _ = manager.accept()
            with caller:
                caller.settimeout(2.0)
                unpacker = msgpack.Unpacker()
                while data := caller.recv(4096):
                    unpacker.feed(data)
            assert [message[2:] for message in unpacker] == [["set_synchronous_mode", [on]] for on in (False, True)]
            with pytest.raises(TimeoutError):
                manager.accept()  # once for a frame
    assert raw.value("tick_cue") > 0
    raw.close()
