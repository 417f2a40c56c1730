"""What is true of the actors in one camera's picture: boxes, visible shares, and how far each object reaches."""

from __future__ import annotations

from typing import Any

import numpy as np
import warp as wp
from numpy.typing import NDArray

from sim.geometry import Geometry
from sim.kernels.extent import Edges, bound_shown
from stack.frames import F64, Pose, inverse, transforms, wrap
from stack.messages import CameraMount, Detections, Extents


class Sightings:
    """Reads the labels of one camera's actors off its buffers."""

    def __init__(self, mount: CameraMount, geometry: Geometry) -> None:
        self._mount, self._geometry = mount, geometry
        self._shown = wp.zeros((4, max(geometry.actors, 1)), dtype=wp.int32, device=geometry.device)
        self._views: dict[int, NDArray[Any]] | None = {} if wp.get_device(geometry.device).is_cpu else None
        self.edges = Edges(geometry)  # measures whole silhouettes

    def __call__(
        self, ego: Pose, world_from_camera: F64, view: Any, c: Any, picture: Any
    ) -> tuple[Detections, Extents]:
        """Of all actors of which anything is to be seen. `c`: silhouettes (raster.Cover); `picture`: as shaded."""
        w, h = self._mount.width_px, self._mount.height_px
        visible, total = self._host(picture.visible), self._host(c.total)
        rows = np.flatnonzero((visible > 0) & (total > 0))
        sides = np.stack([self._host(side)[rows] for side in (c.left, c.top, c.right, c.bottom)], axis=-1)
        whole = (sides + (-0.5, -0.5, 0.5, 0.5)) * view.step
        box = np.clip(whole, 0.0, (w, h, w, h)).astype(np.float32)
        cut = np.full(len(rows), bool(self._mount.distortion))  # the edge of a fisheye picture may be anywhere in it
        cut |= (sides[:, :2] <= 0).any(axis=1) | (sides[:, 2:] >= (view.width - 2, view.height - 2)).any(axis=1)
        return self._labels(ego, world_from_camera, rows, box, visible[rows] / total[rows]), self._extents(
            ego, view, picture, rows, box, cut
        )

    def _host(self, array: Any) -> NDArray[Any]:
        """Of an array that stays: a view on the CPU, made once as making one costs 4 us; else a copy."""
        if self._views is None:
            return array.numpy()
        if array.ptr not in self._views:
            self._views[array.ptr] = array.numpy()
        return self._views[array.ptr]

    def _labels(self, ego: Pose, world_from_camera: F64, rows: NDArray[np.int64], box: Any, share: Any) -> Detections:
        """Bounds of the silhouettes, hidden parts included, clipped to the picture; score: visible share."""
        g = self._geometry.arrays
        base, size, heading = (self._host(array)[rows] for array in (g.base, g.size, g.heading))
        centre = base + 0.5 * size * (0.0, 0.0, 1.0)
        camera_from_world = inverse(world_from_camera)
        distance = centre @ camera_from_world[2, :3] + camera_from_world[2, 3]
        if self._mount.distortion:
            distance = np.linalg.norm(centre - world_from_camera[:3, 3], axis=1)
        yaw = wrap(np.arctan2(heading[:, 1], heading[:, 0]).astype(np.float64) - ego.yaw_rad)
        return Detections(
            box, self._host(g.kind)[rows].astype(np.uint8), np.minimum(share, 1.0).astype(np.float32),
            distance.astype(np.float32), yaw.astype(np.float32), rows.astype(np.int32),
        )  # fmt: skip

    def _extents(self, ego: Pose, view: Any, picture: Any, rows: NDArray[np.int64], box: Any, cut: Any) -> Extents:
        """`cut` (n,): whose silhouettes touch an edge of the picture."""
        g, w, h = self._geometry.arrays, self._mount.width_px, self._mount.height_px
        self._shown.zero_()
        low, high = (box.min(axis=0), np.ceil(box.max(axis=0))) if len(rows) else (np.zeros(4), np.zeros(4))
        first, last = int(low[1]), int(high[3])
        inputs = [picture.instance, first, int(low[0]), int(high[2]), self._shown]
        wp.launch(bound_shown, dim=last - first, inputs=inputs, device=self._geometry.device)
        left, top, right, bottom = self._host(self._shown)[:, rows]
        shown = np.column_stack([w - left, h - top, right, bottom]).astype(np.float32)
        shown[right == 0] = np.nan  # seen between the middles of pixels only
        full, beyond = box.copy(), np.zeros(len(rows), np.float32)
        touching = np.flatnonzero(cut)
        if len(touching):
            whole, beyond[touching] = self.edges(g, view, w, h, rows[touching])
            full[touching] = np.where(beyond[touching, None] > 0.0, whole, full[touching])
        state, n = self._geometry.state, self._geometry.world
        yaw, pitch, roll = (
            state.numpy(name)[n, rows].astype(np.float64) for name in ("yaw_rad", "pitch_rad", "roll_rad")
        )
        pose = inverse(ego.matrix()) @ transforms(self._host(g.base)[rows].astype(np.float64), yaw, pitch, roll)
        return Extents(shown, full, beyond, pose, self._host(g.size)[rows])
