"""Reads a configuration for a tool: defaults, then the file, then the options of the command line."""

from __future__ import annotations

import importlib

import torch

from maskrcnn_benchmark.utils.errors import InputError

from .defaults import _C
from .limits import check_values
from .node import ConfigNode
from .paths_catalog import is_default

# What SGB can do and this project leaves out: key -> the value that means "not asked for".
_LEFT_OUT = {
    "MODEL.MASK_ON": False,
    "MODEL.KEYPOINT_ON": False,
    "MODEL.RETINANET_ON": False,
    "MODEL.ATTRIBUTE_ON": False,
    "MODEL.RPN_ONLY": False,
    "MODEL.RESNETS.STAGE_WITH_DCN": (False, False, False, False),
    "MODEL.RESNETS.WITH_MODULATED_DCN": False,
    "TEST.BBOX_AUG.ENABLED": False,
}
_DTYPES = ("float32", "float16", "bfloat16")


def check_left_out(config: ConfigNode) -> None:
    """Raise `InputError` where a configuration asks for a part of SGB that this project leaves out."""
    for key, off in _LEFT_OUT.items():
        value = config
        for part in key.split("."):
            value = value[part]
        if (tuple(value) if isinstance(value, (list, tuple)) else value) != off:
            raise InputError(f"{key} is {value}: this part of SGB is left out here; set it to {off}")


def check_device(config: ConfigNode) -> None:
    """Raise `InputError` where DTYPE is unknown, or MODEL.DEVICE is unknown or not in this machine."""
    if config.DTYPE not in _DTYPES:
        raise InputError(f"DTYPE is {config.DTYPE!r}; it must be one of {', '.join(_DTYPES)}")
    try:
        device = torch.device(config.MODEL.DEVICE)
    except RuntimeError as error:
        raise InputError(f"MODEL.DEVICE is {config.MODEL.DEVICE!r}; it must be a device such as cuda or cpu") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise InputError(
            f"MODEL.DEVICE is {config.MODEL.DEVICE}, but PyTorch {torch.__version__} finds no GPU in this machine; "
            "add MODEL.DEVICE cpu to run without one"
        )


def check_catalog(config: ConfigNode, opts: list | tuple) -> None:
    """Raise `InputError` where a file, and not the command line, names a catalog: that is Python code, which would run.

    Configurations come with models and data from anywhere; what is typed on the command line is one's own.
    """
    if not is_default(config.PATHS_CATALOG) and "PATHS_CATALOG" not in opts[::2]:
        raise InputError(
            f"PATHS_CATALOG names the Python file {config.PATHS_CATALOG}, whose code would run; if you trust it, add "
            f"PATHS_CATALOG {config.PATHS_CATALOG} to the command line"
        )


def load_config(config_file: str = "", opts: list | tuple = ()) -> ConfigNode:
    """The frozen configuration of a run.

    SGB's own files load, and those that SGB wrote beside its checkpoints: groups of what is left out here are skipped
    with a warning. A predictor of one's own is registered through `utils.env`.

    Args:
        config_file: a YAML file, or "" for the defaults.
        opts: `KEY VALUE` pairs, which win over the file.

    Raises:
        InputError: a missing or malformed file, an unknown key (with the nearest right one), a value of another type,
            a part of SGB that is left out here, or a device that this machine lacks.
    """
    # Plugins add their keys when they are imported, so that must come before anything is merged.
    importlib.import_module("maskrcnn_benchmark.utils.env")
    importlib.import_module("maskrcnn_benchmark.modeling.roi_heads.relation_head")
    config = _C.clone()
    if config_file:
        config.merge_from_file(config_file)
    config.merge_from_list(list(opts))
    check_left_out(config)
    check_values(config, _C)
    check_device(config)
    check_catalog(config, opts)
    config.freeze()
    return config
