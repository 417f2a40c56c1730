"""The lane graph of Town01 and of our own maps: what a driver would notice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import shapely
from shared_maps import graph_of

from stack.lanegraph import LaneGraph, concatenate

DATA = Path(__file__).parents[2] / "shared/data/maps"
OURS = sorted((Path(__file__).parents[1] / "sim/maps").glob("*.xodr"))
FILES = [path for path in (DATA / "Town01.xodr", DATA / "Town04.xodr", *OURS[:3]) if path.is_file()]
PARAMS = [pytest.param(path, marks=pytest.mark.slow) if path.stem == "Town04" else path for path in FILES]  # it is big
assert OURS, "no maps in sim/maps"
TOWN01 = DATA / "Town01.xodr"
needs_town01 = pytest.mark.skipif(not TOWN01.is_file(), reason=f"no {TOWN01}")


@pytest.fixture(params=PARAMS, ids=lambda path: path.stem)
def graph(request: pytest.FixtureRequest) -> LaneGraph:
    return graph_of(request.param)


def test_points_are_evenly_spaced_along_their_heading(graph: LaneGraph) -> None:
    assert (graph.lane_step_m <= 1.0 + 1e-5).all()
    for lane in range(graph.lanes):
        line = graph.points(lane).astype(np.float64)
        chord = np.diff(line[:, :2], axis=0)
        np.testing.assert_allclose(np.hypot(*chord.T), graph.lane_step_m[lane], atol=0.04)
        assert graph.lane_length_m[lane] == pytest.approx(graph.lane_step_m[lane] * (len(line) - 1), rel=1e-4)
        yaw = graph.yaw_rad[graph.lane_start[lane] : graph.lane_start[lane] + len(line)]
        heading = np.arctan2(chord[:, 1], chord[:, 0])
        assert np.cos(heading - yaw[:-1]).min() > 0.97 and np.cos(heading - yaw[1:]).min() > 0.97


def test_successor_starts_where_the_lane_ends(graph: LaneGraph) -> None:
    for lane in range(graph.lanes):
        for other in graph.successors(lane):
            assert np.linalg.norm(graph.points(lane)[-1] - graph.points(int(other))[0]) < 0.3
            end, start = graph.lane_start[lane] + graph.lane_count[lane] - 1, graph.lane_start[other]
            assert np.cos(graph.yaw_rad[end] - graph.yaw_rad[start]) > 0.97
            assert lane in graph.predecessors(int(other))
    assert graph.succ_count.sum() == graph.pred_count.sum() == len(graph.succ) == len(graph.pred)


def test_neighbours_mirror_each_other(graph: LaneGraph) -> None:
    for lane, left in enumerate(graph.lane_left):
        if left >= 0:
            assert graph.lane_right[left] == lane
            assert np.cos(graph.yaw_rad[graph.lane_start[lane]] - graph.yaw_rad[graph.lane_start[left]]) > 0.9


def test_conflicts_are_where_swept_widths_meet(graph: LaneGraph) -> None:
    rows = {}
    for lane in range(graph.lanes):
        for row in range(graph.conflict_start[lane], graph.conflict_start[lane] + graph.conflict_count[lane]):
            rows[lane, int(graph.conflict_lane[row])] = row
    inside = np.flatnonzero(graph.lane_junction >= 0)
    paths = {i: shapely.LineString(graph.points(i)[:, :2]) for i in inside}
    swept = {i: paths[i].buffer(0.9, cap_style="flat") for i in inside}
    for (a, b), row in rows.items():
        back = rows[b, a]
        assert graph.conflict_rank[row] == -graph.conflict_rank[back]
        assert graph.conflict_from_m[row] == graph.conflict_other_from_m[back]
        assert not set(graph.predecessors(a)) & set(graph.predecessors(b))
        assert paths[a].distance(paths[b]) < 2.5
        assert 0.0 <= graph.conflict_from_m[row] < graph.conflict_to_m[row] <= graph.lane_length_m[a] + 1e-3
    for a in inside:
        for b in inside:
            together = (
                graph.lane_junction[a] == graph.lane_junction[b]
                and abs(graph.points(a)[0, 2] - graph.points(b)[0, 2]) < 2
            )
            diverging = set(graph.predecessors(a)) & set(graph.predecessors(b))
            chained = b in graph.successors(a) or a in graph.successors(b)
            same_road = graph.lane_key[a][0] == graph.lane_key[b][0]
            if (
                a < b
                and together
                and not (diverging or chained or same_road)
                and swept[a].intersection(swept[b]).area > 0.5
            ):
                assert (a, b) in rows


def test_crossing_movements_are_never_green_together_unless_one_yields(graph: LaneGraph) -> None:
    time_s = np.arange(0.0, 240.0, 0.5)

    def green(lane: int) -> np.ndarray:
        signal = graph.lane_signal[lane]
        clock = time_s % graph.signal_cycle_s[signal] - graph.signal_green_from_s[signal]
        return (clock >= 0.0) & (clock < graph.signal_green_s[signal])

    for lane in np.flatnonzero(graph.lane_signal >= 0):
        assert green(lane).any() and not green(lane).all()
        for row in range(graph.conflict_start[lane], graph.conflict_start[lane] + graph.conflict_count[lane]):
            other = graph.conflict_lane[row]
            if graph.lane_signal[other] < 0 or not (green(lane) & green(int(other))).any():
                continue
            merging = set(graph.successors(lane)) & set(graph.successors(int(other)))
            alike = graph.lane_turn[lane] == graph.lane_turn[other]
            starts = graph.yaw_rad[graph.lane_start[[lane, other]]]
            if not merging and not alike and np.cos(starts[0] - starts[1]) < -0.7:
                assert abs(graph.conflict_rank[row]) == 1
                assert graph.conflict_rank[row] == (-1 if graph.lane_turn[lane] == 1 else 1)


def test_heads_face_the_traffic_they_control(graph: LaneGraph) -> None:
    for signal, yaw, place in zip(graph.head_signal, graph.head_yaw_rad, graph.head_xyz_m, strict=True):
        lanes = np.flatnonzero(graph.lane_signal == signal)
        assert len(lanes)
        starts = graph.lane_start[lanes]
        assert np.cos(graph.yaw_rad[starts] - yaw).min() < -0.8
        ground = graph.z_m[starts].mean()
        assert 1.5 < place[2] - ground < 7.0
        assert np.hypot(graph.x_m[starts] - place[0], graph.y_m[starts] - place[1]).min() < 60.0


def test_cars_stop_before_the_junction(graph: LaneGraph) -> None:
    controlled = (graph.lane_signal >= 0) | (graph.lane_sign > 0)
    assert (graph.lane_stop_s_m <= graph.lane_length_m).all() and (graph.lane_stop_s_m >= 0.0).all()
    for lane in range(graph.lanes):
        left = graph.lane_length_m[lane] - graph.lane_stop_s_m[lane]
        if graph.lane_length_m[lane] > 15.0 and controlled[graph.successors(lane)].any():
            assert 0.4 < left < 13.0


def test_crosswalks_lie_across_their_lanes(graph: LaneGraph) -> None:
    for lane, index, start, end in zip(graph.crosswalk_lane, graph.crosswalk_index, graph.crosswalk_from_m,
                                       graph.crosswalk_to_m, strict=True):  # fmt: skip
        assert 0.0 <= start < end <= graph.lane_length_m[lane] + 1e-3
        quad = graph.crosswalk_xyz_m[index]
        middle = graph.points(int(lane))[round(float(0.5 * (start + end) / graph.lane_step_m[lane]))]
        assert shapely.Polygon(quad[:, :2]).buffer(0.6).contains(shapely.Point(middle[:2]))


def test_sidewalk_points_are_near_a_lane_but_not_on_one(graph: LaneGraph) -> None:
    outside = np.flatnonzero(graph.lane_junction < 0)
    roads = shapely.union_all(
        [shapely.LineString(graph.points(i)[:, :2]).buffer(1.0, cap_style="flat") for i in outside]
    )
    points = shapely.points(graph.walk_xyz_m[::3, :2])
    shapely.prepare(roads)
    if len(points):
        assert shapely.contains(roads, points).mean() < 0.01
        assert np.quantile(shapely.distance(roads, points), 0.9) < 25.0


@needs_town01
def test_town01_is_as_it_is_known() -> None:
    graph = graph_of(TOWN01)
    assert (graph.junctions, graph.signals, len(graph.head_signal)) == (12, 36, 36)
    assert (graph.lane_signal[graph.lane_junction >= 0] >= 0).all()
    assert set(np.round(graph.signal_cycle_s)) == {45.0} and set(graph.signal_green_s) == {10.0}
    assert sorted(set(graph.signal_green_from_s)) == [0.0, 15.0, 30.0]
    assert {round(float(v) * 3.6) for v in graph.lane_limit_mps} <= {30, 40}
    turns = graph.lane_turn[graph.lane_junction >= 0]
    assert [int((turns == turn).sum()) for turn in (1, 0, -1)] == [24, 24, 24]  # T junctions only
    assert len(graph.crosswalk_xyz_m) == 0


@needs_town01
def test_nearest_finds_the_lane_of_ones_direction() -> None:
    graph = graph_of(TOWN01)
    for lane in range(0, graph.lanes, 7):
        if graph.lane_junction[lane] >= 0:
            continue
        row = graph.lane_start[lane] + graph.lane_count[lane] // 2
        yaw = float(graph.yaw_rad[row])
        x, y = float(graph.x_m[row]) - 0.5 * np.sin(yaw), float(graph.y_m[row]) + 0.5 * np.cos(yaw)
        found, s, offset = graph.nearest(x, y, yaw)
        assert found == lane and offset == pytest.approx(0.5, abs=0.05)
        assert s == pytest.approx((row - graph.lane_start[lane]) * graph.lane_step_m[lane], abs=0.6)


def test_concatenated_maps_keep_their_links() -> None:
    graphs = [graph_of(path) for path in (FILES[0], FILES[-1])]
    both, first = concatenate(graphs)
    shift = int(first[-1])
    for lane in range(0, graphs[-1].lanes, 11):
        assert (both.successors(lane + shift) == graphs[-1].successors(lane) + shift).all()
        np.testing.assert_array_equal(both.points(lane + shift), graphs[-1].points(lane))
