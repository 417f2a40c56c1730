"""Traffic that is rehearsed without the ego and played in any world: roles, and where each is at every tick.

The traffic model drives everybody, a stand-in of the ego too, which then is left out. So the actors keep to lanes,
lights and one another, but do not see the ego. Places are rounded to what CARLA's wire carries (32 bits, degrees), so
that every world plays exactly the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sim.batch import Batch
from sim.carla.catalogue import blueprint
from sim.spawn import spawn
from sim.state import Driver
from stack.frames import F64
from stack.labels import Kind
from stack.loop import Scenario
from stack.messages import U8
from stack.vehicle import VehicleParams, load_vehicle

MODELS = ("sedan", "hatchback", "suv", "van", "truck", "bus", "motorcycle", "bicycle")
PARKED = 24
WALKERS = 49  # blueprints walker.pedestrian.0001 to this number
TYPICAL = {
    "wish_factor": 1.0, "wish_max_mps": 100.0, "headway_s": 1.4, "accel_max_mps2": 1.6, "brake_comfort_mps2": 2.0,
    "gap_min_m": 2.5,
}  # fmt: skip


@dataclass(frozen=True)
class Role:
    """Who an actor is, in any world. `lift_m`: from the ground to the origin that CARLA gives it."""

    blueprint: str
    attributes: dict[str, str]
    kind: Kind
    size_m: tuple[float, float, float]
    params: VehicleParams | None
    look: int
    lift_m: float
    parked: bool = False


@dataclass(frozen=True)
class Places:
    """Everybody's pose at a tick: centre of the box on the ground. `moved`: who is not where it was the tick before."""

    xyz_m: F64  # (N, 3)
    yaw_rad: F64  # (N,)
    pitch_rad: F64
    roll_rad: F64
    moved: Any  # (N,) bool


class Rehearsal:
    """Goes on tick by tick; `places` and `lights` are of the tick reached last, first of the start."""

    def __init__(self, scenario: Scenario) -> None:
        models = [load_vehicle(name) for name in MODELS]
        route = scenario.route
        rows = spawn(
            scenario.graph, models, scenario.seed, scenario.vehicles, scenario.pedestrians,
            (int(route.lanes[0]), route.start_s_m), near_route=route, beside_route=scenario.beside_route, parked=PARKED,
        )  # fmt: skip
        rows["driver"][0] = Driver.IDM
        for name, value in TYPICAL.items():
            rows[name][0] = value
        count = len(rows["kind"])
        self._batch = Batch(scenario.graph, models, 1, count)
        self._batch.reset_world(0, rows, scenario.seed)
        self.roles = tuple(self._role(k, models) for k in range(1, count))
        self._lift = np.array([role.lift_m for role in self.roles])
        self._signals = scenario.graph.signals
        self.places = self._read(None)

    def step(self) -> None:
        """On to the next tick."""
        self._batch.step()
        self.places = self._read(self.places)

    @property
    def lights(self) -> U8:
        """(S,) labels.LightState of the graph's signals."""
        states: U8 = self._batch.state.numpy("signal_state")[0, : self._signals].astype(np.uint8)
        return states

    def _column(self, name: str) -> Any:
        return self._batch.state.numpy(name)[0, 1:]

    def _role(self, row: int, models: list[VehicleParams]) -> Role:
        c = {name: int(self._batch.state.numpy(name)[0, row]) for name in ("kind", "model", "look")}
        if c["kind"] == Kind.PEDESTRIAN:
            bp = blueprint(f"walker.pedestrian.{1 + c['look'] % WALKERS:04d}")
            assert bp.size_m is not None
            return Role(bp.id, {}, Kind.PEDESTRIAN, bp.size_m, None, bp.look, 0.5 * bp.size_m[2])
        p = models[c["model"]]
        attributes = {"dynamics": "ringroad", "look": str(c["look"]), "role_name": "scenario"}
        size = (p.length_m, p.width_m, p.height_m)
        parked = int(self._batch.state.numpy("driver")[0, row]) == Driver.NONE
        return Role(f"vehicle.ringroad.{p.name}", attributes, p.kind_id, size, p, c["look"], 0.0, parked)

    def _read(self, before: Places | None) -> Places:
        x, y, z, yaw, pitch, centre = (
            self._column(name).astype(np.float64) for name in ("x_m", "y_m", "z_m", "yaw_rad", "pitch_rad", "centre_m")
        )
        flat = centre * np.cos(pitch)
        xyz = np.stack(
            [x + flat * np.cos(yaw), y + flat * np.sin(yaw), z + centre * np.sin(pitch) + self._lift], axis=-1
        )
        xyz = xyz.astype(np.float32).astype(np.float64)
        xyz[:, 2] -= self._lift
        yaw, pitch = carried(yaw), carried(pitch)
        still = np.zeros(len(yaw), bool)
        if before is not None:
            still = (xyz == before.xyz_m).all(axis=1) & (yaw == before.yaw_rad) & (pitch == before.pitch_rad)
        return Places(xyz, yaw, pitch, np.zeros(len(yaw)), ~still)


def carried(angle_rad: F64) -> F64:
    """Angles as they arrive when sent in degrees of 32 bits."""
    return np.radians(np.degrees(angle_rad).astype(np.float32).astype(np.float64))
