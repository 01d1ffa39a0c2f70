"""Which triplets are zero-shot: given by a file, or found by comparing with the training set."""

import json
import logging

import numpy as np
import pytest
import torch
from support import PARITY, parity_config, vg_dataset

from maskrcnn_benchmark.data.datasets import content_cache
from maskrcnn_benchmark.data.datasets.evaluation.vg.vg_eval import VGEvaluator
from maskrcnn_benchmark.data.datasets.evaluation.vg.zero_shot import (
    load_zero_shot,
    read_triplets,
    training_triplets,
)
from maskrcnn_benchmark.utils.errors import InputError

CLASSES, PREDICATES = ["__background__", "cat", "mat"], ["__background__", "on", "under", "by"]


@pytest.fixture
def config(tmp_path):
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / "vg").symlink_to(PARITY / "vg")
    return parity_config(
        extra=["DATASETS.TRAIN", ("VG_stanford_filtered_with_attribute_train",), "DATASETS.NUM_VAL_IM", 10,
               "DATASETS.DATA_DIR", str(tmp_path / "datasets"), "OUTPUT_DIR", str(tmp_path / "out")]
    )  # fmt: skip


def plain_triplets(split):
    dataset = vg_dataset(split, filter_non_overlap=False)
    return {
        (int(classes[s]), int(classes[o]), int(p))
        for classes, relations in zip(dataset.gt_classes, dataset.relationships, strict=True)
        for s, o, p in relations
    }


def as_set(rows):
    return {tuple(row) for row in rows.tolist()}


def test_found_by_comparison_with_training(config):
    zero_shot = load_zero_shot(config, vg_dataset("test"))
    trained = plain_triplets("train")
    assert as_set(zero_shot.triplets) == plain_triplets("test") - trained
    assert as_set(zero_shot.training.triplets) == trained
    assert len(zero_shot.triplets)


def test_kinds_tell_whether_the_pair_of_classes_is_known(config):
    zero_shot = load_zero_shot(config, vg_dataset("test"))
    everything = np.array(sorted(plain_triplets("test")))
    kinds = zero_shot.kinds(everything)
    pairs = {triplet[:2] for triplet in plain_triplets("train")}
    unseen = [tuple(t) not in plain_triplets("train") for t in everything.tolist()]
    known = [tuple(t[:2]) in pairs for t in everything.tolist()]
    assert kinds["seen_pair"].tolist() == [u and k for u, k in zip(unseen, known, strict=True)]
    assert kinds["new_pair"].tolist() == [u and not k for u, k in zip(unseen, known, strict=True)]


def test_triplets_of_training_are_kept_until_the_data_change(config, tmp_path, monkeypatch):
    found = training_triplets(config)
    monkeypatch.setattr(content_cache, "LEAST_BYTES", 1)
    kept = config.clone()
    kept.MODEL.LANGUAGE.CACHE_DIR = str(tmp_path / "cache")
    for _ in range(2):
        for ours, expected in zip(training_triplets(kept), found, strict=True):
            np.testing.assert_array_equal(ours, expected)
    assert len(list((tmp_path / "cache").iterdir())) == 1
    kept.DATASETS.NUM_VAL_IM = 5
    assert training_triplets(kept).counts.sum() > found.counts.sum()


def test_frequency_of_predicates_counts_every_relation(config):
    frequency = training_triplets(config).by_predicate(51)
    relations = np.concatenate(vg_dataset("train", filter_non_overlap=False).relationships)
    np.testing.assert_array_equal(frequency, np.bincount(relations[:, 2], minlength=51))


def test_a_file_may_tell_the_kinds_apart(config, tmp_path):
    dataset = vg_dataset("test")
    found = load_zero_shot(config, dataset)
    kinds = found.kinds(found.triplets)
    # exchanged, so that it shows which of file and training set decides
    content = {"seen_pair": found.triplets[kinds["new_pair"]], "new_pair": found.triplets[kinds["seen_pair"]]}
    (tmp_path / "kinds.json").write_text(json.dumps({kind: rows.tolist() for kind, rows in content.items()}))
    config.merge_from_list(["TEST.RELATION.ZERO_SHOT_TRIPLETS", str(tmp_path / "kinds.json")])
    given = load_zero_shot(config, dataset)
    assert as_set(given.triplets) == as_set(found.triplets)
    again = given.kinds(found.triplets)
    assert again["seen_pair"].tolist() == kinds["new_pair"].tolist()
    assert again["new_pair"].tolist() == kinds["seen_pair"].tolist()


def test_neither_file_nor_training_set(caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("maskrcnn_benchmark"), "propagate", True)
    evaluator = VGEvaluator(parity_config(), vg_dataset("test"), ("relations",))
    assert "no zero-shot recall" in caplog.text
    assert np.isnan(evaluator.compute()["zR@20"])


def test_json_of_names_or_indices_and_sgbs_tensor(tmp_path):
    (tmp_path / "names.json").write_text(json.dumps([["cat", "mat", "on"], [2, 1, 3]]))
    torch.save(torch.tensor([[1, 2, 1], [2, 1, 3]]), tmp_path / "zeroshot_triplet.pytorch")
    for name in ("names.json", "zeroshot_triplet.pytorch"):
        assert read_triplets(str(tmp_path / name), CLASSES, PREDICATES).tolist() == [[1, 2, 1], [2, 1, 3]]


@pytest.mark.parametrize(
    "content, message",
    [
        ('[["cat", "mat", "over"]]', "has the predicate 'over'"),
        ("[[1, 3, 1]]", "has the class 3"),
        ("[[1, 2, true]]", r"\[0\]\[2\]: expected a whole number or a text, found True"),
        ("[[1, 2]]", r"\[0\]: expected a list of length 3"),
        ("{}", "missing required field seen_pair"),
        ('{"seen_pair": []}', "missing required field new_pair"),
        ("[]", "lists no triplet"),
        ("[[1, 2, ", "cut short or no json"),
    ],
)
def test_wrong_files_are_input_errors(tmp_path, content, message):
    path = tmp_path / "triplets.json"
    path.write_text(content)
    with pytest.raises(InputError, match=message):
        read_triplets(str(path), CLASSES, PREDICATES)


def test_missing_file_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        read_triplets(str(tmp_path / "nowhere.json"), CLASSES, PREDICATES)
