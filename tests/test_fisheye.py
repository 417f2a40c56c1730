"""Fisheye cameras: the projection is OpenCV's, the picture a pinhole's where both look, labels count what the lens shows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from sim.camera import Cameras
from sim.geometry import Material, encode
from sim.meshes import polygon
from sim.palette import Colour
from sim.weather import weather
from stack.config import ConfigError
from stack.frames import Pose, apply, bend, inverse, project, project_fisheye, rays_fisheye
from stack.labels import Kind, Semantic
from stack.messages import CameraImage, CameraMount, Lens, Rig, TruthImages
from stack.rigs import load_rig
from tests.test_camera import place, world

DISTORTIONS = [(0.0, 0.0, 0.0, 0.0), (0.05, -0.01, 0.004, -0.0008), (-0.03, 0.002, 0.0, 0.0)]
FISH = CameraMount("fish", 240, 240, np.deg2rad(190.0), 1.6, 0.0, 1.5, lens=Lens("fisheye"))


def render(
    mounts: tuple[CameraMount, ...], scene: tuple, plain: bool = False
) -> tuple[list[CameraImage], list[TruthImages]]:
    scenery, geometry, state = scene
    geometry.update(state)
    sky = replace(weather("clear"), noise=0.0, vignette=0.0) if plain else weather("clear")
    images, truth = Cameras(Rig(cameras=mounts), geometry, scenery, sky, 1).render(Pose(0.0, 0.0), 0)
    return list(images), list(truth)


@pytest.mark.parametrize("distortion", DISTORTIONS)
def test_projection_is_opencvs(distortion: tuple[float, float, float, float]) -> None:
    rng = np.random.default_rng(1)
    angle, round_ = rng.uniform(0.0, np.deg2rad(85.0), 500), rng.uniform(-np.pi, np.pi, 500)
    rays = np.stack([np.sin(angle) * np.cos(round_), np.sin(angle) * np.sin(round_), np.cos(angle)], axis=-1)
    points = rays * rng.uniform(0.5, 60.0, (500, 1))
    matrix = np.array([[310.0, 0.0, 322.5], [0.0, 305.0, 241.0], [0.0, 0.0, 1.0]])
    expected, _ = cv2.fisheye.projectPoints(points[:, None], np.zeros(3), np.zeros(3), matrix, np.array(distortion))
    found, found_angle = project_fisheye(matrix, distortion, points)
    assert np.abs(found - expected[:, 0]).max() < 1e-6 and np.abs(found_angle - angle).max() < 1e-9
    back = rays_fisheye(matrix, distortion, found, np.deg2rad(90.0))
    assert np.abs(back - rays).max() < 1e-6


def test_an_equidistant_lens_goes_on_behind_the_camera() -> None:
    matrix = FISH.matrix()
    assert matrix[0, 0] == pytest.approx(120.0 / np.deg2rad(95.0))
    beside = np.array([[1.0, 0.0, 0.0], [0.0, np.cos(0.05), -np.sin(0.05)]])
    uv, angle = project_fisheye(matrix, FISH.distortion, beside)
    assert angle == pytest.approx([np.pi / 2, np.pi / 2 + 0.05])
    assert uv[:, 0] == pytest.approx([120.0 + matrix[0, 0] * np.pi / 2, 120.0])
    assert uv[1, 1] == pytest.approx(120.0 + matrix[0, 0] * (np.pi / 2 + 0.05))
    assert not rays_fisheye(matrix, FISH.distortion, np.array([[1.0, 1.0]]), np.deg2rad(95.0)).any()


@pytest.mark.parametrize("distortion", DISTORTIONS[:2])
def test_things_are_drawn_where_opencv_projects_them(distortion: tuple[float, float, float, float]) -> None:
    """Walkers round the camera, also where one cube face meets the next (45 degrees) and beyond 90 degrees."""
    scene = world()
    bearings = np.deg2rad([-92.0, -60.0, -45.0, 20.0, 45.0, 75.0, 91.5])
    for row, bearing in enumerate(bearings, start=1):
        place(scene[2], row, Kind.PEDESTRIAN, 1.6 + 9.0 * np.cos(bearing), 9.0 * np.sin(bearing), 0.3)
    mount = replace(FISH, lens=Lens("fisheye", distortion))
    (image,), (truth,) = render((mount,), scene)
    g = scene[1].arrays
    assert truth.boxes.id.tolist() == list(range(1, 8))
    for k, row in enumerate(truth.boxes.id):
        first = 3 * (g.static_triangles + int(row) * g.slot)
        corners = g.corner.numpy()[first : first + 3 * int(g.chunk_count.numpy()[g.static_chunks + row])].astype(float)
        optical = apply(inverse(image.ego_from_camera), corners)
        if optical[:, 2].min() > 0.1:
            uv = cv2.fisheye.projectPoints(
                optical[:, None], np.zeros(3), np.zeros(3), image.intrinsics, np.array(distortion)
            )[0][:, 0]
        else:
            uv, _ = project_fisheye(image.intrinsics, image.distortion, optical)
        bounds = [*uv.min(axis=0), *uv.max(axis=0)]
        assert truth.extents.full_px[k] == pytest.approx(bounds, abs=0.8)
        columns = np.flatnonzero((truth.instance.numpy() == row + 1).any(axis=0))
        assert abs(0.5 * (columns.min() + columns.max() + 1) - 0.5 * (bounds[0] + bounds[2])) < 1.0
        assert truth.boxes.score[k] > 0.999
        assert truth.boxes.distance_m[k] == pytest.approx(np.hypot(9.0, 0.6), abs=0.05)


@pytest.mark.parametrize("yaw, pitch", [(0.0, 0.0), (np.pi / 2, 0.0), (-0.9, -0.7)])
def test_picture_is_a_pinholes_where_both_look(yaw: float, pitch: float) -> None:
    """Each pixel of a pinhole turned anywhere, looked up in the fisheye's picture by its ray: over all seams of the cube."""
    scene = world()
    for row, (x, y) in enumerate([(9.0, 2.0), (6.0, 9.0), (8.0, -6.0)], start=1):
        place(scene[2], row, Kind.CAR, x, y, 0.4 * row)
    fish = replace(FISH, width_px=640, height_px=640)
    pinhole = CameraMount("pinhole", 200, 160, np.deg2rad(70.0), 1.6, 0.0, 1.5, yaw, pitch)
    images, truths = render((fish, pinhole), scene, plain=True)
    v, u = np.mgrid[2:158, 2:198] + 0.5
    matrix = images[1].intrinsics
    rays = np.stack([(u - 100.0) / matrix[0, 0], (v - 80.0) / matrix[1, 1], np.ones_like(u)], axis=-1)
    turn = inverse(images[0].ego_from_camera)[:3, :3] @ images[1].ego_from_camera[:3, :3]
    uv, angle = project_fisheye(images[0].intrinsics, images[0].distortion, rays @ turn.T)
    inside = angle < np.deg2rad(94.0)
    column, row = uv[inside].astype(int).T
    for name, least in (("semantic", 0.985), ("instance", 0.99)):
        seen, expected = (getattr(t, name).numpy() for t in truths)
        assert (seen[row, column] == expected[2:158, 2:198][inside]).mean() > least
    distance = truths[1].depth_m.numpy()[2:158, 2:198] * np.linalg.norm(rays, axis=-1)
    seen, expected = truths[0].depth_m.numpy()[row, column], distance[inside]
    ground = np.isfinite(seen) & np.isfinite(expected)
    assert np.median(np.abs(seen[ground] / expected[ground] - 1.0)) < 0.01
    difference = np.abs(
        images[0].rgb.numpy()[:, row, column].astype(int) - images[1].rgb.numpy()[:, 2:158, 2:198][:, inside]
    )
    assert difference.mean() < 5.0 and np.median(difference) <= 3.0


