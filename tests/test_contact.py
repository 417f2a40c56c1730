"""Contact against shapely, and what bodies do when they meet."""

import numpy as np
import pytest
import shapely
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from plain_graph import plain_graph

from sim.batch import Batch
from sim.kernels.contact import SCENERY
from sim.state import Driver
from stack.labels import Kind
from stack.vehicle import load_vehicle

FIELD = plain_graph()
SEDAN = load_vehicle("sedan")
PROPS = Batch(FIELD, [SEDAN], 1, 2)  # props do not move: geometry alone
PROPS.reset_world(0, {"kind": [int(Kind.PROP)] * 2}, seed=1)


def polygon(x: float, y: float, yaw: float, length: float, width: float) -> shapely.Polygon:
    box = shapely.box(-0.5 * length, -0.5 * width, 0.5 * length, 0.5 * width)
    return shapely.affinity.translate(shapely.affinity.rotate(box, yaw, origin=(0, 0), use_radians=True), x, y)


def reset(batch: Batch, world: int, **rows: list[float]) -> None:
    n = len(next(iter(rows.values())))
    defaults = {"kind": [int(Kind.CAR)] * n, "driver": [int(Driver.EXTERNAL)] * n}
    batch.reset_world(world, defaults | rows, seed=1)


LENGTHS = st.one_of(st.just(0.0), st.floats(1e-3, 0.05), st.floats(0.3, 12.0))
PLACES, ANGLES = st.floats(-6.0, 6.0), st.floats(-7.0, 7.0)
FAR_FROM_ORIGIN_M = st.sampled_from((0.0, 800.0))


@st.composite
def boxes(draw: st.DrawFn) -> tuple[list[float], list[float]]:
    """Two boxes x, y, yaw, length, width: anywhere, side by side within a hair, or one about the middle of the other."""
    x, y, yaw = draw(PLACES), draw(PLACES), draw(ANGLES)
    first = [x, y, yaw, draw(LENGTHS), draw(LENGTHS)]
    second = [draw(PLACES), draw(PLACES), draw(st.one_of(ANGLES, st.just(yaw))), draw(LENGTHS), draw(LENGTHS)]
    assume(first[3] + first[4] > 0.0 and second[3] + second[4] > 0.0)
    how = draw(st.sampled_from(("anywhere", "touching", "inside")))
    if how == "touching":
        turn = second[2] - yaw
        reach = 0.5 * (first[3] + abs(np.cos(turn)) * second[3] + abs(np.sin(turn)) * second[4])
        reach, side = reach + draw(st.floats(-0.01, 0.01)), draw(st.floats(-0.5, 0.5)) * first[4]
        second[0] = x + reach * np.cos(yaw) - side * np.sin(yaw)
        second[1] = y + reach * np.sin(yaw) + side * np.cos(yaw)
    elif how == "inside":
        second[0], second[1] = x + draw(st.floats(-0.05, 0.05)), y
    shift = draw(FAR_FROM_ORIGIN_M)
    return [first[0] + shift, *first[1:]], [second[0] + shift, *second[1:]]


@settings(max_examples=250, deadline=None)
@given(boxes())
def test_overlap_equals_shapely(pair: tuple[list[float], list[float]]) -> None:
    """Boxes a millimetre apart do not touch, and those that reach two millimetres into each other do; thin ones too."""
    given_boxes = np.array(pair, np.float32)
    for name, column in zip(("x_m", "y_m", "yaw_rad", "length_m", "width_m"), given_boxes.T, strict=True):
        PROPS.state.numpy(name)[0] = column
    PROPS.step()
    hit, x, y = (PROPS.state.numpy(name)[0] for name in ("hit_other", "hit_x_m", "hit_y_m"))
    a, b = (polygon(*box) for box in given_boxes.astype(float))
    assert hit.tolist() in ([-1, -1], [1, 0])
    if shapely.distance(a, b) > 1e-3:
        assert hit[0] == -1
    cores = [box.buffer(-2e-3, join_style="mitre") for box in (a, b)]
    if cores[0].intersects(b) or cores[1].intersects(a):
        assert hit[0] == 1
    if any(
        core.contains(shapely.Point(c)) for core, box in zip(cores, (b, a), strict=True) for c in box.exterior.coords
    ):
        point = shapely.Point(x[0], y[0])  # it is made of such corners; boxes that cross like a plus sign have none
        assert max(a.distance(point), b.distance(point)) < 2e-3


