"""COCO's json of objects, with relations.

`images` {"id", "file_name", "width", "height"}, `categories` {"id", "name"} and `annotations` {"id", "image_id",
"category_id", "bbox": [x, y, width, height]} are COCO's. Relations come in one of two ways:

- in the same file, `relation_categories` {"id", "name"} and `relations` {"subject_id", "object_id", "category_id"},
  where subject and object are ids of annotations;
- in a second file as RelTR has it, {split: {image id: [[subject, object, predicate], ...]}, "rel_categories": [names]},
  where subject and object count the image's annotations from 0 and "__background__" is the first name.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from maskrcnn_benchmark.data.datasets.vg_format import read_json
from maskrcnn_benchmark.utils.errors import InputError

from .annotations import Annotations, ImageFolders, ImageGraph, box_of, entry, number, text


def read_coco(
    path: str | os.PathLike,
    folders: Sequence[str | os.PathLike],
    relations_path: str | os.PathLike | None = None,
    split: str = "train",
) -> Annotations:
    """Annotations in COCO's format; crowds are left out.

    Args:
        relations_path: RelTR's file of relations; None: they are in `path`.
        split: whose relations to take from `relations_path`.

    Raises:
        InputError: a missing file, or an entry that is not as described.
    """
    data, find = read_json(path), ImageFolders(folders).find
    with entry(path, "its lists"):
        classes = {one["id"]: text(one["name"], "the name of a category") for one in data["categories"]}
        by_image: dict = {image["id"]: [] for image in data["images"]}
        for position, annotation in enumerate(data["annotations"]):
            with entry(path, f"annotation {annotation.get('id', f'number {position}')}"):
                if not annotation.get("iscrowd"):
                    by_image[annotation["image_id"]].append(annotation)
    if relations_path is None:
        predicates, relations = _own_relations(path, data, by_image)
    else:
        predicates, relations = _separate_relations(relations_path, split, by_image)
    images = []
    for image in data["images"]:
        with entry(path, f"image {image.get('file_name', image['id'])}"):
            annotations = by_image[image["id"]]
            boxes = np.array([box_of(one["bbox"]) for one in annotations], dtype=np.float64).reshape(-1, 4)
            boxes[:, 2:] += boxes[:, :2] - 1  # both corners included
            images.append(
                ImageGraph(
                    find(image["file_name"]),
                    boxes,
                    [classes[one["category_id"]] for one in annotations],
                    relations[image["id"]],
                    (image["width"], image["height"]),
                )
            )
    return Annotations(images, list(classes.values()), predicates)


def _own_relations(path, data: dict, by_image: dict) -> tuple[list[str], dict]:
    """Names of predicates, and relations by image."""
    if "relations" not in data or "relation_categories" not in data:
        raise InputError(
            f"{path} has no relations and relation_categories; give the file of relations, or see docs/own_data.md"
        )
    with entry(path, "relation_categories"):
        predicates = {one["id"]: text(one["name"], "the name of a predicate") for one in data["relation_categories"]}
    where = {one["id"]: (image, place) for image, some in by_image.items() for place, one in enumerate(some)}
    relations = defaultdict(list)
    for position, relation in enumerate(data["relations"]):
        with entry(path, f"relation number {position}"):
            subject_image, subject = where[relation["subject_id"]]
            object_image, object_ = where[relation["object_id"]]
            if subject_image != object_image:
                raise InputError(f"its subject is in image {subject_image}, its object in image {object_image}")
            relations[subject_image].append((subject, predicates[relation["category_id"]], object_))
    return list(predicates.values()), relations


def _separate_relations(path, split: str, by_image: dict) -> tuple[list[str], dict]:
    """Names of predicates, and relations by image."""
    data = read_json(path)
    relations = defaultdict(list)
    with entry(path, f"the split {split}"):
        names = data["rel_categories"]
        first = int(names[:1] == ["__background__"])
        for image_id, annotations in by_image.items():
            for subject, object_, predicate in data[split].get(str(image_id), []):
                with entry(path, f"image {image_id}"):
                    ends = [number(end, len(annotations), "an object of a relation") for end in (subject, object_)]
                    place = number(predicate, len(names), "a predicate")
                    if place < first:
                        raise InputError("a relation has the predicate 0, which is the background")
                    relations[image_id].append((ends[0], names[place], ends[1]))
    return names[first:], relations
