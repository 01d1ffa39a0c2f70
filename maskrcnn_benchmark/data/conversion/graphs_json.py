"""The project's own json of scene graphs.

{file name: {"objects": [{"name", "box": [x1, y1, x2, y2]}], "relations": [{"subject", "predicate", "object"}]}};
subject and object are places in `objects`, boxes are in pixels, 0-based, both corners included. Further keys are passed
over, so what tools/predict.py writes can be corrected by hand and read again.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from maskrcnn_benchmark.scene_graph import read_scene_graphs

from .annotations import Annotations, ImageGraph, boxes_of, count_read, entry, name, number
from .image_folders import ImageFolders
from .tally import Tally


def read_graphs_json(path: str | os.PathLike, folders: Sequence[str | os.PathLike]) -> Annotations:
    """Annotations in the format of this module, or the lines that `predict.py` writes.

    Classes and predicates are numbered in the order of the alphabet.

    Raises:
        InputError: a missing file, or an entry that is not as described.
    """
    find, tally = ImageFolders(folders).find, Tally(str(path))
    images = []
    for file_name, graph in read_scene_graphs(path):
        with entry(path, f"image {file_name}"):
            objects = graph["objects"]
            images.append(
                ImageGraph(
                    find(file_name),
                    boxes_of([one["box"] for one in objects]),
                    [name(one["name"], "the name of an object") for one in objects],
                    [
                        (
                            number(one["subject"], len(objects), "the subject of a relation"),
                            name(one["predicate"], "the predicate of a relation"),
                            number(one["object"], len(objects), "the object of a relation"),
                        )
                        for one in graph.get("relations", [])
                    ],
                )
            )
    return with_names_of_images(images, tally)


def with_names_of_images(images: Sequence[ImageGraph], tally: Tally) -> Annotations:
    """Annotations whose classes and predicates are those that occur, in the order of the alphabet."""
    return Annotations(
        list(images),
        sorted({one for image in images for one in image.names}),
        sorted({predicate for image in images for _, predicate, _ in image.relations}),
        count_read(images, tally),
    )
