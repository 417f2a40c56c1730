"""The recorder: every tick of an episode in one file, and what can be told of such a file without replaying it.

A file is a sequence of MessagePack values: a head, then for each tick what came, what went, who touched whom, and the
snapshot records of all actors. What has been written can be read, wherever a crash cut the file off.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgpack
import numpy as np

from sim.carla.server.actors import Actor
from sim.carla.server.wire import RECORD, Failed

log = logging.getLogger(__name__)
MAGIC, VERSION = "ringroad carla recording", 1
LARGEST_BYTES = 256 << 20  # of one tick
LARGEST_ITEMS = 1 << 22
LONGEST_NAME = 200
STILL_M = 0.01  # an actor that has moved less since it stopped is blocked


@dataclass(frozen=True)
class Frame:
    """One tick of a recording. `states`: (N,) RECORD of all actors."""

    number: int
    seconds: float
    delta_s: float
    spawned: list[Any]  # [id, type, uid, attributes, parent, is body]
    destroyed: list[int]
    contacts: list[Any]  # [id, other id]
    states: Any


class Recorder:
    """Writes to `folder`; one recording at a time."""

    def __init__(self, game: Any, folder: Path) -> None:
        self._game, self.folder, self._file = game, folder, None
        self._spawned: list[Any] = []
        self._destroyed: list[int] = []

    def path(self, name: str) -> Path:
        """The file of a name. Raises Failed for one that leads out of the folder."""
        path = (self.folder / Path(name).name).resolve()
        if len(os.fsencode(path.name)) > LONGEST_NAME:
            raise Failed(f"recording: found a name of {len(name)} letters, expected at most {LONGEST_NAME}")
        if not Path(name).name or path.parent != self.folder.resolve():
            raise Failed(f"recording: found the name {name!r}, expected the name of a file")
        return path

    def start(self, name: str, additional: bool) -> str:
        """Begin a recording; returns where it is written. Raises Failed where it cannot be."""
        self.stop()
        path = self.path(name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("wb")
        except OSError as error:
            raise Failed(f"recording {path.name}: cannot be written ({error.strerror})") from None
        self._packer = msgpack.Packer()
        self._write([MAGIC, VERSION, self._game.episode.town.name, time.strftime("%x %X")])
        self._spawned = [_described(actor) for actor in self._game.episode.actors]
        self._destroyed = []
        return str(path)

    def stop(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):  # what a full disk did not take is lost
                file.close()

    def spawned(self, actor: Actor) -> None:
        if self._file is not None:
            self._spawned.append(_described(actor))

    def destroyed(self, id_: int) -> None:
        if self._file is not None:
            self._destroyed.append(id_)

    def after_tick(self) -> None:
        """Write the tick down."""
        if self._file is None:
            return
        episode = self._game.episode
        rows = episode.actors.by_row
        contacts = []
        for contact in episode.world.contacts():
            a, b = rows.get(contact.row), rows.get(contact.other)
            if a is not None:
                contacts.append([a.id, b.id if b is not None else 0])
        self._write([
            episode.frame, episode.seconds, episode.delta_s, self._spawned, self._destroyed, contacts,
            episode.actors.records.tobytes(),
        ])  # fmt: skip
        self._spawned, self._destroyed = [], []

    def _write(self, value: Any) -> None:
        try:
            assert self._file is not None
            self._file.write(self._packer.pack(value))
            self._file.flush()
        except OSError as error:  # a full disk ends the recording, not the drive
            log.warning("recording: ends here (%s)", error.strerror)
            self.stop()

    # ------------------------------------------------ what a file says

    def head(self, name: str) -> tuple[str, str]:
        """Map and date of a recording. Raises Failed."""
        map_, date, _ = self.open(name)
        return map_, date

    def open(self, name: str) -> tuple[str, str, Iterator[Frame]]:
        """Map, date and frames of a recording. Raises Failed for a file that is none."""
        path = self.path(name)
        if not path.is_file():
            raise Failed(f"File {name} not found on server")
        values = _values(path)
        match next(values, None):
            case [str(magic), int(version), str(map_), str(date)] if (magic, version) == (MAGIC, VERSION):
                return map_, date, _frames(values)
        raise Failed(f"File {name} is no recording of this server")

    def info(self, name: str, show_all: bool) -> str:
        """Text as CARLA gives it: who came and went when; with `show_all` everybody's place in every frame."""
        map_, date, frames = self.open(name)
        lines = ["Version: 1", f"Map: {map_}", f"Date: {date}", ""]
        last = None
        for count, frame in enumerate(frames, 1):
            last = (count, frame.seconds - (last[2] if last else frame.seconds), last[2] if last else frame.seconds)
            said = [_create(item, frame) for item in frame.spawned] + [f" Destroy {i}" for i in frame.destroyed]
            said += [f" Collision between {a} and {b}" for a, b in frame.contacts]
            if show_all:
                said.append(f" Positions: {len(frame.states)}")
                said += [f"  Id: {s['id']} Location: ({s['x']:.2f}, {s['y']:.2f}, {s['z']:.2f}) "
                         f"Rotation: ({s['pitch']:.2f}, {s['yaw']:.2f}, {s['roll']:.2f})" for s in frame.states]  # fmt: skip
            if said:
                lines += [f"Frame {count} at {last[1]:g} seconds", *said]
        return "\n".join([*lines, "", *_end(last)])

    def collisions(self, name: str, first: str, second: str) -> str:
        """Who touched whom, by category: h hero, v vehicle, w walker, t light, o other, a any."""
        map_, date, frames = self.open(name)
        lines = ["Version: 1", f"Map: {map_}", f"Date: {date}", "",
                 f"{'Time':>8} {'Types':>6} {'Id':>6} {'Actor 1':<35} {'Id':>6} {'Actor 2':<35}"]  # fmt: skip
        kinds: dict[int, tuple[str, str]] = {0: ("o", "static")}
        touching: set[tuple[int, int]] = set()
        last = None
        for count, frame in enumerate(frames, 1):
            last = (count, frame.seconds - (last[2] if last else frame.seconds), last[2] if last else frame.seconds)
            kinds |= {item[0]: (_category(item), item[1]) for item in frame.spawned}
            pairs = {(min(a, b), max(a, b)) for a, b in frame.contacts}
            for pair in sorted(pairs - touching):
                for a, b in (pair, pair[::-1]):
                    ka, kb = kinds.get(a, ("o", "?")), kinds.get(b, ("o", "?"))
                    if _fits(ka[0], first) and _fits(kb[0], second):
                        types = f"{ka[0]} {kb[0]}"
                        lines.append(f"{last[1]:8.0f} {types:>6} {a:6d} {ka[1]:<35} {b:6d} {kb[1]:<35}")
                        break
            touching = pairs
        return "\n".join([*lines, "", *_end(last)])

    def blocked(self, name: str, min_time_s: float, min_distance_cm: float) -> str:
        """Vehicles that stood, within the distance, for at least the time."""
        map_, date, frames = self.open(name)
        kinds: dict[int, str] = {}
        since: dict[int, tuple[float, float, float]] = {}  # time, x, y where it came to a stand
        found: list[tuple[float, int, float]] = []
        reach = max(min_distance_cm / 100.0, STILL_M)
        last = None
        for count, frame in enumerate(frames, 1):
            last = (count, frame.seconds - (last[2] if last else frame.seconds), last[2] if last else frame.seconds)
            kinds |= {item[0]: item[1] for item in frame.spawned}
            for s in frame.states:
                i, x, y = int(s["id"]), float(s["x"]), float(s["y"])
                if not kinds.get(i, "").startswith("vehicle."):
                    continue
                began = since.get(i)
                if began is None or np.hypot(x - began[1], y - began[2]) > reach:
                    if began is not None and last[1] - began[0] >= min_time_s:
                        found.append((began[0], i, last[1] - began[0]))
                    since[i] = last[1], x, y
        for i, began in since.items():
            if last is not None and last[1] - began[0] >= min_time_s:
                found.append((began[0], i, last[1] - began[0]))
        lines = ["Version: 1", f"Map: {map_}", f"Date: {date}", "",
                 f"{'Time':>8} {'Id':>6} {'Actor':<35} {'Duration':>10}"]  # fmt: skip
        lines += [f"{t:8.0f} {i:6d} {kinds[i]:<35} {d:10.0f}" for t, i, d in sorted(found, key=lambda f: -f[2])]
        return "\n".join([*lines, "", *_end(last)])


