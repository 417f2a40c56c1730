"""Emergency vehicles in traffic: who hears one and how it makes way, and how one finds its way through.

Where a siren comes from behind, drivers keep to the edge of their lane: in the left of several lanes the left one, else
the right one, so that a lane opens between them (StVO section 11 (2)); they slow down, and stand while it squeezes past.
Who comes toward it on the same road keeps right. Nobody waits for one that does not get on.

The driver with the siren looks for the offset from its lane's middle where it gets farthest: between the lanes, or over
the other side of the road, slowly where it is near others. It passes a red light at walking pace once all who hold the
junction are through (StVO sections 35 (8), 38 (1): right of way, but at nobody's risk; sim/kernels/rightofway.py).
"""

from __future__ import annotations

from typing import Any

import warp as wp

from sim.kernels.following import PEDESTRIAN, interaction, seen_by_geometry, walker_gap
from sim.kernels.near import lowest, near_bits
from sim.kernels.paths import Path, make_path, on_target, path_project, point_index
from sim.kernels.rightofway import light_of, line_gap
from sim.kernels.roadusers import CYCLIST, IDM, LEVEL_M, nose, rear
from sim.kernels.room import exit_lane
from sim.kernels.signals import GREEN, TICK
from sim.state import StateArrays
from stack.lanegraph import LaneArrays

wp.set_module_options({"enable_backward": False})

HEARD_M = wp.constant(80.0)  # ahead of it
MOST_LANES = wp.constant(4)  # of a direction
ANY_MPS = wp.constant(100.0)  # nothing to keep to
EASE_MPS2 = wp.constant(2.0)  # how those who hear it slow down
CALM_MPS = wp.constant(8.0)  # of those who leave it room enough
MEET_MPS = wp.constant(3.0)  # of those who come toward it while it is on their side
STAND_FROM_M = wp.constant(35.0)  # behind them, from where they stand so that it can pass
BENT_1PM = wp.constant(0.025)
EDGE_GAP_M = wp.constant(0.15)  # to the edge of the lane
NARROW_M = wp.constant(1.0)  # to the side: who is nearer to its way stands, and it goes slowly past
FREE_M = wp.constant(0.3)  # to the side, by which it passes
MEET_FREE_M = wp.constant(0.6)  # and from those who come toward it
SQUEEZE_MPS = wp.constant(6.0)  # faster than those whom it passes so near
OTHER_SIDE_MPS = wp.constant(11.0)  # over the middle of the road
GIVE_UP_S = wp.constant(3.0)  # of its standing, after which others go on
CREEP_MPS = wp.constant(3.5)  # over a stop line that it has to stop at: 12 km/h
RED_MPS = wp.constant(6.0)  # through a junction on red
LOOK_S = wp.constant(2.5)  # whoever drives on ahead is taken to be where it will be then
LOOK_MOST_M = wp.constant(50.0)
OFF_COST = wp.constant(3.0)  # metres of free road that a metre off the middle of the lane must gain,
CHANGE_COST = wp.constant(2.0)  # and a metre off the way that it is on
QUEUE_GAP_M = wp.constant(9.0)  # behind whoever stands: room to pull out
SWERVE_M = wp.constant(6.0)  # of road that this takes at least,
SWERVE_AFTER_M = wp.constant(2.0)  # and the tail of who stands there
SWERVE_MPS = wp.constant(0.9)  # sideways
BEHIND_M = wp.constant(-4.0)  # paths are not followed farther back
OUT_M = wp.constant(0.4)  # who is so far to the left of its lane gets back first
PLACES = 25
FIRST_M = wp.constant(-2.0)  # places to drive at: the first, left positive
STEP_M = wp.constant(0.25)
Places: Any = wp.types.vector(length=PLACES, dtype=wp.float32)
COUNT = wp.constant(PLACES)