def test_rear_end_collision() -> None:
    """10 m/s into a car at rest: who, where, how fast; the two go on together, momentum kept but for a tick of
    braking."""
    batch = Batch(FIELD, [SEDAN], 1, 3)
    reset(batch, 0, x_m=[0.0, 5.0, 40.0], vx_mps=[10.0, 0.0, 0.0])
    gap = 5.0 - SEDAN.length_m
    for _ in range(3):
        batch.step()
        if batch.state.numpy("hit_other")[0, 0] >= 0:
            break
    assert batch.state.numpy("hit_other")[0].tolist() == [1, 0, -1]
    assert batch.state.numpy("hit_speed_mps")[0, :2] == pytest.approx(10.0, abs=0.1)
    assert batch.state.numpy("hit_x_m")[0, 0] == pytest.approx(gap + SEDAN.centre_m + 0.5 * SEDAN.length_m, abs=0.5)
    assert batch.state.numpy("vx_mps")[0, :2] == pytest.approx([5.0, 5.0], abs=0.1)
    for _ in range(20):
        batch.step()
    x = batch.state.numpy("x_m")[0]
    assert SEDAN.length_m - 0.05 < x[1] - x[0] < SEDAN.length_m + 0.5


def test_side_impact_spins_and_pushes() -> None:
    batch = Batch(FIELD, [SEDAN], 1, 2)
    reset(batch, 0, x_m=[0.0, 3.0], y_m=[0.0, -4.2], yaw_rad=[0.0, np.pi / 2], vx_mps=[0.0, 12.0])
    for _ in range(10):
        batch.step()
    assert batch.state.numpy("y_m")[0, 0] > 0.2 and batch.state.numpy("yaw_rad")[0, 0] > 0.05  # hit ahead of the middle
    assert batch.state.numpy("vx_mps")[0, 1] < 11.0


def test_a_heap_of_cars_gains_no_energy() -> None:
    rng = np.random.default_rng(5)
    n = 24
    batch = Batch(FIELD, [SEDAN], 1, n)
    reset(batch, 0, x_m=rng.uniform(-12, 12, n), y_m=rng.uniform(-12, 12, n), yaw_rad=rng.uniform(-3, 3, n),
          vx_mps=rng.uniform(0, 20, n), brake=np.full(n, 0.3))  # fmt: skip

    def energy() -> float:
        vx, vy, r = (batch.state.numpy(name)[0].astype(float) for name in ("vx_mps", "vy_mps", "yaw_rate_radps"))
        v_cg = vy + SEDAN.rear_axle_m * r
        return float((0.5 * SEDAN.mass_kg * (vx**2 + v_cg**2) + 0.5 * SEDAN.yaw_inertia_kgm2 * r**2).sum())

    energies = [energy()]
    for _ in range(200):
        batch.step()
        energies.append(energy())
    assert np.all(np.diff(energies) <= 0.001 * energies[0]) and energies[-1] < 1e-4 * energies[0]
    assert np.isfinite(batch.state.numpy("x_m")).all()


def test_static_scenery_stops_a_car() -> None:
    wall = np.array([[20.0, 0.0, 0.3, 1.0, 30.0, 0.0, 3.0], [0.0, 60.0, 0.0, 5.0, 5.0, 0.0, 3.0]])
    batch = Batch(FIELD, [SEDAN], 1, 2, static_boxes=wall)
    reset(batch, 0, x_m=[0.0, 0.0], y_m=[0.0, 30.0], vx_mps=[15.0, 1.0])
    speeds = []
    for _ in range(60):
        batch.step()
        if batch.state.numpy("hit_other")[0, 0] == SCENERY:
            speeds.append(float(batch.state.numpy("hit_speed_mps")[0, 0]))
    assert speeds[0] == pytest.approx(15.0 * np.cos(0.3), rel=0.1)
    assert batch.state.numpy("hit_other")[0, 1] == -1
    body = polygon(batch.state.numpy("x_m")[0, 0] + SEDAN.centre_m * np.cos(batch.state.numpy("yaw_rad")[0, 0]),
                   batch.state.numpy("y_m")[0, 0] + SEDAN.centre_m * np.sin(batch.state.numpy("yaw_rad")[0, 0]),
                   batch.state.numpy("yaw_rad")[0, 0], SEDAN.length_m, SEDAN.width_m)  # fmt: skip
    assert shapely.area(shapely.intersection(body, polygon(*wall[0, :5]))) < 0.3
    with pytest.raises(ValueError, match="static boxes"):
        Batch(FIELD, [SEDAN], 1, 1, static_boxes=np.zeros((2, 4)))
    with pytest.raises(ValueError, match="static boxes"):
        Batch(FIELD, [SEDAN], 1, 1, static_boxes=wall[:, [0, 1, 2, 3, 4, 6, 5]])


