"""Trees against a plain version of SGB's generator; tree LSTMs against one node at a time; batches against images."""

import itertools

import numpy as np
import pytest
import torch
from support import boxlist

from maskrcnn_benchmark.modeling.roi_heads.relation_head.utils_treelstm import (
    BiTreeLSTM_Backward,
    BiTreeLSTM_Foreward,
    MultiLayer_BTreeLSTM,
    OneDirectionalTreeLSTM,
    levels_of,
)
from maskrcnn_benchmark.modeling.roi_heads.relation_head.utils_vctree import (
    BiForest,
    arbForest_to_biForest,
    generate_forest,
)


def plain_binary_tree(scores):
    """(root, left, right): greedy growth by the best pair of all, then first child left, siblings right."""
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


def arbitrary_forest(scores):
    proposals = [
        boxlist(torch.arange(4.0 * len(s)).view(-1, 4), (100, 100), labels=torch.arange(len(s)) + 5) for s in scores
    ]
    return generate_forest(scores, proposals, "predcls")


def grow(scores):
    return arbForest_to_biForest(arbitrary_forest(scores))


def nodes_below(tree):
    todo = [tree] if tree else []
    while todo:
        node = todo.pop()
        yield node
        todo += [child for child in (node.left_child, node.right_child) if child is not None]


def links(tree):
    """(left, right) of every node of a tree that has such a child."""
    nodes = list(nodes_below(tree))
    left = {node.index: node.left_child.index for node in nodes if node.left_child}
    right = {node.index: node.right_child.index for node in nodes if node.right_child}
    return left, right


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("ties", (False, True))
def test_trees_equal_a_plain_construction(ties, seed):
    torch.manual_seed(seed)
    scores = [torch.rand(n, n) for n in (1, 2, 5, 13, 24)]
    if ties:
        scores = [s.mul(4).round().div(4) for s in scores]
    for tree, image_scores in zip(grow(scores), scores, strict=True):
        root, left, right = plain_binary_tree(image_scores)
        assert tree.index == root
        assert links(tree) == (left, right)


def test_nodes_know_their_object_and_their_parent():
    torch.manual_seed(1)
    scores = [torch.rand(9, 9), torch.rand(4, 4)]
    for arbitrary, tree, image_scores in zip(arbitrary_forest(scores), grow(scores), scores, strict=True):
        nodes = sorted(nodes_below(tree), key=lambda node: node.index)
        assert [node.index for node in nodes] == list(range(len(image_scores)))
        assert [node.label for node in nodes] == [node.index + 5 for node in nodes]
        assert [float(node.box[0]) for node in nodes] == [4.0 * node.index for node in nodes]
        np.testing.assert_allclose([node.node_score for node in nodes], image_scores.mean(1), rtol=1e-6)
        assert [node.index for node in nodes if node.is_root] == [tree.index] == [arbitrary.index]
        for node in nodes:
            assert all(child.parent is node for child in (node.left_child, node.right_child) if child)


def test_levels_hold_every_node_once_below_its_parent():
    torch.manual_seed(2)
    trees = grow([torch.rand(9, 9), torch.rand(4, 4)])
    levels = trees.levels(torch.device("cpu"))
    order = levels.order.tolist()
    assert sorted(order) == list(range(13)) and sum(levels.sizes) == 13
    assert torch.equal(levels.order[levels.inverse], torch.arange(13))
    assert levels.image.tolist() == [0] * 9 + [1] * 4
    rows = [part.tolist() for part in levels.order.split(levels.sizes)]
    left = {9 * i + a: 9 * i + b for i, tree in enumerate(trees) for a, b in links(tree)[0].items()}
    right = {9 * i + a: 9 * i + b for i, tree in enumerate(trees) for a, b in links(tree)[1].items()}
    for depth, (row, below) in enumerate(zip(rows, [*rows[1:], []], strict=True)):
        for place, node in enumerate(row):
            for side, positions in ((left, levels.left), (right, levels.right)):
                position = int(positions[depth][place])
                assert (below[position] if position < len(below) else None) == side.get(node)
                if node in side:
                    assert int(levels.parent[depth + 1][position]) == place


@pytest.mark.parametrize("scores", ([], [(0, 0)], [(0, 0), (1, 1), (0, 0), (2, 2)]), ids=("no image", "empty", "some"))
def test_images_without_objects(scores):
    trees = grow([torch.rand(size) for size in scores]) if scores else BiForest([])
    count = sum(rows for rows, _ in scores)
    assert [tree is None for tree in trees] == [rows == 0 for rows, _ in scores]
    for training in (True, False):
        lstm = MultiLayer_BTreeLSTM(3, 4, 2, dropout=0.5).train(training)
        assert lstm(trees, torch.randn(count, 3), count).shape == (count, 4)


def test_chain_of_80_nodes():
    scores = torch.zeros(80, 80)
    scores[torch.arange(79), torch.arange(1, 80)] = torch.linspace(2, 1, 79)
    trees = grow([scores])
    assert trees.levels(torch.device("cpu")).sizes == [1] * 80
    assert torch.isfinite(MultiLayer_BTreeLSTM(3, 4, 1)(trees, torch.randn(80, 3), 80)).all()


