"""Fixtures that several test folders share."""

import functools
import importlib
import sys

import pytest
import torch
from support import vg_dataset


@functools.cache
def reference_statistics():
    return vg_dataset("train", filter_duplicate_rels=False).get_statistics()


@pytest.fixture
def parity_statistics(monkeypatch):
    """Predictors see the statistics of the reference data set, and zeros for word vectors."""
    importlib.import_module("maskrcnn_benchmark.modeling.roi_heads.relation_head.roi_relation_predictors")
    for name, module in list(sys.modules.items()):
        if not name.startswith("maskrcnn_benchmark") or module is None:
            continue
        if hasattr(module, "get_dataset_statistics"):
            monkeypatch.setattr(module, "get_dataset_statistics", lambda *args, **kwargs: reference_statistics())
        for vectors in ("obj_edge_vectors", "rel_vectors"):
            if hasattr(module, vectors):
                monkeypatch.setattr(
                    module, vectors, lambda names, *args, wv_dim=300, **kwargs: torch.zeros(len(names), wv_dim)
                )
    return reference_statistics()
