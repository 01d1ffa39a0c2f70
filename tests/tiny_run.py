"""A training of a model of a few numbers, for tests of checkpoints."""

import logging

import torch
from support import parity_config
from torch import nn

from maskrcnn_benchmark.solver import WarmupReduceLROnPlateau, make_lr_scheduler, make_optimizer
from maskrcnn_benchmark.utils.checkpoint import DetectronCheckpointer

log = logging.getLogger("maskrcnn_benchmark")
PLATEAU = ["SOLVER.SCHEDULE.TYPE", "WarmupReduceLROnPlateau", "SOLVER.WARMUP_ITERS", 3]


def tiny(folder, config=None, width=3):
    """A checkpointer of a small model with optimizer and scheduler."""
    torch.manual_seed(0)
    config = config or parity_config(extra=PLATEAU)
    parts = {"backbone": nn.Linear(2, width), "roi_heads": nn.ModuleDict({"relation": nn.Linear(width, 2)})}
    model = nn.ModuleDict(parts)
    optimizer = make_optimizer(config, model, log)
    scheduler = make_lr_scheduler(config, optimizer, log)
    return DetectronCheckpointer(config, model, optimizer, scheduler, str(folder), save_to_disk=True)


def train(checkpointer, start, stop):
    model, optimizer = checkpointer.model, checkpointer.optimizer
    for iteration in range(start + 1, stop + 1):
        x = torch.rand(4, 2, generator=torch.Generator().manual_seed(iteration))
        optimizer.zero_grad()
        model["roi_heads"]["relation"](model["backbone"](x)).square().sum().backward()
        optimizer.step()
        if isinstance(checkpointer.scheduler, WarmupReduceLROnPlateau):
            checkpointer.scheduler.step(1.0 / iteration if iteration % 2 == 0 else None, epoch=iteration)
        else:
            checkpointer.scheduler.step()
