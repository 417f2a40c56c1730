"""The blueprint catalogue against what CARLA's programs ask for, and through CARLA's own client."""

import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from catalogue_server import serving
from numpy.typing import NDArray
from one_car import FIELD

from sim.batch import Batch
from sim.carla import definitions
from sim.carla.catalogue import AttributeType, Blueprint, blueprint, catalogue, checked, vehicle_params, wire
from sim.state import Driver
from stack.config import ConfigError
from stack.labels import Kind, Semantic
from stack.vehicle import VEHICLES, load_vehicle, parameter_row

VEHICLE_NAMES = """lincoln.mkz_2017 lincoln.mkz_2020 tesla.model3 audi.tt volkswagen.t2 nissan.patrol nissan.patrol_2021
nissan.micra mini.cooper_s carlamotors.carlacola dodge.charger_police_2020 diamondback.century gazelle.omafiets
bh.crossbike kawasaki.ninja"""
PROP_NAMES = """dirtdebris01 dirtdebris02 warningaccident warningconstruction trafficwarning constructioncone
streetbarrier chainbarrier vendingmachine advertisement container foodcart haybalelb busstoplb mesh"""
SENSORS = """camera.rgb camera.depth camera.semantic_segmentation camera.instance_segmentation camera.normals
camera.optical_flow camera.dvs camera.cosmos_visualization lidar.ray_cast lidar.ray_cast_semantic other.radar other.imu
other.gnss other.collision other.obstacle other.lane_invasion other.rss other.v2x other.v2x_custom"""
LEADERBOARD = {  # what the leaderboard sets, as it writes it
    "sensor.lidar.ray_cast": {
        "range": "85", "rotation_frequency": "10", "channels": "64", "upper_fov": "10", "lower_fov": "-30",
        "points_per_second": "600000", "atmosphere_attenuation_rate": "0.004", "dropoff_general_rate": "0.45",
        "dropoff_intensity_limit": "0.8", "dropoff_zero_intensity": "0.4", "noise_seed": "7",
    },
    "sensor.other.gnss": {
        f"noise_{axis}_{what}": "0.000005" for axis in ("lat", "lon", "alt") for what in ("stddev", "bias")
    },
    "sensor.other.imu": {
        f"noise_{what}_stddev_{axis}": "0.001" for what in ("accel", "gyro") for axis in ("x", "y", "z")
    },
    "sensor.other.radar": {
        "horizontal_fov": "30", "vertical_fov": "30", "points_per_second": "1500", "range": "100", "noise_seed": "7",
    },
    "sensor.camera.rgb": {
        "image_size_x": "900", "image_size_y": "256", "fov": "100", "lens_circle_multiplier": "3.0",
        "lens_circle_falloff": "3.0", "chromatic_aberration_intensity": "0.5", "chromatic_aberration_offset": "0",
        "lens_x_size": "0.08", "gamma": "2.2", "bloom_intensity": "0.675", "sensor_tick": "0.05", "noise_seed": "7",
    },
}  # fmt: skip


def test_names_met_in_programs() -> None:
    ids = {bp.id for bp in catalogue()}
    wanted = {f"vehicle.{name}" for name in VEHICLE_NAMES.split()}
    wanted |= {f"static.prop.{name}" for name in PROP_NAMES.split()}
    wanted |= {f"sensor.{name}" for name in SENSORS.split()}
    wanted |= {f"walker.pedestrian.{n:04d}" for n in range(1, 53)}
    wanted |= {f"vehicle.ringroad.{name}" for name in VEHICLES}
    wanted |= {"static.trigger.friction", "controller.ai.walker", "util.actor.empty"}
    assert wanted <= ids
    assert sum(id.startswith("vehicle.") and "ringroad" not in id for id in ids) == 41  # as many as 0.9.16 has
    assert sum(id.startswith("sensor.") for id in ids) == 19
    assert not any(id.startswith("traffic.") for id in ids)  # they belong to the map and cannot be spawned


