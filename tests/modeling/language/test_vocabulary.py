"""Predicates chosen at test time: kept logits, relatives and the calibration of their scale."""

import math

import pytest
import torch

from maskrcnn_benchmark.modeling.language.errors import LanguageError
from maskrcnn_benchmark.modeling.language.vocabulary import (
    Calibration,
    ChosenPredicates,
    HeldOut,
    fit_calibration,
    name_similarity,
)

KNOWN = ["on", "riding", "near"]


def numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_logits_against_the_formula():
    calibration = Calibration(slope=0.7, offset=0.3, width=0.5)
    similarity = torch.tensor([[0.1, 0.9, 0.2], [1.0, 0.0, 0.0]])
    chosen = ChosenPredicates(["sitting on", "On"], KNOWN, similarity, calibration)
    known, known_alignment, other = numbers(5, 4), numbers(5, 4, seed=1), numbers(5, 3, seed=2)
    found = chosen.logits(known, known_alignment, other)
    weights = [math.exp(value / 0.5) for value in (0.1, 0.9, 0.2)]
    for row in range(5):
        expected = 0.7 * other[row, 1] + 0.3
        for p, weight in enumerate(weights, 1):
            expected += weight / sum(weights) * (known[row, p] - 0.7 * known_alignment[row, p])
        torch.testing.assert_close(found[row, 1], expected)
    torch.testing.assert_close(found[:, 2], known[:, 1])  # its own, whatever the spelling
    torch.testing.assert_close(found[:, 0], known[:, 0])  # background


def test_a_predicate_of_the_dictionary_that_training_never_showed_is_none():
    similarity = torch.eye(3)
    calibration = Calibration(unseen=("riding",), width=1e-3)
    chosen = ChosenPredicates(KNOWN, KNOWN, similarity, calibration)
    known, aligned = numbers(4, 4), numbers(4, 4, seed=1)
    found = chosen.logits(known, aligned, aligned)
    torch.testing.assert_close(found[:, [0, 1, 3]], known[:, [0, 1, 3]])
    without = known[:, [1, 3]] - aligned[:, [1, 3]]
    torch.testing.assert_close(found[:, 2], without.mean(dim=1) + aligned[:, 2])  # its own logit takes no part
    with pytest.raises(LanguageError, match="leaves no predicate"):
        ChosenPredicates(["on"], KNOWN, similarity[:1], Calibration(unseen=tuple(KNOWN)))


def test_relatives_are_those_with_similar_phrases():
    g = torch.Generator().manual_seed(0)
    tables = {level: torch.nn.functional.normalize(torch.randn(6, 5, 8, generator=g), dim=-1) for level in ("sp", "po")}
    similarity = name_similarity(tables, tables)
    assert similarity.shape == (4, 4)
    torch.testing.assert_close(similarity.diagonal(), torch.ones(4))
    assert (similarity - torch.eye(4)).max() < 0.9


def made_up(held_out, seed=0):
    """Pairs, predicates drawn by their logits, as a model scores them that never saw some of the six names."""
    g = torch.Generator().manual_seed(seed)
    count, names = 1500, 6
    aligned = torch.randn(count, names + 1, generator=g)
    logits = aligned + 0.3 * torch.randn(count, names + 1, generator=g) + torch.tensor([1.0] + [0.0] * names)
    truth = torch.distributions.Categorical(logits=logits).sample()
    return HeldOut(logits.index_fill(1, torch.tensor(held_out), -1e4), aligned, truth, torch.tensor(held_out))


def test_calibration_is_at_its_minimum():
    similarity = torch.eye(6) + 0.1 * numbers(6, 6)
    folds = [made_up([1, 4]), made_up([2, 3], seed=1)]  # the sixth name is never shown, the fifth never held out
    found = fit_calibration(folds, similarity, ["name 5"], [f"name {i}" for i in range(6)])
    assert found.unseen == ("name 5",) and found.slope > 0.3

    def loss(calibration):
        """One pair after the other, as the docstring says."""
        total = 0.0
        for fold in folds:
            held_out = fold.predicates.tolist()
            shown = [p for p in range(1, 6) if p not in held_out]
            surprise = {p: [] for p in range(1, 6)}
            for row in ((fold.truth > 0) & (fold.truth < 6)).nonzero()[:, 0].tolist():
                logits, aligned = fold.logits[row].double(), fold.alignment[row].double()
                scores = {p: logits[p] for p in shown}
                for q in held_out:
                    weight = torch.stack([similarity[q - 1, p - 1].double() / calibration.width for p in shown])
                    each = torch.stack([logits[p] - calibration.slope * aligned[p] for p in shown])
                    scores[q] = (weight.softmax(0) * each).sum() + calibration.slope * aligned[q] + calibration.offset
                label = int(fold.truth[row])
                surprise[label].append(torch.stack(list(scores.values())).logsumexp(0) - scores[label])
            for group in (held_out, shown):
                total += sum(float(torch.stack(surprise[p]).mean()) for p in group) / len(group) / 2
        return total / len(folds)

    here = loss(found)
    for change in ({"slope": found.slope + 0.1}, {"slope": found.slope - 0.1}, {"offset": found.offset + 0.1},
                   {"offset": found.offset - 0.1}, {"width": 0.4}, {"width": 0.05}):  # fmt: skip
        assert loss(found._replace(**change)) >= here - 1e-9


def test_a_calibration_needs_pairs_with_predicates():
    fold = HeldOut(numbers(4, 4), numbers(4, 4), torch.zeros(4).long(), torch.tensor([1]))
    for folds in ([fold], []):
        with pytest.raises(LanguageError, match="nothing to calibrate"):
            fit_calibration(folds, torch.eye(3), [], KNOWN)
