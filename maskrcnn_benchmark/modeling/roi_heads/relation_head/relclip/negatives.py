"""Which phrases are negatives of which, for the relational contrastive loss.

Shapes: n positives, M phrases in the dictionary, k components of a phrase: (subject, predicate), (object, predicate) or
(subject, object, predicate); O object classes, R predicates, background included.
"""

from __future__ import annotations

from typing import Optional

import torch
from torch import Tensor

# level -> axes of a statistic [subject, object, predicate] that stay, the predicate last
AXES = {"sp": (0, 2), "po": (1, 2), "spo": (0, 1, 2)}


def phrase_components(level: str, triplets: Tensor) -> Tensor:
    """Components [n, k] of the phrases of a level about triplets (subject, object, predicate), int64 [n, 3]."""
    return torch.stack([triplets[:, axis] for axis in AXES[level]], dim=1)


def component_index(components: Tensor, num_objects: int, num_predicates: int) -> Tensor:
    """Row [n] in a level's table [G * R, d] of phrases with components [n, k]."""
    index = components[:, 0]
    for k in range(1, components.shape[1]):
        last = k == components.shape[1] - 1
        index = index * (num_predicates if last else num_objects) + components[:, k]
    return index


def dictionary(level: str, counts: Tensor) -> Tensor:
    """Phrases of a level that occur.

    Args:
        counts: how often a (subject, object, predicate) occurs, [O, O, R], such as SGB's statistic `fg_matrix`.

    Returns:
        int64 [M, k] components, none of them background.
    """
    gone = [axis for axis in range(3) if axis not in AXES[level]]
    occurs = torch.as_tensor(counts) > 0
    if gone:
        occurs = occurs.any(dim=gone[0])
    for axis in range(occurs.dim()):
        occurs.select(axis, 0).fill_(False)
    return occurs.nonzero()


def negative_mask(
    positives: Tensor,
    phrases: Tensor,
    related: bool,
    similarity: Optional[Tensor] = None,
    threshold: float = 1.0,
    synonyms: Optional[Tensor] = None,
) -> Tensor:
    """Bool [n, M]: which phrases are negatives of which positive (equation 5 of docs/method.md).

    It must differ in exactly one component (`related`) or in any, and be no synonym: neither does its similarity reach
    the threshold, nor is its predicate a synonym.

    Args:
        positives: int64 [n, k] components.
        phrases: int64 [M, k] components.
        similarity: [n, M] cosines of their embeddings; None keeps phrases that are alike.
        threshold: of `similarity`.
        synonyms: bool [R, R], which predicates are synonyms; None keeps them.
    """
    different = (positives[:, None, 0] != phrases[None, :, 0]).to(torch.uint8)
    for k in range(1, positives.shape[1]):
        different += positives[:, None, k] != phrases[None, :, k]
    mask = different == 1 if related else different > 0
    if similarity is not None:
        mask &= similarity < threshold
    if synonyms is not None:
        mask &= ~synonyms[positives[:, -1]][:, phrases[:, -1]]
    return mask
