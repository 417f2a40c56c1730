"""Messages <-> bytes, bit for bit: what a recording keeps of everything but pictures.

A message (any dataclass of stack/messages.py) is taken apart into named leaves; nested dataclasses and tuples give
dotted names: "ego.pose.x_m", "detections.0.box_px". The bytes, all little-endian:

    u16 number of leaves
    for each leaf:  u8 length of name, name (ASCII), u8 class, 3 bytes dtype as numpy writes it ("<f8"), u8 dimensions,
                    u32 each dimension
    for each leaf:  its values, rows first, no padding

Classes: A numpy array (no dimensions: numpy scalar), T torch tensor, F float, I int, B bool, S text (UTF-8), Y bytes,
N length of a tuple. Python's and numpy's scalars are told apart because arithmetic on them differs.
"""

from __future__ import annotations

import math
import struct
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import StrEnum
from functools import cache
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import numpy as np
import torch

T = TypeVar("T")

MAX_TUPLE = 64
DTYPES = {np.dtype(code).newbyteorder("<").str: np.dtype(code) for code in "?bBhHiIqQefd"}
SCALARS = {float: ("F", "<f8"), int: ("I", "<i8"), bool: ("B", "|b1")}
PYTHON = {"F": float, "I": int, "B": bool, "S": str, "Y": bytes}


def encode(message: Any) -> bytes:
    """The bytes of a message. Raises TypeError for a value of a kind that is not listed above."""
    heads: list[bytes] = []
    bodies: list[bytes] = []
    _take_apart("", message, heads, bodies)
    return b"".join((struct.pack("<H", len(heads)), *heads, *bodies))


def decode(kind: type[T], data: bytes, device: str = "cpu") -> T:
    """The message of that type; arrays are copies, tensors go to the device.

    Raises ValueError naming the leaf, what was found and what was expected.
    """
    found = leaves(data)
    if device != "cpu":
        found = {name: leaf.to(device) if isinstance(leaf, torch.Tensor) else leaf for name, leaf in found.items()}
    message: T = _build(kind, "", found)
    return message


# ---------------------------------------------------------------- out


@cache
def _parts(name: str, kind: Any) -> tuple[tuple[str, str], ...] | None:
    """Field and leaf name of each part of a dataclass; None: it is none."""
    prefix = name + "." if name else ""
    return tuple((f.name, prefix + f.name) for f in fields(kind)) if is_dataclass(kind) else None


def _take_apart(name: str, value: Any, heads: list[bytes], bodies: list[bytes]) -> None:
    kind: Any = type(value)
    parts = _parts(name, kind)
    if parts is not None:
        for field, inner in parts:
            _take_apart(inner, getattr(value, field), heads, bodies)
    elif isinstance(value, tuple):
        heads.append(_head(name, "N", "<i8", ()))
        bodies.append(struct.pack("<q", len(value)))
        for i, item in enumerate(value):
            _take_apart(f"{name}.{i}", item, heads, bodies)
    else:
        head, body = _leaf(name, value)
        heads.append(head)
        bodies.append(body)


def _leaf(name: str, value: Any) -> tuple[bytes, bytes]:
    if isinstance(value, np.ndarray | np.generic):
        if value.dtype.str[0] == ">":
            value = np.asarray(value, dtype=value.dtype.newbyteorder("<"))
        return _head(name, "A", value.dtype.str, value.shape), value.tobytes()
    if isinstance(value, torch.Tensor):
        array = value.detach().cpu().numpy()
        return _head(name, "T", array.dtype.str, array.shape), array.tobytes()
    if isinstance(value, str | bytes):
        body = value if isinstance(value, bytes) else value.encode()
        return _head(name, "Y" if isinstance(value, bytes) else "S", "|u1", (len(body),)), body
    if type(value) not in SCALARS:
        raise TypeError(f"{name}: cannot be recorded: found {type(value).__name__}, expected number, text or array")
    letter, dtype = SCALARS[type(value)]
    return _head(name, letter, dtype, ()), struct.pack("<" + {"F": "d", "I": "q", "B": "?"}[letter], value)


