"""Pinhole cameras of one carrier: colour, depth, class, instance, normals and motion from one pass over the triangles.

Colour is what sim/camera.py develops before JPEG, pixel for pixel. A camera that gives no colour takes one sample per
pixel instead of four and shades nothing. Large pictures are drawn in bands, which bounds the memory of their samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import warp as wp
from numpy.typing import NDArray

from sim.camera import HEAD_LIGHT_M
from sim.geometry import SHOW_M, Geometry
from sim.instruments.places import has_head_lights, is_aboard, poses
from sim.instruments.surroundings import Surroundings, copied
from sim.kernels.raster import View, draw_all, new_cover
from sim.kernels.shade import TILE_PX, Picture, shade, shade_tiles
from sim.kernels.shadow import CELLS, place_casters
from sim.kernels.views import Labels, cull, describe
from sim.pinhole import FAR_M, SAMPLES_PER_PX
from sim.state import State
from stack.frames import BODY_FROM_OPTICAL, F64, intrinsics, inverse, transform
from stack.messages import F32, I32, U8, CameraMount
from stack.seeds import Stream, draws

SAMPLES_MOST = 1 << 23  # of a band
FAR_AWAY_M = 1.0e6  # where head lights are of carriers that have none
MODALITIES = {
    "depth_m": (np.float32, wp.float32, ()),
    "semantic": (np.uint8, wp.uint8, ()),
    "instance": (np.int32, wp.int32, ()),
    "normal": (np.float32, wp.vec3, (3,)),
    "flow_px": (np.float32, wp.vec2, (2,)),
}


@dataclass(frozen=True)
class PinholeSpec:
    """One camera: its size, its lens, its place, what it gives. Raises ValueError naming what is wrong."""

    width_px: int
    height_px: int
    hfov_rad: float
    mount: F64  # (4, 4) carrier, or world, from the camera's body: x ahead, y left, z up
    want: frozenset[str] = frozenset({"rgb"})  # of rgb and MODALITIES
    grain: bool = True  # noise of the sensor, in rgb

    def __post_init__(self) -> None:
        if not (1 <= self.width_px <= 4096 and 1 <= self.height_px <= 4096):
            raise ValueError(f"camera: found {self.width_px} x {self.height_px} px, expected 1 to 4096 each way")
        if not 0.0 < self.hfov_rad < np.pi:
            raise ValueError(
                f"camera: found a field of view of {self.hfov_rad} rad, expected more than 0, less than pi"
            )
        unknown = set(self.want) - {"rgb", *MODALITIES}
        if unknown or not self.want:
            raise ValueError(
                f"camera: found {sorted(unknown) or 'nothing'} wanted, expected some of {['rgb', *MODALITIES]}"
            )

    @staticmethod
    def of(mount: CameraMount, want: frozenset[str] = frozenset({"rgb"})) -> PinholeSpec:
        """A pinhole of a rig."""
        place = transform(mount.x_m, mount.y_m, mount.z_m, mount.yaw_rad, mount.pitch_rad)
        return PinholeSpec(mount.width_px, mount.height_px, mount.hfov_rad, place, want)


@dataclass(frozen=True)
class Shot:
    """What one camera saw at one tick; None: not wanted. Rows from the top, columns from the left."""

    world_from_camera: F64  # (4, 4), optical
    intrinsics: F64  # (3, 3)
    rgb: U8 | None  # (H, W, 3) as the sensor develops it
    depth_m: F32 | None  # (H, W) along the optical axis; inf in the sky
    semantic: U8 | None  # (H, W) labels.Semantic
    instance: I32 | None  # (H, W) actor row + 1; 0 scenery and sky
    normal: F32 | None  # (H, W, 3) unit vectors in the optical frame, towards the camera's side; 0 in the sky
    flow_px: F32 | None  # (H, W, 2) right and down, since the last picture: from where its point was shown then to here


class CameraSet:
    """All cameras of one carrier, or one free camera. The geometry must be placed for the tick before `render`."""

    def __init__(
        self, around: Surroundings, specs: Sequence[PinholeSpec], carrier_row: int | None, world: int = 0,
        reach_m: float = SHOW_M,
    ) -> None:  # fmt: skip
        """`carrier_row` None: mounts are places in the world. Actors whose origin is farther than `reach_m` from the
        carrier's (from the first camera where there is none) are not drawn."""
        self._around, self._row, self._world, self._reach_m = around, carrier_row, world, reach_m
        self._cameras = [_Camera(spec, around.geometry) for spec in specs]
        self._scenes: dict[int, _Drawn] = {}

    def move(self, camera: int, mount: F64) -> None:
        """Mount one camera elsewhere, (4, 4)."""
        self._cameras[camera].mount = mount

    def render(self, world_from_carrier: F64, tick: int, which: Sequence[int] | None = None) -> list[Shot]:
        """The pictures of a tick, of some cameras or all, in their order. `world_from_carrier`: (4, 4), the unit matrix for
        a free camera."""
        around, state, row = self._around, self._around.geometry.state, self._row
        which = range(len(self._cameras)) if which is None else which
        chosen = [self._cameras[k] for k in which]
        if not chosen:
            return []
        for camera in chosen:
            camera.place(world_from_carrier)
        eye = (world_from_carrier if row is not None else chosen[0].world_from_camera)[:2, 3]
        scenes = [self._scene(row if row is not None and is_aboard(state, row, c.mount[:3, 3], self._world) else -1)
                  for c in chosen]  # fmt: skip
        for scene in set(scenes):
            scene.update(self._world, eye, self._reach_m, any(camera.colours for camera in chosen))
        lights = {grain: around.light(*self._head_lights(world_from_carrier), grain) for grain in (False, True)}
        keys = draws(around.seed, Stream.CAMERA, tick, n=len(self._cameras))
        now = _Moment.of(state, self._world) if any(camera.moves for camera in chosen) else None

        def one(k: int) -> Shot:
            return chosen[k].shoot(scenes[k], around, lights[chosen[k].spec.grain], int(keys[which[k]]), now)

        return list(around.map(one, range(len(chosen))))

    def _scene(self, skip: int) -> _Drawn:
        if skip not in self._scenes:
            self._scenes[skip] = _Drawn(self._around, skip)
        return self._scenes[skip]

    def _head_lights(self, world_from_carrier: F64) -> tuple[F64, F64]:
        """Where they are, and where they point, in the world."""
        if has_head_lights(self._around.geometry.state, self._row, self._world):
            return (world_from_carrier @ (*HEAD_LIGHT_M, 1.0))[:3], world_from_carrier[:3, 0]
        return np.array([0.0, 0.0, -FAR_AWAY_M]), np.array([1.0, 0.0, 0.0])


