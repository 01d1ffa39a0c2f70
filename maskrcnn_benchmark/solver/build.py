"""Optimizer and learning-rate schedule from a configuration."""

from __future__ import annotations

import logging

import torch
from torch import nn

from maskrcnn_benchmark.utils.errors import InputError

from .lr_scheduler import WarmupMultiStepLR, WarmupReduceLROnPlateau


def make_optimizer(
    cfg,
    model: nn.Module,
    logger: logging.Logger,
    slow_heads: list[str] | None = None,
    slow_ratio: float = 5.0,
    rl_factor: float = 1.0,
) -> torch.optim.SGD:
    """SGD with one group per trained parameter, as in SGB (so that its optimizer states load).

    Args:
        slow_heads: parameters whose name holds one of these learn `slow_ratio` times slower.
        rl_factor: factor of all learning rates; SGB passes the number of images per batch.
    """
    groups = []
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        lr, weight_decay = cfg.SOLVER.BASE_LR, cfg.SOLVER.WEIGHT_DECAY
        if "bias" in name:
            lr, weight_decay = lr * cfg.SOLVER.BIAS_LR_FACTOR, cfg.SOLVER.WEIGHT_DECAY_BIAS
        if any(part in name for part in slow_heads or ()):
            logger.info("slow head: %s learns %s times slower", name, slow_ratio)
            lr /= slow_ratio
        groups.append({"params": [parameter], "lr": lr * rl_factor, "weight_decay": weight_decay})
    if not groups:
        raise InputError("no parameter of the model is to be trained; check what the configuration freezes")
    return torch.optim.SGD(groups, lr=cfg.SOLVER.BASE_LR, momentum=cfg.SOLVER.MOMENTUM)


def make_lr_scheduler(cfg, optimizer, logger: logging.Logger | None = None):
    """The schedule that SOLVER.SCHEDULE.TYPE names."""
    warmup = {
        "warmup_factor": cfg.SOLVER.WARMUP_FACTOR,
        "warmup_iters": cfg.SOLVER.WARMUP_ITERS,
        "warmup_method": cfg.SOLVER.WARMUP_METHOD,
    }
    schedule = cfg.SOLVER.SCHEDULE
    if schedule.TYPE == "WarmupMultiStepLR":
        return WarmupMultiStepLR(optimizer, cfg.SOLVER.STEPS, cfg.SOLVER.GAMMA, **warmup)
    if schedule.TYPE == "WarmupReduceLROnPlateau":
        return WarmupReduceLROnPlateau(
            optimizer,
            schedule.FACTOR,
            patience=schedule.PATIENCE,
            threshold=schedule.THRESHOLD,
            cooldown=schedule.COOLDOWN,
            logger=logger,
            **warmup,
        )
    raise InputError(
        f"SOLVER.SCHEDULE.TYPE is {schedule.TYPE}; it must be WarmupMultiStepLR or WarmupReduceLROnPlateau"
    )
