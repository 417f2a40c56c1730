"""A loaded map as the server needs it: its text, its lane graph, the open world on it, lights, signs, spawn points."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from sim.carla import convert
from sim.carla.server import memory
from sim.carla.server.giveway import GiveWay
from sim.carla.server.lights import Lights
from sim.carla.server.objects import Thing, street_lamps, things
from sim.carla.server.wire import Failed
from sim.open_world import OpenWorld
from stack.frames import F64, Pose
from stack.lanegraph import LaneGraph
from stack.opendrive import MAPS, MapError, RoadMap, SignalPost, build_graph, load_map

log = logging.getLogger(__name__)
STAND_IN = "town_a"
SPAWN_EVERY_M = 25.0
SPAWN_UP_M = 0.3
SPAWN_FREE_M = 6.0  # from a lane's ends
MOST_SPAWN_POINTS = 400
STOP_BOX_M = (2.0, 1.5)  # half of a stop sign's trigger box along the lane, and its half height


@dataclass(frozen=True)
class Sign:
    """A stop, give-way or speed-limit sign: an actor that only says where it counts."""

    post: SignalPost
    type_id: str
    box_xyz_m: F64
    box_yaw_rad: float
    half_width_m: float


class Town:
    """Everything that a map alone decides, and the world on it (which `OpenWorld.reset` empties)."""

    def __init__(self, name: str, text: str, device: str) -> None:
        """Raises MapError for a bad map."""
        self.name, self.text = name, text
        self.road_map: RoadMap = load_map(text, name)
        self.graph: LaneGraph = build_graph(self.road_map)
        if not self.graph.lanes:
            raise MapError(f"{name}: found no drivable lane, expected at least one")
        self.world = OpenWorld(self.road_map, self.graph, device)
        self.lights = Lights(self.road_map, self.graph)
        self.signs = signs(self.road_map, self.graph)
        self.give_way = GiveWay(self.graph)
        self.hidden: set[int] = set()

    @cached_property
    def spawn_points(self) -> list[Pose]:
        """Places in the middle of lanes outside junctions, well apart."""
        g, out = self.graph, []
        for lane in range(g.lanes):
            if g.lane_junction[lane] >= 0 or not g.succ_count[lane]:
                continue
            length = float(g.lane_length_m[lane])
            for s in np.arange(SPAWN_FREE_M, length - SPAWN_FREE_M, SPAWN_EVERY_M):
                k = int(g.lane_start[lane] + round(s / g.lane_step_m[lane]))
                out.append(Pose(float(g.x_m[k]), float(g.y_m[k]), float(g.z_m[k]) + SPAWN_UP_M, float(g.yaw_rad[k]),
                                float(g.pitch_rad[k])))  # fmt: skip
        step = -(-len(out) // MOST_SPAWN_POINTS) or 1
        return out[::step]

    @cached_property
    def objects(self) -> list[Thing]:
        """Environment objects."""
        return things(self.world.geometry.static, self.world.scenery.static_boxes, self.graph)

    @cached_property
    def lights_ahead(self) -> tuple[Any, Any]:
        """For each lane the signal at its end and the lamp on its road, (lanes + 1,): -1 and 0 for none and for no lane."""
        graph, lights = self.graph, self.lights
        signal, lamp = np.full(graph.lanes + 1, -1, np.int64), np.zeros(graph.lanes + 1, np.int64)
        by_road = {(k.signal, k.post.road): i for i, k in enumerate(lights.lamps)}
        for lane in np.flatnonzero(graph.lane_junction[: graph.lanes] < 0):
            ahead = [int(graph.lane_signal[n]) for n in graph.successors(lane)]
            first = next((s for s in ahead if s in lights.lamp_of_signal), None)
            if first is not None:
                signal[lane] = first
                lamp[lane] = by_road.get((first, graph.lane_key[lane][0]), lights.lamp_of_signal[first])
        return signal, lamp

    @cached_property
    def object_reach(self) -> tuple[F64, F64]:
        """Middles (N, 2) of the environment objects in plan, world frame, and how far each reaches from there (N,), m."""
        boxes = [item.wire[1] for item in self.objects]
        middles = np.array([convert.location(box[0])[:2] for box in boxes], float).reshape(-1, 2)
        return middles, np.array([max(box[1][:2]) for box in boxes], float)

    def show(self, ids: set[int], on: bool) -> None:
        """Show or hide environment objects, for cameras and LiDAR; what is hidden can still be run into."""
        self.hidden = self.hidden - ids if on else self.hidden | ids
        self.draw_hidden()

    def draw_hidden(self) -> None:
        """Take the faces of what is hidden out of the pictures; again when the world's geometry has grown."""
        geometry = self.world.geometry
        corners = geometry.arrays.corner.numpy().reshape(-1, 3, 3)
        static = geometry.static.corners()
        corners[: len(static)] = static
        for item in self.objects:
            if item.wire[2] in self.hidden:
                corners[item.triangles] = corners[item.triangles, :1]  # no area

    @cached_property
    def street_lamps(self) -> list[list[Any]]:
        """LightState of each street lamp as it comes from the map."""
        return street_lamps(self.world.scenery)

    @cached_property
    def navigation(self) -> tuple[str, bytes]:
        """Name and bytes of the pedestrians' navigation mesh."""
        from sim.carla.navmesh import name, navmesh

        data = navmesh(self.road_map, self.graph)
        return name(self.name, data), data


