"""The server's loop: one thread that reads requests, ticks, and writes replies and streams."""

from __future__ import annotations

import contextlib
import logging
import selectors
import socket
import time
from pathlib import Path
from typing import Any

from sim.carla.server.game import Game
from sim.carla.server.methods import call, load_all
from sim.carla.server.rpc import LATER, Listener
from sim.carla.server.streams import Streams
from sim.carla.server.town import STAND_IN, Atlas

log = logging.getLogger(__name__)
POLL_CALL = "get_episode_settings"  # which an idle TrafficManager asks for without a pause
POLL_S = 0.001
LOADED_S = 0.25  # a free-running server lets so much time pass before an episode's first tick
BEHIND_S = 0.5  # a free-running server that is farther behind the clock lets the time go


class Server:
    """Serves until `stop`. With port 0 free ports are taken: see `port`."""

    def __init__(
        self, town: str = STAND_IN, host: str = "127.0.0.1", port: int = 2000, maps: Path | None = None,
        device: str = "cpu", tidy: bool = False, stream_port: int | None = None, recordings: Path = Path("out/recordings"),
    ) -> None:  # fmt: skip
        """`tidy`: a client's actors go with it. Raises Failed for an unknown map, OSError where a port is taken."""
        load_all()
        self._tidy = tidy
        with contextlib.ExitStack() as opened:  # what is open by then is closed where the rest fails
            self._selector = opened.enter_context(selectors.DefaultSelector())
            self._wake, self._waker = (opened.enter_context(end) for end in socket.socketpair())
            self._wake.setblocking(False)
            self._selector.register(self._wake, selectors.EVENT_READ, self._woken)
            self._listener = Listener(self._selector, host, port, self._handle, self._left)
            opened.callback(self._listener.close)
            self.host, self.port = self._listener.sock.getsockname()
            wanted = stream_port if stream_port is not None else (self.port + 1 if port else 0)
            self.streams = Streams(self._selector, host, wanted)
            opened.callback(self.streams.close)
            self.game = Game(Atlas(maps, device), town, self.streams, self.host, recordings)
            opened.callback(self.game.recorder.stop)
            self._opened = opened.pop_all()
        self._stopping, self._episode = False, self.game.episode
        self._next_tick = time.monotonic()
        self._polls: list[tuple[float, Any, int]] = []  # when to answer: caller, request

    def run(self) -> None:
        """Until `stop`, from whatever thread."""
        try:
            while not self._stopping:
                self._turn()
        finally:
            self._opened.close()

    def stop(self) -> None:
        """Ask the loop to end; safe from other threads and signal handlers."""
        self._stopping = True
        with contextlib.suppress(OSError):
            self._waker.send(b"x")

    def _turn(self) -> None:
        game = self.game
        due = [] if game.settings.synchronous else [self._next_tick]
        due += [poll[0] for poll in self._polls[:1]]
        look = game.managers.next_look_s()
        due += [look] if look is not None else []
        timeout = max(min(due) - time.monotonic(), 0.0) if due else None
        if game.waiting:
            timeout = 0.01 if self.streams.awaited() else 0.0
        for key, events in self._selector.select(timeout):
            key.data(events)
        game.answer_tick()
        game.managers.wake()
        self._answer_polls()
        if not game.settings.synchronous:
            now = time.monotonic()
            if game.episode is not self._episode:  # whoever loaded it has time to take over the clock
                self._episode, self._next_tick = game.episode, now + LOADED_S
            if now >= self._next_tick and not self.streams.awaited():
                game.try_tick()
                self._next_tick = max(self._next_tick + game.settings.step_s, now - BEHIND_S)

    def _answer_polls(self) -> None:
        now = time.monotonic()
        while self._polls and self._polls[0][0] <= now:
            _, caller, number = self._polls.pop(0)
            if caller.sock.fileno() >= 0:
                caller.reply(number, call(self.game, caller, POLL_CALL, []))

    def _handle(self, caller: Any, method: str, arguments: list[Any], number: int) -> Any:
        self.game.managers.heard(caller, method == POLL_CALL)
        if method == POLL_CALL and not self.game.settings.synchronous:
            self._polls.append((time.monotonic() + POLL_S, caller, number))
            return LATER
        if method == "tick_cue":
            arguments = [number]
        return call(self.game, caller, method, arguments)

    def _left(self, caller: Any) -> None:
        self.game.left(caller, self._tidy)
        self.streams.forget(caller)
        used = any(other.spoke for other in self._listener.callers.values())
        if not used and self.game.settings.synchronous:
            log.info("no client is left: back to free running")
            self.game.settings.wire[0] = False
            self._next_tick = time.monotonic()

    def _woken(self, events: int) -> None:
        with contextlib.suppress(BlockingIOError):
            self._wake.recv(64)
