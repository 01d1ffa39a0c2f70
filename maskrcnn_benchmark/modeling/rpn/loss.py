"""Losses of the region proposal network."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from maskrcnn_benchmark.layers import smooth_l1_loss
from maskrcnn_benchmark.modeling.balanced_positive_negative_sampler import BalancedPositiveNegativeSampler
from maskrcnn_benchmark.modeling.box_coder import BoxCoder
from maskrcnn_benchmark.modeling.matcher import Matcher, take_matched
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.boxlist_ops import boxlist_iou, cat_boxlist
from maskrcnn_benchmark.utils.global_batch import batch_mean

from .utils import concat_box_prediction_layers


def generate_rpn_labels(matched_targets: BoxList) -> Tensor:
    """Whether each anchor is matched, bool [n], from the ground truth that `match_targets_to_anchors` gives."""
    return matched_targets.get_field("matched_idxs") >= 0


class RPNLossComputation:
    """Matches anchors to ground truth, draws a sample and compares.

    Args:
        generate_labels_func: from matched ground truth to the classes of the anchors [n], 0 for background.
    """

    def __init__(
        self,
        proposal_matcher: Matcher,
        fg_bg_sampler: BalancedPositiveNegativeSampler,
        box_coder: BoxCoder,
        generate_labels_func: Callable[[BoxList], Tensor],
    ):
        self.proposal_matcher = proposal_matcher
        self.fg_bg_sampler = fg_bg_sampler
        self.box_coder = box_coder
        self.generate_labels_func = generate_labels_func

    def match_targets_to_anchors(self, anchor: BoxList, target: BoxList, copied_fields=()) -> BoxList:
        """For each anchor its ground truth with `matched_idxs` and these fields of it (`take_matched`)."""
        matched_idxs = self.proposal_matcher(boxlist_iou(target, anchor))
        return take_matched(target.copy_with_fields(list(copied_fields)), matched_idxs)

    def prepare_targets(self, anchors: list[BoxList], targets: list[BoxList]) -> tuple[list[Tensor], list[Tensor]]:
        """For each image labels float [n] (1 object, 0 background, -1 not used) and offsets [n, 4]."""
        labels, regression_targets = [], []
        for anchor, target in zip(anchors, targets, strict=True):
            matched = self.match_targets_to_anchors(anchor, target)
            matched_idxs = matched.get_field("matched_idxs")
            label = self.generate_labels_func(matched).to(torch.float32)
            label[matched_idxs == Matcher.BELOW_LOW_THRESHOLD] = 0
            label[~anchor.get_field("visibility")] = -1
            label[matched_idxs == Matcher.BETWEEN_THRESHOLDS] = -1
            labels.append(label)
            regression_targets.append(self.box_coder.encode(matched.bbox, anchor.bbox))
        return labels, regression_targets

    def __call__(
        self,
        anchors: list[list[BoxList]],
        objectness: list[Tensor],
        box_regression: list[Tensor],
        targets: list[BoxList],
    ) -> tuple[Tensor, Tensor]:
        """Loss of the scores and loss of the offsets."""
        labels, regression_targets = self.prepare_targets([cat_boxlist(levels) for levels in anchors], targets)
        positives, negatives = (torch.cat(masks).nonzero().squeeze(1) for masks in self.fg_bg_sampler(labels))
        sampled = torch.cat((positives, negatives))
        scores, offsets = concat_box_prediction_layers(objectness, box_regression)
        box_loss = smooth_l1_loss(
            offsets[positives].float(), torch.cat(regression_targets)[positives], beta=1.0 / 9, size_average=False
        )
        objectness_loss = F.binary_cross_entropy_with_logits(
            scores.squeeze(1)[sampled].float(), torch.cat(labels)[sampled], reduction="sum"
        )
        return batch_mean(objectness_loss, sampled.numel()), batch_mean(box_loss, sampled.numel())


def make_rpn_loss_evaluator(cfg, box_coder: BoxCoder) -> RPNLossComputation:
    rpn = cfg.MODEL.RPN
    matcher = Matcher(rpn.FG_IOU_THRESHOLD, rpn.BG_IOU_THRESHOLD, allow_low_quality_matches=True)
    sampler = BalancedPositiveNegativeSampler(rpn.BATCH_SIZE_PER_IMAGE, rpn.POSITIVE_FRACTION)
    return RPNLossComputation(matcher, sampler, box_coder, generate_rpn_labels)
