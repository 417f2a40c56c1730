"""Scenery of a town: everything that the map says is there, where it says, and the same for the same seed."""

from __future__ import annotations

import time
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import shapely
from shared_maps import graph_of, map_of

from sim.actor_meshes import library
from sim.geometry import HELD_OUT_LOOK, WALK_FRAMES, Geometry, Material
from sim.roadside import Ground
from sim.scenery import Scenery, build
from sim.state import State
from stack.labels import Kind, Semantic
from stack.lanegraph import LaneGraph
from stack.opendrive import find_map
from stack.opendrive.roads import RoadMap

DATA = Path(__file__).parents[2] / "shared/data/maps"
NAMES = ["town_a", "rural", "oldtown", "arterial", "roundabouts"]
NAMES += [pytest.param(name, marks=pytest.mark.slow) for name in ("highway", "Town01")]
BUILT_S: dict[str, float] = {}  # seconds of the processor that each town took


@cache
def town(name: str) -> tuple[RoadMap, LaneGraph, Scenery]:
    path = find_map(name) if not name.startswith("Town") else DATA / f"{name}.xodr"
    if not path.exists():
        pytest.skip(f"no map at {path}")
    road_map, graph = map_of(path), graph_of(path)
    started = time.process_time()
    scenery = build(road_map, graph, 1)
    BUILT_S[name] = time.process_time() - started
    return road_map, graph, scenery


def below(scenery: Scenery, xy: np.ndarray, semantic: list[int]) -> np.ndarray:
    """Is there a face of these classes over or under each point?"""
    rows = np.isin(scenery.mesh.semantic, semantic)
    corners = scenery.mesh.corners()[rows][:, :, :2].astype(np.float64)
    area = shapely.polygons(corners)
    tree = shapely.STRtree(area)
    return np.isin(np.arange(len(xy)), tree.query(shapely.points(xy), predicate="intersects")[0])


@pytest.mark.parametrize("name", NAMES)
def test_every_lane_lies_on_road_and_is_free(name: str) -> None:
    _, graph, scenery = town(name)
    xy = np.stack([graph.x_m, graph.y_m], axis=-1)[::3].astype(np.float64)
    assert below(scenery, xy, [Semantic.ROAD]).mean() > 0.995
    assert not below(scenery, xy, [Semantic.BUILDING, Semantic.FENCE]).any()
    x, y = scenery.static_boxes[:, :2].T
    near = shapely.STRtree(shapely.buffer(shapely.points(xy), 0.9))
    hit = near.query(shapely.points(np.stack([x, y], axis=-1)), predicate="intersects")[0]
    assert len(np.unique(hit)) <= 0.01 * len(x)


@pytest.mark.parametrize("name", NAMES)
def test_ground_does_not_poke_through_the_road(name: str) -> None:
    """Nowhere 1 m or more inside the roads, below whatever lies over it: bridges have the ground far below them."""
    road_map, _graph, scenery = town(name)
    mesh = scenery.mesh
    corners, normals = mesh.corners().astype(np.float64), mesh.normals()
    land = corners[mesh.semantic == Semantic.TERRAIN].mean(axis=1)
    land = land[shapely.contains_xy(Ground(road_map.strips(2.0)).area.buffer(-1.0), land[:, 0], land[:, 1])]
    over = np.isin(mesh.semantic, [Semantic.ROAD, Semantic.SIDEWALK]) & (normals[:, 2] > 0.9)
    tree = shapely.STRtree(shapely.polygons(corners[over][:, :, :2]))
    centre, face = tree.query(shapely.points(land[:, :2]), predicate="intersects")
    apart = land[centre] - corners[over][face, 0]
    normal = normals[over][face]
    height = (apart * normal).sum(axis=1) / normal[:, 2]
    assert len(height) > 100 and (height < -0.02).all()


