"""CARLA's episode settings: who ticks, and by how much."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sim.carla.server.values import U16, number, whole
from sim.carla.server.wire import Failed

DEFAULTS: tuple[Any, ...] = (False, False, [False], True, 0.01, 10, 0.0, True, 3000.0, 2000.0, True)
STEP_S = 0.05  # where no fixed step is set
STEPS_S = (0.001, 1.0)
FEWEST = 3  # values that a client sends


@dataclass
class Settings:
    """`wire` is EpisodeSettings as the client sent it, filled up with defaults."""

    wire: list[Any] = field(default_factory=lambda: [*DEFAULTS])

    @staticmethod
    def checked(values: list[Any]) -> Settings:
        """Raises Failed for a step that no simulation can have."""
        if len(values) < FEWEST:
            raise Failed(f"settings: found {len(values)} values, expected {len(DEFAULTS)}")
        wire = [*values, *DEFAULTS[len(values) :]][: len(DEFAULTS)]
        step = wire[2]
        seconds = float(step[1]) if step and step[0] else 0.0
        if seconds != 0.0 and not STEPS_S[0] <= seconds <= STEPS_S[1]:
            raise Failed(f"fixed_delta_seconds: found {seconds}, expected {STEPS_S[0]} to {STEPS_S[1]}")
        for k, usual in enumerate(DEFAULTS):
            if isinstance(usual, bool):
                if not isinstance(wire[k], bool):
                    raise Failed(f"settings: found {wire[k]!r}, expected true or false")
            elif isinstance(usual, int):
                wire[k] = whole(wire[k], "settings", U16)
            elif isinstance(usual, float):
                wire[k] = number(wire[k], "settings")
        wire[2] = [True, seconds] if seconds else [False]  # 0 is "no fixed step", as CARLA takes it
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
