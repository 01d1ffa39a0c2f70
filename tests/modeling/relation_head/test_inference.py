"""From logits to sorted triplets."""

import torch
from support import boxlist

from maskrcnn_benchmark.modeling.roi_heads.relation_head.inference import PostProcessor
from maskrcnn_benchmark.modeling.roi_heads.relation_head.utils_relation import obj_prediction_nms


def logits_of(probabilities):
    return torch.tensor(probabilities).log()


def test_triplets_are_sorted_by_the_product_of_their_scores():
    boxes = boxlist(torch.zeros(3, 4), (10, 10), labels=torch.tensor([1, 2, 1]))
    objects = logits_of([[0.5, 0.4, 0.1], [0.1, 0.1, 0.8], [0.1, 0.9, 0.0]])
    pairs = torch.tensor([[0, 1], [1, 2], [2, 0]])
    relations = logits_of([[0.0, 0.9, 0.1], [0.5, 0.2, 0.3], [0.9, 0.04, 0.06]])
    result = PostProcessor(use_gt_box=True)(([relations], [objects]), [pairs], [boxes])[0]
    assert result.get_field("pred_labels").tolist() == [1, 2, 1]  # never background
    torch.testing.assert_close(result.get_field("pred_scores"), torch.tensor([0.4, 0.8, 0.9]))
    # 0.9 * 0.4 * 0.8, 0.3 * 0.8 * 0.9, 0.06 * 0.9 * 0.4
    assert result.get_field("rel_pair_idxs").tolist() == pairs.tolist()
    assert result.get_field("pred_rel_labels").tolist() == [1, 2, 2]
    shuffled = PostProcessor(True)(([relations[[2, 0, 1]]], [objects]), [pairs[[2, 0, 1]]], [boxes])[0]
    for name in ("rel_pair_idxs", "pred_rel_labels", "pred_rel_scores"):
        torch.testing.assert_close(shuffled.get_field(name), result.get_field(name))
    assert result.get_field("labels").tolist() == [1, 2, 1]
    assert boxes.fields() == ["labels"]  # what went in is as it was


def test_detections_get_the_box_of_their_label_after_suppression():
    g = torch.Generator().manual_seed(0)
    logits, boxes_per_cls = torch.randn(4, 5, generator=g), 50 * torch.rand(4, 5, 4, generator=g)
    boxes_per_cls[..., 2:] += 50
    boxes = boxlist(torch.zeros(4, 4), (100, 100), boxes_per_cls=boxes_per_cls)
    pairs = torch.tensor([[0, 1], [2, 3]])
    result = PostProcessor(False, 0.5)(([torch.randn(2, 3, generator=g)], [logits]), [pairs], [boxes])[0]
    labels = obj_prediction_nms(boxes_per_cls, logits, 0.5)
    assert torch.equal(result.get_field("pred_labels"), labels)
    torch.testing.assert_close(result.get_field("pred_scores"), logits.softmax(1)[torch.arange(4), labels])
    torch.testing.assert_close(result.bbox, boxes_per_cls[torch.arange(4), labels])


def test_images_without_objects_or_pairs():
    boxes = [
        boxlist(torch.zeros(n, 4), (10, 10), boxes_per_cls=torch.zeros(n, 5, 4), labels=torch.zeros(n)) for n in (0, 2)
    ]
    logits = [torch.zeros(0, 3)] * 2, [torch.zeros(n, 5) for n in (0, 2)]
    pairs = [torch.zeros((0, 2), dtype=torch.int64)] * 2
    for use_gt_box in (True, False):
        for n, result in zip((0, 2), PostProcessor(use_gt_box)(logits, pairs, boxes), strict=True):
            assert len(result) == len(result.get_field("pred_labels")) == n
            assert result.get_field("rel_pair_idxs").shape == (0, 2)
            assert result.get_field("pred_rel_scores").shape == (0, 3)
