"""Labels of what a camera sees, against the object drawn alone by a camera of the same focal length and a wider picture."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sim.camera import Cameras
from sim.geometry import Geometry, Material, encode
from sim.meshes import polygon
from sim.palette import Colour
from sim.scenery import Scenery
from sim.state import State
from sim.weather import weather
from stack.frames import Pose, apply, box_corners, inverse, project
from stack.labels import Kind, Semantic
from stack.messages import CameraMount, Rig, TruthImages
from tests.test_camera import place, world

W, H, WIDER = 320, 180, 5
MOUNT = CameraMount("wide", W, H, np.deg2rad(90.0), 1.6, 0.0, 1.5)
WIDE = replace(MOUNT, width_px=WIDER * W, height_px=WIDER * H, hfov_rad=2.0 * np.arctan(WIDER))


def look(scenery: Scenery, geometry: Geometry, mount: CameraMount = MOUNT, ego: Pose = Pose(0.0, 0.0)) -> TruthImages:
    return Cameras(Rig(cameras=(mount,)), geometry, scenery, weather("cloudy"), 1).render(ego, 0)[1][0]


def alone(kind: Kind, x: float, y: float, yaw: float) -> Any:
    """(5 H, 5 W) where the object is seen by the wider camera, with the first camera's picture in its middle."""
    scenery, geometry, state = world()
    place(state, 1, kind, x, y, yaw)
    geometry.update(state)
    return look(scenery, geometry, WIDE).instance.numpy() == 2


def bounds(mask: Any) -> Any:
    """Left, top, right and bottom of the pixels that are set."""
    rows, columns = np.nonzero(mask)
    return np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])


