"""Traffic against the theory of its models, and in towns: everybody gets through, and nobody touches."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import shapely
from plain_graph import plain_graph
from shared_maps import graph_of

from sim.batch import Batch
from sim.spawn import model_shares, spawn
from sim.state import Driver
from stack.labels import Kind, LightState, Sign
from stack.lanegraph import LaneGraph
from stack.vehicle import VEHICLES, VehicleParams, load_vehicle

SEDAN = load_vehicle("sedan")
MODELS = [load_vehicle(name) for name in VEHICLES]
NOSE_M, REAR_M = SEDAN.centre_m + 0.5 * SEDAN.length_m, 0.5 * SEDAN.length_m - SEDAN.centre_m
DRIVER = {"wish_factor": 1.0, "headway_s": 1.5, "accel_max_mps2": 1.5, "brake_comfort_mps2": 2.0, "gap_min_m": 2.0}


def line(start: tuple[float, float], end: tuple[float, float]) -> np.ndarray:
    n = round(float(np.hypot(end[0] - start[0], end[1] - start[1]))) + 1
    return np.stack([np.linspace(start[0], end[0], n), np.linspace(start[1], end[1], n), np.zeros(n)], axis=-1)


def cars(graph: LaneGraph, places: list[tuple[int, float, float]], **columns: float) -> dict[str, np.ndarray]:
    """Rows of sedans at (lane, s, speed)."""
    n = len(places)
    points = [int(graph.lane_start[lane] + s / graph.lane_step_m[lane]) for lane, s, _ in places]
    rows = {"kind": np.full(n, Kind.CAR), "driver": np.full(n, Driver.IDM)}
    rows |= {"x_m": graph.x_m[points], "y_m": graph.y_m[points], "yaw_rad": graph.yaw_rad[points]}
    rows |= {"lane": [p[0] for p in places], "lane_s_m": [p[1] for p in places], "vx_mps": [p[2] for p in places]}
    return rows | {name: np.full(n, value) for name, value in (DRIVER | columns).items()}


def start(graph: LaneGraph, rows: dict, seed: int = 1, models: Sequence[VehicleParams] = (SEDAN,)) -> Batch:
    batch = Batch(graph, list(models), 1, len(rows["kind"]))
    batch.reset_world(0, rows, seed=seed)
    return batch


def column(batch: Batch, name: str) -> np.ndarray:
    return batch.state.numpy(name)[0].copy()


def boxes(batch: Batch) -> np.ndarray:
    c = {
        name: column(batch, name).astype(float) for name in ("x_m", "y_m", "yaw_rad", "length_m", "width_m", "centre_m")
    }
    unit = np.array([[0.5, 0.5], [0.5, -0.5], [-0.5, -0.5], [-0.5, 0.5]])
    ahead = c["centre_m"][:, None] + unit[:, 0] * c["length_m"][:, None]
    left = unit[:, 1] * c["width_m"][:, None]
    cos, sin = np.cos(c["yaw_rad"])[:, None], np.sin(c["yaw_rad"])[:, None]
    corners = np.stack(
        [c["x_m"][:, None] + ahead * cos - left * sin, c["y_m"][:, None] + ahead * sin + left * cos], axis=-1
    )
    return shapely.polygons(corners)


def overlaps(batch: Batch) -> list[tuple[int, int]]:
    polygons, vehicle = boxes(batch), column(batch, "kind") <= Kind.CYCLIST
    pairs = shapely.STRtree(polygons).query(polygons, predicate="intersects").T
    return [(a, b) for a, b in pairs.tolist() if a < b and (vehicle[a] or vehicle[b])]


def test_equilibrium_gap_is_that_of_the_model() -> None:
    graph = plain_graph([line((0, 0), (900, 0)), line((900, 0), (1100, 0))], [(0, 1)])
    rows = cars(graph, [(0, 60.0, 8.0), (0, 20.0, 8.0)])
    rows["wish_factor"][:] = 8.0 / 14.0, 1.0
    batch = start(graph, rows)
    for _ in range(1500):
        batch.step()
    x, v = column(batch, "x_m"), column(batch, "vx_mps")
    assert v == pytest.approx([8.0, 8.0], abs=0.15)
    theory = (DRIVER["gap_min_m"] + v[1] * DRIVER["headway_s"]) / np.sqrt(1.0 - (v[1] / 14.0) ** 4)
    assert x[0] - REAR_M - x[1] - NOSE_M == pytest.approx(theory, rel=0.05)


def ring(radius_m: float) -> LaneGraph:
    n = round(2.0 * np.pi * radius_m)
    angle = np.linspace(0.0, 2.0 * np.pi, n + 1)
    points = radius_m * np.stack([np.cos(angle), np.sin(angle), np.zeros(n + 1)], axis=-1)
    half = n // 2
    graph = plain_graph([points[: half + 1], points[half:]], [(0, 1), (1, 0)])
    step = np.full(2, 2.0 * np.pi * radius_m / n, np.float32)
    length = (step * (graph.lane_count - 1)).astype(np.float32)
    return replace(
        graph, lane_step_m=step, lane_length_m=length, lane_stop_s_m=length,
        curvature_1pm=np.full(len(graph.x_m), 1.0 / radius_m, np.float32),
    )  # fmt: skip


def test_twenty_cars_in_a_ring_do_not_touch() -> None:
    graph = ring(40.0)
    half = float(graph.lane_length_m[0])
    places = [(k // 10, (k % 10) * (half / 10.0) + 1.0, 3.0) for k in range(20)]
    batch = start(graph, cars(graph, places))
    for tick in range(2400):
        batch.step()
        if tick % 20 == 0:
            assert not overlaps(batch)
    assert column(batch, "vx_mps").mean() > 2.0
    assert np.abs(np.hypot(column(batch, "x_m"), column(batch, "y_m")) - 40.0).max() < 0.8


def crossing(signal_green_s: float | None = None, sign: Sign = Sign.NONE) -> LaneGraph:
    """Two roads that cross at the origin: lanes 0, 1, 2 east and 3, 4, 5 north; 1 and 4 in the junction."""
    lines = [line((-80, 0), (-10, 0)), line((-10, 0), (10, 0)), line((10, 0), (400, 0))]
    lines += [points[:, [1, 0, 2]] for points in lines]
    graph = plain_graph(lines, [(0, 1), (1, 2), (3, 4), (4, 5)])
    i32, f32 = np.int32, np.float32
    stop_s = graph.lane_length_m.copy()
    stop_s[[0, 3]] -= 2.0
    signs = np.zeros(6, np.uint8)
    signs[[1, 4]] = sign
    graph = replace(
        graph, lane_junction=np.array([-1, 0, -1, -1, 0, -1], i32), lane_stop_s_m=stop_s, lane_sign=signs,
        conflict_start=np.array([0, 0, 1, 1, 1, 2], i32), conflict_count=np.array([0, 1, 0, 0, 1, 0], i32),
        conflict_lane=np.array([4, 1], i32), conflict_from_m=np.full(2, 7.0, f32), conflict_to_m=np.full(2, 13.0, f32),
        conflict_other_from_m=np.full(2, 7.0, f32), conflict_other_to_m=np.full(2, 13.0, f32),
        conflict_rank=np.zeros(2, i32),
    )  # fmt: skip
    if signal_green_s is None:
        return graph
    return replace(
        graph, signal_id=("a", "b"), signal_junction=np.zeros(2, i32), signal_cycle_s=np.full(2, 40.0, f32),
        signal_green_from_s=np.array([0.0, 20.0], f32), signal_green_s=np.full(2, signal_green_s, f32),
        lane_signal=np.array([-1, 0, -1, -1, 1, -1], i32),
    )  # fmt: skip


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_car_stops_at_the_line_on_red_and_goes_on_green(seed: int) -> None:
    graph = crossing(signal_green_s=12.0)
    batch = start(graph, cars(graph, [(0, 5.0, 12.0), (3, 15.0, 12.0)]), seed)
    stop = np.array([graph.lane_stop_s_m[0], graph.lane_stop_s_m[3]]) - 80.0
    before = np.full(2, -100.0)
    for _ in range(1400):
        batch.step()
        front = np.array([column(batch, "x_m")[0], column(batch, "y_m")[1]]) + NOSE_M
        red = column(batch, "signal_state") == LightState.RED
        assert not (red & (before <= stop) & (front > stop)).any()
        before = front
        assert not overlaps(batch)
    assert before.min() > 100.0


def test_cars_at_stop_signs_stop_and_take_turns() -> None:
    graph = crossing(sign=Sign.STOP)
    batch = start(graph, cars(graph, [(0, 40.0, 8.0), (3, 40.0, 8.0), (0, 20.0, 8.0), (3, 20.0, 8.0)]))
    stopped = np.zeros(4, bool)
    for _ in range(1200):
        batch.step()
        along = np.where([True, False, True, False], column(batch, "x_m"), column(batch, "y_m"))
        near = (along + NOSE_M > -16.0) & (along + NOSE_M < -11.5)
        stopped |= near & (column(batch, "vx_mps") < 0.1)
        assert not overlaps(batch)
    assert stopped.all()
    assert np.maximum(column(batch, "x_m"), column(batch, "y_m")).min() > 60.0


def tight_bend() -> LaneGraph:
    """A road that turns left by 90 degrees: lane 0 on a radius of 17 m, lane 1 back on 13.8 m."""
    lines, curvature = [], []
    for side in (0.0, 3.2):
        a, straight = np.linspace(0.0, np.pi / 2, 60), np.linspace(0.0, 120.0, 121)
        ahead = np.stack([straight - 120.0, np.full(121, side)], axis=-1)
        turn = np.stack([(17.0 - side) * np.sin(a), 17.0 - (17.0 - side) * np.cos(a)], axis=-1)
        away = np.stack([np.full(121, 17.0 - side), 17.0 + straight], axis=-1)
        points = np.concatenate([ahead[:-1], turn, away[1:]])
        s = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
        u = np.linspace(0.0, s[-1], int(s[-1]) + 1)
        points = np.stack([*(np.interp(u, s, points[:, k]) for k in (0, 1)), np.zeros_like(u)], axis=-1)
        bends = ((u > 120.0) & (u < s[-1] - 120.0)) / (17.0 - side)
        lines.append(points if side == 0.0 else points[::-1].copy())
        curvature.append(bends if side == 0.0 else -bends[::-1])
    return replace(plain_graph(lines), curvature_1pm=np.concatenate(curvature).astype(np.float32))


@pytest.mark.parametrize("place_m", [32.0, 44.0, 62.0, 74.0])
def test_a_bus_that_fills_a_bend_and_a_car_do_not_meet_in_it(place_m: float) -> None:
    graph = tight_bend()
    rows = cars(graph, [(0, 40.0, 8.0), (1, place_m, 8.0)])
    rows |= {"model": np.array([0, 1]), "kind": np.array([Kind.CAR, Kind.TRUCK])}
    batch = start(graph, rows, models=(SEDAN, load_vehicle("bus")))
    for _ in range(800):
        batch.step()
        assert not overlaps(batch)
    assert (column(batch, "lane_s_m") > 200.0).all()


def test_a_learner_that_comes_first_after_all_is_let_through() -> None:
    """It stood when the other was let in, far before the line; then it drives on, and has the right of way."""
    graph = replace(crossing(), conflict_rank=np.array([-1, 1], np.int32))
    rows = cars(graph, [(0, 58.0, 3.0), (3, 60.0, 0.0)])
    rows["driver"][1] = Driver.POLICY
    batch = start(graph, rows)
    goes, crossed = False, np.full(2, np.inf)
    for tick in range(500):
        goes |= column(batch, "granted")[0] == 1
        batch.set_pedals(0, [1], np.array([[0.9, 0.0, 0.0] if goes else [0.0, 1.0, 0.0]]))
        batch.step()
        along = np.array([column(batch, "x_m")[0], column(batch, "y_m")[1]])
        crossed = np.where((along > 5.0) & np.isinf(crossed), tick, crossed)
        if along[1] < 0.0:
            assert along[0] + NOSE_M < -11.0  # behind its line
        assert not overlaps(batch)
    assert goes and crossed[1] < crossed[0] < np.inf


def test_slow_car_is_overtaken_by_a_lane_change() -> None:
    lines = [line((0, 0), (900, 0)), line((0, 3.5), (900, 3.5)), line((900, 0), (990, 0)), line((900, 3.5), (990, 3.5))]
    graph = plain_graph(lines, [(0, 2), (1, 3)])
    graph = replace(
        graph, lane_left=np.array([1, -1, -1, -1], np.int32), lane_right=np.array([-1, 0, -1, -1], np.int32),
        lane_change_left=np.array([1, 0, 0, 0], np.uint8), lane_change_right=np.array([0, 1, 0, 0], np.uint8),
    )  # fmt: skip
    rows = cars(graph, [(0, 60.0, 5.0), (0, 20.0, 10.0)])
    rows["wish_factor"][0] = 0.35
    batch = start(graph, rows)
    side = []
    for _ in range(700):
        batch.step()
        side.append(column(batch, "y_m")[1])
        assert not overlaps(batch)
    assert column(batch, "x_m")[1] > column(batch, "x_m")[0] + 20.0
    moving = np.flatnonzero((np.array(side) > 0.35) & (np.array(side) < 3.15))
    assert 1.5 < 0.05 * len(moving) < 8.0


def test_stopped_learner_and_prop_are_not_run_into() -> None:
    graph = plain_graph([line((0, 0), (300, 0)), line((300, 0), (400, 0))], [(0, 1)])
    rows = cars(graph, [(0, 120.0, 0.0), (0, 20.0, 12.0), (1, 60.0, 0.0), (0, 200.0, 12.0)])
    rows["driver"][[0, 2]] = Driver.POLICY, Driver.NONE
    rows["kind"][2] = Kind.PROP
    batch = start(graph, rows)
    batch.set_pedals(0, 0, np.array([0.0, 1.0, 0.0]))
    for _ in range(800):
        batch.step()
        assert not overlaps(batch)
    assert column(batch, "vx_mps") == pytest.approx(np.zeros(4), abs=0.1)
    assert 90.0 < column(batch, "x_m")[1] < 120.0
    assert 330.0 < column(batch, "x_m")[3] < 360.0


@pytest.mark.parametrize("name", ["town_a", "town_b", "rural", "suburb", "roundabouts", "oldtown", "arterial"])
def test_town_traffic_flows_and_nobody_touches(name: str) -> None:
    graph = graph_of(name)
    batch = start(graph, spawn(graph, MODELS, 5, 30, 10), 5, MODELS)
    speeds = []
    for tick in range(1800):
        batch.step()
        if tick % 10 == 0:
            assert not overlaps(batch)
            speeds.append(column(batch, "vx_mps")[:30].mean())
    assert np.mean(speeds) > 2.5
    assert column(batch, "stuck_s").max() < 80.0


def test_same_seed_same_hash_alone_and_in_a_batch() -> None:
    graph = graph_of("town_a")
    rows = spawn(graph, MODELS, 3, 20, 8)
    n = len(rows["kind"])
    alone = start(graph, rows, 3, MODELS)
    batch = Batch(graph, MODELS, 3, n)
    for world, seed in enumerate((9, 3, 4)):
        batch.reset_world(world, spawn(graph, MODELS, seed, 20, 8), seed=seed)
    for _ in range(300):
        alone.step()
        batch.step()
    assert alone.hash(0) == batch.hash(1)
    assert batch.hash(0) != batch.hash(2)


def test_spawn_is_deterministic_and_leaves_room() -> None:
    graph = graph_of("town_a")
    lane = int(np.flatnonzero((graph.lane_junction < 0) & (graph.lane_length_m > 60.0))[0])
    one, two = (spawn(graph, MODELS, 11, 40, 12, ego_start=(lane, 30.0)) for _ in range(2))
    assert all(np.array_equal(one[name], two[name]) for name in one)
    assert one["driver"][0] == Driver.POLICY and (one["driver"][1:] == Driver.IDM).all()
    assert len(one["kind"]) == 53
    batch = start(graph, one, 11, MODELS)
    assert not overlaps(batch)
    vehicle = one["kind"][1:] <= Kind.CYCLIST
    same = vehicle & (one["lane"][1:] == lane)
    assert (np.abs(one["lane_s_m"][1:][same] - 30.0) > 15.0).all()
    assert (graph.lane_junction[one["lane"][1:][vehicle]] < 0).all()
    assert model_shares(MODELS).sum() == pytest.approx(1.0)
