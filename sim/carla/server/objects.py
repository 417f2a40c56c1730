"""What stands in a town, as CARLA's environment objects and street lights: found in the scenery's boxes and faces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from sim.carla import convert
from sim.geometry import Material, Mesh
from sim.scenery import Scenery
from stack.frames import F64
from stack.labels import Semantic
from stack.lanegraph import LaneGraph

NEAR_M = 0.4  # faces so far outside a box still belong to it
LAMP_APART_M = 2.0
STREET = 2  # carla.LightGroup
HEAD_HALF_M = (0.2, 0.2, 0.5)


@dataclass(frozen=True)
class Thing:
    """One environment object: its label, EnvironmentObject on the wire, and its triangles in the mesh."""

    label: int
    wire: list[Any]  # [transform, box, id, name, type]
    triangles: Any  # (n,) indices


def things(mesh: Mesh, static_boxes: F64, graph: LaneGraph) -> list[Thing]:
    """Buildings, poles, trunks, rails and light heads, in a fixed order; ids count from 1."""
    centres, semantic = mesh.corners().mean(axis=1).astype(np.float64), mesh.semantic
    out: list[Thing] = []
    boxes = np.asarray(static_boxes, np.float64).reshape(-1, 7)
    tree = cKDTree(centres[:, :2]) if len(centres) else None
    for x, y, yaw, length, width, bottom, top in boxes:
        inside = np.zeros(0, np.int64)
        if tree is not None:
            near = np.array(tree.query_ball_point((x, y), 0.5 * np.hypot(length, width) + NEAR_M), np.int64)
            inside = near[_within(centres[near], x, y, yaw, length, width, bottom, top)] if len(near) else near
        labels = semantic[inside]
        labels = labels[(labels != Semantic.ROAD) & (labels != Semantic.SIDEWALK) & (labels != Semantic.TERRAIN)]
        label = int(np.bincount(labels).argmax()) if len(labels) else int(Semantic.STATIC)
        half = (0.5 * length, 0.5 * width, 0.5 * (top - bottom))
        out.append(_thing(len(out) + 1, label, (x, y, 0.5 * (bottom + top)), yaw, half, inside))
    for xyz, yaw in zip(graph.head_xyz_m, graph.head_yaw_rad, strict=True):
        out.append(
            _thing(len(out) + 1, int(Semantic.TRAFFIC_LIGHT), xyz, float(yaw), HEAD_HALF_M, np.zeros(0, np.int64))
        )
    return out


def _within(p: F64, x: float, y: float, yaw: float, length: float, width: float, bottom: float, top: float) -> Any:
    dx, dy, cos, sin = p[:, 0] - x, p[:, 1] - y, np.cos(yaw), np.sin(yaw)
    along, across = np.abs(dx * cos + dy * sin), np.abs(dy * cos - dx * sin)
    flat = (along < 0.5 * length + NEAR_M) & (across < 0.5 * width + NEAR_M)
    return flat & (p[:, 2] > bottom + 0.02) & (p[:, 2] < top + NEAR_M)


def _thing(number: int, label: int, xyz: Any, yaw: float, half: Any, triangles: Any) -> Thing:
    place, turn = convert.location(xyz), convert.rotation(yaw, 0.0, 0.0)
    name = f"{Semantic(label).name.title().replace('_', '')}_{number}"
    box = [place, [float(v) for v in half], turn, 0]
    return Thing(label, [[place, turn], box, number, name, label], triangles)


def street_lamps(scenery: Scenery) -> list[list[Any]]:
    """LightState of each street lamp: [id, location, intensity, group, colour, active]."""
    faces = np.flatnonzero((scenery.mesh.material & 255) == Material.STREET_LAMP)
    if not len(faces):
        return []
    centres = scenery.mesh.corners()[faces].mean(axis=1).astype(np.float64)
    out: list[list[Any]] = []
    taken = np.zeros(len(centres), bool)
    tree = cKDTree(centres)
    for k in range(len(centres)):
        if not taken[k]:
            near = tree.query_ball_point(centres[k], LAMP_APART_M)
            taken[near] = True
            place = convert.location(centres[near].mean(axis=0))
            out.append([len(out) + 1, place, 10000.0, STREET, [255, 244, 214], True])
    return out
