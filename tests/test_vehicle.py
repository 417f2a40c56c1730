"""Vehicle dynamics and the pedal map against textbooks and CommonRoad's single-track model."""

from pathlib import Path

import numpy as np
import pytest
import warp as wp
from hypothesis import given, settings
from hypothesis import strategies as st
from one_car import Car
from scipy.integrate import solve_ivp

from stack.messages import Control
from stack.vehicle import GRAVITY_MPS2, VEHICLES, control_of, load_vehicle, parameter_table, pedals, pedals_of

TICK_S = 0.05


def test_left_steer_raises_y() -> None:
    car = Car(vx_mps=8.0)
    car.drive(0.1, 0.0, 0.3, 20)
    assert car.y_m > 0.5 and car.yaw_rad > 0.1 and car.wheel_angle_rad > 0.0


def test_slow_circle_has_the_kinematic_radius() -> None:
    angle = 0.3
    car = Car(vx_mps=1.5, wheel_angle_rad=angle)
    car.hold_speed(angle, 1.5, 100)
    assert car.vx_mps / car.yaw_rate_radps == pytest.approx(car.params.wheelbase_m / np.tan(angle), rel=0.01)


@pytest.mark.parametrize("name", ["sedan", "hatchback", "truck", "bus"])
def test_understeer_gradient(name: str) -> None:
    """d = L / R + (1 / cf - 1 / cr) ay / g with stiffness over load c (Gillespie, ch. 6), for small angles."""
    speed, angle = 14.0, 0.003
    car = Car(name, vx_mps=speed, wheel_angle_rad=angle)
    car.hold_speed(angle, speed, 160)
    p, curvature = car.params, car.yaw_rate_radps / car.vx_mps
    gradient = 1.0 / p.cornering_front_prad - 1.0 / p.cornering_rear_prad
    wanted = p.wheelbase_m * curvature + gradient * car.vx_mps**2 * curvature / GRAVITY_MPS2
    assert wanted == pytest.approx(angle, rel=0.03)


def test_against_commonroad_single_track() -> None:
    """Step steer of 0.004 rad at 15 m/s: yaw rate and side slip follow CommonRoad's linear single-track model."""
    dynamics = pytest.importorskip("vehiclemodels.vehicle_dynamics_st").vehicle_dynamics_st
    p = pytest.importorskip("vehiclemodels.parameters_vehicle2").parameters_vehicle2()
    speed, angle, seconds = 15.0, 0.004, 3.0
    times = np.arange(1, int(seconds / TICK_S) + 1) * TICK_S
    theirs = solve_ivp(lambda t, x: dynamics(x, [0.0, 0.0], p), (0.0, seconds), [0, 0, angle, speed, 0, 0, 0],
                       t_eval=times, rtol=1e-8).y  # fmt: skip
    car, ours = Car("sedan", vx_mps=speed, wheel_angle_rad=angle), []
    for _ in times:
        car.hold_speed(angle, speed, 1)
        slip = (car.vy_mps + car.params.rear_axle_m * car.yaw_rate_radps) / car.vx_mps
        ours.append((car.yaw_rad, car.yaw_rate_radps, slip))
    yaw, rate, slip = np.array(ours).T
    np.testing.assert_allclose(rate, theirs[5], atol=0.03 * theirs[5].max())
    np.testing.assert_allclose(yaw, theirs[4], atol=0.03 * theirs[4].max())
    np.testing.assert_allclose(slip, theirs[6], atol=0.06 * np.abs(theirs[6]).max())


@pytest.mark.parametrize("friction", [1.0, 0.5])
def test_stopping_distance(friction: float) -> None:
    """v^2 / (2 mu g), and what is driven while the brake builds up."""
    speed = 25.0
    car = Car(vx_mps=speed, friction=friction)
    while car.vx_mps > 0.0:
        car.drive(0.0, 1.0, 0.0)
    p = car.params
    mu = p.tyre_friction * friction
    assert car.x_m == pytest.approx(speed**2 / (2.0 * mu * GRAVITY_MPS2) + speed * p.brake_lag_s, rel=0.06)


@pytest.mark.parametrize(
    ("name", "least_s", "most_s"), [("sedan", 6.0, 9.0), ("hatchback", 8.0, 12.0), ("van", 12.0, 26.0)]
)
def test_time_to_100_kmh(name: str, least_s: float, most_s: float) -> None:
    car, ticks = Car(name), 0
    while car.vx_mps < 100.0 / 3.6 and ticks < 1000:
        car.drive(1.0, 0.0, 0.0)
        ticks += 1
    assert least_s < ticks * TICK_S < most_s


