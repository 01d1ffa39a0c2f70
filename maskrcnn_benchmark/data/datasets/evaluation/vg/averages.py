"""Averages of values of relations, over images or relations, for the test set and for resamples of its images.

Shape letters: T relations, C values of each (one for every k, say), I images, B resamples, S slots (predicates).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import sparse


class Average(NamedTuple):
    """What is to be averaged.

    Attributes:
        values: float [T, C].
        image: int [T], the image of each relation, a number from 0 below I.
        over: `images`: first the mean of an image's relations, then that of the images; `relations`: of all together.
        slot: int [T], averages are taken for each slot apart; None for one average of all.
        slots: how many there are.
    """

    values: np.ndarray
    image: np.ndarray
    over: str = "images"
    slot: np.ndarray | None = None
    slots: int = 1

    def chosen(self, rows: np.ndarray) -> Average:
        """Of some relations only; `rows` is bool [T]."""
        return self._replace(
            values=self.values[rows], image=self.image[rows], slot=None if self.slot is None else self.slot[rows]
        )


def averages(average: Average, weights: np.ndarray | None = None) -> np.ndarray:
    """The averages, for each resample.

    Args:
        weights: how often each resample has each image, float [I, B]; None: the test set itself, once each.

    Returns:
        float [B, S, C]. nan where nothing is to be averaged; but with slots, one without any relation in the test set
        counts 0, as SGB's mean recall has it, and only one that a resample happens to lack is nan.

    >>> averages(Average(np.array([[1.0], [0.0], [1.0]]), np.array([0, 0, 1])))
    array([[[0.75]]])
    >>> averages(Average(np.array([[1.0], [0.0], [1.0]]), np.array([0, 0, 1])), np.array([[2.0], [0.0]]))
    array([[[0.5]]])
    """
    count = int(average.image.max(initial=-1)) + 1 if weights is None else len(weights)
    weights = np.ones((count, 1)) if weights is None else weights
    slot = np.zeros(len(average.image), dtype=np.int64) if average.slot is None else average.slot
    # the relations of a slot and an image are a cell; there are far fewer than slots times images
    cells, cell = np.unique(slot * count + average.image, return_inverse=True)
    columns = range(average.values.shape[1])
    number = np.bincount(cell, minlength=len(cells)).astype(np.float64)
    totals = [np.bincount(cell, average.values[:, column], len(cells)) for column in columns]
    if average.over == "images":
        totals = [total / number for total in totals]
        number[:] = 1.0

    def weighted(values: np.ndarray) -> np.ndarray:  # [cells] -> [S, B]
        rows = sparse.csr_matrix((values, np.divmod(cells, count)), (average.slots, count)) if count else None
        return np.zeros((average.slots, weights.shape[1])) if rows is None else rows @ weights

    below = weighted(number)
    above = np.stack([weighted(total) for total in totals], axis=-1)  # [S, B, C]
    with np.errstate(invalid="ignore"):
        found = above / below[:, :, None]
    if average.slot is not None:
        found[np.bincount(slot, minlength=average.slots) == 0] = 0.0
    return found.transpose(1, 0, 2)


def mean_of_slots(found: np.ndarray, slots: np.ndarray | slice = slice(None)) -> np.ndarray:
    """The mean over slots of averages [B, S, C], left out those that a resample lacks: [B, C]; nan without any slot.

    >>> mean_of_slots(np.array([[[0.5], [1.0], [np.nan]]])).tolist()
    [[0.75]]
    """
    found = found[:, slots]
    there = ~np.isnan(found)
    with np.errstate(invalid="ignore"):
        return np.where(there, found, 0.0).sum(1) / there.sum(1)
