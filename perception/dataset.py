"""A labelled data set on disk: pictures (JPEG), masks of CARLA's semantic ids (PNG) and one COCO file.

Beside COCO's own keys an image carries `focal_px`, `matrix` (3 x 3), `distortion` (of a fisheye lens, else empty) and
`ego_from_camera` (4 x 4), and an annotation

    distance_m, yaw_rad   depth of the box's centre, heading in the ego frame
    bbox                  round the object's silhouette with what is hidden of it, as far as it lies in the picture
    visible_bbox          round the pixels that show it; full_bbox: round the whole silhouette, beyond the picture too
    visibility            share of its pixels in the picture that show it
    truncation            share of its silhouette beyond the picture (docs/sensors.md)
    ego_from_actor, size_m   the 3D box: x, y within half of length and width, z from 0 to the height in the actor's frame

The file has a list `lights` of traffic light windows (pinhole cameras only): image, u, v, side in px, and LightState
(UNKNOWN: hidden).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.io import decode_image, encode_png, read_file, write_file

from perception.lights import crop_windows, visible_heads
from perception.network import CLASS_OF_SEMANTIC, KINDS
from stack.frames import apply, inverse
from stack.labels import Kind, LightState
from stack.lanegraph import LaneGraph
from stack.messages import SensorFrame, Truth

VISIBLE_MIN = 0.25  # of an object's pixels; what is hidden more is not asked for
BOX_MIN_PX = 3.0


@dataclass
class Writer:
    """Collects frames; `close` writes the COCO file last, so a folder without it is not a data set."""

    folder: Path
    graphs: dict[str, LaneGraph] = field(default_factory=dict)
    images: list[dict[str, Any]] = field(default_factory=list)
    annotations: list[dict[str, Any]] = field(default_factory=list)
    lights: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name in ("images", "masks"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)

    def add(self, frame: SensorFrame, truth: Truth, graph: LaneGraph) -> None:
        """All cameras of one frame, with their labels."""
        world_from_ego = truth.ego.pose.matrix()
        heads = visible_heads(graph, world_from_ego)
        straight = np.array([k for k, image in enumerate(frame.cameras) if not image.distortion], np.int64)
        camera_of_head, window = crop_windows(graph, heads, world_from_ego, tuple(frame.cameras[k] for k in straight))
        camera_of_head = np.append(straight, -1)[camera_of_head]
        for k, (image, labels) in enumerate(zip(frame.cameras, truth.images, strict=True)):
            index = len(self.images)
            stem = f"{index:06d}_{image.name}"
            (self.folder / "images" / f"{stem}.jpg").write_bytes(image.jpeg)
            write_file(str(self.folder / "masks" / f"{stem}.png"), encode_png(labels.semantic[None].cpu(), 1))
            h, w = labels.semantic.shape
            self.images.append(
                {"id": index, "file_name": f"{stem}.jpg", "width": w, "height": h, "camera": image.name,
                 "focal_px": float(image.intrinsics[0, 0]), "map": graph.name, "tick": frame.tick,
                 "matrix": image.intrinsics.tolist(), "distortion": list(image.distortion),
                 "ego_from_camera": image.ego_from_camera.tolist()}
            )  # fmt: skip
            self._boxes(index, truth, k)
            mine = np.flatnonzero(camera_of_head == k)
            camera_from_world = inverse(world_from_ego @ image.ego_from_camera)
            depth = apply(camera_from_world, graph.head_xyz_m[heads[mine]])[:, 2]
            picture = labels.depth_m.cpu().numpy()
            for row, near in zip(mine, depth, strict=True):
                u, v, side = window[row]
                found = picture[min(int(v), h - 1), min(int(u), w - 1)]
                state = int(truth.signal_state[graph.head_signal[heads[row]]])
                state = state if found > near - 1.0 else int(LightState.UNKNOWN)
                self.lights.append({"image_id": index, "u": u, "v": v, "side": side, "state": state})

    def _boxes(self, index: int, truth: Truth, k: int) -> None:
        boxes, extents = truth.images[k].boxes, truth.images[k].extents
        for n in range(len(boxes.kind)):
            left, top, right, bottom = (float(value) for value in boxes.box_px[n])
            small = right - left < BOX_MIN_PX or bottom - top < BOX_MIN_PX
            if int(boxes.kind[n]) not in KINDS or boxes.score[n] < VISIBLE_MIN or small:
                continue
            self.annotations.append(
                {"id": len(self.annotations), "image_id": index, "category_id": int(boxes.kind[n]), "iscrowd": 0,
                 "bbox": [left, top, right - left, bottom - top], "area": (right - left) * (bottom - top),
                 "distance_m": float(boxes.distance_m[n]), "yaw_rad": float(boxes.yaw_rad[n]),
                 "visibility": float(boxes.score[n]), "truncation": float(extents.truncation[n]),
                 "visible_bbox": _corner_and_size(extents.visible_px[n]), "full_bbox": _corner_and_size(extents.full_px[n]),
                 "ego_from_actor": extents.ego_from_actor[n].tolist(), "size_m": extents.size_m[n].tolist()}
            )  # fmt: skip

    def close(self, info: dict[str, Any]) -> None:
        categories = [{"id": int(k), "name": Kind(k).name.lower()} for k in KINDS]
        text = json.dumps({"info": info, "categories": categories, "images": self.images,
                           "annotations": self.annotations, "lights": self.lights})  # fmt: skip
        part = self.folder / "coco.json.part"
        part.write_text(text, encoding="utf-8")
        part.replace(self.folder / "coco.json")


def _corner_and_size(box_px: NDArray[np.float32]) -> list[float]:
    """left, top, right, bottom -> COCO's left, top, width, height; [] where there is no box."""
    if np.isnan(box_px).any():
        return []
    left, top, right, bottom = box_px.tolist()
    return [left, top, right - left, bottom - top]


