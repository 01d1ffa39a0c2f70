"""Labels of proposals, and which of them a training step sees."""

from __future__ import annotations

import torch
from torch import Tensor

from maskrcnn_benchmark.modeling.balanced_positive_negative_sampler import BalancedPositiveNegativeSampler
from maskrcnn_benchmark.modeling.box_coder import BoxCoder
from maskrcnn_benchmark.modeling.matcher import Matcher
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.boxlist_ops import boxlist_iou


class FastRCNNSampling:
    """Matches proposals to ground truth by IoU and draws a sample of both kinds."""

    def __init__(self, proposal_matcher: Matcher, fg_bg_sampler: BalancedPositiveNegativeSampler, box_coder: BoxCoder):
        self.proposal_matcher = proposal_matcher
        self.fg_bg_sampler = fg_bg_sampler
        self.box_coder = box_coder

    def _match(self, proposal: BoxList, target: BoxList) -> tuple[Tensor, Tensor, Tensor]:
        """Matched ground truth int64 [n] (negative: none), its label and attributes (zeros without a match)."""
        matched = self.proposal_matcher(boxlist_iou(target, proposal))
        attributes = target.get_field("attributes")
        if len(target) == 0:
            return matched, matched.new_zeros(len(matched)), attributes.new_zeros((len(matched), attributes.shape[1]))
        index = matched.clamp(min=0)
        labels = target.get_field("labels")[index].to(torch.int64).masked_fill(matched < 0, 0)
        return matched, labels, attributes[index].to(torch.int64).masked_fill((matched < 0)[:, None], 0)

    def subsample(self, proposals: list[BoxList], targets: list[BoxList]) -> list[BoxList]:
        """The proposals drawn, with `labels`, `attributes`, `regression_targets` and `matched_idxs`."""
        all_labels = []
        for proposal, target in zip(proposals, targets, strict=True):
            matched, labels, attributes = self._match(proposal, target)
            # proposals between the thresholds are not drawn
            labels = labels.masked_fill(matched == Matcher.BETWEEN_THRESHOLDS, -1)
            if len(target):
                offsets = self.box_coder.encode(target.bbox[matched.clamp(min=0)], proposal.bbox)
            else:
                offsets = torch.zeros_like(proposal.bbox)
            proposal.add_field("labels", labels)
            proposal.add_field("attributes", attributes)
            proposal.add_field("regression_targets", offsets)
            proposal.add_field("matched_idxs", matched)
            all_labels.append(labels)
        positives, negatives = self.fg_bg_sampler(all_labels)
        return [
            proposal[(positive | negative).nonzero().squeeze(1)]
            for proposal, positive, negative in zip(proposals, positives, negatives, strict=True)
        ]

    def assign_label_to_proposals(self, proposals: list[BoxList], targets: list[BoxList]) -> list[BoxList]:
        """The proposals with `labels` and `attributes` of what they match, 0 for nothing."""
        for proposal, target in zip(proposals, targets, strict=True):
            _, labels, attributes = self._match(proposal, target)
            proposal.add_field("labels", labels)
            proposal.add_field("attributes", attributes)
        return proposals


def make_roi_box_samp_processor(cfg) -> FastRCNNSampling:
    heads = cfg.MODEL.ROI_HEADS
    matcher = Matcher(heads.FG_IOU_THRESHOLD, heads.BG_IOU_THRESHOLD, allow_low_quality_matches=False)
    sampler = BalancedPositiveNegativeSampler(heads.BATCH_SIZE_PER_IMAGE, heads.POSITIVE_FRACTION)
    return FastRCNNSampling(matcher, sampler, BoxCoder(weights=heads.BBOX_REG_WEIGHTS))
