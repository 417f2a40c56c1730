"""What is there now: camera boxes, LiDAR clusters and radar returns made one list of observations, in the world frame.

A cluster that fills a camera box takes its class from the camera and its place from the LiDAR. Only the near side of an
object is seen, so its box is completed, away from the sensor, to the size usual for its class. Clusters that no camera
saw count when they stand on a lane; boxes without a cluster are placed at the distance that the network regressed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree

from perception.lidar import Clusters, bounds_along
from perception.tracker import Observations
from stack.frames import F64, inverse, wrap
from stack.labels import Kind
from stack.lanegraph import STOREY_M, LaneGraph
from stack.messages import CameraImage, Detections, Ego, RadarSamples, Rig

# by Kind: length, width, height in m, and the sigma of a centre completed from one side
USUAL_SIZE_M = np.array(
    [[1.0, 1.0, 1.0], [4.45, 1.75, 1.5], [7.0, 2.4, 2.8], [1.9, 0.65, 1.7], [0.5, 0.6, 1.75], [0.8, 0.8, 0.9]]
)
CENTRE_SIGMA_M = np.array([0.5, 0.35, 0.6, 0.25, 0.12, 0.25])
SHARE_MIN = 0.5  # of a cluster's points inside a camera box
OFF_MAX = 1.2  # between a cluster's distance and the regressed one, in units of 1.5 m + 20 %
SCORE_MIN = 0.3  # of a camera box
# by Kind: nearer than this the LiDAR sees whatever is there, so a box that no cluster fills is a mistake of the camera's
LIDAR_SEES_M = np.array([0.0, 35.0, 35.0, 25.0, 25.0, 15.0])
RANGE_SIGMA = 0.08  # of the regressed distance, relative
BEARING_PX = 1.5
BEYOND_LANE_M = {"vehicle": 0.0, "small": -0.3}  # how far past the lane's edge a cluster may stand that no camera saw
VEHICLE_EXTENT_M = (1.2, 13.0)
SMALL_EXTENT_M = 0.9
_ROUND = np.eye(2)
NEAR_POINTS = 8  # lane points looked at, of which some may be of a road over or under
ROAD_NEAR_M = 15.0  # a lane point nearer than this tells the height of what stands beside it
CLIMB = 0.06  # by which the ground may leave the plane of the ego's road, for each metre away
RADAR_ROOM_M = 0.8  # a return belongs to an object whose box, larger by this, holds it


@dataclass(frozen=True)
class _Found:
    """Objects in the ego frame, N rows."""

    time_s: F64
    kind: NDArray[np.int64]
    kind_score: F64
    score: F64
    xy_m: F64  # (N, 2)
    covariance: F64  # (N, 2, 2)
    yaw_rad: F64
    yaw_sigma_rad: F64
    size_m: F64  # (N, 3)


class Fusion:
    """Holds the map and the rig; remembers nothing of the tick before."""

    def __init__(self, graph: LaneGraph, rig: Rig) -> None:
        self._graph, self._radar = graph, np.array(rig.radar_xyz_m[:2])
        self._centre = np.stack([graph.x_m, graph.y_m], axis=-1).astype(np.float64)
        self._tree = cKDTree(self._centre)

    def __call__(
        self,
        clusters: Clusters,
        cameras: Sequence[CameraImage],
        detections: Sequence[Detections],
        radar: RadarSamples,
        ego: Ego,
        time_s: float,
    ) -> Observations:
        """Observations of this tick; `detections` has one entry for each of `cameras`."""
        kind, score, heading, used = see_clusters(clusters, cameras, detections)
        found = [
            self._from_clusters(clusters, kind, score, heading, ego),
            _from_cameras(cameras, detections, used, time_s, LIDAR_SEES_M if len(clusters) else np.zeros(len(Kind))),
        ]
        joined = _Found(*[np.concatenate(pair) for pair in zip(*(vars(f).values() for f in found), strict=True)])
        return self._to_world(joined, doppler(joined, radar, ego, self._radar), ego)

    def _from_clusters(self, clusters: Clusters, kind: NDArray[np.int64], score: F64, heading: F64, ego: Ego) -> _Found:
        """Clusters that a camera named, or that stand on a lane with the extent of a road user."""
        b = clusters.bounds_m
        extent = np.maximum(b[:, 1] - b[:, 0], b[:, 3] - b[:, 2])
        named, high = kind > 0, clusters.top_m > 0.7
        vehicle = (extent > VEHICLE_EXTENT_M[0]) & (extent < VEHICLE_EXTENT_M[1]) & high
        small = (extent <= SMALL_EXTENT_M) & high
        rows = np.flatnonzero((clusters.fresh > 0.35) & (named | vehicle | small) & ~_aloft(clusters, ego))
        lane_yaw, beyond = self._lane(_middle(clusters.yaw_rad[rows], b[rows]), ego)
        vehicle, small = vehicle[rows], small[rows]
        on_lane = (vehicle & (beyond < BEYOND_LANE_M["vehicle"])) | (small & (beyond < BEYOND_LANE_M["small"]))
        keep = np.flatnonzero(named[rows] | on_lane)
        rows, lane_yaw = rows[keep], lane_yaw[keep]
        guess = np.where(
            small[keep], int(Kind.PEDESTRIAN), np.where(extent[rows] > 5.5, int(Kind.TRUCK), int(Kind.CAR))
        )
        seen = named[rows]
        kind = np.where(seen, kind[rows], guess)
        yaw, sigma = _headings(clusters, rows, kind, heading[rows], lane_yaw)
        taken = _take(clusters, rows)
        centre, size, slack = complete(bounds_along(*taken, yaw) if len(rows) else np.zeros((0, 4)), kind)
        xy = _turned(centre, yaw)
        away = xy / np.maximum(np.hypot(xy[:, 0], xy[:, 1]), 1.0)[:, None]
        along = (0.05 + slack * CENTRE_SIGMA_M[kind]) ** 2
        covariance = along[:, None, None] * away[:, :, None] * away[:, None, :]
        covariance = covariance + (0.1 + 0.2 * slack * CENTRE_SIGMA_M[kind])[:, None, None] ** 2 * _ROUND
        points = np.minimum(clusters.count[rows] / 12.0, 1.0)
        return _Found(
            clusters.time_s[rows], kind, np.where(seen, 0.9 * score[rows], 0.15),
            np.where(seen, np.maximum(score[rows], 0.6), 0.35 + 0.45 * points), xy, covariance, yaw, sigma, size,
        )  # fmt: skip

    def _lane(self, xy_m: F64, ego: Ego) -> tuple[F64, F64]:
        """Heading in the ego frame of the lane nearest to each point, and how far beyond its edge the point lies."""
        if len(xy_m) == 0:
            return np.zeros(0), np.zeros(0)
        world = _turned(xy_m, np.full(len(xy_m), ego.pose.yaw_rad)) + np.array([ego.pose.x_m, ego.pose.y_m])
        distance, index = self._storey(world, _plane(xy_m, ego))
        offset = world[:, None] - self._centre[index]
        yaw = self._graph.yaw_rad[index].astype(np.float64)
        across = np.abs(offset[..., 1] * np.cos(yaw) - offset[..., 0] * np.sin(yaw)) - 0.5 * self._graph.width_m[index]
        across = np.where(distance > 6.0, distance, across)
        best, row = across.argmin(axis=1), np.arange(len(xy_m))
        return wrap(yaw[row, best] - ego.pose.yaw_rad), across[row, best]

    def _storey(self, world_m: F64, z_m: F64) -> tuple[F64, NDArray[np.int64]]:
        """(N, 4) distances and rows of the lane points nearest to (N, 2) points, of the storey nearest to (N,) heights;
        inf: of another one."""
        distance, index = self._tree.query(world_m, k=min(NEAR_POINTS, len(self._centre)))
        apart = np.abs(self._graph.z_m[index] - z_m[:, None])
        other = apart > apart.min(axis=1, initial=np.inf, keepdims=True) + STOREY_M
        distance = np.where(other, np.inf, distance)
        order = np.argsort(distance, axis=1, kind="stable")[:, :4]
        return np.take_along_axis(distance, order, axis=1), np.take_along_axis(index, order, axis=1)

    def ground(self, world_m: F64, z_m: F64) -> F64:
        """(N,) heights of the road under (N, 2) points: the map's, or the heights given where no lane is near."""
        if len(world_m) == 0:
            return z_m
        distance, index = self._storey(world_m, z_m)
        return np.where(distance[:, 0] < ROAD_NEAR_M, self._graph.z_m[index[:, 0]], z_m)

    def _to_world(self, found: _Found, radial: F64, ego: Ego) -> Observations:
        yaw = ego.pose.yaw_rad
        c, s = np.cos(yaw), np.sin(yaw)
        rotation = np.array([[c, -s], [s, c]])
        arm = found.xy_m @ rotation.T
        xy = arm + np.array([ego.pose.x_m, ego.pose.y_m])
        z = self.ground(xy, _plane(found.xy_m, ego))
        # where the ego itself may be wrong, so is everything it sees
        lever = np.stack([-arm[:, 1], arm[:, 0]], axis=-1)
        covariance = rotation @ found.covariance @ rotation.T
        covariance = covariance + ego.covariance[2, 2] * lever[:, :, None] * lever[:, None, :]
        radial = np.concatenate([radial[:, :2] @ rotation.T, radial[:, 2:]], axis=1)
        return Observations(
            found.time_s, found.kind.astype(np.uint8), found.kind_score, found.score,
            np.concatenate([xy, z[:, None]], axis=1), covariance, np.asarray(wrap(found.yaw_rad + yaw)),
            found.yaw_sigma_rad, found.size_m, radial,
        )  # fmt: skip


