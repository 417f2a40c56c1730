"""Wrappers round stages: run one every n ticks, time each."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any


class Every:
    """Calls a stage every `n`-th time and gives its last result in between."""

    def __init__(self, n: int, stage: Callable[..., Any]) -> None:
        self.n, self.stage = n, stage
        self.count, self.last = 0, None

    def __call__(self, *args: Any) -> Any:
        if self.count % self.n == 0:
            self.last = self.stage(*args)
        self.count += 1
        return self.last


class StageTimes:
    """Wall time of each stage, for people; no decision reads it."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = defaultdict(list)

    @contextmanager
    def section(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[name].append(time.perf_counter() - start)

    def timed(self, name: str, stage: Callable[..., Any]) -> Callable[..., Any]:
        """The same stage, its calls timed under `name`."""

        def call(*args: Any) -> Any:
            with self.section(name):
                return stage(*args)

        return call

    def median_ms(self) -> dict[str, float]:
        return {name: round(1e3 * median(values), 3) for name, values in self.seconds.items() if values}
