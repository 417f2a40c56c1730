"""The page and the film of a short synthetic drive along a route of our own town."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from pathlib import Path

import av
import numpy as np
import pytest
from shared_maps import graph_of, map_of
from steps import actors_at, ego_at, step_at

from evaluation.birdseye import Town, route_points
from evaluation.charts import Line, band_chart, line_chart, runs
from evaluation.draw import SIZE_PX, tinted
from evaluation.driving import DriveScore, RoutePath
from planning.route import random_route
from scripts.report import run
from stack.labels import LightState, Semantic
from stack.loop import TICK_S, Scenario
from stack.messages import Event, EventKind, Step
from stack.recording import Recorder, drive_meta

TICKS = 24


@dataclass(frozen=True)
class Settings:
    perception: str = "network"
    controller: str = "classical"
    guard: bool = True


def steps_along(scenario: Scenario) -> list[Step]:
    """The synthetic car on the route; it hits car 1, then runs a light."""
    path, graph = RoutePath(scenario.graph, scenario.route), scenario.graph
    lights = np.full(graph.signals, LightState.RED, np.uint8)
    out = []
    for tick in range(TICKS):
        at = int(np.searchsorted(path.s_m, 8.0 * tick * TICK_S))
        (x, y), yaw = path.xy_m[at], float(path.yaw_rad[at])
        ego, cars = (
            ego_at(float(x), float(y), yaw),
            actors_at([(float(x) + 8.0, float(y)), (float(x), float(y) + 12.0)]),
        )
        plain = step_at(tick)
        line = path.xy_m[at : at + 64].astype(np.float32)
        plan = replace(
            plain.plan, reference=replace(plain.plan.reference, xy_m=line),
            trajectory=replace(plain.plan.trajectory, xy_m=line[: len(plain.plan.trajectory.time_s)]),
        )  # fmt: skip
        scene = replace(
            plain.scene, ego=ego, tracks=cars, signal_state=lights, signal_confidence=np.ones(graph.signals, np.float32)
        )
        truth = replace(plain.truth, ego=ego, actors=cars, signal_state=lights)
        kinds = {10: (EventKind.COLLISION_VEHICLE, "car 1"), 20: (EventKind.RED_LIGHT, "signal 0")}
        events = tuple(
            Event(kind, tick + 1, (tick + 1) * TICK_S, other, value=2.5)
            for at, (kind, other) in kinds.items()
            if at == tick
        )
        out.append(replace(plain, scene=scene, truth=truth, plan=plan, events=events))
    return out


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    graph = graph_of("holdout_a")
    return Scenario("town", "holdout_a", graph, random_route(graph, 1, 400.0, 700.0), 1)


@pytest.fixture(scope="module")
def page(scenario: Scenario, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a drive without a result, as a drive that broke off leaves it."""
    folder = tmp_path_factory.mktemp("report")
    meta = drive_meta(scenario, map_of("holdout_a"), Settings())
    with Recorder(folder / "a.mcap", meta) as recorder:
        for step in steps_along(scenario):
            recorder.write(step, "")
    return run(folder / "a.mcap", folder / "out")


