"""Boxes of other detectors from a file: by image name, or COCO results."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any, NamedTuple

from maskrcnn_benchmark.scene_graph import read_scene_graphs
from maskrcnn_benchmark.utils import json_schemas
from maskrcnn_benchmark.utils.errors import InputError
from maskrcnn_benchmark.utils.json_files import conform, read_json

from .coco_names import COCO_IDS, matching_names
from .given_boxes import Given, given_boxes


class FoundBoxes(NamedTuple):
    """Boxes of an image as a file has them: corners, and where it has them names and scores."""

    boxes: list
    labels: list | None
    scores: list | None


class BoxesFile:
    """Boxes for image files.

    Args:
        path: json. Either an object with image names as keys and

                {"boxes": [[x1, y1, x2, y2], ...], "labels": ["man", ...], "scores": [0.9, ...]}

            as values (labels and scores may be missing), or what `predict.py` writes; or COCO results, a list of

                {"image_id": 139, "category_id": 1, "bbox": [x, y, width, height], "score": 0.9}

        classes: names of the model's classes. COCO's classes get their VG-150 names where the model has those; objects
            of a class without counterpart are left out, and counted in `left_out`.
        annotations: COCO annotations, whose `images` and `categories` say what the numbers of results mean. Without
            them an image's number is that in its file name, and categories are those of COCO itself.
        use_labels: False takes the boxes alone.

    Raises:
        InputError: a file that is missing or something else.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        classes: Sequence[str],
        annotations: str | os.PathLike | None = None,
        use_labels: bool = True,
    ):
        self.path, self.classes, self.left_out = path, list(classes), 0
        lines = Path(path).suffix == ".jsonl" or Path(path).is_dir()
        content = None if lines else read_json(path, json_schemas.Boxes)
        if content is None:
            found = {name: _of_objects(graph) for name, graph in read_scene_graphs(path)}
        elif isinstance(content, list):
            named = None if annotations is None else read_json(annotations, json_schemas.CocoNames)
            found = self._of_results(content, named)
        else:
            found = {name: _of_entry(f"{path}, image {name}", entry) for name, entry in content.items()}
        names = matching_names(
            {label for one in found.values() for label in one.labels or () if isinstance(label, str)}, self.classes
        )
        self.found = {name: self._named(one, names, use_labels) for name, one in found.items()}

    def of(self, file: str | os.PathLike, size: tuple[int, int]) -> Given:
        """Boxes of an image file of (width, height) pixels.

        Raises:
            InputError: there are none, or they do not fit.
        """
        path = PurePath(file)
        keys = [str(path), path.name, path.stem, str(int(path.stem)) if path.stem.isdigit() else path.stem]
        for key in keys:
            if key in self.found:
                try:
                    given = given_boxes(size, self.classes, *self.found[key])
                except InputError as error:
                    raise InputError(f"{self.path}, image {key}: {error}") from None
                assert given is not None
                return given
        raise InputError(f"{self.path} has no boxes of {path.name}")

    def _named(self, found: FoundBoxes, names: Mapping[str, str], use_labels: bool) -> FoundBoxes:
        """With the model's names; what has none is left out."""
        if found.labels is None or not use_labels:
            return FoundBoxes(found.boxes, None, None)
        kept = [i for i, label in enumerate(found.labels) if not isinstance(label, str) or label in names]
        self.left_out += len(found.labels) - len(kept)
        return FoundBoxes(
            [found.boxes[i] for i in kept],
            [names.get(found.labels[i], found.labels[i]) for i in kept],
            None if found.scores is None else [found.scores[i] for i in kept],
        )

    def _of_results(self, results: list, annotations: Any) -> dict[str, FoundBoxes]:
        files, categories = {}, COCO_IDS
        if annotations is not None:
            files = {one["id"]: one["file_name"] for one in annotations["images"]}
            categories = {one["id"]: one["name"] for one in annotations["categories"]}
        found: dict[str, FoundBoxes] = {}
        for place, one in enumerate(results):
            x, y, width, height = one["bbox"]
            category, image = one["category_id"], one["image_id"]
            if category not in categories:
                raise InputError(f"{self.path}, entry {place}: category {category} is unknown; name COCO's annotations")
            boxes, labels, scores = found.setdefault(str(files.get(image, image)), FoundBoxes([], [], []))
            boxes.append([x, y, x + max(width - 1, 0), y + max(height - 1, 0)])
            labels.append(categories[category])
            scores.append(float(one.get("score", 1.0)))
        return found


def _of_entry(where: str, entry: dict[str, Any]) -> FoundBoxes:
    if "objects" in entry:
        return _of_objects(conform(entry, json_schemas.Graph, where))
    conform(entry, json_schemas.BoxesEntry, where)
    return FoundBoxes(entry["boxes"], entry.get("labels"), entry.get("scores"))


def _of_objects(graph: Mapping[str, Any]) -> FoundBoxes:
    objects = graph["objects"]
    return FoundBoxes(
        [one["box"] for one in objects],
        [one["name"] for one in objects],
        [float(one.get("score", 1.0)) for one in objects],
    )
