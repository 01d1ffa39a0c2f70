"""Turns the output folder of a training into a folder that can be shared."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path

from maskrcnn_benchmark.config.load import load_config
from maskrcnn_benchmark.data.datasets.vg_format import load_info
from maskrcnn_benchmark.utils import json_schemas
from maskrcnn_benchmark.utils.checkpoint import DetectronCheckpointer
from maskrcnn_benchmark.utils.errors import InputError
from maskrcnn_benchmark.utils.json_files import read_json
from maskrcnn_benchmark.utils.last_checkpoint import last_checkpoint_of

from .pretrained import CONFIG, EVALUATION, Names, build_without_data, names_of, save_pretrained


def export_run(
    run: str | os.PathLike,
    output: str | os.PathLike,
    checkpoint: str | os.PathLike | None = None,
    dict_file: str | os.PathLike | None = None,
    opts: Sequence = (),
    title: str = "",
) -> Path:
    """Write the model of a training, with the results of its test, as `save_pretrained` does.

    Args:
        run: the OUTPUT_DIR of a training, of this project or of SGB.
        output: must not exist yet.
        checkpoint: None for the newest of the run.
        dict_file: the names in a dictionary json, for checkpoints that hold none (those of SGB).
        opts: further configuration keys and values.
        title: of the model card; "" for the name of the folder.

    Returns:
        `output`.

    Raises:
        InputError: no run, no names, or a checkpoint that does not fit its configuration.
    """
    logger = logging.getLogger("maskrcnn_benchmark")
    run = Path(run)
    if not (run / CONFIG).is_file():
        raise InputError(f"{run} has no {CONFIG}: it is no output folder of a training")
    if Path(output).exists():
        raise InputError(f"{output} exists already; remove it or choose another place")
    cfg = load_config(str(run / CONFIG), list(opts))
    weights = str(checkpoint or last_checkpoint_of(str(run)))
    names = Names(*load_info(dict_file)[:2]) if dict_file else names_of(weights)
    if names is None:
        raise InputError(f"{weights} holds no names of classes: give the dictionary json of its data as --dict-file")
    cfg, model = build_without_data(cfg, names)
    checkpointer = DetectronCheckpointer(cfg, model, logger=logger)
    checkpointer.load(weights, with_optim=False, needs=("",))
    evaluation = _evaluation_of(run, cfg, weights, logger)
    return save_pretrained(model, cfg, output, names, evaluation, title)


def _evaluation_of(run: Path, cfg, weights: str, logger: logging.Logger) -> dict | None:
    """What the test of the run found on the first data set of DATASETS.TEST; None, and a warning, without a test."""
    files = [run / "inference" / name / EVALUATION for name in cfg.DATASETS.TEST]
    found = [file for file in files if file.is_file()]
    if not found:
        logger.warning("%s holds no results of a test: the model is exported without", run / "inference")
        return None
    if os.path.getmtime(found[0]) < os.path.getmtime(weights):
        logger.warning("%s is older than %s: are these the results of that checkpoint?", found[0], weights)
    logger.info("results of the test: %s", found[0])
    return read_json(found[0], json_schemas.AnyEvaluation, "results")
