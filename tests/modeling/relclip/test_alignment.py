"""Similarities of pairs to phrases against the naive gather, and the projection against an MLP on its inputs."""

import pytest
import torch
from torch.nn import functional as F

from maskrcnn_benchmark.modeling.roi_heads.relation_head.relclip.alignment import (
    PairProjection,
    fused_linear,
    group_similarity,
)


@pytest.mark.parametrize("n", (0, 1, 40))
def test_similarity_equals_the_naive_gather(n):
    g = torch.Generator().manual_seed(0)
    v = torch.randn(n, 6, generator=g, dtype=torch.float64, requires_grad=True)
    table = torch.randn(9, 5, 6, generator=g, dtype=torch.float64)
    groups = torch.randint(0, 9, (n,), generator=g)
    found = group_similarity(v, table, groups)
    expected = torch.einsum("nd,nrd->nr", v, table[groups])
    torch.testing.assert_close(found, expected)
    weight = torch.randn(n, 5, generator=g, dtype=torch.float64)
    gradients = [torch.autograd.grad((x * weight).sum(), v)[0] for x in (found, expected)]
    torch.testing.assert_close(*gradients)


def test_tables_in_half_precision_are_compared_in_single():
    v, table = torch.randn(3, 4), torch.randn(2, 5, 4).half()
    found = group_similarity(v, table, torch.tensor([1, 0, 1]))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found[1], table[0].float() @ v[1])


def test_similarity_under_autocast_is_in_single_precision():
    g = torch.Generator().manual_seed(0)
    v, table = F.normalize(torch.randn(8, 64, generator=g), dim=1), torch.randn(3, 5, 64, generator=g)
    groups = torch.arange(8) % 3
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = group_similarity(v, table, groups)
    torch.testing.assert_close(found, group_similarity(v, table, groups))


@pytest.mark.parametrize("num_entities", (1, 2))
def test_projection_equals_an_mlp_on_the_concatenated_inputs(num_entities):
    torch.manual_seed(0)
    projection = PairProjection(7, 4, num_entities, 5, 3)
    visual = torch.randn(6, 7)
    entities = [(torch.randn(3, 4), torch.randint(0, 3, (6,))) for _ in range(num_entities)]
    weight = torch.cat([projection.visual.weight] + [linear.weight for linear in projection.entities], dim=1)
    inputs = torch.cat([visual] + [rep[index] for rep, index in entities], dim=1)
    hidden = F.relu(F.linear(inputs, weight, projection.visual.bias))
    found = projection(projection.visual(visual), entities)
    torch.testing.assert_close(found, F.normalize(projection.out(hidden), dim=1))


def test_projection_is_normalised_in_single_precision_under_autocast():
    projection = PairProjection(7, 4, 1, 5, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        v = projection(projection.visual(torch.randn(6, 7)), [(torch.randn(3, 4), torch.zeros(6, dtype=torch.int64))])
    assert v.dtype == torch.float32
    torch.testing.assert_close(v.norm(dim=1), torch.ones(6))


def test_fused_layers_equal_each_of_them():
    layers, x = [torch.nn.Linear(5, n) for n in (3, 1, 4)], torch.randn(6, 5)
    for found, layer in zip(fused_linear(x, layers), layers, strict=True):
        torch.testing.assert_close(found, layer(x))
