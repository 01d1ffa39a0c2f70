"""Models as folders that can be shared: written by `save_pretrained`, read by `load_pretrained`, here or from the hub.

A folder holds `model.safetensors`; `config.yml`; `names.json`, the names of classes and predicates in the format of
Visual Genome's dictionary; `phrases.npz` where the model scores phrases, so that no text encoder is needed; the
`evaluation.json` of its test; and a README, the model card. Nothing in it can run code.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
import yaml
from safetensors.torch import save_file
from torch import nn

from maskrcnn_benchmark.config import cfg as default_config
from maskrcnn_benchmark.config.load import load_config
from maskrcnn_benchmark.data import use_statistics
from maskrcnn_benchmark.data.datasets.vg_format import load_info
from maskrcnn_benchmark.modeling.detector import build_detection_model
from maskrcnn_benchmark.utils.errors import InputError
from maskrcnn_benchmark.utils.files import atomic_folder
from maskrcnn_benchmark.utils.hub import SCHEME, Repository, hub_file
from maskrcnn_benchmark.utils.model_serialization import load_state_dict
from maskrcnn_benchmark.utils.safe_pickle import load_checkpoint, load_safetensors
from maskrcnn_benchmark.utils.yaml_files import read_yaml

from . import shared_phrases
from .model_card import model_card

WEIGHTS, CONFIG, NAMES, EVALUATION, CARD = (
    "model.safetensors",
    "config.yml",
    "names.json",
    "evaluation.json",
    "README.md",
)
# Keys that name places on one machine, or the machine itself: a shared configuration has their defaults.
_LOCAL_KEYS = (
    "MODEL.WEIGHT", "MODEL.PRETRAINED_DETECTOR_CKPT", "MODEL.DEVICE", "MODEL.BACKBONE.FEATURE_CACHE",
    "MODEL.ROI_RELATION_HEAD.SECOND_OPINION.CROP_CACHE", "MODEL.ROI_RELATION_HEAD.RELCLIP.ADAPTER",
    "DATASETS.DATA_DIR", "TEST.CUSTUM_EVAL", "TEST.CUSTUM_PATH", "TEST.RELATION.ZERO_SHOT_TRIPLETS",
    "OUTPUT_DIR", "DETECTED_SGG_DIR", "GLOVE_DIR", "PATHS_CATALOG",
)  # fmt: skip


class Names(NamedTuple):
    """Names by number, background first; a detector has no predicates."""

    classes: list[str]
    predicates: list[str]


def save_pretrained(
    model: nn.Module,
    cfg,
    folder: str | os.PathLike,
    names: Names,
    evaluation: Mapping[str, Any] | None = None,
    title: str = "",
) -> Path:
    """Write a trained model as a folder that `load_pretrained` reads on any machine.

    Phrases are embedded as `cfg` says, so its text encoder, the cache of embeddings or the bank file must be at hand.

    Args:
        model: of `build_detection_model`; may be wrapped for distributed training.
        cfg: the configuration that it was built with.
        folder: must not exist yet.
        names: of its classes and predicates.
        evaluation: content of the evaluation.json of its test, for the record and the model card.
        title: of the model card; "" for the folder's name.

    Returns:
        the folder.

    Raises:
        InputError: the folder exists, or the model needs a part of CLIP that a folder cannot hold.
    """
    model = getattr(model, "module", model)
    content = _shared_config(cfg)
    with atomic_folder(folder) as temporary:
        if shared_phrases.needs_phrases(cfg):
            shared_phrases.write(cfg, names, temporary)
            shared_phrases.name_bank(content)
        # A copy of each: safetensors refuses tensors that share memory.
        tensors = {name: value.detach().cpu().clone().contiguous() for name, value in model.state_dict().items()}
        save_file(tensors, temporary / WEIGHTS, metadata={"format": "pt"})
        (temporary / CONFIG).write_text(yaml.safe_dump(content), encoding="utf-8")
        _write_json(temporary / NAMES, dictionary_of(names))
        if evaluation is not None:
            _write_json(temporary / EVALUATION, dict(evaluation))
        (temporary / CARD).write_text(model_card(cfg, names, title or Path(folder).name, evaluation), encoding="utf-8")
        for file in temporary.iterdir():
            file.chmod(0o644)  # some writers keep what they write to themselves
    return Path(folder)


def load_pretrained(source: str | os.PathLike, opts: Sequence = ()) -> tuple[Any, nn.Module, Names]:
    """Read a folder of `save_pretrained`, or the same from the hub.

    Neither a data set nor word vectors nor a text encoder is needed.

    Args:
        source: a folder, or `owner/name[@revision]` of the hub, with or without `hf://`. A folder wins.
        opts: further configuration keys and values, such as ["MODEL.DEVICE", "cpu"].

    Returns:
        frozen configuration, model on its device and in evaluation mode, names.

    Raises:
        InputError: no such folder or repository, a file that is missing in it, or weights that do not fit.
    """
    find = _finder(source)
    content = read_yaml(find(CONFIG), "configuration file")
    bank = shared_phrases.bank_named_in(content)
    options = [*(shared_phrases.options(find(bank)) if bank else ()), *opts]
    classes, predicates, _ = load_info(find(NAMES))
    weights = find(WEIGHTS)
    names = Names(classes, predicates)
    cfg, model = build_without_data(load_config(find(CONFIG), options), names)
    load_state_dict(model, load_safetensors(weights), source=weights, needs=("",))
    return cfg, model, names


def is_pretrained(source: str | os.PathLike) -> bool:
    """Whether `load_pretrained` can take it: a folder with a configuration and weights, or a repository of the hub."""
    folder = Path(source)
    if folder.exists():
        return (folder / CONFIG).is_file() and (folder / WEIGHTS).is_file()
    return Repository.parse(os.fspath(source)) is not None


def names_of(checkpoint: str) -> Names | None:
    """The names of classes and predicates that come with a checkpoint; None where none do, as with those of SGB.

    Args:
        checkpoint: a file of a training here; or a `model.safetensors`, whose names.json lies beside it. The address of
            one on the hub is fine, too.
    """
    is_on_hub = checkpoint.startswith(SCHEME)
    if checkpoint.endswith(".safetensors"):
        beside = f"{checkpoint.rpartition('/')[0] or '.'}/{NAMES}"
        if is_on_hub or os.path.isfile(beside):
            classes, predicates, _ = load_info(hub_file(beside) if is_on_hub else beside)
            return Names(classes, predicates)
        return None
    content = load_checkpoint(hub_file(checkpoint) if is_on_hub else checkpoint, mmap=True)
    if not content.get("obj_classes"):
        return None
    return Names(list(content["obj_classes"]), list(content.get("rel_classes") or []))


def build_without_data(cfg, names: Names) -> tuple[Any, nn.Module]:
    """A model whose tensors a checkpoint will fill: neither word vectors nor counts of a training set are read.

    The class counts of the configuration are set to the numbers of names.

    Returns:
        the frozen configuration, and the model on its device and in evaluation mode.
    """
    cfg = cfg.clone()
    cfg.defrost()
    cfg.MODEL.ROI_BOX_HEAD.NUM_CLASSES = len(names.classes)
    if cfg.MODEL.RELATION_ON:
        head = cfg.MODEL.ROI_RELATION_HEAD
        head.NUM_CLASSES, head.WORD_EMBEDDING = len(names.predicates), "random"
        head.RELCLIP.SYNONYMS = "none"  # they count in training only
    cfg.freeze()
    with use_statistics(_even_statistics(names)):
        model = build_detection_model(cfg).to(cfg.MODEL.DEVICE).eval()
    return cfg, model


def dictionary_of(names: Names) -> dict[str, dict]:
    """Names in the format of Visual Genome's dictionary json, which leaves background out."""
    content: dict[str, dict] = {}
    for kind, listed in (("label", names.classes), ("predicate", names.predicates)):
        numbered = {name: number for number, name in enumerate(listed) if number}
        content[f"{kind}_to_idx"] = numbered
        content[f"idx_to_{kind}"] = {str(number): name for name, number in numbered.items()}
    return content


