"""Radar: place and Doppler of road users, sign of the Doppler, occlusion, detection by range, clutter."""

import numpy as np
import pytest
from boxed_square import box_at, ground, make, put

from sim.geometry import Geometry, Mesh
from sim.sensors import Sensors
from sim.state import State
from stack.labels import Kind
from stack.messages import RadarSamples, Rig

RIG = Rig()


def scan(state: State, geometry: Geometry, noise: bool = False, tick: int = 0) -> np.ndarray:
    """(N, 4) returns, the nearest first."""
    returns = radar(state, geometry, noise, tick).returns
    return returns[np.argsort(returns[:, 0])]


def radar(state: State, geometry: Geometry, noise: bool, tick: int) -> RadarSamples:
    geometry.update(state)
    return Sensors(state, geometry, RIG, noise=noise).read(tick)[1]


def world(*parts: Mesh, actors: int = 4) -> tuple[State, Geometry]:
    return make(list(parts), actors)


def test_a_car_ahead_is_where_it_is() -> None:
    state, geometry = world()
    put(state, 1, x_m=40.0, y_m=0.0)
    (distance, azimuth, _, doppler), *rest = scan(state, geometry)
    assert distance == pytest.approx(40.0 + 1.3 - 2.25 - RIG.radar_xyz_m[0], abs=0.01)
    assert azimuth == pytest.approx(0.0, abs=1e-3) and doppler == 0.0 and not rest


def test_left_is_positive_and_a_bus_gives_several_returns() -> None:
    state, geometry = world()
    put(state, 1, kind=Kind.TRUCK, x_m=30.0, y_m=12.0, yaw_rad=0.8, length_m=11.0, width_m=2.5, height_m=3.0)
    returns = scan(state, geometry)
    assert len(returns) == 3 and (returns[:, 1] > 0.0).all()


def test_doppler_is_the_rate_of_the_range() -> None:
    """Against finite differences of the range, with ego and target moving and turning; positive when it grows."""
    state, geometry = world()
    ego = {"vx_mps": 9.0, "vy_mps": 0.2, "yaw_rate_radps": 0.1}
    other = {"kind": Kind.PEDESTRIAN, "length_m": 0.02, "width_m": 0.02, "centre_m": 0.0}
    other |= {"x_m": 35.0, "y_m": 8.0, "yaw_rad": 1.1, "vx_mps": 6.0}
    put(state, 0, **ego)
    put(state, 1, **other)
    doppler = scan(state, geometry)[0, 3]
    step = 0.05
    ranges = []
    for time_s in (-step, step):
        yaw = ego["yaw_rate_radps"] * time_s
        put(state, 0, x_m=ego["vx_mps"] * time_s, y_m=ego["vy_mps"] * time_s, yaw_rad=yaw)
        moved = {"x_m": 35.0 + 6.0 * np.cos(1.1) * time_s, "y_m": 8.0 + 6.0 * np.sin(1.1) * time_s}
        put(state, 1, **(other | moved))
        ranges.append(scan(state, geometry)[0, 0])
    assert doppler == pytest.approx((ranges[1] - ranges[0]) / (2.0 * step), abs=0.02)
    put(state, 0, x_m=0.0, y_m=0.0, yaw_rad=0.0, vx_mps=0.0, vy_mps=0.0, yaw_rate_radps=0.0)
    put(state, 1, x_m=40.0, y_m=0.0, yaw_rad=0.0, vx_mps=5.0)
    assert scan(state, geometry)[0, 3] == pytest.approx(5.0, abs=0.01)  # drives away


def test_what_stands_behind_a_truck_or_a_house_is_not_seen() -> None:
    state, geometry = world()
    put(state, 1, x_m=60.0)
    assert len(scan(state, geometry)) == 1
    put(state, 2, kind=Kind.TRUCK, x_m=30.0, width_m=2.5, height_m=3.0)
    assert scan(state, geometry)[:, 0].max() < 40.0
    state, geometry = world(ground(), box_at(30.0, 0.0, (4.0, 10.0, 5.0)))
    put(state, 1, x_m=60.0)
    assert not (scan(state, geometry)[:, 0] > 45.0).any()


def test_field_of_view() -> None:
    for x_m, y_m, seen in ((20.0, 25.0, False), (-20.0, 0.0, False), (130.0, 0.0, False), (110.0, 0.0, True)):
        state, geometry = world()
        put(state, 1, x_m=x_m, y_m=y_m)
        assert bool(len(scan(state, geometry))) == seen


def test_far_pedestrians_are_missed_more_often_than_near_ones() -> None:
    def share(distance_m: float, kind: Kind) -> float:
        state, geometry = world()
        put(state, 1, kind=kind, x_m=distance_m, length_m=0.5, width_m=0.5, height_m=1.7, centre_m=0.0)
        geometry.update(state)
        sensors = Sensors(state, geometry, RIG)
        return float(np.mean([len(sensors.read(tick)[1].returns) for tick in range(300)]))

    near, far = share(20.0, Kind.PEDESTRIAN), share(75.0, Kind.PEDESTRIAN)
    assert near > 0.95 and far < 0.8
    assert share(75.0, Kind.CAR) > far + 0.1


def test_noise_has_its_size() -> None:
    state, geometry = world()
    put(state, 1, x_m=30.0)
    clean = scan(state, geometry)[0]
    sensors = Sensors(state, geometry, RIG)
    noisy = np.concatenate([sensors.read(tick)[1].returns for tick in range(1500)]) - clean
    np.testing.assert_allclose(noisy.std(axis=0), [0.15, np.deg2rad(0.5), np.deg2rad(1.0), 0.1], rtol=0.1)


def test_clutter_stands_still() -> None:
    """Standing scenery closes in with the ego's speed along the ray."""
    houses = [box_at(x, y, (6.0, 6.0, 6.0)) for x in range(10, 90, 12) for y in (-12.0, 12.0)]
    state, geometry = world(ground(), *houses)
    put(state, 0, vx_mps=15.0)
    returns = np.concatenate([scan(state, geometry, tick=tick) for tick in range(10)])
    assert 5 < len(returns) < 200
    np.testing.assert_allclose(returns[:, 3], -15.0 * np.cos(returns[:, 1]) * np.cos(returns[:, 2]), atol=0.01)


def test_same_seed_same_returns() -> None:
    state, geometry = world(ground(), box_at(40.0, 8.0, (4.0, 10.0, 5.0)))
    put(state, 1, x_m=30.0, vx_mps=4.0)
    for tick in (3, 4):
        np.testing.assert_array_equal(scan(state, geometry, True, tick), scan(state, geometry, True, tick))