@wp.func
def on_road(lanes: LaneArrays, along: int, lane: int) -> int:
    """1: `lane` lies beside the lane `along` or is it; -1: it is the oncoming one beside the left of them; else 0."""
    left = int(along)
    k = int(along)
    for _ in range(MOST_LANES):
        if k >= 0:
            if k == lane:
                return 1
            left = k
            k = lanes.lane_left[k]
    k = lanes.lane_right[along]
    for _ in range(MOST_LANES):
        if k >= 0:
            if k == lane:
                return 1
            k = lanes.lane_right[k]
    return wp.where(lanes.lane_across[left] == lane, -1, 0)


@wp.func
def on_way(lanes: LaneArrays, path: Path, lane: int) -> int:
    """The same for the three lanes of a path."""
    side = on_road(lanes, path.lane0, lane)
    if side == 0 and path.lane1 >= 0:
        side = on_road(lanes, path.lane1, lane)
    if side == 0 and path.lane2 >= 0:
        side = on_road(lanes, path.lane2, lane)
    return side


@wp.func
def along_way(lanes: LaneArrays, path: Path, x_m: float, y_m: float, ahead_m: float) -> wp.vec3:
    """Like `path_project`, and also for what is behind: `ahead_m` is how far ahead a point is, straight on."""
    at = path_project(lanes, path, x_m, y_m, ahead_m)
    if ahead_m < BEHIND_M:
        at = wp.vec3(ahead_m, at[1], at[2])
    return at


@wp.func
def yield_mps(
    st: StateArrays, lanes: LaneArrays, w: int, i: int, k: int, side: int, gap_m: float, beside_m: float
) -> float:
    """Speed that i keeps to for the siren k, which is `gap_m` away and wants to pass `beside_m` to the side of it."""
    lane = st.lane[w, i]
    v = wp.max(st.vx_mps[w, i], 0.0)
    if lanes.lane_junction[lane] >= 0:
        return ANY_MPS  # clears it
    if side < 0:
        if beside_m < FREE_M and st.lane_d_m[w, i] < OUT_M:
            return wp.where(gap_m < STAND_FROM_M, 0.0, CALM_MPS)  # leaves it the room to pull in again
        return wp.where(beside_m < NARROW_M, MEET_MPS, CALM_MPS)
    if st.stuck_s[w, k] > GIVE_UP_S:
        return ANY_MPS  # it does not get on
    if gap_m < 0.0 and beside_m < NARROW_M:
        return 0.0  # it is beside us
    entry = st.entry_lane[w, i]
    if entry >= 0 and st.granted[w, i] == entry and v * v > 2.0 * EASE_MPS2 * line_gap(st, lanes, w, i):
        return ANY_MPS  # too late to stop before the junction
    if beside_m < FREE_M or beside_m > NARROW_M or gap_m > STAND_FROM_M:
        return CALM_MPS
    after = lanes.pred_count[lane] > 0 and st.lane_s_m[w, i] < rear(st, w, i) + 3.0
    return wp.where(after, MEET_MPS, 0.0)  # not with its tail in a junction


@wp.func
def make_way(st: StateArrays, lanes: LaneArrays, w: int, i: int, k: int, side: int, along_m: float, d_m: float) -> None:
    """Write for i, at place `along_m`, `d_m` of the way of the siren k, what it does about it."""
    st.hears[w, i] = k
    half = 0.5 * st.width_m[w, i]
    lane = st.target_lane[w, i]
    behind = along_m - rear(st, w, i) - nose(st, w, k)
    by_side = behind < 1.0 and st.lane_d_m[w, i] < OUT_M and lane == st.lane[w, i]
    if not by_side:  # else it stays where it is
        place = point_index(lanes, lane, st.lane_s_m[w, i])
        room = 0.5 * lanes.width_m[place] - half - EDGE_GAP_M
        left = side > 0 and lanes.lane_left[lane] < 0 and lanes.lane_right[lane] >= 0
        if st.aside_m[w, i] != 0.0:  # where lanes begin or end it keeps to its side
            left = st.aside_m[w, i] > 0.0
        if st.kind[w, i] == CYCLIST or lanes.lane_junction[lane] >= 0 or st.stuck_s[w, k] > GIVE_UP_S:
            room = 0.0
        if wp.abs(lanes.curvature_1pm[place]) > BENT_1PM:
            room = 0.0  # off a bend's edge, as in a roundabout, a turn to the right ends on the other side
        st.aside_m[w, i] = wp.where(left, 1.0, -1.0) * wp.max(room, 0.0)
    beside = wp.abs(d_m - st.aside_m[w, k]) - half - 0.5 * st.width_m[w, k]
    if side < 0:  # where it is counts too
        beside = wp.min(beside, wp.abs(d_m - st.lane_d_m[w, k]) - half - 0.5 * st.width_m[w, k])
        behind = along_m - nose(st, w, i) - nose(st, w, k)
    keep = yield_mps(st, lanes, w, i, k, side, behind, beside)
    if keep < ANY_MPS:  # eased into
        v = wp.max(st.vx_mps[w, i], 0.0)
        keep = wp.max(keep, wp.min(st.calm_mps[w, i], v) - EASE_MPS2 * TICK)
    st.calm_mps[w, i] = keep


