"""Labels from a knowledge base: for every pair of boxes whose classes it knows, all its predicates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from maskrcnn_benchmark.data.datasets.vg_format import BOX_SCALE, BOXES, corners, overlap_areas, rows_of
from maskrcnn_benchmark.data.datasets.visual_genome import image_pairs
from maskrcnn_benchmark.utils.errors import InputError

from .knowledge_base import KnowledgeBase
from .labels import Labels


@dataclass(frozen=True)
class PairRule:
    """Which pairs of boxes are labelled.

    Attributes:
        overlap: only boxes that overlap, corners inclusive, as the loader's own filter has it.
        max_distance: only boxes whose gap, measured along a straight line between their nearest points, is at most this
            share of the image's longer side; None: any. With `overlap` it changes nothing.
        max_pairs: per image at most so many, those whose boxes have the largest IoU; None: all.
    """

    overlap: bool = True
    max_distance: float | None = None
    max_pairs: int | None = None

    def check(self) -> None:
        """Raise `InputError` for values that choose nothing."""
        if self.max_distance is not None and not self.max_distance >= 0:
            raise InputError(f"--max-distance is {self.max_distance}; it must be 0 or more")
        if self.max_pairs is not None and self.max_pairs < 1:
            raise InputError(f"--max-pairs is {self.max_pairs}; it must be 1 or more")

    def allows(self, subjects: np.ndarray, objects: np.ndarray) -> np.ndarray:
        """Which pairs of xyxy boxes [n, 4] at BOX_SCALE are near enough, bool [n]."""
        allowed = np.ones(len(subjects), dtype=bool)
        if self.overlap:
            allowed &= overlap_areas(subjects, objects) > 0
        if self.max_distance is not None:
            allowed &= gaps(subjects, objects) <= self.max_distance * BOX_SCALE
        return allowed


def gaps(boxes1: np.ndarray, boxes2: np.ndarray) -> np.ndarray:
    """Distance between the nearest points of xyxy boxes [n, 4], elementwise; 0 where they touch."""
    apart = np.maximum(boxes1[:, :2], boxes2[:, :2]) - np.minimum(boxes1[:, 2:], boxes2[:, 2:])
    return np.linalg.norm(np.clip(apart, 0, None), axis=1)


def overlap_ratios(boxes1: np.ndarray, boxes2: np.ndarray) -> np.ndarray:
    """IoU of xyxy boxes [n, 4], corners inclusive, elementwise."""
    areas1, areas2 = (np.prod(boxes[:, 2:] - boxes[:, :2] + 1, axis=1) for boxes in (boxes1, boxes2))
    common = overlap_areas(boxes1, boxes2)
    return common / (areas1 + areas2 - common)


def label_images(
    arrays: dict[str, np.ndarray],
    images: np.ndarray,
    base: KnowledgeBase,
    rule: PairRule,
    use_counts: bool = True,
) -> Labels:
    """Label images by a knowledge base.

    Args:
        arrays: of the h5.
        images: int64 [n], ascending.
        use_counts: weights are the shares of the base's counts; otherwise all candidates of a pair weigh the same.

    Returns:
        for every ordered pair of different boxes that the rule allows and whose classes the base knows, a label for
        each predicate, the most frequent first; the weights of a pair sum to 1.
    """
    rule.check()
    box_rows, num_boxes = rows_of(arrays, "box", images)
    boxes = corners(arrays[BOXES][box_rows]).astype(np.float64)
    classes = arrays["labels"][box_rows, 0].astype(np.int64)
    image_of_box = np.repeat(images, num_boxes)
    none = np.zeros((0, 2), dtype=np.int64)
    kept = [none]
    for pairs in image_pairs(boxes, num_boxes):
        known = base.candidates(classes[pairs[:, 0]], classes[pairs[:, 1]])[0] > 0
        pairs = pairs[known]
        kept.append(pairs[rule.allows(boxes[pairs[:, 0]], boxes[pairs[:, 1]])])
    pairs = np.concatenate(kept)
    if rule.max_pairs is not None:
        nearness = overlap_ratios(boxes[pairs[:, 0]], boxes[pairs[:, 1]])
        pairs = pairs[_largest_of_each(image_of_box[pairs[:, 0]], nearness, rule.max_pairs)]
    counts, places = base.candidates(classes[pairs[:, 0]], classes[pairs[:, 1]])
    pair_of_label = np.repeat(np.arange(len(pairs)), counts)
    weights = base.counts[places] if use_counts else np.ones(len(places))
    return Labels.ordered(
        image_of_box[pairs[pair_of_label, 0]],
        box_rows[pairs[pair_of_label]],
        base.predicates[places],
        weights / np.bincount(pair_of_label, weights, minlength=len(pairs))[pair_of_label],
    )


def _largest_of_each(groups: np.ndarray, values: np.ndarray, number: int) -> np.ndarray:
    """Rows of the `number` largest values of each group, ascending; of equal ones the first. groups: ascending."""
    order = np.lexsort((-values, groups))
    rank = np.arange(len(order)) - np.searchsorted(groups, groups[order])
    return np.sort(order[rank < number])