def test_ids_and_numbers_are_unique() -> None:
    for key in ("id", "uid"):
        values = [getattr(bp, key) for bp in catalogue()]
        assert len(set(values)) == len(values)
    assert blueprint("vehicle.lincoln.mkz_2020").uid == 3511684318  # whatever else the catalogue holds
    for bp in catalogue():
        names = [a.id for a in bp.attributes]
        assert len(set(names)) == len(names) and {"role_name", "ros_name"} <= set(names)


def test_catalogue_is_read_in_no_time() -> None:
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        definitions.read_all()
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.05


def matching(base: str, **wanted: Any) -> list[Blueprint]:
    """What a program's filter by attributes finds."""
    found = [(bp, checked(bp, {})) for bp in catalogue() if bp.id.startswith(base)]
    return [bp for bp, v in found if all(k in v and v[k] == w and type(v[k]) is type(w) for k, w in wanted.items())]


@pytest.mark.parametrize(
    "wanted",
    [
        {"base_type": "car", "generation": 2},
        {"base_type": "car", "generation": 2, "special_type": ""},
        {"base_type": "car", "has_lights": True, "special_type": ""},
        {"base_type": "car", "has_dynamic_doors": True},
        {"base_type": "car", "special_type": "taxi"},
        {"special_type": "emergency"},
        {"base_type": "bicycle", "number_of_wheels": 2},
        {"base_type": "motorcycle", "number_of_wheels": 2},
        {"base_type": "van"},
        {"base_type": "truck", "number_of_wheels": 6},
        {"base_type": "bus"},
        {"generation": 1},
    ],
)
def test_filters_find_vehicles(wanted: dict[str, Any]) -> None:
    assert [bp for bp in matching("vehicle.", **wanted) if "ringroad" not in bp.id]


def test_filters_find_walkers() -> None:
    assert matching("walker.", generation=1) and matching("walker.", generation=2)
    assert matching("walker.", can_use_wheelchair=True) and matching("walker.", age="child")
    for bp in matching("walker."):
        speed = next(a for a in bp.attributes if a.id == "speed")
        standing, walking, running = (float(v) for v in speed.recommended)
        assert standing == 0.0 < walking < running and speed.type == AttributeType.FLOAT
        assert checked(bp, {"is_invincible": "false", "use_wheelchair": "true"})["is_invincible"] is False


def test_values_are_of_their_type() -> None:
    """Every default and every recommended value can be set."""
    types = {1: bool, 2: int, 3: float, 4: str, 5: tuple}
    for bp in catalogue():
        values = checked(bp, {})
        for a in bp.attributes:
            assert type(values[a.id]) is types[a.type], (bp.id, a.id)
            if a.recommended:
                assert a.value == a.recommended[0]
            for text in a.recommended:
                checked(bp, {a.id: text})


def test_what_the_leaderboard_sets() -> None:
    for id, given in LEADERBOARD.items():
        values = checked(blueprint(id), given)
        assert all(values[name] == pytest.approx(float(text)) for name, text in given.items())
    assert type(checked(blueprint("sensor.lidar.ray_cast"), {"channels": "64.0"})["channels"]) is int
    assert checked(blueprint("vehicle.audi.tt"), {"color": "255, 0,17"})["color"] == (255, 0, 17)
    mesh = checked(blueprint("static.prop.mesh"), {"mesh_path": "/Game/Car", "scale": "0.9"})
    assert mesh["mesh_path"] == "/Game/Car" and mesh["scale"] == 0.9


@pytest.mark.parametrize(
    ("id", "name", "text", "expected"),
    [
        ("sensor.camera.rgb", "image_size_x", "0", "a whole number from 1 to 4096"),
        ("sensor.camera.rgb", "image_size_x", "1e9", "a whole number from 1 to 4096"),
        ("sensor.camera.rgb", "image_size_y", "2.5", "a whole number from 1 to 4096"),
        ("sensor.camera.rgb", "fov", "180", "from 1 to 179"),
        ("sensor.camera.rgb", "iso", "nan", "a finite number"),
        ("sensor.camera.rgb", "iso", "-inf", "a finite number"),
        ("sensor.camera.rgb", "iso", "bright", "a finite number"),
        ("sensor.camera.rgb", "exposure_mode", "eye", "one of histogram, manual"),
        ("sensor.camera.rgb", "enable_postprocess_effects", "maybe", "true or false"),
        ("sensor.lidar.ray_cast", "channels", "257", "from 1 to 256"),
        ("sensor.lidar.ray_cast", "points_per_second", "3000001", "from 1 to 3000000"),
        ("vehicle.audi.tt", "color", "1,2", "red,green,blue"),
        ("vehicle.audi.tt", "color", "1,2,256", "red,green,blue"),
        ("vehicle.audi.tt", "generation", "2", "'1', which cannot be changed"),
    ],
)
def test_bad_values_are_named(id: str, name: str, text: str, expected: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"{id}: attribute {name}: found {text!r}, expected")) as error:
        checked(blueprint(id), {name: text})
    assert expected in str(error.value)


