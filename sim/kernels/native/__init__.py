"""Drawing, shading and vehicle motion in C++. Shading is one text for CPUs, where it works on sixteen points at once, and
for a GPU's threads, of one point each; so is motion.h, of vehicles.

Warp's own loops do not become vector code. The files are bodies of functions, in the order in which they build on each
other: numbers (lane.h: one, lanes.h: sixteen), points.h, noise.h, sky.h, surface.h, shadows.h, light.h; raster.h and rows.h
are for CPUs only.
"""

from __future__ import annotations

from pathlib import Path

POINT = ("lane.h", "points.h", "noise.h", "sky.h")
FACE = (*POINT, "surface.h", "shadows.h", "light.h")
RASTER = ("lanes.h", "points.h", "raster.h")
ROWS = ("lanes.h", *FACE[1:], "rows.h")


def source(*files: str, **constants: float) -> str:
    """The text of some of the files, with numbers that they name."""
    kinds = {int: "int", float: "float"}
    head = [
        f"constexpr {kinds[type(x)]} {name} = {x!r}{'f' if isinstance(x, float) else ''};"
        for name, x in constants.items()
    ]
    return "\n".join(head + [Path(__file__).with_name(name).read_text("utf-8") for name in files])