@cache
def _head(name: str, letter: str, dtype: str, shape: tuple[int, ...]) -> bytes:
    plain = name.encode("ascii")
    sizes = struct.pack(f"<B{len(shape)}I", len(shape), *shape)
    return struct.pack("<B", len(plain)) + plain + letter.encode() + dtype.encode() + sizes


# ---------------------------------------------------------------- in


def leaves(data: bytes) -> dict[str, Any]:
    """Name -> value of each leaf of an encoded message. Nothing is allocated beyond the size of `data`."""
    view = memoryview(data)
    heads, at = _heads(view)
    found: dict[str, Any] = {}
    for name, letter, dtype, shape in heads:
        size = math.prod(shape) * dtype.itemsize
        if at + size > len(view):
            raise ValueError(f"{name}: found {len(view) - at} bytes left, expected {size}")
        found[name] = _value(name, letter, dtype, shape, bytearray(view[at : at + size]))
        at += size
    if at != len(view):
        raise ValueError(f"found {len(view) - at} bytes after the last leaf, expected none")
    return found


def _heads(view: memoryview) -> tuple[list[tuple[str, str, np.dtype[Any], tuple[int, ...]]], int]:
    heads = []
    try:
        (count,), at = struct.unpack_from("<H", view), 2
        for _ in range(count):
            n = view[at]
            name = str(view[at + 1 : at + 1 + n], "ascii")
            at += 1 + n
            letter, code, rank = chr(view[at]), str(view[at + 1 : at + 4], "ascii"), view[at + 4]
            if letter not in "ATFIBSYN" or code not in DTYPES or rank > 8:
                raise ValueError(f"{name}: found leaf of class {letter!r}, dtype {code!r}, {rank} dimensions")
            heads.append((name, letter, DTYPES[code], struct.unpack_from(f"<{rank}I", view, at + 5)))
            at += 5 + 4 * rank
    except (struct.error, IndexError, UnicodeDecodeError):
        raise ValueError(f"found a message of {len(view)} bytes that ends within its header") from None
    return heads, at


def _value(name: str, letter: str, dtype: np.dtype[Any], shape: tuple[int, ...], body: bytearray) -> Any:
    if letter in "SY":
        return bytes(body).decode() if letter == "S" else bytes(body)
    array = np.frombuffer(body, dtype).reshape(shape) if body else np.zeros(shape, dtype)
    if letter == "T":
        return torch.from_numpy(array)
    if letter == "A":
        return array if shape else array[()]
    if shape:
        raise ValueError(f"{name}: found an array, expected a number")
    return array.item()


def _build(kind: Any, name: str, found: dict[str, Any]) -> Any:
    if isinstance(kind, type) and is_dataclass(kind):
        prefix = name + "." if name else ""
        values = {}
        for field, inner in _plan(kind):
            if field.default is not MISSING and prefix + field.name not in found:
                continue  # a field that came after the recording
            values[field.name] = _build(inner, prefix + field.name, found)
        return kind(**values)
    if name not in found:
        raise ValueError(f"{name}: found nothing, expected {getattr(kind, '__name__', kind)}")
    value = found[name]
    if get_origin(kind) is tuple:
        if type(value) is not int or not 0 <= value <= MAX_TUPLE:
            raise ValueError(f"{name}: found {str(value)[:40]!r}, expected a length of 0 to {MAX_TUPLE}")
        return tuple(_build(get_args(kind)[0], f"{name}.{i}", found) for i in range(value))
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        _check(str, name, value)
        return kind(value)
    _check(kind, name, value)
    return value


@cache
def _plan(kind: type) -> tuple[tuple[Field[Any], Any], ...]:
    hints = get_type_hints(kind)
    return tuple((f, hints[f.name]) for f in fields(kind))


def _check(kind: Any, name: str, value: Any) -> None:
    plain = get_origin(kind) or kind  # NDArray[np.float64] -> np.ndarray
    allowed = {float: (float, int, np.floating), int: (int, np.integer), bool: (bool, np.bool_)}.get(plain, (plain,))
    if not isinstance(value, allowed):
        raise ValueError(f"{name}: found {type(value).__name__}, expected {plain.__name__}")
