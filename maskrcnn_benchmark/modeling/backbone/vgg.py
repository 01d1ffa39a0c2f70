"""VGG-16's convolutions as a backbone."""

from __future__ import annotations

from torch import Tensor, nn
from torchvision.models import vgg16


class VGG16(nn.Module):
    """The layers up to conv5_3, stride 16; `forward` returns a list with the one feature map [N, 512, H/16, W/16]."""

    def __init__(self, cfg):
        super().__init__()
        self.conv_body = vgg16(weights=None).features[:-1]

    def forward(self, x: Tensor) -> list[Tensor]:
        return [self.conv_body(x)]
