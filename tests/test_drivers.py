"""What drivers do beyond following: overtake bicycles, merge where a lane ends, get into the lane for their way."""

from dataclasses import replace

import numpy as np
import pytest
from plain_graph import plain_graph
from test_traffic import cars, column, line, overlaps, start

from sim.kernels.observe import AHEAD_M, OBSERVATION_NAMES
from sim.state import Driver
from stack.labels import Kind
from stack.lanegraph import LaneGraph
from stack.vehicle import load_vehicle

SEDAN, BICYCLE = load_vehicle("sedan"), load_vehicle("bicycle")


def two_way(length_m: float = 900.0) -> LaneGraph:
    """One lane each way, oncoming traffic 3.5 m to the left."""
    return plain_graph([line((0, 0), (length_m, 0)), line((length_m, 3.5), (0, 3.5))])


def bicycle_and_cars(graph: LaneGraph, places: list[tuple[int, float, float]]) -> object:
    """A bicycle that wishes 5 m/s at the first place, sedans at the others."""
    rows = cars(graph, places, wish_max_mps=100.0)
    rows["wish_max_mps"][0], rows["kind"][0] = 5.0, Kind.CYCLIST
    rows["model"] = np.array([1] + [0] * (len(places) - 1))
    return start(graph, rows, models=(SEDAN, BICYCLE))


def test_a_bicycle_keeps_to_the_edge_at_its_own_speed_and_is_overtaken() -> None:
    batch = bicycle_and_cars(two_way(), [(0, 60.0, 4.0), (0, 20.0, 8.0)])
    gaps = []
    for _ in range(500):
        batch.step()
        assert not overlaps(batch)
        x, y = column(batch, "x_m"), column(batch, "y_m")
        if abs(x[1] + 1.4 - x[0]) < 1.5:
            gaps.append(y[1] - y[0] - 0.5 * (SEDAN.width_m + BICYCLE.width_m))
    assert column(batch, "vx_mps")[0] == pytest.approx(5.0, abs=0.4)
    assert column(batch, "y_m")[0] == pytest.approx(-1.0, abs=0.2)
    assert x[1] > x[0] + 20.0 and min(gaps) > 0.8
    assert column(batch, "y_m")[1] == pytest.approx(0.0, abs=0.3)  # back on its own lane


def test_nobody_overtakes_into_oncoming_traffic() -> None:
    stream = [(1, 20.0 + 45.0 * k, 12.0) for k in range(18)]
    batch = bicycle_and_cars(two_way(), [(0, 60.0, 4.0), (0, 20.0, 8.0), *stream])
    for _ in range(500):  # within which the stream keeps coming
        batch.step()
        assert not overlaps(batch)
        assert column(batch, "y_m")[1] < 0.8
    x = column(batch, "x_m")
    assert x[1] < x[0]


def ending_lane() -> LaneGraph:
    """Two lanes of which the right one ends after 400 m."""
    graph = plain_graph(
        [line((0, 0), (400, 0)), line((0, 3.5), (400, 3.5)), line((400, 3.5), (1400, 3.5))], [(1, 2)]
    )  # fmt: skip
    return replace(
        graph, lane_left=np.array([1, -1, -1], np.int32), lane_right=np.array([-1, 0, -1], np.int32),
        lane_change_left=np.array([1, 0, 0], np.uint8), lane_change_right=np.array([0, 1, 0], np.uint8),
    )  # fmt: skip


def test_everybody_gets_out_of_a_lane_that_ends_and_both_lanes_take_turns() -> None:
    graph = ending_lane()
    places = [(0, 20.0 + 18.0 * k, 8.0) for k in range(10)] + [(1, 28.0 + 18.0 * k, 8.0) for k in range(10)]
    batch = start(graph, cars(graph, places))
    for _ in range(1600):
        batch.step()
        assert not overlaps(batch)
    assert (column(batch, "x_m") > 400.0).all()
    ahead = column(batch, "x_m")
    first = np.argsort(-ahead)[:10]
    assert 3 <= (first < 10).sum() <= 7  # neither lane waits for all of the other


