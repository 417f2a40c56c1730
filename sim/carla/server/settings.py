"""CARLA's episode settings: who ticks, and by how much."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from sim.carla.server.wire import Failed

DEFAULTS: tuple[Any, ...] = (False, False, [False], True, 0.01, 10, 0.0, True, 3000.0, 2000.0, True)
STEP_S = 0.05  # where no fixed step is set
STEPS_S = (0.001, 1.0)


@dataclass
class Settings:
    """`wire` is EpisodeSettings as the client sent it, filled up with defaults."""

    wire: list[Any] = field(default_factory=lambda: [*DEFAULTS])

    @staticmethod
    def checked(values: list[Any]) -> Settings:
        """Raises Failed for a step that no simulation can have."""
        wire = [*values, *DEFAULTS[len(values) :]][: len(DEFAULTS)]
        step = wire[2]
        if step and step[0]:
            seconds = float(step[1])
            if seconds == 0.0:
                wire[2] = [False]  # "no fixed step", as CARLA takes it
            elif not (math.isfinite(seconds) and STEPS_S[0] <= seconds <= STEPS_S[1]):
                raise Failed(f"fixed_delta_seconds: found {seconds}, expected {STEPS_S[0]} to {STEPS_S[1]}")
        return Settings(wire)

    @property
    def synchronous(self) -> bool:
        return bool(self.wire[0])

    @property
    def renders(self) -> bool:
        return not self.wire[1]

    @property
    def step_s(self) -> float:
        return float(self.wire[2][1]) if self.wire[2][0] else STEP_S
