"""Which phrases are negatives of which, for the relational contrastive loss.

Shapes: n positives, M phrases in the dictionary, k components of a phrase: (subject, predicate), (object, predicate) or
(subject, object, predicate); O object classes, R predicates, background included.
"""

from __future__ import annotations

from typing import Optional

import torch
from torch import Tensor

KINDS = ("related", "all", "batch")
# level -> axes of a statistic [subject, object, predicate] that stay, the predicate last
AXES = {"sp": (0, 2), "po": (1, 2), "spo": (0, 1, 2)}


def phrase_components(level: str, subjects: Tensor, predicates: Tensor, objects: Tensor) -> Tensor:
    """Components [n, k] of the phrases of a level about triplets, given as classes [n] each."""
    triplets = torch.stack([subjects, objects, predicates], dim=1)
    return triplets[:, list(AXES[level])]


def component_index(components: Tensor, num_objects: int, num_predicates: int) -> Tensor:
    """Row [n] in a level's table [G * R, d] of phrases with components [n, k]."""
    index = components[:, 0]
    for k in range(1, components.shape[1]):
        last = k == components.shape[1] - 1
        index = index * (num_predicates if last else num_objects) + components[:, k]
    return index


def training_dictionary(level: str, fg_matrix: Tensor) -> Tensor:
    """Phrases of a level that occur in the training set.

    Args:
        fg_matrix: SGB's statistic [O, O, R]: how often a (subject, object, predicate) occurs.

    Returns:
        int64 [M, k] components, none of them background.
    """
    counts = torch.as_tensor(fg_matrix)
    gone = [axis for axis in range(3) if axis not in AXES[level]]
    occurs = (counts > 0).float().sum(dim=gone) > 0 if gone else counts > 0
    for axis in range(occurs.dim()):
        occurs.select(axis, 0).fill_(False)
    return occurs.nonzero()


def full_dictionary(level: str, num_objects: int, num_predicates: int) -> Tensor:
    """All phrases of a level: int64 [M, k] components, none of them background."""
    sides = [num_predicates if axis == 2 else num_objects for axis in AXES[level]]
    return torch.cartesian_prod(*[torch.arange(1, side) for side in sides])


class Negatives:
    """Decides which phrases are negatives of which.

    A phrase is a negative of a positive if it differs from it in exactly one component (`related`) or in any (`all`,
    and `batch`, whose phrases are the positives of the batch), and if it is no synonym of it: neither does its
    similarity reach the threshold for phrases, nor the similarity of its predicate, if another, that for predicates.

    Args:
        kind: related | all | batch.
        phrase_threshold: cosine from which phrases are synonyms; None keeps synonyms as negatives.
        predicate_synonyms: bool [R, R], which predicates are synonyms; None keeps them.
    """

    def __init__(
        self, kind: str, phrase_threshold: Optional[float] = None, predicate_synonyms: Optional[Tensor] = None
    ) -> None:
        self.kind = kind
        self.phrase_threshold = phrase_threshold
        self.predicate_synonyms = predicate_synonyms

    def mask(self, positives: Tensor, phrases: Tensor, similarity: Tensor) -> Tensor:
        """Bool [n, M]: which phrases are negatives of which positive.

        Args:
            positives: int64 [n, k] components.
            phrases: int64 [M, k] components.
            similarity: [n, M] cosines of their embeddings.
        """
        different = (positives[:, None, 0] != phrases[None, :, 0]).to(torch.uint8)
        for k in range(1, positives.shape[1]):
            different += positives[:, None, k] != phrases[None, :, k]
        mask = different == 1 if self.kind == "related" else different > 0
        if self.phrase_threshold is not None:
            mask &= similarity < self.phrase_threshold
        if self.predicate_synonyms is not None:
            synonyms = self.predicate_synonyms.to(mask.device)
            mask &= ~synonyms[positives[:, -1]][:, phrases[:, -1]]
        return mask


def synonymous(similarity: Tensor, threshold: float) -> Tensor:
    """Bool [R, R]: predicates that are synonyms at a threshold; none of itself, none of background."""
    found = similarity >= threshold
    found.fill_diagonal_(False)
    found[0] = found[:, 0] = False
    return found
