"""Memory of a server that runs for days: towns are kept and not looked through, and what an episode leaves is handed back."""

from __future__ import annotations

import ctypes
import gc
from contextlib import suppress


def keep() -> None:
    """Spare the collector what is there now, a loaded town most of all: a quarter of a second each time it comes by."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def hand_back() -> None:
    """Give the system what nobody uses any more."""
    gc.collect()
    with suppress(OSError, AttributeError):  # another C library holds back what it wants
        ctypes.CDLL("libc.so.6").malloc_trim(0)
