"""OpenDRIVE in: `load_map` reads a file into a RoadMap, `build_graph` makes the lane graph of it.

ASAM OpenDRIVE 1.4 to 1.8, right-hand traffic. Structural faults raise MapError with file and line; links and references
to what is not there are left out and noted in `RoadMap.warnings`.
"""

from __future__ import annotations

from pathlib import Path

from stack.opendrive.doubts import doubts
from stack.opendrive.furniture import MapObject, SignalPost
from stack.opendrive.graph import build_graph
from stack.opendrive.reader import read
from stack.opendrive.records import Doubt, MapError
from stack.opendrive.roads import Mark, RoadMap, Strip

__all__ = [
    "MAPS",
    "Doubt",
    "MapError",
    "MapObject",
    "Mark",
    "RoadMap",
    "SignalPost",
    "Strip",
    "build_graph",
    "doubts",
    "find_map",
    "load_map",
]

MAPS = Path(__file__).parents[2] / "sim/maps"


def load_map(path_or_text: Path | str, name: str | None = None) -> RoadMap:
    """Read a map from a file, or from text (anything with "<" in it, or empty). Raises MapError.

    The name defaults to the file's stem, or "map" for text."""
    if isinstance(path_or_text, str) and ("<" in path_or_text or not path_or_text.strip()):
        return RoadMap(name or "map", read(path_or_text, name or "<text>"))
    path = Path(path_or_text)
    return RoadMap(name or path.stem, read(path, path.name))


def find_map(name_or_path: str | Path) -> Path:
    """The file of one of our own maps by name, or a path that exists. Raises ValueError."""
    path = Path(name_or_path)
    file = path if path.suffix == ".xodr" else MAPS / f"{name_or_path}.xodr"
    try:
        if file.is_file():
            return file
    except OSError:  # a name too long for any file
        pass
    known = ", ".join(sorted(p.stem for p in MAPS.glob("*.xodr"))) or "none"
    raise ValueError(f"map: found {str(name_or_path)[:200]!r}, expected an .xodr file that exists or one of: {known}")
