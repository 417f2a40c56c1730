"""Emergency vehicles: others make way, they pass red lights with care, nobody is touched, and their lamps flash."""

from dataclasses import replace

import numpy as np
import pytest
from plain_graph import plain_graph
from shared_maps import graph_of
from test_camera import world
from test_traffic import DRIVER, column, line, overlaps
from test_walkers import SIDE_M, pedestrian, street

from sim import scenarios
from sim.batch import VEHICLE_KINDS, Batch
from sim.camera import Cameras
from sim.geometry import EMERGENCY_LOOK
from sim.kernels.walkers import CROSS, WAIT_GAP
from sim.spawn import URGENT, spawn
from sim.state import Driver
from sim.weather import weather
from stack.frames import Pose
from stack.labels import LightState, Semantic
from stack.lanegraph import LaneGraph
from stack.messages import CameraMount, Rig
from stack.vehicle import VEHICLES, load_vehicle

MODELS = [load_vehicle(name) for name in ("sedan", "ambulance")]
SEDAN, AMBULANCE = 0, 1


def road(lanes: int, length_m: float = 600.0) -> LaneGraph:
    """`lanes` lanes to the east; a single one has a lane of the other direction beside it."""
    if lanes == 1:
        graph = plain_graph([line((0, 0), (length_m, 0)), line((length_m, 3.5), (0, 3.5))])
        return replace(graph, lane_key=(("1", 0, -1), ("1", 0, 1)))
    graph = plain_graph([line((0, 3.5 * k), (length_m, 3.5 * k)) for k in range(lanes)])
    beside = np.arange(lanes, dtype=np.int32)
    can = np.ones(lanes, np.uint8)
    return replace(
        graph, lane_key=tuple(("1", 0, k - lanes) for k in range(lanes)),
        lane_left=np.where(beside + 1 < lanes, beside + 1, -1).astype(np.int32), lane_right=beside - 1,
        lane_change_left=can, lane_change_right=can,
    )  # fmt: skip


def started(
    graph: LaneGraph, ambulances: list[tuple[int, float, float]], others: list[tuple[int, float, float]]
) -> Batch:
    """Ambulances, and then sedans, at (lane, s, speed)."""
    places = ambulances + others
    n = len(places)
    points = [int(graph.lane_start[lane] + s / graph.lane_step_m[lane]) for lane, s, _ in places]
    model = np.array([AMBULANCE] * len(ambulances) + [SEDAN] * len(others))
    rows = {"kind": np.array([MODELS[m].kind_id for m in model]), "model": model, "driver": np.full(n, Driver.IDM)}
    rows |= {"x_m": graph.x_m[points], "y_m": graph.y_m[points], "yaw_rad": graph.yaw_rad[points]}
    rows |= {name: np.array([p[k] for p in places]) for k, name in enumerate(("lane", "lane_s_m", "vx_mps"))}
    for name in DRIVER | URGENT:
        usual = DRIVER.get(name, 40.0 if name == "wish_max_mps" else 0)
        rows[name] = np.where(model == AMBULANCE, URGENT[name], usual)
    batch = Batch(graph, MODELS, 1, n)
    batch.reset_world(0, rows, seed=1)
    return batch


def corridor(batch: Batch, ticks: int) -> np.ndarray:
    """(ticks, rows, 3) x, y, speed of all, none of whom touch."""
    out = []
    for _ in range(ticks):
        batch.step()
        assert not overlaps(batch)
        out.append(np.stack([column(batch, name) for name in ("x_m", "y_m", "vx_mps")], axis=-1))
    return np.array(out)