@wp.func
def alert(st: StateArrays, lanes: LaneArrays, w: int, actors: int, k: int) -> None:
    """Everybody on the road ahead of the siren k makes way."""
    here = on_target(st, lanes, w, k)
    path = make_path(lanes, st.target_lane[w, k], st.next_lane[w, k], st.after_lane[w, k], here[0])
    x = st.x_m[w, k]
    y = st.y_m[w, k]
    c = wp.cos(st.yaw_rad[w, k])
    n = wp.sin(st.yaw_rad[w, k])
    for first in range(0, actors, 32):
        bits = near_bits(st.x_m, st.y_m, w, first, actors, x, y, HEARD_M * HEARD_M)
        while bits != wp.uint32(0):
            i = first + lowest(bits)
            bits = bits & (bits - wp.uint32(1))
            kind = st.kind[w, i]
            if kind != 0 and kind <= CYCLIST and st.driver[w, i] == IDM and st.lane[w, i] >= 0 and st.siren[w, i] == 0:
                side = on_way(lanes, path, st.lane[w, i])
                if side != 0 and wp.abs(st.z_m[w, i] - st.z_m[w, k]) < LEVEL_M:
                    guess = (st.x_m[w, i] - x) * c + (st.y_m[w, i] - y) * n
                    at = along_way(lanes, path, st.x_m[w, i], st.y_m[w, i], guess)
                    if at[0] > -rear(st, w, k) - nose(st, w, i) * float(side) - 1.0:  # not past it yet
                        make_way(st, lanes, w, i, k, side, at[0], at[1])


@wp.func
def line_mps(st: StateArrays, lanes: LaneArrays, w: int, i: int) -> float:
    """Speed of the siren i for the light or sign ahead, or in the junction that it has entered on red."""
    entry = st.entry_lane[w, i]
    if entry < 0:
        return ANY_MPS
    light = light_of(st, lanes, w, entry)
    if st.entry_in_m[w, i] <= 0.0:
        return wp.where(light > GREEN, RED_MPS, ANY_MPS)
    if light == GREEN or (light == 0 and lanes.lane_sign[entry] == 0):
        return ANY_MPS
    return wp.sqrt(CREEP_MPS * CREEP_MPS + 2.0 * EASE_MPS2 * wp.max(line_gap(st, lanes, w, i) - 2.0, 0.0))


@wp.func
def turns_into(st: StateArrays, w: int, actors: int, lane: int) -> bool:
    """Is anybody in a junction, or let into it, who leaves it on `lane`?"""
    for k in range(actors):
        held = st.granted[w, k]
        if held >= 0 and st.kind[w, k] != 0 and st.lane[w, k] != lane:
            if exit_lane(st, w, k, held) == lane:
                return True
    return False


