"""OpenPSG's json of panoptic scene graphs (Yang et al., ECCV 2022).

{"thing_classes": [names], "stuff_classes": [names], "predicate_classes": [names], "test_image_ids": [ids], "data":
[{"file_name", "width", "height", "image_id", "segments_info": [{"category_id", "iscrowd", ...}], "annotations":
[{"bbox", "bbox_mode", "category_id"}], "relations": [[subject, object, predicate], ...]}]}. The annotations are the
boxes of the segments, one by one; a category counts the things and then the stuff from 0, a predicate counts from 0,
subject and object are places in `annotations`. A box is [x1, y1, x2, y2] (mode 0) or [x, y, width, height] (mode 1).
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from maskrcnn_benchmark.utils import json_schemas
from maskrcnn_benchmark.utils.errors import InputError
from maskrcnn_benchmark.utils.json_files import read_json

from .annotations import Annotations, ImageGraph, boxes_of, by_id, entry, name, number
from .image_folders import ImageFolders
from .tally import Tally


def read_psg(path: str | os.PathLike, folders: Sequence[str | os.PathLike], split: str | None = None) -> Annotations:
    """Annotations of OpenPSG: the boxes of things and stuff; crowds and their relations are left out and counted.

    Args:
        split: `train` takes the images that `test_image_ids` does not list, `val` and `test` those that it lists;
            where it lists none of the file's images or all, it tells nothing and all are taken. None: all.

    Raises:
        InputError: a missing file, or an entry that is not as described.
    """
    data, find, tally = read_json(path, json_schemas.Psg), ImageFolders(folders).find, Tally(str(path))
    classes = [*_names(path, data, "thing_classes"), *_names(path, data, "stuff_classes")]
    predicates = _names(path, data, "predicate_classes")
    images = []
    for image in _of_split(path, data, split, tally).values():
        with entry(path, f"image {image['file_name']}"):
            crowds = [bool(one.get("iscrowd")) for one in image.get("segments_info", [])]
            annotations = image["annotations"]
            if crowds and len(crowds) != len(annotations):
                raise InputError(f"it has {len(crowds)} segments, but {len(annotations)} annotations")
            crowds = crowds or [False] * len(annotations)
            kept = [place for place, crowd in enumerate(crowds) if not crowd]
            place_of = {place: new for new, place in enumerate(kept)}
            relations = []
            for subject, object_, predicate in image["relations"]:
                ends = [number(end, len(annotations), "an object of a relation") for end in (subject, object_)]
                predicate = predicates[number(predicate, len(predicates), "a predicate")]
                if set(ends) <= set(kept):
                    relations.append((place_of[ends[0]], predicate, place_of[ends[1]]))
                else:
                    tally.leave_out("relations", "their subject or object is a crowd", f"one of {image['file_name']}")
            for _ in range(len(annotations) - len(kept)):
                tally.leave_out("objects", "they are crowds", f"one of {image['file_name']}")
            tally.read.update(images=1, objects=len(annotations), relations=len(image["relations"]))
            chosen = [annotations[place] for place in kept]
            images.append(
                ImageGraph(
                    find(image["file_name"]),
                    boxes_of([_box(one) for one in chosen]),
                    [classes[number(one["category_id"], len(classes), "category_id")] for one in chosen],
                    relations,
                    (image["width"], image["height"]),
                )
            )
    return Annotations(images, classes, predicates, tally)


def _names(path, data: dict, key: str) -> list[str]:
    with entry(path, key):
        return [name(one, "a name") for one in data[key]]


def _of_split(path, data: dict, split: str | None, tally: Tally) -> dict:
    """The images of a split by their ids, which are numbers or text."""
    images = by_id(path, {"data": [{**one, "id": one["image_id"]} for one in data["data"]]}, "data")
    listed = set(map(str, data.get("test_image_ids", [])))
    tested = {identity: str(identity) in listed for identity in images}
    if split is None:
        return images
    if len(set(tested.values())) < 2:
        how_many = "all" if any(tested.values()) else "none"
        tally.notes.append(f"{path}: test_image_ids lists {how_many} of its images, so they are not told apart by it")
        return images
    return {identity: image for identity, image in images.items() if tested[identity] == (split != "train")}


def _box(annotation: dict) -> list[float]:
    x1, y1, x2, y2 = annotation["bbox"]
    if annotation.get("bbox_mode", 0) == 1:
        x2, y2 = x1 + x2, y1 + y2
    return [x1, y1, x2 - 1, y2 - 1]  # both corners included
