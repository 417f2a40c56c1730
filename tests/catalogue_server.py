"""As much of a CARLA server as a client needs to read a blueprint catalogue. In its own process: CARLA's client holds
Python's lock while it waits for an answer."""

import multiprocessing
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgpack


@contextmanager
def serving(definitions: list[Any]) -> Iterator[int]:
    """The port of a server for one client."""
    rpc, stream = (socket.create_server(("127.0.0.1", 0)) for _ in range(2))
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(rpc, stream, definitions), daemon=True)
    process.start()
    try:
        yield rpc.getsockname()[1]
    finally:
        process.terminate()
        process.join()
        rpc.close()
        stream.close()


def _serve(rpc: socket.socket, stream: socket.socket, definitions: list[Any]) -> None:
    token = struct.pack("<IHBB4s12x", 1, stream.getsockname()[1], 1, 1, socket.inet_aton("127.0.0.1"))
    answers = {
        "version": "0.9.16",
        "get_episode_info": [1, [token]],
        "get_sensor_token": [token],
        "get_episode_settings": [True, False, [False], True, 0.01, 10, 0.0, True, 3000.0, 2000.0, True],
        "query_lights_state": [],
        "get_required_files": [],
        "get_actor_definitions": definitions,
    }
    client, unpacker = rpc.accept()[0], msgpack.Unpacker()
    while data := client.recv(65536):  # the stream's connection waits in its backlog: nothing is sent on it
        unpacker.feed(data)
        for _, number, method, _ in unpacker:
            client.sendall(msgpack.packb([1, number, None, [[1, answers[method]]]]))
