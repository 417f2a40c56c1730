"""Perception scores against pycocotools, torchmetrics and hand-worked cases."""

from __future__ import annotations

import contextlib
import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from steps import actors_at, ego_at

from evaluation.perception import detection_scores, localisation_scores, miou, tracking_scores
from stack.labels import Kind, Semantic
from stack.messages import Actors, Detections


def pictures(n: int, seed: int) -> tuple[list[Detections], list[tuple[Any, Any, Any]]]:
    """Wanted boxes, and found ones: some shifted, some missing, some made up, with tied scores among them."""
    rng = np.random.default_rng(seed)
    found, wanted = [], []
    for _ in range(n):
        count = int(rng.integers(0, 8))
        corner, size = rng.uniform(0, 250, (count, 2)), rng.uniform(10, 60, (count, 2))
        boxes, kinds = np.concatenate([corner, corner + size], axis=1), rng.integers(1, 4, count)
        keep = rng.random(count) < 0.8
        shifted = boxes[keep] + rng.normal(0, 2.5, (int(keep.sum()), 4))
        extra = int(rng.integers(0, 4))
        invented = np.concatenate([p := rng.uniform(0, 250, (extra, 2)), p + 30], axis=1)
        guess = np.concatenate([shifted, invented]).astype(np.float32)
        guess[:, 2:] = np.maximum(guess[:, 2:], guess[:, :2] + 1)
        kind = np.concatenate([kinds[keep], rng.integers(1, 4, extra)]).astype(np.uint8)
        score = np.round(rng.random(len(guess)), 1).astype(np.float32)
        zeros = np.zeros(len(guess), np.float32)
        found.append(Detections(guess, kind, score, zeros + 11.0, zeros, np.full(len(guess), -1, np.int32)))
        wanted.append((boxes.astype(np.float32), kinds, np.full(count, 10.0)))
    return found, wanted


def coco(found: list[Detections], wanted: list[tuple[Any, Any, Any]]) -> dict[str, float]:
    """pycocotools' map, map50 and AP50 of each kind."""
    pycocotools = pytest.importorskip("pycocotools.coco")
    cocoeval = pytest.importorskip("pycocotools.cocoeval")
    truth = pycocotools.COCO()
    rows = [
        (k, box, int(kind))
        for k, (boxes, kinds, _) in enumerate(wanted)
        for box, kind in zip(boxes, kinds, strict=True)
    ]
    truth.dataset = {
        "images": [{"id": k} for k in range(len(wanted))],
        "categories": [{"id": k} for k in sorted({kind for _, _, kind in rows})],
        "annotations": [
            {"id": n + 1, "image_id": k, "category_id": kind, "iscrowd": 0, "bbox": [*b[:2], b[2] - b[0], b[3] - b[1]],
             "area": (b[2] - b[0]) * (b[3] - b[1])} for n, (k, b, kind) in enumerate(rows)
        ],
    }  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        results = truth.loadRes([
            {"image_id": k, "category_id": int(kind), "score": float(score), "bbox": [*b[:2], b[2] - b[0], b[3] - b[1]]}
            for k, d in enumerate(found) for b, kind, score in zip(d.box_px.astype(float), d.kind, d.score, strict=True)
        ])  # fmt: skip
        run = cocoeval.COCOeval(truth, results, "bbox")
        run.evaluate()
        run.accumulate()
        run.summarize()
    precision = run.eval["precision"][0, :, :, 0, 2]  # at IoU 0.5: (recall, class)
    names = {f"ap50_{Kind(k).name.lower()}": float(precision[:, n].mean()) for n, k in enumerate(run.params.catIds)}
    return {"map": float(run.stats[0]), "map50": float(run.stats[1]), **names}


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_average_precision_is_cocos(seed: int):
    found, wanted = pictures(30, seed)
    ours = detection_scores(found, wanted)
    for name, value in coco(found, wanted).items():
        assert ours[name] == pytest.approx(value, abs=1e-6), name
    assert ours["distance_error"] == pytest.approx(0.1)


def test_average_precision_is_torchmetrics():
    detection = pytest.importorskip("torchmetrics.detection")
    found, wanted = pictures(20, 7)
    metric = detection.MeanAveragePrecision(backend="pycocotools")
    metric.update(
        [{"boxes": torch.tensor(d.box_px), "scores": torch.tensor(d.score), "labels": torch.tensor(d.kind.astype(int))}
         for d in found],
        [{"boxes": torch.tensor(b), "labels": torch.tensor(k)} for b, k, _ in wanted],
    )  # fmt: skip
    assert detection_scores(found, wanted)["map50"] == pytest.approx(float(metric.compute()["map_50"]), abs=1e-5)


