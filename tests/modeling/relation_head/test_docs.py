"""The example in docs/predictors.md trains and predicts in every task."""

import re
from pathlib import Path

import torch
from support import parity_config

from maskrcnn_benchmark.modeling import registry
from maskrcnn_benchmark.modeling.roi_heads.relation_head.roi_relation_predictors import make_roi_relation_predictor
from maskrcnn_benchmark.utils.env import setup_custom_environment

DOCS = Path(__file__).parents[3] / "docs" / "predictors.md"


def test_the_example_of_a_predictor_works(tmp_path, monkeypatch, scene, task):
    monkeypatch.setattr(registry, "ROI_RELATION_PREDICTOR", registry.Registry(registry.ROI_RELATION_PREDICTOR))
    (example,) = re.findall(r"```python\n(.*?)```", DOCS.read_text(), flags=re.DOTALL)
    (tmp_path / "union_predictor.py").write_text(example)
    setup_custom_environment(str(tmp_path / "union_predictor.py"))
    model, batch = make_roi_relation_predictor(parity_config(task, "UnionPredictor"), 48), scene((3, 1, 2))
    obj, rel, losses = model(*batch.arguments(training=True))
    assert [x.shape for x in obj] == [(3, 151), (1, 151), (2, 151)]
    assert [x.shape for x in rel] == [(6, 51), (0, 51), (2, 51)]
    assert losses == {} and torch.isfinite(torch.cat(rel)).all()
