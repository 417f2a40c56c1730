"""Scene -> Plan: Reference, predictions, trajectory; and a new route for a car that has lost its own."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from planning.path import SLOPE
from planning.predict import predict
from planning.reference import ReferenceKernel, to_message
from planning.route import plan_route
from planning.trajectory import plan_trajectory
from stack.lanegraph import STOREY_M, LaneGraph, Route
from stack.messages import Actors, Plan, Reference, Scene
from stack.scenearrays import ReferenceArrays, RouteArrays, SceneArrays, allocate, fill_from_scene, view
from stack.vehicle import VehicleParams

LOST_M = 6.0  # from the path
LOST_S = 1.0


def fill_route(arrays: Any, route: Route, world: int = 0) -> None:
    """Write a route into one row of a RouteArrays."""
    lane, start, goal = arrays.lane.numpy(), arrays.start_s_m.numpy(), arrays.goal_s_m.numpy()
    if len(route.lanes) > lane.shape[1]:
        raise ValueError(f"route: found {len(route.lanes)} lanes, expected at most {lane.shape[1]}")
    lane[world] = -1
    lane[world, : len(route.lanes)] = route.lanes
    start[world], goal[world] = route.start_s_m, route.goal_s_m
    for target, values in ((arrays.lane, lane), (arrays.start_s_m, start), (arrays.goal_s_m, goal)):
        target.assign(values)


class Pipeline:
    """The planner of the stack."""

    def __init__(self, graph: LaneGraph, route: Route, params: VehicleParams, device: str = "cpu") -> None:
        self.graph, self.params = graph, params
        front = params.centre_m + 0.5 * params.length_m
        self.kernel = ReferenceKernel(graph, device, 1, front, params.length_m - front, params.width_m)
        self.scene = allocate(SceneArrays, 1, graph.signals, device)
        self.route = allocate(RouteArrays, 1, 0, device)
        self.reference = allocate(ReferenceArrays, 1, 0, device)
        self.launches = self.kernel.record(self.scene, self.route, self.reference)
        self.reset(route)

    def reset(self, route: Route) -> None:
        """Start afresh on a route."""
        fill_route(self.route, route)
        self.kernel.reset(self.reference)
        self.lost_since_s: float | None = None
        self.goal = int(route.lanes[-1]), route.goal_s_m

    def __call__(self, scene: Scene) -> Plan:
        fill_from_scene(self.scene, scene)
        for launch in self.launches:
            launch.launch()
        reference = to_message(self.reference)
        self._find_new_route(scene, reference)
        tracks = scene.tracks.take(self._level(scene.tracks))
        predictions = predict(tracks, self.graph, scene.signal_state)
        trajectory, emergency = plan_trajectory(reference, scene.ego, tracks, predictions, self.params)
        return Plan(reference, trajectory, emergency)

    def _level(self, tracks: Actors) -> NDArray[np.bool_]:
        """(N,) which tracks may meet the ego: those not over or under its path, as `project_tracks` has it."""
        x, y, z = (view(self.reference, name)[0].astype(np.float64) for name in ("x_m", "y_m", "z_m"))
        away = np.hypot(tracks.xyz_m[:, :1] - x, tracks.xyz_m[:, 1:2] - y)  # (N, points)
        point, rows = away.argmin(axis=1), np.arange(len(tracks))
        out: NDArray[np.bool_] = np.abs(tracks.xyz_m[:, 2] - z[point]) <= STOREY_M + SLOPE * away[rows, point]
        return out

    def _find_new_route(self, scene: Scene, reference: Reference) -> None:
        """From the next tick on, lead a car that has been off its path for LOST_S to its goal from where it is."""
        pose = scene.ego.pose
        away = float(np.hypot(*(reference.xy_m[0] - np.array([pose.x_m, pose.y_m]))))
        if away < LOST_M:
            self.lost_since_s = None
            return
        if self.lost_since_s is None:
            self.lost_since_s = scene.time_s
        if scene.time_s - self.lost_since_s < LOST_S:
            return
        self.lost_since_s = scene.time_s
        lane, s, _ = self.graph.nearest(pose.x_m, pose.y_m, pose.yaw_rad, z_m=pose.z_m)
        try:
            route = plan_route(self.graph, lane, s, *self.goal)
        except ValueError:  # no way from here: keep the old route
            return
        fill_route(self.route, route)
        self.kernel.reset(self.reference)
