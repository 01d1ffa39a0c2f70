"""Phrases as numbers: the classes that they name, their rows in a table, and those that a data set shows.

Shapes: n phrases, k components of a phrase, which are (subject, predicate), (object, predicate) or (subject, object,
predicate); O object classes and R predicates, background included, G groups of phrases.
"""

from __future__ import annotations

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


def phrase_counts(level: str, counts: Tensor) -> Tensor:
    """How often each phrase of a level occurs: [O, R], for spo [O, O, R].

    Args:
        counts: how often a (subject, object, predicate) occurs, [O, O, R], such as SGB's statistic `fg_matrix`.
    """
    gone = [axis for axis in range(3) if axis not in AXES[level]]
    return counts.sum(dim=gone[0]) if gone else counts


def dictionary(level: str, counts: Tensor) -> Tensor:
    """Phrases of a level that occur.

    Args:
        counts: see `phrase_counts`.

    Returns:
        int64 [M, k] components, none of them background.
    """
    occurs = phrase_counts(level, torch.as_tensor(counts)) > 0
    for axis in range(occurs.dim()):
        occurs.select(axis, 0).fill_(False)
    return occurs.nonzero()
