"""`python -m scripts.contact_sheet docs/maps.jpg`: a picture of every kind of map in every weather, as one sheet."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

MAPS = ("holdout_a", "roundabouts", "oldtown", "arterial", "suburb", "rural", "highway")
WEATHERS = ("clear", "cloudy", "dusk", "fog", "rain", "night")
SIZE_PX = (480, 270)
CELL_PX = (320, 180)
SETTLE_TICKS = 300


def pictures(name: str, seed: int) -> list[NDArray[np.uint8]]:
    """One picture of a map in each of WEATHERS, from the car that a traffic driver drives; (H, W, 3) BGR."""
    from scripts.build import DriveSettings, build_scenario
    from sim.world import EmbeddedWorld
    from stack.messages import CameraMount, Rig

    scenario, road_map = build_scenario(DriveSettings(seed=seed, map=name))
    camera = CameraMount("front", *SIZE_PX, float(np.deg2rad(80.0)), 1.3, 0.0, 1.6)
    world = EmbeddedWorld(road_map)
    out = []
    for k, weather in enumerate(WEATHERS):
        world.tour(replace(scenario, rig=Rig(cameras=(camera,)), vehicles=60, weather=weather, seed=seed + k))
        for _ in range(SETTLE_TICKS):
            world.advance()
        frame, _ = world.look(np.zeros(3))
        rgb = frame.cameras[0].rgb.numpy().transpose(1, 2, 0)
        out.append(cv2.resize(np.ascontiguousarray(rgb[:, :, ::-1]), CELL_PX, interpolation=cv2.INTER_AREA))
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--maps", nargs="+", default=list(MAPS))
    parser.add_argument("--seed", type=int, default=2)
    args = parser.parse_args()
    rows = []
    for name in args.maps:
        row = np.hstack(pictures(name, args.seed))
        cv2.putText(row, name, (8, 22), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (255, 255, 255), 2, cv2.LINE_AA)
        rows.append(row)
        print(f"{name}: {', '.join(WEATHERS)}", flush=True)
    if not cv2.imwrite(str(args.out), np.vstack(rows), [cv2.IMWRITE_JPEG_QUALITY, 82]):
        raise SystemExit(f"{args.out}: cannot be written")


if __name__ == "__main__":
    main()
