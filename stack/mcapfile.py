"""Reading MCAP files that may be cut off, broken or hostile. Layout: https://mcap.dev/spec.

The file is read record by record from the start, never by its summary, so that one whose end is missing can be read up
to its last whole chunk. Nothing is allocated on the word of the file alone: lengths are held against the file's size,
chunks against MAX_CHUNK_BYTES, contents against their checksums.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import zstandard
from mcap.data_stream import ReadDataStream
from mcap.exceptions import McapError
from mcap.opcode import Opcode
from mcap.records import Attachment, Channel, Chunk, Message, Metadata
from mcap.stream_reader import breakup_chunk
from mcap.writer import MCAP0_MAGIC

MAX_CHUNK_BYTES = 256 << 20
MAX_EXTRA_BYTES = 64 << 20  # of a metadata record or an attachment


class RecordingError(ValueError):
    """A recording that cannot be read: names the file, the byte or tick, what was found and what was expected."""


@dataclass(frozen=True)
class ChunkPlace:
    """Where a chunk lies, and the log times of its first and last message."""

    offset: int
    length: int
    first_ns: int
    last_ns: int
    size: int  # uncompressed


class ChunkFile:
    """The chunks, metadata and attachments of a file. Raises RecordingError.

    A file whose name ends in `.part` may lack its end; any other must be whole.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.chunks: list[ChunkPlace] = []
        self.metadata: dict[str, dict[str, str]] = {}
        self.attachments: dict[str, bytes] = {}
        self._topics: dict[int, str] = {}
        try:
            with path.open("rb") as file:
                self._scan(file, path.stat().st_size)
        except OSError as error:
            raise RecordingError(f"{path}: cannot be read ({error.strerror})") from None

    def error(self, offset: int, found: str, expected: str) -> RecordingError:
        return RecordingError(f"{self.path}: at byte {offset}: found {found}, expected {expected}")

    def _scan(self, file: BinaryIO, size: int) -> None:
        if file.read(8) != MCAP0_MAGIC:
            raise self.error(0, "other bytes" if size else "an empty file", "an MCAP file")
        at = 8
        while True:
            file.seek(at)
            head = file.read(9)
            length = struct.unpack("<Q", head[1:])[0] if len(head) == 9 else 0
            if len(head) < 9 or length > size - at - 9:
                return self._cut_off(at, size)
            if head[0] == Opcode.FOOTER:
                return self._check_end(file, at + 9 + length)
            self._note(file, head[0], at, length)
            at += 9 + length

    def _cut_off(self, at: int, size: int) -> None:
        if self.path.suffix != ".part":
            raise self.error(at, f"the end of the file at {size}", "a whole file (renamed to *.part it opens so far)")

    def _check_end(self, file: BinaryIO, at: int) -> None:
        file.seek(at)
        if file.read(9) != MCAP0_MAGIC:
            raise self.error(at, "other bytes", "the end of an MCAP file")

    def _note(self, file: BinaryIO, opcode: int, at: int, length: int) -> None:
        """Remember what a record says."""
        if opcode == 0:
            raise self.error(at, "record type 0", "an MCAP record")
        if opcode == Opcode.CHUNK:
            head = file.read(24)
            if len(head) < 24 or length < 24:
                raise self.error(at, f"a chunk of {length} bytes", "a chunk with its header")
            self.chunks.append(ChunkPlace(at, length, *struct.unpack("<QQQ", head)))
        if opcode not in (Opcode.METADATA, Opcode.ATTACHMENT):
            return
        if length > MAX_EXTRA_BYTES:
            raise self.error(at, f"metadata of {length} bytes", f"at most {MAX_EXTRA_BYTES}")
        data = file.read(length)
        try:
            if opcode == Opcode.METADATA:
                metadata = Metadata.read(_stream(data))
                self.metadata[metadata.name] = metadata.metadata
            else:
                if zlib.crc32(data[:-4]) != int.from_bytes(data[-4:], "little"):
                    raise self.error(at, "an attachment whose checksum is wrong", "the one that was written")
                attachment = Attachment.read(_stream(data))
                self.attachments[attachment.name] = attachment.data
        except (McapError, struct.error, UnicodeDecodeError):
            raise self.error(at, "a broken record", "metadata or an attachment") from None

    def messages(self, place: ChunkPlace) -> list[tuple[str, int, bytes]]:
        """(topic, log time in ns, data) of each message of a chunk. Raises RecordingError."""
        try:
            with self.path.open("rb") as file:
                file.seek(place.offset + 9)
                chunk = Chunk.read(_stream(file.read(place.length)))
            records = breakup_chunk(self._unpacked(chunk, place.offset))
        except OSError as error:
            raise RecordingError(f"{self.path}: cannot be read ({error.strerror})") from None
        except (McapError, struct.error, UnicodeDecodeError, zstandard.ZstdError):
            raise self.error(place.offset, "a broken chunk", "messages") from None
        self._topics |= {record.id: record.topic for record in records if isinstance(record, Channel)}
        return [
            (self._topics[r.channel_id], r.log_time, r.data)
            for r in records if isinstance(r, Message) and r.channel_id in self._topics
        ]  # fmt: skip

    def _unpacked(self, chunk: Chunk, offset: int) -> Chunk:
        """The same chunk, uncompressed and checked."""
        data, size = chunk.data, chunk.uncompressed_size
        if chunk.compression not in ("", "zstd"):
            raise self.error(offset, f"compression {chunk.compression!r}", "zstd or none")
        if chunk.compression == "zstd":
            told = zstandard.get_frame_parameters(data).content_size
            if size > MAX_CHUNK_BYTES or told != size:
                raise self.error(offset, f"a chunk of {size} bytes, {told} told", f"at most {MAX_CHUNK_BYTES}")
            data = zstandard.decompress(data, max_output_size=size) if size else b""
        if zlib.crc32(data) != chunk.uncompressed_crc:
            raise self.error(offset, "a chunk whose checksum is wrong", "the one that was written")
        return Chunk("", data, chunk.message_end_time, chunk.message_start_time, chunk.uncompressed_crc, len(data))


def _stream(data: bytes) -> ReadDataStream:
    return ReadDataStream(BytesIO(data))
