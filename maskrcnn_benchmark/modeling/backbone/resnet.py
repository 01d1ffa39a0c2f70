"""ResNet and ResNeXt (He et al.; Xie et al.), with frozen batch norm or group norm, under SGB's parameter names."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from maskrcnn_benchmark.layers import FrozenBatchNorm2d, normalised_conv
from maskrcnn_benchmark.modeling.make_layers import group_norm
from maskrcnn_benchmark.modeling.registry import lookup
from maskrcnn_benchmark.utils.registry import Registry


class StageSpec(NamedTuple):
    """A stage: its number from 1, how many blocks it has, and whether its output is returned."""

    index: int
    block_count: int
    return_features: bool


def _stages(block_counts, last_only: bool) -> tuple[StageSpec, ...]:
    last = len(block_counts)
    return tuple(StageSpec(i, n, i == last or not last_only) for i, n in enumerate(block_counts, 1))


ResNet50StagesTo5 = _stages((3, 4, 6, 3), last_only=True)
ResNet50StagesTo4 = _stages((3, 4, 6), last_only=True)
ResNet101StagesTo5 = _stages((3, 4, 23, 3), last_only=True)
ResNet101StagesTo4 = _stages((3, 4, 23), last_only=True)
ResNet50FPNStagesTo5 = _stages((3, 4, 6, 3), last_only=False)
ResNet101FPNStagesTo5 = _stages((3, 4, 23, 3), last_only=False)
ResNet152FPNStagesTo5 = _stages((3, 8, 36, 3), last_only=False)

_STAGE_SPECS = Registry(
    {
        "R-50-C4": ResNet50StagesTo4,
        "R-50-C5": ResNet50StagesTo5,
        "R-101-C4": ResNet101StagesTo4,
        "R-101-C5": ResNet101StagesTo5,
        "R-50-FPN": ResNet50FPNStagesTo5,
        "R-101-FPN": ResNet101FPNStagesTo5,
        "R-152-FPN": ResNet152FPNStagesTo5,
    }
)


def _conv(in_channels: int, out_channels: int, kernel_size: int, **kwargs) -> nn.Conv2d:
    conv = nn.Conv2d(in_channels, out_channels, kernel_size, bias=False, **kwargs)
    nn.init.kaiming_uniform_(conv.weight, a=1)
    return conv


class BaseStem(nn.Module):
    """7 x 7 convolution and pooling to a quarter of the size."""

    def __init__(self, cfg, norm_func):
        super().__init__()
        out_channels = cfg.MODEL.RESNETS.STEM_OUT_CHANNELS
        self.conv1 = _conv(3, out_channels, 7, stride=2, padding=3)
        self.bn1 = norm_func(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool2d(F.relu_(normalised_conv(x, self.conv1, self.bn1)), kernel_size=3, stride=2, padding=1)


class StemWithFixedBatchNorm(BaseStem):
    def __init__(self, cfg):
        super().__init__(cfg, norm_func=FrozenBatchNorm2d)


class StemWithGN(BaseStem):
    def __init__(self, cfg):
        super().__init__(cfg, norm_func=partial(group_norm, settings=cfg.MODEL.GROUP_NORM))


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3 (grouped), 1 x 1 convolutions around a shortcut.

    Args:
        stride_in_1x1: the stride is on the first convolution (Caffe2's weights) or on the second (torchvision's).
    """

    def __init__(
        self,
        in_channels: int,
        bottleneck_channels: int,
        out_channels: int,
        num_groups: int,
        stride_in_1x1: bool,
        stride: int,
        dilation: int,
        norm_func,
    ):
        super().__init__()
        if dilation > 1:
            stride = 1
        self.downsample = None
        if in_channels != out_channels:
            self.downsample = nn.Sequential(_conv(in_channels, out_channels, 1, stride=stride), norm_func(out_channels))
        stride_1x1, stride_3x3 = (stride, 1) if stride_in_1x1 else (1, stride)
        self.conv1 = _conv(in_channels, bottleneck_channels, 1, stride=stride_1x1)
        self.bn1 = norm_func(bottleneck_channels)
        self.conv2 = _conv(
            bottleneck_channels,
            bottleneck_channels,
            3,
            stride=stride_3x3,
            padding=dilation,
            dilation=dilation,
            groups=num_groups,
        )
        self.bn2 = norm_func(bottleneck_channels)
        self.conv3 = _conv(bottleneck_channels, out_channels, 1)
        self.bn3 = norm_func(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu_(normalised_conv(x, self.conv1, self.bn1))
        out = F.relu_(normalised_conv(out, self.conv2, self.bn2))
        out = normalised_conv(out, self.conv3, self.bn3)
        shortcut = x if self.downsample is None else normalised_conv(x, *self.downsample)
        return F.relu_(out.add_(shortcut))


class BottleneckWithFixedBatchNorm(Bottleneck):
    def __init__(
        self,
        in_channels: int,
        bottleneck_channels: int,
        out_channels: int,
        num_groups: int = 1,
        stride_in_1x1: bool = True,
        stride: int = 1,
        dilation: int = 1,
    ):
        super().__init__(
            in_channels,
            bottleneck_channels,
            out_channels,
            num_groups,
            stride_in_1x1,
            stride,
            dilation,
            norm_func=FrozenBatchNorm2d,
        )


class BottleneckWithGN(Bottleneck):
    def __init__(
        self,
        in_channels: int,
        bottleneck_channels: int,
        out_channels: int,
        num_groups: int = 1,
        stride_in_1x1: bool = True,
        stride: int = 1,
        dilation: int = 1,
        norm_settings=None,
    ):
        super().__init__(
            in_channels,
            bottleneck_channels,
            out_channels,
            num_groups,
            stride_in_1x1,
            stride,
            dilation,
            norm_func=partial(group_norm, settings=norm_settings),
        )


_TRANSFORMATION_MODULES = Registry(
    {"BottleneckWithFixedBatchNorm": BottleneckWithFixedBatchNorm, "BottleneckWithGN": BottleneckWithGN}
)
_STEM_MODULES = Registry({"StemWithFixedBatchNorm": StemWithFixedBatchNorm, "StemWithGN": StemWithGN})


def _transformation(name: str, norm_settings):
    """The maker of blocks that MODEL.RESNETS.TRANS_FUNC names."""
    module = lookup(_TRANSFORMATION_MODULES, name, "MODEL.RESNETS.TRANS_FUNC")
    return partial(module, norm_settings=norm_settings) if module is BottleneckWithGN else module


def _make_stage(
    transformation_module,
    in_channels: int,
    bottleneck_channels: int,
    out_channels: int,
    block_count: int,
    num_groups: int,
    stride_in_1x1: bool,
    first_stride: int,
    dilation: int = 1,
) -> nn.Sequential:
    """Blocks of which the first changes the size and the channels."""
    blocks = [
        transformation_module(
            in_channels if i == 0 else out_channels,
            bottleneck_channels,
            out_channels,
            num_groups=num_groups,
            stride_in_1x1=stride_in_1x1,
            stride=first_stride if i == 0 else 1,
            dilation=dilation,
        )
        for i in range(block_count)
    ]
    return nn.Sequential(*blocks)


class ResNet(nn.Module):
    """The body; `forward` returns the stages that MODEL.BACKBONE.CONV_BODY asks for, finest first."""

    def __init__(self, cfg):
        super().__init__()
        settings = cfg.MODEL.RESNETS
        stage_specs = lookup(_STAGE_SPECS, cfg.MODEL.BACKBONE.CONV_BODY, "MODEL.BACKBONE.CONV_BODY")
        self.stem = lookup(_STEM_MODULES, settings.STEM_FUNC, "MODEL.RESNETS.STEM_FUNC")(cfg)
        transformation = _transformation(settings.TRANS_FUNC, cfg.MODEL.GROUP_NORM)
        in_channels = settings.STEM_OUT_CHANNELS
        self.stages: list[str] = []
        self.return_features: dict[str, bool] = {}
        for spec in stage_specs:
            factor = 2 ** (spec.index - 1)
            out_channels = settings.RES2_OUT_CHANNELS * factor
            name = f"layer{spec.index}"
            stage = _make_stage(
                transformation,
                in_channels,
                settings.NUM_GROUPS * settings.WIDTH_PER_GROUP * factor,
                out_channels,
                spec.block_count,
                settings.NUM_GROUPS,
                settings.STRIDE_IN_1X1,
                first_stride=1 if spec.index == 1 else 2,
            )
            self.add_module(name, stage)
            self.stages.append(name)
            self.return_features[name] = spec.return_features
            in_channels = out_channels
        self._freeze_backbone(cfg.MODEL.BACKBONE.FREEZE_CONV_BODY_AT)

    def _freeze_backbone(self, freeze_at: int) -> None:
        """The first `freeze_at` parts do not learn: the stem is the first, `layer1` the second."""
        for name in ("stem", *self.stages)[:freeze_at]:
            self.get_submodule(name).requires_grad_(False)

    def forward(self, x: Tensor) -> list[Tensor]:
        outputs = []
        x = self.stem(x)
        for name in self.stages:
            x = self.get_submodule(name)(x)
            if self.return_features[name]:
                outputs.append(x)
        return outputs


class ResNetHead(nn.Module):
    """Stages that run on pooled regions, such as the fifth in C4 detectors.

    Args:
        block_module: name of the blocks, as in MODEL.RESNETS.TRANS_FUNC.
        stages: StageSpec of each.
        stride_init: stride of the first stage, where it is not the usual one.
        norm_settings: the node MODEL.GROUP_NORM, for blocks with group norm.
    """

    def __init__(
        self,
        block_module: str,
        stages,
        num_groups: int = 1,
        width_per_group: int = 64,
        stride_in_1x1: bool = True,
        stride_init: int | None = None,
        res2_out_channels: int = 256,
        dilation: int = 1,
        norm_settings=None,
    ):
        super().__init__()
        block = _transformation(block_module, norm_settings)
        factor = 2 ** (stages[0].index - 1)
        self.out_channels = res2_out_channels * factor
        in_channels = self.out_channels // 2
        stride = stride_init
        self.stages: list[str] = []
        for stage in stages:
            name = f"layer{stage.index}"
            first_stride = stride or (2 if stage.index > 1 else 1)
            module = _make_stage(
                block,
                in_channels,
                num_groups * width_per_group * factor,
                self.out_channels,
                stage.block_count,
                num_groups,
                stride_in_1x1,
                first_stride=first_stride,
                dilation=dilation,
            )
            stride = None
            in_channels = self.out_channels
            self.add_module(name, module)
            self.stages.append(name)

    def forward(self, x: Tensor) -> Tensor:
        for name in self.stages:
            x = self.get_submodule(name)(x)
        return x
