"""Where each road user may be over the next seconds: straight or turning on, and along each lane that it could follow.

The free hypothesis keeps speed and turn rate (the latter fading). A vehicle that is near a lane and aligned with it
gets one more for each way through the lane graph that it can reach, at constant speed, its offset from the centre line
fading; it stops before lights that are not green and before signs.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from stack.frames import F64, wrap
from stack.labels import Kind, LightState
from stack.lanegraph import LaneGraph
from stack.messages import I32, U8, Actors

STEP_S = 0.25
HORIZON_S = 4.0
TIMES_S: F64 = np.arange(int(HORIZON_S / STEP_S) + 1) * STEP_S
TURN_FADE_S = 1.5  # a turn does not go on for ever
LANE_OFFSET_M = 1.8  # nearer than this to a centre line, a vehicle may be following it
LANE_HEADING_RAD = 0.7
OFFSET_FADE_S = 2.0
WAYS = 3  # through the lane graph, for each road user
FREE_WEIGHT = 0.15  # of the free hypothesis, where there are lanes to follow
FOLLOWS_LANES = (Kind.CAR, Kind.TRUCK, Kind.CYCLIST)
_FOLLOWS_LANES = np.isin(np.arange(len(Kind)), FOLLOWS_LANES)  # by Kind
_OFFSET_FADE: F64 = np.exp(-TIMES_S / OFFSET_FADE_S)
SLOW_MPS = 0.5  # what is slower than this is taken to stand


@dataclass(frozen=True)
class Predictions:
    """H hypotheses at TIMES_S from now; the weights of one track's hypotheses add up to 1."""

    track: I32  # (H,) row of the scene's tracks
    weight: F64  # (H,)
    xy_m: F64  # (H, T, 2) box centre
    yaw_rad: F64  # (H, T)


def predict(tracks: Actors, graph: LaneGraph, signal_state: U8) -> Predictions:
    """Hypotheses for all tracks of a scene; world frame."""
    xy, yaw = free_motion(tracks)
    weights = np.ones(len(tracks))
    speed = np.hypot(tracks.velocity_mps[:, 0], tracks.velocity_mps[:, 1])
    movers = np.flatnonzero(_FOLLOWS_LANES[tracks.kind] & (speed > SLOW_MPS))
    lanes = graph.nearest_lanes(tracks.xyz_m[movers, :2], tracks.yaw_rad[movers], z_m=tracks.xyz_m[movers, 2])
    found: list[tuple[int, float, float]] = []  # track, weight, offset
    places: list[tuple[F64, F64, F64, F64]] = []
    for row, lane, s, side, heading in zip(movers.tolist(), *(column.tolist() for column in lanes), strict=True):
        if abs(side) > LANE_OFFSET_M or abs(heading) > LANE_HEADING_RAD:
            continue
        ways = ways_ahead(graph, lane, s + float(speed[row]) * HORIZON_S)
        weights[row] = FREE_WEIGHT
        for way in ways:
            stop = stop_along(graph, way, signal_state) - 0.5 * tracks.size_m[row, 0]
            along = np.minimum(s + speed[row] * TIMES_S, stop if stop > s else np.inf)
            found.append((row, (1.0 - FREE_WEIGHT) / len(ways), side))
            places.append(along_way(graph, way, along))
    if found:
        rows, shares, sides = zip(*found, strict=True)
        x, y, way_yaw, beyond = np.array(places).transpose(1, 0, 2)
        cos, sin, offset = np.cos(way_yaw), np.sin(way_yaw), np.array(sides)[:, None] * _OFFSET_FADE
        on_ways = np.stack([x + beyond * cos - offset * sin, y + beyond * sin + offset * cos], axis=-1)
        track = np.concatenate([np.arange(len(tracks)), rows]).astype(np.int32)
        weights, xy = np.concatenate([weights, shares]), np.concatenate([xy, on_ways])
        return Predictions(track, weights, xy, np.concatenate([yaw, wrap(way_yaw)]))
    return Predictions(np.arange(len(tracks), dtype=np.int32), weights, xy, yaw)


def free_motion(tracks: Actors) -> tuple[F64, F64]:
    """(N, T, 2) places and (N, T) yaws at constant speed and fading turn rate."""
    vx, vy = tracks.velocity_mps[:, :1], tracks.velocity_mps[:, 1:]
    turn = tracks.yaw_rate_radps[:, None] * TURN_FADE_S * (1.0 - np.exp(-TIMES_S / TURN_FADE_S))
    middle = 0.5 * (turn[:, 1:] + turn[:, :-1])
    cos, sin = np.cos(middle), np.sin(middle)
    steps = np.stack([vx * cos - vy * sin, vx * sin + vy * cos], axis=-1) * STEP_S
    moved = np.concatenate([np.zeros((len(tracks), 1, 2)), np.cumsum(steps, axis=1)], axis=1)
    return tracks.xyz_m[:, None, :2] + moved, wrap(tracks.yaw_rad[:, None] + turn)


def ways_ahead(graph: LaneGraph, lane: int, until_m: float) -> list[list[int]]:
    """Up to WAYS lists of successive lanes from `lane` on, at least `until_m` long where the map goes on."""
    done: list[list[int]] = []
    pending = [([lane], float(graph.lane_length_m[lane]))]
    while pending and len(done) < WAYS:
        way, length = pending.pop(0)
        following = graph.successors(way[-1]) if length < until_m and len(way) < 12 else []
        if len(following) == 0:
            done.append(way)
        pending += [([*way, int(n)], length + float(graph.lane_length_m[n])) for n in following]
    return done


def stop_along(graph: LaneGraph, way: list[int], signal_state: U8) -> float:
    """Distance along a way at which a front bumper stops for a light that is not green, or a sign; inf: nowhere."""
    start = 0.0
    for lane, following in pairwise(way):
        signal = int(graph.lane_signal[following])
        state = LightState(signal_state[signal]) if 0 <= signal < len(signal_state) else LightState.GREEN
        if state in (LightState.RED, LightState.YELLOW) or (signal < 0 and graph.lane_sign[following]):
            return start + float(graph.lane_stop_s_m[lane])
        start += float(graph.lane_length_m[lane])
    return float("inf")


def along_way(graph: LaneGraph, way: list[int], s_m: F64) -> tuple[F64, F64, F64, F64]:
    """(T,) x, y and yaw at distances along successive lanes, and how far beyond their end each is."""
    at, xy, yaws = graph.polyline(tuple(way))
    x, y = np.interp(s_m, at, xy[:, 0]), np.interp(s_m, at, xy[:, 1])
    return x, y, np.interp(s_m, at, yaws), np.maximum(s_m - at[-1], 0.0)


def boxes_at(predictions: Predictions, times_s: NDArray[np.floating]) -> tuple[F64, F64]:
    """(H, len(times_s), 2) places and (H, len(times_s)) yaws, interpolated; yaws of the nearest step."""
    f = np.clip(times_s / STEP_S, 0.0, len(TIMES_S) - 1.001)
    k, t = f.astype(int), f % 1.0
    xy = predictions.xy_m[:, k] * (1.0 - t)[:, None] + predictions.xy_m[:, k + 1] * t[:, None]
    return xy, predictions.yaw_rad[:, np.round(f).astype(int)]
