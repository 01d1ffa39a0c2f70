"""Predicates chosen at test time: those that training showed keep their logits, others are scored on the same scale.

Shapes: N pairs, R predicates of the training, K chosen ones (background counted in both), d width of the embeddings.
"""

from __future__ import annotations

from typing import Mapping, NamedTuple, Sequence, Tuple

import torch
from torch import Tensor
from torch.nn import functional as F

from maskrcnn_benchmark.modeling.language.errors import LanguageError
from maskrcnn_benchmark.modeling.language.phrases import spell

VOCABULARY_FILE = "vocabulary.json"  # in a run folder, a `Calibration` as json

WIDTHS = (0.05, 0.1, 0.2, 0.4)  # that `fit_calibration` tries


class Calibration(NamedTuple):
    """What was learnt from training predicates that were held out in turn (`fit_calibration`).

    Attributes:
        slope: what a predicate that fits a picture better than its relatives is worth.
        offset: added to all predicates that training never showed.
        width: how far relatives reach, in cosine distance.
        unseen: predicates of the dictionary that training never showed.
    """

    slope: float = 1.0
    offset: float = 0.0
    width: float = 0.1
    unseen: Sequence[str] = ()


class ChosenPredicates:
    """Logits of chosen predicates from those of the training's.

    For a predicate q that training showed it is the logit itself. For another one, with w(q, p) the softmax over the
    predicates p that training showed of (cosine of q and p) / width,

        logit[q] = sum over p of w(q, p) logit[p] + slope (a[q] - sum over p of w(q, p) a[p]) + offset

    where a is the alignment of the pair with phrases, gamma tau times their cosine: q stands where its relatives
    stand, the higher the better its own phrases fit the pair.

    Args:
        names: the chosen ones, without background.
        known: those of the training, without background.
        similarity: cosine of each chosen and each known predicate, [K - 1, R - 1].
        calibration: how the scales are brought together.
    """

    def __init__(
        self, names: Sequence[str], known: Sequence[str], similarity: Tensor, calibration: Calibration
    ) -> None:
        never = {spell(name).lower() for name in calibration.unseen}
        column = {spell(name).lower(): i for i, name in enumerate(known, 1)}
        shown = torch.tensor([name not in never for name in column], device=similarity.device)
        if not shown.any():
            raise LanguageError("the calibration of the vocabulary leaves no predicate that training showed")
        columns = [0 if name in never else column.get(name, 0) for name in (spell(one).lower() for one in names)]
        self.columns = torch.tensor([0, *columns], device=similarity.device)  # [K], 0: not shown
        self.calibration = calibration
        self.relatives = relatives(similarity, calibration.width, shown)  # [K - 1, R]

    def logits(self, known: Tensor, known_alignment: Tensor, alignment: Tensor) -> Tensor:
        """[N, K], background first and as it was.

        Args:
            known: logits of the training's predicates, [N, R].
            known_alignment: their alignment, [N, R].
            alignment: that of the chosen ones, [N, K].
        """
        unseen = unseen_logits(known, known_alignment, alignment[:, 1:], self.relatives, self.calibration)
        chosen = known[:, self.columns]
        return torch.cat([chosen[:, :1], torch.where(self.columns[1:] > 0, chosen[:, 1:], unseen)], dim=1)


def relatives(similarity: Tensor, width: float, shown: Tensor) -> Tensor:
    """w(q, p): [K - 1, R], zero for background and for what `shown` [R - 1] or [K - 1, R - 1] leaves out."""
    return F.pad((similarity / width).masked_fill(~shown, -float("inf")).softmax(dim=1), [1, 0])


def unseen_logits(
    known: Tensor, known_alignment: Tensor, alignment: Tensor, weights: Tensor, calibration: Calibration
) -> Tensor:
    """Logits [N, K - 1] of predicates that training never showed, as `ChosenPredicates` says.

    Args:
        known, known_alignment: logits and alignment of the training's predicates, [N, R].
        alignment: that of the others, [N, K - 1].
        weights: their `relatives`, [K - 1, R].
    """
    slope = calibration.slope
    return (known - slope * known_alignment) @ weights.to(known).t() + slope * alignment + calibration.offset


