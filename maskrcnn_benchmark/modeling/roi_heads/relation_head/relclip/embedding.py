"""Pairs of boxes in the embedding space of the text: equation 2 of docs/method.md.

Shapes: n objects and N pairs in a batch, c width of a pair's and e of an object's representation, d of the embeddings.
"""

from __future__ import annotations

from typing import Dict, NamedTuple, Sequence, Tuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ENDS = {"sp": ("subject",), "po": ("object",), "spo": ("subject", "object")}  # whose representation a level looks at


class Pairs(NamedTuple):
    """A batch of objects and pairs of them, images one after another."""

    visual: Tensor  # [N, c], what the base's classifier of predicates sees of each pair
    subject_rep: Tensor  # [n, e], every object in the role of a subject
    object_rep: Tensor  # [n, e], and of an object
    ends: Tensor  # int64 [N, 2], subject and object of each pair among the n objects
    labels: Tensor  # int64 [N, 2], classes of both: ground truth in PredCls, else what the base says


class PairEmbedding(nn.Module):
    """v = normalize(MLP([visual, end, ...])) for each level, with one hidden layer.

    The first layer is a sum over its inputs, so that no [N, c + e] input is put together: what belongs to an object is
    computed once per object, and what all levels make of `visual`, by far the widest tensor around, is one product.

    Args:
        visual_dim, end_dim: c and e.
        hidden_dim: width of the hidden layer of a level.
        out_dim: d.
        levels: sp, po, spo.
    """

    def __init__(self, visual_dim: int, end_dim: int, hidden_dim: int, out_dim: int, levels: Sequence[str]) -> None:
        super().__init__()
        self.visual = nn.Linear(visual_dim, hidden_dim * len(levels))
        self.ends = nn.ModuleDict(
            {
                level: nn.ModuleDict({end: nn.Linear(end_dim, hidden_dim, bias=False) for end in ENDS[level]})
                for level in levels
            }
        )
        self.out = nn.ModuleDict({level: nn.Linear(hidden_dim, out_dim) for level in levels})

    def forward(self, pairs: Pairs) -> Dict[str, Tensor]:
        """Unit vectors of each level, [N, d], in single precision or better."""
        rows: Dict[str, Tuple[Tensor, Tensor]] = {
            "subject": (pairs.subject_rep, pairs.ends[:, 0]),
            "object": (pairs.object_rep, pairs.ends[:, 1]),
        }
        levels = []
        for level, hidden in zip(self.out, self.visual(pairs.visual).chunk(len(self.out), dim=1)):
            for end, linear in self.ends[level].items():  # type: ignore[operator, union-attr]
                representation, index = rows[end]
                hidden = hidden + linear(representation).index_select(0, index)  # backward: one addition, no sorting
            levels.append(self.out[level](F.relu(hidden)))
        v = F.normalize(at_least_single(torch.stack(levels)), dim=-1)  # of all levels at once: fewer launches
        return dict(zip(self.out, v))


def at_least_single(x: Tensor) -> Tensor:
    """Half precision to single: logits of up to 100 would lose their differences."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
