"""The drawn data set in the VG-SGG format."""

import json

import h5py
import numpy as np
import pytest
from support import open_vg

from demo import dataset as module
from demo.dataset import DatasetSettings, is_made, make_dataset
from maskrcnn_benchmark.utils.errors import InputError

SMALL = DatasetSettings(seed=5, train=30, val=6, test=24, captions=300)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    return make_dataset(tmp_path_factory.mktemp("demo"), SMALL)


def triplets(data):
    found = set()
    for i in range(len(data)):
        target = data.get_groundtruth(i, evaluation=True)
        labels = target.get_field("labels").tolist()
        for subject, object_, predicate in target.get_field("relation_tuple").tolist():
            found.add((labels[subject], labels[object_], predicate))
    return found


def test_the_loader_of_visual_genome_reads_every_split(drawn):
    sizes = {split: len(open_vg(drawn, split, filter_empty_rels=False)) for split in ("train", "val", "test")}
    assert sizes == {"train": 30, "val": 6, "test": 24}
    data = open_vg(drawn, "train")
    image, target, _ = data[0]
    assert image.size == (160, 128) == target.size
    assert 8 <= len(target) <= 12
    assert data.ind_to_classes[0] == "__background__" and len(data.ind_to_predicates) == 41


def test_boxes_lie_inside_their_images_and_fit_what_was_drawn(drawn):
    for split in ("train", "test"):
        data = open_vg(drawn, split)
        for i in range(len(data)):
            boxes = data.get_groundtruth(i, evaluation=True).bbox
            assert (boxes[:, :2] >= 0).all() and (boxes[:, 2] <= 160).all() and (boxes[:, 3] <= 128).all()
            assert (boxes[:, 2:] > boxes[:, :2]).all()


def test_statistics_come_from_the_drawn_relations(drawn):
    statistics = open_vg(drawn, "train").get_statistics()
    assert statistics["fg_matrix"].shape == (98, 98, 41)
    assert statistics["fg_matrix"][:, :, 1:].sum() > 60


def test_zero_shot_triplets_are_those_that_training_never_shows(drawn):
    listed = {tuple(t) for t in json.loads((drawn / "zeroshot_triplets.json").read_text())}
    kinds = {k: {tuple(t) for t in v} for k, v in json.loads((drawn / "zeroshot_kinds.json").read_text()).items()}
    whole = {"filter_non_overlap": False, "filter_duplicate_rels": False}
    training = triplets(open_vg(drawn, "train", **whole))
    evaluated = triplets(open_vg(drawn, "val", **whole)) | triplets(open_vg(drawn, "test"))
    assert listed == evaluated - training
    pairs = {t[:2] for t in training}
    assert kinds["seen_pair"] == {t for t in listed if t[:2] in pairs}
    assert kinds["new_pair"] == listed - kinds["seen_pair"]
    assert all(kinds.values())


def test_the_dictionary_goes_both_ways_and_counts(drawn):
    names = json.loads((drawn / "VG-SGG-dicts-with-attri.json").read_text())
    with h5py.File(drawn / "VG-SGG-with-attri.h5") as file:
        columns = {
            "label": ("object_count", file["labels"][:, 0]),
            "predicate": ("predicate_count", file["predicates"][:, 0]),
        }
        assert file["attributes"][:, 0].min() > 0 and file["attributes"].shape[1] == 10
    for key, (counted, values) in columns.items():
        assert sorted(names[f"{key}_to_idx"].values()) == list(range(1, len(names[f"{key}_to_idx"]) + 1))
        for name, number in names[f"{key}_to_idx"].items():
            assert names[f"idx_to_{key}"][str(number)] == name
            assert names[counted][name] == int((values == number).sum())


def test_equal_settings_make_equal_files(drawn, tmp_path):
    again = make_dataset(tmp_path / "again", SMALL)
    other = make_dataset(tmp_path / "other", DatasetSettings(seed=6, train=30, val=6, test=24, captions=300))
    picture = next((drawn / "VG_100K").iterdir()).name
    for name in ("VG-SGG-dicts-with-attri.json", "knowledge_base.json", "captions.jsonl", f"VG_100K/{picture}"):
        assert (again / name).read_bytes() == (drawn / name).read_bytes()
        assert (other / name).read_bytes() != (drawn / name).read_bytes()
    with h5py.File(drawn / "VG-SGG-with-attri.h5") as first, h5py.File(again / "VG-SGG-with-attri.h5") as second:
        assert all(np.array_equal(first[key][:], second[key][:]) for key in first)


def test_what_is_made_is_not_made_again(drawn, monkeypatch):
    monkeypatch.setattr(module, "_write_all", lambda *_: pytest.fail("drawn again"))
    assert make_dataset(drawn.parent, SMALL) == drawn


def test_other_settings_need_overwrite(tmp_path):
    tiny = DatasetSettings(seed=0, train=2, val=1, test=1, captions=20)
    make_dataset(tmp_path, tiny)
    other = DatasetSettings(seed=1, train=2, val=1, test=1, captions=20)
    with pytest.raises(InputError, match="other settings"):
        make_dataset(tmp_path, other)
    make_dataset(tmp_path, other, overwrite=True)
    assert is_made(tmp_path, other)


def test_a_folder_of_somebody_else_is_never_replaced(tmp_path):
    (tmp_path / "vg").mkdir()
    (tmp_path / "vg" / "precious.h5").touch()
    with pytest.raises(InputError, match="not made by this tool"):
        make_dataset(tmp_path, SMALL, overwrite=True)
    assert (tmp_path / "vg" / "precious.h5").exists()


def test_a_crash_leaves_nothing(tmp_path, monkeypatch):
    def crash(folder, settings):
        (folder / "half.h5").touch()
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_write_all", crash)
    with pytest.raises(KeyboardInterrupt):
        make_dataset(tmp_path, SMALL)
    assert list(tmp_path.iterdir()) == []
