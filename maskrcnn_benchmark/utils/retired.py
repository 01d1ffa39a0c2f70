"""What earlier versions of this project wrote and this one cannot read, with a sentence about what became of it."""

from __future__ import annotations

from collections.abc import Iterable

_RELCLIP = "MODEL.ROI_RELATION_HEAD.RELCLIP."
_PRIOR, _OPINION = "MODEL.ROI_RELATION_HEAD.PHRASE_PRIOR", "MODEL.ROI_RELATION_HEAD.SECOND_OPINION"
# Configuration keys, and groups of them.
_KEYS = {
    _RELCLIP + "TEXT_ENCODER": "it is MODEL.LANGUAGE now, with LIBRARY, NAME and PRETRAINED",
    _RELCLIP + "BANK_FILE": "it is MODEL.LANGUAGE.BANK_FILE now",
    _RELCLIP + "CACHE_DIR": "it is MODEL.LANGUAGE.CACHE_DIR now",
    _RELCLIP + "TEMPLATES": "they are MODEL.LANGUAGE.TEMPLATES now",
    _RELCLIP + "BIAS": f"the bias 'phrases' is {_PRIOR}.ON now, for every predictor",
    _RELCLIP + "BIAS_WIDTH": f"it is {_PRIOR}.WIDTH now",
    _RELCLIP + "BIAS_LEAVE_OUT": f"it is {_PRIOR}.LEAVE_OUT now",
    _RELCLIP + "IMAGE_WEIGHT": f"it is {_OPINION}.WEIGHT now, for every predictor",
    _RELCLIP + "IMAGE_PAIRS": f"it is {_OPINION}.PAIRS now",
    _RELCLIP + "IMAGE_FIT": f"it is {_OPINION}.FIT now",
    _RELCLIP + "IMAGE_MARGIN": f"it is {_OPINION}.MARGIN now",
    **dict.fromkeys(
        (_RELCLIP + "SUBSTITUTION_RATE", _RELCLIP + "SUBSTITUTION_WIDTH"),
        "names of similar classes in training brought nothing and are gone",
    ),
    _RELCLIP + "KEEP_SYNONYMS": f"its value True is {_RELCLIP}SYNONYMS none now",
    **dict.fromkeys(
        (_RELCLIP + "PHRASE_SYNONYM_THRESHOLD", _RELCLIP + "PREDICATE_SYNONYM_THRESHOLD"),
        f"antonyms are as alike as synonyms, so a threshold alone does not tell which are: see {_RELCLIP}SYNONYMS",
    ),
    _RELCLIP + "CENTER": "centred phrases made no difference and are gone",
    _RELCLIP + "SCALE_MAX": "it is 100, as in CLIP",
    _RELCLIP + "SCALE_LR_FACTOR": "tau learns at the rate of the other parameters",
    _RELCLIP + "LOG_PERIOD": "tau and the alignment's accuracy are in metrics.json and in the log",
}
# Parts of the names of tensors.
_TENSORS = {
    ".predictor.projections.": (
        "it was trained by an earlier RelCLIP, whose two projections had a first layer each, where there is one for "
        "both now (predictor.relclip.embedding), and tau another learning rate; train it anew, or test it with the "
        "version that trained it"
    ),
}


def retired_key(key: str) -> str | None:
    """What became of a configuration key, or of a group that it is in; None where this project never had it."""
    parts = key.split(".")
    return next((_KEYS[name] for i in range(len(parts), 0, -1) if (name := ".".join(parts[:i])) in _KEYS), None)


def retired_tensors(names: Iterable[str]) -> str | None:
    """Why a state dict with these names cannot be read; None where nothing speaks against it."""
    return next((why for name in names for part, why in _TENSORS.items() if part in f".{name}"), None)
