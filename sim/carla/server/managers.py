"""The TrafficManagers that clients run, and the waking of one that has missed a frame.

For each frame a client wakes its synchronous TrafficManager by a flag, which it sets without the lock that the thread
waits by. If the frame comes just as the thread lies down, the wake-up is lost, and the client's `tick()` never returns.
With short ticks and few cores that happens about once in 30,000. Synchronous mode off and on again, told over the
TrafficManager's own port, sets the flag once more and changes nothing else.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from dataclasses import dataclass
from typing import Any

import msgpack

log = logging.getLogger(__name__)
MISSED_S = 0.5  # of silence after a frame
LOOK_EVERY = 20  # frames
ASKS = (0.75, 3.0)  # for the settings, for each frame: once before its thread waits; and what its program asks


@dataclass
class Manager:
    """`peer`: host of the client in whose process it runs; `caller`: the connection that both talk over."""

    address: str
    peer: str
    caller: Any
    spoke: bool = False  # the connection, since the last frame: more than to ask for the settings
    asked: int = 0  # for the settings, since the last frame
    frames: int = 0  # since the last look
    asks: int = 0
    in_step: bool = False  # an asynchronous one asks all the time, one that nobody wakes never

    @property
    def missed(self) -> bool:
        """Whether, if all stays as it is, it has missed the last frame."""
        return self.in_step and not self.spoke and self.asked <= ASKS[1]

    def ticked(self) -> None:
        self.frames, self.asks = self.frames + 1, self.asks + self.asked
        if self.frames == LOOK_EVERY:
            self.in_step = ASKS[0] <= self.asks / self.frames <= ASKS[1]
            self.frames = self.asks = 0
        self.spoke, self.asked = False, 0


class Managers:
    """By port."""

    def __init__(self) -> None:
        self._running: dict[int, Manager] = {}
        self._ticked_s = 0.0

    def __contains__(self, port: int) -> bool:
        return port in self._running

    def address(self, port: int) -> str:
        return self._running[port].address

    def add(self, port: int, address: str, caller: Any) -> None:
        self._running[port] = Manager(address, caller.peer.rpartition(":")[0], caller)

    def remove(self, port: int) -> None:
        self._running.pop(port, None)

    def left(self, caller: Any) -> None:
        """A connection is gone, and its TrafficManagers with it."""
        self._running = {port: m for port, m in self._running.items() if m.caller is not caller}

    def heard(self, caller: Any, asks_settings: bool) -> None:
        """A request came over a connection."""
        for manager in self._running.values():
            if manager.caller is caller:
                manager.spoke |= not asks_settings
                manager.asked += asks_settings

    def ticked(self) -> None:
        """A frame has gone out."""
        self._ticked_s = time.monotonic()
        for manager in self._running.values():
            manager.ticked()

    def next_look_s(self) -> float | None:
        """When to call `wake` next, monotonic clock; None: not before something happens."""
        waits = any(m.missed for m in self._running.values())
        return self._ticked_s + MISSED_S if waits else None

    def wake(self) -> None:
        """Wake those who have missed the last frame."""
        if time.monotonic() < self._ticked_s + MISSED_S:
            return
        for port, m in self._running.items():
            if m.missed:
                m.spoke = True  # once for a frame
                log.warning("the TrafficManager on port %d has missed a frame: woken", port)
                threading.Thread(target=_wake, args=(m.peer, port), daemon=True).start()


def _wake(host: str, port: int) -> None:
    """Synchronous mode off and on, as one message: a step takes longer, so that the next one finds it on."""
    calls = [msgpack.packb([0, k, "set_synchronous_mode", [on]]) for k, on in enumerate((False, True))]
    try:
        with socket.create_connection((host, port), 1.0) as sock:
            sock.sendall(b"".join(calls))
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(4096):  # until all is carried out
                pass
    except OSError as error:
        log.warning("the TrafficManager on port %d cannot be woken: %s", port, error)
