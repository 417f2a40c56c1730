"""A flat square with boxes on it and box-shaped actors, for the sensor tests: everything can be computed by hand."""

import numpy as np

from sim.geometry import Geometry, Library, Material, Mesh, box_mesh
from sim.state import State
from stack.labels import Kind, Semantic

CUBE = Library(
    (box_mesh(np.ones(3), Semantic.CAR, int(Material.CAR_PAINT)),) * 4,  # a pedestrian has four, a step apart
    np.tile(np.array([0, 4], np.int32), (2, 6, 3, 1)),
    np.ones((2, 1, 3), np.float32),
    np.ones((1, 3), np.float32),
)


def ground(material: Material = Material.ASPHALT, half_m: float = 130.0, z_m: float = 0.0, step_m: float = 4.0) -> Mesh:
    """A flat grid of triangles about the origin."""
    n = round(2.0 * half_m / step_m)
    line = np.linspace(-half_m, half_m, n + 1)
    x, y = np.meshgrid(line, line, indexing="ij")
    i, j = np.meshgrid(np.arange(n), np.arange(n), indexing="ij")
    a = (i * (n + 1) + j).ravel()
    triangles = np.concatenate([np.stack([a, a + n + 1, a + n + 2], -1), np.stack([a, a + n + 2, a + 1], -1)])
    vertices = np.stack([x.ravel(), y.ravel(), np.full(x.size, z_m)], -1).astype(np.float32)
    semantic, words = np.full(len(triangles), Semantic.ROAD, np.uint8), np.full(len(triangles), material, np.int32)
    return Mesh(vertices, triangles.astype(np.int32), semantic, words)


def box_at(x_m: float, y_m: float, size_m: tuple[float, float, float], material: Material = Material.FACADE) -> Mesh:
    mesh = box_mesh(np.array(size_m), Semantic.BUILDING, int(material))
    return Mesh(mesh.vertices + np.float32([x_m, y_m, 0.0]), mesh.triangles, mesh.semantic, mesh.material)


def make(parts: list[Mesh], actors: int = 1, seed: int = 5, device: str = "cpu") -> tuple[State, Geometry]:
    """A state with the ego at the origin and no other actor yet, and the geometry of the parts."""
    state = State(1, actors, 0, 0, device)
    put(state, 0)
    state.arrays.seed.fill_(seed)
    return state, Geometry(Mesh.join(parts), CUBE, actors, 0, device)


def put(state: State, row: int, **columns: float) -> None:
    """Set an actor's columns; unnamed ones describe a car of 4.5 x 1.8 x 1.5 m."""
    car = {"kind": Kind.CAR, "length_m": 4.5, "width_m": 1.8, "height_m": 1.5, "centre_m": 1.3}
    for name, value in (car | columns).items():
        values = state.numpy(name)
        values[0, row] = value
        getattr(state.arrays, name).assign(values)
