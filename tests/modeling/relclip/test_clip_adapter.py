"""The adapter of CLIP's image side: equation by equation, and what its training does."""

import pytest
import torch
from torch.nn import functional as F

from maskrcnn_benchmark.modeling.language.phrase_index import dictionary
from maskrcnn_benchmark.modeling.roi_heads.relation_head.relclip.class_vectors import LearntTargets
from maskrcnn_benchmark.modeling.roi_heads.relation_head.relclip.clip_adapter import (
    GEOMETRY,
    ClipAdapter,
    SeenPairs,
    fit_adapter,
    pair_geometry,
)
from maskrcnn_benchmark.modeling.roi_heads.relation_head.relclip.loss import NegativeRule, RelationalContrastiveLoss
from maskrcnn_benchmark.modeling.roi_heads.relation_head.relclip.targets import MovedTargets, TextTargets

OBJ, REL, DIM, PAIRS = 4, 5, 12, 60


def unit(*shape, seed=0):
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def make_tables():
    tables = {"sp": unit(OBJ, REL, DIM, seed=1), "po": unit(OBJ, REL, DIM, seed=2)}
    for table in tables.values():
        table[0] = table[:, 0] = 0
    return tables


def make_adapter(zero=False, picture=True):
    torch.manual_seed(0)
    adapter = ClipAdapter(DIM, 16, ("sp", "po"), picture)
    if not zero:
        for residual in adapter.residual.values():
            torch.nn.init.normal_(residual[2].weight, std=0.3)
    return adapter


def make_pairs():
    g = torch.Generator().manual_seed(3)
    s, o = (torch.randint(1, OBJ, (PAIRS,), generator=g) for _ in range(2))
    triplets = torch.stack([s, o, torch.randint(1, REL, (PAIRS,), generator=g)], dim=1)
    return SeenPairs(unit(PAIRS, DIM), torch.randn(PAIRS, GEOMETRY, generator=g), triplets, torch.ones(PAIRS))


def losses_of(pairs, rule=NegativeRule("weighted")):  # noqa: B008  (it cannot be changed)
    counts = torch.zeros(OBJ, OBJ, REL, dtype=torch.int64)
    s, o, p = pairs.triplets.t()
    counts.index_put_((s, o, p), torch.ones(PAIRS, dtype=torch.int64), accumulate=True)
    return {x: RelationalContrastiveLoss(x, dictionary(x, counts), counts, rule) for x in ("sp", "po")}


def test_at_first_it_is_clip_as_it_is():
    pairs = make_pairs()
    for v in make_adapter(zero=True).embed(pairs.embedding, pairs.geometry).values():
        torch.testing.assert_close(v, pairs.embedding)


def test_without_the_picture_pairs_differ_by_their_geometry_alone():
    adapter, pairs = make_adapter(picture=False), make_pairs()
    found = adapter.embed(pairs.embedding, pairs.geometry)
    again = adapter.embed(unit(PAIRS, DIM, seed=9), pairs.geometry)
    assert all(torch.equal(value, again[level]) for level, value in found.items())
    assert float((found["sp"][0] - found["sp"][1]).detach().abs().max()) > 0.01
    first = make_adapter(zero=True, picture=False).embed(pairs.embedding, pairs.geometry)["sp"]
    torch.testing.assert_close(first, torch.full_like(first, DIM**-0.5))


@pytest.mark.parametrize("picture", [True, False])
def test_similarity_is_that_of_each_phrase_with_its_own_share_of_the_residual(picture):
    adapter, pairs, tables = make_adapter(picture=picture), make_pairs(), make_tables()
    share = {"sp": torch.rand(OBJ, REL), "po": torch.rand(OBJ, REL)}
    with torch.no_grad():
        found = adapter.similarity(pairs.embedding, pairs.geometry, tables, pairs.triplets[:, :2], share)
        residuals = adapter(pairs.geometry)
    for n in range(PAIRS):
        for p in range(REL):
            cosines = []
            for side, level in enumerate(("sp", "po")):
                group = int(pairs.triplets[n, side])
                start = adapter.start(pairs.embedding)[n]
                v = F.normalize(start + share[level][group, p] * residuals[level][n], dim=0)
                cosines.append(float(v @ tables[level][group, p]))
            assert float(found[n, p]) == pytest.approx(sum(cosines) / 2, abs=1e-5)


def test_geometry_tells_subject_from_object_and_not_the_size_of_the_image():
    first, second = torch.tensor([[10.0, 20, 50, 60]]), torch.tensor([[30.0, 10, 90, 70]])
    found = pair_geometry(first, second, (100, 80))
    assert found.shape == (1, GEOMETRY)
    torch.testing.assert_close(pair_geometry(first * 3, second * 3, (300, 240)), found)
    assert not torch.allclose(pair_geometry(second, first, (100, 80)), found)
    overlap = (50 - 30) * (60 - 20)
    areas = [40 * 40, 60 * 60]
    expected = [overlap / (sum(areas) - overlap), overlap / areas[0], overlap / areas[1]]
    assert found[0, -3:].tolist() == pytest.approx(expected, abs=1e-6)
    empty = pair_geometry(torch.zeros(1, 4), torch.zeros(1, 4), (100, 80))
    assert torch.isfinite(empty).all() and pair_geometry(first[:0], second[:0], (9, 9)).shape == (0, GEOMETRY)


@pytest.mark.parametrize("kind", ["text", "moved", "learnt"])
def test_training_lowers_the_loss_of_what_it_is_given(kind):
    pairs, adapter = make_pairs(), make_adapter(zero=True)
    torch.manual_seed(0)
    tables = make_tables()
    targets = {
        "text": lambda: TextTargets(tables),
        "moved": lambda: MovedTargets(tables),
        "learnt": lambda: LearntTargets(("sp", "po"), OBJ, REL, DIM),
    }[kind]()
    if kind == "moved":  # at first phrases are where the text encoder has them
        assert all(torch.allclose(table, tables[level], atol=1e-6) for level, table in targets().items())
    before = [parameter.clone() for parameter in targets.parameters()]
    said = {}
    first = fit_adapter(adapter, targets, losses_of(pairs), pairs, 10.0, 1, 32, 0.003)
    last = fit_adapter(adapter, targets, losses_of(pairs), pairs, 10.0, 150, 32, 0.003, said.__setitem__)
    assert last < 0.7 * first and list(said) == list(range(1, 151))
    for numbers in said.values():
        assert numbers["loss"] == pytest.approx(numbers["loss_rcl_sp"] + numbers["loss_rcl_po"], rel=1e-5)
    assert said[150]["tau"] == 10 and said[150]["alignment_accuracy"] > said[1]["alignment_accuracy"]
    moved = any(not torch.equal(a, b) for a, b in zip(before, targets.parameters(), strict=True))
    assert moved == (kind != "text")
    for table in targets().values():
        norms = table.norm(dim=-1)
        torch.testing.assert_close(norms[1:, 1:], torch.ones(OBJ - 1, REL - 1))
        assert not norms[0].any() and not norms[:, 0].any()


def test_a_pair_without_weight_is_never_drawn():
    pairs, adapter = make_pairs(), make_adapter(zero=True)
    rare = pairs._replace(weight=(torch.arange(PAIRS) < 3).float())
    broken = rare._replace(embedding=rare.embedding.index_fill(0, torch.arange(3, PAIRS), torch.nan))
    assert fit_adapter(adapter, TextTargets(make_tables()), losses_of(pairs), broken, 10.0, 20, 32, 0.003) > 0
    assert all(torch.isfinite(value).all() for value in adapter.parameters())
