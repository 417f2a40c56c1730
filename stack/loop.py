"""The loop: a world, a stack, and what happens between them. Read this first.

    t:  frame, truth -> scene -> plan -> wanted -> command -> pedals -> frame and truth of t + 1, events in (t, t + 1]

Recording, live view, scores and early stop are all `for step in drive(...)`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from stack.lanegraph import LaneGraph, Route
from stack.messages import Command, Control, Event, Plan, Rig, Scene, SensorFrame, Step, Truth

TICK_S = 0.05  # one turn of the loop; 20 Hz in every world


@dataclass(frozen=True)
class Scenario:
    """What is to be driven. The seed changes spawns, traffic, light phases, weather and noise, never the route."""

    name: str
    map_name: str
    graph: LaneGraph
    route: Route
    seed: int
    vehicles: int = 24
    pedestrians: int = 12
    beside_route: float = 0.0  # share of the vehicles that start near the route but not on it; 0: anywhere on the map
    emergency: int = 0  # vehicles with their siren on, beside the others
    weather: str = "clear"
    rig: Rig = Rig()
    rehearsed: bool = False  # traffic that goes its way in every world alike, and does not see the ego


class WorldLost(Exception):
    """A world that is elsewhere cannot be reached any more."""


class World(Protocol):
    """Where the car is. `truth`, `events` and `done` speak of the newest frame."""

    @property
    def done(self) -> bool: ...
    def reset(self, scenario: Scenario) -> SensorFrame: ...
    def step(self, command: Command) -> SensorFrame: ...
    def truth(self) -> Truth: ...
    def events(self) -> tuple[Event, ...]: ...
    def state_hash(self) -> str: ...
    def close(self) -> None: ...


class Perceive(Protocol):
    def __call__(self, frame: SensorFrame) -> Scene: ...


class Planner(Protocol):
    def __call__(self, scene: Scene) -> Plan: ...


class Controller(Protocol):
    def __call__(self, plan: Plan, scene: Scene) -> Control: ...


class Guard(Protocol):
    def __call__(self, wanted: Control, plan: Plan, scene: Scene, frame: SensorFrame) -> Command: ...


@dataclass(frozen=True)
class Stack:
    """The four stages that drive the car. Built afresh for each episode."""

    perceive: Perceive
    plan: Planner
    control: Controller
    guard: Guard


def drive(world: World, stack: Stack, scenario: Scenario) -> Iterator[Step]:
    """Drive one episode; yield every turn of the loop, the last one with the event that ended it."""
    frame = world.reset(scenario)
    while not world.done:
        truth = world.truth()  # of the same instant as frame: for scores, never for the driver
        scene = stack.perceive(frame)  # what is around the car now
        plan = stack.plan(scene)  # where it should be over the next seconds
        wanted = stack.control(plan, scene)  # wheel angle and acceleration to get there
        command = stack.guard(wanted, plan, scene, frame)  # the same, unless that would be unsafe
        next_frame = world.step(command)
        yield Step(frame, truth, scene, plan, wanted, command, world.events())
        frame = next_frame
