"""Losses of the box head (Girshick, Fast R-CNN)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from maskrcnn_benchmark.layers import smooth_l1_loss
from maskrcnn_benchmark.modeling.utils import cat
from maskrcnn_benchmark.utils.global_batch import batch_mean


class FastRCNNLossComputation:
    """Cross entropy of the classes, smooth L1 of the offsets of true objects."""

    def __init__(self, cls_agnostic_bbox_reg: bool = False):
        self.cls_agnostic_bbox_reg = cls_agnostic_bbox_reg

    def __call__(self, class_logits: list[Tensor], box_regression: list[Tensor], proposals) -> tuple[Tensor, Tensor]:
        """Both losses, from proposals with the fields `labels` and `regression_targets`."""
        logits = cat(class_logits).float()
        offsets = cat(box_regression).float()
        labels = cat([p.get_field("labels") for p in proposals]).long()
        targets = cat([p.get_field("regression_targets") for p in proposals])
        classification_loss = F.cross_entropy(logits, labels, reduction="sum")

        objects = (labels > 0).nonzero().squeeze(1)
        box = torch.ones_like(labels) if self.cls_agnostic_bbox_reg else labels
        chosen = offsets.view(len(labels), -1, 4)[objects, box[objects]]
        box_loss = smooth_l1_loss(chosen, targets[objects], beta=1, size_average=False)
        return batch_mean(classification_loss, labels.numel()), batch_mean(box_loss, labels.numel())


def make_roi_box_loss_evaluator(cfg) -> FastRCNNLossComputation:
    return FastRCNNLossComputation(cfg.MODEL.CLS_AGNOSTIC_BBOX_REG)
