"""The trees of VCTree (Tang et al., CVPR 2019): grown from pair scores, kept as arrays over all objects of a batch.

Shapes: B images, n objects of all images together, n_i of one image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from maskrcnn_benchmark.structures.bounding_box import BoxList

IM_SCALE = 1024.0


@dataclass
class Forest:
    """Binary trees (left child, right sibling), one per image, cut into levels of equal depth.

    Attributes:
        levels: the nodes of each depth, int64 [k_d], roots first; indices into the n objects.
        parent: for each level the position of each node's parent in the level above, int64 [k_d]; zeros for the roots.
        left, right: for each level the position of each node's child in the level below, int64 [k_d]; that
            level's length where there is none.
        inverse: where each object stands in the levels one after the other, int64 [n].
        image: the image of each object, int64 [n].
    """

    levels: list[Tensor]
    parent: list[Tensor]
    left: list[Tensor]
    right: list[Tensor]
    inverse: Tensor
    image: Tensor


def grow_trees(scores: np.ndarray, sizes: np.ndarray, roots: np.ndarray) -> np.ndarray:
    """The maximum spanning tree of each image, grown from its root as Prim does it.

    In each step the pair (node of the tree, node outside) with the highest score is joined; of equal ones that with the
    node that joined the tree first, then with the lowest node outside.

    Args:
        scores: of (node of the tree, node outside), [B, N, N], N the largest number of nodes.
        sizes: number of nodes of each image, [B].
        roots: [B].

    Returns:
        the nodes in the order in which they join and their parents, int64 [B, N, 2], -1 as the root's parent and where
        an image has fewer nodes
    """
    batch, most, _ = scores.shape
    image = np.arange(batch)
    outside = np.arange(most) < sizes[:, None]  # [B, N]
    outside[image, roots] = False
    best = scores[image, roots].copy()  # [B, N], score of the best node of the tree for each node outside
    parent = np.repeat(roots[:, None], most, axis=1)  # [B, N], that node
    rank = np.zeros((batch, most), dtype=np.int64)  # [B, N], when that node joined
    joined = np.full((batch, most, 2), -1, dtype=np.int64)
    joined[:, 0, 0] = roots
    for step in range(1, most):
        active = outside.any(1)
        masked = np.where(outside, best, -np.inf)
        ties = outside & (masked == masked.max(1, keepdims=True))
        node = np.where(ties, rank, most).argmin(1)  # argmin takes the lowest node of the earliest rank
        joined[active, step, 0] = node[active]
        joined[active, step, 1] = parent[image, node][active]
        outside[image[active], node[active]] = False
        new = scores[image, node]
        better = (new > best) & active[:, None]
        best = np.where(better, new, best)
        parent = np.where(better, node[:, None], parent)
        rank = np.where(better, step, rank)
    return joined


def build_forest(pair_scores: Sequence[Tensor]) -> Forest:
    """Binary trees from the scores [n_i, n_i] of each image, rows the objects that may be parents.

    The root is the object with the highest mean score. A node's first child is its left child; every further child is
    the right child of the one before.
    """
    device = pair_scores[0].device
    scores = [score.detach().float() for score in pair_scores]
    sizes = np.array([len(score) for score in scores])
    roots = np.array([int(score.mean(1).argmax()) for score in scores])
    padded = np.full((len(scores), sizes.max(), sizes.max()), -np.inf, dtype=np.float32)
    for i, score in enumerate(scores):
        padded[i, : len(score), : len(score)] = score.cpu().numpy()
    starts = np.cumsum(sizes) - sizes

    total = int(sizes.sum())
    parent = np.full(total, -1)
    left, right = np.full(total, -1), np.full(total, -1)
    depth = np.zeros(total, dtype=np.int64)
    youngest = np.full(total, -1)  # the child that joined last
    for tree, start, size in zip(grow_trees(padded, sizes, roots), starts, sizes, strict=True):
        for node, above in (tree[1:size] + start).tolist():
            sibling = youngest[above]
            if sibling < 0:
                left[above] = node
                parent[node] = above
            else:
                right[sibling] = node
                parent[node] = sibling
            youngest[above] = node
            depth[node] = depth[parent[node]] + 1

    order = np.argsort(depth, kind="stable")
    levels = np.split(order, np.flatnonzero(np.diff(depth[order])) + 1)
    position = np.empty(total, dtype=np.int64)  # in its level
    for level in levels:
        position[level] = np.arange(len(level))
    below = [len(level) for level in levels[1:]] + [0]

    def children(of: np.ndarray) -> list[Tensor]:
        return [
            torch.as_tensor(np.where(of[level] < 0, count, position[of[level]]), device=device)
            for level, count in zip(levels, below, strict=True)
        ]

    inverse = np.empty(total, dtype=np.int64)
    inverse[order] = np.arange(total)
    return Forest(
        levels=[torch.as_tensor(level, device=device) for level in levels],
        parent=[
            torch.as_tensor(np.where(parent[level] < 0, 0, position[parent[level]]), device=device) for level in levels
        ],
        left=children(left),
        right=children(right),
        inverse=torch.as_tensor(inverse, device=device),
        image=torch.as_tensor(np.repeat(np.arange(len(sizes)), sizes), device=device),
    )


def bbox_intersection(box_a: Tensor, box_b: Tensor) -> Tensor:
    """Intersection areas of inclusive boxes [A, 4] and [B, 4]: [A, B]."""
    low = torch.maximum(box_a[:, None, :2], box_b[None, :, :2])
    high = torch.minimum(box_a[:, None, 2:], box_b[None, :, 2:])
    return (high - low + 1.0).clamp(min=0).prod(dim=2)


def bbox_overlap(box_a: Tensor, box_b: Tensor) -> Tensor:
    """IoU of inclusive boxes [A, 4] and [B, 4]: [A, B]."""
    intersection = bbox_intersection(box_a, box_b)
    area_a = (box_a[:, 2:] - box_a[:, :2] + 1.0).prod(dim=1)
    area_b = (box_b[:, 2:] - box_b[:, :2] + 1.0).prod(dim=1)
    return intersection / (area_a[:, None] + area_b - intersection + 1e-9)


def bbox_area(bbox: Tensor) -> Tensor:
    """Areas [n, 1], here without the last pixel, as in SGB."""
    return (bbox[:, 2:] - bbox[:, :2]).prod(dim=1, keepdim=True)


def get_overlap_info(proposals: Sequence[BoxList]) -> Tensor:
    """How each object overlaps those of its image: number, summed area and IoU, their means, its own area; [n, 6]."""
    rows = []
    for proposal in proposals:
        boxes = proposal.convert("xyxy").bbox
        intersection = bbox_intersection(boxes, boxes)
        count = (intersection > 0).float().sum(1, keepdim=True)
        shared = intersection.sum(1, keepdim=True) / IM_SCALE**2
        overlap = bbox_overlap(boxes, boxes).sum(1, keepdim=True)
        area = bbox_area(boxes) / IM_SCALE**2
        rows.append(torch.cat((count, shared, overlap, shared / (count + 1e-9), overlap / (count + 1e-9), area), dim=1))
    return torch.cat(rows)
