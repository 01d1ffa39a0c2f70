"""Adapts CLIP's image side to relations: RCL on the crops of a training set's related pairs (RELCLIP.VISION clip)."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from maskrcnn_benchmark.data import get_dataset_statistics, make_data_loader
from maskrcnn_benchmark.modeling.language.crops import union_boxes
from maskrcnn_benchmark.modeling.language.image_encoder import ImageEncoder
from maskrcnn_benchmark.modeling.roi_heads.relation_head.adapted_clip import LEVELS, adapter_file, save_adapter
from maskrcnn_benchmark.modeling.roi_heads.relation_head.relclip.clip_adapter import (
    ClipAdapter,
    SeenPairs,
    fit_adapter,
    pair_geometry,
)
from maskrcnn_benchmark.modeling.roi_heads.relation_head.relclip.defaults import check_node
from maskrcnn_benchmark.modeling.roi_heads.relation_head.relclip.loss import level_losses
from maskrcnn_benchmark.modeling.roi_heads.relation_head.relclip.targets import MovedTargets, TextTargets, make_targets
from maskrcnn_benchmark.modeling.roi_heads.relation_head.second_opinion import make_crops
from maskrcnn_benchmark.utils.comm import is_main_process, synchronize
from maskrcnn_benchmark.utils.errors import InputError

from .run_state import MetricsFile, tensorboard_writer


def adapt_clip(cfg, seed: int, logger: logging.Logger) -> Path:
    """Fit the adapter that a configuration asks for, and write it; on several processes the main one does.

    Args:
        cfg: with RELCLIP.VISION clip; DATASETS.TRAIN is what it learns from.
        seed: of its training.

    Returns:
        its file.

    Raises:
        InputError: no related pair, or phrases of another width than CLIP's embeddings.
        LanguageError: a value that a key cannot have, or a CLIP that cannot be loaded.
    """
    path = adapter_file(cfg)
    if is_main_process():
        node = cfg.MODEL.ROI_RELATION_HEAD.RELCLIP
        check_node(node)
        statistics = get_dataset_statistics(cfg)
        counts = torch.as_tensor(statistics["fg_matrix"])
        objects, predicates = list(statistics["obj_classes"])[1:], list(statistics["rel_classes"])[1:]
        device = torch.device(cfg.MODEL.DEVICE)
        kept = cfg.MODEL.ROI_RELATION_HEAD.SECOND_OPINION.CROP_CACHE or os.path.join(
            cfg.MODEL.LANGUAGE.CACHE_DIR, "crops"
        )
        crops = make_crops(cfg, kept)
        pairs = related_pairs(cfg, crops.embed if node.PICTURE else _no_pictures(crops.encoder))
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(seed)
            width = pairs.embedding.shape[1]
            targets, rule = make_targets(cfg, objects, predicates, statistics.get("predicate_pairs"), width)
            found = next(iter(targets().values())).shape[-1]
            if found != width:
                raise InputError(f"phrases have {found} numbers, CLIP's embeddings of pictures {width}")
            if node.ADAPT_TEXT and isinstance(targets, TextTargets):
                targets = MovedTargets(targets())
            losses = level_losses(node, counts, rule).to(device)
            adapter = ClipAdapter(width, node.PROJECTION_DIM, LEVELS, node.PICTURE).to(device)
            with _notes(path, node.ADAPTER_STEPS, logger) as note:
                loss = fit_adapter(
                    adapter, targets.to(device), losses, SeenPairs(*(part.to(device) for part in pairs)),
                    crops.encoder.scale, node.ADAPTER_STEPS, node.ADAPTER_BATCH, node.ADAPTER_LR, note,
                )  # fmt: skip
        facts = {"pairs": len(pairs.weight), "loss": loss, "seed": seed, "settings": dict(node)}
        save_adapter(path, adapter.cpu(), targets.cpu(), counts, objects, predicates, facts)
        logger.info("CLIP's image side, adapted on %d related pairs, is in %s", len(pairs.weight), path)
    synchronize()
    return path


@contextlib.contextmanager
def _notes(path: Path, steps: int, logger: logging.Logger) -> Iterator[Callable[[int, dict[str, float]], None]]:
    """Where an adapter's training says how it goes: beside its file, as <stem>_metrics.json and in TensorBoard, each
    time; in the log now and then.

    Yields:
        takes the number of steps done, of `steps`, and numbers by name.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    metrics = MetricsFile(str(path.with_name(f"{path.stem}_metrics.json")), 0)
    writer = tensorboard_writer(str(path.parent / "tensorboard" / path.stem), 0)

    def note(step: int, numbers: dict[str, float]) -> None:
        metrics.write({"iteration": step, **numbers})
        for name, number in numbers.items():
            writer.add_scalar(name, number, step)
        if step % max(1, steps // 5) == 0:
            said = "  ".join(f"{name}: {number:.3f}" for name, number in numbers.items())
            logger.info("adapting CLIP's image side: step %d/%d  %s", step, steps, said)

    try:
        yield note
    finally:
        metrics.close()
        writer.close()


def _no_pictures(encoder: ImageEncoder) -> Callable[[Tensor, tuple[int, int], Tensor], Tensor]:
    """In place of `PairCrops.embed`, for an adapter that does not look at embeddings: the same one for every box."""
    seen = encoder.embed(torch.zeros(1, 3, encoder.resolution, encoder.resolution, device=encoder.device))
    return lambda image, size, boxes: seen.expand(len(boxes), -1)


def related_pairs(cfg, embed: Callable[[Tensor, tuple[int, int], Tensor], Tensor]) -> SeenPairs:
    """The related pairs of the training set, a row for each predicate that was given to a pair.

    The predicates of a pair share its weight, by `predicate_weights` where the h5 has them.

    Args:
        embed: what is seen of boxes of an image, see `PairCrops.embed`.

    Raises:
        InputError: there is none.
    """
    plain = cfg.clone()
    plain.defrost()
    plain.MODEL.FLIP_AUG = False
    loader = make_data_loader(plain, mode="test", dataset_to_test="train")[0]
    dataset = loader.dataset
    rows = []
    for images, _, indices in tqdm(loader, desc="crops", unit="batch"):
        for pixels, (height, width), index in zip(images.tensors, images.image_sizes, indices, strict=True):
            relations = np.asarray(dataset.relationships[index]).reshape(-1, 3)
            if not len(relations):
                continue
            weights = np.ones(len(relations)) if dataset.weights is None else np.asarray(dataset.weights[index])
            truth = dataset.get_groundtruth(index, evaluation=True).resize((width, height))
            boxes, labels = truth.bbox, truth.get_field("labels")
            ends, pair = np.unique(relations[:, :2], axis=0, return_inverse=True)
            pair = pair.reshape(-1)
            total = np.bincount(pair, weights)[pair]
            share = np.divide(weights, total, out=np.zeros(len(weights)), where=total > 0)
            first, second = (boxes[torch.from_numpy(ends[:, side]).long()] for side in (0, 1))
            of_row = torch.from_numpy(pair)
            seen = embed(pixels, (width, height), union_boxes(first, second)).cpu()
            classes = labels[torch.from_numpy(relations[:, :2]).long()].long()
            triplets = torch.cat([classes, torch.from_numpy(relations[:, 2:]).long()], dim=1)
            geometry = pair_geometry(first, second, (width, height))
            rows.append(SeenPairs(seen[of_row], geometry[of_row], triplets, torch.from_numpy(share).float()))
    if not rows:
        raise InputError("the training set has no related pair to adapt CLIP's image side on")
    return SeenPairs(*(torch.cat(parts) for parts in zip(*rows, strict=True)))
