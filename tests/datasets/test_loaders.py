"""Batches depend on the seed and the iteration, on nothing else."""

import shutil

import pytest
import torch
from support import PARITY, parity_config

from maskrcnn_benchmark.data import make_data_loader
from maskrcnn_benchmark.data.build import check_class_counts, get_dataset_statistics, use_statistics
from maskrcnn_benchmark.data.samplers import DistributedSampler, GroupedBatchSampler, IterationBasedBatchSampler
from maskrcnn_benchmark.utils.errors import InputError

VG = "VG_stanford_filtered_with_attribute_"


@pytest.fixture
def config(tmp_path):
    options = ["DATASETS.DATA_DIR", str(PARITY), "DATASETS.NUM_VAL_IM", 10, "OUTPUT_DIR", str(tmp_path)]
    options += ["DATASETS.TRAIN", (VG + "train",), "DATASETS.VAL", (VG + "val",), "DATASETS.TEST", (VG + "test",)]
    options += ["SOLVER.IMS_PER_BATCH", 4, "SOLVER.MAX_ITER", 12, "DATALOADER.NUM_WORKERS", 0]
    options += ["INPUT.MIN_SIZE_TRAIN", (96, 128), "INPUT.VERTICAL_FLIP_PROB_TRAIN", 0.5, "MODEL.FLIP_AUG", True]
    return parity_config(extra=options)


def batches(config, start_iter=0):
    torch.manual_seed(5)
    return [
        (images.tensors, [t.bbox for t in targets], [t.get_field("relation") for t in targets], list(index))
        for images, targets, index in make_data_loader(config, "train", start_iter=start_iter)
    ]


def assert_same(first, second):
    assert len(first) == len(second)
    for (images, boxes, relations, index), (images2, boxes2, relations2, index2) in zip(first, second, strict=True):
        assert index == index2
        assert torch.equal(images, images2)
        assert all(map(torch.equal, boxes + relations, boxes2 + relations2))


def test_batches_do_not_depend_on_workers_nor_on_resuming(config):
    alone = batches(config)
    assert len(alone) == 12
    config.merge_from_list(["DATALOADER.NUM_WORKERS", 2])
    assert_same(alone, batches(config))
    config.merge_from_list(["DATALOADER.NUM_WORKERS", 0])
    assert_same(alone[9:], batches(config, start_iter=9))


def test_loading_leaves_the_random_state_of_the_caller(config):
    dataset = make_data_loader(config, "train").dataset
    torch.manual_seed(1)
    state = torch.get_rng_state()
    dataset[0, 123]
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("workers", [0, 2])
def test_a_broken_image_is_one_sentence_from_any_process(config, tmp_path, workers):
    shutil.copytree(PARITY / "vg", tmp_path / "vg")
    for path in (tmp_path / "vg" / "VG_100K").iterdir():
        path.write_bytes(path.read_bytes()[:200])
    config.merge_from_list(["DATASETS.DATA_DIR", str(tmp_path), "DATALOADER.NUM_WORKERS", workers])
    with pytest.raises(InputError, match=r"^image .*jpg cannot be read: [^\n]*$"):
        next(iter(make_data_loader(config, "train")))


def test_epochs_differ_and_cover_all_images(config):
    config.merge_from_list(["SOLVER.MAX_ITER", 40])
    order = [i for *_, index in batches(config) for i in index]
    size = len(set(order))
    assert sorted(order[:size]) == list(range(size))
    assert order[:size] != order[size : 2 * size]


def test_another_split_can_be_evaluated(config):
    assert make_data_loader(config, "test", dataset_to_test="val")[0].dataset.split == "val"
    with pytest.raises(ValueError, match="dataset_to_test must be train, val or test"):
        make_data_loader(config, "test", dataset_to_test="validation")


def test_several_data_sets_follow_each_other_in_training(config):
    one = make_data_loader(config, "train").dataset
    config.merge_from_list(["DATASETS.TRAIN", (VG + "train", VG + "test")])
    both = make_data_loader(config, "train").dataset
    assert len(both) == len(one) + len(make_data_loader(config, "test")[0].dataset)
    assert both.get_img_info(len(one)) == both.datasets[1].get_img_info(0)
    assert both.ind_to_classes == one.ind_to_classes
    with pytest.raises(InputError, match=r"DATASETS\.TRAIN must name one data set"):
        get_dataset_statistics(config)


