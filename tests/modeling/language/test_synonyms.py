"""Similarity of predicates against a loop over phrases, and what a threshold makes of it."""

import pytest
import torch

from maskrcnn_benchmark.modeling.language.phrase_bank import class_table
from maskrcnn_benchmark.modeling.language.synonyms import predicate_similarity, synonymous


def test_predicates_are_as_alike_as_their_phrases_are_on_average():
    g = torch.Generator().manual_seed(0)
    sp, po = (torch.nn.functional.normalize(torch.randn(3, 2, 5, generator=g), dim=-1) for _ in range(2))
    similarity = predicate_similarity(class_table(sp), class_table(po))
    mean = sum(float(x[i, 0] @ x[i, 1]) for x in (sp, po) for i in range(3)) / 6
    assert similarity[1, 2].item() == pytest.approx(mean, abs=1e-6)
    assert similarity[1, 1].item() == pytest.approx(1, abs=1e-6)
    assert not similarity[0].any() and not similarity[:, 0].any()


def test_a_predicate_is_no_synonym_of_itself_nor_of_background():
    synonyms = synonymous(torch.ones(4, 4), 0.5)
    assert synonyms.tolist() == [
        [False, False, False, False],
        [False, False, True, True],
        [False, True, False, True],
        [False, True, True, False],
    ]
