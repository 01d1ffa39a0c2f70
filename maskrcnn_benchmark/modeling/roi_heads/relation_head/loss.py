"""Losses of the relation head: predicates of pairs, and object labels refined by the context."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from maskrcnn_benchmark.sgb_compat import FocalLoss  # noqa: F401  (SGB's users find it here)
from maskrcnn_benchmark.structures.bounding_box import BoxList

from .debiasing.cross_entropy import LABEL_SMOOTHING, CrossEntropy, mean_cross_entropy


class RelationLossComputation(nn.Module):
    """Losses of predicates and of object labels, each a mean over all images' pairs or objects.

    Args:
        predicate_loss: of logits [m, R] and labels int64 [m]; None: the cross-entropy.
    """

    def __init__(self, use_label_smoothing: bool = False, predicate_loss: nn.Module | None = None):
        super().__init__()
        self.label_smoothing = LABEL_SMOOTHING if use_label_smoothing else 0.0
        self.predicate_loss = predicate_loss or CrossEntropy(self.label_smoothing)

    def forward(
        self,
        proposals: Sequence[BoxList],
        rel_labels: Sequence[Tensor],
        relation_logits: Sequence[Tensor],
        refine_logits: Sequence[Tensor],
    ) -> tuple[Tensor, Tensor]:
        """Loss of the predicates and loss of the objects' labels.

        Args:
            proposals: with the field `labels`.
            rel_labels: predicate of each pair, background 0, -1 for pairs that do not count, int64 [m_i] each.
            relation_logits: [m_i, R] each
            refine_logits: [n_i, C] each

        Returns:
            two scalars; zero, and still connected to the logits, where there is no pair or no object at all
        """
        obj_labels = torch.cat([proposal.get_field("labels") for proposal in proposals])
        return (
            self.predicate_loss(torch.cat(list(relation_logits)), torch.cat(list(rel_labels))),
            mean_cross_entropy(torch.cat(list(refine_logits)), obj_labels, self.label_smoothing),
        )


def make_roi_relation_loss_evaluator(cfg, predicate_loss: nn.Module | None = None) -> RelationLossComputation:
    return RelationLossComputation(cfg.MODEL.ROI_RELATION_HEAD.LABEL_SMOOTHING_LOSS, predicate_loss)