def test_depth_is_the_distance_to_the_floor() -> None:
    (image,), (truth,) = render((FISH,), world())
    for pixel in ((200, 120), (230, 100), (150, 60)):
        at = np.array([[pixel[1] + 0.5, pixel[0] + 0.5]])
        ray = rays_fisheye(image.intrinsics, image.distortion, at, np.deg2rad(95.0))[0]
        assert float(truth.depth_m[pixel]) == pytest.approx(1.5 / ray[1], rel=2e-3)
    assert int(truth.semantic[0, 0]) == Semantic.UNLABELED and int(image.rgb[:, 0, 0].max()) < 12
    assert int(truth.semantic[30, 120]) == Semantic.SKY


def test_a_wall_hides_half_of_a_car_and_the_rim_cuts_another() -> None:
    """Shares against pictures: the car alone, in a lens that sees all of it."""
    narrow = replace(FISH, hfov_rad=np.deg2rad(120.0), lens=Lens("fisheye", focal_px=(72.0, 72.0)))
    wide = replace(narrow, hfov_rad=np.deg2rad(210.0), width_px=400, height_px=400)
    corners = np.array([(8.0, 0.0, -1.0), (8.0, -3.0, -1.0), (8.0, -3.0, 9.0), (8.0, 0.0, 9.0)])
    wall = polygon(corners, Semantic.WALL, encode(Material.PLAIN, Colour.KERB), both=True)
    scene, bare = world([wall]), world()
    for one in (scene, bare):
        place(one[2], 1, Kind.CAR, 14.0, 0.0)
        place(one[2], 2, Kind.CAR, 4.5, 6.0)
    _, (truth,) = render((narrow,), scene)
    _, (alone,) = render((narrow,), bare)
    _, (whole,) = render((wide,), bare)
    assert truth.boxes.id.tolist() == [1, 2]
    seen = (truth.instance.numpy() == 2).sum() / (alone.instance.numpy() == 2).sum()
    assert seen == pytest.approx(0.5, abs=0.06) and truth.boxes.score[0] == pytest.approx(seen, abs=0.05)
    v, u = np.nonzero(whole.instance.numpy() == 3)
    angle = np.hypot(u + 0.5 - 200.0, v + 0.5 - 200.0) / 72.0
    size = np.sin(angle) / angle  # solid angle of a pixel of an equidistant lens
    beyond = size[angle > np.deg2rad(60.0)].sum() / size.sum()
    assert 0.2 < beyond < 0.9
    assert truth.extents.truncation.tolist() == pytest.approx([0.0, beyond], abs=0.02)
    full = np.array([u.min(), v.min(), u.max() + 1, v.max() + 1]) - 80.0
    assert truth.extents.full_px[1] == pytest.approx(full, abs=1.0)


