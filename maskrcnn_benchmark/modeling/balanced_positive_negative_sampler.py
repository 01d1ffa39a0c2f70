"""Draws a fixed number of samples with a given share of positives."""

from __future__ import annotations

import torch
from torch import Tensor


class BalancedPositiveNegativeSampler:
    """Draws `batch_size_per_image` samples, at most `positive_fraction` of them positive."""

    def __init__(self, batch_size_per_image: int, positive_fraction: float):
        self.batch_size_per_image = batch_size_per_image
        self.positive_fraction = positive_fraction

    def __call__(self, matched_idxs: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Masks of the positives and of the negatives drawn, bool [n] for each image.

        Args:
            matched_idxs: for each image, per sample: > 0 positive, 0 negative, < 0 not to be used.
        """
        positives, negatives = [], []
        for idxs in matched_idxs:
            positive = self._draw(idxs >= 1, int(self.batch_size_per_image * self.positive_fraction))
            positives.append(positive)
            negatives.append(self._draw(idxs == 0, self.batch_size_per_image - int(positive.sum())))
        return positives, negatives

    @staticmethod
    def _draw(candidates: Tensor, limit: int) -> Tensor:
        index = candidates.nonzero().squeeze(1)
        chosen = index[torch.randperm(index.numel(), device=index.device)[:limit]]
        mask = torch.zeros_like(candidates)
        mask[chosen] = True
        return mask
