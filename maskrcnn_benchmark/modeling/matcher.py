"""Assigns predicted boxes to ground-truth boxes by their overlap."""

from __future__ import annotations

import torch
from torch import Tensor

from maskrcnn_benchmark.structures.bounding_box import BoxList


class Matcher:
    """The best ground truth of each prediction, or a negative code where it is not good enough.

    Args:
        high_threshold: from this quality on a prediction is matched.
        low_threshold: below it, it is background; between the two, it is neither.
        allow_low_quality_matches: every ground truth keeps its best predictions, whatever their quality.
    """

    BELOW_LOW_THRESHOLD = -1
    BETWEEN_THRESHOLDS = -2

    def __init__(self, high_threshold: float, low_threshold: float, allow_low_quality_matches: bool = False):
        if low_threshold > high_threshold:
            raise ValueError(f"the low threshold {low_threshold} is above the high one, {high_threshold}")
        self.high_threshold = high_threshold
        self.low_threshold = low_threshold
        self.allow_low_quality_matches = allow_low_quality_matches

    def __call__(self, match_quality_matrix: Tensor) -> Tensor:
        """Qualities [ground truths, predictions] to indices of ground truths, int64 [predictions]."""
        ground_truths, predictions = match_quality_matrix.shape
        if ground_truths == 0:
            return match_quality_matrix.new_full((predictions,), self.BELOW_LOW_THRESHOLD, dtype=torch.int64)
        quality, best = match_quality_matrix.max(dim=0)
        matches = best.clone()
        matches[quality < self.low_threshold] = self.BELOW_LOW_THRESHOLD
        between = (quality >= self.low_threshold) & (quality < self.high_threshold)
        matches[between] = self.BETWEEN_THRESHOLDS
        if self.allow_low_quality_matches and predictions:
            self.set_low_quality_matches_(matches, best, match_quality_matrix)
        return matches

    def set_low_quality_matches_(self, matches: Tensor, all_matches: Tensor, match_quality_matrix: Tensor) -> None:
        """Give the predictions that are the best (or tie for it) of some ground truth back their match."""
        best_of_ground_truth = match_quality_matrix.max(dim=1, keepdim=True).values
        chosen = (match_quality_matrix == best_of_ground_truth).any(0)
        matches[chosen] = all_matches[chosen]


def take_matched(target: BoxList, matched_idxs: Tensor) -> BoxList:
    """The ground truth that each prediction is matched to, with the fields of `target` and `matched_idxs`.

    Where there is no match (`matched_idxs` < 0), boxes and fields mean nothing: they are the first ground truth's, or
    zeros in an image without any.
    """
    if len(target) > 0:
        matched = target[matched_idxs.clamp(min=0)]
    else:
        count = len(matched_idxs)
        matched = BoxList(target.bbox.new_zeros((count, 4)), target.size, target.mode)
        for name in target.fields():
            value = target.get_field(name)
            matched.add_field(name, value.new_zeros((count, *value.shape[1:])))
    matched.add_field("matched_idxs", matched_idxs)
    return matched
