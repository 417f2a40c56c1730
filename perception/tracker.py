"""Road users over time: one Kalman filter each, matched to the observations of a tick by the Hungarian method.

State of a track: x, y, vx, vy, moved by a constant-turn-rate model (its own yaw rate turns the velocity) under white
acceleration noise of density q: Q = q [dt^3/3, dt^2/2; dt^2/2, dt] (Bar-Shalom, Li & Kirubarajan, Estimation with
Applications to Tracking and Navigation, ch. 6); yaw and yaw rate have a filter of their own, sizes a running mean.
Everything is in the world frame, so the ego's motion needs no compensation. All tracks are updated at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from stack.frames import F64, wrap
from stack.labels import Kind
from stack.messages import I32, U8, Actors, Ego

KINDS = len(Kind)
# by Kind: acceleration noise density (m2/s3), initial speed sigma (m/s), how long a confirmed track is kept unseen (s)
ACCEL_DENSITY = np.array([0.0, 3.0, 3.0, 1.5, 0.6, 0.01])
START_SPEED_MPS = np.array([1.0, 8.0, 8.0, 4.0, 1.5, 0.1])
KEEP_S = np.array([0.5, 0.8, 0.8, 0.8, 1.0, 2.0])
YAW_DENSITY = 0.3  # rad2/s3
HEADING_FROM_MPS = 2.0  # above it a vehicle points where it moves
GATE = 13.8  # chi-square, 2 dof, 99.9 %
TENTATIVE_S = 0.25  # an unconfirmed track is dropped when unseen for longer
CONFIRMED = 0.5
GAIN = 0.4  # confidence won by a certain observation
FADE_AFTER_S, FADE_S = 0.15, 0.6
HITS_SHOWN = 3  # looks before a track is shown
HITS_KEPT = 12  # looks that earn a track all of KEEP_S; one seen for a moment does not know its speed
ROOM_M = 0.7  # an object that begins in the box of a known one, larger by this, is a piece of it
OWN_AHEAD_M = 1.4  # from the ego's origin to its middle
OWN_M = 2.0  # radius round the middle of the own car in which no other can be
MERGE_M = np.array([0.0, 1.5, 1.5, 0.6, 0.3, 0.6])  # centres nearer than this are one object
# cost in units of squared Mahalanobis distance of taking an observation of one kind for a track of another
_VEHICLE, _CYCLE, _WALK, _PROP = 0, 1, 2, 3
_GROUP = np.array([_PROP, _VEHICLE, _VEHICLE, _CYCLE, _WALK, _PROP])
_MISMATCH = np.array([[0, 4, 9, 4], [4, 0, 3, 4], [9, 3, 0, 4], [4, 4, 4, 0]], dtype=np.float64)


@dataclass(frozen=True)
class Observations:
    """What fusion says is there now, world frame, N rows."""

    time_s: F64  # (N,) when it was measured
    kind: U8
    kind_score: F64  # 0..1, weight of the class
    score: F64  # 0..1 that something is there
    xyz_m: F64  # (N, 3) box centre, on the ground
    covariance: F64  # (N, 2, 2) of x, y
    yaw_rad: F64
    yaw_sigma_rad: F64
    size_m: F64  # (N, 3)
    radial: F64  # (N, 3) unit vector away from the sensor, and speed along it in m/s over ground; nan: not measured

    def __len__(self) -> int:
        return len(self.kind)

    @staticmethod
    def empty() -> Observations:
        f = np.zeros
        return Observations(
            f(0), f(0, np.uint8), f(0), f(0), f((0, 3)), f((0, 2, 2)), f(0), f(0), f((0, 3)), f((0, 3))
        )  # fmt: skip


@dataclass
class _Tracks:
    """Struct of arrays, T rows, oldest first."""

    id: I32
    evidence: F64  # (T, KINDS) sum of class scores
    mean: F64  # (T, 4)
    covariance: F64  # (T, 4, 4)
    turn: F64  # (T, 2) yaw, yaw rate
    turn_covariance: F64  # (T, 2, 2)
    size: F64  # (T, 3)
    z: F64
    confidence: F64
    confirmed: NDArray[np.bool_]
    hits: I32
    seen_s: F64

    def take(self, rows: NDArray[Any]) -> _Tracks:
        return _Tracks(*[column[rows] for column in vars(self).values()])

    def join(self, other: _Tracks) -> _Tracks:
        both = zip(vars(self).values(), vars(other).values(), strict=True)
        return _Tracks(*[np.concatenate(pair) for pair in both])

    @property
    def kind(self) -> NDArray[np.int64]:
        return self.evidence.argmax(axis=1)


class Tracker:
    """Remembers the tracks between ticks. Ids count up from 1 and are never used again."""

    def __init__(self) -> None:
        self._next_id = 1
        self._tracks = self._born(Observations.empty(), np.zeros(0, dtype=np.int64))
        self._time_s = 0.0

    def __call__(self, seen: Observations, time_s: float, ego: Ego | None = None) -> Actors:
        """The confirmed tracks at `time_s`, after the observations of this tick; none stands where the ego does."""
        tracks = self._tracks
        predict(tracks, max(0.0, time_s - self._time_s))
        distance, rows, columns = associate(tracks, seen, time_s)
        _update(tracks, rows, seen, columns, time_s)
        free = np.ones(len(seen), dtype=bool)
        free[columns] = False
        if free.any():
            free &= ~_known(tracks, seen, distance)
        unseen_s = time_s - tracks.seen_s
        tracks.confidence *= np.where(unseen_s > FADE_AFTER_S, np.exp(-(time_s - self._time_s) / FADE_S), 1.0)
        tracks.confirmed |= (tracks.confidence > CONFIRMED) & (tracks.hits >= HITS_SHOWN)
        kept_s = KEEP_S[tracks.kind] * np.minimum(tracks.hits / HITS_KEPT, 1.0)
        keep = (unseen_s < np.where(tracks.confirmed, kept_s, TENTATIVE_S)) & ~_doubles(tracks)
        if ego is not None:
            pose = ego.pose
            x = tracks.mean[:, 0] - pose.x_m - OWN_AHEAD_M * math.cos(pose.yaw_rad)
            y = tracks.mean[:, 1] - pose.y_m - OWN_AHEAD_M * math.sin(pose.yaw_rad)
            keep &= x * x + y * y > OWN_M**2
        if not keep.all():
            tracks = tracks.take(np.flatnonzero(keep))
        if free.any():
            tracks = tracks.join(self._born(seen, np.flatnonzero(free)))
        self._tracks, self._time_s = tracks, time_s
        return _actors(tracks)

    def _born(self, seen: Observations, rows: NDArray[np.int64]) -> _Tracks:
        n = len(rows)
        kind = seen.kind[rows].astype(np.int64)
        evidence = np.zeros((n, KINDS))
        evidence[np.arange(n), kind] = seen.kind_score[rows]
        covariance, turn = np.zeros((n, 4, 4)), np.zeros((n, 2, 2))
        covariance[:, :2, :2] = seen.covariance[rows]
        covariance[:, 2, 2] = covariance[:, 3, 3] = START_SPEED_MPS[kind] ** 2
        turn[:, 0, 0], turn[:, 1, 1] = seen.yaw_sigma_rad[rows] ** 2, 0.3**2
        mean = np.concatenate([seen.xyz_m[rows, :2], np.zeros((n, 2))], axis=1)
        _radial(mean, covariance, seen.radial[rows])
        first = self._next_id
        self._next_id += n
        return _Tracks(
            np.arange(first, first + n, dtype=np.int32), evidence, mean, covariance,
            np.stack([seen.yaw_rad[rows], np.zeros(n)], axis=-1), turn, seen.size_m[rows].copy(), seen.xyz_m[rows, 2],
            GAIN * seen.score[rows], np.zeros(n, dtype=bool), np.ones(n, dtype=np.int32), seen.time_s[rows],
        )  # fmt: skip


def predict(tracks: _Tracks, dt_s: float) -> None:
    """Move means and covariances dt_s ahead."""
    turning = np.where(_GROUP[tracks.kind] == _VEHICLE, tracks.turn[:, 1] * dt_s, 0.0)
    cos, sin = np.cos(turning), np.sin(turning)
    half_cos, half_sin = np.cos(0.5 * turning) * dt_s, np.sin(0.5 * turning) * dt_s
    f = np.zeros((len(turning), 4, 4))
    f[:, 0, 0] = f[:, 1, 1] = 1.0
    f[:, 0, 2] = f[:, 1, 3] = half_cos
    f[:, 0, 3], f[:, 1, 2] = -half_sin, half_sin
    f[:, 2, 2] = f[:, 3, 3] = cos
    f[:, 2, 3], f[:, 3, 2] = -sin, sin
    q = ACCEL_DENSITY[tracks.kind]
    tracks.mean = (f @ tracks.mean[..., None])[..., 0]
    tracks.covariance = f @ tracks.covariance @ f.transpose(0, 2, 1)
    for axis in (0, 1):
        tracks.covariance[:, axis, axis] += q * (dt_s**3 / 3.0)
        tracks.covariance[:, axis, axis + 2] += q * (dt_s**2 / 2.0)
        tracks.covariance[:, axis + 2, axis] += q * (dt_s**2 / 2.0)
        tracks.covariance[:, axis + 2, axis + 2] += q * dt_s
    step = np.array([[1.0, dt_s], [0.0, 1.0]])
    tracks.turn = tracks.turn @ step.T
    tracks.turn_covariance = step @ tracks.turn_covariance @ step.T + YAW_DENSITY * _white_noise(dt_s)


def _white_noise(dt_s: float) -> F64:
    return np.array([[dt_s**3 / 3.0, dt_s**2 / 2.0], [dt_s**2 / 2.0, dt_s]])


def associate(tracks: _Tracks, seen: Observations, time_s: float) -> tuple[F64, NDArray[np.int64], NDArray[np.int64]]:
    """Squared Mahalanobis distances (T, N); matched track rows and observation rows.

    Least total distance plus class mismatch, within GATE.
    """
    age = (time_s - seen.time_s)[None, :, None]
    d = seen.xyz_m[None, :, :2] - (tracks.mean[:, None, :2] - age * tracks.mean[:, None, 2:])  # (T, N, 2)
    s = tracks.covariance[:, None, :2, :2] + seen.covariance[None]
    a, b, c = s[..., 0, 0], s[..., 0, 1], s[..., 1, 1]
    distance = (c * d[..., 0] ** 2 - 2.0 * b * d[..., 0] * d[..., 1] + a * d[..., 1] ** 2) / (a * c - b * b)
    mismatch = _MISMATCH[_GROUP[tracks.kind][:, None], _GROUP[seen.kind][None]] * seen.kind_score[None]
    cost = np.where(distance < GATE, distance + mismatch, 1e3)
    rows, columns = linear_sum_assignment(cost)
    good = cost[rows, columns] < GATE + 4.0
    return distance, rows[good], columns[good]


def _update(
    tracks: _Tracks, rows: NDArray[np.int64], seen: Observations, columns: NDArray[np.int64], time_s: float
) -> None:
    """Update the matched tracks, in place: position at its own time, radial speed, yaw, size, class, confidence."""
    n = len(rows)
    if n == 0:
        return
    mean, covariance = tracks.mean[rows], tracks.covariance[rows]
    h = np.zeros((n, 2, 4))
    h[:, 0, 0] = h[:, 1, 1] = 1.0
    h[:, 0, 2] = h[:, 1, 3] = seen.time_s[columns] - time_s
    ph = covariance @ h.transpose(0, 2, 1)
    gain = ph @ _inverse(h @ ph + seen.covariance[columns])
    mean = mean + (gain @ (seen.xyz_m[columns, :2, None] - h @ mean[..., None]))[..., 0]
    covariance = covariance - gain @ ph.transpose(0, 2, 1)
    covariance = 0.5 * (covariance + covariance.transpose(0, 2, 1))
    _radial(mean, covariance, seen.radial[columns])
    tracks.mean[rows], tracks.covariance[rows] = mean, covariance

    turn, turn_covariance = tracks.turn[rows], tracks.turn_covariance[rows]
    vehicle = _GROUP[tracks.kind[rows]] != _WALK
    off = wrap(seen.yaw_rad[columns] - turn[:, 0])
    settled = (tracks.hits[rows] > 4) & vehicle  # a box looks the same turned round
    off = np.where(settled & (np.abs(off) > 0.5 * np.pi), wrap(off + np.pi), off)
    yaw_of = np.tile([1.0, 0.0], (n, 1))
    _scalar(turn, turn_covariance, yaw_of, off, seen.yaw_sigma_rad[columns] ** 2)
    speed = np.hypot(mean[:, 2], mean[:, 3])
    fast = speed > np.where(vehicle, HEADING_FROM_MPS, 0.5)
    spread = (covariance[:, 2, 2] + covariance[:, 3, 3]) / np.maximum(speed, 0.1) ** 2 + 0.05**2
    off = wrap(np.arctan2(mean[:, 3], mean[:, 2]) - turn[:, 0])
    # velocities of successive ticks share their errors: count them less
    _scalar(turn, turn_covariance, yaw_of, off, np.where(fast & (spread < 0.1), 4.0 * spread, 1e6))
    turn[:, 0] = wrap(turn[:, 0])
    tracks.turn[rows], tracks.turn_covariance[rows] = turn, turn_covariance

    share = np.maximum(1.0 / (tracks.hits[rows] + 1.0), 0.1)[:, None]
    tracks.size[rows] += share * (seen.size_m[columns] - tracks.size[rows])
    tracks.z[rows] += 0.3 * (seen.xyz_m[columns, 2] - tracks.z[rows])
    tracks.evidence[rows] *= 0.95
    tracks.evidence[rows, seen.kind[columns]] += seen.kind_score[columns]
    tracks.confidence[rows] += GAIN * seen.score[columns] * (1.0 - tracks.confidence[rows])
    tracks.hits[rows] += 1
    tracks.seen_s[rows] = np.maximum(tracks.seen_s[rows], seen.time_s[columns])


def _inverse(m: F64) -> F64:
    """Of (N, 2, 2) symmetric matrices."""
    out = np.empty_like(m)
    out[:, 0, 0], out[:, 1, 1] = m[:, 1, 1], m[:, 0, 0]
    out[:, 0, 1] = out[:, 1, 0] = -m[:, 0, 1]
    out /= (m[:, 0, 0] * m[:, 1, 1] - m[:, 0, 1] ** 2)[:, None, None]
    return out


def _radial(mean: F64, covariance: F64, radial: F64) -> None:
    """Update with the speed along the line of sight, where there is one; in place."""
    known = np.isfinite(radial[:, 2])
    if not known.any():
        return
    h = np.concatenate([np.zeros_like(radial[:, :2]), np.where(known[:, None], radial[:, :2], 0.0)], axis=1)
    residual = np.where(known, radial[:, 2] - (h * mean).sum(-1), 0.0)
    _scalar(mean, covariance, h, residual, np.full(len(h), 0.4**2))


def _scalar(mean: F64, covariance: F64, h: F64, residual: F64, variance: F64) -> None:
    """Kalman update of (T, n) means and (T, n, n) covariances with one number each; in place."""
    ph = (covariance @ h[..., None])[..., 0]
    gain = ph / ((h * ph).sum(-1) + variance)[:, None]
    mean += gain * residual[:, None]
    covariance -= gain[:, :, None] * ph[:, None, :]


def _inside(tracks: _Tracks, xy_m: F64) -> NDArray[np.bool_]:
    """(N, T) whether a point lies in the box of a track, larger by ROOM_M."""
    d = xy_m[:, None] - tracks.mean[None, :, :2]
    cos, sin = np.cos(tracks.turn[:, 0]), np.sin(tracks.turn[:, 0])
    ahead, left = np.abs(d[..., 0] * cos + d[..., 1] * sin), np.abs(d[..., 1] * cos - d[..., 0] * sin)
    room = 0.5 * tracks.size + ROOM_M
    return (ahead < room[:, 0]) & (left < room[:, 1])


def _doubles(tracks: _Tracks) -> NDArray[np.bool_]:
    """(T,) whether an older track of the same sort stands in the same place: a vehicle's middle in its box."""
    d = np.hypot(*(tracks.mean[:, None, :2] - tracks.mean[None, :, :2]).transpose(2, 0, 1))
    group = _GROUP[tracks.kind]
    close = (d < MERGE_M[tracks.kind][:, None]) | (_inside(tracks, tracks.mean[:, :2]) & (group == _VEHICLE))
    close &= group[:, None] == group
    return np.tril(close & tracks.confirmed[None, :], k=-1).any(axis=1)


def _actors(tracks: _Tracks) -> Actors:
    """Those that are confirmed, as copies."""
    rows = np.flatnonzero(tracks.confirmed)
    mean, turn = tracks.mean[rows], tracks.turn[rows]
    return Actors(
        tracks.id[rows], tracks.kind[rows].astype(np.uint8), np.column_stack([mean[:, :2], tracks.z[rows]]),
        turn[:, 0], mean[:, 2:], turn[:, 1], tracks.size[rows], tracks.confidence[rows], tracks.covariance[rows],
    )  # fmt: skip


def _known(tracks: _Tracks, seen: Observations, distance: F64) -> NDArray[np.bool_]:
    """(N,) whether an observation may be of a confirmed track: in its box, or of its sort and not clearly apart."""
    same = _MISMATCH[_GROUP[tracks.kind][:, None], _GROUP[seen.kind]] < 9.0
    close = _inside(tracks, seen.xyz_m[:, :2]).T | ((distance < GATE) & same)
    return (close & tracks.confirmed[:, None]).any(axis=0)
