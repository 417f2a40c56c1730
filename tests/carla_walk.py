"""CARLA's own client on a navigation mesh: random places and walkers' tracks. Run by itself, since a client that is
given a bad mesh takes its process with it.

`python carla_walk.py MESH NAME FOLDER PLACES WALKERS SECONDS CROSSING` -> one JSON object on stdout: places (n, 3),
targets (walkers, 3) and tracks (steps, walkers, 3), in the client's frame, one step a second.
"""

from __future__ import annotations

import json
import multiprocessing
import socket
import struct
import sys
import threading
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import carla
import msgpack

WORLD, WALKER, CONTROLLER = 1, "walker.pedestrian.0001", "controller.ai.walker"


class Answerer:
    """As much of a server as walkers need: one episode, actors that are where the client puts them."""

    def __init__(self, mesh: bytes, name: str) -> None:
        self.mesh, self.name = mesh, name
        self.frame = 1
        self.actors: dict[int, Any] = {1: self._actor(1, 0, "spectator", [[0, 0, 0], [0, 0, 0]])}
        self.at: dict[int, Any] = {1: [[0, 0, 0], [0, 0, 0]]}
        self.watcher: socket.socket | None = None
        self.settings: list[Any] = [True, True, [True, 0.05], True, 0.01, 10, 0.0, True, 3000.0, 2000.0, True]
        self.ports = [self._listen(self._talk), self._listen(self._show)]

    def _listen(self, serve: Any) -> int:
        door = socket.create_server(("127.0.0.1", 0))

        def accept() -> None:
            while True:
                threading.Thread(target=serve, args=(door.accept()[0],), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        return int(door.getsockname()[1])

    def _talk(self, wire: socket.socket) -> None:
        wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        unpacker = msgpack.Unpacker(raw=False, strict_map_key=False)
        while data := wire.recv(1 << 16):
            unpacker.feed(data)
            for _, number, method, args in unpacker:
                wire.sendall(msgpack.packb([1, number, None, self._answer(method, args[1:])]))

    def _show(self, wire: socket.socket) -> None:
        wire.recv(4)
        self.watcher = wire
        self._snapshot()

    def _snapshot(self) -> None:
        if self.watcher is None:
            return
        time_s = self.frame * 0.05
        body = struct.pack("<QQd6f", 17, self.frame, time_s, *[0.0] * 6)
        body += struct.pack("<Qdf3iI", 1, time_s, 0.05, 0, 0, 0, 0)
        for actor, (where, turn) in self.at.items():
            body += struct.pack("<IB6f", actor, 1, *where, *turn) + bytes(90)
        self.watcher.sendall(struct.pack("<I", len(body)) + body)

    @staticmethod
    def _actor(number: int, parent: int, kind: str, where: Any) -> list[Any]:
        box = [[0, 0, 0], [0.2, 0.2, 0.9], [0, 0, 0], number]
        return [number, parent, [number, kind, []], box, b"", b""]

    def _spawn(self, description: Any, where: Any, parent: int = 0, *_: Any) -> Any:
        number = len(self.actors) + 1
        self.actors[number] = self._actor(number, parent, description[1], where)
        self.at[number] = where
        return [[1, self.actors[number]]]

    def _answer(self, method: str, args: list[Any]) -> Any:
        if method == "tick_cue":
            self.frame += 1
            self._snapshot()
        elif method == "apply_batch":
            for [[index, body]] in args[0]:
                if index == 7:
                    self.at[body[0]] = body[1]
        token = struct.pack("<IHBB16s", WORLD, self.ports[1], 1, 1, bytes([127, 0, 0, 1]))
        answers: dict[str, Any] = {
            "version": lambda: [[1, "0.9.16"]],
            "get_episode_info": lambda: [[1, [1, [token]]]],
            "get_sensor_token": lambda *_: [[1, [token]]],
            "get_episode_settings": lambda: [[1, self.settings]],
            "set_episode_settings": lambda *_: [[1, self.frame]],
            "get_required_files": lambda folder: [[1, [self.name] if folder == "Nav" else []]],
            "request_file": lambda _: [[1, self.mesh]],
            "query_lights_state": lambda *_: [[1, []]],
            "tick_cue": lambda: [[1, self.frame]],
            "get_actor_definitions": lambda: [[1, [[1, WALKER, "walker", []], [2, CONTROLLER, "controller", []]]]],
            "get_actors_by_id": lambda ids: [[1, [self.actors[i] for i in ids]]],
            "spawn_actor": self._spawn,
            "spawn_actor_with_parent": self._spawn,
            "apply_batch": lambda commands, _: [[[1, body[0]]] for [[_, body]] in commands],
        }
        return answers.get(method, lambda *_: [[False]])(*args)


def serve(mesh: str, name: str, pipe: Connection) -> None:
    """Answer until the pipe closes."""
    pipe.send(Answerer(Path(mesh).read_bytes(), name).ports[0])
    pipe.recv()


def main() -> None:
    mesh, name, folder, places, walkers, seconds, crossing = sys.argv[1:]
    here, there = multiprocessing.Pipe()  # the client keeps Python's lock while it waits
    multiprocessing.get_context("fork").Process(target=serve, args=(mesh, name, there), daemon=True).start()
    client = carla.Client("127.0.0.1", here.recv(), 1)
    client.set_timeout(20.0)
    client.set_files_base_folder(folder)
    world = client.get_world()
    world.set_pedestrians_seed(7)
    world.tick()

    def xyz(p: Any) -> list[float]:
        return [round(p.x, 3), round(p.y, 3), round(p.z, 3)]

    def places_of(count: int) -> list[Any]:
        found = [world.get_random_location_from_navigation() for _ in range(count)]
        return [p for p in found if p is not None]

    out: dict[str, Any] = {"places": [xyz(p) for p in places_of(int(places))], "targets": [], "tracks": []}
    blueprints = world.get_blueprint_library()
    people, minds = [], []
    for start in places_of(int(walkers)):
        people.append(world.spawn_actor(blueprints.find(WALKER), carla.Transform(start)))
        minds.append(world.spawn_actor(blueprints.find(CONTROLLER), carla.Transform(), attach_to=people[-1]))
    world.tick()
    world.set_pedestrians_cross_factor(float(crossing))
    for mind in minds:
        mind.start()
        target = world.get_random_location_from_navigation()
        out["targets"].append(xyz(target))
        mind.go_to_location(target)
        mind.set_max_speed(1.5)
    for step in range(20 * int(seconds)):
        if step % 20 == 0:
            out["tracks"].append([xyz(p.get_location()) for p in people])
        world.tick()
    print(json.dumps(out))


if __name__ == "__main__":
    main()
