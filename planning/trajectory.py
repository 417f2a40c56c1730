"""The trajectory: the best of a Frenet lattice of candidates along the Reference, and an emergency stop.

Werling et al. 2010: longitudinal motion from the present speed and acceleration to an end speed (a cubic in speed) or
to a stop at a given place (a quintic in distance), lateral motion a quintic to an end offset, here over distance, as
they propose for low speeds, so that one form serves all speeds. To these comes the Reference's own speed profile,
driven within limits of acceleration. All candidates are weighed in one batch: collision with predicted boxes, limits,
comfort, deviation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planning.predict import Predictions, boxes_at
from stack.frames import F64, wrap
from stack.messages import Actors, Ego, Reference, Trajectory
from stack.vehicle import VehicleParams

DT_S = 0.2
TIMES_S: F64 = np.arange(21) * DT_S  # to 4 s
ENDS_S: F64 = np.array([2.0, 3.0, 4.0])
SPEED_SHARES: F64 = np.array([1.0, 0.8, 0.5, 0.2, 0.0])  # of the Reference's speed at the end
STOP_STRETCH = (0.8, 1.0, 1.3)  # of the time that even braking takes
OFFSETS_M: F64 = np.array([0.0, -0.45, 0.45, -0.9, 0.9])  # K of them for each of M speeds; the path itself first
ACCEL_MAX_MPS2, BRAKE_MAX_MPS2 = 2.5, 6.5
LATERAL_MAX_MPS2 = 4.0
EMERGENCY_MPS2 = 7.0
EMERGENCY_RISE_S = 0.2  # until the brakes bite
SIDE_M, AHEAD_M = 0.15, 0.6  # room kept round the ego
NEAR_M = 70.0
RISK_FADE_S = 2.0  # the later a collision, the more can come between
UNBEARABLE = 0.35  # risk of a certain collision in 2 s


@dataclass(frozen=True)
class Weights:
    """Of the terms of the cost."""

    jerk: float = 0.02
    accel: float = 0.05
    lateral_accel: float = 0.05
    offset: float = 1.0
    speed: float = 1.0
    overspeed: float = 4.0
    overrun: float = 20.0  # per metre past the stop point
    collision: float = 300.0
    limits: float = 1.0e3


def plan_trajectory(
    reference: Reference,
    ego: Ego,
    tracks: Actors,
    predictions: Predictions,
    params: VehicleParams,
    weights: Weights = Weights(),
) -> tuple[Trajectory, Trajectory]:
    """The best trajectory and the emergency stop; where every candidate soon hits something, the latter twice."""
    speeds = np.stack([*speed_candidates(reference, ego), emergency_speeds(ego)])  # (M, T)
    s = travelled(speeds)
    d, slope = lateral_candidates(reference, ego, s)
    states = to_world(reference, s, d, slope, speeds)
    risk = collision_risk(states, ego, tracks, predictions, params)
    cost = weigh(reference, states, s, d, speeds, params, weights) + weights.collision * risk
    stop = len(cost) - len(OFFSETS_M)  # straight back to the path; the rows after it are of no use
    best = int(np.argmin(cost[:stop]))
    emergency = trajectory(states, stop)
    return (emergency if risk[best] > UNBEARABLE else trajectory(states, best)), emergency


def speed_candidates(reference: Reference, ego: Ego) -> F64:
    """(M, T) speeds along the Reference, not negative."""
    v0, a0 = max(ego.speed_mps, 0.0), min(max(ego.accel_mps2, -BRAKE_MAX_MPS2), ACCEL_MAX_MPS2)
    targets = np.maximum(np.interp(v0 * ENDS_S, reference.s_m, reference.target_mps), 2.0)[:, None, None]
    ends = to_speed(v0, a0, SPEED_SHARES[:, None] * targets, ENDS_S[:, None, None])
    rows = [profile(reference, v0), *ends.reshape(-1, len(TIMES_S))]
    if np.isfinite(reference.stop_s_m) and v0 > 0.5:
        even = 2.0 * max(reference.stop_s_m, 0.5) / v0
        rows += [to_stop(v0, a0, reference.stop_s_m, min(max(even * n, 0.8), 12.0)) for n in STOP_STRETCH]
    return np.maximum(np.stack(rows), 0.0)


def profile(reference: Reference, v0: float) -> F64:
    """(T,) the Reference's target speeds, taken up within comfortable acceleration."""
    targets, step, v, s = reference.target_mps.tolist(), float(reference.s_m[1]), [v0], 0.0
    for _ in TIMES_S[1:]:
        before = v[-1]
        f = min((s + before * DT_S) / step, len(targets) - 1.001)
        k = int(f)
        wanted = targets[k] + (f - k) * (targets[k + 1] - targets[k])
        v.append(min(max(wanted, before - 4.0 * DT_S), before + 1.5 * DT_S))
        s += 0.5 * (v[-1] + before) * DT_S
    return np.array(v)


