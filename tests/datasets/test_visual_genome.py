"""VGDataset against the reference numbers, its draws, its statistics, and what it says of wrong files."""

import json
import random
import shutil

import h5py
import numpy as np
import pytest
import torch
from PIL import Image
from support import PARITY, vg_dataset

from maskrcnn_benchmark.data.datasets.visual_genome import (
    VGDataset,
    box_filter,
    draw_predicates,
    get_VG_statistics,
    load_image,
)
from maskrcnn_benchmark.utils.errors import InputError

REFERENCE = np.load(PARITY / "dataset.npz")
VARIANTS = sorted({key.rsplit("/", 1)[0] for key in REFERENCE.files if not key.startswith("stats")})


@pytest.mark.parametrize("variant", VARIANTS)
def test_splits_and_filters_give_the_reference_boxes_and_relations(variant):
    split, empty, overlap = variant.split("/")
    dataset = vg_dataset(
        split,
        filter_empty_rels=empty == "empty0",
        filter_non_overlap=overlap == "overlap1",
        filter_duplicate_rels=False,
    )
    targets = [dataset.get_groundtruth(i, evaluation=True) for i in range(len(dataset))]
    relations = [target.get_field("relation_tuple").numpy() for target in targets]
    names = [name.rsplit("/", 1)[-1] for name in dataset.filenames]
    assert names == REFERENCE[f"{variant}/files"].tolist()
    np.testing.assert_array_equal([len(t) for t in targets], REFERENCE[f"{variant}/num_boxes"])
    np.testing.assert_allclose(torch.cat([t.bbox for t in targets]), REFERENCE[f"{variant}/boxes"], atol=1e-3)
    for field in ("labels", "attributes"):
        values = torch.cat([t.get_field(field) for t in targets])
        np.testing.assert_array_equal(values, REFERENCE[f"{variant}/{field}"])
    np.testing.assert_array_equal([len(r) for r in relations], REFERENCE[f"{variant}/num_rels"])
    np.testing.assert_array_equal(np.concatenate(relations), REFERENCE[f"{variant}/rels"])


def test_statistics_are_the_reference_ones():
    statistics = vg_dataset("train", filter_duplicate_rels=False).get_statistics()
    fg_matrix, pred_dist = statistics["fg_matrix"].numpy(), statistics["pred_dist"].numpy()
    np.testing.assert_array_equal(np.argwhere(fg_matrix > 0), REFERENCE["stats/fg_idx"])
    np.testing.assert_array_equal(fg_matrix[fg_matrix > 0], REFERENCE["stats/fg_val"])
    rows = REFERENCE["stats/pred_dist_rows"]
    np.testing.assert_allclose(pred_dist[rows[:, 0], rows[:, 1]], REFERENCE["stats/pred_dist"], atol=1e-5)
    assert statistics["obj_classes"] == REFERENCE["stats/obj_classes"].tolist()
    assert statistics["rel_classes"] == REFERENCE["stats/rel_classes"].tolist()


def test_statistics_equal_a_plain_loop():
    dataset = vg_dataset("train", filter_duplicate_rels=False)
    args = (dataset.img_dir, dataset.roidb_file, dataset.dict_file, dataset.image_file)
    fg_matrix, bg_matrix = get_VG_statistics(*args, num_val_im=10)
    fg_plain, bg_plain = np.zeros_like(fg_matrix), np.zeros_like(bg_matrix)
    for boxes, labels, relations in zip(dataset.gt_boxes, dataset.gt_classes, dataset.relationships, strict=True):
        for subject, obj, predicate in relations:
            fg_plain[labels[subject], labels[obj], predicate] += 1
        pairs = [(i, j) for i in range(len(boxes)) for j in range(len(boxes)) if i != j]
        meet = []
        for i, j in pairs:
            low, high = np.maximum(boxes[i, :2], boxes[j, :2]), np.minimum(boxes[i, 2:], boxes[j, 2:])
            if (high > low).all():
                meet.append((i, j))
        for i, j in meet or pairs:
            bg_plain[labels[i], labels[j]] += 1
    np.testing.assert_array_equal(fg_matrix, fg_plain)
    np.testing.assert_array_equal(bg_matrix, bg_plain)


def test_box_filter_takes_all_pairs_where_none_overlap():
    apart = np.array([[0, 0, 4, 4], [10, 10, 14, 14]])
    assert box_filter(apart, must_overlap=True).tolist() == [[0, 1], [1, 0]]
    assert box_filter(apart[:1], must_overlap=True).shape == (0, 2)


