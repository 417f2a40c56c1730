"""OpenDRIVE elements with short decimals."""

from __future__ import annotations

from collections.abc import Iterable

from lxml import etree

from sim.maps.geometry import Cubic

Element = etree._Element


def number(value: float) -> str:
    """Nine decimals, which keeps 100 m arcs true to a micrometre; no negative zero."""
    text = f"{value:.9f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def put(parent: Element, tag: str, **attributes: str | float) -> Element:
    """A child element; floats as short decimals; a trailing underscore keeps a name clear of Python's keywords."""
    written = {
        key.rstrip("_"): number(value) if isinstance(value, float) else str(value) for key, value in attributes.items()
    }
    return etree.SubElement(parent, tag, written)


def put_cubics(parent: Element, tag: str, offset: str, cubics: Iterable[Cubic]) -> None:
    """Polynomials of a width, a lane offset or a height; their coefficients have twelve digits."""
    for s, a, *rest in cubics:
        b, c, d = (f"{value + 0.0:.12g}" for value in rest)
        put(parent, tag, **{offset: s}, a=a, b=b, c=c, d=d)