def to_speed(v0: float, a0: float, v1: float | F64, end_s: float | F64) -> F64:
    """(T,) cubic in speed from (v0, a0) to (v1, 0) at end_s, constant afterwards; (..., T) for (..., 1) ends."""
    t = np.minimum(TIMES_S / end_s, 1.0)
    return v0 + a0 * end_s * t * (1.0 - t) ** 2 + (v1 - v0) * t * t * (3.0 - 2.0 * t)


def to_stop(v0: float, a0: float, distance_m: float, end_s: float) -> F64:
    """(T,) speeds of the quintic in distance that stands at distance_m at end_s."""
    t, n = np.minimum(TIMES_S, end_s), end_s
    c = np.linalg.solve(
        [[n**3, n**4, n**5], [3 * n**2, 4 * n**3, 5 * n**4], [6 * n, 12 * n**2, 20 * n**3]],
        [distance_m - v0 * n - 0.5 * a0 * n * n, -v0 - a0 * n, -a0],
    )
    return v0 + a0 * t + 3.0 * c[0] * t**2 + 4.0 * c[1] * t**3 + 5.0 * c[2] * t**4


def travelled(v: F64) -> F64:
    """(M, T) distances from (M, T) speeds, by trapezia."""
    return np.concatenate([np.zeros((len(v), 1)), np.cumsum(0.5 * DT_S * (v[:, 1:] + v[:, :-1]), axis=1)], axis=1)


def emergency_speeds(ego: Ego) -> F64:
    """(T,) full braking from now on."""
    return np.maximum(max(ego.speed_mps, 0.0) - EMERGENCY_MPS2 * np.maximum(TIMES_S - 0.5 * EMERGENCY_RISE_S, 0.0), 0.0)


def lateral_candidates(reference: Reference, ego: Ego, s: F64) -> tuple[F64, F64]:
    """(M, K, T) offsets and their slopes dd/ds at distances s (M, T): quintics from where the ego is to OFFSETS_M."""
    yaw = float(reference.yaw_rad[0])
    dx, dy = ego.pose.x_m - float(reference.xy_m[0, 0]), ego.pose.y_m - float(reference.xy_m[0, 1])
    d0 = dy * np.cos(yaw) - dx * np.sin(yaw)
    slope0 = min(max(float(np.tan(min(max(float(wrap(ego.pose.yaw_rad - yaw)), -1.0), 1.0))), -1.0), 1.0)
    length = max(8.0, 2.5 * ego.speed_mps)
    t = np.clip(s / length, 0.0, 1.0)[:, None]
    step, step_slope = t**3 * (10.0 + t * (6.0 * t - 15.0)), 30.0 * t**2 * (1.0 - t) ** 2
    run, run_slope = t * (1.0 - t) ** 3 * (1.0 + 3.0 * t), (1.0 - t) ** 2 * (1.0 + 2.0 * t - 15.0 * t**2)
    shift = OFFSETS_M[:, None] - d0
    return d0 + shift * step + slope0 * length * run, shift * step_slope / length + slope0 * run_slope


