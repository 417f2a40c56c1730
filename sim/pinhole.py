"""One pinhole camera on the embedded world: its buffers, and how they are filled and read."""

from __future__ import annotations

from typing import Any

import warp as wp
from torchvision.io import ImageReadMode, decode_jpeg, encode_jpeg

from sim.geometry import Geometry
from sim.kernels.raster import View, clear_cover, draw_all, new_cover
from sim.kernels.shade import TILE_PX, Picture, shade, shade_tiles
from sim.sightings import Sightings
from stack.frames import BODY_FROM_OPTICAL, F64, Pose, transform
from stack.loop import TICK_S
from stack.messages import CameraImage, CameraMount, TruthImages

JPEG_QUALITY = 90
FAR_M = 500.0
SAMPLES_PER_PX = 2  # each way


class Camera:
    """Buffers of one camera: an ideal pinhole, whose picture is shaded in one pass."""

    def __init__(self, mount: CameraMount, geometry: Geometry) -> None:
        self.mount, self._device = mount, geometry.device
        w, h = mount.width_px, mount.height_px
        self.ego_from_camera = (
            transform(mount.x_m, mount.y_m, mount.z_m, mount.yaw_rad, mount.pitch_rad) @ BODY_FROM_OPTICAL
        )
        self.intrinsics = mount.matrix()
        self.world_from_camera = self.ego_from_camera
        v: Any = View()
        v.focal_px, v.centre_px, v.far_m = float(self.intrinsics[0, 0]), wp.vec2(0.5 * w, 0.5 * h), FAR_M
        v.width, v.height = SAMPLES_PER_PX * w + 1, SAMPLES_PER_PX * h + 1
        v.step, v.offset = 1.0 / SAMPLES_PER_PX, 0.0
        self._view = v
        self._keys = wp.zeros(v.width * v.height, dtype=wp.int64, device=self._device)
        self._cover = new_cover(geometry.actors, v.width, v.height, self._device)
        p: Any = Picture()
        p.rgb = wp.zeros((3, h, w), dtype=wp.uint8, device=self._device)
        p.depth_m = wp.zeros((h, w), dtype=wp.float32, device=self._device)
        p.semantic = wp.zeros((h, w), dtype=wp.uint8, device=self._device)
        p.instance = wp.zeros((h, w), dtype=wp.int32, device=self._device)
        p.visible = wp.zeros(max(geometry.actors, 1), dtype=wp.int32, device=self._device)
        self._picture = p
        self._sightings = Sightings(mount, geometry)
        self._chunks, self._actors = geometry.chunks, geometry.actors

    def draw(self, world_from_ego: F64, shared: tuple[Any, ...], film: tuple[Any, Any], grain_key: int) -> None:
        """Fill the buffers."""
        self.world_from_camera = world_from_ego @ self.ego_from_camera
        self._view.camera_from_world = wp.mat33(self.world_from_camera[:3, :3].T)
        self._view.position = wp.vec3(*self.world_from_camera[:3, 3])
        self._picture.visible.zero_()
        self._see(shared[0])
        self._expose(shared, film, grain_key)

    def _see(self, geometry: Any) -> None:
        """Which triangle each sample sees, and the actors' silhouettes."""
        self._keys.zero_()
        wp.launch(clear_cover, dim=self._actors, inputs=[self._cover], device=self._device)
        draw_all(geometry, self._chunks, self._view, self._keys, self._cover)

    def _expose(self, shared: tuple[Any, ...], film: tuple[Any, Any], grain_key: int) -> None:
        """The picture in all its modalities."""
        w, h, device = self.mount.width_px, self.mount.height_px, self._device
        inputs = [*shared, self._view, self._keys, *film, wp.uint32(grain_key), self._picture]
        if wp.get_device(device).is_cuda:
            wp.launch(shade, dim=(h, w), inputs=inputs, device=device)
        else:
            wp.launch(shade_tiles, dim=(-(-h // TILE_PX[1]), -(-w // TILE_PX[0])), inputs=inputs, device=device)

    def image(self, tick: int) -> CameraImage:
        """The quantised picture."""
        rgb = wp.to_torch(self._picture.rgb)
        jpeg = encode_jpeg(rgb.cpu(), quality=JPEG_QUALITY)
        decoded = decode_jpeg(jpeg, mode=ImageReadMode.RGB).to(rgb.device)
        data = jpeg.numpy().tobytes()
        mount = self.mount
        return CameraImage(
            mount.name, tick * TICK_S, data, decoded, self.intrinsics, self.ego_from_camera, mount.distortion
        )

    def truth(self, ego: Pose) -> TruthImages:
        """Copies of the other modalities, and the labels of all actors that can be seen."""
        p = self._picture
        semantic, instance, depth = (wp.to_torch(a).clone() for a in (p.semantic, p.instance, p.depth_m))
        labels = self._sightings(ego, self.world_from_camera, self._view, self._cover, p)
        return TruthImages(semantic, instance, depth, *labels)
