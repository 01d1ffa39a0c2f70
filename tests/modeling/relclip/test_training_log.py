"""What RelCLIP says of a training step reaches metrics.json and TensorBoard, by the trainer itself."""

import json
import logging

import pytest
import torch
from support import boxlist
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from maskrcnn_benchmark.engine.trainer import TENSORBOARD_PERIOD, Trainer
from maskrcnn_benchmark.solver import make_lr_scheduler, make_optimizer
from maskrcnn_benchmark.structures.image_list import ImageList
from maskrcnn_benchmark.utils.checkpoint import Checkpointer


class Head(torch.nn.Module):
    """A predictor on the same pairs in every step, in the place of a whole detector."""

    def __init__(self, predictor, batch):
        super().__init__()
        self.predictor, self.batch = predictor, batch

    def forward(self, images, targets):
        logits, losses = self.predictor(*self.batch.arguments(training=True))[1:]
        truth = torch.cat(self.batch.labels)
        return {**losses, "loss_rel": torch.nn.functional.cross_entropy(torch.cat(logits), truth)}


def test_tau_accuracy_and_the_loss_of_each_level_are_in_metrics_and_tensorboard(config, predictor, scene, tmp_path):
    steps = 2 * TENSORBOARD_PERIOD
    host = ["OUTPUT_DIR", str(tmp_path), "SOLVER.MAX_ITER", steps, "SOLVER.CHECKPOINT_PERIOD", steps]
    cfg, logger = config(host=host), logging.getLogger("test_training_log")
    model = Head(predictor(), scene((5, 5)))
    optimizer = make_optimizer(cfg, model, logger)
    scheduler = make_lr_scheduler(cfg, optimizer, logger)
    trainer = Trainer(cfg, model, Checkpointer(model, optimizer, scheduler, str(tmp_path), True, logger), 0, logger, {})
    batch = ImageList(torch.zeros(1, 3, 2, 2), [(2, 2)]), [boxlist([[0.0, 0, 1, 1]], (2, 2))], (0,)
    trainer.train([batch] * steps, None)

    rows = {row["iteration"]: row for row in map(json.loads, (tmp_path / "metrics.json").read_text().splitlines())}
    assert list(rows) == list(range(1, steps + 1))
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    for name in ("tau", "alignment_accuracy", "loss_rcl_sp", "loss_rcl_po"):
        assert all(name in row for row in rows.values()), name
        written = {event.step: event.value for event in events.Scalars(name)}
        assert written == {step: pytest.approx(rows[step][name]) for step in (TENSORBOARD_PERIOD, steps)}, name
    assert rows[1]["tau"] == pytest.approx(1 / 0.07) and rows[steps]["tau"] != rows[1]["tau"]  # it is learnt