def test_a_corridor_opens_between_two_lanes() -> None:
    """Cars of the left lane keep to its left edge, those of the right one to the right, and close up again."""
    batch = started(
        road(2, 900.0), [(0, 20.0, 20.0)], [(lane, 70.0 + 30.0 * k, 10.0) for k in range(2) for lane in (0, 1)]
    )
    way = corridor(batch, 700)
    x, y = way[..., 0], way[..., 1]
    for car in range(1, 5):
        beside = int(np.abs(x[:, 0] - x[:, car]).argmin())
        assert x[-1, 0] > x[-1, car] + 20.0
        middle = 3.5 * ((car - 1) % 2)
        assert (y[beside, car] - middle) * (1.0 if car % 2 == 0 else -1.0) > 0.6
        assert y[-1, car] == pytest.approx(middle, abs=0.2)
    passing = np.abs(x[:, 0, None] - x[:, 1:]).min(axis=1) < 4.0
    assert (np.abs(y[passing, 0] - 1.75) < 1.0).all()  # between the lanes
    assert way[-1, 1:, 2].min() > 12.0 and way[-1, 0, 2] > 19.0  # everybody is off again; it may exceed the limit of 14


def test_on_a_narrow_road_it_passes_between_the_directions() -> None:
    batch = started(road(1), [(0, 20.0, 15.0)], [(0, 70.0, 10.0), (0, 100.0, 10.0), (1, 300.0, 10.0), (1, 340.0, 10.0)])
    way = corridor(batch, 500)
    x, y = way[..., 0], way[..., 1]
    assert x[-1, 0] > x[-1, 1:3].max() + 20.0 and (x[-1, 3:] < x[-1, 0]).all()
    for car, edge in ((1, -0.6), (2, -0.6)):
        beside = int(np.abs(x[:, 0] - x[:, car]).argmin())
        assert y[beside, car] < edge and y[beside, 0] > 1.0
    for car in (3, 4):  # who comes keeps to its right: to the north of its lane's middle
        beside = int(np.abs(x[:, 0] - x[:, car]).argmin())
        assert y[beside, car] > 3.5 + 0.3
    assert y[-1, 0] == pytest.approx(0.0, abs=0.3)


def test_who_drives_on_another_road_or_level_goes_on() -> None:
    """Beyond a median, under a bridge, and behind it."""
    lines = [line((0, 0), (600, 0)), line((600, 6.0), (0, 6.0)), line((0, 0), (600, 0))]
    lines[2][:, 2] = 8.0
    graph = replace(plain_graph(lines), lane_key=(("1", 0, -1), ("1", 0, 1), ("2", 0, -1)))
    batch = started(graph, [(0, 100.0, 15.0)], [(1, 150.0, 12.0), (2, 150.0, 12.0), (0, 60.0, 12.0)])
    batch.state.numpy("z_m")[0, 2] = 8.0
    for _ in range(300):
        batch.step()
        assert (column(batch, "hears") == -1).all()
    assert column(batch, "vx_mps")[1:].min() > 11.0


def crossroads() -> LaneGraph:
    """A road to the east (lanes 0, 1, 2; the oncoming lane 6 beside lane 0) crosses one to the north (3, 4, 5); its light
    stays red to the east, and green to the north."""
    lines = [line((-200, 0), (-10, 0)), line((-10, 0), (10, 0)), line((10, 0), (400, 0))]
    lines += [
        line((0, -300), (0, -10)),
        line((0, -10), (0, 10)),
        line((0, 10), (0, 400)),
        line((-10, 3.5), (-200, 3.5)),
    ]
    graph = plain_graph(lines, [(0, 1), (1, 2), (3, 4), (4, 5)])
    i32, f32 = np.int32, np.float32
    stop_s = graph.lane_length_m.copy()
    stop_s[[0, 3]] -= 2.0
    keys = (("1", 0, -1), ("9", 0, -1), ("2", 0, -1), ("3", 0, -1), ("9", 1, -1), ("4", 0, -1), ("1", 0, 1))
    return replace(
        graph, lane_key=keys, lane_junction=np.array([-1, 0, -1, -1, 0, -1, -1], i32), lane_stop_s_m=stop_s,
        conflict_start=np.array([0, 0, 1, 1, 1, 2, 2], i32), conflict_count=np.array([0, 1, 0, 0, 1, 0, 0], i32),
        conflict_lane=np.array([4, 1], i32), conflict_from_m=np.full(2, 7.0, f32), conflict_to_m=np.full(2, 13.0, f32),
        conflict_other_from_m=np.full(2, 7.0, f32), conflict_other_to_m=np.full(2, 13.0, f32),
        conflict_rank=np.zeros(2, i32), signal_id=("a", "b"), signal_junction=np.zeros(2, i32),
        signal_cycle_s=np.array([60.0, 0.0], f32), signal_green_from_s=np.zeros(2, f32),
        signal_green_s=np.array([-10.0, 0.0], f32), lane_signal=np.array([-1, 0, -1, -1, 1, -1, -1], i32),
    )  # fmt: skip