def test_unknown_names_are_told_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"'vehicle.lincoln.mkz2017': unknown.* vehicle\.lincoln\.mkz_2017"):
        blueprint("vehicle.lincoln.mkz2017")
    with pytest.raises(ValueError, match=r"sensor.camera.rgb: attribute 'image_size_z': unknown.* image_size_[xy]"):
        checked(blueprint("sensor.camera.rgb"), {"image_size_z": "3"})


def test_own_vehicles_are_those_of_the_configs() -> None:
    for name in VEHICLES:
        bp = blueprint(f"vehicle.ringroad.{name}")
        np.testing.assert_array_equal(parameter_row(vehicle_params(bp, own=True)), parameter_row(load_vehicle(name)))
        assert checked(bp, {"look": "3"})["look"] == 3
        assert checked(bp, {})["special_type"] == ("emergency" if load_vehicle(name).siren else "")


def test_vehicles_drive_like_their_models() -> None:
    for bp in matching("vehicle."):
        p, model = vehicle_params(bp), load_vehicle(bp.model)
        assert (p.length_m, p.width_m, p.height_m) == bp.size_m and p.mass_kg == bp.mass_kg and p.kind_id == bp.kind
        assert p.wheelbase_m == pytest.approx(bp.wheelbase_m) and bp.wheelbase_m < bp.size_m[0]
        assert p.front_axle_m / p.rear_axle_m == pytest.approx(model.front_axle_m / model.rear_axle_m)
        assert p.power_w / p.mass_kg == pytest.approx(model.power_w / model.mass_kg)
        # both axles within the box
        assert -p.length_m / 2 < -p.centre_m < p.wheelbase_m - p.centre_m < p.length_m / 2, bp.id
        box, model_box = (v.mass_kg * (v.length_m**2 + v.width_m**2) / 12 for v in (p, model))
        assert p.yaw_inertia_kgm2 / box == pytest.approx(model.yaw_inertia_kgm2 / model_box)
    with pytest.raises(ValueError, match=r"walker\.pedestrian\.0001: found no vehicle"):
        vehicle_params(blueprint("walker.pedestrian.0001"))


def test_vehicles_turn_and_gather_speed_on_the_road() -> None:
    """Slow circle of their own wheelbase; after 5 s of full throttle as fast as their model; then to a stop."""
    bps = matching("vehicle.")
    params = [vehicle_params(bp) for bp in bps]
    batch = Batch(FIELD, params, len(bps), 1)
    for k, p in enumerate(params):
        row = {"kind": p.kind_id, "driver": Driver.EXTERNAL, "model": k, "length_m": p.length_m, "vx_mps": 1.5}
        batch.reset_world(k, {name: [value] for name, value in row.items()}, seed=1)

    def drive(ticks: int, *pedals: float) -> dict[str, NDArray[np.float32]]:
        for k in range(len(bps)):
            batch.set_pedals(k, 0, np.array(pedals, np.float32))
        for _ in range(ticks):
            batch.step()
        names = ("vx_mps", "yaw_rate_radps", "wheel_angle_rad")
        return {name: batch.state.numpy(name)[:, 0].copy() for name in names}

    slow, fast, still = drive(60, 0.05, 0.0, 0.25), drive(100, 1.0, 0.0, 0.0), drive(200, 0.0, 1.0, 0.0)
    radius = np.array([p.wheelbase_m for p in params]) / np.tan(slow["wheel_angle_rad"])
    np.testing.assert_allclose(slow["vx_mps"] / slow["yaw_rate_radps"], radius, rtol=0.01)
    speed = dict(zip((bp.id for bp in bps), fast["vx_mps"], strict=True))
    of_model = [speed[f"vehicle.ringroad.{bp.model}"] for bp in bps]
    np.testing.assert_allclose(fast["vx_mps"], of_model, rtol=0.05)
    np.testing.assert_array_equal(still["vx_mps"], 0.0)


