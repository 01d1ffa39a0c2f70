"""The phrases of a model that is shared: embedded once, in half precision, so that nobody needs the text encoder.

All that sharing a model and the doctor know about the language keys of a configuration stands here.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch

from maskrcnn_benchmark.data.scored_predicates import scored_predicates
from maskrcnn_benchmark.modeling.language.defaults import KEY
from maskrcnn_benchmark.modeling.language.phrase_bank import PhraseBank, bank_from_config, is_bank_cached
from maskrcnn_benchmark.modeling.language.phrases import LEVELS
from maskrcnn_benchmark.modeling.roi_heads.relation_head.adapted_clip import joins_adapter
from maskrcnn_benchmark.utils.errors import InputError

BANK = "phrases.npz"
_IMAGE_KEY = "MODEL.ROI_RELATION_HEAD.SECOND_OPINION.WEIGHT"
_ADAPTER_KEY = "MODEL.ROI_RELATION_HEAD.RELCLIP.USE_ALIGNMENT"


def needs_phrases(cfg) -> bool:
    """Whether the model of a configuration is built with embedded phrases."""
    head = cfg.MODEL.ROI_RELATION_HEAD
    return cfg.MODEL.RELATION_ON and (
        (head.PREDICTOR == "RelCLIPPredictor" and head.RELCLIP.TARGETS == "text" and head.RELCLIP.VISION == "detector")
        or joins_adapter(cfg)
        or (head.PREDICT_USE_BIAS and head.PHRASE_PRIOR.ON and head.PHRASE_PRIOR.WIDTH > 0)
        or head.SECOND_OPINION.WEIGHT > 0
    )


def are_phrases_cached(cfg, names) -> bool:
    """Whether the phrases of a model are on disk, so that no text encoder is needed.

    Args:
        names: of classes and predicates, background first.
    """
    return is_bank_cached(cfg.MODEL.LANGUAGE, *_wanted(cfg, names))


def write(cfg, names, folder: str | os.PathLike) -> None:
    """Write the bank file (docs/method.md) of a model's phrases, unit vectors in half precision.

    Args:
        names: of classes and predicates, background first.

    Raises:
        InputError: the model also asks CLIP's image tower, which no folder holds.
    """
    asked = {_IMAGE_KEY: "0"} if cfg.MODEL.ROI_RELATION_HEAD.SECOND_OPINION.WEIGHT > 0 else {}
    asked |= {_ADAPTER_KEY: "False"} if joins_adapter(cfg) else {}
    if asked:
        without = " ".join(f"{key} {value}" for key, value in asked.items())
        raise InputError(
            f"{' and '.join(asked)}: the model asks CLIP's image tower, which a shared folder does not hold; export it "
            f"without, with --opts {without}, and test it so, too"
        )
    bank = bank_from_config(cfg.MODEL.LANGUAGE, *_wanted(cfg, names), torch.device(cfg.MODEL.DEVICE))
    arrays = {}
    for level, array in bank.arrays.items():
        array = array.astype(np.float32)
        arrays[level] = (array / np.linalg.norm(array, axis=-1, keepdims=True)).astype(np.float16)
    PhraseBank(bank.objects, bank.predicates, bank.templates, arrays).save(str(Path(folder) / BANK))


def name_bank(content: dict) -> None:
    """Let a configuration, as plain values, name the bank file beside it, and no place on this machine."""
    node = content["MODEL"]["LANGUAGE"]
    node["BANK_FILE"] = BANK
    del node["CACHE_DIR"]


def bank_named_in(content: dict) -> str:
    """The bank file that a configuration, as plain values, names; "" for none."""
    return content.get("MODEL", {}).get("LANGUAGE", {}).get("BANK_FILE", "")


def options(bank_file: str) -> list[str]:
    """Configuration keys and values that name a bank file."""
    return [f"{KEY}.BANK_FILE", bank_file]


def with_random_phrases(cfg, names, folder: str | os.PathLike):
    """A configuration whose phrases are random vectors in a file in `folder`: for looking at costs, not at results."""
    cfg = cfg.clone()
    if not needs_phrases(cfg):
        return cfg
    path = Path(folder) / BANK
    PhraseBank.random(*_wanted(cfg, names), seed=0).save(str(path))
    cfg.defrost()
    cfg.MODEL.LANGUAGE.BANK_FILE, cfg.MODEL.ROI_RELATION_HEAD.SECOND_OPINION.WEIGHT = str(path), 0.0
    cfg.freeze()
    return cfg


def _wanted(cfg, names) -> tuple[list[str], list[str], tuple[str, ...]]:
    """Objects, predicates and levels that the model of a configuration needs phrases of."""
    head = cfg.MODEL.ROI_RELATION_HEAD
    predicates = list(dict.fromkeys((*names.predicates[1:], *scored_predicates(cfg))))
    further = head.RELCLIP.LEVELS if head.PREDICTOR == "RelCLIPPredictor" else ()
    # what is no level is left for the predictor to complain of
    levels = tuple(level for level in dict.fromkeys(("sp", "po", *further)) if level in LEVELS)
    return names.classes[1:], predicates, levels
