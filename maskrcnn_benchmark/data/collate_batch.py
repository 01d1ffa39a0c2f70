"""Samples to a batch."""

from maskrcnn_benchmark.structures.image_list import to_image_list


class BatchCollator:
    """(image, target, index) samples to (ImageList, targets, indices); sides are padded to `size_divisible`."""

    def __init__(self, size_divisible: int = 0):
        self.size_divisible = size_divisible

    def __call__(self, batch):
        images, targets, indices = zip(*batch, strict=True)
        return to_image_list(images, self.size_divisible), targets, indices
