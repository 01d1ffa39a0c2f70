"""The frequency bias of the two levels against plain loops over the counts."""

import math

import pytest
import torch
from torch.nn import functional as F

from maskrcnn_benchmark.modeling.roi_heads.relation_head.relclip.prior import PhrasePrior, class_similarity


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