@wp.func
def find_gap(st: StateArrays, lanes: LaneArrays, w: int, actors: int, i: int) -> None:
    """Write where beside its lane's middle the siren i drives, and how fast at most."""
    here = on_target(st, lanes, w, i)
    d = here[1]
    base = st.target_lane[w, i]
    path = make_path(lanes, base, st.next_lane[w, i], st.after_lane[w, i], here[0])
    v = wp.max(st.vx_mps[w, i], 0.0)
    half = 0.5 * st.width_m[w, i]
    front = nose(st, w, i)
    wide = lanes.width_m[point_index(lanes, base, here[0])]
    edge = wp.max(0.5 * wide - half - EDGE_GAP_M, 0.0)
    across = lanes.lane_across[base]
    low = wp.where(lanes.lane_right[base] >= 0, -0.5 * wide, -edge)
    high = wp.where(lanes.lane_left[base] >= 0, 0.5 * wide, edge)
    if across >= 0:
        high = 0.5 * (wide + lanes.width_m[lanes.lane_start[across]])
        if d < edge + STEP_M and turns_into(st, w, actors, across):
            high = edge
    if lanes.lane_junction[base] >= 0:  # only back
        low = wp.min(d, 0.0)
        high = wp.max(d, 0.0)
    free = Places()
    fast = Places()
    for n in range(COUNT):
        free[n] = LOOK_MOST_M
        fast[n] = ANY_MPS
    x = st.x_m[w, i]
    y = st.y_m[w, i]
    c = wp.cos(st.yaw_rad[w, i])
    s = wp.sin(st.yaw_rad[w, i])
    for first in range(0, actors, 32):
        bits = near_bits(st.x_m, st.y_m, w, first, actors, x, y, HEARD_M * HEARD_M)
        while bits != wp.uint32(0):
            k = first + lowest(bits)
            bits = bits & (bits - wp.uint32(1))
            if k != i and st.kind[w, k] != 0 and wp.abs(st.z_m[w, k] - st.z_m[w, i]) < LEVEL_M:
                yaw = st.yaw_rad[w, k]
                kx = st.x_m[w, k]
                ky = st.y_m[w, k]
                if st.kind[w, k] <= CYCLIST:
                    kx = kx + st.centre_m[w, k] * wp.cos(yaw)
                    ky = ky + st.centre_m[w, k] * wp.sin(yaw)
                at = along_way(lanes, path, kx, ky, (kx - x) * c + (ky - y) * s)
                turn = wp.cos(yaw - at[2])
                slant = wp.abs(wp.sin(yaw - at[2]))
                beside = half + 0.5 * (slant * st.length_m[w, k] + wp.abs(turn) * st.width_m[w, k])
                deep = 0.5 * (wp.abs(turn) * st.length_m[w, k] + slant * st.width_m[w, k])
                gap = at[0] - deep - front
                if at[0] < path.end2_m and at[0] + deep > -rear(st, w, i):
                    along = st.vx_mps[w, k] * turn
                    for n in range(COUNT):
                        off = FIRST_M + STEP_M * float(n)
                        apart = wp.abs(off - at[1]) - beside
                        if gap <= 0.0:  # beside it: no way through
                            if apart < FREE_M or (off - at[1]) * (d - at[1]) < 0.0:
                                free[n] = -LOOK_MOST_M
                        else:
                            if apart < wp.where(along < -MEET_MPS, MEET_FREE_M, FREE_M):
                                free[n] = wp.min(free[n], gap + LOOK_S * along)
                            if apart < NARROW_M:
                                near = SQUEEZE_MPS + wp.max(along, 0.0)
                                fast[n] = wp.min(fast[n], wp.sqrt(near * near + 2.0 * EASE_MPS2 * gap))
    best = int(-1)
    best_worth = float(-1.0e6)
    for n in range(COUNT):
        off = FIRST_M + STEP_M * float(n)
        if off > low - 0.01 and off < high + 0.01:
            worth = free[n] - OFF_COST * wp.abs(off) - CHANGE_COST * wp.abs(off - st.aside_m[w, i])
            if worth > best_worth:
                best = n
                best_worth = worth
    off = FIRST_M + STEP_M * float(best)
    keep = wp.min(fast[best], line_mps(st, lanes, w, i))
    if across >= 0 and off > edge + 2.0 * STEP_M:
        keep = wp.min(keep, wp.max(OTHER_SIDE_MPS, v - EASE_MPS2 * TICK))
    st.aside_m[w, i] = off
    st.calm_mps[w, i] = keep


