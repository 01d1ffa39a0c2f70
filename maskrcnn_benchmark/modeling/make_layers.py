"""Layers with the initialisation that the detector uses."""

from __future__ import annotations

from torch import nn

from maskrcnn_benchmark.config import cfg as default_config
from maskrcnn_benchmark.utils.errors import InputError


def get_group_gn(dim: int, dim_per_gp: int, num_groups: int) -> int:
    """Number of groups for `dim` channels, from the channels per group or the number of groups (the other is -1).

    Raises:
        InputError: both or neither are given, or the channels cannot be cut so.
    """
    if (dim_per_gp == -1) == (num_groups == -1):
        raise InputError(
            f"MODEL.GROUP_NORM.DIM_PER_GP is {dim_per_gp} and NUM_GROUPS is {num_groups}: one of the two must be -1"
        )
    divisor = num_groups if dim_per_gp == -1 else dim_per_gp
    if divisor <= 0 or dim % divisor:
        key = "NUM_GROUPS" if dim_per_gp == -1 else "DIM_PER_GP"
        raise InputError(
            f"MODEL.GROUP_NORM.{key} is {divisor}, which does not divide the {dim} channels of a layer; "
            "take a common divisor of the widths of all layers"
        )
    return dim // dim_per_gp if num_groups == -1 else num_groups


def group_norm(out_channels: int, affine: bool = True, divisor: int = 1, settings=None) -> nn.GroupNorm:
    """Group normalisation.

    Args:
        divisor: take the channels and their groups for this many parts of a layer.
        settings: the node MODEL.GROUP_NORM; as in SGB that of the global configuration, unless it is given.
    """
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
    norm_settings=None,
) -> nn.Module:
    """3 x 3 convolution that keeps the size at stride 1, optionally with group norm (`group_norm`) and ReLU behind."""
    conv = nn.Conv2d(in_channels, out_channels, 3, stride, padding=dilation, dilation=dilation, bias=not use_gn)
    if kaiming_init:
        nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    else:
        nn.init.normal_(conv.weight, std=0.01)
    return _with_norm_and_relu(conv, use_gn, use_relu, norm_settings)


def make_fc(dim_in: int, hidden_dim: int, use_gn: bool = False, norm_settings=None) -> nn.Module:
    """Linear layer, Kaiming-uniform; with group norm (`group_norm`) behind it in place of a bias."""
    fc = nn.Linear(dim_in, hidden_dim, bias=not use_gn)
    nn.init.kaiming_uniform_(fc.weight, a=1)
    if use_gn:
        return nn.Sequential(fc, group_norm(hidden_dim, settings=norm_settings))
    nn.init.constant_(fc.bias, 0)
    return fc


def conv_with_kaiming_uniform(use_gn: bool = False, use_relu: bool = False, norm_settings=None):
    """A maker of convolutions that keep the size at stride 1, Kaiming-uniform, as `make_conv3x3` in the rest."""

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
        return _with_norm_and_relu(conv, use_gn, use_relu, norm_settings)

    return make_conv


def _with_norm_and_relu(conv: nn.Conv2d, use_gn: bool, use_relu: bool, norm_settings) -> nn.Module:
    if conv.bias is not None:
        nn.init.constant_(conv.bias, 0)
    layers: list[nn.Module] = [conv]
    if use_gn:
        layers.append(group_norm(conv.out_channels, settings=norm_settings))
    if use_relu:
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers) if len(layers) > 1 else conv
