"""Boxes of other detectors: from files by image name or as COCO results, with COCO's names."""

import json
from pathlib import Path

import pytest

from maskrcnn_benchmark.engine.boxes_file import BoxesFile
from maskrcnn_benchmark.engine.coco_names import COCO_IDS, VG150_OF_COCO, matching_names
from maskrcnn_benchmark.utils.errors import InputError

CLASSES = ["man", "person", "bike", "dog"]
SIZE = (100, 80)
VG150 = json.loads((Path(__file__).parents[1] / "data" / "vg150_names.json").read_text())["objects"]


def write(path, content):
    path.write_text(json.dumps(content))
    return path


def test_boxes_by_image_name(tmp_path):
    content = {
        "a.jpg": {"boxes": [[0, 0, 9, 9], [5, 5, 99, 79]], "labels": ["man", "bicycle"], "scores": [0.5, 1]},
        "b.jpg": {"boxes": [[1, 2, 3, 4]]},
        "c.jpg": {"objects": [{"name": "dog", "box": [1, 2, 3, 4], "score": 0.25}]},
    }
    boxes = BoxesFile(write(tmp_path / "boxes.json", content), CLASSES)
    first, second, third = (boxes.of(f"/photos/{name}", SIZE) for name in content)
    assert first.boxes.tolist() == content["a.jpg"]["boxes"] and first.labels.tolist() == [1, 3]
    assert first.scores.tolist() == [0.5, 1] and second.labels is None and second.scores is None
    assert third.labels.tolist() == [4] and third.scores.tolist() == [0.25]
    with pytest.raises(InputError, match=r"boxes\.json has no boxes of d\.jpg"):
        boxes.of("d.jpg", SIZE)
    with pytest.raises(InputError, match=r"boxes\.json, image a\.jpg: box 1 .* within the image of 4 x 4"):
        boxes.of("a.jpg", (4, 4))
    assert BoxesFile(tmp_path / "boxes.json", CLASSES, use_labels=False).of("a.jpg", SIZE).labels is None


def test_what_predict_wrote_is_read(tmp_path):
    graph = {
        "image": "a.jpg",
        "width": 100,
        "height": 80,
        "objects": [{"name": "dog", "box": [1, 2, 3, 4], "score": 1.0}],
    }
    (tmp_path / "predictions.jsonl").write_text(json.dumps(graph) + "\n")
    for path in (tmp_path, tmp_path / "predictions.jsonl"):
        assert BoxesFile(path, CLASSES).of("a.jpg", SIZE).labels.tolist() == [4]


def test_coco_results(tmp_path):
    results = [
        {"image_id": 139, "category_id": 2, "bbox": [10, 20, 30, 40], "score": 0.9},
        {"image_id": 139, "category_id": 80, "bbox": [0, 0, 5, 5], "score": 0.8},  # a toaster
        {"image_id": 7, "category_id": 1, "bbox": [0, 0, 5, 5], "score": 0.7},
    ]
    boxes = BoxesFile(write(tmp_path / "results.json", results), CLASSES)
    found = boxes.of("val2017/000000000139.jpg", SIZE)
    assert found.boxes.tolist() == [[10, 20, 39, 59]] and found.labels.tolist() == [3] and boxes.left_out == 1
    annotations = {
        "images": [{"id": 139, "file_name": "a.jpg"}, {"id": 7, "file_name": "b.jpg"}],
        "categories": [{"id": 1, "name": "dog"}, {"id": 2, "name": "man"}, {"id": 80, "name": "person"}],
    }
    named = BoxesFile(tmp_path / "results.json", CLASSES, write(tmp_path / "coco.json", annotations))
    assert named.of("a.jpg", SIZE).labels.tolist() == [1, 2] and named.of("b.jpg", SIZE).labels.tolist() == [4]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("no", "expected an object or a list, found 'no'"),
        ({"a.jpg": []}, r"\['a.jpg'\]: expected an object, got a list"),
        ([{"image_id": 1}], r"\[0\]: object missing required field category_id"),
        ([{"image_id": 1, "category_id": 12, "bbox": [0, 0, 1, 1]}], "category 12 is unknown"),
    ],
)
def test_other_files_get_one_sentence(tmp_path, content, message):
    with pytest.raises(InputError, match=message):
        BoxesFile(write(tmp_path / "boxes.json", content), CLASSES)


def test_names_between_coco_and_vg150():
    """Every entry of the table is needed and leads to a class of VG-150."""
    assert len(COCO_IDS) == len(set(COCO_IDS.values())) == 80
    assert set(VG150_OF_COCO) <= set(COCO_IDS.values()) and set(VG150_OF_COCO.values()) <= set(VG150)
    assert not set(VG150_OF_COCO) & set(VG150)
    found = matching_names(COCO_IDS.values(), VG150)
    assert found["bicycle"] == "bike" and found["person"] == "person" and "toaster" not in found and len(found) == 61