def test_coast_down() -> None:
    """v' = -(c v^2 + f g): v(t) = sqrt(f g / c) tan(atan(v0 sqrt(c / f g)) - t sqrt(c f g))."""
    car = Car(vx_mps=30.0)
    p = car.params
    c, fg = 0.5 * 1.204 * p.drag_area_m2 / p.mass_kg, p.rolling_coefficient * GRAVITY_MPS2
    car.drive(0.0, 0.0, 0.0, 400)
    expected = np.sqrt(fg / c) * np.tan(np.arctan(30.0 * np.sqrt(c / fg)) - 20.0 * np.sqrt(c * fg))
    assert car.vx_mps == pytest.approx(expected, rel=0.002)


def test_grade_pulls_and_brake_holds() -> None:
    slope = np.arctan(0.15)
    car = Car(pitch_rad=slope, drive_mps2=-5.0)  # brake already on
    car.drive(0.0, 0.5, 0.4, 100)
    assert (car.x_m, car.y_m, car.vx_mps, car.yaw_rad) == (0.0, 0.0, 0.0, 0.0)
    car = Car(pitch_rad=-slope)
    car.drive(0.0, 0.0, 0.0, 20)
    pull = GRAVITY_MPS2 * (np.sin(slope) - car.params.rolling_coefficient * np.cos(slope))
    assert car.vx_mps == pytest.approx(pull, rel=0.01)  # after one second, before drag matters


def test_reverse_gear_pushes_backwards_and_brakes_hold_both_ways() -> None:
    """From rest the car is as fast backwards as ahead, on the kinematic circle, and stops within v^2 / (2 mu g)."""
    ahead, back = Car(), Car(reverse=1)
    for car in (ahead, back):
        car.drive(0.3, 0.0, 0.0, 60)  # gently: tyres at their limit care for the load on them
    assert back.vx_mps == pytest.approx(-ahead.vx_mps, rel=1e-3) and back.vx_mps < -3.0
    assert back.x_m == pytest.approx(-ahead.x_m, rel=1e-3)
    p, speed, start = back.params, back.vx_mps, back.x_m
    back.drive(0.0, 1.0, 0.0, 100)
    assert back.vx_mps == 0.0
    assert start - back.x_m == pytest.approx(
        speed**2 / (2.0 * p.tyre_friction * GRAVITY_MPS2) - speed * p.brake_lag_s, rel=0.15
    )
    angle = 0.2
    turning = Car(reverse=1, wheel_angle_rad=angle)
    turning.drive(0.15, 0.0, angle / p.wheel_angle_max_rad, 30)
    assert turning.vx_mps < -0.5 and turning.yaw_rad < -0.02  # steered left, it backs to the left: the nose goes right
    assert turning.vx_mps / turning.yaw_rate_radps == pytest.approx(p.wheelbase_m / np.tan(angle), rel=0.03)


def test_changing_gear_at_speed_brakes_and_turns_back() -> None:
    car = Car(vx_mps=5.0, reverse=1)
    car.drive(1.0, 0.0, 0.0, 600)
    assert -12.0 < car.vx_mps < -10.0 and car.x_m < 0.0  # as fast as the gear goes


@pytest.mark.parametrize("accel", [-3.0, -0.3, 0.0, 1.2])
@pytest.mark.parametrize("slope", [-0.06, 0.0, 0.06])
def test_wanted_acceleration_is_met(accel: float, slope: float) -> None:
    car = Car(vx_mps=15.0, pitch_rad=slope)
    car.control(0.0, accel, 20)
    before = car.vx_mps
    car.control(0.0, accel, 20)
    assert car.vx_mps - before == pytest.approx(accel, abs=0.04)
    assert car.ax_mps2 == pytest.approx(accel, abs=0.06)


@pytest.mark.parametrize("name", VEHICLES)
def test_brakes_to_a_stand_and_stays(name: str) -> None:
    car = Car(name, vx_mps=6.0)
    steer = 2.0 * car.params.wheelbase_m / 6.0**2 / car.params.wheel_angle_max_rad  # 2 m/s2 sideways
    speeds = []
    for _ in range(120):
        car.drive(0.0, 0.6, steer)
        speeds.append(car.vx_mps)
    assert min(speeds) == 0.0 and np.all(np.diff(speeds) <= 0.0)
    still = (car.x_m, car.y_m, car.yaw_rad)
    car.drive(0.0, 0.6, -0.5, 100)
    assert (car.x_m, car.y_m, car.yaw_rad) == still and car.yaw_rate_radps == 0.0 and car.vy_mps == 0.0


