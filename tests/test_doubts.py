"""`ringroad maps check` and `preview`: what is wrong or doubtful in a map, told to a user."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from scripts.maps import app
from stack.opendrive import build_graph, doubts, load_map

RUN = CliRunner()


def road(id_: int, x: float, y: float, hdg: float = 0.0, length: float = 20.0, junction: int = -1, after: int = 0,
         lanes: int = 1, inside: str = "", width: float = 3.5) -> str:  # fmt: skip
    """A straight road of lanes in its direction; `after`: the road to whose start it leads, lane by lane."""
    link = f'<link><successor elementType="road" elementId="{after}" contactPoint="start"/></link>' if after else ""
    lane = '<lane id="{0}" type="driving"><link>{1}</link><width sOffset="0" a="{2}"/></lane>'
    own = [lane.format(-k, f'<successor id="{-k}"/>' if after else "", width) for k in range(1, lanes + 1)]
    return f"""<road id="{id_}" length="{length}" junction="{junction}">{link}
<planView><geometry s="0" x="{x}" y="{y}" hdg="{hdg}" length="{length}"><line/></geometry></planView>
<lanes><laneSection s="0"><right>{"".join(own)}</right></laneSection></lanes>{inside}</road>"""


def document(*parts: str) -> str:
    return f"<OpenDRIVE>{''.join(parts)}</OpenDRIVE>"


RING = (road(1, 0, 0, after=2), road(2, 20, 0))
LIGHT = """<signals><signal id="9" s="10" t="-4" zOffset="4" orientation="+" dynamic="yes" type="1000001"/></signals>"""
CASES = {
    "gap between lanes": document(road(1, 0, 0, after=2), road(2, 22, 0)),
    "kink between lanes": document(road(1, 0, 0, after=2), road(2, 20, 0, hdg=0.5)),
    "overlapping junctions": document(
        road(1, 0, 0, junction=5), road(2, 10, -12, hdg=1.57, junction=6), '<junction id="5"/>', '<junction id="6"/>'
    ),
    "empty junction": document(*RING, '<junction id="5"/>'),
    "light without controller": document(road(1, 0, 0, inside=LIGHT)),
    "idle light": document(road(1, 0, 0, inside=LIGHT)),
    "leads nowhere": document(road(1, 0, 0, after=404)),
    "no way out": document(*RING),
    "no way in": document(*RING),
    "no way out inside a junction": document(road(1, 0, 0, junction=5), '<junction id="5"/>'),
    "apart from the rest": document(*RING, road(3, 0, 50)),
    "narrow lane": document(road(1, 0, 0, width=1.2)),
    "head-on": document(road(1, 0, 0, after=2).replace('contactPoint="start"', 'contactPoint="end"'), road(2, 20, 0)),
    "length": document(road(1, 0, 0).replace('length="20.0" junction', 'length="20.5" junction')),
    "wrong side": document(road(1, 0, 0).replace("right>", "left>")),
    "no lanes": document(road(1, 0, 0).replace('<laneSection s="0"', '<laneSection s="5"')),
    "no such junction": document(road(1, 0, 0, junction=5)),
    "not read": document(road(1, 0, 0), '<junction id="5" type="virtual"/>'),
}


@pytest.mark.parametrize("kind", CASES)
def test_each_kind_of_doubt_is_found_where_it_is(kind: str) -> None:
    road_map = load_map(CASES[kind], "case")
    found = {doubt.kind: doubt for doubt in reversed(doubts(road_map, build_graph(road_map)))}
    assert kind in found
    line, element = found[kind].line, found[kind].element
    assert f"<{element}" in "\n".join(road_map.document.text.splitlines()[line - 1 : line])


def test_a_ring_leaves_no_doubt() -> None:
    quarter = 1.5707963267948966
    at = ((0.0, 0.0), (20.0, 0.0), (20.0, 20.0), (0.0, 20.0))
    turn = '<geometry s="20" x="{}" y="{}" hdg="{}" length="15.7079632679"><arc curvature="0.1"/></geometry></planView>'
    roads = []
    for k, (x, y) in enumerate(at):
        x, y = x + (0, 10, 0, -10)[k], y + (0, 10, 20, 10)[k]
        end = x + (20, 0, -20, 0)[k], y + (0, 20, 0, -20)[k]
        text = road(k + 1, x, y, k * quarter, after=(k + 1) % 4 + 1).replace(
            'length="20.0" junction', 'length="35.7" junction'
        )
        roads.append(text.replace("</planView>", turn.format(*end, k * quarter)))
    road_map = load_map(document(*roads))
    assert doubts(road_map, build_graph(road_map)) == []


def test_check_counts_and_gives_examples(tmp_path: Path) -> None:
    file = tmp_path / "many.xodr"
    file.write_text(document(*(road(k, 0, 10 * k, after=900 + k) for k in range(1, 41))))
    run = RUN.invoke(app, ["check", str(file)])
    assert run.exit_code == 0 and "leads nowhere: 40" in run.output and "... and 37 more" in run.output
    assert len(run.output.splitlines()) < 50
    run = RUN.invoke(app, ["check", str(file), "--json", "-"])
    kinds = json.loads(run.output)["warnings"]
    assert kinds["leads nowhere"]["count"] == 40
    assert (
        kinds["leads nowhere"]["examples"][0] == "many.xodr:1: <road>: road 1 leads to road 901, which does not exist"
    )


@pytest.mark.parametrize("verb", ["check", "preview"])
def test_a_bad_file_is_one_line_and_exit_code_2(tmp_path: Path, verb: str) -> None:
    file = tmp_path / "bad.xodr"
    file.write_text(document("\n", road(1, 0, 0).replace('a="3.5"', 'a="wide"')))
    out = [str(tmp_path / "a.png")] if verb == "preview" else []
    run = RUN.invoke(app, [verb, str(file), *out])
    assert run.exit_code == 2
    assert run.stderr == 'bad.xodr:4: <width>: found a="wide", expected a number\n'


@pytest.mark.parametrize("length", [1.0, 20.0, 90_000.0])
def test_preview_of_any_length(tmp_path: Path, length: float) -> None:
    file, out = tmp_path / "long.xodr", tmp_path / "long.png"
    file.write_text(document(road(1, 0, 0, length=length)))
    assert RUN.invoke(app, ["preview", str(file), str(out)]).exit_code == 0
    with Image.open(out) as picture:
        assert picture.width == 3200 and picture.height >= 100
        assert len(picture.convert("RGB").getcolors(1_000_000)) > 3
