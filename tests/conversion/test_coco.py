"""COCO's json with relations: ids that come twice or lead nowhere, crowds, and the styles of others."""

import copy
import json

import pytest
from annotation_files import COCO, REL, changed, check, write

from maskrcnn_benchmark.data.conversion import read_coco
from maskrcnn_benchmark.utils.errors import InputError


def read(folder, content, relations=None, split="train"):
    if relations is None:
        return read_coco(*write(folder, coco=content), [folder / "images"])
    path, relations = write(folder, coco=content, rel=relations)
    return read_coco(path, [folder / "images"], relations, split)


@pytest.mark.parametrize("key", ["images", "categories", "annotations", "relation_categories"])
def test_an_id_that_comes_twice_is_named(folder, key):
    content = copy.deepcopy(COCO)
    content[key].append({**content[key][-1], "name": "another", "file_name": "a.jpg"})
    identity = content[key][-1]["id"]
    with pytest.raises(InputError, match=rf"coco\.json, {key}: the id {identity} comes twice, number 1|2 and number"):
        read(folder, content)


@pytest.mark.parametrize("key", ["categories", "relation_categories"])
def test_a_name_that_comes_twice_is_named(folder, key):
    content = changed(COCO, key, 0, "name", value=COCO[key][1]["name"])
    with pytest.raises(InputError, match=rf"{key}, id .*: the name '{COCO[key][1]['name']}' comes twice, also as id"):
        read(folder, content)


def as_text(content, key):
    content = copy.deepcopy(content)
    for one in content[key]:
        one["id"] = str(one["id"])
    return content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            changed(COCO, "relations", 0, "subject_id", value=99),
            r"number 0: subject_id 99 \(int\) is in no annotation$",
        ),
        (
            changed(COCO, "relations", 1, "object_id", value=[]),
            r"relations\[1\].object_id: expected .*, got a list",
        ),
        (changed(COCO, "relations", 1, "category_id", value=9), "category_id 9 .* is in no relation_categories"),
        (changed(COCO, "annotations", 1, "image_id", value=9), "relations, number 0: its subject is in image 9"),
        (changed(COCO, "annotations", 1, "image_id", value=1), r"annotation 51: image_id 1 \(int\) is in no image$"),
        (
            changed(COCO, "annotations", 1, "category_id", value=1),
            r"annotation 51: category_id 1 \(int\) is in no category",
        ),
        (as_text(COCO, "images"), r"annotation 50: image_id 7 \(int\) is in no image; ids are text there"),
        (as_text(COCO, "categories"), r"annotation 51: category_id 3 \(int\) is in no category; ids are text there"),
        (as_text(COCO, "annotations"), r"subject_id 51 \(int\) is in no annotation; ids are text there"),
        (changed(COCO, "annotations", 1, "image_id", value="7"), r"image_id '7' \(str\) .*; ids are numbers there"),
        (changed(COCO, "annotations", 1, "id", value=None), r"annotations\[1\].id: expected .*, got null"),
        (changed(COCO, "annotations", 1, value=5), r"annotations\[1\]: expected an object, found 5"),
        (changed(COCO, "annotations", value={}), "annotations: expected a list, got an object"),
        (
            changed(COCO, "annotations", 1, "bbox", value=[1, 2, 3]),
            r"annotations\[1\].bbox: expected a list of length 4, got 3",
        ),
        (changed(COCO, "images", 0, "file_name", value="../a.jpg"), "must be the name of a file in one of the folders"),
        (changed(COCO, "images", 0, "file_name", value="nowhere.jpg"), "image nowhere.jpg is in none of"),
        ({"images": [], "categories": [], "annotations": []}, "relations and relation_categories, .* found neither"),
        ({**COCO, "rel_annotations": []}, "found both of them"),
        ({"data": []}, "missing required field images|missing required field categories"),
        ([], "expected an object, got a list"),
    ],
)
def test_what_is_wrong_is_named(folder, content, message):
    with pytest.raises(InputError, match=message):
        read(folder, content)


