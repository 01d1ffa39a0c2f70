"""Reads a configuration for a tool: defaults, then the file, then the options of the command line."""

from __future__ import annotations

import importlib

from maskrcnn_benchmark.utils.errors import InputError

from .defaults import _C
from .node import ConfigNode

# What SGB can do and this project leaves out: key -> the value that means "not asked for".
_LEFT_OUT = {
    "MODEL.MASK_ON": False,
    "MODEL.KEYPOINT_ON": False,
    "MODEL.RETINANET_ON": False,
    "MODEL.ATTRIBUTE_ON": False,
    "MODEL.RPN_ONLY": False,
    "TEST.BBOX_AUG.ENABLED": False,
    "MODEL.RESNETS.WITH_MODULATED_DCN": False,
    "MODEL.RESNETS.STAGE_WITH_DCN": (False, False, False, False),
}


def check_left_out(config: ConfigNode) -> None:
    """Raise `InputError` where a configuration asks for a part of SGB that this project leaves out."""
    for key, off in _LEFT_OUT.items():
        value = config
        for part in key.split("."):
            value = value[part]
        if (tuple(value) if isinstance(value, (list, tuple)) else value) != off:
            raise InputError(f"{key} is {value}: this part of SGB is left out here; set it to {off}")


def load_config(config_file: str = "", opts: list | tuple = ()) -> ConfigNode:
    """The frozen configuration of a run.

    Args:
        config_file: a YAML file, or "" for the defaults.
        opts: `KEY VALUE` pairs, which win over the file.

    Raises:
        InputError: a missing or malformed file, an unknown key (with the nearest right one), a value of another type,
            or a part of SGB that is left out here.
    """
    # Plugins add their keys when the relation head is imported, so that must come before anything is merged.
    importlib.import_module("maskrcnn_benchmark.modeling.roi_heads.relation_head")
    config = _C.clone()
    if config_file:
        config.merge_from_file(config_file)
    config.merge_from_list(list(opts))
    if config.DTYPE not in ("float32", "float16", "bfloat16"):
        raise InputError(f"DTYPE is {config.DTYPE}; it must be float32, float16 or bfloat16")
    check_left_out(config)
    config.freeze()
    return config
