"""The contrastive loss against loops over all phrases, for every kind of negatives; its gradient; its edge cases."""

import itertools
import math

import pytest
import torch
from torch.nn import functional as F

from maskrcnn_benchmark.modeling.roi_heads.relation_head.relclip import loss as module
from maskrcnn_benchmark.modeling.roi_heads.relation_head.relclip.loss import RelationalContrastiveLoss
from maskrcnn_benchmark.modeling.roi_heads.relation_head.relclip.negatives import (
    Negatives,
    component_index,
    full_dictionary,
    phrase_components,
    synonymous,
    training_dictionary,
)

OBJ, REL, DIM = 5, 6, 8  # classes with background, width
SCALE = 3.0


def make_table(level, seed=0):
    """Unit vectors [G, REL, d] in double precision, zero for background; some phrases are close to each other."""
    g = torch.Generator().manual_seed(seed)
    sides = (OBJ, OBJ, REL) if level == "spo" else (OBJ, REL)
    vectors = torch.randn(*sides, DIM, generator=g, dtype=torch.float64)
    vectors[..., 3, :] = vectors[..., 2, :] + 0.1 * torch.randn(*sides[:-1], DIM, generator=g)
    vectors[2] = vectors[1] + 0.5 * torch.randn(vectors[1].shape, generator=g)
    vectors = F.normalize(vectors, dim=-1)
    vectors[..., 0, :] = 0
    vectors[0] = 0
    if level == "spo":
        vectors[:, 0] = 0
    return vectors.flatten(0, -3)


def make_batch(level, n=7, seed=0):
    g = torch.Generator().manual_seed(seed)
    v = F.normalize(torch.randn(n, DIM, generator=g, dtype=torch.float64), dim=-1)
    classes = [torch.randint(1, side, (n,), generator=g) for side in (OBJ, REL, OBJ)]
    return v, phrase_components(level, *classes)


def phrase(table, components):
    """Embedding of one phrase, by the definition of the table."""
    *groups, predicate = components
    group = groups[0] if len(groups) == 1 else groups[0] * OBJ + groups[1]
    return table[group, predicate]


def brute_force(level, table, v, positives, kind, dictionary, phrase_threshold=None, predicate_synonyms=None):
    """The definition of RCL, phrase by phrase."""
    losses = []
    for x, positive in zip(v, positives.tolist(), strict=True):
        own = phrase(table, positive)
        candidates = {tuple(p) for p in (positives if kind == "batch" else dictionary).tolist()}
        total = math.exp(SCALE * float(x @ own))
        for other in candidates:
            different = sum(a != b for a, b in zip(positive, other, strict=True))
            if different == 0 or (kind == "related" and different != 1):
                continue
            embedding = phrase(table, other)
            if phrase_threshold is not None and float(own @ embedding) >= phrase_threshold:
                continue
            if predicate_synonyms is not None and predicate_synonyms[positive[-1], other[-1]]:
                continue
            total += math.exp(SCALE * float(x @ embedding))
        losses.append(math.log(total) - SCALE * float(x @ own))
    return losses


@pytest.fixture(params=("sp", "po", "spo"))
def level(request):
    return request.param


def dictionaries(level):
    fg_matrix = torch.rand(OBJ, OBJ, REL, generator=torch.Generator().manual_seed(3)) < 0.2
    return {"full": full_dictionary(level, OBJ, REL), "train": training_dictionary(level, fg_matrix)}


SYNONYMS = synonymous(torch.eye(REL) + torch.diag(torch.full((REL - 1,), 0.95), 1) * (torch.arange(REL) == 3), 0.9)


@pytest.mark.parametrize("kind", ("related", "all", "batch"))
@pytest.mark.parametrize("words", ("full", "train"))
@pytest.mark.parametrize("threshold, predicates", [(None, None), (0.9, None), (None, SYNONYMS), (0.7, SYNONYMS)])
def test_loss_equals_a_loop_over_phrases(level, kind, words, threshold, predicates, monkeypatch):
    monkeypatch.setattr(module, "ENTRIES_AT_ONCE", 50)  # several blocks of rows
    table, (v, positives) = make_table(level), make_batch(level)
    dictionary = dictionaries(level)[words]
    rcl = RelationalContrastiveLoss(table, dictionary, OBJ, Negatives(kind, threshold, predicates))
    expected = brute_force(level, table, v, positives, kind, dictionary, threshold, predicates)
    found = rcl.per_pair(v, torch.tensor(SCALE, dtype=torch.float64), positives)
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))
    mean = rcl(v, torch.tensor(SCALE, dtype=torch.float64), positives)
    assert mean.item() == pytest.approx(sum(expected) / len(expected))


def test_the_cases_above_differ():
    """Synonyms, dictionaries and kinds do change the loss on that data."""
    table, (v, positives) = make_table("sp"), make_batch("sp")
    found = {
        (kind, words, threshold, synonyms is None): tuple(
            brute_force("sp", table, v, positives, kind, dictionaries("sp")[words], threshold, synonyms)
        )
        for kind in ("related", "all", "batch")
        for words in ("full", "train")
        for threshold, synonyms in ((None, None), (0.9, None), (None, SYNONYMS), (0.7, SYNONYMS))
        if (kind, words) != ("batch", "train")
    }
    assert len(set(found.values())) == len(found)