@wp.func
def listen(st: StateArrays, lanes: LaneArrays, w: int, actors: int) -> None:
    """What everybody in a world with sirens does about them: `hears`, `aside_m` and `calm_mps` of its traffic."""
    for i in range(actors):
        st.hears[w, i] = -1
    for k in range(actors):
        if st.siren[w, k] != 0 and st.lane[w, k] >= 0 and st.kind[w, k] != 0:
            alert(st, lanes, w, actors, k)
            if st.driver[w, k] == IDM:
                find_gap(st, lanes, w, actors, k)
    for i in range(actors):
        if st.hears[w, i] < 0 and st.siren[w, i] == 0:
            st.calm_mps[w, i] = ANY_MPS
            st.aside_m[w, i] = 0.0


@wp.func
def in_the_way(
    st: StateArrays, lanes: LaneArrays, w: int, i: int, actors: int, path: Path, v: float, d_m: float
) -> float:  # fmt: skip
    """What those ahead of the siren i take off its free acceleration: only who stands or drives where it means to go,
    from `d_m` beside the middle of its lane, or where its nose points, to `aside_m` in a length that grows with the speed."""
    front = nose(st, w, i)
    aside = st.aside_m[w, i]
    x = st.x_m[w, i]
    y = st.y_m[w, i]
    c = wp.cos(st.yaw_rad[w, i])
    n = wp.sin(st.yaw_rad[w, i])
    tip = path_project(lanes, path, x + front * c, y + front * n, front)
    swerve = wp.max(SWERVE_M, v * wp.abs(aside - tip[1]) / SWERVE_MPS)
    reach = 18.0 + 3.5 * v
    worst = float(0.0)
    for first in range(0, actors, 32):
        bits = near_bits(st.x_m, st.y_m, w, first, actors, x, y, reach * reach)
        while bits != wp.uint32(0):
            k = first + lowest(bits)
            bits = bits & (bits - wp.uint32(1))
            kind = st.kind[w, k]
            dx = st.x_m[w, k] - x
            dy = st.y_m[w, k] - y
            ahead = dx * c + dy * n
            if k != i and kind != 0 and ahead > -3.0 and wp.abs(st.z_m[w, k] - st.z_m[w, i]) < LEVEL_M:
                at = path_project(lanes, path, st.x_m[w, k], st.y_m[w, k], ahead)
                there = tip[1] + (aside - tip[1]) * wp.clamp((at[0] - front - SWERVE_AFTER_M) / swerve, 0.0, 1.0)
                if at[0] < front:
                    there = d_m
                low = wp.min(there, aside)
                high = wp.max(there, aside)
                if lanes.lane_junction[path.lane0] >= 0:  # in bends so tight nobody is passed
                    low = wp.min(low, 0.0)
                    high = wp.max(high, 0.0)
                if wp.cos(st.yaw_rad[w, k] - at[2]) * st.vx_mps[w, k] < -0.5:
                    high = high + MEET_FREE_M
                goal = wp.clamp(at[1], low, high)
                if kind == PEDESTRIAN:
                    if ahead > front - 0.5 and at[0] < path.end2_m:
                        gap = walker_gap(st, w, i, k, wp.vec3(at[0], at[1] - goal, at[2]), v, front)
                        worst = wp.max(worst, interaction(st, w, i, v, gap, 0.0, st.gap_min_m[w, i]))
                else:
                    half = 0.5 * st.length_m[w, k]
                    seen = seen_by_geometry(st, lanes, w, i, k, path, v, front, goal, 0.5 * half, half)
                    tail = seen_by_geometry(st, lanes, w, i, k, path, v, front, goal, -0.5 * half, half)
                    if tail[0] < seen[0]:
                        seen = tail
                    if seen[0] < 1.0e5:
                        room = wp.where(kind <= CYCLIST, QUEUE_GAP_M, st.gap_min_m[w, i])
                        worst = wp.max(worst, interaction(st, w, i, v, seen[0], seen[1], room))
    return worst
