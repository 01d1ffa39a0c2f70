"""Backbones by name."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from maskrcnn_benchmark.modeling import registry
from maskrcnn_benchmark.modeling.make_layers import conv_with_kaiming_uniform

from . import fpn as fpn_module
from . import resnet, vgg


@registry.BACKBONES.register("VGG-16")
def build_vgg_fpn_backbone(cfg) -> nn.Sequential:
    """VGG-16, one level."""
    model = nn.Sequential(OrderedDict(body=vgg.VGG16(cfg)))
    model.out_channels = cfg.MODEL.VGG.VGG16_OUT_CHANNELS
    return model


@registry.BACKBONES.register("R-50-C4")
@registry.BACKBONES.register("R-50-C5")
@registry.BACKBONES.register("R-101-C4")
@registry.BACKBONES.register("R-101-C5")
def build_resnet_backbone(cfg) -> nn.Sequential:
    """A ResNet without a pyramid."""
    model = nn.Sequential(OrderedDict(body=resnet.ResNet(cfg)))
    model.out_channels = cfg.MODEL.RESNETS.BACKBONE_OUT_CHANNELS
    return model


@registry.BACKBONES.register("R-50-FPN")
@registry.BACKBONES.register("R-101-FPN")
@registry.BACKBONES.register("R-152-FPN")
def build_resnet_fpn_backbone(cfg) -> nn.Sequential:
    """A ResNet with a feature pyramid of five levels."""
    in_channels = cfg.MODEL.RESNETS.RES2_OUT_CHANNELS
    out_channels = cfg.MODEL.RESNETS.BACKBONE_OUT_CHANNELS
    fpn = fpn_module.FPN(
        in_channels_list=[in_channels, in_channels * 2, in_channels * 4, in_channels * 8],
        out_channels=out_channels,
        conv_block=conv_with_kaiming_uniform(cfg.MODEL.FPN.USE_GN, cfg.MODEL.FPN.USE_RELU, cfg.MODEL.GROUP_NORM),
        top_blocks=fpn_module.LastLevelMaxPool(),
    )
    model = nn.Sequential(OrderedDict(body=resnet.ResNet(cfg), fpn=fpn))
    model.out_channels = out_channels
    return model


def build_backbone(cfg) -> nn.Module:
    """The backbone that MODEL.BACKBONE.CONV_BODY names; its attribute `out_channels` says how wide its levels are."""
    return registry.lookup(registry.BACKBONES, cfg.MODEL.BACKBONE.CONV_BODY, "MODEL.BACKBONE.CONV_BODY")(cfg)
