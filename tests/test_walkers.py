"""Pedestrians walk at their pace, cross when they may, and cars give way to them."""

from dataclasses import replace

import numpy as np
import pytest
from plain_graph import plain_graph
from shared_maps import graph_of

from sim.batch import Batch
from sim.kernels.walkers import CROSS, WAIT_GAP, WALK
from sim.spawn import spawn
from sim.state import Driver
from sim.walkways import walk_tables
from stack.labels import Kind, LightState
from stack.lanegraph import LaneGraph
from stack.vehicle import load_vehicle

SEDAN = load_vehicle("sedan")
NOSE_M = SEDAN.centre_m + 0.5 * SEDAN.length_m
SIDE_M = 6.0  # sidewalks' distance from the middle of the road


def street() -> LaneGraph:
    """A road east along y = 0 with sidewalks on both sides and a crosswalk at x = 100."""
    x = np.arange(301.0)
    zero = np.zeros(301)
    graph = plain_graph([np.stack([x, zero, zero], axis=-1), np.stack([300.0 + x, zero, zero], axis=-1)], [(0, 1)])
    walks = [np.stack([x, np.full(301, y), zero], axis=-1) for y in (-SIDE_M, SIDE_M)]
    quad = np.array([[[98.0, -3.0, 0.0], [102.0, -3.0, 0.0], [102.0, 3.0, 0.0], [98.0, 3.0, 0.0]]])
    return replace(
        graph, walk_start=np.array([0, 301], np.int32), walk_count=np.full(2, 301, np.int32),
        walk_xyz_m=np.concatenate(walks), crosswalk_xyz_m=quad, crosswalk_lane=np.zeros(1, np.int32),
        crosswalk_index=np.zeros(1, np.int32), crosswalk_from_m=np.full(1, 98.0, np.float32),
        crosswalk_to_m=np.full(1, 102.0, np.float32),
    )  # fmt: skip


def pedestrian(x_m: float, y_m: float, **columns: float) -> dict[str, float]:
    row = {"kind": Kind.PEDESTRIAN, "driver": Driver.IDM, "length_m": 0.5, "width_m": 0.6, "height_m": 1.7}
    row |= {"x_m": x_m, "y_m": y_m, "walk_direction": 1, "walk_speed_mps": 1.4, "lane": -1}
    return row | columns


def car(x_m: float, speed_mps: float) -> dict[str, float]:
    row = {"kind": Kind.CAR, "driver": Driver.IDM, "x_m": x_m, "lane": 0, "lane_s_m": x_m, "vx_mps": speed_mps}
    row |= {"length_m": SEDAN.length_m, "width_m": SEDAN.width_m, "centre_m": SEDAN.centre_m, "walk": -1}
    return row | {
        "wish_factor": 0.8, "headway_s": 1.4, "accel_max_mps2": 1.5, "brake_comfort_mps2": 2.0, "gap_min_m": 2.0
    }  # fmt: skip


def start(graph: LaneGraph, rows: list[dict[str, float]]) -> Batch:
    batch = Batch(graph, [SEDAN], 1, len(rows))
    names = {name for row in rows for name in row}
    batch.reset_world(0, {name: np.array([row.get(name, 0) for row in rows]) for name in names}, seed=1)
    return batch


def column(batch: Batch, name: str) -> np.ndarray:
    return batch.state.numpy(name)[0].copy()


def test_a_walker_keeps_its_pace_and_its_sidewalk() -> None:
    batch = start(street(), [pedestrian(150.0, -SIDE_M, walk=0, walk_s_m=150.0)])
    seen = []
    for _ in range(400):
        batch.step()
        if column(batch, "walk_mode")[0] == WALK and column(batch, "walk")[0] == 0:
            seen.append((column(batch, "vx_mps")[0], column(batch, "y_m")[0]))
    speed, y = np.array(seen[20:]).T
    assert np.median(speed) == pytest.approx(1.4, abs=0.1)
    assert np.abs(y + SIDE_M).max() < 0.6


def test_a_car_gives_way_at_a_crosswalk_without_lights() -> None:
    waits = pedestrian(100.0, -3.5, walk=2, walk_s_m=-0.5, walk_mode=WAIT_GAP, yaw_rad=np.pi / 2)
    batch = start(street(), [car(40.0, 10.0), waits])
    slowest, crossed_at = np.inf, None
    for tick in range(900):
        batch.step()
        x, y, v = column(batch, "x_m"), column(batch, "y_m"), column(batch, "vx_mps")
        apart = max(abs(x[1] - x[0] - SEDAN.centre_m) - 0.5 * SEDAN.length_m, abs(y[1] - y[0]) - 0.5 * SEDAN.width_m)
        assert apart > 0.3, tick
        slowest = min(slowest, v[0])
        if crossed_at is None and y[1] > 2.5:
            crossed_at, car_x = tick, x[0]
    assert crossed_at is not None and crossed_at < 400
    assert car_x + NOSE_M < 98.5 and slowest < 2.5  # it slowed down before the crosswalk
    assert column(batch, "x_m")[0] > 150.0  # and went on


def test_nobody_steps_in_front_of_a_fast_car() -> None:
    waits = pedestrian(100.0, -3.5, walk=2, walk_s_m=-0.5, walk_mode=WAIT_GAP, walk_timer_s=2.0, yaw_rad=np.pi / 2)
    racer = car(60.0, 14.0) | {"driver": Driver.EXTERNAL}
    batch = start(street(), [racer, waits])
    batch.set_pedals(0, 0, np.array([0.2, 0.0, 0.0]))
    while column(batch, "x_m")[0] < 98.0:
        batch.step()
        assert column(batch, "y_m")[1] < -2.0
    for _ in range(300):
        batch.step()
    assert column(batch, "y_m")[1] > 2.0


def test_paths_of_a_town_lead_on() -> None:
    table = walk_tables(graph_of("town_a"))
    crosswalks = np.flatnonzero(table["path_is_crosswalk"])
    assert len(crosswalks) == len(graph_of("town_a").crosswalk_xyz_m)
    assert (table["end_path"] >= 0).mean() > 0.9
    assert set(table["door_path"]) == set(crosswalks)


def test_walkers_of_a_town_cross_on_red_only_and_come_to_no_harm() -> None:
    graph = graph_of("town_a")
    tables = walk_tables(graph)
    rows = spawn(graph, [SEDAN], 4, 10, 40)
    batch = Batch(graph, [SEDAN], 1, 50)
    batch.reset_world(0, rows, seed=4)
    before, starts = column(batch, "walk_mode"), 0
    for _ in range(2400):
        shown = column(batch, "signal_state")
        batch.step()
        mode, path = column(batch, "walk_mode"), column(batch, "walk")
        for i in np.flatnonzero((mode == CROSS) & (before != CROSS)):
            first, n = tables["light_start"][path[i]], tables["light_count"][path[i]]
            assert (shown[tables["light"][first : first + n]] == LightState.RED).all()
            starts += 1
        before = mode
    assert starts > 10
    assert np.isfinite(column(batch, "x_m")).all()
