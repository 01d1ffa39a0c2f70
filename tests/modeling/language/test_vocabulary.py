"""Predicates chosen at test time: kept logits, relatives and the calibration of their scale."""

import math

import pytest
import torch

from maskrcnn_benchmark.modeling.language.errors import LanguageError
from maskrcnn_benchmark.modeling.language.vocabulary import (
    Calibration,
    ChosenPredicates,
    fit_calibration,
    name_similarity,
    relatives,
    unseen_logits,
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


def made_up(seed=0):
    """Logits and alignment of pairs, predicates drawn by these logits, and similarities of six names."""
    g = torch.Generator().manual_seed(seed)
    count, names = 4000, 6
    aligned = torch.randn(count, names + 1, generator=g)
    logits = aligned + 0.3 * torch.randn(count, names + 1, generator=g) + torch.tensor([1.0] + [0.0] * names)
    similarity = torch.eye(names) + 0.1 * torch.randn(names, names, generator=g)
    truth = torch.distributions.Categorical(logits=logits).sample()
    return logits, aligned, truth, similarity


def test_calibration_is_at_its_minimum():
    torch.manual_seed(0)
    logits, aligned, truth, similarity = made_up()
    names = [f"name {i}" for i in range(6)]
    found = fit_calibration(logits, aligned, truth, similarity, ["name 5"], names)
    assert found.unseen == ("name 5",) and found.slope > 0.5

    def loss(calibration):
        """One predicate after the other, as the docstring says."""
        total = []
        shown = torch.tensor([True] * 5 + [False])
        for q in range(5):
            apart = shown.clone()
            apart[q] = False
            weights = relatives(similarity[[q]].double(), calibration.width, apart)
            some = logits.double().clone()
            some[:, 6] = -1e4
            guess = unseen_logits(
                some,
                aligned.double() * torch.tensor([1.0] * 6 + [0.0]),
                aligned.double()[:, [q + 1]],
                weights,
                calibration,
            )
            some[:, q + 1] = guess[:, 0]
            surprise = -some.log_softmax(dim=1).gather(1, truth[:, None])[:, 0]
            own, others = truth == q + 1, (truth != q + 1) & (truth != 6)
            total.append((surprise[own].mean() + surprise[others].mean()) / 2)
        return float(torch.stack(total).mean())

    here = loss(found)
    for change in ({"slope": found.slope + 0.05}, {"slope": found.slope - 0.05}, {"offset": found.offset + 0.05},
                   {"offset": found.offset - 0.05}, {"width": 0.4}, {"width": 0.05}):  # fmt: skip
        assert loss(found._replace(**change)) >= here


def test_a_calibration_needs_pairs_with_predicates():
    with pytest.raises(LanguageError, match="nothing to calibrate"):
        fit_calibration(numbers(4, 4), numbers(4, 4), torch.zeros(4).long(), torch.eye(3), [], KNOWN)


def test_what_is_no_calibration_gets_one_sentence(tmp_path):
    (tmp_path / "vocabulary.json").write_text('{"slope": 1}')
    with pytest.raises(LanguageError, match=r"vocabulary\.json is no calibration"):
        Calibration.read(str(tmp_path / "vocabulary.json"))
