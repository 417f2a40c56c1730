"""A world in which every actor comes, goes and is driven from outside: behind servers and scripted scenarios.

Vehicles, walkers and props are rows of one State. `tick` takes any pace: inner steps of at most 50 ms, in which what was
asked for is taken over, vehicles roll, everything falls or lies, and contacts are answered. There is no traffic model and
nothing random: the same calls give the same bits. An actor's pose is that of the centre of its box, on the ground.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sim.actor_meshes import library
from sim.batch import ANY_MPS, VEHICLE_KINDS
from sim.geometry import Geometry
from sim.kernels import boxes
from sim.kernels.open_rows import INNER, INNER_S, SUBSTEP_S, SUBSTEPS, TICK_S
from sim.open_bodies import body_row, vehicle_of
from sim.open_controls import STAYS_M, Controls
from sim.open_space import Ground, has_room, pierced_boxes
from sim.open_store import Store
from sim.scenery import Scenery, build
from sim.state import Driver, State
from stack.frames import F64, Pose
from stack.labels import Kind
from stack.lanegraph import LaneGraph
from stack.messages import F32
from stack.opendrive import RoadMap
from stack.vehicle import Column, VehicleParams, parameter_row

SCENERY = -2  # who was touched, where it is no actor
SHORTEST_S, LONGEST_S = 1e-3, 1.0  # ticks
INNER_MAX_S, SUBSTEP_MAX_S = 0.05, 0.01
BODY_M = 9.0  # no body reaches farther from its middle


@dataclass(frozen=True)
class Motion:
    """How every row moves now; zeros where there is nobody. World frame."""

    xyz_m: F32  # (N, 3) centre of the box on the ground
    rpy_rad: F32  # (N, 3) roll, pitch, yaw
    velocity_mps: F32  # (N, 3) of the box centre
    turn_radps: F32  # (N, 3)
    accel_mps2: F32  # (N, 3) change of velocity over the last tick


@dataclass(frozen=True)
class Contact:
    """Two bodies in touch, seen by one of them."""

    row: int
    other: int  # a row, or SCENERY
    impulse_ns: F64  # (3,) that `row` got, world frame
    point_m: F64  # (3,)


class OpenWorld(Controls):
    """`generation` counts how often the arrays grew: `state` and `geometry` are others then."""

    def __init__(
        self, road_map: RoadMap | None, graph: LaneGraph, device: str = "cpu", look: int = 0, rows: int = 64,
        scenery: Scenery | None = None,
    ) -> None:  # fmt: skip
        """`scenery`: instead of that of the map with this `look`. ValueError for a device other than the CPU."""
        if device != "cpu":
            raise ValueError(f"open world: found device {device!r}, expected 'cpu'")
        if scenery is None:
            if road_map is None:
                raise ValueError("open world: found neither a map nor scenery, expected one of them")
            scenery = build(road_map, graph, look)
        self.road_map, self.graph, self.device, self.scenery = road_map, graph, device, scenery
        self.generation = 0
        self._lanes = graph.on_device(device)
        self._statics = boxes.static_boxes([scenery.static_boxes], BODY_M, device)
        self._params: dict[int, VehicleParams] = {}
        self._patches: dict[int, tuple[Pose, tuple[float, float, float], float]] = {}
        self._next_patch = 0
        self._searched = np.full((rows, 2), np.inf)  # where a lane was looked for last
        self._unsettled = False
        self._allocate(rows)

    def _allocate(self, rows: int) -> None:
        self.store = Store(rows, self.graph.signals, self.graph.junctions, self.device)
        self.geometry = Geometry(self.scenery.mesh, library(), rows, self.graph.signals, self.device)
        if self.generation == 0:
            self._ground = Ground(self.geometry.static, self.device)
        self.store.record(self._lanes, self._ground.id, self._statics, self.device)

    @property
    def state(self) -> State:
        return self.store.state

    # ---------------------------------------------------------------- coming and going

    def add(
        self, kind: Kind, size_m: tuple[float, float, float], pose: Pose, params: VehicleParams | None = None,
        look: int = 0, paint: int = 0, siren: bool = False,
    ) -> int:  # fmt: skip
        """A new actor of size (length, width, height), simulated and at rest, in the lowest free row, which is returned.

        `params`: of a vehicle; its box is that of `size_m`. `paint`: 1 + 0xRRGGBB, 0: by its look. Whether there is room
        is not asked, see `blocked`.
        """
        if min(size_m) <= 0.0 or not np.isfinite([*size_m, *vars(pose).values()]).all() or kind == Kind.NONE:
            raise ValueError(f"add: found {kind!r} of {size_m} at {pose}, expected a finite pose and positive sizes")
        free = np.flatnonzero(self._c["kind"] == 0)
        if len(free) == 0:
            self._grow()
            free = np.flatnonzero(self._c["kind"] == 0)
        row, c = int(free[0]), self._c
        self.store.clear(row)
        if kind in VEHICLE_KINDS:
            given = params or vehicle_of(kind, size_m)
            p = replace(given, length_m=size_m[0], width_m=size_m[1], height_m=size_m[2])
            self._params[row], self.store.table[row] = p, parameter_row(p)
            c["centre_m"][row] = p.centre_m
        else:
            self.store.table[row] = body_row(kind, size_m)
        c["length_m"][row], c["width_m"][row], c["height_m"][row] = size_m
        for name, value in (
            ("kind", kind), ("driver", Driver.EXTERNAL), ("model", row), ("look", look), ("paint", paint),
            ("siren", siren), ("wish_max_mps", ANY_MPS), ("calm_mps", ANY_MPS),
        ):  # fmt: skip
            c[name][row] = value
        self._searched[row] = np.inf
        self.place(row, pose)
        c["placed"][row] = 0
        c["origin_m"][row] = c["x_m"][row], c["y_m"][row], c["z_m"][row]
        c["attitude_rad"][row] = pose.roll_rad, pose.pitch_rad, c["yaw_rad"][row]
        self.state.numpy("sirens")[0] = c["siren"].sum()
        return row

    def remove(self, row: int) -> None:
        """Free a row."""
        self._params.pop(self._row(row), None)
        self.store.clear(row)
        self.state.numpy("sirens")[0] = self._c["siren"].sum()

    def reset(self) -> None:
        """Everybody gone, all patches too; tick 0."""
        for row in np.flatnonzero(self._c["kind"]):
            self.store.clear(int(row))
        self._params.clear()
        self._patches.clear()
        self._unsettled = False
        for name in ("tick", "sirens"):
            self.state.numpy(name)[0] = 0
        self.state.numpy("friction")[0] = 1.0
        self._c["clock"][:] = self._c["count"][:] = 0

    def _grow(self) -> None:
        """Twice the rows."""
        old = self.store
        self.generation += 1
        self._allocate(2 * old.rows)
        self.store.take(old)
        self._searched = np.concatenate([self._searched, np.full((old.rows, 2), np.inf)])

    def blocked(self, size_m: tuple[float, float, float], pose: Pose, ignore: Sequence[int] = ()) -> bool:
        """Whether a box there would overlap an actor that is solid, or something static; heights count."""
        c = self._c
        solid = (c["kind"] != 0) & (c["ghost"] == 0)
        solid[list(ignore)] = False
        rows = np.flatnonzero(solid)
        m = self.motion()
        z = m.xyz_m[rows, 2]
        size = [c[name][rows] for name in ("length_m", "width_m")]
        actors = np.column_stack([m.xyz_m[rows, :2], m.rpy_rad[rows, 2], *size, z, z + c["height_m"][rows]])
        return not has_room(size_m, pose, actors.astype(float), self.scenery.static_boxes)

    # ---------------------------------------------------------------- time

    def tick(self, dt_s: float) -> None:
        """Go on by 1 ms to 1 s; ValueError for another time."""
        if not SHORTEST_S <= dt_s <= LONGEST_S:
            raise ValueError(f"tick: found {dt_s} s, expected {SHORTEST_S} to {LONGEST_S}")
        inner = int(np.ceil(dt_s / INNER_MAX_S - 1e-6))
        substeps = int(np.ceil(dt_s / inner / SUBSTEP_MAX_S - 1e-6))
        clock, count = self._c["clock"], self._c["count"]
        clock[INNER_S], clock[TICK_S], clock[SUBSTEP_S] = dt_s / inner, dt_s, dt_s / inner / substeps
        count[SUBSTEPS] = substeps
        self._find_lanes()
        if self._patches:
            self._rub()
        if self._unsettled:
            self.store.look.launch()
            self._unsettled = False
        for k in range(inner):
            count[INNER] = k
            for command in self.store.inner:
                command.launch()
        self.store.remember.launch()

    def _find_lanes(self) -> None:
        """Look for the lanes of vehicles that are on none and went on since the last look."""
        c = self._c
        lost = (c["lane"] < 0) & (c["kind"] > 0) & (c["kind"] <= Kind.CYCLIST)
        if not lost.any() or not self.graph.lanes:
            return
        rows = np.flatnonzero(lost)
        xy = np.stack([c["x_m"][rows], c["y_m"][rows]], axis=-1).astype(float)
        rows = rows[moved := np.abs(xy - self._searched[rows]).max(axis=1) > STAYS_M]
        if len(rows):
            self._searched[rows] = xy[moved]
            found = self.graph.nearest_lanes(
                xy[moved], c["yaw_rad"][rows].astype(float), z_m=c["z_m"][rows].astype(float)
            )
            c["target_lane"][rows], c["lane_s_m"][rows] = found[0], found[1]

    # ---------------------------------------------------------------- slippery places

    def add_friction(self, pose: Pose, extent_m: tuple[float, float, float], friction: float) -> int:
        """A box about `pose` (half sizes `extent_m`) in which tyres have `friction` times their grip; its number."""
        self._next_patch += 1
        self._patches[self._next_patch] = pose, extent_m, friction
        return self._next_patch

    def remove_friction(self, patch: int) -> None:
        """Take a slippery place away; ValueError for an unknown one."""
        if patch not in self._patches:
            raise ValueError(f"remove friction: found {patch}, expected one of {sorted(self._patches)}")
        del self._patches[patch]
        self._rub()

    def _rub(self) -> None:
        """Write the grip of each vehicle where it is; of several patches the most slippery counts."""
        rows = np.array(sorted(self._params), int)
        if not len(rows):
            return
        at, share = self.motion().xyz_m[rows], np.ones(len(rows))
        for pose, extent, friction in self._patches.values():
            cos, sin = np.cos(pose.yaw_rad), np.sin(pose.yaw_rad)
            x, y, z = (at - (pose.x_m, pose.y_m, pose.z_m)).T
            inside = (np.abs(x * cos + y * sin) <= extent[0]) & (np.abs(y * cos - x * sin) <= extent[1])
            share = np.where(inside & (np.abs(z) <= extent[2]), np.minimum(share, friction), share)
        own = np.array([self._params[row].tyre_friction for row in rows])
        self.store.table[rows, Column.TYRE_FRICTION] = own * share

    # ---------------------------------------------------------------- reading

    def motion(self) -> Motion:
        """All rows as they are now."""
        self.store.report.launch()
        return Motion(*self.store.reported.copy())

    def contacts(self) -> list[Contact]:
        """Who touched whom in the last tick: each pair of actors twice, once for each."""
        out = []
        for a, b, point, taken in zip(*self.store.tally(), strict=True):
            impulse = np.array([*taken, 0.0], float)
            at = point.astype(float)
            if b == self.store.rows:
                out.append(Contact(int(a), SCENERY, -impulse, at))
            else:
                out += [Contact(int(a), int(b), -impulse, at), Contact(int(b), int(a), impulse, at)]
        return out

    def ground_m(self, xy_m: F64, from_z_m: F64) -> F32:
        """(N,) height of the first static surface below (N, 2) points at (N,) heights; -inf: none."""
        return self._ground.height_m(np.column_stack([xy_m, from_z_m]))

    def cast(self, a: Sequence[float] | F64, b: Sequence[float] | F64, actors: bool = True) -> list[tuple[F64, int]]:
        """Points (3,) and semantic labels of what a segment meets, nearest first; actors are boxes, or left out."""
        start, end = np.asarray(a, float), np.asarray(b, float)
        rows = np.flatnonzero(self._c["kind"])
        m = self.motion()
        size = np.stack([self._c[name][rows] for name in ("length_m", "width_m", "height_m")], axis=-1)
        hits = self._ground.pierce(start, end)
        if actors:
            hits += pierced_boxes(
                start, end, m.xyz_m[rows].astype(float), m.rpy_rad[rows].astype(float), size.astype(float),
                self._c["kind"][rows],
            )  # fmt: skip
        way = (end - start) / max(float(np.linalg.norm(end - start)), 1e-9)
        return [(start + distance * way, label) for distance, label in sorted(hits)]

    # ---------------------------------------------------------------- keeping

    def save(self) -> dict[str, Any]:
        """A copy of the whole world."""
        more = {"params": dict(self._params), "patches": dict(self._patches), "searched": self._searched.copy()}
        return self.store.save() | more | {"unsettled": self._unsettled, "next_patch": self._next_patch}

    def restore(self, saved: dict[str, Any]) -> None:
        """Go back to what `save` returned; ValueError where the world has grown since."""
        self.store.restore(saved)
        self._params, self._patches = dict(saved["params"]), dict(saved["patches"])
        self._searched, self._unsettled = saved["searched"].copy(), saved["unsettled"]
        self._next_patch = saved["next_patch"]

    def hash(self) -> str:
        """16 hex digits over all that decides the future, but for slippery places."""
        return self.store.hash()
