"""Worlds side by side: each goes its own way, the same alone, restored, or in any company."""

from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import warp as wp
from plain_graph import plain_graph
from shared_maps import graph_of

from sim.batch import Batch
from sim.state import Driver
from stack.labels import Kind
from stack.vehicle import load_vehicle

MODELS = [load_vehicle(name) for name in ("sedan", "van", "bicycle")]
TOWN = graph_of("town_a")
PACKAGES = ("stack", "sim", "perception", "planning", "control")


def crowd(batch: Batch, world: int, seed: int, vehicles: int = 12) -> None:
    """Vehicles at random places of the map, some driven by the traffic model, some with fixed pedals."""
    rng = np.random.default_rng(seed)
    lane = rng.integers(0, TOWN.lanes, vehicles)
    point = TOWN.lane_start[lane] + (rng.uniform(0.1, 0.9, vehicles) * TOWN.lane_count[lane]).astype(int)
    model = rng.integers(0, len(MODELS), vehicles)
    rows = {
        "kind": [int(MODELS[m].kind_id) for m in model], "model": model,
        "driver": np.where(rng.uniform(size=vehicles) < 0.6, int(Driver.IDM), int(Driver.EXTERNAL)),
        "x_m": TOWN.x_m[point], "y_m": TOWN.y_m[point], "yaw_rad": TOWN.yaw_rad[point], "lane": lane,
        "lane_s_m": (point - TOWN.lane_start[lane]) * TOWN.lane_step_m[lane], "vx_mps": rng.uniform(0, 10, vehicles),
        "throttle": rng.uniform(0, 0.4, vehicles), "steer": rng.uniform(-0.1, 0.1, vehicles),
        "wish_factor": np.ones(vehicles), "headway_s": np.full(vehicles, 1.5), "accel_max_mps2": np.full(vehicles, 1.5),
        "brake_comfort_mps2": np.full(vehicles, 2.0), "gap_min_m": np.full(vehicles, 2.0),
    }  # fmt: skip
    batch.reset_world(world, rows, seed=seed)


def test_a_world_in_a_batch_is_the_world_alone() -> None:
    together, alone = Batch(TOWN, MODELS, 3, 14), Batch(TOWN, MODELS, 1, 14)
    for world in range(3):
        crowd(together, world, 10 + world)
    crowd(alone, 0, 11)
    for tick in range(100):
        if tick == 50:
            crowd(together, 0, 99)  # a reset beside it changes nothing
        together.step()
        alone.step()
    assert together.hash(1) == alone.hash(0)
    assert len({together.hash(world) for world in range(3)}) == 3
    assert (together.state.numpy("tick") == [50, 100, 100]).all()


def test_save_and_restore_are_exact() -> None:
    batch = Batch(TOWN, MODELS, 2, 14)
    crowd(batch, 0, 1)
    crowd(batch, 1, 2)
    for _ in range(20):
        batch.step()
    saved, before = batch.save(), batch.hash()
    for _ in range(30):
        batch.step()
    after = batch.hash()
    batch.restore(saved)
    assert batch.hash() == before != after
    for _ in range(30):
        batch.step()
    assert batch.hash() == after
    other = Batch(TOWN, MODELS, 2, 14)  # and in a batch that never saw the start
    other.restore(saved)
    for _ in range(30):
        other.step()
    assert other.hash() == after


def test_seed_changes_the_hash() -> None:
    batch = Batch(TOWN, MODELS, 2, 14)
    for world, seed in enumerate((1, 2)):
        crowd(batch, world, 5)
        batch.state.numpy("seed")[world] = seed
    assert batch.hash(0) != batch.hash(1)


