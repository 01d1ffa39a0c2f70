"""Saves and loads training states; SGB's checkpoints load, too."""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from maskrcnn_benchmark.config.paths_catalog import load_catalog

from .c2_model_loading import (
    convert_torchvision_resnet,
    convert_torchvision_vgg16,
    is_torchvision_resnet,
    is_torchvision_vgg16,
    load_c2_format,
)
from .errors import InputError
from .files import atomic_write
from .hub import SCHEME, hub_file
from .last_checkpoint import LAST_CHECKPOINT, checkpoints_in, last_checkpoint_of, newest_checkpoint
from .miscellaneous import save_config
from .model_serialization import LoadingReport, load_state_dict, strip_prefix_if_present
from .model_zoo import cache_url
from .run_identity import changed_settings, other_run, run_differences, run_identity, settings_of
from .safe_pickle import load_checkpoint, load_safetensors

Names = tuple[list[str], list[str]]  # of classes and of predicates by number, background first


class Checkpointer:
    """Model, optimizer and scheduler in `<save_dir>/<name>.pth`; `last_checkpoint` beside them names the newest.

    Args:
        model: may be wrapped for distributed training; names are saved without the wrapper's prefix.
        save_to_disk: whether this process writes (rank 0 does).
        custom_scheduler: SGB's mark of the plateau schedule, whose state it does not save; here every state is saved.
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
        self.model = model.module if isinstance(model, nn.parallel.DistributedDataParallel) else model
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.save_dir = save_dir
        self.save_to_disk = save_to_disk
        self.logger = logger or logging.getLogger("maskrcnn_benchmark")
        # What became of the model's tensors in the last `load`.
        self.report: LoadingReport | None = None

    def save(self, name: str, **kwargs: Any) -> None:
        """Write `<name>.pth` with `kwargs` as further entries, then point `last_checkpoint` to it.

        A crash at any moment leaves a whole checkpoint that `last_checkpoint` names.

        Raises:
            InputError: a weight or a number of the optimizer is not finite; the last checkpoint stays the last one.
        """
        if not self.save_dir:
            return
        self._check_finite(name)  # by every process, so that all of them end
        if not self.save_to_disk:
            return
        data: dict[str, Any] = {**kwargs, **self._identity(), "model": self.model.state_dict()}
        if self.optimizer is not None:
            data["optimizer"] = self.optimizer.state_dict()
        if self.scheduler is not None:
            data["scheduler"] = self.scheduler.state_dict()
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
        load_mapping: Mapping[str, str] | None = None,
        needs: Sequence[str] = (),
        spares: Sequence[str] = (),
        names: Names | None = None,
    ) -> dict[str, Any]:
        """Load `f`, or, without it, what `last_checkpoint` names; nothing where there is neither.

        Unlike in SGB, a path that is given wins over `last_checkpoint`.

        Args:
            f: a file, or a folder with a `last_checkpoint`.
            with_optim: load optimizer and scheduler, too.
            update_schedule: keep the schedule as it is configured now, and only set its iteration.
            load_mapping: see `align_and_update_state_dicts`.
            needs, spares: see `load_state_dict`.
            names: of classes and predicates that the model is for; a checkpoint of others is refused.

        Returns:
            the other entries of the file (`iteration`, class names and so on).

        Raises:
            InputError: a file that is missing, damaged, or does not fit (`load_state_dict` says when; the file that
                `last_checkpoint` names has to fit in every tensor).
        """
        resume = not f
        if resume:
            f = self.get_checkpoint_file() if self._is_there() else None
        elif os.path.isdir(f):
            f = last_checkpoint_of(f)
        if not f:
            self.logger.info("no checkpoint is given or found: the model starts from scratch")
            return {}
        self.logger.info("loading checkpoint from %s", f)
        checkpoint = self._load_file(f)
        if not isinstance(checkpoint.get("model"), dict):
            raise InputError(f"weights file {f} has no state dict under the name 'model'")
        if names is not None:
            _check_names(f, checkpoint, names, "" in needs or resume)
        needs = ("",) if resume else needs
        self.report = load_state_dict(self.model, checkpoint.pop("model"), load_mapping, f, needs, spares)
        optimizer, scheduler = checkpoint.pop("optimizer", None), checkpoint.pop("scheduler", None)
        if with_optim and self.optimizer is not None and optimizer is not None:
            self.logger.info("loading optimizer from %s", f)
            self._load_optimizer(optimizer, f)
            if self.scheduler is not None:
                self._load_scheduler(None if update_schedule else scheduler, checkpoint.get("iteration", 0), f)
        return checkpoint

    def resume_or_load(
        self,
        f: str | None = None,
        update_schedule: bool = False,
        load_mapping: Mapping[str, str] | None = None,
        needs: Sequence[str] = (),
        spares: Sequence[str] = (),
        names: Names | None = None,
    ) -> dict[str, Any]:
        """Go on with the run that is in the output folder, or start a new one from the weights in `f`.

        Args:
            load_mapping, needs, spares, names: of a new run, see `load`.

        Returns:
            the further entries of the checkpoint to go on from (`iteration` and so on); nothing for a new run.
        """
        if self.has_checkpoint():
            return self.load(update_schedule=update_schedule)
        if f:
            self.load(f, False, load_mapping=load_mapping, needs=needs, spares=spares, names=names)
        else:
            self.logger.info("no weights are given: the model starts from scratch")
        return {}

    def has_checkpoint(self) -> bool:
        """Whether the output folder holds a checkpoint to test, or, with an optimizer, to go on from.

        Raises:
            InputError: training cannot go on from it, for it is of another run, or `last_checkpoint` is damaged.
        """
        if not self._is_there():
            return False
        if self.optimizer is not None:
            self._check_same_run(self.get_checkpoint_file())
        return True

    def get_checkpoint_file(self) -> str:
        """What `last_checkpoint` names (see `last_checkpoint_of`); in training, without such a file, the newest."""
        if self.optimizer is None or self._has_last_checkpoint():
            return last_checkpoint_of(self.save_dir)
        return newest_checkpoint(self.save_dir)

    def tag_last_checkpoint(self, last_filename: str) -> None:
        """Point `last_checkpoint` to a file."""
        with atomic_write(os.path.join(self.save_dir, LAST_CHECKPOINT)) as path:
            path.write_text(last_filename, encoding="utf-8")

    def _has_last_checkpoint(self) -> bool:
        return os.path.lexists(os.path.join(self.save_dir, LAST_CHECKPOINT))

    def _is_there(self) -> bool:
        """Whether `get_checkpoint_file` finds a file: a kill can fall between a first checkpoint and its name."""
        return self._has_last_checkpoint() or (self.optimizer is not None and bool(checkpoints_in(self.save_dir)))

    def _check_finite(self, name: str) -> None:
        tensors = [*self.model.state_dict().items()]
        if self.optimizer is not None:
            names = {parameter: name for name, parameter in self.model.named_parameters()}
            for parameter, state in self.optimizer.state.items():
                tensors += [(f"{key} of {names.get(parameter, 'a parameter')}", value) for key, value in state.items()]
        for what, tensor in tensors:
            if isinstance(tensor, torch.Tensor) and not torch.isfinite(tensor).all():
                raise InputError(
                    f"{what} is not finite (nan or infinite), so {name} is not saved and the last checkpoint stays "
                    "the one to go on from: lower SOLVER.BASE_LR, lengthen SOLVER.WARMUP_ITERS, or try DTYPE float32"
                )

    def _identity(self) -> dict[str, Any]:
        """Entries by which `_check_same_run` knows the checkpoints of this run."""
        return {}

    def _check_same_run(self, f: str) -> None:
        """Raise `InputError` where a checkpoint is of another run than this one."""

    def _load_file(self, f: str) -> dict[str, Any]:
        if f.endswith(".safetensors"):
            return {"model": load_safetensors(f)}
        return load_checkpoint(f)

    def _load_optimizer(self, state: dict[str, Any], f: str) -> None:
        """Restore what the optimizer has gathered; learning rates, weight decay and momentum are as configured now."""
        configured = [{k: v for k, v in group.items() if k != "params"} for group in self.optimizer.param_groups]
        try:
            self.optimizer.load_state_dict(state)
        except Exception as error:  # of any kind where it is no state of an optimizer
            raise InputError(f"the optimizer state in {f} does not fit the parameters to train: {error}") from error
        for group, options in zip(self.optimizer.param_groups, configured, strict=True):
            group.update(options)
        for parameter, values in self.optimizer.state.items():
            for name, value in values.items():
                if isinstance(value, torch.Tensor) and value.dim() and value.shape != parameter.shape:
                    raise InputError(
                        f"the optimizer state in {f} does not fit the parameters to train: {name} of shape "
                        f"{list(value.shape)} for a parameter of shape {list(parameter.shape)}"
                    )

    def _load_scheduler(self, state: dict[str, Any] | None, iteration: int, f: str) -> None:
        """Restore what the schedule has counted, or, without a state, its iteration; its settings are as configured."""
        if state is not None:
            self.logger.info("loading scheduler from %s", f)
            for name, value in state.items():
                here = getattr(self.scheduler, name, None)
                if callable(here) or not _alike(here, value):
                    raise InputError(
                        f"the schedule in {f} has the value {value!r} of {name}, expected one like {here!r}"
                    )
            self.scheduler.load_state_dict(state)
        else:
            self.logger.info("the schedule goes on at iteration %d and counts validations anew", iteration)
            self.scheduler.last_epoch = iteration
        for group, lr in zip(self.optimizer.param_groups, self.scheduler.get_lr(), strict=True):
            group["lr"] = lr


def _check_names(f: str, checkpoint: Mapping[str, Any], names: Names, with_predicates: bool) -> None:
    """Refuse a checkpoint whose classes, or predicates, are others than those of the data, or in another order."""
    for key, wanted, counts in (("obj_classes", names[0], True), ("rel_classes", names[1], with_predicates)):
        held = checkpoint.get(key)
        if not counts or not held or not wanted or held == wanted:
            continue
        place = next((i for i, pair in enumerate(zip(held, wanted, strict=False)) if pair[0] != pair[1]), None)
        if place is None:
            said = f"{len(held)} names, but the data set has {len(wanted)}"
        else:
            said = f"{held[place]!r} as number {place}, but the data set has {wanted[place]!r}"
        raise InputError(f"{f} is of other data: its {key} have {said}")


def _alike(here: Any, value: Any) -> bool:
    """Whether a value of a saved state may take the place of what is here."""
    if here is None or value is None:
        return True
    if isinstance(here, (list, tuple)):
        same = isinstance(value, (list, tuple)) and all(not here or _alike(here[0], one) for one in value)
        return same
    if isinstance(here, (int, float)) and not isinstance(here, bool):
        return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < float("inf")
    return isinstance(value, type(here))


class DetectronCheckpointer(Checkpointer):
    """A checkpointer that also reads `catalog://` names, `http(s)://` and `hf://` addresses, Caffe2's pickles and
    torchvision's networks."""

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
        # What the settings that may change within a run (`settings_of`) were in the last `load`, where it was another.
        self.changed: list[str] = []

    def load(
        self,
        f: str | None = None,
        with_optim: bool = True,
        update_schedule: bool = False,
        load_mapping: Mapping[str, str] | None = None,
        needs: Sequence[str] = (),
        spares: Sequence[str] = (),
        names: Names | None = None,
    ) -> dict[str, Any]:
        """As `Checkpointer.load`; a model without optimizer that has a `last_checkpoint` takes no `catalog://` name.

        The configurations of SGB name an ImageNet backbone in MODEL.WEIGHT. Nobody tests one: with such a name, a test
        loads the model that was trained in the output folder.
        """
        if f and f.startswith("catalog://") and self.optimizer is None and self._has_last_checkpoint():
            self.logger.info("%s is where training began: loading what was trained since", f)
            f = None
        checkpoint = super().load(f, with_optim, update_schedule, load_mapping, needs, spares, names)
        checkpoint.pop("run", None)
        self.changed = changed_settings(self.cfg, checkpoint.pop("settings", None))
        return checkpoint

    def save(self, name: str, **kwargs: Any) -> None:
        """As `Checkpointer.save`; `config.yml` beside the checkpoint becomes the configuration that led to it."""
        super().save(name, **kwargs)
        if self.save_dir and self.save_to_disk:
            save_config(self.cfg, os.path.join(self.save_dir, "config.yml"))

    @functools.cached_property
    def _own_run(self) -> dict[str, Any]:
        return run_identity(self.cfg)

    def _identity(self) -> dict[str, Any]:
        return {"run": self._own_run, "settings": settings_of(self.cfg)}

    def _check_same_run(self, f: str) -> None:
        if differences := run_differences(self.cfg, f, self.model, self._own_run):
            raise InputError(other_run(f, differences))

    def _load_file(self, f: str) -> dict[str, Any]:
        address = address_of(f, self.cfg)
        if address != f:
            self.logger.info("%s points to %s", f, address)
            f = address
        if f.startswith(("http://", "https://")):
            cached = cache_url(f)
            self.logger.info("%s is cached in %s", f, cached)
            f = cached
        if f.startswith(SCHEME):
            f = hub_file(f)
        if f.endswith(".pkl"):
            return load_c2_format(self.cfg, f)
        loaded = super()._load_file(f)
        if "model" not in loaded:
            loaded = {"model": loaded}
        if isinstance(loaded["model"], dict):
            state_dict = strip_prefix_if_present(loaded["model"], "module.")
            if is_torchvision_resnet(state_dict):
                self.logger.info("%s holds a ResNet of torchvision: converting it", f)
                loaded["model"] = convert_torchvision_resnet(self.cfg, state_dict)
            elif is_torchvision_vgg16(state_dict):
                self.logger.info("%s holds the VGG-16 of torchvision: converting it", f)
                loaded["model"] = convert_torchvision_vgg16(self.cfg, state_dict)
        return loaded


