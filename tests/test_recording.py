"""A recording gives back every bit, survives a crash, and refuses what is broken with one clear error."""

from __future__ import annotations

import contextlib
import json
import resource
import struct
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mcap.reader import make_reader
from mcap.writer import Writer

from stack import codec
from stack.channels import messages_of
from stack.messages import CameraMount, Command, Control, Event, EventKind, Plan, Rig, Scene
from stack.pictures import IMAGE_SCHEMA, image_message, jpeg_of, jpeg_size_px, pixels
from stack.recording import MASK_TICKS, TICK_NS, Recorder, Recording, RecordingError
from tests.steps import camera_image, step_at, steps, straight_plan

SMALL = Rig((CameraMount("wide", 48, 32, 1.5, 1.6, 0.0, 1.5),), lidar_rings=4, lidar_columns=32)


def meta_of(rig: Rig = SMALL) -> dict[str, Any]:
    empty: dict[str, Any] = {"scenario": {}, "route": {}, "settings": {}, "versions": {}}
    return {"format": 1, "map": "none", "rig": asdict(rig), "opendrive": "<OpenDRIVE/>", **empty}


def record(path: Path, n: int, rig: Rig = SMALL) -> Path:
    with Recorder(path, meta_of(rig)) as recorder:
        for step in steps(n, rig=rig):
            recorder.write(step, f"{step.frame.tick:016x}")
        recorder.finish({"status": "perfect"})
    return path


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("recording") / "a.mcap", 25)


def same_bits(a: Any, b: Any) -> bool:
    return codec.encode(a) == codec.encode(b)


def test_every_array_comes_back_bit_for_bit(tmp_path: Path) -> None:
    path, rig = tmp_path / "a.mcap", Rig()
    events = (Event(EventKind.COLLISION_VEHICLE, 1, 0.05, "car 12", False, 3.25), Event(EventKind.ROUTE_DONE, 1, 0.05))
    written = [step_at(0), step_at(1, events=events)]
    with Recorder(path, meta_of(rig)) as recorder:
        for step in written:
            recorder.write(step, "ab" * 8)
    recording = Recording(path)
    assert len(recording) == 2 and recording.result is None
    for step, again in zip(written, recording, strict=True):
        assert again.events == step.events
        for part in ("scene", "plan", "wanted", "command"):
            assert same_bits(getattr(again, part), getattr(step, part)), part
        for name in ("lidar", "radar", "imu", "gnss", "wheels"):
            assert same_bits(getattr(again.frame, name), getattr(step.frame, name)), name
        for camera, seen in zip(step.frame.cameras, again.frame.cameras, strict=True):
            assert seen.jpeg == camera.jpeg and torch.equal(seen.rgb, camera.rgb)
            assert same_bits(seen, camera)
        assert same_bits(replace(again.truth, images=()), replace(step.truth, images=()))
        assert same_bits(recording.boxes(step.frame.tick), tuple(image.boxes for image in step.truth.images))


def test_truth_pictures_come_on_mask_ticks_only(small: Path) -> None:
    for step, written in zip(Recording(small), steps(25, rig=SMALL), strict=True):
        if step.frame.tick % MASK_TICKS:
            assert step.truth.images == ()
            continue
        (image,), (was,) = step.truth.images, written.truth.images
        assert torch.equal(image.semantic, was.semantic) and torch.equal(image.instance, was.instance)
        assert image.depth_m.isnan().all()


