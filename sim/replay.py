"""A recording as a `World`, open loop: it shows what was recorded, whatever the commands."""

from __future__ import annotations

from dataclasses import replace

import torch

from stack.loop import Scenario
from stack.messages import Command, Event, SensorFrame, Step, Truth, TruthImages
from stack.recording import Recording, RecordingError

START_HASH = "0" * 16  # the state before the first step is not in a recording


class ReplayWorld:
    """A `World`. After the last step the newest frame stays the last one recorded."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.recorded: Step  # what was recorded at the newest frame
        self._tick = recording.ticks.start

    @property
    def done(self) -> bool:
        return self._tick == self.recording.ticks.stop

    @property
    def progress(self) -> float:
        """Share of the recording shown."""
        return (self._tick - self.recording.ticks.start) / len(self.recording)

    def reset(self, scenario: Scenario) -> SensorFrame:
        """Back to the start. Raises RecordingError where the scenario is not the recorded one's map, route and seed."""
        meta = self.recording.meta
        found = scenario.map_name, scenario.seed, scenario.route.lanes.tolist()
        recorded = meta["map"], meta["scenario"]["seed"], meta["route"]["lanes"]
        for name, wanted, here in zip(("map", "seed", "route"), found, recorded, strict=True):
            if wanted != here:
                raise RecordingError(f"{self.recording.path}: found a drive with {name} {here}, expected {wanted}")
        self._tick = self.recording.ticks.start
        self._events: tuple[Event, ...] = ()
        self._hash = START_HASH
        return self._show()

    def step(self, command: Command) -> SensorFrame:
        """The next recorded frame; the command changes nothing."""
        if self.done:
            raise ValueError(f"{self.recording.path}: found a step after the end, expected a reset")
        self._events, self._hash = self.recorded.events, self.recording.state_hash(self._tick)
        self._tick += 1
        return self.recorded.frame if self.done else self._show()

    def truth(self) -> Truth:
        """Of the newest frame; its pictures are 0 x 0 where they were not recorded, their boxes always there."""
        truth = self.recorded.truth
        if truth.images:
            return truth
        nothing = torch.zeros((0, 0), dtype=torch.uint8, device=self.recording.device)
        labels = zip(self.recording.boxes(truth.tick), self.recording.extents(truth.tick), strict=True)
        return replace(
            truth, images=tuple(TruthImages(nothing, nothing.int(), nothing.float(), *two) for two in labels)
        )

    def events(self) -> tuple[Event, ...]:
        return self._events

    def state_hash(self) -> str:
        """As recorded after the newest step."""
        return self._hash

    def close(self) -> None:
        """Nothing is held open."""

    def _show(self) -> SensorFrame:
        self.recorded = self.recording.step(self._tick)
        return self.recorded.frame
