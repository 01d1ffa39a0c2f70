"""The frequency bias of the two levels against plain loops over the counts."""

import math

import pytest
import torch
from support import HEAD
from torch.nn import functional as F

from maskrcnn_benchmark.data.build import use_statistics
from maskrcnn_benchmark.modeling.roi_heads.relation_head.model_motifs import FrequencyBias
from maskrcnn_benchmark.modeling.roi_heads.relation_head.phrase_prior import (
    PhrasePrior,
    class_similarity,
    make_frequency_bias,
)
from maskrcnn_benchmark.modeling.roi_heads.relation_head.roi_relation_predictors import make_roi_relation_predictor
from maskrcnn_benchmark.utils.errors import InputError


def counts(o=5, r=4, seed=0):
    return torch.randint(0, 6, (o, o, r), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shared", [False, True])
def test_prior_equals_a_loop_over_the_counts(shared):
    fg = counts()
    o, _, r = fg.shape
    similarity = tuple(torch.rand(o, o) for _ in range(2)) if shared else None
    prior = PhrasePrior(fg, similarity, strength=2.0)
    for s in range(o):
        for other in range(o):
            found = prior.index_with_labels(torch.tensor([[s, other]]))[0]
            for p in range(r):
                total = int(fg.sum()) + r
                overall = (int(fg[:, :, p].sum()) + 1) / total
                expected = -math.log(overall)
                for k, c in ((0, s), (1, other)):
                    weights = similarity[k][c].tolist() if shared else [float(i == c) for i in range(o)]
                    of_class = [fg[i] if k == 0 else fg[:, i] for i in range(o)]
                    seen = sum(w * int(x[:, p].sum()) for w, x in zip(weights, of_class, strict=True))
                    all_seen = sum(w * int(x.sum()) for w, x in zip(weights, of_class, strict=True))
                    expected += math.log((seen + 2 * overall) / (all_seen + 2))
                assert float(found[p]) == pytest.approx(expected, abs=1e-4)


def test_independent_sides_give_the_frequencies_of_triplets():
    """Where subject and object are independent given the predicate, the prior is log P(p | s, o) up to a constant."""
    g = torch.Generator().manual_seed(1)
    p = torch.tensor([0.5, 0.3, 0.2])
    subjects, objects = (F.normalize(torch.rand(4, 3, generator=g), p=1, dim=0) for _ in range(2))
    fg = (1e9 * p * subjects[:, None] * objects[None]).long()
    prior = PhrasePrior(fg)
    labels = torch.cartesian_prod(torch.arange(4), torch.arange(4))
    found = prior.index_with_labels(labels).softmax(dim=1)
    expected = F.normalize(fg.double().flatten(0, 1), p=1, dim=1)
    torch.testing.assert_close(found.double(), expected, atol=1e-4, rtol=1e-4)


def test_nothing_counted_is_finite_and_says_nothing():
    prior = PhrasePrior(torch.zeros(3, 3, 4, dtype=torch.int64))
    found = prior.index_with_labels(torch.tensor([[1, 2], [0, 0]]))
    torch.testing.assert_close(found.softmax(dim=1), torch.full((2, 4), 0.25))
    assert prior.index_with_labels(torch.zeros(0, 2, dtype=torch.int64)).shape == (0, 4)


def test_a_rare_class_takes_over_what_is_known_of_a_similar_one():
    fg = torch.zeros(4, 4, 3, dtype=torch.int64)
    fg[1, :, 1] = 50  # class 1 does 1, class 3 does 2; class 2 was never seen
    fg[3, :, 2] = 50
    alike = torch.eye(4)
    alike[2, 1] = alike[1, 2] = 0.8
    pair = torch.tensor([[2, 0]])
    without, shared = PhrasePrior(fg), PhrasePrior(fg, (alike, torch.eye(4)))
    gain = (shared.index_with_labels(pair) - without.index_with_labels(pair))[0]
    assert gain.argmax() == 1 and gain[1] > gain[2] + 1


@pytest.mark.parametrize("shared", [False, True])
def test_training_leaves_out_what_was_counted_of_the_pair_itself(shared):
    fg = counts()
    similarity = tuple(torch.rand(5, 5).fill_diagonal_(1) for _ in range(2)) if shared else None
    prior = PhrasePrior(fg, similarity, leave_out=True)
    overall = (fg.sum(dim=(0, 1)) + 1) / (fg.sum() + 4)
    for s, other in ((1, 2), (3, 3), (0, 4)):
        pair = torch.tensor([[s, other]])
        without = fg.clone()
        without[s, other] = 0
        expected = -overall.log()
        for k, c in ((0, s), (1, other)):
            # the classes' own counts without the pair; those that others lend stay whole
            lent = fg.double().sum(dim=1 - k)
            seen = without.double().sum(dim=1 - k)[c]
            if shared:
                seen = seen + similarity[k][c].double() @ lent - lent[c]
            expected = expected + ((seen + overall) / (seen.sum() + 1)).log()
        torch.testing.assert_close(prior.train().index_with_labels(pair)[0], expected.float(), atol=1e-4, rtol=1e-4)
        assert torch.equal(
            prior.eval().index_with_labels(pair), PhrasePrior(fg, similarity).train().index_with_labels(pair)
        )
    assert set(prior.state_dict()) == {"subject.weight", "object.weight"}


def test_similarity_of_classes_is_that_of_their_phrases():
    g = torch.Generator().manual_seed(2)
    table = F.normalize(torch.randn(5, 4, 8, generator=g), dim=-1)
    table[4] = table[3]
    table[0] = table[:, 0] = 0
    found = class_similarity(table, 0.3)
    torch.testing.assert_close(found, found.t())
    torch.testing.assert_close(found.diagonal(), torch.ones(5))
    assert float(found[3, 4]) == pytest.approx(1, abs=1e-5)
    assert not found[0, 1:].any() and float(found[1, 2]) < 1
    means = table[1:, 1:].mean(dim=1)
    means = F.normalize(means - means.mean(dim=0), dim=1)
    expected = math.exp((float(means[0] @ means[1]) - 1) / 0.3)
    assert float(found[1, 2]) == pytest.approx(expected, abs=1e-5)


def test_large_counts_and_alike_classes_stay_finite():
    """A class is exactly as alike to itself as can be, so no count less its own is below zero."""
    for seed in range(20):
        g = torch.Generator().manual_seed(seed)
        table = F.normalize(torch.randn(6, 5, 16, generator=g), dim=-1)
        table[0] = table[:, 0] = 0
        similarity = tuple(class_similarity(table, 0.2) for _ in range(2))
        fg = torch.zeros(6, 6, 5, dtype=torch.int64)
        fg[1, 2] = torch.randint(1, 50_000, (5,), generator=g)
        fg[3, 4, 1] = 10**9
        prior = PhrasePrior(fg, similarity, leave_out=True).train()
        labels = torch.cartesian_prod(torch.arange(6), torch.arange(6))
        assert torch.isfinite(prior.index_with_labels(labels)).all()


def test_under_class_probabilities_it_is_the_mean_over_pairs_of_classes():
    prior = PhrasePrior(counts()).eval()
    probabilities = torch.rand(3, 5).softmax(dim=1)
    pairs = torch.tensor([[0, 1], [2, 2]])
    labels = torch.cartesian_prod(torch.arange(5), torch.arange(5))
    joint = (probabilities[pairs[:, 0]][:, :, None] * probabilities[pairs[:, 1]][:, None]).flatten(1)
    expected = joint @ prior.index_with_labels(labels)
    torch.testing.assert_close(prior.index_with_object_probability(probabilities, pairs), expected)


@pytest.fixture
def small_world(config, statistics):
    """Factory of predictors of the small world with options, and of what makes their frequency bias."""

    def make(name, *options):
        settings = config("predcls", name, host=[HEAD + "CONTEXT_POOLING_DIM", 48, *options])
        torch.manual_seed(0)
        with use_statistics(statistics()):
            return settings, make_roi_relation_predictor(settings, 48).eval()

    return make


PRIOR = [HEAD + "PHRASE_PRIOR.ON", True]
TDE = [HEAD + "CAUSAL.EFFECT_TYPE", "TDE", HEAD + "CAUSAL.FUSION_TYPE", "sum"]


@pytest.mark.parametrize(
    "name, options",
    [
        ("MotifPredictor", []),
        ("VCTreePredictor", []),
        ("TransformerPredictor", []),
        ("CausalAnalysisPredictor", []),
        ("CausalAnalysisPredictor", TDE),
        ("RelCLIPPredictor", []),
        ("IMPPredictor", []),
    ],
)
def test_every_predictor_can_have_it(small_world, make_small_scene, name, options):
    batch = make_small_scene((3, 2))
    _, without = small_world(name, *options)
    _, model = small_world(name, *options, *PRIOR)
    assert isinstance(model.freq_bias, PhrasePrior)
    model.load_state_dict({k: v for k, v in without.state_dict().items() if "freq_bias" not in k}, strict=False)
    arguments = batch.arguments(training=False)
    labels = torch.cat([p.get_field("labels")[pairs] for p, pairs in zip(batch.proposals, batch.pairs, strict=True)])
    with torch.no_grad():
        found, before = (torch.cat(list(m(*arguments)[1])) for m in (model, without))
        bias = model.freq_bias.index_with_labels(labels)
        if hasattr(without, "freq_bias"):
            bias = bias - without.freq_bias.index_with_labels(labels)
    if options == TDE:
        assert torch.isfinite(found).all()  # what seen and counterfactual logits share cancels out
    else:
        torch.testing.assert_close(found - before, bias, atol=1e-3, rtol=1e-3)


def test_it_is_off_by_default_and_its_width_is_checked(config, statistics):
    for options, expected in (([], FrequencyBias), (PRIOR, PhrasePrior)):
        assert isinstance(make_frequency_bias(config(host=options), statistics()), expected)
    alone = make_frequency_bias(config(host=[*PRIOR, HEAD + "PHRASE_PRIOR.WIDTH", 0.0]), statistics())
    expected = PhrasePrior(statistics()["fg_matrix"])
    torch.testing.assert_close(alone.subject.weight, expected.subject.weight)
    for width in (-1.0, math.nan, math.inf):
        with pytest.raises(InputError, match=r"PHRASE_PRIOR\.WIDTH is"):
            make_frequency_bias(config(host=[*PRIOR, HEAD + "PHRASE_PRIOR.WIDTH", width]), statistics())
