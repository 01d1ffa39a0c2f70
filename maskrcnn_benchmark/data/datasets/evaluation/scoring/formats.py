"""Reads predictions in the json of tools/predict.py, of SGB and of the PyPI package sgbench, image by image."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from maskrcnn_benchmark.data.transforms.transforms import Resize
from maskrcnn_benchmark.utils import json_schemas
from maskrcnn_benchmark.utils.errors import InputError
from maskrcnn_benchmark.utils.json_files import read_json

from ..vg.image_ranks import PredictedGraph
from .annotated_set import AnnotatedSet
from .clean import checked_boxes, checked_places, checked_scores, cleaned
from .json_stream import stream_graphs, stream_json
from .names import BACKGROUND, UNKNOWN, Numbering
from .notes import Notes

INFO_FILE = "custom_data_info.json"
INPUT_SIZE = (600, 1000)  # SGB's INPUT.MIN_SIZE_TEST and MAX_SIZE_TEST
_LOOKED_AT = 200  # images from which is told what boxes are in
_TOLERANCE = 1.5  # pixels by which a box may reach out of its image


class Image(NamedTuple):
    """One entry of a file: how it calls the image, and its prediction by the numbers of the test set."""

    key: str
    index: int
    graph: PredictedGraph


class Reader:
    """What the readers share: numbers of names, and the places of images.

    Args:
        path: of the predictions.
        annotated: the test set.
        notes: gets what is unusual.
    """

    def __init__(self, path: str | os.PathLike, annotated: AnnotatedSet, notes: Notes):
        self.path, self.annotated, self.notes = path, annotated, notes
        self.classes = Numbering(annotated.ind_to_classes, "class")
        self.predicates = Numbering(annotated.ind_to_predicates, "predicate")
        self.foreign, self.first_foreign = 0, ""  # images that the test set lacks

    def __iter__(self) -> Iterator[Image]:
        raise NotImplementedError

    def place(self, key: str) -> int | None:
        """The number of an image; None, and remembered, where the test set lacks it."""
        index = self.annotated.find(key)
        if index is None:
            self.foreign += 1
            self.first_foreign = self.first_foreign or key
        return index

    def close(self) -> None:
        """After the last image: note what was not known."""
        self.notes.say(*self.classes.notes(), *self.predicates.notes())
        if self.foreign:
            self.notes.say(
                f"{self.foreign:,} images are not in the test set, such as {self.first_foreign}; they were left out"
            )


class SceneGraphs(Reader):
    """The json of tools/predict.py, relations best first or with scores: a line for each image, or {file name:
    {objects, relations}}."""

    def __iter__(self) -> Iterator[Image]:
        for key, graph in stream_graphs(self.path):
            if isinstance(graph, dict) and "error" in graph:
                self.notes.count("images that gave an error when they were predicted", 1, key)
                continue
            index = self.place(key)
            if index is not None:
                try:
                    yield Image(key, index, self.graph(key, graph))
                except (KeyError, TypeError, AttributeError) as error:
                    raise InputError(
                        f"{self.path}, image {key}: {error!r}; objects need name and box, relations subject, "
                        "predicate and object (docs/own_data.md)"
                    ) from error

    def graph(self, key: str, graph: dict) -> PredictedGraph:
        objects, relations, notes = graph["objects"], graph.get("relations") or [], self.notes
        number, predicate, count = self.classes, self.predicates, len(objects)
        boxes = checked_boxes(list(map(itemgetter("box"), objects)), count, key, notes)
        classes = np.array([number[name] for name in map(itemgetter("name"), objects)], dtype=np.int64)
        scores = np.ones(count)
        if objects and "score" in objects[0]:
            scores = checked_scores([one.get("score") for one in objects], count, key, "objects")
        rows = checked_places(list(map(itemgetter("subject", "object"), relations)), count, key)
        labels = np.array([predicate[name] for name in map(itemgetter("predicate"), relations)], dtype=np.int64)
        given = [one["score"] for one in relations if "score" in one]
        if given and len(given) != len(relations):
            raise InputError(f"{self.path}, image {key}: {len(given)} of {len(relations)} relations have a score")
        rel_scores = checked_scores(given, len(relations), key, "relations") if given else None
        triplets = np.column_stack((rows[:, :2], labels)).astype(np.int64)
        return PredictedGraph(boxes, classes, scores, cleaned(triplets, rel_scores, key, notes))


class CustomPredictions(Reader):
    """SGB's `custom_prediction.json`, whose images and names are in an info file beside it.

    Args:
        info: the info file; None: `custom_data_info.json` beside the predictions.
        input_size: INPUT.MIN_SIZE_TEST and MAX_SIZE_TEST, for boxes are in pixels of the network's input; (0, 0) for
            boxes in pixels of the image.
    """

    def __init__(self, path, annotated, notes, info: str | None = None, input_size: tuple[int, int] = INPUT_SIZE):
        super().__init__(path, annotated, notes)
        info_path = info or str(Path(path).with_name(INFO_FILE))
        content = read_json(info_path, json_schemas.CustomInfo, "info file")
        files = content["idx_to_files"]
        self.files = {str(i): name for i, name in (files.items() if isinstance(files, dict) else enumerate(files))}
        self.class_names, self.predicate_names = (
            _list(content[f"ind_to_{kind}"]) for kind in ("classes", "predicates")
        )
        for names, what in ((self.class_names, "classes"), (self.predicate_names, "predicates")):
            if names and names[0] not in BACKGROUND:
                notes.say(f"{what} are numbered from 0, without a background: the first is {names[0]!r}")
        self.input_size = input_size

    def __iter__(self) -> Iterator[Image]:
        entries = (entry for entry in self._entries())
        looked_at = list(islice(entries, _LOOKED_AT))
        min_size, max_size = self._input_size(looked_at)
        for key, index, content in chain(looked_at, entries):
            try:
                yield Image(key, index, self.graph(key, index, content, min_size, max_size))
            except (KeyError, TypeError) as error:
                raise InputError(f"{self.path}, image {key}: {error!r} is missing or malformed") from error

    def _entries(self) -> Iterator[tuple[str, int, dict]]:
        for key, content in stream_json(self.path):
            name = self.files.get(key)
            if name is None:
                raise InputError(f"{self.path} has the image {key}, but the info file names none of that number")
            index = self.place(name)
            if index is not None:
                yield name, index, content

    def _input_size(self, looked_at: Sequence[tuple[str, int, dict]]) -> tuple[int, int]:
        """In what pixels boxes are; an image may be smaller or larger than the network's input."""
        if not any(self.input_size):
            return self.input_size
        fits_image = fits_input = True
        for _, index, content in looked_at:
            size = self.annotated.size(index)
            if size is None:
                raise InputError(
                    f"{self.path}: boxes are in pixels of the network's input, but the size of "
                    f"{self.annotated.filenames[index]} is not known; give --input-size 0 0 if they are in "
                    "its own pixels"
                )
            corner = np.asarray(content["bbox"], dtype=np.float32).reshape(-1, 4)[:, 2:].max(0, initial=0)
            fits_image &= bool((corner <= np.array(size) + _TOLERANCE).all())
            scaled = input_size(size, *self.input_size)
            fits_input &= bool((corner <= np.array(scaled) + _TOLERANCE).all())
        what = f"the network's input (short side {self.input_size[0]}, long side at most {self.input_size[1]})"
        if not fits_input and not fits_image:
            raise InputError(f"{self.path}: boxes reach out of {what}; say its size with --input-size MIN MAX")
        if not fits_input:
            self.notes.say(f"boxes reach out of {what}, but never out of their image: they are in its pixels")
            return 0, 0
        self.notes.say(f"boxes were scaled from {what}")
        return self.input_size

    def graph(self, key: str, index: int, content: dict, min_size: int, max_size: int) -> PredictedGraph:
        notes, labels = self.notes, np.asarray(content["bbox_labels"], dtype=np.int64).reshape(-1)
        count = len(labels)
        boxes = checked_boxes(content["bbox"], count, key, notes)
        if min_size:
            size = self.annotated.size(index)
            ratio = np.array(size) / input_size(size, min_size, max_size)
            boxes = boxes * np.tile(ratio, 2).astype(np.float32)
        scores = checked_scores(content.get("bbox_scores", np.ones(count)), count, key, "objects")
        classes = self._numbers(labels, self.class_names, self.classes, key)
        pairs = checked_places(content["rel_pairs"], count, key)[:, :2]
        notes.say("relations are ordered by predicate score times the scores of both objects, as SGB's evaluation does")
        if content.get("rel_all_scores"):
            rel_scores = self._all_scores(content["rel_all_scores"], len(pairs), key)
            best = scores[pairs].prod(1) * rel_scores[:, 1:].max(1, initial=0)
            order = np.argsort(-best, kind="stable")
            return PredictedGraph(boxes, classes, scores, pairs[order], rel_scores[order])
        labels = np.asarray(content["rel_labels"], dtype=np.int64).reshape(-1)
        predicates = self._numbers(labels, self.predicate_names, self.predicates, key)
        rel_scores = checked_scores(content["rel_scores"], len(pairs), key, "relations") * scores[pairs].prod(1)
        order = np.argsort(-rel_scores, kind="stable")
        triplets = np.column_stack((pairs, predicates))[order]
        return PredictedGraph(boxes, classes, scores, cleaned(triplets, rel_scores[order], key, notes))

    def _numbers(self, labels: np.ndarray, names: list[str], number: Numbering, key: str) -> np.ndarray:
        wrong = labels[(labels < 0) | (labels >= len(names))]
        if len(wrong):
            raise InputError(
                f"{self.path}, image {key}: {number.what} {wrong[0]} is none of the {len(names)} of the info file"
            )
        return np.array([number[names[label]] for label in labels.tolist()], dtype=np.int64)

    def _all_scores(self, all_scores, pairs: int, key: str) -> np.ndarray:
        """Scores by the numbers of the test set, float32 [P, R + unknown predicates], which keep their places."""
        given = np.asarray(all_scores, dtype=np.float32)
        names = self.predicate_names
        if given.ndim == 2 and given.shape[1] == len(names) - 1 and names[0] in BACKGROUND:
            self.notes.say("rel_all_scores has no column for the background")
            names = names[1:]
        if given.shape != (pairs, len(names)):
            raise InputError(
                f"{self.path}, image {key}: rel_all_scores is {list(given.shape)}, expected {[pairs, len(names)]}"
            )
        if not np.isfinite(given).all():
            raise InputError(f"image {key}: a score of relations is nan or infinite")
        numbers, known = [self.predicates[name] for name in names], len(self.annotated.ind_to_predicates)
        unknown = iter(range(known, known + len(names)))
        columns = [next(unknown) if number == UNKNOWN else number for number in numbers]
        scores = np.zeros((pairs, max([known - 1, *columns]) + 1), dtype=np.float32)
        scores[:, columns] = given
        return scores


