"""The embedded batch through learners' eyes: one learner (row 0) in each world, for reinforcement learning.

What a learner sees is a SceneArrays with the faults that perception has online: road users out of sight are absent, their
pose and speed are off, some drop out for half a second, the ego's own position drifts, lights flicker to UNKNOWN. The
maps are joined to one lane graph, and each world plays on one of them. Starts (route, traffic) come from a pool that is
filled as training goes; a world that starts again plays one of them with another seed of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import warp as wp
from numpy.typing import NDArray

from sim.batch import Batch
from sim.kernels.native import source
from sim.kernels.signals import RED
from sim.spawn import lanes_near, spawn
from sim.state import StateArrays
from stack.lanegraph import LaneArrays, LaneGraph, Route
from stack.loop import TICK_S
from stack.scenearrays import LEVEL_M, LEVEL_SHARE, TRACKS, RouteArrays, SceneArrays, allocate
from stack.seeds import Stream, draws, generator, key_of, normal, uniform
from stack.vehicle import VehicleParams, load_vehicle, pedals_of

wp.set_module_options({"enable_backward": False})

VEHICLES = 18  # most in a world, beside the learner
WALKERS = 4
POOL = 768  # starts kept
ROUTE_M = (150.0, 420.0)  # where the mean limit is PACE_MPS or less; longer in proportion where it is higher
PACE_MPS = 14.0
ROLLING = 0.6  # share of the learners that start in motion
ALONG_ROUTE = 0.5  # share of the vehicles that start on the learner's route; the others start on lanes
NEAR_ROUTE_M = 120.0  # this near to it, so that few are never met
TRAFFIC = ("sedan", "hatchback", "suv", "van", "truck", "bus", "motorcycle", "bicycle")
TICK = wp.constant(TICK_S)
TRACK_COUNT = wp.constant(TRACKS)
STREAM = wp.constant(int(Stream.FEATURES))
SEE_M = wp.constant(60.0)
POSITION_M = wp.constant(0.20)  # one sigma of a road user's position
SPEED_MPS = wp.constant(0.30)
YAW_RAD = wp.constant(0.05)
DROP = wp.constant(0.03)  # share of road users that are missed for DROP_TICKS
DROP_TICKS = wp.constant(10)
DRIFT_M = wp.constant(0.12)  # one sigma of the ego's own lateral position, changing over DRIFT_TICKS
DRIFT_TICKS = wp.constant(40)
HEADING_RAD = wp.constant(0.006)
UNSEEN = 0.02  # share of signals that are UNKNOWN for DROP_TICKS


@wp.func
def drift(seed: wp.uint32, tick: int, actor: int, index: int) -> float:
    """A normal number that changes slowly: linear between draws DRIFT_TICKS apart."""
    block = tick / DRIFT_TICKS
    share = float(tick - block * DRIFT_TICKS) / float(DRIFT_TICKS)
    a = normal(seed, STREAM, block, actor, index)
    b = normal(seed, STREAM, block + 1, actor, index)
    return a + share * (b - a)


@wp.func
def hidden(st: StateArrays, w: int, x: float, y: float, tx: float, ty: float, target: int, actors: int) -> bool:
    """Whether a vehicle other than the target stands in the line of sight, on the road between and not on one over or
    under it; a vehicle is a disc of its width."""
    dx = tx - x
    dy = ty - y
    length2 = wp.max(dx * dx + dy * dy, 1.0e-3)
    length = wp.sqrt(length2)
    for k in range(1, actors):
        if k != target and st.kind[w, k] != 0 and st.height_m[w, k] > 1.2 and st.width_m[w, k] > 1.0:
            ox = st.x_m[w, k] - x
            oy = st.y_m[w, k] - y
            reach = st.width_m[w, k] + wp.abs(st.centre_m[w, k])
            if wp.abs(ox * dy - oy * dx) < reach * length:  # else its middle is not near the line either
                ox = st.x_m[w, k] + st.centre_m[w, k] * wp.cos(st.yaw_rad[w, k]) - x
                oy = st.y_m[w, k] + st.centre_m[w, k] * wp.sin(st.yaw_rad[w, k]) - y
                along = (ox * dx + oy * dy) / length2
                if along > 0.05 and along < 0.9:
                    off = wp.abs(ox * dy - oy * dx) / length
                    ground = st.z_m[w, 0] + along * (st.z_m[w, target] - st.z_m[w, 0])
                    if off < 0.45 * st.width_m[w, k] and wp.abs(st.z_m[w, k] - ground) < LEVEL_M:
                        return True
    return False


@wp.kernel(enable_backward=False)
def look(st: StateArrays, actors: int, out: SceneArrays):
    """What each learner sees of the state."""
    w = wp.tid()
    seed = st.seed[w]
    tick = st.tick[w]
    yaw = st.yaw_rad[w, 0] + HEADING_RAD * drift(seed, tick, 0, 0)
    side = DRIFT_M * drift(seed, tick, 0, 1)
    ahead = 2.0 * DRIFT_M * drift(seed, tick, 0, 2)
    shift_x = ahead * wp.cos(yaw) - side * wp.sin(yaw)
    shift_y = ahead * wp.sin(yaw) + side * wp.cos(yaw)
    x = st.x_m[w, 0]
    y = st.y_m[w, 0]
    out.time_s[w] = float(tick) * TICK
    out.x_m[w] = x + shift_x
    out.y_m[w] = y + shift_y
    out.z_m[w] = st.z_m[w, 0]
    out.yaw_rad[w] = yaw
    out.speed_mps[w] = wp.max(st.vx_mps[w, 0] * (1.0 + 0.004 * drift(seed, tick, 0, 3)), 0.0)
    out.yaw_rate_radps[w] = st.yaw_rate_radps[w, 0] + 0.003 * normal(seed, STREAM, tick, 0, 4)
    out.accel_mps2[w] = st.ax_mps2[w, 0] + 0.1 * normal(seed, STREAM, tick, 0, 5)
    out.wheel_angle_rad[w] = st.wheel_angle_rad[w, 0]
    n = wp.int32(0)  # a plain 0 would be a constant to Warp
    for k in range(1, actors):
        near = wp.abs(st.x_m[w, k] - x) < 2.0 * SEE_M and wp.abs(st.y_m[w, k] - y) < 2.0 * SEE_M
        if st.kind[w, k] != 0 and near and n < TRACK_COUNT:
            heading = st.yaw_rad[w, k]
            cos = wp.cos(heading)
            sin = wp.sin(heading)
            tx = st.x_m[w, k] + st.centre_m[w, k] * cos
            ty = st.y_m[w, k] + st.centre_m[w, k] * sin
            d = wp.sqrt((tx - x) * (tx - x) + (ty - y) * (ty - y))
            level = wp.abs(st.z_m[w, k] - st.z_m[w, 0]) < LEVEL_M + LEVEL_SHARE * d
            missed = uniform(seed, STREAM, tick / DROP_TICKS, k, 6) < DROP and d > 8.0
            seen = d < SEE_M and level and not missed
            if seen:
                seen = not hidden(st, w, x, y, tx, ty, k, actors)
            if seen:
                vx = st.vx_mps[w, k] * cos - st.vy_mps[w, k] * sin
                vy = st.vx_mps[w, k] * sin + st.vy_mps[w, k] * cos
                # errors grow with distance, and what stands still is known to stand still
                grow = 0.4 + 0.6 * wp.min(d / 30.0, 1.5)
                moving = wp.where(vx * vx + vy * vy > 0.05, 1.0, 0.2)
                out.track_id[w, n] = k
                out.track_kind[w, n] = st.kind[w, k]
                out.track_x_m[w, n] = tx + shift_x + POSITION_M * grow * drift(seed, tick * 4, k, 10)
                out.track_y_m[w, n] = ty + shift_y + POSITION_M * grow * drift(seed, tick * 4, k, 11)
                out.track_z_m[w, n] = st.z_m[w, k]
                out.track_yaw_rad[w, n] = heading + YAW_RAD * grow * drift(seed, tick * 4, k, 12)
                out.track_vx_mps[w, n] = vx + SPEED_MPS * moving * grow * drift(seed, tick * 4, k, 13)
                out.track_vy_mps[w, n] = vy + SPEED_MPS * moving * grow * drift(seed, tick * 4, k, 14)
                out.track_length_m[w, n] = st.length_m[w, k] * (1.0 + 0.05 * drift(seed, tick, k, 15))
                out.track_width_m[w, n] = st.width_m[w, k] * (1.0 + 0.05 * drift(seed, tick, k, 16))
                n += 1
    for k in range(n, TRACK_COUNT):
        out.track_kind[w, k] = 0


@wp.func_native(
    source("lane.h", "points.h", UNSEEN=UNSEEN)
    + """
    const int* state = st.signal_state.data + (size_t) w * st.signal_state.shape[1];
    int* seen = out.signal_state.data + (size_t) w * out.signal_state.shape[1];
    for (int s = first; s < last; ++s) {
        const float u = (float) (int) (mix(mix(key ^ (U) s) ^ 7u) >> 8) * 5.9604644775390625e-08f;
        seen[s] = u < UNSEEN ? 0 : state[s];
    }
    """
)
def see_lights(st: StateArrays, w: int, first: int, last: int, key: wp.uint32, out: SceneArrays) -> None:
    """Copy the signals from `first` to before `last`, some of them UNKNOWN: draws 7 of the signals with that key, as by
    stack.seeds.uniform. A loop of plain C++, which becomes vector code."""


@wp.kernel(enable_backward=False)
def look_at_lights(st: StateArrays, out: SceneArrays, each: int):
    w, s = wp.tid()
    key = key_of(st.seed[w], STREAM, st.tick[w] / DROP_TICKS)
    see_lights(st, w, s * each, wp.min((s + 1) * each, out.signal_state.shape[1]), key, out)


@wp.func
def follower(lanes: LaneArrays, lane: int, other: int) -> int:
    """`other` where it is a successor of `lane`, else -1."""
    for k in range(lanes.succ_count[lane]):
        if lanes.succ[lanes.succ_start[lane] + k] == other:
            return other
    return -1


@wp.kernel(enable_backward=False)
def act(
    st: StateArrays, lanes: LaneArrays, route: RouteArrays, control: wp.array2d(dtype=wp.float32),
    table: wp.array2d(dtype=wp.float32), wheel_max: float, was: wp.array(dtype=wp.int32), was_s: wp.array(dtype=wp.float32),
):  # fmt: skip
    """Pedals of row 0 from wheel angle and acceleration. Tells traffic the learner's next lane, and remembers its place."""
    w = wp.tid()
    pair = pedals_of(control[w, 1], st.vx_mps[w, 0], st.pitch_rad[w, 0], table, st.model[w, 0])
    st.throttle[w, 0] = pair[0]
    st.brake[w, 0] = pair[1]
    st.steer[w, 0] = wp.clamp(control[w, 0] / wheel_max, -1.0, 1.0)
    lane = st.lane[w, 0]
    was[w] = lane
    was_s[w] = st.lane_s_m[w, 0]
    st.next_lane[w, 0] = -1
    st.after_lane[w, 0] = -1
    for i in range(route.lane.shape[1] - 1):
        if lane >= 0 and route.lane[w, i] == lane:
            st.next_lane[w, 0] = follower(lanes, lane, route.lane[w, i + 1])
            if st.next_lane[w, 0] >= 0 and i + 2 < route.lane.shape[1]:
                st.after_lane[w, 0] = follower(lanes, st.next_lane[w, 0], route.lane[w, i + 2])


