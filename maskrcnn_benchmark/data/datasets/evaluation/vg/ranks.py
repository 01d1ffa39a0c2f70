"""The rank of the first prediction that matches each annotated relation: all recalls follow from it.

Shape letters: P predicted pairs, best first; N predicted boxes, M annotated boxes; G annotated relations of an image,
T those of all images; R predicates with background; K = len(TOP_K).
"""

from __future__ import annotations

import numpy as np

from maskrcnn_benchmark.utils.miscellaneous import bbox_overlaps

TOP_K = (20, 50, 100)
# A relation that none of the first 100 predictions matches has this rank; no recall looks further down.
MAX_RANK = max(TOP_K)


# -- ranks of one image ----------------------------------------------------------------------------------------------
def object_agreement(
    pred_boxes: np.ndarray,
    pred_classes: np.ndarray,
    gt_boxes: np.ndarray,
    gt_classes: np.ndarray,
    iou_threshold: float = 0.5,
) -> np.ndarray:
    """Which predicted object is which annotated object: same class, and an IoU that reaches the threshold.

    Args:
        pred_boxes, gt_boxes: [N, 4] and [M, 4], xyxy in pixels, inclusive corners.
        pred_classes, gt_classes: int [N] and [M].

    Returns:
        bool [N, M].
    """
    return (bbox_overlaps(pred_boxes, gt_boxes) >= iou_threshold) & (pred_classes[:, None] == gt_classes[None])


def match_relations(pred_relations: np.ndarray, gt_relations: np.ndarray, agreement: np.ndarray) -> np.ndarray:
    """Which prediction matches which ground truth: both objects agree and the predicate is the same.

    Args:
        pred_relations, gt_relations: int [P, 3] and [G, 3] of (subject index, object index, predicate).
        agreement: bool [N, M] from `object_agreement`.

    Returns:
        bool [P, G].
    """
    subjects = agreement[pred_relations[:, 0, None], gt_relations[None, :, 0]]
    objects = agreement[pred_relations[:, 1, None], gt_relations[None, :, 1]]
    return subjects & objects & (pred_relations[:, 2, None] == gt_relations[None, :, 2])


def first_match_rank(matches: np.ndarray) -> np.ndarray:
    """Rank of the first prediction that matches each ground-truth relation; recall@k is `(rank < k).mean()`.

    Args:
        matches: bool [P, G], best prediction first.

    Returns:
        int64 [G], `MAX_RANK` where none of the first `MAX_RANK` predictions matches.

    >>> first_match_rank(np.array([[False, True, False], [True, True, False]]))
    array([  1,   0, 100])
    """
    matches = matches[:MAX_RANK]
    if not len(matches):
        return np.full(matches.shape[1], MAX_RANK)
    return np.where(matches.any(0), matches.argmax(0), MAX_RANK)


def best_predicates(pairs: np.ndarray, rel_scores: np.ndarray) -> np.ndarray:
    """Each pair with its best predicate, background aside: int [P, 3]. Graph constraint: one predicate per pair."""
    return np.column_stack((pairs, 1 + rel_scores[:, 1:].argmax(1)))


def best_relations(pairs: np.ndarray, rel_scores: np.ndarray, obj_scores: np.ndarray) -> np.ndarray:
    """The best relations where a pair may have several predicates (no graph constraint).

    The score is that of the predicate times those of both objects; of equal scores the earlier pair and the smaller
    predicate come first.

    Args:
        pairs: int [P, 2] of (subject index, object index).
        rel_scores: [P, R], background first.
        obj_scores: [N].

    Returns:
        int [min(MAX_RANK, P * (R - 1)), 3], best first.
    """
    cost = -(obj_scores[pairs].prod(1)[:, None] * rel_scores[:, 1:]).ravel()
    if len(cost) > MAX_RANK:
        # Sorting the few that reach the hundredth score, not all: ties at the end are cut after sorting.
        candidates = np.flatnonzero(~(cost > np.partition(cost, MAX_RANK - 1)[MAX_RANK - 1]))
    else:
        candidates = np.arange(len(cost))
    chosen = candidates[np.argsort(cost[candidates], kind="stable")[:MAX_RANK]]
    pair, predicate = np.divmod(chosen, rel_scores.shape[1] - 1)
    return np.column_stack((pairs[pair], predicate + 1))


def rank_relations(
    gt_relations: np.ndarray,
    pairs: np.ndarray,
    rel_scores: np.ndarray,
    obj_scores: np.ndarray,
    agreement: np.ndarray,
    same_boxes: bool,
) -> dict[str, np.ndarray]:
    """The three ranks of every ground-truth relation of an image.

    Args:
        gt_relations: int [G, 3] of (subject index, object index, predicate).
        pairs: int [P, 2], best first; rel_scores: [P, R]; obj_scores: [N]; agreement: bool [N, M].
        same_boxes: the predicted boxes are the annotated ones in the same order (PredCls, SGCls), so that a predicted
            pair can be told to be an annotated pair.

    Returns:
        `rank` with graph constraint, `nogc_rank` without, and `pair_rank` among the predictions on annotated pairs
        (`MAX_RANK` everywhere without `same_boxes`): int64 [G] each.
    """
    first = slice(MAX_RANK)

    def rank(relations: np.ndarray) -> np.ndarray:
        return first_match_rank(match_relations(relations, gt_relations, agreement))

    pair_rank = np.full(len(gt_relations), MAX_RANK)
    if same_boxes:
        annotated = np.zeros(agreement.shape, dtype=bool)
        annotated[gt_relations[:, 0], gt_relations[:, 1]] = True
        on_annotated = np.flatnonzero(annotated[pairs[:, 0], pairs[:, 1]])[first]
        pair_rank = rank(best_predicates(pairs[on_annotated], rel_scores[on_annotated]))
    return {
        "rank": rank(best_predicates(pairs[first], rel_scores[first])),
        "nogc_rank": rank(best_relations(pairs, rel_scores, obj_scores)),
        "pair_rank": pair_rank,
    }


# -- from ranks to recalls -------------------------------------------------------------------------------------------
def hits_at(ranks: np.ndarray) -> np.ndarray:
    """Whether each relation is among the first k predictions: float64 [T, K], 0 or 1."""
    return (ranks[:, None] < np.asarray(TOP_K)).astype(np.float64)


def grouped_mean(values: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means of the rows of each group.

    Args:
        values: [T, K].
        groups: int [T], the group of each row.

    Returns:
        the groups that occur, ascending, int [U]; and their means [U, K].

    >>> grouped_mean(np.array([[1.0], [0.0], [1.0]]), np.array([7, 7, 3]))
    (array([3, 7]), array([[1. ],
           [0.5]]))
    """
    order = np.argsort(groups, kind="stable")
    unique, start, count = np.unique(groups[order], return_index=True, return_counts=True)
    return unique, np.add.reduceat(values[order], start, axis=0) / count[:, None]


def contains_triplets(triplets: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Which rows of triplets int [T, 3] are among the rows of known int [Z, 3]: bool [T]."""
    return np.isin(_codes(triplets), _codes(known))


def _codes(triplets: np.ndarray) -> np.ndarray:
    """One int64 for each row of small non-negative integers."""
    return (np.asarray(triplets, dtype=np.int64) << 20 * np.arange(triplets.shape[1])).sum(1)


def mean(values) -> float:
    """The mean; nan without any value."""
    return float(np.mean(values)) if len(values) else float("nan")
