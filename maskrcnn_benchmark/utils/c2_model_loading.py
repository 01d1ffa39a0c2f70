"""ImageNet weights for the ResNets: Caffe2's pickles, as SGB uses them, and torchvision's."""

from __future__ import annotations

import re

import numpy as np
import torch
from torch import Tensor

from .errors import InputError
from .registry import Registry
from .safe_pickle import load_pickle

# torchvision's ResNets saw RGB in 0..1, normalised; SGB's input is BGR in 0..255 with the mean taken off.
TORCHVISION_STD_RGB = (0.229, 0.224, 0.225)

_TYPES = {
    "branch1": "downsample.0",
    "branch1_bn": "downsample.1",
    **{f"branch2{letter}": f"conv{i}" for i, letter in enumerate("abc", 1)},
    **{f"branch2{letter}_bn": f"bn{i}" for i, letter in enumerate("abc", 1)},
}
_VALUES = {"w": "weight", "b": "bias", "s": "weight"}  # a batch norm's scale is its weight
_BLOB = re.compile(r"res(?P<stage>[2-5])_(?P<block>\d+)_(?P<type>branch\w+?)_(?P<value>[wbs])$")
_STEM = {
    "conv1_w": "stem.conv1.weight",
    "res_conv1_bn_s": "stem.bn1.weight",
    "res_conv1_bn_b": "stem.bn1.bias",
}


def _rename_basic_resnet_weights(layer_keys: list[str]) -> list[str]:
    """Caffe2's blob names to the names of `ResNet`; names of other layers stay as they are."""
    renamed = []
    for key in layer_keys:
        found = _BLOB.match(key)
        if key in _STEM:
            renamed.append(_STEM[key])
        elif found and found["type"] in _TYPES:
            stage = int(found["stage"]) - 1
            renamed.append(f"layer{stage}.{found['block']}.{_TYPES[found['type']]}.{_VALUES[found['value']]}")
        else:
            renamed.append(key)
    return renamed


def _load_c2_pickled_weights(file_path: str) -> dict[str, np.ndarray]:
    """The arrays of a Caffe2 pickle by blob name, momentum and the classifier left out."""
    data = load_pickle(file_path)
    blobs = data.get("blobs", data) if isinstance(data, dict) else None
    if not isinstance(blobs, dict):
        raise InputError(f"weights file {file_path} is no dictionary of Caffe2 blobs")
    return {
        name: value
        for name, value in blobs.items()
        if isinstance(value, np.ndarray) and not name.endswith("_momentum") and name not in ("fc1000_w", "fc1000_b")
    }


C2_FORMAT_LOADER = Registry()


@C2_FORMAT_LOADER.register("R-50-C4")
@C2_FORMAT_LOADER.register("R-50-C5")
@C2_FORMAT_LOADER.register("R-101-C4")
@C2_FORMAT_LOADER.register("R-101-C5")
@C2_FORMAT_LOADER.register("R-50-FPN")
@C2_FORMAT_LOADER.register("R-101-FPN")
@C2_FORMAT_LOADER.register("R-152-FPN")
def load_resnet_c2_format(cfg, f: str) -> dict[str, dict[str, Tensor]]:
    """A Caffe2 ResNet as a checkpoint, {"model": state dict}."""
    blobs = _load_c2_pickled_weights(f)
    names = _rename_basic_resnet_weights(list(blobs))
    return {"model": {n: torch.from_numpy(np.array(v)) for n, v in zip(names, blobs.values(), strict=True)}}


def load_c2_format(cfg, f: str) -> dict[str, dict[str, Tensor]]:
    """Read Caffe2 weights for the backbone that MODEL.BACKBONE.CONV_BODY names.

    Raises:
        InputError: a backbone that has no Caffe2 weights, or a file that is none.
    """
    body = cfg.MODEL.BACKBONE.CONV_BODY
    if body not in C2_FORMAT_LOADER:
        raise InputError(f"{f}: Caffe2 weights fit {', '.join(C2_FORMAT_LOADER)}, but the backbone is {body}")
    return C2_FORMAT_LOADER[body](cfg, f)


def is_torchvision_resnet(state_dict: dict[str, Tensor]) -> bool:
    """Whether these are the weights of a ResNet of torchvision."""
    return {"conv1.weight", "bn1.running_mean", "layer1.0.conv1.weight", "fc.weight"} <= state_dict.keys()


def convert_torchvision_resnet(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """torchvision's names and input convention to those here.

    The first convolution is turned to BGR and divided by the standard deviation in 0..255, so that it gives on SGB's
    input (BGR, mean taken off, not scaled) what it gave on torchvision's, up to the small difference of the two means.
    A batch norm's epsilon (1e-5), which `FrozenBatchNorm2d` does not add, goes into the variance.
    """
    out: dict[str, Tensor] = {}
    for name, value in state_dict.items():
        if name.startswith("fc.") or name.endswith("num_batches_tracked"):
            continue
        if name.endswith("running_var"):
            value = value + 1e-5
        if name == "conv1.weight":
            std = torch.tensor(TORCHVISION_STD_RGB, dtype=value.dtype).view(1, 3, 1, 1) * 255
            value = (value / std).flip(1)
        out[f"stem.{name}" if name.startswith(("conv1.", "bn1.")) else name] = value
    return out
