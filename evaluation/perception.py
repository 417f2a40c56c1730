"""What perception believed against what was there: boxes, segmentation, the car's own place, tracks.

Average precision follows COCO (Lin et al., 2014; pycocotools' matching and 101-point interpolation), segmentation the
Jaccard index over the whole set, honesty of a covariance the normalised estimation error squared (Bar-Shalom et al.,
2001, section 5.4), tracking HOTA (Luiten et al., 2021). docs/scores.md has the definitions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from stack.frames import F64, wrap
from stack.labels import Kind, Semantic
from stack.messages import Actors, Detections, Ego
from stack.scenearrays import LEVEL_M, LEVEL_SHARE

IOUS = np.linspace(0.5, 0.95, 10)  # COCO's thresholds; the first is AP50's
RECALLS = np.linspace(0.0, 1.0, 101)
BOXES_MAX = 100  # for each picture and class, best first
TRACK_MATCH_M = 2.0  # a track belongs to an actor no farther away (nuScenes' true positives)
TRACK_RANGE_M = 40.0
NEAREST_M = 1.0  # what is nearer, or beside the camera, has no distance to be a share of
HOTA_REACH_M = 4.0  # similarity falls from 1 to 0 over this distance
HOTA_ALPHAS = np.linspace(0.05, 0.95, 19)

Wanted = tuple[Any, Any, Any]  # boxes (n, 4) px left, top, right, bottom; kinds (n,); distances (n,) m


# ---------------------------------------------------------------- boxes


def box_iou(a: F64, b: F64) -> F64:
    """(n, m) intersection over union of (n, 4) and (m, 4) boxes."""
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    common = np.clip(high - low, 0.0, None).prod(axis=-1)
    areas = [(x[:, 2] - x[:, 0]) * (x[:, 3] - x[:, 1]) for x in (a, b)]
    union: F64 = areas[0][:, None] + areas[1][None] - common
    return common / np.maximum(union, 1e-12)


def match_boxes(iou: F64, at_least: float) -> NDArray[np.int64]:
    """(n,) the wanted box of each found one, best score first, or -1: each takes the best that is still free."""
    out = np.full(len(iou), -1)
    free = np.ones(iou.shape[1], bool)
    for k, row in enumerate(iou):
        masked = np.where(free, row, -1.0)
        if free.any() and masked.max() >= at_least:
            out[k] = int(np.argmax(masked))
            free[out[k]] = False
    return out


def average_precision(score: F64, hit: NDArray[np.bool_], wanted: int) -> float:
    """Area under the precision-recall curve, COCO's way: precision made monotone, read at 101 recalls."""
    if wanted == 0 or len(score) == 0:
        return 0.0
    order = np.argsort(-score, kind="mergesort")
    right = np.cumsum(hit[order])
    recall = right / wanted
    precision = np.maximum.accumulate((right / np.arange(1, len(right) + 1))[::-1])[::-1]
    at = np.searchsorted(recall, RECALLS, side="left")
    return float(np.where(at < len(precision), precision[np.minimum(at, len(precision) - 1)], 0.0).mean())


def detection_scores(found: Sequence[Detections], wanted: Sequence[Wanted]) -> dict[str, float]:
    """`map50`, `map` (mean over IoU 0.50 to 0.95), `ap50_<kind>` of the kinds that occur, and `distance_error`.

    One item for each picture. `distance_error` is the mean of |found - wanted| / wanted, or over NEAREST_M where that is
    more, of the boxes matched at IoU 0.5 (0 where there are none). Raises ValueError where the lengths differ.
    """
    if len(found) != len(wanted):
        raise ValueError(f"detection scores: found boxes of {len(found)} pictures, expected {len(wanted)}")
    truth = [tuple(np.asarray(x, np.float64) for x in item) for item in wanted]
    kinds = sorted({int(k) for _, kind, _ in truth for k in kind})
    ap: dict[int, F64] = {}
    errors: list[F64] = []
    for kind in kinds:
        scores, hits, total = [], [], 0
        for d, (boxes, of_kind, distance) in zip(found, truth, strict=True):
            rows = np.flatnonzero(d.kind == kind)
            rows = rows[np.argsort(-d.score[rows], kind="mergesort")][:BOXES_MAX]
            mine = np.flatnonzero(of_kind == kind)
            iou = box_iou(d.box_px[rows].astype(np.float64), boxes.reshape(-1, 4)[mine])
            matches = np.stack([match_boxes(iou, t) for t in IOUS])
            true = matches[0] >= 0
            metres = distance[mine[matches[0][true]]]
            errors.append(np.abs(d.distance_m[rows[true]] - metres) / np.maximum(metres, NEAREST_M))
            scores.append(d.score[rows].astype(np.float64))
            hits.append(matches >= 0)
            total += len(mine)
        score, hit = np.concatenate(scores), np.concatenate(hits, axis=1)
        ap[kind] = np.array([average_precision(score, row, total) for row in hit])
    error = np.concatenate(errors) if errors else np.zeros(0)
    return {
        "map50": float(np.mean([a[0] for a in ap.values()])) if ap else 0.0,
        "map": float(np.mean([a.mean() for a in ap.values()])) if ap else 0.0,
        **{f"ap50_{Kind(kind).name.lower()}": float(a[0]) for kind, a in ap.items()},
        "distance_error": float(error.mean()) if len(error) else 0.0,
    }


