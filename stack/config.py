"""YAML -> frozen dataclasses. An unknown key, a wrong type or a value out of range stops the run with file and key."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import TypeAdapter, ValidationError

T = TypeVar("T")


class ConfigError(ValueError):
    """Bad input from the user: one line that names file, key, found and expected."""


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file (safe loader); ConfigError where it is missing, broken or not a mapping."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from None
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: found {type(values).__name__}, expected keys and values")
    return values


def fill(kind: type[T], values: dict[str, Any], source: str) -> T:
    """A dataclass (pydantic, `extra="forbid"`) filled from `values`; ConfigError names every wrong key."""
    try:
        return TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        lines = []
        for item in error.errors():
            key = ".".join(str(part) for part in item["loc"])
            if item["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
                known = ", ".join(kind.__dataclass_fields__)  # type: ignore[attr-defined]
                lines.append(f"{key}: unknown key (known: {known})")
            elif not key:  # of the whole: the dataclass says itself what was found
                lines.append(str(item.get("ctx", {}).get("error", item["msg"])))
            else:
                lines.append(f"{key}: {item['msg']}, found {item['input']!r}")
        raise ConfigError(f"{source}: " + "; ".join(lines)) from None


def load(kind: type[T], path: Path) -> T:
    """`fill` from a YAML file."""
    return fill(kind, read_yaml(path), str(path))
