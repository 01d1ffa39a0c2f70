"""Vectors that are learnt in place of phrases: the control that knows no language."""

from __future__ import annotations

from typing import Dict

from torch import Tensor

from ..class_vectors import ClassVectors, as_table


class LearntTargets(ClassVectors):
    """For each level, the normalised sum of a vector of each class that a phrase would name.

    The same projections, the same loss and the same composition as with text, and no language: what it gains, too, is
    not owed to language.
    """

    def forward(self) -> Dict[str, Tensor]:
        """A table [G, R, d] of each level."""
        return {level: as_table(table) for level, table in self.sums().items()}
