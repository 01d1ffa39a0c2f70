"""Which numbers a configuration may have: the one place where values are checked by themselves.

Numbers are finite and not negative, and no text has control characters. Beyond that, `LIMITS` gives a key, or all keys
that end like it, a range. What values must be to each other is the business of those who use them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from maskrcnn_benchmark.utils.errors import InputError

from .node import ConfigNode

_MANY = 10**8  # no count and no size of the field comes near
_COUNT, _SIZE, _SHARE, _ANY = (1, _MANY), (1, 100_000), (0, 1), (-1e6, 1e6)
# the end of a key: the smallest and the largest value
LIMITS: dict[str, tuple[float, float]] = {
    "SOLVER.MAX_ITER": _COUNT, "SOLVER.BASE_LR": (0, 1e3), "SOLVER.MOMENTUM": (0, 1), "SOLVER.GAMMA": (0, 1),
    "SOLVER.WEIGHT_DECAY": (0, 1e3), "SOLVER.WARMUP_FACTOR": (0, 1), "SOLVER.SCHEDULE.FACTOR": (0, 1),
    "SOLVER.CHECKPOINT_PERIOD": _COUNT, "SOLVER.PRINT_GRAD_FREQ": _COUNT, "SOLVER.VAL_PERIOD": _COUNT,
    "IMS_PER_BATCH": _SIZE, "DATALOADER.NUM_WORKERS": (0, 1024), "DATALOADER.SIZE_DIVISIBILITY": (0, 4096),
    "DATASETS.NUM_VAL_IM": (-1, _MANY),
    "MIN_SIZE_TRAIN": _SIZE, "MAX_SIZE_TRAIN": _SIZE, "MIN_SIZE_TEST": _SIZE, "MAX_SIZE_TEST": _SIZE,
    "INPUT.PIXEL_MEAN": _ANY, "INPUT.PIXEL_STD": (1e-6, 1e6), "INPUT.MAX_PIXELS": (1, 1e12),
    "INPUT.VERTICAL_FLIP_PROB_TRAIN": _SHARE,
    "NUM_CLASSES": _SIZE, "NUM_ATTRIBUTES": _SIZE, "OUT_CHANNELS": _SIZE, "HEAD_DIM": _SIZE, "MID_CHANNEL": _SIZE,
    "HIDDEN_DIM": _SIZE, "POOLING_DIM": _SIZE, "EMBED_DIM": _SIZE, "INNER_DIM": _SIZE, "KEY_DIM": _SIZE,
    "VAL_DIM": _SIZE, "PROJECTION_DIM": _SIZE, "NUM_HEAD": _SIZE, "NUM_GROUPS": _SIZE, "WIDTH_PER_GROUP": _SIZE,
    "GROUP_NORM.DIM_PER_GP": (-1, 100_000), "OBJ_LAYER": (0, 100), "REL_LAYER": (0, 100), "NUM_STACKED_CONVS": (0, 100),
    "RES5_DILATION": (1, 16), "DILATION": (1, 16), "POOLER_RESOLUTION": (1, 256), "POOLER_SCALES": (1e-6, 1e3),
    "POOLER_SAMPLING_RATIO": (0, 64), "FREEZE_CONV_BODY_AT": (0, 5),
    "ANCHOR_SIZES": (1, 1e5), "ANCHOR_STRIDE": (1, 4096), "ASPECT_RATIOS": (1e-3, 1e3), "STRADDLE_THRESH": (-1, 1e6),
    "BATCH_SIZE_PER_IMAGE": _SIZE, "NUM_SAMPLE_PER_GT_REL": _SIZE, "POSITIVE_FRACTION": _SHARE,
    "IOU_THRESHOLD": _SHARE, "NMS_THRESH": _SHARE, "ROI_HEADS.NMS": _SHARE, "SCORE_THRESH": _SHARE,
    "DROPOUT_RATE": _SHARE, "DETECTIONS_PER_IMG": _SIZE, "BBOX_REG_WEIGHTS": (1e-6, 1e6),
    "LATER_NMS_PREDICTION_THRES": _SHARE, "RELATION.TOP_K": (1, 10**6),
    "LOGIT_ADJUSTMENT_TEST": _ANY, "EXPECTED_RESULTS": _ANY,
}  # fmt: skip


def check_values(config: ConfigNode, defaults: ConfigNode) -> None:
    """Raise `InputError` where a value is a number that cannot be, or a text with control characters.

    A default may always be (-1 stands for "not set" in some places).
    """
    usual = dict(_leaves(defaults, ""))
    for key, value in _leaves(config, ""):
        if value == usual.get(key):
            continue
        low, high = next((span for end, span in LIMITS.items() if f".{key}".endswith(f".{end}")), (None, None))
        if low is None:
            low, high = next((span for end, span in LIMITS.items() if key.endswith(end)), (0, 1e12))
        numbers = bool(usual.get(key)) and all(isinstance(one, (int, float)) for one in _flat(usual[key]))
        for one in _flat(value):
            if numbers and not isinstance(one, (int, float)):
                raise InputError(f"{key} is {value}; it must be of numbers, such as {usual[key]}")
            if isinstance(one, str) and any(ord(letter) < 32 or ord(letter) == 127 for letter in one):
                raise InputError(f"{key} is {one!r}, a text with control characters")
            if isinstance(one, bool) or not isinstance(one, (int, float)):
                continue
            if not low <= one <= high or not math.isfinite(one):
                raise InputError(f"{key} is {value}; it must be from {low:g} to {high:g}")


def _leaves(node: ConfigNode, prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in node.items():
        if isinstance(value, ConfigNode):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _flat(value: Any) -> Iterator[Any]:
    if isinstance(value, (list, tuple)):
        for one in value:
            yield from _flat(one)
    else:
        yield value
