"""What a recording keeps of a Step: one message a channel and tick. stack/recording.py tells the whole layout."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch

from stack.frames import F64
from stack.messages import (
    U8,
    Actors,
    Command,
    Control,
    Detections,
    Ego,
    Event,
    Extents,
    GnssSamples,
    ImuSamples,
    LidarSweep,
    Plan,
    RadarSamples,
    Scene,
    Step,
    WheelSamples,
)


@dataclass(frozen=True)
class Lens:
    """A CameraImage without its picture."""

    name: str
    time_s: float
    intrinsics: F64
    ego_from_camera: F64
    distortion: tuple[float, ...] = ()


@dataclass(frozen=True)
class FrameHead:
    """A SensorFrame without its samples."""

    tick: int
    time_s: float
    lenses: tuple[Lens, ...]


@dataclass(frozen=True)
class TruthHead:
    """A Truth without its pictures."""

    tick: int
    ego: Ego
    actors: Actors
    signal_state: U8
    boxes: tuple[Detections, ...]  # one for each camera
    extents: tuple[Extents, ...] = ()  # likewise; () in recordings from before they were kept


@dataclass(frozen=True)
class Mask:
    """What is kept of a TruthImages."""

    semantic: torch.Tensor
    instance: torch.Tensor


@dataclass(frozen=True)
class Masks:
    images: tuple[Mask, ...]


@dataclass(frozen=True)
class After:
    """What came of a step."""

    events: tuple[Event, ...]
    state_hash: str


CHANNELS: dict[str, type] = {
    "/frame": FrameHead, "/lidar": LidarSweep, "/radar": RadarSamples, "/imu": ImuSamples, "/gnss": GnssSamples,
    "/wheels": WheelSamples, "/scene": Scene, "/plan": Plan, "/wanted": Control, "/command": Command,
    "/truth": TruthHead, "/masks": Masks, "/after": After,
}  # fmt: skip


def messages_of(step: Step, state_hash: str, with_masks: bool) -> dict[str, Any]:
    """Topic -> message of all that is no picture of a camera."""
    frame, truth, scene = step.frame, step.truth, step.scene
    lenses = tuple(Lens(c.name, c.time_s, c.intrinsics, c.ego_from_camera, c.distortion) for c in frame.cameras)
    if not with_masks:
        owned = {id(image.semantic) for image in truth.images}
        nothing = torch.zeros((0, 0), dtype=torch.uint8)
        scene = replace(scene, semantic=tuple(nothing if id(mask) in owned else mask for mask in scene.semantic))
    boxes, extents = tuple(image.boxes for image in truth.images), tuple(image.extents for image in truth.images)
    messages = {
        "/frame": FrameHead(frame.tick, frame.time_s, lenses),
        "/lidar": frame.lidar, "/radar": frame.radar, "/imu": frame.imu, "/gnss": frame.gnss, "/wheels": frame.wheels,
        "/scene": scene, "/plan": step.plan, "/wanted": step.wanted, "/command": step.command,
        "/truth": TruthHead(truth.tick, truth.ego, truth.actors, truth.signal_state, boxes, extents),
        "/after": After(step.events, state_hash),
    }  # fmt: skip
    if with_masks:
        messages["/masks"] = Masks(tuple(Mask(image.semantic, image.instance) for image in truth.images))
    return messages