@pytest.mark.parametrize(
    ("z_m", "bottom_m", "top_m", "hit"),
    [
        (0.0, 0.0, 0.7, True),  # a rail beside the road
        (0.0, 5.5, 7.7, False),  # that of a bridge overhead
        (7.0, -0.4, 0.8, False),  # one below the bridge that it is on
        (7.0, 5.5, 7.7, True),  # the bridge's own
        (0.0, 1.0, 6.0, True),  # the end of a beam
        (0.0, -0.5, 0.1, False),  # a kerb
    ],
)
def test_only_what_is_at_its_height_stops_a_car(z_m: float, bottom_m: float, top_m: float, hit: bool) -> None:
    wall = np.array([[20.0, 0.0, 0.3, 1.0, 30.0, bottom_m, top_m]])
    batch = Batch(FIELD, [SEDAN], 1, 1, static_boxes=wall)
    reset(batch, 0, x_m=[0.0], z_m=[z_m], vx_mps=[15.0])
    hits = [batch.step() or int(batch.state.numpy("hit_other")[0, 0]) for _ in range(60)]
    assert (SCENERY in hits) == hit
    assert (batch.state.numpy("x_m")[0, 0] > 30.0) == (not hit)


def test_static_boxes_of_another_map_are_not_hit() -> None:
    wall = np.array([[6.0, 0.0, 0.0, 1.0, 8.0, 0.0, 3.0]])
    batch = Batch([FIELD, FIELD], [SEDAN], 2, 1, static_boxes=[None, wall])
    for world in range(2):
        batch.reset_world(world, {"kind": [1], "driver": [2], "vx_mps": [10.0]}, seed=0, map_index=world)
    hits = np.array([batch.step() or batch.state.numpy("hit_other")[:, 0].copy() for _ in range(20)])
    assert (hits[:, 0] == -1).all() and (hits[:, 1] == SCENERY).any()


def test_a_pedestrian_is_hit_and_hardly_slows_the_car() -> None:
    batch = Batch(FIELD, [SEDAN], 1, 2)
    reset(batch, 0, kind=[int(Kind.CAR), int(Kind.PEDESTRIAN)], driver=[2, 0], x_m=[0.0, 4.5], vx_mps=[8.0, 0.0],
          length_m=[SEDAN.length_m, 0.5], width_m=[SEDAN.width_m, 0.6])  # fmt: skip
    batch.state.numpy("centre_m")[0, 0] = SEDAN.centre_m
    for _ in range(4):
        batch.step()
        if batch.state.numpy("hit_other")[0, 0] >= 0:
            break
    assert batch.state.numpy("hit_other")[0].tolist() == [1, 0]
    assert batch.state.numpy("hit_speed_mps")[0, 0] == pytest.approx(8.0, abs=0.2)
    assert batch.state.numpy("vx_mps")[0, 0] == pytest.approx(8.0 * SEDAN.mass_kg / (SEDAN.mass_kg + 75.0), abs=0.2)


def test_a_placed_car_is_a_wall() -> None:
    """Its pose comes from outside: pedals, hits and the road leave it where it is; who hits it stops."""
    batch = Batch(FIELD, [SEDAN], 1, 2)
    reset(batch, 0, driver=[int(Driver.EXTERNAL), int(Driver.PLACED)], x_m=[0.0, 6.0], z_m=[0.0, 0.5], vx_mps=[10.0, 0.0],
          throttle=[0.0, 1.0])  # fmt: skip
    for _ in range(20):
        batch.step()
    assert [batch.state.numpy(name)[0, 1] for name in ("x_m", "z_m", "vx_mps", "yaw_rad")] == [6.0, 0.5, 0.0, 0.0]
    assert abs(batch.state.numpy("vx_mps")[0, 0]) < 0.05 and batch.state.numpy("hit_other")[0].tolist() == [1, 0]
