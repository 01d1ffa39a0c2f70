"""Draws a fixed number of samples with a given share of positives."""

from __future__ import annotations

import torch
from torch import Tensor

from maskrcnn_benchmark.utils.global_batch import image_generators


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
        most = int(self.batch_size_per_image * self.positive_fraction)
        device = matched_idxs[0].device if matched_idxs else "cpu"
        for idxs, generator in zip(matched_idxs, image_generators(len(matched_idxs), device), strict=True):
            positive = self._draw(idxs >= 1, most, generator)
            positives.append(positive)
            negatives.append(self._draw(idxs == 0, self.batch_size_per_image - int(positive.sum()), generator))
        return positives, negatives

    @staticmethod
    def _draw(candidates: Tensor, limit: int, generator: torch.Generator | None) -> Tensor:
        index = candidates.nonzero().squeeze(1)
        chosen = index[torch.randperm(index.numel(), device=index.device, generator=generator)[:limit]]
        mask = torch.zeros_like(candidates)
        mask[chosen] = True
        return mask
