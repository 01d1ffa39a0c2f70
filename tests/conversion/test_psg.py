"""OpenPSG's json: boxes of things and stuff, and which images are for testing."""

import numpy as np
import pytest
from annotation_files import changed, write
from PIL import Image

from maskrcnn_benchmark.data.conversion import read_psg
from maskrcnn_benchmark.utils.errors import InputError


def image(number, **more):
    return {
        "file_name": f"{number}.jpg",
        "width": 40,
        "height": 30,
        "image_id": str(number),
        "segments_info": [{"category_id": c, "iscrowd": crowd} for c, crowd in ((0, 0), (1, 1), (2, 0))],
        "annotations": [
            {"bbox": [2, 0, 13, 10], "bbox_mode": 0, "category_id": 0},
            {"bbox": [5, 4, 26, 21], "bbox_mode": 0, "category_id": 1},
            {"bbox": [0, 20, 40, 10], "bbox_mode": 1, "category_id": 2},
        ],
        "relations": [[0, 2, 1], [1, 0, 0]],
        **more,
    }


PSG = {
    "thing_classes": ["person", "horse"],
    "stuff_classes": ["grass"],
    "predicate_classes": ["over", "standing on"],
    "test_image_ids": ["2", "77"],
    "data": [image(1), image(2), image(3)],
}


@pytest.fixture
def folder(tmp_path):
    for number in (1, 2, 3):
        Image.new("RGB", (40, 30)).save(tmp_path / f"{number}.jpg")
    return tmp_path


def read(folder, content, split=None):
    return read_psg(*write(folder, psg=content), [folder], split)


def test_boxes_of_things_and_stuff_are_read(folder):
    annotations = read(folder, PSG)
    assert annotations.objects == ["person", "horse", "grass"] and annotations.predicates == ["over", "standing on"]
    first = annotations.images[0]
    assert first.names == ["person", "grass"] and first.size == (40, 30)  # the horse is a crowd
    np.testing.assert_array_equal(first.boxes, [[2, 0, 12, 9], [0, 20, 39, 29]])  # both corners included
    assert first.relations == [(0, "standing on", 1)]
    assert annotations.tally.read == {"images": 3, "objects": 9, "relations": 6}
    assert {what: count for (what, _), (count, _) in annotations.tally.left_out.items()} == {
        "objects": 3, "relations": 3,
    }  # fmt: skip


def test_splits_are_those_of_the_file(folder):
    def names(content, split):
        return [one.file.name for one in read(folder, content, split).images]

    assert names(PSG, "train") == ["1.jpg", "3.jpg"]
    assert names(PSG, "test") == names(PSG, "val") == ["2.jpg"]
    assert len(names(PSG, None)) == 3
    for listed, said in (([], "none"), ([1, 2, 3], "all")):
        annotations = read(folder, {**PSG, "test_image_ids": listed}, "train")
        assert len(annotations.images) == 3 and f"lists {said} of its images" in annotations.tally.notes[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (changed(PSG, "data", 2, "image_id", value="1"), "data: the id '1' comes twice"),
        (changed(PSG, "data", 0, "image_id", value=None), r"data\[0\].image_id: expected .*, got null"),
        (changed(PSG, "data", 0, "relations", 0, value=[0, 3, 0]), "image 1.jpg: an object of a relation is 3"),
        (changed(PSG, "data", 0, "relations", 0, value=[0, 1, 2]), "image 1.jpg: a predicate is 2"),
        (changed(PSG, "data", 0, "annotations", 0, "category_id", value=3), "category_id is 3; .* from 0 to 2"),
        (changed(PSG, "data", 0, "annotations", 0, "bbox_mode", value=4), "bbox_mode: invalid enum value 4"),
        (changed(PSG, "data", 0, "segments_info", value=[{}]), "1 segments, but 3 annotations"),
        (changed(PSG, "data", 0, "file_name", value="9.jpg"), "image 9.jpg is in none of"),
        ({"data": []}, "missing required field thing_classes"),
    ],
)
def test_what_is_wrong_is_named(folder, content, message):
    with pytest.raises(InputError, match=message):
        read(folder, content)
