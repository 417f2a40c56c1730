"""Tables of a lens: the ray through each sample of a picture, and where cube faces round the camera show it.

A fisheye sees more than any plane, so its surroundings are drawn on the six faces of a cube, pinholes of 90 degrees. Each
sample of the picture takes over what the face sees nearest to its ray; light is worked out after that, once for the
picture, along the picture's own rays, so that faces leave no seams. The face behind shows nothing in the picture, but holds
what silhouettes have there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stack.frames import F64, bend, project_fisheye, rays_fisheye
from stack.messages import F32, I32, CameraMount

FACE_SAMPLES_MAX = 2049
# camera_from_face of the faces ahead, right, left, below, above, behind; a face is optical: x right, y down, z ahead
FACES: F64 = np.array(
    [
        [(1, 0, 0), (0, 1, 0), (0, 0, 1)],
        [(0, 0, 1), (0, 1, 0), (-1, 0, 0)],
        [(0, 0, -1), (0, 1, 0), (1, 0, 0)],
        [(1, 0, 0), (0, 0, 1), (0, -1, 0)],
        [(1, 0, 0), (0, 0, -1), (0, 1, 0)],
        [(-1, 0, 0), (0, 1, 0), (0, 0, -1)],
    ],
    np.float64,
)


def sample_rays(mount: CameraMount, per_px: int) -> F32:
    """(per_px H + 1, per_px W + 1, 3) optical vectors through the samples, 1 / per_px px apart.

    Pinhole: 1 along the axis. Fisheye: unit vectors; zeros where the lens sees nothing.
    """
    matrix = mount.matrix()
    v, u = np.mgrid[0 : per_px * mount.height_px + 1, 0 : per_px * mount.width_px + 1] / per_px
    if mount.distortion:
        rays = rays_fisheye(matrix, mount.distortion, np.stack([u, v], axis=-1), 0.5 * mount.hfov_rad)
        return rays.astype(np.float32)
    x, y = (u - matrix[0, 2]) / matrix[0, 0], (v - matrix[1, 2]) / matrix[1, 1]
    return np.stack([x, y, np.ones_like(x)], axis=-1).astype(np.float32)


@dataclass(frozen=True)
class Cube:
    """Six faces of side x side samples, which span tangents -1 .. 1; rows are one sample longer than that."""

    side: int
    at: I32  # (N,) index of the face's sample for each sample of the picture, over (6, side + 1, side + 1); -1: none
    stretch: F32  # (N,) length of the ray through that sample, 1 along the face's axis
    inside: NDArray[np.uint8]  # (6, side + 1, side + 1) 1 where the picture shows that sample


def cube(mount: CameraMount, rays: F32, per_px: int) -> Cube:
    """The faces for the rays of `sample_rays`, as fine in their middle as the picture is anywhere."""
    matrix, half = mount.matrix(), 0.5 * mount.hfov_rad
    steepest = np.diff(bend(mount.distortion, np.linspace(0.0, half, 1000))).max() * 999.0 / half
    density = per_px * max(matrix[0, 0], matrix[1, 1]) * steepest
    side = min(2 * int(np.ceil(density)) + 1, FACE_SAMPLES_MAX)
    middle = 0.5 * (side - 1)
    ray = rays.reshape(-1, 3).astype(np.float64)
    seen = np.abs(ray).sum(axis=1) > 0.0
    face = np.argmax(ray @ FACES[:, :, 2].T, axis=1)
    local = np.einsum("nji,nj->ni", FACES[face], ray)
    ahead = np.where(seen, local[:, 2], 1.0)
    column, row = (np.rint(local[:, k] / ahead * middle + middle).astype(np.int64) for k in (0, 1))
    at = np.where(seen, (face * (side + 1) + row) * (side + 1) + column, -1).astype(np.int32)
    stretch = np.sqrt(1.0 + ((column - middle) / middle) ** 2 + ((row - middle) / middle) ** 2).astype(np.float32)
    tangent = (np.arange(side + 1) - middle) / middle
    y, x = np.meshgrid(tangent, tangent, indexing="ij")
    inside = np.zeros((6, side + 1, side + 1), np.uint8)
    for k, turn in enumerate(FACES):
        uv, angle = project_fisheye(matrix, mount.distortion, np.stack([x, y, np.ones_like(x)], axis=-1) @ turn.T)
        within = (uv >= 0.0).all(axis=-1) & (uv[..., 0] < mount.width_px) & (uv[..., 1] < mount.height_px)
        inside[k] = within & (angle <= half)
    return Cube(side, at, stretch, inside)


def growing_to(distortion: tuple[float, ...]) -> float:
    """The angle up to which a fisheye's radius grows, rad; at most pi."""
    angle = np.linspace(0.0, np.pi, 2000)
    falls = np.flatnonzero(np.diff(bend(distortion, angle)) <= 0.0)
    return float(angle[falls[0]]) if len(falls) else float(np.pi)
