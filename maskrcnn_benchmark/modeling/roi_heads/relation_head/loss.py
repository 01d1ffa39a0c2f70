"""Losses of the relation head: predicates of pairs, and object labels refined by the context."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from maskrcnn_benchmark.sgb_compat import FocalLoss  # noqa: F401  (SGB's users find it here)
from maskrcnn_benchmark.structures.bounding_box import BoxList

LABEL_SMOOTHING = 0.01


def mean_cross_entropy(logits: Tensor, labels: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Cross entropy of logits [k, classes] and labels int [k]; zero, and connected to the logits, where k is 0."""
    if len(logits) == 0:
        return logits.float().sum()
    return F.cross_entropy(logits.float(), labels.long(), label_smoothing=label_smoothing)


class RelationLossComputation:
    """Cross entropy of predicates and of object labels, each a mean over all images' pairs or objects."""

    def __init__(self, use_label_smoothing: bool = False):
        self.label_smoothing = LABEL_SMOOTHING if use_label_smoothing else 0.0

    def __call__(
        self,
        proposals: Sequence[BoxList],
        rel_labels: Sequence[Tensor],
        relation_logits: Sequence[Tensor],
        refine_logits: Sequence[Tensor],
    ) -> tuple[Tensor, Tensor]:
        """Loss of the predicates and loss of the objects' labels.

        Args:
            proposals: with the field `labels`.
            rel_labels: predicate of each pair, background 0, int64 [m_i] each.
            relation_logits: [m_i, R] each
            refine_logits: [n_i, C] each

        Returns:
            two scalars; zero, and still connected to the logits, where there is no pair or no object at all
        """
        obj_labels = torch.cat([proposal.get_field("labels") for proposal in proposals])
        return (
            mean_cross_entropy(torch.cat(list(relation_logits)), torch.cat(list(rel_labels)), self.label_smoothing),
            mean_cross_entropy(torch.cat(list(refine_logits)), obj_labels, self.label_smoothing),
        )


def make_roi_relation_loss_evaluator(cfg) -> RelationLossComputation:
    return RelationLossComputation(cfg.MODEL.ROI_RELATION_HEAD.LABEL_SMOOTHING_LOSS)
