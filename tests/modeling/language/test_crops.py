"""Boxes cut out of images: proportions, margins, edges, several images at once, and the mean of what is covered."""

import math

import pytest
import torch

from maskrcnn_benchmark.modeling.language.crops import CropRule, crop_boxes, union_boxes
from maskrcnn_benchmark.modeling.language.errors import LanguageError


def picture(width, height, box):
    """Ones in the box, -1 elsewhere, [1, 1, H, W]; nothing is zero but what `pad` leaves free."""
    image = -torch.ones(1, 1, height, width)
    x1, y1, x2, y2 = box
    image[:, :, y1:y2, x1:x2] = 1
    return image


def cut(image, box, size, rule):
    """One box of one image, [S, S]."""
    limits = [(image.shape[3], image.shape[2])]
    boxes = torch.tensor([box]).float()
    return crop_boxes(image, limits, torch.tensor([0]), boxes, size, rule)[0, 0]


def test_a_padded_crop_keeps_proportions_in_the_middle():
    box = (10, 20, 50, 30)
    found = cut(picture(100, 80, box), box, 40, CropRule(0.0))
    assert (found[16:24] == 1).all() and (found[:14] == 0).all() and (found[26:] == 0).all()


def test_a_stretched_crop_fills_the_square():
    box = (10, 20, 50, 30)
    found = cut(picture(100, 80, box), box, 40, CropRule(0.0, "stretch"))
    assert (found[3:-3] == 1).all()  # at the edges interpolation sees beyond them


def test_the_margin_adds_surroundings_up_to_the_edge():
    box = (20, 20, 40, 40)
    image = picture(100, 80, box)
    assert (cut(image, box, 64, CropRule(0.5)) > 0).float().mean() == pytest.approx(0.25, abs=0.02)
    whole = cut(image, box, 50, CropRule(9.0))
    assert (whole[:4] == 0).all() and (whole[6:-6] != 0).all()  # 100 x 80 in a square


@pytest.mark.parametrize("fit", ["pad", "stretch"])
def test_a_pixel_is_the_mean_of_what_it_covers(fit):
    image = torch.rand(1, 3, 40, 60, generator=torch.Generator().manual_seed(0))
    boxes = torch.tensor([[8.0, 4.0, 40.0, 36.0]])
    found = crop_boxes(image, [(60, 40)], torch.tensor([0]), boxes, 4, CropRule(0.0, fit))
    expected = image[:, :, 4:36, 8:40].unfold(2, 8, 8).unfold(3, 8, 8).mean(dim=(4, 5))
    torch.testing.assert_close(found, expected, atol=0.02, rtol=0)


@pytest.mark.parametrize("fit", ["pad", "stretch"])
def test_nothing_but_the_box_is_seen(fit):
    """Neither the padding of the batch nor, with `pad`, what lies beside a narrow box."""
    image = torch.rand(1, 3, 45, 67, generator=torch.Generator().manual_seed(0))
    boxes = torch.tensor([[20.0, 0, 30, 39]] if fit == "pad" else [[30.0, 10, 59, 39]])
    arguments = ([(60, 40)], torch.tensor([0]), boxes, 16, CropRule(0.1, fit))
    expected = crop_boxes(image, *arguments)
    image[..., 61:] = image[:, :, 41:] = 1e6  # the first ones, of the margin, interpolation may touch
    if fit == "pad":
        image[..., :15] = image[..., 35:] = 1e6
    torch.testing.assert_close(crop_boxes(image, *arguments), expected)


@pytest.mark.parametrize("box", [(5, 5, 5, 5), (-9, -9, -2, -2), (200, 200, 300, 300)])
def test_boxes_without_extent_or_outside_give_a_picture(box):
    for fit in ("pad", "stretch"):
        assert torch.isfinite(cut(picture(30, 20, (0, 0, 1, 1)), box, 16, CropRule(0.1, fit))).all()


def test_many_boxes_of_many_images_are_those_one_by_one():
    g = torch.Generator().manual_seed(0)
    images, sizes = torch.rand(2, 3, 50, 70, generator=g), [(70, 44), (51, 50)]
    image = torch.tensor([1, 0, 1, 0, 0])
    corners = torch.rand(5, 2, generator=g) * 30
    boxes = torch.cat([corners, corners + 5 + 30 * torch.rand(5, 2, generator=g)], dim=1)
    for rule in (CropRule(0.2), CropRule(0.2, "stretch")):
        together = crop_boxes(images, sizes, image, boxes, 16, rule)
        for i, which in enumerate(image.tolist()):
            alone = images[which][None], [sizes[which]], torch.tensor([0]), boxes[i][None]
            torch.testing.assert_close(crop_boxes(*alone, 16, rule)[0], together[i])
    assert crop_boxes(images, sizes, image[:0], boxes[:0], 16, CropRule()).shape == (0, 3, 16, 16)


def test_a_union_holds_both_boxes():
    found = union_boxes(torch.tensor([[1, 8, 4, 9]]), torch.tensor([[2, 3, 7, 5]]))
    assert found.tolist() == [[1, 3, 7, 9]]


def test_rules_that_there_are_not_are_refused():
    for margin in (-1, 11, math.nan):
        with pytest.raises(LanguageError, match="--margin is"):
            CropRule(margin).check("--margin", "--fit")
    with pytest.raises(LanguageError, match="--fit is 'cut'; it must be pad or stretch"):
        CropRule(0, "cut").check("--margin", "--fit")