def _even_statistics(names: Names) -> dict:
    """Even counts, in the place of those of a training set; all that follows from them is overwritten on loading."""
    counts = torch.ones(len(names.classes), len(names.classes), max(len(names.predicates), 1))
    return {
        "fg_matrix": counts.long(),
        "pred_dist": counts,
        "obj_classes": names.classes,
        "rel_classes": names.predicates,
        "att_classes": [],
    }


def _shared_config(cfg) -> dict:
    """A configuration as plain values, without what holds on this machine alone."""
    shared = cfg.clone()
    shared.defrost()
    for key in _LOCAL_KEYS:
        *groups, name = key.split(".")
        node, default = shared, default_config
        for group in groups:
            node, default = node[group], default[group]
        node[name] = default[name]
    content = yaml.safe_load(shared.dump())
    del content["MODEL"]["DEVICE"], content["PATHS_CATALOG"]  # what their defaults are depends on the machine
    return content


def _finder(source: str | os.PathLike) -> Callable[[str], str]:
    """A function that gives the path of a file of the source by its name."""
    folder = Path(source)
    if folder.is_dir():

        def find(name: str) -> str:
            if not (folder / name).is_file():
                raise InputError(f"{folder} has no {name}: it is no folder that tools/export_model.py wrote")
            return str(folder / name)

        return find
    repository = Repository.parse(os.fspath(source))
    if repository is None or folder.exists():
        raise InputError(f"{source} is neither a folder nor a model of the hub (owner/name)")
    at = f"@{repository.revision}" if repository.revision else ""

    def find_on_hub(name: str) -> str:
        try:
            return hub_file(f"{SCHEME}{repository.name}{at}/{name}")
        except InputError as error:
            if os.fspath(source).startswith(SCHEME) or name != CONFIG:
                raise
            raise InputError(f"{source} is neither a folder in {Path.cwd()} nor a model of the hub: {error}") from error

    return find_on_hub


def _write_json(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
