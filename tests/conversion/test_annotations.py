"""Every annotation format gives the same images, and says what is wrong with it."""

import itertools

import pytest
from annotation_files import COCO, GRAPHS, REL, VRD, changed, check, write

from maskrcnn_benchmark.data.conversion import read_coco, read_graphs_json, read_vrd, split_at_random
from maskrcnn_benchmark.utils.errors import InputError


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


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (changed(VRD, "a.jpg", 0, "predicate", value=2), "image a.jpg: the predicate is 2; it must be .* from 0 to 1"),
        (
            changed(VRD, "a.jpg", 0, "subject", "category", value=-1),
            r"\[0\].subject.category: .* >= 0, found -1",
        ),
        (
            changed(VRD, "a.jpg", 1, "object", value={}),
            r"a.jpg.*object missing required field category",
        ),
        (
            changed(VRD, "a.jpg", 1, "object", "bbox", value=[1, 2, 3]),
            r"\['a.jpg'\]\[1\].object.bbox: expected a list of length 4",
        ),
        ({"c.jpg": []}, r"image c.jpg: image c\.jpg is in none of .*images"),
        ([], "expected an object, got a list"),
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
        (
            changed(GRAPHS, "a.jpg", "objects", 0, "name", value=5),
            r"image a.jpg, objects\[0\].name: expected a text, found 5",
        ),
        (
            changed(GRAPHS, "a.jpg", "objects", 0, "box", value=[1, 2, 3, "x"]),
            r"image a.jpg, objects\[0\].box.*: expected",
        ),
        (changed(GRAPHS, "a.jpg", "objects", 0, "box", value=[1, 2, 3, 10**400]), "has a number of 401 digits"),
        (
            changed(GRAPHS, "a.jpg", "objects", 0, "box", value=None),
            r"image a.jpg, objects\[0\].box: expected a list, got null",
        ),
        (changed(GRAPHS, "a.jpg", "objects", 0, "name", value="__background__"), "which is the background"),
        (changed(GRAPHS, "a.jpg", "objects", 0, "name", value="two\nlines"), "a name, .* no line ends"),
        (changed(GRAPHS, "a.jpg", "relations", 0, "predicate", value="__background__"), "which is the background"),
        (changed(GRAPHS, "a.jpg", value={}), "image a.jpg: object missing required field objects"),
    ],
)
def test_what_is_wrong_with_graphs_is_named(folder, content, message):
    with pytest.raises(InputError, match=message):
        read_graphs_json(*write(folder, graphs=content), [folder / "images"])


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