@dataclass(frozen=True)
class States:
    """(M * K, T) states of the candidates, world frame."""

    x_m: F64
    y_m: F64
    yaw_rad: F64
    speed_mps: F64
    accel_mps2: F64
    curvature_1pm: F64


def to_world(reference: Reference, s: F64, d: F64, slope: F64, v: F64) -> States:
    """States at distances and speeds (M, T), offsets (M, K, T); beyond the Reference's end, straight on."""
    at = reference.s_m
    yaw_r = np.interp(s, at, np.unwrap(reference.yaw_rad))
    bend = np.interp(s, at, reference.curvature_1pm)[:, None]
    beyond = np.maximum(s - at[-1], 0.0)
    cos, sin = np.cos(yaw_r), np.sin(yaw_r)
    x = (np.interp(s, at, reference.xy_m[:, 0]) + beyond * cos)[:, None] - d * sin[:, None]
    y = (np.interp(s, at, reference.xy_m[:, 1]) + beyond * sin)[:, None] + d * cos[:, None]
    g = np.maximum(1.0 - bend * d, 0.2)
    yaw = yaw_r[:, None] + np.arctan2(slope, g)
    speed = v[:, None] * np.hypot(g, slope)
    accel = np.empty_like(speed)  # central differences, as np.gradient has them
    accel[..., 1:-1] = (speed[..., 2:] - speed[..., :-2]) / (2.0 * DT_S)
    accel[..., 0], accel[..., -1] = (speed[..., 1] - speed[..., 0]) / DT_S, (speed[..., -1] - speed[..., -2]) / DT_S
    turned = np.diff(yaw, axis=-1) / np.maximum(0.5 * DT_S * (speed[..., 1:] + speed[..., :-1]), 0.05)
    curvature = np.empty_like(d)
    curvature[..., :-1] = np.where(speed[..., 1:] < 0.3, bend[..., 1:], turned)
    curvature[..., -1] = bend[..., -1]
    return States(*(values.reshape(-1, len(TIMES_S)) for values in (x, y, yaw, speed, accel, curvature)))


def weigh(reference: Reference, states: States, s: F64, d: F64, v: F64, params: VehicleParams, w: Weights) -> F64:
    """(M * K,) cost of limits broken, discomfort and deviation."""
    jerk = np.diff(states.accel_mps2, axis=1) / DT_S
    lateral = states.speed_mps**2 * states.curvature_1pm
    off = v - np.interp(s, reference.s_m, reference.target_mps)
    overrun = np.maximum(s[:, -1] - reference.stop_s_m, 0.0) if np.isfinite(reference.stop_s_m) else np.zeros(len(s))
    tightest = np.tan(params.wheel_angle_max_rad) / params.wheelbase_m
    broken = (
        np.maximum(states.accel_mps2.max(axis=1) - ACCEL_MAX_MPS2, 0.0)
        + np.maximum(-states.accel_mps2.min(axis=1) - BRAKE_MAX_MPS2, 0.0)
        + np.maximum(np.abs(lateral).max(axis=1) - LATERAL_MAX_MPS2, 0.0)
        + 10.0 * np.maximum(np.abs(states.curvature_1pm).max(axis=1) - tightest, 0.0)
    )
    ways = len(OFFSETS_M)
    return (
        w.jerk * _mean_square(jerk)
        + w.accel * _mean_square(states.accel_mps2)
        + w.lateral_accel * _mean_square(lateral)
        + w.offset * _mean_square(d).reshape(-1)
        + np.repeat(w.speed * _mean_square(off), ways)
        + np.repeat(w.overspeed * _mean_square(np.maximum(off, 0.0)), ways)
        + np.repeat(w.overrun * overrun, ways)
        + w.limits * broken
    )


def _mean_square(values: F64) -> F64:
    """Over the last axis; np.mean takes longer to start than to add."""
    return np.add.reduce(values * values, axis=-1) / values.shape[-1]