def test_it_passes_the_queue_and_crosses_on_red_at_walking_pace() -> None:
    queue = [(0, 183.0 - 8.0 * k, 0.0) for k in range(4)]
    cross = [(3, 270.0 - 20.0 * k, 9.0) for k in range(13)]
    batch = started(crossroads(), [(0, 40.0, 14.0)], queue + cross)
    at_line, over, stood = 99.0, False, 0
    for _ in range(480):
        batch.step()
        assert not overlaps(batch)
        x, y, v = (column(batch, name) for name in ("x_m", "y_m", "vx_mps"))
        if -13.0 < x[0] + 4.67 < -8.0:
            at_line = min(at_line, float(v[0]))
            assert v[0] < 4.5
        if x[0] > 10.0:
            over = True
            assert (x[1:5] < -12.0).all()  # the others still wait at the red light
        if -12.0 < x[0] + 4.67 < 10.0:
            stood = max(stood, int(((y[5:] < -10.0) & (y[5:] > -30.0) & (v[5:] < 0.5)).sum()))
    assert over and at_line > 0.5
    assert stood >= 1  # cross traffic, which has green, lets it through


def test_walkers_do_not_set_out_before_it() -> None:
    """Beside an empty crosswalk: at once without it, and not while it is near."""
    began = []
    for siren in (0, 1):
        waits = pedestrian(100.0, -SIDE_M + 2.5, walk=2, walk_s_m=-0.5, walk_mode=WAIT_GAP, yaw_rad=np.pi / 2)
        p = MODELS[AMBULANCE]
        car = {
            "kind": p.kind_id,
            "model": 0,
            "driver": Driver.NONE,
            "x_m": 60.0,
            "y_m": 20.0,
            "siren": siren,
            "lane": -1,
        }
        rows = [waits, car]
        batch = Batch(street(), [p], 1, 2)
        batch.reset_world(0, {n: np.array([r.get(n, 0) for r in rows]) for n in {n for r in rows for n in r}}, seed=1)
        mode = []
        for _ in range(100):
            batch.step()
            batch.state.numpy("stuck_s")[0, 1] = 0.0
            mode.append(column(batch, "walk_mode")[0])
        began.append(CROSS in mode)
    assert began == [True, False]


@pytest.mark.parametrize("name", ["town_a", "arterial"])
def test_five_minutes_among_sixty_vehicles(name: str) -> None:
    """Nobody touches the ambulance, it is the faster one, passes on red at no more than walking pace, and never stays stuck."""
    graph, models = graph_of(name), [load_vehicle(model) for model in VEHICLES]
    rows = spawn(graph, models, 2, 60, 30, emergency=1)
    batch = Batch(graph, models, 1, len(rows["kind"]))
    batch.reset_world(0, rows, 2)
    c = {
        k: batch.state.numpy(k)[0] for k in ("kind", "siren", "lane", "vx_mps", "stuck_s", "hit_other", "signal_state")
    }
    moving, siren = np.isin(c["kind"], VEHICLE_KINDS), int(np.flatnonzero(c["siren"])[0])
    before, reds, speeds, hits = int(c["lane"][siren]), 0, [], 0
    for _ in range(6000):
        batch.step()
        hits += int((c["hit_other"][moving] != -1).sum())
        lane = int(c["lane"][siren])
        if (
            lane != before
            and graph.lane_signal[lane] >= 0
            and c["signal_state"][graph.lane_signal[lane]] == LightState.RED
        ):
            reds += 1
            assert c["vx_mps"][siren] < 4.5
        before = lane
        speeds.append((c["vx_mps"][siren], c["vx_mps"][moving & (c["siren"] == 0)].mean()))
        assert c["stuck_s"][siren] < 60.0 and c["stuck_s"][moving].max() < 120.0
    mine, others = np.mean(speeds, axis=0)
    assert hits == 0 and reds >= 1
    assert mine > 1.2 * others


