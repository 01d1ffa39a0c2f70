"""Averages of values of relations, over images or relations, for the test set and for resamples of its images.

Shape letters: T relations, C values of each (one for every k, say), I images, B resamples, S slots (predicates).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


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


class RunningAverage:
    """An average over a test set that comes in parts, for several resamples at once.

    Args:
        slots: how many averages are taken; None for one of all relations.
        values: C, how many values a relation has.
        resamples: B.
    """

    def __init__(self, slots: int | None, values: int, resamples: int):
        self.slotted = slots is not None
        self.sums = np.zeros((slots or 1, values + 1, resamples))  # in the last place of values: by what to divide

    def add(self, average: Average, weights: np.ndarray) -> None:
        """Add a part.

        Args:
            average: of the part, whose images are numbered from 0 on.
            weights: how often each resample has each image of the part, float [I, B]; the first is the test set itself.
        """
        images, slots = len(weights), len(self.sums)
        slot = 0 if average.slot is None else average.slot
        cell = slot * images + average.image  # the relations of a slot and an image
        number = np.bincount(cell, minlength=slots * images).reshape(slots, images)
        there = number.any(1)
        number = number[there].astype(np.float64)
        totals = [
            np.bincount(cell, column, slots * images).reshape(slots, images)[there] for column in average.values.T
        ]
        if average.over == "images":
            totals = [total / np.maximum(number, 1) for total in totals]
            number = (number > 0).astype(np.float64)
        self.sums[there] += np.stack([*totals, number], 1) @ weights

    def found(self) -> np.ndarray:
        """The averages so far, float [B, S, C].

        nan where nothing is to be averaged; but with slots, one without any relation in the test set counts 0, as SGB's
        mean recall has it, and only one that a resample happens to lack is nan.
        """
        above, below = self.sums[:, :-1], self.sums[:, -1:]
        with np.errstate(invalid="ignore"):
            found = above / below
        if self.slotted:
            found[below[:, 0, 0] == 0] = 0.0
        return found.transpose(2, 0, 1)


def averages(average: Average) -> np.ndarray:
    """The averages of a whole test set, float [1, S, C], see `RunningAverage.found`.

    >>> averages(Average(np.array([[1.0], [0.0], [1.0]]), np.array([0, 0, 1])))
    array([[[0.75]]])
    """
    images = int(average.image.max(initial=-1)) + 1
    running = RunningAverage(None if average.slot is None else average.slots, average.values.shape[1], 1)
    running.add(average, np.ones((images, 1)))
    return running.found()


def mean_of_slots(found: np.ndarray, slots: np.ndarray | slice = slice(None)) -> np.ndarray:
    """The mean over slots of averages [B, S, C], left out those that a resample lacks: [B, C]; nan without any slot.

    >>> mean_of_slots(np.array([[[0.5], [1.0], [np.nan]]])).tolist()
    [[0.75]]
    """
    found = found[:, slots]
    there = ~np.isnan(found)
    with np.errstate(invalid="ignore"):
        return np.where(there, found, 0.0).sum(1) / there.sum(1)
