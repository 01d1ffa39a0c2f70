"""The optimizer: one group per parameter with its own rate."""

import logging

import pytest
from support import parity_config
from torch import nn

from maskrcnn_benchmark.solver import make_optimizer
from maskrcnn_benchmark.utils.errors import InputError

log = logging.getLogger("test")


def rates(config, model, **kwargs):
    """(learning rate, weight decay) by parameter name."""
    optimizer = make_optimizer(config, model, log, **kwargs)
    names = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    return {
        name: (group["lr"], group["weight_decay"]) for name, group in zip(names, optimizer.param_groups, strict=True)
    }


def test_biases_heads_and_batch_size_set_the_rate():
    config = parity_config(extra=["SOLVER.BASE_LR", 0.5, "SOLVER.BIAS_LR_FACTOR", 2, "SOLVER.WEIGHT_DECAY_BIAS", 0.25])
    model = nn.ModuleDict({"slow": nn.Linear(1, 1), "fast": nn.Linear(1, 1), "frozen": nn.Linear(1, 1)})
    model["frozen"].requires_grad_(False)
    found = rates(config, model, slow_heads=["slow"], slow_ratio=10.0, rl_factor=4.0)
    assert found == {
        "slow.weight": (pytest.approx(0.2), 1e-4),
        "slow.bias": (pytest.approx(0.4), 0.25),
        "fast.weight": (pytest.approx(2.0), 1e-4),
        "fast.bias": (pytest.approx(4.0), 0.25),
    }


def test_nothing_to_train():
    model = nn.Linear(1, 1).requires_grad_(False)
    with pytest.raises(InputError, match="no parameter of the model is to be trained"):
        make_optimizer(parity_config(), model, log)
