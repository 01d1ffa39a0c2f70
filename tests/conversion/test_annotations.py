"""Every annotation format gives the same images, and says what is wrong with it."""

import itertools
import json

import numpy as np
import pytest
from PIL import Image

from maskrcnn_benchmark.data.conversion import read_coco, read_graphs_json, read_vrd, split_at_random
from maskrcnn_benchmark.utils.errors import InputError


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "images").mkdir()
    for name in ("a.jpg", "b.png"):
        Image.new("RGB", (40, 30)).save(tmp_path / "images" / name)
    return tmp_path


def write(folder, **files):
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return [folder / f"{name}.json" for name in files]


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


def check(annotations, objects):
    first, second = annotations.images
    assert annotations.objects == objects and annotations.predicates == ["rides", "under"]
    assert (first.file.name, second.file.name) == ("a.jpg", "b.png")
    assert first.names == ["man", "horse"]
    np.testing.assert_array_equal(first.boxes, [[2, 0, 12, 9], [5, 4, 25, 20]])
    assert first.relations == [(0, "rides", 1), (1, "under", 0)]
    assert second.boxes.shape == (0, 4) and second.names == [] and second.relations == []


def test_vrd(folder):
    files = write(folder, annotations=VRD, objects=["man", "horse"], predicates=["rides", "under"])
    check(read_vrd(*files, [folder / "images"]), ["man", "horse"])  # and b.jpg is found as b.png


def test_coco_with_relations_in_the_file(folder):
    annotations = read_coco(*write(folder, coco=COCO), [folder / "images"])
    check(annotations, ["man", "horse"])
    assert annotations.images[0].size == (40, 30)


def test_coco_with_a_file_of_relations(folder):
    objects = {key: value for key, value in COCO.items() if not key.startswith("relation")}
    path, relations = write(folder, coco=objects, rel=REL)
    check(read_coco(path, [folder / "images"], relations, "train"), ["man", "horse"])


def test_graphs_json(folder):
    check(read_graphs_json(*write(folder, graphs=GRAPHS), [folder / "images"]), ["horse", "man"])


def changed(content, *path, value):
    content = json.loads(json.dumps(content))
    inner = content
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (changed(VRD, "a.jpg", 0, "predicate", value=2), "image a.jpg: the predicate is 2; it must be .* from 0 to 1"),
        (changed(VRD, "a.jpg", 0, "subject", "category", value=-1), "image a.jpg: the category of the subject is -1"),
        (changed(VRD, "a.jpg", 1, "object", value={}), "image a.jpg: 'category' is missing"),
        (changed(VRD, "a.jpg", 1, "object", "bbox", value=[1, 2, 3]), "image a.jpg: box .* must be four numbers"),
        ({"c.jpg": []}, r"image c.jpg: image c\.jpg is in none of .*images"),
        ([], "must hold an object with file names as keys, found a list"),
    ],
)
def test_what_is_wrong_with_vrd_is_named(folder, content, message):
    files = write(folder, annotations=content, objects=["man", "horse"], predicates=["rides", "under"])
    with pytest.raises(InputError, match=message):
        read_vrd(*files, [folder / "images"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (changed(GRAPHS, "a.jpg", "relations", 0, "object", value=2), "image a.jpg: the object of a relation is 2"),
        (changed(GRAPHS, "a.jpg", "objects", 0, "name", value=5), "image a.jpg: the name of an object is 5"),
        (changed(GRAPHS, "a.jpg", "objects", 0, "box", value=[1, 2, 3, "x"]), "image a.jpg: could not convert"),
        (changed(GRAPHS, "a.jpg", value={}), "image a.jpg: 'objects' is missing"),
    ],
)
def test_what_is_wrong_with_graphs_is_named(folder, content, message):
    with pytest.raises(InputError, match=message):
        read_graphs_json(*write(folder, graphs=content), [folder / "images"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (changed(COCO, "relations", 0, "subject_id", value=99), "relation number 0: 99 is missing"),
        (changed(COCO, "annotations", 1, "image_id", value=9), "relation number 0: its subject is in image 9"),
        (changed(COCO, "annotations", 1, "image_id", value=1), "annotation 51: 1 is missing"),
        ({"images": [], "categories": [], "annotations": []}, "no relations and relation_categories"),
    ],
)
def test_what_is_wrong_with_coco_is_named(folder, content, message):
    with pytest.raises(InputError, match=message):
        read_coco(*write(folder, coco=content), [folder / "images"])


def test_what_is_wrong_with_a_file_of_relations_is_named(folder):
    path, relations = write(folder, coco=COCO, rel=changed(REL, "train", "7", 0, value=[0, 2, 1]))
    with pytest.raises(InputError, match=r"rel\.json.*image 7: an object of a relation is 2"):
        read_coco(path, [folder / "images"], relations)
    with pytest.raises(InputError, match=r"the split test: 'test' is missing"):
        read_coco(path, [folder / "images"], relations, "test")


def test_folders_that_do_not_exist_are_named(folder):
    with pytest.raises(InputError, match=r"image folder .*nowhere does not exist"):
        read_graphs_json(*write(folder, graphs=GRAPHS), [folder / "nowhere"])


def test_a_random_split_takes_every_image_once():
    parts = split_at_random(list(range(20)), num_val=3, num_test=5, seed=1)
    assert [len(parts[split]) for split in ("train", "val", "test")] == [12, 3, 5]
    assert sorted(itertools.chain(*parts.values())) == list(range(20))
    assert parts == split_at_random(list(range(20)), 3, 5, seed=1) != split_at_random(list(range(20)), 3, 5, seed=2)
    with pytest.raises(InputError, match="leave none of 20 for training"):
        split_at_random(list(range(20)), 10, 10)
