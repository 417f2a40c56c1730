"""Settings -> Scenario, World and Stack: the one place where parts are chosen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from pydantic.dataclasses import dataclass

from stack.config import fill
from stack.loop import Guard, Scenario, Stack
from stack.messages import Command, Control, Plan, Rig, Scene, SensorFrame, Truth
from stack.rigs import load_rig
from stack.vehicle import VehicleParams, load_vehicle, pedals

if TYPE_CHECKING:
    from typing import Any

    from stack.opendrive import RoadMap

EGO = "sedan"


@dataclass(frozen=True, config={"extra": "forbid"})
class DriveSettings:
    """What `configs/drive.yaml` and the flags of `ringroad drive` may set."""

    world: str = "embedded"
    map: str | None = None
    scenario: str | None = None
    route: str | None = None
    weather: str | None = None
    perception: str = "network"
    controller: str = "policy"
    guard: bool = True
    record: str | None = None
    report: str | None = None
    realtime: bool = False
    seed: int = 0
    device: str = "auto"
    rig: str | None = None  # FILE.yaml, see stack/rigs.py; none: the default rig
    rehearsed: bool = False  # traffic that is played alike in every world, and does not see the ego
    host: str = "127.0.0.1"  # of the CARLA server
    port: int = 2000
    cameras: bool = True  # off: nothing is rendered, for the oracle alone
    blind: bool = False  # black pictures: an ablation
    dead: bool = False  # zeroed policy weights: an ablation

    def __post_init__(self) -> None:
        choices = {
            "world": ("embedded", "carla"),
            "perception": ("network", "oracle"),
            "controller": ("policy", "classical"),
        }
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise ValueError(f"{name}: found {getattr(self, name)!r}, expected one of {', '.join(known)}")
        if not 1 <= self.port <= 65535:
            raise ValueError(f"port: found {self.port}, expected 1 to 65535")
        if self.perception == "network" and not self.cameras:
            raise ValueError("cameras: found off, expected on: the network sees by them")


def settings_from(values: dict[str, Any], source: str) -> DriveSettings:
    """Checked settings; ConfigError names source and key."""
    plain = {
        key: str(value) if key in ("record", "report", "rig") and value is not None else value
        for key, value in values.items()
    }
    return fill(DriveSettings, plain, source)


def device_of(wanted: str) -> str:
    """auto, cpu or cuda -> cpu or cuda:0; ValueError where CUDA is asked for and absent."""
    here = torch.cuda.is_available()
    if wanted == "cuda" and not here:
        raise ValueError("--device cuda: found no CUDA device on this machine, expected one (or --device cpu)")
    return "cuda:0" if here and wanted in ("auto", "cuda") else "cpu"


def build_scenario(
    settings: DriveSettings, text_of: Callable[[str, Path | None], str] | None = None
) -> tuple[Scenario, RoadMap]:
    """Map, route and traffic of the drive. `text_of`: gives a map's OpenDRIVE by its name and, where there is one, its
    file, in place of the file itself."""
    from planning.route import plan_route, random_route
    from sim.scenarios import Spec, choose, resolve
    from stack.opendrive import build_graph

    if text_of and settings.map and not settings.scenario:
        spec = Spec(map=settings.map, name=Path(settings.map).stem)  # whose map only a server may know
    else:
        spec = choose(settings.scenario, settings.map)
    road_map = _road_map(spec.map, text_of)
    graph = build_graph(road_map)

    rig = load_rig(Path(settings.rig)) if settings.rig else Rig()
    if settings.perception == "network":
        for camera in rig.cameras:
            if camera.distortion:
                raise ValueError(f"rig: found a fisheye lens (camera {camera.name}), expected pinholes for the network")
    if not settings.cameras:
        rig = replace(rig, cameras=())
    scenario = resolve(spec, graph, settings.seed, plan_route, random_route, settings.route, settings.weather, rig)
    if settings.rehearsed:
        scenario = replace(scenario, rehearsed=True)
    return scenario, road_map


def _road_map(name: str, text_of: Callable[[str, Path | None], str] | None) -> RoadMap:
    from stack.opendrive import find_map, load_map

    if text_of is None:
        return load_map(find_map(name))
    try:
        file = find_map(name)
    except ValueError:
        file = None  # the server may know it
    stem = Path(name).stem
    return load_map(text_of(stem, file), stem)


def build_stack(
    scenario: Scenario, settings: DriveSettings, device: str, truth: Callable[[], Truth] | None = None
) -> Stack:
    """The four stages for one episode. `truth` is needed by the oracle alone."""
    from control.classical import Classical
    from control.guard import Guard as Shield
    from control.policy import Policy
    from perception.oracle import Oracle
    from perception.pipeline import Perception
    from planning.pipeline import Pipeline

    ego = load_vehicle(EGO)

    def oracle() -> Any:
        if truth is None:
            raise ValueError("perception oracle: found no truth to read, expected a simulated world")
        return Oracle(truth, scenario.graph)

    perceptions = {
        "network": lambda: Perception(scenario.graph, scenario.route, scenario.rig, device, settings.blind),
        "oracle": oracle,
    }
    controllers = {
        "policy": lambda: Policy(ego.wheelbase_m, device=device, dead=settings.dead),
        "classical": lambda: Classical(ego),
    }
    guard: Guard = Shield(ego) if settings.guard else Unguarded(ego)
    plan = Pipeline(scenario.graph, scenario.route, ego, device)
    return Stack(perceptions[settings.perception](), plan, controllers[settings.controller](), guard)


class Unguarded:
    """No shield: the wanted control, as pedals."""

    def __init__(self, params: VehicleParams) -> None:
        self.params = params

    def __call__(self, wanted: Control, plan: Plan, scene: Scene, frame: SensorFrame) -> Command:
        return Command(wanted, pedals(wanted, scene.ego.speed_mps, scene.ego.pose.pitch_rad, self.params))
