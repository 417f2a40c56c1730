"""Contact in the open world: momentum, who gives way to whom, and what is said about it."""

import numpy as np
import pytest
from open_field import CAR_M, CONE_M, PERSON_M, car, field, ticks

from sim.open_world import SCENERY
from stack.frames import Pose
from stack.labels import Kind


def test_rear_end_keeps_momentum_and_says_how_hard() -> None:
    """Two equal cars, perfectly inelastic: both go on at half the speed, and m v / 2 passes between them."""
    world = field()
    rows = car(world, 0.0, 0.0, 0.0, 0.0, 10.0), car(world, 4.95)
    m = world.params(rows[0]).mass_kg
    while not (hits := world.contacts()):
        before = world.motion().velocity_mps[list(rows), 0]
        world.tick(0.05)
    after = world.motion().velocity_mps[list(rows), 0]
    assert after == pytest.approx(0.5 * before.sum() * np.ones(2), abs=0.02)
    assert [(hit.row, hit.other) for hit in hits] == [(rows[0], rows[1]), (rows[1], rows[0])]
    assert hits[1].impulse_ns == pytest.approx([0.5 * m * before[0], 0.0, 0.0], rel=0.01)
    assert hits[0].impulse_ns == pytest.approx(-hits[1].impulse_ns)
    assert hits[0].point_m == pytest.approx([2.5, 0.0, 0.75], abs=0.4)


def test_side_impact_keeps_momentum_and_turns() -> None:
    """Linear and angular momentum of both together, on ice: before and after."""
    world = field()
    world.add_friction(Pose(0.0, 0.0), (90.0, 90.0, 5.0), 1e-3)
    a, b = car(world), car(world, 1.2, -4.0, 0.0, 0.5 * np.pi, 14.0)
    p, q = world.params(a), world.params(b)
    assert (p, 0) == (q, 0)
    lever = p.rear_axle_m - p.centre_m  # from the box centre ahead to the centre of gravity

    def momenta() -> np.ndarray:
        m, out = world.motion(), np.zeros(3)
        for row in (a, b):
            yaw, rate = m.rpy_rad[row, 2], m.turn_radps[row, 2]
            arm = lever * np.array([np.cos(yaw), np.sin(yaw)])
            at, v = m.xyz_m[row, :2] + arm, m.velocity_mps[row, :2] + rate * np.array([-arm[1], arm[0]])
            out += p.mass_kg * np.array([*v, at[0] * v[1] - at[1] * v[0]]) + [0.0, 0.0, p.yaw_inertia_kgm2 * rate]
        return out

    before = momenta()
    while not world.contacts():
        world.tick(0.01)
    assert momenta() == pytest.approx(before, rel=0.01, abs=0.01 * before[1])
    assert world.motion().turn_radps[a, 2] > 0.3 and world.motion().velocity_mps[a, 1] > 2.0


@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_a_row_of_cars_passes_the_impulse_on_at_once(side: float) -> None:
    """Four cars that touch and a fifth that hits the row from either end: a fifth of its speed each, within a tick."""
    world = field()
    rows = [car(world, 4.693 * k) for k in range(4)]
    rows.append(car(world, 2.5 * 4.7 * side + 1.5 * 4.693 + 0.1 * side, speed=-12.0 * side))
    world.tick(0.05)
    touched = {(hit.row, hit.other) for hit in world.contacts()}
    assert {(0, 1), (1, 2), (2, 3), (3 if side > 0.0 else 0, 4)} <= touched
    assert -side * world.motion().velocity_mps[rows, 0] == pytest.approx(12.0 / 5.0, abs=0.5)


def test_one_row_touches_several() -> None:
    world = field(boxes=[[0.0, 2.0, 0.0, 8.0, 1.0, 0.0, 2.0]])
    hit = car(world, 0.0, 0.58)
    for x in (-4.65, 4.65):
        car(world, x, 0.0)
    world.set_velocity(hit, (0.0, 2.0, 0.0))
    world.tick(0.02)
    assert {c.other for c in world.contacts() if c.row == hit} == {1, 2, SCENERY}


def test_a_wall_stops_and_takes_the_momentum() -> None:
    world = field(boxes=[[6.0, 0.0, 0.0, 1.0, 10.0, 0.0, 3.0]])
    row = car(world, speed=9.0)
    p, total = world.params(row), np.zeros(3)
    for _ in range(40):
        world.tick(0.05)
        for hit in world.contacts():
            assert (hit.row, hit.other) == (row, SCENERY)
            total += hit.impulse_ns
    assert total == pytest.approx([-p.mass_kg * 9.0, 0.0, 0.0], rel=0.02, abs=1.0)
    assert abs(world.motion().velocity_mps[row, 0]) < 0.01
    assert world.motion().xyz_m[row, 0] == pytest.approx(5.5 - 0.5 * CAR_M[0], abs=0.05)