# ---------------------------------------------------------------- segmentation


def miou(found: Iterable[Any], wanted: Iterable[Any], merge: Any = None) -> dict[str, float]:
    """`miou` over the classes that occur in `wanted`, and `iou_<class>`: intersection over union of the whole set.

    Pairs of (h, w) and (H, W) maps of Semantic ids, numpy or torch; a coarser map is repeated up to the size of the
    wanted one. `merge` (29,): the class that stands for each id on both sides, for a network that tells fewer apart.
    """
    n = len(Semantic)
    table = np.arange(n) if merge is None else np.asarray(merge, np.int64)
    confusion = np.zeros((n, n), np.int64)
    for guess, truth in zip(found, wanted, strict=True):
        g, t = np.asarray(guess, np.int64), np.asarray(truth, np.int64)
        rows, columns = (np.arange(t.shape[k]) * g.shape[k] // t.shape[k] for k in (0, 1))
        g = g[rows[:, None], columns[None]]
        confusion += np.bincount(table[t].ravel() * n + table[g].ravel(), minlength=n * n).reshape(n, n)
    hit = np.diag(confusion)
    union = confusion.sum(axis=0) + confusion.sum(axis=1) - hit
    iou = {k: float(hit[k] / union[k]) for k in range(n) if confusion[k].any()}
    return {
        "miou": float(np.mean(list(iou.values()))) if iou else 0.0,
        **{f"iou_{Semantic(k).name.lower()}": value for k, value in iou.items()},
    }


# ---------------------------------------------------------------- the car's own place


def localisation_scores(estimates: Sequence[Ego], truths: Sequence[Ego]) -> dict[str, float]:
    """Errors of the estimated pose in the true car's axes (m, rad), and NEES over x, y, yaw.

    NEES has mean 3 where the covariance is honest; `nees_share` is the share of ticks within its 95 % bounds. Both are
    left out where the covariances are all zero (an oracle).
    """
    if len(estimates) != len(truths) or not truths:
        raise ValueError(f"localisation scores: found {len(estimates)} estimates, expected {max(len(truths), 1)}")
    yaw = np.array([t.pose.yaw_rad for t in truths])
    dx = np.array([e.pose.x_m - t.pose.x_m for e, t in zip(estimates, truths, strict=True)])
    dy = np.array([e.pose.y_m - t.pose.y_m for e, t in zip(estimates, truths, strict=True)])
    turn = wrap(np.array([e.pose.yaw_rad for e in estimates]) - yaw)
    speed = np.array([e.speed_mps - t.speed_mps for e, t in zip(estimates, truths, strict=True)])
    errors = {
        "lateral_m": np.abs(dy * np.cos(yaw) - dx * np.sin(yaw)),
        "longitudinal_m": np.abs(dx * np.cos(yaw) + dy * np.sin(yaw)),
        "heading_rad": np.abs(turn),
        "speed_mps": np.abs(speed),
    }
    out = {f"{name}_mean": float(e.mean()) for name, e in errors.items()}
    out |= {f"{name}_p95": float(np.percentile(e, 95.0)) for name, e in errors.items()}
    covariance = np.array([e.covariance[:3, :3] for e in estimates])
    known = np.linalg.det(covariance) > 0.0
    if known.any():
        error = np.stack([dx, dy, turn], axis=-1)[known]
        value = np.einsum("ni,nij,nj->n", error, np.linalg.inv(covariance[known]), error)
        out |= {"nees_mean": float(value.mean()), "nees_share": float(((value > 0.216) & (value < 9.348)).mean())}
    return out


# ---------------------------------------------------------------- tracks


def _within(actors: Actors, ego: Ego, range_m: float) -> Actors:
    """Those nearer than the range, on the ego's storey; no props."""
    apart = np.hypot(actors.xyz_m[:, 0] - ego.pose.x_m, actors.xyz_m[:, 1] - ego.pose.y_m)
    level = np.abs(actors.xyz_m[:, 2] - ego.pose.z_m) < LEVEL_M + LEVEL_SHARE * apart
    return actors.take(np.flatnonzero((apart < range_m) & level & (actors.kind != Kind.PROP)))


def _apart(a: Actors, b: Actors) -> F64:
    delta = a.xyz_m[:, None, :2] - b.xyz_m[None, :, :2]
    return np.hypot(delta[..., 0], delta[..., 1])


def tracking_scores(
    tracks: Sequence[Actors], truths: Sequence[Actors], egos: Sequence[Ego], range_m: float = TRACK_RANGE_M
) -> dict[str, float]:
    """Recall, precision, position and speed errors of matched tracks, identity switches, HOTA; one item for each tick.

    Actors within `range_m` of the true ego and on its storey count, props do not. Tracks are matched one to one by least
    distance, within TRACK_MATCH_M. A track whose actor lies just outside the range is neither right nor wrong.
    """
    if not len(tracks) == len(truths) == len(egos):
        raise ValueError(f"tracking scores: found {len(tracks)} tracks, {len(truths)} truths, {len(egos)} egos")
    hit, found, wanted, switches = 0, 0, 0, 0
    position, speed = [], []
    last: dict[int, int] = {}
    pairs: list[tuple[Actors, Actors]] = []
    for track, truth, ego in zip(tracks, truths, egos, strict=True):
        mine, there = _within(track, ego, range_m), _within(truth, ego, range_m)
        beyond = _within(truth, ego, range_m + TRACK_MATCH_M)
        near_beyond = _apart(mine, beyond).min(axis=1, initial=np.inf) < TRACK_MATCH_M
        near_inside = _apart(mine, there).min(axis=1, initial=np.inf) < TRACK_MATCH_M
        mine = mine.take(np.flatnonzero(near_inside | ~near_beyond))
        pairs.append((mine, there))
        apart = _apart(mine, there)
        rows, columns = linear_sum_assignment(np.where(apart < TRACK_MATCH_M, apart, 1e6))
        good = apart[rows, columns] < TRACK_MATCH_M
        rows, columns = rows[good], columns[good]
        position.append(apart[rows, columns])
        speed.append(np.linalg.norm(mine.velocity_mps[rows] - there.velocity_mps[columns], axis=1))
        for r, c in zip(mine.id[rows].tolist(), there.id[columns].tolist(), strict=True):
            switches += last.get(c, r) != r
            last[c] = r
        hit, found, wanted = hit + len(rows), found + len(mine), wanted + len(there)
    where, how_fast = np.concatenate([*position, np.zeros(0)]), np.concatenate([*speed, np.zeros(0)])
    return {
        "recall": hit / max(wanted, 1),
        "precision": hit / max(found, 1),
        "position_error_m": float(where.mean()) if len(where) else 0.0,
        "speed_error_mps": float(how_fast.mean()) if len(how_fast) else 0.0,
        "identity_switches": switches,
        **hota(pairs),
    }


def _index(ids: Iterable[int]) -> dict[int, int]:
    return {k: n for n, k in enumerate(sorted(set(ids)))}


def hota(pairs: Sequence[tuple[Actors, Actors]]) -> dict[str, float]:
    """`hota`, `deta` and `assa` of (tracks, truths) for each tick, mean over 19 thresholds of similarity.

    Similarity is 1 - distance / HOTA_REACH_M, at least 0. Matching as in TrackEval: by similarity, weighted by how well
    the two identities agree over the whole sequence.
    """
    rows_of = _index(k for a, _ in pairs for k in a.id.tolist())
    columns_of = _index(k for _, b in pairs for k in b.id.tolist())
    shape = (len(rows_of), len(columns_of))
    if 0 in shape:
        return {"hota": 0.0, "deta": 0.0, "assa": 0.0}
    ticks = []
    together, row_count, column_count = np.zeros(shape), np.zeros(shape[0]), np.zeros(shape[1])
    for a, b in pairs:
        r, c = np.array([rows_of[k] for k in a.id.tolist()], int), np.array([columns_of[k] for k in b.id.tolist()], int)
        similar = np.clip(1.0 - _apart(a, b) / HOTA_REACH_M, 0.0, 1.0)
        share = similar.sum(axis=0)[None] + similar.sum(axis=1)[:, None] - similar
        together[r[:, None], c[None]] += np.divide(similar, share, out=np.zeros_like(similar), where=share > 0.0)
        row_count[r] += 1
        column_count[c] += 1
        ticks.append((r, c, similar))
    agree = together / np.maximum(row_count[:, None] + column_count[None] - together, 1e-12)
    matched = np.zeros((len(HOTA_ALPHAS), *shape))
    for r, c, similar in ticks:
        i, j = linear_sum_assignment(-agree[r[:, None], c[None]] * similar)
        for k, alpha in enumerate(HOTA_ALPHAS):
            good = similar[i, j] >= alpha - 1e-12
            matched[k, r[i[good]], c[j[good]]] += 1
    hits = matched.sum(axis=(1, 2))
    detection = hits / np.maximum(row_count.sum() + column_count.sum() - hits, 1.0)
    overlap = matched / np.maximum(row_count[None, :, None] + column_count[None, None] - matched, 1.0)
    association = (matched * overlap).sum(axis=(1, 2)) / np.maximum(hits, 1.0)
    return {
        "hota": float(np.sqrt(detection * association).mean()),
        "deta": float(detection.mean()),
        "assa": float(association.mean()),
    }
