"""Box geometry and label suppression against plain versions."""

import numpy as np
import pytest
import torch
from support import boxlist

from maskrcnn_benchmark.modeling.roi_heads.relation_head.utils_relation import (
    block_orthogonal,
    get_box_info,
    get_box_pair_info,
    global_pairs,
    greedy_class_nms,
    layer_init,
    nms_overlaps,
    obj_prediction_nms,
    pair_linear,
)


def random_boxes(g, *shape):
    corners = 60 * torch.rand(*shape, 2, generator=g)
    return torch.cat((corners, corners + 40 * torch.rand(*shape, 2, generator=g)), dim=-1)


def plain_overlap(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0]) + 1
    height = min(a[3], b[3]) - max(a[1], b[1]) + 1
    shared = max(width, 0) * max(height, 0)
    area_a, area_b = ((x[2] - x[0] + 1) * (x[3] - x[1] + 1) for x in (a, b))
    return shared / (area_a + area_b - shared)


def test_pairs_of_a_batch_index_its_objects():
    pairs = [torch.tensor([[0, 1], [1, 0]]), torch.zeros((0, 2), dtype=torch.int64), torch.tensor([[2, 0]])]
    assert global_pairs(pairs, [2, 1, 3]).tolist() == [[0, 1], [1, 0], [5, 3]]


def test_pair_linear_is_the_layer_over_both_representations():
    layer = torch.nn.Linear(6, 5)
    subjects, objects = torch.randn(4, 3), torch.randn(4, 3)
    pairs = torch.tensor([[0, 1], [3, 3], [2, 0]])
    expected = layer(torch.cat((subjects[pairs[:, 0]], objects[pairs[:, 1]]), dim=1))
    torch.testing.assert_close(pair_linear(layer, subjects, objects, pairs), expected)


def test_overlaps_of_every_class():
    boxes = random_boxes(torch.Generator().manual_seed(0), 3, 4)
    overlaps = nms_overlaps(boxes)
    assert overlaps.shape == (3, 3, 4)
    for i, j, c in np.ndindex(3, 3, 4):
        assert overlaps[i, j, c] == pytest.approx(plain_overlap(boxes[i, c].tolist(), boxes[j, c].tolist()), rel=1e-5)


def test_box_info_counts_the_last_pixel():
    info = get_box_info(torch.tensor([[10.0, 20.0, 19.0, 39.0]]), need_norm=False)
    assert info.tolist() == [[10, 20, 19, 39, 15, 30, 10, 20]]
    proposal = boxlist(torch.zeros(0, 4), (60, 50))  # smaller than 100: 100 counts
    assert get_box_info(torch.tensor([[10.0, 20.0, 19.0, 39.0]]), proposal=proposal)[0, 0] == pytest.approx(0.1)


def test_pair_info_has_no_intersection_where_boxes_are_apart():
    boxes = torch.tensor([[0.0, 0.0, 9.0, 9.0], [5.0, 5.0, 14.0, 14.0], [20.0, 0.0, 29.0, 9.0]])
    info = get_box_info(boxes, need_norm=False)
    pairs = get_box_pair_info(info[[0, 0]], info[[1, 2]])
    assert pairs.shape == (2, 32)
    assert pairs[0, 16:24].tolist() == [0, 0, 14, 14, 7.5, 7.5, 15, 15]
    assert pairs[0, 24:].tolist() == [5, 5, 9, 9, 7.5, 7.5, 5, 5]
    assert pairs[1, 24:].tolist() == [0] * 8


def plain_suppression(probabilities, boxes, threshold, background, revise):
    """The published algorithm, every overlap at once and one choice a step."""
    overlaps = nms_overlaps(boxes).numpy() >= threshold
    scores = probabilities.numpy().copy()
    scores[:, 0] = background
    labels = np.zeros(len(scores), dtype=np.int64)
    for _ in range(len(scores)):
        index, label = np.unravel_index(scores.argmax(), scores.shape)
        if revise or labels[index] == 0:
            labels[index] = label
        scores[overlaps[index, :, label], label] = 0.0
        scores[index] = -1.0
    return labels.tolist()


@pytest.mark.parametrize("background, revise", ((0.0, True), (0.0, False), (-1.0, True)))
@pytest.mark.parametrize("scale", (1.0, 60.0), ids=("spread", "saturated"))
def test_suppression_gives_the_labels_of_the_plain_algorithm(background, revise, scale):
    for seed in range(20):
        g = torch.Generator().manual_seed(seed)
        probabilities = (scale * torch.randn(8, 6, generator=g)).softmax(dim=1)
        boxes = random_boxes(g, 8, 6)
        labels = greedy_class_nms(probabilities, boxes, 0.3, background, revise)
        assert labels.tolist() == plain_suppression(probabilities, boxes, 0.3, background, revise)


def test_suppression_leaves_its_inputs_and_takes_no_objects():
    logits, boxes = torch.randn(3, 5), torch.zeros(3, 5, 4)
    before = logits.clone()
    labels = obj_prediction_nms(boxes, logits, 0.5)
    assert torch.equal(logits, before)
    assert len(set(labels.tolist())) == 3  # all boxes are one box, so no two objects share a class
    assert obj_prediction_nms(torch.zeros(0, 5, 4), torch.zeros(0, 5)).tolist() == []


def test_initialisation():
    torch.manual_seed(0)
    layer = torch.nn.Linear(200, 100)
    layer_init(layer, 0.3, normal=True)
    assert layer.weight.std().item() == pytest.approx(0.3, rel=0.05)
    assert not layer.bias.any()
    layer_init(layer, xavier=True)
    assert layer.weight.std().item() == pytest.approx((2 / 300) ** 0.5, rel=0.05)


def test_blocks_are_orthogonal():
    tensor = torch.zeros(8, 4)
    block_orthogonal(tensor, [4, 4], gain=2.0)
    for block in tensor.split(4):
        torch.testing.assert_close(block @ block.T, 4 * torch.eye(4))
    with pytest.raises(ValueError, match=r"\(8, 4\) has no blocks of shape \(3, 4\)"):
        block_orthogonal(tensor, [3, 4])