def _described(actor: Actor) -> list[Any]:
    return [actor.id, actor.type_id, actor.uid, actor.attributes, actor.parent, actor.row >= 0]


def _values(path: Path) -> Iterator[Any]:
    """All whole values of a file; one that was cut off at the end is left out."""
    with path.open("rb") as file:
        unpacker = msgpack.Unpacker(file, max_buffer_size=LARGEST_BYTES, max_array_len=LARGEST_ITEMS)
        try:
            yield from unpacker
        except (msgpack.exceptions.UnpackException, ValueError):
            return


def _frames(values: Iterator[Any]) -> Iterator[Frame]:
    for value in values:
        match value:
            case [int(number), float(seconds), float(delta), list(came), list(went), list(met), bytes(states)]:
                if len(states) % RECORD.itemsize == 0:
                    yield Frame(number, seconds, delta, came, went, met, np.frombuffer(states, RECORD))
                    continue
        return


def _create(item: list[Any], frame: Frame) -> str:
    at = frame.states[frame.states["id"] == item[0]]
    place = f"({at['x'][0]:.2f}, {at['y'][0]:.2f}, {at['z'][0]:.2f})" if len(at) else "(?)"
    attributes = "".join(f"\n  {name} = {value}" for name, _, value in item[3])
    return f" Create {item[0]}: {item[1]} ({_category(item)}) at {place}{attributes}"


def _category(item: list[Any]) -> str:
    if item[1].startswith("vehicle."):
        return "h" if any(name == "role_name" and value == "hero" for name, _, value in item[3]) else "v"
    return "w" if item[1].startswith("walker.") else "t" if item[1].startswith("traffic.") else "o"


def _fits(category: str, wanted: str) -> bool:
    return wanted == "a" or category == wanted or (wanted == "v" and category == "h")


def _end(last: tuple[int, float, float] | None) -> list[str]:
    count, seconds = (last[0], last[1]) if last else (0, 0.0)
    return [f"Frames: {count}", f"Duration: {seconds:g} seconds"]