def fork(length_m: float = 500.0) -> LaneGraph:
    """Two lanes side by side: the left one leads to road 3, the right one to road 4."""
    graph = plain_graph(
        [
            line((0, 0), (length_m, 0)),
            line((0, 3.5), (length_m, 3.5)),
            line((length_m, 3.5), (length_m + 200, 60)),
            line((length_m, 0), (length_m + 200, -60)),
        ],
        [(1, 2), (0, 3)],
    )
    return replace(
        graph, lane_key=(("1", 0, -2), ("1", 0, -1), ("3", 0, -1), ("4", 0, -1)),
        lane_left=np.array([1, -1, -1, -1], np.int32), lane_right=np.array([-1, 0, -1, -1], np.int32),
        lane_change_left=np.array([1, 0, 0, 0], np.uint8), lane_change_right=np.array([0, 1, 0, 0], np.uint8),
    )  # fmt: skip


def test_drivers_choose_the_lane_by_where_they_want_to_go() -> None:
    """All start on the right lane; about half want to go where only the left one leads."""
    went = []
    for seed in range(12):
        graph = fork()
        batch = start(graph, cars(graph, [(0, 20.0, 10.0), (0, 80.0, 10.0)]), seed=seed)
        for _ in range(1100):
            batch.step()
            assert not overlaps(batch)
            if (column(batch, "x_m") > 520.0).all():
                break
        went += list(column(batch, "y_m") > 1.75)
    assert 6 <= sum(went) <= 18


def test_cars_on_a_bridge_and_below_do_not_meet() -> None:
    over = line((100, -100), (100, 100))
    over[:, 2] = 6.0
    graph = plain_graph([line((0, 0), (200, 0)), over])
    batch = start(graph, cars(graph, [(0, 40.0, 10.0), (1, 40.0, 10.0)]))
    slowest = 99.0
    for _ in range(200):
        batch.step()
        slowest = min(slowest, float(column(batch, "vx_mps")[:2].min()) if column(batch, "x_m")[0] < 120.0 else slowest)
    assert column(batch, "hit_other").tolist() == [-1, -1]
    assert slowest > 9.0


def test_observations_are_those_of_the_state_in_the_vehicles_frame() -> None:
    graph = two_way()
    rows = cars(graph, [(0, 100.0, 7.5), (1, 760.0, 5.0)])  # the other 40 m ahead, 3.5 m to the left, oncoming
    rows["driver"][0] = Driver.POLICY
    batch = start(graph, rows)
    seen = batch.observations()[0, 0].numpy()
    value = dict(zip(OBSERVATION_NAMES, seen, strict=True))
    assert value["speed"] == pytest.approx(0.5) and value["limit"] == pytest.approx(14.0 / 15.0)
    assert value["lane_offset"] == pytest.approx(0.0, abs=1e-6)
    for m in AHEAD_M:
        assert value[f"way_{m}m_x"] == pytest.approx(m / 50.0, abs=1e-5)
        assert value[f"way_{m}m_y"] == pytest.approx(0.0, abs=1e-5)
    assert value["other_0_x"] == pytest.approx(40.0 / 50.0, abs=1e-5)
    assert value["other_0_y"] == pytest.approx(3.5 / 50.0, abs=1e-5)
    assert value["other_0_cos"] == pytest.approx(-1.0) and value["other_0_speed"] == pytest.approx(5.0 / 15.0)
    assert not any(value[f"other_1_{what}"] for what in ("x", "y", "speed", "length"))
    again = batch.observations()
    assert again.data_ptr() == batch.observations().data_ptr()


def test_any_row_may_be_a_learner() -> None:
    """A learner among traffic is given a way, drives by its pedals, and sees what the same row sees as traffic."""
    graph = fork()
    rows = cars(graph, [(0, 20.0, 10.0), (0, 60.0, 10.0), (1, 40.0, 10.0)])
    rows["driver"][1:] = Driver.POLICY
    batch = start(graph, rows)
    batch.set_pedals(0, [1, 2], np.array([[0.4, 0.0, 0.0], [0.0, 1.0, 0.0]]))
    for _ in range(60):
        batch.step()
    assert column(batch, "next_lane").tolist() == [3, 3, 2]
    assert column(batch, "vx_mps")[1] > 10.5 and column(batch, "vx_mps")[2] < 1.0
    seen = batch.observations()[0].numpy()
    assert (seen[:, OBSERVATION_NAMES.index("speed")] == column(batch, "vx_mps") / np.float32(15.0)).all()