def collision_risk(states: States, ego: Ego, tracks: Actors, predictions: Predictions, params: VehicleParams) -> F64:
    """(M,) how likely and how soon the ego's box meets another: largest weight^2 exp(-t / RISK_FADE_S) of a hypothesis.

    Road users that touch the ego now, or are behind it, do not count: no trajectory can help that.
    The ego is three discs in a row, each as wide as the car, against the predicted rectangles.
    """
    cos0, sin0 = np.cos(ego.pose.yaw_rad), np.sin(ego.pose.yaw_rad)
    away = tracks.xyz_m[:, :2] - np.array([ego.pose.x_m, ego.pose.y_m])
    ahead, left = away @ np.array([cos0, sin0]), away @ np.array([-sin0, cos0])
    behind = (ahead < params.centre_m - 0.5 * params.length_m) & (np.abs(left) < 2.5)
    rows = np.flatnonzero((~behind & (np.hypot(ahead, left) < NEAR_M))[predictions.track])
    if len(rows) == 0:
        return np.zeros(len(states.x_m))
    half = 0.5 * tracks.size_m[predictions.track[rows], :2]
    radius = 0.5 * params.width_m + SIDE_M
    reach = 0.5 * params.length_m - radius + AHEAD_M
    places, yaws = boxes_at(predictions, TIMES_S)
    cos, sin = np.cos(states.yaw_rad), np.sin(states.yaw_rad)
    x, y = states.x_m + params.centre_m * cos, states.y_m + params.centre_m * sin
    # pairs of hypothesis and time in which any candidate could touch it
    room = reach + radius + np.hypot(half[:, 0], half[:, 1])[:, None]
    px, py = places[rows, :, 0], places[rows, :, 1]
    near = (
        (px > x.min(axis=0) - room)
        & (px < x.max(axis=0) + room)
        & (py > y.min(axis=0) - room)
        & (py < y.max(axis=0) + room)
    )
    ego_now = x[0, :1], y[0, :1], cos[0, :1], sin[0, :1]
    touching = discs_meet(*ego_now, px[:, 0], py[:, 0], yaws[rows, 0], half, reach - AHEAD_M, radius - SIDE_M)
    near[touching] = False
    h, t = np.nonzero(near)
    if len(h) == 0:
        return np.zeros(len(states.x_m))
    hit = discs_meet(
        x[:, t], y[:, t], cos[:, t], sin[:, t], px[h, t], py[h, t], yaws[rows[h], t], half[h], reach, radius
    )
    likely = predictions.weight[rows[h]] ** 2  # one of many ways on is no reason to stop
    return np.max(hit * (likely * np.exp(-TIMES_S[t] / RISK_FADE_S)), axis=1)


def discs_meet(
    x: F64, y: F64, cos: F64, sin: F64, box_x: F64, box_y: F64, box_yaw: F64, half: F64, reach: float, radius: float
) -> NDArray[np.bool_]:
    """(..., P) whether three discs, `reach` apart along (cos, sin), meet rectangles with half sizes (P, 2)."""
    c, s = np.cos(box_yaw), np.sin(box_yaw)
    dx, dy = x - box_x, y - box_y
    along, across = dx * c + dy * s, dy * c - dx * s  # in the rectangle's axes
    step_along, step_across = reach * (cos * c + sin * s), reach * (sin * c - cos * s)
    hit = np.zeros(along.shape, bool)
    for disc in (-1.0, 0.0, 1.0):
        a = np.maximum(np.abs(along + disc * step_along) - half[:, 0], 0.0)
        b = np.maximum(np.abs(across + disc * step_across) - half[:, 1], 0.0)
        hit |= a * a + b * b < radius * radius
    return hit


def trajectory(states: States, row: int) -> Trajectory:
    """One candidate as a message."""

    def f32(values: F64) -> np.ndarray:
        return values[row].astype(np.float32)

    return Trajectory(
        TIMES_S.astype(np.float32),
        np.stack([f32(states.x_m), f32(states.y_m)], axis=-1),
        wrap(states.yaw_rad[row]).astype(np.float32),
        f32(states.speed_mps),
        f32(states.accel_mps2),
        f32(states.curvature_1pm),
    )
