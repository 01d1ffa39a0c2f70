"""Small helpers of the model's parts."""

from collections.abc import Sequence

import torch
from torch import Tensor

from maskrcnn_benchmark.structures.boxlist_ops import _cat as cat
from maskrcnn_benchmark.utils.errors import InputError

__all__ = ["cat", "check_finite"]


def check_finite(tensors: Sequence[Tensor], what: str) -> None:
    """Refuse predictions from numbers that are not finite: they would be no detections or arbitrary relations.

    Args:
        what: the message calls the tensors so.

    Raises:
        InputError: one of them holds nan or an infinity.
    """
    if not tensors or torch.stack([tensor.detach().sum(dtype=torch.float32) for tensor in tensors]).isfinite().all():
        return
    raise InputError(
        f"{what} are not finite (nan or infinite), so nothing can be predicted: the weights are damaged, or DTYPE "
        "is too coarse for them (try float32)"
    )