def test_an_oracles_masks_are_kept_as_often_as_truths(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    written = [
        replace(s, scene=replace(s.scene, semantic=tuple(i.semantic for i in s.truth.images)))
        for s in steps(2, rig=SMALL)
    ]
    with Recorder(path, meta_of()) as recorder:
        for step in written:
            recorder.write(step, "")
    first, second = Recording(path)
    assert torch.equal(first.scene.semantic[0], written[0].scene.semantic[0])
    assert [tuple(mask.shape) for mask in second.scene.semantic] == [(0, 0)]


def test_any_tick_in_any_order(small: Path) -> None:
    recording = Recording(small)
    written = steps(25, rig=SMALL)
    for tick in (24, 3, 20, 19, 0):
        assert recording.step(tick).frame.tick == tick
        assert same_bits(recording.step(tick).scene, written[tick].scene)
        assert recording.state_hash(tick) == f"{tick:016x}"
    with pytest.raises(RecordingError, match=r"tick 25: found ticks 0 to 24"):
        recording.step(25)
    assert recording.result == {"status": "perfect"}
    assert recording.meta["opendrive"] == "<OpenDRIVE/>"


def test_python_and_numpy_scalars_stay_what_they_are() -> None:
    for value in (0.1, np.float32(0.1), np.float64(0.1), 3, float("nan"), -0.0):
        back = codec.decode(Control, codec.encode(Control(value, 0.0)))  # type: ignore[arg-type]
        assert type(back.wheel_angle_rad) is type(value)
        assert codec.encode(back) == codec.encode(Control(value, 0.0))  # type: ignore[arg-type]


def test_a_field_that_came_after_the_recording_takes_its_default() -> None:
    @dataclass(frozen=True)
    class OldCommand:
        control: Control
        pedals: Any

    command = step_at(3, rig=SMALL).command
    assert command.intervention
    old = codec.encode(OldCommand(command.control, command.pedals))
    assert same_bits(codec.decode(Command, old), replace(command, intervention=""))


def test_what_cannot_be_recorded_is_named() -> None:
    with pytest.raises(TypeError, match="wheel_angle_rad: cannot be recorded: found list"):
        codec.encode(Control([1.0], 0.0))  # type: ignore[arg-type]


def test_other_programs_read_the_file(small: Path) -> None:
    with small.open("rb") as file:
        reader = make_reader(file, validate_crcs=True)
        summary = reader.get_summary()
        assert summary is not None and summary.statistics is not None
        assert summary.statistics.channel_message_counts[1] == 25
        found = list(reader.iter_messages(topics=["/camera/wide"]))
    schema, channel, message = found[7]
    assert schema is not None and schema.name == "foxglove.CompressedImage" and channel.message_encoding == "protobuf"
    assert message.log_time == 7 * TICK_NS
    assert jpeg_of(message.data) == steps(8, rig=SMALL)[7].frame.cameras[0].jpeg


def test_picture_schema_is_foxgloves() -> None:
    messages = pytest.importorskip("foxglove.messages", reason="needs foxglove-sdk", exc_type=ImportError)
    from google.protobuf.descriptor_pb2 import FileDescriptorSet

    ours, theirs = (
        {
            (f.name, f.number, f.type, f.type_name)
            for file in FileDescriptorSet.FromString(data).file
            for m in file.message_type
            for f in m.field
        }
        for data in (IMAGE_SCHEMA, messages.CompressedImage.get_schema().data)
    )
    assert ours == theirs
    stamp, jpeg = messages.Timestamp(sec=3, nsec=50), b"\xff\xd8 picture"
    theirs_encoded = messages.CompressedImage(timestamp=stamp, frame_id="wide", data=jpeg, format="jpeg").encode()
    assert jpeg_of(theirs_encoded) == jpeg
    assert len(image_message(3_000_000_050, "wide", jpeg)) == len(theirs_encoded)


# ---------------------------------------------------------------- crashes


def test_an_exception_leaves_a_readable_part(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    with pytest.raises(RuntimeError, match="boom"), Recorder(path, meta_of()) as recorder:
        for step in steps(7, rig=SMALL):
            recorder.write(step, "")
        raise RuntimeError("boom")
    assert not path.exists()
    recording = Recording(tmp_path / "a.mcap.part")
    assert len(recording) == 7 and recording.result is None
    assert [step.frame.tick for step in recording] == list(range(7))


def test_what_a_killed_process_leaves_lacks_a_second_at_most(tmp_path: Path) -> None:
    with Recorder(tmp_path / "a.mcap", meta_of()) as recorder:
        for step in steps(50, rig=SMALL):
            recorder.write(step, "")
        left = (tmp_path / "a.mcap.part").read_bytes()  # what is on the disk now
    (tmp_path / "b.mcap.part").write_bytes(left)
    assert len(Recording(tmp_path / "b.mcap.part")) == 40


def test_a_cut_file_is_refused_unless_it_is_a_part(small: Path, tmp_path: Path) -> None:
    whole = small.read_bytes()
    cut = tmp_path / "cut.mcap"
    cut.write_bytes(whole[: int(0.6 * len(whole))])
    with pytest.raises(RecordingError, match=r"cut\.mcap: at byte \d+: found the end of the file"):
        Recording(cut)
    cut.rename(tmp_path / "cut.mcap.part")
    assert len(Recording(tmp_path / "cut.mcap.part")) == 20


def test_ticks_follow_one_another(tmp_path: Path) -> None:
    one, _, three = steps(3, rig=SMALL)
    with Recorder(tmp_path / "a.mcap", meta_of()) as recorder:
        recorder.write(one, "")
        with pytest.raises(ValueError, match="found tick 2, expected 1"):
            recorder.write(three, "")


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"cannot be written"), Recorder(tmp_path / "file" / "a.mcap", meta_of()):
        pass


# ---------------------------------------------------------------- hostile files

FUZZ = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def read_all(path: Path) -> None:
    try:
        for _ in Recording(path):
            pass
    except RecordingError as error:
        assert str(path) in str(error) and "\n" not in str(error)


@FUZZ
@given(data=st.binary(max_size=400), magic=st.booleans(), suffix=st.sampled_from([".mcap", ".mcap.part"]))
def test_random_bytes(tmp_path: Path, data: bytes, magic: bool, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    path.write_bytes((b"\x89MCAP0\r\n" if magic else b"") + data)
    with pytest.raises(RecordingError):
        Recording(path)


@FUZZ
@given(
    changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=4),
    cut=st.none() | st.floats(0, 1),
    suffix=st.sampled_from([".mcap", ".mcap.part"]),
)
def test_mutated_files(
    small: Path, tmp_path: Path, changes: list[tuple[float, int]], cut: float | None, suffix: str
) -> None:
    data = bytearray(small.read_bytes())
    for where, value in changes:
        data[int(where * (len(data) - 1))] = value
    path = tmp_path / f"x{suffix}"
    path.write_bytes(data if cut is None else data[: int(cut * len(data))])
    read_all(path)


@FUZZ
@given(changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=4), cut=st.floats(0.5, 2))
@pytest.mark.parametrize("kind", [Scene, Plan])
def test_mutated_messages(kind: type, changes: list[tuple[float, int]], cut: float) -> None:
    message = straight_plan(step_at(0, rig=SMALL).truth.ego) if kind is Plan else step_at(0, rig=SMALL).scene
    data = bytearray(codec.encode(message))
    for where, value in changes:
        data[int(where**4 * (len(data) - 1))] = value  # mostly in the header
    with contextlib.suppress(ValueError):
        codec.decode(kind, bytes(data[: int(cut * len(data))]))


