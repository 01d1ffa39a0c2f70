"""Training objects under the name of a similar class, so that no pair of names can be learnt by heart.

What a training set shows of a pair of classes is little, and a network that is told both names remembers it: of a pair
that it has seen as *near* alone it says *near*, whatever a picture shows. The text encoder knows which names can stand
for each other (docs/method.md, equation 9).

Shapes: O object classes, background included; n objects of an image.
"""

from __future__ import annotations

from typing import Any, List, Sequence

import torch
from torch import Tensor, nn


class ClassSubstitution(nn.Module):
    """Gives a share of the objects the label of another class, the more often the more alike the classes are.

    Args:
        similarity: [O, O], positive between any two classes but background, which is like nothing else (`prior.
            class_similarity`).
        rate: the share of objects, from 0 to below 1.
    """

    chances: Tensor  # [O, O], of every class to go by the name of every other, and its own

    def __init__(self, similarity: Tensor, rate: float) -> None:
        super().__init__()
        others = similarity.clone()
        others.fill_diagonal_(0)
        others = rate * others / others.sum(dim=1, keepdim=True).clamp(min=torch.finfo(others.dtype).tiny)
        self.register_buffer("chances", others + torch.diag(1 - others.sum(dim=1)), persistent=False)

    def forward(self, proposals: Sequence[Any]) -> List[Any]:
        """Copies of the host's BoxLists in which some of the `labels`, int64 [n], are drawn anew."""
        return [self._with_other_names(proposal) for proposal in proposals]

    def _with_other_names(self, proposal: Any) -> Any:
        labels = proposal.get_field("labels")
        renamed = proposal.copy_with_fields(proposal.fields())
        drawn = torch.multinomial(self.chances[labels.long()], 1)[:, 0]
        renamed.add_field("labels", drawn.to(labels.dtype))
        return renamed