@dataclass(frozen=True)
class _Moment:
    """Where all actors were at a tick."""

    kind: NDArray[np.int32]  # (A,)
    world_from_actor: F64  # (A, 4, 4)
    actor_from_world: F64

    @staticmethod
    def of(state: State, world: int) -> _Moment:
        there = poses(state, world)
        return _Moment(state.numpy("kind")[world].copy(), there, np.linalg.inv(there))


class _Drawn:
    """What the cameras of a set draw: all triangles but those of who is left out, and shadows of the same."""

    def __init__(self, around: Surroundings, skip: int) -> None:
        self._around, self._skip = around, skip
        geometry = around.geometry
        self.arrays = copied(geometry.arrays)
        self.arrays.chunk_count = wp.clone(geometry.arrays.chunk_count)
        self._cells = wp.zeros((CELLS, CELLS), dtype=wp.uint64, device=geometry.device)

    def update(self, world: int, eye: F64, reach_m: float, with_shadows: bool) -> None:
        geometry = self._around.geometry
        inputs = [
            geometry.state.arrays,
            world,
            geometry.arrays,
            wp.vec2(*eye),
            reach_m,
            self._skip,
            self.arrays.chunk_count,
        ]
        wp.launch(cull, geometry.chunks, inputs, device=geometry.device)
        if with_shadows:
            self.shadows = copied(self._around.shadows())
            self.shadows.cells = self._cells
            place_casters(self.arrays, geometry.actors, self.shadows, self._around.weather.to_sun(), *eye)