def test_an_outside_driver_is_followed_along_the_lanes() -> None:
    """Three lanes in a row with a fork; a car that bears left is found on the left one, 2 % uphill."""
    s = np.arange(61.0)
    flat = np.zeros_like(s)
    road = np.stack([s, flat, 0.02 * s], axis=-1)
    ahead = np.stack([60.0 + s, flat, 1.2 + 0.02 * s], axis=-1)
    left = np.stack([60.0 + s * np.cos(0.15), s * np.sin(0.15), 1.2 + 0.02 * s], axis=-1)
    graph = plain_graph([road, ahead, left], [(0, 1), (0, 2)])
    batch = Batch(graph, MODELS, 1, 2)
    batch.reset_world(0, {"kind": [1, 1], "driver": [2, 3], "vx_mps": [12.0, 12.0], "x_m": [40.0, 30.0]}, seed=0)
    assert batch.state.numpy("lane")[0].tolist() == [0, 0]
    assert batch.state.numpy("z_m")[0] == pytest.approx([0.8, 0.6], abs=0.01)
    seen = [set(), set()]
    for tick in range(180):
        turn = 0.05 if 50.0 < batch.state.numpy("x_m")[0, 0] < 59.0 else 0.0
        batch.set_pedals([0, 0], [0, 1], [[0.15, 0.0, turn / 0.61], [0.15, 0.0, 0.0]])
        batch.step()
        for row in range(2):
            seen[row].add(int(batch.state.numpy("lane")[0, row]))
        if tick == 60:
            assert batch.state.numpy("lane")[0].tolist() == [2, 1]
            x = batch.state.numpy("x_m")[0, 1]
            assert batch.state.numpy("lane_s_m")[0, 1] == pytest.approx(x - 60.0, abs=0.01)
            assert batch.state.numpy("z_m")[0, 1] == pytest.approx(0.02 * x, abs=0.01)
            assert batch.state.numpy("pitch_rad")[0, 1] == pytest.approx(0.02, abs=0.001)
    assert -1 in seen[0] and -1 in seen[1]  # past the end of the road they are lost


def test_rows_are_checked() -> None:
    batch = Batch(plain_graph(), MODELS, 1, 2)
    with pytest.raises(ValueError, match="colour"):
        batch.reset_world(0, {"colour": [1]}, seed=0)
    with pytest.raises(ValueError, match="at most 2"):
        batch.reset_world(0, {"x_m": [1, 2, 3]}, seed=0)
    with pytest.raises(ValueError, match="model"):
        batch.reset_world(0, {"kind": [1], "model": [7]}, seed=0)
    with pytest.raises(ValueError, match="finite"):
        batch.set_pedals(0, 0, [np.nan, 0.0, 0.0])


def test_torch_views_share_memory() -> None:
    batch = Batch(plain_graph(), MODELS, 2, 3)
    batch.torch("throttle")[1, 2] = 0.75
    assert batch.state.numpy("throttle")[1, 2] == 0.75
    assert batch.torch("x_m").data_ptr() == batch.state.arrays.x_m.ptr


def test_nobody_moves_parked_cars_and_free_rows() -> None:
    batch = Batch(TOWN, MODELS, 1, 3)
    batch.reset_world(0, {"kind": [int(Kind.CAR), 0], "driver": [int(Driver.NONE), 0], "throttle": [1, 1]}, seed=0)
    for _ in range(10):
        batch.step()
    assert not batch.state.numpy("x_m").any() and not batch.state.numpy("vx_mps").any()


def modules_with_kernels() -> list[str]:
    """Of the packages that run on the device, by their text: a new one cannot be forgotten."""
    root = Path(__file__).parents[1]
    files = (path for package in PACKAGES for path in sorted((root / package).rglob("*.py")))
    found = [".".join(f.relative_to(root).with_suffix("").parts) for f in files if "@wp.kernel" in f.read_text("utf-8")]
    assert {"sim.kernels.vehicle", "control.features"} < set(found)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", modules_with_kernels())
def test_kernels_compile_for_cuda_without_a_gpu(name: str, tmp_path: Path) -> None:
    try:
        built = wp.compile_aot_module(import_module(name), arch=80, module_dir=tmp_path, use_ptx=True)
    except RuntimeError as error:
        if "CUDA" not in str(error):
            raise
        pytest.skip(f"this Warp cannot compile for CUDA: {error}")
    assert built and all(path.stat().st_size > 1000 for path in built)
