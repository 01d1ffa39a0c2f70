"""The text encoder of a configuration: at hand, cached, or not needed."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from maskrcnn_benchmark.engine.shared_phrases import scores_phrases
from maskrcnn_benchmark.modeling.roi_heads.relation_head.relclip.phrase_bank import encoder_spec
from maskrcnn_benchmark.modeling.roi_heads.relation_head.relclip.text_encoder import INSTALL

from .finding import FAILS, NOTE, OK, Finding

_WHAT = "text encoder"
_CLIP_ADDRESS = "https://openaipublic.azureedge.net/clip/models"  # where the clip package downloads from


def phrases(cfg, can_reach: Callable[[str], bool]) -> Iterator[Finding]:
    """Findings about the phrases of a configuration; none where it has no use for them.

    Args:
        can_reach: whether an address can be downloaded from.
    """
    if not scores_phrases(cfg) and cfg.MODEL.ROI_RELATION_HEAD.WORD_EMBEDDING != "clip":
        return
    node = cfg.MODEL.ROI_RELATION_HEAD.RELCLIP
    if node.BANK_FILE:
        path = os.path.expanduser(node.BANK_FILE)
        if os.path.isfile(path):
            yield Finding(_WHAT, OK, f"not needed: the phrases are in {path}")
        else:
            yield Finding(_WHAT, FAILS, f"BANK_FILE {path} does not exist", "python tools/build_phrase_bank.py --help")
        return
    try:
        spec = encoder_spec(node)
        file = spec.weights_file()
    except ValueError as error:
        yield Finding(_WHAT, FAILS, str(error))
        return
    cached = list(Path(node.CACHE_DIR).expanduser().glob(f"{spec.library}-*.npy"))
    kept = f"{len(cached)} embeddings files are kept in {node.CACHE_DIR}"
    if importlib.util.find_spec(spec.library) is None:
        state = NOTE if cached else FAILS
        found = f"{spec.library} is not installed" + (
            f"; {kept}, which may be the ones that are needed" if cached else ""
        )
        yield Finding(_WHAT, state, found, INSTALL[spec.library])
    elif file is not None:
        yield Finding(_WHAT, OK, f"{spec.library}, weights in {file}")
    elif spec.library == "clip" and not (place := _clip_weights(spec.name)).is_file():
        found = f"{spec.library} {spec.name} is not in {place}"
        state = NOTE if cached or can_reach(_CLIP_ADDRESS) else FAILS
        found += f"; {kept}, perhaps those that it needs" if cached else " yet; the first use downloads it"
        yield Finding(_WHAT, state, found, "python tools/get_data.py clip")
    else:
        yield Finding(_WHAT, OK, f"{spec.library} {spec.name} {spec.pretrained}".rstrip())


def _clip_weights(name: str) -> Path:
    """Where the clip package keeps what it downloads."""
    return Path("~/.cache/clip").expanduser() / f"{name.replace('/', '-')}.pt"
