"""Sparse statistics are the dense ones, and say what a dense table would need before it is made."""

import logging

import numpy as np
import pytest
import torch
from support import PARITY, open_vg, parity_config, vg_dataset

from maskrcnn_benchmark.data.datasets import sparse_statistics, visual_genome
from maskrcnn_benchmark.data.datasets.sparse_statistics import LateTable
from maskrcnn_benchmark.modeling.language.phrase_index import dictionary
from maskrcnn_benchmark.modeling.roi_heads.relation_head.model_motifs import FrequencyBias
from maskrcnn_benchmark.modeling.roi_heads.relation_head.phrase_prior import PhrasePrior
from maskrcnn_benchmark.utils.errors import InputError


@pytest.fixture(params=["counts", "weights"])
def both(request, monkeypatch):
    """The statistics of the reference data set, dense and sparse; with weights they are no whole numbers."""
    dataset = vg_dataset("train")
    if request.param == "weights":
        read = visual_genome.read_graphs

        def weighted(*args, **kwargs):
            graphs = read(*args, **kwargs)
            object.__setattr__(graphs, "weights", np.random.default_rng(1).random(len(graphs.relations)))
            return graphs

        monkeypatch.setattr(visual_genome, "read_graphs", weighted)
    dense = dataset.get_statistics()
    monkeypatch.setattr(sparse_statistics, "DENSE_BYTES", 0)
    return dense, dataset.get_statistics()


def test_the_tables_are_the_same_to_the_last_bit(both):
    dense, sparse = both
    for name in ("fg_matrix", "pred_dist"):
        table = sparse[name]
        assert isinstance(table, LateTable) and not isinstance(dense[name], LateTable)
        assert (table.shape, table.dtype, table.numel()) == (dense[name].shape, dense[name].dtype, dense[name].numel())
        assert torch.equal(table.dense(), dense[name])
        np.testing.assert_array_equal(np.asarray(table), dense[name].numpy())
        assert torch.equal(torch.as_tensor(table)[3], dense[name][3])
    assert torch.equal((sparse["fg_matrix"] > 0).dense(), dense["fg_matrix"] > 0)
    assert sparse["obj_classes"] == dense["obj_classes"]


def test_pairs_of_predicates_are_counted_where_a_table_of_them_is_small(monkeypatch):
    dataset = vg_dataset("train")
    expected = dataset.get_statistics()["predicate_pairs"]
    monkeypatch.setattr(sparse_statistics, "DENSE_BYTES", 8 * 51 * 51)
    statistics = dataset.get_statistics()
    assert isinstance(statistics["fg_matrix"], LateTable) and torch.equal(statistics["predicate_pairs"], expected)
    monkeypatch.setattr(sparse_statistics, "DENSE_BYTES", 8 * 51 * 51 - 1)
    assert dataset.get_statistics()["predicate_pairs"] is None


def test_sums_over_classes_need_no_table(both, monkeypatch):
    dense, sparse = both
    monkeypatch.setattr(LateTable, "dense", lambda self: pytest.fail("a dense table was made"))
    for gone in (0, 1, (0, 1), [1, 0]):
        for before in (lambda x: x, torch.Tensor.double):
            expected = before(dense["fg_matrix"]).sum(dim=gone)
            found = before(torch.as_tensor(sparse["fg_matrix"])).sum(dim=gone)
            assert type(found) is torch.Tensor and found.dtype == expected.dtype
            torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-9)
    for axis in (0, 1):
        occurs = (torch.as_tensor(sparse["fg_matrix"]) > 0).any(dim=axis)
        assert torch.equal(occurs, (dense["fg_matrix"] > 0).any(dim=axis))


def test_a_bias_is_made_from_it(both, caplog):
    dense, sparse = both
    with caplog.at_level(logging.INFO, "maskrcnn_benchmark"):
        biases = [FrequencyBias(parity_config(), statistics) for statistics in (dense, sparse)]
    assert torch.equal(*(bias.obj_baseline.weight for bias in biases))
    (record,) = caplog.records
    assert "151 x 151 x 51 classes, classes and predicates takes 4.436 MiB of memory" in record.getMessage()


def test_relclip_needs_none_for_its_dictionaries_and_its_prior_without_leave_out(both, monkeypatch):
    dense, sparse = (statistics["fg_matrix"] for statistics in both)
    expected = [dictionary(level, dense) for level in ("sp", "po")], PhrasePrior(dense).state_dict()
    monkeypatch.setattr(LateTable, "dense", lambda self: pytest.fail("a dense table was made"))
    for level, phrases in zip(("sp", "po"), expected[0], strict=True):
        assert torch.equal(dictionary(level, sparse), phrases)
    for name, values in PhrasePrior(sparse).state_dict().items():
        torch.testing.assert_close(values, expected[1][name])


def test_a_table_larger_than_the_memory_gets_a_sentence(both, monkeypatch):
    monkeypatch.setattr(sparse_statistics, "free_memory", lambda: 1024)
    with pytest.raises(InputError, match=r"would need 4\.436 MiB of memory, and 1 KiB are free; .*PREDICT_USE_BIAS"):
        torch.as_tensor(both[1]["pred_dist"]).float().exp()


def test_seventy_thousand_classes_are_counted(monkeypatch):
    """As many as VG-1800's first lists: the dense table would need 64 TiB."""
    reference = vg_dataset("train").get_statistics()["fg_matrix"]
    names = [f"c{i}" for i in range(70_098)], [f"p{i}" for i in range(1_807)], []
    monkeypatch.setattr(visual_genome, "load_info", lambda path: names)
    statistics = open_vg(PARITY / "vg", "train", num_val_im=10).get_statistics()
    table = statistics["fg_matrix"]
    assert table.shape == (70_098, 70_098, 1_807)
    predicates = table.sum(dim=(0, 1))
    assert torch.equal(predicates[1:51], reference.sum(dim=(0, 1))[1:]) and predicates[51:].sum() == 0
    with pytest.raises(InputError, match=r"70,098 x 70,098 x 1,807 .* would need 32\.3 TiB of memory"):
        torch.as_tensor(statistics["pred_dist"]).float().sum(-1)
