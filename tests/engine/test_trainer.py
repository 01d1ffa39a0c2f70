"""The training loop on a model of one layer: what it logs, writes, saves, and when it stops."""

import json
import logging
import math

import pytest
import torch
from support import boxlist, parity_config
from torch.utils.tensorboard import SummaryWriter  # noqa: F401 (imported here, its import time is not a test's)

from maskrcnn_benchmark.engine.run_state import MetricsFile, random_states, restore_random_states, seed_everything
from maskrcnn_benchmark.engine.trainer import Trainer, check_finite, fix_eval_modules, reduce_loss_dict
from maskrcnn_benchmark.solver import make_lr_scheduler, make_optimizer
from maskrcnn_benchmark.structures.image_list import ImageList
from maskrcnn_benchmark.utils.checkpoint import Checkpointer
from maskrcnn_benchmark.utils.errors import InputError


class Toy(torch.nn.Module):
    """Two losses of one linear layer; noise makes the random state matter."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(12, 1)

    def forward(self, images, targets):
        out = self.layer(images.tensors.flatten(1) + 0.1 * torch.randn(12))
        return {"loss_a": (out.float() - 1).square().mean(), "loss_b": 0.1 * self.layer.weight.square().sum()}


class Batches:
    """Random images, the same in every run."""

    def __init__(self, start, end):
        self.range = range(start, end)

    def __iter__(self):
        for index in self.range:
            images = torch.rand(2, 3, 2, 2, generator=torch.Generator().manual_seed(index))
            targets = [boxlist([[0.0, 0, 1, 1]], (2, 2))] * 2
            yield ImageList(images, [(2, 2)] * 2), targets, (2 * index, 2 * index + 1)


def make(folder, iterations=6, clip=False, **options):
    given = [x for name, value in options.items() for x in (name.replace("__", "."), value)]
    config = parity_config(
        extra=["OUTPUT_DIR", str(folder), "SOLVER.MAX_ITER", iterations, "SOLVER.CHECKPOINT_PERIOD", 4,
               "SOLVER.BASE_LR", 0.01, "SOLVER.IMS_PER_BATCH", 2, "SOLVER.WARMUP_ITERS", 2, "SOLVER.STEPS", (5,),
               "SOLVER.PRE_VAL", False, "SOLVER.VAL_PERIOD", 2, *given]
    )  # fmt: skip
    torch.manual_seed(0)
    model = Toy()
    logger = logging.getLogger("test_trainer")
    logger.setLevel(logging.INFO)
    optimizer = make_optimizer(config, model, logger)
    scheduler = make_lr_scheduler(config, optimizer, logger)
    checkpointer = Checkpointer(model, optimizer, scheduler, str(folder), True, logger)
    return Trainer(config, model, checkpointer, 3, logger, {"obj_classes": ["a", "b"]}, clip=clip)


def run(trainer, validate=None):
    trainer.train(Batches(trainer.iteration, trainer.cfg.SOLVER.MAX_ITER), validate)
    return trainer


def lines(folder):
    return [json.loads(line) for line in (folder / "metrics.json").read_text().splitlines()]


def test_metrics_lines_and_checkpoints(tmp_path, caplog):
    run(make(tmp_path), lambda: {"one": 0.25, "two": 0.75})
    losses = [line for line in lines(tmp_path) if "loss" in line]
    assert [line["iteration"] for line in losses] == [1, 2, 3, 4, 5, 6]
    assert losses[0]["loss"] == pytest.approx(losses[0]["loss_a"] + losses[0]["loss_b"])
    assert [round(line["lr"], 6) for line in losses] == [0.001, 0.0055, 0.01, 0.01, 0.01, 0.001]
    assert next(line for line in lines(tmp_path) if "validation" in line) == {
        "iteration": 2, "validation": 0.5, "validation/one": 0.25, "validation/two": 0.75,
    }  # fmt: skip
    assert sorted(p.name for p in tmp_path.glob("*.pth")) == ["model_0000004.pth", "model_final.pth"]
    saved = torch.load(tmp_path / "model_final.pth", weights_only=True)
    assert saved["iteration"] == 6 and saved["obj_classes"] == ["a", "b"]
    assert list(tmp_path.glob("tensorboard/*"))
    assert "eta:" in caplog.text and "Validation Result: 0.5000" in caplog.text


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_resumed_run_ends_like_an_undisturbed_one(tmp_path, dtype):
    options = {"DTYPE": dtype, "SOLVER__SCHEDULE__TYPE": "WarmupReduceLROnPlateau"}
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for folder in (whole, broken):
        folder.mkdir()
        run(make(folder, **options), lambda: {"one": 0.5})
    # the second run goes back to its checkpoint, as after a kill between iterations 4 and 6
    again = make(broken, **options)
    loaded = again.checkpointer.load(str(broken / "model_0000004.pth"))
    torch.rand(5)
    again.resume(loaded)
    run(again, lambda: {"one": 0.5})
    ends = [torch.load(f / "model_final.pth", weights_only=True) for f in (whole, broken)]
    for name in ends[0]["model"]:
        assert torch.equal(ends[0]["model"][name], ends[1]["model"][name])
    assert ends[0]["scheduler"] == ends[1]["scheduler"] and ends[0]["scaler"] == ends[1]["scaler"]
    times = [[{**line, "time": 0} for line in lines(f)] for f in (whole, broken)]
    assert times[0] == times[1]


def test_loss_that_is_not_finite_stops_the_run_before_it_spoils_the_weights(tmp_path):
    trainer = make(tmp_path)
    trainer.model.layer.bias.data.fill_(float("inf"))
    before = trainer.model.layer.weight.clone()
    with pytest.raises(InputError, match=r"loss_a not finite in iteration 1 .*loss_b 0\.\d+; images 0, 1"):
        run(trainer)
    assert torch.equal(trainer.model.layer.weight, before)
    assert not list(tmp_path.glob("*.pth"))
    check_finite({"a": 1.0}, 1, [0])


def test_plateau_schedule_stops_early_and_stays_stopped(tmp_path, caplog):
    options = {
        "SOLVER__SCHEDULE__TYPE": "WarmupReduceLROnPlateau",
        "SOLVER__SCHEDULE__PATIENCE": 1,
        "SOLVER__SCHEDULE__MAX_DECAY_STEP": 2,
    }
    trainer = run(make(tmp_path, iterations=40, **options), lambda: {"one": 0.0})
    stopped = trainer.iteration
    assert stopped < 40 and f"Trigger MAX_DECAY_STEP at iteration {stopped}." in caplog.text
    again = make(tmp_path, iterations=40, **options)
    again.resume(again.checkpointer.load(str(tmp_path / "model_final.pth")))
    run(again, lambda: {"one": 0.0})
    assert again.iteration == stopped and f"the run is complete: {stopped} iterations" in caplog.text


def test_validation_before_training_and_never(tmp_path):
    calls = []

    def validate():
        calls.append(True)
        return {"one": 0.5}

    run(make(tmp_path, iterations=1, SOLVER__PRE_VAL=True), validate)
    assert len(calls) == 1 and lines(tmp_path)[0]["iteration"] == 0
    run(make(tmp_path, iterations=2, SOLVER__TO_VAL=False), validate)
    assert len(calls) == 1 and all("validation" not in line for line in lines(tmp_path))


def test_clipping_limits_the_step_and_logs_the_norms(tmp_path, caplog):
    steps = {}
    for clip in (False, True):
        folder = tmp_path / str(clip)
        folder.mkdir()
        trainer = make(folder, iterations=1, clip=clip, SOLVER__GRAD_NORM_CLIP=0.01, SOLVER__WEIGHT_DECAY=0.0)
        before = torch.cat([p.detach().flatten() for p in trainer.model.parameters()]).clone()
        run(trainer)
        rate = lines(folder)[0]["lr"]
        after = torch.cat([p.detach().flatten() for p in trainer.model.parameters()])
        steps[clip] = float((after - before).norm() / rate)
    assert steps[True] == pytest.approx(0.01, rel=1e-3) and steps[False] > 0.1
    assert caplog.text.count("gradient norm") == 1 and "layer.weight" in caplog.text


def test_metrics_file_of_an_earlier_run_is_cut(tmp_path):
    path = tmp_path / "metrics.json"
    path.write_text('{"iteration": 1}\n{"iteration": 2}\n{"iteration": 3}\n{"iterat')
    file = MetricsFile(str(path), 2)
    file.write({"iteration": 3, "loss": float("nan")})
    file.close()
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {"iteration": 1}, {"iteration": 2}, {"iteration": 3, "loss": None},
    ]  # fmt: skip
    MetricsFile(str(path), 0).close()
    assert path.read_text() == ""


def test_parts_that_learn_in_stages_are_told_the_iteration_in_a_resumed_run_too(tmp_path):
    def told(folder, resumed):
        folder.mkdir()
        trainer, iterations = make(folder), []
        trainer.model.layer.start_iteration = iterations.append
        if resumed:
            trainer.resume({"iteration": 4})
        trainer.train(Batches(trainer.iteration, 6), None)
        return iterations

    assert told(tmp_path / "whole", False) == [1, 2, 3, 4, 5, 6]
    assert told(tmp_path / "resumed", True) == [5, 6]


def test_random_states_come_back():
    import random

    import numpy as np

    def draw():
        return random.random(), float(np.random.rand()), float(torch.rand(())), random.gauss(0, 1), np.random.randn()

    seed_everything(3)
    np.random.randn()  # leaves a second gaussian in numpy's state
    states = random_states()
    first = draw()
    assert draw() != first
    restore_random_states(states)
    assert draw() == first


def test_fixed_parts_do_not_learn_but_stay_in_training_mode():
    part = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Dropout())
    fix_eval_modules([part])
    assert part.training and not any(p.requires_grad for p in part.parameters())


def test_losses_of_one_process_are_what_they_are():
    losses = {"b": torch.tensor(1.0), "a": torch.tensor(2.0)}
    assert reduce_loss_dict(losses) == losses


def test_what_modules_note_of_a_step_is_in_metrics_and_log(tmp_path, caplog):
    """Numbers that are not finite, as of a batch without anything to count, are left out."""
    trainer = make(tmp_path, iterations=2)
    trainer.model.layer.metrics = {"tau": torch.tensor(3.5), "accuracy": torch.tensor(math.nan)}
    with caplog.at_level(logging.INFO):
        trainer.train(Batches(0, 2), None)
    rows = [json.loads(line) for line in (tmp_path / "metrics.json").read_text().splitlines()]
    assert [row["tau"] for row in rows] == [3.5, 3.5] and not any("accuracy" in row for row in rows)
    assert "tau: 3.5000" in caplog.text
