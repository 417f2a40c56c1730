"""Pedestrians: they walk along sidewalks, stop, turn round, and cross, at crosswalks and now and then elsewhere.

A walker chases a point that moves along its path, so that going over from one path to another needs no special case.
It waits at a crosswalk for the lights of the cars (red for long enough to get over), or for a gap: until every car that
comes is far away or has slowed down for it. Cars read `walk_mode` (sim/kernels/traffic.py).
"""

from __future__ import annotations

from typing import Any

import warp as wp

from sim.kernels.near import lowest, near_bits
from sim.kernels.roadusers import LEVEL_M, LONG_M
from sim.kernels.rows import INLINE, threads
from sim.kernels.signals import RED
from sim.state import Driver, StateArrays
from sim.walkways import WalkArrays
from stack.labels import Kind
from stack.lanegraph import STOREY_M
from stack.loop import TICK_S
from stack.seeds import Stream, uniform

wp.set_module_options({"enable_backward": False, "cpu_compiler_flags": INLINE})

WALK = wp.constant(0)
WAIT_GAP = wp.constant(1)  # at the kerb, for a gap
WAIT_LIGHT = wp.constant(2)  # at the kerb, for the cars' red
CROSS = wp.constant(3)
STAND = wp.constant(4)

TICK = wp.constant(TICK_S)
STREAM = wp.constant(int(Stream.WALKERS))
PEDESTRIAN = wp.constant(int(Kind.PEDESTRIAN))
IDM = wp.constant(int(Driver.IDM))
CYCLIST = wp.constant(int(Kind.CYCLIST))

DOOR_SHARE = wp.constant(0.4)  # of walkers that pass a crosswalk take it
STAND_PER_S = wp.constant(0.01)
TURN_PER_S = wp.constant(0.004)
OVER_PER_S = wp.constant(0.004)  # where the road can be crossed, away from crosswalks
KEEP_RIGHT_M = wp.constant(0.35)
GIVE_UP_S = wp.constant(40.0)
ROUND_S = wp.constant(3.0)  # before a car that stands in its way, after which a walker goes round it
SIREN_M = wp.constant(60.0)  # nobody sets out before an emergency vehicle so near,
SIREN_STANDS_S = wp.constant(5.0)  # unless it has stood for so long
NEAR_M = wp.constant(0.35)
NEAR_TURNING_M = wp.constant(1.4)
TURN_BACK_S = wp.constant(8.0)  # and after this one on a sidewalk turns back
ROUND_M = wp.constant(5.0)  # how far ahead its point then runs
TURN_RADPS = wp.constant(4.0)


@wp.func
def place(walks: WalkArrays, path: int, s_m: float) -> wp.vec3:
    """Point of a path; straight on past its ends."""
    last = walks.path_count[path] - 2
    u = s_m / walks.path_step_m[path]
    k = wp.clamp(int(wp.floor(u)), 0, last)
    f = u - float(k)
    a = walks.path_start[path] + k
    g = wp.clamp(f, 0.0, 1.0)
    return wp.vec3(
        walks.x_m[a] + f * (walks.x_m[a + 1] - walks.x_m[a]),
        walks.y_m[a] + f * (walks.y_m[a + 1] - walks.y_m[a]),
        walks.z_m[a] + g * (walks.z_m[a + 1] - walks.z_m[a]),
    )


@wp.func
def red_left(st: StateArrays, walks: WalkArrays, w: int, signal: int) -> float:
    """Seconds until the signal turns green."""
    cycle = walks.signal_cycle_s[signal]
    if st.signal_state[w, signal] != RED or cycle <= 0.0:
        return 0.0
    offset = st.signal_offset_s[w, wp.max(walks.signal_junction[signal], 0)]
    wait = walks.signal_green_from_s[signal] - float(st.tick[w]) * TICK - offset
    return wait - cycle * wp.floor(wait / cycle)


@wp.func
def clear_of_cars(st: StateArrays, w: int, actors: int, a: wp.vec3, b: wp.vec3, over_s: float, lit: bool) -> bool:
    """Is no vehicle on the way from a to b, or about to be within `over_s`? With the light, only fast ones count."""
    abx = b[0] - a[0]
    aby = b[1] - a[1]
    square = wp.max(abx * abx + aby * aby, 0.01)
    for k in range(actors):
        kind = st.kind[w, k]
        if kind >= 1 and kind <= CYCLIST and wp.abs(st.z_m[w, k] - a[2]) < STOREY_M:
            yaw = st.yaw_rad[w, k]
            x = st.x_m[w, k] + st.centre_m[w, k] * wp.cos(yaw)
            y = st.y_m[w, k] + st.centre_m[w, k] * wp.sin(yaw)
            u = wp.clamp(((x - a[0]) * abx + (y - a[1]) * aby) / square, 0.0, 1.0)
            dx = a[0] + u * abx - x
            dy = a[1] + u * aby - y
            apart = wp.sqrt(dx * dx + dy * dy) - 0.5 * st.length_m[w, k]
            v = wp.max(st.vx_mps[w, k], 0.0)
            if apart < 1.0 and v > 0.1:
                return False
            coming = dx * wp.cos(yaw) + dy * wp.sin(yaw) > 0.0
            slow = v < 2.5 and v * v < 2.0 * (apart - 2.0)
            can_stop = v * v < 5.0 * (apart - 3.0)
            if coming and not slow and not (lit and can_stop) and apart < v * (over_s + 1.0):
                return False
    return True


