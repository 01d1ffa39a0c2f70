"""Relational contrastive loss (RCL): docs/method.md, equation 4.

Shapes: n positives (foreground pairs), M phrases to choose negatives from, k components of a phrase, d width of the
embeddings, G groups of phrases and R predicates of a level's table (background included).
"""

from __future__ import annotations

from typing import Any, Callable, Tuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .negatives import Negatives, component_index

ENTRIES_AT_ONCE = 1 << 21  # of the [n, M] logits: 8 MB in single precision


class RelationalContrastiveLoss:
    """-log( exp(tau v.t) / (exp(tau v.t) + sum over negatives of exp(tau v.t')) ) for pairs v and their phrases t.

    Args:
        table: unit vectors of the level's phrases [G, R, d].
        dictionary: int64 [M, k], components of the phrases that negatives come from (unless they come from the batch).
        num_objects: O with background; gives a phrase's row in the table.
        negatives: which of them are negatives of which positive.
    """

    def __init__(self, table: Tensor, dictionary: Tensor, num_objects: int, negatives: Negatives) -> None:
        self.table = table
        self.dictionary = dictionary
        self.num_objects = num_objects
        self.negatives = negatives

    def __call__(self, v: Tensor, scale: Tensor, positives: Tensor) -> Tensor:
        """Mean loss of the pairs, a scalar; exactly zero, and connected to `v` and `scale`, where there is none.

        Args:
            v: unit vectors [n, d].
            scale: tau, a scalar.
            positives: int64 [n, k], components of each pair's true phrase. It need not be in the dictionary.
        """
        losses = self.per_pair(v, scale, positives)
        return losses.sum() / max(len(losses), 1)

    def per_pair(self, v: Tensor, scale: Tensor, positives: Tensor) -> Tensor:
        """The loss of each pair [n]; zero for a positive without negatives."""
        if len(positives) == 0:
            return v.sum(dim=1) * scale  # nothing, connected to both
        phrases = positives.unique(dim=0) if self.negatives.kind == "batch" else self.dictionary.to(positives.device)
        own, others = self._embeddings(positives).to(v.dtype), self._embeddings(phrases).to(v.dtype)

        def is_negative(rows: slice) -> Tensor:
            return self.negatives.mask(positives[rows], phrases, own[rows] @ others.t())

        return MaskedContrast.apply(v, scale, own, others, is_negative)

    def _embeddings(self, components: Tensor) -> Tensor:
        rows = component_index(components, self.num_objects, self.table.shape[1])
        return self.table.flatten(0, 1)[rows.to(self.table.device)]


class MaskedContrast(torch.autograd.Function):
    """log( exp(tau v.own) + sum over the mask of exp(tau v.other) ) - tau v.own, row by row.

    The logits [n, M] and their mask exist for a block of rows at a time: forward computes the gradient along with the
    loss, and keeps [n, d] of it instead of [n, M]. In half-precision training it computes in single precision.
    """

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, v: Tensor, scale: Tensor, own: Tensor, others: Tensor, is_negative: Callable[[slice], Tensor]
    ) -> Tensor:
        loss, grad_scale = v.new_zeros(len(v)), v.new_zeros(len(v))
        grad_v = torch.zeros_like(v)
        step = max(1, ENTRIES_AT_ONCE // max(len(others), 1))
        with torch.autocast(v.device.type, enabled=False):
            for first in range(0, len(v), step):
                rows = slice(first, first + step)
                cosine = (v[rows] * own[rows]).sum(dim=1)  # with the true phrase [r]
                positive = scale * cosine
                logits = (scale * v[rows]) @ others.t()  # [r, M]
                logits.masked_fill_(~is_negative(rows), float("-inf"))
                top = torch.cat([logits, positive[:, None]], dim=1).max(dim=1).values
                share = logits.sub_(top[:, None]).exp_()  # of each negative, divided by the sum below
                total = share.sum(dim=1) + (positive - top).exp()
                loss[rows] = top + total.log() - positive
                share /= total[:, None]
                pull = share @ others - share.sum(dim=1, keepdim=True) * own[rows]  # d loss / d (tau v)
                grad_v[rows] = scale * pull
                grad_scale[rows] = (pull * v[rows]).sum(dim=1)
        ctx.save_for_backward(grad_v, grad_scale)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tuple:  # type: ignore[override]
        grad_v, grad_scale = ctx.saved_tensors
        return grad[:, None] * grad_v, (grad * grad_scale).sum(), None, None, None