def test_relations_of_crowds_are_left_out_and_counted(folder):
    content = changed(COCO, "relations", 1, "object_id", value=50)
    annotations = read(folder, content)
    assert annotations.images[0].relations == [(0, "rides", 1)]
    assert annotations.tally.read == {"images": 2, "objects": 3, "relations": 2}
    assert annotations.tally.left_out == {
        ("objects", "they are crowds"): [1, "annotation 50"],
        ("relations", "their subject or object is a crowd"): [1, "number 1 of relations"],
    }


def sgg_benchmark(content):
    """The same in the style of SGG-Benchmark and SGG-Annotate."""
    content = copy.deepcopy(content)
    content["rel_categories"] = content.pop("relation_categories")
    content["rel_annotations"] = [
        {"id": i, "image_id": 7, **{("predicate_id" if key == "category_id" else key): one[key] for key in one}}
        for i, one in enumerate(content.pop("relations"))
    ]
    return content


def test_relations_of_sgg_benchmark_are_read(folder):
    content = sgg_benchmark(COCO)
    check(read(folder, content), ["man", "horse"])
    with pytest.raises(InputError, match="rel_annotations, number 0: its image_id is 9, but its subject is in 7"):
        read(folder, changed(content, "rel_annotations", 0, "image_id", value=9))
    with pytest.raises(InputError, match=r"predicate_id 9 \(int\) is in no rel_categories"):
        read(folder, changed(content, "rel_annotations", 0, "predicate_id", value=9))


def test_the_background_among_the_categories_is_no_class(folder):
    content = copy.deepcopy(COCO)
    content["categories"].insert(0, {"id": 0, "name": "__background__"})
    content["relation_categories"].insert(0, {"id": 0, "name": "__background__"})
    check(read(folder, content), ["man", "horse"])
    with pytest.raises(InputError, match="annotation 51: category_id 0 is __background__"):
        read(folder, changed(content, "annotations", 1, "category_id", value=0))


OBJECTS = {key: value for key, value in COCO.items() if not key.startswith("relation")}


def test_keys_that_are_the_id_of_no_image_are_counted(folder):
    relations = changed(REL, "train", value={**REL["train"], "000000000007": [[0, 1, 1]], "a.jpg": [[1, 0, 1]] * 2})
    annotations = read(folder, OBJECTS, relations)
    assert annotations.tally.read["relations"] == 5
    ((_, reason), (count, first)) = annotations.tally.left_out.popitem()
    assert reason == f"the key in {folder / 'rel.json'} is the id of no image"
    assert (count, first) == (3, "'000000000007', while ids are such as '7'")


def test_that_crowds_do_not_count_in_a_file_of_relations_is_noted(folder):
    annotations = read(folder, OBJECTS, REL)
    assert annotations.images[0].relations == [(0, "rides", 1), (1, "under", 0)]  # as RelTR counts
    (note,) = annotations.tally.notes
    assert "1 images have crowds, the first: 7" in note


def test_what_is_wrong_with_a_file_of_relations_is_named(folder):
    with pytest.raises(InputError, match=r"rel\.json.*image 7: an object of a relation is 2"):
        read(folder, COCO, changed(REL, "train", "7", 0, value=[0, 2, 1]))
    with pytest.raises(InputError, match="the predicate 0, which is the background"):
        read(folder, COCO, changed(REL, "train", "7", 0, value=[0, 1, 0]))
    with pytest.raises(InputError, match=r"the split test: it is missing"):
        read(folder, COCO, REL, "test")


def test_a_key_that_comes_twice_is_named(folder):
    text = json.dumps(REL).replace('"7":', '"7": [], "7":')
    path, relations = write(folder, coco=OBJECTS, rel={})
    relations.write_text(text)
    with pytest.raises(InputError, match=r"rel\.json has the key '7' twice"):
        read_coco(path, [folder / "images"], relations)
