"""Feature pyramid (Lin et al., Feature Pyramid Networks for Object Detection)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class FPN(nn.Module):
    """Adds coarse features to fine ones, from top to bottom.

    Args:
        in_channels_list: channels of the backbone's stages, finest first.
        out_channels: channels of every level of the pyramid.
        conv_block: makes a convolution from (in, out, kernel size, stride).
        top_blocks: makes further, coarser levels from the coarsest.
    """

    def __init__(self, in_channels_list, out_channels: int, conv_block, top_blocks: nn.Module | None = None):
        super().__init__()
        self.num_levels = len(in_channels_list)
        for level, in_channels in enumerate(in_channels_list, 1):
            self.add_module(f"fpn_inner{level}", conv_block(in_channels, out_channels, 1))
            self.add_module(f"fpn_layer{level}", conv_block(out_channels, out_channels, 3, 1))
        self.top_blocks = top_blocks

    def forward(self, x) -> tuple[Tensor, ...]:
        """Stages [N, c_i, H_i, W_i] to levels [N, out_channels, H_i, W_i], finest first, then those of `top_blocks`."""
        levels: list[Tensor] = []
        top_down = None
        for level in range(self.num_levels, 0, -1):
            inner = self.get_submodule(f"fpn_inner{level}")(x[level - 1])
            if top_down is not None:
                inner = inner + F.interpolate(top_down, scale_factor=2, mode="nearest")
            top_down = inner
            levels.insert(0, self.get_submodule(f"fpn_layer{level}")(inner))
        if self.top_blocks is not None:
            levels.extend(self.top_blocks(levels[-1]))
        return tuple(levels)


class LastLevelMaxPool(nn.Module):
    """One more level at half the size."""

    def forward(self, x: Tensor) -> list[Tensor]:
        return [F.max_pool2d(x, 1, 2, 0)]
