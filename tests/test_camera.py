"""Cameras: what is true of their pictures, the same pictures again, and lamps that show the state of their signal."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import warp as wp
from torchvision.io import decode_jpeg

from sim.actor_meshes import library
from sim.camera import Cameras
from sim.geometry import Geometry, Material, Mesh, box_mesh, encode
from sim.kernels.shade import shade
from sim.meshes import moved, polygon, rectangle
from sim.palette import Colour, palette
from sim.scenery import Scenery
from sim.signposts import lamp_head
from sim.state import State
from sim.weather import WEATHERS, varied, weather
from stack.frames import Pose
from stack.labels import Kind, LightState, Semantic
from stack.messages import CameraMount, Rig
from stack.seeds import Stream, draws

RIG = Rig(cameras=(CameraMount("wide", 320, 180, np.deg2rad(90.0), 1.6, 0.0, 1.5),))
SIZES = {Kind.CAR: (4.5, 1.8, 1.5), Kind.TRUCK: (8.0, 2.4, 3.2), Kind.PEDESTRIAN: (0.5, 0.5, 1.8)}


def floor() -> list[Mesh]:
    look = Semantic.ROAD, encode(Material.ASPHALT, Colour.ASPHALT)
    return [polygon(rectangle(8.0, 8.0, 0.0, x, y), *look) for x in range(-40, 121, 8) for y in range(-40, 41, 8)]


def world(extra: list[Mesh] | None = None) -> tuple[Scenery, Geometry, State]:
    scenery = Scenery(
        Mesh.join(floor() + (extra or [])), palette(1), np.zeros((0, 4), np.float32), 0.3, np.zeros((0, 5))
    )
    state = State(1, 8, 2, 1, "cpu")
    state.numpy("kind")[0, 0] = Kind.CAR
    return scenery, Geometry(scenery.mesh, library(), 8, 2, "cpu"), state


def place(state: State, row: int, kind: Kind, x: float, y: float, yaw: float = 0.0) -> None:
    length, width, height = SIZES[kind]
    values = {
        "kind": kind,
        "x_m": x,
        "y_m": y,
        "yaw_rad": yaw,
        "length_m": length,
        "width_m": width,
        "height_m": height,
        "look": row,
    }
    for name, value in values.items():
        state.numpy(name)[0, row] = value


def test_boxes_tell_what_can_be_seen() -> None:
    scenery, geometry, state = world()
    place(state, 1, Kind.CAR, 20.0, 0.0)
    place(state, 2, Kind.CAR, 30.0, -8.0, 1.2)
    place(state, 3, Kind.TRUCK, 32.0, 0.6)  # behind the first car, taller
    place(state, 4, Kind.PEDESTRIAN, 70.0, 0.0)  # all hidden
    place(state, 5, Kind.CAR, -20.0, 0.0)  # behind the camera
    geometry.update(state)
    _images, truth = Cameras(RIG, geometry, scenery, weather("clear"), 1).render(Pose(0.0, 0.0), 0)
    boxes = truth[0].boxes
    assert boxes.id.tolist() == [1, 2, 3]
    assert boxes.kind.tolist() == [Kind.CAR, Kind.CAR, Kind.TRUCK]
    assert boxes.score[0] > 0.999 and boxes.score[1] > 0.999 and 0.2 < boxes.score[2] < 0.9
    assert boxes.distance_m == pytest.approx([18.4, 28.4, 30.4], abs=0.05)
    assert boxes.yaw_rad == pytest.approx([0.0, 1.2, 0.0], abs=1e-5)
    left, top, right, bottom = boxes.box_px[0]
    near, f = 20.0 - 1.6 - 2.25, 160.0
    assert (right - left) == pytest.approx(1.8 * f / near, abs=2.5)
    assert bottom == pytest.approx(90.0 + 1.5 * f / near, abs=2.0)
    rows, columns = np.nonzero(truth[0].instance.numpy() == 2)
    assert left <= columns.min() + 1 and columns.max() <= right
    assert top <= rows.min() + 1 and rows.max() <= bottom


def test_a_wall_before_half_a_car_hides_half_of_it() -> None:
    wall = np.array([(10.0, 0.0, -1.0), (10.0, -9.0, -1.0), (10.0, -9.0, 9.0), (10.0, 0.0, 9.0)])
    scenery, geometry, state = world([polygon(wall, Semantic.WALL, encode(Material.PLAIN, Colour.KERB), both=True)])
    place(state, 1, Kind.CAR, 24.0, 0.0)
    geometry.update(state)
    _, truth = Cameras(RIG, geometry, scenery, weather("cloudy"), 1).render(Pose(0.0, 0.0), 0)
    assert truth[0].boxes.score[0] == pytest.approx(0.5, abs=0.03)


def test_picture_is_the_jpeg_and_truth_fits_it() -> None:
    scenery, geometry, state = world()
    geometry.update(state)
    images, truth = Cameras(RIG, geometry, scenery, weather("clear"), 1).render(Pose(0.0, 0.0), 3)
    image, true = images[0], truth[0]
    data = torch.frombuffer(bytearray(image.jpeg), dtype=torch.uint8)
    assert torch.equal(decode_jpeg(data), image.rgb) and image.time_s == pytest.approx(0.15)
    assert int(true.semantic[170, 160]) == Semantic.ROAD and int(true.semantic[5, 160]) == Semantic.SKY
    assert torch.isinf(true.depth_m[5, 160]) and float(true.depth_m[179, 160]) == pytest.approx(
        1.5 * 160.0 / 89.5, rel=1e-3
    )


def test_same_seed_same_picture() -> None:
    pictures = []
    for seed in (1, 1, 2):
        scenery, geometry, state = world()
        place(state, 1, Kind.CAR, 15.0, 2.0, 0.4)
        geometry.update(state)
        cameras = Cameras(RIG, geometry, scenery, weather("clear"), seed)
        cameras.render(Pose(1.0, 0.0), 6)
        pictures.append(cameras.render(Pose(0.0, 0.0), 7)[0][0].jpeg)
    assert pictures[0] == pictures[1] != pictures[2]


@pytest.mark.parametrize("name", ["clear", "cloudy", "night"])
def test_lamps_show_their_signal(name: str) -> None:
    """A head 28 m before the camera, lamps of 1.7 pixels: red, then green can be told after JPEG."""
    head = moved(lamp_head(1), 30.0, -2.0, 3.0, np.pi)
    scenery, geometry, state = world([head])
    cameras = Cameras(RIG, geometry, scenery, weather(name), 1)
    seen = {}
    for light in (LightState.RED, LightState.GREEN):
        state.numpy("signal_state")[0] = (LightState.YELLOW, light)
        geometry.update(state)
        images, truth = cameras.render(Pose(0.0, 0.0), 0)
        rows, columns = np.nonzero(truth[0].semantic.numpy() == Semantic.TRAFFIC_LIGHT)
        patch = images[0].rgb.numpy()[:, rows, columns].astype(int)
        seen[light] = (patch[0] - patch[1]).max(), (patch[1] - patch[0]).max()
    assert seen[LightState.RED][0] > 40 and seen[LightState.RED][0] > 2 * seen[LightState.GREEN][0]
    assert seen[LightState.GREEN][1] > 30 and seen[LightState.GREEN][1] > 1.5 * seen[LightState.RED][1]


@pytest.mark.parametrize("name", sorted(WEATHERS))
def test_vectors_shade_as_threads_of_a_gpu(name: str) -> None:
    """All materials, each on something beside the road, in a picture whose sides are no multiple of a vector."""
    things = [
        moved(box_mesh(np.array([3.0, 3.0, 4.0]), Semantic.BUILDING, encode(kind, 32)), 8.0 + 4.0 * (k // 2), y, 0.0)
        for k, kind in enumerate(Material)
        for y in (-6.0 if k % 2 else 6.0,)
    ]
    scenery, geometry, state = world(things)
    scenery = replace(scenery, facades=np.array([[0.0, 2.9, 2.1, 0.5]], np.float32))
    for row, (kind, x) in enumerate([(Kind.CAR, 9.0), (Kind.TRUCK, 24.0), (Kind.PEDESTRIAN, 6.0)], 1):
        place(state, row, kind, x, 1.5 * row - 3.0, 0.3 * row)
    geometry.update(state)
    cameras = Cameras(replace(RIG, cameras=(replace(RIG.cameras[0], width_px=333, height_px=171),)), geometry, scenery,
                      weather(name), 1)  # fmt: skip
    cameras.render(Pose(0.0, 0.0), 0)
    camera = cameras._cameras[0]
    fields = ("rgb", "depth_m", "semantic", "instance", "visible")
    vectors = {field: getattr(camera._picture, field).numpy().copy() for field in fields}
    camera._picture.visible.zero_()
    shared = geometry.arrays, cameras._textures, cameras._shadows, cameras._light
    key = wp.uint32(draws(1, Stream.CAMERA, 0, n=1)[0])
    wp.launch(shade, dim=(171, 333), inputs=[*shared, camera._view, camera._keys, *cameras._film, key, camera._picture],
              device="cpu")  # fmt: skip
    threads = {field: getattr(camera._picture, field).numpy() for field in fields}
    for field in fields[1:]:
        assert np.array_equal(vectors[field], threads[field])
    off = np.abs(vectors["rgb"].astype(int) - threads["rgb"])
    assert (off > 1).mean() < 1e-4 and off.mean() < 0.01 and vectors["rgb"].std() > 10.0


def test_every_weather_gives_a_usable_picture() -> None:
    means = {}
    for name in WEATHERS:
        scenery, geometry, state = world()
        place(state, 1, Kind.CAR, 12.0, 1.0, 0.3)
        geometry.update(state)
        rgb = Cameras(RIG, geometry, scenery, weather(name), 1).render(Pose(0.0, 0.0), 0)[0][0].rgb.float()
        means[name] = float(rgb.mean())
        assert float((rgb >= 254).float().mean()) < 0.3 and float(rgb.std()) > 8.0
    assert means["night"] < means["clear"]
    with pytest.raises(ValueError, match="expected one of"):
        weather("hail")
    assert varied(weather("clear"), 5) == varied(weather("clear"), 5) != varied(weather("clear"), 6)


def test_a_car_casts_a_shadow() -> None:
    scenery, geometry, state = world()
    cameras = Cameras(RIG, geometry, scenery, weather("clear"), 1)
    geometry.update(state)
    without = cameras.render(Pose(0.0, 0.0), 0)[0][0].rgb.float().mean(0)
    place(state, 1, Kind.CAR, 14.0, 0.0)
    geometry.update(state)
    images, truth = cameras.render(Pose(0.0, 0.0), 0)
    change = without - images[0].rgb.float().mean(0)
    ground = truth[0].semantic == int(Semantic.ROAD)
    assert int((change[ground] > 15.0).sum()) > 100  # darker beside it
    assert float(change[ground].median()) < 3.0
