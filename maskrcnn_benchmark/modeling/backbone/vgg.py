"""VGG-16's convolutions as a backbone (Simonyan and Zisserman)."""

from __future__ import annotations

from torch import Tensor, nn

_STAGES = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))  # convolutions and channels between two poolings


class VGG16(nn.Module):
    """The layers up to conv5_3, stride 16, numbered as in torchvision; `forward` returns [N, 512, H/16, W/16]."""

    def __init__(self, cfg):
        super().__init__()
        layers: list[nn.Module] = []
        in_channels = 3
        for count, channels in _STAGES:
            for _ in range(count):
                conv = nn.Conv2d(in_channels, channels, kernel_size=3, padding=1)
                nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
                nn.init.constant_(conv.bias, 0)
                layers += [conv, nn.ReLU(inplace=True)]
                in_channels = channels
            layers.append(nn.MaxPool2d(kernel_size=2, stride=2))
        self.conv_body = nn.Sequential(*layers[:-1])

    def forward(self, x: Tensor) -> list[Tensor]:
        """The feature map, as a list of one."""
        return [self.conv_body(x)]
