"""Cameras on any actor: projection, depth, normals and labels by hand; the rig's very pixels; who is drawn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import shapely
import torch
from boxed_square import box_at, ground, make, put
from torchvision.io import encode_jpeg

import sim.instruments.cameras as cameras_module
from sim.camera import Cameras
from sim.geometry import SHOW_M, Geometry, Mesh
from sim.instruments.cameras import MODALITIES, CameraSet, PinholeSpec, Shot
from sim.instruments.places import pose
from sim.instruments.surroundings import SUN_STEP_RAD, Surroundings
from sim.kernels.raster import GRAIN_PX, NEAR_M
from sim.palette import palette
from sim.pinhole import JPEG_QUALITY
from sim.scenery import Scenery
from sim.state import State
from sim.weather import Weather, varied, weather
from stack.frames import BODY_FROM_OPTICAL, Pose, transform
from stack.labels import Kind, Semantic
from stack.messages import Rig

LABELS = frozenset(MODALITIES)
ALL = LABELS | {"rgb"}
FREE = np.eye(4)


def scenery_of(geometry: Geometry) -> Scenery:
    return Scenery(geometry.static, palette(1), np.zeros((0, 4), np.float32), 0.3, np.zeros((0, 5)))


def around(state: State, geometry: Geometry, sky: Weather | None = None) -> Surroundings:
    geometry.update(state, 0, viewer=-1)
    return Surroundings(geometry, scenery_of(geometry), sky or weather("clear"), 7)


def nobody(*parts: Mesh, actors: int = 1) -> tuple[State, Geometry]:
    """Parts on which no actor stands yet."""
    state, geometry = make(list(parts), actors)
    put(state, 0, kind=0)
    return state, geometry


def look(state: State, geometry: Geometry, spec: PinholeSpec, row: int | None = None) -> Shot:
    carrier = FREE if row is None else pose(state, row)
    return CameraSet(around(state, geometry), [spec], row).render(carrier, 0)[0]


def rays(shot: Shot, width: int, height: int) -> np.ndarray:
    """(H, W, 3) optical rays of length 1 along the axis, through the pixels' middles, by the pinhole formula."""
    f = shot.intrinsics[0, 0]
    u, v = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    return np.stack([(u - 0.5 * width) / f, (v - 0.5 * height) / f, np.ones_like(u)], -1)


@pytest.mark.parametrize("fov_deg", [1.0, 40.0, 90.0, 150.0, 179.0])
def test_depth_and_normal_of_the_ground(fov_deg: float) -> None:
    """A plane's depth along the axis is -h / (n . ray), in a camera that is turned every way."""
    state, geometry = nobody(ground())
    place = transform(2.0, -3.0, 5.0, 0.7, -0.9, 0.3)
    shot = look(state, geometry, PinholeSpec(160, 90, np.deg2rad(fov_deg), place, LABELS))
    assert shot.intrinsics[0, 0] == pytest.approx(80.0 / np.tan(np.deg2rad(0.5 * fov_deg)))
    world_from_optical = place @ BODY_FROM_OPTICAL
    far = min(
        400.0, 4.0 * shot.intrinsics[0, 0] / GRAIN_PX
    )  # triangles of 4 m that are smaller in the picture are left out
    down = rays(shot, 160, 90) @ world_from_optical[2, :3]
    expected = np.where(down < 0.0, -5.0 / np.where(down < 0.0, down, -1.0), np.inf)
    point = (
        place[:3, 3] + (rays(shot, 160, 90) @ world_from_optical[:3, :3].T) * np.where(down < 0, expected, 0)[..., None]
    )
    covered = (down < 0.0) & (np.abs(point[..., :2]).max(axis=-1) < 129.0) & (expected < far) & (expected > NEAR_M)
    assert covered.mean() > 0.1
    np.testing.assert_allclose(shot.depth_m[covered], expected[covered], rtol=2e-4)
    np.testing.assert_allclose(shot.normal[covered] @ world_from_optical[:3, :3].T - [0.0, 0.0, 1.0], 0.0, atol=1e-5)
    assert np.isinf(shot.depth_m[down > 0.0]).all() and (shot.semantic[down > 0.0] == Semantic.SKY).all()
    assert (shot.semantic[covered] == Semantic.ROAD).all() and not shot.instance.any()


