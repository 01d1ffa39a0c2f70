"""The contrastive loss against loops over all phrases, for every kind of negatives; its gradient; its edge cases."""

import itertools
import math

import pytest
import torch
from torch.nn import functional as F

from maskrcnn_benchmark.modeling.language.phrase_index import component_index, dictionary, phrase_components
from maskrcnn_benchmark.modeling.roi_heads.relation_head.relclip.loss import NegativeRule, RelationalContrastiveLoss

OBJ, REL, DIM = 5, 6, 8  # classes with background, width
SCALE = 3.0
TAU = torch.tensor(SCALE, dtype=torch.float64)
ALL = torch.ones(OBJ, OBJ, REL)
KINDS = ("related", "all", "batch", "weighted", "joined")
COUNTS = torch.randint(0, 5, (OBJ, OBJ, REL), generator=torch.Generator().manual_seed(4))


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
    s, p, o = (torch.randint(1, side, (n,), generator=g) for side in (OBJ, REL, OBJ))
    return v, phrase_components(level, torch.stack([s, o, p], dim=1))


def phrase(table, components):
    """Embedding of one phrase, by the definition of the table."""
    *groups, predicate = components
    group = groups[0] if len(groups) == 1 else groups[0] * OBJ + groups[1]
    return table[group, predicate]


def with_every_predicate(components):
    """Components of the phrases about the same classes."""
    return torch.tensor([[*components.tolist()[:-1], predicate] for predicate in range(1, REL)])


def brute_force(level, table, v, positives, kind, phrases, synonyms=None):
    """The definition of RCL, phrase by phrase."""

    def frequency(components):
        if kind != "weighted":
            return 1
        triplets = itertools.product(range(OBJ), range(OBJ), range(REL))
        same = (t for t in triplets if phrase_components(level, torch.tensor([t]))[0].tolist() == list(components))
        return max(sum(int(COUNTS[t]) for t in same), 1)

    if kind == "joined":
        everything = brute_force(level, table, v, positives, "weighted", phrases, synonyms)
        of_classes = [
            brute_force(level, table, x[None], positive[None], "weighted", with_every_predicate(positive))[0]
            for x, positive in zip(v, positives, strict=True)
        ]
        return [(a + b) / 2 for a, b in zip(everything, of_classes, strict=True)]

    losses = []
    for x, positive in zip(v, positives.tolist(), strict=True):
        own = phrase(table, positive)
        candidates = {tuple(p) for p in (positives if kind == "batch" else phrases).tolist()}
        own_term = frequency(positive) * math.exp(SCALE * float(x @ own))
        total = own_term
        for other in candidates:
            different = sum(a != b for a, b in zip(positive, other, strict=True))
            if different == 0 or (kind == "related" and different != 1):
                continue
            same_classes = positive[:-1] == list(other[:-1])
            if synonyms is not None and same_classes and synonyms[positive[-1], other[-1]]:
                continue
            total += frequency(other) * math.exp(SCALE * float(x @ phrase(table, other)))
        losses.append(math.log(total) - math.log(own_term))
    return losses


@pytest.fixture(params=("sp", "po", "spo"))
def level(request):
    return request.param


def dictionaries(level):
    fg_matrix = torch.rand(OBJ, OBJ, REL, generator=torch.Generator().manual_seed(3)) < 0.2
    return {"full": dictionary(level, ALL), "train": dictionary(level, fg_matrix)}


SYNONYMS = torch.zeros(REL, REL, dtype=torch.bool)
for one, other in ((2, 3), (3, 5)):
    SYNONYMS[one, other] = SYNONYMS[other, one] = True


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("words", ("full", "train"))
@pytest.mark.parametrize("synonyms", [None, SYNONYMS])
def test_loss_equals_a_loop_over_phrases(level, kind, words, synonyms):
    table, (v, positives) = make_table(level), make_batch(level)
    phrases = dictionaries(level)[words]
    rcl = RelationalContrastiveLoss(level, phrases, COUNTS, NegativeRule(kind, synonyms))
    expected = brute_force(level, table, v, positives, kind, phrases, synonyms)
    found = rcl(v, TAU, table, positives)
    torch.testing.assert_close(found["per_pair"], torch.tensor(expected, dtype=torch.float64))
    assert found["loss"].item() == pytest.approx(sum(expected) / len(expected))


def test_its_parts_are_the_logits_of_the_phrases():
    table, (v, positives) = make_table("sp"), make_batch("sp")
    phrases = dictionaries("sp")["train"]
    parts = RelationalContrastiveLoss("sp", phrases, COUNTS, NegativeRule("all"))(v, TAU, table, positives)
    for i, positive in enumerate(positives.tolist()):
        assert float(parts["positive"][i]) == pytest.approx(SCALE * float(v[i] @ phrase(table, positive)))
        for j, other in enumerate(phrases.tolist()):
            same = positive == other
            expected = -math.inf if same else SCALE * float(v[i] @ phrase(table, other))
            assert float(parts["negatives"][i, j]) == pytest.approx(expected)


def test_a_step_can_be_replaced():
    class Triplet(RelationalContrastiveLoss):
        def per_pair(self, positive, negatives):
            return (negatives.amax(dim=1) - positive).clamp(min=0)

    table, (v, positives) = make_table("sp"), make_batch("sp")
    parts = Triplet("sp", dictionaries("sp")["full"], COUNTS, NegativeRule("all"))(v, TAU, table, positives)
    torch.testing.assert_close(parts["loss"], (parts["negatives"].amax(dim=1) - parts["positive"]).clamp(min=0).mean())


