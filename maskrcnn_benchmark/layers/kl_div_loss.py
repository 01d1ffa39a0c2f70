"""Kullback-Leibler divergence between predicted distributions as a loss."""

from torch import Tensor

from .entropy_loss import _reduce


def kl_div_loss(input: Tensor, target: Tensor, e: float = 1e-9, reduction: str = "sum") -> Tensor:
    """Mean over N of KL(target || input), both probabilities [N, C]; no gradient flows into the target.

    Args:
        e: keeps the logarithms finite.
        reduction: `sum` over the classes (the divergence), or `mean` (divided by C).
    """
    target = target.detach()
    return _reduce(target * ((target + e).log() - (input + e).log()), reduction)
