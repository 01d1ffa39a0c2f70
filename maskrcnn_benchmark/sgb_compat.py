"""What SGB offers and this host does not need itself, for code that was written against SGB.

Each name can still be imported from the module in which SGB has it. Those modules import this one, so that what is
needed of them is imported inside of functions.
"""

from __future__ import annotations

import logging
import random

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset
from torchvision.transforms import functional as image_functional

from maskrcnn_benchmark.structures.bounding_box import FLIP_LEFT_RIGHT, BoxList

DEBUG_PRINT_ON = False  # switches `debug_print`


def debug_print(logger: logging.Logger | None, info: str) -> None:
    """Log a step of the program where `DEBUG_PRINT_ON` is set."""
    if DEBUG_PRINT_ON and logger is not None:
        logger.info("%s %s", "#" * 20, info)


def entropy_loss(input: Tensor, e: float = 1e-9, reduction: str = "sum") -> Tensor:
    """Mean over N of the entropy of the probabilities [N, C].

    Args:
        e: keeps the logarithm finite.
        reduction: `sum` over the classes (the entropy), or `mean` (divided by C).
    """
    return _reduce(-input * (input + e).log(), reduction)


def _reduce(loss: Tensor, reduction: str) -> Tensor:
    """Per-class terms [N, C] to a scalar: summed or averaged over C, averaged over N."""
    if loss.dim() != 2:
        raise ValueError(f"probabilities must have the shape [N, C], found {list(loss.shape)}")
    if reduction not in ("sum", "mean"):
        raise ValueError(f"reduction must be sum or mean, found {reduction!r}")
    return (loss.sum(1) if reduction == "sum" else loss.mean(1)).mean()


def kl_div_loss(input: Tensor, target: Tensor, e: float = 1e-9, reduction: str = "sum") -> Tensor:
    """Mean over N of KL(target || input), both probabilities [N, C]; no gradient flows into the target.

    Args:
        e: keeps the logarithms finite.
        reduction: `sum` over the classes (the divergence), or `mean` (divided by C).
    """
    target = target.detach()
    return _reduce(target * ((target + e).log() - (input + e).log()), reduction)


class Label_Smoothing_Regression(nn.Module):
    """Cross entropy with the target 1 - e + e / C on the true class and e / C on each of the others.

    Args:
        e: smoothing.
        reduction: `mean`, `sum` or `none`.
    """

    def __init__(self, e: float = 0.01, reduction: str = "mean"):
        super().__init__()
        if reduction not in ("mean", "sum", "none"):
            raise ValueError(f"reduction must be mean, sum or none, found {reduction!r}")
        self.e = e
        self.reduction = reduction

    def forward(self, x: Tensor, target: Tensor) -> Tensor:
        """Logits [N, C] and classes int64 [N] to the loss; a scalar, or [N] without reduction."""
        return F.cross_entropy(x, target, reduction=self.reduction, label_smoothing=self.e)


class FocalLoss(nn.Module):
    """Focal loss of class logits (Lin et al., ICCV 2017, eq. 5); `alpha` weights foreground, 1 - `alpha` background."""

    def __init__(self, gamma: float = 0, alpha: float | None = None, size_average: bool = True):
        super().__init__()
        self.gamma, self.alpha, self.size_average = gamma, alpha, size_average

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Logits [m, R] and labels int64 [m], background 0 -> mean or sum over the rows."""
        log_p = -F.cross_entropy(input, target, reduction="none")
        loss = -((1 - log_p.exp()) ** self.gamma) * log_p
        if self.alpha is not None:
            loss = loss * torch.where(target > 0, self.alpha, 1 - self.alpha)
        return loss.mean() if self.size_average else loss.sum()


def nms_overlaps(boxes: Tensor) -> Tensor:
    """IoU of every two objects with each class's own boxes: [n, C, 4] -> [n, n, C]."""
    top_left = torch.maximum(boxes[:, None, :, :2], boxes[None, :, :, :2])
    bottom_right = torch.minimum(boxes[:, None, :, 2:], boxes[None, :, :, 2:])
    intersection = (bottom_right - top_left + 1.0).clamp(min=0).prod(dim=-1)
    areas = (boxes[..., 2:] - boxes[..., :2] + 1.0).prod(dim=-1)  # [n, C]
    return intersection / (areas[None] - intersection + areas[:, None])


def intersect_2d(x1: np.ndarray, x2: np.ndarray) -> np.ndarray:
    """Which rows of x1 [n, k] equal which rows of x2 [m, k]: bool [n, m]."""
    if x1.shape[1] != x2.shape[1]:
        raise ValueError(f"rows must have one length, found {x1.shape[1]} and {x2.shape[1]}")
    return (x1[:, None, :] == x2[None, :, :]).all(2)


