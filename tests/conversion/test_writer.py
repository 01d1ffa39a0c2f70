"""What is written is read again as the same images, boxes and relations."""

import json

import numpy as np
import pytest
from PIL import Image
from support import open_vg

from maskrcnn_benchmark.data.conversion import ImageGraph, NothingKeptError, build_vg_dataset
from maskrcnn_benchmark.data.conversion.writer import scaled_boxes
from maskrcnn_benchmark.data.datasets.vg_format import corners
from maskrcnn_benchmark.utils.errors import InputError

OBJECTS, PREDICATES = ["man", "horse", "hat"], ["riding", "wearing"]


def image_file(folder, name, size=(400, 300), **options):
    picture = np.zeros((size[1], size[0], 3), np.uint8)
    picture[: size[1] // 2] = 255
    Image.fromarray(picture).save(folder / name, **options)
    return folder / name


def graph(file, boxes, names, relations=(), size=None):
    return ImageGraph(file, np.array(boxes, dtype=float).reshape(-1, 4), names, list(relations), size)


def open_dataset(folder, split, **options):
    return open_vg(folder / "vg", split, num_val_im=0, **options)


def test_images_boxes_and_relations_come_back(tmp_path):
    jpeg, png = image_file(tmp_path, "one.jpg"), image_file(tmp_path, "two.png", (90, 200))
    first = graph(jpeg, [[20, 0, 119, 90], [5, 40, 255, 200]], ["man", "horse"], [(0, "riding", 1)])
    second = graph(png, [[1, 2, 30, 40], [3, 4, 50, 60]], ["man", "hat"], [(0, "wearing", 1), (1, "riding", 0)])
    empty = graph(jpeg, [], [])
    report = build_vg_dataset({"train": [first, empty], "test": [second]}, OBJECTS, PREDICATES, tmp_path / "out")
    assert str(report).splitlines()[0] == "3 images (2 train, 1 test), 4 objects, 3 relations"

    train, test = open_dataset(tmp_path / "out", "train"), open_dataset(tmp_path / "out", "test")
    assert train.ind_to_classes[1:] == OBJECTS and train.ind_to_predicates[1:] == PREDICATES
    for dataset, one in ((train, first), (test, second)):
        assert len(dataset) == 1
        target = dataset.get_groundtruth(0, evaluation=True)
        # half a pixel of the image scaled to 1024
        np.testing.assert_allclose(target.bbox.numpy(), one.boxes, atol=0.5 * max(target.size) / 1024 + 1e-4)
        assert [dataset.ind_to_classes[i] for i in target.get_field("labels")] == one.names
        relations = [(s, dataset.ind_to_predicates[p], o) for s, o, p in target.get_field("relation_tuple").tolist()]
        assert relations == one.relations
        assert dataset[0][0].size == Image.open(one.file).size
    assert open_dataset(tmp_path / "out", "train", filter_empty_rels=False).split_mask.sum() == 1
    info = json.loads((tmp_path / "out" / "vg" / "image_data.json").read_text())
    assert [one["file_name"] for one in info] == ["one.jpg", "one.jpg", "two.png"]
    copied = tmp_path / "out" / "vg" / "VG_100K" / f"{info[0]['image_id']}.jpg"
    assert copied.read_bytes() == jpeg.read_bytes()


def test_corners_survive_scaling_exactly():
    """Against a plain loop: whole corners of the scaled image come back as they are."""
    rng = np.random.default_rng(0)
    low = rng.integers(0, 700, (500, 2))
    boxes = np.column_stack((low, low + rng.integers(1, 60, (500, 2)))).astype(float)
    np.testing.assert_array_equal(corners(scaled_boxes(boxes, (1024, 768))), boxes)
    tiny = np.array([[0, 0, 0, 0], [1023, 767, 1023, 767]], dtype=float)
    back = corners(scaled_boxes(tiny, (1024, 768)))
    assert back.tolist() == [[0, 0, 1, 1], [1023, 767, 1024, 768]]
    assert scaled_boxes(np.zeros((0, 4)), (10, 10)).shape == (0, 4)


def test_boxes_outside_of_the_image_are_clipped_or_left_out(tmp_path):
    boxes = [[-30, 10, 50, 350], [400, 0, 450, 50], [10, 10, 5, 20], [0, 0, 30, 30]]
    one = graph(
        image_file(tmp_path, "a.jpg"),
        boxes,
        ["man", "horse", "hat", "hat"],
        [(0, "riding", 1), (0, "wearing", 3), (0, "wearing", 3), (3, "wearing", 3), (2, "wearing", 0)],
    )
    report = build_vg_dataset({"train": [one]}, OBJECTS, PREDICATES, tmp_path / "out")
    assert report.total.read == {"images": 1, "objects": 4, "relations": 5} and report.clipped == 1
    assert report.total.kept == {"images": 1, "objects": 2, "relations": 1}
    assert [(*reason, count) for reason, (count, _) in report.total.left_out.items()] == [
        ("objects", "they lie wholly outside of their image", 1),
        ("objects", "their box has no extent", 1),
        ("relations", "their subject or object was left out", 2),
        ("relations", "they are repeated", 1),
        ("relations", "they are of an object with itself", 1),
    ]
    assert "outside of their image: 1, the first: horse of a.jpg with the box [400.0" in str(report)
    target = open_dataset(tmp_path / "out", "train").get_groundtruth(0, evaluation=True)
    np.testing.assert_allclose(target.bbox.numpy(), [[0, 10, 50, 299], [0, 0, 30, 30]], atol=0.3)
    assert target.get_field("relation_tuple").tolist() == [[0, 1, 2]]


@pytest.mark.parametrize("upright", [True, False])
def test_turned_images_are_turned_unless_they_are_taken_as_stored(tmp_path, upright):
    exif = Image.Exif()
    exif[0x0112] = 6
    file = image_file(tmp_path, "turned.jpg", exif=exif)
    size = (300, 400) if upright else (400, 300)
    one = graph(file, [[0, 0, 99, 99], [0, 0, 50, 50]], ["man", "hat"], [(0, "wearing", 1)], size)
    build_vg_dataset({"train": [one]}, OBJECTS, PREDICATES, tmp_path / "out", upright=upright)
    image, target, _ = open_dataset(tmp_path / "out", "train")[0]
    assert image.size == target.size == size
    white = (290, 200) if upright else (200, 10)  # turned clockwise, what was above is on the right
    assert min(image.getpixel(white)) > 200
    one.size = size[::-1]
    with pytest.raises(InputError, match="its annotations say"):
        build_vg_dataset({"train": [one]}, OBJECTS, PREDICATES, tmp_path / "other", upright=upright)


@pytest.mark.parametrize("mode", ["L", "P", "I;16", "RGBA"])
def test_images_of_every_mode_are_saved_as_jpeg(tmp_path, mode):
    file = tmp_path / "picture.png"
    if mode == "I;16":
        Image.fromarray(np.full((30, 40), 32896, np.uint16)).save(file)
    else:
        Image.new(mode, (40, 30)).save(file)
    one = graph(file, [[0, 0, 20, 20], [5, 5, 9, 9]], ["man", "hat"], [(0, "wearing", 1)])
    build_vg_dataset({"train": [one]}, OBJECTS, PREDICATES, tmp_path / "out")
    saved = next((tmp_path / "out" / "vg" / "VG_100K").iterdir())
    assert Image.open(saved).format == "JPEG"
    image = open_dataset(tmp_path / "out", "train")[0][0]
    assert image.mode == "RGB" and image.size == (40, 30)
    if mode == "I;16":
        assert abs(np.asarray(image).astype(int) - 128).max() <= 2


def test_nothing_is_left_behind_where_something_is_wrong(tmp_path):
    good = graph(image_file(tmp_path, "a.jpg"), [[0, 0, 9, 9]], ["man"])
    (tmp_path / "empty.jpg").write_bytes(b"")
    broken = graph(tmp_path / "empty.jpg", [], [])
    unknown = graph(tmp_path / "a.jpg", [[0, 0, 9, 9]], ["cow"])
    out = tmp_path / "out"
    for images, message in (
        ([good, broken], r"empty\.jpg cannot be read"),
        ([good, unknown], "image a.jpg: the object class 'cow' is not in the dictionary"),
        ([], "the annotations have no image"),
    ):
        with pytest.raises(InputError, match=message):
            build_vg_dataset({"train": images}, OBJECTS, PREDICATES, out)
        assert list(out.iterdir()) == []
    with pytest.raises(InputError, match="names of predicates are not distinct: riding"):
        build_vg_dataset({"train": [good]}, OBJECTS, ["riding", "riding"], out)
    outside = graph(tmp_path / "a.jpg", [[900, 0, 950, 9]], ["man"])
    with pytest.raises(NothingKeptError, match="the val split contributed no objects: they lie wholly outside") as kept:
        build_vg_dataset({"train": [good], "val": [outside]}, OBJECTS, PREDICATES, out)
    assert kept.value.report.total.kept["objects"] == 1 and list(out.iterdir()) == []
    build_vg_dataset({"train": [good]}, OBJECTS, PREDICATES, out)
    with pytest.raises(InputError, match="exists already"):
        build_vg_dataset({"train": [good]}, OBJECTS, PREDICATES, out)