def test_kinds_and_sizes() -> None:
    for bp in catalogue():
        assert (bp.size_m is None) == (bp.kind == Kind.NONE)
        assert (bp.kind == Kind.NONE) == bp.id.startswith(("sensor.", "controller.", "static.trigger.", "util."))
    assert blueprint("vehicle.mitsubishi.fusorosa").semantic == Semantic.BUS
    assert blueprint("vehicle.yamaha.yzf").semantic == Semantic.MOTORCYCLE
    assert blueprint("static.prop.constructioncone").semantic == Semantic.DYNAMIC
    assert blueprint("static.prop.busstop").semantic == Semantic.STATIC


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("mass_kg: 970", "mass_kg: -970", "mass_kg"),
        ("wheelbase_m: 2.405, ", "", "wheelbase_m"),
        ("model: hatchback, size_m: [3.826", "model: coupe, size_m: [3.826", "model"),
        ("generation: 2, wheels: 6", "generation: 2, axles: 3", "axles"),
        ("colors: yellow", "colors: pink", "'pink', expected one of paint, white"),
    ],
)
def test_bad_data_are_named(old: str, new: str, fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for file in definitions.FOLDER.glob("*.yaml"):
        text = file.read_text()
        (tmp_path / file.name).write_text(text.replace(old, new) if file.name == "vehicles.yaml" else text)
    monkeypatch.setattr(definitions, "FOLDER", tmp_path)
    with pytest.raises(ConfigError, match=f"vehicles.yaml: .*{fault}"):
        definitions.read_all()


def test_through_the_client() -> None:
    """CARLA's client reads the same catalogue, with the same types, and its filters find the same."""
    carla = pytest.importorskip("carla")
    with serving([wire(bp) for bp in catalogue()]) as port:
        client = carla.Client("127.0.0.1", port)
        client.set_timeout(20.0)
        library = client.get_world().get_blueprint_library()
        del client
    assert {bp.id for bp in library} == {bp.id for bp in catalogue()}
    for ours in catalogue():
        theirs = library.find(ours.id)
        assert set(theirs.tags) == set(ours.tags)
        assert {a.id: int(a.type) for a in theirs} == {a.id: int(a.type) for a in ours.attributes}
        values = checked(ours, {})
        for a in theirs:
            color = a.as_color() if int(a.type) == AttributeType.RGB_COLOR else None
            read = {1: a.as_bool, 2: a.as_int, 3: a.as_float, 4: a.as_str, 5: lambda c=color: (c.r, c.g, c.b)}
            ours_as_theirs = np.float32(values[a.id]) if int(a.type) == AttributeType.FLOAT else values[a.id]
            assert read[int(a.type)]() == ours_as_theirs, (ours.id, a.id)
    cars = library.filter("vehicle.*").filter_by_attribute("generation", "2").filter_by_attribute("base_type", "car")
    assert {bp.id for bp in cars} == {bp.id for bp in matching("vehicle.", generation=2, base_type="car")}
    doors = library.filter("vehicle.*").filter_by_attribute("has_dynamic_doors", "true")
    assert {bp.id for bp in doors} == {bp.id for bp in matching("vehicle.", has_dynamic_doors=True)}
    camera = library.find("sensor.camera.rgb")
    for name, text in LEADERBOARD[camera.id].items():
        camera.set_attribute(name, text)
    assert camera.get_attribute("fov").as_float() == 100.0
    assert len(library.find("walker.pedestrian.0020").get_attribute("speed").recommended_values) == 3
    with pytest.raises(ValueError, match="read-only"):
        library.find("vehicle.audi.tt").set_attribute("generation", "2")
