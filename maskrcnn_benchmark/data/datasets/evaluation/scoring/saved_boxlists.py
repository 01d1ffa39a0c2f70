"""SGB's `eval_results.pytorch`: predictions and annotations of a test as BoxLists, read without running its code."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from maskrcnn_benchmark.utils.errors import InputError
from maskrcnn_benchmark.utils.safe_pickle import load_torch

from ..vg.image_ranks import PredictedGraph
from .clean import checked_boxes, checked_places, checked_scores
from .notes import Notes

if TYPE_CHECKING:
    from .annotated_set import AnnotatedSet

SUFFIXES = (".pytorch", ".pth", ".pt")
_SAME = 0.5  # pixels


def load_eval_results(path: str | os.PathLike) -> dict[str, list]:
    """`predictions` and, where they are there, `groundtruths`: objects with `bbox`, `size`, `mode`, `extra_fields`.

    Raises:
        InputError: another file.
    """
    content = load_torch(path, mmap=True, records=("BoxList",))
    if isinstance(content, list):  # SGB's predictions.pth
        content = {"predictions": content}
    if not isinstance(content, dict) or not isinstance(content.get("predictions"), list):
        raise InputError(f"{path} holds no predictions of SGB: a dictionary with the list `predictions` is expected")
    if not all(hasattr(boxes, "extra_fields") for boxes in (*content["predictions"], *content.get("groundtruths", ()))):
        raise InputError(f"{path} holds predictions that are no BoxLists")
    return content


class EvalResults:
    """The predictions of a file, in the order of the test set.

    Raises:
        InputError: another number of images than the test set has, or other annotations than it has.
    """

    def __init__(self, path: str | os.PathLike, test_set: AnnotatedSet, notes: Notes):
        self.path, self.test_set, self.notes = path, test_set, notes
        content = load_eval_results(path)
        self.predictions = content["predictions"]
        if len(self.predictions) != len(test_set):
            raise InputError(
                f"{path} has predictions for {len(self.predictions)} images, but the test set has {len(test_set)}; "
                "they are matched by their order"
            )
        for index, truth in enumerate(content.get("groundtruths") or []):
            labels = _field(truth, "labels")
            if labels is not None and not np.array_equal(labels, test_set.gt_classes[index]):
                raise InputError(
                    f"{path}: the annotated classes of image {index} are not those of {test_set.filenames[index]}, so "
                    "it is of another test set or in another order"
                )

    def __iter__(self) -> Iterator[tuple[int, PredictedGraph]]:
        for index, boxes in enumerate(self.predictions):
            yield index, self.graph(index, boxes)

    def graph(self, index: int, boxes: Any) -> PredictedGraph:
        """A prediction in pixels of the image."""
        image = str(self.test_set.filenames[index])
        missing = [name for name in ("pred_labels", "rel_pair_idxs", "pred_rel_scores") if _field(boxes, name) is None]
        if missing:
            raise InputError(f"{self.path}, image {image}: the prediction has no {', '.join(missing)}")
        corners = checked_boxes(xyxy(boxes), len(boxes.bbox), image, self.notes)
        size = self.test_set.size(index)
        if size is not None and tuple(boxes.size) != size:
            corners = corners * np.array([size[0] / boxes.size[0], size[1] / boxes.size[1]] * 2, dtype=np.float32)
        labels, count = _field(boxes, "pred_labels"), len(corners)
        scores = _field(boxes, "pred_scores")
        if scores is None:
            self.notes.say("objects have no scores (pred_scores); they are taken for 1")
            scores = np.ones(count)
        if (labels < 1).any() or (labels >= len(self.test_set.ind_to_classes)).any():
            raise InputError(
                f"{self.path}, image {image}: the classes {labels.min()} to {labels.max()} are not all among those of "
                f"the test set, 1 to {len(self.test_set.ind_to_classes) - 1}; 0 is the background"
            )
        rel_scores = _field(boxes, "pred_rel_scores")
        pairs = checked_places(_field(boxes, "rel_pair_idxs"), count, image)[:, :2]
        if rel_scores.ndim != 2 or rel_scores.shape != (len(pairs), len(self.test_set.ind_to_predicates)):
            raise InputError(
                f"{self.path}, image {image}: pred_rel_scores has the shape {list(rel_scores.shape)}, expected "
                f"{[len(pairs), len(self.test_set.ind_to_predicates)]}: pairs, and predicates with background"
            )
        scores = checked_scores(scores, count, image, "objects").astype(np.float32)
        return PredictedGraph(corners, labels, scores, pairs, rel_scores)

    def task(self) -> str:
        """The task, from what the first images have in common with their annotations."""
        same_classes = True
        for index in range(min(len(self.predictions), 50)):
            graph, truth = self.graph(index, self.predictions[index]), self.test_set.graph(index)
            if len(graph.boxes) != len(truth.boxes) or np.abs(graph.boxes - truth.boxes).max(initial=0) > _SAME:
                return "sgdet"
            same_classes &= np.array_equal(graph.classes, truth.classes)
        return "predcls" if same_classes else "sgcls"


def annotations_of(path: str | os.PathLike) -> Iterator[tuple[tuple[int, int], np.ndarray, np.ndarray, np.ndarray]]:
    """The annotations in the file: (width, height), boxes [M, 4], classes [M] and relations [G, 3] of each image.

    Raises:
        InputError: it has none.
    """
    truths = load_eval_results(path).get("groundtruths")
    if not truths:
        raise InputError(f"{path} holds predictions without annotations; give a data set as ground truth")
    for index, truth in enumerate(truths):
        labels, relations = _field(truth, "labels"), _field(truth, "relation_tuple")
        if labels is None or relations is None:
            raise InputError(f"{path}: the annotation of image {index} has no labels or no relation_tuple")
        yield tuple(truth.size), xyxy(truth), labels, relations.reshape(-1, 3)


def numbers_of(path: str | os.PathLike) -> tuple[int, int]:
    """How many classes and predicates the file shows, background included."""
    content, classes, predicates = load_eval_results(path), 1, 1
    for boxes in (*content["predictions"], *content.get("groundtruths", ())):
        for name in ("labels", "pred_labels"):
            if (labels := _field(boxes, name)) is not None:
                classes = max(classes, int(labels.max(initial=0)) + 1)
        if (scores := _field(boxes, "pred_rel_scores")) is not None and scores.ndim == 2:
            predicates = max(predicates, scores.shape[1])
    return classes, predicates


def xyxy(boxes: Any) -> np.ndarray:
    """The corners of a BoxList [n, 4], whatever its mode."""
    corners = boxes.bbox.detach().float().numpy().copy()
    if boxes.mode == "xywh":
        corners[:, 2:] += corners[:, :2] - 1
    return corners


def _field(boxes: Any, name: str) -> np.ndarray | None:
    """A field as an array; None where there is none."""
    value = boxes.extra_fields.get(name)
    return value.detach().numpy() if hasattr(value, "detach") else None if value is None else np.asarray(value)
