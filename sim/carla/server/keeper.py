"""Keeps a world whole, whatever clients ask of it: nothing goes faster or farther than numbers can bear."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from sim.carla import convert
from sim.carla.server.values import FAR_M
from stack.frames import Pose

log = logging.getLogger(__name__)
MOST = {
    "vx_mps": 1e3, "vy_mps": 1e3, "vz_mps": 1e3, "yaw_rate_radps": 1e2, "keep_mps": 1e3, "walk_to": 1e2,
    "force_n": 1e7, "torque_nm": 1e7,
}  # fmt: skip


def hold(world: Any) -> None:
    """Bound what the next tick begins with."""
    for name, most in MOST.items():
        values = world.store.column[name]
        np.clip(values, -most, most, out=values)


def fetch(episode: Any) -> None:
    """Whoever has left every map, or is nowhere any more, is put where the last snapshot had it, and stands still."""
    actors, groups = episode.actors, episode.actors.groups()
    if not len(groups.body_row):
        return
    motion = episode.world.motion()
    place = motion.xyz_m[groups.body_row]
    lost = ~((np.abs(place) <= FAR_M).all(axis=1) & np.isfinite(motion.rpy_rad[groups.body_row]).all(axis=1))
    lost |= ~(np.isfinite(motion.velocity_mps) & np.isfinite(motion.turn_radps)).all(axis=1)[groups.body_row]
    for k in np.flatnonzero(lost):
        actor = actors.by_row[int(groups.body_row[k])]
        r = actors.records[actor.at]
        at = [float(np.clip(r[name], -FAR_M, FAR_M)) for name in ("x", "y", "z")]
        turn = [float(r[name]) for name in ("pitch", "yaw", "roll")]
        log.warning(
            "actor %d (%s) went out of all bounds at %s: it stands at %s", actor.id, actor.type_id, place[k], at
        )
        episode.world.simulate(actor.row, False)
        for name in MOST:
            episode.world.store.column[name][actor.row] = 0.0
        pose: Pose = convert.pose([at, turn])
        episode.move(actor, pose)
