"""A rendered data set: COCO's own reader takes it, its labels lie in the pictures, and a seed gives it again byte for byte."""

from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO

from perception.dataset import load
from scripts.dataset import render


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
        assert item["distance_m"] > 0.0 and 0.25 <= item["visibility"] <= 1.0
    samples = load(tmp_path / "one")
    assert samples.rgb.shape == (8, 3, 180, 320) and samples.classes.shape == (8, 90, 160)
    assert len(np.unique(samples.classes.numpy())) > 4
