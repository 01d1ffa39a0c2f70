"""Which phrases are negatives of which, for the relational contrastive loss.

Shapes: n positives, M phrases in the dictionary, k components of a phrase (language/phrase_index.py), R predicates.
"""

from __future__ import annotations

from typing import Optional

import torch
from torch import Tensor


def negative_mask(
    positives: Tensor,
    phrases: Tensor,
    related: bool,
    synonyms: Optional[Tensor] = None,
) -> Tensor:
    """Bool [n, M]: which phrases are negatives of which positive (equation 5 of docs/method.md).

    It must differ in exactly one component (`related`) or in any, and be no synonym: not name the same classes with a
    synonym of the predicate.

    Args:
        positives: int64 [n, k] components.
        phrases: int64 [M, k] components.
        synonyms: bool [R, R], which predicates are synonyms; None: none are.
    """
    different = (positives[:, None, 0] != phrases[None, :, 0]).to(torch.uint8)
    for k in range(1, positives.shape[1]):
        different += positives[:, None, k] != phrases[None, :, k]
    mask = different == 1 if related else different > 0
    if synonyms is not None:  # where a predicate is another's, one difference is that of the predicates
        mask &= ~((different == 1) & synonyms[positives[:, -1]][:, phrases[:, -1]])
    return mask
