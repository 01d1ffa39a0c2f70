"""Bi-level resampling against recorded numbers of the original, and against plain loops."""

import json

import numpy as np
import pytest
import torch
from support import PARITY, boxlist, flat, parity_config
from torch.utils.data import Dataset

from maskrcnn_benchmark.data import make_data_loader
from maskrcnn_benchmark.data.resampling import (
    ResampledDataset,
    drop_probabilities,
    image_factors,
    predicate_factors,
    resampled,
)
from maskrcnn_benchmark.data.samplers import SeededDataset
from maskrcnn_benchmark.utils.errors import InputError

KEY = "MODEL.ROI_RELATION_HEAD.DATA_RESAMPLING"
VG = "VG_stanford_filtered_with_attribute_"
REFERENCE = json.loads((PARITY / "bilevel.json").read_text())
CASES = [(case, draw) for case in REFERENCE["cases"] for draw in case["draws"]]
RELATIONS = [np.array(image, dtype=np.int64).reshape(-1, 3) for image in REFERENCE["images"]]


class Images(Dataset):
    """The recorded images, without pixels."""

    ind_to_predicates = REFERENCE["categories"]
    relationships = RELATIONS

    def __len__(self):
        return len(RELATIONS)

    def __getitem__(self, index):
        matrix = torch.zeros(8, 8, dtype=torch.int64)
        for subject, object_, predicate in RELATIONS[index].tolist():
            matrix[subject, object_] = predicate
        return None, boxlist(torch.zeros(8, 4), (9, 9), relation=matrix), index

    def get_img_info(self, index):
        return {"width": index + 1, "height": 9}


@pytest.mark.parametrize(("case", "draw"), CASES)
def test_factors_and_drops_are_those_of_the_original(case, draw):
    seed = draw["numpy_seed"]
    counts = np.array(REFERENCE["counts"])
    factors = predicate_factors(counts, case["REPEAT_FACTOR"], np.random.RandomState(seed))
    assert factors.tolist() == draw["predicate_factors"]
    of_images = image_factors([relations[:, 2] for relations in RELATIONS], factors)
    assert of_images.tolist() == draw["image_factors"]
    assert len(ResampledDataset(Images(), case["REPEAT_FACTOR"], case["INSTANCE_DROP_RATE"], seed)) == draw["length"]
    for i, relations in enumerate(RELATIONS):
        drops = drop_probabilities(relations[:, 2], of_images[i], factors, case["INSTANCE_DROP_RATE"])
        np.testing.assert_allclose(drops, draw["drop_probability"][i], atol=1e-9)
        lost = np.random.RandomState(seed + i).random_sample(len(drops)) < drops
        assert np.where(lost, -1, relations[:, 2]).tolist() == draw["after_one_drop"][i]


@pytest.mark.parametrize("dropped", [-1, 0])
def test_each_predicate_stays_as_often_as_expected(dropped):
    case, draw = CASES[0]
    dataset = ResampledDataset(Images(), case["REPEAT_FACTOR"], case["INSTANCE_DROP_RATE"], draw["numpy_seed"], dropped)
    np.random.seed(0)
    kept, rounds = np.zeros(len(REFERENCE["counts"])), 60
    for _ in range(rounds):
        for index in range(len(dataset)):
            before = Images()[int(dataset.place[index])][1].get_field("relation")
            after = dataset[index][1].get_field("relation")
            assert (after[before == 0] == 0).all()
            changed = after != before
            assert (after[changed] == dropped).all()
            kept += np.bincount(after[after > 0].numpy(), minlength=len(kept) + 1)[1:]
    # the recorded expectation counts every tuple; the matrix holds one predicate of each pair
    expected = np.zeros(len(kept))
    for i, relations in enumerate(RELATIONS):
        last = {(s, o): row for row, (s, o, _) in enumerate(relations.tolist())}
        for row in last.values():
            stays = 1 - draw["drop_probability"][i][row]
            expected[relations[row, 2] - 1] += draw["image_factors"][i] * stays
    np.testing.assert_allclose(kept / rounds, expected, rtol=0.08, atol=0.3)


def test_a_sample_depends_on_its_seed_alone_and_keeps_its_own_index_and_size():
    dataset = ResampledDataset(Images(), 0.1, 0.9, 0)
    seeded = SeededDataset(dataset)
    for index in range(len(dataset)):
        assert dataset[index][2] == dataset.place[index]
        assert seeded.get_img_info(index)["width"] == dataset.place[index] + 1
        first, again = (seeded[index, 5][1].get_field("relation") for _ in range(2))
        assert torch.equal(first, again)
    five, six = ([seeded[i, seed][1].get_field("relation") for i in range(len(dataset))] for seed in (5, 6))
    assert not all(map(torch.equal, five, six))