def see_clusters(
    clusters: Clusters, cameras: Sequence[CameraImage], detections: Sequence[Detections]
) -> tuple[NDArray[np.int64], F64, F64, list[NDArray[np.bool_]]]:
    """Class, score and heading (K,) that the cameras give each cluster (0, 0, nan: none), and the boxes so used."""
    k = len(clusters)
    kind, score, heading = np.zeros(k, dtype=np.int64), np.zeros(k), np.full(k, np.nan)
    used = [np.zeros(len(d.kind), dtype=bool) for d in detections]
    for image, seen, spent in zip(cameras, detections, used, strict=True):
        if k == 0 or len(seen.kind) == 0:
            continue
        share, depth = _shares(clusters, image, seen.box_px)
        off = np.abs(depth[:, None] - seen.distance_m) / (1.5 + 0.2 * seen.distance_m)
        value = share - 0.3 * off + 0.1 * np.minimum(clusters.count / 50.0, 1.0)[:, None]
        cost = np.where((share > SHARE_MIN) & (off < OFF_MAX) & (seen.score > SCORE_MIN), -value, 10.0)
        for i, j in zip(*linear_sum_assignment(cost), strict=True):
            if cost[i, j] < 10.0:
                spent[j] = True
                if seen.score[j] > score[i]:
                    kind[i], score[i], heading[i] = seen.kind[j], seen.score[j], seen.yaw_rad[j]
    return kind, score, heading, used


