"""Traffic lights as CARLA has them: one actor for each lamp post, groups that switch by turns, and their timing.

A junction's lights form one group; its controllers (movement groups of the map) are green one after the other: green,
yellow, then all red. Times belong to a controller and can be changed; a frozen group stands still. A state that is set
from outside lasts until the group's next change.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from sim.carla.server.wire import Light
from stack.frames import F64
from stack.labels import LightState
from stack.lanegraph import YELLOW_S, LaneGraph
from stack.opendrive import RoadMap
from stack.opendrive.furniture import SignalPost

STOP_BEFORE_M = 2.0  # from the front edge of a trigger box to where the lane meets the junction
BOX_M = (1.5, 3.0)  # half of a trigger box along the lane, and its height
HEAD_M = (0.2, 0.2, 0.5)  # half size of a lamp housing
SHOWN = {Light.RED: LightState.RED, Light.YELLOW: LightState.YELLOW, Light.GREEN: LightState.GREEN}


@dataclass
class Lamp:
    """One light actor: its post, and the trigger box across the lanes that it controls."""

    post: SignalPost
    signal: int  # index into the graph's signals
    box_xyz_m: F64  # (3,) centre, world
    box_yaw_rad: float  # of the lanes' direction
    half_width_m: float  # across the lanes
    heads_m: F64  # (H, 3)
    actor: int = 0
    state: Light = Light.RED
    since_s: float = 0.0


@dataclass
class Phase:
    """A controller: lights that always show the same when the group switches."""

    signal: int
    lamps: list[int]
    green_s: float = 10.0
    yellow_s: float = YELLOW_S
    red_s: float = 2.0


@dataclass
class Group:
    """The lights of one junction; `turn` counts phases, `shown` is what the phase of this turn shows."""

    phases: list[Phase]
    turn: int = 0
    shown: Light = Light.GREEN
    left_s: float = 0.0
    frozen: bool = False
    lamps: list[int] = field(default_factory=list)


class Lights:
    """All lights of a map. `advance` moves their clocks on; lamps are known by their index."""

    def __init__(self, road_map: RoadMap, graph: LaneGraph) -> None:
        self.lamps: list[Lamp] = []
        self.groups: list[Group] = []
        self.now_s = 0.0
        self._graph = graph
        posts = {post.id: post for post in road_map.signals if post.kind == "light"}
        junctions: dict[int, Group] = {}
        order = np.argsort(graph.signal_green_from_s, kind="stable") if graph.signals else []
        for signal in order:
            ids = [i for i in graph.signal_id[signal].split(",") if i in posts]
            lamps = []
            for id_ in ids:
                lamps.append(len(self.lamps))
                self.lamps.append(_lamp(posts[id_], int(signal), graph))
            if not lamps:
                continue
            junction = int(graph.signal_junction[signal])
            group = junctions.setdefault(junction if junction >= 0 else -2 - int(signal), Group([]))
            group.phases.append(Phase(int(signal), lamps, float(graph.signal_green_s[signal]) or 10.0))
            group.lamps += lamps
        self.groups = list(junctions.values())
        self.group_of = {lamp: group for group in self.groups for lamp in group.lamps}
        self.phase_of = {lamp: phase for group in self.groups for phase in group.phases for lamp in phase.lamps}
        self.lamp_of_signal = {lamp.signal: k for k, lamp in reversed(list(enumerate(self.lamps)))}
        self.changed = True  # since the one who draws them has looked
        self.reset()

    def reset(self) -> None:
        """Every group at the start of its first turn, thawed, with the map's times."""
        for group in self.groups:
            group.frozen = False
            for phase in group.phases:
                phase.green_s = float(self._graph.signal_green_s[phase.signal]) or 10.0
                phase.yellow_s, phase.red_s = YELLOW_S, 2.0
            self.restart(group)

    def restart(self, group: Group) -> None:
        """The group at the start of its first turn."""
        for lamp in group.lamps:
            self._show(lamp, Light.RED)
        group.turn, group.left_s = 0, 0.0
        self._switch(group, Light.GREEN)

    def advance(self, dt_s: float) -> None:
        self.now_s += dt_s
        for group in self.groups:
            if group.frozen:
                continue
            group.left_s -= dt_s
            while group.left_s <= 1e-6:
                after = {Light.GREEN: Light.YELLOW, Light.YELLOW: Light.RED, Light.RED: Light.GREEN}[group.shown]
                if after == Light.GREEN:
                    group.turn = (group.turn + 1) % len(group.phases)
                self._switch(group, after)

    def set_state(self, lamp: int, state: Light) -> None:
        self._show(lamp, state)

    def signal_states(self) -> dict[int, int]:
        """Of the graph's signals, what their first lamp shows: labels.LightState."""
        return {s: int(SHOWN.get(self.lamps[k].state, LightState.UNKNOWN)) for s, k in self.lamp_of_signal.items()}

    def _switch(self, group: Group, shown: Light) -> None:
        group.shown = shown
        phase = group.phases[group.turn]
        for lamp in phase.lamps:
            self._show(lamp, shown)
        times = {Light.GREEN: phase.green_s, Light.YELLOW: phase.yellow_s, Light.RED: phase.red_s}
        group.left_s += max(times[shown], 0.05)

    def _show(self, lamp: int, state: Light) -> None:
        if self.lamps[lamp].state != state:
            self.lamps[lamp].state = state
            self.changed = True
        self.lamps[lamp].since_s = self.now_s


def _lamp(post: SignalPost, signal: int, graph: LaneGraph) -> Lamp:
    heads = graph.head_xyz_m[graph.head_signal == signal]
    if len(heads):
        heads = heads[np.argsort(np.hypot(*(heads[:, :2] - post.xyz_m[:2]).T))[:1]]
    entries = [lane for lane in range(graph.lanes) if graph.lane_signal[lane] == signal]
    starts = {int(before) for lane in entries for before in graph.predecessors(lane) if graph.lane_junction[before] < 0}
    if not starts:
        yaw = post.yaw_rad + np.pi
        return Lamp(post, signal, np.array(post.xyz_m, float), yaw, 2.0, heads)
    own = [k for k in starts if graph.lane_key[k][0] == post.road] or sorted(starts)
    ends = []
    for lane in own:
        last = int(graph.lane_start[lane] + graph.lane_count[lane] - 1)
        ends.append((graph.x_m[last], graph.y_m[last], graph.z_m[last], graph.yaw_rad[last], graph.width_m[last]))
    x, y, z, yaws, widths = np.array(ends, float).T
    yaw = float(np.arctan2(np.sin(yaws).mean(), np.cos(yaws).mean()))
    across = -x * np.sin(yaw) + y * np.cos(yaw)
    low, high = (across - widths / 2).min(), (across + widths / 2).max()
    along = (x * np.cos(yaw) + y * np.sin(yaw)).min() - STOP_BEFORE_M - BOX_M[0]
    middle = 0.5 * (low + high)
    centre = np.array(
        [along * np.cos(yaw) - middle * np.sin(yaw), along * np.sin(yaw) + middle * np.cos(yaw), z.mean()]
    )
    return Lamp(post, signal, centre, yaw, 0.5 * float(high - low), heads)