def test_without_relations_or_rare_predicates_nothing_changes():
    assert image_factors([np.zeros(0, np.int64), np.array([1])], np.array([3])).tolist() == [1, 3]
    assert predicate_factors(np.array([0, 5]), 0.001, np.random.RandomState(0)).tolist() == [1, 1]
    assert len(drop_probabilities(np.zeros(0, np.int64), 2, np.array([1]), 0.9)) == 0


def loader_config(tmp_path, **options):
    given = {
        "DATASETS.DATA_DIR": str(PARITY), "DATASETS.NUM_VAL_IM": 10, "DATASETS.TRAIN": (VG + "train",),
        "OUTPUT_DIR": str(tmp_path), "SOLVER.IMS_PER_BATCH": 4, "SOLVER.MAX_ITER": 40, "DATALOADER.NUM_WORKERS": 0,
        "INPUT.MIN_SIZE_TRAIN": (32,), "INPUT.MAX_SIZE_TRAIN": 48, KEY: True, KEY + "_PARAM.REPEAT_FACTOR": 0.05,
    }  # fmt: skip
    return parity_config(extra=flat(given | {KEY + name.replace("__", "."): v for name, v in options.items()}))


def shown(config, rank=None, start_iter=0):
    """(index, relation matrix) of every sample, as one process of one or two sees them."""
    torch.manual_seed(3)
    loader = make_data_loader(config, "train", is_distributed=rank is not None, start_iter=start_iter)
    return [
        (index, target.get_field("relation"))
        for _, targets, indices in loader
        for index, target in zip(indices, targets, strict=True)
    ]


def test_workers_and_resuming_change_nothing(tmp_path):
    config = loader_config(tmp_path)
    alone = shown(config)
    assert any((relation == -1).any() for _, relation in alone)
    assert max(np.bincount([index for index, _ in alone[: len(alone) // 2]])) > 1
    later = shown(config, start_iter=38)
    config.merge_from_list(["DATALOADER.NUM_WORKERS", 2])
    for others, same in ((shown(config), alone), (later, alone[-len(later) :])):
        assert [index for index, _ in others] == [index for index, _ in same]
        assert all(torch.equal(a, b) for (_, a), (_, b) in zip(others, same, strict=True))


def test_two_processes_share_one_resampled_set(tmp_path, monkeypatch):
    config = loader_config(tmp_path)
    torch.manual_seed(3)
    size = len(make_data_loader(config, "train").dataset)
    parts = []
    for rank in range(2):
        for module in ("maskrcnn_benchmark.data.build", "maskrcnn_benchmark.data.samplers.distributed"):
            monkeypatch.setattr(module + ".get_world_size", lambda: 2)
        monkeypatch.setattr("maskrcnn_benchmark.data.samplers.distributed.get_rank", lambda rank=rank: rank)
        config.merge_from_list(["SOLVER.MAX_ITER", -(-size // 4)])
        parts.append(shown(config, rank))
    together = np.bincount([index for part in parts for index, _ in part if index >= 0])
    monkeypatch.undo()
    torch.manual_seed(3)
    expected = make_data_loader(config, "train").dataset.image_factors
    # the two shares make one epoch, but for what fills up the last batches
    assert (together >= expected).mean() > 0.9 and together.sum() - expected.sum() < 16


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"_METHOD": "bi"}, "METHOD is 'bi'; it must be bilvl"),
        ({"_PARAM__REPEAT_FACTOR": -1.0}, "REPEAT_FACTOR is -1.0"),
        ({"_PARAM__REPEAT_DICT_DIR": "x.pkl"}, "REPEAT_DICT_DIR is x.pkl; here factors follow from the training set"),
    ],
)
def test_impossible_settings_are_one_sentence(tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        resampled(loader_config(tmp_path, **options), Images(), 0)


def test_several_training_sets_are_one_sentence(tmp_path):
    config = loader_config(tmp_path)
    config.merge_from_list(["DATASETS.TRAIN", (VG + "train", VG + "val")])
    with pytest.raises(InputError, match="needs one training set to count"):
        make_data_loader(config, "train")


def test_image_level_alone_drops_nothing(tmp_path):
    config = loader_config(tmp_path, _METHOD="lvis")
    assert not any((relation == -1).any() for _, relation in shown(config))
    config.merge_from_list([KEY, False])
    assert not hasattr(make_data_loader(config, "train").dataset, "image_factors")