@pytest.mark.parametrize(
    "kind, x, y, yaw",
    [
        (Kind.CAR, 12.0, 10.3, 0.0),  # over the left edge
        (Kind.CAR, 9.0, -7.0, 1.1),  # over the right edge, turned
        (Kind.CAR, 5.2, 0.4, 0.3),  # close ahead: over the bottom
        (Kind.TRUCK, 11.0, -6.0, 0.2),  # over a corner of the picture
        (Kind.PEDESTRIAN, 4.0, 2.3, 0.0),
    ],
)
def test_truncation_is_what_a_wider_camera_sees_beyond(kind: Kind, x: float, y: float, yaw: float) -> None:
    scenery, geometry, state = world()
    place(state, 1, kind, x, y, yaw)
    geometry.update(state)
    truth = look(scenery, geometry)
    whole = alone(kind, x, y, yaw)
    top, left = (WIDER // 2) * H, (WIDER // 2) * W
    beyond = 1.0 - whole[top : top + H, left : left + W].sum() / whole.sum()
    assert 0.05 < beyond < 0.95
    assert truth.extents.truncation[0] == pytest.approx(beyond, abs=0.01)
    assert truth.extents.full_px[0] == pytest.approx(bounds(whole) - (left, top, left, top), abs=1.0)
    inside = bounds(whole[top : top + H, left : left + W])
    assert truth.boxes.box_px[0] == pytest.approx(inside, abs=1.0)
    assert truth.extents.visible_px[0] == pytest.approx(inside, abs=1.0)


def test_what_lies_whole_in_the_picture_is_not_truncated() -> None:
    scenery, geometry, state = world()
    place(state, 1, Kind.CAR, 20.0, 3.0, 0.4)
    geometry.update(state)
    truth = look(scenery, geometry)
    assert truth.extents.truncation[0] == 0.0
    assert (truth.extents.full_px == truth.boxes.box_px).all()


def test_an_object_beside_the_camera_is_followed_to_80_degrees() -> None:
    """A truck that reaches from ahead to behind: its silhouette has no end, so nearly all of it lies beyond."""
    scenery, geometry, state = world()
    place(state, 1, Kind.TRUCK, 4.5, 3.2)
    geometry.update(state)
    extents = look(scenery, geometry).extents
    assert 0.8 < extents.truncation[0] < 1.0
    assert extents.full_px[0, 0] == pytest.approx(160.0 - 160.0 * np.tan(np.deg2rad(80.0)), abs=0.1)


def test_visible_share_and_box_with_things_before_it() -> None:
    """A wall hides the right half of the car, a walker a strip of the rest; drawn alone, the car has all its pixels."""
    corners = np.array([(10.0, 0.0, -1.0), (10.0, -9.0, -1.0), (10.0, -9.0, 9.0), (10.0, 0.0, 9.0)])
    wall = polygon(corners, Semantic.WALL, encode(Material.PLAIN, Colour.KERB), both=True)
    scenery, geometry, state = world([wall])
    place(state, 1, Kind.CAR, 16.0, 0.0)
    place(state, 2, Kind.PEDESTRIAN, 9.0, 0.35)
    geometry.update(state)
    truth = look(scenery, geometry)
    assert truth.boxes.id.tolist() == [1, 2]
    seen = truth.instance.numpy() == 2
    whole = alone(Kind.CAR, 16.0, 0.0, 0.0)[2 * H : 3 * H, 2 * W : 3 * W]
    assert 0.1 < seen.sum() / whole.sum() < 0.45
    assert truth.boxes.score[0] == pytest.approx(seen.sum() / whole.sum(), abs=0.02)
    assert truth.extents.visible_px[0].tolist() == bounds(seen).tolist()
    assert truth.boxes.box_px[0] == pytest.approx(bounds(whole), abs=1.0)  # round what is hidden, too


def test_the_3d_box_holds_the_mesh_on_a_slope() -> None:
    scenery, geometry, state = world()
    place(state, 1, Kind.CAR, 18.0, 2.0, 0.7)
    for name, value in {"pitch_rad": 0.15, "roll_rad": -0.1, "z_m": 0.4, "centre_m": 1.3}.items():
        state.numpy(name)[0, 1] = value
    geometry.update(state)
    ego = Pose(1.0, -0.5, 0.2, 0.3, 0.05, 0.02)
    mount = replace(MOUNT, pitch_rad=-0.05)
    truth = look(scenery, geometry, mount, ego)
    extents = truth.extents
    g = geometry.arrays
    first = 3 * (g.static_triangles + g.slot)
    mesh = g.corner.numpy()[first : first + 3 * int(g.chunk_count.numpy()[g.static_chunks + 1])].astype(np.float64)
    world_from_actor = ego.matrix() @ extents.ego_from_actor[0]
    inside = apply(inverse(world_from_actor), mesh) / extents.size_m[0]
    assert np.abs(inside[:, :2]).max() == pytest.approx(0.5, abs=1e-3)
    assert inside[:, 2].min() == pytest.approx(0.0, abs=2e-3) and inside[:, 2].max() == pytest.approx(1.0, abs=1e-3)
    images, _ = Cameras(Rig(cameras=(mount,)), geometry, scenery, weather("cloudy"), 1).render(ego, 0)
    corners = apply(extents.ego_from_actor[0], box_corners(*extents.size_m[0].astype(np.float64))[0])
    pixels, depth = project(images[0].intrinsics, apply(inverse(images[0].ego_from_camera), corners))
    assert depth.min() > 0.0
    low, high = pixels.min(axis=0), pixels.max(axis=0)
    left, top, right, bottom = extents.full_px[0]
    assert (low <= (left + 0.5, top + 0.5)).all() and (high >= (right - 0.5, bottom - 0.5)).all()
    assert right - left > 0.85 * (high[0] - low[0]) and bottom - top > 0.7 * (high[1] - low[1])


def test_every_visible_actor_of_a_crowd_is_bounded_by_its_pixels() -> None:
    scenery, geometry, state = world()
    rng = np.random.default_rng(3)
    for row in range(1, 8):
        kind = (Kind.CAR, Kind.PEDESTRIAN, Kind.TRUCK)[row % 3]
        place(state, row, kind, rng.uniform(8.0, 30.0), rng.uniform(-9.0, 9.0), rng.uniform(-3.0, 3.0))
    geometry.update(state)
    truth = look(scenery, geometry)
    assert len(truth.boxes.id) >= 5
    for row, actor in enumerate(truth.boxes.id):
        shown = truth.instance.numpy() == actor + 1
        if shown.any():
            assert truth.extents.visible_px[row].tolist() == bounds(shown).tolist()
        else:  # seen between the middles of pixels only
            assert truth.boxes.score[row] < 0.1 and np.isnan(truth.extents.visible_px[row]).all()


def test_a_state_without_actors_has_no_labels() -> None:
    scenery, geometry, _state = world()
    geometry.update(State(1, 8, 2, 1, "cpu"))
    truth = look(scenery, geometry)
    assert len(truth.boxes.id) == 0 and truth.extents.visible_px.shape == (0, 4)
