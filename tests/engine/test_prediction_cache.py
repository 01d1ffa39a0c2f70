"""Everything that predictions depend on is part of their key."""

import os
import shutil

import pytest
import torch
from small_run import write_config
from support import PARITY, open_vg

from maskrcnn_benchmark.config.load import load_config
from maskrcnn_benchmark.engine.prediction_cache import prediction_key


class Tower:
    """Weights that are no module, as those of a frozen CLIP may be."""

    def __init__(self):
        self.weight = torch.ones(3)


class Part(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 2)
        self.register_buffer("phrases", torch.ones(4, 3), persistent=False)
        self.register_buffer("none", None, persistent=False)
        self.tower, self.rule = Tower(), {"margin": 0.1}

    def prediction_inputs(self):
        return {"tower": self.tower.weight, "rule": self.rule}


@pytest.fixture
def key(tmp_path):
    """The key of a model with the reference data set, as often as it is asked for."""
    config = load_config(str(write_config(tmp_path)))
    shutil.copytree(PARITY / "vg", tmp_path / "vg")
    dataset = open_vg(tmp_path / "vg", "test")
    torch.manual_seed(0)
    model = torch.nn.Sequential(Part(), Part())

    def call():
        return prediction_key(config, model, dataset, "test")

    call.model, call.dataset = model, dataset
    return call


def touch(path):
    os.utime(path, ns=(1, 1))


@pytest.mark.parametrize(
    "change",
    [
        lambda key: key.model[1].layer.weight.data.mul_(2),
        lambda key: key.model[1].phrases.mul_(2),
        lambda key: setattr(key.model[1], "phrases", key.model[1].phrases.reshape(3, 4)),
        lambda key: setattr(key.model[1], "phrases", key.model[1].phrases.double()),
        lambda key: key.model[1].tower.weight.mul_(2),
        lambda key: key.model[1].rule.update(margin=0.2),
        lambda key: touch(key.dataset.roidb_file),
        lambda key: touch(key.dataset.dict_file),
        lambda key: touch(key.dataset.image_file),
    ],
)
def test_what_changes_predictions_changes_the_key(key, change):
    before = key()
    assert key() == before
    change(key)
    assert key() != before
