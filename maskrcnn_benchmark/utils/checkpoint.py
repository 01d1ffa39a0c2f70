"""Saves and loads training states; SGB's checkpoints load, too."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from .c2_model_loading import convert_torchvision_resnet, is_torchvision_resnet, load_c2_format
from .errors import InputError
from .files import atomic_write
from .model_serialization import load_state_dict
from .model_zoo import cache_url
from .safe_pickle import load_torch


class Checkpointer:
    """Model, optimizer and scheduler in `<save_dir>/<name>.pth`; `last_checkpoint` beside them names the newest.

    Args:
        save_to_disk: whether this process writes (rank 0 does).
        custom_scheduler: SGB's mark of the plateau schedule; its state is saved all the same, without the logger.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer | None = None,
        scheduler: Any = None,
        save_dir: str = "",
        save_to_disk: bool | None = None,
        logger: logging.Logger | None = None,
        custom_scheduler: bool = False,
    ):
        self.model = model
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.save_dir = save_dir
        self.save_to_disk = save_to_disk
        self.logger = logger or logging.getLogger("maskrcnn_benchmark")
        self.custom_scheduler = custom_scheduler

    def save(self, name: str, **kwargs: Any) -> None:
        """Write `<name>.pth` with `kwargs` as further entries, and point `last_checkpoint` to it."""
        if not self.save_dir or not self.save_to_disk:
            return
        data: dict[str, Any] = {"model": self.model.state_dict()}
        if self.optimizer is not None:
            data["optimizer"] = self.optimizer.state_dict()
        if self.scheduler is not None:
            data["scheduler"] = self.scheduler.state_dict()
        data.update(kwargs)
        path = os.path.join(self.save_dir, f"{name}.pth")
        self.logger.info("saving checkpoint to %s", path)
        with atomic_write(path) as temporary:
            torch.save(data, temporary)
        self.tag_last_checkpoint(path)

    def load(
        self,
        f: str | None = None,
        with_optim: bool = True,
        update_schedule: bool = False,
        load_mapping: dict[str, str] | None = None,
    ) -> dict[str, Any]:
        """Load `f`, or, without it, what `last_checkpoint` names; nothing where there is neither.

        Args:
            with_optim: load optimizer and scheduler, too.
            update_schedule: keep the schedule as configured and only set its iteration.
            load_mapping: see `align_and_update_state_dicts`.

        Returns:
            the other entries of the file (`iteration`, class names and so on).

        Raises:
            InputError: a file that is missing, damaged, or fits no part of the model.
        """
        if not f and self.has_checkpoint():
            f = self.get_checkpoint_file()
        if not f:
            self.logger.info("no checkpoint given or found: the model starts from scratch")
            return {}
        self.logger.info("loading checkpoint from %s", f)
        checkpoint = self._load_file(f)
        load_state_dict(self.model, checkpoint.pop("model"), load_mapping, source=f)
        if with_optim and self.optimizer is not None and "optimizer" in checkpoint:
            self.logger.info("loading optimizer from %s", f)
            try:
                self.optimizer.load_state_dict(checkpoint.pop("optimizer"))
            except ValueError as error:
                raise InputError(f"the optimizer state in {f} does not fit the parameters to train: {error}") from error
        if with_optim and self.scheduler is not None and "scheduler" in checkpoint:
            self.logger.info("loading scheduler from %s", f)
            if update_schedule:
                self.scheduler.last_epoch = checkpoint["iteration"]
            else:
                self.scheduler.load_state_dict(checkpoint.pop("scheduler"))
        return checkpoint

    def has_checkpoint(self) -> bool:
        return os.path.exists(os.path.join(self.save_dir, "last_checkpoint"))

    def get_checkpoint_file(self) -> str:
        """What `last_checkpoint` names; where the folder was moved since, the file of that name beside it."""
        with open(os.path.join(self.save_dir, "last_checkpoint")) as stream:
            path = stream.read().strip()
        beside = os.path.join(self.save_dir, os.path.basename(path))
        return path if os.path.exists(path) or not os.path.exists(beside) else beside

    def tag_last_checkpoint(self, last_filename: str) -> None:
        with atomic_write(os.path.join(self.save_dir, "last_checkpoint")) as path:
            path.write_text(last_filename)

    def _load_file(self, f: str) -> dict[str, Any]:
        loaded = load_torch(f)
        if not isinstance(loaded, dict):
            raise InputError(f"weights file {f} holds no state dict but {type(loaded).__name__}")
        return loaded


class DetectronCheckpointer(Checkpointer):
    """A checkpointer that also reads `catalog://` names, addresses, Caffe2 pickles and torchvision's ResNets."""

    def __init__(
        self,
        cfg,
        model: nn.Module,
        optimizer: torch.optim.Optimizer | None = None,
        scheduler: Any = None,
        save_dir: str = "",
        save_to_disk: bool | None = None,
        logger: logging.Logger | None = None,
        custom_scheduler: bool = False,
    ):
        super().__init__(model, optimizer, scheduler, save_dir, save_to_disk, logger, custom_scheduler)
        self.cfg = cfg.clone()

    def _load_file(self, f: str) -> dict[str, Any]:
        if f.startswith("catalog://"):
            from maskrcnn_benchmark.config.paths_catalog import ModelCatalog

            address = ModelCatalog.get(f[len("catalog://") :])
            self.logger.info("%s points to %s", f, address)
            f = address
        if f.startswith(("http://", "https://")):
            cached = cache_url(f)
            self.logger.info("%s is cached in %s", f, cached)
            f = cached
        if f.endswith(".pkl"):
            return load_c2_format(self.cfg, f)
        loaded = super()._load_file(f)
        if is_torchvision_resnet(loaded):
            loaded = convert_torchvision_resnet(loaded)
        return loaded if "model" in loaded else {"model": loaded}


def clip_grad_norm(
    named_parameters: Iterable[tuple[str, nn.Parameter]],
    max_norm: float,
    logger: logging.Logger,
    clip: bool = False,
    verbose: bool = False,
) -> torch.Tensor:
    """Total 2-norm of all gradients; with `clip`, scale them down to `max_norm`; with `verbose`, log each norm."""
    gradients = {name: p.grad for name, p in named_parameters if p.grad is not None}
    norms = dict(zip(gradients, torch._foreach_norm(list(gradients.values())), strict=True)) if gradients else {}
    total = torch.stack([n.float() for n in norms.values()]).norm() if norms else torch.zeros(())
    scale = float(max_norm) / (total + 1e-6)
    if clip and scale < 1:
        for gradient in gradients.values():
            gradient.mul_(scale.to(gradient.dtype))
    if verbose:
        logger.info("gradient norm %.5f, clipped by %.5f", total, min(float(scale), 1.0))
        for name, norm in sorted(norms.items(), key=lambda item: -item[1]):
            logger.info("%-50s: %.5f, (%s)", name, norm, tuple(gradients[name].shape))
    return total
