"""By what a run is known again, and what may change within one."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Iterator
from typing import Any

from torch import nn

from maskrcnn_benchmark.config.paths_catalog import load_catalog

from .model_serialization import part_of, strip_prefix_if_present
from .safe_pickle import load_checkpoint, state_dict_of

# Keys that name a place, the machine, or what only evaluation reads.
_FREE = (
    "MODEL.DEVICE", "MODEL.WEIGHT", "MODEL.PRETRAINED_DETECTOR_CKPT", "MODEL.BACKBONE.FEATURE_CACHE",
    "MODEL.LANGUAGE.CACHE_DIR", "MODEL.LANGUAGE.BANK_FILE", "MODEL.LANGUAGE.NAME",
    "MODEL.ROI_RELATION_HEAD.SECOND_OPINION",
    "DATASETS.DATA_DIR", "DATASETS.VAL", "DATASETS.TEST", "DATASETS.TO_TEST",
    "DATALOADER.NUM_WORKERS", "INPUT.MIN_SIZE_TEST", "INPUT.MAX_SIZE_TEST",
)  # fmt: skip
_OWN = ("MODEL", "DATASETS")  # what makes a run
_SHOWN = 6  # differences in a message
_SETTINGS = ("SOLVER", "INPUT", "DATALOADER", "DTYPE")  # what may change within one


def run_identity(cfg) -> dict[str, Any]:
    """What makes a run: the model's settings, the training set, its class names, and the weights that it begins with.

    Returns:
        {key of the configuration, or what it is in words: value}; what cannot be known here is left out.
    """
    run = dict(_leaves(cfg, _OWN))
    weights = "PRETRAINED_DETECTOR_CKPT" if cfg.MODEL.RELATION_ON else "WEIGHT"
    run[f"MODEL.{weights}"] = _describe_weights(cfg.MODEL[weights])
    if "LANGUAGE" in cfg.MODEL:
        run["MODEL.LANGUAGE.NAME"] = _describe_weights(cfg.MODEL.LANGUAGE.NAME)
    for name in cfg.DATASETS.TRAIN:
        files = load_catalog(cfg).DatasetCatalog.get(name, cfg)["args"]
        labels, names = files.get("roidb_file", ""), files.get("dict_file", "")
        if os.path.isfile(labels):
            run[f"the labels of {name}"] = _digest(labels, os.path.getsize(labels), os.stat(labels).st_mtime_ns)
        if os.path.isfile(names):
            run[f"the classes of {name}"], run[f"the predicates of {name}"] = _names(names)
    return run


def settings_of(cfg) -> dict[str, Any]:
    """Settings that a run goes on with where they change: solver, sizes of images, precision."""
    return dict(_leaves(cfg, _SETTINGS))


def changed_settings(cfg, before: Any) -> list[str]:
    """In what `settings_of` differ from those of a checkpoint, in words; nothing where that does not say."""
    return _differences(settings_of(cfg), before) if isinstance(before, dict) else []


def run_differences(cfg, f: str, model: nn.Module | None = None, run: dict[str, Any] | None = None) -> list[str]:
    """In what the run of a checkpoint differs from that of a configuration, in words; nothing where it is the same.

    Args:
        model: tells whether a checkpoint of SGB, which does not say what it is of, is of such a model.
        run: `run_identity` of the configuration, where it is known.

    Raises:
        InputError: a file that cannot be read.
    """
    checkpoint = load_checkpoint(f, mmap=True)
    if "run" in checkpoint:
        return _differences(run or run_identity(cfg), checkpoint["run"])
    # one of SGB: all that tells is whether it holds a training state of such a model
    lacks = {"optimizer", "iteration"} - checkpoint.keys()
    if model is not None:
        names = strip_prefix_if_present(state_dict_of(f, checkpoint.get("model"), "'model'"), "module.")
        lacks |= {part_of(name) for name in model.state_dict()} - {part_of(name) for name in names}
    return [f"it has no {part}" for part in sorted(lacks)]


def other_run(f: str, differences: list[str]) -> str:
    """The sentence that refuses to go on from a checkpoint of another run."""
    more = f" and {len(differences) - _SHOWN} more differences" if len(differences) > _SHOWN else ""
    return (
        f"{f} is of another run ({'; '.join(differences[:_SHOWN])}{more}): choose another OUTPUT_DIR, or give "
        "--start-anew, which sets the old run aside"
    )


def _leaves(cfg, groups: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    for key in groups:
        if key in _FREE:
            continue
        node: Any = cfg
        for part in key.split("."):
            node = node[part]
        if isinstance(node, dict):
            yield from _leaves(cfg, tuple(f"{key}.{name}" for name in sorted(node)))
        else:
            yield key, node


@functools.lru_cache(maxsize=8)
def _digest(path: str, size: int, written: int) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while block := stream.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def _names(path: str) -> tuple[list[str], list[str]]:
    from maskrcnn_benchmark.data.datasets.vg_format import load_info  # which imports much

    return load_info(path)[:2]


def _describe_weights(path: str) -> dict[str, Any]:
    """By what weights are known again: their path or address and, for a file, its size in bytes."""
    size = os.path.getsize(path) if os.path.isfile(path) else None
    return {"path": path, "bytes": size}


def _differences(here: dict[str, Any], there: dict[str, Any]) -> list[str]:
    """In what this run and that of a checkpoint differ, in words; what only one of them says does not count."""
    found = []
    for key, value in here.items():
        if key not in there:
            continue
        other = there[key]
        if isinstance(value, dict) and isinstance(other, dict):
            if _same_weights(value, other):
                continue
            value, other = value["path"], other.get("path")
        if isinstance(value, list) and isinstance(other, list):
            value, other = _first_difference(value, other)
        if _plain(value) != _plain(other):
            found.append(
                f"{key} are others" if key.startswith("the labels") else f"{key} is {value} now and was {other}"
            )
    return found


def _plain(value: Any) -> Any:
    """A value as it compares: a list is as good as a tuple."""
    return tuple(map(_plain, value)) if isinstance(value, (list, tuple)) else value


def _first_difference(here: list, there: list) -> tuple[Any, Any]:
    """The first place at which two lists of names differ; their lengths, where one is longer."""
    if len(here) != len(there):
        return f"a list of {len(here)}", f"one of {len(there)}"
    places = enumerate(zip(here, there, strict=True))
    return next(((f"{a!r} at {place}", f"{b!r} there") for place, (a, b) in places if a != b), ("", ""))


def _same_weights(here: dict[str, Any], there: dict[str, Any]) -> bool:
    """Whether two descriptions mean the same weights: none named now, one path, or a file that was moved."""
    if not here["path"] or here["path"] == there.get("path"):
        return True
    same_name = os.path.basename(here["path"]) == os.path.basename(str(there.get("path") or ""))
    return here["bytes"] is not None and here["bytes"] == there.get("bytes") and same_name
