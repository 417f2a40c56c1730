"""Running a verb in a process of its own: CARLA's client library can end the process that it lives in."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

CHILD = "RINGROAD_CHILD"


def is_child() -> bool:
    """Is this the process that does the work?"""
    return CHILD in os.environ


def again(what: str) -> int:
    """Run this command line in a child; its exit code. Where the child was killed: 1, and one line that says so, with
    `what` was kept."""
    command = [sys.executable, "-m", "scripts.cli", *sys.argv[1:]]
    with subprocess.Popen(command, env={**os.environ, CHILD: "1"}) as child:
        while True:
            try:
                code = child.wait()
                break
            except KeyboardInterrupt:  # the child tidies up; from a terminal it has had the signal already
                if sys.stdin is None or not sys.stdin.isatty():
                    child.send_signal(signal.SIGINT)
    if code >= 0:
        return code
    name = signal.Signals(-code).name
    sys.stderr.write(
        f"ringroad: the CARLA server is gone or does not answer: CARLA's client library ended the drive ({name}){what}\n"
    )
    return 1
