"""A drive as one MCAP file (https://mcap.dev/spec): every sensor's very bytes, and what the stack made of them.

    /camera/NAME  foxglove.CompressedImage (protobuf), the sensor's JPEG: opens in Foxglove and Lichtblick
    /frame /lidar /radar /imu /gnss /wheels    the rest of the SensorFrame
    /scene /plan /wanted /command              what the stack believed, planned, wanted, gave
    /truth        ego, actors, signals, boxes and extents
    /masks        truth's semantic and instance pictures, every MASK_TICKS ticks; depth is left out
    /after        events of the step, and the world's hash after it

One message a channel and tick; log time is tick * TICK_S; all but the cameras as stack/codec.py writes it. Metadata
"ringroad" holds `drive_meta` as JSON, the attachment map.xodr the map, the attachment result.json the result. A file
being written is NAME.mcap.part; its chunks (a second each) go out as they fill, so a crash loses a second at most.

In a Step that is read back, truth.images is there on mask ticks only (depth is nan), and of a scene whose masks are
truth's own (the oracle's) `semantic` is 0 x 0 on the others. `Recording.boxes` has truth's boxes of every tick.
"""

from __future__ import annotations

import json
import platform
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from mcap.writer import CompressionType, Writer
from pydantic import TypeAdapter

from stack import codec
from stack.channels import CHANNELS, After, FrameHead, Lens, Masks, TruthHead, messages_of
from stack.lanegraph import Route
from stack.loop import TICK_S, Scenario
from stack.mcapfile import ChunkFile, RecordingError
from stack.messages import (
    CameraImage,
    Command,
    Control,
    Detections,
    Extents,
    GnssSamples,
    ImuSamples,
    LidarSweep,
    Plan,
    RadarSamples,
    Rig,
    Scene,
    SensorFrame,
    Step,
    Truth,
    TruthImages,
    WheelSamples,
)  # fmt: skip
from stack.opendrive import RoadMap, build_graph, load_map
from stack.pictures import IMAGE_NAME, IMAGE_SCHEMA, image_message, jpeg_of, pixels

__all__ = ["MASK_TICKS", "Recorder", "Recording", "RecordingError", "drive_meta", "versions"]

T = TypeVar("T")

FORMAT = 1
KEYS = {"map": str, "scenario": dict, "route": dict, "rig": dict, "settings": dict, "versions": dict}  # of the metadata
VERSIONS = ("ringroad", "numpy", "torch", "torchvision", "warp-lang", "mcap")
MASK_TICKS = 10
CHUNK_TICKS = 20
CHUNK_BYTES = 16 << 20  # a chunk ends early where its messages exceed this
TICK_NS = round(TICK_S * 1e9)


@dataclass(frozen=True)
class RouteText:
    """A Route in the metadata."""

    lanes: list[int]
    start_s_m: float
    goal_s_m: float
    length_m: float


@dataclass(frozen=True)
class ScenarioText:
    """The plain part of a Scenario in the metadata."""

    name: str
    seed: int
    vehicles: int
    pedestrians: int
    beside_route: float
    weather: str
    emergency: int = 0  # not in recordings that are older


def drive_meta(scenario: Scenario, road_map: RoadMap, settings: Any) -> dict[str, Any]:
    """What is needed to set the drive up again, as plain JSON values; `settings` is a dataclass."""
    route = scenario.route
    return {
        "format": FORMAT,
        "map": scenario.map_name,
        "scenario": {
            name: getattr(scenario, name)
            for name in ("name", "seed", "vehicles", "pedestrians", "beside_route", "weather", "emergency")
        },
        "route": asdict(route) | {"lanes": route.lanes.tolist()},
        "rig": asdict(scenario.rig),
        "settings": asdict(settings),
        "versions": versions(),
        "opendrive": road_map.document.text,
    }


def versions() -> dict[str, str]:
    """What is installed here of what decides bits; "" where it is not installed as a package."""
    found = {"python": platform.python_version()}
    for name in VERSIONS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = ""
    return found


