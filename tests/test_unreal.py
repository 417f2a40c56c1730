"""Against a CARLA server of one's own: pytest -m unreal --carla-host HOST [--carla-port 2000] [--carla-map Town10HD_Opt].

Skipped without --carla-host. What the server had before (settings, weather) it has again afterwards.
"""

from itertools import islice
from typing import Any

import numpy as np
import pytest

from scripts.build import DriveSettings, build_stack
from scripts.worlds import prepare
from stack.loop import TICK_S, drive
from stack.messages import Step
from stack.rates import StageTimes

pytestmark = pytest.mark.unreal


@pytest.fixture(scope="module")
def settings(request: pytest.FixtureRequest) -> DriveSettings:
    host = request.config.getoption("--carla-host")
    if not host:
        pytest.skip("no --carla-host")
    return DriveSettings(
        world="carla", host=host, port=int(request.config.getoption("--carla-port")),
        map=request.config.getoption("--carla-map"), seed=3,
    )  # fmt: skip


@pytest.fixture(scope="module")
def steps(settings: DriveSettings) -> list[Step]:
    """Ten seconds of the whole stack."""
    scenario, _, make = prepare(settings, "cpu", StageTimes())
    world = make()
    try:
        world.warm_up(scenario)
        stack = build_stack(scenario, settings, "cpu", world.truth)
        return list(islice(drive(world, stack, scenario), 200))
    finally:
        world.close()


def test_the_clock_and_the_frames(steps: list[Step]) -> None:
    assert [step.frame.tick for step in steps] == list(range(len(steps)))
    assert len(steps) == 200
    assert steps[-1].frame.time_s == pytest.approx(199 * TICK_S)


def test_every_sensor_gives_its_share(steps: list[Step]) -> None:
    for step in steps[5:]:
        frame = step.frame
        assert [image.rgb.shape[0] for image in frame.cameras] == [3] * len(frame.cameras)
        assert (frame.lidar.range_steps > 0).mean() > 0.1
        assert len(frame.imu.time_s) == 5
    assert np.mean([step.frame.imu.accel_mps2[:, 2].mean() for step in steps[20:]]) == pytest.approx(9.81, abs=0.7)
    assert max(float(image.rgb.float().std()) for step in steps for image in step.frame.cameras) > 10.0


def test_the_car_drives_and_knows_where_it_is(steps: list[Step]) -> None:
    """The satellite fixes, the map and the truth mean the same place, and a car told to go, goes."""
    start, end = steps[0].truth.ego.pose, steps[-1].truth.ego.pose
    fixes = [step.frame.gnss.xyz_m[0] for step in steps if len(step.frame.gnss.time_s)]
    places = [step.truth.ego.pose for step in steps if len(step.frame.gnss.time_s)]
    off = [np.hypot(f[0] - p.x_m, f[1] - p.y_m) for f, p in zip(fixes, places, strict=True)]
    assert np.median(off) < 4.0
    assert np.hypot(end.x_m - start.x_m, end.y_m - start.y_m) > 5.0
    believed = [
        np.hypot(s.scene.ego.pose.x_m - s.truth.ego.pose.x_m, s.scene.ego.pose.y_m - s.truth.ego.pose.y_m)
        for s in steps
    ]
    assert np.median(believed[40:]) < 3.0


def test_the_cast_goes_where_it_is_put(steps: list[Step]) -> None:
    assert all(len(step.truth.actors.id) == len(steps[0].truth.actors.id) for step in steps)
    assert np.abs(steps[-1].truth.actors.xyz_m - steps[0].truth.actors.xyz_m).max() > 10.0


def test_the_server_is_handed_back(settings: DriveSettings, steps: list[Step]) -> None:
    from sim.carla.connect import connect

    world: Any = connect(settings.host, settings.port, 20.0).get_world()
    assert not world.get_settings().synchronous_mode
    world.wait_for_tick()
    assert not [actor for actor in world.get_actors() if actor.attributes.get("role_name") in ("hero", "scenario")]
