"""The part of a picture that holds a pair, as an image tower takes it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from maskrcnn_benchmark.utils.errors import InputError

FITS = ("pad", "stretch")


@dataclass(frozen=True)
class CropRule:
    """How a box becomes a square picture.

    Attributes:
        margin: what is added on each side, as a share of the box's width and height; the picture's edges limit it.
        fit: `pad` keeps proportions and fills the square up with one colour; `stretch` does not keep them.
    """

    margin: float = 0.1
    fit: str = "pad"

    def check(self) -> None:
        """Raise `InputError` for values that there are not."""
        if not 0 <= self.margin <= 10:
            raise InputError(f"--margin is {self.margin}; it must be 0 to 10, a share of the box's sides")
        if self.fit not in FITS:
            raise InputError(f"--fit is {self.fit}; it must be {' or '.join(FITS)}")


def crop(image: Image.Image, box: np.ndarray, size: int, rule: CropRule, colour: tuple[int, ...]) -> np.ndarray:
    """Cut a box out of a picture.

    Args:
        image: RGB.
        box: x1, y1, x2, y2 in pixels.
        size: of the square, in pixels.
        colour: RGB that fills what `pad` leaves free.

    Returns:
        uint8 [size, size, 3].
    """
    x1, y1, x2, y2 = (float(value) for value in box)
    dx, dy = rule.margin * (x2 - x1), rule.margin * (y2 - y1)
    left, top = min(max(0.0, x1 - dx), image.width - 1.0), min(max(0.0, y1 - dy), image.height - 1.0)
    right, bottom = max(min(image.width, x2 + dx), left + 1), max(min(image.height, y2 + dy), top + 1)
    width = height = size
    if rule.fit == "pad":
        scale = size / max(right - left, bottom - top)
        width, height = (max(1, round(scale * side)) for side in (right - left, bottom - top))
    part = image.resize((width, height), Image.Resampling.BICUBIC, box=(left, top, right, bottom))
    if part.size == (size, size):
        return np.asarray(part)
    square = Image.new("RGB", (size, size), colour)
    square.paste(part, ((size - width) // 2, (size - height) // 2))
    return np.asarray(square)


def union_boxes(boxes1: np.ndarray, boxes2: np.ndarray) -> np.ndarray:
    """The smallest boxes around both of xyxy boxes [n, 4], elementwise."""
    return np.hstack((np.minimum(boxes1[:, :2], boxes2[:, :2]), np.maximum(boxes1[:, 2:], boxes2[:, 2:])))
