"""Where the car is: an extended Kalman filter over inertial, wheel and satellite samples, held in its lane by the map.

State: x, y, yaw, speed v along the car, gyro bias bg, accelerometer bias ba, wheel scale c, slip compliance k, and the
satellite error e, n. With the rear axle as origin, rate r = gyro - bg and lateral speed w = -k v (v r) (a tyre's slip
angle grows with its side force):
    x' = v cos(yaw) - w sin(yaw),  y' = v sin(yaw) + w cos(yaw),  yaw' = r,  v' = accel - ba - g sin(pitch) + w r.
Satellite errors are time-correlated, so they are states of their own: first-order Gauss-Markov processes (Brown and
Hwang, Introduction to Random Signals and Applied Kalman Filtering, ch. 9). Kerbs and lane markings seen by LiDAR or
camera are registered against the map (perception/mapmatch.py) and enter as a measurement of x, y and yaw.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from perception.mapmatch import EdgePoints, MapLines, register
from stack.frames import F64, Pose
from stack.lanegraph import STOREY_M, LaneGraph
from stack.messages import Ego, SensorFrame

X, Y, YAW, SPEED, GYRO_BIAS, ACCEL_BIAS, SCALE, SLIP, EAST, NORTH = range(10)
GRAVITY_MPS2 = 9.81
START_SIGMA = np.array([0.5, 0.5, np.deg2rad(2.0), 0.3, 0.005, 0.1, 0.015, 0.003, 0.8, 0.8])
SLIP_RADPMPS2 = 0.005  # rear slip angle per lateral acceleration: mass on the axle over its cornering stiffness
GYRO_SIGMA = 0.004  # rad/s, one sample at 100 Hz
ACCEL_SIGMA = 0.15  # m/s2; with what the flat model leaves out
YAW_WALK = 0.002  # rad/sqrt(s), of what the planar model leaves out
SIDE_WALK = 0.05  # m/sqrt(s), lateral speed that the slip model does not explain
BIAS_WALK = np.array([2e-4, 4e-3, 1e-4, 2e-4])  # per sqrt(s): gyro, accelerometer, wheel scale, slip
GNSS_MARKOV_S, GNSS_MARKOV_M = 30.0, 0.8
GNSS_SIGMA_M = 0.35  # white part of a fix
WHEEL_SIGMA_MPS = 0.05
STILL_MPS = 0.02
GATE = 16.0  # squared, of an innovation; beyond it the sample counts with inflated noise
# m along the car, m across, rad: what one registration errs by whatever the number of points. Along the road it has
# only bends and corners to go by, where the map is least exact
MATCH_FLOOR = np.array([4.0, 0.12, 0.006])
MATCH_GATE = 16.3  # chi-square, 3 dof, 99.9 %


_DIAGONAL = np.diag_indices(10)


class _Pending:
    """Transition and noise of the samples since the covariance was last brought up to date.

    The transition of one step is the identity but for a few entries; their product over several steps is kept as such.
    """

    def __init__(self) -> None:
        self.span_s = 0.0
        self._x = self._y = (0.0,) * 5  # derivatives by yaw, speed, gyro bias, accelerometer bias, slip
        self._walk = self._yaw_noise = 0.0
        self._decay = 1.0

    def add(
        self, dt: float, dx: float, dy: float, cos: float, sin: float, v: float, k: float, r: float, decay: float
    ) -> None:
        """One step of `dt` at speed v and rate r, slip compliance k, moving by (dx, dy) a second."""
        side_v, side_bias, side_k = -2.0 * k * v * r, k * v * v, -v * v * r
        rows = []
        for old, by_yaw, ahead, left in ((self._x, -dy, cos, -sin), (self._y, dx, sin, cos)):
            by_speed = (ahead + left * side_v) * dt
            rows.append((
                old[0] + by_yaw * dt, old[1] + by_speed, old[2] + left * side_bias * dt - by_yaw * dt * self.span_s,
                old[3] - by_speed * self.span_s, old[4] + left * side_k * dt,
            ))  # fmt: skip
        self._x, self._y = rows
        still = v < STILL_MPS  # a parked car does not slide
        self._walk += 1e-8 * dt if still else SIDE_WALK**2 * dt * min(1.0, 0.1 * v)
        self._yaw_noise += (GYRO_SIGMA * dt) ** 2 + (0.0 if still else YAW_WALK**2 * dt)
        self._decay *= decay
        self.span_s += dt

    def matrices(self) -> tuple[F64, F64]:
        """The transition (10, 10) and the noise (10,) that it adds to the variances."""
        f = np.eye(10)
        f[X, 2:6], f[Y, 2:6] = self._x[:4], self._y[:4]
        f[X, SLIP], f[Y, SLIP] = self._x[4], self._y[4]
        f[YAW, GYRO_BIAS] = f[SPEED, ACCEL_BIAS] = -self.span_s
        f[EAST, EAST] = f[NORTH, NORTH] = self._decay
        speed = ACCEL_SIGMA**2 * self.span_s * 0.05  # model errors last about a tick
        error = GNSS_MARKOV_M**2 * (1.0 - self._decay**2)
        walks = BIAS_WALK**2 * self.span_s
        return f, np.array([self._walk, self._walk, self._yaw_noise, speed, *walks, error, error])


class Localizer:
    """Remembers the belief between ticks. `start`: the pose at which the route begins, known to 0.5 m and 2 degrees."""

    def __init__(self, graph: LaneGraph | None, start: Pose, start_sigma: F64 = START_SIGMA) -> None:
        """Without a graph the road counts as flat and no registration takes place."""
        self._graph = graph
        self._lines = None if graph is None else MapLines.of(graph)
        self.mean = np.array([start.x_m, start.y_m, start.yaw_rad, 0.0, 0.0, 0.0, 1.0, SLIP_RADPMPS2, 0.0, 0.0])
        self.covariance = np.diag(start_sigma**2)
        self._pending = _Pending()
        self._time_s = math.nan
        self._rate = self._accel = self._wheel_angle = 0.0
        self._ground = Pose(0.0, 0.0, start.z_m, 0.0, start.pitch_rad)

    def __call__(self, frame: SensorFrame, edges: Sequence[EdgePoints] = ()) -> Ego:
        """The ego at `frame.time_s`. `edges`: kerb and marking points in the ego frame of that instant."""
        self._fuse_samples(frame)
        self._spread()
        if self._lines is not None:
            for points in edges:
                self._match(points)
        return self._ego()

    def _fuse_samples(self, frame: SensorFrame) -> None:
        """Predict to each inertial sample; apply wheel and satellite samples in order of time."""
        if math.isnan(self._time_s):
            self._time_s = min([frame.time_s, *frame.imu.time_s[:1] - 0.01])
            self.mean[SPEED] = frame.wheels.speed_mps[0] if len(frame.wheels.speed_mps) else 0.0
        wheels, fixes, w, g = frame.wheels, frame.gnss, 0, 0
        accel, gyro = frame.imu.accel_mps2[:, 0].tolist(), frame.imu.gyro_radps[:, 2].tolist()
        samples: list[tuple[float, float]] = []
        for time_s, a, r in zip(frame.imu.time_s.tolist(), accel, gyro, strict=True):
            samples.append((a, r))
            self._predict(time_s, a, r)
            while w < len(wheels.time_s) and wheels.time_s[w] <= time_s + 1e-6:
                self._wheel(float(wheels.speed_mps[w]), r)
                w += 1
            while g < len(fixes.time_s) and fixes.time_s[g] <= time_s + 1e-6:
                self._fix(fixes.xyz_m[g, 0], fixes.xyz_m[g, 1])
                g += 1
        if samples:
            self._accel, self._rate = (sum(values) / len(samples) for values in zip(*samples, strict=True))
        self._predict(frame.time_s, self._accel, self._rate)
        for i in range(w, len(wheels.time_s)):
            self._wheel(float(wheels.speed_mps[i]), self._rate)
        for i in range(g, len(fixes.time_s)):
            self._fix(fixes.xyz_m[i, 0], fixes.xyz_m[i, 1])
        if len(wheels.wheel_angle_rad):
            self._wheel_angle = float(wheels.wheel_angle_rad[-1])

    def _predict(self, time_s: float, accel_mps2: float, gyro_radps: float) -> None:
        """Move the mean to `time_s`, and take note of what that does to the covariance."""
        dt = time_s - self._time_s
        if dt <= 0.0:
            return
        self._time_s = time_s
        m = self.mean
        x, y, heading, v, gyro_bias, accel_bias, _, k, east, north = m.tolist()
        r = gyro_radps - gyro_bias
        side = -k * v * v * r
        yaw = heading + 0.5 * r * dt
        cos, sin = math.cos(yaw), math.sin(yaw)
        dx, dy = v * cos - side * sin, v * sin + side * cos
        accel = accel_mps2 - accel_bias - GRAVITY_MPS2 * math.sin(self._ground.pitch_rad) + side * r
        decay = math.exp(-dt / GNSS_MARKOV_S)
        m[:4] = x + dx * dt, y + dy * dt, math.remainder(heading + r * dt, math.tau), v + dt * accel
        m[EAST:] = decay * east, decay * north
        self._pending.add(dt, dx, dy, cos, sin, v, k, r, decay)

    def _spread(self) -> None:
        """Bring the covariance to the instant of the mean."""
        if self._pending.span_s > 0.0:
            f, q = self._pending.matrices()
            self.covariance = f @ self.covariance @ f.T
            self.covariance[_DIAGONAL] += q
            self._pending = _Pending()

    def _wheel(self, speed_mps: float, gyro_radps: float) -> None:
        self._spread()
        speed, scale = float(self.mean[SPEED]), float(self.mean[SCALE])
        self._scalar(SPEED, scale, SCALE, speed, speed_mps - scale * speed, WHEEL_SIGMA_MPS**2)
        if abs(speed_mps) < STILL_MPS and abs(self.mean[SPEED]) < 5.0 * STILL_MPS:
            self._scalar(SPEED, 1.0, SCALE, 0.0, -float(self.mean[SPEED]), 1e-4)
            self._scalar(GYRO_BIAS, 1.0, SCALE, 0.0, gyro_radps - float(self.mean[GYRO_BIAS]), GYRO_SIGMA**2)

    def _fix(self, east_m: float, north_m: float) -> None:
        self._spread()
        for axis, error, found in ((X, EAST, east_m), (Y, NORTH, north_m)):
            off = float(found) - float(self.mean[axis]) - float(self.mean[error])
            self._scalar(axis, 1.0, error, 1.0, off, GNSS_SIGMA_M**2)

    def _scalar(self, i: int, hi: float, j: int, hj: float, innovation: float, variance: float) -> None:
        """Kalman update with the number hi x_i + hj x_j; noise grows until it is no surprise beyond GATE."""
        ph = hi * self.covariance[i] + hj * self.covariance[j]
        predicted = hi * float(ph[i]) + hj * float(ph[j])
        variance = max(variance, innovation * innovation / GATE - predicted)
        gain = ph / (predicted + variance)
        self.mean += gain * innovation
        self.covariance -= gain[:, None] * ph

    def _match(self, points: EdgePoints) -> None:
        """Kalman update with a registration against the map."""
        pose, p = self.mean[:3], self.covariance
        half = 0.5 * (p[0, 0] + p[1, 1])
        sigma = math.sqrt(half + math.hypot(0.5 * (p[0, 0] - p[1, 1]), p[0, 1]))  # along the longer axis of the ellipse
        found = register(points, self._lines, pose, self._ground.z_m, gate_m=min(max(3.0 * sigma, 0.4), 1.2))
        if found is None:
            return
        delta, covariance = found
        cos, sin = math.cos(pose[2]), math.sin(pose[2])
        axes = np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
        noise = covariance + (axes * MATCH_FLOOR**2) @ axes.T
        ph = self.covariance[:, :3]
        innovation = ph[:3] + noise
        if float(delta @ np.linalg.solve(innovation, delta)) > MATCH_GATE:
            return
        gain = np.linalg.solve(innovation, ph.T).T
        self.mean += gain @ delta
        self.covariance = self.covariance - gain @ ph.T
        self.covariance = 0.5 * (self.covariance + self.covariance.T)

    def _ego(self) -> Ego:
        m = self.mean
        m[YAW] = math.remainder(m[YAW], math.tau)
        x, y, yaw, v = (float(value) for value in m[:4])
        if self._graph is not None:
            self._ground = ground_pose(self._graph, x, y, yaw, self._ground.z_m)
        rate = self._rate - float(m[GYRO_BIAS])
        side = -float(m[SLIP]) * v * v * rate
        gravity = GRAVITY_MPS2 * math.sin(self._ground.pitch_rad)
        covariance = self.covariance[:5, :5].copy()  # the rate errs by the opposite of the bias
        covariance[4] *= -1.0
        covariance[:, 4] *= -1.0
        covariance[4, 4] += GYRO_SIGMA**2
        pose = Pose(x, y, self._ground.z_m, yaw, self._ground.pitch_rad, self._ground.roll_rad)
        accel = self._accel - float(m[ACCEL_BIAS]) - gravity + side * rate
        return Ego(pose, v, side, rate, accel, self._wheel_angle, covariance)


def ground_pose(graph: LaneGraph, x_m: float, y_m: float, yaw_rad: float, z_m: float) -> Pose:
    """Height, pitch and roll of the road under a point, from the nearest lane that is not another storey."""
    lane, s, _ = graph.nearest(x_m, y_m, yaw_rad, z_m=z_m)
    point = graph.lane_start[lane] + min(int(s / graph.lane_step_m[lane] + 0.5), int(graph.lane_count[lane]) - 1)
    pitch = float(graph.pitch_rad[point])
    turned = yaw_rad - float(graph.yaw_rad[point])
    ahead = s - float(point - graph.lane_start[lane]) * float(graph.lane_step_m[lane])
    height = float(graph.z_m[point]) + math.tan(pitch) * ahead
    if abs(height - z_m) > STOREY_M:
        height = z_m
    return Pose(x_m, y_m, height, yaw_rad, pitch * math.cos(turned), -pitch * math.sin(turned))
