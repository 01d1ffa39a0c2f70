"""The json of VRD (Lu et al., ECCV 2016).

{file name: [{"predicate": number, "subject": {"category": number, "bbox": [y1, y2, x1, x2]}, "object": {...}}]}, and
two lists with the names of objects and predicates, numbered from 0.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from maskrcnn_benchmark.utils import json_schemas
from maskrcnn_benchmark.utils.json_files import read_json

from .annotations import Annotations, ImageGraph, boxes_of, count_read, entry, name, number
from .image_folders import ImageFolders
from .tally import Tally


def read_vrd(
    path: str | os.PathLike,
    objects_path: str | os.PathLike,
    predicates_path: str | os.PathLike,
    folders: Sequence[str | os.PathLike],
) -> Annotations:
    """Annotations of VRD. VRD names objects pair by pair: equal boxes of one class are one object here.

    Raises:
        InputError: a missing file, or an entry that is not as described.
    """
    objects, predicates = _names(objects_path), _names(predicates_path)
    data, find, tally = read_json(path, json_schemas.Vrd), ImageFolders(folders).find, Tally(str(path))
    images = []
    for file_name, triplets in data.items():
        with entry(path, f"image {file_name}"):
            places: dict[tuple[int, tuple[float, ...]], int] = {}
            relations = []
            for triplet in triplets:
                ends = []
                for role in ("subject", "object"):
                    category = number(triplet[role]["category"], len(objects), f"the category of the {role}")
                    thing = (category, tuple(triplet[role]["bbox"]))
                    ends.append(places.setdefault(thing, len(places)))
                predicate = number(triplet["predicate"], len(predicates), "the predicate")
                relations.append((ends[0], predicates[predicate], ends[1]))
            boxes = boxes_of([box for _, box in places])
            names = [objects[category] for category, _ in places]
            images.append(ImageGraph(find(file_name), boxes[:, [2, 0, 3, 1]], names, relations))
    return Annotations(images, objects, predicates, count_read(images, tally))


def _names(path: str | os.PathLike) -> list[str]:
    names = read_json(path, json_schemas.VrdNames)
    return [name(one, f"{path}, number {place}") for place, one in enumerate(names)]
