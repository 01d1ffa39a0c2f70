"""The text encoder of a configuration: at hand, or not needed because its embeddings are."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from maskrcnn_benchmark.engine.shared_phrases import are_phrases_cached, needs_phrases
from maskrcnn_benchmark.modeling.language.phrase_bank import encoder_spec
from maskrcnn_benchmark.modeling.language.text_encoder import INSTALL
from maskrcnn_benchmark.modeling.roi_heads.relation_head.second_opinion import asks_clip

from .finding import FAILS, NOTE, OK, Finding

_WHAT = "text encoder"
_CLIP_ADDRESS = "https://openaipublic.azureedge.net/clip/models"  # where the clip package downloads from


def text_encoder(cfg, names, can_reach: Callable[[str], bool]) -> Iterator[Finding]:
    """Findings about the text encoder of a configuration; none where it has no use for one.

    Args:
        names: of classes and predicates, background first; None where they are not known.
        can_reach: whether an address can be downloaded from.
    """
    head, node = cfg.MODEL.ROI_RELATION_HEAD, cfg.MODEL.LANGUAGE
    needs_tower = asks_clip(cfg) or head.WORD_EMBEDDING == "clip"
    if not needs_tower and not needs_phrases(cfg):
        return
    if node.BANK_FILE and not needs_tower:
        path = os.path.expanduser(node.BANK_FILE)
        if os.path.isfile(path):
            yield Finding(_WHAT, OK, f"not needed: the phrases are in {path}")
        else:
            yield Finding(_WHAT, FAILS, f"MODEL.LANGUAGE.BANK_FILE {path} does not exist",
                          f"python tools/build_phrase_bank.py --output {path}")  # fmt: skip
        return
    try:
        spec = encoder_spec(node)
        file = spec.weights_file()
        if not needs_tower and names is not None and are_phrases_cached(cfg, names):
            yield Finding(_WHAT, OK, f"not needed: the embeddings of all phrases are in {node.CACHE_DIR}")
            return
    except ValueError as error:  # LanguageError: a key with a value that it cannot have, or a missing file
        yield Finding(_WHAT, FAILS, str(error))
        return
    what = f"{spec.library} {spec.name} {spec.pretrained}".rstrip()
    is_installed = importlib.util.find_spec(spec.library) is not None
    if is_installed:
        yield Finding(_WHAT, OK, f"{what}, weights in {file}" if file else what)
    else:
        yield Finding(_WHAT, FAILS, f"{spec.library} is not installed", INSTALL[spec.library])
    if spec.library == "clip" and not file and not (place := _clip_weights(spec.name)).is_file():
        state = NOTE if can_reach(_CLIP_ADDRESS) else FAILS
        found = f"those of {what} are not in {place} yet; the first use downloads them"
        yield Finding("its weights", state, found, "python tools/get_data.py clip")


def _clip_weights(name: str) -> Path:
    """Where the clip package keeps what it downloads."""
    return Path("~/.cache/clip").expanduser() / f"{name.replace('/', '-')}.pt"
