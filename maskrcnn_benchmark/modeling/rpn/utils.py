"""Puts the RPN's maps into the order of the anchors."""

from __future__ import annotations

import torch
from torch import Tensor


def permute_and_flatten(layer: Tensor, N: int, A: int, C: int, H: int, W: int) -> Tensor:
    """[N, A C, H, W] to [N, H W A, C]."""
    return layer.view(N, A, C, H, W).permute(0, 3, 4, 1, 2).reshape(N, -1, C)


def concat_box_prediction_layers(box_cls: list[Tensor], box_regression: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Scores [N, A C, H_l, W_l] and offsets [N, A 4, H_l, W_l] of all levels to [n, C] and [n, 4], image by image."""
    scores, offsets = [], []
    for level_cls, level_regression in zip(box_cls, box_regression, strict=True):
        N, AxC, H, W = level_cls.shape
        A = level_regression.shape[1] // 4
        scores.append(permute_and_flatten(level_cls, N, A, AxC // A, H, W))
        offsets.append(permute_and_flatten(level_regression, N, A, 4, H, W))
    joined = torch.cat(scores, dim=1)
    return joined.reshape(-1, joined.shape[-1]), torch.cat(offsets, dim=1).reshape(-1, 4)
