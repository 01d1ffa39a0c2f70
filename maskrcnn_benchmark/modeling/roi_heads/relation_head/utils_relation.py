"""Box geometry, label suppression and initialisation that several relation predictors share.

Boxes are xyxy in pixels, 0-based and inclusive: a width is x2 - x1 + 1.
"""

import itertools
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from maskrcnn_benchmark.sgb_compat import nms_overlaps  # noqa: F401  (SGB's users find it here)
from maskrcnn_benchmark.structures.bounding_box import BoxList


def relation_task(config) -> str:
    """`predcls` (boxes and labels given), `sgcls` (boxes given) or `sgdet` (nothing given)."""
    head = config.MODEL.ROI_RELATION_HEAD
    if not head.USE_GT_BOX:
        return "sgdet"
    return "predcls" if head.USE_GT_OBJECT_LABEL else "sgcls"


def global_pairs(rel_pair_idxs: Sequence[Tensor], num_objs: Sequence[int]) -> Tensor:
    """Pairs of all images as indices into the objects of all images.

    Args:
        rel_pair_idxs: (subject, object) indices within each image, int64 [m_i, 2] each.
        num_objs: number of objects of each image.

    Returns:
        int64 [sum of m_i, 2]
    """
    offsets = np.cumsum([0, *num_objs[:-1]]).tolist()
    return torch.cat([pairs + offset for pairs, offset in zip(rel_pair_idxs, offsets, strict=True)])


def pair_linear(layer: nn.Linear, subjects: Tensor, objects: Tensor, pairs: Tensor) -> Tensor:
    """`layer` over the concatenated representations of the subject and the object of each pair.

    The layer is applied to objects and its outputs are added up for pairs, which are far more than objects.

    Args:
        layer: from 2d to k features.
        subjects, objects: every object in either role, [n, d]
        pairs: (subject, object) as indices of them, int64 [m, 2]

    Returns:
        [m, k]
    """
    of_subject, of_object = layer.weight.split(subjects.shape[1], dim=1)
    as_subject = F.linear(subjects, of_subject, layer.bias)
    as_object = F.linear(objects, of_object)
    return as_subject.index_select(0, pairs[:, 0]) + as_object.index_select(0, pairs[:, 1])


def get_box_info(boxes: Tensor, need_norm: bool = True, proposal: BoxList | None = None) -> Tensor:
    """Corners, centre and size of each box.

    Args:
        boxes: [n, 4]
        need_norm: divide by the longer side of the image (at least 100 pixels).
        proposal: tells the size of the image; only with `need_norm`.

    Returns:
        (x1, y1, x2, y2, cx, cy, w, h), [n, 8]
    """
    size = boxes[:, 2:] - boxes[:, :2] + 1.0
    info = torch.cat((boxes, boxes[:, :2] + 0.5 * size, size), dim=1)
    return info / float(max(*proposal.size, 100)) if need_norm else info


def get_box_pair_info(box1: Tensor, box2: Tensor) -> Tensor:
    """Subject box, object box, their union and their intersection (zeros where they do not meet).

    Args:
        box1, box2: as `get_box_info` returns them, [m, 8]

    Returns:
        [m, 32]
    """
    corners1, corners2 = box1[:, :4], box2[:, :4]
    low, high = torch.minimum(corners1, corners2), torch.maximum(corners1, corners2)
    union = torch.cat((low[:, :2], high[:, 2:]), dim=1)
    intersection = torch.cat((high[:, :2], low[:, 2:]), dim=1)
    apart = (intersection[:, 2:] < intersection[:, :2]).any(dim=1, keepdim=True)
    intersection_info = get_box_info(intersection, need_norm=False).masked_fill(apart, 0.0)
    return torch.cat((box1, box2, get_box_info(union, need_norm=False), intersection_info), dim=1)