def test_what_is_not_simulated_gives_way_to_nothing() -> None:
    world = field()
    wall, row = world.add(Kind.PROP, CONE_M, Pose(8.0, 0.0)), car(world, speed=10.0)
    world.simulate(wall, False)
    ticks(world, 30)
    m = world.motion()
    assert m.xyz_m[wall] == pytest.approx([8.0, 0.0, 0.0]) and abs(m.velocity_mps[row, 0]) < 0.05


def test_a_placed_car_hits_with_the_speed_of_its_placings() -> None:
    world = field()
    placed, row = car(world, 0.0), car(world, 8.0)
    world.simulate(placed, False)
    for k in range(1, 12):
        world.place(placed, Pose(0.5 * k, 0.0))
        world.tick(0.05)
        assert world.motion().velocity_mps[placed] == pytest.approx([10.0, 0.0, 0.0], abs=1e-3)
    assert world.motion().velocity_mps[row, 0] == pytest.approx(10.0, abs=0.1)
    world.tick(0.05)
    assert not world.motion().velocity_mps[placed].any()
    world.place(placed, Pose(5.5, 0.4))
    world.tick(0.05)
    world.simulate(placed, True)
    world.tick(0.05)
    assert world.motion().velocity_mps[placed, 1] > 5.0  # it goes on


def test_ghosts_and_those_at_another_height_do_not_meet() -> None:
    world = field()
    ghost, low = world.add(Kind.PROP, CONE_M, Pose(6.0, 0.0)), car(world, speed=10.0)
    over = world.add(Kind.PROP, (2.0, 2.0, 0.5), Pose(10.0, 0.0, 1.6))
    world.simulate(over, False)
    world.solid(ghost, False)
    for _ in range(40):
        world.tick(0.05)
        assert not world.contacts()
    assert world.motion().xyz_m[low, 0] > 15.0


def test_a_walker_is_thrown_and_walks_on() -> None:
    world = field()
    row, walker = car(world, speed=10.0), world.add(Kind.PEDESTRIAN, PERSON_M, Pose(4.0, 0.0))
    p = world.params(row)
    world.walk(walker, (0.0, 1.0, 0.0), 0.0)
    world.drive(row, 0.0, 1.0, 0.0)
    while not (hits := world.contacts()):
        world.tick(0.05)
    assert {(hit.row, hit.other) for hit in hits} == {(row, walker), (walker, row)}
    shared = p.mass_kg / (p.mass_kg + 75.0)
    assert world.motion().velocity_mps[walker, 0] == pytest.approx(10.0 * shared, rel=0.08)
    ticks(world, 100)
    lies = world.motion().xyz_m[walker, 0]
    assert 4.0 < lies - 4.0 < 14.0 and not world.motion().velocity_mps[walker].any()  # v^2 / (2 mu g) = 8.5 m
    world.walk(walker, (0.0, -1.0, 0.0), 1.5)
    ticks(world, 20)
    assert world.motion().velocity_mps[walker] == pytest.approx([0.0, -1.5, 0.0], abs=1e-5)


def test_a_walker_that_is_led_is_thrown_too_and_led_on_afterwards() -> None:
    """At the same place each tick, as a client's crowd does it: who drives into it feels a person, not a post."""
    world = field()
    row, walker = car(world, speed=10.0), world.add(Kind.PEDESTRIAN, PERSON_M, Pose(4.0, 0.0))
    world.drive(row, 0.0, 1.0, 0.0)
    far, waits = [], Pose(4.0, 0.0, 0.0, 1.0)
    for _ in range(100):
        world.lead(walker, waits, 0.0)
        world.tick(0.05)
        far.append(float(world.motion().xyz_m[walker, 0]))
        if len(far) == 10:  # braking has hit already
            assert world.motion().velocity_mps[row, 0] > 3.0
            world.remove(row)
    assert max(far) > 8.0 and far[-1] == pytest.approx(4.0)  # it lay, and is back where it is led
    world.lead(walker, waits, 1.4)
    world.tick(0.05)
    step = 1.4 * 0.05 * np.array([np.cos(1.0), np.sin(1.0)])
    assert world.motion().xyz_m[walker, :2] == pytest.approx([4.0, 0.0] + step, abs=1e-4)
    assert np.hypot(*world.motion().velocity_mps[walker, :2]) == pytest.approx(1.4, abs=1e-4)


