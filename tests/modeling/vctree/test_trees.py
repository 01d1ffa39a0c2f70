"""Trees against a plain version of SGB's generator; batches against single images."""

import itertools

import numpy as np
import pytest
import torch

from maskrcnn_benchmark.modeling.roi_heads.relation_head.utils_treelstm import MultiLayer_BTreeLSTM
from maskrcnn_benchmark.modeling.roi_heads.relation_head.utils_vctree import build_forest


def plain_binary_tree(scores):
    """(left, right) of every node: greedy growth by the best pair of all, then first child left, siblings right."""
    n = len(scores)
    root = int(scores.mean(1).argmax())
    inside, outside = [root], [i for i in range(n) if i != root]
    children = {i: [] for i in range(n)}
    while outside:
        table = scores[inside][:, outside]
        best = int(np.argmax(table.numpy()))  # the first of equal ones
        parent, node = inside[best // len(outside)], outside[best % len(outside)]
        children[parent].append(node)
        inside.append(node)
        outside.remove(node)
    left, right = {}, {}
    for parent, nodes in children.items():
        if nodes:
            left[parent] = nodes[0]
        right.update(itertools.pairwise(nodes))
    return root, left, right


def links(forest):
    """(left, right) of every node from the levels."""
    left, right = {}, {}
    for level, below, lefts, rights in zip(
        forest.levels, [*forest.levels[1:], torch.zeros(0).long()], forest.left, forest.right, strict=True
    ):
        for node, a, b in zip(level.tolist(), lefts.tolist(), rights.tolist(), strict=True):
            if a < len(below):
                left[node] = int(below[a])
            if b < len(below):
                right[node] = int(below[b])
    return left, right


@pytest.mark.parametrize("ties", [False, True])
def test_trees_equal_a_plain_construction(ties):
    torch.manual_seed(0)
    scores = [torch.rand(n, n) for n in (1, 2, 5, 13, 24)]
    if ties:
        scores = [s.mul(4).round().div(4) for s in scores]
    left, right = links(build_forest(scores))
    start = 0
    for image_scores in scores:
        _, plain_left, plain_right = plain_binary_tree(image_scores)
        nodes = range(start, start + len(image_scores))
        assert {k - start: v - start for k, v in left.items() if k in nodes} == plain_left
        assert {k - start: v - start for k, v in right.items() if k in nodes} == plain_right
        start += len(image_scores)


def test_every_node_stands_once_below_its_parent():
    torch.manual_seed(1)
    forest = build_forest([torch.rand(9, 9), torch.rand(4, 4)])
    order = torch.cat(forest.levels)
    assert sorted(order.tolist()) == list(range(13))
    assert torch.equal(order[forest.inverse], torch.arange(13))
    assert forest.image.tolist() == [0] * 9 + [1] * 4


def test_chain_of_80_nodes():
    scores = torch.zeros(80, 80)
    scores[torch.arange(79), torch.arange(1, 80)] = torch.linspace(2, 1, 79)
    forest = build_forest([scores])
    assert len(forest.levels) == 80
    lstm = MultiLayer_BTreeLSTM(3, 4, 1)
    assert torch.isfinite(lstm(forest, torch.randn(80, 3))).all()


def plain_forward_states(cell, left, right, features, node):
    """Memory and output of a node from its children, one node at a time."""
    zeros = torch.zeros(1, cell.h_dim)
    states = [
        plain_forward_states(cell, left, right, features, side[node]) if node in side else (zeros, zeros)
        for side in (left, right)
    ]
    (left_c, left_h), (right_c, right_h) = states
    x = features[node : node + 1]
    gates = (cell.ioffux(x) + cell.ioffuh_left(left_h) + cell.ioffuh_right(right_h)).chunk(6, dim=1)
    i, o, f_left, f_right, r = (torch.sigmoid(gates[k]) for k in (0, 1, 2, 3, 5))
    c = i * torch.tanh(gates[4]) + f_left * left_c + f_right * right_c
    return c, r * (o * torch.tanh(c)) + (1 - r) * cell.px(x)


def test_levels_equal_single_nodes_in_value_and_gradient():
    torch.manual_seed(3)
    scores = [torch.rand(7, 7), torch.rand(3, 3), torch.rand(1, 1)]
    forest = build_forest(scores)
    cell = MultiLayer_BTreeLSTM(5, 8, 1).multi_layer_lstm[0].treeLSTM_foreward.treeLSTM
    features = torch.randn(11, 5, requires_grad=True)
    fast = cell(forest, features)
    (fast_grad,) = torch.autograd.grad(fast.square().sum(), features)
    left, right = links(forest)
    slow = torch.cat([plain_forward_states(cell, left, right, features, node)[1] for node in range(11)])
    (slow_grad,) = torch.autograd.grad(slow.square().sum(), features)
    torch.testing.assert_close(fast, slow)
    torch.testing.assert_close(fast_grad, slow_grad)


def test_batch_equals_its_images():
    torch.manual_seed(4)
    scores = [torch.rand(6, 6), torch.rand(1, 1), torch.rand(9, 9)]
    lstm = MultiLayer_BTreeLSTM(5, 8, 2).eval()
    features = torch.randn(16, 5)
    together = lstm(build_forest(scores), features)
    alone = [lstm(build_forest([s]), f) for s, f in zip(scores, features.split([6, 1, 9]), strict=True)]
    torch.testing.assert_close(together, torch.cat(alone))
