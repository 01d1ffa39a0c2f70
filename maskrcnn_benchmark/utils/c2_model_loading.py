"""Published weights in other formats: Caffe2's pickles, as SGB uses them, and torchvision's ResNets and VGG-16."""

from __future__ import annotations

import logging
import re

import numpy as np
import torch
from torch import Tensor

from .errors import InputError
from .registry import Registry
from .safe_pickle import load_pickle, state_dict_of

# What torchvision's networks saw: RGB in 0..1, minus this mean, divided by this deviation.
_TORCHVISION_MEAN = (0.485, 0.456, 0.406)
_TORCHVISION_STD = (0.229, 0.224, 0.225)
# What its batch norms add to the variance; `FrozenBatchNorm2d` adds nothing.
_TORCHVISION_EPSILON = 1e-5
_VGG16_CONVOLUTIONS = {f"features.{i}.weight" for i in (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)}

_BACKBONES = ("R-50-C4", "R-50-C5", "R-101-C4", "R-101-C5", "R-50-FPN", "R-101-FPN", "R-152-FPN")
_VALUES = {"w": "weight", "b": "bias", "s": "weight"}  # a norm's scale is its weight


def _stage(match: re.Match) -> str:
    return f"layer{int(match['stage']) - 1}.{match['block']}"


def _part(match: re.Match) -> str:
    return str("abc".index(match["part"]) + 1)


# Layers of Caffe2 and the names of the modules here; a norm is called bn (fixed batch norm) or gn (group norm).
_RESNET_BLOCK = r"res(?P<stage>[2-5])_(?P<block>\d+)_"
_LAYERS = [
    (r"conv1", lambda m: "stem.conv1"),
    (r"res_conv1_bn|conv1_gn", lambda m: "stem.bn1"),
    (_RESNET_BLOCK + r"branch1", lambda m: f"{_stage(m)}.downsample.0"),
    (_RESNET_BLOCK + r"branch1_[bg]n", lambda m: f"{_stage(m)}.downsample.1"),
    (_RESNET_BLOCK + r"branch2(?P<part>[abc])", lambda m: f"{_stage(m)}.conv{_part(m)}"),
    (_RESNET_BLOCK + r"branch2(?P<part>[abc])_[bg]n", lambda m: f"{_stage(m)}.bn{_part(m)}"),
    (r"fpn_inner_res([2-5])_\d+_sum(?:_lateral)?", lambda m: f"fpn.fpn_inner{int(m[1]) - 1}"),
    (r"fpn_res([2-5])_\d+_sum", lambda m: f"fpn.fpn_layer{int(m[1]) - 1}"),
    (r"conv_rpn(?:_fpn2)?", lambda m: "rpn.head.conv"),
    (r"rpn_(bbox_pred|cls_logits)(?:_fpn2)?", lambda m: f"rpn.head.{m[1]}"),
    (r"fc[67]", lambda m: f"feature_extractor.{m[0]}"),
    (r"cls_score|bbox_pred", lambda m: f"predictor.{m[0]}"),
]


def _module_name(blob: str) -> str:
    """The name here of one of Caffe2's blobs; blobs of other layers keep theirs and fit nothing."""
    layer, _, value = blob.rpartition("_")
    if value in _VALUES:
        for pattern, name in _LAYERS:
            if found := re.fullmatch(pattern, layer):
                return f"{name(found)}.{_VALUES[value]}"
    return blob


def _load_c2_pickled_weights(file_path: str) -> dict[str, np.ndarray]:
    """The arrays of a Caffe2 pickle by blob name, without the momentum of its optimizer."""
    data = load_pickle(file_path)
    blobs = data.get("blobs", data) if isinstance(data, dict) else None
    if not isinstance(blobs, dict) or not all(isinstance(name, str) for name in blobs):
        raise InputError(f"weights file {file_path} holds no blobs of Caffe2: expected arrays by name")
    weights = {k: v for k, v in blobs.items() if isinstance(v, np.ndarray) and not k.endswith("_momentum")}
    for name, value in weights.items():
        if value.dtype.kind != "f":
            raise InputError(f"weights file {file_path}: the blob {name} is of {value.dtype}, expected real numbers")
    if not weights:
        raise InputError(f"weights file {file_path} holds no blobs of Caffe2")
    return {name: np.asarray(value, dtype=value.dtype.newbyteorder("=")) for name, value in weights.items()}


def load_resnet_c2_format(cfg, f: str) -> dict[str, dict[str, Tensor]]:
    """A ResNet, or a Faster R-CNN on one, of Caffe2 as a checkpoint, {"model": state dict}."""
    blobs = _load_c2_pickled_weights(f)
    tensors = {_module_name(name): torch.from_numpy(value) for name, value in blobs.items()}
    return {"model": state_dict_of(f, tensors, "blobs")}