def test_a_tree_of_another_number_of_objects_is_refused():
    with pytest.raises(ValueError, match="The trees have 3 nodes, but there are 4 objects"):
        MultiLayer_BTreeLSTM(3, 4, 1)(grow([torch.rand(3, 3)]), torch.randn(4, 3), 4)


def plain_states(cell, tree, features, embed=None, out=None):
    """Output of every node of a tree, its logits and its name, one node at a time as SGB's recursion does it."""
    upwards = isinstance(cell, BiTreeLSTM_Foreward)
    outputs, memories, logits, names = {}, {}, {}, {}
    zeros = torch.zeros(1, cell.h_dim)

    def visit(node):
        neighbours = [node.left_child, node.right_child] if upwards else [node.parent]
        x = features[node.index : node.index + 1]
        if embed is not None:
            rows = [0 if other is None else names[other.index] + 1 for other in neighbours]
            x = torch.cat((x, embed(torch.tensor(rows)).view(1, -1)), dim=1)
        state = [(zeros, zeros) if o is None else (memories[o.index], outputs[o.index]) for o in neighbours]
        if upwards:
            sums = cell.ioffux(x) + cell.ioffuh_left(state[0][1]) + cell.ioffuh_right(state[1][1])
        else:
            sums = cell.iofux(x) + cell.iofuh(state[0][1])
        i, o, *forget, u, r = sums.chunk(len(neighbours) + 4, dim=1)
        memory = i.sigmoid() * u.tanh()
        memory = memory + sum(f.sigmoid() * c for f, (c, _) in zip(forget, state, strict=True))
        output = r.sigmoid() * (o.sigmoid() * memory.tanh()) + (1 - r.sigmoid()) * cell.px(x)
        memories[node.index], outputs[node.index] = memory, output
        if out is not None:
            logits[node.index] = out(output)
            names[node.index] = int(logits[node.index][0, 1:].argmax()) + 1

    nodes = [tree]
    for node in nodes:
        nodes += [child for child in (node.left_child, node.right_child) if child is not None]
    for node in reversed(nodes) if upwards else nodes:
        visit(node)
    return [[part[k] for k in range(len(nodes))] for part in (outputs, logits or outputs, names or outputs)]


@pytest.mark.parametrize("direction", ("foreward", "backward"))
def test_levels_equal_single_nodes_in_value_and_gradient(direction):
    torch.manual_seed(3)
    trees = grow([torch.rand(7, 7), torch.rand(3, 3), torch.rand(1, 1)])
    lstm = OneDirectionalTreeLSTM(5, 8, direction)
    features = torch.randn(11, 5, requires_grad=True)
    inputs = (features, *lstm.parameters())
    fast = lstm(trees, features, 11)
    slow = torch.cat(
        [
            output
            for tree, own in zip(trees, features.split([7, 3, 1]), strict=True)
            for output in plain_states(lstm.treeLSTM, tree, own)[0]
        ]
    )
    torch.testing.assert_close(fast, slow)
    gradients = [torch.autograd.grad(x.square().sum(), inputs) for x in (fast, slow)]
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("cell_class", (BiTreeLSTM_Foreward, BiTreeLSTM_Backward))
def test_naming_equals_single_nodes(cell_class):
    torch.manual_seed(4)
    trees = grow([torch.rand(8, 8), torch.rand(2, 2)])
    embed, out = torch.nn.Embedding(7, 3), torch.nn.Linear(8, 6)
    width = 5 + 3 * (2 if cell_class is BiTreeLSTM_Foreward else 1)
    cell = cell_class(width, 8, is_pass_embed=True, embed_layer=embed, embed_out_layer=out).eval()
    features = torch.randn(10, 5)
    outputs, logits, labels = cell(levels_of(trees, 10, features.device), features)
    plain = [plain_states(cell, *pair, embed, out) for pair in zip(trees, features.split([8, 2]), strict=True)]
    torch.testing.assert_close(outputs, torch.cat([x for image in plain for x in image[0]]))
    torch.testing.assert_close(logits, torch.cat([x for image in plain for x in image[1]]))
    assert labels.tolist() == [name for image in plain for name in image[2]]


def test_dropout_is_the_same_for_all_nodes_of_a_tree():
    torch.manual_seed(5)
    trees = grow([torch.rand(6, 6), torch.rand(5, 5)])
    dropped = OneDirectionalTreeLSTM(5, 64, "backward", dropout=0.5).train()(trees, torch.randn(11, 5), 11) == 0
    first, second = dropped.split([6, 5])
    assert (first == first[0]).all() and (second == second[0]).all()
    assert (first[0] != second[0]).any() and 0.25 < first[0].float().mean() < 0.75


def test_batch_equals_its_images():
    torch.manual_seed(6)
    scores = [torch.rand(6, 6), torch.rand(1, 1), torch.rand(9, 9)]
    lstm = MultiLayer_BTreeLSTM(5, 8, 2).eval()
    features = torch.randn(16, 5)
    together = lstm(grow(scores), features, 16)
    alone = [lstm(tree, f, len(f)) for tree, f in zip(grow(scores), features.split([6, 1, 9]), strict=True)]
    torch.testing.assert_close(together, torch.cat(alone))
