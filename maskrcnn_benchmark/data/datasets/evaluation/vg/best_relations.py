"""The best relations of an image where a pair may have several predicates, without sorting them all.

Shape letters are those of ranks.py.
"""

from __future__ import annotations

import math

import numpy as np

from maskrcnn_benchmark.utils.errors import InputError

# A relation that none of the first 100 predictions matches has this rank; the usual recalls look no further down.
MAX_RANK = 100


def best_relations(
    pairs: np.ndarray, rel_scores: np.ndarray, obj_scores: np.ndarray, limit: int = MAX_RANK
) -> np.ndarray:
    """The best relations where a pair may have several predicates (no graph constraint).

    The score is that of the predicate times those of both objects; of equal scores the earlier pair and the smaller
    predicate come first.

    Args:
        pairs: int [P, 2] of (subject index, object index).
        rel_scores: [P, R], background first.
        obj_scores: [N], not negative.

    Returns:
        int [min(limit, P * (R - 1)), 3], best first.

    Raises:
        InputError: a score that is no number.
    """
    foreground, rows = rel_scores[:, 1:], np.arange(len(pairs))
    weight = obj_scores.take(pairs[:, 0]) * obj_scores.take(pairs[:, 1])
    highest = _highest(weight, rel_scores)
    if len(pairs) > 2 * limit:
        # Pairs come best first, so the first tell what is too little: no relation is among the best whose objects score
        # less than that even with the highest of all scores.
        first = weight[:limit] * foreground[:limit].max(1)
        rows = np.flatnonzero(weight * highest >= first.min())
    least = -np.inf
    if len(rows) > limit:
        # The best relations are those of pairs whose own best one is among the best.
        best = weight[rows] * foreground[rows].max(1)
        least = np.partition(best, -limit)[-limit]
        rows = rows[best >= least]
    scores = (weight[rows, None] * foreground[rows]).ravel()
    candidates = np.flatnonzero(scores >= least)
    if len(candidates) > 2 * limit:
        # Sorting the few that reach the last score that counts, not all: ties at the end are cut after sorting.
        reached = scores[candidates]
        candidates = candidates[reached >= np.partition(reached, -limit)[-limit]]
    chosen = candidates[np.argsort(-scores[candidates], kind="stable")[:limit]]
    row, predicate = np.divmod(chosen, foreground.shape[1])
    return np.column_stack((pairs[rows[row]], predicate + 1))


def _highest(weight: np.ndarray, rel_scores: np.ndarray) -> float:
    """The highest score of a relation; `InputError` where a score is no number, or a pair has none that is."""
    if not rel_scores.size:
        return 0.0
    highest, lowest = float(rel_scores.max()), float(rel_scores.min())  # nan if any is
    if math.isfinite(highest) and math.isfinite(lowest) and math.isfinite(weight.max()):
        return highest
    best = rel_scores[:, 1:].max(1)
    if not np.isfinite(weight * best).all():
        raise InputError("scores of relations or objects are nan or infinite")
    return float(best.max())
