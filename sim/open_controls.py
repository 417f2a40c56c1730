"""What can be asked of the actors of an open world. Everything holds until it is asked otherwise, but for pushes, jumps and
forces. World frame, SI; a row that holds nobody is a ValueError."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.kernels.open_rows import AIR, GROUND, LOOK
from sim.open_store import Store
from sim.state import Driver
from stack.frames import F64, Pose
from stack.labels import Kind
from stack.vehicle import Column, VehicleParams, parameter_row

HAND_BRAKE_MPS2 = 4.0  # the rear wheels alone
JUMP_MPS = 4.2  # upwards: 0.9 m high
LIFTS_MPS = 0.05  # what rises slower than this over its ground stays there
STAYS_M = 2.0  # who is put no farther away than this still knows its lane


class Controls:
    """The part of an `OpenWorld` that takes orders."""

    store: Store
    _params: dict[int, VehicleParams]
    _unsettled: bool

    def _row(self, row: int) -> int:
        if not (0 <= row < self.store.rows and self._c["kind"][row]):
            raise ValueError(f"open world: found row {row}, expected that of an actor")
        return row

    @property
    def _c(self) -> dict[str, NDArray[Any]]:
        return self.store.column

    # ---------------------------------------------------------------- driving and walking

    def drive(
        self, row: int, throttle: float, brake: float, steer: float, hand_brake: bool = False, reverse: bool = False
    ) -> None:
        """Pedals 0..1, steer -1..1 (left positive). The hand brake acts as a brake pedal of HAND_BRAKE_MPS2."""
        c, row = self._c, self._row(row)
        if row not in self._params or not math.isfinite(throttle + brake + steer):
            raise ValueError(
                f"drive: found {throttle}, {brake}, {steer}, expected finite throttle, brake, steer of a vehicle"
            )
        if hand_brake:
            brake = max(brake, min(HAND_BRAKE_MPS2 / float(self.store.table[row, Column.BRAKE_MAX]), 1.0))
        c["throttle"][row], c["brake"][row], c["steer"][row], c["reverse"][row] = throttle, brake, steer, reverse

    def walk(self, row: int, direction: Sequence[float] | F64, speed_mps: float, jump: bool = False) -> None:
        """Walk with a speed in the direction (3,) in plan; speed or direction 0: stand. `jump`: once, from the ground."""
        c, row = self._c, self._row(row)
        flat = np.asarray(direction, float)[:2]
        if not np.isfinite([*flat, speed_mps]).all():
            raise ValueError(f"walk: found {direction}, {speed_mps}, expected a finite direction and speed")
        length = float(np.hypot(*flat))
        c["walk_to"][row] = flat * (speed_mps / length) if length > 1e-6 else 0.0
        if jump and c["flies"][row] == GROUND and c["driver"][row] != Driver.PLACED:
            c["vz_mps"][row], c["flies"][row] = JUMP_MPS, AIR

    def lead(self, row: int, pose: Pose, speed_mps: float) -> None:
        """A walker whose way is worked out elsewhere: it is put there and walks on ahead until it is put elsewhere. It can
        be hit as any other; one that was thrown stays where it lies."""
        if self._c["thrown"][self._row(row)]:
            return
        self.simulate(row, True)
        self.place(row, pose)
        self.walk(row, (np.cos(pose.yaw_rad), np.sin(pose.yaw_rad)), speed_mps)

    # ---------------------------------------------------------------- places and velocities

    def place(self, row: int, pose: Pose) -> None:
        """Put an actor somewhere. One that is simulated keeps its velocity in the world; the velocity of another is what
        takes it from placing to placing, 0 for more than JUMP_MPS."""
        xyz = np.array([[pose.x_m, pose.y_m, pose.z_m]])
        self.place_many([row], xyz, *(np.array([a]) for a in (pose.yaw_rad, pose.pitch_rad, pose.roll_rad)))

    def place_many(self, rows: Sequence[int], xyz: F64, yaw: F64, pitch: F64, roll: F64) -> None:
        """`place` for N rows: (N, 3) positions, (N,) angles."""
        c, r = self._c, np.asarray(rows, int)
        xyz, yaw, pitch, roll = (np.asarray(values, float) for values in (xyz, yaw, pitch, roll))
        if len(r) == 0:
            return
        if not (np.isfinite(xyz).all() and np.isfinite((yaw, pitch, roll)).all()):
            raise ValueError(f"place: found {xyz.tolist()}, expected finite poses")
        if r.min() < 0 or r.max() >= self.store.rows or not c["kind"][r].all():
            raise ValueError(f"place: found rows {r.tolist()}, expected those of actors")
        simulated = c["driver"][r] != Driver.PLACED
        turn = yaw - c["yaw_rad"][r]
        vx, vy = c["vx_mps"][r].astype(float), c["vy_mps"][r].astype(float)
        vy += c["yaw_rate_radps"][r] * c["centre_m"][r]  # of the box centre
        ahead = np.where(simulated, vx * np.cos(turn) + vy * np.sin(turn), vx)
        side = np.where(simulated, vy * np.cos(turn) - vx * np.sin(turn), vy)
        c["vx_mps"][r], c["vy_mps"][r] = ahead, side - c["yaw_rate_radps"][r] * c["centre_m"][r]
        before = np.stack([c["x_m"][r], c["y_m"][r], c["z_m"][r]], axis=-1)
        centre = c["centre_m"][r]
        c["x_m"][r] = xyz[:, 0] - centre * np.cos(yaw) * np.cos(pitch)
        c["y_m"][r] = xyz[:, 1] - centre * np.sin(yaw) * np.cos(pitch)
        c["z_m"][r] = xyz[:, 2] - centre * np.sin(pitch)
        c["yaw_rad"][r], c["pitch_rad"][r], c["roll_rad"][r] = (yaw + np.pi) % (2.0 * np.pi) - np.pi, pitch, roll
        c["placed"][r] = 1
        c["vz_mps"][r] = np.where(c["flies"][r] == GROUND, 0.0, c["vz_mps"][r])
        c["flies"][r] = np.where(simulated, LOOK, c["flies"][r])
        after = np.stack([c["x_m"][r], c["y_m"][r], c["z_m"][r]], axis=-1)
        far = r[np.abs(after - before).max(axis=1) > STAYS_M]
        c["lane"][far] = c["target_lane"][far] = -1
        self._unsettled = True

    def set_velocity(self, row: int, v_world: Sequence[float] | F64) -> None:
        """Of the box centre, (3,) m/s. Upwards it leaves the ground; a walker walks on at the next tick."""
        c, row = self._c, self._row(row)
        vx, vy, vz = (float(x) for x in v_world)
        cos, sin = np.cos(c["yaw_rad"][row]), np.sin(c["yaw_rad"][row])
        c["vx_mps"][row] = vx * cos + vy * sin
        c["vy_mps"][row] = vy * cos - vx * sin - c["yaw_rate_radps"][row] * c["centre_m"][row]
        self._lift(row, vz)

    def set_turn_rate(self, row: int, w_radps: Sequence[float] | F64) -> None:
        """About the vertical, of (3,) rad/s; the velocity of the box centre stays."""
        c, row = self._c, self._row(row)
        c["vy_mps"][row] -= (w_radps[2] - c["yaw_rate_radps"][row]) * c["centre_m"][row]
        c["yaw_rate_radps"][row] = w_radps[2]

    def keep_velocity(self, row: int, v_body: Sequence[float] | F64 | None) -> None:
        """Keep a velocity in the actor's own frame, (3,) m/s, of which ahead and left count; None: no more."""
        c, row = self._c, self._row(row)
        c["kept"][row] = v_body is not None
        c["keep_mps"][row] = (0.0, 0.0, 0.0) if v_body is None else v_body

    # ---------------------------------------------------------------- pushes and forces

    def push(self, row: int, impulse_ns: Sequence[float] | F64, at: Sequence[float] | F64 | None = None) -> None:
        """An impulse (3,) N s at once, at a point of the world or at the centre of gravity."""
        c, row = self._c, self._row(row)
        if c["driver"][row] == Driver.PLACED:
            return
        j = np.asarray(impulse_ns, float)
        dv = j / float(self.store.table[row, Column.MASS])
        cos, sin = np.cos(c["yaw_rad"][row]), np.sin(c["yaw_rad"][row])
        c["vx_mps"][row] += dv[0] * cos + dv[1] * sin
        c["vy_mps"][row] += dv[1] * cos - dv[0] * sin
        if dv[2] != 0.0:
            self._lift(row, float(c["vz_mps"][row] + dv[2]))
        if c["kind"][row] == Kind.PEDESTRIAN:
            c["thrown"][row] = 1
        if at is not None:
            self.twist(row, (0.0, 0.0, self._moment(row, j, at)))

    def twist(self, row: int, impulse_nms: Sequence[float] | F64) -> None:
        """An angular impulse (3,) N m s at once; about the vertical alone."""
        c, row = self._c, self._row(row)
        if c["driver"][row] == Driver.PLACED:
            return
        turn = float(impulse_nms[2]) / float(self.store.table[row, Column.YAW_INERTIA])
        c["yaw_rate_radps"][row] += turn
        c["vy_mps"][row] -= turn * self.store.table[row, Column.REAR_AXLE]

    def force(self, row: int, force_n: Sequence[float] | F64, at: Sequence[float] | F64 | None = None) -> None:
        """A force (3,) N during the next tick, at a point of the world or at the centre of gravity; forces add up."""
        c, row = self._c, self._row(row)
        f = np.asarray(force_n, float)
        c["force_n"][row] += f.astype(np.float32)
        if at is not None:
            c["torque_nm"][row] += self._moment(row, f, at)

    def torque(self, row: int, torque_nm: Sequence[float] | F64) -> None:
        """A torque (3,) N m during the next tick; about the vertical alone."""
        self._c["torque_nm"][self._row(row)] += float(torque_nm[2])

    def _moment(self, row: int, f: F64, at: Sequence[float] | F64) -> float:
        """About the vertical through the centre of gravity."""
        c, b = self._c, float(self.store.table[row, Column.REAR_AXLE])
        x = at[0] - c["x_m"][row] - b * np.cos(c["yaw_rad"][row])
        y = at[1] - c["y_m"][row] - b * np.sin(c["yaw_rad"][row])
        return float(x * f[1] - y * f[0])

    def _lift(self, row: int, vz: float) -> None:
        """Give a vertical velocity; on the ground only one that is more than the slope's."""
        c = self._c
        slope = float(c["vx_mps"][row] * np.tan(c["pitch_rad"][row])) if row in self._params else 0.0
        if c["flies"][row] != GROUND or vz > slope + LIFTS_MPS:
            c["vz_mps"][row] = vz
            c["flies"][row] = AIR if c["flies"][row] == GROUND else c["flies"][row]

    # ---------------------------------------------------------------- switches

    def simulate(self, row: int, on: bool) -> None:
        """Physics. Off: the actor stands where it is put, whatever hits it. On again it goes on with the velocity that its
        placings gave it in the last tick."""
        c, row = self._c, self._row(row)
        was = c["driver"][row] != Driver.PLACED
        if was == on:
            return
        c["driver"][row] = Driver.EXTERNAL if on else Driver.PLACED
        c["thrown"][row] = c["drive_mps2"][row] = 0
        if not on:
            for name in ("vx_mps", "vy_mps", "vz_mps", "yaw_rate_radps", "ax_mps2", "ay_mps2"):
                c[name][row] = 0
        c["flies"][row] = LOOK if on else GROUND
        self._unsettled |= on

    def solid(self, row: int, on: bool) -> None:
        """Whether others touch it."""
        self._c["ghost"][self._row(row)] = not on

    def gravity(self, row: int, on: bool) -> None:
        """Whether it falls."""
        self._c["weightless"][self._row(row)] = not on

    def params(self, row: int) -> VehicleParams:
        """Of a vehicle; ValueError for other actors."""
        if self._row(row) not in self._params:
            raise ValueError(f"params: row {row} holds a {Kind(self._c['kind'][row]).name.lower()}, expected a vehicle")
        return self._params[row]

    def set_params(self, row: int, params: VehicleParams) -> None:
        """Another engine, other tyres, another mass; the box stays as it is."""
        old = self.params(row)
        p = replace(params, length_m=old.length_m, width_m=old.width_m, height_m=old.height_m, centre_m=old.centre_m)
        self._params[row] = p
        self.store.table[row] = parameter_row(p)
