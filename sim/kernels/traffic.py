"""Traffic: drivers that follow lanes and leaders, keep to limits, lights, signs and right of way, and change lanes.

Four kernels a tick, each of which reads what the one before has left and writes nothing that its own threads read of
one another, so that results never depend on their order: `follow_lanes` (own row: where am I, where do I go next),
`make_room` (one thread for each world: what everybody does about sirens, where there are any), `arrange` (one thread for
each world: rights of way, one lane change), `steer_and_pedal` (own row: pedals). Following is the intelligent driver model
(sim/kernels/idm.py), steering pure pursuit (Coulter 1992, CMU-RI-TR-92-01).
"""

from __future__ import annotations

from typing import Any

import warp as wp

from sim.kernels.following import STAND_BEFORE_END_M, cut_in, interaction, look_ahead
from sim.kernels.idm import BRAKE_LIMIT_MPS2, free_accel
from sim.kernels.lanechange import SLOW_USER_MPS, consider_change, wish_on
from sim.kernels.overtake import consider_overtaking, pulled_out
from sim.kernels.paths import Path, make_path, on_target, path_point, point_index, project
from sim.kernels.rightofway import grant_all, is_gore, line_gap
from sim.kernels.roadusers import CAR, CYCLIST, IDM, NONE, nose, rear
from sim.kernels.rows import INLINE, threads
from sim.kernels.siren import in_the_way, listen
from sim.kernels.wayfinding import choose
from sim.state import Driver, StateArrays
from stack.lanegraph import LaneArrays
from stack.loop import TICK_S
from stack.vehicle import GRAVITY_MPS2, Column, pedals_of

wp.set_module_options({"enable_backward": False, "cpu_compiler_flags": INLINE})

TICK = wp.constant(TICK_S)
POLICY = wp.constant(int(Driver.POLICY))
WHEEL_MAX = wp.constant(int(Column.WHEEL_ANGLE_MAX))
FRONT_AXLE = wp.constant(int(Column.FRONT_AXLE))
REAR_AXLE = wp.constant(int(Column.REAR_AXLE))
FRICTION = wp.constant(int(Column.TYRE_FRICTION))
CORNERING_F = wp.constant(int(Column.CORNERING_FRONT))
CORNERING_R = wp.constant(int(Column.CORNERING_REAR))

ASK_EVERY = wp.constant(24)  # ticks after which everybody has been asked about changing lanes
LATERAL_MPS2 = wp.constant(2.0)  # comfortable in bends, for vehicles
CAR_M = wp.constant(4.8)  # no longer than this; others take them slower
SLOW_DOWN_MPS2 = 1.5  # for bends and limits ahead
BEND_1PM = 0.001  # a straight road, at any speed
BEND_REACH_M = wp.constant(150.0)
BEND_STEP_M = 4.0
EDGE_D_M = wp.constant(1.0)  # bicycles keep so far to the right
GRIP_USED = wp.constant(0.85)  # of the tyres' grip, by the hardest braking
AHEAD_MOST_M = wp.constant(35.0)  # of the point that drivers steer for
SIDEWAYS_MPS = wp.constant(1.1)  # in a lane change: 3.5 m in a little over 3 s


@wp.func
def move_along(st: StateArrays, lanes: LaneArrays, w: int, i: int) -> None:
    """Bring a traffic car's lane, place and coming lanes up to date with where physics has moved it."""
    lane = st.lane[w, i]
    at = project(lanes, lane, st.x_m[w, i], st.y_m[w, i], st.lane_s_m[w, i])
    target = st.target_lane[w, i]
    if target != lane:
        guess = at[0] * lanes.lane_length_m[target] / lanes.lane_length_m[lane]
        there = project(lanes, target, st.x_m[w, i], st.y_m[w, i], guess)
        if wp.abs(there[1]) < wp.abs(at[1]):
            lane = target
            at = there
    if st.next_lane[w, i] < 0:
        st.next_lane[w, i] = choose(st, lanes, w, i, target)
        st.after_lane[w, i] = NONE
    if at[0] > lanes.lane_length_m[lane] and st.next_lane[w, i] >= 0:
        over = at[0] - lanes.lane_length_m[lane]
        lane = st.next_lane[w, i]
        target = lane
        st.way[w, i] = NONE
        at = project(lanes, lane, st.x_m[w, i], st.y_m[w, i], over)
        st.next_lane[w, i] = st.after_lane[w, i]
        if st.next_lane[w, i] < 0:
            st.next_lane[w, i] = choose(st, lanes, w, i, lane)
        st.after_lane[w, i] = NONE
    if st.after_lane[w, i] < 0:
        st.after_lane[w, i] = choose(st, lanes, w, i, st.next_lane[w, i])
    st.lane[w, i] = lane
    st.target_lane[w, i] = target
    st.lane_s_m[w, i] = wp.clamp(at[0], 0.0, lanes.lane_length_m[lane])
    st.lane_d_m[w, i] = at[1]


