"""Cross entropy against smoothed one-hot targets."""

from torch import Tensor, nn
from torch.nn import functional as F


class Label_Smoothing_Regression(nn.Module):
    """Cross entropy with the target 1 - e + e / C on the true class and e / C on each of the others.

    Args:
        e: smoothing.
        reduction: `mean`, `sum` or `none`.
    """

    def __init__(self, e: float = 0.01, reduction: str = "mean"):
        super().__init__()
        if reduction not in ("mean", "sum", "none"):
            raise ValueError(f"reduction must be mean, sum or none, found {reduction!r}")
        self.e = e
        self.reduction = reduction

    def forward(self, x: Tensor, target: Tensor) -> Tensor:
        """Logits [N, C] and classes int64 [N] to the loss; a scalar, or [N] without reduction."""
        return F.cross_entropy(x, target, reduction=self.reduction, label_smoothing=self.e)
