"""The town from above: drawn once as a picture of the whole region, then turned and cut for every frame.

In a frame the car heads up. Lanes, crosswalks and sidewalks come from the lane graph; on them the route, the plan, the
tracks as filled boxes, the true actors as thin outlines, the stop lines in the colour that perception believes.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from stack.frames import F64
from stack.labels import Kind, LightState
from stack.lanegraph import LaneGraph, Route
from stack.messages import Actors, Step
from stack.vehicle import VehicleParams

Colour = tuple[int, int, int]

GROUND, WALK, ROAD, JUNCTION = (23, 28, 35), (38, 45, 54), (58, 66, 77), (63, 71, 82)
EDGE, CENTRE, DASH, STRIPE = (116, 126, 138), (150, 136, 92), (140, 149, 160), (150, 158, 168)
ROUTE, PLAN, REFERENCE, EGO, TRUE = (46, 84, 120), (94, 224, 160), (120, 170, 220), (255, 255, 255), (235, 238, 242)
KIND_COLOUR: dict[int, Colour] = {
    int(Kind.CAR): (86, 156, 255), int(Kind.TRUCK): (167, 139, 250), int(Kind.CYCLIST): (45, 212, 191),
    int(Kind.PEDESTRIAN): (251, 146, 60), int(Kind.PROP): (148, 163, 184),
}  # fmt: skip
LIGHT_COLOUR: dict[int, Colour] = {
    int(LightState.UNKNOWN): (110, 118, 128), int(LightState.GREEN): (52, 211, 110),
    int(LightState.YELLOW): (250, 204, 21), int(LightState.RED): (248, 72, 72),
}  # fmt: skip

CHANGE_M = 12.0  # half the length of a lane change, as it is drawn
REGION_MARGIN_M = 75.0
REGION_PX_MAX = 14e6
DETAIL_PXPM = 8.0
ANTIALIAS = 2  # everything is drawn so many times too large, then shrunk


@lru_cache
def font(size_px: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with matplotlib and so is there on any machine."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name), size_px)


def lane_edges(graph: LaneGraph, lane: int) -> tuple[F64, F64]:
    """(n, 2) left and right edge of a lane."""
    rows = slice(int(graph.lane_start[lane]), int(graph.lane_start[lane] + graph.lane_count[lane]))
    yaw, half = graph.yaw_rad[rows].astype(np.float64), 0.5 * graph.width_m[rows].astype(np.float64)
    left = np.stack([-np.sin(yaw), np.cos(yaw)], axis=-1) * half[:, None]
    centre = np.stack([graph.x_m[rows], graph.y_m[rows]], axis=-1).astype(np.float64)
    return centre + left, centre - left


def route_points(graph: LaneGraph, route: Route) -> F64:
    """(n, 2) centre lines of a route's lanes, from its start to its goal; a lane change is drawn half way along."""
    lanes = [int(lane) for lane in route.lanes]
    parts = []
    for i, lane in enumerate(lanes):
        begin, end = 0.0, float(graph.lane_length_m[lane])
        if i == 0:
            begin = route.start_s_m
        elif lane not in graph.successors(lanes[i - 1]):
            begin = 0.5 * (begin + end) + CHANGE_M
        if i == len(lanes) - 1:
            end = route.goal_s_m
        elif lanes[i + 1] not in graph.successors(lane):
            end = 0.5 * end - CHANGE_M
        step = float(graph.lane_step_m[lane])
        rows = slice(int(begin / step), int(end / step) + 1)
        parts.append(graph.points(lane)[rows, :2].astype(np.float64))
    return np.concatenate(parts)