class _Camera:
    """Buffers of one camera."""

    def __init__(self, spec: PinholeSpec, geometry: Geometry) -> None:
        self.spec, self._geometry = spec, geometry
        self.colours, self.moves = "rgb" in spec.want, "flow_px" in spec.want
        self.intrinsics = intrinsics(spec.width_px, spec.height_px, spec.hfov_rad)
        self.mount = spec.mount
        self.world_from_camera: F64 = spec.mount @ BODY_FROM_OPTICAL
        self._last: tuple[F64, _Moment] | None = None
        w, h, device = spec.width_px, spec.height_px, geometry.device
        n = self._per_px = SAMPLES_PER_PX if self.colours else 1
        edge = 1 if self.colours else 0  # samples lie on the edges of pixels, or in their middles
        rows = max(min(h, (SAMPLES_MOST // (n * w + edge) - edge) // n), 1)
        self._bands = [(first, min(rows, h - first)) for first in range(0, h, rows)]
        rows = self._bands[0][1]
        v: Any = View()
        v.focal_px, v.far_m, v.width = float(self.intrinsics[0, 0]), FAR_M, n * w + edge
        v.step, v.offset = 1.0 / n, 0.5 - 0.5 * edge
        self._view, self._edge = v, edge
        self._keys = wp.zeros(v.width * (n * rows + edge), dtype=wp.int64, device=device)
        self._cover = new_cover(1, 0, 0, device)
        self._motion = wp.zeros(1 + geometry.actors, dtype=wp.mat44, device=device)
        kept = {"depth_m", "semantic", "instance"} if self.colours else set()  # that shading gives anyway
        self._pictures = {count: _picture(count, w, geometry) for _, count in self._bands if self.colours}
        self._labels = {count: _labels(count, w, spec.want - kept, device) for _, count in self._bands}
        self._describes = bool(spec.want & (MODALITIES.keys() - kept))

    def place(self, world_from_carrier: F64) -> None:
        self.world_from_camera = world_from_carrier @ (self.mount @ BODY_FROM_OPTICAL)

    def _motion_until(self, now: _Moment) -> F64:
        """(1 + A, 4, 4): the optical frame of the last picture from that of this one, as what stands and each actor move."""
        world_from_camera, then = self._last or (self.world_from_camera, now)
        self._last = self.world_from_camera, now
        known = (then.kind == now.kind)[:, None, None]  # who has come since then has not moved
        moved = np.where(known, then.world_from_actor, now.world_from_actor) @ now.actor_from_world
        return inverse(world_from_camera) @ np.concatenate([np.eye(4)[None], moved]) @ self.world_from_camera

    def shoot(self, scene: _Drawn, around: Surroundings, light: Any, grain_key: int, now: _Moment | None) -> Shot:
        spec, v = self.spec, self._view
        v.camera_from_world = wp.mat33(self.world_from_camera[:3, :3].T)
        v.position = wp.vec3(*self.world_from_camera[:3, 3])
        if self.moves and now is not None:
            self._motion.assign(self._motion_until(now).astype(np.float32))
        out: dict[str, NDArray[Any] | None] = dict.fromkeys(("rgb", *MODALITIES))
        for name in spec.want & MODALITIES.keys():
            kind, _, more = MODALITIES[name]
            out[name] = np.empty((spec.height_px, spec.width_px, *more), kind)
        if self.colours:
            out["rgb"] = np.empty((spec.height_px, spec.width_px, 3), np.uint8)
        for k, (first, count) in enumerate(self._bands):
            self._band(scene, around, light, (grain_key + k) & 0xFFFFFFFF, first, count)
            self._keep(out, first, count)
        return Shot(self.world_from_camera, self.intrinsics, **out)  # type: ignore[arg-type]

    def _band(self, scene: _Drawn, around: Surroundings, light: Any, grain_key: int, first: int, count: int) -> None:
        """Draw some rows of the picture."""
        v, w, h, device = self._view, self.spec.width_px, self.spec.height_px, self._geometry.device
        v.centre_px = wp.vec2(0.5 * w, 0.5 * h - first)
        v.height = self._per_px * count + self._edge
        self._keys.zero_()
        draw_all(scene.arrays, self._geometry.chunks, v, self._keys, self._cover)
        if self.colours:
            inputs = [scene.arrays, around.textures, scene.shadows, light, v, self._keys, *around.film]
            inputs += [wp.uint32(grain_key), self._pictures[count]]
            if wp.get_device(device).is_cuda:
                wp.launch(shade, dim=(count, w), inputs=inputs, device=device)
            else:
                wp.launch(shade_tiles, dim=(-(-count // TILE_PX[1]), -(-w // TILE_PX[0])), inputs=inputs, device=device)
        if self._describes:
            inputs = [scene.arrays, v, self._per_px, self._keys, self._motion, self._labels[count]]
            wp.launch(describe, dim=count, inputs=inputs, device=device)

    def _keep(self, out: dict[str, NDArray[Any] | None], first: int, count: int) -> None:
        """Copy a band to its place."""
        rows = slice(first, first + count)
        for name, to in out.items():
            if to is None:
                continue
            if name == "rgb":
                cv2.merge(list(self._pictures[count].rgb.numpy()), to[rows])
                continue
            shaded = self.colours and name in ("depth_m", "semantic", "instance")
            to[rows] = getattr(self._pictures[count] if shaded else self._labels[count], name).numpy()


def _picture(rows: int, width: int, geometry: Geometry) -> Any:
    p: Any = Picture()
    p.rgb = wp.zeros((3, rows, width), dtype=wp.uint8, device=geometry.device)
    for name in ("depth_m", "semantic", "instance"):
        setattr(p, name, wp.zeros((rows, width), dtype=MODALITIES[name][1], device=geometry.device))
    p.visible = wp.zeros(max(geometry.actors, 1), dtype=wp.int32, device=geometry.device)
    return p


def _labels(rows: int, width: int, want: frozenset[str], device: str) -> Any:
    out: Any = Labels()
    for name, (_, kind, _) in MODALITIES.items():
        setattr(out, name, wp.zeros((rows, width) if name in want else (0, 0), dtype=kind, device=device))
    return out