class Recorder:
    """Writes a drive to `path` as it goes.

    The file is called PATH.part until the `with` block ends well; after an exception it keeps that name, with all
    messages written so far. Raises ValueError where the file cannot be written.
    """

    def __init__(self, path: Path | str, meta: dict[str, Any]) -> None:
        self.path = Path(path)
        self.part = self.path.with_name(self.path.name + ".part")
        self._meta = meta
        self._next: int | None = None
        self._pending = 0

    def __enter__(self) -> Recorder:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.part.open("wb")
        except OSError as error:
            raise ValueError(f"{self.part}: cannot be written ({error.strerror})") from None
        self._writer = Writer(self._file, chunk_size=4 * CHUNK_BYTES, compression=CompressionType.ZSTD)
        self._writer.start(profile="ringroad")
        plain = {key: value for key, value in self._meta.items() if key != "opendrive"}
        self._writer.add_metadata("ringroad", {"meta": json.dumps(plain)})
        self._writer.add_attachment(0, 0, "map.xodr", "application/xml", self._meta["opendrive"].encode())
        image = self._writer.register_schema(IMAGE_NAME, "protobuf", IMAGE_SCHEMA)
        self._channels = {
            f"/camera/{camera['name']}": self._writer.register_channel(f"/camera/{camera['name']}", "protobuf", image)
            for camera in self._meta["rig"]["cameras"]
        }
        about = (codec.__doc__ or "").encode()
        for topic, kind in CHANNELS.items():
            schema = self._writer.register_schema(f"ringroad.{kind.__name__}", "ringroad", about)
            self._channels[topic] = self._writer.register_channel(topic, "ringroad", schema)
        return self

    def write(self, step: Step, state_hash: str) -> None:
        """Add a step; ticks must follow one another. `state_hash`: of the world after the step."""
        tick = step.frame.tick
        if self._next not in (None, tick):
            raise ValueError(f"{self.part}: found tick {tick}, expected {self._next}")
        self._next = tick + 1
        for camera in step.frame.cameras:
            image = image_message(round(camera.time_s * 1e9), camera.name, camera.jpeg)
            self._add(f"/camera/{camera.name}", tick, image)
        for topic, message in messages_of(step, state_hash, tick % MASK_TICKS == 0).items():
            self._add(topic, tick, codec.encode(message))
        if (tick + 1) % CHUNK_TICKS == 0 or self._pending > CHUNK_BYTES:
            self._flush()

    def finish(self, result: dict[str, Any]) -> None:
        """Add the result (JSON values) of the drive."""
        self._flush()
        self._writer.add_attachment(0, 0, "result.json", "application/json", json.dumps(result).encode())

    def __exit__(self, kind: type[BaseException] | None, *details: object) -> None:
        with self._file:
            if kind is None:
                self._writer.finish()
            else:
                self._flush()
        if kind is None:
            self.part.replace(self.path)

    def _add(self, topic: str, tick: int, data: bytes) -> None:
        self._writer.add_message(self._channels[topic], tick * TICK_NS, data, tick * TICK_NS, tick)
        self._pending += len(data)

    def _flush(self) -> None:
        self._writer.flush()
        self._pending = 0


