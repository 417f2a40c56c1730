"""Every call and command of the 0.9.16 client is answered in its shape: for the living, the dead and the never born."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgpack
import pytest

from tests.carla_raw import SYNCHRONOUS, ZERO, Raw
from tests.carla_server import Served

pytestmark = pytest.mark.carla
NEVER = 4_000_000_000

NUM, INT, STR, BOOL, BIN = "number", "whole number", "text", "switch", "bytes"
V3 = (NUM, NUM, NUM)
TF = (V3, V3)
BBOX = (V3, V3, V3, INT)
ATTRIBUTE = (STR, INT, STR, [STR], BOOL, BOOL)
DESCRIPTION = (INT, STR, [(STR, INT, STR)])
ACTOR = (INT, INT, DESCRIPTION, BBOX, BIN, BIN)
SETTINGS = (BOOL, BOOL, [NUM], BOOL, NUM, INT, NUM, BOOL, NUM, NUM, BOOL)
WEATHER = (NUM,) * 14
WHEEL = (*(NUM,) * 9, V3)
PHYSICS = ([(NUM, NUM)], *(NUM,) * 5, BOOL, NUM, NUM, NUM, [V3], NUM, NUM, V3, [(NUM, NUM)], [WHEEL], BOOL)
TELEMETRY = (NUM, NUM, NUM, NUM, NUM, INT, NUM, [(NUM,) * 11])
LAMP = (INT, V3, NUM, INT, (INT, INT, INT), BOOL)
THING = (TF, BBOX, INT, STR, INT)
POINT = (V3, INT)
BONES = ([(STR, TF, TF, TF)],)
ANY = None
TYPES: dict[str, Any] = {NUM: (int, float), INT: int, STR: str, BOOL: bool, BIN: bytes}


def unlike(value: Any, shape: Any, at: str = "") -> str:
    """Where a value is not of the shape: a tuple is a struct, a list is a list of one kind; empty: it is."""
    if shape is ANY:
        return ""
    if isinstance(shape, str):
        return "" if isinstance(value, TYPES[shape]) else f"{at}: found {value!r}, expected {shape}"
    if not isinstance(value, list):
        return f"{at}: found {value!r}, expected a list"
    if isinstance(shape, tuple) and len(value) != len(shape):
        return f"{at}: found {len(value)} fields, expected {len(shape)}"
    kinds = shape if isinstance(shape, tuple) else shape * len(value)
    return next(
        filter(None, (unlike(v, k, f"{at}[{i}]") for i, (v, k) in enumerate(zip(value, kinds, strict=True)))), ""
    )


CAR = [0, "vehicle.tesla.model3", [["role_name", 4, "hero"]]]
FAR_OFF = [[0.0, 0.0, -300.0], [0.0, 0.0, 0.0]]
CLEAR = [5.0, 0.0, 0.0, 10.0, 0.0, 60.0, 2.0, 0.75, 0.1, 0.0, 1.0, 0.03, 0.0331, 0.0]
PLAIN_XODR = """<?xml version="1.0"?><OpenDRIVE><header revMajor="1" revMinor="4"/><road id="1" length="100" junction="-1">
<planView><geometry s="0" x="0" y="0" hdg="0" length="100"><line/></geometry></planView><lanes><laneSection s="0">
<center><lane id="0" type="none"/></center><right><lane id="-1" type="driving"><width sOffset="0" a="3.5" b="0" c="0" d="0"/>
</lane></right></laneSection></lanes></road></OpenDRIVE>"""
VALUE, VOID, ASYNC = "R", "void", "async"

GLOBAL: list[tuple[str, list[Any], str, Any]] = [
    ("version", [], VALUE, STR),
    ("get_episode_info", [], VALUE, (INT, (BIN,))),
    ("get_episode_settings", [], VALUE, SETTINGS),
    ("set_episode_settings", [SYNCHRONOUS], VALUE, INT),
    ("get_sensor_token", [1], VALUE, (BIN,)),
    ("get_map_info", [], VALUE, (STR, [TF])),
    ("get_map_data", [], VALUE, STR),
    ("get_required_files", ["Nav"], VALUE, [STR]),
    ("get_required_files", [""], VALUE, [STR]),
    ("get_available_maps", [], VALUE, [STR]),
    ("load_map_layer", [1], VOID, ANY),
    ("unload_map_layer", [65535], VOID, ANY),
    ("copy_opendrive_to_file", [PLAIN_XODR, [2.0, 50.0, 1.0, 0.6, True, True, True]], VOID, ANY),
    ("get_actor_definitions", [], VALUE, [(INT, STR, STR, [ATTRIBUTE])]),
    ("get_spectator", [], VALUE, ACTOR),
    ("get_actors_by_id", [[1, 2, NEVER]], VALUE, [ACTOR]),
    ("spawn_actor", [CAR, FAR_OFF], VALUE, ACTOR),
    ("tick_cue", [], VALUE, INT),
    ("get_vehicle_light_states", [], VALUE, [(INT, INT)]),
    ("freeze_all_traffic_lights", [False], ASYNC, ANY),
    ("reset_all_traffic_lights", [], VOID, ANY),
    ("get_weather_parameters", [], VALUE, WEATHER),
    ("set_weather_parameters", [CLEAR], ASYNC, ANY),
    ("get_imui_sensor_gravity", [], VALUE, NUM),
    ("get_imui_gravity", [], VALUE, NUM),
    ("set_imui_sensor_gravity", [9.81], ASYNC, ANY),
    ("set_imui_gravity", [9.81], ASYNC, ANY),
    ("query_lights_state", ["127.0.0.1:2000"], VALUE, [LAMP]),
    ("update_lights_state", ["127.0.0.1:2000", [[1, [0.0, 0.0, 0.0], 5.0, 2, [9, 8, 7], False]], False], ASYNC, ANY),
    ("update_day_night_cycle", ["127.0.0.1:2000", True], ASYNC, ANY),
    ("get_all_level_BBs", [255], VALUE, [BBOX]),
    ("get_environment_objects", [255], VALUE, [THING]),
    ("enable_environment_objects", [[1], True], ASYNC, ANY),
    ("project_point", [[0.0, 0.0, 500.0], [0.0, 0.0, -1.0], 1000.0], VALUE, (BOOL, POINT)),
    ("cast_ray", [[0.0, 0.0, 500.0], [0.0, 0.0, -500.0]], VALUE, [POINT]),
    ("draw_debug_shape", [[[1, [[0.0] * 3, [1.0] * 3, 0.1]], [255, 0, 0], -1.0, True]], ASYNC, ANY),
    ("clear_debug_shape", [], ASYNC, ANY),
    ("clear_debug_string", [], ASYNC, ANY),
    ("get_names_of_all_objects", [], VALUE, [STR]),
    ("apply_color_texture_to_objects", [["Building_1"], 0, [1, 1, [[1, 2, 3, 4]]]], VOID, ANY),
    ("apply_float_color_texture_to_objects", [["Building_1"], 0, [1, 1, [[0.1, 0.2, 0.3, 1.0]]]], VOID, ANY),
    ("set_annotations_traverse_translucency", [True], ASYNC, ANY),
    ("is_traffic_manager_running", [8123], VALUE, BOOL),
    ("add_traffic_manager_running", [["10.1.2.3", 8123]], VALUE, BOOL),
    ("get_traffic_manager_running", [8123], VALUE, (STR, INT)),
    ("destroy_traffic_manager", [8123], ASYNC, ANY),
    ("start_recorder", ["calls.rec", True], VALUE, STR),
    ("stop_recorder", [], ASYNC, ANY),
    ("show_recorder_file_info", ["calls.rec", True], VALUE, STR),
    ("show_recorder_collisions", ["calls.rec", ord("a"), ord("v")], VALUE, STR),
    ("show_recorder_actors_blocked", ["calls.rec", 30.0, 10.0], VALUE, STR),
    ("stop_replayer", [False], ASYNC, ANY),
    ("set_replayer_time_factor", [1.0], ASYNC, ANY),
    ("set_replayer_ignore_hero", [False], ASYNC, ANY),
    ("set_replayer_ignore_spectator", [False], ASYNC, ANY),
    ("enable_sensor_for_ros", [2], ASYNC, ANY),
    ("disable_sensor_for_ros", [2], ASYNC, ANY),
    ("is_sensor_enabled_for_ros", [2], VALUE, BOOL),
]  # fmt: skip
"""Name, arguments, shape of the reply and of its value."""

DOWN = [0.0, 0.0, 0.0]
VEHICLE: list[tuple[str, list[Any], str, Any]] = [
    ("spawn_actor_with_parent", [], VALUE, ACTOR),  # arguments: see `arguments_of`
    ("set_actor_location", [[5.0, 5.0, -300.0]], ASYNC, ANY),
    ("set_actor_transform", [FAR_OFF], ASYNC, ANY),
    *((name, [DOWN], ASYNC, ANY) for name in (
        "set_actor_target_velocity", "set_actor_target_angular_velocity", "enable_actor_constant_velocity",
        "add_actor_impulse", "add_actor_force", "add_actor_angular_impulse", "add_actor_torque")),
    ("add_actor_impulse_at_location", [DOWN, DOWN], ASYNC, ANY),
    ("add_actor_force_at_location", [DOWN, DOWN], ASYNC, ANY),
    ("disable_actor_constant_velocity", [], ASYNC, ANY),
    ("set_actor_simulate_physics", [False], VOID, ANY),
    ("set_actor_collisions", [True], VOID, ANY),
    ("set_actor_enable_gravity", [True], ASYNC, ANY),
    ("set_actor_autopilot", [False], ASYNC, ANY),
    ("apply_control_to_vehicle", [[0.1, 0.0, 0.0, False, False, False, 1]], ASYNC, ANY),
    ("apply_ackermann_control_to_vehicle", [[0.1, 0.0, 3.0, 1.0, 0.0]], ASYNC, ANY),
    ("get_ackermann_controller_settings", [], VALUE, (NUM,) * 6),
    ("apply_ackermann_controller_settings", [[0.1] * 6], ASYNC, ANY),
    ("get_physics_control", [], VALUE, PHYSICS),
    ("apply_physics_control", [], ASYNC, ANY),
    ("get_telemetry_data", [], VALUE, TELEMETRY),
    ("show_vehicle_debug_telemetry", [True], ASYNC, ANY),
    ("set_vehicle_light_state", [[5]], ASYNC, ANY),
    ("get_vehicle_light_state", [], VALUE, (INT,)),
    ("open_vehicle_door", [0], ASYNC, ANY),
    ("close_vehicle_door", [6], ASYNC, ANY),
    ("set_wheel_steer_direction", [0, 10.0], ASYNC, ANY),
    ("set_wheel_pitch_angle", [0, 10.0], ASYNC, ANY),
    ("get_wheel_steer_angle", [0], VALUE, NUM),
    ("get_wheel_pitch_angle", [0], VALUE, NUM),
    ("enable_carsim", ["file"], ASYNC, ANY),
    ("use_carsim_road", [True], ASYNC, ANY),
    ("enable_chrono_physics", [100, 0.01, "a", "b", "c", "d"], ASYNC, ANY),
    ("restore_physx_physics", [], ASYNC, ANY),
    ("get_actor_bounding_box", [], VALUE, BBOX),
    *((name, [], VALUE, [STR]) for name in (
        "get_actor_component_names", "get_actor_bone_names", "get_actor_socket_names")),
    ("get_actor_component_world_transform", ["body"], VALUE, TF),
    ("get_actor_component_relative_transform", ["body"], VALUE, TF),
    *((name, [], VALUE, [TF]) for name in (
        "get_actor_bone_world_transforms", "get_actor_bone_relative_transforms", "get_actor_socket_world_transforms",
        "get_actor_socket_relative_transforms", "get_vehicle_bone_world_transforms")),
    ("set_actor_dead", [], ASYNC, ANY),
]  # fmt: skip
WALKER: list[tuple[str, list[Any], str, Any]] = [
    ("apply_control_to_walker", [[[1.0, 0.0, 0.0], 1.5, False]], ASYNC, ANY),
    ("get_bones_transform", [], VALUE, BONES),
    ("set_bones_transform", [[["crl_root", ZERO]]], ASYNC, ANY),
    ("blend_pose", [0.5], ASYNC, ANY),
    ("get_pose_from_animation", [], ASYNC, ANY),
]
LIGHT: list[tuple[str, list[Any], str, Any]] = [
    ("set_traffic_light_state", [2], ASYNC, ANY),
    ("set_traffic_light_green_time", [5.0], ASYNC, ANY),
    ("set_traffic_light_yellow_time", [2.0], ASYNC, ANY),
    ("set_traffic_light_red_time", [1.0], ASYNC, ANY),
    ("freeze_traffic_light", [False], ASYNC, ANY),
    ("reset_traffic_light_group", [], ASYNC, ANY),
    ("get_group_traffic_lights", [], VALUE, [INT]),
    ("get_light_boxes", [], VALUE, [BBOX]),
]
CAMERA: list[tuple[str, list[Any], str, Any]] = [
    ("enable_gbuffers", [True], VOID, ANY),
    ("are_gbuffers_enabled", [], VALUE, BOOL),
    ("set_ignored_vehicles", [[3, 4]], VOID, ANY),
    ("get_gbuffer_token", [3], "plain", BIN),
    ("send", ["hello"], ASYNC, ANY),
]
OF_ACTOR = [*VEHICLE, *WALKER, *LIGHT, *CAMERA]
ELSEWHERE = {"load_new_episode", "request_file", "replay_file", "apply_batch", "destroy_actor"}
REMEMBERED = {
    "get_ackermann_controller_settings", "get_physics_control", "get_telemetry_data", "get_vehicle_light_state",
    "get_wheel_steer_angle", "get_wheel_pitch_angle", "get_actor_bounding_box", "get_actor_component_names",
    "get_actor_bone_names", "get_actor_socket_names", "get_actor_component_world_transform",
    "get_actor_component_relative_transform", "get_actor_bone_world_transforms", "get_actor_bone_relative_transforms",
    "get_actor_socket_world_transforms", "get_actor_socket_relative_transforms", "get_vehicle_bone_world_transforms",
}  # fmt: skip
"""What may still be asked about a dead vehicle: its answer must be no error."""


def arguments_of(raw: Raw, name: str, id_: int, rest: list[Any]) -> list[Any]:
    """Arguments of a call about an actor; most begin with its number."""
    if name == "spawn_actor_with_parent":
        return [[0, "sensor.other.gnss", []], ZERO, id_, 96, "socket"]
    if name == "apply_physics_control":
        known = raw.call("get_physics_control", id_)[0]
        return [id_, known[1] if known[0] == 1 else []]
    return [id_, *rest]


def wrong(result: Any, shape: str, value: Any) -> str:
    """What is wrong with a reply, that it is an error included; empty: nothing."""
    if shape == ASYNC:
        return "" if result is None else f"found {result!r}, expected nil"
    if shape == "plain":
        return unlike(result, value)
    if shape == VOID:
        return "" if result == [[False]] else f"found {result!r}, expected [[false]]"
    return unlike(result, ((INT, value),)) or ("" if result[0][0] == 1 else f"found {result!r}, expected a value")


def is_error(result: Any, shape: str) -> bool:
    """A Response with an error in it."""
    return not unlike(result, ((BOOL if shape == VOID else INT, (STR,)),)) and bool(result[0][0]) == (shape == VOID)


@pytest.fixture(scope="module")
def raw(served: Served) -> Iterator[Raw]:
    """A connection to a fresh town_a in synchronous mode."""
    raw = Raw(served.port)
    assert raw.call("load_new_episode", "town_a", True, 0xFFFF) == [[False]]
    raw.value("set_episode_settings", SYNCHRONOUS)
    yield raw
    raw.close()


def born(raw: Raw) -> dict[str, int]:
    """One of each kind, out of the way."""
    z = -100.0
    return {
        "vehicle": raw.spawn("vehicle.tesla.model3", [[0.0, 0.0, z], DOWN]),
        "walker": raw.spawn("walker.pedestrian.0002", [[20.0, 0.0, z], DOWN]),
        "camera": raw.spawn("sensor.camera.rgb"),
        "light": next(
            a[0] for a in raw.value("get_actors_by_id", list(range(1, 1 << 16))) if a[2][1].endswith("_light")
        ),
    }


def test_the_lists_are_complete() -> None:
    """All names of the 0.9.16 client are registered, and no others but ours for a batch's ApplyWalkerState."""
    from sim.carla.server.methods import METHODS, load_all

    load_all()
    listed = {name for name, *_ in [*GLOBAL, *OF_ACTOR]} | ELSEWHERE
    assert set(METHODS) - listed == {"apply_walker_state"}
    assert listed - set(METHODS) == set()


