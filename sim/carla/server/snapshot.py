"""What the world snapshot says of every actor: the records, written from the world's columns for all bodies at once."""

from __future__ import annotations

from typing import Any

import numpy as np

from sim.carla import convert
from sim.carla.server.actors import Actor, Groups
from sim.carla.server.physics import GEAR_FROM_MPS
from sim.carla.server.wire import Light
from sim.open_world import Motion
from stack.frames import transforms

DEFAULT_LIMIT_KMH = 30.0
LIMIT_EVERY = 10  # ticks between looks for the speed limit of vehicles that are put where they are
LIMIT_NEAR_M = 4.0  # no lane's limit holds farther from it
LIGHT_NEAR_M = 5.0  # a vehicle is at a light when its front is so near the junction, or
LIGHT_BRAKE_MPS2 = 8.0  # could stop at it no more gently than so
LIGHT_FAR_M = 40.0
PAST_M = 2.0  # beyond the line, before it has left the light behind


class Writer:
    """Writes the records of an episode's actors, whatever moves or switches by itself."""

    def __init__(self, episode: Any) -> None:
        self._episode = episode
        self._looked = -LIMIT_EVERY  # tick in which lanes were looked for
        self._found: dict[int, tuple[int, float]] = {}  # row: lane and place on it, of vehicles that are on none
        self._at_sign_s = np.zeros(len(episode.world.store.column["lane"]))  # how long each body has been at its sign
        self._times_stale = True

    def times_changed(self) -> None:
        """Timing or freezing of lights was set: the next snapshot says so."""
        self._times_stale = True

    def write(self, tick: int) -> None:
        """All records; `tick` counts those of the episode."""
        groups, motion = self._episode.actors.groups(), self._episode.world.motion()
        lamps = self._write_lamps(groups)
        if len(groups.body_at):
            self._write_bodies(groups, motion)
        if len(groups.vehicle_at):
            self._write_vehicles(groups, motion, lamps, tick)
        if len(groups.rider_at):
            self._write_riders(groups, motion)
        for actor in groups.others:
            self.write_one(actor, motion)

    def write_one(self, actor: Actor, motion: Motion | None = None) -> None:
        """The place of one actor that is not among the bodies, or has just come."""
        records, at = self._episode.actors.records, actor.at
        (x, y, z), (pitch, yaw, roll) = convert.transform(convert.pose_of(self._episode.matrix(actor, motion)))
        records["x"][at], records["y"][at], records["z"][at] = x, y, z
        records["pitch"][at], records["yaw"][at], records["roll"][at] = pitch, yaw, roll
        parent = self._episode.actors.alive.get(actor.parent)
        if parent is not None:
            records["velocity"][at] = records["velocity"][parent.at]

    def _place(self, at: Any, xyz_m: Any, yaw_rad: Any, pitch_rad: Any, roll_rad: Any) -> None:
        records = self._episode.actors.records
        records["x"][at], records["y"][at], records["z"][at] = convert.locations(xyz_m).T
        records["pitch"][at], records["yaw"][at], records["roll"][at] = convert.angles_deg(yaw_rad, pitch_rad, roll_rad)

    def _write_bodies(self, groups: Groups, m: Motion) -> None:
        records, at, rows = self._episode.actors.records, groups.body_at, groups.body_row
        xyz, rpy = m.xyz_m[rows], m.rpy_rad[rows]
        xyz[:, 2] += groups.lift_m
        self._place(at, xyz, rpy[:, 2], rpy[:, 1], rpy[:, 0])
        records["velocity"][at] = convert.locations(m.velocity_mps[rows])
        records["angular"][at] = convert.rates_deg(m.turn_radps[rows])
        records["acceleration"][at] = convert.locations(m.accel_mps2[rows])

    def _write_riders(self, groups: Groups, m: Motion) -> None:
        """What is fixed to a body: sensors, most of all."""
        records, rows = self._episode.actors.records, groups.rider_row
        xyz, (roll, pitch, yaw) = m.xyz_m[rows].astype(float), m.rpy_rad[rows].astype(float).T
        xyz[:, 2] += groups.rider_lift_m
        self._place(groups.rider_at, *convert.poses_of(transforms(xyz, yaw, pitch, roll) @ groups.rider_place))
        records["velocity"][groups.rider_at] = records["velocity"][groups.carrier_at]

    def _write_vehicles(self, groups: Groups, m: Motion, lamps: Any, tick: int) -> None:
        """Gears, speed limits, and the lights and signs that vehicles stand before. `lamps`: (L,) their states."""
        records, town, world = self._episode.actors.records, self._episode.town, self._episode.world
        graph, at, rows, column = town.graph, groups.vehicle_at, groups.vehicle_row, world.store.column
        lane, s_m, vx = column["lane"][rows].astype(np.int64), column["lane_s_m"][rows], column["vx_mps"][rows]
        lost = lane < 0
        if lost.any():
            self._look_for_lanes(rows, lane, s_m, lost, m, tick)
        on = lane >= 0
        limit = np.where(on, graph.lane_limit_mps[lane] * 3.6, DEFAULT_LIMIT_KMH)
        records["speed_limit"][at] = np.round(limit, 2)
        automatic = np.where(records["reverse"][at] != 0, -1, 1 + np.searchsorted(GEAR_FROM_MPS, vx))
        records["gear"][at] = np.where(records["manual"][at] != 0, records["gear"][at], automatic)
        front = graph.lane_length_m[lane] - s_m - column["centre_m"][rows] - 0.5 * column["length_m"][rows]
        self._at_sign_s[rows] = np.where(
            town.give_way.at_sign(lane, front), self._at_sign_s[rows] + self._episode.delta_s, 0.0
        )
        waiting = town.give_way.waiting(lane, front, self._at_sign_s[rows])
        records["light_state"][at] = np.where(waiting, Light.RED, Light.GREEN)
        if not len(lamps):
            return
        signal_ahead, lamp_ahead = town.lights_ahead
        lamp, v = lamp_ahead[lane], np.maximum(vx, 0.0)
        zone = LIGHT_NEAR_M + 0.1 * v + v * v / (2.0 * LIGHT_BRAKE_MPS2)
        near = on & (signal_ahead[lane] >= 0) & (front < np.minimum(zone, LIGHT_FAR_M)) & (front > -PAST_M)
        records["has_light"][at] = near
        records["light_id"][at] = np.where(near, groups.actor_of_lamp[lamp], 0)
        records["light_state"][at] = np.where(near, lamps[lamp], records["light_state"][at])

    def _look_for_lanes(self, rows: Any, lane: Any, s_m: Any, lost: Any, m: Motion, tick: int) -> None:
        """Write the lanes of vehicles that are put where they are or have left the road; looked for now and then."""
        if tick >= self._looked + LIMIT_EVERY:
            self._looked, some = tick, rows[lost]
            xy, yaw = m.xyz_m[some, :2].astype(float), m.rpy_rad[some, 2].astype(float)
            near, s, d, _ = self._episode.town.graph.nearest_lanes(xy, yaw, z_m=m.xyz_m[some, 2])
            good = np.abs(d) < LIMIT_NEAR_M
            self._found = {int(r): (int(n), float(x)) for r, n, x in zip(some[good], near[good], s[good], strict=True)}
        for k in np.flatnonzero(lost):
            lane[k], s_m[k] = self._found.get(int(rows[k]), (-1, 0.0))

    def _write_lamps(self, groups: Groups) -> Any:
        """(L,) states of the lamps."""
        lights, records = self._episode.lights, self._episode.actors.records
        state = np.array([lamp.state for lamp in lights.lamps], np.uint8)
        if not len(state):
            return state
        since = np.array([lamp.since_s for lamp in lights.lamps])
        records["lamp"][groups.lamp_at] = state[groups.lamp_index]
        records["elapsed_s"][groups.lamp_at] = lights.now_s - since[groups.lamp_index]
        if self._times_stale:
            self._times_stale = False
            for at, k in zip(groups.lamp_at, groups.lamp_index, strict=True):
                phase = lights.phase_of[k]
                records["green_s"][at], records["yellow_s"][at] = phase.green_s, phase.yellow_s
                records["red_s"][at], records["frozen"][at] = phase.red_s, lights.group_of[k].frozen
        return state
