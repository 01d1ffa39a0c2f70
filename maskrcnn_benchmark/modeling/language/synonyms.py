"""Which predicates a text encoder takes for synonyms.

Shapes: O object classes and R predicates, background included, d width of the embeddings.
"""

from __future__ import annotations

import torch
from torch import Tensor


def predicate_similarity(subject_predicate: Tensor, predicate_object: Tensor) -> Tensor:
    """How alike predicates are: mean cosine of their phrases about the same subject and about the same object.

    Args:
        subject_predicate, predicate_object: tables of the levels sp and po, [O, R, d].

    Returns:
        [R, R], zero in row and column of background.
    """
    table = torch.cat([subject_predicate[1:], predicate_object[1:]])  # [2 (O - 1), R, d]
    return torch.einsum("gpd,gqd->pq", table, table) / len(table)


def synonymous(similarity: Tensor, threshold: float) -> Tensor:
    """Bool [R, R]: predicates that are synonyms at a threshold; none of itself, none of background."""
    found = similarity >= threshold
    found.fill_diagonal_(False)
    found[0] = found[:, 0] = False
    return found
