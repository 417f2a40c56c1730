"""Every call of the 0.9.16 client. A method is a function (game, caller, *arguments) registered by its wire name."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sim.carla.server.wire import VOID, Failed, failed, ok

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Method:
    """`shape`: how the result travels: "value" and "void" in a Response, "quiet" not at all, "plain" as it is."""

    function: Callable[..., Any]
    shape: str


METHODS: dict[str, Method] = {}


def answers(name: str, shape: str = "value") -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a function under its wire name."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        METHODS[name] = Method(function, shape)
        return function

    return register


def call(game: Any, caller: Any, name: str, arguments: list[Any]) -> Any:
    """The reply to a request. Whatever is wrong with it is said in the reply; it never ends the server."""
    method = METHODS.get(name)
    if method is None:
        log.warning("client %s asks for %r, which no 0.9.16 client does", caller.peer, name[:80])
        return failed(f"unknown method {name[:80]}", void=False)
    try:
        result = method.function(game, caller, *arguments)
    except Failed as error:
        message = str(error)
    except (TypeError, ValueError, KeyError, IndexError, OverflowError, AttributeError) as error:
        log.info("client %s: %s: bad arguments: %s", caller.peer, name, error, exc_info=True)
        message = f"{name}: bad arguments ({error})"
    except Exception as error:  # a fault of ours: said, and survived
        log.exception("client %s: %s", caller.peer, name)
        message = f"{name}: {type(error).__name__}: {error}"
    else:
        if method.shape == "value":
            return ok(result)
        return VOID if method.shape == "void" else result if method.shape == "plain" else None
    if method.shape in ("quiet", "plain"):
        log.info("client %s: %s: %s", caller.peer, name, message)
        return None if method.shape == "quiet" else []
    return failed(message, method.shape == "void")


def load_all() -> None:
    """Import the files that register methods."""
    from sim.carla.server.methods import actors, lights, misc, moves, record, vehicles, world  # noqa: F401
