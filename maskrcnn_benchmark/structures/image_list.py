"""Images of different sizes in one padded tensor."""

from __future__ import annotations

import math

from torch import Tensor
from torch.nn import functional as F


class ImageList:
    """Padded images [N, C, H, W] and their true sizes (height, width) in pixels."""

    def __init__(self, tensors: Tensor, image_sizes: list):
        self.tensors = tensors
        self.image_sizes = image_sizes

    def to(self, *args, **kwargs) -> ImageList:
        return ImageList(self.tensors.to(*args, **kwargs), self.image_sizes)

    def padded(self, height: int, width: int) -> ImageList:
        """With more zeros to the right and below, up to this size."""
        more = (0, width - self.tensors.shape[-1], 0, height - self.tensors.shape[-2])
        return ImageList(F.pad(self.tensors, more), self.image_sizes) if any(more) else self


def to_image_list(tensors, size_divisible: int = 0) -> ImageList:
    """Stack images [C, h_i, w_i] with zeros to the right and below.

    Args:
        tensors: an ImageList (passed on), one tensor [C, H, W] or [N, C, H, W], or a list of tensors [C, h_i, w_i].
        size_divisible: the padded height and width are multiples of it, where it is positive.
    """
    if isinstance(tensors, ImageList):
        return tensors
    if isinstance(tensors, Tensor):
        if size_divisible > 0:
            tensors = [tensors] if tensors.dim() == 3 else list(tensors)
        else:
            batch = tensors if tensors.dim() == 4 else tensors[None]
            return ImageList(batch, [image.shape[-2:] for image in batch])
    if not isinstance(tensors, (tuple, list)):
        raise TypeError(f"images must come as a tensor, a list of tensors or an ImageList, found {type(tensors)}")
    channels, height, width = (max(sizes) for sizes in zip(*(image.shape for image in tensors), strict=True))
    if size_divisible > 0:
        height, width = (math.ceil(side / size_divisible) * size_divisible for side in (height, width))
    batch = tensors[0].new_zeros(len(tensors), channels, height, width)
    for image, padded in zip(tensors, batch, strict=True):
        padded[: image.shape[0], : image.shape[1], : image.shape[2]].copy_(image)
    return ImageList(batch, [image.shape[-2:] for image in tensors])
