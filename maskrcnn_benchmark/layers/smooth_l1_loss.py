"""Smooth L1 loss with SGB's signature."""

from torch import Tensor
from torch.nn import functional as F


def smooth_l1_loss(input: Tensor, target: Tensor, beta: float = 1.0 / 9, size_average: bool = True) -> Tensor:
    """Quadratic below `beta`, linear above; the mean over all elements, or their sum."""
    return F.smooth_l1_loss(input, target, beta=beta, reduction="mean" if size_average else "sum")