def greedy_class_nms(
    probabilities: Tensor, boxes_per_cls: Tensor, nms_thresh: float, background: float = 0.0, revise: bool = True
) -> Tensor:
    """Labels of one image's objects by greedy suppression: most probable (object, class) first.

    Each choice takes its class away from the objects whose box of that class overlaps the chosen one's, as in Neural
    Motifs. n steps over an [n, C] array; overlaps are computed only with the chosen box.

    Args:
        probabilities: of each class, background first, [n, C]
        boxes_per_cls: box of each object were it of that class, [n, C, 4]
        nms_thresh: IoU from which on a class is taken away.
        background: what stands in for the background's probability. With 0 an object that has lost every class becomes
            background, with -1 it takes the first class that it lost.
        revise: whether an object that has a label may get another one. That happens only where nothing but lost
            classes is left to choose from; SGB's decoders do so, its post-processing does not.

    Returns:
        int64 [n]
    """
    scores = probabilities.detach().float().cpu().numpy().copy()
    boxes = boxes_per_cls.detach().float().cpu().numpy()
    areas = (boxes[..., 2] - boxes[..., 0] + 1) * (boxes[..., 3] - boxes[..., 1] + 1)
    labels = np.zeros(len(scores), dtype=np.int64)
    scores[:, 0] = background
    for _ in range(len(scores)):
        index, label = np.unravel_index(scores.argmax(), scores.shape)
        if revise or labels[index] == 0:
            labels[index] = label
        same = boxes[:, label]
        size = np.minimum(same[:, 2:], same[index, 2:]) - np.maximum(same[:, :2], same[index, :2]) + 1
        intersection = size.clip(min=0).prod(axis=1)
        union = areas[:, label] - intersection + areas[index, label]
        with np.errstate(invalid="ignore"):  # boxes without area overlap nothing
            scores[intersection / union >= nms_thresh, label] = 0.0
        scores[index] = -1.0  # chosen
    return torch.from_numpy(labels).to(probabilities.device)


def obj_prediction_nms(boxes_per_cls: Tensor, pred_logits: Tensor, nms_thresh: float = 0.3) -> Tensor:
    """Late suppression of labels in SGDet.

    Args:
        boxes_per_cls: [n, C, 4]
        pred_logits: [n, C]
        nms_thresh: IoU from which on two objects may not share a class.

    Returns:
        int64 [n]
    """
    return greedy_class_nms(pred_logits.float().softmax(dim=1), boxes_per_cls, nms_thresh, revise=False)


def layer_init(layer: nn.Module, init_para: float = 0.1, normal: bool = False, xavier: bool = True) -> None:
    """Initialise a linear layer: normal with standard deviation `init_para`, otherwise Xavier; zero bias."""
    if normal:
        nn.init.normal_(layer.weight, mean=0, std=init_para)
    elif xavier:
        nn.init.xavier_normal_(layer.weight, gain=1.0)
    nn.init.constant_(layer.bias, 0)


@torch.no_grad()
def block_orthogonal(tensor: Tensor, split_sizes: Sequence[int], gain: float = 1.0) -> None:
    """Initialise each block of a matrix, as of the gates of an LSTM, as an orthogonal matrix of its own.

    Args:
        tensor: two-dimensional, filled in place.
        split_sizes: height and width of a block; they divide the tensor's.
    """
    if any(size % split for size, split in zip(tensor.shape, split_sizes, strict=True)):
        raise ValueError(f"a tensor of shape {tuple(tensor.shape)} has no blocks of shape {tuple(split_sizes)}")
    starts = (range(0, size, split) for size, split in zip(tensor.shape, split_sizes, strict=True))
    for row, column in itertools.product(*starts):
        # a rectangle's orthonormal rows (or columns) are distributed as those of the larger square that SGB draws
        block = nn.init.orthogonal_(tensor.new_empty(*split_sizes), gain=gain)
        tensor[row : row + split_sizes[0], column : column + split_sizes[1]] = block
