"""Labels of proposals, and which of them a training step sees."""

from __future__ import annotations

import torch
from torch import Tensor

from maskrcnn_benchmark.modeling.balanced_positive_negative_sampler import BalancedPositiveNegativeSampler
from maskrcnn_benchmark.modeling.box_coder import BoxCoder
from maskrcnn_benchmark.modeling.matcher import Matcher, take_matched
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.boxlist_ops import boxlist_iou


class FastRCNNSampling:
    """Matches proposals to ground truth by IoU and draws a sample of both kinds."""

    def __init__(self, proposal_matcher: Matcher, fg_bg_sampler: BalancedPositiveNegativeSampler, box_coder: BoxCoder):
        self.proposal_matcher = proposal_matcher
        self.fg_bg_sampler = fg_bg_sampler
        self.box_coder = box_coder

    def match_targets_to_proposals(self, proposal: BoxList, target: BoxList) -> BoxList:
        """For each proposal its ground truth with `labels`, `attributes` and `matched_idxs` (`take_matched`)."""
        matched_idxs = self.proposal_matcher(boxlist_iou(target, proposal))
        return take_matched(target.copy_with_fields(["labels", "attributes"]), matched_idxs)

    def _labels_and_attributes(self, matched_targets: BoxList) -> tuple[Tensor, Tensor]:
        """Labels int64 [n] and attributes int64 [n, A] of what is matched, 0 for nothing."""
        unmatched = matched_targets.get_field("matched_idxs") < 0
        labels = matched_targets.get_field("labels").to(torch.int64).masked_fill(unmatched, 0)
        attributes = matched_targets.get_field("attributes").to(torch.int64).masked_fill(unmatched[:, None], 0)
        return labels, attributes

    def prepare_targets(
        self, proposals: list[BoxList], targets: list[BoxList]
    ) -> tuple[list[Tensor], list[Tensor], list[Tensor], list[Tensor]]:
        """What the proposals of each image are to learn.

        Returns:
            labels int64 [n] (0 background, -1 between the thresholds: not to be drawn), attributes int64 [n, A],
            offsets [n, 4], and indices of the ground truth int64 [n] (negative: none).
        """
        columns: tuple[list[Tensor], ...] = ([], [], [], [])
        for proposal, target in zip(proposals, targets, strict=True):
            matched = self.match_targets_to_proposals(proposal, target)
            matched_idxs = matched.get_field("matched_idxs")
            labels, attributes = self._labels_and_attributes(matched)
            labels = labels.masked_fill(matched_idxs == Matcher.BETWEEN_THRESHOLDS, -1)
            offsets = self.box_coder.encode(matched.bbox, proposal.bbox)
            for column, value in zip(columns, (labels, attributes, offsets, matched_idxs), strict=True):
                column.append(value)
        return columns

    def subsample(self, proposals: list[BoxList], targets: list[BoxList]) -> list[BoxList]:
        """The proposals drawn, with `labels`, `attributes`, `regression_targets` and `matched_idxs`."""
        names = ("labels", "attributes", "regression_targets", "matched_idxs")
        columns = self.prepare_targets(proposals, targets)
        for name, column in zip(names, columns, strict=True):
            for proposal, value in zip(proposals, column, strict=True):
                proposal.add_field(name, value)
        positives, negatives = self.fg_bg_sampler(columns[0])
        return [
            proposal[(positive | negative).nonzero().squeeze(1)]
            for proposal, positive, negative in zip(proposals, positives, negatives, strict=True)
        ]

    def assign_label_to_proposals(self, proposals: list[BoxList], targets: list[BoxList]) -> list[BoxList]:
        """The proposals with `labels` and `attributes` of what they match, 0 for nothing."""
        for proposal, target in zip(proposals, targets, strict=True):
            labels, attributes = self._labels_and_attributes(self.match_targets_to_proposals(proposal, target))
            proposal.add_field("labels", labels)
            proposal.add_field("attributes", attributes)
        return proposals


def make_roi_box_samp_processor(cfg) -> FastRCNNSampling:
    heads = cfg.MODEL.ROI_HEADS
    matcher = Matcher(heads.FG_IOU_THRESHOLD, heads.BG_IOU_THRESHOLD, allow_low_quality_matches=False)
    sampler = BalancedPositiveNegativeSampler(heads.BATCH_SIZE_PER_IMAGE, heads.POSITIVE_FRACTION)
    return FastRCNNSampling(matcher, sampler, BoxCoder(weights=heads.BBOX_REG_WEIGHTS))
