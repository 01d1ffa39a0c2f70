"""Operations on lists of boxes; boxes are inclusive, areas and IoU count the last pixel."""

from __future__ import annotations

import torch
from torch import Tensor

from maskrcnn_benchmark.layers.nms import nms

from .bounding_box import TO_REMOVE, BoxList


def boxlist_nms(
    boxlist: BoxList, nms_thresh: float, max_proposals: int = -1, score_field: str = "scores"
) -> tuple[BoxList, Tensor]:
    """Non-maximum suppression by the scores in `score_field`.

    Returns:
        the boxes kept, best first, at most `max_proposals` where that is positive; and their indices int64 [k].
        Without suppression (`nms_thresh` <= 0), all boxes and all indices.
    """
    if nms_thresh <= 0:
        return boxlist, torch.arange(len(boxlist), device=boxlist.bbox.device)
    keep = nms(boxlist.convert("xyxy").bbox, boxlist.get_field(score_field), nms_thresh)
    if max_proposals > 0:
        keep = keep[:max_proposals]
    return boxlist[keep], keep


def remove_small_boxes(boxlist: BoxList, min_size: float) -> BoxList:
    """The boxes whose width and height reach `min_size` pixels."""
    sides = boxlist.convert("xywh").bbox[:, 2:]
    return boxlist[(sides >= min_size).all(1).nonzero().squeeze(1)]


def _corners(boxlist1: BoxList, boxlist2: BoxList) -> tuple[Tensor, Tensor]:
    if boxlist1.size != boxlist2.size:
        raise RuntimeError(f"boxes of images of different sizes: {boxlist1}, {boxlist2}")
    return boxlist1.convert("xyxy").bbox, boxlist2.convert("xyxy").bbox


def _corners_of_pairs(boxlist1: BoxList, boxlist2: BoxList) -> tuple[Tensor, Tensor]:
    if len(boxlist1) != len(boxlist2):
        raise RuntimeError(f"lists of boxes that make pairs must be of one length: {boxlist1}, {boxlist2}")
    return _corners(boxlist1, boxlist2)


def boxlist_iou(boxlist1: BoxList, boxlist2: BoxList) -> Tensor:
    """Intersection over union of every box of the first list [n] with every box of the second [m]: [n, m]."""
    box1, box2 = _corners(boxlist1, boxlist2)
    top_left = torch.max(box1[:, None, :2], box2[:, :2])  # [n, m, 2]
    bottom_right = torch.min(box1[:, None, 2:], box2[:, 2:])  # [n, m, 2]
    sides = (bottom_right - top_left + TO_REMOVE).clamp(min=0)  # [n, m, 2]
    intersection = sides[..., 0] * sides[..., 1]  # [n, m]
    return intersection / (boxlist1.area()[:, None] + boxlist2.area() - intersection)


def boxlist_union(boxlist1: BoxList, boxlist2: BoxList) -> BoxList:
    """The smallest box around the i-th box of each list."""
    box1, box2 = _corners_of_pairs(boxlist1, boxlist2)
    union = torch.cat((torch.min(box1[:, :2], box2[:, :2]), torch.max(box1[:, 2:], box2[:, 2:])), dim=1)
    return BoxList(union, boxlist1.size, "xyxy")


def boxlist_intersection(boxlist1: BoxList, boxlist2: BoxList) -> BoxList:
    """What the i-th boxes of both lists share; zeros where that is not wider and higher than one pixel, as in SGB."""
    box1, box2 = _corners_of_pairs(boxlist1, boxlist2)
    shared = torch.cat((torch.max(box1[:, :2], box2[:, :2]), torch.min(box1[:, 2:], box2[:, 2:])), dim=1)
    empty = (shared[:, 2:] <= shared[:, :2]).any(1)
    return BoxList(shared.masked_fill(empty[:, None], 0.0), boxlist1.size, "xyxy")


def _cat(tensors, dim: int = 0) -> Tensor:
    """Concatenate; a single tensor is passed on without a copy."""
    return tensors[0] if len(tensors) == 1 else torch.cat(list(tensors), dim)


def cat_boxlist(bboxes) -> BoxList:
    """One list of all boxes of one image; triplet fields become block-diagonal.

    Raises:
        ValueError: lists of different images, modes or fields.
    """
    first = bboxes[0]
    for other in bboxes[1:]:
        if other.size != first.size or other.mode != first.mode or set(other.fields()) != set(first.fields()):
            raise ValueError(f"lists to join must agree in size, mode and fields: {first}, {other}")
    out = BoxList(_cat([b.bbox for b in bboxes]), first.size, first.mode)
    for name in first.fields():
        values = [b.get_field(name) for b in bboxes]
        if name not in first.triplet_extra_fields:
            out.add_field(name, _cat(values))
            continue
        total = sum(len(v) for v in values)
        joined = values[0].new_zeros((total, total, *values[0].shape[2:]))
        start = 0
        for value in values:
            end = start + len(value)
            joined[start:end, start:end] = value
            start = end
        out.add_field(name, joined, is_triplet=True)
    return out
