"""BoxList: inclusive boxes, fields that follow, and the operations that change the image."""

import pytest
import torch

from maskrcnn_benchmark.structures.bounding_box import FLIP_LEFT_RIGHT, FLIP_TOP_BOTTOM, BoxList

SIZE = (100, 60)  # width, height


def random_boxes(n, seed=0):
    random = torch.Generator().manual_seed(seed)
    corner = torch.rand(n, 2, generator=random) * 40
    return torch.cat((corner, corner + torch.rand(n, 2, generator=random) * 19), 1)


@pytest.fixture
def boxes():
    out = BoxList(random_boxes(5), SIZE)
    out.add_field("labels", torch.arange(5))
    out.add_field("relation", torch.arange(25).view(5, 5), is_triplet=True)
    return out


def test_conversion_counts_the_last_pixel():
    boxes = BoxList([[0, 0, 9, 4]], SIZE)
    assert boxes.convert("xywh").bbox.tolist() == [[0, 0, 10, 5]]
    assert boxes.area().tolist() == boxes.convert("xywh").area().tolist() == [50]


def test_conversion_there_and_back(boxes):
    back = boxes.convert("xywh").convert("xyxy")
    torch.testing.assert_close(back.bbox, boxes.bbox)
    assert back.fields() == boxes.fields()
    assert back.triplet_extra_fields == ["relation"]


def test_a_field_that_relates_boxes_is_indexed_along_both(boxes):
    kept = boxes[torch.tensor([3, 1])]
    assert kept.get_field("labels").tolist() == [3, 1]
    assert kept.get_field("relation").tolist() == [[18, 16], [8, 6]]
    mask = torch.tensor([False, True, False, True, False])
    assert boxes[mask].get_field("relation").tolist() == [[6, 8], [16, 18]]


def test_resize_scales_each_axis(boxes):
    scaled = boxes.resize((200, 30))
    torch.testing.assert_close(scaled.bbox, boxes.bbox * torch.tensor([2, 0.5, 2, 0.5]))
    assert scaled.size == (200, 30)
    assert scaled.get_field("labels") is boxes.get_field("labels")


def test_mirrored_twice_is_the_same(boxes):
    for method in (FLIP_LEFT_RIGHT, FLIP_TOP_BOTTOM):
        torch.testing.assert_close(boxes.transpose(method).transpose(method).bbox, boxes.bbox)


def test_mirrored_box_covers_the_mirrored_pixels():
    image = torch.zeros(SIZE[1], SIZE[0])
    image[10:21, 5:31] = 1  # the box 5, 10, 30, 20
    x1, y1, x2, y2 = BoxList([[5, 10, 30, 20]], SIZE).transpose(FLIP_LEFT_RIGHT).bbox[0].int().tolist()
    mirrored = image.flip(1)
    assert mirrored.sum() == mirrored[y1 : y2 + 1, x1 : x2 + 1].sum()


def test_crop_clips_to_the_window():
    cropped = BoxList([[5, 10, 30, 20], [50, 50, 60, 55]], SIZE).crop((10, 12, 40, 42))
    assert cropped.bbox.tolist() == [[0, 0, 20, 8], [30, 30, 30, 30]]
    assert cropped.size == (30, 30)


def test_clip_drops_what_lies_outside():
    boxes = BoxList([[-5.0, -5, 200, 200], [150, 10, 170, 20]], SIZE)
    clipped = boxes.clip_to_image()
    assert clipped.bbox.tolist() == [[0, 0, 99, 59]]
    assert len(BoxList([[150.0, 10, 170, 20]], SIZE).clip_to_image(remove_empty=False)) == 1


def test_no_boxes():
    empty = BoxList(torch.zeros(0, 4), SIZE)
    assert len(empty.resize((10, 10)).transpose(FLIP_LEFT_RIGHT).convert("xywh").clip_to_image()) == 0
    assert empty.area().shape == (0,)


def test_copies_with_fields(boxes):
    assert boxes.copy().fields() == []
    assert boxes.copy_with_fields(["relation", "none"], skip_missing=True).triplet_extra_fields == ["relation"]
    with pytest.raises(KeyError, match="no field 'none'"):
        boxes.copy_with_fields("none")


def test_to_moves_boxes_and_fields(boxes):
    moved = boxes.to("meta")
    assert moved.bbox.is_meta and moved.get_field("labels").is_meta


@pytest.mark.parametrize("bad", [torch.zeros(4), torch.zeros(2, 5)])
def test_boxes_of_another_shape(bad):
    with pytest.raises(ValueError, match="shape \\[n, 4\\]"):
        BoxList(bad, SIZE)
    with pytest.raises(ValueError, match="mode"):
        BoxList(torch.zeros(1, 4), SIZE, mode="yxyx")
