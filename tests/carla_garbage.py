"""Messages that no client should send, drawn from a seed: noise, wrong shapes, wrong arguments of right calls, cut-offs."""

from __future__ import annotations

import random
import struct
from typing import Any

import msgpack

from tests.test_carla_calls import CAMERA, GLOBAL, LIGHT, VEHICLE, WALKER, ZERO

EVIL: tuple[Any, ...] = (
    float("nan"), float("inf"), float("-inf"), 1e300, -1e300, 1e30, 1e-300, 0, -1, 2**31, 2**32, 2**63, 2**64 - 1, -(2**63),
    "", "nan", "..", "/", "\0", "x" * 5000, "\u00e4\U0001f697", b"", b"\xff\xfe", None, True, False, [], [[]], {}, {"a": 1},
    [0] * 2000, [[[[[[[[[[]]]]]]]]]], [None] * 3, [float("nan")] * 3, [1e30] * 3, msgpack.Timestamp(1, 1), msgpack.ExtType(5, b"z"),
)  # fmt: skip
NO_RIGHT_ARGUMENTS = (
    "copy_opendrive_to_file",
    "set_episode_settings",
)  # which would be carried out, and slow or disturb
CALLS: dict[str, list[Any]] = {name: args for name, args, *_ in GLOBAL if name not in NO_RIGHT_ARGUMENTS} | {
    "destroy_actor": [], "apply_batch": [[[[6, [1, ZERO]]], [[2, [1, [0.0] * 7]]]], False], "request_file": ["Nav"],
    "replay_file": ["none.rec", 0.0, 0.0, 0, False, ZERO],
}  # fmt: skip
OF_ACTOR = {name: args for name, args, *_ in (*VEHICLE, *WALKER, *LIGHT, *CAMERA)}


def arguments(rng: random.Random, name: str, ids: list[int]) -> list[Any]:
    """Arguments for a call: right ones of which one is spoilt, or anything."""
    right = CALLS.get(name, [])
    if name in OF_ACTOR:
        right = [rng.choice(ids), *OF_ACTOR[name]]
    if not right or rng.random() < 0.3:
        return [rng.choice(EVIL) for _ in range(rng.randrange(8))]
    return spoilt(rng, right)


def spoilt(rng: random.Random, value: Any) -> Any:
    """The value with one leaf, or one branch, replaced."""
    if not isinstance(value, list) or not value or rng.random() < 0.1:
        return rng.choice(EVIL)
    out = list(value)
    k = rng.randrange(len(out))
    out[k] = spoilt(rng, out[k])
    if rng.random() < 0.05:
        out.pop()
    return out


def wrong_call(rng: random.Random, names: list[str], ids: list[int]) -> tuple[str, list[Any]]:
    name = rng.choice(names)
    args = arguments(rng, name, ids)
    return name, args if isinstance(args, list) else [args]


def noise(rng: random.Random, names: list[str], ids: list[int]) -> bytes:
    """What is no request: the server may answer as it likes, or hang up."""
    name, args = wrong_call(rng, names, ids)
    whole: bytes = msgpack.packb([0, rng.randrange(2**32), name, [[False], *args]])
    match rng.randrange(8):
        case 0:
            return rng.randbytes(rng.randrange(300))
        case 1:
            return bytes(msgpack.packb(spoilt(rng, [0, 1, name, [[False], *args]])))
        case 2:  # cut off
            return whole[: rng.randrange(len(whole))]
        case 3:  # a byte is another
            at = rng.randrange(len(whole))
            return whole[:at] + rng.randbytes(1) + whole[at + 1 :]
        case 4:  # lengths that never come
            kind = rng.choice(b"\xdb\xdd\xdf\xc6\xc9")
            return whole[: rng.randrange(len(whole))] + struct.pack(
                ">BI", kind, rng.choice((2**32 - 1, 2**31, 2**22, 70_000))
            )
        case 5:  # depth
            return whole[:-1] + rng.choice((b"\x91", b"\x81", b"\x92\x00")) * rng.choice((10, 500, 1000, 100_000))
        case 6:
            return bytes(msgpack.packb(rng.choice(EVIL))) * rng.randrange(1, 50)
        case _:
            return bytes(
                msgpack.packb(rng.choice(([2, name, args], [1, 1, None, 1], [0, name, 1, args], [0, 1, name, args])))
            )