def address_of(f: str, cfg) -> str:
    """What a `catalog://` name stands for; anything else stands for itself."""
    if not f.startswith("catalog://"):
        return f
    return load_catalog(cfg).ModelCatalog.get(f.removeprefix("catalog://"))


def clip_grad_norm(
    named_parameters: Iterable[tuple[str, nn.Parameter]],
    max_norm: float,
    logger: logging.Logger,
    clip: bool = False,
    verbose: bool = False,
) -> torch.Tensor:
    """2-norm of all gradients together; with `clip`, scale them down to `max_norm`; with `verbose`, log each norm."""
    gradients = {name: parameter.grad for name, parameter in named_parameters if parameter.grad is not None}
    if not gradients:
        return torch.zeros(())
    norms = {name: gradient.norm() for name, gradient in gradients.items()}
    total = torch.stack([norm.float() for norm in norms.values()]).norm()
    scale = (float(max_norm) / (total + 1e-6)).clamp(max=1.0)
    if clip:
        for gradient in gradients.values():
            gradient.mul_(scale.to(gradient.dtype))
    if verbose:
        logger.info("gradient norm %.5f, clipped by the factor %.5f", total, scale)
        for name, norm in sorted(norms.items(), key=lambda item: -item[1]):
            logger.info("%-50s: %.5f, %s", name, norm, tuple(gradients[name].shape))
    return total
