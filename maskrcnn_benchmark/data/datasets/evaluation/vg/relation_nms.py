"""Suppression of equal relations between boxes that overlap, before relations are counted (PE-Net's evaluation).

Zheng et al., Prototype-based Embedding Network for Scene Graph Generation, CVPR 2023; their evaluator took it from
RU-Net and HL-Net (Lin et al., CVPR 2022).
"""

from __future__ import annotations

import numpy as np

from maskrcnn_benchmark.utils.miscellaneous import bbox_overlaps


def rel_nms(
    pred_boxes: np.ndarray, pred_classes: np.ndarray, pred_rel_inds: np.ndarray, rel_scores: np.ndarray,
    nms_thresh: float = 0.5,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Label every pair anew: the best predicate that no better pair of the same place and classes has taken.

    Of all scores left, the largest gives its pair its predicate, which is then taken for the pairs of the same two
    classes whose boxes both overlap with an IoU of `nms_thresh` or more; and so on until every pair has one. (The
    original also asks that the two pairs' scores have an L2,1 norm of more than 0.7; that of two probability
    distributions is never below 1.41.)

    Args:
        pred_boxes, pred_classes: [N, 4] (xyxy in pixels, inclusive corners) and int [N].
        pred_rel_inds: int [P, 2] of (subject index, object index).
        rel_scores: probabilities [P, R], background first.

    Returns:
        predicates int64 [P], 0 for pairs whose predicates have all been taken; and their scores [P].
    """
    scores = rel_scores.copy()
    scores[:, 0] = 0
    labels = scores.argmax(1)
    overlaps = bbox_overlaps(pred_boxes, pred_boxes) >= nms_thresh
    # Pairs of different classes never meet, so each combination of classes is a problem of its own.
    classes = pred_classes[pred_rel_inds]
    _, group = np.unique(classes, axis=0, return_inverse=True)
    group = group.ravel()
    order = np.argsort(group, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(group[order])) + 1):
        if len(rows) > 1:
            subjects, objects = pred_rel_inds[rows].T
            together = overlaps[subjects[:, None], subjects] & overlaps[objects[:, None], objects]
            labels[rows] = _take_in_turn(scores[rows], together)
    return labels, rel_scores[np.arange(len(labels)), labels]


def _take_in_turn(scores: np.ndarray, together: np.ndarray) -> np.ndarray:
    """Predicates of pairs [P, R] that take them in turn from those `together` with them, bool [P, P]."""
    labels = np.zeros(len(scores), dtype=np.int64)
    left = np.ones(len(scores), dtype=bool)
    while left.any():
        row, label = np.unravel_index(scores.argmax(), scores.shape)
        labels[row], left[row] = label, False
        scores[row] = -1
        scores[together[row] & left, label] = 0
    return labels


def relabel(
    boxes: np.ndarray, classes: np.ndarray, obj_scores: np.ndarray, pairs: np.ndarray, rel_scores: np.ndarray,
    threshold: float,
) -> np.ndarray:  # fmt: skip
    """Relations int [P, 3] after `rel_nms`, best first as PE-Net sorts them.

    That is by the score of the predicate times the squared score of the subject: its evaluator has the subject where
    the object was meant, and its published numbers were made so. In PredCls all scores of objects are 1.
    """
    labels, scores = rel_nms(boxes, classes, pairs, rel_scores, threshold)
    order = np.argsort(-(scores * obj_scores[pairs[:, 0]] ** 2), kind="stable")
    return np.column_stack((pairs, labels))[order]