class Links(HTMLParser):
    """Everything that a browser would fetch, and the balance of tags."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.fetched += [value or "" for name, value in attrs if name in ("src", "href", "poster", "srcset", "data")]
        if tag not in ("meta", "img", "br", "link", "input"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.fetched += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_page_is_whole_and_fetches_nothing(page: Path):
    text = page.read_text(encoding="utf-8")
    links = Links()
    links.feed(text)
    assert links.open == []
    assert links.fetched
    assert all(link.startswith("data:") for link in links.fetched)
    assert not re.search(r"@import|url\(|https?://", text)
    assert [p.name for p in sorted(page.parent.iterdir())] == ["drive.mp4", "report.html"]  # nothing half-written


def test_page_tells_what_happened_and_why(page: Path):
    text = page.read_text(encoding="utf-8")
    assert "The run broke off before the goal" in text
    assert "Hit car 1 at 2.5 m/s, at fault. Perception had a track of it." in text
    assert "Perception took the light for red." in text
    assert "time to collision" in text  # why the guard acted
    for name in ("holdout_a", "Driving score 2.1", "Front wheel angle", "Distance to the leader"):
        assert name in text
    assert "nan" not in re.sub(r"data:[^\"]+", "", text).lower().replace("nanbegin", "")


def test_film_is_h264_at_ten_hertz(page: Path):
    with av.open(str(page.with_name("drive.mp4"))) as film:
        stream = film.streams.video[0]
        assert (stream.codec_context.name, stream.width, stream.height) == ("h264", *SIZE_PX)
        assert float(stream.average_rate) == 10.0
        frames = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
    assert len(frames) == TICKS // 2
    assert all(frame.std() > 20.0 for frame in frames)


def test_charts_are_xml_and_keep_their_values():
    time_s = np.arange(100) * 0.05
    values = np.where(time_s < 2.0, np.nan, 10.0)
    chart = ET.fromstring(line_chart(time_s, [Line("a < b", values, "speed")], "label", (0.0, 20.0), (), time_s > 4.0))
    path = next(p for p in chart.iter("path") if p.get("class") == "speed")
    heights = {float(v) for v in re.findall(r"[ML][\d.]+ ([\d.]+)", path.get("d") or "")}
    assert len(heights) == 1  # constant where known, nothing drawn where it is not
    assert path.findtext("title") == "a < b"
    bands = ET.fromstring(
        band_chart(time_s, ["follow"] * 60 + ["cruise"] * 40, {"follow": "F", "cruise": "C"}, "label")
    )
    assert [r.get("class") for r in bands.iter("rect")] == ["band follow", "band cruise"]
    assert runs(time_s[:4], [1, 1, 2, 2]) == [(0.0, pytest.approx(0.1), 1), (pytest.approx(0.1), pytest.approx(0.2), 2)]


def test_route_on_the_map_has_its_length_and_no_jump(scenario: Scenario):
    points = route_points(scenario.graph, scenario.route)
    gaps = np.hypot(*np.diff(points, axis=0).T)
    assert gaps.sum() == pytest.approx(scenario.route.length_m, rel=0.02)
    assert gaps.max() < 3.0


def test_birdseye_puts_the_car_where_it_is_told_and_its_heading_up(scenario: Scenario):
    town = Town(scenario.graph, scenario.route)
    points = route_points(scenario.graph, scenario.route)
    for at in np.linspace(10, len(points) - 20, 9).astype(int):
        (x, y), (dx, dy) = points[at], points[at + 1] - points[at - 1]
        cut = town.cut(x, y, float(np.arctan2(dy, dx)), (200, 200), (100.0, 150.0), 8.0)
        pixels = np.asarray(cut).astype(int)
        blue = pixels[..., 2] - pixels[..., 0] > 40  # the route, 1.6 m wide
        assert blue[150, 100]  # the car
        assert blue[150 - 12, 100]  # 1.5 m ahead
        assert blue[150 + 12, 100]  # and behind
        assert not blue[150, [100 - 16, 100 + 16]].any()  # 2 m to its sides


def test_tint_lays_a_coarse_map_over_the_picture():
    rgb = np.zeros((8, 8, 3), np.uint8)
    semantic = np.array([[Semantic.SKY, Semantic.CAR], [Semantic.ROAD, Semantic.SKY]], np.uint8)
    out = tinted(rgb, semantic)
    assert not out[:4, :4].any()  # the sky stays as it is
    assert out[:4, 4:, 2].min() > 0
    assert out[4:, :4].any(axis=-1).all()


def test_score_of_a_recording_is_that_of_the_live_drive(page: Path, scenario: Scenario):
    score = DriveScore(scenario.graph, scenario.route)
    for step in steps_along(scenario):
        score.add(step)
    result = score.result()
    assert result["status"] == "crashed"
    assert [item["kind"] for item in result["infractions"]] == ["collision_vehicle", "red_light"]
    assert f"{result['driving_score']['2.1']:.1f}" in page.read_text(encoding="utf-8")
