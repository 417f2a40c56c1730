"""Ctrl-C that is neither lost nor felt in the middle of a tick.

Python raises KeyboardInterrupt wherever it happens to be. Where that is the end of an object, as of one of the many arrays
that a tick leaves behind, it prints the error and goes on: the drive too.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def between_ticks() -> Iterator[Callable[[], None]]:
    """Gives what to call after each tick: it raises KeyboardInterrupt where SIGINT has come. A second one is felt at
    once. Does nothing in other threads than the main one, which get no signals."""
    came = False

    def note(number: int, frame: Any) -> None:
        nonlocal came
        if came:
            signal.default_int_handler(number, frame)
        came = True

    def check() -> None:
        if came:
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield check
        return
    before = signal.signal(signal.SIGINT, note)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, before)