@pytest.mark.parametrize("kind", ("related", "all", "batch"))
def test_gradient(level, kind, monkeypatch):
    monkeypatch.setattr(module, "ENTRIES_AT_ONCE", 50)
    v, positives = make_batch(level)
    rcl = RelationalContrastiveLoss(
        make_table(level), full_dictionary(level, OBJ, REL), OBJ, Negatives(kind, 0.9, SYNONYMS)
    )
    scale = torch.tensor(SCALE, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v, scale: rcl.per_pair(v, scale, positives), (v.requires_grad_(), scale))
    assert torch.autograd.gradcheck(lambda v, scale: rcl(v, scale, positives), (v, scale))


def test_no_pair_gives_exactly_zero_and_a_graph(level):
    rcl = RelationalContrastiveLoss(make_table(level), full_dictionary(level, OBJ, REL), OBJ, Negatives("related"))
    v, positives = make_batch(level)
    leaf, scale = v.requires_grad_(), torch.tensor(SCALE, dtype=torch.float64, requires_grad=True)
    for kind in ("related", "batch"):
        rcl.negatives = Negatives(kind, 0.9, SYNONYMS)
        loss = rcl(leaf[:0], scale, positives[:0])
        assert loss.item() == 0
        loss.backward()
        assert not leaf.grad.any() and not scale.grad.any()


def test_a_positive_without_negatives_has_no_loss_and_no_gradient():
    rcl = RelationalContrastiveLoss(make_table("sp"), torch.zeros(0, 2, dtype=torch.int64), OBJ, Negatives("related"))
    v, positives = make_batch("sp")
    v.requires_grad_()
    loss = rcl(v, torch.tensor(SCALE, dtype=torch.float64), positives)
    loss.backward()
    assert loss.item() == 0 and not v.grad.any()


def test_the_largest_scale_does_not_overflow():
    table, (v, positives) = make_table("sp").float(), make_batch("sp")
    rcl = RelationalContrastiveLoss(table, full_dictionary("sp", OBJ, REL), OBJ, Negatives("all"))
    loss = rcl(v.float().requires_grad_(), torch.tensor(100.0), positives)
    assert torch.isfinite(loss) and torch.isfinite(torch.autograd.grad(loss, [loss])[0])


def test_a_phrase_that_training_never_shows_can_be_a_positive():
    fg_matrix = torch.zeros(OBJ, OBJ, REL)
    fg_matrix[1, 2, 3] = fg_matrix[1, 2, 4] = 1
    dictionary = training_dictionary("sp", fg_matrix)
    assert dictionary.tolist() == [[1, 3], [1, 4]]
    table = make_table("sp")
    v, positives = make_batch("sp", n=1)[0], torch.tensor([[1, 5]])
    loss = RelationalContrastiveLoss(table, dictionary, OBJ, Negatives("related"))(v, torch.tensor(1.0), positives)
    terms = [math.exp(float(v[0] @ table[1, p])) for p in (5, 3, 4)]
    assert loss.item() == pytest.approx(-math.log(terms[0] / sum(terms)))


def test_dictionaries_leave_background_out(level):
    everything = torch.ones(OBJ, OBJ, REL)
    full = full_dictionary(level, OBJ, REL)
    assert full.tolist() == training_dictionary(level, everything).tolist()
    sides = {"sp": (OBJ, REL), "po": (OBJ, REL), "spo": (OBJ, OBJ, REL)}[level]
    assert full.tolist() == [list(x) for x in itertools.product(*[range(1, side) for side in sides])]
    assert training_dictionary(level, torch.zeros(OBJ, OBJ, REL)).shape == (0, len(sides))
    rows = component_index(full, OBJ, REL)
    table = make_table(level).flatten(0, 1)
    assert len(set(rows.tolist())) == len(full) and (table[rows].norm(dim=1) > 0).all()
    assert (table.norm(dim=1) > 0).sum() == len(full)


def test_training_dictionary_counts_what_occurs():
    fg_matrix = torch.zeros(OBJ, OBJ, REL)
    fg_matrix[1, 2, 3] = 4
    fg_matrix[1, 2, 0] = 9
    assert training_dictionary("sp", fg_matrix).tolist() == [[1, 3]]
    assert training_dictionary("po", fg_matrix.numpy()).tolist() == [[2, 3]]
    assert training_dictionary("spo", fg_matrix).tolist() == [[1, 2, 3]]


def test_a_predicate_is_no_synonym_of_itself_nor_of_background():
    synonyms = synonymous(torch.ones(4, 4), 0.5)
    assert synonyms.tolist() == [
        [False, False, False, False],
        [False, False, True, True],
        [False, True, False, True],
        [False, True, True, False],
    ]
