"""Camera frames, ranges and motion -> Scene: the order of the parts on one page.

network: pictures -> boxes, segmentation          lidar: sweep -> kerbs and markings, clusters
localizer: inertial, wheels, satellites, kerbs and markings against the map -> ego
lights: map + ego -> crops -> states               fusion: boxes + clusters + radar -> observations -> tracker -> tracks
"""

from __future__ import annotations

import math
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from perception import lidar, lights, network
from perception.detector import decode
from perception.export import ready
from perception.fusion import Fusion
from perception.lights import LightNet, Lights
from perception.localizer import Localizer
from perception.network import Network, Outputs, Seeing, load_network
from perception.tracker import Tracker
from stack.frames import Pose
from stack.lanegraph import LaneGraph, Route
from stack.messages import CameraImage, Detections, Rig, Scene, SensorFrame


def start_pose(graph: LaneGraph, route: Route) -> Pose:
    """Where the drive is said to begin: the route's start."""
    lane = int(route.lanes[0])
    k = int(graph.lane_start[lane]) + round(route.start_s_m / float(graph.lane_step_m[lane]))
    k = min(k, int(graph.lane_start[lane] + graph.lane_count[lane]) - 1)
    along = route.start_s_m - (k - int(graph.lane_start[lane])) * float(graph.lane_step_m[lane])
    yaw = float(graph.yaw_rad[k])
    x, y = float(graph.x_m[k]) + along * math.cos(yaw), float(graph.y_m[k]) + along * math.sin(yaw)
    return Pose(x, y, float(graph.z_m[k]), yaw, float(graph.pitch_rad[k]))


class Perception:
    """The default perception: learned boxes, masks and light states, filtered positions. One for each drive."""

    def __init__(
        self,
        graph: LaneGraph,
        route: Route,
        rig: Rig,
        device: str = "cpu",
        blind: bool = False,
        weights: Path = network.WEIGHTS,
        light_weights: Path = lights.WEIGHTS,
    ) -> None:
        """`blind` shows the network black pictures: the ablation that says what the cameras are worth."""
        self.device, self.blind = device, blind
        mount = rig.cameras[0]
        picture = torch.zeros((1, 3, mount.height_px, mount.width_px), dtype=torch.uint8)
        crop = torch.zeros((1, 3, lights.CROP_PX, lights.CROP_PX), dtype=torch.uint8)
        self.network = ready(Seeing(load_network(Network(), weights)), picture, device)
        self.lights = Lights(graph, ready(load_network(LightNet(), light_weights), crop, device))
        self.pool = ThreadPoolExecutor(2, initializer=torch.set_num_threads, initargs=(1,))
        self.localizer = Localizer(graph, start_pose(graph, route))
        self.turn, self.fusion, self.tracker = lidar.Turn(), Fusion(graph, rig), Tracker()

    def __call__(self, frame: SensorFrame) -> Scene:
        if self.blind:
            frame = replace(frame, cameras=tuple(replace(c, rgb=torch.zeros_like(c.rgb)) for c in frame.cameras))
        looking = self.look(frame.cameras)  # other threads look at the pictures while this one does all it can without
        swept = lidar.scan(frame.lidar)
        ego = self.localizer(frame, [lidar.edges(swept)])
        clusters = self.turn(swept, frame.time_s, ego.speed_mps, ego.yaw_rate_radps)
        signal_state, signal_confidence = self.lights(frame.cameras, ego)
        detections, semantic = self.see(frame.cameras, looking)
        seen = self.fusion(clusters, frame.cameras, detections, frame.radar, ego, frame.time_s)
        tracks = self.tracker(seen, frame.time_s, ego)
        return Scene(
            frame.tick, frame.time_s, ego, tracks, signal_state, signal_confidence, tuple(detections), tuple(semantic)
        )

    def look(self, cameras: tuple[CameraImage, ...]) -> list[Future[tuple[Tensor, ...]]]:
        """Start the network on the pictures; on the processor one core for each, as two in a batch would share one."""
        if self.device == "cpu":
            return [self.pool.submit(self._run, camera.rgb[None]) for camera in cameras]
        return [self.pool.submit(self._run, torch.stack([camera.rgb for camera in cameras]).to(self.device))]

    @torch.inference_mode()
    def _run(self, pictures: Tensor) -> tuple[Tensor, ...]:
        return self.network(pictures)

    @torch.inference_mode()
    def see(
        self, cameras: tuple[CameraImage, ...], looking: list[Future[tuple[Tensor, ...]]]
    ) -> tuple[list[Detections], list[Tensor]]:
        """Boxes of each picture, and its segmentation as CARLA ids at a quarter of its size."""
        parts = [part.result() for part in looking]
        out = Outputs(*(torch.cat(maps) for maps in zip(*parts, strict=True)))
        return decode(out, [float(c.intrinsics[0, 0]) for c in cameras]), list(out.semantic)