class Town:
    """The still part, as one picture of the region about a route; north up."""

    def __init__(self, graph: LaneGraph, route: Route) -> None:
        points = route_points(graph, route)
        low, high = points.min(axis=0) - REGION_MARGIN_M, points.max(axis=0) + REGION_MARGIN_M
        size = high - low
        self.pxpm = float(min(DETAIL_PXPM, np.sqrt(REGION_PX_MAX / size.prod())))
        self.west_m, self.north_m = float(low[0]), float(high[1])
        self.picture = Image.new("RGB", (int(size[0] * self.pxpm) + 1, int(size[1] * self.pxpm) + 1), GROUND)
        self.pen = ImageDraw.Draw(self.picture)
        near = [k for k in range(graph.lanes) if self._inside(graph.points(k)[:, :2], low, high)]
        self._ground(graph, near)
        self._marks(graph, near)
        self._line(points, ROUTE, 1.6)

    @staticmethod
    def _inside(points: np.ndarray, low: F64, high: F64) -> bool:
        return bool(((points > low - 10.0) & (points < high + 10.0)).all(axis=1).any())

    def px(self, xy_m: F64) -> list[tuple[float, float]]:
        columns = (np.stack([xy_m[:, 0] - self.west_m, self.north_m - xy_m[:, 1]], axis=-1) * self.pxpm).tolist()
        return [(u, v) for u, v in columns]

    def _line(self, xy_m: F64, colour: Colour, width_m: float) -> None:
        self.pen.line(self.px(xy_m), fill=colour, width=max(round(width_m * self.pxpm), 1), joint="curve")

    def _ground(self, graph: LaneGraph, near: list[int]) -> None:
        for start, count in zip(graph.walk_start.tolist(), graph.walk_count.tolist(), strict=True):
            self._line(graph.walk_xyz_m[start : start + count, :2], WALK, 2.6)
        for lane in near:
            left, right = lane_edges(graph, lane)
            colour = JUNCTION if graph.lane_junction[lane] >= 0 else ROAD
            self.pen.polygon(self.px(np.concatenate([left, right[::-1]])), fill=colour)

    def _marks(self, graph: LaneGraph, near: list[int]) -> None:
        for lane in near:
            if graph.lane_junction[lane] >= 0:
                continue
            left, right = lane_edges(graph, lane)
            if graph.lane_left[lane] < 0:
                self._line(left, CENTRE, 0.14)
            if graph.lane_right[lane] < 0:
                self._line(right, EDGE, 0.14)
            else:
                for k in range(0, len(right) - 3, 6):
                    self._line(right[k : k + 4], DASH, 0.12)
        for quad in graph.crosswalk_xyz_m[:, :, :2]:
            length = float(np.hypot(*(quad[3] - quad[0])))
            for s in np.arange(0.3, max(length - 0.4, 0.3), 1.0):
                a, b = s / length, min((s + 0.5) / length, 1.0)
                one, two = quad[3] - quad[0], quad[2] - quad[1]
                bar = np.array([quad[0] + a * one, quad[1] + a * two, quad[1] + b * two, quad[0] + b * one])
                self.pen.polygon(self.px(bar), fill=STRIPE)

    def cut(self, x_m: float, y_m: float, yaw_rad: float, size_px: tuple[int, int], at_px: tuple[float, float],
            pxpm: float) -> Image.Image:  # fmt: skip
        """A turned piece: the pose (x, y, yaw) comes to pixel `at_px` with its heading up."""
        k, cos, sin = self.pxpm / pxpm, np.cos(yaw_rad), np.sin(yaw_rad)
        u, v = at_px
        # ahead = v0 - v, left = u0 - u; east = ahead cos - left sin; north = ahead sin + left cos
        column = (k * sin, -k * cos, (x_m - self.west_m) * self.pxpm + k * (v * cos - u * sin))
        row = (k * cos, k * sin, (self.north_m - y_m) * self.pxpm - k * (v * sin + u * cos))
        return self.picture.transform(
            size_px, Image.Transform.AFFINE, (*column, *row), Image.Resampling.NEAREST, fillcolor=GROUND
        )


