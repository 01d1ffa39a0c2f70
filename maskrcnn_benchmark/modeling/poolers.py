"""Pools boxes from a feature pyramid."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from maskrcnn_benchmark.layers import ROIAlign
from maskrcnn_benchmark.utils.errors import InputError
from maskrcnn_benchmark.utils.transfer import to_host

from .make_layers import make_conv3x3
from .utils import cat

# Up to so many boxes are pooled from every level, to take each from its own afterwards: on a GPU that costs less than
# waiting for how many belong to each level.
EVERY_LEVEL = {"cuda": 2048}


class LevelMapper:
    """The pyramid level of each box by its size (Lin et al., Feature Pyramid Networks, equation 1)."""

    def __init__(
        self, k_min: float, k_max: float, canonical_scale: int = 224, canonical_level: int = 4, eps: float = 1e-6
    ):
        self.k_min = k_min
        self.k_max = k_max
        self.s0 = canonical_scale
        self.lvl0 = canonical_level
        self.eps = eps

    def __call__(self, boxlists) -> Tensor:
        """Levels of all boxes of all images, from 0, int64 [n]."""
        size = cat([boxlist.area() for boxlist in boxlists]).sqrt()
        level = torch.floor(self.lvl0 + torch.log2(size / self.s0 + self.eps))
        return level.clamp(min=self.k_min, max=self.k_max).to(torch.int64) - int(self.k_min)


class Pooler(nn.Module):
    """ROIAlign from the level that fits each box, or from all levels, concatenated and reduced by a convolution.

    Args:
        output_size: (height, width).
        scales: of each level relative to the image, finest first.
        sampling_ratio: samples per bin and side, 0 for as many as pixels.
        in_channels: channels of a level (for `cat_all_levels`).
        cat_all_levels: SGB's pooling of union boxes.
    """

    def __init__(self, output_size, scales, sampling_ratio: int, in_channels: int = 512, cat_all_levels: bool = False):
        super().__init__()
        self.poolers = nn.ModuleList(ROIAlign(output_size, scale, sampling_ratio) for scale in scales)
        self.output_size = output_size
        self.cat_all_levels = cat_all_levels
        self.map_levels = LevelMapper(-math.log2(scales[0]), -math.log2(scales[-1]))
        if cat_all_levels:
            self.reduce_channel = make_conv3x3(in_channels * len(scales), in_channels, use_relu=True)

    def convert_to_roi_format(self, boxes) -> Tensor:
        """All boxes as (image, x1, y1, x2, y2), [n, 5]."""
        images = [b.bbox.new_full((len(b), 1), i) for i, b in enumerate(boxes)]
        return torch.cat((cat(images), cat([b.bbox for b in boxes])), dim=1)

    def forward(self, x, boxes) -> Tensor:
        """Feature maps [N, C, H, W] of every level and the boxes of every image to [n, C, *output_size].

        Raises:
            InputError: there are fewer maps than scales.
        """
        if len(x) < len(self.poolers):
            raise InputError(
                f"POOLER_SCALES has {len(self.poolers)} levels, but MODEL.BACKBONE.CONV_BODY gives only {len(x)}"
            )
        rois = self.convert_to_roi_format(boxes)
        if len(self.poolers) == 1:
            return self.poolers[0](x[0], rois)
        if self.cat_all_levels:
            pooled = [pooler(level, rois) for pooler, level in zip(self.poolers, x, strict=False)]
            if len(rois) == 0:
                return pooled[0]
            return self.reduce_channel(torch.cat(pooled, dim=1))
        levels = self.map_levels(boxes)
        if len(rois) <= EVERY_LEVEL.get(rois.device.type, -1):
            pooled = torch.cat([pooler(level, rois) for pooler, level in zip(self.poolers, x, strict=False)])
            return pooled.index_select(0, levels * len(rois) + torch.arange(len(rois), device=levels.device))
        order = levels.argsort()
        counts = (levels[:, None] == torch.arange(len(self.poolers), device=levels.device)).sum(dim=0)
        rows = order.split(to_host([counts])[0].tolist())
        pooled = [pooler(level, rois[index]) for pooler, level, index in zip(self.poolers, x, rows, strict=False)]
        return torch.cat(pooled).index_select(0, order.argsort())


def make_pooler(cfg, head_name: str) -> Pooler:
    """The pooler that a head's POOLER_ keys describe."""
    head = cfg.MODEL[head_name]
    resolution = head.POOLER_RESOLUTION
    return Pooler((resolution, resolution), head.POOLER_SCALES, head.POOLER_SAMPLING_RATIO)
