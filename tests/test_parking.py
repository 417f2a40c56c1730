"""Places for parked cars: in parking lanes only, a car's length apart, clear of junctions, crosswalks and the lanes."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from shared_maps import graph_of, map_of

from sim.batch import Batch
from sim.spawn import spawn
from sim.state import Driver
from stack.lanegraph import LaneGraph, concatenate
from stack.opendrive import build_graph, load_map
from stack.vehicle import load_vehicle

CAR_M = (4.9, 1.9)  # the longest and widest of our cars

STREET = """<OpenDRIVE><header revMajor="1" revMinor="6" name="street"/>
<road name="" length="60" id="1" junction="-1"><planView><geometry s="0" x="0" y="0" hdg="0" length="60"><line/></geometry>
</planView><lanes><laneSection s="0">{left}<center><lane id="0" type="none"/></center><right>
<lane id="-1" type="driving"><width sOffset="0" a="3" b="0" c="0" d="0"/></lane>
<lane id="-2" type="parking"><width sOffset="0" a="{wide}" b="0" c="0" d="0"/></lane></right></laneSection></lanes>
<objects><object type="crosswalk" id="7" name="crosswalk" s="30" t="-2.5" zOffset="0" hdg="0" pitch="0" roll="0"
orientation="none" length="4" width="5"/></objects></road></OpenDRIVE>"""
ONE_WAY = """<left><lane id="1" type="parking"><width sOffset="0" a="2" b="0" c="0" d="0"/></lane></left>"""
TWO_WAY = ONE_WAY.replace('id="1" type="parking"', 'id="2" type="parking"').replace(
    "<left>", '<left><lane id="1" type="driving"><width sOffset="0" a="3" b="0" c="0" d="0"/></lane>'
)


def street(left: str = "", wide: float = 2.0) -> LaneGraph:
    return build_graph(load_map(STREET.format(left=left, wide=wide), "street"))


def test_places_fill_a_lane_up_to_five_metres_before_a_crosswalk() -> None:
    graph = street()
    x = np.sort(graph.park_xyz_m[:, 0])  # the crosswalk is 28 to 32: 23 m are free on each side, for four cars
    assert len(x) == 8 and np.allclose(np.diff(x)[[0, 1, 2, 4, 5, 6]], 5.5, atol=0.01)
    assert (x[:4] + 2.75).max() <= 23.01 and (x[4:] - 2.75).min() >= 36.99
    assert np.allclose(graph.park_xyz_m[:, 1:], (-4.0, 0.0), atol=1e-9) and np.allclose(graph.park_yaw_rad, 0.0)


@pytest.mark.parametrize(("left", "yaw"), [(ONE_WAY, 0.0), (TWO_WAY, np.pi)])
def test_cars_on_the_left_look_the_way_their_side_is_driven(left: str, yaw: float) -> None:
    graph = street(left)
    on_left = graph.park_xyz_m[:, 1] > 0.0
    assert on_left.sum() == 8 and np.allclose(np.cos(graph.park_yaw_rad[on_left] - yaw), 1.0)


def test_a_narrow_lane_has_no_places() -> None:
    assert len(street(wide=1.8).park_xyz_m) == 0 and street(wide=1.8).park_xyz_m.shape == (0, 3)


def test_parked_cars_of_the_old_town_are_in_nobodys_way() -> None:
    graph, road_map = graph_of("oldtown"), map_of("oldtown")
    assert 150 < len(graph.park_xyz_m) < 600 and len(graph.park_xyz_m) == len(graph.park_yaw_rad)
    ribbons: dict[bool, list[shapely.Polygon]] = {True: [], False: []}
    for strip in road_map.strips(0.5):
        ribbon = shapely.Polygon(np.concatenate([strip.left_m[:, :2], strip.right_m[::-1, :2]])).buffer(0.0)
        ribbons[strip.kind == "parking"].append(ribbon)
        if strip.junction >= 0 and not ribbon.is_empty:
            assert strip.kind != "parking"
            near = shapely.distance(ribbon, shapely.points(graph.park_xyz_m[:, :2]))
            assert near.min() > 5.0
    cos, sin = np.cos(graph.park_yaw_rad)[:, None], np.sin(graph.park_yaw_rad)[:, None]
    u, v = np.array([[1, 1], [1, -1], [-1, -1], [-1, 1]]).T * 0.5 * np.array(CAR_M)[:, None]
    corners = np.stack([u * cos - v * sin, u * sin + v * cos], axis=-1) + graph.park_xyz_m[:, None, :2]
    cars = shapely.polygons(corners)
    parking = shapely.unary_union(ribbons[True])
    assert (shapely.area(shapely.intersection(cars, parking)) / shapely.area(cars)).min() > 0.97
    quads = shapely.polygons(graph.crosswalk_xyz_m[:, :, :2])
    assert shapely.distance(cars[:, None], quads[None]).min() > 2.0
    pairs = shapely.STRtree(cars).query(cars, predicate="intersects").T
    assert all(a == b for a, b in pairs)
    for (x, y, _), yaw in zip(graph.park_xyz_m, graph.park_yaw_rad, strict=True):
        _, _, offset = graph.nearest(x, y, yaw)
        assert 2.0 < abs(offset) < 2.9  # beside the lane, which runs the car's way


def test_several_maps_keep_their_places() -> None:
    old, plain = graph_of("oldtown"), graph_of("town_a")
    both, _ = concatenate([plain, old, old])
    assert len(plain.park_xyz_m) == 0
    assert np.array_equal(both.park_xyz_m, np.concatenate([old.park_xyz_m] * 2))
    assert np.array_equal(both.park_yaw_rad, np.concatenate([old.park_yaw_rad] * 2))


def test_parked_cars_stand_in_places_near_the_route_and_out_of_the_way() -> None:
    graph = graph_of("oldtown")
    models = [load_vehicle("sedan"), load_vehicle("bus")]
    rows = spawn(graph, models, 5, 20, 0, parked=40)
    standing = rows["driver"] == Driver.NONE
    assert standing.sum() == 40 and (rows["model"][standing] == 0).all() and (rows["lane"][standing] == -1).all()
    centre = np.stack([rows["x_m"], rows["y_m"]], axis=-1)[standing]
    ahead = np.stack([np.cos(rows["yaw_rad"]), np.sin(rows["yaw_rad"])], axis=-1)[standing]
    centre = centre + rows["centre_m"][standing, None] * ahead
    apart = np.hypot(*(centre[:, None] - graph.park_xyz_m[None, :, :2]).transpose(2, 0, 1)).min(axis=1)
    assert apart.max() < 0.4
    batch = Batch(graph, models, 1, len(rows["kind"]))
    batch.reset_world(0, rows, seed=5)
    before = batch.state.numpy("x_m")[0][standing].copy()
    for _ in range(600):
        batch.step()
        assert (batch.state.numpy("hit_other")[0] == -1).all()
    assert (batch.state.numpy("x_m")[0][standing] == before).all()
    assert batch.state.numpy("vx_mps")[0][~standing].mean() > 1.0