@FUZZ
@given(changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_mutated_pictures(changes: list[tuple[float, int]]) -> None:
    data = bytearray(camera_image(SMALL.cameras[0], 0, np.random.default_rng(0)).jpeg)
    for where, value in changes:
        data[int(where**2 * (len(data) - 1))] = value
    with contextlib.suppress(ValueError):
        pixels(bytes(data), "cpu")


def hostile(path: Path, topic: str, payload: bytes) -> Path:
    """A whole and well-formed file whose message of a topic is `payload`."""
    with path.open("wb") as file:
        writer = Writer(file)
        writer.start()
        writer.add_metadata("ringroad", {"meta": json.dumps(meta_of())})
        step = steps(1, rig=SMALL)[0]
        data = {t: codec.encode(m) for t, m in messages_of(step, "", True).items()}
        data["/camera/wide"] = image_message(0, "wide", step.frame.cameras[0].jpeg)
        for name, content in (data | {topic: payload}).items():
            writer.add_message(writer.register_channel(name, "", 0), 0, content, 0)
        writer.finish()
    return path


def test_hostile_sizes_cost_no_memory(tmp_path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    huge = struct.pack("<HB4s", 1, 4, b"tick") + b"A<f8" + struct.pack("<B3I", 3, 2**31, 2**31, 2**31)
    bomb = b"\xff\xd8\xff\xc0\x00\x11\x08\xff\xff\xff\xff\x03" + bytes(20)
    for k, (topic, payload, said) in enumerate(
        [
            ("/scene", huge, r"tick 0: /scene: tick: found 0 bytes left, expected \d+"),
            ("/scene", b"", "ends within its header"),
            ("/camera/wide", image_message(0, "wide", bomb), "65535 x 65535 px"),
            ("/camera/wide", b"\xff" * 9, "no foxglove.CompressedImage"),
            ("/camera/wide", image_message(0, "wide", b"GIF89a"), "expected a JPEG"),
            ("/after", codec.encode(Control(0.0, 0.0)), "events: found nothing"),
        ]
    ):
        path = hostile(tmp_path / f"{k}.mcap", topic, payload)
        with pytest.raises(RecordingError, match=said):
            list(Recording(path))
    chunk = struct.pack("<QQQI", 0, 0, 2**50, 0) + struct.pack("<I", 4) + b"zstd" + struct.pack("<Q", 8) + bytes(8)
    records = struct.pack("<BQ", 6, len(chunk)) + chunk
    whole = hostile(tmp_path / "c.mcap", "/x", b"").read_bytes()
    at = whole.index(b"ringroad") - 4 - 9  # the metadata record
    end = at + 9 + struct.unpack_from("<Q", whole, at + 1)[0]
    (tmp_path / "bomb.mcap.part").write_bytes(whole[:end] + records)
    with pytest.raises(RecordingError, match=r"at byte \d+: found (a chunk of|a broken chunk)"):
        Recording(tmp_path / "bomb.mcap.part")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB


def test_what_is_no_recording(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"nothing\.mcap: cannot be read \(No such file"):
        Recording(tmp_path / "nothing.mcap")
    (tmp_path / "empty.mcap").write_bytes(b"")
    with pytest.raises(RecordingError, match=r"at byte 0: found an empty file, expected an MCAP file"):
        Recording(tmp_path / "empty.mcap")
    with (tmp_path / "foreign.mcap").open("wb") as file:
        writer = Writer(file)
        writer.start()
        writer.finish()
    with pytest.raises(RecordingError, match="found no metadata named ringroad"):
        Recording(tmp_path / "foreign.mcap")


def test_jpeg_size_is_read_from_the_header() -> None:
    image = camera_image(SMALL.cameras[0], 0, np.random.default_rng(1))
    assert jpeg_size_px(image.jpeg) == (48, 32)
