"""MessagePack-RPC over TCP as CARLA's clients speak it: requests [0, id, method, [metadata, ...]], replies [1, id, nil, R].

One thread, non-blocking sockets. A peer that sends what is no request, or more than MESSAGE_BYTES at once, is cut off;
everybody else goes on, and is served in between. Errors travel inside the reply: an RPC error would end the client's
process.
"""

from __future__ import annotations

import logging
import reprlib
import selectors
import socket
from collections import deque
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

import msgpack

from sim.carla.server.wire import failed

log = logging.getLogger(__name__)
MESSAGE_BYTES = 64 << 20  # of one request: a texture of 4 million pixels fits
MESSAGE_ITEMS = 1 << 22  # of one list
BACKLOG_BYTES = 64 << 20  # of replies that a client does not fetch
READ_BYTES = 1 << 14  # at a turn: a flood of small requests leaves room for those of others
MOST_CALLERS = 1000
SENT_AT_ONCE = 64  # parts
LATER = object()  # what a handler returns when its reply comes by `Caller.reply`

Handler = Callable[["Caller", str, list[Any]], Any]


class Outbox:
    """Bytes on their way to a non-blocking socket."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock, self._parts = sock, deque[memoryview]()
        self.waiting = 0  # bytes

    @property
    def frames(self) -> int:
        """How many calls of `put` wait."""
        return len(self._parts)

    def put(self, *parts: bytes | memoryview) -> None:
        """Send at once what the socket takes, and keep the rest. Raises OSError where the peer is gone."""
        sent = 0 if self._parts else self._try(parts)
        left = sum(map(len, parts)) - sent
        if left:  # kept as a copy: the sender may use its buffers again
            self._parts.append(memoryview(b"".join(parts))[sent:])
            self.waiting += left

    def flush(self) -> None:
        """Send what waits, as far as the socket takes it."""
        while self._parts:
            sent = self._try(self._parts)
            if not sent:
                return
            self.waiting -= sent
            while self._parts and sent >= len(self._parts[0]):
                sent -= len(self._parts.popleft())
            if sent:
                self._parts[0] = self._parts[0][sent:]

    def _try(self, parts: Iterable[Any]) -> int:
        try:
            return self._sock.sendmsg(list(islice(parts, SENT_AT_ONCE)))
        except (BlockingIOError, InterruptedError):
            return 0


class Caller:
    """One client's connection."""

    def __init__(self, sock: socket.socket, peer: str, owner: Listener) -> None:
        self.sock, self.peer, self._owner = sock, peer, owner
        self.actors: set[int] = set()  # spawned over this connection
        self.spoke = False  # has asked for something
        self._unpacker = msgpack.Unpacker(
            max_buffer_size=MESSAGE_BYTES,
            max_array_len=MESSAGE_ITEMS,
            max_map_len=MESSAGE_ITEMS,
            unicode_errors="replace",
        )
        self._packer = msgpack.Packer(use_single_float=False)
        self._out = Outbox(sock)

    def reply(self, number: int, result: Any) -> None:
        """Answer request `number`."""
        try:
            data = self._packer.pack([1, number, None, result])
        except (ValueError, TypeError, OverflowError) as error:
            log.exception("client %s: no reply can be made of %s", self.peer, reprlib.repr(result))
            data = self._packer.pack([1, number, None, failed(str(error), void=False)])
        try:
            self._out.put(data)
        except OSError as error:
            self.close(str(error))
            return
        if self._out.waiting > BACKLOG_BYTES:
            self.close(f"{self._out.waiting} bytes of replies not fetched")
        self._owner.watch(self.sock, self._out.waiting > 0)

    def ready(self, events: int) -> None:
        """Read and answer, and send what waits."""
        try:
            if events & selectors.EVENT_WRITE:
                self._out.flush()
                self._owner.watch(self.sock, self._out.waiting > 0)
            if events & selectors.EVENT_READ:
                data = self.sock.recv(READ_BYTES)
                if not data:
                    self.close("")
                    return
                self._unpacker.feed(data)
                for message in self._unpacker:
                    self._take(message)
                    if self.sock.fileno() < 0:
                        return
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self.close(str(error))
        except Exception as error:  # of unpacking: calls answer for themselves
            self.close(f"sent no request ({str(error) or type(error).__name__})")

    def _take(self, message: Any) -> None:
        match message:
            case [0, int(number), str(method), [[bool(), *_], *arguments]]:
                self.spoke = True
                result = self._owner.handle(self, method, arguments, number)
                if result is not LATER and self.sock.fileno() >= 0:
                    self.reply(number, result)
            case _:
                raise ValueError(f"found {reprlib.repr(message)}, expected [0, id, method, arguments]")

    def close(self, reason: str) -> None:
        """Forget the client; `reason` is logged."""
        if self.sock.fileno() >= 0:
            self._owner.forget(self, reason)


class Listener:
    """Accepts clients; calls `handle(caller, method, arguments, number)` for each request and `left(caller)` at the end."""

    def __init__(
        self, selector: selectors.BaseSelector, host: str, port: int, handle: Callable[..., Any],
        left: Callable[[Caller], None],
    ) -> None:  # fmt: skip
        """Raises OSError where the port is taken."""
        self._selector, self.handle, self._left = selector, handle, left
        self.sock = listen(host, port)
        self.port: int = self.sock.getsockname()[1]
        self.callers: dict[socket.socket, Caller] = {}
        selector.register(self.sock, selectors.EVENT_READ, self._accept)

    def _accept(self, events: int) -> None:
        try:
            sock, address = self.sock.accept()
        except OSError:
            return
        if len(self.callers) >= MOST_CALLERS:
            log.warning("more than %d clients: %s is turned away", MOST_CALLERS, address[0])
            sock.close()
            return
        tune(sock)
        caller = Caller(sock, f"{address[0]}:{address[1]}", self)
        self.callers[sock] = caller
        self._selector.register(sock, selectors.EVENT_READ, caller.ready)

    def watch(self, sock: socket.socket, writing: bool) -> None:
        """Wake up when the socket can be written to, or only when it has something to read."""
        if sock.fileno() < 0:
            return
        key = self._selector.get_key(sock)
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if writing else 0)
        if key.events != events:
            self._selector.modify(sock, events, key.data)

    def forget(self, caller: Caller, reason: str) -> None:
        self.callers.pop(caller.sock, None)
        self._selector.unregister(caller.sock)
        caller.sock.close()
        log.info("client %s left%s", caller.peer, f": {reason}" if reason else "")
        self._left(caller)

    def close(self) -> None:
        for caller in list(self.callers.values()):
            self.forget(caller, "server ends")
        self._selector.unregister(self.sock)
        self.sock.close()


def listen(host: str, port: int) -> socket.socket:
    """A listening, non-blocking TCP socket; port 0 takes a free one."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    sock.listen(128)
    sock.setblocking(False)
    return sock


def tune(sock: socket.socket) -> None:
    """No delay for small messages; dead peers are found out by the system in half a minute."""
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 4)):
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
