"""The part of an image that shows a pair, cut out of the host's batch and embedded by CLIP's image tower.

B images of a batch, k boxes, S pixels a side of what the tower takes, d width of its embeddings.
"""

from __future__ import annotations

from typing import Any, Sequence, Tuple

import torch
from torch import Tensor

from maskrcnn_benchmark.layers.roi_align import roi_align

from .image_encoder import ImageEncoder

FITS = ("pad", "stretch")
AT_ONCE = 256  # pictures that the tower sees together


class PairImages:
    """Embeds boxes of images.

    No nn.Module, so that the tower is in no checkpoint and no optimizer.

    Args:
        encoder: CLIP's image tower.
        config_input: the host's node INPUT, which says how pixels became the tensors that the detector gets.
        margin: what is added on each side of a box, as a share of its width and height; the image's edges limit it.
        fit: `pad` keeps proportions, in the middle of a square of CLIP's mean colour; `stretch` does not keep them.
    """

    def __init__(self, encoder: ImageEncoder, config_input: Any, margin: float, fit: str) -> None:
        self.encoder = encoder
        self.mean, self.std = tuple(config_input.PIXEL_MEAN), tuple(config_input.PIXEL_STD)
        self.bgr = config_input.TO_BGR255
        self.margin, self.fit = margin, fit

    def __call__(self, images: Tensor, sizes: Sequence[Tuple[int, int]], image: Tensor, boxes: Tensor) -> Tensor:
        """Unit vectors, float32 [k, d].

        Args:
            images: as the detector takes them, [B, 3, H, W], padded to the right and below.
            sizes: width and height of each image without the padding.
            image: which one each box belongs to, int64 [k].
            boxes: x1, y1, x2, y2 in pixels of the images, [k, 4].
        """
        pixels = self._as_clip_takes_them(images.to(self.encoder.device))
        image, boxes = image.to(pixels.device), boxes.to(pixels)
        limits = boxes.new_tensor([(*size, *size) for size in sizes])[image]
        shown = self._with_margin(boxes, limits)
        parts = [
            self.encoder.embed(self._cut(pixels, rows, part))
            for rows, part in zip(image.split(AT_ONCE), shown.split(AT_ONCE))
        ]
        return torch.cat(parts).to(images.device)

    def _as_clip_takes_them(self, images: Tensor) -> Tensor:
        """RGB, with CLIP's mean and deviation instead of the detector's."""
        column = (1, 3, 1, 1)
        pixels = images.float() * images.new_tensor(self.std).view(column) + images.new_tensor(self.mean).view(column)
        if self.bgr:
            pixels = pixels.flip(1) / 255
        mean, std = (images.new_tensor(values).view(column) for values in (self.encoder.mean, self.encoder.std))
        return (pixels - mean) / std

    def _with_margin(self, boxes: Tensor, limits: Tensor) -> Tensor:
        """Boxes [k, 4] with surroundings, at least a pixel wide and high, inside images that end at `limits` [k, 4]."""
        margin = self.margin * (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
        margin[:, :2] *= -1
        first, last = torch.minimum((boxes + margin).clamp(min=0), limits).split(2, dim=1)
        first = torch.minimum(first, limits[:, :2] - 1)
        return torch.cat([first, torch.maximum(last, first + 1)], dim=1)

    def _cut(self, pixels: Tensor, image: Tensor, boxes: Tensor) -> Tensor:
        """The boxes as pictures [k, 3, S, S]; each pixel is the mean of what it covers."""
        size = self.encoder.resolution
        corners = boxes
        if self.fit == "pad":
            centres, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]).amax(dim=1, keepdim=True)
            corners = torch.cat([centres - sides / 2, centres + sides / 2], dim=1)
        # this ROIAlign has the middle of the first pixel at 0
        rois = torch.cat([image[:, None].to(corners), corners - 0.5], dim=1)
        pictures = roi_align(pixels, rois, (size, size), 1.0, 0)
        if self.fit == "pad":  # nothing but the box; CLIP's mean colour is zero here
            place = (torch.arange(size, device=boxes.device) + 0.5) / size
            x, y = (corners[:, i, None] + sides * place for i in (0, 1))  # [k, S]
            columns = (x >= boxes[:, 0, None]) & (x <= boxes[:, 2, None])
            rows = (y >= boxes[:, 1, None]) & (y <= boxes[:, 3, None])
            pictures = pictures * (rows[:, :, None] & columns[:, None, :])[:, None]
        return pictures
