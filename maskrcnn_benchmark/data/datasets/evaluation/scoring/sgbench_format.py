"""Writes a test set and predictions in the formats of the PyPI package sgbench (Lorenz et al., CVPR workshops 2024)."""

from __future__ import annotations

import json
import os
from contextlib import ExitStack
from typing import Any

import numpy as np

from maskrcnn_benchmark.utils.files import atomic_write

from ..vg.image_ranks import PredictedGraph
from ..vg.ranks import lists_from_scores, lists_from_triplets
from .annotated_set import AnnotatedSet


class SGBenchWriter:
    """Writes `predictions.json` image by image, and `ground_truth.json` (OpenPSG's format, with boxes) at the end.

    Categories and predicates are numbered from 0, without background. What the test set lacks has the next number.

    Args:
        folder: gets the two files.
        top_k: how many triplets of an image are written: `triplets` with one predicate a pair, `ng_triplets` with any
            number of them.
    """

    def __init__(self, folder: str | os.PathLike, annotated: AnnotatedSet, top_k: int):
        self.folder, self.annotated, self.top_k = folder, annotated, top_k
        self._stack = ExitStack()
        self._separator = "\n"

    def __enter__(self) -> SGBenchWriter:
        with ExitStack() as stack:
            path = stack.enter_context(atomic_write(os.path.join(self.folder, "predictions.json")))
            self._out = stack.enter_context(open(path, "w", encoding="utf-8"))
            self._out.write('{"version": 1, "images": [')
            self._stack = stack.pop_all()
        return self

    def add(self, index: int, graph: PredictedGraph) -> None:
        """Write a prediction."""
        if graph.rel_scores is None:
            lists = lists_from_triplets(graph.relations, None, graph.free)
        else:
            lists = lists_from_scores(graph.relations, graph.rel_scores, graph.scores, None, self.top_k)
        categories = _from_zero(graph.classes, len(self.annotated.ind_to_classes))
        boxes, number = np.asarray(graph.boxes, dtype=np.float64).tolist(), len(self.annotated.ind_to_predicates)
        content = {
            "id": self._id(index),
            "bboxes": boxes,
            "categories": categories,
            "annotation": [{"category": c, "bbox": b} for c, b in zip(categories, boxes, strict=True)],
            **{
                name: [
                    (s, o, p) for (s, o), p in zip(rows[:, :2].tolist(), _from_zero(rows[:, 2], number), strict=True)
                ]
                for name, rows in (("triplets", lists.graph[: self.top_k]), ("ng_triplets", lists.free[: self.top_k]))
            },
        }
        self._out.write(self._separator + json.dumps(content))
        self._separator = ",\n"

    def __exit__(self, kind, error, traceback) -> None:
        """Finish both files; after an error there is none."""
        if kind is None:
            self._out.write("\n]}\n")
            self._write_truth()
        self._stack.__exit__(kind, error, traceback)

    def _write_truth(self) -> None:
        annotated = self.annotated
        with atomic_write(os.path.join(self.folder, "ground_truth.json")) as path, open(path, "w") as out:
            head = {
                "thing_classes": annotated.ind_to_classes[1:],
                "stuff_classes": [],
                "predicate_classes": annotated.ind_to_predicates[1:],
                "test_image_ids": [self._id(index) for index in range(len(annotated))],
            }
            out.write(json.dumps(head)[:-1] + ', "data": [')
            for index in range(len(annotated)):
                out.write((",\n" if index else "\n") + json.dumps(self._truth(index)))
            out.write("\n]}\n")

    def _id(self, index: int) -> str:
        return str(self.annotated.img_info[index].get("image_id", self.annotated.filenames[index]))

    def _truth(self, index: int) -> dict[str, Any]:
        truth, info = self.annotated.graph(index), self.annotated.img_info[index]
        boxes = np.asarray(truth.boxes, dtype=np.float64).tolist()
        return {
            "file_name": os.path.basename(self.annotated.filenames[index]),
            "image_id": self._id(index),
            "width": info["width"],
            "height": info["height"],
            "annotations": [
                {"bbox": box, "bbox_mode": 0, "category_id": int(label) - 1}
                for box, label in zip(boxes, truth.classes, strict=True)
            ],
            "relations": [(s, o, p - 1) for s, o, p in truth.relations.tolist()],
        }


def _from_zero(numbers: np.ndarray, count: int) -> list[int]:
    return np.where((numbers < 1) | (numbers >= count), count - 1, numbers - 1).tolist()
