"""Many embedded worlds side by side on one device: the state, the map, the vehicles, and one tick of all of them.

A tick: traffic decides -> walkers walk -> vehicles move -> they are located on the map -> contacts -> the clock ->
lights. So the lights in the state are always those of its tick. A world of a batch, the same world alone and a
restored one go the same way, bit for bit: kernels treat every world by itself, and random numbers are keyed by the
world's seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import warp as wp

from sim.kernels import boxes, contact, locate, observe, signals, traffic, vehicle, walkers
from sim.state import Driver, State, StateArrays
from sim.walkways import walk_arrays
from stack.labels import Kind
from stack.lanegraph import LaneGraph, concatenate
from stack.messages import F32
from stack.vehicle import VehicleParams, parameter_table

wp.set_module_options({"enable_backward": False})

VEHICLE_KINDS = (Kind.CAR, Kind.TRUCK, Kind.CYCLIST)
NONE_IS_MINUS_ONE = frozenset(
    (
        "lane",
        "next_lane",
        "after_lane",
        "target_lane",
        "way",
        "passing",
        "granted",
        "entry_lane",
        "walk",
        "hit_other",
        "hears",
    )
)  # columns that hold an index or -1
ANY_MPS = 100.0  # wished speed of drivers that keep to the limit alone
FROM_MODEL = ("length_m", "width_m", "height_m", "centre_m")  # the first four columns of the parameter table


@wp.kernel(enable_backward=False)
def advance(state: StateArrays):
    w = wp.tid()
    state.tick[w] = state.tick[w] + 1


class Batch:
    """`worlds` worlds of at most `actors` actors each, on one map or on several."""

    def __init__(
        self,
        graph: LaneGraph | Sequence[LaneGraph],
        params: list[VehicleParams],
        worlds: int,
        actors: int,
        device: str = "cpu",
        static_boxes: np.ndarray | Sequence[np.ndarray | None] | None = None,
    ) -> None:
        """`params`: row k is the state's model k. `static_boxes`: (K, 7) x, y, yaw, length, width, bottom, top of walls and poles;
        for several maps a list of such arrays. Lanes of several maps are numbered through: map m's begin at
        `first_lane[m]`."""
        if worlds < 1 or actors < 1:
            raise ValueError(f"batch: found {worlds} worlds of {actors} actors, expected at least one of each")
        self.maps = [graph] if isinstance(graph, LaneGraph) else list(graph)
        self.graph, self.first_lane = concatenate(self.maps)
        statics = [static_boxes] if isinstance(graph, LaneGraph) else static_boxes or [None] * len(self.maps)
        if len(statics) != len(self.maps):
            raise ValueError(f"batch: found static boxes of {len(statics)} maps, expected {len(self.maps)}")
        self.params, self.worlds, self.actors, self.device = list(params), worlds, actors, device
        self.table: F32 = parameter_table(self.params)
        self.table_device = wp.array(self.table, dtype=wp.float32, device=device)
        self.lanes, self.walks = self.graph.on_device(device), walk_arrays(self.maps, device)
        self.state = State(worlds, actors, self.graph.signals, self.graph.junctions, device)
        reach = 0.5 * float(np.hypot(self.table[:, 0], self.table[:, 1]).max())
        self._statics = boxes.static_boxes(statics, reach, device)
        self._scratch = contact.allocate(worlds, actors, device)
        self._commands = self._record()
        self._observations: Any = None
        for world in range(worlds):
            self.reset_world(world, {}, seed=world)

    def _record(self) -> list[Any]:
        """The tick's launches, recorded once: a fifth of the cost of launching them afresh."""
        arrays, lanes, table = self.state.arrays, self.lanes, self.table_device
        w, a, device = self.worlds, self.actors, self.device
        return [
            *traffic.launch(arrays, lanes, table, w, a, device, record_cmd=True),
            *walkers.launch(arrays, self.walks, w, a, device, record_cmd=True),
            vehicle.launch(arrays, table, w, a, device, record_cmd=True),
            locate.launch(arrays, lanes, w, a, device, record_cmd=True),
            *contact.launch(arrays, table, self._statics, self._scratch, w, a, device, record_cmd=True),
            wp.launch(advance, dim=w, inputs=[arrays], device=device, record_cmd=True),
            *signals.launch(arrays, lanes, w, self.graph.signals, device, record_cmd=True),
        ]

    def step(self) -> None:
        """One tick of every world."""
        for command in self._commands:
            command.launch()

    def reset_world(
        self, world: int, rows: dict[str, Any], seed: int, friction: float = 1.0, map_index: int = 0
    ) -> None:
        """Start a world afresh at tick 0. `rows`: the first n values of columns of StateArrays, the rest empty.

        Vehicles take their dimensions from their model where `rows` does not give them; those driven from outside are
        put on the nearest lane where it does not give one. Raises ValueError for an unknown column or too many rows.
        """
        values = {name: np.zeros(self.actors, self._dtype(name)) for name in self._actor_columns()}
        for name in NONE_IS_MINUS_ONE & values.keys():
            values[name][:] = -1
        for name, given in rows.items():
            if name not in values:
                raise ValueError(f"reset of world {world}: unknown column {name!r}, expected columns of StateArrays")
            if len(given) > self.actors:
                raise ValueError(
                    f"reset of world {world}: {name} has {len(given)} rows, expected at most {self.actors}"
                )
            values[name][: len(given)] = given
        self._complete(values, set(rows), map_index)
        sirens = int(values["siren"].sum())
        each = {"seed": seed, "tick": 0, "friction": friction, "map_index": map_index, "sirens": sirens}
        for name, value in (*values.items(), *dict.fromkeys(self.state.not_per_actor, 0).items(), *each.items()):
            self.state.write(name, world, value)
        locate.launch(self.state.arrays, self.lanes, 1, self.actors, self.device, first=world)
        signals.start(self.state.arrays, self.lanes, world, self.graph.signals, self.device)

    def _complete(self, values: dict[str, np.ndarray], given: set[str], map_index: int) -> None:
        """Fill in dimensions and lanes of vehicles that `reset_world` was not told."""
        moving = np.isin(values["kind"], VEHICLE_KINDS)
        model = values["model"]
        if moving.any() and not 0 <= model[moving].min() <= model[moving].max() < len(self.table):
            raise ValueError(f"reset: found model {model[moving].max()}, expected 0 to {len(self.table) - 1}")
        for column, name in enumerate(FROM_MODEL):
            if name not in given:
                values[name][moving] = self.table[model[moving], column]
        if "wish_max_mps" not in given:
            values["wish_max_mps"][moving] = ANY_MPS
        if "calm_mps" not in given:
            values["calm_mps"][moving] = ANY_MPS
        outside = np.isin(values["driver"], (Driver.EXTERNAL, Driver.POLICY))
        graph = self.maps[map_index]
        if graph.lanes:
            for row in np.flatnonzero(moving & outside & (values["lane"] < 0)):
                x, y, yaw = (float(values[name][row]) for name in ("x_m", "y_m", "yaw_rad"))
                lane, s, d = graph.nearest(x, y, yaw, z_m=float(values["z_m"][row]) if "z_m" in given else None)
                values["lane"][row], values["lane_s_m"][row], values["lane_d_m"][row] = (
                    lane + self.first_lane[map_index],
                    s,
                    d,
                )
        values["target_lane"] = np.where(values["target_lane"] < 0, values["lane"], values["target_lane"])

    def _actor_columns(self) -> list[str]:
        apart = self.state.not_per_actor
        return [name for name, var in StateArrays.vars.items() if var.type.ndim == 2 and name not in apart]

    def _dtype(self, name: str) -> Any:
        return wp.dtype_to_numpy(StateArrays.vars[name].type.dtype)

    def set_pedals(self, world: Any, actor: Any, pedals: Any) -> None:
        """Pedals (N, 3) or (3,) throttle, brake, steer of the rows (world, actor); they hold until set again.

        Raises ValueError where a number is not finite.
        """
        values = np.asarray(pedals, np.float32)
        if not np.isfinite(values).all():
            raise ValueError(f"pedals: found {values.tolist()}, expected finite throttle, brake, steer")
        for column, name in enumerate(("throttle", "brake", "steer")):
            view = self.torch(name)
            view[world, actor] = view.new_tensor(values[..., column])

    def torch(self, name: str) -> Any:
        """A state array as a torch tensor on the batch's device, without a copy."""
        return wp.to_torch(getattr(self.state.arrays, name), requires_grad=False)

    def observations(self) -> Any:
        """(worlds, actors, OBSERVATION_NAMES) torch tensor on the batch's device of what each vehicle knows now; zeros for
        other actors. The same memory at every call (sim/kernels/observe.py)."""
        if self._observations is None:
            shape = (self.worlds, self.actors, len(observe.OBSERVATION_NAMES))
            self._observations = wp.zeros(shape, dtype=wp.float32, device=self.device)
        observe.launch(
            self.state.arrays, self.lanes, self.worlds, self.actors, self._observations, self.device
        )  # fmt: skip
        return wp.to_torch(self._observations, requires_grad=False)

    def save(self) -> dict[str, Any]:
        """A copy of the whole state."""
        return self.state.save()

    def restore(self, saved: dict[str, Any]) -> None:
        """Go back to what `save` returned."""
        self.state.restore(saved)

    def hash(self, world: int | None = None) -> str:
        """16 hex digits over every state array, of one world or of all."""
        return self.state.hash(world)
