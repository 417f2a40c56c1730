"""Where to wait so that the light can be seen.

A near-side post beside the stop line leaves the view of a front camera before the car has reached the line, most of all from
the left of two lanes. A driver stops short of such a line; so `lane_stop_s_m` moves back until a head of the lane's
signal stands within SIGHT_RAD of straight ahead, as CARLA's convention of stopping 5 m before a light does.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from stack.lanegraph import LaneGraph

SIGHT_RAD = np.deg2rad(40.0)  # a camera of 90 degrees sees 45
CAMERA_M = 2.1  # from the front bumper back to the camera
BACK_MOST_M = 8.0  # a car waits no farther before its line
STEP_M = 0.25
FACING_COS = -0.4  # a head faces the lane where cos(head yaw - lane yaw) is below this
REACH_M = 60.0


def in_sight(graph: LaneGraph) -> LaneGraph:
    """The graph with the stops of signalled lanes moved back where no head could be seen from them."""
    stops = graph.lane_stop_s_m.copy()
    for entry in np.flatnonzero(graph.lane_signal >= 0):
        heads = np.flatnonzero(graph.head_signal == graph.lane_signal[entry])
        for lane in graph.predecessors(int(entry)):
            if graph.lane_junction[lane] < 0:
                stops[lane] = min(stops[lane], _place(graph, int(lane), heads))
    return replace(graph, lane_stop_s_m=stops)


def _place(graph: LaneGraph, lane: int, heads: np.ndarray) -> np.float32:
    """The farthest place of the bumper, at most its present one, from which one of the heads is in sight."""
    line = float(graph.lane_stop_s_m[lane])
    for back in np.arange(0.0, min(BACK_MOST_M, line), STEP_M):
        k = int(graph.lane_start[lane]) + int((line - back) / float(graph.lane_step_m[lane]))
        yaw = float(graph.yaw_rad[k])
        rest = line - back - (k - int(graph.lane_start[lane])) * float(graph.lane_step_m[lane]) - CAMERA_M
        x, y = float(graph.x_m[k]) + rest * np.cos(yaw), float(graph.y_m[k]) + rest * np.sin(yaw)
        dx, dy = graph.head_xyz_m[heads, 0] - x, graph.head_xyz_m[heads, 1] - y
        ahead, left = dx * np.cos(yaw) + dy * np.sin(yaw), dy * np.cos(yaw) - dx * np.sin(yaw)
        facing = np.cos(graph.head_yaw_rad[heads] - yaw) < FACING_COS
        seen = facing & (ahead > 1.0) & (np.abs(left) < ahead * np.tan(SIGHT_RAD)) & (np.hypot(dx, dy) < REACH_M)
        if seen.any():
            return np.float32(line - back)
    return np.float32(line)