def test_calls_about_everything(raw: Raw) -> None:
    faults = [(name, w) for name, args, shape, value in GLOBAL if (w := wrong(raw.call(name, *args), shape, value))]
    assert not faults


def test_calls_about_the_living(raw: Raw) -> None:
    ids, faults = born(raw), []
    for kind, table in (("vehicle", VEHICLE), ("walker", WALKER), ("light", LIGHT), ("camera", CAMERA)):
        for name, rest, shape, value in table:
            fault = wrong(raw.call(name, *arguments_of(raw, name, ids[kind], rest)), shape, value)
            if fault:
                faults.append((name, fault))
    assert not faults


@pytest.mark.parametrize("reloaded", [False, True])
def test_calls_about_the_dead(raw: Raw, reloaded: bool) -> None:
    """Whoever asks about a dead vehicle hears what it was last, and of nothing else is the answer out of shape."""
    car = raw.spawn("vehicle.tesla.model3", [[40.0, 0.0, -100.0], DOWN])
    raw.call("set_actor_simulate_physics", car, False)
    raw.call("set_vehicle_light_state", car, [5])
    raw.value("tick_cue")
    before = {name: raw.call(name, car, *rest) for name, rest, *_ in VEHICLE if name in REMEMBERED}
    if reloaded:
        assert raw.call("load_new_episode", "town_a", False, 0xFFFF) == [[False]]
    else:
        assert raw.value("destroy_actor", car) is True
    assert raw.value("destroy_actor", car) is False
    for name, rest, shape, value in OF_ACTOR:
        result = raw.call(name, *arguments_of(raw, name, car, rest))
        if name in REMEMBERED:
            assert not unlike(result, ((INT, value),)) and result == before[name], name
        else:
            assert not wrong(result, shape, value) or is_error(result, shape), (name, result)


