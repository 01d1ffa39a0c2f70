"""The pair's embedding against an MLP on its concatenated inputs."""

import pytest
import torch
from torch.nn import functional as F

from maskrcnn_benchmark.modeling.roi_heads.relation_head.relclip.embedding import ENDS, PairEmbedding, Pairs

VISUAL, END, HIDDEN, OUT = 7, 4, 5, 3


def make_pairs(n=3, m=6):
    g = torch.Generator().manual_seed(0)
    visual, subject, object_ = (torch.randn(k, d, generator=g) for k, d in ((m, VISUAL), (n, END), (n, END)))
    ends = torch.randint(0, n, (m, 2), generator=g)
    return Pairs(visual, subject, object_, ends, torch.ones_like(ends))


@pytest.mark.parametrize("levels", [("sp",), ("po", "sp"), ("sp", "po", "spo")])
def test_it_equals_an_mlp_on_the_concatenated_inputs(levels):
    torch.manual_seed(0)
    embedding, pairs = PairEmbedding(VISUAL, END, HIDDEN, OUT, levels), make_pairs()
    found = embedding(pairs)
    assert tuple(found) == levels
    for i, level in enumerate(levels):
        rows = slice(i * HIDDEN, (i + 1) * HIDDEN)
        weight, inputs = [embedding.visual.weight[rows]], [pairs.visual]
        for end in ENDS[level]:
            weight.append(embedding.ends[level][end].weight)
            inputs.append(getattr(pairs, f"{end}_rep")[pairs.ends[:, ("subject", "object").index(end)]])
        hidden = F.relu(F.linear(torch.cat(inputs, 1), torch.cat(weight, 1), embedding.visual.bias[rows]))
        torch.testing.assert_close(found[level], F.normalize(embedding.out[level](hidden), dim=1))


def test_it_is_normalised_in_single_precision_under_autocast():
    embedding, pairs = PairEmbedding(VISUAL, END, HIDDEN, OUT, ("sp",)), make_pairs()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        v = embedding(pairs)["sp"]
    assert v.dtype == torch.float32
    torch.testing.assert_close(v.norm(dim=1), torch.ones(len(v)))


def test_no_pair_has_no_vector():
    assert PairEmbedding(VISUAL, END, HIDDEN, OUT, ("sp",))(make_pairs(m=0))["sp"].shape == (0, OUT)