class SGBenchPredictions(Reader):
    """The json of sgbench: categories and predicates are numbers from 0, without background; triplets best first."""

    def __iter__(self) -> Iterator[Image]:
        for key, content in stream_json(self.path, ("images",)):
            if key != "images":
                continue
            key = str(content.get("id", ""))
            index = self.place(key)
            if index is not None:
                try:
                    yield Image(key, index, self.graph(key, content))
                except (KeyError, TypeError, ValueError) as error:
                    raise InputError(
                        f"{self.path}, image {key}: {error!r}; docs/evaluation.md has the format"
                    ) from error

    def graph(self, key: str, content: dict) -> PredictedGraph:
        if "annotation" in content:  # what version 1.0.0 of the package reads; its readme has the other two
            categories = [one["category"] for one in content["annotation"]]
            given = [one["bbox"] for one in content["annotation"]]
        else:
            categories, given = content["categories"], content["bboxes"]
        count = len(categories)
        boxes = checked_boxes([box[:4] for box in given], count, key, self.notes)
        classes = self._numbers(categories, len(self.annotated.ind_to_classes), "category", key)
        lists = [self._triplets(content.get(name) or [], count, key) for name in ("triplets", "ng_triplets")]
        graph = cleaned(lists[0], None, key, self.notes)
        free = cleaned(lists[1], None, key, Notes()) if len(lists[1]) else None
        return PredictedGraph(boxes, classes, np.ones(count), graph, free=free)

    def _triplets(self, triplets: Any, count: int, key: str) -> np.ndarray:
        rows = checked_places(triplets, count, key)
        if len(rows) and rows.shape[1] != 3:
            raise InputError(f"{self.path}, image {key}: a triplet is subject, object and predicate")
        rows[:, 2] = self._numbers(rows[:, 2], len(self.annotated.ind_to_predicates), "predicate", key)
        return rows

    def _numbers(self, values, names: int, what: str, key: str) -> np.ndarray:
        numbers = np.asarray(values, dtype=np.int64).reshape(-1)
        wrong = numbers[(numbers < 0) | (numbers >= names - 1)]
        if len(wrong):
            raise InputError(
                f"{self.path}, image {key}: the {what} {wrong[0]} is none of the test set's, 0 to {names - 2}; sgbench "
                "numbers from 0, without a background"
            )
        return numbers + 1