@pytest.mark.parametrize("id_", [NEVER, 0, -1])
def test_calls_about_nobody(raw: Raw, id_: int) -> None:
    assert raw.value("destroy_actor", id_) is False
    for name, rest, shape, value in OF_ACTOR:
        result = raw.call(name, *arguments_of(raw, name, id_, rest))
        if shape == VALUE:
            assert is_error(result, shape) and str(id_) in result[0][1][0], (name, result)
        else:
            assert not wrong(result, shape, value) or is_error(result, shape), (name, result)


def commands(ids: dict[str, int], car_physics: Any) -> list[tuple[int, list[Any]]]:
    """Commands 0 to 21 with their bodies."""
    car, walker, light = ids["vehicle"], ids["walker"], ids["light"]
    spawn = [CAR, [[80.0, 0.0, -100.0], DOWN], [False], 96, "", [[[16, [0, True]]], [[18, [0, 3]]]]]
    return [
        (0, spawn), (2, [car, [0.2, 0.0, 0.0, False, False, False, 1]]), (3, [car, [0.0, 0.0, 1.0, 0.0, 0.0]]),
        (4, [walker, [[0.0, 1.0, 0.0], 1.0, False]]), (5, [car, car_physics]), (6, [car, FAR_OFF]),
        (7, [walker, [[20.0, 5.0, -100.0], DOWN], 1.2]), *((k, [car, DOWN]) for k in range(8, 14)), (14, [car, True]),
        (15, [car, False]), (16, [car, True]), (17, [car, True]), (18, [car, 9]), (19, [car, [1.0, 2.0, -300.0]]),
        (20, ["r.Something 1"]), (21, [light, 1]), (1, [car]),
    ]  # fmt: skip


