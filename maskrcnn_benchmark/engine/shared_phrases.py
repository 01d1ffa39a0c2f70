"""The phrases of a model that is shared: embedded once, in half precision, so that nobody needs the text encoder.

All that the sharing of models knows about the language keys of a configuration stands here.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch

from maskrcnn_benchmark.data.scored_predicates import scored_predicates
from maskrcnn_benchmark.modeling.roi_heads.relation_head.relclip.phrase_bank import PhraseBank, bank_from_config
from maskrcnn_benchmark.utils.errors import InputError

BANK = "phrases.npz"
_NODE = ("MODEL", "ROI_RELATION_HEAD", "RELCLIP")
_BANK_KEY, _CACHE_KEY = "BANK_FILE", "CACHE_DIR"
_IMAGE_KEY = "MODEL.ROI_RELATION_HEAD.RELCLIP.IMAGE_WEIGHT"


def scores_phrases(cfg) -> bool:
    """Whether the model of a configuration is built with embedded phrases."""
    return cfg.MODEL.RELATION_ON and cfg.MODEL.ROI_RELATION_HEAD.PREDICTOR == "RelCLIPPredictor"


def write(cfg, names, folder: str | os.PathLike) -> None:
    """Write the bank file (docs/method.md) of a model's phrases, unit vectors in half precision.

    Args:
        names: of classes and predicates, background first.

    Raises:
        InputError: the model also asks CLIP's image tower, which no folder holds.
    """
    node = _node(cfg)
    if node.IMAGE_WEIGHT > 0:
        raise InputError(
            f"{_IMAGE_KEY} is {node.IMAGE_WEIGHT}: the model asks CLIP's image tower, which a shared folder does not "
            f"hold; export it without, with --opts {_IMAGE_KEY} 0, and test it so, too"
        )
    bank = bank_from_config(node, *_wanted(cfg, names), torch.device(cfg.MODEL.DEVICE))
    arrays = {}
    for level, array in bank.arrays.items():
        array = array.astype(np.float32)
        arrays[level] = (array / np.linalg.norm(array, axis=-1, keepdims=True)).astype(np.float16)
    PhraseBank(bank.objects, bank.predicates, bank.templates, arrays).save(str(Path(folder) / BANK))


def name_bank(content: dict) -> None:
    """Let a configuration, as plain values, name the bank file beside it, and no place on this machine."""
    node = _node(content)
    node[_BANK_KEY] = BANK
    node.pop(_CACHE_KEY, None)


def bank_named_in(content: dict) -> str:
    """The bank file that a configuration names; "" for none."""
    node = content
    for group in _NODE:
        node = (node or {}).get(group)
    return (node or {}).get(_BANK_KEY, "")


def options(bank_file: str) -> list[str]:
    """Configuration keys and values that name a bank file."""
    return [".".join((*_NODE, _BANK_KEY)), bank_file]


def _wanted(cfg, names) -> tuple[list[str], list[str], tuple[str, ...]]:
    """Objects, predicates and levels that the model of a configuration needs phrases of."""
    predicates = list(dict.fromkeys((*names.predicates[1:], *scored_predicates(cfg))))
    return names.classes[1:], predicates, tuple(dict.fromkeys(("sp", "po", *_node(cfg).LEVELS)))


def _node(content):
    for group in _NODE:
        content = content[group]
    return content


def with_random_phrases(cfg, names, folder: str | os.PathLike):
    """A configuration whose phrases are random vectors in a file in `folder`: for looking at costs, not at results."""
    cfg = cfg.clone()
    if not scores_phrases(cfg):
        return cfg
    node, path = _node(cfg), Path(folder) / BANK
    PhraseBank.random(*_wanted(cfg, names), seed=0).save(str(path))
    cfg.defrost()
    node[_BANK_KEY], node.IMAGE_WEIGHT = str(path), 0.0
    cfg.freeze()
    return cfg
