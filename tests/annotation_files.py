"""The same two images in every annotation format, and what each reader makes of them."""

import json

import numpy as np

VRD_OBJECT = {"category": 1, "bbox": [4, 20, 5, 25]}
VRD = {
    "a.jpg": [
        {"predicate": 0, "subject": {"category": 0, "bbox": [0, 9, 2, 12]}, "object": VRD_OBJECT},
        {"predicate": 1, "subject": VRD_OBJECT, "object": {"category": 0, "bbox": [0, 9, 2, 12]}},
    ],
    "b.jpg": [],
}
COCO = {
    "images": [
        {"id": 7, "file_name": "a.jpg", "width": 40, "height": 30},
        {"id": 9, "file_name": "b.png", "width": 40, "height": 30},
    ],
    "categories": [{"id": 3, "name": "man"}, {"id": 8, "name": "horse"}],
    "annotations": [
        {"id": 50, "image_id": 7, "category_id": 3, "bbox": [0, 0, 1, 1], "iscrowd": 1},
        {"id": 51, "image_id": 7, "category_id": 3, "bbox": [2, 0, 11, 10]},
        {"id": 52, "image_id": 7, "category_id": 8, "bbox": [5, 4, 21, 17]},
    ],
    "relation_categories": [{"id": 1, "name": "rides"}, {"id": 2, "name": "under"}],
    "relations": [
        {"subject_id": 51, "object_id": 52, "category_id": 1},
        {"subject_id": 52, "object_id": 51, "category_id": 2},
    ],
}
REL = {"train": {"7": [[0, 1, 1], [1, 0, 2]]}, "rel_categories": ["__background__", "rides", "under"]}
GRAPHS = {
    "a.jpg": {
        "objects": [
            {"name": "man", "box": [2, 0, 12, 9], "score": 0.5},
            {"name": "horse", "box": [5, 4, 25, 20]},
        ],
        "relations": [
            {"subject": 0, "predicate": "rides", "object": 1},
            {"subject": 1, "predicate": "under", "object": 0},
        ],
    },
    "b.png": {"objects": []},
}


def write(folder, **files):
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return [folder / f"{name}.json" for name in files]


def check(annotations, objects):
    first, second = annotations.images
    assert annotations.objects == objects and annotations.predicates == ["rides", "under"]
    assert (first.file.name, second.file.name) == ("a.jpg", "b.png")
    assert first.names == ["man", "horse"]
    np.testing.assert_array_equal(first.boxes, [[2, 0, 12, 9], [5, 4, 25, 20]])
    assert first.relations == [(0, "rides", 1), (1, "under", 0)]
    assert second.boxes.shape == (0, 4) and second.names == [] and second.relations == []


def changed(content, *path, value):
    content = json.loads(json.dumps(content))
    inner = content
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return content
