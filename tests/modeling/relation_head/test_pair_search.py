"""The first triplets are found exactly, whatever is left out; brute force is to score every pair."""

import pytest
import torch

from maskrcnn_benchmark.modeling.roi_heads.relation_head.inference import score_triplets
from maskrcnn_benchmark.modeling.roi_heads.relation_head.pair_search import PairSearch, twins_together

PREDICATES = 6


def all_pairs(n):
    return (~torch.eye(n, dtype=torch.bool)).nonzero()


def first_rows(pairs, logits, scores, count):
    """The first triplets, (subject, object, predicate, score), with and without graph constraint."""
    triplets = logits.softmax(1)[:, 1:] * scores[pairs].prod(1)[:, None]  # [m, R - 1]
    best, label = triplets.max(1)
    order = best.argsort(descending=True, stable=True)[:count]
    constrained = torch.column_stack((pairs[order], label[order], best[order]))
    order = triplets.flatten().argsort(descending=True, stable=True)[:count]
    pair, label = order // (PREDICATES - 1), order % (PREDICATES - 1)
    return constrained, torch.column_stack((pairs[pair], label, triplets.flatten()[order]))


@pytest.mark.parametrize("ties", (False, True), ids=("no ties", "ties"))
@pytest.mark.parametrize(("call_pairs", "look_pairs"), ((1, 1), (7, 5), (40, 9), (1000, 1000)))
def test_first_triplets_are_those_of_all_pairs(ties, call_pairs, look_pairs):
    g = torch.Generator().manual_seed(0)
    numbers = (2, 9, 14)
    pairs = [all_pairs(n) for n in numbers]
    scores = [torch.rand(n, generator=g) ** 3 for n in numbers]
    logits = [3 * torch.randn(len(p), PREDICATES, generator=g) for p in pairs]
    if ties:  # few different values, certain predicates, and objects whose score is nought
        scores = [(4 * s).round() / 4 for s in scores]
        logits = [torch.where(torch.rand(len(x), 1, generator=g) < 0.5, x[:1], 100 * x.round()) for x in logits]
    rows = [{tuple(pair): i for i, pair in enumerate(p.tolist())} for p in pairs]
    asked = [[] for _ in numbers]

    def score(images, chunks):
        assert 0 < sum(map(len, chunks)) <= max(call_pairs, len(images))
        for i, chunk in zip(images, chunks, strict=True):
            asked[i] += map(tuple, chunk.tolist())
        found = [[rows[i][tuple(pair)] for pair in chunk.tolist()] for i, chunk in zip(images, chunks, strict=True)]
        return [scores[i] for i in images], [logits[i][row] for i, row in zip(images, found, strict=True)]

    count = 10
    guesses = [torch.rand(n, generator=g) for n in numbers]
    found = PairSearch(score, lambda i, given: given, count, call_pairs, look_pairs)(pairs, guesses)
    for i in range(len(numbers)):
        assert len(set(asked[i])) == len(asked[i]) and set(map(tuple, found.pairs[i].tolist())) <= set(asked[i])
        # all that are among the first ones, whatever else was looked at
        best = score_triplets(logits[i], scores[i], pairs[i])[2]
        last = best.topk(min(count, len(best))).values[-1]
        assert torch.equal(found.pairs[i], pairs[i][best >= last])
        assert torch.equal(found.obj_logits[i], scores[i])
        own = first_rows(found.pairs[i], found.rel_logits[i], scores[i], count)
        for ours, expected in zip(own, first_rows(pairs[i], logits[i], scores[i], count), strict=True):
            assert torch.equal(ours, expected)
    if look_pairs < 10:
        assert sum(map(len, asked)) < sum(map(len, pairs))


def test_without_a_limit_every_pair_is_scored_and_twins_come_together():
    pairs = [all_pairs(5), torch.zeros((1, 2), dtype=torch.int64)]
    chunks = []

    def score(images, given):
        chunks.extend(given)
        return [torch.zeros(1, 2) for _ in images], [p.float() for p in given]

    found = PairSearch(score, None, 0, 4, 1)(pairs, [torch.ones(5), torch.ones(1)])
    for given, rel_logits, expected in zip(found.pairs, found.rel_logits, pairs, strict=True):
        assert torch.equal(given, expected)
        assert torch.equal(rel_logits, expected.float())
    assert max(map(len, chunks)) == 4
    order = pairs[0][twins_together(pairs[0])]
    assert torch.equal(order[0::2], order[1::2].flip(1))
