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
from stack.frames import F64, Pose, wrap
from stack.lanegraph import LaneGraph
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


class Localizer:
    """Remembers the belief between ticks. `start`: the pose at which the route begins, known to 0.5 m and 2 degrees."""

    def __init__(self, graph: LaneGraph | None, start: Pose, start_sigma: F64 = START_SIGMA) -> None:
        """Without a graph the road counts as flat and no registration takes place."""
        self._graph = graph
        self._lines = None if graph is None else MapLines.of(graph)
        self.mean = np.array([start.x_m, start.y_m, start.yaw_rad, 0.0, 0.0, 0.0, 1.0, SLIP_RADPMPS2, 0.0, 0.0])
        self.covariance = np.diag(start_sigma**2)
        self._time_s = math.nan
        self._rate = self._accel = self._wheel_angle = 0.0
        self._ground = Pose(0.0, 0.0, start.z_m, 0.0, start.pitch_rad)

    def __call__(self, frame: SensorFrame, edges: Sequence[EdgePoints] = ()) -> Ego:
        """The ego at `frame.time_s`. `edges`: kerb and marking points in the ego frame of that instant."""
        self._fuse_samples(frame)
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
            a, r = np.mean(samples, axis=0)
            self._rate, self._accel = float(r), float(a)
        self._predict(frame.time_s, self._accel, self._rate)
        for i in range(w, len(wheels.time_s)):
            self._wheel(float(wheels.speed_mps[i]), self._rate)
        for i in range(g, len(fixes.time_s)):
            self._fix(fixes.xyz_m[i, 0], fixes.xyz_m[i, 1])
        if len(wheels.wheel_angle_rad):
            self._wheel_angle = float(wheels.wheel_angle_rad[-1])

    def _predict(self, time_s: float, accel_mps2: float, gyro_radps: float) -> None:
        dt = time_s - self._time_s
        if dt <= 0.0:
            return
        self._time_s = time_s
        m = self.mean
        v, k, r = float(m[SPEED]), float(m[SLIP]), gyro_radps - float(m[GYRO_BIAS])
        side = -k * v * v * r
        yaw = float(m[YAW]) + 0.5 * r * dt
        cos, sin = math.cos(yaw), math.sin(yaw)
        dx, dy = v * cos - side * sin, v * sin + side * cos
        m[X] += dx * dt
        m[Y] += dy * dt
        m[YAW] = math.remainder(m[YAW] + r * dt, math.tau)
        m[SPEED] += dt * (accel_mps2 - m[ACCEL_BIAS] - GRAVITY_MPS2 * math.sin(self._ground.pitch_rad) + side * r)
        decay = math.exp(-dt / GNSS_MARKOV_S)
        m[EAST:] *= decay

        f = np.eye(10)
        side_v, side_bias, side_k = -2.0 * k * v * r, k * v * v, -v * v * r
        f[X, YAW], f[Y, YAW] = -dy * dt, dx * dt
        f[X, SPEED], f[Y, SPEED] = (cos - sin * side_v) * dt, (sin + cos * side_v) * dt
        f[X, GYRO_BIAS], f[Y, GYRO_BIAS] = -sin * side_bias * dt, cos * side_bias * dt
        f[X, SLIP], f[Y, SLIP] = -sin * side_k * dt, cos * side_k * dt
        f[YAW, GYRO_BIAS] = f[SPEED, ACCEL_BIAS] = -dt
        f[EAST, EAST] = f[NORTH, NORTH] = decay
        p = f @ self.covariance @ f.T
        still = v < STILL_MPS  # a parked car does not slide
        q = np.empty(10)
        q[:2] = 1e-8 * dt if still else SIDE_WALK**2 * dt * min(1.0, 0.1 * v)
        q[YAW] = (GYRO_SIGMA * dt) ** 2 + (0.0 if still else YAW_WALK**2 * dt)
        q[SPEED] = ACCEL_SIGMA**2 * dt * 0.05  # model errors last about a tick
        q[GYRO_BIAS:EAST] = BIAS_WALK**2 * dt
        q[EAST:] = GNSS_MARKOV_M**2 * (1.0 - decay * decay)
        p[np.diag_indices(10)] += q
        self.covariance = p

    def _wheel(self, speed_mps: float, gyro_radps: float) -> None:
        h = np.zeros(10)
        h[SPEED], h[SCALE] = self.mean[SCALE], self.mean[SPEED]
        self._scalar(h, speed_mps - self.mean[SCALE] * self.mean[SPEED], WHEEL_SIGMA_MPS**2)
        if abs(speed_mps) < STILL_MPS and abs(self.mean[SPEED]) < 5.0 * STILL_MPS:
            still = np.zeros(10)
            still[SPEED] = 1.0
            self._scalar(still, -self.mean[SPEED], 1e-4)
            bias = np.zeros(10)
            bias[GYRO_BIAS] = 1.0
            self._scalar(bias, gyro_radps - self.mean[GYRO_BIAS], GYRO_SIGMA**2)

    def _fix(self, east_m: float, north_m: float) -> None:
        for axis, error, found in ((X, EAST, east_m), (Y, NORTH, north_m)):
            h = np.zeros(10)
            h[axis] = h[error] = 1.0
            self._scalar(h, float(found) - self.mean[axis] - self.mean[error], GNSS_SIGMA_M**2)

    def _scalar(self, h: F64, innovation: float, variance: float) -> None:
        """Kalman update with one number; noise grows until the innovation is no surprise beyond GATE."""
        ph = self.covariance @ h
        predicted = float(h @ ph)
        variance = max(variance, innovation * innovation / GATE - predicted)
        gain = ph / (predicted + variance)
        self.mean += gain * innovation
        self.covariance -= np.outer(gain, ph)

    def _match(self, points: EdgePoints) -> None:
        """Kalman update with a registration against the map."""
        pose = self.mean[:3]
        sigma = math.sqrt(float(np.linalg.eigvalsh(self.covariance[:2, :2])[-1]))
        found = register(points, self._lines, pose, gate_m=float(np.clip(3.0 * sigma, 0.4, 1.2)))
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
        m[YAW] = float(wrap(m[YAW]))
        x, y, yaw, v = (float(value) for value in m[:4])
        if self._graph is not None:
            self._ground = ground_pose(self._graph, x, y, yaw, self._ground.z_m)
        rate = self._rate - float(m[GYRO_BIAS])
        side = -float(m[SLIP]) * v * v * rate
        gravity = GRAVITY_MPS2 * math.sin(self._ground.pitch_rad)
        j = np.zeros((5, 10))
        j[:4, :4] = np.eye(4)
        j[4, GYRO_BIAS] = -1.0
        covariance = j @ self.covariance @ j.T
        covariance[4, 4] += GYRO_SIGMA**2
        pose = Pose(x, y, self._ground.z_m, yaw, self._ground.pitch_rad, self._ground.roll_rad)
        accel = self._accel - float(m[ACCEL_BIAS]) - gravity + side * rate
        return Ego(pose, v, side, rate, accel, self._wheel_angle, covariance)


def ground_pose(graph: LaneGraph, x_m: float, y_m: float, yaw_rad: float, z_m: float) -> Pose:
    """Height, pitch and roll of the road under a point, from the nearest lane that is not another storey (3 m)."""
    lane, s, _ = graph.nearest(x_m, y_m, yaw_rad)
    point = graph.lane_start[lane] + min(int(s / graph.lane_step_m[lane] + 0.5), int(graph.lane_count[lane]) - 1)
    pitch = float(graph.pitch_rad[point])
    turned = yaw_rad - float(graph.yaw_rad[point])
    ahead = s - float(point - graph.lane_start[lane]) * float(graph.lane_step_m[lane])
    height = float(graph.z_m[point]) + math.tan(pitch) * ahead
    if abs(height - z_m) > 3.0:
        height = z_m
    return Pose(x_m, y_m, height, yaw_rad, pitch * math.cos(turned), -pitch * math.sin(turned))
