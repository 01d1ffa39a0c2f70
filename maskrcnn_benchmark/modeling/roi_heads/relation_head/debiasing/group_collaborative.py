"""Group collaborative learning, for any predictor that classifies pairs (Dong et al., "Stacked Hybrid-Attention and
Group Collaborative Learning for Unbiased Scene Graph Generation", CVPR 2022).

Shapes: m pairs, R predicates (background first), K groups. Classifier k knows the background and the predicates of the
groups 1 to k, S_k of them; the last one is the predictor's own.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from maskrcnn_benchmark.utils.global_batch import batch_mean, uniform_by_row

from .cross_entropy import mean_cross_entropy
from .pair_representation import PairRepresentation

_NO_RELATION_PENALTY = 0.1  # weight of what classifiers tell each other of pairs whose predicate the teacher lacks


def predicate_groups(counts: Tensor, ratio: float, least: float) -> list[Tensor]:
    """Predicates from frequent to rare, cut where one is more than `ratio` times rarer than the first of its group.

    Args:
        counts: float [R - 1], positive.
        least: a group that might end below this count takes all the rest.

    Returns:
        numbers of predicates, from 1, int64
    """
    groups: list[list[int]] = []
    end = float("inf")  # the count at which the group at hand ends
    for place in counts.argsort(descending=True, stable=True).tolist():
        if counts[place] < end and end >= least:
            groups.append([])
            end = float(counts[place]) // ratio
        groups[-1].append(place + 1)
    return [torch.tensor(group) for group in groups]


def median_rates(counts: Tensor, columns: list[Tensor]) -> Tensor:
    """How likely each classifier takes a pair of each predicate: min(1, median of its n / n_p), and 1 of one it lacks.

    Args:
        counts: float [R - 1].
        columns: predicates of each classifier, background first, int64 [1 + S_k] each.

    Returns:
        float [K, R]
    """
    rates = torch.ones(len(columns), len(counts) + 1)
    for row, known in zip(rates, columns, strict=True):
        own = counts[known[1:] - 1]
        row[known[1:]] = (own.quantile(0.5) / own).clamp(max=1).float()
    return rates


class GroupCollaborativeLoss(nn.Module):
    """L = sum over k of CE_k + weight * sum over m < n of KL(p_m || p_n on the predicates of m).

    CE_k is a mean over the pairs that classifier k takes (`median_rates`; a background pair is taken by one classifier,
    drawn at random); predicates that it lacks are background there. KL is a mean over the pairs that n takes. The
    teacher m does not learn from it.

    Args:
        counts: of the predicates in the training set, positive [R - 1].
        ratio, least: see `predicate_groups`.
        knowledge_weight: of the divergences.
        pairs: gives what the predictor classifies.
    """

    rates: Tensor
    targets: Tensor

    def __init__(
        self,
        counts: Tensor,
        ratio: float,
        least: float,
        knowledge_weight: float,
        pairs: PairRepresentation,
        label_smoothing: float = 0.0,
    ):
        super().__init__()
        self.pairs, self.knowledge_weight, self.label_smoothing = pairs, knowledge_weight, label_smoothing
        groups = predicate_groups(counts, ratio, least)
        known = torch.cat((torch.tensor([0]), *groups))
        sizes = torch.tensor([len(group) for group in groups]).cumsum(0).tolist()
        columns = [known[: 1 + size] for size in sizes]
        targets = torch.zeros(len(sizes), len(counts) + 1, dtype=torch.int64)  # label -> column of each classifier
        for row, of_classifier in zip(targets, columns, strict=True):
            row[of_classifier] = torch.arange(len(of_classifier))
        for name, value in (("known", known), ("targets", targets), ("rates", median_rates(counts, columns))):
            self.register_buffer(name, value, persistent=False)
        self.sizes = sizes
        self.classifiers = nn.ModuleList(nn.Linear(pairs.width, 1 + size) for size in sizes[:-1])

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Logits [m, R] of the predictor and labels int64 [m] (-1: left out) -> scalar."""
        representation, rest = self.pairs.take(logits)
        rest = rest[:, self.known]
        outputs = [
            (layer(representation) + rest[:, : 1 + size]).float()
            for layer, size in zip(self.classifiers, self.sizes, strict=False)
        ]
        outputs.append(logits[:, self.known].float())

        some = labels.clamp(min=0)
        uniform, lot = uniform_by_row(len(labels), 2, logits.device).T
        drawn = uniform <= self.rates[:, some]  # [K, m]
        lot = (lot * len(outputs)).long()
        mine = lot == torch.arange(len(outputs), device=logits.device)[:, None]
        taken = torch.where(some > 0, drawn, mine) & (labels >= 0)
        targets = self.targets[:, some].masked_fill(~taken, -1)

        loss = sum(mean_cross_entropy(x, y, self.label_smoothing) for x, y in zip(outputs, targets, strict=True))
        for student in range(1, len(outputs)):
            for teacher in range(student):
                loss = loss + self.knowledge_weight * self._divergence(outputs, teacher, student, some, taken[student])
        return loss

    def _divergence(self, outputs: list[Tensor], teacher: int, student: int, labels: Tensor, taken: Tensor) -> Tensor:
        foreground = slice(1, 1 + self.sizes[teacher])
        p = outputs[teacher][:, foreground].detach().log_softmax(dim=1)
        q = outputs[student][:, foreground].log_softmax(dim=1)
        weight = torch.where(self.targets[teacher, labels] > 0, 1.0, _NO_RELATION_PENALTY) * taken
        return batch_mean(((p.exp() * (p - q)).sum(dim=1) * weight).sum(), taken.sum())