def test_commands_of_a_batch(raw: Raw) -> None:
    ids = born(raw)
    for i, (index, body) in enumerate(commands(ids, raw.value("get_physics_control", ids["vehicle"]))):
        if index == 1:
            assert raw.value("get_vehicle_light_state", ids["vehicle"]) == [9]  # what 18 has set
        (((good, id_),),) = [raw.call("apply_batch", [[[index, body]]], False)[0]]
        assert good == 1, (index, id_)
        if index == 0:
            assert id_ > ids["light"] and raw.value("get_vehicle_light_state", id_) == [3]
        elif index != 20:
            assert id_ == body[0], (i, index)


def test_commands_to_the_dead_are_refused_one_by_one(raw: Raw) -> None:
    """A batch goes on after a command that cannot be carried out, in whatever way it is wrong."""
    ids = born(raw)
    dead = dict.fromkeys(ids, NEVER)
    physics = raw.value("get_physics_control", ids["vehicle"])
    batch = [[[index, body]] for index, body in commands(dead, physics) if index not in (0, 20)]
    batch += [
        [[99, []]],
        [],
        [[2]],
        [[2, [ids["vehicle"]]]],
        [[2, [ids["vehicle"], [float("nan")] * 7]]],
        None,
        [["x", {}]],
    ]
    batch += [[[18, [ids["vehicle"], 17]]]]
    out = raw.call("apply_batch", batch, False)
    assert len(out) == len(batch) and out[-1] == [[1, ids["vehicle"]]]
    fine = {14, 16, 17}  # physics of nobody, autopilot and a picture that we have not change nothing
    for command, result in zip(batch[:-1], out[:-1], strict=True):
        assert not unlike(result, ((INT, (STR,)),)) or command[0][0] in fine, (command, result)
    assert raw.value("get_vehicle_light_state", ids["vehicle"]) == [17]
    assert raw.call("apply_batch", [], True) == []