@wp.func
def follows(lanes: LaneArrays, lane: int, after: int) -> bool:
    """Is `after` a successor of `lane`? Also where both are none."""
    if lane < 0 or after < 0:
        return lane < 0 and after < 0
    for m in range(lanes.succ_count[lane]):
        if lanes.succ[lanes.succ_start[lane] + m] == after:
            return True
    return False


@wp.func
def keep_way(st: StateArrays, lanes: LaneArrays, w: int, i: int) -> None:
    """Give a learner whom nobody tells its way the next two lanes, as a traffic car draws them."""
    lane = st.lane[w, i]
    if not follows(lanes, lane, st.next_lane[w, i]):
        st.next_lane[w, i] = choose(st, lanes, w, i, lane)
        st.after_lane[w, i] = NONE
    if not follows(lanes, st.next_lane[w, i], st.after_lane[w, i]):
        st.after_lane[w, i] = choose(st, lanes, w, i, st.next_lane[w, i])


@wp.func
def look_for_junction(st: StateArrays, lanes: LaneArrays, w: int, i: int) -> None:
    """Write `entry_lane` and `entry_in_m`; hold the junction lane under the wheels; give back one that lies behind."""
    lane = st.lane[w, i]
    entry = int(NONE)
    entry_in = float(0.0)
    after = st.next_lane[w, i]
    if after < 0 and lanes.succ_count[lane] > 0:
        after = lanes.succ[lanes.succ_start[lane]]  # a learner whose way is not known: any
    left = lanes.lane_length_m[lane] - st.lane_s_m[w, i]
    if lanes.lane_junction[lane] >= 0:
        entry = lane
        entry_in = -st.lane_s_m[w, i]
    elif after >= 0:
        if lanes.lane_junction[after] >= 0:
            entry = after
            entry_in = left
        elif st.after_lane[w, i] >= 0 and lanes.lane_junction[st.after_lane[w, i]] >= 0:
            entry = st.after_lane[w, i]
            entry_in = left + lanes.lane_length_m[after]
    st.entry_lane[w, i] = entry
    st.entry_in_m[w, i] = entry_in
    g = st.granted[w, i]
    if lanes.lane_junction[lane] >= 0:
        st.granted[w, i] = lane
    elif g >= 0 and g != entry and st.lane_s_m[w, i] > rear(st, w, i):
        st.granted[w, i] = NONE


@wp.func
def keep_place(st: StateArrays, lanes: LaneArrays, w: int, i: int) -> None:
    """Bring a vehicle's place on the map, its way and the junction ahead up to date."""
    kind = st.kind[w, i]
    if kind < CAR or kind > CYCLIST:
        return
    if st.lane[w, i] < 0:  # lost: a learner beside the road
        st.entry_lane[w, i] = NONE
        st.granted[w, i] = NONE
        return
    if st.driver[w, i] == IDM:
        move_along(st, lanes, w, i)
    elif st.driver[w, i] == POLICY:
        keep_way(st, lanes, w, i)
    look_for_junction(st, lanes, w, i)


@wp.kernel(enable_backward=False)
def follow_lanes(st: StateArrays, lanes: LaneArrays, actors: int, stride: int):
    w, first = wp.tid()
    for i in range(first, actors, stride):
        keep_place(st, lanes, w, i)


@wp.kernel(enable_backward=False)
def make_room(st: StateArrays, lanes: LaneArrays, actors: int):
    w = wp.tid()
    if st.sirens[w] != 0:
        listen(st, lanes, w, actors)


@wp.kernel(enable_backward=False)
def arrange(st: StateArrays, lanes: LaneArrays, actors: int):
    w = wp.tid()
    grant_all(st, lanes, w, actors)
    asked = 1 + actors / ASK_EVERY
    for n in range(asked):
        consider_change(st, lanes, w, actors, (st.tick[w] * asked + n) % actors)


