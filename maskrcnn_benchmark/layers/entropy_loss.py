"""Entropy of predicted distributions as a loss."""

from torch import Tensor


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