def test_processes_get_different_parts_of_one_permutation():
    parts = [DistributedSampler(range(10), 2, rank) for rank in (0, 1)]
    assert sorted(parts[0]) != sorted(parts[1])
    assert sorted([*parts[0], *parts[1]]) == list(range(10))
    first = list(parts[0])
    parts[0].set_epoch(1)
    assert list(parts[0]) != first


def test_parts_of_processes_make_up_the_batches_of_one(config, monkeypatch):
    """Also an epoch's last batch, with fewer images than processes: who has none looks at one that does not count."""
    config.merge_from_list(["SOLVER.MAX_ITER", 40])
    torch.manual_seed(3)
    whole = [(targets, index) for _, targets, index in make_data_loader(config, "train")]
    for module in ("maskrcnn_benchmark.data.build", "maskrcnn_benchmark.data.samplers.distributed"):
        monkeypatch.setattr(module + ".get_world_size", lambda: 4)
    parts = []
    for rank in range(4):
        monkeypatch.setattr("maskrcnn_benchmark.data.samplers.distributed.get_rank", lambda rank=rank: rank)
        torch.manual_seed(3)
        loader = make_data_loader(config, "train", is_distributed=True)
        parts.append([(targets, index) for _, targets, index in loader])
    assert any(min(index) < 0 for part in parts for _, index in part)
    for (targets, index), *own in zip(whole, *parts, strict=True):
        counted = [pair for part in own for pair in zip(*part, strict=True) if pair[1] >= 0]
        assert [i for _, i in counted] == list(index)
        assert {i for _, part in own for i in part if i < 0} <= {~index[0]}
        for (target, _), expected in zip(counted, targets, strict=True):
            assert torch.equal(target.get_field("relation"), expected.get_field("relation"))


def test_batch_that_does_not_divide_among_processes_is_refused(config, monkeypatch):
    monkeypatch.setattr("maskrcnn_benchmark.data.build.get_world_size", lambda: 3)
    with pytest.raises(InputError, match=r"SOLVER\.IMS_PER_BATCH is 4.*processes, 3"):
        make_data_loader(config, "train")


def test_no_data_set_is_named(config):
    config.merge_from_list(["DATASETS.TEST", ()])
    with pytest.raises(InputError, match=r"DATASETS\.TEST names no data set"):
        make_data_loader(config, "test")


def test_evaluation_visits_every_image_once(config):
    loaders = make_data_loader(config, "test")
    seen = [i for loader in loaders for *_, index in loader for i in index]
    assert sorted(seen) == list(range(len(loaders[0].dataset)))


def test_groups_do_not_mix():
    sampler = GroupedBatchSampler(range(7), [0, 1, 0, 1, 0, 1, 0], 2)
    assert list(sampler) == [[0, 2], [1, 3], [4, 6], [5]]
    assert list(GroupedBatchSampler(range(7), [0, 1, 0, 1, 0, 1, 0], 2, drop_uneven=True)) == [[0, 2], [1, 3], [4, 6]]


def test_iterations_go_on_over_epochs():
    inner = torch.utils.data.BatchSampler(torch.utils.data.SequentialSampler(range(3)), 2, False)
    assert list(IterationBasedBatchSampler(inner, 5, 2)) == [[0, 1], [2], [0, 1]]


def test_class_count_that_does_not_fit_is_refused(config):
    config.merge_from_list(["MODEL.ROI_RELATION_HEAD.NUM_CLASSES", 50])
    with pytest.raises(InputError, match=r"ROI_RELATION_HEAD\.NUM_CLASSES is 50.*names 51"):
        make_data_loader(config, "train")


def test_given_statistics_are_used(config):
    given = {"obj_classes": ["a"]}
    with use_statistics(given):
        assert get_dataset_statistics(config) is given
    assert len(get_dataset_statistics(config)["obj_classes"]) == 151


def test_class_counts_of_a_detector_leave_predicates_aside(config):
    config.merge_from_list(["MODEL.RELATION_ON", False, "MODEL.ROI_RELATION_HEAD.NUM_CLASSES", 3])
    check_class_counts(config, make_data_loader(config, "test")[0].dataset)
