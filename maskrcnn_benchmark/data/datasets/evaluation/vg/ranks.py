"""The rank of the first prediction that matches each annotated relation: all recalls follow from it.

Shape letters: P predicted pairs, best first; L predicted relations, best first; N predicted boxes, M annotated boxes;
G annotated relations of an image, T those of all images; R predicates with background; K = number of values of k.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .best_relations import MAX_RANK, best_relations

TOP_K = (20, 50, 100)
_BITS = 20  # of each integer in a code, see `pack`
# The ranks of a relation, see `rank_lists`.
RANKS = ("rank", "nogc_rank", "pair_rank", "matched_pair_rank", "predicate_rank")


# -- objects and relations of one image ------------------------------------------------------------------------------
def object_overlaps(
    pred_boxes: np.ndarray,
    pred_classes: np.ndarray,
    gt_boxes: np.ndarray,
    gt_classes: np.ndarray,
    inclusive: bool = True,
) -> np.ndarray:
    """IoU of predicted and annotated objects of the same class, 0 elsewhere.

    Args:
        pred_boxes, gt_boxes: [N, 4] and [M, 4], xyxy in pixels.
        pred_classes, gt_classes: int [N] and [M].
        inclusive: a box from x1 to x2 is x2 - x1 + 1 wide; else x2 - x1.

    Returns:
        float32 [N, M].

    >>> a, b, same = np.array([[0, 0, 9, 9]]), np.array([[0, 5, 9, 14]]), np.array([7])
    >>> [f"{object_overlaps(a, same, b, same, inclusive).item():.4f}" for inclusive in (True, False)]
    ['0.3333', '0.2857']
    """
    rows, columns = np.nonzero(pred_classes[:, None] == gt_classes[None])
    ours, theirs = np.asarray(pred_boxes, np.float32)[rows], np.asarray(gt_boxes, np.float32)[columns]
    last = np.float32(inclusive)
    sides = np.minimum(ours[:, 2:], theirs[:, 2:]) - np.maximum(ours[:, :2], theirs[:, :2]) + last
    sides = np.clip(sides, 0, None)
    common = sides[:, 0] * sides[:, 1]
    areas = [(b[:, 2] - b[:, 0] + last) * (b[:, 3] - b[:, 1] + last) for b in (ours, theirs)]
    together = areas[0] + areas[1] - common
    overlaps = np.zeros((len(pred_boxes), len(gt_boxes)), dtype=np.float32)
    overlaps[rows, columns] = np.divide(common, together, out=np.zeros_like(common), where=together > 0)
    return overlaps


def object_agreement(
    pred_boxes: np.ndarray,
    pred_classes: np.ndarray,
    gt_boxes: np.ndarray,
    gt_classes: np.ndarray,
    iou_threshold: float = 0.5,
    inclusive: bool = True,
) -> np.ndarray:
    """Which predicted object is which annotated object: same class, and an IoU that reaches the threshold (above 0).

    For the arguments see `object_overlaps`.

    Returns:
        bool [N, M].
    """
    return object_overlaps(pred_boxes, pred_classes, gt_boxes, gt_classes, inclusive) >= iou_threshold


def match_pairs(pairs: np.ndarray, gt_relations: np.ndarray, agreement: np.ndarray) -> np.ndarray:
    """Which predicted pair is that of which annotated relation: both objects agree.

    Args:
        pairs: int [P, 2 or more] of (subject index, object index, ...).
        gt_relations: int [G, 3] of (subject index, object index, predicate).
        agreement: bool [N, M] from `object_agreement`; or overlaps, of which the smaller one is given.

    Returns:
        [P, G], of the type of `agreement`.
    """
    subjects, objects = (agreement.take(gt_relations[:, end], axis=1) for end in (0, 1))
    return np.minimum(subjects.take(pairs[:, 0], axis=0), objects.take(pairs[:, 1], axis=0))


def match_relations(pred_relations: np.ndarray, gt_relations: np.ndarray, agreement: np.ndarray) -> np.ndarray:
    """Which prediction matches which ground truth: both objects agree and the predicate is the same.

    Args:
        pred_relations, gt_relations: int [P, 3] and [G, 3] of (subject index, object index, predicate).
        agreement: bool [N, M] from `object_agreement`.

    Returns:
        bool [P, G].
    """
    return match_pairs(pred_relations, gt_relations, agreement) & _same_predicate(pred_relations, gt_relations)


def _same_predicate(pred_relations: np.ndarray, gt_relations: np.ndarray) -> np.ndarray:
    return pred_relations[:, 2, None] == gt_relations[None, :, 2]


def first_match_rank(matches: np.ndarray, limit: int = MAX_RANK) -> np.ndarray:
    """Rank of the first prediction that matches each ground-truth relation; recall@k is `(rank < k).mean()`.

    Args:
        matches: bool [P, G], best prediction first.

    Returns:
        int64 [G], `limit` where none of the first `limit` predictions matches.

    >>> first_match_rank(np.array([[False, True, False], [True, True, False]]))
    array([  1,   0, 100])
    """
    matches = matches[:limit]
    if not len(matches):
        return np.full(matches.shape[1], limit)
    return np.where(matches.any(0), matches.argmax(0), limit)


def one_match_rank(matches: np.ndarray, overlaps: np.ndarray, limit: int = MAX_RANK) -> np.ndarray:
    """`first_match_rank` where every prediction finds one relation: of those that it matches and no better prediction
    has found, that of the largest overlap (the first of equal ones). Lu et al., ECCV 2016.

    Args:
        matches: bool [P, G], best prediction first.
        overlaps: float [P, G], the smaller of the IoUs of subject and object.

    >>> one_match_rank(np.array([[True, True], [True, False]]), np.array([[0.6, 0.8], [0.6, 0.8]]))
    array([1, 0])
    """
    rank = np.full(matches.shape[1], limit)
    free = np.ones(matches.shape[1], dtype=bool)
    for place in np.flatnonzero(matches[:limit].any(1)):
        candidates = np.flatnonzero(matches[place] & free)
        if len(candidates):
            chosen = candidates[overlaps[place, candidates].argmax()]
            rank[chosen], free[chosen] = place, False
    return rank


# -- from scores to lists of relations -------------------------------------------------------------------------------
class RankedLists(NamedTuple):
    """Predicted relations of an image, int [L, 3] of (subject index, object index, predicate), best first.

    Attributes:
        graph: one predicate for each ordered pair.
        free: any number of predicates for a pair.
        annotated: those of `graph` whose pair is annotated; None where predicted boxes are not the annotated ones.
    """

    graph: np.ndarray
    free: np.ndarray
    annotated: np.ndarray | None


def best_predicates(pairs: np.ndarray, rel_scores: np.ndarray) -> np.ndarray:
    """Each pair with its best predicate, background aside: int [P, 3]. Graph constraint: one predicate per pair."""
    return np.column_stack((pairs, 1 + rel_scores[:, 1:].argmax(1)))


def lists_from_scores(
    pairs: np.ndarray,
    rel_scores: np.ndarray,
    obj_scores: np.ndarray,
    annotated: np.ndarray | None,
    limit: int = MAX_RANK,
    relabelled: np.ndarray | None = None,
) -> RankedLists:
    """Lists of relations from the scores of every predicate.

    Args:
        pairs: int [P, 2], best first; rel_scores: [P, R]; obj_scores: [N].
        annotated: bool [N, N], which pairs are annotated; None where predicted boxes are not the annotated ones.
        relabelled: int [P, 3], relations that take the place of each pair's best (`relation_nms`); None: the best.
    """

    def constrained(rows: slice | np.ndarray) -> np.ndarray:
        return best_predicates(pairs[rows], rel_scores[rows]) if relabelled is None else relabelled[rows]

    on_annotated = None
    if annotated is not None:
        ends = pairs if relabelled is None else relabelled
        on_annotated = constrained(np.flatnonzero(annotated[ends[:, 0], ends[:, 1]])[:limit])
    return RankedLists(constrained(slice(limit)), best_relations(pairs, rel_scores, obj_scores, limit), on_annotated)


def lists_from_triplets(
    relations: np.ndarray, annotated: np.ndarray | None, free: np.ndarray | None = None
) -> RankedLists:
    """Lists of relations from relations without further scores.

    Args:
        relations: int [L, 3], best first. Of several with the same pair, the first counts under graph constraint.
        annotated: see `lists_from_scores`.
        free: int [L, 3], those that count without graph constraint; None: `relations`.
    """
    _, first = np.unique(pack(relations[:, :2]), return_index=True)
    graph = relations if len(first) == len(relations) else relations[np.sort(first)]
    on_annotated = None if annotated is None else graph[annotated[graph[:, 0], graph[:, 1]]]
    return RankedLists(graph, relations if free is None else free, on_annotated)


# -- ranks of one image ----------------------------------------------------------------------------------------------
def rank_lists(
    gt_relations: np.ndarray,
    lists: RankedLists,
    agreement: np.ndarray,
    overlaps: np.ndarray | None = None,
    constraint: str = "graph",
    limit: int = MAX_RANK,
) -> dict[str, np.ndarray]:
    """The ranks of every ground-truth relation of an image.

    Args:
        gt_relations: int [G, 3] of (subject index, object index, predicate).
        agreement: bool [N, M] from `object_agreement`.
        overlaps: IoUs [N, M], where a prediction finds one relation only (`one_match_rank`); None: all that it matches.
        constraint: `graph` or `none`, which list `rank` and `matched_pair_rank` are of.

    Returns:
        int64 [G] each, `limit` where nothing is found: `rank`; `nogc_rank` without graph constraint; `pair_rank` among
        the predictions on annotated pairs; `matched_pair_rank` of the first relation that has the right pair, whatever
        its predicate.
    """

    def matches(relations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of relations, and of their pairs."""
        of_pair = match_pairs(relations[:limit], gt_relations, agreement)
        return of_pair & _same_predicate(relations[:limit], gt_relations), of_pair

    def rank(relations: np.ndarray, found: np.ndarray) -> np.ndarray:
        if overlaps is None:
            return first_match_rank(found, limit)
        return one_match_rank(found, match_pairs(relations[:limit], gt_relations, overlaps), limit)

    found, of_pair = matches(lists.free)
    ranks = {"rank": rank(lists.free, found)}
    ranks["nogc_rank"] = ranks["rank"]
    if constraint == "graph" and lists.graph is not lists.free:
        found, of_pair = matches(lists.graph)
        ranks["rank"] = rank(lists.graph, found)
    if lists.annotated is None:
        ranks["pair_rank"] = np.full(len(gt_relations), limit)
    else:
        ranks["pair_rank"] = rank(lists.annotated, matches(lists.annotated)[0])
    return ranks | {"matched_pair_rank": first_match_rank(of_pair, limit)}


