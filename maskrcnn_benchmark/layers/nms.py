"""Non-maximum suppression of inclusive boxes, exact at the threshold (IoU above it, not at it)."""

from __future__ import annotations

import torch
import torchvision
from torch import Tensor

# Up to this many pairs of boxes per group, all pairs are compared at once; with more, torchvision's operator is faster
# group by group (measured on a CPU; on a GPU each call costs more).
_PAIRS_PER_GROUP = {"cpu": 400, "cuda": 20_000}


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
    """As `nms`, where boxes of different groups (classes, levels, images; int64 [n]) do not touch each other."""
    order = scores.argsort(descending=True, stable=True)
    order = order[groups[order].argsort(stable=True)]  # by group, in each the best first
    _, sizes = groups[order].unique_consecutive(return_counts=True)
    pairs = int((sizes * (sizes - 1)).sum()) // 2
    if pairs <= _PAIRS_PER_GROUP.get(boxes.device.type, 400) * len(sizes):
        kept = order[_keep_of_pairs(boxes[order], sizes, threshold)]
    else:
        kept = torch.cat([part[nms(boxes[part], scores[part], threshold)] for part in order.split(sizes.tolist())])
    return kept[scores[kept].argsort(descending=True, stable=True)]


def _keep_of_pairs(boxes: Tensor, sizes: Tensor, threshold: float) -> Tensor:
    """Which boxes [n, 4] stay, bool [n]; they come group by group (`sizes` [G]), in each the best first.

    All pairs of a group are compared in one go, so the time does not grow with the number of groups.
    """
    boxes = _as_continuous(boxes)
    starts = sizes.cumsum(0) - sizes  # [G]
    rank = torch.arange(len(boxes), device=boxes.device) - starts.repeat_interleave(sizes)  # [n], in the group
    worse = torch.arange(len(boxes), device=boxes.device).repeat_interleave(rank)  # [P]
    within = torch.arange(len(worse), device=boxes.device) - (rank.cumsum(0) - rank)[worse]  # [P]
    better = worse - rank[worse] + within  # [P]
    top_left = torch.max(boxes[better, :2], boxes[worse, :2])
    sides = (torch.min(boxes[better, 2:], boxes[worse, 2:]) - top_left).clamp_(min=0)  # [P, 2]
    intersection = sides[:, 0] * sides[:, 1]  # [P]
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])  # [n]
    overlap = intersection / (area[better] + area[worse] - intersection) > threshold
    better, worse = better[overlap], worse[overlap]
    # A box stays where no better box that overlaps it stays. Each round settles one more link of every chain of
    # overlaps, so the rounds end after the longest chain, which is short.
    keep = torch.ones(len(boxes), dtype=torch.bool, device=boxes.device)
    while True:
        settled = torch.ones_like(keep)
        settled[worse[keep[better]]] = False
        if torch.equal(settled, keep):
            return keep
        keep = settled
