"""What needs the data opened and the model built: counts, the fit of the weights, and what an iteration costs here.

Nothing is written but to a temporary folder.
"""

from __future__ import annotations

import datetime
import logging
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn

from maskrcnn_benchmark.config.paths_catalog import load_catalog
from maskrcnn_benchmark.data import make_data_loader
from maskrcnn_benchmark.data.acquisition.counts import describe, relation_images
from maskrcnn_benchmark.data.acquisition.manifest import DEFAULT, Places, read_manifest
from maskrcnn_benchmark.data.build import build_dataset
from maskrcnn_benchmark.data.datasets.vg_format import VG_DAMAGED, VG_IMAGES
from maskrcnn_benchmark.engine import shared_phrases
from maskrcnn_benchmark.engine.inference import autocast
from maskrcnn_benchmark.engine.pretrained import build_without_data
from maskrcnn_benchmark.engine.recipes import Recipe, detector_recipe, relation_recipe
from maskrcnn_benchmark.engine.trainer import fix_eval_modules
from maskrcnn_benchmark.solver import make_optimizer
from maskrcnn_benchmark.utils.checkpoint import DetectronCheckpointer
from maskrcnn_benchmark.utils.download import in_words
from maskrcnn_benchmark.utils.errors import InputError

from .finding import FAILS, NOTE, OK, WRONG, Finding
from .inputs import named_data_sets, training_names

_BUDGET = 60.0  # seconds: batches that would take longer are measured by one image
_quiet = logging.getLogger("maskrcnn_benchmark.doctor")
_quiet.propagate = False


def trial(cfg, iterations: int) -> Iterator[Finding]:
    """Findings about data, model and cost; the files must be there.

    Args:
        iterations: how many to measure; 0 measures nothing.
    """
    yield from _data_sets(cfg)
    try:
        recipe = relation_recipe(cfg) if cfg.MODEL.RELATION_ON else detector_recipe(cfg)
        names = training_names(cfg)
        with tempfile.TemporaryDirectory() as folder:
            own = shared_phrases.with_random_phrases(_without_traces(cfg, folder), names, folder)
            own, model = build_without_data(own, names)
            yield from _fit(cfg, model, recipe)
            yield _room(cfg, model, recipe)
            if iterations:
                yield _cost(own, model, recipe, iterations)
    except ValueError as error:
        if not getattr(error, "user_input", False):  # the language room has its own class of such errors
            raise
        yield Finding("model", FAILS, str(error))


def _without_traces(cfg, folder: str):
    """The same configuration, writing to a temporary folder alone."""
    cfg = cfg.clone()
    cfg.defrost()
    cfg.OUTPUT_DIR, cfg.MODEL.BACKBONE.FEATURE_CACHE = folder, ""
    cfg.freeze()
    return cfg


# -- data ------------------------------------------------------------------------------------------------------------
def _data_sets(cfg) -> Iterator[Finding]:
    catalog = load_catalog(cfg).DatasetCatalog
    files: dict[str, None] = {}
    for name in named_data_sets(cfg):
        try:
            (dataset,) = build_dataset(cfg, [name], None, catalog, is_train=False)
        except InputError as error:
            remedy = f"python tools/validate_dataset.py --data-dir {cfg.DATASETS.DATA_DIR}   # finds all faults"
            yield Finding("data set", FAILS, f"{name}: {error}", remedy)
            continue
        yield Finding("data set", OK, f"{name}: {len(dataset):,} images")
        files[getattr(dataset, "roidb_file", "")] = None
    for path in filter(None, files):
        expected = _published(path, cfg.DATASETS.DATA_DIR)
        if expected:
            yield _counts(path, expected, cfg.DATASETS.NUM_VAL_IM)


def _published(path: str, data_dir: str) -> dict[str, int] | None:
    """The published counts of the file that lies here; None where the manifest names none."""
    if not DEFAULT.is_file():
        return None
    places = Places(Path(data_dir))
    counts = {
        places.of(to).absolute(): dict(found) for item in read_manifest().values() for to, found in item.counts.items()
    }
    return counts.get(Path(path).absolute())


def _counts(path: str, expected: dict[str, int], num_val_im: int) -> Finding:
    """Other labels of the published images (of distant supervision, say) may change the counts of training alone."""
    found, what = relation_images(path, num_val_im), os.path.basename(path)
    text = describe(found, expected)
    if found == expected:
        return Finding(what, OK, text)
    if sum(found.values()) < (VG_IMAGES - len(VG_DAMAGED)) // 4:
        return Finding(what, NOTE, text)
    if found["test"] == expected["test"]:
        return Finding(what, NOTE, f"{text}; right where training has other labels, of distant supervision for example")
    return Finding(what, WRONG, text, f"rm {path}; python tools/get_data.py vg")