class Atlas:
    """Which maps there are: ours, and the .xodr files of a folder. Loaded towns are kept."""

    def __init__(self, folder: Path | None, device: str) -> None:
        self._device = device
        files = [*MAPS.glob("*.xodr"), *(sorted(folder.glob("*.xodr")) if folder else ())]
        self._files = {path.stem: path for path in files}
        self._towns: dict[str, Town] = {}
        self.opendrive = ""  # text of the map that a client sent

    def names(self) -> list[str]:
        return sorted(self._files)

    def load(self, wanted: str) -> Town:
        """The town of a name as clients give it ("Town01", "/Game/Carla/Maps/Town10HD_Opt", "Town03_Opt").

        A town of CARLA's of which no file is given is stood in for by one of ours, under the name asked for. Raises
        Failed for any other unknown name, and for a map that cannot be read.
        """
        name = wanted.rstrip("/").rsplit("/", 1)[-1]
        if name == "OpenDriveMap" and self.opendrive:
            return self._town(name, self.opendrive)
        for known in (name, name.removesuffix("_Opt"), name.removesuffix("HD_Opt"), name.removesuffix("HD")):
            if known in self._files:
                return self._town(name, self._text(known))
        if name.startswith("Town") and name[4:6].isdigit():
            log.warning("map %s: no such file is given, %s stands in for it", name, STAND_IN)
            return self._town(name, self._text(STAND_IN))
        raise Failed(f"map '{wanted}' not found, expected one of {', '.join(self.names())}")

    def _text(self, name: str) -> str:
        path = self._files[name]
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise Failed(f"map '{name}' cannot be read: {path.name}: {error}") from None

    def take(self, text: str) -> None:
        """Keep an OpenDRIVE text that a client sent, for "OpenDriveMap". Raises Failed where it cannot be read."""
        before, self.opendrive = self.opendrive, text
        try:
            self.load("OpenDriveMap")
        except Failed:
            self.opendrive = before
            raise

    def _town(self, name: str, text: str) -> Town:
        town = self._towns.get(name)
        if town is None or town.text != text:
            try:
                town = Town(name, text, self._device)
            except MapError as error:
                raise Failed(f"map '{name}' cannot be read: {error}") from None
            self._towns = {name: town, **dict(list(self._towns.items())[:2])}  # three at most
            memory.keep()
        return town


def signs(road_map: RoadMap, graph: LaneGraph) -> list[Sign]:
    """Stop, give-way and speed-limit signs, with the box in which each counts."""
    out = []
    for post in road_map.signals:
        if post.kind not in ("stop", "yield", "speed"):
            continue
        kind = f"speed_limit.{round(post.value)}" if post.kind == "speed" else post.kind
        facing = post.yaw_rad + np.pi
        lane, s, _ = graph.nearest(float(post.xyz_m[0]), float(post.xyz_m[1]), facing, z_m=float(post.xyz_m[2]))
        k = int(graph.lane_start[lane] + min(int(s / graph.lane_step_m[lane]), graph.lane_count[lane] - 1))
        centre = np.array([graph.x_m[k], graph.y_m[k], graph.z_m[k]], float)
        out.append(Sign(post, f"traffic.{kind}", centre, float(graph.yaw_rad[k]), 0.5 * float(graph.width_m[k])))
    return out