def test_the_cases_above_differ():
    """Synonyms, dictionaries and kinds do change the loss on that data."""
    table, (v, positives) = make_table("sp"), make_batch("sp")
    found = {
        (kind, words, synonyms is None): tuple(
            brute_force("sp", table, v, positives, kind, dictionaries("sp")[words], synonyms)
        )
        for kind in KINDS
        for words in ("full", "train")
        for synonyms in (None, SYNONYMS)
        if (kind, words) != ("batch", "train")
    }
    assert len(set(found.values())) == len(found)


@pytest.mark.parametrize("kind", KINDS)
def test_gradient(level, kind):
    v, positives = make_batch(level)
    rcl = RelationalContrastiveLoss(level, dictionary(level, ALL), COUNTS, NegativeRule(kind, SYNONYMS))
    table, tau = make_table(level), TAU.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda v, tau: rcl(v, tau, table, positives)["loss"], (v.requires_grad_(), tau))
    learnt = table.requires_grad_()
    rcl(v, tau, learnt, positives)["loss"].backward()
    assert torch.isfinite(learnt.grad).all() and learnt.grad.any()


@pytest.mark.parametrize("kind", ("related", "batch"))
def test_no_pair_gives_exactly_zero_and_a_graph(level, kind):
    rcl = RelationalContrastiveLoss(level, dictionary(level, ALL), COUNTS, NegativeRule(kind, SYNONYMS))
    v, positives = make_batch(level)
    leaf, tau = v.requires_grad_(), TAU.clone().requires_grad_()
    loss = rcl(leaf[:0], tau, make_table(level), positives[:0])["loss"]
    assert loss.item() == 0
    loss.backward()
    assert not leaf.grad.any() and not tau.grad.any()


def test_a_positive_without_negatives_has_no_loss_and_no_gradient():
    rcl = RelationalContrastiveLoss("sp", torch.zeros(0, 2, dtype=torch.int64), COUNTS, NegativeRule())
    v, positives = make_batch("sp")
    v.requires_grad_()
    loss = rcl(v, TAU, make_table("sp"), positives)["loss"]
    loss.backward()
    assert loss.item() == 0 and not v.grad.any()


def test_the_largest_scale_does_not_overflow():
    table, (v, positives) = make_table("sp").float(), make_batch("sp")
    rcl = RelationalContrastiveLoss("sp", dictionary("sp", ALL), COUNTS, NegativeRule("all"))
    leaf = v.float().requires_grad_()
    loss = rcl(leaf, torch.tensor(100.0), table, positives)["loss"]
    assert torch.isfinite(loss) and torch.isfinite(torch.autograd.grad(loss, leaf)[0]).all()


def test_under_autocast_it_is_in_single_precision():
    table, (v, positives) = make_table("sp").float(), make_batch("sp")
    rcl = RelationalContrastiveLoss("sp", dictionary("sp", ALL), COUNTS, NegativeRule("all", SYNONYMS))
    expected = rcl(v.float(), torch.tensor(20.0), table, positives)["loss"]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(rcl(v.float(), torch.tensor(20.0), table, positives)["loss"], expected)


def test_a_phrase_that_training_never_shows_can_be_a_positive():
    fg_matrix = torch.zeros(OBJ, OBJ, REL)
    fg_matrix[1, 2, 3] = fg_matrix[1, 2, 4] = 1
    phrases = dictionary("sp", fg_matrix)
    assert phrases.tolist() == [[1, 3], [1, 4]]
    table = make_table("sp")
    v, positives = make_batch("sp", n=1)[0], torch.tensor([[1, 5]])
    loss = RelationalContrastiveLoss("sp", phrases, COUNTS, NegativeRule())(v, torch.tensor(1.0), table, positives)[
        "loss"
    ]
    terms = [math.exp(float(v[0] @ table[1, p])) for p in (5, 3, 4)]
    assert loss.item() == pytest.approx(-math.log(terms[0] / sum(terms)))


def test_dictionaries_leave_background_out(level):
    full = dictionary(level, ALL)
    sides = {"sp": (OBJ, REL), "po": (OBJ, REL), "spo": (OBJ, OBJ, REL)}[level]
    assert full.tolist() == [list(x) for x in itertools.product(*[range(1, side) for side in sides])]
    assert dictionary(level, torch.zeros(OBJ, OBJ, REL)).shape == (0, len(sides))
    rows = component_index(full, OBJ, REL)
    table = make_table(level).flatten(0, 1)
    assert len(set(rows.tolist())) == len(full) and (table[rows].norm(dim=1) > 0).all()
    assert (table.norm(dim=1) > 0).sum() == len(full)


def test_a_dictionary_holds_what_occurs():
    fg_matrix = torch.zeros(OBJ, OBJ, REL)
    fg_matrix[1, 2, 3] = 4
    fg_matrix[1, 2, 0] = 9
    assert dictionary("sp", fg_matrix).tolist() == [[1, 3]]
    assert dictionary("po", fg_matrix.numpy()).tolist() == [[2, 3]]
    assert dictionary("spo", fg_matrix).tolist() == [[1, 2, 3]]
    assert fg_matrix.sum() == 13  # the statistic itself stays as it is