def test_it_changes_nobody_elses_start_and_the_same_seed_goes_the_same_way() -> None:
    graph, models = graph_of("town_a"), [load_vehicle(model) for model in VEHICLES]
    without, rows = (spawn(graph, models, 7, 20, 8, emergency=n) for n in (0, 2))
    assert "siren" not in without and rows["siren"].sum() == 2
    for name, values in without.items():
        assert (rows[name][: len(values)] == values).all()
    n = len(rows["kind"])
    alone, crowd = Batch(graph, models, 1, n), Batch(graph, models, 3, n)
    alone.reset_world(0, rows, 7)
    for w, seed in enumerate((3, 7, 5)):
        crowd.reset_world(w, rows if seed == 7 else without, seed)
    for _ in range(400):
        alone.step()
        crowd.step()
        assert alone.hash(0) == crowd.hash(1)
    assert (alone.state.numpy("hears") >= 0).any() or (alone.state.numpy("aside_m") != 0.0).any()


def test_a_scenario_says_how_many() -> None:
    spec = scenarios.Spec(map="town_a", emergency=2)
    graph = graph_of("town_a")
    from planning.route import plan_route, random_route

    assert scenarios.resolve(spec, graph, 1, plan_route, random_route).emergency == 2
    assert scenarios.resolve(scenarios.choose(None, "town_a"), graph, 1, plan_route, random_route).emergency == 0


@pytest.mark.parametrize("sky", ["clear", "night"])
@pytest.mark.parametrize("name", [p.name for p in map(load_vehicle, VEHICLES) if p.siren])
def test_blue_lamps_flash_in_pictures(name: str, sky: str) -> None:
    """Two banks in turn, never both, dark between; always dark without the siren. The class is that of a car or truck."""
    mount = CameraMount("near", 320, 180, np.deg2rad(50.0), 1.6, 0.0, 2.0)
    scenery, geometry, state = world()
    p = load_vehicle(name)
    place = {"kind": p.kind_id, "x_m": 14.0, "yaw_rad": np.pi, "look": EMERGENCY_LOOK}
    place |= {"length_m": p.length_m, "width_m": p.width_m, "height_m": p.height_m}
    for key, value in place.items():
        state.numpy(key)[0, 1] = value
    cameras = Cameras(Rig(cameras=(mount,)), geometry, scenery, weather(sky), 1)

    def blue(tick: int, siren: int) -> tuple[int, int]:
        """Bright blue pixels in the left and the right half of the vehicle."""
        state.numpy("siren")[0, 1], state.numpy("tick")[0] = siren, tick
        geometry.update(state)
        images, truth = cameras.render(Pose(0.0, 0.0), 0)
        mask = truth[0].instance.numpy() == 2
        assert set(np.unique(truth[0].semantic.numpy()[mask])) == {Semantic.CAR if p.kind == "car" else Semantic.TRUCK}
        red, green, blue = images[0].rgb.numpy().astype(int)
        lit = mask & (blue > 150) & (blue > red + 80) & (blue > green + 30)
        return int(lit[:, :160].sum()), int(lit[:, 160:].sum())

    one, dark, other, off = blue(0, 1), blue(4, 1), blue(5, 1), blue(0, 0)
    for lit in (one, other):
        assert max(lit) > 4 and max(lit) > 4 * min(lit)
    assert (one[0] > one[1]) != (other[0] > other[1])
    assert sum(dark) == 0 and sum(off) == 0