def _shares(clusters: Clusters, image: CameraImage, box_px: NDArray[np.float32]) -> tuple[F64, F64]:
    """(K, D) share of each cluster's points inside each box, and (K,) depth of its nearest point in m."""
    camera_from_ego = inverse(image.ego_from_camera).astype(np.float32)
    x, y, z = camera_from_ego[:3, :3] @ clusters.xyz_m.T + camera_from_ego[:3, 3:]
    m, depth = image.intrinsics.astype(np.float32), np.maximum(z, np.float32(0.1))
    u, v = m[0, 0] * x / depth + m[0, 2], m[1, 1] * y / depth + m[1, 2]
    u[z < 0.5] = np.inf
    left, top, right, bottom = (box_px[:, i, None] + np.float32(-1.0 if i < 2 else 1.0) for i in range(4))
    inside = (u > left) & (u < right) & (v > top) & (v < bottom)  # (D, P)
    share = np.add.reduceat(inside, clusters.start, axis=1, dtype=np.float32).T / clusters.count[:, None]
    return share, np.minimum.reduceat(z, clusters.start).astype(np.float64)


def _headings(
    clusters: Clusters, rows: NDArray[np.int64], kind: NDArray[np.int64], camera_rad: F64, lane_rad: F64
) -> tuple[F64, F64]:
    """Heading of each box and its sigma: the side of the L-shape nearest to what camera, or else lane, suggests."""
    hint = np.where(np.isfinite(camera_rad), camera_rad, lane_rad)
    box = clusters.yaw_rad[rows]
    quarter = np.round((hint - box) / (0.5 * np.pi)) * (0.5 * np.pi)
    fitted = wrap(box + quarter)
    b = clusters.bounds_m[rows]
    longest = np.maximum(b[:, 1] - b[:, 0], b[:, 3] - b[:, 2])
    firm = (clusters.count[rows] >= 10) & (longest > 1.3) & (np.abs(wrap(fitted - hint)) < 0.6)
    walks = kind == Kind.PEDESTRIAN
    yaw = np.where(firm & ~walks, fitted, hint)
    sigma = np.where(walks, 0.8, np.where(firm, 0.12, np.where(np.isfinite(camera_rad), 0.3, 0.4)))
    return yaw, sigma


