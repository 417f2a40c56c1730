"""Random towns and country roads as OpenDRIVE 1.6 text: `python -m sim.maps.generate` writes the named ones anew.

The text is a function of seed, name and style alone (stack/seeds.py, stream MAP). Written with lxml directly.
"""

from __future__ import annotations

from lxml import etree

from sim.maps.highway import Highway
from sim.maps.junctions import lay_out
from sim.maps.roads import document
from sim.maps.signage import highway_document
from sim.maps.signals import Writer, regulate
from sim.maps.streets import Style, street_plan
from stack.opendrive import MAPS
from stack.seeds import Stream, generator

TOWNS: dict[str, tuple[int, Style]] = {
    "town_a": (1, Style(5, 4, missing=0.06, heads=("near",), limits_kmh=(40, 50))),
    "town_b": (2, Style(5, 5, (75.0, 130.0), through_columns=(2,), heads=("far",), mast=0.6, centre="white")),
    "town_c": (3, Style(5, 4, (80.0, 140.0), missing=0.1, bent=0.9, hills_m=4.0, heads=("near", "both"))),
    "town_d": (4, Style(5, 5, (70.0, 110.0), through_rows=(1,), through_columns=(3,), heads=("both",), mast=0.5)),
    "town_e": (
        5,
        Style(5, 5, (70.0, 115.0), bent=0.7, lane_width_m=(3.0, 3.3), limits_kmh=(30,), lights=0.4, edge_lines=False,
              centre="white", kerb_m=0.12),
    ),
    "town_f": (
        6,
        Style(4, 5, (100.0, 160.0), missing=0.06, through_columns=(1,), through_rows=(2,), lane_width_m=(3.4, 4.0),
              verge_m=(2.2, 3.0), limits_kmh=(40, 50), hills_m=6.0, lights=0.75, heads=("near", "far"), kerb_m=0.15),
    ),
    "holdout_a": (
        7,
        Style(5, 5, (75.0, 125.0), bent=0.6, through_columns=(2,), hills_m=2.0, heads=("near", "both")),
    ),
    "holdout_b": (
        8,
        Style(5, 5, (75.0, 140.0), missing=0.14, bent=0.8, through_rows=(2,), lane_width_m=(3.0, 3.8), hills_m=5.0,
              heads=("far", "both"), mast=0.5, centre="white", edge_lines=False),
    ),
}  # fmt: skip

OTHERS: dict[str, tuple[int, Style]] = {
    "suburb": (
        10,
        Style(6, 5, (60.0, 100.0), missing=0.26, bent=0.95, lane_width_m=(3.0, 3.3), kind="townLocal", limits_kmh=(30,),
              hills_m=4.0, lights=0.0, signs="stop", crosswalks=0.3, centre="white", edge_lines=False),
    ),
    "roundabouts": (
        11,
        Style(5, 5, (105.0, 150.0), jitter_m=2.5, missing=0.12, bent=0.15, lane_width_m=(3.2, 3.6), verge_m=(1.8, 2.4),
              limits_kmh=(40, 50), hills_m=3.0, lights=0.0, signs="yield", crosswalks=0.7, centre="white", roundabouts=0.9),
    ),
    "oldtown": (
        12,
        Style(6, 6, (56.0, 92.0), jitter_m=7.0, missing=0.08, bent=0.75, lane_width_m=(2.6, 3.0), kind="lowSpeed",
              verge_m=(1.5, 2.2), corner_m=(4.6, 5.4), limits_kmh=(30,), hills_m=3.0, lights=0.12, heads=("near",),
              signs="none", crosswalks=0.8, centre="white", edge_lines=False, kerb_m=0.1, setback_m=8.0,
              parking_m=(2.0, 2.3), parked=0.9, oneway=0.3, midway=0.45),
    ),
    "arterial": (
        13,
        Style(5, 5, (130.0, 190.0), missing=0.1, bent=0.4, through_rows=(2,), through_columns=(1, 3),
              lane_width_m=(3.2, 3.5), kind="townArterial", verge_m=(2.0, 3.0), limits_kmh=(50,), hills_m=3.0, lights=0.0,
              heads=("far", "both"), mast=0.7, signs="yield", one_by_one=0.0, crosswalks=0.8, median_m=4.4,
              through_limit_kmh=70, protected=0.55),
    ),
    "rural": (
        9,
        Style(4, 3, (260.0, 400.0), jitter_m=35.0, missing=0.12, winding_m=85.0, lane_width_m=(3.2, 3.5), kind="rural",
              verge="shoulder", verge_m=(0.8, 1.3), corner_m=(6.0, 9.0), limits_kmh=(60, 70, 80), hills_m=14.0, rolling_m=4.0,
              lights=0.0, crosswalks=0.0),
    ),
}  # fmt: skip
NAMED: dict[str, tuple[int, Style | Highway]] = TOWNS | OTHERS | {"highway": (11, Highway())}


