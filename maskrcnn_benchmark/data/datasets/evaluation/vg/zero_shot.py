"""Which triplets of (subject class, object class, predicate) count as zero-shot: those that training never shows."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from maskrcnn_benchmark.config.paths_catalog import load_catalog
from maskrcnn_benchmark.data.datasets.content_cache import counted_once
from maskrcnn_benchmark.data.datasets.vg_format import read_graphs
from maskrcnn_benchmark.utils import json_schemas
from maskrcnn_benchmark.utils.errors import InputError
from maskrcnn_benchmark.utils.files import check_file
from maskrcnn_benchmark.utils.json_files import conform, read_json
from maskrcnn_benchmark.utils.safe_pickle import load_torch

from .ranks import contains_triplets, pack, unpack
from .test_set import triplet_fingerprint

_KEY = "TEST.RELATION.ZERO_SHOT_TRIPLETS"
KINDS = ("seen_pair", "new_pair")
_NONE = np.zeros((0, 3), dtype=np.int64)
_IMAGES_AT_A_TIME, _LEAST_WAITING = 1000, 100_000


class TrainingTriplets(NamedTuple):
    """The different triplets of a training set, int64 [U, 3], and how often each occurs, int64 [U]."""

    triplets: np.ndarray
    counts: np.ndarray

    def by_predicate(self, num_predicates: int) -> np.ndarray:
        """How often each predicate occurs, int64 [R], background first."""
        frequency = np.zeros(num_predicates, dtype=np.int64)
        np.add.at(frequency, self.triplets[:, 2], self.counts)
        return frequency


@dataclass(frozen=True)
class ZeroShot:
    """The zero-shot triplets, and what training shows instead.

    Attributes:
        triplets: int64 [Z, 3] of (subject class, object class, predicate).
        training: the triplets of the training set; None where the configuration names none.
        given_kinds: the triplets of each kind, where the zero-shot file tells them apart.
        source: the name of the file that lists them; or that they were found by comparison with the training set.
    """

    triplets: np.ndarray
    training: TrainingTriplets | None
    given_kinds: dict[str, np.ndarray] | None = None
    source: str = "not in training"

    def card(self) -> dict[str, Any]:
        """Which list counts, as the protocol card says it: `list`, `fingerprint`, the number of different `triplets`,
        and how many of them training shows (`in_training`; None where it is not known)."""
        listed = np.unique(self.triplets.reshape(-1, 3), axis=0)
        shown = None if self.training is None else int(contains_triplets(listed, self.training.triplets).sum())
        return {
            "list": self.source,
            "fingerprint": triplet_fingerprint(listed),
            "triplets": len(listed),
            "in_training": shown,
        }

    def subsets(self) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
        """The relations of each zero-shot recall, as functions of triplets int [T, 3] that give bool [T].

        `zR` is the list as it is; `zR-unseen` what of it training really lacks; `zR-seen_pair` and `zR-new_pair` are
        those of `kinds`. What needs a training set is left out where it is not known.
        """
        found = {"zR": partial(contains_triplets, known=self.triplets)}
        if self.training is not None:
            unseen = self.triplets[~contains_triplets(self.triplets, self.training.triplets)]
            found["zR-unseen"] = partial(contains_triplets, known=unseen)
        return found | {f"zR-{kind}": partial(self._kind, kind=kind) for kind in self.kinds(_NONE)}

    def _kind(self, triplets: np.ndarray, kind: str) -> np.ndarray:
        return self.kinds(triplets)[kind]

    def kinds(self, triplets: np.ndarray) -> dict[str, np.ndarray]:
        """Zero-shot triplets apart by how new they are.

        Args:
            triplets: int [T, 3].

        Returns:
            `seen_pair`: the two classes occur in training with other predicates; `new_pair`: they do not. Both are
            bool [T]; nothing where neither the zero-shot file nor the training set tells.
        """
        if self.given_kinds is not None:
            return {kind: contains_triplets(triplets, self.given_kinds[kind]) for kind in KINDS}
        if self.training is None:
            return {}
        zero_shot = contains_triplets(triplets, self.triplets)
        seen = contains_triplets(triplets[:, :2], self.training.triplets[:, :2])
        return {"seen_pair": zero_shot & seen, "new_pair": zero_shot & ~seen}


def load_zero_shot(cfg, dataset) -> ZeroShot:
    """The zero-shot triplets of TEST.RELATION.ZERO_SHOT_TRIPLETS, or else those of `dataset` that training never shows.

    Raises:
        InputError: a file that is missing, malformed, or names classes that the data set lacks.
    """
    training = training_triplets(cfg) if cfg.DATASETS.TRAIN else None
    path = cfg.TEST.RELATION.ZERO_SHOT_TRIPLETS
    if path:
        kinds = read_kinds(path, dataset.ind_to_classes, dataset.ind_to_predicates)
        triplets = np.concatenate(list(kinds.values()))
        return ZeroShot(triplets, training, None if "" in kinds else kinds, os.path.basename(path))
    if training is None:
        logging.getLogger("maskrcnn_benchmark").warning(
            "no zero-shot recall: neither %s nor DATASETS.TRAIN is given, so what training shows is not known", _KEY
        )
        return ZeroShot(_NONE, None, source="none")
    evaluated = distinct_triplets(dataset.gt_classes, dataset.relationships)
    return ZeroShot(evaluated[~contains_triplets(evaluated, training.triplets)], training)


def distinct_triplets(gt_classes: Sequence[np.ndarray], relationships: Sequence[np.ndarray]) -> np.ndarray:
    """The different (subject class, object class, predicate) of a split, int64 [U, 3], sorted; see `all_triplets`.

    Memory grows with the different ones only.
    """
    found, waiting = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    for first in range(0, len(relationships), _IMAGES_AT_A_TIME):
        some = slice(first, first + _IMAGES_AT_A_TIME)
        codes = pack(all_triplets(gt_classes[some], relationships[some])[:, ::-1])  # sorted by the first column first
        waiting = np.concatenate((waiting, np.unique(codes)))
        if len(waiting) > max(len(found), _LEAST_WAITING):  # sorted in only when that is worth the sorting
            found, waiting = np.union1d(found, waiting), waiting[:0]
    return unpack(np.union1d(found, waiting), 3)[:, ::-1]


def all_triplets(gt_classes: Sequence[np.ndarray], relationships: Sequence[np.ndarray]) -> np.ndarray:
    """The (subject class, object class, predicate) of every relation of a split.

    Args:
        gt_classes: classes of each image's boxes, int [n].
        relationships: (subject index, object index, predicate) of each image's relations, int [m, 3].

    Returns:
        int64 [T, 3].
    """
    rows = [np.column_stack((c[r[:, 0]], c[r[:, 1]], r[:, 2])) for c, r in zip(gt_classes, relationships, strict=True)]
    return np.concatenate([_NONE, *rows]).astype(np.int64)


def training_triplets(cfg) -> TrainingTriplets:
    """The triplets of DATASETS.TRAIN; all annotated relations count, overlapping boxes or not.

    Kept in MODEL.LANGUAGE.CACHE_DIR and counted again when the data files change.
    """
    catalog = load_catalog(cfg).DatasetCatalog
    rows, counts = [_NONE], [_NONE[:, 0]]
    for name in cfg.DATASETS.TRAIN:
        args = catalog.get(name, cfg)["args"]
        found = counted_once(
            cfg.MODEL.LANGUAGE.CACHE_DIR, "triplets", [args["roidb_file"]], [args["num_val_im"]],
            partial(_count_triplets, args["roidb_file"], args["num_val_im"]),
        )  # fmt: skip
        rows.append(found["triplets"])
        counts.append(found["counts"])
    triplets, place = np.unique(np.concatenate(rows), axis=0, return_inverse=True)
    total = np.bincount(place.ravel(), np.concatenate(counts), len(triplets)).astype(np.int64)
    return TrainingTriplets(triplets, total)


def _count_triplets(roidb_file: str, num_val_im: int) -> dict[str, np.ndarray]:
    graphs = read_graphs(roidb_file, "train", -1, num_val_im, True, False)
    codes, counts = np.unique(pack(graphs.triplets()), return_counts=True)
    return {"triplets": unpack(codes, 3), "counts": counts}


def check_zero_shot_file(path: str) -> None:
    """Raise `InputError` where something is named that is no file."""
    if path:
        check_file(path, _KEY)


def read_triplets(path: str, classes: list[str], predicates: list[str]) -> np.ndarray:
    """All triplets of a zero-shot file, int64 [Z, 3]; see `read_kinds`."""
    return np.concatenate(list(read_kinds(path, classes, predicates).values()))


def read_kinds(path: str, classes: list[str], predicates: list[str]) -> dict[str, np.ndarray]:
    """The triplets of a zero-shot file by kind.

    The file is a json list of [subject class, object class, predicate], SGB's `.pytorch` tensor of the same, or, with
    the kinds told apart, json {"seen_pair": such a list, "new_pair": such a list}.

    Args:
        path: in a json file, classes and predicates may be indices or names.
        classes, predicates: names in order of their indices, background first.

    Returns:
        int64 [Z, 3] for each of `KINDS`; or all of them under "" where the file does not tell the kinds apart.

    Raises:
        InputError: see `load_zero_shot`.
    """
    check_zero_shot_file(path)
    if path.endswith(".json"):
        content = read_json(path, json_schemas.ZeroShot, _KEY)
    else:
        loaded = load_torch(path)
        content = loaded.tolist() if hasattr(loaded, "tolist") else loaded
        conform(content, json_schemas.ZeroShot, f"{_KEY} {path}")
    lists = {kind: content[kind] for kind in KINDS} if isinstance(content, dict) else {"": content}
    if not any(lists.values()):
        raise InputError(f"{_KEY} {path} lists no triplet; leave the key empty for those that training never shows")
    return {kind: _as_indices(rows, classes, predicates, path) for kind, rows in lists.items()}


def _as_indices(rows, classes: list[str], predicates: list[str], path: str) -> np.ndarray:
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