@pytest.mark.parametrize("seed", range(6))
def test_a_box_is_where_the_pinhole_formula_puts_it(seed: int) -> None:
    """Pixels whose middle lies in the hull of the projected corners, and no others, show the actor."""
    rng = np.random.default_rng(seed)
    state, geometry = nobody(actors=3)
    angles = dict(zip(("yaw_rad", "pitch_rad", "roll_rad"), rng.uniform([-3, -0.3, -0.3], [3, 0.3, 0.3]), strict=True))
    put(state, 2, x_m=14.0, y_m=rng.uniform(-2, 2), z_m=rng.uniform(-1, 1), **angles)
    place = transform(*rng.uniform(-1, 1, 3), *rng.uniform(-0.2, 0.2, 2), rng.uniform(-3.0, 3.0))
    shot = look(state, geometry, PinholeSpec(320, 240, 1.2, place, LABELS))
    x, y, z = np.meshgrid([-2.25 + 1.3, 2.25 + 1.3], [-0.9, 0.9], [0.0, 1.5])
    corners = np.stack([x.ravel(), y.ravel(), z.ravel(), np.ones(8)])
    seen = np.linalg.inv(place @ BODY_FROM_OPTICAL) @ pose(state, 2) @ corners
    pixels = (seen[:2] / seen[2] * shot.intrinsics[0, 0]).T + (160.0, 120.0)
    hull = shapely.MultiPoint(pixels).convex_hull
    u, v = np.meshgrid(np.arange(320) + 0.5, np.arange(240) + 0.5)
    inside = shapely.contains_xy(hull, u, v)
    assert inside.sum() > 500
    assert ((shot.instance == 3) != inside).sum() <= 2  # on the very edge
    assert set(np.unique(shot.instance)) == {0, 3} and (shot.semantic[inside] == Semantic.CAR).mean() > 0.99
    length = np.linalg.norm(shot.normal[shot.instance == 3], axis=-1)
    np.testing.assert_allclose(length, 1.0, atol=1e-5)
    towards = (shot.normal * rays(shot, 320, 240)).sum(axis=-1)
    assert (towards[shot.instance == 3] < 1e-6).all()  # faces are seen from their front


def test_raw_pixels_are_those_of_the_embedded_world() -> None:
    """Row 0 with the default rig, before JPEG; a parked car beyond what the embedded world shows is left out too."""
    state, geometry = make([ground(), box_at(30.0, 9.0, (6.0, 6.0, 8.0))], actors=6)
    put(state, 0, x_m=1.0, yaw_rad=0.2, pitch_rad=0.01)
    put(state, 1, x_m=16.0, y_m=4.0, yaw_rad=0.5)
    put(state, 2, x_m=SHOW_M + 3.0, y_m=36.0)
    put(state, 3, x_m=9.0, y_m=-3.0)
    rig, sky = Rig(), varied(weather("dusk"), 4)
    at = Pose(*(float(state.numpy(name)[0, 0]) for name in ("x_m", "y_m", "z_m", "yaw_rad", "pitch_rad", "roll_rad")))
    geometry.update(state, 0, viewer=0)
    images, truths = Cameras(rig, geometry, scenery_of(geometry), sky, 7).render(at, 5)
    specs = [PinholeSpec.of(mount, ALL) for mount in rig.cameras]
    shots = CameraSet(around(state, geometry, sky), specs, 0).render(pose(state, 0), 5)
    for image, true, shot in zip(images, truths, shots, strict=True):
        planes = torch.from_numpy(np.ascontiguousarray(shot.rgb.transpose(2, 0, 1)))
        assert encode_jpeg(planes, quality=JPEG_QUALITY).numpy().tobytes() == image.jpeg
        for name in ("depth_m", "semantic", "instance"):
            np.testing.assert_array_equal(getattr(shot, name), getattr(true, name).numpy())
        assert shot.rgb.std() > 10.0 and 2 in shot.instance and 3 not in shot.instance
    assert 4 in shots[0].instance


def test_who_sits_in_a_car_does_not_see_it_and_who_follows_does() -> None:
    state, geometry = make([ground()], actors=4)
    put(state, 0, x_m=-30.0)
    put(state, 2, x_m=5.0, y_m=3.0, yaw_rad=0.4)
    put(state, 3, x_m=20.0, y_m=9.0, yaw_rad=0.4)
    seat = PinholeSpec(160, 90, 1.8, transform(1.0, 0.0, 1.1, 0.0, -0.3), ALL)
    roof = replace(seat, mount=transform(-1.0, 0.0, 2.4, 0.0, -0.3))
    chase = replace(seat, mount=transform(-6.0, 0.0, 3.0, 0.0, -0.2))
    shots = CameraSet(around(state, geometry), [seat, roof, chase], 2).render(pose(state, 2), 0)
    assert [3 in shot.instance for shot in shots] == [False, True, True]
    assert all(4 in shot.instance for shot in shots)
    behind = PinholeSpec(160, 90, 1.8, transform(3.0, 0.0, 1.3), ALL)
    assert {3, 4} <= set(np.unique(look(state, geometry, behind, 0).instance))  # others see it


def test_labels_alone_are_those_of_the_picture() -> None:
    """One sample per pixel or four: the same depth, classes and rows at the pixels' middles."""
    state, geometry = make([ground(), box_at(12.0, 2.0, (3.0, 3.0, 5.0))], actors=3)
    put(state, 1, x_m=9.0, y_m=-2.0, yaw_rad=1.0)
    spec = PinholeSpec(200, 120, 1.5, transform(0.0, 0.0, 1.5, 0.1, 0.0, 0.1), ALL)
    shot, labels = look(state, geometry, spec), look(state, geometry, replace(spec, want=LABELS))
    assert labels.rgb is None and shot.rgb is not None
    same = shot.instance == labels.instance
    assert same.mean() > 0.9995
    np.testing.assert_allclose(shot.depth_m[same], labels.depth_m[same], rtol=1e-4)
    assert (shot.semantic == labels.semantic).mean() > 0.9995
    only = look(state, geometry, replace(spec, want=frozenset({"semantic"})))
    assert only.depth_m is None and only.instance is None and np.array_equal(only.semantic, labels.semantic)