def test_detection_of_nothing_and_of_everything():
    _, wanted = pictures(5, 3)
    none = [Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.uint8), *[np.zeros(0, np.float32)] * 3,
                       np.zeros(0, np.int32)) for _ in wanted]  # fmt: skip
    assert detection_scores(none, wanted)["map50"] == 0.0
    exact = [
        Detections(b, k.astype(np.uint8), np.ones(len(k), np.float32), d.astype(np.float32), np.zeros(len(k), np.float32),
                   np.zeros(len(k), np.int32)) for b, k, d in wanted
    ]  # fmt: skip
    scores = detection_scores(exact, wanted)
    assert (scores["map"], scores["distance_error"]) == (pytest.approx(1.0), 0.0)
    with pytest.raises(ValueError, match="found boxes of 4 pictures, expected 5"):
        detection_scores(none[:4], wanted)


def test_miou_is_torchmetrics_and_takes_coarser_maps():
    classification = pytest.importorskip("torchmetrics.classification")
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 4, (6, 40, 60))
    guess = np.where(rng.random(truth.shape) < 0.7, truth, rng.integers(0, 4, truth.shape))
    ours = miou(guess, truth)
    theirs = classification.MulticlassJaccardIndex(num_classes=4, average="macro")
    assert ours["miou"] == pytest.approx(float(theirs(torch.tensor(guess), torch.tensor(truth))), abs=1e-6)
    coarse = rng.integers(0, 3, (2, 10, 15))
    assert miou(coarse, coarse.repeat(4, 1).repeat(4, 2))["miou"] == 1.0
    merge = np.arange(len(Semantic))
    merge[Semantic.BUS] = Semantic.TRUCK
    bus, truck = np.full((1, 4, 4), Semantic.BUS), np.full((1, 4, 4), Semantic.TRUCK)
    assert miou(truck, bus)["miou"] == 0.0
    assert miou(truck, bus, merge) == {"miou": 1.0, "iou_truck": 1.0}


def test_localisation_errors_lie_in_the_cars_axes():
    truth = ego_at(10.0, 20.0, np.pi / 2)  # heading along y: its left is -x
    estimate = replace(ego_at(9.7, 20.5, np.pi / 2 + 0.01, 8.2), covariance=np.eye(5))
    scores = localisation_scores([estimate], [truth])
    assert scores["lateral_m_mean"] == pytest.approx(0.3)
    assert scores["longitudinal_m_mean"] == pytest.approx(0.5)
    assert scores["heading_rad_p95"] == pytest.approx(0.01)
    assert scores["nees_mean"] == pytest.approx(0.3**2 + 0.5**2 + 0.01**2)
    assert "nees_mean" not in localisation_scores([truth], [truth])


def test_nees_of_an_honest_estimate_is_three():
    rng = np.random.default_rng(1)
    covariance = np.diag([0.04, 0.09, 0.0004, 0.01, 0.001])
    errors = rng.multivariate_normal(np.zeros(3), covariance[:3, :3], 4000)
    estimates = [replace(ego_at(*row), covariance=covariance) for row in errors]
    scores = localisation_scores(estimates, [ego_at(0.0)] * 4000)
    assert scores["nees_mean"] == pytest.approx(3.0, abs=0.15)
    assert scores["nees_share"] == pytest.approx(0.95, abs=0.015)


def test_tracking_counts_matches_within_range():
    truth = actors_at([(10.0, 0.0), (20.0, 3.0), (80.0, 0.0)])  # the last is out of range
    track = actors_at([(10.5, 0.0), (-15.0, 9.0)], speed_mps=6.0)  # one good, one ghost
    scores = tracking_scores([track] * 3, [truth] * 3, [ego_at(0.0)] * 3)
    assert scores["recall"] == pytest.approx(0.5)
    assert scores["precision"] == pytest.approx(0.5)
    assert scores["position_error_m"] == pytest.approx(0.5)
    assert scores["speed_error_mps"] == pytest.approx(1.0)
    assert scores["identity_switches"] == 0


def test_who_drives_over_a_bridge_above_is_not_asked_for():
    truth = actors_at([(10.0, 0.0), (20.0, 3.0)])
    truth.xyz_m[1, 2] += 6.0
    scores = tracking_scores([actors_at([(10.0, 0.0)])], [truth], [ego_at(0.0)])
    assert (scores["recall"], scores["precision"]) == (1.0, 1.0)


def test_hota_of_perfect_tracks_and_of_a_switched_identity():
    truth = [actors_at([(10.0 + k, 0.0), (20.0 + k, 5.0)]) for k in range(20)]
    egos = [ego_at(0.0)] * 20
    assert tracking_scores(truth, truth, egos)["hota"] == pytest.approx(1.0)
    renamed = [replace(a, id=a.id + (10 if k >= 10 else 0)) for k, a in enumerate(truth)]
    scores = tracking_scores(renamed, truth, egos)
    assert scores["identity_switches"] == 2
    # each track covers half of its actor: association 10 / (10 + 20 - 10) = 1/2, detection 1
    assert scores["assa"] == pytest.approx(0.5)
    assert scores["hota"] == pytest.approx(np.sqrt(0.5))
    assert tracking_scores([Actors.empty()] * 20, truth, egos)["hota"] == 0.0
