"""Brings predicates that training never showed onto the scale of those that it did (language/vocabulary.py)."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor

from maskrcnn_benchmark.data import get_dataset_statistics, make_data_loader
from maskrcnn_benchmark.modeling.language.vocabulary import (
    Calibration,
    fit_calibration,
    name_similarity,
)
from maskrcnn_benchmark.utils.errors import InputError
from maskrcnn_benchmark.utils.files import atomic_write

from .scene_predictor import Trained, for_task


def calibrate_vocabulary(trained: Trained, max_images: int) -> Calibration:
    """Slope, offset and width for a model, from validation images with their boxes and classes given (PredCls).

    Args:
        trained: a RelCLIP model; DATASETS of its configuration must be there.
        max_images: of DATASETS.VAL, from the first on.

    Raises:
        InputError: another model, or no data.
    """
    head = trained.model.roi_heads["relation"] if trained.cfg.MODEL.RELATION_ON else None
    if getattr(getattr(head, "predictor", None), "relclip", None) is None:
        raise InputError("only a RelCLIP model with alignment has a vocabulary to calibrate")
    counts = torch.as_tensor(get_dataset_statistics(trained.cfg)["fg_matrix"]).sum(dim=(0, 1))
    unseen = [name for name, count in zip(trained.predicates[1:], counts[1:].tolist(), strict=True) if count == 0]
    model = for_task(trained, "predcls")
    logits, aligned, truth = _scores(model, trained, max_images)
    tables = model.roi_heads["relation"].predictor.relclip.targets()
    similarity = name_similarity(tables, tables).to(logits.device)
    return fit_calibration(logits, aligned, truth, similarity, unseen, trained.predicates[1:])


def _scores(model: torch.nn.Module, trained: Trained, max_images: int) -> tuple[Tensor, Tensor, Tensor]:
    """Logits and alignment [N, R] of all pairs, and their predicates int64 [N]."""
    relclip, device = model.roi_heads["relation"].predictor.relclip, trained.cfg.MODEL.DEVICE
    logits, aligned, truth = [], [], []

    def listen(module, inputs, output) -> None:
        logits.append(output[0].cpu())
        aligned.append(module.aligned(module.embedding(inputs[1]), module.targets(), inputs[1]).cpu())

    loader = make_data_loader(trained.cfg, mode="val")[0]
    handle = relclip.register_forward_hook(listen)
    done = 0
    with torch.inference_mode():
        for images, targets, _ in loader:
            for target in (target for target in targets if len(target) > 0):
                relation = target.get_field("relation").long()
                pairs = ~torch.eye(len(target), dtype=torch.bool)
                truth.append(relation[pairs] if len(target) > 1 else relation[0])
            model(images.to(device), [target.to(device) for target in targets])
            done += len(targets)
            if done >= max_images:
                break
    handle.remove()
    return torch.cat(logits), torch.cat(aligned), torch.cat(truth)


def save_calibration(calibration: Calibration, path: Path) -> None:
    """Write what `Calibration.read` reads."""
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps({**calibration._asdict(), "unseen": list(calibration.unseen)}, indent=1))
