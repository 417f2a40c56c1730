"""Overtaking bicycles: pull out when the other side of the road is free for long enough, drive past, and come back.

The time that it takes is that of pulling out and of gaining the gap, both lengths and a margin, speeding up as the
driver does. In it neither the car itself nor anybody who comes toward it may get to a junction, a tight bend or each other.
"""

from __future__ import annotations

import warp as wp

from sim.kernels.following import LEVEL_M, Ahead
from sim.kernels.lanechange import SLOW_USER_MPS, wish_on
from sim.kernels.paths import Path, path_point, path_project, point_index
from sim.kernels.roadusers import CYCLIST, nose, rear
from sim.state import StateArrays
from stack.lanegraph import LaneArrays

wp.set_module_options({"enable_backward": False})

CLEARANCE_M = wp.constant(1.2)  # between car and cyclist; most codes ask for 1 to 1.5
PULL_OUT_S = wp.constant(2.0)
SPEED_UP = wp.constant(0.6)  # of the driver's largest acceleration, on the mean
FASTER_MPS = wp.constant(2.0)  # who would gain less stays behind
ONCOMING_GAIN_MPS = wp.constant(2.0)  # what one who comes may speed up by
FALL_BACK_MPS2 = wp.constant(3.0)
START_GAP_M = wp.constant(16.0)  # no need to think of it farther away
LAND_M = wp.constant(8.0)  # free behind the next leader, and ahead of the cyclist before coming back
SPARE_M = wp.constant(15.0)  # left between the car and an oncoming one when it is done
EDGE_M = wp.constant(0.2)
BEND_1PM = wp.constant(0.012)  # tighter bends hide what comes


@wp.func
def pulled_out(st: StateArrays, w: int, i: int, k: int) -> float:
    """Offset to the left of the lane's middle at which i passes k."""
    return st.lane_d_m[w, k] + 0.5 * (st.width_m[w, i] + st.width_m[w, k]) + CLEARANCE_M


@wp.func
def time_to_gain(distance_m: float, from_mps: float, most_mps: float, accel_mps2: float) -> float:
    """Seconds to gain a distance with a relative speed that grows from one value to another."""
    slow = wp.clamp(from_mps, 0.0, most_mps)
    grow_s = (most_mps - slow) / accel_mps2
    gained = 0.5 * (slow + most_mps) * grow_s
    if gained < distance_m:
        return grow_s + (distance_m - gained) / most_mps
    return (wp.sqrt(slow * slow + 2.0 * accel_mps2 * distance_m) - slow) / accel_mps2


@wp.func
def may_overtake(
    st: StateArrays, lanes: LaneArrays, w: int, actors: int, i: int, path: Path, v: float, k: int, gap_m: float
) -> bool:  # fmt: skip
    """Is there time and room for i to pass the cyclist k, `gap_m` in front of it?"""
    v_k = wp.max(st.vx_mps[w, k], 0.0)
    faster = wish_on(st, lanes, w, i, path.lane0) - v_k
    if faster < FASTER_MPS or lanes.lane_junction[path.lane0] >= 0 or lanes.lane_left[path.lane0] >= 0:
        return False
    needed = gap_m + st.length_m[w, k] + st.length_m[w, i] + LAND_M
    time = time_to_gain(needed, v - v_k, faster, SPEED_UP * st.accel_max_mps2[w, i])
    if st.passing[w, i] < 0:
        time = time + PULL_OUT_S
    way = v_k * time + needed
    if way + 5.0 > lanes.lane_stop_s_m[path.lane0] - path.from_s_m - nose(st, w, i):
        return False
    for n in range(int(way / 8.0) + 1):
        if wp.abs(path_point(lanes, path, 8.0 * float(n))[3]) > BEND_1PM:
            return False
    width = lanes.width_m[point_index(lanes, path.lane0, path.from_s_m)]
    inside = pulled_out(st, w, i, k) + 0.5 * st.width_m[w, i] < 0.5 * width - EDGE_M
    for j in range(actors):
        kind = st.kind[w, j]
        if j != i and j != k and kind != 0:
            dx = st.x_m[w, j] - st.x_m[w, i]
            dy = st.y_m[w, j] - st.y_m[w, i]
            v_j = wp.abs(st.vx_mps[w, j]) + ONCOMING_GAIN_MPS
            far = way + v_j * time + SPARE_M
            if dx * dx + dy * dy < far * far and wp.abs(st.z_m[w, j] - st.z_m[w, i]) < LEVEL_M:
                guess = dx * wp.cos(st.yaw_rad[w, i]) + dy * wp.sin(st.yaw_rad[w, i])
                at = path_project(lanes, path, st.x_m[w, j], st.y_m[w, j], guess)
                c = wp.cos(st.yaw_rad[w, j] - at[2])
                room = at[0] - rear(st, w, j) - nose(st, w, i)
                if wp.abs(at[1]) < 0.5 * width and room > 0.0:  # somebody ahead on the lane: no room to come back
                    if room + (v_j - ONCOMING_GAIN_MPS) * time < way + LAND_M:
                        return False
                elif at[1] > 0.0 and at[1] < 1.5 * width and not inside:
                    if at[0] > -30.0 and at[0] < way + wp.max(-c, 0.0) * v_j * time + SPARE_M:
                        return False  # coming, standing on the other side, or passing us
    return True


@wp.func
def keeps_on(st: StateArrays, lanes: LaneArrays, w: int, actors: int, i: int, path: Path, v: float, k: int) -> bool:
    """Does i go on passing k? Not once it is past, nor while it can still fall back and the way is no longer free."""
    if st.kind[w, k] != CYCLIST or st.lane[w, k] != st.lane[w, i]:
        return False
    past = st.lane_s_m[w, i] - st.lane_s_m[w, k]
    if past > rear(st, w, i) + nose(st, w, k) + 0.5 * LAND_M:
        return False
    gap = -past - rear(st, w, k) - nose(st, w, i)
    closing = wp.max(v - st.vx_mps[w, k], 0.0)
    if gap > 2.0 + closing * closing / (2.0 * FALL_BACK_MPS2) and (st.tick[w] + i) % 4 == 0:
        return may_overtake(st, lanes, w, actors, i, path, v, k, gap)
    return True


@wp.func
def consider_overtaking(
    st: StateArrays, lanes: LaneArrays, w: int, actors: int, i: int, path: Path, v: float, ahead: Ahead
) -> None:  # fmt: skip
    """Set or clear `passing` of i."""
    k = st.passing[w, i]
    if k >= 0:
        if not keeps_on(st, lanes, w, actors, i, path, v, k):
            st.passing[w, i] = -1
        return
    k = ahead.slow_row
    if k >= 0 and st.wish_max_mps[w, i] >= SLOW_USER_MPS and ahead.slow_gap_m < START_GAP_M:
        if (st.tick[w] + i) % 4 == 0 and st.lane[w, k] == path.lane0:
            if may_overtake(st, lanes, w, actors, i, path, v, k, ahead.slow_gap_m):
                st.passing[w, i] = k
