"""Traffic at the speed of motorways: gores, exits, lanes that end, and how much flows past the end of one."""

from dataclasses import replace

import numpy as np
from plain_graph import plain_graph
from shared_maps import graph_of
from test_traffic import MODELS, cars, column, line, overlaps, start

from sim.batch import Batch
from sim.spawn import spawn
from stack.lanegraph import LaneGraph

LIMIT_MPS = 120.0 / 3.6


def fast(graph: LaneGraph) -> LaneGraph:
    return replace(graph, lane_limit_mps=np.full(graph.lanes, LIMIT_MPS, np.float32))


def beside(graph: LaneGraph, pairs: list[tuple[int, int]]) -> LaneGraph:
    """Lanes (right, left) that lie side by side, with a line between them that may be crossed."""
    left, right = np.full(graph.lanes, -1, np.int32), np.full(graph.lanes, -1, np.int32)
    for a, b in pairs:
        left[a], right[b] = b, a
    change = {"lane_change_left": (left >= 0).astype(np.uint8), "lane_change_right": (right >= 0).astype(np.uint8)}
    return replace(graph, lane_left=left, lane_right=right, **change)


def test_nobody_slows_down_for_a_gore_that_nothing_crosses() -> None:
    graph = fast(
        plain_graph([line((0, 0), (800, 0)), line((800, 0), (880, 0)), line((880, 0), (1400, 0))], [(0, 1), (1, 2)])
    )
    graph = replace(graph, lane_junction=np.array([-1, 0, -1], np.int32))
    batch = start(graph, cars(graph, [(0, 20.0, 31.0)], wish_max_mps=100.0))
    slowest = 99.0
    for _ in range(600):
        batch.step()
        slowest = min(slowest, float(column(batch, "vx_mps")[0]))
    assert column(batch, "x_m")[0] > 900.0 and slowest > 30.5


def test_drivers_leave_a_lane_that_ends_a_section_farther_on() -> None:
    """The right lane goes on for 300 m after the second section has begun, and ends. One knows before."""
    graph = plain_graph(
        [line((0, 0), (700, 0)), line((700, 0), (1000, 0)), line((0, 3.75), (700, 3.75)), line((700, 3.75), (1000, 3.75)),
         line((1000, 3.75), (1600, 3.75))],
        [(0, 1), (2, 3), (3, 4)],
    )  # fmt: skip
    graph = beside(fast(graph), [(0, 2), (1, 3)])
    batch = start(graph, cars(graph, [(0, 20.0 + 90.0 * k, 28.0) for k in range(4)], wish_max_mps=100.0))
    while column(batch, "x_m").min() < 680.0:
        batch.step()
        assert not overlaps(batch)
        ahead = column(batch, "x_m") > 680.0
        assert (column(batch, "y_m")[ahead] > 3.0).all()
    assert column(batch, "vx_mps").min() > 25.0


def test_two_full_lanes_that_become_one_let_fourteen_hundred_cars_an_hour_through() -> None:
    """As much as counted where motorways narrow (1500 to 1900 less the capacity drop); queues side by side that start one
    after the other would pass 1000."""
    graph = plain_graph(
        [line((0, 0), (1500, 0)), line((0, 3.75), (1500, 3.75)), line((1500, 3.75), (3000, 3.75))], [(1, 2)]
    )  # fmt: skip
    graph = beside(fast(graph), [(0, 1)])
    places = [(lane, 1480.0 - 14.0 * k - 3.0 * lane, 3.0) for k in range(1, 100) for lane in (0, 1)]
    batch = start(graph, cars(graph, places, wish_max_mps=100.0))
    came = [row % 2 for row in range(len(places))]
    passed = []
    for tick in range(3600):
        batch.step()
        if tick % 100 == 0:
            assert not overlaps(batch)
        if tick in (1200, 3599):
            passed.append(column(batch, "x_m") > 1560.0)
    between = passed[1] & ~passed[0]
    assert between.sum() * 3600.0 / (2399 * 0.05) > 1400.0
    share = np.mean(np.array(came)[between])
    assert 0.25 < share < 0.75  # neither lane waits for all of the other


def test_some_leave_the_highway_at_its_exits_and_nearly_all_stay() -> None:
    graph = graph_of("highway")
    rows = spawn(graph, MODELS, 3, 150, 0)
    batch = Batch(graph, MODELS, 1, len(rows["kind"]))
    batch.reset_world(0, rows, 3)
    roads = np.array([key[0] for key in graph.lane_key])
    gores = np.flatnonzero((graph.lane_junction >= 0) & (graph.conflict_count == 0))
    leaves = [k for k in gores if graph.lane_limit_mps[k] < 20.0]
    on = [k for k in gores if graph.lane_limit_mps[k] > 20.0 and (roads == roads[k]).sum() > 1]
    before, left, stayed = column(batch, "lane"), 0, 0
    for _ in range(4800):
        batch.step()
        lane = column(batch, "lane")
        left += int((np.isin(lane, leaves) & (lane != before)).sum())
        stayed += int((np.isin(lane, on) & (lane != before)).sum())
        before = lane
    stayed //= 2  # each passes the gore of the off-ramp and that of the on-ramp
    assert 0.03 < left / (left + stayed) < 0.2


def test_nobody_is_stuck_where_two_wait_at_the_end_of_a_lane_and_one_beside_them() -> None:
    """The first stands where its lane ends, the second right behind it, a foot in the other lane already, and those on
    that lane wait for the second."""
    graph = plain_graph(
        [line((0, 0), (300, 0)), line((0, 3.75), (300, 3.75)), line((300, 3.75), (1500, 3.75))], [(1, 2)]
    )
    graph = beside(fast(graph), [(0, 1)])
    batch = start(
        graph, cars(graph, [(0, 281.0, 0.0), (0, 275.0, 0.0), (1, 267.0, 0.0), (1, 258.0, 0.0)], wish_max_mps=100.0)
    )
    batch.state.numpy("target_lane")[0, 1] = 1
    for _ in range(800):
        batch.step()
        assert not overlaps(batch)
    assert (column(batch, "x_m") > 400.0).all()


def test_the_end_of_a_queue_is_seen_in_time() -> None:
    """From 120 km/h to a stand, no harder than 1.5 times what is comfortable."""
    graph = fast(plain_graph([line((0, 0), (1500, 0)), line((1500, 0), (1600, 0))], [(0, 1)]))
    batch = start(graph, cars(graph, [(0, 900.0, 0.0), (0, 20.0, 33.0)], wish_max_mps=100.0))
    batch.state.numpy("wish_factor")[0, 0] = 0.01
    hardest = 0.0
    for _ in range(1000):
        batch.step()
        hardest = min(hardest, float(column(batch, "ax_mps2")[1]))
    assert column(batch, "vx_mps")[1] < 1.0 and -3.0 < hardest < -1.0
    assert not overlaps(batch)