def name_similarity(chosen: Mapping[str, Tensor], known: Mapping[str, Tensor]) -> Tensor:
    """Cosine of predicates by their phrases, the mean predicate of each class taken off, mean over classes and levels.

    Args:
        chosen: tables of the levels, [G, K, d].
        known: the same of the training's predicates, [G, R, d].

    Returns:
        [K - 1, R - 1], without background.
    """
    parts = []
    for level, table in known.items():
        mean = table[1:, 1:].mean(dim=1, keepdim=True)
        first, second = (F.normalize(some[1:, 1:] - mean, dim=-1) for some in (chosen[level].to(table), table))
        parts.append(torch.einsum("gkd,grd->kr", first, second) / len(first))
    return torch.stack(parts).mean(dim=0)


class HeldOut(NamedTuple):
    """Pairs scored by a model whose training left out some predicates of the data set.

    Attributes:
        logits: [N, R]; those of the predicates left out take no part.
        alignment: of all predicates, those left out too, [N, R].
        truth: predicate of each pair, 0 for background, int64 [N].
        predicates: numbers of those left out, int64 [Q].
    """

    logits: Tensor
    alignment: Tensor
    truth: Tensor
    predicates: Tensor


def fit_calibration(
    folds: Sequence[HeldOut], similarity: Tensor, unseen: Sequence[str], names: Sequence[str]
) -> Calibration:
    """Slope, offset and width that suit predicates of the training, held out in turn.

    The predicates of a fold are scored as ones that training never showed, all of them at once, against the others with
    their own logits. What is minimised is -log P(truth | the pair has a relation): its mean over the pairs of each
    predicate, then over the predicates, of which those that are held out and the others count half each.

    Args:
        folds: see `HeldOut`.
        similarity: of the predicates among each other, [R - 1, R - 1].
        unseen: names of those that training never showed; they take no part.
        names: of all, R - 1.

    Raises:
        LanguageError: no predicate that was held out has a pair.
    """
    shown = torch.tensor([name not in set(unseen) for name in names], device=similarity.device)
    parts = [_Fold(fold, similarity, shown) for fold in folds]
    if not any(part.own.any() for part in parts):
        raise LanguageError("there is no pair with a predicate that training showed, so nothing to calibrate on")

    def fit(width: float) -> Tuple[float, Calibration]:
        numbers = torch.tensor([1.0, 0.0], dtype=torch.float64, device=similarity.device, requires_grad=True)
        optimizer = torch.optim.LBFGS([numbers], max_iter=100, line_search_fn="strong_wolfe")

        def loss(calibration: Calibration) -> Tensor:
            values = torch.stack([part.loss(calibration) for part in parts])
            return values.mean()

        def closure() -> Tensor:
            optimizer.zero_grad()
            value = loss(Calibration(numbers[0], numbers[1], width))  # type: ignore[arg-type]
            value.backward()
            return value

        optimizer.step(closure)  # type: ignore[arg-type]
        slope, offset = numbers.tolist()
        found = Calibration(slope, offset, width, tuple(unseen))
        return float(loss(found)), found

    return min((fit(width) for width in WIDTHS), key=lambda one: one[0])[1]


class _Fold:
    """The related pairs of a `HeldOut`, and the loss of a calibration on them."""

    def __init__(self, fold: HeldOut, similarity: Tensor, shown: Tensor) -> None:
        held_out = torch.zeros_like(shown).index_fill(0, fold.predicates.to(shown.device) - 1, True)
        self.shown = shown & ~held_out  # [R - 1]
        self.held_out = (held_out & shown).nonzero()[:, 0] + 1  # [Q]
        counted = F.pad(shown, [1, 0])[fold.truth]  # background and what training never showed do not
        self.never = F.pad(~self.shown, [1, 0], value=True)
        self.truth = fold.truth[counted]
        self.alignment = fold.alignment[counted].double()
        self.logits = fold.logits[counted].double().masked_fill(self.never, 0.0)
        self.similarity = similarity[self.held_out - 1].double()
        self.own = torch.isin(self.truth, self.held_out)
        weights = 1.0 / torch.bincount(self.truth, minlength=len(self.never))[self.truth].double()
        halves = [weights * part for part in (self.own, ~self.own)]
        self.weights = sum(half / half.sum().clamp(min=1e-9) / 2 for half in halves)

    def loss(self, calibration: Calibration) -> Tensor:
        """A scalar."""
        weights = relatives(self.similarity, calibration.width, self.shown)
        guess = unseen_logits(self.logits, self.alignment, self.alignment[:, self.held_out], weights, calibration)
        logits = self.logits.masked_fill(self.never, -float("inf"))
        scores = logits.index_copy(1, self.held_out, guess).log_softmax(dim=1)
        return -(scores.gather(1, self.truth[:, None])[:, 0] * self.weights).sum()