def argsort_desc(scores: np.ndarray) -> np.ndarray:
    """Indices [n, scores.ndim] of all elements, largest first."""
    return np.column_stack(np.unravel_index(np.argsort(-scores.ravel()), scores.shape))


class ListDataset(Dataset):
    """Samples (image, target); the target is one box around the whole image.

    Args:
        image_lists: paths of the images.
        transforms: called with (image, target).
    """

    def __init__(self, image_lists, transforms=None):
        self.image_lists = image_lists
        self.transforms = transforms

    def __getitem__(self, item: int):
        from maskrcnn_benchmark.data.datasets.images import load_image

        image = load_image(self.image_lists[item])
        target = BoxList([[0, 0, *image.size]], image.size, mode="xyxy")
        if self.transforms is not None:
            image, target = self.transforms(image, target)
        return image, target

    def __len__(self) -> int:
        return len(self.image_lists)

    def get_img_info(self, item: int) -> dict:
        """`width` and `height` of an image in pixels."""
        from maskrcnn_benchmark.data.datasets.images import image_size

        width, height = image_size(self.image_lists[item])
        return {"width": width, "height": height}


class RandomHorizontalFlip:
    """Mirror left and right with a probability."""

    def __init__(self, prob: float = 0.5):
        self.prob = prob

    def __call__(self, image, target):
        if random.random() < self.prob:
            image = image_functional.hflip(image)
            target = target.transpose(FLIP_LEFT_RIGHT)
        return image, target


def evaluate_relation_of_one_image(
    groundtruth: BoxList, prediction: BoxList, global_container: dict, evaluator: dict
) -> None:
    """Add one image to the metrics, as SGB does.

    Args:
        global_container: `mode`, `iou_thres` and `zeroshot_triplet` int [Z, 3].
        evaluator: metrics by name, from `make_metrics`.
    """
    from maskrcnn_benchmark.data.datasets.evaluation.vg.vg_eval import collect_metrics, rank_image

    mode = global_container["mode"]
    ranks = rank_image(groundtruth, prediction, mode, global_container["iou_thres"])
    if ranks is not None:
        ranks["image"] = np.zeros(len(ranks["rank"]), dtype=np.int64)
        collect_metrics(evaluator, global_container, ranks, mode)


def _triplet(
    relations: np.ndarray,
    classes: np.ndarray,
    boxes: np.ndarray,
    predicate_scores: np.ndarray | None = None,
    class_scores: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Relations int [P, 3] of (subject index, object index, predicate) written out.

    Returns:
        (subject class, predicate, object class) [P, 3]; subject and object boxes [P, 8]; and, where both scores are
        given, (subject score, predicate score, object score) [P, 3].
    """
    subjects, objects, predicates = relations.T
    scores = None
    if predicate_scores is not None and class_scores is not None:
        scores = np.column_stack((class_scores[subjects], predicate_scores, class_scores[objects]))
    triplets = np.column_stack((classes[subjects], predicates, classes[objects]))
    return triplets, np.column_stack((boxes[subjects], boxes[objects])), scores


def _compute_pred_matches(
    gt_triplets: np.ndarray,
    pred_triplets: np.ndarray,
    gt_boxes: np.ndarray,
    pred_boxes: np.ndarray,
    iou_thres: float,
    phrdet: bool = False,
) -> list[list[int]]:
    """For each prediction the indices of the ground truths that it matches.

    Args:
        gt_triplets, pred_triplets: (subject class, predicate, object class) [G, 3] and [P, 3].
        gt_boxes, pred_boxes: subject and object boxes [G, 8] and [P, 8].
        phrdet: compare the boxes around subject and object instead of each of them.
    """
    from maskrcnn_benchmark.utils.miscellaneous import bbox_overlaps

    matches = (pred_triplets[:, None] == gt_triplets[None]).all(2)
    if phrdet:
        around = [
            np.column_stack((np.minimum(b[:, :2], b[:, 4:6]), np.maximum(b[:, 2:4], b[:, 6:])))
            for b in (pred_boxes, gt_boxes)
        ]  # [P, 4] and [G, 4]
        matches &= bbox_overlaps(*around) >= iou_thres
    else:
        for part in (slice(4), slice(4, 8)):
            matches &= bbox_overlaps(pred_boxes[:, part], gt_boxes[:, part]) >= iou_thres
    return [np.flatnonzero(row).tolist() for row in matches]


def convert_relation_matrix_to_triplets(relation: Tensor) -> Tensor:
    """A matrix of predicates [n, n], 0 for none, as (subject, object, predicate) int64 [m, 3]."""
    pairs = relation.nonzero()
    return torch.cat((pairs, relation[pairs[:, 0], pairs[:, 1], None]), 1).long()
