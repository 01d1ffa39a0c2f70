"""Similarities of pairs to phrases against the naive gather, by groups and by blocks of rows."""

import pytest
import torch
from torch.nn import functional as F

from maskrcnn_benchmark.modeling.language import similarity
from maskrcnn_benchmark.modeling.language.similarity import alignment, group_similarity

WAYS = (group_similarity, similarity._by_blocks)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("n, groups", [(1, 9), (40, 9), (300, 2)])
def test_similarity_equals_the_naive_gather(way, n, groups):
    g = torch.Generator().manual_seed(0)
    v = torch.randn(n, 6, generator=g, dtype=torch.float64, requires_grad=True)
    table = torch.randn(groups, 5, 6, generator=g, dtype=torch.float64, requires_grad=True)
    rows = torch.randint(0, groups, (n,), generator=g)
    found = way(v, table, rows)
    expected = torch.einsum("nd,nrd->nr", v, table[rows])
    torch.testing.assert_close(found, expected)
    weight = torch.randn(n, 5, generator=g, dtype=torch.float64)
    gradients = [torch.autograd.grad((x * weight).sum(), (v, table)) for x in (found, expected)]
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b)


def test_no_pair_has_no_similarity_and_stays_connected():
    v = torch.zeros(0, 6, requires_grad=True)
    found = group_similarity(v, torch.randn(9, 5, 6), torch.zeros(0, dtype=torch.int64))
    assert found.shape == (0, 5) and found.requires_grad


@pytest.mark.parametrize("way", WAYS)
def test_tables_in_half_precision_are_compared_in_single(way):
    v, table = torch.randn(3, 4), torch.randn(2, 5, 4).half()
    found = way(v, table, torch.tensor([1, 0, 1]))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found[1], table[0].float() @ v[1])


def test_similarity_under_autocast_is_in_single_precision():
    g = torch.Generator().manual_seed(0)
    v, table = F.normalize(torch.randn(8, 64, generator=g), dim=1), torch.randn(3, 5, 64, generator=g)
    groups = torch.arange(8) % 3
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = group_similarity(v, table, groups)
    torch.testing.assert_close(found, group_similarity(v, table, groups))


def test_alignment_is_the_mean_over_levels_of_the_phrases_of_ones_own_classes():
    g = torch.Generator().manual_seed(0)
    objects, labels = 3, torch.tensor([[1, 2], [2, 2], [0, 1]])
    tables = {level: torch.randn(objects ** (2 if level == "spo" else 1), 4, 6, generator=g) for level in ("sp", "spo")}
    v = {level: torch.randn(3, 6, generator=g) for level in tables}
    found = alignment(v, tables, labels, objects)
    for n, (s, o) in enumerate(labels.tolist()):
        expected = (tables["sp"][s] @ v["sp"][n] + tables["spo"][s * objects + o] @ v["spo"][n]) / 2
        torch.testing.assert_close(found[n], expected)


@pytest.mark.parametrize("n", [0, 7])
def test_levels_as_one_are_levels_one_by_one(n):
    g = torch.Generator().manual_seed(0)
    tables = {level: torch.randn(5, 4, 6, generator=g) for level in ("sp", "po")}
    v = {level: torch.randn(n, 6, generator=g) for level in tables}
    labels = torch.randint(0, 5, (n, 2), generator=g)
    groups = {"sp": labels[:, 0], "po": labels[:, 1]}
    torch.testing.assert_close(similarity._levels_as_one(v, tables, groups), alignment(v, tables, labels, 5))
