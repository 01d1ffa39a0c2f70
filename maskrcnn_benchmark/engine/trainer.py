"""The training loop of detectors and relation models; it goes on after a kill as if nothing had happened."""

from __future__ import annotations

import datetime
import logging
import math
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from maskrcnn_benchmark.utils.checkpoint import Checkpointer, clip_grad_norm
from maskrcnn_benchmark.utils.comm import all_gather, anywhere, get_rank, get_world_size, reduce_dict
from maskrcnn_benchmark.utils.errors import InputError
from maskrcnn_benchmark.utils.global_batch import start_step, within
from maskrcnn_benchmark.utils.metric_logger import MetricLogger
from maskrcnn_benchmark.utils.preemption import Preempted, listening, requested

from .inference import autocast
from .run_state import MetricsFile, random_states, restore_random_states, seed_everything, tensorboard_writer

# SGB logs every 200 iterations; shorter runs log more often.
LOG_PERIOD = 200
TENSORBOARD_PERIOD = 20


def reduce_loss_dict(loss_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Losses averaged over all processes; the result counts on rank 0 only."""
    return reduce_dict(loss_dict)


def check_finite(losses: dict[str, float], iteration: int, images: Sequence[int]) -> None:
    """Raise `InputError` where a loss is nan or infinite, with the names and values of all."""
    if all(math.isfinite(value) for value in losses.values()):
        return
    values = ", ".join(f"{name} {value:.4g}" for name, value in losses.items())
    wrong = ", ".join(name for name, value in losses.items() if not math.isfinite(value))
    raise InputError(
        f"{wrong} not finite in iteration {iteration} (losses: {values}; images {', '.join(map(str, images))} of the "
        "training set): lower SOLVER.BASE_LR, lengthen SOLVER.WARMUP_ITERS, or try DTYPE float32"
    )


class Trainer:
    """Trains a model: mixed precision, clipping, validation, both schedules, checkpoints, log and metrics.json.

    A checkpoint holds everything that the next iteration depends on (model, optimizer, schedule, scaler, place in the
    data, random states of all processes), so a run that is killed and started again ends as one that is not. On SIGTERM
    and SIGUSR1 it writes one and ends (`preemption`).

    Args:
        cfg: SOLVER, DTYPE, MODEL.DEVICE and OUTPUT_DIR are read.
        model: on its device; wrapped for several processes, or not.
        checkpointer: has optimizer and scheduler.
        seed: of the run, the same on all processes.
        extra: further entries of every checkpoint, such as class names.
        clip: clip gradients to SOLVER.GRAD_NORM_CLIP and log their norms now and then (SOLVER.PRINT_GRAD_FREQ).
    """

    def __init__(
        self,
        cfg,
        model: nn.Module,
        checkpointer: Checkpointer,
        seed: int,
        logger: logging.Logger,
        extra: dict[str, Any],
        clip: bool = False,
    ):
        self.cfg = cfg
        self.model = model
        self.checkpointer = checkpointer
        self.optimizer, self.scheduler = checkpointer.optimizer, checkpointer.scheduler
        self.seed = seed
        self.logger = logger
        self.extra = extra
        self.clip = clip
        self.device = torch.device(cfg.MODEL.DEVICE)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=cfg.DTYPE == "float16")
        self.plateau = cfg.SOLVER.SCHEDULE.TYPE == "WarmupReduceLROnPlateau"
        self.iteration = 0
        self._states: dict[str, Any] | None = None
        # Whether the validation after `iteration` is still to be done: a signal came during it.
        self._owes_validation = False

    @property
    def is_complete(self) -> bool:
        """Whether nothing is left to train."""
        return not self._owes_validation and (self.iteration >= self.cfg.SOLVER.MAX_ITER or self._decayed_enough())

    def resume(self, loaded: dict[str, Any]) -> None:
        """Go on from the entries of a checkpoint whose weights, optimizer and schedule are loaded already."""
        self.iteration = int(loaded["iteration"])
        if loaded.get("scaler"):
            self.scaler.load_state_dict(loaded["scaler"])
        self._owes_validation = bool(loaded.get("owes_validation"))
        states = loaded.get("random_states", [])
        if len(states) == get_world_size():
            self._states = states[get_rank()]
        else:
            self.logger.warning(
                "the checkpoint was written by %d processes, and %d go on: batches, images and what is drawn for each "
                "image stay those of the undisturbed run; the random states of the processes, which dropout layers "
                "draw from, begin anew",
                len(states),
                get_world_size(),
            )
        self.logger.info("resumed after iteration %d", self.iteration)

    def train(self, data_loader, validate: Callable[[], dict[str, float]] | None) -> None:
        """Run the iterations that are left, and save `model_final`.

        Args:
            data_loader: gives the (images, targets, indices) of the iterations that are left.
            validate: gives {data set: value}, the same on every process; None: no validation.

        Raises:
            InputError: a loss that is not finite.
            Preempted: SIGTERM or SIGUSR1 came, and a checkpoint was written.
        """
        if self.is_complete:
            self.logger.info("the run is complete: %d iterations", self.iteration)
            return
        with listening():
            self._train(data_loader, validate)

    def _train(self, data_loader, validate: Callable[[], dict[str, float]] | None) -> None:
        solver, last = self.cfg.SOLVER, self.cfg.SOLVER.MAX_ITER
        metrics = MetricsFile(os.path.join(self.cfg.OUTPUT_DIR, "metrics.json"), self.iteration)
        writer = tensorboard_writer(os.path.join(self.cfg.OUTPUT_DIR, "tensorboard"), self.iteration)
        if validate is not None and solver.PRE_VAL and self.iteration == 0:
            self.logger.info("Validate before training")
            self._validate(validate, metrics)

        if self._owes_validation:
            self._restore_random_states()
            self._end_iteration(validate, metrics)
            self._states = random_states()
        batches = iter(data_loader)
        self._restore_random_states()  # after iter(), which draws a number
        self.logger.info("Start training")
        meters = MetricLogger(delimiter="  ")
        first = self.iteration + 1
        log_period = min(LOG_PERIOD, max(last // 20, 1))
        # parts of the model that learn in stages, such as a predictor that trains some of its layers first
        staged = [module for module in self.model.modules() if hasattr(module, "start_iteration")]
        start = time.perf_counter()
        for self.iteration in range(first, last + 1):
            begin = time.perf_counter()
            for module in staged:
                module.start_iteration(self.iteration)
            images, targets, indices = next(batches)
            data_time = time.perf_counter() - begin
            rate = self.optimizer.param_groups[-1]["lr"]
            verbose = self.iteration == first or self.iteration % solver.PRINT_GRAD_FREQ == 0
            noted = self._step(images, targets, indices, verbose)
            batch_time = time.perf_counter() - begin

            meters.update(**noted, time=batch_time, data=data_time)
            metrics.write({"iteration": self.iteration, **noted, "lr": rate, "time": batch_time})
            if writer is not None and self.iteration % TENSORBOARD_PERIOD == 0:
                for name, number in (noted | {"lr": rate}).items():
                    writer.add_scalar(name, number, self.iteration)
            if self.iteration % log_period == 0 or self.iteration == last:
                # with what validation and checkpoints took so far
                each = (time.perf_counter() - start) / (self.iteration - first + 1)
                self._log(meters, rate, each * (last - self.iteration))

            self._end_iteration(validate, metrics)
            if self._decayed_enough():
                self.logger.info("Trigger MAX_DECAY_STEP at iteration %d.", self.iteration)
                break
            if self.iteration < last:
                told = anywhere(requested())
                if told or self.iteration % solver.CHECKPOINT_PERIOD == 0:
                    self._save(f"model_{self.iteration:07d}")
                if told:
                    raise self._preempted()
        self._save("model_final")
        metrics.close()
        if writer is not None:
            writer.close()
        seconds = time.perf_counter() - start
        each = seconds / max(self.iteration - first + 1, 1)
        self.logger.info("Total training time: %s (%.4f s / it)", datetime.timedelta(seconds=int(seconds)), each)
        if anywhere(requested()):
            raise self._preempted()

    # -- one iteration -----------------------------------------------------------------------------------------------
    def _step(self, images, targets, indices, verbose: bool) -> dict[str, float]:
        """One update of the weights; the losses, `loss` being their sum, and what modules say of the step.

        On a GPU all of these are read before the gradients are asked for, while nothing else is under way.
        """
        self.model.train()
        images = images.to(self.device)
        targets = [target.to(self.device) for target in targets]
        step, size = start_step(self.seed, self.iteration, images.tensors, indices)
        with within(step), autocast(self.device, self.cfg.DTYPE):
            loss_dict = self.model(images.padded(*size), targets)
        total = sum(loss_dict.values())
        # Checked on every process before anything is updated.
        own = dict(zip(loss_dict, torch.stack([v.detach().float() for v in loss_dict.values()]).tolist(), strict=True))
        check_finite(own, self.iteration, [max(index, ~index) for index in indices])
        detached = {name: value.detach() for name, value in loss_dict.items()}
        reduced = {name: float(value) for name, value in reduce_loss_dict(detached).items()}
        noted = {"loss": sum(reduced.values()), **reduced, **self._noted()}

        self.optimizer.zero_grad()
        self.scaler.scale(total).backward()
        self.scaler.unscale_(self.optimizer)
        if self.clip:
            clip_grad_norm(
                [(name, p) for name, p in self.model.named_parameters() if p.requires_grad],
                max_norm=self.cfg.SOLVER.GRAD_NORM_CLIP,
                logger=self.logger,
                clip=True,
                verbose=verbose,
            )
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return noted

    def _noted(self) -> dict[str, float]:
        """What modules say of their last forward pass: finite scalars of their attribute `metrics`."""
        found = [getattr(module, "metrics", None) for module in self.model.modules()]
        values = {name: float(value) for said in found if isinstance(said, dict) for name, value in said.items()}
        return {name: value for name, value in values.items() if math.isfinite(value)}

    def _end_iteration(self, validate: Callable[[], dict[str, float]] | None, metrics: MetricsFile) -> None:
        """Validation, where it is its turn, and the schedule; told to end meanwhile, save what owes both, and do."""
        solver, value, states = self.cfg.SOLVER, None, random_states()
        if validate is not None and solver.TO_VAL and self.iteration % solver.VAL_PERIOD == 0:
            self.logger.info("Start validating")
            try:
                value = self._validate(validate, metrics)
            except Preempted:
                self._owes_validation = True
                self._save(f"model_{self.iteration:07d}", states)
                raise self._preempted() from None
        self._owes_validation = False
        self._step_schedule(value)

    def _preempted(self) -> Preempted:
        return Preempted(
            f"told to end after iteration {self.iteration}, which is saved in {self.cfg.OUTPUT_DIR}: the same command "
            "goes on from there"
        )

    def _step_schedule(self, value: float | None) -> None:
        if self.plateau:
            self.scheduler.step(value, epoch=self.iteration)
        else:
            self.scheduler.step()

    def _decayed_enough(self) -> bool:
        return self.plateau and self.scheduler.stage_count >= self.cfg.SOLVER.SCHEDULE.MAX_DECAY_STEP

    def _validate(self, validate: Callable[[], dict[str, float]], metrics: MetricsFile) -> float:
        """The mean value over the validation sets."""
        values = validate()
        value = sum(values.values()) / len(values)
        self.logger.info("Validation Result: %.4f", value)
        metrics.write(
            {"iteration": self.iteration, "validation": value, **{f"validation/{k}": values[k] for k in values}}
        )
        return value

    # -- state -------------------------------------------------------------------------------------------------------
    def _save(self, name: str, states: dict[str, Any] | None = None) -> None:
        """Write a checkpoint; `states` are the random states to go on from, by default those of now."""
        self.checkpointer.save(
            name,
            iteration=self.iteration,
            owes_validation=self._owes_validation,
            scaler=self.scaler.state_dict(),
            random_states=all_gather(states or random_states()),
            **self.extra,
        )

    def _restore_random_states(self) -> None:
        if self._states is not None:
            restore_random_states(self._states)
        else:
            # not the same numbers again for layers that draw from the process's own states
            seed_everything(self.seed + get_rank() + self.iteration)

    def _log(self, meters: MetricLogger, rate: float, seconds_left: float) -> None:
        eta = datetime.timedelta(seconds=int(seconds_left))
        memory = torch.cuda.max_memory_allocated() / 2**20 if self.device.type == "cuda" else 0
        line = f"eta: {eta}  iter: {self.iteration}  {meters}  lr: {rate:.6f}  max mem: {memory:.0f}"
        self.logger.info(line)


def fix_eval_modules(modules: Sequence[nn.Module]) -> None:
    """Keep parts of a model from learning. They stay in training mode, as in SGB: it decides what they return."""
    for module in modules:
        module.requires_grad_(False)
