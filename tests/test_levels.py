"""Roads that pass over one another: nothing on one of them touches, hides or delays who drives on the other."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import shapely
from scipy.spatial import cKDTree
from shared_maps import graph_of, map_of

from sim.batch import Batch
from sim.earthworks import Earthworks, ground_of
from sim.kernels.contact import SCENERY as SCENERY_HIT
from sim.scenery import build
from sim.state import Driver
from stack.labels import Kind, Semantic
from stack.vehicle import load_vehicle

GRAPH, MAP = graph_of("highway"), map_of("highway")
ROADS = MAP.document.roads
BELOW = [road.id for road in ROADS.values() if "below bridge" in road.name]
ABOVE = [road.id for road in ROADS.values() if road.name.startswith("bridge")]
SCENERY = cache(lambda: build(MAP, GRAPH, 1))
BATCH = cache(lambda: Batch(GRAPH, [load_vehicle("sedan")], 1, 1, static_boxes=SCENERY().static_boxes))


def passes(road: str) -> list[int]:
    """Lanes of a road that pass over or under a span."""
    ground = ground_of(MAP.strips(2.0))
    assert isinstance(ground, Earthworks)
    areas = shapely.union_all([span.area for span in ground.spans])
    own = [k for k in range(GRAPH.lanes) if GRAPH.lane_key[k][0] == road]
    return [k for k in own if shapely.contains_xy(areas, *GRAPH.points(k)[:, :2].T.astype(float)).any()]


def hits_along(lane: int, shift_m: float) -> np.ndarray:
    """hit_other of a car set down every 2 m along a lane, `shift_m` left of its middle."""
    points, batch = GRAPH.points(lane).astype(np.float64)[::2], BATCH()
    yaw = GRAPH.yaw_rad[GRAPH.lane_start[lane] :][: GRAPH.lane_count[lane]][::2]
    hits = []
    for (x, y, z), turn in zip(points, yaw, strict=True):
        where = {"x_m": x - shift_m * np.sin(turn), "y_m": y + shift_m * np.cos(turn), "z_m": z, "yaw_rad": turn}
        rows = {name: [value] for name, value in where.items()} | {"lane": [lane]}
        batch.reset_world(0, rows | {"kind": [int(Kind.CAR)], "driver": [int(Driver.EXTERNAL)]}, seed=0)
        batch.step()
        hits.append(int(batch.state.numpy("hit_other")[0, 0]))
    return np.array(hits)


@pytest.mark.parametrize("below", [False, True])
def test_a_car_over_or_under_a_bridge_meets_the_rails_of_its_own_road_only(below: bool) -> None:
    """Nothing in the lanes; a rail or parapet all along for a car whose right side is off the road."""
    lanes = [k for road in (BELOW if below else ABOVE) for k in passes(road)]
    assert len(lanes) >= 4
    edges = 0
    for lane in lanes:
        assert (hits_along(lane, 0.0) == -1).all()
        road, section, number = GRAPH.lane_key[lane]
        strips = [s for s in MAP.strips(2.0) if (s.road, s.section) == (road, section) and s.lane < 0]
        if number == min(s.lane for s in strips if s.kind == "driving") and number < 0:
            outer = min(strips, key=lambda s: s.lane).right_m
            middle = GRAPH.points(lane)
            apart = cKDTree(outer[:, :2]).query(middle[len(middle) // 2, :2])[0]
            hits = hits_along(lane, -float(apart))
            edges += 1
            assert (hits[2:-2] == SCENERY_HIT).mean() > 0.9
    assert edges >= 2


def test_posts_and_plants_stand_beside_all_lanes() -> None:
    """No corner of what is solid is within 1.2 m of the middle of a lane and between a kerb's height and 4.5 m over it."""
    solid = (Semantic.STATIC, Semantic.POLE, Semantic.GUARD_RAIL, Semantic.VEGETATION, Semantic.FENCE, Semantic.WALL,
             Semantic.BUILDING, Semantic.BRIDGE)  # fmt: skip
    mesh = SCENERY().mesh
    corners = np.unique(mesh.corners()[np.isin(mesh.semantic, solid)].reshape(-1, 3), axis=0).astype(np.float64)
    lanes = np.stack([GRAPH.x_m, GRAPH.y_m, GRAPH.z_m], axis=1).astype(np.float64)
    near = cKDTree(lanes[:, :2]).query_ball_point(corners[:, :2], 1.2)
    for corner, rows in zip(corners, near, strict=True):
        height = corner[2] - lanes[rows, 2]
        assert not ((height > 0.25) & (height < 4.5)).any(), corner
