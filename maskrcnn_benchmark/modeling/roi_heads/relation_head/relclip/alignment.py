"""Pairs of boxes in the embedding space of the text, and their similarity to phrases.

Shapes: n objects and N pairs in a batch, d width of the embeddings, G groups of
phrases, R predicates without background.
"""

from __future__ import annotations

from typing import List, Sequence, Tuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class PairProjection(nn.Module):
    """v = normalize(MLP([visual, entity, ...])): two layers, the first one split by its inputs.

    The visual part of the first layer is applied outside (`fused_linear`), together with those of other layers on the
    same input. What belongs to an object (its edge representation) goes through its part once per object and is
    gathered afterwards. So no [N, visual + entity] input is ever put together.

    Args:
        visual_dim: channels of the pair's visual representation.
        entity_dim: channels of a subject's or object's representation.
        num_entities: 1 (subject or object) or 2 (both, for whole triplets).
        hidden_dim: width of the hidden layer.
        out_dim: d.
    """

    def __init__(self, visual_dim: int, entity_dim: int, num_entities: int, hidden_dim: int, out_dim: int) -> None:
        super().__init__()
        self.visual = nn.Linear(visual_dim, hidden_dim)
        self.entities = nn.ModuleList([nn.Linear(entity_dim, hidden_dim, bias=False) for _ in range(num_entities)])
        self.out = nn.Linear(hidden_dim, out_dim)

    def forward(self, visual_hidden: Tensor, entities: Sequence[Tuple[Tensor, Tensor]]) -> Tensor:
        """Unit vectors [N, d] in single precision (or better).

        Args:
            visual_hidden: [N, hidden_dim], what `self.visual` makes of the pairs' visual representations.
            entities: for each entity the representations of objects [n, entity_dim], and which of them each pair has
                [N].
        """
        hidden = visual_hidden
        for linear, (representation, index) in zip(self.entities, entities):
            hidden = hidden + linear(representation)[index]
        return F.normalize(at_least_single(self.out(F.relu(hidden, inplace=True))), dim=-1)


def fused_linear(x: Tensor, layers: Sequence[nn.Linear]) -> List[Tensor]:
    """What several layers make of the same input [N, c], as one matrix product: [N, outputs of each].

    The visual representation of the pairs is by far the widest tensor around: in the backward pass, its gradient is
    made once instead of once per layer (134 MB each, for 8 images of 1024 pairs at width 4096).
    """
    weight = torch.cat([layer.weight for layer in layers])
    bias = torch.cat([layer.bias for layer in layers])
    return list(F.linear(x, weight, bias).split([layer.out_features for layer in layers], dim=1))


def at_least_single(x: Tensor) -> Tensor:
    """Half precision to single: logits of up to 100 would lose their differences."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def group_similarity(v: Tensor, table: Tensor, groups: Tensor) -> Tensor:
    """Cosine of each vector with all phrases of its group, without gathering [N, R + 1, d].

    Pairs are sorted by group, so that each group that occurs is one matrix product.

    Args:
        v: unit vectors [N, d].
        table: unit vectors [G, R + 1, d].
        groups: int64 [N], below G.

    Returns:
        [N, R + 1]
    """
    if len(v) == 0:
        return v @ table[0].to(v.dtype).t()
    order = groups.argsort()
    present, sizes = torch.unique_consecutive(groups[order], return_counts=True)
    with torch.autocast(v.device.type, enabled=False):
        parts = v[order].split(sizes.tolist())
        products = [part @ table[group].to(v.dtype).t() for part, group in zip(parts, present.tolist())]
    return torch.cat(products)[order.argsort()]
