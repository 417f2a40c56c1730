"""A rendered data set: COCO's own reader takes it, its labels lie in the pictures, and a seed gives it again byte for byte."""

from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO

from perception.dataset import load
from scripts.dataset import render
from stack.frames import apply, box_corners, inverse, project


@pytest.mark.slow
def test_a_data_set_is_read_by_coco_and_repeats(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("one", "two"):
        render(tmp_path / name, ["town_a"], 4, seed=3, say=lambda text: None)
    pictures = sorted((tmp_path / "one" / "images").iterdir())
    assert len(pictures) == 8  # two cameras
    for picture in pictures:
        assert picture.read_bytes() == (tmp_path / "two" / "images" / picture.name).read_bytes()
    coco = COCO(str(tmp_path / "one" / "coco.json"))
    capsys.readouterr()
    assert len(coco.getImgIds()) == 8 and len(coco.getAnnIds()) > 0
    for item in coco.loadAnns(coco.getAnnIds()):
        left, top, width, height = item["bbox"]
        assert left >= 0 and top >= 0 and left + width <= 320 and top + height <= 180
        assert item["distance_m"] > 0.0 and 0.25 <= item["visibility"] <= 1.0 and 0.0 <= item["truncation"] < 1.0
        image = coco.loadImgs(item["image_id"])[0]
        x, y, wide, high = item["visible_bbox"]
        assert x >= left - 1 and y >= top - 1 and x + wide <= left + width + 1 and y + high <= top + height + 1
        ego_from_actor, ego_from_camera = np.array(item["ego_from_actor"]), np.array(image["ego_from_camera"])
        corners = apply(inverse(ego_from_camera) @ ego_from_actor, box_corners(*item["size_m"])[0])
        pixels, depth = project(np.array(image["matrix"]), corners)
        if depth.min() > 0.1:  # the 3D box in the picture holds the 2D box round the whole silhouette
            x, y, wide, high = item["full_bbox"]
            assert (pixels.min(axis=0) < (x + 1, y + 1)).all() and (
                pixels.max(axis=0) > (x + wide - 1, y + high - 1)
            ).all()
    samples = load(tmp_path / "one")
    assert samples.rgb.shape == (8, 3, 180, 320) and samples.classes.shape == (8, 90, 160)
    assert len(np.unique(samples.classes.numpy())) > 4