def rank_relations(
    gt_relations: np.ndarray,
    pairs: np.ndarray,
    rel_scores: np.ndarray,
    obj_scores: np.ndarray,
    agreement: np.ndarray,
    same_boxes: bool,
) -> dict[str, np.ndarray]:
    """`rank_lists` of the scores of every predicate, as SGB counts.

    Args:
        gt_relations: int [G, 3] of (subject index, object index, predicate).
        pairs: int [P, 2], best first; rel_scores: [P, R]; obj_scores: [N]; agreement: bool [N, M].
        same_boxes: the predicted boxes are the annotated ones in the same order (PredCls, SGCls), so that a predicted
            pair can be told to be an annotated pair.
    """
    annotated = annotated_pairs(gt_relations, len(agreement)) if same_boxes else None
    return rank_lists(gt_relations, lists_from_scores(pairs, rel_scores, obj_scores, annotated), agreement)


def annotated_pairs(gt_relations: np.ndarray, count: int) -> np.ndarray:
    """Which ordered pairs of `count` objects are annotated: bool [count, count]."""
    annotated = np.zeros((count, count), dtype=bool)
    annotated[gt_relations[:, 0], gt_relations[:, 1]] = True
    return annotated


def predicate_ranks(
    gt_relations: np.ndarray, pairs: np.ndarray, rel_scores: np.ndarray, agreement: np.ndarray
) -> np.ndarray:
    """The place of each relation's predicate among all predicates of the first pair that matches its objects.

    Args:
        gt_relations: int [G, 3] of (subject index, object index, predicate).
        pairs: int [P, 2], best first; rel_scores: [P, R], background first; agreement: bool [N, M].

    Returns:
        int64 [G], from 1 (the best) to R - 1; of equal scores the smaller predicate comes first; 0 without such a pair.

    >>> predicate_ranks(np.array([[0, 1, 2]]), np.array([[0, 1]]), np.array([[0.1, 0.7, 0.2]]), np.eye(2, dtype=bool))
    array([2])
    """
    ranks = np.zeros(len(gt_relations), dtype=np.int64)
    row = first_match_rank(match_pairs(pairs, gt_relations, agreement), len(pairs))
    found = np.flatnonzero(row < len(pairs))
    if len(found):
        scores, predicate = rel_scores[row[found], 1:], gt_relations[found, 2, None] - 1
        own = np.take_along_axis(scores, predicate, 1)
        earlier = np.arange(scores.shape[1]) < predicate
        ranks[found] = 1 + ((scores > own) | ((scores == own) & earlier)).sum(1)
    return ranks


# -- from ranks to recalls -------------------------------------------------------------------------------------------
def hits_at(ranks: np.ndarray, top_k: Sequence[int] = TOP_K) -> np.ndarray:
    """Whether each relation is among the first k predictions: float64 [T, K], 0 or 1."""
    return (ranks[:, None] < np.asarray(top_k)).astype(np.float64)


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
    return np.isin(pack(triplets), pack(known))


def pack(rows: np.ndarray) -> np.ndarray:
    """One int64 for each row of up to three non-negative integers below 2^20."""
    rows = np.asarray(rows, dtype=np.int64)
    codes = rows[:, 0].copy()
    for column in range(1, rows.shape[1]):
        codes += rows[:, column] << _BITS * column
    return codes


def unpack(codes: np.ndarray, columns: int) -> np.ndarray:
    """The rows that `pack` made codes of.

    >>> unpack(pack(np.array([[1, 2, 3], [4, 5, 6]])), 3).tolist()
    [[1, 2, 3], [4, 5, 6]]
    """
    return codes[:, None] >> _BITS * np.arange(columns) & (1 << _BITS) - 1


def mean(values) -> float:
    """The mean; nan without any value."""
    return float(np.mean(values)) if len(values) else float("nan")
