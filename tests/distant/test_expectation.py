"""The E-step against plain formulas, and what its options do."""

import numpy as np
import pytest
from noisy_scenes import make_labels, rows

from maskrcnn_benchmark.data.datasets.visual_genome import draw_predicates
from maskrcnn_benchmark.distant.em import candidate_scores
from maskrcnn_benchmark.distant.expectation import Expectation
from maskrcnn_benchmark.utils.errors import InputError

LABELS = make_labels(
    (0, (0, 1), 3, 0.7), (0, (0, 1), 9, 0.3),
    (0, (1, 0), 3, 1.0),
    (2, (5, 6), 2, 0.2), (2, (5, 6), 7, 0.5), (2, (5, 6), 8, 0.3),
)  # fmt: skip
SCORES = np.array([-1.0, 1.0, -50.0, 0.5, 0.0, 2.0])


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("prior", [0.0, 0.5, 1.0])
def test_weights_are_the_posterior_of_each_pair(temperature, prior):
    found = Expectation(temperature, prior).apply(LABELS, SCORES)
    for pair in ([0, 1], [2], [3, 4, 5]):
        q = np.exp(SCORES[pair] / temperature) * LABELS.weights[pair] ** prior
        np.testing.assert_allclose(found.weights[pair], q / q.sum())


def test_a_constant_for_a_pair_changes_nothing_and_large_scores_are_safe():
    shifted = SCORES + np.array([1e5, 1e5, -1e5, 0, 0, 0])
    np.testing.assert_allclose(
        Expectation().apply(LABELS, shifted).weights, Expectation().apply(LABELS, SCORES).weights, rtol=1e-6
    )


def test_the_threshold_drops_what_is_unlikely_but_never_a_whole_pair():
    found = Expectation(prior=0, threshold=0.25).apply(LABELS, SCORES)
    assert [key[1:] for key in rows(found)] == [(0, 1, 9), (1, 0, 3), (5, 6, 8)]
    np.testing.assert_allclose(found.weights, 1)
    alone = Expectation(prior=0, threshold=1.0).apply(LABELS, np.zeros(6))
    assert len(alone) == 6  # all as likely as each other: all are the likeliest


def test_candidates_without_weight_stay_without():
    labels = LABELS.take(slice(None), np.array([0.0, 0.3, 0.0, 0.2, 0.5, 0.3]))
    for prior in (0.0, 1.0):
        found = Expectation(prior=prior).apply(labels, SCORES)
        assert [key[1:] for key in rows(found)] == [(0, 1, 9), (5, 6, 2), (5, 6, 7), (5, 6, 8)]


def test_nothing_stays_nothing():
    none = LABELS.take(slice(0), LABELS.weights[:0])
    assert len(Expectation().apply(none, np.zeros(0))) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0}, "--temperature is 0"),
        ({"prior": -1}, "--prior is -1"),
        ({"threshold": 2}, "--threshold is 2"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        Expectation(**options).apply(LABELS, SCORES)


def test_the_loader_draws_with_the_posterior():
    weighted = Expectation().apply(LABELS, SCORES)
    of_image = weighted.image == 2
    relations = np.column_stack((weighted.pairs, weighted.predicates))[of_image]
    np.random.seed(0)
    drawn = [draw_predicates(relations, weighted.weights[of_image])[0, 2] for _ in range(4000)]
    for (_, _, predicate), weight in zip(relations, weighted.weights[of_image], strict=True):
        assert np.mean(np.array(drawn) == predicate) == pytest.approx(weight, abs=0.03)


def test_scores_of_candidates_equal_a_loop():
    rng = np.random.default_rng(0)
    kept = np.array([0, 2, 3, 5])  # boxes 1 and 4 are outside of the image
    predicted = np.array([(s, o) for s in range(4) for o in range(4) if s != o])[rng.permutation(12)]
    probabilities = rng.dirichlet(np.ones(8), 12)
    probabilities[3, 2] = 0
    pairs = np.array([(s, o) for s in range(6) for o in range(6) if s != o]).repeat(2, axis=0)
    predicates = rng.integers(1, 8, len(pairs))
    expected = []
    for (s, o), p in zip(pairs.tolist(), predicates, strict=True):
        row = [i for i, (a, b) in enumerate(predicted) if (kept[a], kept[b]) == (s, o)]
        expected.append(np.log(max(probabilities[row[0], p], 1e-12)) if row else 0)
    np.testing.assert_allclose(candidate_scores(pairs, predicates, kept, predicted, probabilities), expected)
    assert len(candidate_scores(pairs[:0], predicates[:0], kept, predicted, probabilities)) == 0