@wp.func_native(
    f"""
#if defined(__clang__)
#pragma clang fp contract(off)
#endif
    constexpr int LANES = 16;
    const bool has1 = path.lane1 >= 0, has2 = path.lane2 >= 0;
    const int lane0 = path.lane0, lane1 = has1 ? path.lane1 : lane0, lane2 = has2 ? path.lane2 : lane0;
    const int start0 = lanes.lane_start.data[lane0], last0 = lanes.lane_count.data[lane0] - 1;
    const int start1 = lanes.lane_start.data[lane1], last1 = lanes.lane_count.data[lane1] - 1;
    const int start2 = lanes.lane_start.data[lane2], last2 = lanes.lane_count.data[lane2] - 1;
    const float step0 = lanes.lane_step_m.data[lane0], step1 = lanes.lane_step_m.data[lane1];
    const float step2 = lanes.lane_step_m.data[lane2];
    const float* curvature = lanes.curvature_1pm.data;
    float slowest = 1.0e6f;
    for (int first = 0; first < steps; first += LANES) {{
        float speed[LANES];
#pragma clang loop vectorize(assume_safety) vectorize_width(LANES)
        for (int k = 0; k < LANES; ++k) {{
            const float ahead = (float) (first + k) * {BEND_STEP_M}f;
            const bool on1 = has1 && ahead > path.end0_m, on2 = on1 && has2 && ahead > path.end1_m;
            const float s = on2 ? ahead - path.end1_m : on1 ? ahead - path.end0_m : path.from_s_m + ahead;
            const int n = (int) (s / (on2 ? step2 : on1 ? step1 : step0) + 0.5f);
            const int at = (on2 ? start2 : on1 ? start1 : start0)
                + wp::clamp(n, 0, on2 ? last2 : on1 ? last1 : last0);
            const float bend = wp::abs(curvature[at]);
            const float v = wp::sqrt(lateral / bend + {2.0 * SLOW_DOWN_MPS2}f * wp::max(ahead - 4.0f, 0.0f));
            speed[k] = first + k < steps && ahead < path.end2_m && bend > {BEND_1PM}f ? v : 1.0e6f;
        }}
        for (int k = 0; k < LANES; ++k)
            slowest = speed[k] < slowest ? speed[k] : slowest;
    }}
    return slowest;
    """
)
def speed_for_bends(lanes: LaneArrays, path: Path, lateral: float, steps: int) -> float:
    """Speed now for the bends within so many steps of BEND_STEP along the path (path_point). A loop of plain C++, which
    becomes vector code."""
    ...


@wp.func
def wish_speed(st: StateArrays, lanes: LaneArrays, w: int, i: int, path: Path, v: float) -> float:
    """Speed for limits, bends and the end of the known path."""
    wish = wish_on(st, lanes, w, i, path.lane0)
    if path.lane1 >= 0:
        limit = wish_on(st, lanes, w, i, path.lane1)
        wish = wp.min(wish, wp.sqrt(limit * limit + 2.0 * SLOW_DOWN_MPS2 * path.end0_m))
    reach = wp.min(v * v / (2.0 * SLOW_DOWN_MPS2) + 6.0, BEND_REACH_M)
    lateral = LATERAL_MPS2 * wp.min(CAR_M / st.length_m[w, i], 1.0)
    wish = wp.min(wish, speed_for_bends(lanes, path, lateral, int(reach / BEND_STEP_M)))
    left = path.end2_m
    if lanes.succ_count[path.lane0] == 0:  # a lane that ends: room to change from a stand
        left = lanes.lane_stop_s_m[path.lane0] - path.from_s_m - nose(st, w, i) - STAND_BEFORE_END_M
    return wp.min(wish, wp.sqrt(5.0 * wp.max(left, 0.0)))


@wp.func
def wheel_angle(
    st: StateArrays, lanes: LaneArrays, table: wp.array2d(dtype=wp.float32), w: int, i: int, path: Path, d: float, v: float
) -> float:  # fmt: skip
    """Pure pursuit of a point on the path, moved sideways no faster than SIDEWAYS from where the car is now.

    With the slip angles of a steady turn on top, of both axles (Rajamani, Vehicle Dynamics and Control, section 3.3), so
    that fast cars do not drift out of bends.
    """
    model = st.model[w, i]
    wheelbase = table[model, FRONT_AXLE] + table[model, REAR_AXLE]
    ahead = wp.clamp(0.9 * v, wp.max(3.5, 1.3 * wheelbase), AHEAD_MOST_M)
    p = path_point(lanes, path, ahead)
    bend = path_point(lanes, path, 0.5 * ahead)[3]
    goal = cut_in(nose(st, w, i), bend)
    if st.wish_max_mps[w, i] < SLOW_USER_MPS:
        room = 0.5 * lanes.width_m[point_index(lanes, path.lane0, path.from_s_m)] - 0.6
        goal = -wp.clamp(room, 0.0, EDGE_D_M)
    elif st.passing[w, i] >= 0:
        goal = pulled_out(st, w, i, st.passing[w, i])
    if st.sirens[w] != 0:
        goal = goal + st.aside_m[w, i]
    most = SIDEWAYS_MPS * ahead / wp.max(v, 0.5)
    aim = d + wp.clamp(goal - d, -most, most)
    tx = p[0] - aim * wp.sin(p[2]) - st.x_m[w, i]
    ty = p[1] + aim * wp.cos(p[2]) - st.y_m[w, i]
    side_g = v * v * bend / GRAVITY_MPS2
    course = st.yaw_rad[w, i] - side_g / table[model, CORNERING_R]
    curve = 2.0 * (ty * wp.cos(course) - tx * wp.sin(course)) / wp.max(tx * tx + ty * ty, 1.0)
    return wp.atan(wheelbase * curve) + side_g * (1.0 / table[model, CORNERING_F] - 1.0 / table[model, CORNERING_R])


