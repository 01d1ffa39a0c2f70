"""Puts a training together: what relation models and detectors need alike, and where they differ."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, field

import torch
from torch import nn

from maskrcnn_benchmark.data import make_data_loader
from maskrcnn_benchmark.data.datasets.evaluation.vg.vg_eval import check_evaluation
from maskrcnn_benchmark.modeling.detector import build_detection_model
from maskrcnn_benchmark.solver import make_lr_scheduler, make_optimizer
from maskrcnn_benchmark.utils.checkpoint import DetectronCheckpointer
from maskrcnn_benchmark.utils.comm import is_main_process
from maskrcnn_benchmark.utils.errors import InputError
from maskrcnn_benchmark.utils.miscellaneous import save_config

from .evaluate import names_of_data, run_val
from .run_state import seed_everything
from .trainer import Trainer, fix_eval_modules

_BOX_EXTRACTOR = "roi_heads.box.feature_extractor"
_RELATION_EXTRACTORS = (
    "roi_heads.relation.box_feature_extractor",
    "roi_heads.relation.union_feature_extractor.feature_extractor",
)


@dataclass(frozen=True)
class Recipe:
    """Where trainings differ.

    Attributes:
        start: the key of the configuration that names the weights to start from.
        frozen: parts of the model that do not learn.
        slow_heads: parts that learn ten times slower.
        load_mapping: parts of the model that start from another part of the weights.
        clip: clip gradients.
        spares: parts of the frozen ones that the weights to start from need not have.
    """

    start: str
    frozen: tuple[str, ...] = ()
    slow_heads: tuple[str, ...] = ()
    load_mapping: dict[str, str] = field(default_factory=dict)
    clip: bool = False
    spares: tuple[str, ...] = ()


def relation_recipe(cfg) -> Recipe:
    """Relations on a detector that stays as it is; the relation head's extractors start from the box head's."""
    if not cfg.MODEL.RELATION_ON:
        raise InputError(
            "MODEL.RELATION_ON is False; a relation model needs True (detectors: detector_pretrain_net.py)"
        )
    check_evaluation(cfg)
    head = cfg.MODEL.ROI_RELATION_HEAD
    slow = head.PREDICTOR == "IMPPredictor"
    # where boxes are given, none are proposed; where their classes are given, too, none are classified
    spares = (*["rpn"] * head.USE_GT_BOX, *["roi_heads.box.predictor"] * (head.USE_GT_BOX and head.USE_GT_OBJECT_LABEL))
    return Recipe(
        start="PRETRAINED_DETECTOR_CKPT",
        frozen=("rpn", "backbone", "roi_heads.box"),
        slow_heads=_RELATION_EXTRACTORS if slow else (),
        load_mapping=dict.fromkeys(_RELATION_EXTRACTORS, _BOX_EXTRACTOR),
        clip=True,
        spares=spares,
    )


def detector_recipe(cfg) -> Recipe:
    """A detector on an ImageNet backbone; SGB does not clip its gradients."""
    if cfg.MODEL.RELATION_ON:
        raise InputError("MODEL.RELATION_ON is True; a detector needs False (relations: relation_train_net.py)")
    return Recipe(start="WEIGHT")


def train(cfg, recipe: Recipe, seed: int, distributed: bool, logger: logging.Logger) -> nn.Module:
    """Train until SOLVER.MAX_ITER, or go on with the run in OUTPUT_DIR; the model, wrapped where `distributed`.

    A resumed run rewrites `config.yml` with its first checkpoint, so that it is always that of the weights beside it.

    Raises:
        InputError: OUTPUT_DIR holds another run, or something is wrong with settings, files or losses.
        Preempted: SIGTERM or SIGUSR1 came; what the same command goes on from is saved.
    """
    seed_everything(seed)
    device = torch.device(cfg.MODEL.DEVICE)
    bare = build_detection_model(cfg)
    fix_eval_modules([bare.get_submodule(name) for name in recipe.frozen])
    bare.to(device)
    images = cfg.SOLVER.IMS_PER_BATCH
    optimizer = make_optimizer(
        cfg, bare, logger, slow_heads=list(recipe.slow_heads), slow_ratio=10.0, rl_factor=float(images)
    )
    logger.info(
        "effective learning rate: %g (SOLVER.BASE_LR %g x %d images per batch)%s",
        cfg.SOLVER.BASE_LR * images,
        cfg.SOLVER.BASE_LR,
        images,
        f", a tenth of it for {', '.join(recipe.slow_heads)}" if recipe.slow_heads else "",
    )
    scheduler = make_lr_scheduler(cfg, optimizer, logger)
    checkpointer = DetectronCheckpointer(cfg, bare, optimizer, scheduler, cfg.OUTPUT_DIR, is_main_process(), logger)

    start = cfg.MODEL[recipe.start]
    loaded = checkpointer.resume_or_load(
        start,
        cfg.SOLVER.UPDATE_SCHEDULE_DURING_LOAD,
        recipe.load_mapping,
        needs=recipe.frozen,
        spares=recipe.spares,
        names=names_of_data(cfg, cfg.DATASETS.TRAIN),
    )
    if not loaded:
        save_config(cfg, os.path.join(cfg.OUTPUT_DIR, "config.yml"))
    if not loaded and not start:
        logger.warning("MODEL.%s is empty: all weights start at random", recipe.start)
    if loaded.get("seed", seed) != seed:
        logger.info("the run goes on with its own seed %d, not %d", loaded["seed"], seed)
        seed = loaded["seed"]
    # Samplers take the seed when they are made: it must be the same on all processes, and in a resumed run.
    seed_everything(seed)
    loader = make_data_loader(cfg, mode="train", is_distributed=distributed, start_iter=int(loaded.get("iteration", 0)))
    extra = {
        "seed": seed,
        "obj_classes": loader.dataset.ind_to_classes,
        "rel_classes": loader.dataset.ind_to_predicates,
    }
    model = bare
    if distributed:
        model = nn.parallel.DistributedDataParallel(
            bare,
            device_ids=[torch.cuda.current_device()] if device.type == "cuda" else None,
            broadcast_buffers=False,  # batch norms and averages see the whole batch on every process
            find_unused_parameters=cfg.MODEL.RELATION_ON,
        )

    trainer = Trainer(cfg, model, checkpointer, seed, logger, extra, clip=recipe.clip)
    if loaded:
        trainer.resume(loaded)
    if checkpointer.changed:
        use = "not used, for the run is complete" if trainer.is_complete else "used from here on"
        logger.warning("settings that changed since the checkpoint, %s: %s", use, "; ".join(checkpointer.changed))
    validate = None
    if cfg.SOLVER.TO_VAL or cfg.SOLVER.PRE_VAL:
        val_loaders = make_data_loader(cfg, mode="val", is_distributed=distributed)

        def validate() -> dict[str, float]:
            return run_val(cfg, model, val_loaders, logger)

    trainer.train(loader, validate)
    return model