def test_what_is_wrong_in_a_rig_is_named(tmp_path: Path) -> None:
    good = {"name": "left", "width_px": 320, "height_px": 320, "hfov_rad": 3.3, "x_m": 1.0, "y_m": 0.9, "z_m": 1.0}
    cases = [
        ({"lens": {"model": "fish"}}, r"cameras\.0\.lens\.model.*found 'fish'"),
        (
            {"hfov_rad": 4.5, "lens": {"model": "fisheye"}},
            r"hfov_rad: found 4\.5, expected more than 0 and at most 3\.83",
        ),
        ({}, r"hfov_rad: found 3\.3, expected"),
        ({"hfov_rad": 1.5, "lens": {"distortion": [0.1, 0, 0, 0]}}, r"lens\.distortion: found .* pinhole"),
        ({"lens": {"model": "fisheye", "distortion": [-0.5, 0, 0, 0]}}, r"lens\.distortion: found .* grows"),
        ({"lens": {"model": "fisheye", "distortion": [0.1]}}, r"cameras\.0\.lens\.distortion"),
        ({"lens": {"model": "fisheye", "focus": 3}}, r"cameras\.0\.lens\.focus: unknown key"),
        ({"hfov_rad": 1.5, "optics": {"dirt": 2.0}}, r"optics\.dirt: found 2\.0, expected 0 to 1"),
    ]
    for changes, message in cases:
        path = tmp_path / "rig.yaml"
        path.write_text(yaml.safe_dump({"cameras": [good | changes]}), encoding="utf-8")
        with pytest.raises(ConfigError, match=message) as found:
            load_rig(path)
        assert str(path) in str(found.value)
    path.write_text(yaml.safe_dump({"cameras": [good | {"lens": {"model": "fisheye"}}]}), encoding="utf-8")
    rig = load_rig(path)
    assert rig.cameras[0].distortion == (0.0, 0.0, 0.0, 0.0) and rig.lidar_rings == Rig().lidar_rings


def test_a_lens_grows_as_its_coefficients_say() -> None:
    assert bend((0.1, 0.0, 0.0, 0.0), np.array(0.5)) == pytest.approx(0.5 + 0.1 * 0.125)
    assert project(FISH.matrix(), np.array([[0.0, 0.0, 2.0]]))[0][0] == pytest.approx([120.0, 120.0])
