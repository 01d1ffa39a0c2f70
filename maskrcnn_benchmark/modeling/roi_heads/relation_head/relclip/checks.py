"""Settings that cannot be, refused in one sentence before anything is built."""

from __future__ import annotations

import math
from typing import Any, List, Sequence

from .defaults import KEY
from .errors import RelCLIPError
from .negatives import KINDS
from .pair_images import FITS
from .phrases import LEVELS


def check_classes(key: str, configured: int, names: Sequence[str]) -> None:
    """Refuse a class count that does not fit the data set."""
    if configured != len(names):
        raise RelCLIPError(
            f"{key} is {configured}, but the data set's dictionary has {len(names)} classes (background included)."
        )


def check_node(node: Any, use_bias: bool) -> None:
    """Refuse values that the node's keys cannot have, and combinations that leave nothing to score predicates with."""
    choices = {"NEGATIVES": KINDS, "DICTIONARY": ("train", "full"), "BIAS": ("phrases", "triplets"), "IMAGE_FIT": FITS}
    for key, allowed in choices.items():
        if node[key] not in allowed:
            raise RelCLIPError(f"{KEY}.{key} is {node[key]!r}; it can be {', '.join(allowed)}.")
    levels: List[str] = list(node.LEVELS)
    if not levels or len(set(levels)) < len(levels) or not set(levels) <= set(LEVELS):
        raise RelCLIPError(f"{KEY}.LEVELS is {tuple(levels)}; it can hold {', '.join(LEVELS)}, each once.")
    if not (node.USE_BASE or node.USE_ALIGNMENT or use_bias):
        raise RelCLIPError(
            f"nothing scores predicates: {KEY}.USE_BASE, {KEY}.USE_ALIGNMENT and "
            f"MODEL.ROI_RELATION_HEAD.PREDICT_USE_BIAS are all False."
        )
    if not 0 <= node.IMAGE_WEIGHT < math.inf or node.IMAGE_PAIRS < 1 or not 0 <= node.IMAGE_MARGIN <= 10:
        raise RelCLIPError(
            f"{KEY}.IMAGE_WEIGHT is {node.IMAGE_WEIGHT}, IMAGE_PAIRS {node.IMAGE_PAIRS}, IMAGE_MARGIN "
            f"{node.IMAGE_MARGIN}; the weight can be 0 or more, the pairs 1 or more, the margin 0 to 10."
        )
    if not 0 <= node.SUBSTITUTION_RATE < 1 or not 0 < node.SUBSTITUTION_WIDTH < math.inf:
        raise RelCLIPError(
            f"{KEY}.SUBSTITUTION_RATE is {node.SUBSTITUTION_RATE}, SUBSTITUTION_WIDTH {node.SUBSTITUTION_WIDTH}; the "
            f"rate can be 0 to below 1, the width more than 0."
        )
    if node.IMAGE_WEIGHT > 0 and node.BANK_FILE:
        raise RelCLIPError(
            f"{KEY}.IMAGE_WEIGHT asks a CLIP for both of its towers, and {KEY}.BANK_FILE has phrases of an unknown "
            f"encoder; leave one of them out."
        )
    if node.TEST_PREDICATES and (node.USE_BASE or use_bias or not node.USE_ALIGNMENT):
        raise RelCLIPError(
            f"{KEY}.TEST_PREDICATES are scored by their phrases alone: set {KEY}.USE_BASE and "
            f"MODEL.ROI_RELATION_HEAD.PREDICT_USE_BIAS to False and {KEY}.USE_ALIGNMENT to True."
        )
