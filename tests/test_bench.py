"""`ringroad bench`: what it measures can be measured, and is held to its bounds the right way round."""

from pathlib import Path

import numpy as np
import pytest

from scripts.bench import beside, memory, run
from scripts.bench.exact import Rays
from scripts.bench.measure import rate_figure, time_figure
from sim.actor_meshes import library
from sim.geometry import Geometry, box_mesh


def test_bounds_hold_times_down_and_rates_up() -> None:
    slow, fast = time_figure("a", [2.0, 3.0, 4.0], 2.5, 1.0), time_figure("a", [0.5], 2.5, 1.0)
    assert slow.median == 3.0 and not slow.meets(slow.at_least) and fast.meets(fast.at_least) and fast.meets(fast.aim)
    rate = rate_figure("b", 10, [1.0, 2.0, 4.0], "steps/s", 4000, 6000)  # 10,000, 5,000 and 2,500 a second
    assert rate.median == 5000.0 and rate.p10 < rate.median < rate.p90
    assert rate.record()["passes_at_least"] is True and rate.record()["passes_aim"] is False


def test_figures_of_one_world() -> None:
    result = run(0.0, only="world", map_="town_a", quiet=True)
    (figure,) = result["sim"].values()
    assert 0.0 < figure["p10"] <= figure["median"] <= figure["p90"] and figure["unit"] == "ms"
    assert result["machine"]["processor"] and result["machine"]["torch_threads"] == 1


@pytest.mark.parametrize(("given", "text"), [({"only": "wheels"}, "wheels"), ({"beside_": "carla"}, "carla")])
def test_unknown_names_are_refused(given: dict[str, str], text: str) -> None:
    with pytest.raises(ValueError, match=rf"'{text}', expected one of"):
        run(0.0, quiet=True, **given)


@pytest.mark.slow
def test_without_a_network_others_are_refused_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beside, "ROOT", tmp_path)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(
        ValueError, match=r"--beside highway-env: cannot install highway-env into .* it needs PyPI"
    ) as told:
        beside.environment("highway-env")
    assert "\n" not in str(told.value)


def test_rays_name_the_face_in_front() -> None:
    """A box two metres wide: its front is met at 9 m, a face behind it is no answer, and beside it there is none."""
    rays = Rays(Geometry(box_mesh(np.array([2.0, 2.0, 2.0])), library(), 1, 1, "cpu"))
    origin, ahead, beside = np.array([-10.0, 0.1, 1.3]), np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.0])
    face, far = rays.cast(origin, np.stack([ahead, beside]))
    assert far == pytest.approx([9.0, 0.0]) and face[1] == -1
    assert rays.nearest(origin, ahead) == pytest.approx(9.0) and rays.nearest(origin, beside) == 0.0
    everyone = np.arange(12)
    right = rays.may_name(everyone, np.tile(origin, (1, 1)), np.tile(ahead, (12, 1)), np.full(12, 9.0))
    assert np.flatnonzero(right).tolist() == [face[0]]


def test_a_leak_is_seen_through_the_noise() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(0.0, 2.0, 300) + 20.0 * (rng.uniform(size=300) < 0.1)
    grown, low, high = memory.growth_mb((noise + np.linspace(0.0, 12.0, 300)).tolist())
    assert grown == pytest.approx(12.0, abs=1.5) and low < grown < high
    assert abs(memory.growth_mb(noise.tolist())[0]) < 1.5


@pytest.mark.slow
def test_ticks_and_resets_leave_no_memory_behind() -> None:
    assert memory.growth_mb(memory.batch_mb("town_a", resets=50, ticks=100))[0] < 0.5


@pytest.mark.soak
def test_a_hundred_thousand_ticks_and_a_thousand_resets_leave_no_memory_behind() -> None:
    assert memory.growth_mb(memory.batch_mb("town_a", memory.RESETS, memory.TICKS_EACH))[0] < 5.0
    assert memory.growth_mb(memory.world_mb("town_a", memory.WORLD_RESETS))[0] < 5.0
