"""Boxes of images as the square pictures that CLIP's image tower takes.

B images of a batch, k boxes, S pixels a side of a picture.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Sequence, Tuple

import torch
from torch import Tensor

from maskrcnn_benchmark.layers.roi_align import roi_align

from .errors import LanguageError

FITS = ("pad", "stretch")


class CropRule(NamedTuple):
    """How a box becomes a square picture."""

    margin: float = 0.1  # added on each side, as a share of the box's width and height; the image's edges limit it
    fit: str = "pad"  # pad: proportions are kept, what is left free is zero | stretch: they are not kept

    def check(self, margin: str, fit: str) -> None:
        """Refuse values that there are not.

        Args:
            margin, fit: what the user calls them, such as the names of options.

        Raises:
            LanguageError: the margin is not in 0 to 10, or there is no such fit.
        """
        if not 0 <= self.margin <= 10 or math.isnan(self.margin):
            raise LanguageError(f"{margin} is {self.margin}; it must be 0 to 10, a share of the box's sides")
        if self.fit not in FITS:
            raise LanguageError(f"{fit} is {self.fit!r}; it must be {' or '.join(FITS)}")


def crop_boxes(
    pixels: Tensor, sizes: Sequence[Tuple[int, int]], image: Tensor, boxes: Tensor, resolution: int, rule: CropRule
) -> Tensor:
    """Cut boxes out of images; each pixel of a picture is the mean of what it covers.

    Args:
        pixels: images normalised for the image tower, so that zero is its mean colour; float [B, 3, H, W], padded to
            the right and below.
        sizes: width and height of each image without the padding.
        image: which one each box belongs to, int64 [k].
        boxes: x1, y1, x2, y2 in pixels, [k, 4].
        resolution: S.
        rule: margin and fit.

    Returns:
        float [k, 3, S, S]
    """
    limits = boxes.new_tensor([(*size, *size) for size in sizes])[image]
    shown = _with_margin(boxes, limits, rule.margin)
    corners, sides = shown, (shown[:, 2:] - shown[:, :2]).amax(dim=1, keepdim=True)
    if rule.fit == "pad":
        centres = (shown[:, :2] + shown[:, 2:]) / 2
        corners = torch.cat([centres - sides / 2, centres + sides / 2], dim=1)
    # this ROIAlign has the middle of the first pixel at 0
    rois = torch.cat([image[:, None].to(corners), corners - 0.5], dim=1)
    pictures = roi_align(pixels, rois, (resolution, resolution), 1.0, 0)
    if rule.fit == "pad":  # nothing but the box
        place = (torch.arange(resolution, device=boxes.device) + 0.5) / resolution
        x, y = (corners[:, i, None] + sides * place for i in (0, 1))  # [k, S]
        columns = (x >= shown[:, 0, None]) & (x <= shown[:, 2, None])
        rows = (y >= shown[:, 1, None]) & (y <= shown[:, 3, None])
        pictures = pictures * (rows[:, :, None] & columns[:, None, :])[:, None]
    return pictures


def union_boxes(first: Tensor, second: Tensor) -> Tensor:
    """The smallest boxes around both of xyxy boxes [k, 4], elementwise."""
    return torch.cat([torch.minimum(first[:, :2], second[:, :2]), torch.maximum(first[:, 2:], second[:, 2:])], dim=1)


def _with_margin(boxes: Tensor, limits: Tensor, margin: float) -> Tensor:
    """Boxes [k, 4] with surroundings, at least a pixel wide and high, inside images that end at `limits` [k, 4]."""
    grown = margin * (boxes[:, 2:] - boxes[:, :2])
    first = (boxes[:, :2] - grown).clamp(min=0)
    first = torch.minimum(first, limits[:, :2] - 1)
    last = torch.minimum(boxes[:, 2:] + grown, limits[:, 2:])
    return torch.cat([first, torch.maximum(last, first + 1)], dim=1)
