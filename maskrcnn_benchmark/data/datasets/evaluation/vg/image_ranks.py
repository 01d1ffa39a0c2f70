"""One image: its annotated and its predicted graph as arrays, and the ranks that a protocol gives."""

from __future__ import annotations

import logging
from typing import NamedTuple

import numpy as np

from .protocol import Protocol
from .ranks import (
    RankedLists,
    annotated_pairs,
    lists_from_scores,
    lists_from_triplets,
    object_overlaps,
    predicate_ranks,
    rank_lists,
)
from .relation_nms import relabel


class AnnotatedGraph(NamedTuple):
    """What an image shows.

    Attributes:
        boxes: float [M, 4], xyxy in pixels, inclusive corners.
        classes: int [M].
        relations: int [G, 3] of (subject index, object index, predicate).
    """

    boxes: np.ndarray
    classes: np.ndarray
    relations: np.ndarray

    def counted(self, protocol: Protocol) -> np.ndarray:
        """The relations that count, int64 [G, 3]; with distinct ground truth equal ones once."""
        relations = np.asarray(self.relations, dtype=np.int64).reshape(-1, 3)
        return np.unique(relations, axis=0) if protocol.ground_truth == "distinct" else relations


class PredictedGraph(NamedTuple):
    """What a model says of an image, in the same pixels.

    Attributes:
        boxes, classes, scores: float [N, 4], int [N], float [N].
        relations: int [P, 2 or 3] of (subject index, object index) or, without `rel_scores`, (.., .., predicate); best
            first.
        rel_scores: scores of all predicates, background first, float [P, R]; None where only the relations are known.
        free: then, relations int [L, 3] that count without graph constraint; None: `relations`.
    """

    boxes: np.ndarray
    classes: np.ndarray
    scores: np.ndarray
    relations: np.ndarray
    rel_scores: np.ndarray | None = None
    free: np.ndarray | None = None


def same_objects(truth: AnnotatedGraph, prediction: PredictedGraph, task: str) -> bool:
    """Whether the predicted boxes are the annotated ones in their order, as they are in PredCls and SGCls."""
    return task != "sgdet" and len(prediction.boxes) == len(truth.boxes)


def with_given_objects(truth: AnnotatedGraph, prediction: PredictedGraph, task: str) -> PredictedGraph:
    """The prediction with what the task gives: in PredCls boxes and classes are the annotated ones, with score 1."""
    if task != "predcls" or not same_objects(truth, prediction, task):
        return prediction
    return prediction._replace(boxes=truth.boxes, classes=truth.classes, scores=np.ones(len(truth.boxes)))


def rank_graph(
    truth: AnnotatedGraph, prediction: PredictedGraph, task: str, protocol: Protocol
) -> dict[str, np.ndarray] | None:
    """The ranks of an image's annotated relations.

    Args:
        task: `predcls`, `sgcls` or `sgdet`.

    Returns:
        `gt_triplets` int [G, 3] of (subject class, object class, predicate), the ranks of `ranks.rank_lists`, and
        `predicate_rank` (0 where not known). None where the image does not count: without annotated relations, or,
        where the protocol skips them, without predicted pairs.

    Raises:
        InputError: scores that are no numbers.
    """
    relations = truth.counted(protocol)
    if not len(relations) or (not len(prediction.relations) and protocol.unpredicted == "skipped"):
        return None
    triplets = np.column_stack((truth.classes[relations[:, 0]], truth.classes[relations[:, 1]], relations[:, 2]))
    limit = max(protocol.max_k, len(relations))  # the relative recall looks as far down as there are relations
    if not len(prediction.relations):
        missed = np.full(len(relations), limit)
        names = ("rank", "nogc_rank", "pair_rank", "matched_pair_rank")
        return {"gt_triplets": triplets, **dict.fromkeys(names, missed), "predicate_rank": np.zeros_like(missed)}

    same = same_objects(truth, prediction, task)
    if task != "sgdet" and not same:
        logging.getLogger("maskrcnn_benchmark").warning(
            "%d boxes predicted where %d are annotated, in the task %s: they are matched by overlap, and the image has "
            "no pair accuracy", len(prediction.boxes), len(truth.boxes), task,
        )  # fmt: skip
    found = with_given_objects(truth, prediction, task)
    overlaps = object_overlaps(found.boxes, found.classes, truth.boxes, truth.classes, protocol.inclusive_boxes)
    agreement = overlaps >= protocol.iou_threshold
    lists = _lists(found, annotated_pairs(relations, len(agreement)) if same else None, task, protocol, limit)
    once = overlaps if protocol.matching == "once" else None
    ranks = rank_lists(relations, lists, agreement, once, protocol.constraint, limit)
    if found.rel_scores is None:
        ranks["predicate_rank"] = np.zeros(len(relations), dtype=np.int64)
    else:
        first = slice(limit)
        ranks["predicate_rank"] = predicate_ranks(relations, found.relations[first], found.rel_scores[first], agreement)
    return {"gt_triplets": triplets, **ranks}


def _lists(
    found: PredictedGraph, annotated: np.ndarray | None, task: str, protocol: Protocol, limit: int
) -> RankedLists:
    if found.rel_scores is None:
        return lists_from_triplets(found.relations, annotated, found.free)
    relabelled = None
    if (threshold := protocol.of_task(task).relation_nms) is not None:
        relabelled = relabel(found.boxes, found.classes, found.scores, found.relations, found.rel_scores, threshold)
    return lists_from_scores(found.relations, found.rel_scores, found.scores, annotated, limit, relabelled)
