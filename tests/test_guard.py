"""The guard against the ad_rss package, walls in the LiDAR, and ordinary driving."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import shapely
from handmade import make_scene

from control.guard import Guard, Limits, rss_distance, swept
from stack.labels import Kind
from stack.messages import (
    LIDAR_STEP_M,
    Control,
    GnssSamples,
    ImuSamples,
    LidarSweep,
    Maneuver,
    Plan,
    RadarSamples,
    Reference,
    SensorFrame,
    Trajectory,
    WheelSamples,
)
from stack.vehicle import load_vehicle

SEDAN = load_vehicle("sedan")
FRONT_M = SEDAN.centre_m + 0.5 * SEDAN.length_m
F = np.float32


def a_plan() -> Plan:
    """The guard does not read it."""
    z = np.zeros(2, F)
    reference = Reference(z, np.zeros((2, 2), F), z, z, z, z, np.inf, np.inf, 0.0, Maneuver.CRUISE, 0.0, 100.0)
    trajectory = Trajectory(z, np.zeros((2, 2), F), z, z, z, z)
    return Plan(reference, trajectory, trajectory)


def a_frame(wall_m: float | None = None, slope: float = 0.0, radar: Any = ()) -> SensorFrame:
    """LiDAR over a plane road that climbs at `slope`, with a wall across it wall_m ahead of the ego origin."""
    elevation = np.deg2rad(np.linspace(8.0, -24.0, 32)).astype(F)
    azimuth = np.deg2rad(np.arange(-90.0, 90.0, 0.7)).astype(F)
    sensor = np.eye(4)
    sensor[:3, 3] = 1.2, 0.0, 1.9
    ce, se = np.cos(elevation)[:, None], np.sin(elevation)[:, None]
    ca = np.cos(azimuth)[None] * np.ones_like(ce)
    down = slope * ce * ca - se  # sensor height over the road falls this fast along the ray
    distance = np.where(down > 1e-3, (1.9 - 1.2 * slope) / np.maximum(down, 1e-3), np.inf)
    if wall_m is not None:
        to_wall = (wall_m - 1.2) / np.maximum(ce * ca, 1e-3)
        distance = np.where((to_wall < distance) & (1.9 + to_wall * se < 3.0), to_wall, distance)
    steps = np.where(distance < 100.0, distance / LIDAR_STEP_M, 0.0).astype(np.uint16)
    n = len(azimuth)
    lidar = LidarSweep(np.zeros(n), azimuth, elevation, steps, np.zeros(steps.shape, np.uint8), sensor)
    returns = np.array(radar, F).reshape(-1, 4)
    z = np.zeros(0)
    return SensorFrame(
        0, 0.0, (), lidar, RadarSamples(np.zeros(len(returns)), returns),
        ImuSamples(z, np.zeros((0, 3), F), np.zeros((0, 3), F)),
        GnssSamples(z, np.zeros((0, 3), F)), WheelSamples(z, np.zeros(0, F), np.zeros(0, F)),
    )  # fmt: skip


# the package warns on import, and of a converter that ad_physics registered before
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_rss_distance_is_that_of_ad_rss() -> None:
    pytest.importorskip("ad_rss")
    from ad_rss import physics, rss

    for case in ((30.0, 20.0, 1.0, 3.5, 4.0, 8.0), (20.0, 20.0, 0.5, 2.0, 5.0, 8.0), (8.0, 0.0, 0.1, 1.0, 5.0, 8.0)):
        rear, front, response, accel, brake, hard = case
        distance = physics.Distance(0.0)
        ahead, behind = (ad_rss_state(physics, rss, v, response, accel, brake, hard) for v in (front, rear))
        assert rss.structured.calculateSafeLongitudinalDistanceSameDirection(ahead, behind, distance)
        assert rss_distance(*case) == pytest.approx(float(str(distance)), rel=1e-5)


def ad_rss_state(physics: Any, rss: Any, speed: float, response: float, accel: float, brake: float, hard: float) -> Any:
    """A vehicle for ad_rss, which refuses one with any field left unset."""
    state = rss.core.RelativeObjectState()
    state.object_type = rss.world.ObjectType.OtherVehicle
    d, a, m, s, t = state.dynamics, physics.Acceleration, physics.Distance, physics.Speed, physics.Angle
    d.alpha_lon.accel_max, d.alpha_lon.brake_max = a(accel), a(-hard)
    d.alpha_lon.brake_min, d.alpha_lon.brake_min_correct = a(-brake), a(-min(brake, 3.0))
    d.alpha_lat.accel_max, d.alpha_lat.brake_min = a(0.2), a(-0.8)
    d.lateral_fluctuation_margin, d.min_longitudinal_safety_distance = m(0.0), m(0.0)
    d.response_time, d.max_speed_on_acceleration = physics.Duration(response), s(100.0)
    u = d.unstructured_settings
    u.pedestrian_turning_radius, u.vehicle_min_radius = m(2.0), m(3.5)
    u.drive_away_max_angle = t(2.4)
    u.vehicle_yaw_rate_change = physics.AngularAcceleration(0.3)
    u.vehicle_trajectory_calculation_step = physics.Duration(0.2)
    loose = state.unstructured_object_state
    loose.yaw, loose.steering_angle, loose.yaw_rate = t(0.0), t(0.0), physics.AngularVelocity(0.0)
    loose.dimension.length, loose.dimension.width = m(4.5), m(1.9)
    loose.center_point.x, loose.center_point.y = m(0.0), m(0.0)
    loose.speed_range.minimum = loose.speed_range.maximum = s(speed)
    laned = state.structured_object_state
    laned.velocity.speed_lon_min = laned.velocity.speed_lon_max = s(speed)
    laned.velocity.speed_lat_min = laned.velocity.speed_lat_max = s(0.0)
    laned.has_priority, laned.is_in_correct_lane = False, True
    laned.distance_to_enter_intersection, laned.distance_to_leave_intersection = m(0.0), m(1000.0)
    return state


def test_nan_stops_the_car() -> None:
    for wanted in (Control(float("nan"), 1.0), Control(0.0, float("inf"))):
        command = Guard(SEDAN)(wanted, a_plan(), make_scene(0, 0, 0, 0, 10.0), a_frame())
        assert "not finite" in command.intervention
        assert np.isfinite(command.pedals).all() and command.pedals[1] > 0.5 and command.pedals[0] == 0.0


def test_wall_in_the_lidar_is_braked_for_though_perception_is_blind() -> None:
    guard, x, speed = Guard(SEDAN), 0.0, 12.0
    acted = False
    for tick in range(200):
        command = guard(Control(0.0, 1.0), a_plan(), make_scene(tick, x, 0, 0, speed), a_frame(60.0 - x))
        acted |= command.intervention.startswith("LiDAR")
        speed = max(speed + command.control.accel_mps2 * 0.05, 0.0) if speed > 0.3 else 0.0
        x += speed * 0.05
    assert acted and speed == 0.0
    assert 55.0 < x + FRONT_M < 60.0


@pytest.mark.parametrize("slope", [-0.1, 0.0, 0.06, 0.12])
def test_road_is_no_obstacle(slope: float) -> None:
    for angle in (0.0, 0.2, -0.4):
        scene = make_scene(0, 0, 0, 0, 10.0 if angle == 0.0 else 4.0, wheel_angle=angle)
        assert Guard(SEDAN)(Control(angle, 0.0), a_plan(), scene, a_frame(slope=slope)).intervention == ""


def test_wall_beside_the_lane_is_not_in_the_way() -> None:
    side = 2.0 + 0.5 * SEDAN.width_m
    along, inside = swept(0.0, np.array([[10.0, side], [10.0, 0.0], [-3.0, 0.0]]), SEDAN, 0.1)
    assert inside.tolist() == [False, True, False]
    assert along[1] == pytest.approx(10.0 - FRONT_M)


@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_swept_corridor_is_what_the_body_covers_on_the_circle(side: float) -> None:
    radius = 9.0
    angle = np.linspace(0.0, 1.2, 2000)
    box = np.array([(a, b) for a in np.linspace(FRONT_M - SEDAN.length_m, FRONT_M, 60) for b in (-0.5, 0.5)])
    box[:, 1] *= SEDAN.width_m
    points = np.random.default_rng(0).uniform((3.0, -9.0), (12.0, 9.0), (400, 2))
    covered = np.zeros(len(points), bool)
    for a in angle:
        x, y = radius * np.sin(a), side * radius * (1 - np.cos(a))
        d = points - (x, y)
        c, s = np.cos(side * a), np.sin(side * a)
        ahead, left = d[:, 0] * c + d[:, 1] * s, d[:, 1] * c - d[:, 0] * s
        covered |= (ahead < FRONT_M) & (ahead > FRONT_M - SEDAN.length_m) & (np.abs(left) < 0.5 * SEDAN.width_m)
    now = (points[:, 0] < FRONT_M) & (np.abs(points[:, 1]) < 0.5 * SEDAN.width_m)
    along, inside = swept(side / radius, points, SEDAN, 0.0)
    soon = along < radius * 0.9
    assert np.mean((inside == covered)[soon & ~now]) > 0.99


def test_ordinary_following_is_left_alone() -> None:
    guard, x, speed, lead, lead_speed = Guard(SEDAN), 0.0, 12.0, FRONT_M + 25.0, 12.0
    for tick in range(600):
        lead_accel = -2.5 if 200 <= tick < 300 else 1.5
        lead_speed = float(np.clip(lead_speed + lead_accel * 0.05, 0.0, 12.0))
        lead += lead_speed * 0.05
        gap = lead - 2.25 - x - FRONT_M
        s = 2.5 + max(1.2 * speed + speed * (speed - lead_speed) / (2.0 * np.sqrt(1.5 * 2.0)), 0.0)
        accel = float(np.clip(1.5 * (1.0 - (speed / 13.0) ** 4 - (s / gap) ** 2), -3.5, 1.5))
        scene = make_scene(tick, x, 0, 0, speed, [(Kind.CAR, lead, 0.1, 0.0, lead_speed)])
        command = guard(Control(0.0, accel), a_plan(), scene, a_frame(lead - 2.25 - x if lead - x < 60 else None))
        assert command.intervention == "", (tick, command.intervention, gap, speed)
        speed = max(speed + accel * 0.05, 0.0)
        x += speed * 0.05


@pytest.mark.parametrize("others", [[], [(Kind.CAR, 400.0, 0.0, 0.0, 5.0)]], ids=["nobody", "far away"])
def test_an_empty_road_is_driven_on(others: list[Any]) -> None:
    command = Guard(SEDAN)(Control(0.0, 1.0), a_plan(), make_scene(0, 0.0, 0.0, 0.0, 8.0, others), a_frame())
    assert command.intervention == "" and command.control.accel_mps2 == 1.0


def test_leader_that_brakes_hard_is_not_hit() -> None:
    guard, x, speed, lead, lead_speed = Guard(SEDAN), 0.0, 14.0, FRONT_M + 2.25 + 14.0, 14.0
    reasons = set()
    for tick in range(160):
        lead_speed = max(lead_speed - 8.0 * 0.05, 0.0)
        lead += lead_speed * 0.05
        scene = make_scene(tick, x, 0, 0, speed, [(Kind.CAR, lead, 0.0, 0.0, lead_speed)])
        command = guard(Control(0.0, 0.0), a_plan(), scene, a_frame())
        reasons.add(command.intervention[:5])
        speed = max(speed + command.control.accel_mps2 * 0.05, 0.0) if speed > 0.3 else 0.0
        x += speed * 0.05
    assert "track" in reasons
    assert x + FRONT_M < lead - 2.25


def test_radar_pair_in_the_corridor_is_braked_for() -> None:
    pair = [(7.0, 0.02, 0.0, -10.0), (7.1, -0.02, 0.0, -10.0)]
    command = Guard(SEDAN)(Control(0.0, 0.0), a_plan(), make_scene(0, 0, 0, 0, 10.0), a_frame(radar=pair))
    assert command.intervention.startswith("radar")
    moving = [(7.0, 0.02, 0.0, 0.0), (7.1, -0.02, 0.0, 0.0)]
    assert (
        Guard(SEDAN)(Control(0.0, 0.0), a_plan(), make_scene(0, 0, 0, 0, 10.0), a_frame(radar=moving)).intervention
        == ""
    )


def test_wheel_angle_obeys_rate_and_lateral_limits() -> None:
    guard = Guard(SEDAN)
    scene = make_scene(0, 0, 0, 0, 3.0)
    first = guard(Control(1.0, 0.0), a_plan(), scene, a_frame()).control.wheel_angle_rad
    second = guard(Control(1.0, 0.0), a_plan(), scene, a_frame()).control.wheel_angle_rad
    assert first == pytest.approx(SEDAN.wheel_rate_max_radps * 0.05)
    assert second == pytest.approx(2 * first)
    for _ in range(60):
        angle = guard(Control(1.0, 0.0), a_plan(), make_scene(0, 0, 0, 0, 15.0), a_frame()).control.wheel_angle_rad
    assert 15.0**2 * np.tan(angle) / SEDAN.wheelbase_m == pytest.approx(Limits().lateral_mps2, rel=0.01)


@pytest.mark.parametrize(("height_m", "acts"), [(0.0, True), (1.5, True), (6.9, False), (-6.9, False)])
def test_who_drives_over_or_under_the_corridor_is_not_braked_for(height_m: float, acts: bool) -> None:
    scene = make_scene(0, 0, 0, 0, 15.0, [(Kind.CAR, 18.0, 0.0, np.pi / 2, 0.5)])
    scene.tracks.xyz_m[:, 2] = height_m
    command = Guard(SEDAN)(Control(0.0, 0.0), a_plan(), scene, a_frame())
    assert command.intervention.startswith("track") == acts and (command.control.accel_mps2 < -5.0) == acts


def test_who_is_on_the_bridge_does_not_vouch_for_a_wall_below_it() -> None:
    """Points inside a track's box are the track's, but not those of another road."""
    scene = make_scene(0, 0, 0, 0, 12.0, [(Kind.TRUCK, 15.0, 0.0, np.pi / 2, 0.5, 12.0, 6.0)])
    scene.tracks.xyz_m[:, 2] = 6.9
    assert Guard(SEDAN)(Control(0.0, 0.0), a_plan(), scene, a_frame(15.0)).intervention.startswith("LiDAR")


def test_a_lidar_that_sees_half_a_turn_in_a_tick_stops_the_car_all_the_same() -> None:
    guard, x, speed = Guard(SEDAN), 0.0, 22.0
    for tick in range(200):
        frame = a_frame(40.0 - x) if tick % 2 == 0 and 40.0 - x < 32.0 else a_frame()
        accel = guard(Control(0.0, 0.0), a_plan(), make_scene(tick, x, 0, 0, speed), frame).control.accel_mps2
        speed = max(speed + accel * 0.05, 0.0) if speed > 0.3 else 0.0
        x += speed * 0.05
    assert x + FRONT_M < 40.0 and speed == 0.0


def crawl(tracks: list[tuple[Any, ...]], seconds: float = 12.0) -> tuple[float, float, set[str]]:
    """Where (x, y) a car that stands at the origin and wants ahead gets to as its wheels lead it, and why."""
    guard, x, y, yaw, speed, reasons = Guard(SEDAN), 0.0, 0.0, 0.0, 0.0, set()
    for tick in range(int(seconds / 0.05)):
        scene = make_scene(tick, x, y, yaw, speed, tracks)
        command = guard(Control(0.0, 1.5), a_plan(), scene, a_frame())
        reasons.add(command.intervention)
        speed = min(max(speed + command.control.accel_mps2 * 0.05, 0.0), 0.9)
        yaw += speed * np.tan(command.control.wheel_angle_rad) / SEDAN.wheelbase_m * 0.05
        x, y = x + speed * np.cos(yaw) * 0.05, y + speed * np.sin(yaw) * 0.05
        car = shapely.box(FRONT_M - SEDAN.length_m, -0.5 * SEDAN.width_m, FRONT_M, 0.5 * SEDAN.width_m)
        car = shapely.affinity.translate(shapely.affinity.rotate(car, yaw, (0, 0), use_radians=True), x, y)
        for _, cx, cy, turn, *_ in tracks:
            other = shapely.affinity.translate(shapely.affinity.rotate(shapely.box(-2.25, -0.95, 2.25, 0.95), turn,
                                                                       use_radians=True), cx, cy)  # fmt: skip
            assert not car.intersects(other), tick
    return x, y, reasons


def test_a_car_that_stands_before_another_is_held_and_steers_past_a_corner() -> None:
    """0.5 m before the whole back of a car there is no way; before a corner of it there is one, without contact."""
    x, _, reasons = crawl([(Kind.CAR, FRONT_M + 0.5 + 2.25, 0.0, 0.0, 0.0)])
    assert x < 0.2 and "no way past what is ahead" in reasons
    x, y, reasons = crawl([(Kind.CAR, FRONT_M + 0.5 + 2.25, -1.5, 0.0, 0.0)])
    assert x > 3.0 and y > 0.1 and "steers past what is ahead" in reasons
    x, y, reasons = crawl([(Kind.CAR, FRONT_M + 0.5 + 2.25, -2.3, 0.0, 0.0)])
    assert x > 3.0 and reasons == {""}


def test_a_walker_before_the_bumper_is_waited_for() -> None:
    scene = make_scene(0, 0, 0, 0, 0.0, [(Kind.PEDESTRIAN, FRONT_M + 0.4, -0.5, 0.0, 0.0)])
    command = Guard(SEDAN)(Control(0.0, 1.5), a_plan(), scene, a_frame())
    assert command.control.accel_mps2 < 0.0 and command.intervention == "no way past what is ahead"
