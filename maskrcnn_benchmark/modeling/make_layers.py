"""Layers with the initialisation that the detector uses."""

from __future__ import annotations

import math

from torch import nn

from maskrcnn_benchmark.config import cfg as default_config


def get_group_gn(dim: int, dim_per_gp: int, num_groups: int) -> int:
    """Number of groups for `dim` channels, from the channels per group or the number of groups (the other is -1).

    Where `num_groups` does not divide the channels, as in narrow networks, the largest common divisor is taken.
    """
    if (dim_per_gp == -1) == (num_groups == -1):
        raise ValueError("group norm takes DIM_PER_GP or NUM_GROUPS, the other must be -1")
    if dim_per_gp > 0:
        if dim % dim_per_gp:
            raise ValueError(f"{dim} channels cannot be cut into groups of {dim_per_gp}")
        return dim // dim_per_gp
    return math.gcd(dim, num_groups)


def group_norm(out_channels: int, affine: bool = True, divisor: int = 1, settings=None) -> nn.GroupNorm:
    """Group normalisation by the node MODEL.GROUP_NORM in `settings`, the default one without it."""
    settings = default_config.MODEL.GROUP_NORM if settings is None else settings
    out_channels //= divisor
    dim_per_gp = settings.DIM_PER_GP // divisor
    num_groups = settings.NUM_GROUPS // divisor
    return nn.GroupNorm(get_group_gn(out_channels, dim_per_gp, num_groups), out_channels, settings.EPSILON, affine)


def make_conv3x3(
    in_channels: int,
    out_channels: int,
    dilation: int = 1,
    stride: int = 1,
    use_gn: bool = False,
    use_relu: bool = False,
    kaiming_init: bool = True,
) -> nn.Module:
    """3 x 3 convolution that keeps the size at stride 1, optionally with group norm and ReLU behind it."""
    conv = nn.Conv2d(in_channels, out_channels, 3, stride, padding=dilation, dilation=dilation, bias=not use_gn)
    if kaiming_init:
        nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    else:
        nn.init.normal_(conv.weight, std=0.01)
    return _with_norm_and_relu(conv, out_channels, use_gn, use_relu)


def make_fc(dim_in: int, hidden_dim: int, use_gn: bool = False) -> nn.Module:
    """Linear layer, Kaiming-uniform; with group norm behind it in place of a bias."""
    fc = nn.Linear(dim_in, hidden_dim, bias=not use_gn)
    nn.init.kaiming_uniform_(fc.weight, a=1)
    if use_gn:
        return nn.Sequential(fc, group_norm(hidden_dim))
    nn.init.constant_(fc.bias, 0)
    return fc


def conv_with_kaiming_uniform(use_gn: bool = False, use_relu: bool = False):
    """A maker of convolutions that keep the size at stride 1, Kaiming-uniform."""

    def make_conv(in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, dilation: int = 1):
        conv = nn.Conv2d(
            in_channels,
            out_channels,
            kernel_size=kernel_size,
            stride=stride,
            padding=dilation * (kernel_size - 1) // 2,
            dilation=dilation,
            bias=not use_gn,
        )
        nn.init.kaiming_uniform_(conv.weight, a=1)
        return _with_norm_and_relu(conv, out_channels, use_gn, use_relu)

    return make_conv


def _with_norm_and_relu(conv: nn.Conv2d, out_channels: int, use_gn: bool, use_relu: bool) -> nn.Module:
    if conv.bias is not None:
        nn.init.constant_(conv.bias, 0)
    layers: list[nn.Module] = [conv]
    if use_gn:
        layers.append(group_norm(out_channels))
    if use_relu:
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers) if len(layers) > 1 else conv
