"""Relational contrastive loss (RCL): equation 4 of docs/method.md, one module per level.

Shapes: n positives (foreground pairs), M phrases to choose negatives from, k components of a phrase, d width of the
embeddings, G groups of phrases and R predicates of a level's table (background included).
"""

from __future__ import annotations

from typing import Any, Dict, NamedTuple, Optional

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from maskrcnn_benchmark.modeling.language.phrase_index import component_index, dictionary, phrase_counts
from maskrcnn_benchmark.modeling.language.similarity import group_similarity

from .negatives import negative_mask

WEIGHTED = ("weighted", "joined")  # kinds with phrases that count as often as training shows them


class NegativeRule(NamedTuple):
    """Which phrases are negatives (`negatives.negative_mask`), and how much each counts; `joined` is the mean of the
    loss with all, weighted, and of a cross-entropy over predicates."""

    kind: str = "related"  # related | all | batch | weighted | joined
    synonyms: Optional[Tensor] = None  # bool [R, R], which predicates are synonyms; None: none are


class RelationalContrastiveLoss(nn.Module):
    """-log( exp(tau v.t) / (exp(tau v.t) + sum over negatives of exp(tau v.t')) ), in steps that can be replaced.

    With weighted negatives every phrase, the positive too, counts as often as training shows it: pi(t) exp(tau v.t).

    Args:
        dictionary: int64 [M, k], components of the phrases that negatives come from (unless they come from the batch).
        counts: how often training shows a (subject, object, predicate), [O, O, R], of which the phrases' frequencies pi
            follow; a phrase that it never shows counts as if it were shown once.
        rule: which of them are negatives of which positive.
        level: sp, po or spo.
    """

    dictionary: Tensor
    log_frequency: Optional[Tensor]
    synonyms: Optional[Tensor]

    def __init__(self, level: str, dictionary: Tensor, counts: Tensor, rule: NegativeRule) -> None:
        super().__init__()
        self.num_objects = len(counts)
        self.rule = rule
        self.register_buffer("dictionary", dictionary, persistent=False)
        weighted = rule.kind in WEIGHTED
        shown = phrase_counts(level, counts).flatten().clamp(min=1) if weighted else None  # [G * R]
        self.register_buffer("log_frequency", None if shown is None else shown.log().float(), persistent=False)
        self.register_buffer("synonyms", rule.synonyms, persistent=False)

    def forward(self, v: Tensor, tau: Tensor, table: Tensor, positives: Tensor) -> Dict[str, Tensor]:
        """The loss and its parts.

        Args:
            v: unit vectors [n, d].
            tau: a scalar.
            table: unit vectors of the level's phrases [G, R, d].
            positives: int64 [n, k], components of each pair's true phrase. It need not be in the dictionary.

        Returns:
            positive [n] and negatives [n, M], the logits of both (with log pi where negatives are weighted), minus
            infinity where a phrase is no negative;
            per_pair [n];
            loss, their mean, a scalar: exactly zero, and connected to `v` and `tau`, where there is no pair.
        """
        phrases = positives.unique(dim=0) if self.rule.kind == "batch" else self.dictionary
        with torch.autocast(v.device.type, enabled=False):
            own, others = (self.embeddings(table, components).to(v.dtype) for components in (positives, phrases))
            positive, negatives = self.logits(v, tau, own, others)
            if self.log_frequency is not None:
                positive = positive + self.log_frequency[self.rows(table, positives)]
                negatives = negatives + self.log_frequency[self.rows(table, phrases)]
            mask = self.mask(positives, phrases)
            negatives = negatives.masked_fill(~mask, float("-inf"))
            per_pair = self.per_pair(positive, negatives)
            if self.rule.kind == "joined":
                per_pair = (per_pair + self.among_predicates(tau * v, table, positives)) / 2
        loss = per_pair.sum() / max(len(per_pair), 1)
        return {"positive": positive, "negatives": negatives, "per_pair": per_pair, "loss": loss}

    def embeddings(self, table: Tensor, components: Tensor) -> Tensor:
        """Phrases [n, d] with components [n, k]."""
        return table.flatten(0, 1)[self.rows(table, components)]

    def rows(self, table: Tensor, components: Tensor) -> Tensor:
        """Where phrases with components [n, k] stand among all of a table, int64 [n]."""
        return component_index(components, self.num_objects, table.shape[1])

    def logits(self, v: Tensor, tau: Tensor, own: Tensor, others: Tensor):
        """tau v.t with the true phrase [n], and with every other [n, M].

        einsum, since apex in its mode O1 casts matrix products to half precision, autocast or not.
        """
        v = tau * v
        return torch.einsum("nd,nd->n", v, own), torch.einsum("nd,md->nm", v, others)

    @torch.no_grad()
    def mask(self, positives: Tensor, phrases: Tensor) -> Tensor:
        """Bool [n, M], which phrases are negatives of which pair's."""
        return negative_mask(positives, phrases, self.rule.kind == "related", self.synonyms)

    def among_predicates(self, v: Tensor, table: Tensor, positives: Tensor) -> Tensor:
        """Cross-entropy [n] of the true predicate, by the phrases of a pair's own classes with every predicate.

        Args:
            v: times tau, [n, d].
            table, positives: as in `forward`.
        """
        groups = torch.div(self.rows(table, positives), table.shape[1], rounding_mode="floor")
        assert self.log_frequency is not None
        logits = group_similarity(v, table, groups) + self.log_frequency.to(v.dtype).view(table.shape[:2])[groups]
        return F.cross_entropy(logits[:, 1:], positives[:, -1] - 1, reduction="none")

    def per_pair(self, positive: Tensor, negatives: Tensor) -> Tensor:
        """The loss of each pair [n]; zero for a pair without negatives."""
        return torch.cat([positive[:, None], negatives], dim=1).logsumexp(dim=1) - positive


def level_losses(node: Any, counts: Tensor, rule: NegativeRule) -> nn.ModuleDict:
    """The loss of each level that a configuration asks for.

    Args:
        node: RELCLIP; LEVELS and DICTIONARY are read.
        counts, rule: see `RelationalContrastiveLoss`.
    """
    shown = counts if node.DICTIONARY == "train" else torch.ones_like(counts)
    return nn.ModuleDict(
        {level: RelationalContrastiveLoss(level, dictionary(level, shown), counts, rule) for level in node.LEVELS}
    )


def accuracy(similarity: Tensor, triplets: Tensor) -> Tensor:
    """Share of pairs whose true predicate has the highest similarity [f, R]; nan where there is no pair."""
    return (similarity[:, 1:].argmax(dim=1) + 1 == triplets[:, 2]).float().mean()