class BirdsEye:
    """Draws one frame after another."""

    def __init__(self, graph: LaneGraph, route: Route, vehicle: VehicleParams, size_px: tuple[int, int]) -> None:
        self.graph, self.vehicle, self.size_px = graph, vehicle, size_px
        self.town = Town(graph, route)
        self.pxpm = 6.0 * ANTIALIAS
        self.at_px = (0.5 * size_px[0] * ANTIALIAS, 0.72 * size_px[1] * ANTIALIAS)
        self.lines = self._stop_lines(route)

    def _stop_lines(self, route: Route) -> list[tuple[int, F64]]:
        """(signal, (2, 2) ends) across each lane that leads to a light; the route's own movement wins its lane."""
        graph, found = self.graph, {}
        on_route = {int(lane) for lane in route.lanes}
        entries = sorted(np.flatnonzero(graph.lane_signal >= 0).tolist(), key=lambda lane: lane in on_route)
        for lane in entries:
            for before in graph.predecessors(lane).tolist():
                left, right = lane_edges(graph, before)
                at = min(round(float(graph.lane_stop_s_m[before] / graph.lane_step_m[before])), len(left) - 1)
                found[before] = (int(graph.lane_signal[lane]), np.stack([left[at], right[at]]))
        return list(found.values())

    def _px(self, xy_m: F64) -> list[tuple[float, float]]:
        dx, dy = xy_m[:, 0] - self.x, xy_m[:, 1] - self.y
        u = self.at_px[0] - (dy * self.cos - dx * self.sin) * self.pxpm
        v = self.at_px[1] - (dx * self.cos + dy * self.sin) * self.pxpm
        return list(zip(u.tolist(), v.tolist(), strict=True))

    def __call__(self, step: Step) -> Image.Image:
        pose = step.truth.ego.pose
        self.x, self.y, self.cos, self.sin = pose.x_m, pose.y_m, np.cos(pose.yaw_rad), np.sin(pose.yaw_rad)
        big = (self.size_px[0] * ANTIALIAS, self.size_px[1] * ANTIALIAS)
        image = self.town.cut(pose.x_m, pose.y_m, pose.yaw_rad, big, self.at_px, self.pxpm)
        self.pen = ImageDraw.Draw(image)
        self._lights(step)
        self._plan(step)
        self._actors(step.scene.tracks, filled=True)
        self._actors(step.truth.actors, filled=False)
        self._ego(step)
        return image.reduce(ANTIALIAS)

    def _lights(self, step: Step) -> None:
        for signal, ends in self.lines:
            if np.hypot(*(ends.mean(axis=0) - (self.x, self.y))) > 80.0:
                continue
            believed = LIGHT_COLOUR[int(step.scene.signal_state[signal])]
            self.pen.line(self._px(ends), fill=believed, width=4 * ANTIALIAS)
            u, v = self._px(ends.mean(axis=0, keepdims=True))[0]
            r = 3.0 * ANTIALIAS
            true = LIGHT_COLOUR[int(step.truth.signal_state[signal])]
            self.pen.ellipse((u - r, v - r, u + r, v + r), fill=true, outline=GROUND, width=ANTIALIAS)

    def _plan(self, step: Step) -> None:
        reference, trajectory = step.plan.reference, step.plan.trajectory
        path = reference.xy_m.astype(np.float64)
        self.pen.line(self._px(path), fill=REFERENCE, width=ANTIALIAS, joint="curve")
        driven = trajectory.xy_m.astype(np.float64)
        if len(driven) > 1:
            self.pen.line(self._px(driven), fill=PLAN, width=4 * ANTIALIAS, joint="curve")
        front = self.vehicle.centre_m + 0.5 * self.vehicle.length_m
        if np.isfinite(reference.stop_s_m) and reference.stop_s_m + front < float(reference.s_m[-1]):
            at = int(np.argmin(np.abs(reference.s_m - (reference.stop_s_m + front))))
            yaw = float(reference.yaw_rad[at])
            across = 1.6 * np.array([-np.sin(yaw), np.cos(yaw)])
            self.pen.line(self._px(np.stack([path[at] + across, path[at] - across])), fill=PLAN, width=2 * ANTIALIAS)

    def _box(self, x: float, y: float, yaw: float, length: float, width: float) -> list[tuple[float, float]]:
        ahead, left = np.array([np.cos(yaw), np.sin(yaw)]), np.array([-np.sin(yaw), np.cos(yaw)])
        corners = [(0.5, 0.5), (0.5, -0.5), (-0.5, -0.5), (-0.5, 0.5)]
        return self._px(np.array([(x, y) + a * length * ahead + b * width * left for a, b in corners]))

    def _actors(self, actors: Actors, filled: bool) -> None:
        reach = np.hypot(actors.xyz_m[:, 0] - self.x, actors.xyz_m[:, 1] - self.y)
        for k in np.flatnonzero(reach < 90.0).tolist():
            x, y, _ = actors.xyz_m[k].tolist()
            yaw, colour = float(actors.yaw_rad[k]), KIND_COLOUR.get(int(actors.kind[k]), TRUE)
            length, width = (max(float(v), 0.7) for v in actors.size_m[k, :2])
            corners = self._box(x, y, yaw, length, width)
            if not filled:
                self.pen.polygon(corners, outline=TRUE, width=1)
                continue
            self.pen.polygon(corners, fill=colour)
            speed = actors.velocity_mps[k]
            if np.hypot(*speed) > 0.5:
                self.pen.line(self._px(np.array([(x, y), (x, y) + speed])), fill=colour, width=2 * ANTIALIAS)

    def _ego(self, step: Step) -> None:
        p = self.vehicle
        for ego, exact in ((step.scene.ego, False), (step.truth.ego, True)):
            yaw = ego.pose.yaw_rad
            x, y = ego.pose.x_m + p.centre_m * np.cos(yaw), ego.pose.y_m + p.centre_m * np.sin(yaw)
            corners = self._box(x, y, yaw, p.length_m, p.width_m)
            if exact:
                self.pen.polygon(corners, fill=EGO)
                ahead = 0.16 * p.length_m
                nose = self._box(x + ahead * np.cos(yaw), y + ahead * np.sin(yaw), yaw, 0.7, 1.4)
                self.pen.polygon(nose, fill=(40, 48, 58))
            else:
                self.pen.polygon(corners, outline=(250, 120, 200), width=2 * ANTIALIAS)
