"""Pictures inside a recording: foxglove.CompressedImage messages, and JPEG bytes that nobody has vouched for.

Schema: https://docs.foxglove.dev/docs/sdk/schemas/compressed-image. JPEG markers: ITU-T T.81, annex B.
"""

from __future__ import annotations

import struct
from typing import Any

import torch
from google.protobuf import message_factory, timestamp_pb2
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from torchvision.io import ImageReadMode, decode_jpeg

IMAGE_NAME = "foxglove.CompressedImage"
MAX_PIXELS = 16 << 20
_SIZED = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # start-of-frame markers: they tell the size


def _schema() -> FileDescriptorSet:
    stamp, image = FileDescriptorProto(), FileDescriptorProto()
    timestamp_pb2.DESCRIPTOR.CopyToProto(stamp)
    image.name, image.package, image.syntax = "foxglove/CompressedImage.proto", "foxglove", "proto3"
    image.dependency.append(stamp.name)
    message = image.message_type.add(name="CompressedImage")
    f = FieldDescriptorProto
    kinds = {"timestamp": (1, f.TYPE_MESSAGE), "frame_id": (4, f.TYPE_STRING), "data": (2, f.TYPE_BYTES)}
    for name, (number, kind) in {**kinds, "format": (3, f.TYPE_STRING)}.items():
        field = message.field.add(name=name, number=number, type=kind, label=f.LABEL_OPTIONAL)
        if kind == f.TYPE_MESSAGE:
            field.type_name = ".google.protobuf.Timestamp"
    return FileDescriptorSet(file=[stamp, image])


def _message_class() -> Any:
    pool = DescriptorPool()
    for file in _schema().file:
        pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(IMAGE_NAME))


IMAGE_SCHEMA: bytes = _schema().SerializeToString()
_Image = _message_class()


def image_message(time_ns: int, camera: str, jpeg: bytes) -> bytes:
    """A foxglove.CompressedImage."""
    image = _Image(frame_id=camera, data=jpeg, format="jpeg")
    image.timestamp.seconds, image.timestamp.nanos = divmod(time_ns, 1_000_000_000)
    out: bytes = image.SerializeToString()
    return out


def jpeg_of(message: bytes) -> bytes:
    """The JPEG bytes in a foxglove.CompressedImage. Raises ValueError."""
    try:
        out: bytes = _Image.FromString(message).data
    except DecodeError:
        raise ValueError(f"found {len(message)} bytes that are no {IMAGE_NAME}") from None
    return out


def jpeg_size_px(jpeg: bytes) -> tuple[int, int]:
    """Width and height as the file's header tells them. Raises ValueError."""
    at = 2
    while jpeg[:2] == b"\xff\xd8" and at + 9 <= len(jpeg) and jpeg[at] == 0xFF:
        if jpeg[at + 1] in _SIZED:
            height, width = struct.unpack_from(">HH", jpeg, at + 5)
            return width, height
        at += 2 + struct.unpack_from(">H", jpeg, at + 2)[0]
    raise ValueError(f"found {len(jpeg)} bytes, expected a JPEG picture")


def pixels(jpeg: bytes, device: str) -> torch.Tensor:
    """(3, H, W) uint8, as the sensor decoded it. Raises ValueError for what is no picture, or one beyond MAX_PIXELS."""
    width, height = jpeg_size_px(jpeg)
    if width * height > MAX_PIXELS:
        raise ValueError(f"found a picture of {width} x {height} px, expected at most {MAX_PIXELS} px")
    try:
        rgb = decode_jpeg(torch.frombuffer(bytearray(jpeg), dtype=torch.uint8), mode=ImageReadMode.RGB)
    except RuntimeError as error:
        raise ValueError(f"found a broken JPEG picture ({str(error).splitlines()[0]})") from None
    return rgb.to(device)
