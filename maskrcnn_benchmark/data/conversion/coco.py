"""COCO's json of objects, with relations.

`images` {"id", "file_name", "width", "height"}, `categories` {"id", "name"} and `annotations` {"id", "image_id",
"category_id", "bbox": [x, y, width, height]} are COCO's. Relations come in one of three ways:

- in the same file, `relation_categories` {"id", "name"} and `relations` {"subject_id", "object_id", "category_id"},
  where subject and object are ids of annotations;
- in the same file as SGG-Benchmark and SGG-Annotate write it, `rel_categories` {"id", "name"} and `rel_annotations`
  {"subject_id", "object_id", "predicate_id", "image_id"};
- in a second file as RelTR has it, {split: {image id: [[subject, object, predicate], ...]}, "rel_categories": [names]},
  where subject and object count the image's annotations from 0, without crowds as in RelTR, and "__background__" is the
  first name.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence

from maskrcnn_benchmark.data.datasets.vg_lists import BACKGROUND
from maskrcnn_benchmark.utils import json_schemas
from maskrcnn_benchmark.utils.errors import InputError
from maskrcnn_benchmark.utils.json_files import conform, read_json

from .annotations import WHERE, Annotations, ImageGraph, boxes_of, by_id, entry, look_up, name, number
from .image_folders import ImageFolders
from .tally import Tally

# list of relations, list of predicates, key of a relation's predicate
_STYLES = (
    ("relations", "relation_categories", "category_id"),
    ("rel_annotations", "rel_categories", "predicate_id"),
)


class _Objects:
    """The annotations of objects by image, without crowds.

    Attributes:
        by_image: id of an image -> its annotations.
        with_crowds: ids of the images that have some.
        where: id of an annotation -> (id of its image, its place in `by_image`, None for a crowd).
    """

    def __init__(self, path, data: Mapping, images: Mapping, tally: Tally):
        self.by_image: dict = {image: [] for image in images}
        self.with_crowds: set = set()
        self.where: dict = {}
        for identity, annotation in by_id(path, data, "annotations").items():
            with entry(path, f"annotation {identity}"):
                image = annotation["image_id"]
                look_up(images, image, "image_id", "image")
                tally.read["objects"] += 1
                place = None
                if annotation.get("iscrowd"):
                    tally.leave_out("objects", "they are crowds", f"annotation {identity}")
                    self.with_crowds.add(image)
                else:
                    place = len(self.by_image[image])
                    self.by_image[image].append(annotation)
                self.where[identity] = image, place


def read_coco(
    path: str | os.PathLike,
    folders: Sequence[str | os.PathLike],
    relations_path: str | os.PathLike | None = None,
    split: str = "train",
) -> Annotations:
    """Annotations in COCO's format; crowds and their relations are left out and counted.

    Args:
        relations_path: RelTR's file of relations; None: they are in `path`.
        split: whose relations to take from `relations_path`.

    Raises:
        InputError: a missing file, or an entry that is not as described.
    """
    data, find, tally = read_json(path, json_schemas.Coco), ImageFolders(folders).find, Tally(str(path))
    classes, listed = _names(path, data, "categories"), by_id(path, data, "images")
    tally.read["images"] = len(listed)
    objects = _Objects(path, data, listed, tally)
    if relations_path is None:
        predicates, relations = _own_relations(path, data, objects, tally)
    else:
        tally.needs_relations = True
        predicates, relations = _separate_relations(relations_path, split, objects, tally)
    images = []
    for identity, image in listed.items():
        with entry(path, f"image {image['file_name']}"):
            file = find(image["file_name"])
            size = _size(image)
        boxes, names = [], []
        for annotation in objects.by_image[identity]:
            with entry(path, f"annotation {annotation['id']}"):
                x, y, width, height = annotation["bbox"]
                boxes.append([x, y, x + width - 1, y + height - 1])  # both corners included
                names.append(look_up(classes, annotation["category_id"], "category_id", "category"))
                if names[-1] == BACKGROUND:
                    raise InputError(f"category_id {annotation['category_id']!r} is {BACKGROUND}, which is no object")
        images.append(ImageGraph(file, boxes_of(boxes), names, relations[identity], size))
    return Annotations(images, _without_background(classes), predicates, tally)


def _size(image: Mapping) -> tuple[float, float] | None:
    """(width, height) of an image where both are given."""
    sides = image.get("width"), image.get("height")
    return None if None in sides else sides  # type: ignore[return-value]


def _names(path, data: Mapping, key: str) -> dict:
    """Names by id; a plain list of names is numbered from 0."""
    data = {key: [{"id": i, "name": one} if isinstance(one, str) else one for i, one in enumerate(data[key])]}
    ids: dict[str, int | str] = {}
    for identity, one in by_id(path, data, key).items():
        with entry(path, f"{key}, id {identity!r}"):
            if one["name"] in ids:
                raise InputError(f"the name {one['name']!r} comes twice, also as id {ids[one['name']]!r}")
            ids[one["name"]] = identity
    return {identity: one for one, identity in ids.items()}


def _without_background(names: Mapping) -> list[str]:
    return [one for one in names.values() if one != BACKGROUND]


def _own_relations(path, data: Mapping, objects: _Objects, tally: Tally) -> tuple[list[str], dict]:
    """Names of predicates, and relations by image."""
    styles = [style for style in _STYLES if style[0] in data or style[1] in data]
    if len(styles) != 1 or not all(key in data for key in styles[0][:2]):
        there = [key for style in _STYLES for key in style[:2] if key in data]
        found = "both of them" if len(styles) > 1 else " and ".join(there) or "neither"
        raise InputError(
            f"{path} must have either relations and relation_categories, or rel_annotations and rel_categories, found "
            f"{found}; or give a file of relations with --relations; {WHERE}"
        )
    listed, named, predicate_key = styles[0]
    predicates, relations = _names(path, data, named), defaultdict(list)
    for position, relation in enumerate(data[listed]):
        with entry(path, f"{listed}, number {position}"):
            tally.read["relations"] += 1
            subject_image, subject = look_up(objects.where, relation["subject_id"], "subject_id", "annotation")
            object_image, object_ = look_up(objects.where, relation["object_id"], "object_id", "annotation")
            predicate = look_up(predicates, relation[predicate_key], predicate_key, named)
            if predicate == BACKGROUND:
                raise InputError(f"{predicate_key} {relation[predicate_key]!r} is {BACKGROUND}, which is no predicate")
            if subject_image != object_image:
                raise InputError(f"its subject is in image {subject_image}, its object in image {object_image}")
            if relation.get("image_id", subject_image) != subject_image:
                raise InputError(f"its image_id is {relation['image_id']!r}, but its subject is in {subject_image!r}")
            if subject is None or object_ is None:
                tally.leave_out("relations", "their subject or object is a crowd", f"number {position} of {listed}")
                continue
            relations[subject_image].append((subject, predicate, object_))
    return _without_background(predicates), relations


def _separate_relations(path, split: str, objects: _Objects, tally: Tally) -> tuple[list[str], dict]:
    """Names of predicates, and relations by image."""
    data, relations = read_json(path, json_schemas.RelTr), defaultdict(list)
    names = data["rel_categories"]
    if split not in data:
        raise InputError(f"{path}, the split {split}: it is missing; {WHERE}")
    given = conform(data[split], json_schemas.RelTrSplit, f"data file {path}, the split {split}")
    first = int(names[:1] == [BACKGROUND])
    for one in names[first:]:
        name(one, f"{path}: a predicate")
    crowded: list[str] = []
    ids = {str(image): image for image in objects.by_image}
    for key, rows in given.items():
        with entry(path, f"image {key}"):
            tally.read["relations"] += len(rows)
            if key not in ids:
                example = f"{key!r}, while ids are such as {next(iter(ids))!r}" if ids else f"{key!r}"
                for _ in rows:
                    tally.leave_out("relations", f"the key in {path} is the id of no image", example)
                continue
            image, count = ids[key], len(objects.by_image[ids[key]])
            if rows and image in objects.with_crowds:
                crowded.append(key)
            for subject, object_, predicate in rows:
                ends = [number(end, count, "an object of a relation") for end in (subject, object_)]
                place = number(predicate, len(names), "a predicate")
                if place < first:
                    raise InputError("a relation has the predicate 0, which is the background")
                relations[image].append((ends[0], names[place], ends[1]))
    if crowded:
        tally.notes.append(
            f"{len(crowded)} images have crowds, the first: {crowded[0]}; {path} counts their annotations without them"
        )
    return names[first:], relations
