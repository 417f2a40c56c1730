"""The programs of docs/carla as a user runs them: what they print and save, and how they leave the world."""

import ast
import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import carla
import numpy as np
import pytest
from PIL import Image

from stack.labels import COLOURS, Semantic
from tests.carla_server import ROOT, Served
from tests.carla_steps import Listening, car_at, spawned, ticked

pytestmark = [pytest.mark.carla, pytest.mark.slow]
EXAMPLES = ROOT / "docs" / "carla"
HERE = carla.Transform


@pytest.fixture
def town(served: Served) -> Iterator[carla.World]:
    """A free-running world, which a program has to leave as it was: running free, and nobody there."""
    world = served.client().load_world("town_a")
    yield world
    world.wait_for_tick()
    assert not world.get_settings().synchronous_mode
    for kind in ("vehicle.*", "walker.*", "sensor.*", "controller.*"):
        assert not list(world.get_actors().filter(kind))


def command(served: Served, name: str, *arguments: object) -> list[str]:
    return [sys.executable, str(EXAMPLES / f"{name}.py"), "--port", str(served.port), *map(str, arguments)]


def ran(served: Served, name: str, *arguments: object) -> str:
    """What a program prints."""
    done = subprocess.run(command(served, name, *arguments), cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stdout[-500:] + done.stderr[-2000:]
    return done.stdout


def number(pattern: str, text: str) -> float:
    """The one number that a pattern finds in a text."""
    found = re.search(pattern, text)
    assert found, f"{pattern!r} is not in {text!r}"
    return float(found[1])


def loaded(name: str) -> ModuleType:
    """A program as a module, without running it."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pixels(file: Path) -> np.ndarray:
    """(H, W, 3) of a picture."""
    return np.asarray(Image.open(file).convert("RGB")).astype(int)


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*.py")), ids=lambda file: file.stem)
def test_examples_need_nothing_of_ours(file: Path) -> None:
    """So that they run against CARLA itself, wherever its client is installed."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(str(node.module).split(".")[0])
    assert names - set(sys.stdlib_module_names) <= {"carla", "numpy", "PIL", "pygame"}


def test_traffic_drives_and_goes(served: Served, town: carla.World) -> None:
    text = ran(served, "generate_traffic", "--tm-port", 8121, "--ticks", 200, "--cars", 12, "--walkers", 6)
    assert number(r"(\d+) cars", text) >= 10
    assert number(r"(\d+) walkers", text) >= 5
    assert number(r"10 s .* (\d+) m driven", text) > 300.0
    assert "settings as before" in text


def test_two_cameras_show_the_same_frame(served: Served, town: carla.World, tmp_path: Path) -> None:
    text = ran(served, "synchronous_mode", "--tm-port", 8122, "--ticks", 40, "--out", tmp_path)
    frames = [int(f) for f in re.findall(r"frame (\d+)", text)]
    assert frames[1] - frames[0] == 20
    assert sorted(file.name for file in tmp_path.iterdir()) == ["00020.png", "00040.png"]
    both = pixels(tmp_path / "00040.png")
    assert both.shape == (320, 960, 3)
    colour, classes = both[:, :480], both[:, 480:]
    assert {tuple(c) for c in classes.reshape(-1, 3)} <= {tuple(c) for c in COLOURS.astype(int)}
    road = (classes == COLOURS[Semantic.ROAD]).all(axis=-1)
    sky = (classes == COLOURS[Semantic.SKY]).all(axis=-1)
    assert road[-40:, 200:280].mean() > 0.8 and sky[:20].mean() > 0.2
    assert np.ptp(colour[road].mean(axis=0)) < 25.0  # asphalt is grey
    red, _, blue = colour[sky].mean(axis=0)
    assert blue > red + 15.0


def test_points_of_the_lidar_lie_on_what_the_camera_sees(served: Served, town: carla.World, tmp_path: Path) -> None:
    file = tmp_path / "points.png"
    text = ran(served, "lidar_to_camera", "--ticks", 5, "--out", file)
    inside, seen = number(r"(\d+) in the picture", text), number(r"(\d+) of them", text)
    assert 5000 < 0.9 * inside < seen
    assert number(r"median ([\d.]+) m", text) < 0.05
    assert number(r"95 % under ([\d.]+) m", text) < 0.2
    assert pixels(file).shape == (450, 800, 3)


def test_points_on_a_car_are_drawn_on_that_car(world: carla.World) -> None:
    """The program's projection, held against labelled points and a picture of who is where."""
    project, intrinsics, depth_m = (getattr(loaded("lidar_to_camera"), n) for n in ("project", "intrinsics", "depth_m"))
    own = world.get_map().get_spawn_points()[3]
    car = car_at(world)
    ahead = HERE(own.location + own.get_forward_vector() * 14.0 + own.get_right_vector() * 1.0, own.rotation)
    van = spawned(world, "vehicle.mercedes.sprinter", ahead)
    ticked(world, 20)
    view = {"image_size_x": 640, "image_size_y": 360, "fov": 80}
    mount = HERE(carla.Location(x=1.0, y=0.3, z=1.9), carla.Rotation(pitch=-4.0, yaw=6.0))
    lidar = Listening(
        spawned(world, "sensor.lidar.ray_cast_semantic", HERE(carla.Location(z=2.3)), car, range=50,
                rotation_frequency=20, channels=64, points_per_second=600000)
    )  # fmt: skip
    cameras = [Listening(spawned(world, f"sensor.camera.{kind}", mount, car, **view)) for kind in
               ("instance_segmentation", "depth")]  # fmt: skip
    frame = world.tick()
    sweep, names, far = (item.until(frame) for item in (lidar, *cameras))
    kind = np.dtype([("xyz", "<f4", 3), ("cos", "<f4"), ("actor", "<u4"), ("tag", "<u4")])
    points = np.frombuffer(sweep.raw_data, kind)
    points = points[points["actor"] == van.id]
    px, depth = project(points["xyz"], sweep.transform, names.transform, intrinsics(640, 360, 80.0))
    column, row = np.floor(px).astype(int).T
    inside = (depth > 0.0) & (column >= 0) & (column < 640) & (row >= 0) & (row < 360)
    assert inside.sum() > 200
    bgra = np.frombuffer(names.raw_data, np.uint8).reshape(360, 640, 4).astype(int)
    actor = (bgra[:, :, 1] + 256 * bgra[:, :, 0])[row[inside], column[inside]]
    assert (actor == van.id % 65536).mean() > 0.97
    off = np.abs(depth_m(far)[row[inside], column[inside]] - depth[inside])
    assert np.median(off) < 0.02 and np.quantile(off, 0.9) < 0.2
    for item in (lidar, *cameras):
        item.sensor.stop()
    world.tick()


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two boxes x0, y0, x1, y1."""
    sides = np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0.0)
    both = float(sides.prod())
    return both / (float((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod()) - both)


@pytest.mark.parametrize("point", [0, 20])
def test_boxes_lie_round_the_vehicles(served: Served, town: carla.World, tmp_path: Path, point: int) -> None:
    text = ran(served, "bounding_boxes", "--ticks", 5, "--cars", 20, "--point", point, "--out", tmp_path)
    boxes = {
        int(line.split()[0]): np.array(line.split("box ")[1].split(), float)
        for line in text.splitlines() if " box " in line
    }  # fmt: skip
    names = pixels(tmp_path / "instance.png")
    ids = names[..., 1] + 256 * names[..., 2]
    close = 0
    for id_, box in boxes.items():
        rows, columns = np.nonzero(ids == id_ % 65536)
        assert len(rows), f"{id_} is hidden, and boxed nevertheless"
        silhouette = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], float)
        if len(rows) < 0.5 * (box[2:] - box[:2]).prod():
            continue  # partly behind something
        close += 1
        assert overlap(box, silhouette) > 0.6
    assert close >= 3
    counts = {int(i): int(n) for i, n in zip(*np.unique(ids, return_counts=True), strict=True) if i}
    plain = {i for i, n in counts.items() if n > 150}
    assert plain <= {i % 65536 for i in boxes}
    before, after = pixels(tmp_path / "flat.png"), pixels(tmp_path / "solid.png")
    assert before.shape == after.shape == (450, 800, 3)
    assert (before == (255, 40, 40)).all(axis=-1).any() and (after == (255, 220, 0)).all(axis=-1).any()


def test_the_automatic_car_arrives_and_stops_at_red(served: Served, town: carla.World) -> None:
    """Watched by another client: who is red when the car enters a junction, and whether it ever stood at red."""
    process = subprocess.Popen(
        command(served, "automatic_control", "--tm-port", 8123, "--cars", 6, "--goal", 10), cwd=ROOT,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    roads, hero, was_in, was_red, stood, ran_red = town.get_map(), None, True, False, 0, 0
    while process.poll() is None:
        snapshot = town.wait_for_tick()
        if hero is None:
            cars = town.get_actors().filter("vehicle.tesla.model3")
            hero = next((car for car in cars if car.attributes["role_name"] == "hero"), None)
            continue
        if not snapshot.has_actor(hero.id):
            continue
        place = snapshot.find(hero.id)
        inside = roads.get_waypoint(place.get_transform().location).is_junction
        ran_red += inside and not was_in and was_red
        red = hero.is_at_traffic_light() and hero.get_traffic_light_state() == carla.TrafficLightState.Red
        stood += red and not inside and place.get_velocity().length() < 0.05
        was_in, was_red = inside, red
    text, said = process.communicate()
    assert process.returncode == 0, text + said[-1000:]
    assert number(r"arrived: (\d+) m", text) > 500.0
    assert number(r"(\d+) stops at red", text) >= 1.0
    assert number(r"(\d+) collisions", text) == 0.0
    assert stood > 40 and ran_red == 0


def test_a_script_drives_forth_and_back(served: Served, town: carla.World, tmp_path: Path) -> None:
    file, script = tmp_path / "last.png", tmp_path / "drive.txt"
    text = ran(served, "manual_control", "--script", "demo", "--out", file)
    speeds = [float(v) for v in re.findall(r"(-?\d+) km/h", text)]
    assert max(speeds) > 15.0 and min(speeds) < -5.0 and abs(speeds[-1]) < 1.0
    assert pixels(file).shape == (450, 800, 3)
    script.write_text("1.5 0.6 0.0 0.0\n1.5 0.0 0.0 1.0\n", encoding="utf-8")
    text = ran(served, "manual_control", "--script", script, "--out", file, "--point", 5)
    assert number(r"3 s +(-?\d+) km/h", text) == 0.0
    assert number(r"3 s .* (\d+) m off", text) >= 2.0


def test_driving_by_hand_says_what_it_lacks(served: Served, tmp_path: Path) -> None:
    (tmp_path / "pygame.py").write_text("raise ImportError('none here')\n", encoding="utf-8")
    done = subprocess.run(
        command(served, "manual_control"), cwd=ROOT, capture_output=True, text=True, timeout=60,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 2
    assert "pip install pygame" in done.stdout and "--script demo" in done.stdout


def test_a_replay_goes_the_hero_s_way_and_is_followed(served: Served, town: carla.World) -> None:
    text = ran(served, "record_and_replay", "--tm-port", 8124, "--ticks", 120, "--file", "examples.rec")
    assert "Frames: 120" in text and "Map: town_a" in text and "Replaying File: examples.rec" in text
    assert number(r"never more than ([\d.]+) m", text) < 0.05
    assert number(r"its end ([\d.]+) m off", text) < 0.05
    assert number(r"stayed within ([\d.]+) m", text) < 15.0
