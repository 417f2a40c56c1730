"""An open world on a flat square without lanes, with or without walls: everything can be computed by hand."""

import numpy as np
from boxed_square import ground
from plain_graph import plain_graph

from sim.geometry import Mesh, box_mesh
from sim.open_world import OpenWorld
from sim.scenery import Scenery
from stack.frames import Pose
from stack.labels import Kind, Semantic
from stack.lanegraph import LaneGraph

CAR_M = (4.7, 1.9, 1.5)
CONE_M = (0.4, 0.4, 0.7)
PERSON_M = (0.5, 0.6, 1.8)


def block(x: float, y: float, z: float, size: tuple[float, float, float]) -> Mesh:
    mesh = box_mesh(np.array(size), Semantic.BUILDING, 0)
    return Mesh(mesh.vertices + np.array([x, y, z], np.float32), mesh.triangles, mesh.semantic, mesh.material)


def scenery(*meshes: Mesh, boxes: np.ndarray | None = None) -> Scenery:
    boxes = np.zeros((0, 7)) if boxes is None else np.asarray(boxes, float)
    mesh = Mesh.join(list(meshes or (ground(),)))
    return Scenery(mesh, np.ones((40, 3), np.float32), np.zeros((0, 4), np.float32), 0.2, boxes)


def field(*meshes: Mesh, boxes: np.ndarray | None = None, graph: LaneGraph | None = None, rows: int = 16) -> OpenWorld:
    return OpenWorld(None, graph or plain_graph(), rows=rows, scenery=scenery(*meshes, boxes=boxes))


def car(world: OpenWorld, x: float = 0.0, y: float = 0.0, z: float = 0.0, yaw: float = 0.0, speed: float = 0.0) -> int:
    row = world.add(Kind.CAR, CAR_M, Pose(x, y, z, yaw))
    world.set_velocity(row, (speed * np.cos(yaw), speed * np.sin(yaw), 0.0))
    return row


def ticks(world: OpenWorld, count: int, dt_s: float = 0.05) -> None:
    for _ in range(count):
        world.tick(dt_s)