# Loaders by MODEL.BACKBONE.CONV_BODY.
C2_FORMAT_LOADER = Registry(dict.fromkeys(_BACKBONES, load_resnet_c2_format))


def load_c2_format(cfg, f: str) -> dict[str, dict[str, Tensor]]:
    """Read Caffe2's weights for the backbone of the configuration.

    Raises:
        InputError: a backbone that Caffe2's weights do not fit, or a file that is none.
    """
    body = cfg.MODEL.BACKBONE.CONV_BODY
    if body not in C2_FORMAT_LOADER:
        raise InputError(
            f"{f} holds weights of Caffe2 for {', '.join(C2_FORMAT_LOADER)}, but MODEL.BACKBONE.CONV_BODY is {body}"
        )
    return C2_FORMAT_LOADER[body](cfg, f)


def is_torchvision_resnet(state_dict: dict[str, Tensor]) -> bool:
    """Whether these are the weights of a ResNet or ResNeXt of torchvision, trained on ImageNet."""
    return {"conv1.weight", "bn1.running_mean", "layer1.0.conv1.weight", "fc.weight"} <= state_dict.keys()


def _first_convolution(cfg, weight: Tensor) -> tuple[Tensor, Tensor]:
    """The weight of torchvision's first convolution for input as the configuration makes it.

    SGB's images are BGR in 0..255 minus PIXEL_MEAN, torchvision's RGB in 0..1, normalised. Both are linear in the
    pixels, so the convolution takes the scale and the order of the channels, and a constant per output is left of the
    two means (exactly, but for the margin where the convolution sees padding).

    Args:
        weight: [out, 3, h, w].

    Returns:
        weight float64 [out, 3, h, w] and what must be added to its outputs, float64 [out]
    """
    channels, unit = ([2, 1, 0], 255.0) if cfg.INPUT.TO_BGR255 else ([0, 1, 2], 1.0)
    weight = weight[:, channels].double()

    def per_channel(values, order=(0, 1, 2)) -> Tensor:
        return torch.tensor([values[i] for i in order], dtype=torch.float64)[:, None, None]

    mean, std = per_channel(cfg.INPUT.PIXEL_MEAN), per_channel(cfg.INPUT.PIXEL_STD)
    mean_there, std_there = (per_channel(v, channels) * unit for v in (_TORCHVISION_MEAN, _TORCHVISION_STD))
    return weight * (std / std_there), (weight * ((mean - mean_there) / std_there)).sum((1, 2, 3))


def convert_torchvision_resnet(cfg, state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """torchvision's weights with the names here, for input as the configuration makes it.

    The running mean of the first batch norm takes the constant of `_first_convolution`. What torchvision's batch norms
    add to the variance is added for good.
    """
    if cfg.MODEL.RESNETS.STRIDE_IN_1X1:
        logging.getLogger("maskrcnn_benchmark").warning(
            "torchvision's ResNets have the stride in their 3x3 convolutions: set MODEL.RESNETS.STRIDE_IN_1X1 False"
        )
    weight, constant = _first_convolution(cfg, state_dict["conv1.weight"])

    out: dict[str, Tensor] = {}
    for name, value in state_dict.items():
        if name == "conv1.weight":
            value = weight.to(value.dtype)
        elif name == "bn1.running_mean":
            value = (value - constant).to(value.dtype)
        elif name.endswith("running_var"):
            value = value + _TORCHVISION_EPSILON
        elif name.endswith("num_batches_tracked"):
            continue
        out[f"stem.{name}" if name.startswith(("conv1.", "bn1.")) else name] = value
    return out


def is_torchvision_vgg16(state_dict: dict[str, Tensor]) -> bool:
    """Whether these are the weights of torchvision's VGG-16 without batch norm."""
    return {name for name in state_dict if re.fullmatch(r"features\.\d+\.weight", name)} == _VGG16_CONVOLUTIONS


def convert_torchvision_vgg16(cfg, state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """torchvision's weights with the names here, for input as the configuration makes it; see `_first_convolution`."""
    out = {re.sub(r"^features\.", "conv_body.", name): value for name, value in state_dict.items()}
    weight, constant = _first_convolution(cfg, out["conv_body.0.weight"])
    out["conv_body.0.weight"] = weight.to(out["conv_body.0.weight"].dtype)
    out["conv_body.0.bias"] = (out["conv_body.0.bias"] + constant).to(out["conv_body.0.bias"].dtype)
    return out
