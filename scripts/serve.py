"""`ringroad serve`: the embedded simulator behind CARLA's protocol, until Ctrl-C."""

from __future__ import annotations

import logging
import signal
import sys
from pathlib import Path

import torch


def run(map_: str | None, host: str, port: int, maps: Path | None, device: str, tidy: bool, verbose: bool) -> None:
    """Serve. Raises ValueError for an unknown map, a folder that is not there, a port that is taken, and CUDA, which the
    open world has no use for."""
    from sim.carla.server.serve import Server
    from sim.carla.server.town import STAND_IN
    from sim.carla.server.wire import Failed

    torch.set_num_threads(1)
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING, stream=sys.stderr, format="serve: %(message)s"
    )
    if device == "cuda":
        raise ValueError("--device: found cuda, expected cpu (or auto, which is the same here)")
    if maps is not None and not maps.is_dir():
        raise ValueError(f"--maps: found no folder {maps}, expected one with .xodr files")
    town = map_ or STAND_IN
    if town.endswith(".xodr"):
        if not Path(town).is_file():
            raise ValueError(f"--map: found no file {town}, expected an .xodr file or a name of `ringroad maps list`")
        maps, town = Path(town).parent, Path(town).stem
    try:
        server = Server(town, host, port, maps, "cpu", tidy)
    except Failed as error:
        raise ValueError(f"--map: {error}") from None
    except OSError as error:
        raise ValueError(
            f"--host {host} --port {port}: cannot listen there ({error.strerror}), and on {port + 1}"
        ) from None
    if host not in ("127.0.0.1", "localhost", "::1"):
        sys.stderr.write(f"serve: open to everybody who reaches {host}: the protocol has no passwords\n")
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, frame: server.stop())
    sys.stdout.write(
        f"serving CARLA 0.9.16 on {server.host}:{server.port} (streams on {server.streams.port}), map {town}; Ctrl-C ends\n"
    )
    sys.stdout.flush()
    server.run()
