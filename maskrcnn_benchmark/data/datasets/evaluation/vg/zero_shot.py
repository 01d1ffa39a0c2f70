"""Which triplets of (subject class, object class, predicate) count as zero-shot: those that training never shows."""

from __future__ import annotations

import json
import logging
import os
from dataclasses import dataclass

import numpy as np

from maskrcnn_benchmark.config.paths_catalog import load_catalog
from maskrcnn_benchmark.data.datasets.visual_genome import load_graphs
from maskrcnn_benchmark.utils.errors import InputError
from maskrcnn_benchmark.utils.files import atomic_write
from maskrcnn_benchmark.utils.safe_pickle import load_torch

from .ranks import contains_triplets

_KEY = "TEST.RELATION.ZERO_SHOT_TRIPLETS"
_NONE = np.zeros((0, 3), dtype=np.int64)


@dataclass(frozen=True)
class ZeroShot:
    """The zero-shot triplets, and what training shows instead.

    Attributes:
        triplets: int64 [Z, 3] of (subject class, object class, predicate).
        trained: int64 [U, 3], the different triplets of the training set; None where the configuration names none.
    """

    triplets: np.ndarray
    trained: np.ndarray | None

    def kinds(self, triplets: np.ndarray) -> dict[str, np.ndarray]:
        """Zero-shot triplets apart by how new they are.

        Args:
            triplets: int [T, 3].

        Returns:
            `seen_pair`: the two classes occur in training with other predicates; `new_pair`: they do not. Both are
            bool [T]; nothing where the training set is not known.
        """
        if self.trained is None:
            return {}
        zero_shot = contains_triplets(triplets, self.triplets)
        seen = contains_triplets(triplets[:, :2], self.trained[:, :2])
        return {"seen_pair": zero_shot & seen, "new_pair": zero_shot & ~seen}


def load_zero_shot(cfg, dataset) -> ZeroShot:
    """The zero-shot triplets of TEST.RELATION.ZERO_SHOT_TRIPLETS, or else those of `dataset` that training never shows.

    Raises:
        InputError: a file that is missing, malformed, or names classes that the data set lacks.
    """
    trained = training_triplets(cfg) if cfg.DATASETS.TRAIN else None
    path = cfg.TEST.RELATION.ZERO_SHOT_TRIPLETS
    if path:
        return ZeroShot(read_triplets(path, dataset.ind_to_classes, dataset.ind_to_predicates), trained)
    if trained is None:
        logging.getLogger("maskrcnn_benchmark").warning(
            "no zero-shot recall: neither %s nor DATASETS.TRAIN is given, so what training shows is not known", _KEY
        )
        return ZeroShot(_NONE, None)
    evaluated = distinct_triplets(dataset.gt_classes, dataset.relationships)
    return ZeroShot(evaluated[~contains_triplets(evaluated, trained)], trained)


def distinct_triplets(gt_classes: list[np.ndarray], relationships: list[np.ndarray]) -> np.ndarray:
    """The different (subject class, object class, predicate) of a split.

    Args:
        gt_classes: classes of each image's boxes, int [n].
        relationships: (subject index, object index, predicate) of each image's relations, int [m, 3].

    Returns:
        int64 [U, 3], sorted.
    """
    rows = [np.column_stack((c[r[:, 0]], c[r[:, 1]], r[:, 2])) for c, r in zip(gt_classes, relationships, strict=True)]
    return np.unique(np.concatenate([_NONE, *rows]), axis=0).astype(np.int64)


def training_triplets(cfg) -> np.ndarray:
    """The different triplets of DATASETS.TRAIN, int64 [U, 3]; all annotated relations count, overlapping boxes or not.

    Kept in OUTPUT_DIR/training_triplets.json and counted again when the data sets or their files change.
    """
    catalog = load_catalog(cfg).DatasetCatalog
    sources = [catalog.get(name, cfg)["args"] for name in cfg.DATASETS.TRAIN]
    key = [_signature(name, args) for name, args in zip(cfg.DATASETS.TRAIN, sources, strict=True)]
    path = os.path.join(cfg.OUTPUT_DIR, "training_triplets.json")
    if (cached := _read_cache(path, key)) is not None:
        return cached
    triplets = []
    for args in sources:
        graphs = load_graphs(args["roidb_file"], "train", -1, args["num_val_im"], True, False)
        triplets.append(distinct_triplets(graphs[2], graphs[4]))
    found = np.unique(np.concatenate(triplets), axis=0)
    if cfg.OUTPUT_DIR:
        with atomic_write(path) as temporary:
            temporary.write_text(json.dumps({"key": key, "triplets": found.tolist()}))
    return found


def _signature(name: str, args: dict) -> list:
    """What the triplets of a data set depend on."""
    file = args["roidb_file"]
    if not os.path.isfile(file):
        raise InputError(f"data file {file} of {name} does not exist; docs/datasets.md says where to get it")
    status = os.stat(file)
    return [name, os.path.abspath(file), status.st_size, status.st_mtime_ns, args["num_val_im"]]


def _read_cache(path: str, key: list) -> np.ndarray | None:
    """The cached triplets where the file exists, is whole and has this key."""
    try:
        with open(path) as stream:
            cached = json.load(stream)
        if cached["key"] == key:
            return np.asarray(cached["triplets"], dtype=np.int64).reshape(-1, 3)
    except (FileNotFoundError, json.JSONDecodeError, KeyError, TypeError):
        pass  # not there, or not ours: it is written anew
    return None


def check_zero_shot_file(path: str) -> None:
    """Raise `InputError` where a file is named that does not exist."""
    if path and not os.path.isfile(path):
        raise InputError(f"{_KEY} {path} does not exist")


def read_triplets(path: str, classes: list[str], predicates: list[str]) -> np.ndarray:
    """A json list of [subject class, object class, predicate], or SGB's `.pytorch` tensor of the same.

    Args:
        path: in a json file, classes and predicates may be indices or names.
        classes, predicates: names in order of their indices, background first.

    Returns:
        int64 [Z, 3].

    Raises:
        InputError: see `load_zero_shot`.
    """
    check_zero_shot_file(path)
    if path.endswith(".json"):
        try:
            with open(path) as stream:
                rows = json.load(stream)
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise InputError(f"{_KEY} {path} is no json: {error}") from error
    else:
        loaded = load_torch(path)
        rows = loaded.tolist() if hasattr(loaded, "tolist") else loaded
    if not isinstance(rows, list) or not all(isinstance(row, (list, tuple)) and len(row) == 3 for row in rows):
        raise InputError(f"{_KEY} {path} must hold a list of [subject class, object class, predicate]")
    columns = [
        [_index(value, names, what, path) for value in column]
        for column, names, what in zip(
            zip(*rows, strict=True), (classes, classes, predicates), ("class", "class", "predicate"), strict=False
        )
    ]
    return np.asarray(columns, dtype=np.int64).T.reshape(-1, 3)


def _index(value, names: list[str], what: str, path: str) -> int:
    if isinstance(value, str) and value in names:
        return names.index(value)
    if type(value) is int and 0 < value < len(names):
        return value
    raise InputError(f"{_KEY} {path} has the {what} {value!r}; the data set has 1 to {len(names) - 1}, or their names")
