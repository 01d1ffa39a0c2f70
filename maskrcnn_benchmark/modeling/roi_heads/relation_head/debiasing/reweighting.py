"""Weights of predicates in the cross-entropy, from counts float [R - 1] without background to [R]; background has 1."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def inverse_frequency_weights(counts: Tensor, power: float = 1.0) -> Tensor:
    """w_p = (median of all n / n_p) ^ power; with power 1 those that IETrans trains with (Zhang et al., ECCV 2022)."""
    return F.pad((counts.quantile(0.5) / counts) ** power, (1, 0), value=1.0)


def class_balanced_weights(counts: Tensor, beta: float) -> Tensor:
    """w_p ~ (1 - beta) / (1 - beta ^ n_p), the inverse effective number of samples; the mean over predicates is 1.

    Cui et al., "Class-Balanced Loss Based on Effective Number of Samples", CVPR 2019, eq. 2 and 3.
    """
    weights = (1 - beta) / (1 - beta**counts)
    return F.pad(weights / weights.mean(), (1, 0), value=1.0)