@wp.kernel(enable_backward=False)
def judge(
    st: StateArrays, lanes: LaneArrays, was: wp.array(dtype=wp.int32), was_s: wp.array(dtype=wp.float32),
    hit: wp.array(dtype=wp.int32), red_run: wp.array(dtype=wp.int32),
):  # fmt: skip
    """Contacts, and front bumpers that crossed the line before a junction lane on red."""
    w = wp.tid()
    hit[w] = wp.where(st.hit_other[w, 0] != -1, 1, 0)
    red_run[w] = 0
    lane = was[w]
    ahead = st.next_lane[w, 0]  # of the lane before the step
    if lane >= 0 and ahead >= 0:
        signal = lanes.lane_signal[ahead]
        if signal >= 0 and lanes.lane_junction[lane] < 0:
            front = st.centre_m[w, 0] + 0.5 * st.length_m[w, 0]
            s = st.lane_s_m[w, 0]
            if st.lane[w, 0] != lane:
                s = lanes.lane_length_m[lane] + st.lane_s_m[w, 0]
            line = lanes.lane_stop_s_m[lane] + 0.3  # a stop on the line is a stop
            if was_s[w] + front < line and s + front >= line and st.signal_state[w, signal] == RED:
                red_run[w] = 1


class Learners:
    """Worlds for `control.rl.env.DrivingEnv`."""

    def __init__(
        self,
        graph: LaneGraph,
        maps: list[LaneGraph],
        first_lane: NDArray[np.int32],
        ego: VehicleParams,
        worlds: int,
        seed: int,
        device: str,
        random_route: Callable[[LaneGraph, int, float, float], Route],
    ) -> None:
        """`graph` joins `maps`, whose lanes start at `first_lane` (stack.lanegraph.concatenate)."""
        self.maps, self.first_lane, self.random_route = maps, first_lane, random_route
        self.pace = [float(np.average(m.lane_limit_mps, weights=m.lane_length_m)) / PACE_MPS for m in maps]
        self.first_walk = np.concatenate([[0], np.cumsum([len(m.walk_start) for m in maps])])
        self.first_place = np.concatenate([[0], np.cumsum([len(m.park_yaw_rad) for m in maps])])
        self.params = [ego, *(load_vehicle(name) for name in TRAFFIC)]
        self.batch = Batch(graph, self.params, worlds, 1 + VEHICLES + WALKERS, device)
        self.graph, self.worlds, self.device, self.seed = graph, worlds, device, seed
        self.wheelbase_m, self.wheel_max_rad = ego.wheelbase_m, ego.wheel_angle_max_rad
        self.scene: Any = allocate(SceneArrays, worlds, graph.signals, device)
        self.route: Any = allocate(RouteArrays, worlds, graph.signals, device)
        self.hit = wp.zeros(worlds, dtype=wp.int32, device=device)
        self.red_run = wp.zeros(worlds, dtype=wp.int32, device=device)
        self.was = wp.zeros(worlds, dtype=wp.int32, device=device)
        self.was_s = wp.zeros(worlds, dtype=wp.float32, device=device)
        self.control = wp.zeros((worlds, 2), dtype=wp.float32, device=device)
        self._record()
        self.pool: list[tuple[Route, dict[str, NDArray[Any]]]] = []
        self.starts = 0

    def _record(self) -> None:
        """The launches of a tick, recorded once."""
        arrays, lanes, table = self.batch.state.arrays, self.batch.lanes, self.batch.table_device

        def record(kernel: Any, dim: Any, *inputs: Any) -> Any:
            return wp.launch(kernel, dim=dim, inputs=list(inputs), device=self.device, record_cmd=True)

        self.acts = record(
            act, self.worlds, arrays, lanes, self.route, self.control, table, self.wheel_max_rad, self.was, self.was_s
        )
        self.judges = record(judge, self.worlds, arrays, lanes, self.was, self.was_s, self.hit, self.red_run)
        self.looks = [record(look, self.worlds, arrays, self.batch.actors, self.scene)]
        if self.graph.signals:
            each = 1 if wp.get_device(self.device).is_cuda else self.graph.signals
            dim = (self.worlds, -(-self.graph.signals // each))
            self.looks.append(record(look_at_lights, dim, arrays, self.scene, each))

    def step(self) -> None:
        """One tick with `control`, (W, 2) wheel angle in rad and acceleration in m/s2."""
        self.acts.launch()
        self.batch.step()
        self.judges.launch()

    def observe(self) -> None:
        """Refill `scene`."""
        for command in self.looks:
            command.launch()

    def reset(self, worlds: NDArray[np.int64]) -> None:
        """Start the given worlds again."""
        routes = {name: getattr(self.route, name).numpy() for name in ("lane", "start_s_m", "goal_s_m")}
        for world in worlds:
            route, rows = self._start()
            self.batch.reset_world(int(world), rows, seed=int(draws(self.seed, Stream.SCENARIO, self.starts)[0]))
            routes["lane"][world] = -1
            routes["lane"][world, : len(route.lanes)] = route.lanes
            routes["start_s_m"][world], routes["goal_s_m"][world] = route.start_s_m, route.goal_s_m
        if self.device != "cpu":
            for name, values in routes.items():
                getattr(self.route, name).assign(values)

    def _start(self) -> tuple[Route, dict[str, NDArray[Any]]]:
        """A new start while the pool fills, then one of the pool."""
        self.starts += 1
        if len(self.pool) >= POOL:
            return self.pool[int(draws(self.seed, Stream.ROUTE, self.starts)[0]) % POOL]
        seed = int(draws(self.seed, Stream.SPAWN, self.starts)[0])
        rng = generator(seed, Stream.SCENARIO)
        k = int(rng.integers(len(self.maps)))
        pace = max(self.pace[k], 1.0)
        route = self.random_route(self.maps[k], seed, ROUTE_M[0] * pace, ROUTE_M[1] * pace)
        first = self.first_lane[k]
        near = first + lanes_near(self.maps[k], route, NEAR_ROUTE_M)
        route = Route((route.lanes + first).astype(np.int32), route.start_s_m, route.goal_s_m, route.length_m)
        vehicles, walkers = int(rng.integers(4, VEHICLES + 1)), int(rng.integers(0, WALKERS + 1))
        rows = spawn(
            self.graph, self.params, seed, vehicles, walkers, (int(route.lanes[0]), route.start_s_m), route,
            lanes=near.tolist(), walks=range(self.first_walk[k], self.first_walk[k + 1]), along_route=ALONG_ROUTE,
            parked=VEHICLES + WALKERS - vehicles - walkers, places=range(self.first_place[k], self.first_place[k + 1]),
            rolling=rng.random() < ROLLING,
        )  # fmt: skip
        self._disturb(rows, rng)
        self.pool.append((route, rows))
        return route, rows

    @staticmethod
    def _disturb(rows: dict[str, NDArray[Any]], rng: np.random.Generator) -> None:
        """The learner starts beside its lane and askew: it must learn to come back."""
        side, yaw = rng.normal(0.0, 0.25), rng.normal(0.0, 0.04)
        rows["x_m"][0] -= side * np.sin(rows["yaw_rad"][0])
        rows["y_m"][0] += side * np.cos(rows["yaw_rad"][0])
        rows["yaw_rad"][0] += yaw
