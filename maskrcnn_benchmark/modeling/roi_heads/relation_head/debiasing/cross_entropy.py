"""Cross-entropy of predicates, with a weight for each."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from maskrcnn_benchmark.utils.global_batch import batch_mean

LABEL_SMOOTHING = 0.01


def mean_cross_entropy(
    logits: Tensor, labels: Tensor, label_smoothing: float = 0.0, weights: Tensor | None = None
) -> Tensor:
    """Cross-entropy of logits [m, classes] and labels int [m], a mean over the rows whose label is not -1, of the whole
    batch where processes share one (`utils.global_batch`).

    Args:
        weights: of the classes; rows count as often, but are divided by their number, not by their weights.

    Returns:
        a scalar; zero, and connected to the logits, where no row is left
    """
    total = F.cross_entropy(
        logits.float(), labels.long(), weights, ignore_index=-1, reduction="sum", label_smoothing=label_smoothing
    )
    return batch_mean(total, (labels >= 0).sum())


class CrossEntropy(nn.Module):
    """`mean_cross_entropy` with the same weights [R] every time; None: all count alike."""

    weights: Tensor | None

    def __init__(self, label_smoothing: float = 0.0, weights: Tensor | None = None):
        super().__init__()
        self.label_smoothing = label_smoothing
        self.register_buffer("weights", None if weights is None else weights.float(), persistent=False)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Logits [m, R] and labels int64 [m] (-1: left out) -> scalar."""
        return mean_cross_entropy(logits, labels, self.label_smoothing, self.weights)
