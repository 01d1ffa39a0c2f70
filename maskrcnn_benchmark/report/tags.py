"""What a run is called: derived from its configuration, or said by `run.json` in its output directory."""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import Any

from maskrcnn_benchmark.utils import json_schemas
from maskrcnn_benchmark.utils.errors import InputError
from maskrcnn_benchmark.utils.json_files import read_json

HEAD = "MODEL.ROI_RELATION_HEAD."
_CONTEXTS = {"motifs": "Motifs", "vctree": "VCTree", "transformer": "Transformer", "vtranse": "VTransE"}
_MODELS = {"MotifPredictor": "Motifs", "VCTreePredictor": "VCTree", "TransformerPredictor": "Transformer",
           "IMPPredictor": "IMP"}  # fmt: skip


def read_tags(path: Path) -> dict[str, Any]:
    """The tags of a `run.json`.

    Raises:
        InputError: a tag that there is not, or of another type.
    """
    tags = read_json(path, json_schemas.Tags, "run file")
    known = json_schemas.Tags.__annotations__
    if unknown := sorted(set(tags) - set(known)):
        raise InputError(f"{path} has the tag {unknown[0]!r}; tags are {', '.join(known)}")
    return tags


def derive_tags(config: dict[str, Any]) -> dict[str, Any]:
    """Model, supervision, bias and text, as far as a configuration tells.

    Args:
        config: {dotted key: value}.
    """
    return {
        "model": _model(config),
        "supervision": _supervision(config),
        "bias": bool(config.get(HEAD + "PREDICT_USE_BIAS", True)),
        "text": _text(config),
    }


def _model(config: dict[str, Any]) -> str:
    predictor = config[HEAD + "PREDICTOR"]
    if predictor == "RelCLIPPredictor":
        context = config.get(HEAD + "RELCLIP.CONTEXT", "")
        return f"RelCLIP-{_CONTEXTS[context]}" if context in _CONTEXTS else "RelCLIP"
    if predictor == "CausalAnalysisPredictor":
        context, effect = config[HEAD + "CAUSAL.CONTEXT_LAYER"], config[HEAD + "CAUSAL.EFFECT_TYPE"]
        return f"{_CONTEXTS.get(context, context)}-{'causal' if effect == 'none' else effect}"
    return _MODELS.get(predictor, predictor.removesuffix("Predictor"))


def _supervision(config: dict[str, Any]) -> str:
    """Distant labels are an ordinary data set, so only its name or its folder can tell."""
    folder = PurePath(str(config.get("DATASETS.DATA_DIR", ""))).name
    names = (folder, *config.get("DATASETS.TRAIN", ()))
    return "distant" if any("distant" in name.lower() for name in names) else "full"


def _text(config: dict[str, Any]) -> str:
    """The source of what a model knows of words: RelCLIP's phrases, or a baseline's word embeddings."""
    embedding = config.get(HEAD + "WORD_EMBEDDING", "glove")
    if config[HEAD + "PREDICTOR"] != "RelCLIPPredictor" and embedding != "clip":
        return embedding
    source = config.get("MODEL.LANGUAGE.BANK_FILE") or config.get("MODEL.LANGUAGE.NAME", embedding)
    return file_stem(source)


def file_stem(name: str) -> str:
    """`clip/small.pt` -> `small`; names of models, such as `ViT-B/32`, stay."""
    return PurePath(name).stem if PurePath(name).suffix else name
