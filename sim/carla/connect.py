"""Finding a CARLA server and its map, with messages that say what to do."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

VERSION = "0.9.16"
TRIES, FIRST_WAIT_S = 5, 0.25  # to connect, with twice the wait each time


def connect(host: str, port: int, timeout_s: float) -> Any:
    """A client of a 0.9.16 server. Raises ValueError that says what to do where there is none, or another version."""
    try:
        import carla
    except ImportError:
        raise ValueError("--world carla: found no package carla, expected it: pip install carla==0.9.16") from None
    wait = FIRST_WAIT_S
    for k in range(TRIES):
        client = carla.Client(host, port)
        client.set_timeout(min(timeout_s, 2.0 + 2.0 * k))
        try:
            version = client.get_server_version()
            break
        except RuntimeError:
            if k == TRIES - 1:
                raise ValueError(
                    f"--world carla: no CARLA server answers at {host}:{port}; start one: ringroad serve --port {port}"
                ) from None
            time.sleep(wait)
            wait *= 2.0
    if version.split("-")[0] != VERSION:
        raise ValueError(
            f"--world carla: found CARLA {version} at {host}:{port}, expected {VERSION}: older servers speak another protocol"
        )
    client.set_timeout(timeout_s)
    return client


def map_text(client: Any, name: str, file: Path | None) -> str:
    """Load a map and return its OpenDRIVE text: by its name, or from `file` where the server does not know it. Raises
    ValueError where neither helps."""
    import carla

    known = sorted(path.rsplit("/", 1)[-1] for path in client.get_available_maps())
    try:
        if name in known or file is None:
            world = client.load_world(name)
        else:
            text = file.read_text(encoding="utf-8")
            world = client.generate_opendrive_world(text, carla.OpendriveGenerationParameters())
    except RuntimeError as error:
        raise ValueError(
            f"map {name}: the CARLA server does not load it ({error}); it knows {', '.join(known)}"
        ) from None
    out: str = world.get_map().to_opendrive()
    return out
