"""Images of different sizes in one padded tensor."""

import pytest
import torch

from maskrcnn_benchmark.structures.image_list import ImageList, to_image_list


def test_images_are_padded_to_the_right_and_below():
    images = [torch.rand(3, 20, 30), torch.rand(3, 25, 10)]
    batch = to_image_list(images, size_divisible=32)
    assert batch.tensors.shape == (2, 3, 32, 32)
    assert [tuple(size) for size in batch.image_sizes] == [(20, 30), (25, 10)]
    for image, padded in zip(images, batch.tensors, strict=True):
        height, width = image.shape[1:]
        assert torch.equal(padded[:, :height, :width], image)
        torch.testing.assert_close(padded.sum(), image.sum())


def test_without_a_divisor_the_largest_sides_count():
    assert to_image_list([torch.zeros(3, 20, 30), torch.zeros(3, 25, 10)]).tensors.shape == (2, 3, 25, 30)


def test_tensors_and_image_lists_are_taken_as_they_are():
    image = torch.rand(3, 8, 8)
    assert to_image_list(image).tensors.shape == (1, 3, 8, 8)
    assert to_image_list(image[None]).tensors.shape == (1, 3, 8, 8)
    assert to_image_list(image, size_divisible=16).tensors.shape == (1, 3, 16, 16)
    batch = ImageList(image[None], [(8, 8)])
    assert to_image_list(batch) is batch
    assert batch.to(torch.float64).tensors.dtype == torch.float64
    with pytest.raises(TypeError, match="found <class 'str'>"):
        to_image_list("image")