@wp.func
def siren_near(st: StateArrays, w: int, actors: int, at: wp.vec3) -> bool:
    """Does an emergency vehicle come, or drive away, near a point of the road?"""
    for k in range(actors):
        if st.siren[w, k] != 0 and st.stuck_s[w, k] < SIREN_STANDS_S:
            dx = at[0] - st.x_m[w, k]
            dy = at[1] - st.y_m[w, k]
            near = dx * dx + dy * dy < SIREN_M * SIREN_M
            if near and wp.abs(at[2] - st.z_m[w, k]) < LEVEL_M:
                return True
    return False


@wp.func
def blocked_by(st: StateArrays, w: int, actors: int, i: int, dx: float, dy: float) -> int:
    """The vehicle in which a step of 0.7 m in direction (dx, dy) would end, -1 for none. Of long ones that turn one keeps
    away farther: their sides sweep over corners; once they stand and wait one goes on."""
    x = st.x_m[w, i] + 0.7 * dx
    y = st.y_m[w, i] + 0.7 * dy
    for first in range(0, actors, 32):
        bits = near_bits(st.x_m, st.y_m, w, first, actors, x, y, 150.0)
        while bits != wp.uint32(0):
            k = first + lowest(bits)
            bits = bits & (bits - wp.uint32(1))
            kind = st.kind[w, k]
            if kind >= 1 and kind <= CYCLIST and wp.abs(st.z_m[w, k] - st.z_m[w, i]) < STOREY_M:
                rx = x - st.x_m[w, k]
                ry = y - st.y_m[w, k]
                c = wp.cos(st.yaw_rad[w, k])
                n = wp.sin(st.yaw_rad[w, k])
                along = rx * c + ry * n - st.centre_m[w, k]
                side = ry * c - rx * n
                apart = NEAR_M
                turns = st.length_m[w, k] > LONG_M and wp.abs(st.yaw_rate_radps[w, k]) > 0.05
                if turns and st.vx_mps[w, k] > 0.5:
                    apart = NEAR_TURNING_M
                if wp.abs(along) < 0.5 * st.length_m[w, k] + apart and wp.abs(side) < 0.5 * st.width_m[w, k] + apart:
                    return k
    return -1


@wp.func
def land(st: StateArrays, walks: WalkArrays, w: int, i: int, end: int) -> None:
    """Go on from an end (2 path, or 2 path + 1) to the sidewalk there; turn round where there is none."""
    path = walks.end_path[end]
    st.walk_mode[w, i] = WALK
    if path < 0:
        st.walk_direction[w, i] = 1 - 2 * (end % 2)
        return
    s = walks.end_s_m[end]
    direction = int(1)
    if s > walks.path_length_m[path] - 1.0:
        direction = -1
    elif s > 1.0 and uniform(st.seed[w], STREAM, st.tick[w], i, 3) < 0.5:
        direction = -1
    st.walk[w, i] = path
    st.walk_s_m[w, i] = s
    st.walk_direction[w, i] = direction