def open_predictions(
    path: str | os.PathLike,
    annotated: AnnotatedSet,
    notes: Notes,
    info: str | None = None,
    input_size: tuple[int, int] = INPUT_SIZE,
) -> Reader:
    """The reader of a json file, told by its first entry.

    Raises:
        InputError: none of the formats.
    """
    for key, value in stream_graphs(path, ("images",)):
        if key in ("images", "version"):
            return SGBenchPredictions(path, annotated, notes)
        if isinstance(value, dict) and ("objects" in value or "error" in value):
            return SceneGraphs(path, annotated, notes)
        if isinstance(value, dict) and "bbox" in value:
            return CustomPredictions(path, annotated, notes, info, input_size)
        break
    raise InputError(
        f"{path} is no json of predictions: scene graphs (tools/predict.py), SGB's custom_prediction.json "
        "or sgbench's json are expected; docs/evaluation.md describes them"
    )


def input_size(size: tuple[int, int], min_size: int, max_size: int) -> tuple[int, int]:
    """(width, height) of the network's input for an image of (width, height), both in pixels."""
    height, width = Resize(min_size, max_size).get_size(size)
    return width, height


def _list(names: list | dict) -> list[str]:
    """Names in the order of their numbers."""
    if isinstance(names, dict):
        return [names[key] for key in sorted(names, key=int)]
    return list(names)
