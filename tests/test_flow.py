"""A hundred vehicles for ten minutes on every map: nobody hits anybody, nobody stands for ever, traffic flows."""

import pytest

from scripts.flow import flow, theory
from sim.maps.generate import NAMED


@pytest.mark.slow
@pytest.mark.parametrize("name", list(NAMED))
def test_ten_minutes_of_a_hundred_vehicles(name: str) -> None:
    found = flow(name, seed=1)
    assert found.vehicles == 100
    assert found.collisions == 0
    assert found.longest_stand_s <= 120.0
    assert found.crossings >= 200
    assert found.free_share >= 0.5


def test_theory_peaks_where_the_model_does() -> None:
    """Capacity of IDM drivers: below 1 / T vehicles a second, free flow below, jam density at standstill gaps."""
    density, rate = theory()
    assert 1500.0 < rate.max() < 3600.0 / 1.4
    assert density.max() == pytest.approx(1e3 / (2.5 + 4.7), rel=0.15)
