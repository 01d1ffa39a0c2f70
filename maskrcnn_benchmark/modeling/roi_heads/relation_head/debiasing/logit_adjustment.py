"""Logit adjustment in training or evaluation (Menon et al., "Long-tail learning via logit adjustment", ICLR 2021)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .cross_entropy import mean_cross_entropy


class LogitAdjustment(nn.Module):
    """f_p + strength * log(pi_p), pi_p the share of predicate p among the relations of the training set.

    How many pairs are background is a matter of sampling, not of the data, so that there is no prior to adjust it by:
    whether a pair is related at all stays as likely as it was, and only the predicates of related pairs are weighted.

    Args:
        counts: of the predicates in the training set, without background, positive [R - 1].
        strength: tau in training (eq. 10 of the paper), -tau in evaluation (eq. 9).
    """

    log_prior: Tensor

    def __init__(self, counts: Tensor, strength: float):
        super().__init__()
        self.strength = strength
        self.register_buffer("log_prior", (counts / counts.sum()).log().float(), persistent=False)

    def forward(self, logits: Tensor) -> Tensor:
        """[m, R] -> [m, R], in single precision."""
        background, before = logits.float().split((1, logits.shape[1] - 1), dim=1)
        after = before + self.strength * self.log_prior
        kept = before.logsumexp(dim=1, keepdim=True) - after.logsumexp(dim=1, keepdim=True)
        return torch.cat((background, after + kept), dim=1)


class LogitAdjustedLoss(nn.Module):
    """Cross-entropy of adjusted logits: what is learnt need not repeat the counts any more."""

    def __init__(self, counts: Tensor, strength: float, label_smoothing: float = 0.0):
        super().__init__()
        self.adjustment = LogitAdjustment(counts, strength)
        self.label_smoothing = label_smoothing

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Logits [m, R] and labels int64 [m] (-1: left out) -> scalar."""
        return mean_cross_entropy(self.adjustment(logits), labels, self.label_smoothing)