def test_predicates_of_a_pair_are_drawn_by_weight():
    np.random.seed(0)
    relations = np.array([[3, 1, 7], [0, 1, 5], [0, 1, 6], [3, 1, 8]])
    weights = np.array([3.0, 1.0, 0.0, 1.0])
    draws = [draw_predicates(relations, weights) for _ in range(4000)]
    assert all(d[:, :2].tolist() == [[3, 1], [0, 1]] for d in draws)
    assert all(d[1, 2] == 5 for d in draws)
    assert abs(np.mean([d[0, 2] == 7 for d in draws]) - 0.75) < 0.03
    even = np.mean([draw_predicates(relations)[1, 2] == 5 for _ in range(4000)])
    assert abs(even - 0.5) < 0.03


def test_a_pair_without_any_weight_is_left_out():
    relations = np.array([[0, 1, 5], [1, 0, 6]])
    assert draw_predicates(relations, np.array([0.0, 2.0])).tolist() == [[1, 0, 6]]
    assert len(draw_predicates(relations[:0])) == 0


def test_image_without_relations_has_an_empty_relation_map():
    dataset = vg_dataset("test", filter_empty_rels=False)
    empty = next(i for i, r in enumerate(dataset.relationships) if len(r) == 0)
    target = dataset.get_groundtruth(empty, evaluation=True)
    assert target.get_field("relation").sum() == 0
    assert target.get_field("relation_tuple").shape == (0, 3)


def test_sample_has_image_target_and_index():
    dataset = vg_dataset("train")
    random.seed(0)
    image, target, index = dataset[2]
    assert index == 2
    assert image.size == target.size
    assert set(target.fields()) == {"labels", "attributes", "relation"}


@pytest.fixture
def files(tmp_path):
    shutil.copytree(PARITY / "vg", tmp_path / "vg")
    folder = tmp_path / "vg"
    return {
        "img_dir": folder / "VG_100K",
        "roidb_file": folder / "VG-SGG-with-attri.h5",
        "dict_file": folder / "VG-SGG-dicts-with-attri.json",
        "image_file": folder / "image_data.json",
    }


def open_dataset(files, split="train", **kwargs):
    return VGDataset(split=split, num_val_im=10, **{k: str(v) for k, v in files.items()}, **kwargs)


@pytest.mark.parametrize("name", ["img_dir", "roidb_file", "dict_file", "image_file"])
def test_missing_file_is_named(files, name):
    files[name] = files[name].with_name("elsewhere")
    with pytest.raises(InputError, match="elsewhere"):
        open_dataset(files)


def test_cut_h5_is_named(files):
    data = files["roidb_file"].read_bytes()
    files["roidb_file"].write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match=r"VG-SGG-with-attri\.h5 is cut short"):
        open_dataset(files)


def test_h5_without_an_array_is_named(files):
    with h5py.File(files["roidb_file"], "r+") as h5:
        del h5["predicates"]
    with pytest.raises(InputError, match="has no predicates"):
        open_dataset(files)


def test_cut_image_is_named(files):
    dataset = open_dataset(files)
    path = files["img_dir"] / dataset.filenames[0].rsplit("/", 1)[-1]
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(InputError, match=path.name):
        dataset[0]


def test_missing_image_is_named(files):
    path = files["img_dir"] / open_dataset(files).filenames[0].rsplit("/", 1)[-1]
    path.unlink()
    with pytest.raises(InputError, match=path.name):
        open_dataset(files)


def test_lists_of_different_length_are_refused(files):
    infos = json.loads(files["image_file"].read_text())
    files["image_file"].write_text(json.dumps(infos[:-1]))
    with pytest.raises(InputError, match="lists 71 images"):
        open_dataset(files)


def test_predicate_that_the_dictionary_lacks_is_refused(files):
    with h5py.File(files["roidb_file"], "r+") as h5:
        h5["predicates"][:] = 77
    with pytest.raises(InputError, match="predicate 77"):
        open_dataset(files)


def test_split_without_images_is_refused(files):
    with h5py.File(files["roidb_file"], "r+") as h5:
        h5["split"][:] = 0
    with pytest.raises(InputError, match="test split"):
        open_dataset(files, "test")


def test_marked_validation_images_win_over_their_number(files):
    with h5py.File(files["roidb_file"], "r+") as h5:
        split = h5["split"][:]
        split[np.flatnonzero(split == 0)[-4:]] = 1
        h5["split"][:] = split
    train = open_dataset(files, filter_empty_rels=False, filter_non_overlap=False)
    val = open_dataset(files, "val", filter_empty_rels=False)
    has_boxes = int((h5py.File(files["roidb_file"])["img_to_first_box"][:][split == 0] >= 0).sum())
    assert len(train) == has_boxes
    assert 0 < len(val) <= 4


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "I;16"])
def test_images_of_every_mode_become_rgb(tmp_path, mode):
    path = tmp_path / "picture.tif"
    if mode == "I;16":
        Image.fromarray(np.full((4, 6), 32896, dtype=np.uint16)).save(path)
    else:
        Image.new(mode, (6, 4)).save(path)
    image = load_image(str(path))
    assert image.mode == "RGB" and image.size == (6, 4)
    if mode == "I;16":
        assert np.asarray(image).max() == 128
