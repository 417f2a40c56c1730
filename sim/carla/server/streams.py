"""Streams of snapshots and sensor data: a subscriber connects, sends the stream's number, and then only listens.

Every subscriber has a queue of its own: one that does not keep up loses whole frames, and holds up nobody. A stream is
never closed from here, since a client would reconnect in a tight loop; after its sensor's end it is merely silent.
"""

from __future__ import annotations

import logging
import selectors
import socket
import time
from typing import Any

from sim.carla.server.rpc import Outbox, listen, tune
from sim.carla.server.wire import LENGTH

log = logging.getLogger(__name__)
QUEUE_BYTES = 64 << 20  # for one subscriber, beyond which it loses frames
QUEUE_FRAMES = 1000
MOST_SUBSCRIBERS = 4000
WAIT_S = 1.0  # longest wait for a subscriber that has asked for a stream's token
WORLD = 1  # number of the snapshots' stream


class Subscriber:
    """One connection; `stream` is -1 until it has said which it wants."""

    def __init__(self, sock: socket.socket, owner: Streams) -> None:
        self.sock, self.stream, self.lost, self._owner = sock, -1, 0, owner
        self.out = Outbox(sock)
        self._hello = b""

    def ready(self, events: int) -> None:
        try:
            if events & selectors.EVENT_WRITE:
                self.out.flush()
                self._owner.watch(self)
            if events & selectors.EVENT_READ:
                data = self.sock.recv(4096)
                if not data:
                    self._owner.drop(self)
                elif self.stream < 0:  # afterwards a client has nothing to say
                    self._hello += data
                    if len(self._hello) >= 4:
                        self._owner.subscribe(self, int.from_bytes(self._hello[:4], "little"))
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._owner.drop(self)


class Streams:
    """The second port. `publish` sends one frame to all who subscribed to a stream."""

    def __init__(self, selector: selectors.BaseSelector, host: str, port: int) -> None:
        """Raises OSError where the port is taken."""
        self._selector = selector
        self.sock = listen(host, port)
        self.port: int = self.sock.getsockname()[1]
        self._next = WORLD + 1
        self._subscribers: dict[int, list[Subscriber]] = {}
        self._all: set[Subscriber] = set()
        self._awaited: list[tuple[float, int, Any]] = []  # until when, for a subscriber of which stream, who is calling
        self._failing: set[Any] = set()  # callers whose subscribers did not come
        self.greeting: Any = None  # bytes for a new subscriber of the snapshots
        selector.register(self.sock, selectors.EVENT_READ, self._accept)

    def new(self) -> int:
        """The number of a new stream."""
        self._next += 1
        return self._next - 1

    def announce(self, stream: int, caller: Any) -> None:
        """A client has asked for the token: it is about to connect."""
        if 0 < stream < self._next:
            self._awaited.append((time.monotonic() + WAIT_S, stream, caller))

    def awaited(self) -> bool:
        """Is somebody about to connect, who would miss a frame now? A caller who has once been waited for in vain is not
        waited for again until a stream that it asked for is connected to."""
        now = time.monotonic()
        while self._awaited and self._awaited[0][0] <= now:
            self._failing.add(self._awaited.pop(0)[2])
        return any(caller not in self._failing for _, _, caller in self._awaited)

    def forget(self, caller: Any) -> None:
        """The client has left."""
        self._failing.discard(caller)
        self._awaited = [item for item in self._awaited if item[2] is not caller]

    def listened(self, stream: int) -> bool:
        return bool(self._subscribers.get(stream))

    def publish(self, stream: int, *parts: Any) -> None:
        """Send a frame, given in parts, to the stream's subscribers."""
        subscribers = self._subscribers.get(stream)
        if not subscribers:
            return
        length = LENGTH.pack(sum(memoryview(part).nbytes for part in parts))
        flat = [memoryview(part).cast("B") for part in parts if memoryview(part).nbytes]
        for subscriber in list(subscribers):
            if subscriber.out.waiting > QUEUE_BYTES or subscriber.out.frames > QUEUE_FRAMES:
                subscriber.lost += 1
                if subscriber.lost & (subscriber.lost - 1) == 0:
                    log.warning("stream %d: a subscriber does not keep up, %d frames lost", stream, subscriber.lost)
                continue
            try:
                subscriber.out.put(length, *flat)
            except OSError:
                self.drop(subscriber)
                continue
            if subscriber.out.waiting:
                self.watch(subscriber)

    def subscribe(self, subscriber: Subscriber, stream: int) -> None:
        subscriber.stream = stream
        for item in self._awaited:
            if item[1] == stream:
                self._awaited.remove(item)
                self._failing.discard(item[2])
                break
        self._subscribers.setdefault(stream, []).append(subscriber)
        if stream == WORLD and self.greeting is not None:
            frame = self.greeting()
            subscriber.out.put(LENGTH.pack(len(frame)), frame)
            self.watch(subscriber)

    def watch(self, subscriber: Subscriber) -> None:
        if subscriber.sock.fileno() < 0:
            return
        key = self._selector.get_key(subscriber.sock)
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if subscriber.out.waiting else 0)
        if key.events != events:
            self._selector.modify(subscriber.sock, events, key.data)

    def drop(self, subscriber: Subscriber) -> None:
        """The subscriber has left."""
        if subscriber not in self._all:
            return
        self._all.discard(subscriber)
        self._selector.unregister(subscriber.sock)
        subscriber.sock.close()
        others = self._subscribers.get(subscriber.stream, [])
        if subscriber in others:
            others.remove(subscriber)
            if not others:
                del self._subscribers[subscriber.stream]

    def _accept(self, events: int) -> None:
        try:
            sock, address = self.sock.accept()
        except OSError:
            return
        if len(self._all) >= MOST_SUBSCRIBERS:
            log.warning("more than %d subscribers: %s is turned away", MOST_SUBSCRIBERS, address[0])
            sock.close()
            return
        tune(sock)
        subscriber = Subscriber(sock, self)
        self._all.add(subscriber)
        self._selector.register(sock, selectors.EVENT_READ, subscriber.ready)

    def close(self) -> None:
        for subscriber in list(self._all):
            self.drop(subscriber)
        self._selector.unregister(self.sock)
        self.sock.close()
