"""IETrans: labels of frequent predicates become informative ones, and unlabelled pairs get labels (Zhang et al.,
"Fine-Grained Scene Graph Generation with Data Transfer", ECCV 2022), as in the authors' released code.

M labels, R predicates (background first), O object classes (background first). A trained model gives the probabilities.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from maskrcnn_benchmark.data.datasets.vg_format import BOXES, corners, overlap_areas, rows_of
from maskrcnn_benchmark.data.datasets.visual_genome import box_filter
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.utils.errors import InputError

from .labels import Labels
from .predictions import prediction_rows


@dataclass(frozen=True)
class TransferRule:
    """How much is transferred.

    Attributes:
        internal: k_I, the share of the labels of general predicates that become informative (0.7 in the paper).
        external: k_E, the share of the unlabelled pairs that get a label (1.0 in the paper).
        head: so many of the most frequent predicates are not given to unlabelled pairs (15 of VG's 50).
    """

    internal: float = 0.7
    external: float = 1.0
    head: int = 15

    def check(self) -> None:
        """Raise `InputError` for values that cannot be."""
        for name in ("internal", "external"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"--{name} is {getattr(self, name)}; it is a share, from 0 to 1")
        if self.head < 0:
            raise InputError(f"--head is {self.head}; it must be 0 or more")


@dataclass(frozen=True)
class Unlabelled:
    """Overlapping pairs without a label whose classes training shows in some relation, n of them.

    Attributes:
        image: of the h5, int64 [n].
        pairs: rows of boxes in the file, int64 [n, 2].
        background: probability of no relation, among this and the predicates that training shows for the classes, [n].
        best: the likeliest of these predicates, int64 [n].
    """

    image: np.ndarray
    pairs: np.ndarray
    background: np.ndarray
    best: np.ndarray


def internal_transfer(
    classes: np.ndarray, predicates: np.ndarray, probabilities: np.ndarray, share: float
) -> np.ndarray:
    """Turn labels of general predicates into informative ones.

    A triplet (s, p, o) attracts by A = n(s, p, o) / n(p), the share of p's labels that it holds. Where the model on
    average takes (s, p, o) rather for q than for p, and (s, q, o) attracts less, the labels (s, q, o) with the highest
    probability of p become p: `share` of them. A label that several triplets want goes to the one that attracts most.

    Args:
        classes: subject and object class of each label, int [M, 2].
        predicates: from 1, int64 [M].
        probabilities: of each label's pair over the foreground predicates, float [M, R - 1].

    Returns:
        the new predicates, int64 [M]
    """
    new = predicates.copy()
    attracted = np.zeros(len(predicates))
    count = np.bincount(predicates, minlength=probabilities.shape[1] + 1)
    _, pair = np.unique(classes, axis=0, return_inverse=True)
    order = np.argsort(pair.reshape(-1), kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(pair.reshape(-1)[order])) + 1) if len(order) else ():
        found, place, number = np.unique(predicates[rows], return_inverse=True, return_counts=True)
        attraction = number / count[found]
        for k, predicate in enumerate(found):
            mean = probabilities[rows[place == k]].mean(axis=0)[found - 1]
            general = (mean > mean[k]) & (attraction < attraction[k])
            sources = rows[general[place]]
            likeliest = sources[np.argsort(-probabilities[sources, predicate - 1], kind="stable")]
            moved = likeliest[: _part(share, len(likeliest))]
            moved = moved[attracted[moved] < attraction[k]]
            new[moved], attracted[moved] = predicate, attraction[k]
    return new


def external_transfer(pairs: Unlabelled, share: float, head: np.ndarray) -> np.ndarray:
    """Which unlabelled pairs get their likeliest predicate as a label: of the `share` that the model takes least for
    background those whose predicate is not one of `head`; rows, ascending int64."""
    least = np.argsort(pairs.background, kind="stable")[: _part(share, len(pairs.background))]
    return np.sort(least[~np.isin(pairs.best[least], head)])


def _part(share: float, number: int) -> int:
    return int(share * number + 1e-9)


def transfer(
    labels: Labels,
    arrays: dict[str, np.ndarray],
    predictions: Iterable[tuple[int, np.ndarray, BoxList]],
    num_predicates: int,
    rule: TransferRule,
) -> Labels:
    """Labels after both transfers; those of images that were not predicted stay.

    Args:
        labels: of the training images.
        arrays: of the h5.
        predictions: of `training_predictions`.
        num_predicates: R.

    Returns:
        as many labels or more. Where a pair has the same predicate twice after the transfer, once.
    """
    rule.check()
    box_classes = arrays["labels"][:, 0].astype(np.int64)
    classes = box_classes[labels.pairs]
    seen = np.zeros((box_classes.max(initial=0) + 1,) * 2 + (num_predicates,), dtype=bool)
    seen[classes[:, 0], classes[:, 1], labels.predicates] = True
    probabilities = np.zeros((len(labels), num_predicates - 1), dtype=np.float32)
    unlabelled = [Unlabelled(*(np.zeros(shape) for shape in (0, (0, 2), 0, 0)))]
    for image, kept, prediction in predictions:
        rows = np.arange(*np.searchsorted(labels.image, [image, image + 1]))
        box_rows = rows_of(arrays, "box", np.array([image]))[0]
        predicted = prediction.get_field("rel_pair_idxs").numpy()
        scores = prediction.get_field("pred_rel_scores").numpy()
        places = prediction_rows(labels.pairs[rows] - box_rows[0], kept, predicted)
        found = scores[places[places >= 0], 1:]
        probabilities[rows[places >= 0]] = found / found.sum(axis=1, keepdims=True).clip(min=1e-12)
        unlabelled.append(_unlabelled(image, arrays, box_rows, labels.pairs[rows], kept, predicted, scores, seen))

    scored = np.flatnonzero(probabilities.any(axis=1))
    predicates = labels.predicates.copy()
    predicates[scored] = internal_transfer(classes[scored], predicates[scored], probabilities[scored], rule.internal)
    image, pairs, background, best = (
        np.concatenate([getattr(part, name) for part in unlabelled]) for name in Unlabelled.__annotations__
    )
    head = 1 + np.argsort(-np.bincount(labels.predicates, minlength=num_predicates)[1:], kind="stable")[: rule.head]
    given = external_transfer(Unlabelled(image, pairs, background, best), rule.external, head)
    return _without_repeats(
        Labels.ordered(
            np.concatenate([labels.image, image[given].astype(np.int64)]),
            np.concatenate([labels.pairs, pairs[given].astype(np.int64)]),
            np.concatenate([predicates, best[given].astype(np.int64)]),
            np.concatenate([labels.weights, np.ones(len(given))]),
        )
    )


def _unlabelled(image, arrays, box_rows, labelled, kept, predicted, scores, seen) -> Unlabelled:
    """The unlabelled pairs of an image that external transfer may choose."""
    boxes = corners(arrays[BOXES][box_rows]).astype(np.float64)
    pairs = box_filter(boxes)
    pairs = pairs[overlap_areas(boxes[pairs[:, 0]], boxes[pairs[:, 1]]) > 0]
    number = len(box_rows)
    taken = labelled - box_rows[0]
    pairs = pairs[~np.isin(pairs @ [number, 1], taken @ [number, 1])]
    places = prediction_rows(pairs, kept, predicted)
    pairs, places = pairs[places >= 0], places[places >= 0]
    classes = arrays["labels"][box_rows, 0].astype(np.int64)[pairs]
    known = seen[classes[:, 0], classes[:, 1]]  # [n, R], background never
    pairs, places, known = pairs[known.any(axis=1)], places[known.any(axis=1)], known[known.any(axis=1)]
    possible = np.where(known, scores[places], 0.0)
    background = scores[places, 0] / (scores[places, 0] + possible.sum(axis=1)).clip(min=1e-12)
    best = np.where(known, scores[places], -1.0).argmax(axis=1)
    return Unlabelled(np.full(len(pairs), image), box_rows[pairs], background, best)


def _without_repeats(labels: Labels) -> Labels:
    """Of equal (pair, predicate) the first, in the order of the labels."""
    keys = np.column_stack((labels.pairs, labels.predicates))
    first = np.sort(np.unique(keys, axis=0, return_index=True)[1])
    return labels.take(first, labels.weights[first])