def complete(bounds_m: F64, kind: NDArray[np.int64]) -> tuple[F64, F64, F64]:
    """Centre (N, 2) in axes turned by the yaw, size (N, 3), and 0..1 how much of the length or width was assumed.

    Axes start at the sensor. The face nearest to it is what was measured: the rest extends away from it.
    """
    usual = USUAL_SIZE_M[kind]
    low, high = bounds_m[:, [0, 2]], bounds_m[:, [1, 3]]
    seen = high - low
    size = np.where(kind[:, None] == Kind.PROP, np.maximum(seen, 0.3), np.maximum(seen, usual[:, :2]))
    centre = np.where(low > 0.0, low + 0.5 * size, np.where(high < 0.0, high - 0.5 * size, 0.5 * (low + high)))
    slack = ((size - seen) / size).max(axis=1, initial=0.0)
    return centre, np.concatenate([size, usual[:, 2:]], axis=1), slack


def _from_cameras(
    cameras: Sequence[CameraImage], detections: Sequence[Detections], used: list[NDArray[np.bool_]], time_s: float,
    beyond_m: F64,
) -> _Found:  # fmt: skip
    """Boxes farther than `beyond_m` (by Kind) that no cluster explains, at their regressed distance.

    The same object in two cameras counts once.
    """
    rows = []
    for image, seen, spent in zip(cameras, detections, used, strict=True):
        (fx, _, cx), (_, fy, cy), _ = image.intrinsics.tolist()
        (ax, bx, zx, x0), (ay, by, zy, y0), (az, bz, zz, z0) = image.ego_from_camera[:3].tolist()
        score, yaw = seen.score.tolist(), seen.yaw_rad.tolist()
        sides, kinds, depths = seen.box_px.tolist(), seen.kind.tolist(), seen.distance_m.tolist()
        boxes = zip(sides, kinds, score, yaw, depths, spent.tolist(), strict=True)
        for (left, top, right, bottom), kind_, score_, yaw_, depth_, spent_ in boxes:
            if score_ > SCORE_MIN and (spent_ or depth_ > beyond_m[kind_]):
                a, b = (0.5 * (left + right) - cx) / fx * depth_, (0.5 * (top + bottom) - cy) / fy * depth_
                x, y = ax * a + bx * b + zx * depth_ + x0, ay * a + by * b + zy * depth_ + y0
                if abs(az * a + bz * b + zz * depth_ + z0) > STOREY_M + CLIMB * depth_:
                    continue  # on a bridge, or below it
                rows.append((x, y, depth_, fx, kind_, score_, yaw_, spent_, math.atan2(y, x)))
    rows.sort(key=lambda row: (not row[7], -row[3]))  # explained first, then the finer camera
    keep: list[tuple[Any, ...]] = []
    for row in rows:
        x, y, depth_, bearing = row[0], row[1], row[2], row[8]
        if not any(
            math.hypot(x - k[0], y - k[1]) < 1.0 + 0.12 * depth_ and abs(bearing - k[8]) < 0.02 + 0.5 / depth_
            for k in keep
        ):
            keep.append(row)
    table = np.array([row[:7] for row in keep if not row[7]], dtype=np.float64).reshape(-1, 7)
    xy, depth, kind = table[:, :2], table[:, 2], table[:, 4].astype(np.int64)
    away = xy / np.maximum(np.hypot(xy[:, 0], xy[:, 1]), 1e-6)[:, None]
    across = (BEARING_PX * depth / np.maximum(table[:, 3], 1.0) + 0.15) ** 2
    along = (RANGE_SIGMA * depth + 0.4) ** 2 - across
    covariance = across[:, None, None] * _ROUND + along[:, None, None] * away[:, :, None] * away[:, None, :]
    return _Found(
        np.full(len(table), time_s), kind, 0.9 * table[:, 5], 0.8 * table[:, 5], xy, covariance, table[:, 6],
        np.where(kind == Kind.PEDESTRIAN, 0.8, 0.35), USUAL_SIZE_M[kind],
    )  # fmt: skip