@wp.func
def decide_on_sidewalk(st: StateArrays, walks: WalkArrays, w: int, i: int, before_s: float) -> None:
    """After a step on a sidewalk: go on at its end, take a crosswalk, stop, turn, or cross the road."""
    path = st.walk[w, i]
    s = st.walk_s_m[w, i]
    direction = st.walk_direction[w, i]
    if s < 0.0 or s > walks.path_length_m[path]:
        st.walk_s_m[w, i] = wp.clamp(s, 0.0, walks.path_length_m[path])
        land(st, walks, w, i, 2 * path + wp.where(s < 0.0, 0, 1))
        return
    seed = st.seed[w]
    tick = st.tick[w]
    for n in range(walks.door_count[path]):
        door = walks.door_start[path] + n
        at = walks.door_s_m[door]
        if (at - before_s) * float(direction) > 0.0 and (at - s) * float(direction) <= 0.0:
            if uniform(seed, STREAM, tick, i, 8 + n) < DOOR_SHARE:
                crosswalk = walks.door_path[door]
                end = walks.door_end[door]
                st.walk[w, i] = crosswalk
                st.walk_s_m[w, i] = wp.where(end == 0, -0.5, walks.path_length_m[crosswalk] + 0.5)
                st.walk_direction[w, i] = 1 - 2 * end
                st.walk_mode[w, i] = wp.where(walks.light_count[crosswalk] > 0, WAIT_LIGHT, WAIT_GAP)
                st.walk_timer_s[w, i] = 0.0
                return
    u = uniform(seed, STREAM, tick, i, 0)
    if u < STAND_PER_S * TICK:
        st.walk_mode[w, i] = STAND
        st.walk_timer_s[w, i] = -(2.0 + 6.0 * uniform(seed, STREAM, tick, i, 1))
    elif u < (STAND_PER_S + TURN_PER_S) * TICK:
        st.walk_direction[w, i] = -direction
    point = walks.path_start[path] + int(s / walks.path_step_m[path])
    if int(s) != int(before_s) and walks.over_path[point] >= 0:
        if uniform(seed, STREAM, tick, i, 2) < OVER_PER_S * 5.0 / wp.max(st.walk_speed_mps[w, i], 0.5):
            st.walk_mode[w, i] = WAIT_GAP
            st.walk_timer_s[w, i] = 0.0


@wp.func
def wait_at_kerb(st: StateArrays, walks: WalkArrays, w: int, i: int, actors: int) -> None:
    """Start to cross when the lights and the cars allow it; give up after a while."""
    path = st.walk[w, i]
    here = wp.vec3(st.x_m[w, i], st.y_m[w, i], 0.0)
    speed = wp.max(st.walk_speed_mps[w, i], 0.5)
    over = int(-1)
    goal = here
    lit = st.walk_mode[w, i] == WAIT_LIGHT
    if walks.path_is_crosswalk[path] != 0:
        goal = place(walks, path, wp.where(st.walk_direction[w, i] > 0, walks.path_length_m[path], 0.0))
    else:
        point = walks.path_start[path] + int(st.walk_s_m[w, i] / walks.path_step_m[path])
        over = walks.over_path[point]
        if over < 0:
            st.walk_mode[w, i] = WALK
            return
        goal = place(walks, over, walks.over_s_m[point])
    over_s = wp.length(goal - wp.vec3(here[0], here[1], goal[2])) / speed
    ready = st.walk_timer_s[w, i] > 1.0
    if lit:
        for n in range(walks.light_count[path]):
            ready = ready and red_left(st, walks, w, walks.light[walks.light_start[path] + n]) > over_s + 0.5
    if ready and st.sirens[w] != 0:
        ready = not siren_near(st, w, actors, goal)
    if ready and clear_of_cars(st, w, actors, here, goal, over_s, lit):
        st.walk_mode[w, i] = CROSS
        if over >= 0:
            point = walks.path_start[path] + int(st.walk_s_m[w, i] / walks.path_step_m[path])
            st.walk[w, i] = over
            st.walk_s_m[w, i] = walks.over_s_m[point]
    elif st.walk_timer_s[w, i] > GIVE_UP_S and not lit:
        if over >= 0:
            st.walk_mode[w, i] = WALK
        else:
            land(st, walks, w, i, 2 * path + wp.where(st.walk_direction[w, i] > 0, 0, 1))


@wp.func
def step_towards(st: StateArrays, w: int, i: int, actors: int, goal: wp.vec3) -> float:
    """Turn to a point and walk; returns the distance still to go, m."""
    dx = goal[0] - st.x_m[w, i]
    dy = goal[1] - st.y_m[w, i]
    apart = wp.sqrt(dx * dx + dy * dy)
    st.z_m[w, i] = goal[2]
    if apart < 0.05:
        st.vx_mps[w, i] = 0.0
        st.yaw_rate_radps[w, i] = 0.0
        return apart
    turn = wp.atan2(dy, dx) - st.yaw_rad[w, i]
    turn = turn - 6.283185307 * wp.round(turn / 6.283185307)
    rate = wp.clamp(turn / TICK, -TURN_RADPS, TURN_RADPS)
    st.yaw_rad[w, i] = wp.atan2(wp.sin(st.yaw_rad[w, i] + rate * TICK), wp.cos(st.yaw_rad[w, i] + rate * TICK))
    speed = wp.min(st.walk_speed_mps[w, i], apart / TICK)
    ux = dx / apart
    uy = dy / apart
    car = blocked_by(st, w, actors, i, ux, uy)
    blocked = car >= 0
    st.stuck_s[w, i] = wp.max(st.stuck_s[w, i] + wp.where(blocked, TICK, -0.25 * TICK), 0.0)
    if blocked and st.stuck_s[w, i] > ROUND_S:  # the car waits too: somebody has to go round, by the nearer end
        ux = wp.cos(st.yaw_rad[w, car])
        uy = wp.sin(st.yaw_rad[w, car])
        along = (st.x_m[w, i] - st.x_m[w, car]) * ux + (st.y_m[w, i] - st.y_m[w, car]) * uy - st.centre_m[w, car]
        if along < 0.0:
            ux = -ux
            uy = -uy
        blocked = blocked_by(st, w, actors, i, ux, uy) >= 0
    if wp.abs(turn) > 1.0 or blocked:
        speed = 0.0
    st.vx_mps[w, i] = speed
    st.yaw_rate_radps[w, i] = rate
    st.x_m[w, i] = st.x_m[w, i] + speed * TICK * ux
    st.y_m[w, i] = st.y_m[w, i] + speed * TICK * uy
    return apart - speed * TICK * (ux * dx + uy * dy) / apart