def random_style(seed: int) -> Style:
    """A style of its own for every seed."""
    rng = generator(seed, Stream.MAP, tick=1)
    columns, rows = (int(n) for n in rng.integers(4, 6, 2))
    low = float(rng.uniform(70.0, 90.0))
    width, sidewalk = float(rng.uniform(3.0, 3.6)), float(rng.uniform(1.5, 2.3))
    heads = (("near",), ("far",), ("both",), ("near", "both"), ("near", "far", "both"))
    limits = ((30, 40), (30, 50), (40, 50), (30, 40, 50), (30,))
    return Style(
        columns,
        rows,
        block_m=(low, float(rng.uniform(low + 25.0, 160.0))),
        missing=float(rng.uniform(0.04, 0.16)),
        bent=float(rng.uniform(0.2, 0.9)),
        through_columns=tuple(int(i) for i in rng.integers(1, columns - 1, rng.integers(0, 2))),
        through_rows=tuple(int(j) for j in rng.integers(1, rows - 1, rng.integers(0, 2))),
        lane_width_m=(width, min(4.0, width + 0.4)),
        verge_m=(sidewalk, sidewalk + 0.7),
        kerb_m=round(float(rng.uniform(0.12, 0.15)), 3),
        limits_kmh=limits[rng.integers(len(limits))],
        hills_m=float(rng.choice((0.0, 0.0, 3.0, 6.0))),
        lights=float(rng.uniform(0.4, 0.8)),
        heads=heads[rng.integers(len(heads))],
        mast=float(rng.uniform(0.0, 0.7)),
        centre=str(rng.choice(("yellow", "white"))),
        edge_lines=bool(rng.random() < 0.6),
    )


def random_map(seed: int, name: str, style: Style | Highway | None = None) -> str:
    """OpenDRIVE text of a map; without a style, the seed draws a town's. Same arguments, same text."""
    style = random_style(seed) if style is None else style
    rng = generator(seed, Stream.MAP)
    if isinstance(style, Highway):
        root = highway_document(name, style, rng)
    else:
        town = lay_out(street_plan(style, rng), style, rng)
        root, roads = document(name, town, style)
        regulate(Writer(root, roads, town.paths, style, rng), town)
    for empty in [e for e in root.iter("objects", "signals") if len(e) == 0]:
        empty.getparent().remove(empty)
    etree.indent(root, space="")
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8").decode() + "\n"


def summary(name: str, text: str) -> str:
    """One line of figures about a map."""
    root = etree.fromstring(text.encode())
    streets = [road for road in root.findall("road") if road.get("junction") == "-1"]
    kinds = [signal.get("type") for signal in root.iter("signal")]
    km = sum(float(road.get("length", "0")) for road in streets) / 1000.0
    grade = max(_steepest(road) for road in streets)
    counts = [
        len(streets), f"{km:.1f}", len(root.findall("junction")), len(root.findall("junction[controller]")),
        *(kinds.count(kind) for kind in ("1000001", "206", "205")), len(root.findall(".//object[@type='crosswalk']")),
        f"{100.0 * grade:.1f}", f"{len(text) / 1000:.0f}",
    ]  # fmt: skip
    return f"{name:<10}" + "".join(f"{value:>10}" for value in counts)


def _steepest(road: etree._Element) -> float:
    """Greatest grade of a road: each of its cubics is level at both ends and steepest in its middle."""
    pieces = road.findall("elevationProfile/elevation")
    ends = [float(piece.get("s", "0")) for piece in pieces[1:]] + [float(road.get("length", "0"))]
    found = []
    for piece, end in zip(pieces, ends, strict=True):
        half, c, d = 0.5 * (end - float(piece.get("s", "0"))), float(piece.get("c", "0")), float(piece.get("d", "0"))
        found.append(abs(2.0 * c * half + 3.0 * d * half**2))
    return max(found)


def main() -> None:
    """Write all named maps, each to a temporary name first, and print what is in them."""
    titles = ("streets", "km", "junctions", "lit", "heads", "stop", "yield", "crosswalk", "grade %", "kB")
    print(f"{'map':<10}" + "".join(f"{title:>10}" for title in titles))
    for name, (seed, style) in NAMED.items():
        text = random_map(seed, name, style)
        part = MAPS / f"{name}.xodr.part"
        part.write_text(text, encoding="utf-8")
        part.replace(MAPS / f"{name}.xodr")
        print(summary(name, text))


if __name__ == "__main__":
    main()
