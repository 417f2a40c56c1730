"""Compiles and caches every kernel of a drive, so that the first drive does not wait. `make setup` runs it."""

from __future__ import annotations

import time

from scripts.build import DriveSettings, build_scenario, build_stack, device_of
from stack.loop import drive


def main() -> None:
    from control.features import Features
    from sim.world import EmbeddedWorld
    from stack.scenearrays import ReferenceArrays, SceneArrays, allocate

    started = time.monotonic()
    settings = DriveSettings(perception="oracle", controller="classical")
    device = device_of(settings.device)
    scenario, road_map = build_scenario(settings)
    world = EmbeddedWorld(road_map, device)
    stack = build_stack(scenario, settings, device, world.truth)
    for step in drive(world, stack, scenario):
        if step.frame.tick == 2:
            break
    Features(allocate(SceneArrays, 1, 1, device), allocate(ReferenceArrays, 1, 1, device), 1, device).launch()
    print(f"kernels ready in {time.monotonic() - started:.0f} s ({device})")


if __name__ == "__main__":
    main()
