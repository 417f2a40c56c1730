"""The order of the test files: those that take longest first, so that several workers end at about the same time."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.carla_server import Served

LONGEST_FIRST = (
    "test_cli", "test_closed_loop", "test_bad_maps", "test_libcarla", "test_batch", "test_replay", "test_dataset",
    "test_maps", "test_scenery",
    "test_world_contract", "test_traffic", "test_lanegraph", "test_localizer", "test_vehicle", "test_reference",
    "test_network", "test_report", "test_tracker", "test_walkers", "test_camera",
)  # fmt: skip


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--carla-host", default="", help="A CARLA server for the tests marked unreal.")
    parser.addoption("--carla-port", default="2000", help="Its port.")
    parser.addoption("--carla-map", default="Town10HD_Opt", help="A map that it has.")


def pytest_configure(config: pytest.Config) -> None:
    config.option.loadscopereorder = False  # xdist would send the files with most tests first, however short these are


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "soak" not in config.option.markexpr:  # long runs are asked for by name
        long = [item for item in items if item.get_closest_marker("soak")]
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]
    rank = {name: k for k, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: rank.get(item.path.stem, len(rank)))


@pytest.fixture(scope="session")
def served() -> "Iterator[Served]":
    """A server for all tests with the real client in this process."""
    pytest.importorskip("carla")
    from tests.carla_server import Served

    server = Served()
    yield server
    server.close()


@pytest.fixture
def world(served: "Served") -> Any:
    """A freshly loaded town_a in synchronous mode at 20 Hz."""
    from tests.carla_steps import synchronous

    return synchronous(served.client().load_world("town_a"))
