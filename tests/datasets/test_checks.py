"""Every kind of damage is found, and what is counted agrees with a plain loop."""

import json
import shutil

import h5py
import numpy as np
import pytest
from PIL import Image
from support import PARITY, vg_dataset

from maskrcnn_benchmark.data.datasets.checks import check_dataset, report_figure

NAMES = {
    "img_dir": "VG_100K",
    "roidb_file": "VG-SGG-with-attri.h5",
    "dict_file": "VG-SGG-dicts-with-attri.json",
    "image_file": "image_data.json",
}


@pytest.fixture
def files(tmp_path):
    shutil.copytree(PARITY / "vg", tmp_path / "vg")
    return {key: tmp_path / "vg" / name for key, name in NAMES.items()}


def check(files, **options):
    return check_dataset(**{key: str(path) for key, path in files.items()}, num_val_im=10, **options)


def test_a_sound_data_set_has_no_fault(files):
    report = check(files)
    assert report.faults == [] and "no faults" in str(report)


def test_counts_agree_with_a_plain_loop(files):
    report = check(files, check_images=False)
    datasets = {
        split: vg_dataset(split, filter_empty_rels=False, filter_non_overlap=False)
        for split in ("train", "val", "test")
    }
    triplets = {}
    for split, dataset in datasets.items():
        triplets[split] = [
            (classes[s], p, classes[o])
            for classes, relations in zip(dataset.gt_classes, dataset.relationships, strict=True)
            for s, o, p in relations
        ]
        counts = report.splits[split]
        assert counts.images == len(dataset)
        assert counts.objects == sum(map(len, dataset.gt_boxes)) and counts.relations == len(triplets[split])
        assert counts.without_relations == sum(len(relations) == 0 for relations in dataset.relationships)
    known = set(triplets["train"])
    assert report.splits["test"].zero_shot == sum(one not in known for one in triplets["test"])
    names = datasets["train"].ind_to_predicates
    for name, count in report.predicates.items():
        assert count == sum(names[p] == name for _, p, _ in triplets["train"])
    assert list(report.predicates.values()) == sorted(report.predicates.values(), reverse=True)
    assert len(report.classes) == 150 and len(report.predicates) == 50
    figure = report_figure(report)
    assert [len(axis.patches) for axis in figure.axes] == [50, 150, 4]


@pytest.mark.parametrize(
    ("array", "rows", "value", "message"),
    [
        ("labels", 0, 151, "labels has the numbers 151, expected 1 to 150"),
        ("predicates", slice(0, 2), 0, "predicates has the numbers 0, expected 1 to 50"),
        ("split", 3, 7, "split has 1 values out of 0 to 2, the first is 7"),
        ("boxes_1024", 2, [100, 100, 0, 5], "boxes of no extent"),
        ("boxes_1024", 2, [2000, 100, 10, 10], "1 boxes lie wholly outside of their image, rows: 2"),
        ("relationships", 0, [0, 10**6], "point to boxes of another image"),
    ],
)
def test_damaged_arrays_are_found(files, array, rows, value, message):
    with h5py.File(files["roidb_file"], "r+") as h5:
        h5[array][rows] = value
    report = check(files, check_images=False)
    assert any(message in fault for fault in report.faults), report.faults
    assert str(report).endswith(f"{len(report.faults)} fault{'s' if len(report.faults) > 1 else ''}")


def test_damaged_images_are_found(files):
    paths = sorted(files["img_dir"].iterdir())
    paths[0].write_bytes(b"")
    paths[1].unlink()
    Image.new("RGB", (31, 17)).save(paths[2])
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(paths[3]).save(paths[3].with_suffix(".tmp"), "JPEG", exif=exif)
    paths[3].with_suffix(".tmp").rename(paths[3])
    report = check(files)
    text = str(report)
    for number, what in enumerate(("cannot be read", "are missing", "is 31 x 17, listed as")):
        assert any(what in fault and paths[number].name in fault for fault in report.faults), text
    assert len(report.faults) == 3 and "3 faults" in text
    assert any(paths[3].name in note and "EXIF" in note for note in report.notes)


def test_boxes_that_reach_out_and_odd_relations_are_noted(files):
    with h5py.File(files["roidb_file"], "r+") as h5:
        h5["boxes_1024"][1] = [500, 100, 2000, 10]
        box = h5["relationships"][0, 0]
        h5["relationships"][0] = [box, box]
        h5["relationships"][1], h5["predicates"][1] = h5["relationships"][2], h5["predicates"][2]
    notes = " ".join(check(files, check_images=False).notes)
    assert "1 boxes reach out of their image" in notes
    assert "1 relations are of an object with itself, rows: 0" in notes and "repetitions" in notes


@pytest.mark.parametrize(
    ("key", "change", "message"),
    [
        ("dict_file", lambda d: {**d, "label_to_idx": {**d["label_to_idx"], "cow": 500}}, "label_to_idx are not 1 to"),
        ("dict_file", lambda d: {**d, "idx_to_predicate": {}}, "idx_to_predicate is not the inverse"),
        ("dict_file", lambda d: {"label_to_idx": {}}, "missing required field predicate_to_idx"),
        ("image_file", lambda d: d[:-1], "lists 71 images, but"),
        ("image_file", lambda d: {"images": d}, "expected a list, got an object"),
    ],
)
def test_damaged_lists_are_found(files, key, change, message):
    content = json.loads(files[key].read_text())
    files[key].write_text(json.dumps(change(content)))
    report = check(files, check_images=False)
    assert any(message in fault for fault in report.faults), report.faults


def test_files_that_cannot_be_read_are_the_only_fault(files):
    files["roidb_file"].write_bytes(files["roidb_file"].read_bytes()[:1000])
    report = check(files)
    assert len(report.faults) == 1 and "cut short" in report.faults[0] and not report.splits


def test_an_empty_split_is_a_fault(files):
    with h5py.File(files["roidb_file"], "r+") as h5:
        h5["split"][:] = np.where(h5["split"][:] == 2, 1, h5["split"][:])
    faults = check(files, check_images=False).faults
    assert faults == ["the test split has no image with boxes"]
