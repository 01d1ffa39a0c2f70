"""Tells from how predictions differ from annotations whether a file counts pixels or classes from another start."""

from __future__ import annotations

import numpy as np

from maskrcnn_benchmark.utils.miscellaneous import bbox_overlaps

from ..vg.image_ranks import AnnotatedGraph, PredictedGraph

_IMAGES = 200  # that are looked at
_FITS = 0.8  # IoU from which two boxes are of the same object
_LEAST = 20  # boxes or relations without which nothing is told
_SHIFT = 0.75  # pixels


class Habits:
    """Compares the first images' predictions with their annotations.

    A model's boxes scatter around the annotated ones and its classes are right or wrong; a file that counts from
    another start is off by the same amount nearly everywhere.
    """

    def __init__(self) -> None:
        self._images = 0
        self._shifts: list[np.ndarray] = []
        # how often predicted numbers are the annotated ones, those plus 1, those minus 1; and how many there were
        self._classes, self._predicates = np.zeros(4, dtype=np.int64), np.zeros(4, dtype=np.int64)

    def look_at(self, truth: AnnotatedGraph, found: PredictedGraph) -> None:
        """Look at an image, where that is still wanted."""
        if self._images >= _IMAGES or not len(truth.boxes) or not len(found.boxes):
            return
        self._images += 1
        overlaps = bbox_overlaps(found.boxes, truth.boxes)
        place, best = overlaps.argmax(1), overlaps.max(1)
        fitting = np.flatnonzero(best >= _FITS)
        self._shifts.append(found.boxes[fitting] - truth.boxes[place[fitting]])
        self._classes += _offsets(found.classes[fitting], truth.classes[place[fitting]])
        if len(found.relations):
            predicates = found.relations[:, 2] if found.rel_scores is None else 1 + found.rel_scores[:, 1:].argmax(1)
            own = np.where(best >= _FITS, place, -1)
            annotated = {(s, o): p for s, o, p in truth.relations.tolist()}
            pairs = zip(own[found.relations[:, 0]].tolist(), own[found.relations[:, 1]].tolist(), strict=True)
            known = np.array([annotated.get(pair, 0) for pair in pairs], dtype=np.int64)
            self._predicates += _offsets(predicates[known > 0], known[known > 0])

    def notes(self) -> list[str]:
        """What is off by the same amount nearly everywhere, a sentence each."""
        notes = []
        shifts = np.concatenate(self._shifts) if self._shifts else np.zeros((0, 4))
        if len(shifts) >= _LEAST:
            middle = np.median(shifts, 0)
            alike = (np.abs(shifts - middle) < 0.26).all(1).mean()
            if np.abs(middle).max() >= _SHIFT and alike > 0.5:
                notes.append(
                    f"boxes lie {', '.join(f'{x:+.1f}' for x in middle)} pixels (x1, y1, x2, y2) beside the annotated "
                    f"ones that they fit, {100 * alike:.0f}% of them by the same amount: here pixels count from 0 "
                    "and both corners are included"
                )
        for what, (same, above, below, number) in (("class", self._classes), ("predicate", self._predicates)):
            for count, off in ((above, "1 more"), (below, "1 less")):
                if number >= _LEAST and count > 0.5 * number and count > 2 * same:
                    notes.append(
                        f"of {number} predictions that fit an annotation {100 * count / number:.0f}% have a {what} of "
                        f"{off} than the annotated number and {100 * same / number:.0f}% the annotated one: is it "
                        "numbered from another start?"
                    )
        return notes


def _offsets(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    difference = found - truth
    return np.array([(difference == step).sum() for step in (0, 1, -1)] + [len(difference)])
