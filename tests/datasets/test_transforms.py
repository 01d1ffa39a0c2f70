"""Sizes, flips and values of the transforms."""

import random

import numpy as np
import pytest
import torch
from PIL import Image
from support import boxlist, parity_config

from maskrcnn_benchmark.data.transforms import (
    ColorJitter,
    Compose,
    Normalize,
    RandomHorizontalFlip,
    RandomVerticalFlip,
    Resize,
    ToTensor,
    build_transforms,
)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((800, 600), (600, 800)),  # nothing to do: (height, width)
        ((500, 375), (600, 800)),
        ((375, 500), (800, 600)),
        ((1000, 300), (300, 1000)),  # the longer side is bounded
        ((1024, 683), (600, 899)),  # cut, not rounded
        ((5000, 2), (1, 2500)),
    ],
)
def test_sizes_are_those_of_the_original(size, expected):
    assert Resize(600, 1000).get_size(size) == expected


def test_one_of_several_sizes_is_drawn():
    random.seed(0)
    assert {Resize((60, 80), 1000).get_size((100, 100)) for _ in range(20)} == {(60, 60), (80, 80)}


def test_one_size_draws_nothing():
    random.seed(0)
    state = random.getstate()
    Resize((60,), 1000).get_size((100, 50))
    assert random.getstate() == state


def test_boxes_follow_the_image():
    image = Image.new("RGB", (50, 100))
    target = boxlist([[5.0, 10.0, 24.0, 39.0]], (50, 100))
    resized, moved = Resize(100, 1000)(image, target)
    assert resized.size == moved.size == (100, 200)
    torch.testing.assert_close(moved.bbox, torch.tensor([[10.0, 20.0, 48.0, 78.0]]))
    assert Resize(100, 1000)(image).size == (100, 200)


@pytest.mark.parametrize(
    ("flip", "axis", "box"),
    [(RandomHorizontalFlip, 1, [25.0, 10, 44, 39]), (RandomVerticalFlip, 0, [5.0, 61, 24, 90])],
)
def test_flips_turn_image_and_boxes(flip, axis, box):
    pixels = np.random.default_rng(0).integers(0, 255, (100, 50, 3), dtype=np.uint8)
    image, target = Image.fromarray(pixels), boxlist([[5.0, 10.0, 24.0, 39.0]], (50, 100))
    flipped, moved = flip(1.0)(image, target)
    np.testing.assert_array_equal(np.asarray(flipped), np.flip(pixels, axis))
    torch.testing.assert_close(moved.bbox, torch.tensor([box]))
    same, unmoved = flip(0.0)(image, target)
    assert same is image and unmoved is target


def test_values_are_bgr_in_255_less_the_mean():
    image = Image.new("RGB", (2, 1), (10, 20, 30))
    tensor, _ = Compose([ToTensor(), Normalize([1, 2, 3], [1, 2, 1])])(image, boxlist([[0.0, 0, 1, 0]], (2, 1)))
    torch.testing.assert_close(tensor[:, 0, 0], torch.tensor([29.0, 9.0, 7.0]))
    tensor, _ = ToTensor()(image, None)
    torch.testing.assert_close(Normalize([0, 0, 0], [1, 1, 1], to_bgr255=False)(tensor), tensor)


def test_training_jitters_and_testing_does_not():
    config = parity_config(extra=["INPUT.BRIGHTNESS", 0.9, "INPUT.VERTICAL_FLIP_PROB_TRAIN", 1.0])
    train, test = build_transforms(config), build_transforms(config, is_train=False)
    kinds = [type(step) for step in train.transforms]
    assert kinds == [ColorJitter, Resize, RandomVerticalFlip, ToTensor, Normalize]
    assert [type(step) for step in test.transforms] == [Resize, ToTensor, Normalize]
    image, target = Image.new("RGB", (60, 40), (100, 100, 100)), boxlist([[0.0, 0.0, 5.0, 5.0]], (60, 40))
    torch.manual_seed(0)
    assert not torch.equal(train(image, target)[0], train(image, target)[0])
    assert torch.equal(test(image, target)[0], test(image, target)[0])
    assert "RandomVerticalFlip" in repr(train)