@wp.func
def drive(
    st: StateArrays, lanes: LaneArrays, table: wp.array2d(dtype=wp.float32), w: int, i: int, actors: int
) -> None:  # fmt: skip
    """Write the pedals of a traffic driver."""
    kind = st.kind[w, i]
    if kind < CAR or kind > CYCLIST or st.driver[w, i] != IDM or st.lane[w, i] < 0:
        return
    v = wp.max(st.vx_mps[w, i], 0.0)
    here = on_target(st, lanes, w, i)
    d = here[1]
    path = make_path(lanes, st.target_lane[w, i], st.next_lane[w, i], st.after_lane[w, i], here[0])
    a_max = wp.max(st.accel_max_mps2[w, i], 0.5)
    wish = wish_speed(st, lanes, w, i, path, v)
    aside = float(0.0)
    if st.passing[w, i] >= 0:
        aside = pulled_out(st, w, i, st.passing[w, i])
    if st.sirens[w] != 0:
        wish = wp.min(wish, st.calm_mps[w, i])
        aside = aside + st.aside_m[w, i]
    accel = free_accel(v, wish, a_max)
    worst = float(0.0)
    if st.siren[w, i] != 0:
        worst = in_the_way(st, lanes, w, i, actors, path, v, d)
    else:
        ahead = look_ahead(st, lanes, w, i, actors, path, v, SLOW_USER_MPS, aside)
        if st.hears[w, i] < 0 or st.passing[w, i] >= 0:
            consider_overtaking(st, lanes, w, actors, i, path, v, ahead)
        worst = ahead.worst_mps2
    held = st.entry_lane[w, i] >= 0 and st.entry_in_m[w, i] > 0.0 and st.granted[w, i] != st.entry_lane[w, i]
    if held:
        held = not is_gore(lanes, st.entry_lane[w, i])
    gap = float(1.0e6)
    if held:
        gap = line_gap(st, lanes, w, i)
        if gap > -2.0:
            worst = wp.max(worst, interaction(st, w, i, v, gap + 0.5, 0.0, 1.0))
    model = st.model[w, i]
    grip = GRIP_USED * table[model, FRICTION] * st.friction[w] * GRAVITY_MPS2
    side = v * st.yaw_rate_radps[w, i]
    hardest = wp.sqrt(wp.max(grip * grip - side * side, 1.0))  # what the bend leaves over for braking
    accel = wp.clamp(wp.min(accel, accel - worst), wp.max(BRAKE_LIMIT_MPS2, -hardest), a_max)
    if held and gap < 1.5 and v < 0.6:
        accel = wp.min(accel, -1.0)  # a stop, not a creep
    waits = held and gap < 4.0 and (v < 0.08 or st.waited_s[w, i] > 0.0)
    if waits:
        st.waited_s[w, i] = st.waited_s[w, i] + TICK
    elif v > 1.0 or st.entry_in_m[w, i] <= 0.0:
        st.waited_s[w, i] = 0.0  # not by a grant alone, which may be taken back
    st.stuck_s[w, i] = wp.where(v < 0.3, st.stuck_s[w, i] + TICK, 0.0)
    pedals = pedals_of(accel, v, st.pitch_rad[w, i], table, model)
    angle = wheel_angle(st, lanes, table, w, i, path, d, v)
    st.throttle[w, i] = pedals[0]
    st.brake[w, i] = pedals[1]
    st.steer[w, i] = wp.clamp(angle / table[model, WHEEL_MAX], -1.0, 1.0)


@wp.kernel(enable_backward=False)
def steer_and_pedal(st: StateArrays, lanes: LaneArrays, table: wp.array2d(dtype=wp.float32), actors: int, stride: int):
    w, first = wp.tid()
    for i in range(first, actors, stride):
        drive(st, lanes, table, w, i, actors)


def launch(
    state: Any, lanes: Any, params_table: Any, worlds: int, actors: int, device: str, record_cmd: bool = False
) -> list[Any]:
    """Pedals and place on the map of every traffic driver of every world; or record the launches and return them."""
    n = threads(actors, device)
    return [
        wp.launch(kernel, dim=dim, inputs=inputs, device=device, record_cmd=record_cmd)
        for kernel, dim, inputs in (
            (follow_lanes, (worlds, n), [state, lanes, actors, n]),
            (make_room, worlds, [state, lanes, actors]),
            (arrange, worlds, [state, lanes, actors]),
            (steer_and_pedal, (worlds, n), [state, lanes, params_table, actors, n]),
        )
    ]
