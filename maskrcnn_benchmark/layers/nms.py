"""Non-maximum suppression of inclusive boxes, by torchvision's operator."""

from __future__ import annotations

import torch
import torchvision
from torch import Tensor


def _as_continuous(boxes: Tensor) -> Tensor:
    """Inclusive boxes as the half-open ones that torchvision measures: x2 and y2 grow by one pixel."""
    offset = boxes.new_tensor([0.0, 0.0, 1.0, 1.0])
    return boxes + offset


def nms(boxes: Tensor, scores: Tensor, threshold: float) -> Tensor:
    """Indices of the boxes [n, 4] kept, best first; a box goes where its IoU with a better one is above `threshold`."""
    return torchvision.ops.nms(_as_continuous(boxes).float(), scores.float(), threshold)


def batched_nms(boxes: Tensor, scores: Tensor, groups: Tensor, threshold: float) -> Tensor:
    """As `nms`, where boxes of different groups (classes, levels, images; int64 [n]) do not touch each other."""
    if boxes.numel() == 0:
        return boxes.new_empty(0, dtype=torch.int64)
    return torchvision.ops.batched_nms(_as_continuous(boxes).float(), scores.float(), groups, threshold)
