"""CARLA's wire by hand: calls as any program could send them, replies and streams as they come."""

from __future__ import annotations

import socket
import struct
from typing import Any

import msgpack

ZERO = [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
SYNCHRONOUS = [True, False, [True, 0.05], True, 0.01, 10, 0.0, True, 3000.0, 2000.0, True]


class Raw:
    """A connection to the port of the calls."""

    def __init__(self, port: int, timeout_s: float = 20.0) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=timeout_s)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._unpacker = msgpack.Unpacker(max_buffer_size=1 << 28)
        self._number = 0

    def send(self, method: str, *arguments: Any) -> int:
        """Send a request; its number."""
        self._number += 1
        self.sock.sendall(msgpack.packb([0, self._number, method, [[False], *arguments]]))
        return self._number

    def reply(self) -> list[Any]:
        """The next message: [1, number, error, result]. EOFError where the server has hung up."""
        while True:
            for message in self._unpacker:
                out: list[Any] = message
                return out
            data = self.sock.recv(1 << 16)
            if not data:
                raise EOFError
            self._unpacker.feed(data)

    def call(self, method: str, *arguments: Any) -> Any:
        """The result; that there is no RPC error is asserted."""
        number = self.send(method, *arguments)
        kind, answers, error, result = self.reply()
        assert (kind, answers, error) == (1, number, None), method
        return result

    def value(self, method: str, *arguments: Any) -> Any:
        """What is in a Response that is no error."""
        ((good, value),) = self.call(method, *arguments)
        assert good == 1, value
        return value

    def spawn(self, id_: str, transform: Any = ZERO, parent: int = 0, **attributes: Any) -> int:
        """The number of a new actor."""
        described = [0, id_, [[name, 4, str(value)] for name, value in attributes.items()]]
        if parent:
            return int(self.value("spawn_actor_with_parent", described, transform, parent, 0, "")[0])
        return int(self.value("spawn_actor", described, transform)[0])

    def close(self) -> None:
        self.sock.close()


def subscribed(port: int, stream: int, timeout_s: float = 20.0) -> socket.socket:
    """A connection to a stream."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=timeout_s)
    sock.sendall(struct.pack("<I", stream))
    return sock


def exactly(sock: socket.socket, count: int) -> bytes:
    """So many bytes. EOFError where the server has hung up."""
    out = bytearray()
    while len(out) < count:
        data = sock.recv(min(count - len(out), 1 << 20))
        if not data:
            raise EOFError
        out += data
    return bytes(out)


def frame(sock: socket.socket) -> bytes:
    """The next frame of a stream."""
    return exactly(sock, struct.unpack("<I", exactly(sock, 4))[0])
