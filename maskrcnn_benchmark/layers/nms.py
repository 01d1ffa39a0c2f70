"""Non-maximum suppression of inclusive boxes, exact at the threshold (IoU above it, not at it)."""

from __future__ import annotations

import torch
import torchvision
from torch import Tensor

# Up to this many boxes, all groups are suppressed in one call (measured on a CPU: its time grows with the square).
_BOXES_PER_CALL = {"cpu": 2_000, "cuda": 50_000}


def _as_continuous(boxes: Tensor) -> Tensor:
    """Inclusive boxes as the half-open ones that torchvision measures: x2 and y2 grow by one pixel.

    In double precision, so that an IoU of three tenths is not above a threshold of 0.3.
    """
    boxes = boxes.double()
    return boxes + boxes.new_tensor([0.0, 0.0, 1.0, 1.0])


def nms(boxes: Tensor, scores: Tensor, threshold: float) -> Tensor:
    """Indices of the boxes [n, 4] kept, best first; a box goes where its IoU with a better one is above `threshold`."""
    return torchvision.ops.nms(_as_continuous(boxes), scores.double(), threshold)


def batched_nms(boxes: Tensor, scores: Tensor, groups: Tensor, threshold: float) -> Tensor:
    """As `nms`, where boxes of different groups (classes, levels, images; int64 [n], from 0) do not meet."""
    if 0 < len(boxes) <= _BOXES_PER_CALL.get(boxes.device.type, 2_000):
        # Each group gets a place of its own. Shifts are whole pixels and doubles have room for them: no IoU changes.
        boxes = _as_continuous(boxes)
        width = (boxes.max() - boxes.min()).ceil() + 1
        return torchvision.ops.nms(boxes + (width * groups)[:, None], scores.double(), threshold)
    order = groups.argsort(stable=True)
    _, sizes = groups[order].unique_consecutive(return_counts=True)
    parts = [part[nms(boxes[part], scores[part], threshold)] for part in order.split(sizes.tolist())]
    kept = torch.cat(parts).sort().values if parts else order
    return kept[scores[kept].argsort(descending=True, stable=True)]