def test_a_picture_in_bands_is_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    state, geometry = make([ground(), box_at(12.0, 2.0, (3.0, 3.0, 5.0))], actors=3)
    put(state, 1, x_m=9.0, y_m=-2.0, yaw_rad=1.0)
    for want in (ALL, LABELS):
        spec = PinholeSpec(150, 101, 1.9, transform(0.0, 0.0, 1.5, 0.1, 0.2, 0.1), want, grain=False)
        whole = look(state, geometry, spec)
        monkeypatch.setattr(cameras_module, "SAMPLES_MOST", 5000)
        banded = look(state, geometry, spec)
        monkeypatch.undo()
        for name in LABELS:
            same = np.isclose(getattr(whole, name), getattr(banded, name), rtol=1e-3, atol=1e-4)
            assert same.mean() > 0.999, name
        if whole.rgb is not None:
            assert np.abs(whole.rgb.astype(int) - banded.rgb).mean() < 0.05


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (17, 33), (4096, 9)])
def test_odd_sizes(size: tuple[int, int]) -> None:
    state, geometry = nobody(ground())
    shot = look(state, geometry, PinholeSpec(*size, 1.0, transform(0.0, 0.0, 2.0, 0.0, -1.5), ALL))
    assert shot.rgb.shape == (size[1], size[0], 3) and shot.rgb.min() > 0
    np.testing.assert_allclose(shot.depth_m[size[1] // 2, size[0] // 2], 2.0, rtol=0.2)


def test_weather_may_change_between_ticks() -> None:
    """What comes after a change is what fresh surroundings would show; a small step of the sun keeps the shadow map."""
    state, geometry = make([ground(), box_at(12.0, 4.0, (3.0, 3.0, 5.0))], actors=2)
    spec = PinholeSpec(160, 90, 1.5, transform(0.0, 0.0, 2.0))
    first, then = weather("clear"), replace(weather("rain"), sun_azimuth_rad=2.0)
    changing = around(state, geometry, first)
    one = CameraSet(changing, [spec], None)
    before, shadows = one.render(FREE, 3)[0].rgb, changing.shadows()
    changing.weather = replace(first, sun_azimuth_rad=first.sun_azimuth_rad + 0.5 * SUN_STEP_RAD)
    assert changing.shadows() is shadows
    changing.weather = then
    after = one.render(FREE, 3)[0].rgb
    fresh = CameraSet(around(state, geometry, then), [spec], None).render(FREE, 3)[0].rgb
    assert np.array_equal(after, fresh) and not np.array_equal(after, before)


def test_same_seed_and_tick_same_grain() -> None:
    state, geometry = make([ground()])
    spec = PinholeSpec(64, 48, 1.5, transform(0.0, 0.0, 2.0))
    shared = around(state, geometry)
    pictures = [CameraSet(shared, [spec], None).render(FREE, tick)[0].rgb for tick in (4, 4, 5)]
    assert np.array_equal(pictures[0], pictures[1]) and not np.array_equal(pictures[0], pictures[2])
    clean = CameraSet(shared, [replace(spec, grain=False)], None)
    assert np.array_equal(clean.render(FREE, 4)[0].rgb, clean.render(FREE, 5)[0].rgb)


def test_bad_cameras_are_refused() -> None:
    for wrong in ({"width_px": 0}, {"height_px": 5000}, {"hfov_rad": np.pi}, {"want": frozenset({"smell"})}):
        with pytest.raises(ValueError, match="camera: found"):
            replace(PinholeSpec(64, 48, 1.5, FREE), **wrong)


def test_head_lights_shine_from_cars_only() -> None:
    walls = [box_at(x, 0.0, (2.0, 40.0, 8.0)) for x in (-45.0, 15.0)]
    state, geometry = make([ground(), *walls], actors=3)
    put(state, 1, kind=Kind.PEDESTRIAN, x_m=0.0, y_m=0.0, length_m=0.5, width_m=0.5, height_m=1.8, centre_m=0.0)
    put(state, 0, x_m=-60.0)
    shared = around(state, geometry, weather("night"))
    spec = PinholeSpec(160, 90, 0.6, transform(0.0, 0.0, 1.4), frozenset({"rgb", "semantic"}))
    by_car, by_walker = (CameraSet(shared, [spec], row).render(pose(state, row), 0)[0] for row in (0, 1))
    wall = by_car.semantic == Semantic.BUILDING
    assert wall.mean() > 0.2 and by_car.rgb[wall].mean() > 1.5 * by_walker.rgb[wall].mean()


def test_the_ground_is_seen_from_above_only() -> None:
    state, geometry = nobody(ground())
    shot = look(state, geometry, PinholeSpec(32, 32, 1.0, transform(0.0, 0.0, -3.0, 0.0, 1.5), LABELS))
    assert (shot.semantic == Semantic.SKY).all()