@dataclass(frozen=True)
class Samples:
    """A data set in memory."""

    info: dict[str, Any]  # of whoever made it: maps, seed, frames, minutes
    rgb: Tensor  # (N, 3, H, W) uint8
    classes: Tensor  # (N, H/2, W/2) uint8, index into network.CLASSES
    focal_px: Tensor  # (N,)
    boxes: list[Tensor]  # (n, 4) px
    kinds: list[Tensor]
    distance_m: list[Tensor]
    yaw_rad: list[Tensor]
    lights: NDArray[np.float64]  # (L, 5) image, u, v, side, state


def load(folder: Path) -> Samples:
    """A data set in memory; ValueError where the folder holds none."""
    path = folder / "coco.json"
    if not path.is_file():
        raise ValueError(f"{folder}: no coco.json, so not a finished data set; `ringroad dataset` makes one")
    coco = json.loads(path.read_text(encoding="utf-8"))
    rows: list[list[dict[str, Any]]] = [[] for _ in coco["images"]]
    for annotation in coco["annotations"]:
        rows[annotation["image_id"]].append(annotation)
    sizes = {(image["width"], image["height"], not image.get("distortion")) for image in coco["images"]}
    if len(sizes) > 1 or not all(plain for _, _, plain in sizes):
        raise ValueError(
            f"{path}: found pictures of (width, height, pinhole) {sorted(sizes)}, expected one size, pinhole"
        )
    rgb, classes = [], []
    for image in coco["images"]:
        rgb.append(decode_image(read_file(str(folder / "images" / image["file_name"]))))
        mask = decode_image(read_file(str(folder / "masks" / (Path(image["file_name"]).stem + ".png"))))[0]
        classes.append(CLASS_OF_SEMANTIC[mask[::2, ::2].long()])

    def column(name: str, width: int = 0) -> list[Tensor]:
        shape = (-1, width) if width else (-1,)
        return [torch.tensor([r[name] for r in image], dtype=torch.float32).reshape(shape) for image in rows]

    boxes = column("bbox", 4)
    for box in boxes:
        box[:, 2:] += box[:, :2]
    lights = np.array([[l["image_id"], l["u"], l["v"], l["side"], l["state"]] for l in coco["lights"]], np.float64)
    return Samples(
        coco["info"], torch.stack(rgb), torch.stack(classes), torch.tensor([i["focal_px"] for i in coco["images"]]), boxes,
        column("category_id"), column("distance_m"), column("yaw_rad"), lights.reshape(-1, 5),
    )  # fmt: skip
