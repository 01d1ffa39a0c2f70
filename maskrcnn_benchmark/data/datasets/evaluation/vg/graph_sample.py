"""Keeps the scene graphs of some images, for people to look at and for reports to draw."""

from __future__ import annotations

import os

import numpy as np

from .ranks import best_predicates, match_relations

IMAGES = 24
RELATIONS = 20


def sample_indices(count: int, images: int = IMAGES) -> list[int]:
    """Up to `images` indices below `count`, evenly spaced: the same for every model, chosen without looking at any."""
    return sorted(set(np.linspace(0, count - 1, min(images, count)).round().astype(int).tolist())) if count else []


def graph_of_image(
    dataset,
    index: int,
    groundtruth: tuple[np.ndarray, np.ndarray, np.ndarray],
    prediction: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    agreement: np.ndarray,
    all_boxes: bool,
) -> dict:
    """The annotated and the predicted graph of an image as plain lists.

    Args:
        groundtruth: boxes [M, 4] (xyxy in pixels of the original image), classes int [M], relations int [G, 3] of
            (subject, object, predicate).
        prediction: boxes [N, 4], classes int [N], pairs int [P, 2] best first, their scores [P, R].
        agreement: bool [N, M], see `object_agreement`.
        all_boxes: keep all predicted boxes, not only those of the first relations.

    Returns:
        `index`, `image` (path), `width`, `height`, and `ground_truth` and `prediction` with `boxes`, `names` and
        `relations`. A relation is a dictionary of `subject`, `object` (places in `boxes`), `predicate` (name); a
        predicted one also has `score` and `matches` (places of the annotated relations that it matches); the first
        `RELATIONS` are kept under graph constraint, best first, without those of an object with itself.
    """
    gt_boxes, gt_classes, gt_relations = groundtruth
    boxes, classes, pairs, scores = prediction
    shown = np.flatnonzero(pairs[:, 0] != pairs[:, 1])[:RELATIONS]
    pairs, scores = pairs[shown], scores[shown]
    relations = best_predicates(pairs, scores)
    matches = [np.flatnonzero(row).tolist() for row in match_relations(relations, gt_relations, agreement)]
    best = scores[np.arange(len(relations)), relations[:, 2]]
    if not all_boxes:
        kept, places = np.unique(relations[:, :2], return_inverse=True)
        boxes, classes = boxes[kept], classes[kept]
        relations = np.column_stack((places.reshape(-1, 2), relations[:, 2]))
    predicted = _plain(dataset, boxes, classes, relations)
    for relation, score, places in zip(predicted["relations"], best.tolist(), matches, strict=True):
        relation |= {"score": round(score, 4), "matches": places}
    info = dataset.get_img_info(index)
    return {
        "index": index,
        "image": os.path.abspath(dataset.filenames[index]),
        "width": info["width"],
        "height": info["height"],
        "ground_truth": _plain(dataset, gt_boxes, gt_classes, gt_relations),
        "prediction": predicted,
    }


def _plain(dataset, boxes: np.ndarray, classes: np.ndarray, relations: np.ndarray) -> dict:
    return {
        "boxes": np.asarray(boxes, dtype=np.float64).round(1).tolist(),
        "names": [dataset.ind_to_classes[label] for label in classes.tolist()],
        "relations": [
            {"subject": s, "predicate": dataset.ind_to_predicates[p], "object": o} for s, o, p in relations.tolist()
        ],
    }
