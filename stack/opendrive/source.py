"""Bytes -> XML tree: one regular file of bounded size, no entities, no network, namespaces dropped."""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import Any
from xml.parsers import expat

from lxml import etree

from stack.opendrive.records import MapError

MAX_SOURCELINE = 65535
MAX_BYTES = 256_000_000  # the tree takes about ten times as much memory
Element = Any


def parse(source: Path | str, file: str) -> tuple[Element, str, dict[Element, int]]:
    """Root element, text, and lines (see `_lines`) of a file or a text; `file` names it in errors. Raises MapError."""
    data = _bytes(source, file)
    if not data.strip():
        raise MapError(f"{file}:1: <OpenDRIVE>: found an empty file, expected OpenDRIVE")
    parser_encoding = None if isinstance(source, Path) else "utf-8"
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, remove_comments=True, remove_pis=True,
        encoding=parser_encoding,
    )  # fmt: skip
    try:
        root = etree.fromstring(data, parser)
    except (etree.LxmlError, LookupError, ValueError) as problem:
        line = getattr(problem, "lineno", None) or 1
        text = one_line(str(problem).partition(", line ")[0])
        raise MapError(f"{file}:{line}: <xml>: found {text}, expected well-formed XML") from None
    for el in root.iter():  # OpenDRIVE 1.5+ may come with a namespace
        if isinstance(el.tag, str) and el.tag.startswith("{"):
            el.tag = el.tag.partition("}")[2]
    encoding = root.getroottree().docinfo.encoding if isinstance(source, Path) else "utf-8"
    return root, data.decode(_known(encoding), "replace"), _lines(root, data, parser_encoding)


def one_line(text: str) -> str:
    """What a file holds, fit for a message: printable, on one line, at most 120 characters."""
    words = " ".join(text.split())
    return "".join(c if c.isprintable() else "?" for c in words)[:120]


def _bytes(source: Path | str, file: str) -> bytes:
    if isinstance(source, str):
        return source.encode("utf-8", "replace")
    try:
        if source.exists() and not source.is_file():
            found = "a directory" if source.is_dir() else "a device or pipe"
            raise MapError(f"{file}:1: <OpenDRIVE>: found {found}, expected a file")
        size = source.stat().st_size
        if size > MAX_BYTES:
            raise MapError(f"{file}:1: <OpenDRIVE>: found {size / 1e6:.0f} MB, expected at most {MAX_BYTES / 1e6:.0f}")
        return source.read_bytes()
    except OSError as problem:
        raise MapError(f"{file}:1: <OpenDRIVE>: found {problem.strerror}, expected a readable file") from None


def _lines(root: Element, data: bytes, encoding: str | None) -> dict[Element, int]:
    """Lines of the elements of files so long that `sourceline`, 16 bits wide, cannot tell; empty for others."""
    if data.count(b"\n") < MAX_SOURCELINE:
        return {}
    lines: list[int] = []
    parser = expat.ParserCreate(encoding)
    parser.StartElementHandler = lambda *_: lines.append(parser.CurrentLineNumber)
    parser.DefaultHandler = lambda _: None  # with one, entities stay closed here too
    try:
        parser.Parse(data, True)
    except expat.ExpatError:  # an encoding that only libxml2 knows
        return {}
    return dict(zip(root.iter(etree.Element), lines, strict=False))


def _known(encoding: str | None) -> str:
    """libxml2 reads encodings that Python has no name for; their text is kept as far as it is ASCII."""
    try:
        return codecs.lookup(encoding or "utf-8").name
    except LookupError:
        return "utf-8"