def test_each_head_has_three_lamps_of_its_signal_where_it_hangs() -> None:
    _, graph, scenery = town("town_a")
    kind, signal = scenery.mesh.material & 255, scenery.mesh.material >> 16
    centres = scenery.mesh.corners().mean(axis=1)
    for lamp in (Material.LAMP_RED, Material.LAMP_YELLOW, Material.LAMP_GREEN):
        at, of = centres[kind == lamp], signal[kind == lamp]
        for head, xyz in zip(graph.head_signal, graph.head_xyz_m, strict=True):
            near = np.linalg.norm(at - xyz, axis=1) < 0.7
            assert near.any() and (of[near] == head).all()


def test_crosswalks_and_marks_are_road_lines() -> None:
    _, graph, scenery = town("town_a")
    quads = graph.crosswalk_xyz_m
    t = np.linspace(0.02, 0.98, 40)
    line = quads[:, None, 0] + t[None, :, None] * (quads[:, None, 3] - quads[:, None, 0])
    line = 0.5 * (line + quads[:, None, 1] + t[None, :, None] * (quads[:, None, 2] - quads[:, None, 1]))
    share = below(scenery, line[..., :2].reshape(-1, 2), [Semantic.ROAD_LINE]).mean()
    assert 0.35 < share < 0.7  # bars and gaps


def test_same_seed_same_town() -> None:
    road_map, graph, scenery = town("town_a")
    again = build(road_map, graph, 1)
    assert np.array_equal(scenery.mesh.vertices, again.mesh.vertices) and np.array_equal(
        scenery.mesh.material, again.mesh.material
    )
    assert np.array_equal(scenery.palette, again.palette)


@pytest.mark.slow
def test_another_seed_another_town() -> None:
    road_map, graph, scenery = town("town_a")
    other = build(road_map, graph, 2)
    assert len(other.facades) > 20 and other.mesh.vertices.shape != scenery.mesh.vertices.shape


def test_a_town_is_built_in_seconds() -> None:
    _, _, scenery = town("town_a")
    assert BUILT_S["town_a"] < 12.0
    assert 20_000 < len(scenery.mesh.triangles) < 250_000


def test_actors_fill_their_boxes() -> None:
    """Each mesh touches all sides of its unit box, is closed enough to have volume, and has few faces."""
    for mesh in library().meshes:
        assert np.allclose(mesh.vertices.min(0), (-0.5, -0.5, 0.0), atol=1e-5) and np.allclose(
            mesh.vertices.max(0), (0.5, 0.5, 1.0), atol=1e-5
        )
        c = mesh.corners().astype(np.float64)
        assert np.einsum("ij,ij->i", c[:, 0], np.cross(c[:, 1], c[:, 2])).sum() / 6.0 > 0.02
        assert len(mesh.triangles) < 500


def test_held_out_looks_share_no_mesh_or_colour_with_training() -> None:
    lib = library()
    first, count = lib.catalogue[..., 0], lib.catalogue[..., 1]
    used = [
        {m for f, n in zip(first[g].ravel(), count[g].ravel(), strict=True) for m in range(f, f + n)} for g in (0, 1)
    ]
    assert not used[0] & used[1]
    assert not {tuple(c) for c in lib.paints[0]} & {tuple(c) for c in lib.paints[1]}
    assert (count[:, Kind.PEDESTRIAN] % WALK_FRAMES == 0).all()
    geometry, state = Geometry(library().meshes[0], lib, 3, 1, "cpu"), State(1, 3, 1, 1, "cpu")
    for row, look in ((1, 3), (2, HELD_OUT_LOOK + 3)):
        for name, value in {
            "kind": Kind.CAR,
            "look": look,
            "length_m": 4.5,
            "width_m": 1.8,
            "height_m": 1.5,
            "x_m": 10.0 * row,
        }.items():
            state.numpy(name)[0, row] = value
    geometry.update(state)
    colours = geometry.arrays.colour.numpy()[:, 0]
    assert colours[1].tolist() in lib.paints[0].tolist() and colours[2].tolist() in lib.paints[1].tolist()
