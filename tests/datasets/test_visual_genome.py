"""VGDataset against the reference numbers, its draws, its statistics, and what it says of wrong files."""

import itertools
import json
import random
import shutil

import h5py
import numpy as np
import pytest
import torch
from PIL import Image
from support import PARITY, parity_config, vg_dataset

from maskrcnn_benchmark.data.build import get_dataset_statistics
from maskrcnn_benchmark.data.datasets.vg_format import RowsByImage, overlap_areas
from maskrcnn_benchmark.data.datasets.visual_genome import (
    VGDataset,
    box_filter,
    correct_img_info,
    draw_predicates,
    get_VG_statistics,
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


def test_pairs_of_predicates_equal_a_plain_loop(files):
    """On how many ordered pairs of boxes there are both; a row that is there twice counts once."""
    with h5py.File(files["roidb_file"], "r+") as h5:
        first, last = h5["img_to_first_rel"][:], h5["img_to_last_rel"][:]
        for i in np.flatnonzero(last >= first + 3):  # of four rows one pair, and a fifth the other way round
            h5["relationships"][first[i] + 1 : first[i] + 3] = h5["relationships"][first[i]]
            h5["predicates"][first[i] + 1] = h5["predicates"][first[i]]
            h5["relationships"][first[i] + 3] = h5["relationships"][first[i]][::-1]
    dataset = open_dataset(files, filter_duplicate_rels=False, filter_non_overlap=False)
    for must_overlap in (True, False):
        found = dataset.get_statistics(must_overlap)["predicate_pairs"]
        expected = torch.zeros_like(found)
        for boxes, relations in zip(dataset.gt_boxes, dataset.relationships, strict=True):
            shown = {}
            for subject, obj, predicate in relations.tolist():
                if not must_overlap or overlap_areas(boxes[subject], boxes[obj]) > 0:
                    shown.setdefault((subject, obj), set()).add(predicate)
            for predicates in shown.values():
                for p, q in itertools.product(predicates, repeat=2):
                    expected[p, q] += 1
        assert torch.equal(found, expected) and (found - found.diag().diag()).sum() > 0


def test_statistics_do_not_depend_on_how_images_are_grouped(monkeypatch):
    dataset = vg_dataset("train")
    args = (dataset.img_dir, dataset.roidb_file, dataset.dict_file, dataset.image_file)
    whole = get_VG_statistics(*args, num_val_im=10)
    monkeypatch.setattr("maskrcnn_benchmark.data.datasets.box_pairs._PAIRS_AT_A_TIME", 50)
    for one, other in zip(whole, get_VG_statistics(*args, num_val_im=10), strict=True):
        np.testing.assert_array_equal(one, other)


def test_all_pairs_count_as_background_where_overlap_does_not_matter():
    dataset = vg_dataset("train")
    args = (dataset.img_dir, dataset.roidb_file, dataset.dict_file, dataset.image_file)
    _, background = get_VG_statistics(*args, must_overlap=False, num_val_im=10)
    assert background.sum() == sum(len(boxes) * (len(boxes) - 1) for boxes in dataset.gt_boxes)


def test_statistics_can_count_relations_of_boxes_that_do_not_overlap():
    config = parity_config()
    config.merge_from_list(["DATASETS.DATA_DIR", str(PARITY), "DATASETS.NUM_VAL_IM", 10])
    config.merge_from_list(["DATASETS.TRAIN", ("VG_stanford_filtered_with_attribute_train",)])
    overlapping = get_dataset_statistics(config)["fg_matrix"][:, :, 1:]
    config.merge_from_list(["DATASETS.STATISTICS_OVERLAP", False])
    everything = get_dataset_statistics(config)["fg_matrix"][:, :, 1:]
    dataset = vg_dataset("train", filter_duplicate_rels=False, filter_non_overlap=False)
    plain = torch.zeros_like(everything)
    for labels, relations in zip(dataset.gt_classes, dataset.relationships, strict=True):
        for subject, obj, predicate in relations:
            plain[labels[subject], labels[obj], predicate - 1] += 1
    assert torch.equal(everything, plain)
    assert (everything >= overlapping).all() and everything.sum() > overlapping.sum()


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


def test_one_object_has_no_pairs():
    alone = np.array([[0, 0, 4, 4]])
    assert box_filter(alone).shape == box_filter(alone, must_overlap=True).shape == (0, 2)
    dataset = vg_dataset("test", filter_empty_rels=False)
    dataset.gt_boxes[0], dataset.gt_classes[0] = dataset.gt_boxes[0][:1], dataset.gt_classes[0][:1]
    dataset.gt_attributes[0], dataset.relationships[0] = dataset.gt_attributes[0][:1], dataset.relationships[0][:0]
    target = dataset.get_groundtruth(0)
    assert len(target) == 1 and target.get_field("relation").tolist() == [[0]]


def test_weights_of_the_h5_decide_what_is_drawn(files):
    """A pair with two predicates of weights 1 and 3, and a pair whose only weight is 0."""
    with h5py.File(files["roidb_file"], "r+") as h5:
        image = np.flatnonzero((h5["split"][:] == 0) & (h5["img_to_last_rel"][:] - h5["img_to_first_rel"][:] >= 2))[-1]
        first = h5["img_to_first_rel"][image]
        box, last_box = h5["img_to_first_box"][image], h5["img_to_last_box"][image]
        h5["boxes_1024"][box : last_box + 1] = [100, 100, 50, 50]
        h5["relationships"][first : first + 3] = [[box, box + 1], [box, box + 1], [box + 1, box]]
        h5["predicates"][first : first + 3] = [[4], [9], [2]]
        weights = np.ones(len(h5["predicates"]))
        weights[first : first + 3] = [1, 3, 0]
        h5["predicate_weights"] = weights
    dataset = open_dataset(files)
    index = np.flatnonzero(dataset.split_mask).tolist().index(image)
    np.random.seed(1)
    drawn = [dataset.get_groundtruth(index).get_field("relation") for _ in range(600)]
    assert abs(np.mean([relation[0, 1] == 9 for relation in drawn]) - 0.75) < 0.06
    assert {int(relation[0, 1]) for relation in drawn} == {4, 9}
    assert all(relation[1, 0] == 0 for relation in drawn)


def test_statistics_count_predicates_as_often_as_they_are_drawn(files):
    rng = np.random.default_rng(3)
    with h5py.File(files["roidb_file"], "r+") as h5:
        first, last = h5["img_to_first_rel"][:], h5["img_to_last_rel"][:]
        h5["predicate_weights"] = weights = rng.integers(0, 3, len(h5["predicates"])).astype(float)
        for i in np.flatnonzero(last > first):  # two predicates of one pair of boxes, in every image that has two
            h5["relationships"][first[i] + 1] = h5["relationships"][first[i]]
    found, _ = get_VG_statistics(must_overlap=True, num_val_im=10, **files)
    expected = np.zeros_like(found)
    with h5py.File(files["roidb_file"]) as h5:
        dataset = open_dataset(files, filter_empty_rels=True, filter_non_overlap=True)
        for i, image in enumerate(np.flatnonzero(dataset.split_mask)):
            rows = np.arange(first[image], last[image] + 1)
            ends = h5["relationships"][:][rows]
            for (s, o), row in zip(ends, rows, strict=True):
                total = weights[rows[(ends == [s, o]).all(axis=1)]].sum()
                corners = dataset.gt_boxes[i][[s, o] - h5["img_to_first_box"][image]]
                if total and overlap_areas(*corners, to_move=0) > 0:
                    triplet = h5["labels"][s, 0], h5["labels"][o, 0], h5["predicates"][row, 0]
                    expected[triplet] += weights[row] / total
    np.testing.assert_allclose(found, expected)
    assert found.dtype == np.float64 and found.sum() > 0
    assert dataset.get_statistics()["predicate_pairs"] is None  # no annotator gave labels that have weights


def test_mirrored_boxes_follow_the_mirrored_image():
    dataset = vg_dataset("train", flip_aug=True, filter_duplicate_rels=False)
    plain, mirrored = dataset.get_groundtruth(0, evaluation=True), dataset.get_groundtruth(0, True, flip_img=True)
    width = dataset.get_img_info(0)["width"]
    torch.testing.assert_close(mirrored.bbox[:, 0], (width - plain.bbox[:, 2]).clamp(0, width - 1))
    random.seed(0)
    images = [np.asarray(dataset[0][0]) for _ in range(12)]
    mirror = [np.array_equal(images[0][:, ::-1], image) for image in images]
    assert any(mirror) and not all(mirror)


def test_custom_images_are_those_of_a_folder_or_of_a_list(tmp_path):
    folder = tmp_path / "own"
    folder.mkdir()
    for name, size in (("b.png", (30, 20)), ("a.jpg", (10, 40))):
        Image.new("RGB", size).save(folder / name)
    (folder / "notes.txt").write_text("no image")
    dataset = vg_dataset("test", custom_eval=True, custom_path=str(folder))
    assert [path.rsplit("/", 1)[-1] for path in dataset.custom_files] == ["a.jpg", "b.png"]
    assert dataset.get_img_info(1) == {"width": 30, "height": 20}
    image, target, index = dataset[0]
    assert image.size == (10, 40) and target.tolist() == [-1] and index == 0
    (tmp_path / "list.json").write_text(json.dumps([str(folder / "b.png")]))
    assert len(vg_dataset("test", custom_eval=True, custom_path=str(tmp_path / "list.json"))) == 1
    for wrong in ({"a.png": 1}, [5], "a.png"):
        (tmp_path / "list.json").write_text(json.dumps(wrong))
        with pytest.raises(InputError, match=r"list\.json.*: expected"):
            vg_dataset("test", custom_eval=True, custom_path=str(tmp_path / "list.json"))
    for path in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(InputError, match="CUSTUM_PATH"):
            vg_dataset("test", custom_eval=True, custom_path=str(path))


def test_sizes_in_the_list_of_images_can_be_corrected(files):
    infos = json.loads(files["image_file"].read_text())
    right = [(info["width"], info["height"]) for info in infos]
    infos[3]["width"] += 7
    files["image_file"].write_text(json.dumps(infos))
    dataset = open_dataset(files, "train", filter_empty_rels=False, filter_non_overlap=False)
    with pytest.raises(InputError, match="--correct-sizes"):
        [dataset[i] for i in range(len(dataset))] + [
            open_dataset(files, "val", filter_empty_rels=False)[i] for i in range(10)
        ]
    assert correct_img_info(str(files["img_dir"]), str(files["image_file"])) == 1
    assert [(i["width"], i["height"]) for i in json.loads(files["image_file"].read_text())] == right


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


@pytest.mark.parametrize(
    ("array", "rows", "value", "message"),
    [
        ("boxes_1024", slice(3, 5), [9, 9, 0, 5], r"boxes of no extent.*\(2, the first is number 3\)"),
        ("img_to_last_box", 0, 10**6, "img_to_first_box and img_to_last_box are no rows of the file"),
        ("img_to_last_rel", slice(0, 9), -1, "img_to_first_rel and img_to_last_rel are no rows"),
        ("relationships", slice(0, 4), [[0, 10**6]] * 4, "point to boxes of another image"),
    ],
)
def test_arrays_that_do_not_fit_each_other_are_refused(files, array, rows, value, message):
    with h5py.File(files["roidb_file"], "r+") as h5:
        h5[array][rows] = value
    with pytest.raises(InputError, match=rf"VG-SGG-with-attri\.h5 is damaged: .*{message}"):
        open_dataset(files)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("predicates", lambda a: a[:-3], r"predicates has the shape \[\d+, 1\], expected"),
        ("labels", lambda a: a[:, 0], r"labels has the shape \[\d+\], expected \[\d+, 1\]"),
        ("relationships", lambda a: a.astype(float), "relationships holds float64, expected whole numbers"),
        ("predicate_weights", lambda a: -np.ones(len(a)), "predicate_weights has .* values out of 0 to"),
        ("predicate_weights", lambda a: np.ones(3), r"predicate_weights has the shape \[3\]"),
    ],
)
def test_arrays_of_another_shape_or_kind_are_refused(files, name, change, message):
    with h5py.File(files["roidb_file"], "r+") as h5:
        values = change(h5[name if name in h5 else "predicates"][:])
        if name in h5:
            del h5[name]
        h5[name] = values
    with pytest.raises(InputError, match=message):
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


def test_rows_of_images_behave_as_a_list_of_arrays():
    rows, counts = np.arange(12).reshape(6, 2), np.array([2, 0, 3, 1])
    plain, ours = np.split(rows, [2, 2, 5]), RowsByImage(rows, counts)
    assert [part.tolist() for part in ours] == [part.tolist() for part in plain]
    assert [part.tolist() for part in ours[-3:]] == [part.tolist() for part in plain[-3:]]
    assert ours[-1].tolist() == [[10, 11]]
    with pytest.raises(IndexError):
        ours[4]
    ours[-1] = rows[:0]
    assert [len(part) for part in ours] == [2, 0, 3, 0]
    assert len(RowsByImage(rows[:0], np.zeros(0, dtype=np.int64))) == 0
