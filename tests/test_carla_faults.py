"""The CARLA server under bad treatment: garbage, killed clients, sockets that say nothing or never read, bad numbers."""

from __future__ import annotations

import random
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.carla_garbage import noise, wrong_call
from tests.carla_raw import SYNCHRONOUS, Raw, frame, subscribed
from tests.carla_server import Served

pytestmark = pytest.mark.carla
MOST_GROWN_BYTES = 20e6
LONGEST_S = 1.5  # a good client's tick meanwhile: the navigation mesh is made once, a subscriber waited for 0.5 s


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server for mistreatment."""
    server = Served("--tidy", cwd=tmp_path_factory.mktemp("served"))
    yield server
    server.close()


def memory_bytes(server: Served) -> int:
    """Resident, of the server's process."""
    return int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[1]) * 4096


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
    good = Good(own)
    good.start()
    mistreat(own, 1, 1000)
    good.end()
    still_serves(own)


@pytest.mark.slow
def test_ten_thousand_messages_leave_no_trace(own: Served) -> None:
    mistreat(own, 2, 2000)
    before = memory_bytes(own)
    good = Good(own)
    good.start()
    mistreat(own, 3, 10_000)
    good.end()
    still_serves(own)
    assert memory_bytes(own) - before < MOST_GROWN_BYTES
