"""Vectors that are learnt in place of phrases: the control that knows no language.

Shapes: O object classes and R predicates, background included, G groups of phrases, d width.
"""

from __future__ import annotations

from typing import Any, Dict, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class LearntTargets(nn.Module):
    """For each level, the normalised sum of a vector of each class that a phrase would name.

    The same projections, the same loss and the same composition as with text, and no language: what it gains, too, is
    not owed to language.

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

    def forward(self) -> Dict[str, Tensor]:
        """A table [G, R, d] of each level, as `phrase_bank.class_table` describes it."""
        return {level: self._table(level) for level in self.predicates}

    def _table(self, level: str) -> Tensor:
        table: Any = self.predicates[level].weight  # [R, d]
        for embedding in reversed(list(self.objects[level])):  # type: ignore[call-overload]
            table = embedding.weight[(slice(None), *[None] * (table.dim() - 1))] + table  # [O, ..., R, d]
        table = F.normalize(table, dim=-1)
        for axis in range(table.dim() - 1):  # background
            table = table.index_fill(axis, torch.zeros(1, dtype=torch.int64, device=table.device), 0)
        return table.flatten(0, -3)
