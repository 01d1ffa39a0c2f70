"""Validation and test of a model on the data sets that a configuration names."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence

import torch
import torch.distributed as dist

from maskrcnn_benchmark.config.paths_catalog import load_catalog
from maskrcnn_benchmark.data import make_data_loader
from maskrcnn_benchmark.data.datasets.vg_format import load_info
from maskrcnn_benchmark.modeling.detector import build_detection_model
from maskrcnn_benchmark.utils.checkpoint import DetectronCheckpointer
from maskrcnn_benchmark.utils.comm import all_gather, get_world_size
from maskrcnn_benchmark.utils.errors import InputError

from .inference import inference


def iou_types_of(cfg) -> tuple[str, ...]:
    """What is evaluated: detections, and relations where the model has them."""
    return ("bbox", "relations") if cfg.MODEL.RELATION_ON else ("bbox",)


def run_val(cfg, model: torch.nn.Module, val_data_loaders: list, logger: logging.Logger) -> dict[str, float]:
    """Evaluate on DATASETS.VAL; {data set: R@100, or mAP for a detector}, the same on every process.

    Args:
        model: wrapped for several processes, or not.
        val_data_loaders: of `make_data_loader(cfg, "val")`.
    """
    return _run(cfg, model, cfg.DATASETS.VAL, val_data_loaders, [None] * len(val_data_loaders), logger)


def run_test(
    cfg, model: torch.nn.Module, distributed: bool, logger: logging.Logger, split: str | None = None
) -> dict[str, float]:
    """Evaluate on a split's data sets, and write the results to OUTPUT_DIR/inference/<data set>.

    Args:
        split: `train`, `val`, `test`; None: what DATASETS.TO_TEST says, `test` where it says nothing.

    Returns:
        as `run_val`.
    """
    split, names = tested_data_sets(cfg, split)
    loaders = make_data_loader(cfg, mode="test", is_distributed=distributed, dataset_to_test=split)
    folders = [os.path.join(cfg.OUTPUT_DIR, "inference", name) if cfg.OUTPUT_DIR else None for name in names]
    for folder in filter(None, folders):
        os.makedirs(folder, exist_ok=True)
    return _run(cfg, model, names, loaders, folders, logger)


def tested_data_sets(cfg, split: str | None = None) -> tuple[str, tuple[str, ...]]:
    """The split that is tested, see `run_test`, and the names of its data sets."""
    split = split or cfg.DATASETS.TO_TEST or "test"
    names = {"train": cfg.DATASETS.TRAIN, "val": cfg.DATASETS.VAL, "test": cfg.DATASETS.TEST}
    if split not in names:
        raise InputError(f"DATASETS.TO_TEST is {split}; it must be train, val or test")
    return split, tuple(names[split])


def run_val_and_test(cfg, model: torch.nn.Module, distributed: bool, logger: logging.Logger) -> dict[str, float]:
    """Evaluate a detector on both splits, and log their mAP side by side."""
    values: dict[str, float] = {}
    for split, names in (("val", cfg.DATASETS.VAL), ("test", cfg.DATASETS.TEST)):
        if names:
            values |= run_test(cfg, model, distributed, logger, split)
    for name, value in values.items():
        logger.info("mAP at IoU 0.5 on %s: %.4f", name, value)
    return values


def _run(cfg, model, names, loaders, folders, logger) -> dict[str, float]:
    model = getattr(model, "module", model)  # a wrapper would expect losses
    same_buffers(model)
    values = {
        name: inference(
            cfg,
            model,
            loader,
            dataset_name=name,
            iou_types=iou_types_of(cfg),
            device=cfg.MODEL.DEVICE,
            output_folder=folder,
            logger=logger,
        )
        for name, loader, folder in zip(names, loaders, folders, strict=True)
    }
    return all_gather(values)[0]


def same_buffers(model: torch.nn.Module) -> None:
    """Give every process the buffers of the main one, which checkpoints hold: some may have seen other images."""
    if get_world_size() > 1:
        for buffer in model.buffers():
            dist.broadcast(buffer, src=0)


def names_of_data(cfg, datasets: Sequence[str]) -> tuple[list[str], list[str]] | None:
    """Names of classes and predicates of the first of some data sets; None where there is none."""
    if not datasets:
        return None
    args = load_catalog(cfg).DatasetCatalog.get(datasets[0], cfg)["args"]
    classes, predicates, _ = load_info(args["dict_file"])
    return classes, predicates


def load_trained_model(cfg, opts: list[str], logger: logging.Logger) -> torch.nn.Module:
    """The model of a configuration with trained weights: those of MODEL.WEIGHT on the command line (`opts`), else the
    newest in OUTPUT_DIR, else those of MODEL.WEIGHT in the configuration file.

    In SGB's files MODEL.WEIGHT names the ImageNet backbone that detector training starts from; a model is not tested
    with that.

    Raises:
        InputError: none of them, or weights that do not fit.
    """
    model = build_detection_model(cfg).to(cfg.MODEL.DEVICE)
    checkpointer = DetectronCheckpointer(cfg, model, save_dir=cfg.OUTPUT_DIR, logger=logger)
    path = cfg.MODEL.WEIGHT
    if path and "MODEL.WEIGHT" in opts[::2]:
        logger.info("MODEL.WEIGHT on the command line wins over OUTPUT_DIR")
    elif checkpointer.has_checkpoint():
        path = None
    elif not path or path.startswith("catalog://"):
        raise InputError(
            f"no trained model to test: OUTPUT_DIR {cfg.OUTPUT_DIR} has no last_checkpoint; set OUTPUT_DIR to the "
            "folder of a training, or MODEL.WEIGHT to a checkpoint"
        )
    checkpointer.load(path, with_optim=False, needs=("",), names=names_of_data(cfg, cfg.DATASETS.TEST))
    return model
