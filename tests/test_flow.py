"""A hundred vehicles for ten minutes on every map: nobody hits anybody, nobody stands for ever, traffic flows."""

import numpy as np
import pytest

from scripts.flow import flow
from scripts.fundamental import theory
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
    """Capacity of like drivers: below 1 / T vehicles a second; flow is density times speed, jam density that of standing gaps."""
    drivers = {"wish_factor": 1.0, "wish_max_mps": 99.0, "headway_s": 1.4, "gap_min_m": 2.5, "length_m": 4.7}
    density, rate = theory({name: np.full(50, value) for name, value in drivers.items()})
    assert 1500.0 < rate.max() < 3600.0 / 1.4
    assert density.max() == pytest.approx(1e3 / (2.5 + 0.2 * 1.4 + 4.7), rel=0.01)
    assert rate[-1] / density[-1] == pytest.approx(0.99 * 120.0, rel=0.01)
