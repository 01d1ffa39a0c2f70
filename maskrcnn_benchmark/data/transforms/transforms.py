"""Changes of an image together with the boxes on it."""

from __future__ import annotations

import random

import torchvision
from torchvision.transforms import functional as F

from maskrcnn_benchmark.sgb_compat import RandomHorizontalFlip  # noqa: F401  (SGB's users find it here)
from maskrcnn_benchmark.structures.bounding_box import FLIP_TOP_BOTTOM, BoxList


class Compose:
    """One transform after the other."""

    def __init__(self, transforms):
        self.transforms = transforms

    def __call__(self, image, target):
        for transform in self.transforms:
            image, target = transform(image, target)
        return image, target

    def __repr__(self) -> str:
        inner = "".join(f"\n    {transform}" for transform in self.transforms)
        return f"{type(self).__name__}({inner}\n)"


class Resize:
    """Scale a PIL image so that its shorter side is `min_size` (one of several, at random), none above `max_size`."""

    def __init__(self, min_size, max_size: int | None):
        self.min_size = min_size if isinstance(min_size, (list, tuple)) else (min_size,)
        self.max_size = max_size

    def get_size(self, image_size: tuple[int, int]) -> tuple[int, int]:
        """(height, width) in pixels for an image of (width, height)."""
        width, height = image_size
        short, long = min(width, height), max(width, height)
        # without a choice nothing is drawn: evaluation leaves the random state alone
        size = random.choice(self.min_size) if len(self.min_size) > 1 else self.min_size[0]
        if self.max_size is not None and long / short * size > self.max_size:
            size = round(self.max_size * short / long)
        if short == size:
            return height, width
        size = max(size, 1)  # of a hair's breadth, one pixel is left
        if width < height:
            return int(size * height / width), size
        return size, int(size * width / height)

    def __call__(self, image, target=None):
        image = F.resize(image, self.get_size(image.size))
        if target is None:
            return image
        if isinstance(target, BoxList):
            target = target.resize(image.size)
        return image, target


class RandomVerticalFlip:
    """Mirror top and bottom with a probability."""

    def __init__(self, prob: float = 0.5):
        self.prob = prob

    def __call__(self, image, target):
        if random.random() < self.prob:
            image = F.vflip(image)
            target = target.transpose(FLIP_TOP_BOTTOM)
        return image, target


class ColorJitter:
    """Random brightness, contrast, saturation and hue of the image."""

    def __init__(self, brightness=None, contrast=None, saturation=None, hue=None):
        self.color_jitter = torchvision.transforms.ColorJitter(brightness, contrast, saturation, hue)

    def __call__(self, image, target):
        return self.color_jitter(image), target


class ToTensor:
    """PIL image to a float tensor [3, H, W] in 0..1."""

    def __call__(self, image, target):
        return F.to_tensor(image), target


class Normalize:
    """Take the mean off and divide by the deviation, with `to_bgr255` of BGR values in 0..255."""

    def __init__(self, mean, std, to_bgr255: bool = True):
        self.mean = mean
        self.std = std
        self.to_bgr255 = to_bgr255

    def __call__(self, image, target=None):
        if self.to_bgr255:
            image = image[[2, 1, 0]] * 255
        image = F.normalize(image, mean=self.mean, std=self.std)
        return image if target is None else (image, target)