@pytest.mark.parametrize("name", VEHICLES)
def test_wild_driving_stays_inside_the_friction_circle(name: str) -> None:
    car = Car(name, vx_mps=10.0)
    p, rng = car.params, np.random.default_rng(3)
    for _ in range(60):
        car.drive(*rng.uniform([0, 0, -1], [1, 1, 1]).astype(np.float32), 5)
        grip = p.tyre_friction * GRAVITY_MPS2
        v_cg = car.vy_mps + p.rear_axle_m * car.yaw_rate_radps
        assert np.isfinite([car.x_m, car.y_m, car.yaw_rad, v_cg]).all() and np.hypot(car.vx_mps, v_cg) < 90.0
        if car.vx_mps > 2.0:
            assert abs(car.vx_mps * car.yaw_rate_radps) < 4.0 * grip  # in a spin; steady cornering is held to it below
    car = Car(name, vx_mps=12.0)
    car.hold_speed(0.3 * p.wheel_angle_max_rad, 12.0, 60)
    assert car.vx_mps * car.yaw_rate_radps < 1.05 * p.tyre_friction * GRAVITY_MPS2


def test_braking_takes_cornering_force_away() -> None:
    turning = {"vx_mps": 20.0, "wheel_angle_rad": 0.08}
    free, braked = Car(**turning), Car(**turning)
    free.hold_speed(0.08, 20.0, 12)
    braked.drive(0.0, 1.0, 0.08 / braked.params.wheel_angle_max_rad, 12)
    assert abs(braked.ay_mps2) < 0.6 * abs(free.ay_mps2)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(VEHICLES), st.floats(0.5, 30.0), st.floats(-0.1, 0.1), st.floats(-4.0, 0.6), st.floats(-0.5, 0.5)
)
def test_pedals_round_trip(name: str, speed: float, pitch: float, accel: float, angle: float) -> None:
    p = load_vehicle(name)
    given_pedals = pedals(Control(angle, accel), speed, pitch, p)
    back = control_of(given_pedals, speed, pitch, p)
    assert given_pedals.dtype == np.float32 and given_pedals[0] * given_pedals[1] == 0.0
    assert back.wheel_angle_rad == pytest.approx(angle, abs=1e-5)
    if given_pedals[:2].max() < 1.0:
        assert back.accel_mps2 == pytest.approx(accel, abs=1e-4)
        np.testing.assert_allclose(pedals(back, speed, pitch, p), given_pedals, atol=1e-4)


@wp.kernel(enable_backward=False)
def ask(
    accel: wp.array(dtype=float),
    speed: wp.array(dtype=float),
    table: wp.array2d(dtype=float),
    out: wp.array(dtype=wp.vec2),
):
    i = wp.tid()
    out[i] = pedals_of(accel[i], speed[i], 0.03, table, i)


def test_kernel_and_python_agree_on_pedals() -> None:
    vehicles = [load_vehicle(name) for name in VEHICLES]
    rng = np.random.default_rng(0)
    accel = rng.uniform(-5.0, 1.0, len(vehicles)).astype(np.float32)
    speed = rng.uniform(0.0, 20.0, len(vehicles)).astype(np.float32)
    out = wp.zeros(len(vehicles), dtype=wp.vec2, device="cpu")
    arrays = [wp.array(values, dtype=float, device="cpu") for values in (accel, speed, parameter_table(vehicles))]
    wp.launch(ask, dim=len(vehicles), inputs=[*arrays, out], device="cpu")
    expected = [
        pedals(Control(0.0, float(a)), float(v), 0.03, p)[:2] for a, v, p in zip(accel, speed, vehicles, strict=True)
    ]
    np.testing.assert_allclose(out.numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("name", VEHICLES)
def test_vehicle_files_make_sense(name: str) -> None:
    p = load_vehicle(name)
    front_overhang = 0.5 * p.length_m + p.centre_m - p.wheelbase_m
    assert p.name == name and front_overhang > 0.0 and 0.5 * p.length_m - p.centre_m > 0.0
    inertia = p.yaw_inertia_kgm2 / (p.mass_kg * p.front_axle_m * p.rear_axle_m)
    assert name == "bicycle" or 0.2 < inertia < 1.6  # NHTSA: near 1 for cars


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("colour: red", "colour: unknown key"),
        ("mass_kg: -1", "mass_kg"),
        ("kind: boat", "kind"),
        ("length_m: long", "length_m"),
    ],
)
def test_bad_vehicle_file_names_file_and_key(tmp_path: Path, line: str, text: str) -> None:
    good = Path(__file__).parents[1] / "configs/vehicles/sedan.yaml"
    key = line.split(":")[0]
    lines = [old for old in good.read_text(encoding="utf-8").splitlines() if not old.startswith(key)]
    bad = tmp_path / "bad.yaml"
    bad.write_text("\n".join([*lines, line]), encoding="utf-8")
    with pytest.raises(ValueError, match=r"bad\.yaml") as caught:
        load_vehicle(bad)
    assert text in str(caught.value)
    with pytest.raises(ValueError, match="tank"):
        load_vehicle("tank")
