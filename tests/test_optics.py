"""Shutter, smears and drops: blur against a mean of many short exposures, dirt by what it does to light."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from sim.camera import Cameras
from sim.geometry import Geometry, Material, encode
from sim.meshes import box, moved
from sim.optics import LensDirt
from sim.palette import Colour
from sim.scenery import Scenery
from sim.state import State
from sim.weather import WEATHERS, weather
from stack.frames import Pose
from stack.labels import Kind, Semantic
from stack.messages import CameraMount, Lens, Optics, Rig
from tests.test_camera import place, world

MOUNT = CameraMount("wide", 320, 180, np.deg2rad(90.0), 1.6, 0.0, 1.5)
SHUTTER_S = 0.03


def street() -> tuple[Scenery, Geometry, State]:
    look = Semantic.POLE, encode(Material.PLAIN, Colour.WHITE)
    posts = [moved(box(0.25, 0.25, 0.0, 4.0, *look), x, y, 0.0, 0.0) for x in (8.0, 14.0, 22.0) for y in (-4.0, 3.0)]
    scenery, geometry, state = world(posts)
    place(state, 1, Kind.CAR, 11.0, -1.5, np.pi / 2)
    place(state, 2, Kind.PEDESTRIAN, 7.0, 2.2)
    return scenery, geometry, state


def light(mount: CameraMount, scene: tuple[Scenery, Geometry, State], ego: Pose) -> Any:
    """(H, W, 3) linear light of a staged camera, after the blur where it has one."""
    scenery, geometry, state = scene
    geometry.update(state)
    cameras = Cameras(Rig(cameras=(mount,)), geometry, scenery, weather("cloudy"), 1)
    cameras.render(ego, 0)
    camera: Any = cameras._cameras[0]
    return (camera._smeared if mount.optics.shutter else camera._light).numpy()


@pytest.mark.parametrize(
    "speed, rate, across, fisheye",
    [
        (15.0, 0.0, 0.0, False),
        (0.0, 0.5, 0.0, False),
        (0.0, 0.0, 12.0, False),
        (15.0, 0.3, 12.0, False),
        (15.0, 0.3, 12.0, True),
    ],
)
def test_blur_is_the_mean_of_many_short_exposures(speed: float, rate: float, across: float, fisheye: bool) -> None:
    mount = (
        replace(MOUNT, width_px=240, height_px=240, hfov_rad=np.deg2rad(180.0), lens=Lens("fisheye"))
        if fisheye
        else MOUNT
    )
    open_ = replace(mount, optics=Optics(shutter=SHUTTER_S / weather("cloudy").shutter_s()))
    still = replace(mount, optics=Optics(dirt=1e-9))
    scene = street()
    state = scene[2]
    for name, value in {"vx_mps": speed, "yaw_rate_radps": rate}.items():
        state.numpy(name)[0, 0] = value
    state.numpy("vx_mps")[0, 1] = across
    blurred = light(open_, scene, Pose(0.0, 0.0))
    total, n = np.zeros_like(blurred), 24
    for t in ((np.arange(n) + 0.5) / n - 0.5) * SHUTTER_S:
        state.numpy("y_m")[0, 1] = -1.5 + across * t
        total += light(still, scene, Pose(speed * t, 0.0, 0.0, rate * t)) / n
    state.numpy("y_m")[0, 1] = -1.5
    sharp = light(still, scene, Pose(0.0, 0.0))
    off, before = np.abs(blurred - total).mean(), np.abs(sharp - total).mean()
    assert before > 1e-4 and off < (0.8 if fisheye else 0.4) * before  # a fisheye's motion is hardly a pixel here


def test_the_staged_picture_of_a_pinhole_is_that_of_one_pass() -> None:
    """Two kernels, one picture: with dirt of next to nothing the stages must come to what `shade` shows."""
    scenery, geometry, state = street()
    geometry.update(state)
    rig = Rig(cameras=(MOUNT, replace(MOUNT, optics=Optics(dirt=1e-9))))
    sky = replace(weather("clear"), noise=0.0)
    images, truths = Cameras(rig, geometry, scenery, sky, 1).render(Pose(0.0, 0.0), 0)
    for name in ("semantic", "instance", "depth_m"):
        assert torch.equal(*(getattr(truth, name) for truth in truths)), name
    assert np.array_equal(truths[0].boxes.box_px, truths[1].boxes.box_px)
    assert np.array_equal(truths[0].boxes.score, truths[1].boxes.score)
    difference = (images[0].rgb.int() - images[1].rgb.int()).abs()
    assert float(difference.float().mean()) < 0.1 and int(difference.max()) <= 8  # JPEG widens a level


def test_smears_dim_and_spread_light() -> None:
    mount = replace(MOUNT, optics=Optics(dirt=0.3))
    dirt = LensDirt(mount, 5, 0, "cpu")
    assert float(dirt.opacity.mean()) == pytest.approx(0.3 * 0.75, abs=0.06) and float(dirt.opacity.max()) <= 1.0
    assert float(dirt.cover.max()) == 0.0
    flat = dirt(torch.ones(180, 320, 3))
    expected = 1.0 - dirt.opacity * (1.0 - 0.55)  # an even field stays even but for what the dirt takes
    assert torch.allclose(flat, expected[..., None].expand(-1, -1, 3).float(), atol=1e-4)
    point = torch.zeros(180, 320, 3)
    point[85:95, 155:165] = 50.0
    seen = dirt(point)
    assert (
        float(seen[90, 160, 0]) <= 50.0
        and float(seen[60:80, 130:150].max()) >= 0.0
        and float(seen.sum()) < float(point.sum())
    )
    other = LensDirt(mount, 6, 0, "cpu")
    assert torch.equal(dirt.opacity, LensDirt(mount, 5, 0, "cpu").opacity) and not torch.equal(
        dirt.opacity, other.opacity
    )


def test_drops_show_the_scene_upside_down() -> None:
    dirt = LensDirt(replace(MOUNT, optics=Optics(drops=0.1)), 5, 0, "cpu")
    assert float(dirt.cover.mean()) == pytest.approx(0.1, abs=0.03)
    scene = torch.ones(180, 320, 3)
    scene[90:] = 0.1  # a bright sky over dark ground
    seen = dirt(scene)
    clear = dirt.cover == 0.0
    assert torch.allclose(seen[clear], scene[clear], atol=1e-5)
    rows, columns = torch.nonzero(dirt.cover > 0.9, as_tuple=True)
    shown = dirt._where[0, rows, columns, 1]
    assert float(seen[rows, columns, 0][shown > 0.3].max()) < 0.2  # the upper part of a drop looks at the ground
    assert float(seen[rows, columns, 0][shown < -0.3].min()) > 0.3


def test_the_shutter_is_open_longer_by_night() -> None:
    times = {name: preset.shutter_s() for name, preset in WEATHERS.items()}
    assert times["clear"] == pytest.approx(0.002) and times["night"] == pytest.approx(1.0 / 30.0)
    assert times["clear"] < times["rain"] < times["dusk"] < times["night"]
