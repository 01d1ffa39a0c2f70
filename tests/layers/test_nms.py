"""Non-maximum suppression against the greedy definition."""

import sys

import pytest
import torch

from maskrcnn_benchmark.layers import batched_nms, nms


def iou(a, b):
    """Of inclusive boxes, in plain Python."""
    width = min(a[2], b[2]) - max(a[0], b[0]) + 1
    height = min(a[3], b[3]) - max(a[1], b[1]) + 1
    shared = max(width, 0) * max(height, 0)

    def area(c):
        return (c[2] - c[0] + 1) * (c[3] - c[1] + 1)

    return shared / (area(a) + area(b) - shared)


def greedy(boxes, scores, groups, threshold):
    kept = []
    for i in sorted(range(len(boxes)), key=lambda i: -scores[i]):
        if all(groups[i] != groups[j] or iou(boxes[i], boxes[j]) <= threshold for j in kept):
            kept.append(i)
    return kept


def sample(n, groups, seed):
    random = torch.Generator().manual_seed(seed)
    corner = torch.randint(0, 30, (n, 2), generator=random)
    boxes = torch.cat((corner, corner + torch.randint(0, 20, (n, 2), generator=random)), 1).float()
    scores = torch.randperm(n, generator=random).float() / max(n, 1)
    return boxes, scores, torch.randint(0, groups, (n,), generator=random)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.5, 0.7])
def test_same_as_greedy(seed, threshold):
    boxes, scores, _ = sample(60, 1, seed)
    expected = greedy(boxes.tolist(), scores.tolist(), [0] * 60, threshold)
    assert nms(boxes, scores, threshold).tolist() == expected


@pytest.mark.parametrize(("n", "groups"), [(0, 3), (1, 1), (80, 1), (80, 7), (80, 200), (400, 2)])
def test_groups_do_not_touch_each_other(n, groups):
    boxes, scores, index = sample(n, groups, seed=n + groups)
    expected = greedy(boxes.tolist(), scores.tolist(), index.tolist(), 0.4)
    assert batched_nms(boxes, scores, index, 0.4).tolist() == expected


def test_one_call_and_one_per_group_give_the_same(monkeypatch):
    module = sys.modules[batched_nms.__module__]  # the package has the function under the module's name
    boxes, scores, index = sample(300, 4, seed=1)
    scores = (scores * 20).floor()  # with ties
    results = []
    for limit in (0, 10**9):
        monkeypatch.setattr(module, "_BOXES_PER_CALL", {"cpu": limit})
        results.append(batched_nms(boxes, scores, index, 0.4))
    assert torch.equal(*results)


def test_a_box_at_the_threshold_stays():
    # 3 of 10 pixels shared: an IoU of exactly 0.3, which float32 rounds up
    boxes = torch.tensor([[0.0, 0, 9, 0], [0, 0, 2, 0]])
    scores = torch.tensor([0.9, 0.8])
    assert nms(boxes, scores, 0.3).tolist() == [0, 1]
    assert batched_nms(boxes, scores, torch.zeros(2, dtype=torch.int64), 0.3).tolist() == [0, 1]
    assert nms(boxes, scores, 0.29).tolist() == [0]


def test_half_precision_boxes():
    boxes, scores, _ = sample(20, 1, seed=3)
    assert torch.equal(nms(boxes.half(), scores.bfloat16().float(), 0.5), nms(boxes, scores.bfloat16().float(), 0.5))