def test_files_and_episodes(raw: Raw) -> None:
    (name,) = raw.value("get_required_files", "Nav")
    assert raw.value("request_file", name)[:4] == b"TESM"  # "MSET" as a little-endian number
    assert is_error(raw.call("request_file", "../../etc/passwd"), VALUE)
    assert is_error(raw.call("load_new_episode", "Atlantis", True, 1), VOID)
    assert is_error(raw.call("copy_opendrive_to_file", "<no", []), VOID)
    assert is_error(raw.call("replay_file", "none.rec", 0.0, 0.0, 0, False, ZERO), VALUE)
    raw.value("start_recorder", "calls.rec", False)
    raw.value("tick_cue")
    raw.call("stop_recorder")
    assert not wrong(raw.call("replay_file", "calls.rec", 0.0, 0.0, 0, False, ZERO), VALUE, STR)
    raw.call("stop_replayer", False)
    assert wrong(raw.call("no_such_call"), VALUE, ANY)  # answered, though not with a value


def test_street_lights_keep_what_is_set(raw: Raw) -> None:
    lamps = raw.value("query_lights_state", "x")
    assert len(lamps) > 3
    id_, place = lamps[2][:2]
    raw.call(
        "update_lights_state",
        "x",
        [[id_, place, 123.0, 2, [9, 8, 7], False], [NEVER, place, 1.0, 1, [1, 1, 1], True]],
        False,
    )
    after = raw.value("query_lights_state", "y")
    assert after[2] == [id_, place, 123.0, 2, [9, 8, 7], False] and after[:2] == lamps[:2] and len(after) == len(lamps)
    raw.call("update_lights_state", "x", [[id_, place, 1.0, 300, [9, 8, 7], True]], False)
    assert raw.value("query_lights_state", "y") == after  # a group that no client could read


def test_a_batch_that_is_no_list_is_answered(raw: Raw) -> None:
    assert raw.call("apply_batch", 7, False) == []
    raw.sock.sendall(msgpack.packb([0, 2**32 - 1, "apply_batch", [[True], 1.5, None]]))
    assert raw.reply() == [1, 2**32 - 1, None, []]