@wp.func
def go(st: StateArrays, walks: WalkArrays, w: int, i: int, actors: int) -> None:
    """Move a pedestrian by one tick."""
    if st.kind[w, i] != PEDESTRIAN or st.driver[w, i] != IDM or st.walk[w, i] < 0:
        return
    mode = st.walk_mode[w, i]
    path = st.walk[w, i]
    s = st.walk_s_m[w, i]
    sign = float(st.walk_direction[w, i])
    st.walk_timer_s[w, i] = st.walk_timer_s[w, i] + TICK
    if mode == STAND:
        st.vx_mps[w, i] = 0.0
        st.yaw_rate_radps[w, i] = 0.0
        if st.walk_timer_s[w, i] > 0.0:
            st.walk_mode[w, i] = WALK
        return
    goal = place(walks, path, s)
    if mode == WALK:
        back = place(walks, path, s - sign)
        gx = goal[0] - back[0]
        gy = goal[1] - back[1]
        size = wp.max(wp.sqrt(gx * gx + gy * gy), 0.01)
        goal = wp.vec3(goal[0] + KEEP_RIGHT_M * gy / size, goal[1] - KEEP_RIGHT_M * gx / size, goal[2])
    if mode == WAIT_GAP or mode == WAIT_LIGHT:
        if walks.path_is_crosswalk[path] != 0:
            if step_towards(st, w, i, actors, goal) < 0.3:
                far = place(walks, path, wp.where(sign > 0.0, walks.path_length_m[path], 0.0))
                st.yaw_rad[w, i] = wp.atan2(far[1] - st.y_m[w, i], far[0] - st.x_m[w, i])
                wait_at_kerb(st, walks, w, i, actors)
            elif mode == WAIT_GAP:
                st.walk_timer_s[w, i] = 0.0
        else:
            st.vx_mps[w, i] = 0.0
            wait_at_kerb(st, walks, w, i, actors)
        return
    left = step_towards(st, w, i, actors, goal)
    if mode == WALK and st.stuck_s[w, i] > TURN_BACK_S:  # the car stands on the sidewalk, and waits too
        st.stuck_s[w, i] = 0.0
        st.walk_direction[w, i] = -st.walk_direction[w, i]
        st.walk_s_m[w, i] = s - sign * left
        return
    if mode == CROSS and walks.path_is_crosswalk[path] == 0:
        if left < 0.5:
            st.walk_mode[w, i] = WALK
        return
    if left < 0.7 or (st.stuck_s[w, i] > ROUND_S and left < ROUND_M):  # the point may lie in the car that it goes round
        s_new = s + sign * st.walk_speed_mps[w, i] * TICK
        st.walk_s_m[w, i] = s_new
        if mode == WALK:
            decide_on_sidewalk(st, walks, w, i, s)
        elif s_new < 0.0 and sign < 0.0:
            land(st, walks, w, i, 2 * path)
        elif s_new > walks.path_length_m[path] and sign > 0.0:
            land(st, walks, w, i, 2 * path + 1)


@wp.kernel(enable_backward=False)
def walk(st: StateArrays, walks: WalkArrays, actors: int, stride: int):
    w, first = wp.tid()
    for i in range(first, actors, stride):
        go(st, walks, w, i, actors)


def launch(state: Any, walks: Any, worlds: int, actors: int, device: str, record_cmd: bool = False) -> list[Any]:
    """Move every pedestrian of every world by one tick; or record the launches and return them."""
    if not walks.path_start.shape[0]:
        return []
    n = threads(actors, device)
    inputs = [state, walks, actors, n]
    return [wp.launch(walk, dim=(worlds, n), inputs=inputs, device=device, record_cmd=record_cmd)]
