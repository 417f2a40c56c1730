"""The arrays of an open world: the state of one world, its own columns, and a parameter table with a row for each actor."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import warp as wp
from numpy.typing import NDArray

from sim.batch import NONE_IS_MINUS_ONE
from sim.kernels import contact, open_contact, open_ground, open_move, open_rows
from sim.kernels.open_rows import OpenArrays
from sim.state import State, StateArrays
from stack.messages import F32
from stack.vehicle import Column


class Store:
    """`rows` actors. `column[name]` is a writable view of a column of the state or of `OpenArrays`, (rows,) or (rows, n)."""

    def __init__(self, rows: int, signals: int, junctions: int, device: str) -> None:
        self.rows = rows
        self.state = State(1, rows, signals, junctions, device)
        self.own = open_rows.allocate(rows, device)
        self.table_device = wp.zeros((rows, len(Column)), dtype=wp.float32, device=device)
        self.table: F32 = self.table_device.numpy()
        self._scratch = contact.allocate(1, rows, device)
        self._touches = open_contact.allocate(rows, device)
        self._count = self._touches.count.numpy()
        self._tally = [getattr(self._touches, name).numpy() for name in ("first", "second", "at", "taken")]
        self._report = wp.zeros((5, rows), dtype=wp.vec3, device=device)
        self.reported: F32 = self._report.numpy()  # (5, rows, 3), see `open_rows.report`
        self.column: dict[str, NDArray[Any]] = {name: getattr(self.own, name).numpy() for name in OpenArrays.vars}
        for name, var in StateArrays.vars.items():
            if var.type.ndim == 2 and name not in self.state.not_per_actor:
                self.column[name] = self.state.numpy(name)[0]
        self.per_actor = [name for name in self.column if name not in ("clock", "count")]
        for row in range(rows):
            self.clear(row)
        self.state.numpy("friction")[0] = 1.0

    def record(self, lanes: Any, ground: int, statics: Any, device: str) -> None:
        """The launches of a tick, recorded once: a fifth of the cost of launching them afresh."""
        state, table, own, n = self.state.arrays, self.table_device, self.own, self.rows
        ground_inputs = [state, table, lanes, wp.uint64(ground), own]
        touch_inputs = [state, table, statics, own, self._scratch, self._touches]
        self.inner = [
            open_rows.record(open_rows.obey, [state, table, own], n, device),
            open_move.record(state, table, own, n, device),
            open_rows.record(open_ground.settle, ground_inputs, n, device),
            wp.launch(open_contact.collide, dim=1, inputs=touch_inputs, device=device, record_cmd=True),
        ]
        self.look = open_rows.record(open_ground.look, ground_inputs, n, device)
        self.remember = open_rows.record(open_rows.remember, [state, own], n, device)
        self.report = open_rows.record(open_rows.report, [state, own, self._report], n, device)

    def clear(self, row: int) -> None:
        """Free a row."""
        for name in self.per_actor:
            self.column[name][row] = -1 if name in NONE_IS_MINUS_ONE else 0
        self.table[row] = 0.0

    def take(self, other: Store) -> None:
        """Everything that a smaller store holds."""
        for name in StateArrays.vars:
            values = other.state.numpy(name)
            target = self.state.numpy(name)
            target[..., : values.shape[-1]] = values
        for name, column in other.column.items():
            self.column[name][: len(column)] = column
        self.table[: other.rows] = other.table

    def tally(self) -> tuple[Any, ...]:
        """Contacts of the last tick: rows a, rows b (`rows`: scenery), points (n, 3), impulses on b (n, 2) N s."""
        return tuple(values[: self._count[1]] for values in self._tally)

    def save(self) -> dict[str, Any]:
        """A copy of everything that decides the future."""
        own = {name: getattr(self.own, name).numpy().copy() for name in OpenArrays.vars}
        return {"state": self.state.save(), "own": own, "table": self.table.copy()}

    def restore(self, saved: dict[str, Any]) -> None:
        """Bring back what `save` returned; ValueError where it is of another size."""
        self.state.restore(saved["state"])
        for name, values in saved["own"].items():
            getattr(self.own, name).numpy()[...] = values
        self.table[...] = saved["table"]

    def hash(self) -> str:
        """16 hex digits over the state, the own columns and the table."""
        digest = hashlib.blake2b(self.state.hash().encode(), digest_size=8)
        for name in OpenArrays.vars:
            digest.update(np.ascontiguousarray(getattr(self.own, name).numpy()).tobytes())
        digest.update(self.table.tobytes())
        return digest.hexdigest()
