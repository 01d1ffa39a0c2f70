"""Saves and loads training states; SGB's checkpoints load, too."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
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
from .model_serialization import LoadingReport, load_state_dict, part_of, strip_prefix_if_present
from .model_zoo import cache_url
from .safe_pickle import load_safetensors, load_torch

LAST_CHECKPOINT = "last_checkpoint"


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
        """
        if not self.save_dir or not self.save_to_disk:
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
    ) -> dict[str, Any]:
        """Load `f`, or, without it, what `last_checkpoint` names; nothing where there is neither.

        Unlike in SGB, a path that is given wins over `last_checkpoint`.

        Args:
            f: a file, or a folder with a `last_checkpoint`.
            with_optim: load optimizer and scheduler, too.
            update_schedule: keep the schedule as it is configured now, and only set its iteration.
            load_mapping: see `align_and_update_state_dicts`.

        Returns:
            the other entries of the file (`iteration`, class names and so on).

        Raises:
            InputError: a file that is missing, damaged, or does not fit (`load_state_dict` says when; the file that
                `last_checkpoint` names has to fit in every tensor).
        """
        resume = not f
        if resume:
            f = self.get_checkpoint_file() if self._has_last_checkpoint() else None
        elif os.path.isdir(f):
            f = last_checkpoint_of(f)
        if not f:
            self.logger.info("no checkpoint is given or found: the model starts from scratch")
            return {}
        self.logger.info("loading checkpoint from %s", f)
        checkpoint = self._load_file(f)
        if not isinstance(checkpoint.get("model"), dict):
            raise InputError(f"weights file {f} has no state dict under the name 'model'")
        self.report = load_state_dict(self.model, checkpoint.pop("model"), load_mapping, source=f)
        if resume and not self.report.complete:
            raise InputError(
                f"{f} does not fit the model, so training cannot go on from it and it cannot be tested: {self.report}"
            )
        optimizer, scheduler = checkpoint.pop("optimizer", None), checkpoint.pop("scheduler", None)
        if with_optim and self.optimizer is not None and optimizer is not None:
            self.logger.info("loading optimizer from %s", f)
            self._load_optimizer(optimizer, f)
            if self.scheduler is not None:
                self._load_scheduler(None if update_schedule else scheduler, checkpoint.get("iteration", 0), f)
        return checkpoint

    def resume_or_load(
        self, f: str | None = None, update_schedule: bool = False, load_mapping: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """Go on with the run that is in the output folder, or start a new one from the weights in `f`.

        Returns:
            the further entries of the checkpoint to go on from (`iteration` and so on); nothing for a new run.
        """
        if self.has_checkpoint():
            return self.load(update_schedule=update_schedule)
        if f:
            self.load(f, with_optim=False, load_mapping=load_mapping)
        else:
            self.logger.info("no weights are given: the model starts from scratch")
        return {}

    def has_checkpoint(self) -> bool:
        """Whether the output folder holds a checkpoint to go on from; for training, one of the same run."""
        return self._has_last_checkpoint() and (self.optimizer is None or self._is_same_run(self.get_checkpoint_file()))

    def get_checkpoint_file(self) -> str:
        """See `last_checkpoint_of`."""
        return last_checkpoint_of(self.save_dir)

    def tag_last_checkpoint(self, last_filename: str) -> None:
        """Point `last_checkpoint` to a file."""
        with atomic_write(os.path.join(self.save_dir, LAST_CHECKPOINT)) as path:
            path.write_text(last_filename, encoding="utf-8")

    def _has_last_checkpoint(self) -> bool:
        return os.path.exists(os.path.join(self.save_dir, LAST_CHECKPOINT))

    def _identity(self) -> dict[str, Any]:
        """Entries by which `_is_same_run` knows the checkpoints of this run."""
        return {}

    def _is_same_run(self, f: str) -> bool:
        return True

    def _load_file(self, f: str) -> dict[str, Any]:
        if f.endswith(".safetensors"):
            return {"model": load_safetensors(f)}
        loaded = load_torch(f)
        if not isinstance(loaded, dict):
            raise InputError(f"weights file {f} holds no dictionary but {type(loaded).__name__}")
        return loaded

    def _load_optimizer(self, state: dict[str, Any], f: str) -> None:
        try:
            self.optimizer.load_state_dict(state)
        except (ValueError, KeyError) as error:
            raise InputError(f"the optimizer state in {f} does not fit the parameters to train: {error}") from error
        for parameter, values in self.optimizer.state.items():
            for name, value in values.items():
                if isinstance(value, torch.Tensor) and value.dim() and value.shape != parameter.shape:
                    raise InputError(
                        f"the optimizer state in {f} does not fit the parameters to train: {name} of shape "
                        f"{list(value.shape)} for a parameter of shape {list(parameter.shape)}"
                    )

    def _load_scheduler(self, state: dict[str, Any] | None, iteration: int, f: str) -> None:
        """Restore the schedule; without a state, keep it as configured and set its iteration."""
        if state is not None:
            self.logger.info("loading scheduler from %s", f)
            self.scheduler.load_state_dict(state)
            return
        self.logger.info("the schedule is as configured now and goes on at iteration %d", iteration)
        self.scheduler.last_epoch = iteration
        for group, lr in zip(self.optimizer.param_groups, self.scheduler.get_lr(), strict=True):
            group["lr"] = lr


def last_checkpoint_of(folder: str) -> str:
    """The file that a folder's `last_checkpoint` names; where the folder was moved since, the file of that name in it.

    Raises:
        InputError: there is none, or it names a file that does not exist.
    """
    try:
        with open(os.path.join(folder, LAST_CHECKPOINT), encoding="utf-8") as stream:
            path = stream.read().strip()
    except FileNotFoundError as error:
        raise InputError(f"folder {folder} has no {LAST_CHECKPOINT}; give the path of a .pth file in it") from error
    for place in (os.path.join(folder, os.path.basename(path)), path):
        if os.path.isfile(place):
            return place
    raise InputError(
        f"{os.path.join(folder, LAST_CHECKPOINT)} names {path}, which does not exist; remove it to start anew"
    )


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

    def load(
        self,
        f: str | None = None,
        with_optim: bool = True,
        update_schedule: bool = False,
        load_mapping: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """As `Checkpointer.load`; a model without optimizer that has a `last_checkpoint` takes no `catalog://` name.

        The configurations of SGB name an ImageNet backbone in MODEL.WEIGHT. Nobody tests one: with such a name, a test
        loads the model that was trained in the output folder.
        """
        if f and f.startswith("catalog://") and self.optimizer is None and self._has_last_checkpoint():
            self.logger.info("%s is where training began: loading what was trained since", f)
            f = None
        checkpoint = super().load(f, with_optim, update_schedule, load_mapping)
        checkpoint.pop("run", None)
        return checkpoint

    def _identity(self) -> dict[str, Any]:
        return {"run": run_identity(self.cfg)}

    def _is_same_run(self, f: str) -> bool:
        differences = run_differences(self.cfg, f, self.model)
        if differences:
            self.logger.warning(
                "%s is of another run (%s): this run starts anew; choose another OUTPUT_DIR to keep the old one",
                f,
                "; ".join(differences),
            )
        return not differences

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


# What makes a run: another value of one of these begins another run.
_DETECTOR_KEYS = ("MODEL.META_ARCHITECTURE", "MODEL.BACKBONE.CONV_BODY", "MODEL.RELATION_ON")
_RELATION_KEYS = tuple(f"MODEL.ROI_RELATION_HEAD.{key}" for key in ("PREDICTOR", "USE_GT_BOX", "USE_GT_OBJECT_LABEL"))


def run_identity(cfg) -> dict[str, Any]:
    """Values of the keys that make a run, and the weights that it begins with."""
    relation = cfg.MODEL.RELATION_ON
    run: dict[str, Any] = {}
    for key in _DETECTOR_KEYS + (_RELATION_KEYS if relation else ()):
        node = cfg
        for part in key.split("."):
            node = node[part]
        run[key] = node
    weights = "PRETRAINED_DETECTOR_CKPT" if relation else "WEIGHT"
    run[f"MODEL.{weights}"] = _describe_weights(cfg.MODEL[weights])
    return run


def run_differences(cfg, f: str, model: nn.Module | None = None) -> list[str]:
    """In what the run of a checkpoint differs from that of a configuration, in words; nothing where it is the same.

    Args:
        model: tells whether a checkpoint of SGB, which does not say what it is of, is of such a model.

    Raises:
        InputError: a file that cannot be read.
    """
    checkpoint = load_torch(f, mmap=True)
    if not isinstance(checkpoint, dict):
        checkpoint = {}
    if isinstance(checkpoint.get("run"), dict):
        return _differences(run_identity(cfg), checkpoint["run"])
    # one of SGB: all that tells is whether it holds a training state of such a model
    lacks = {"optimizer", "iteration"} - checkpoint.keys()
    if model is not None:
        names = strip_prefix_if_present(checkpoint.get("model") or {}, "module.")
        lacks |= {part_of(name) for name in model.state_dict()} - {part_of(name) for name in names}
    return [f"it has no {part}" for part in sorted(lacks)]


def _describe_weights(path: str) -> dict[str, Any]:
    """By what weights are known again: their path or address and, for a file, its size in bytes."""
    size = os.path.getsize(path) if os.path.isfile(path) else None
    return {"path": path, "bytes": size}


def _differences(here: dict[str, Any], there: dict[str, Any]) -> list[str]:
    """In what this run and that of a checkpoint differ, in words."""
    found = []
    for key, value in here.items():
        other = there.get(key)
        if isinstance(value, dict) and isinstance(other, dict):
            if _same_weights(value, other):
                continue
            value, other = value["path"], other.get("path")
        if value != other:
            found.append(f"{key} is {value} now and was {other}")
    return found


def _same_weights(here: dict[str, Any], there: dict[str, Any]) -> bool:
    """Whether two descriptions mean the same weights: none named now, one path, or a file that was moved."""
    if not here["path"] or here["path"] == there.get("path"):
        return True
    same_name = os.path.basename(here["path"]) == os.path.basename(there.get("path") or "")
    return here["bytes"] is not None and here["bytes"] == there.get("bytes") and same_name


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
