"""Ways to break an OpenDRIVE text: a piece is cut out of a real map, then changed at the level of XML, values or bytes.

An edit is (operation, where, what): two whole numbers that choose the element and the new content. The same edits of the
same text give the same broken text.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

from lxml import etree

Element = Any
Edit = tuple[str, int, int]
PARSER = etree.XMLParser(remove_blank_text=True, remove_comments=True)
VALUES = (
    "nan", "inf", "-inf", "1e400", "1e9", "-1e9", "1e5", "1e-9", "-1e-9", "0", "-0", "1", "-1", "-7", "100", "7.5", "", " ",
    "x", "0x10", "1_0", "1,5", "none", "both", "undefined", "\u0663", "\u00e4\U0001f697", "a" * 5000, "\n", "&", "<road>",
    "99999999999999999999", "driving", "end", "start", "road", "junction", "true", "LHT", "direct", "virtual",
)  # fmt: skip
NUMBERS = (
    "1e9",
    "1e5",
    "3e4",
    "1e-6",
    "1e-3",
    "0",
    "-1",
    "-50",
    "1000",
    "10",
    "1.5707963",
    "3.5",
    "0.02",
    "1e3",
    "1e7",
)
JUNK = (
    "<userData code='x'><a><b c='1'/></a></userData>", "<road/>", "<lane id='1'/>", "<geometry/>", "<junction id='9'/>",
    "<laneSection s='1'/>", "<signal/>", "<object id='3' s='1' t='2' type='crosswalk'/>", "<width sOffset='0' a='1e6'/>",
    "<laneOffset s='0' a='1e7'/>", "<elevation s='0' a='0' b='9' c='9' d='9'/>", "<successor id='-1'/>",
    "<speed max='1e9' unit='mph'/>", "<speed max='5' unit='furlongs'/>", "<controller id='c'/>", "<x/>",
    "<laneLink from='-1' to='1'/>", "<roadMark sOffset='0' type='broken broken broken' width='1e9'/>",
    "<validity fromLane='9' toLane='-9'/>", "<superelevation s='0' a='99'/>", "<priority high='1' low='1'/>",
    "<type><line length='1e-9' space='1e-9' tOffset='0'/></type>", "<outline><cornerLocal u='0' v='0'/></outline>",
    "<border sOffset='0' a='-1e4'/>", "<height sOffset='0' inner='1e9' outer='-1e9'/>", "<control signalId='404'/>",
    "<spiral curvStart='1e6' curvEnd='-1e6'/>", "<paramPoly3 aU='0' bU='0' cU='0' dU='0' aV='0' bV='0' cV='0' dV='0'/>",
)  # fmt: skip


def piece(text: str, junction: int) -> str:
    """The junction with that index with its roads and those that lead to it; the whole text where it has none."""
    root = etree.fromstring(text.encode(), PARSER)
    junctions = root.findall("junction")
    if not junctions:
        return text
    kept = junctions[junction % len(junctions)]
    ids = {link.get(name) for link in kept.findall("connection") for name in ("incomingRoad", "connectingRoad")}
    for road in root.findall("road"):
        if road.get("id") not in ids:
            root.remove(road)
    for other in junctions:
        if other is not kept:
            root.remove(other)
    return etree.tostring(root, encoding="unicode", pretty_print=True)


def _attribute(root: Element, where: int, what: int, values: tuple[str, ...]) -> None:
    elements = [el for el in root.iter() if el.attrib]
    el = elements[where % len(elements)]
    name = list(el.attrib)[what % len(el.attrib)]
    value = values[what // len(el.attrib) % len(values)]
    el.set(name, value)


def _value(root: Element, where: int, what: int) -> None:
    _attribute(root, where, what, VALUES)


def _number(root: Element, where: int, what: int) -> None:
    _attribute(root, where, what, NUMBERS)


def _everywhere(root: Element, where: int, what: int) -> None:
    """One attribute of all elements of a kind gets the same value."""
    elements = [el for el in root.iter() if el.attrib]
    el = elements[where % len(elements)]
    name = list(el.attrib)[what % len(el.attrib)]
    for like in root.iter(el.tag):
        like.set(name, NUMBERS[what // len(el.attrib) % len(NUMBERS)])


def _scale(root: Element, where: int, what: int) -> None:
    """One attribute of all elements of a kind is multiplied."""
    elements = [el for el in root.iter() if el.attrib]
    el = elements[where % len(elements)]
    name, factor = list(el.attrib)[what % len(el.attrib)], (1e3, -1.0, 0.01, 30.0)[what % 4]
    for like in root.iter(el.tag):
        try:
            like.set(name, str(float(like.get(name, "")) * factor))
        except ValueError:
            continue


def _drop_attribute(root: Element, where: int, what: int) -> None:
    elements = [el for el in root.iter() if el.attrib]
    el = elements[where % len(elements)]
    del el.attrib[list(el.attrib)[what % len(el.attrib)]]


def _inner(root: Element, where: int) -> Element | None:
    elements = list(root.iter())[1:]
    return elements[where % len(elements)] if elements else None


def _delete(root: Element, where: int, what: int) -> None:
    el = _inner(root, where)
    if el is not None:
        el.getparent().remove(el)


def _delete_all(root: Element, where: int, what: int) -> None:
    el = _inner(root, where)
    for like in list(root.iter(el.tag)) if el is not None else ():
        like.getparent().remove(like)


def _duplicate(root: Element, where: int, what: int) -> None:
    el = _inner(root, where)
    for _ in range((1, 1, 2, 300)[what % 4] if el is not None and sum(1 for _ in el.iter()) < 9 else 1):
        if el is not None:
            el.addnext(deepcopy(el))


def _move(root: Element, where: int, what: int) -> None:
    el, elements = _inner(root, where), list(root.iter())
    target = elements[what % len(elements)]
    if el is not None and target not in list(el.iter()):
        target.append(el)


def _swap(root: Element, where: int, what: int) -> None:
    """Two elements of a kind exchange one attribute: ids, links, places."""
    elements = [el for el in root.iter() if el.attrib]
    el = elements[where % len(elements)]
    name, like = list(el.attrib)[what % len(el.attrib)], list(root.iter(el.tag))
    other = like[what // len(el.attrib) % len(like)]
    mine, theirs = el.get(name), other.get(name, "")
    el.set(name, theirs)
    other.set(name, mine)


def _relink(root: Element, where: int, what: int) -> None:
    """Roads and lanes lead to others, often to themselves or back: cycles, dangling ends, head-on links."""
    links = [el for tag in ("predecessor", "successor", "laneLink", "connection") for el in root.iter(tag)]
    roads = [*(road.get("id") for road in root.iter("road")), "404"]
    if not links:
        return
    el = links[where % len(links)]
    if el.get("elementId") is not None:
        el.set("elementId", roads[what % len(roads)] or "")
        el.set("contactPoint", ("start", "end")[what % 2])
        el.set("elementType", "road")
    elif el.tag == "connection":
        el.set(("incomingRoad", "connectingRoad")[what % 2], roads[what // 2 % len(roads)] or "")
    else:
        name = "id" if el.tag != "laneLink" else ("from", "to")[what % 2]
        el.set(name, ("-1", "1", "0", "2", "-2", "404")[what % 6])


def _cycle(root: Element, where: int, what: int) -> None:
    """Every road leads to the next in the file, lane by lane, and the last to the first."""
    roads = list(root.iter("road"))
    for road, following in zip(roads, roads[1:] + roads[:1], strict=True):
        for link in road.findall("link"):
            road.remove(link)
        link = etree.SubElement(road, "link")
        etree.SubElement(link, "successor", elementType="road", elementId=following.get("id", ""), contactPoint="start")
        for lane in road.iter("lane"):
            for old in lane.findall("link"):
                lane.remove(old)
            etree.SubElement(etree.SubElement(lane, "link"), "successor", id=lane.get("id", ""))


def _one_junction(root: Element, where: int, what: int) -> None:
    """All roads belong to one junction."""
    junction = root.find("junction")
    for road in root.iter("road"):
        road.set("junction", junction.get("id", "") if junction is not None else "1")


def _shred(root: Element, where: int, what: int) -> None:
    """A road is cut into many lane sections."""
    roads = [road for road in root.iter("road") if road.find("lanes/laneSection") is not None]
    if not roads:
        return
    lanes = roads[where % len(roads)].find("lanes")
    section = lanes.find("laneSection")
    step = (1e-4, 0.005, 0.2, 1.0)[what % 4]
    for k in range(1, 120):
        copy = deepcopy(section)
        copy.set("s", f"{k * step:g}")
        lanes.append(copy)


def _junk(root: Element, where: int, what: int) -> None:
    elements = list(root.iter())
    elements[where % len(elements)].append(etree.fromstring(JUNK[what % len(JUNK)]))


def _nest(root: Element, where: int, what: int) -> None:
    """An element stands inside many copies of itself."""
    el = _inner(root, where)
    for _ in range((3, 30, 300)[what % 3] if el is not None else 0):
        parent, at = el.getparent(), el.getparent().index(el)
        wrapper = etree.Element(el.tag, dict(el.attrib))
        wrapper.append(el)
        parent.insert(at, wrapper)
        el = wrapper


def _truncate(data: bytes, where: int, what: int) -> bytes:
    return data[: where * len(data) // 65536]


def _bytes(data: bytes, where: int, what: int) -> bytes:
    """Bytes in the midst of the text, often no valid UTF-8."""
    at = where * len(data) // 65536
    junk = (
        b"\xff\xfe",
        b"\x00",
        b"<",
        b">",
        b'"',
        b"&x;",
        b"]]>",
        b"\xc3",
        b"\xef\xbb\xbf",
        b"<!--",
        b"<![CDATA[",
        b"\x1b[2J",
    )
    return data[:at] + junk[what % len(junk)] + data[at + what // 64 :]


def _encoding(data: bytes, where: int, what: int) -> bytes:
    """The file says another encoding than it has, or has another than it says."""
    names = ("utf-16", "latin-1", "ascii", "UCS-4", "EBCDIC-US", "no-such-encoding", "utf-7", "punycode", "shift_jis")
    if what % 2:
        return data.decode("utf-8", "replace").encode(
            ("utf-16", "utf-32", "latin-1", "utf-8-sig")[what // 2 % 4], "replace"
        )
    return f'<?xml version="1.0" encoding="{names[what // 2 % len(names)]}"?>'.encode() + data


def _bomb(data: bytes, where: int, what: int) -> bytes:
    """Entities that grow to gigabytes (billion laughs), in a text or in an attribute, or that read a file."""
    levels = "".join(f'<!ENTITY e{k} "{f"&e{k - 1};" * 10}">' for k in range(1, 12))
    declared = f'<!DOCTYPE OpenDRIVE [<!ENTITY e0 "ha"><!ENTITY f SYSTEM "file:///etc/passwd">{levels}]>'.encode()
    name = (b"&e11;", b"&f;", b"&e3;")[what % 3]
    if where % 2:
        return declared + data.replace(b'length="', b'name2="' + name + b'" length="', 1)
    return declared + data.replace(b"<header", name + b"<header", 1)


XML: dict[str, Callable[[Element, int, int], None]] = {
    f.__name__[1:]: f
    for f in (_value, _number, _everywhere, _scale, _drop_attribute, _delete, _delete_all, _duplicate, _move, _swap, _relink,
              _cycle, _one_junction, _shred, _junk, _nest)
}  # fmt: skip
BYTES: dict[str, Callable[[bytes, int, int], bytes]] = {
    f.__name__[1:]: f for f in (_truncate, _bytes, _encoding, _bomb)
}
OPERATIONS = (*XML, *BYTES)


def broken(text: str, edits: list[Edit]) -> bytes:
    """The text after the edits; those of bytes come last."""
    root = etree.fromstring(text.encode(), PARSER)
    for name, where, what in edits:
        if name in XML:
            XML[name](root, where, what)
            if not len(root):
                break
    data: bytes = etree.tostring(root, pretty_print=True)
    for name, where, what in edits:
        if name in BYTES:
            data = BYTES[name](data, where, what)
    return data
