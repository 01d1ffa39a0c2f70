"""Learning-rate schedules against the reference numbers, and their saved states."""

import io
import json
import logging

import numpy as np
import pytest
import torch
from support import PARITY, parity_config

from maskrcnn_benchmark.solver import make_lr_scheduler, make_optimizer
from maskrcnn_benchmark.solver.lr_scheduler import WarmupReduceLROnPlateau
from maskrcnn_benchmark.utils.errors import InputError

REFERENCE = json.loads((PARITY / "schedule.json").read_text())
KINDS = ("WarmupMultiStepLR", "WarmupReduceLROnPlateau")
log = logging.getLogger("test")


def make(kind):
    config = parity_config(
        extra=[
            "SOLVER.SCHEDULE.TYPE", kind,
            "SOLVER.STEPS", (150, 300),
            "SOLVER.WARMUP_ITERS", 50,
            "SOLVER.SCHEDULE.COOLDOWN", 1,
        ]
    )  # fmt: skip
    torch.manual_seed(0)
    optimizer = make_optimizer(config, torch.nn.Linear(2, 2), log, rl_factor=2.0)
    return optimizer, make_lr_scheduler(config, optimizer, log)


def advance(optimizer, scheduler, kind, start, stop):
    """Learning rates of the iterations start + 1 to stop."""
    rates = []
    for iteration in range(start + 1, stop + 1):
        rates.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        if kind == "WarmupReduceLROnPlateau":
            scheduler.step(REFERENCE["values"][iteration - 1], epoch=iteration)
        else:
            scheduler.step()
    return rates


@pytest.mark.parametrize("kind", KINDS)
def test_rates_are_those_of_the_reference(kind):
    want = REFERENCE["lrs"][kind]
    np.testing.assert_allclose(advance(*make(kind), kind, 0, len(want)), want, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stop", [20, 170, 260])
def test_a_resumed_schedule_goes_on_as_if_undisturbed(kind, stop):
    want = REFERENCE["lrs"][kind]
    optimizer, scheduler = make(kind)
    advance(optimizer, scheduler, kind, 0, stop)
    file = io.BytesIO()
    torch.save([optimizer.state_dict(), scheduler.state_dict()], file)
    file.seek(0)
    optimizer_state, scheduler_state = torch.load(file, weights_only=True)
    optimizer, scheduler = make(kind)
    optimizer.load_state_dict(optimizer_state)
    scheduler.load_state_dict(scheduler_state)
    np.testing.assert_allclose(advance(optimizer, scheduler, kind, stop, len(want)), want[stop:], rtol=1e-6)


def test_a_state_of_sgb_with_a_logger_loads():
    scheduler = make("WarmupReduceLROnPlateau")[1]
    state = {**scheduler.state_dict(), "stage_count": 2, "best": 0.3, "logger": logging.getLogger("theirs")}
    scheduler.load_state_dict(state)
    assert (scheduler.stage_count, scheduler.best, scheduler.logger) == (2, 0.3, log)


def test_a_constant_warm_up():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = WarmupReduceLROnPlateau(optimizer, warmup_factor=0.1, warmup_iters=3, warmup_method="constant")
    rates = []
    for iteration in range(4):
        scheduler.step(None, epoch=iteration)
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates == [0.1, 0.1, 0.1, 1.0]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("SOLVER.SCHEDULE.TYPE", "Cosine", "SOLVER.SCHEDULE.TYPE is Cosine; it must be"),
        ("SOLVER.WARMUP_METHOD", "cubic", "SOLVER.WARMUP_METHOD must be"),
        ("SOLVER.STEPS", (20, 10), "SOLVER.STEPS must increase"),
    ],
)
def test_wrong_settings(key, value, message):
    config = parity_config(extra=[key, value])
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    with pytest.raises(InputError, match=message):
        make_lr_scheduler(config, optimizer)