def test_a_cone_is_driven_away_and_hardly_slows_the_car() -> None:
    world = field()
    row, cone = car(world, speed=10.0), world.add(Kind.PROP, CONE_M, Pose(5.0, 0.0))
    mass = 60.0 * np.prod(CONE_M)
    events: set[tuple[int, int]] = set()
    for _ in range(10):
        world.tick(0.05)
        events |= {(hit.row, hit.other) for hit in world.contacts()}
    m = world.motion()
    assert events == {(row, cone), (cone, row)}
    assert m.velocity_mps[row, 0] > 10.0 * world.params(row).mass_kg / (world.params(row).mass_kg + mass) - 0.4
    assert m.xyz_m[cone, 0] > 7.0


@pytest.mark.parametrize("speed", [20.0, 35.0])
def test_fast_hits_push_ahead(speed: float) -> None:
    """However deep a body is in the car's front after one step: it is thrown ahead, and hardly to a side."""
    for start in np.linspace(4.0, 6.0, 9):
        world = field()
        row, walker = car(world, speed=speed), world.add(Kind.PEDESTRIAN, PERSON_M, Pose(start, 0.1))
        ticks(world, 5)
        m = world.motion()
        assert m.velocity_mps[walker, 0] > 0.8 * speed and abs(m.velocity_mps[walker, 1]) < 1.0
        assert m.velocity_mps[row, 0] < speed - 0.03 * speed


@pytest.mark.parametrize("speed", [6.0, 13.0, 20.0, 30.0])
def test_the_joints_of_a_wall_stop_nobody(speed: float) -> None:
    """A car that steers into a wall slides along forty pieces as along one."""
    whole, pieces = [[41.0, 1.45, 0.0, 82.0, 0.5, 0.0, 1.0]], [[1 + 2 * k, 1.45, 0, 2, 0.5, 0, 1] for k in range(41)]
    ends = []
    for boxes in (whole, pieces):
        world = field(boxes=boxes)
        row = car(world, 5.0, 0.0, 0.0, 0.03, speed)
        world.drive(row, 0.3, 0.0, 0.1)
        ticks(world, 36)
        ends.append(world.motion())
    assert ends[1].velocity_mps[row, 0] == pytest.approx(ends[0].velocity_mps[row, 0], abs=0.3)
    assert ends[1].velocity_mps[row, 0] > 0.85 * speed and ends[1].xyz_m[row, 1] < 0.4


def test_a_heap_of_cars_gains_no_energy() -> None:
    rng, world = np.random.default_rng(5), field(rows=32)
    rows = [car(world, *rng.uniform(-12, 12, 2), 0.0, rng.uniform(-3, 3), rng.uniform(0, 10)) for _ in range(24)]
    masses = np.array([world.params(row).mass_kg for row in rows])

    def energy() -> float:
        return float((0.5 * masses * (world.motion().velocity_mps[rows] ** 2).sum(axis=1)).sum())

    energies = [energy()]
    for k in range(200):
        for row in rows if k == 80 else ():
            world.drive(row, 0.0, 1.0, 0.0)
        world.tick(0.05)
        energies.append(energy())
    assert (np.diff(energies) < 1e-3 * energies[0]).all()
    assert energies[-1] == 0.0  # wedged in and braked, they rest


def test_a_wall_rubs() -> None:
    """Coulomb: what slides along loses a share of the impulse across, whatever its speed along."""
    world = field(boxes=[[50.0, 1.95, 0.0, 200.0, 1.0, 0.0, 1.0]])
    world.add_friction(Pose(0.0, 0.0), (120.0, 20.0, 5.0), 1e-3)
    row = world.add(Kind.CAR, CAR_M, Pose(0.0, 0.0))
    world.set_velocity(row, (12.0, 3.0, 0.0))
    impulse = np.zeros(3)
    for _ in range(10):
        world.tick(0.05)
        impulse += sum((hit.impulse_ns for hit in world.contacts()), np.zeros(3))
    assert impulse[1] < -1000.0 and impulse[0] == pytest.approx(0.3 * impulse[1], rel=0.02)


def test_the_far_end_of_something_large_is_hit() -> None:
    world = field()
    row, barrier = (
        car(world, y=20.0, speed=10.0),
        world.add(Kind.PROP, (60.0, 0.5, 1.0), Pose(10.0, 0.0, 0.0, 0.5 * np.pi)),
    )
    world.simulate(barrier, False)
    ticks(world, 40)
    assert world.motion().xyz_m[row, 0] < 8.0