class Recording:
    """A recorded drive: `len`, iteration over its Steps, and any of them by tick. Raises RecordingError.

    `meta`: see `drive_meta`. `result`: what `Recorder.finish` was given, None if the drive never got there.
    `device`: where pictures go.
    """

    def __init__(self, path: Path | str, device: str = "cpu") -> None:
        self.path, self.device = Path(path), device
        self._file = ChunkFile(self.path)
        self._cache: tuple[int, dict[int, dict[str, bytes]]] = (-1, {})
        if "meta" not in self._file.metadata.get("ringroad", {}):
            raise RecordingError(f"{self.path}: found no metadata named ringroad, expected a recorded drive")
        self.meta: dict[str, Any] = self._json(self._file.metadata["ringroad"]["meta"], "metadata")
        if self.meta.get("format") != FORMAT:
            raise RecordingError(f"{self.path}: found format {self.meta.get('format')!r}, expected {FORMAT}")
        for key, kind in KEYS.items():
            if not isinstance(self.meta.get(key), kind):
                raise RecordingError(
                    f"{self.path}: metadata: {key}: found {str(self.meta.get(key))[:40]!r}, expected {kind.__name__}"
                )
        self.meta["opendrive"] = self._file.attachments.get("map.xodr", b"").decode("utf-8", "replace")
        result = self._file.attachments.get("result.json")
        self.result = None if result is None else self._json(result.decode("utf-8", "replace"), "result.json")
        self.ticks = self._ticks()
        self._starts = [place.first_ns // TICK_NS for place in self._file.chunks]

    def __len__(self) -> int:
        return len(self.ticks)

    def __iter__(self) -> Iterator[Step]:
        return (self.step(tick) for tick in self.ticks)

    def step(self, tick: int) -> Step:
        """The step of a tick; arrays are copies that may be written to."""
        frame, truth = self._frame(tick), self._get(TruthHead, "/truth", tick)
        images: tuple[TruthImages, ...] = ()
        if "/masks" in self._messages(tick):
            masks = self._get(Masks, "/masks", tick).images
            images = tuple(
                TruthImages(m.semantic, m.instance, torch.full(m.semantic.shape, float("nan")), boxes, extent)
                for m, boxes, extent in zip(masks, truth.boxes, self.extents(tick), strict=True)
            )
        seen = Truth(tick, truth.ego, truth.actors, truth.signal_state, images)
        after = self._get(After, "/after", tick)
        return Step(
            frame, seen, self._get(Scene, "/scene", tick), self._get(Plan, "/plan", tick),
            self._get(Control, "/wanted", tick), self._get(Command, "/command", tick), after.events,
        )  # fmt: skip

    def boxes(self, tick: int) -> tuple[Detections, ...]:
        """Truth's boxes in each camera."""
        return self._get(TruthHead, "/truth", tick).boxes

    def extents(self, tick: int) -> tuple[Extents, ...]:
        """Of the same objects; nan in recordings from before they were kept."""
        truth = self._get(TruthHead, "/truth", tick)
        return truth.extents or tuple(Extents.unknown(len(boxes.id)) for boxes in truth.boxes)

    def state_hash(self, tick: int) -> str:
        """Hash of the world after the step of a tick."""
        return self._get(After, "/after", tick).state_hash

    def scenario(self) -> tuple[Scenario, RoadMap]:
        """What was driven, its map read from the text in the recording."""
        meta = self.meta
        try:
            about = TypeAdapter(ScenarioText).validate_python(meta["scenario"])
            rig = TypeAdapter(Rig).validate_python(meta["rig"])
            route = TypeAdapter(RouteText).validate_python(meta["route"])
            road_map = load_map(meta["opendrive"], meta["map"])
            graph = build_graph(road_map)
            if not route.lanes or not all(0 <= lane < graph.lanes for lane in route.lanes):
                raise ValueError(f"route: found lanes {str(route.lanes)[:60]}, expected some of 0 to {graph.lanes - 1}")
        except ValueError as error:
            raise RecordingError(f"{self.path}: metadata: {' '.join(str(error).split())}") from None
        way = Route(np.array(route.lanes, np.int32), route.start_s_m, route.goal_s_m, route.length_m)
        return Scenario(map_name=graph.name, graph=graph, route=way, rig=rig, **asdict(about)), road_map

    # ------------------------------------------------

    def _frame(self, tick: int) -> SensorFrame:
        head = self._get(FrameHead, "/frame", tick)
        if head.tick != tick:
            raise RecordingError(f"{self.path}: tick {tick}: /frame: found tick {head.tick}, expected {tick}")
        cameras = tuple(self._camera(tick, lens) for lens in head.lenses)
        return SensorFrame(
            head.tick,
            head.time_s,
            cameras,
            self._get(LidarSweep, "/lidar", tick),
            self._get(RadarSamples, "/radar", tick),
            self._get(ImuSamples, "/imu", tick),
            self._get(GnssSamples, "/gnss", tick),
            self._get(WheelSamples, "/wheels", tick),
        )

    def _camera(self, tick: int, lens: Lens) -> CameraImage:
        data = self._data(f"/camera/{lens.name}", tick)
        try:
            jpeg = jpeg_of(data)
            rgb = pixels(jpeg, self.device)
            return CameraImage(
                lens.name, lens.time_s, jpeg, rgb, lens.intrinsics, lens.ego_from_camera, lens.distortion
            )
        except ValueError as error:
            raise self._error(tick, f"/camera/{lens.name}", error) from None

    def _get(self, kind: type[T], topic: str, tick: int) -> T:
        data = self._data(topic, tick)
        try:
            return codec.decode(kind, data, self.device)
        except ValueError as error:
            raise self._error(tick, topic, error) from None

    def _data(self, topic: str, tick: int) -> bytes:
        messages = self._messages(tick)
        if topic not in messages:
            raise RecordingError(f"{self.path}: tick {tick}: found no message on {topic}, expected one")
        return messages[topic]

    def _error(self, tick: int, topic: str, error: ValueError) -> RecordingError:
        return RecordingError(f"{self.path}: tick {tick}: {topic}: {' '.join(str(error).split())}")

    def _messages(self, tick: int) -> dict[str, bytes]:
        """Topic -> bytes; the chunk read last is kept."""
        if tick not in self.ticks:
            there = f"ticks {self.ticks.start} to {self.ticks.stop - 1}"
            raise RecordingError(f"{self.path}: tick {tick}: found {there}, expected one of them")
        chunk = bisect_right(self._starts, tick) - 1
        if self._cache[0] != chunk:
            by_tick: dict[int, dict[str, bytes]] = defaultdict(dict)
            for topic, time_ns, data in self._file.messages(self._file.chunks[chunk]):
                by_tick[time_ns // TICK_NS][topic] = data
            self._cache = chunk, by_tick
        return self._cache[1].get(tick, {})

    def _ticks(self) -> range:
        """All ticks; the chunks must follow one another."""
        chunks = self._file.chunks
        if not chunks:
            raise RecordingError(f"{self.path}: found no ticks, expected at least one")
        self._file.messages(chunks[0])  # it names the channels
        start = end = chunks[0].first_ns // TICK_NS
        for place in chunks:
            first, last = place.first_ns // TICK_NS, place.last_ns // TICK_NS
            if first != end or not 0 <= last - first < max(place.size, 1):
                raise self._file.error(place.offset, f"ticks {first} to {last}", f"a chunk from tick {end} on")
            end = last + 1
        return range(start, end)

    def _json(self, text: str, what: str) -> dict[str, Any]:
        try:
            values = json.loads(text)
        except (ValueError, RecursionError):
            raise RecordingError(f"{self.path}: {what}: found {text[:40]!r}, expected JSON") from None
        if not isinstance(values, dict):
            raise RecordingError(f"{self.path}: {what}: found {type(values).__name__}, expected keys and values")
        return values