def doppler(found: _Found, radar: RadarSamples, ego: Ego, radar_xy_m: F64) -> F64:
    """(N, 3) unit vector (ego frame) from the radar to each object, and speed over ground along it; nan: no return."""
    out = np.full((len(found.kind), 3), np.nan)
    if len(radar.returns) == 0 or len(out) == 0:
        return out
    reach, azimuth, elevation, rate = radar.returns.astype(np.float64).T
    unit = np.stack([np.cos(azimuth), np.sin(azimuth)], axis=-1)
    xy = reach[:, None] * np.cos(elevation)[:, None] * unit + radar_xy_m
    own = np.array([ego.speed_mps, ego.lateral_mps + ego.yaw_rate_radps * radar_xy_m[0]])
    over_ground = rate + unit @ own * np.cos(elevation)
    d = xy[None] - found.xy_m[:, None]
    local = _turned(d, -found.yaw_rad[:, None])
    inside = (np.abs(local) < 0.5 * found.size_m[:, None, :2] + RADAR_ROOM_M).all(axis=-1)  # (N, R)
    for i in np.flatnonzero(inside.any(axis=1)):
        line = found.xy_m[i] - radar_xy_m
        out[i, :2], out[i, 2] = line / np.hypot(*line), median(over_ground[inside[i]].tolist())
    return out


def _plane(xy_m: F64, ego: Ego) -> F64:
    """(N,) height in the world at (N, 2) points of the ego frame if the ego's slope carries on."""
    out: F64 = ego.pose.z_m + xy_m[:, 0] * math.tan(ego.pose.pitch_rad)
    return out


def _aloft(clusters: Clusters, ego: Ego) -> NDArray[np.bool_]:
    """(K,) which clusters hang so high over the plane of the ego's road that they stand on a bridge."""
    if len(clusters) == 0:
        return np.zeros(0, bool)
    low = np.minimum.reduceat(clusters.xyz_m[:, 2], clusters.start)
    away = np.minimum.reduceat(np.hypot(clusters.xyz_m[:, 0], clusters.xyz_m[:, 1]), clusters.start)
    out: NDArray[np.bool_] = low > STOREY_M + CLIMB * away
    return out


def _turned(xy_m: F64, angle_rad: F64) -> F64:
    c, s = np.cos(angle_rad), np.sin(angle_rad)
    return np.stack([c * xy_m[..., 0] - s * xy_m[..., 1], s * xy_m[..., 0] + c * xy_m[..., 1]], axis=-1)


def _middle(yaw_rad: F64, bounds_m: F64) -> F64:
    return _turned(np.stack([bounds_m[:, 0] + bounds_m[:, 1], bounds_m[:, 2] + bounds_m[:, 3]], axis=-1) * 0.5, yaw_rad)


def _take(clusters: Clusters, rows: NDArray[np.int64]) -> tuple[Any, NDArray[np.int64], NDArray[np.int64]]:
    """Points, starts and counts of the chosen clusters."""
    count = clusters.count[rows]
    start = np.cumsum(count) - count
    index = np.arange(int(count.sum())) - np.repeat(start, count) + np.repeat(clusters.start[rows], count)
    return clusters.xyz_m[index, :2], start, count
