"""A `ringroad serve` of one's own in another process, for tests with the real client."""

from __future__ import annotations

import ctypes
import os
import re
import resource
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def die_with_parent() -> None:
    """Ask Linux to end this process with its parent, however that ends: a client can crash."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def prepare(limit_bytes: int | None) -> None:
    """What the new process does before it becomes the server."""
    die_with_parent()
    if limit_bytes is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))


class Served:
    """The process and its port; `client()` connects the stock client."""

    def __init__(self, *arguments: str, cwd: Path = ROOT, limit_bytes: int | None = None) -> None:
        """`cwd`: where recordings go, to out/recordings. `limit_bytes`: files that grow larger are refused."""
        command = [sys.executable, "-m", "scripts.cli", "serve", "--port", "0", "--device", "cpu", *arguments]
        self.process = subprocess.Popen(
            command,
            cwd=cwd,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=partial(prepare, limit_bytes),
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        found = re.search(r":(\d+) \(streams on (\d+)\)", line)
        assert found, f"the server said {line!r}"
        self.port, self.stream_port = int(found[1]), int(found[2])

    def client(self, timeout_s: float = 20.0) -> Any:
        import carla

        client = carla.Client("127.0.0.1", self.port)
        client.set_timeout(timeout_s)
        client.get_world()  # a client without a world crashes when it is to tick after a batch
        return client

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(20)
        assert self.process.stdout is not None
        self.process.stdout.close()


def memory_bytes(server: Served) -> int:
    """Resident, of the server's process."""
    return int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[1]) * 4096
