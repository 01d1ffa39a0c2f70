"""Vectors of classes that are learnt, as tables of phrases: in place of text, or added to it.

Shapes: O object classes and R predicates, background included, G groups of phrases, d width; tables [G, R, d] as
`phrase_bank.class_table` describes them.
"""

from __future__ import annotations

from typing import Any, Dict, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ClassVectors(nn.Module):
    """For each level, the sum of a vector of each class that a phrase would name.

    Args:
        levels: sp, po, spo.
        width: d.
    """

    def __init__(self, levels: Sequence[str], num_objects: int, num_predicates: int, width: int) -> None:
        super().__init__()
        self.predicates = nn.ModuleDict({level: nn.Embedding(num_predicates, width) for level in levels})
        self.objects = nn.ModuleDict(
            {
                level: nn.ModuleList([nn.Embedding(num_objects, width) for _ in level.replace("p", "")])
                for level in levels
            }
        )

    def sums(self) -> Dict[str, Tensor]:
        """[O, R, d] of each level, [O, O, R, d] of whole triplets."""
        return {level: self._sum(level) for level in self.predicates}

    def _sum(self, level: str) -> Tensor:
        table: Any = self.predicates[level].weight  # [R, d]
        for embedding in reversed(list(self.objects[level])):  # type: ignore[call-overload]
            table = embedding.weight[(slice(None), *[None] * (table.dim() - 1))] + table  # [O, ..., R, d]
        return table


class LearntTargets(ClassVectors):
    """The control that knows no language: for each level these sums, normalised, in place of phrases.

    The same projections, the same loss and the same composition as with text, and no language: what it gains, too, is
    not owed to language.
    """

    def forward(self) -> Dict[str, Tensor]:
        """A table [G, R, d] of each level."""
        return {level: _as_table(table) for level, table in self.sums().items()}


def moved_tables(tables: Mapping[str, Tensor], moves: Mapping[str, Tensor]) -> Dict[str, Tensor]:
    """Phrases [O, R, d] of the levels sp and po, moved by as many vectors: unit vectors, zero for background."""
    return {level: _as_table(tables[level] + move) for level, move in moves.items()}


def _as_table(vectors: Tensor) -> Tensor:
    """[O, ..., R, d] -> [G, R, d], unit vectors but for background, whose rows are zero."""
    table = F.normalize(vectors, dim=-1)
    for axis in range(table.dim() - 1):
        table = table.index_fill(axis, torch.zeros(1, dtype=torch.int64, device=table.device), 0)
    return table.flatten(0, -3)
