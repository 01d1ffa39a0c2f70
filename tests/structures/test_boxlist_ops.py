"""Operations on lists of boxes, against counting pixels one by one."""

import pytest
import torch

from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.boxlist_ops import (
    boxlist_intersection,
    boxlist_iou,
    boxlist_nms,
    boxlist_union,
    cat_boxlist,
    remove_small_boxes,
)

SIZE = (40, 30)


def whole_boxes(n, seed):
    """Boxes on whole pixels inside the image."""
    random = torch.Generator().manual_seed(seed)
    x = torch.randint(0, SIZE[0], (n, 2), generator=random).sort(1).values
    y = torch.randint(0, SIZE[1], (n, 2), generator=random).sort(1).values
    return torch.stack((x[:, 0], y[:, 0], x[:, 1], y[:, 1]), 1).float()


def pixels(box):
    mask = torch.zeros(SIZE[1], SIZE[0], dtype=torch.bool)
    x1, y1, x2, y2 = box.int().tolist()
    mask[y1 : y2 + 1, x1 : x2 + 1] = True
    return mask


def test_iou_counts_pixels():
    first, second = whole_boxes(12, 0), whole_boxes(9, 1)
    expected = torch.tensor(
        [[(pixels(a) & pixels(b)).sum() / (pixels(a) | pixels(b)).sum() for b in second] for a in first]
    )
    torch.testing.assert_close(boxlist_iou(BoxList(first, SIZE), BoxList(second, SIZE)), expected)
    xywh = BoxList(first, SIZE).convert("xywh")
    torch.testing.assert_close(boxlist_iou(xywh, BoxList(second, SIZE)), expected)


def test_union_surrounds_both_and_intersection_lies_in_both():
    first, second = BoxList(whole_boxes(50, 2), SIZE), BoxList(whole_boxes(50, 3), SIZE)
    union, shared = boxlist_union(first, second).bbox, boxlist_intersection(first, second).bbox
    for a, b, u, s in zip(first.bbox, second.bbox, union, shared, strict=True):
        assert u.tolist() == [min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])]
        common = pixels(a) & pixels(b)
        if common.any(0).sum() > 1 and common.any(1).sum() > 1:
            assert torch.equal(pixels(s), common)
        else:
            assert s.tolist() == [0, 0, 0, 0]


def test_pairs_need_lists_of_one_length_and_image():
    one, two = BoxList(whole_boxes(1, 0), SIZE), BoxList(whole_boxes(2, 0), SIZE)
    with pytest.raises(RuntimeError, match="one length"):
        boxlist_union(one, two)
    with pytest.raises(RuntimeError, match="different sizes"):
        boxlist_iou(one, BoxList(whole_boxes(1, 0), (40, 31)))


def test_nms_keeps_the_best_with_their_fields():
    boxes = BoxList([[0, 0, 9, 9], [0, 0, 9, 8], [20, 20, 29, 29]], SIZE)
    boxes.add_field("scores", torch.tensor([0.5, 0.9, 0.1]))
    kept, index = boxlist_nms(boxes, 0.5)
    assert index.tolist() == [1, 2]
    torch.testing.assert_close(kept.get_field("scores"), torch.tensor([0.9, 0.1]))
    assert len(boxlist_nms(boxes, 0.5, max_proposals=1)[0]) == 1
    assert boxlist_nms(boxes.convert("xywh"), 0.5)[0].mode == "xywh"
    assert boxlist_nms(boxes, 0.0)[1].tolist() == [0, 1, 2]


def test_small_boxes_go():
    boxes = BoxList([[0, 0, 4, 4], [0, 0, 3, 9]], SIZE)
    assert remove_small_boxes(boxes, 5).bbox.tolist() == [[0, 0, 4, 4]]


def test_joined_lists_keep_order_and_relations_apart():
    parts = []
    for n, seed in ((2, 0), (0, 1), (3, 2)):
        part = BoxList(whole_boxes(n, seed), SIZE)
        part.add_field("labels", torch.full((n,), seed))
        part.add_field("relation", torch.ones(n, n, dtype=torch.int64), is_triplet=True)
        parts.append(part)
    joined = cat_boxlist(parts)
    assert torch.equal(joined.bbox, torch.cat([part.bbox for part in parts]))
    assert joined.get_field("labels").tolist() == [0, 0, 2, 2, 2]
    assert torch.equal(joined.get_field("relation"), torch.block_diag(torch.ones(2, 2), torch.ones(3, 3)).long())
    assert joined.triplet_extra_fields == ["relation"]


def test_lists_that_cannot_be_joined():
    boxes = BoxList(whole_boxes(1, 0), SIZE)
    for other in (BoxList(whole_boxes(1, 0), (1, 1)), boxes.convert("xywh")):
        with pytest.raises(ValueError, match="must agree"):
            cat_boxlist([boxes, other])
