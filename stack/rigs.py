"""Rigs from YAML: `cameras:` a list of `CameraMount`s, and any other key of `Rig`. Lengths in m, angles in rad."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from stack.config import ConfigError, fill, read_yaml
from stack.messages import CameraMount, Lens, Optics, Rig

PARTS: dict[str, type] = {"lens": Lens, "optics": Optics}


def load_rig(path: Path) -> Rig:
    """The rig in a file; what it does not name is the default rig's. ConfigError names file and key."""
    values = read_yaml(path)
    _known(Rig, values, str(path), "")
    cameras = values.get("cameras", [])
    for k, camera in enumerate(cameras if isinstance(cameras, list) else []):
        where = f"cameras.{k}."
        _known(CameraMount, camera, str(path), where)
        for name, kind in PARTS.items():
            _known(kind, camera.get(name, {}), str(path), f"{where}{name}.")
    rig = fill(Rig, values, str(path))
    names = [camera.name for camera in rig.cameras]
    if len(set(names)) < len(names):
        raise ConfigError(f"{path}: cameras: found the names {', '.join(names)}, expected each once")
    return rig


def _known(kind: type, values: Any, source: str, where: str) -> None:
    """The messages are plain dataclasses, for which an unknown key is no error yet."""
    assert is_dataclass(kind)
    known = [field.name for field in fields(kind)]
    if not isinstance(values, dict):
        raise ConfigError(f"{source}: {where.rstrip('.') or 'rig'}: found {values!r}, expected keys and values")
    for key in values:
        if key not in known:
            raise ConfigError(f"{source}: {where}{key}: unknown key (known: {', '.join(known)})")