# -- weights ---------------------------------------------------------------------------------------------------------
def _fit(cfg, model: nn.Module, recipe: Recipe) -> Iterator[Finding]:
    path = cfg.MODEL[recipe.start]
    if not path or not os.path.exists(path):
        return
    checkpointer = DetectronCheckpointer(cfg, model, logger=_quiet)
    try:
        checkpointer.load(path, with_optim=False, load_mapping=recipe.load_mapping)
    except InputError as error:
        yield Finding("fit of the weights", FAILS, str(error), f"set MODEL.{recipe.start} to a file that fits")
        return
    matched = set(checkpointer.report.matched)
    for part in recipe.frozen or ("backbone",):
        tensors = [name for name in model.state_dict() if name.startswith(part + ".")]
        count = sum(name in matched for name in tensors)
        text = f"{count} of {len(tensors)} tensors come from {path}"
        if count == len(tensors):
            yield Finding(part, OK, text)
        elif recipe.frozen:  # what does not learn stays as random as it began
            lacking = next(name for name in tensors if name not in matched)
            yield Finding(part, WRONG, f"{text}, {lacking} does not", "set the model's keys to those of the detector")
        else:
            yield Finding(part, NOTE, text)


def _room(cfg, model: nn.Module, recipe: Recipe) -> Finding:
    """Whether all checkpoints of the run fit on the disk; each has the momentum of what learns, too."""
    fix_eval_modules([model.get_submodule(name) for name in recipe.frozen])
    weights = sum(value.numel() * value.element_size() for value in model.state_dict().values())
    learnt = [p for p in model.parameters() if p.requires_grad]
    each = weights + sum(p.numel() * p.element_size() for p in learnt)
    count = max(cfg.SOLVER.MAX_ITER - 1, 0) // cfg.SOLVER.CHECKPOINT_PERIOD + 1
    place = Path(cfg.OUTPUT_DIR or ".").absolute()
    while not place.exists():
        place = place.parent
    parameters = f"{sum(p.numel() for p in model.parameters()):,} parameters, {sum(p.numel() for p in learnt):,} learn"
    text = f"{parameters}; checkpoints: {count} of {in_words(each)}"
    if each * count > shutil.disk_usage(place).free:
        return Finding("model", FAILS, f"{text}, more than the disk of OUTPUT_DIR has free",
                       "choose another OUTPUT_DIR, or a larger SOLVER.CHECKPOINT_PERIOD")  # fmt: skip
    return Finding("model", OK, text)


# -- cost ------------------------------------------------------------------------------------------------------------
def _cost(cfg, model: nn.Module, recipe: Recipe, iterations: int) -> Finding:
    """Time and memory of training iterations on this machine, in one process."""
    images = cfg.SOLVER.IMS_PER_BATCH
    device = torch.device(cfg.MODEL.DEVICE)
    try:
        one = _measure(cfg, model, recipe, 1, 2)
        by_one = images > 1 and one * images * (iterations + 1) > _BUDGET
        each = one * images if by_one else _measure(cfg, model, recipe, images, iterations)
    except torch.cuda.OutOfMemoryError:
        return Finding("cost", FAILS, f"the card has not enough memory for {images} images at a time",
                       f"add SOLVER.IMS_PER_BATCH {max(images // 2, 1)}, or DTYPE bfloat16")  # fmt: skip
    whole = datetime.timedelta(seconds=round(each * cfg.SOLVER.MAX_ITER))
    how = f"reckoned from one image of {images}" if by_one else f"{images} images"
    text = f"{each:.2f} s for an iteration ({how}), {whole} for all {cfg.SOLVER.MAX_ITER:,} without validation"
    if cfg.SOLVER.SCHEDULE.TYPE == "WarmupReduceLROnPlateau":
        text += "; the schedule may stop it earlier"
    if device.type == "cuda":
        text += f"; {in_words(torch.cuda.max_memory_allocated(device))} of the card at most"
    return Finding("cost", OK, text)


def _measure(cfg, model: nn.Module, recipe: Recipe, images: int, iterations: int) -> float:
    """Median seconds of training iterations, the first left out."""
    own = cfg.clone()
    own.defrost()
    own.SOLVER.IMS_PER_BATCH, own.SOLVER.MAX_ITER = images, iterations + 1
    own.freeze()
    device = torch.device(own.MODEL.DEVICE)
    model.train()
    fix_eval_modules([model.get_submodule(name) for name in recipe.frozen])
    optimizer = make_optimizer(own, model, _quiet, rl_factor=0.0)
    seconds = []
    batches = iter(make_data_loader(own, mode="train"))
    for _ in range(iterations + 1):
        begin = time.perf_counter()
        batch, targets, _ = next(batches)
        with autocast(device, own.DTYPE):
            losses = model(batch.to(device), [target.to(device) for target in targets])
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds[1:])
