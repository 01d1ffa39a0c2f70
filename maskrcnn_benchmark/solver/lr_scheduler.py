"""SGB's two learning-rate schedules: steps at given iterations, and steps when validation stops improving."""

from __future__ import annotations

import logging
from bisect import bisect_right

import torch
from torch.optim import Optimizer

from maskrcnn_benchmark.utils.errors import InputError


def _warmup(method: str, factor: float, iteration: int, warmup_iters: int) -> float:
    """What the learning rate is multiplied with at `iteration`: from `factor` (constant or rising linearly) to 1."""
    if iteration >= warmup_iters:
        return 1.0
    if method == "constant":
        return factor
    share = iteration / warmup_iters
    return factor * (1 - share) + share


def _check_method(method: str) -> None:
    if method not in ("constant", "linear"):
        raise InputError(f"SOLVER.WARMUP_METHOD must be 'constant' or 'linear', found {method!r}")


class WarmupMultiStepLR(torch.optim.lr_scheduler.LRScheduler):
    """Warm-up, then times `gamma` at each milestone (iterations, increasing)."""

    def __init__(
        self,
        optimizer: Optimizer,
        milestones,
        gamma: float = 0.1,
        warmup_factor: float = 1.0 / 3,
        warmup_iters: int = 500,
        warmup_method: str = "linear",
        last_epoch: int = -1,
    ):
        if list(milestones) != sorted(milestones):
            raise InputError(f"SOLVER.STEPS must increase, found {milestones}")
        _check_method(warmup_method)
        self.milestones = milestones
        self.gamma = gamma
        self.warmup_factor = warmup_factor
        self.warmup_iters = warmup_iters
        self.warmup_method = warmup_method
        super().__init__(optimizer, last_epoch)

    def load_state_dict(self, state_dict: dict) -> None:
        """Go on at the iteration of a saved schedule; the settings stay those of this one."""
        self.last_epoch = state_dict["last_epoch"]
        self._step_count = self.last_epoch + 1
        self._last_lr = self.get_lr()

    def get_lr(self) -> list[float]:
        factor = _warmup(self.warmup_method, self.warmup_factor, self.last_epoch, self.warmup_iters)
        factor *= self.gamma ** bisect_right(self.milestones, self.last_epoch)
        return [base_lr * factor for base_lr in self.base_lrs]


class WarmupReduceLROnPlateau:
    """Warm-up, then times `gamma` whenever `patience` validations in a row do not beat the best by `threshold`.

    After a step, `cooldown` validations are not counted. `step` takes the newest validation value, or None.
    """

    # Attributes that make up the saved state, as in SGB: settings, which are not read back, and counts, which are.
    SETTINGS = (
        "gamma", "warmup_factor", "warmup_iters", "warmup_method", "patience", "threshold", "cooldown", "base_lrs",
    )  # fmt: skip
    COUNTS = ("stage_count", "best", "num_bad_epochs", "under_cooldown", "last_epoch")

    def __init__(
        self,
        optimizer: Optimizer,
        gamma: float = 0.5,
        warmup_factor: float = 1.0 / 3,
        warmup_iters: int = 500,
        warmup_method: str = "linear",
        last_epoch: int = -1,
        patience: int = 2,
        threshold: float = 1e-4,
        cooldown: int = 1,
        logger: logging.Logger | None = None,
    ):
        _check_method(warmup_method)
        self.optimizer = optimizer
        self.gamma = gamma
        self.warmup_factor = warmup_factor
        self.warmup_iters = warmup_iters
        self.warmup_method = warmup_method
        self.patience = patience
        self.threshold = threshold
        self.cooldown = cooldown
        self.logger = logger
        self.stage_count = 0
        self.best = -1e12
        self.num_bad_epochs = 0
        self.under_cooldown = cooldown
        for group in optimizer.param_groups:
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise KeyError("an optimizer that is resumed must have 'initial_lr' in its parameter groups")
        self.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = max(last_epoch, 0)
        # SGB counts the construction as a first value; its schedule is kept to the letter.
        self.step(self.last_epoch)

    def state_dict(self) -> dict:
        return {name: getattr(self, name) for name in (*self.SETTINGS, *self.COUNTS)}

    def load_state_dict(self, state_dict: dict) -> None:
        """Go on with the counts of a saved schedule; the settings stay those of this one."""
        for name in self.COUNTS:
            if name in state_dict:
                setattr(self, name, state_dict[name])

    def get_lr(self) -> list[float]:
        factor = _warmup(self.warmup_method, self.warmup_factor, self.last_epoch, self.warmup_iters)
        factor *= self.gamma**self.stage_count
        return [base_lr * factor for base_lr in self.base_lrs]

    def step(self, metrics: float | None, epoch: int | None = None) -> None:
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        if metrics is not None:
            self._count(float(metrics))
        for group, lr in zip(self.optimizer.param_groups, self.get_lr(), strict=True):
            group["lr"] = lr

    def _count(self, value: float) -> None:
        if value > self.best + self.threshold:
            self.best = value
            self.num_bad_epochs = 0
        else:
            self.num_bad_epochs += 1
        if self.under_cooldown > 0:
            self.under_cooldown -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs >= self.patience:
            if self.logger is not None:
                self.logger.info("validation has not improved: learning rate times %s", self.gamma)
            self.stage_count += 1
            self.under_cooldown = self.cooldown
            self.num_bad_epochs = 0
