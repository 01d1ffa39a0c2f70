"""Small helpers that SGB's users import from here."""

from __future__ import annotations

import json
import os

import numpy as np
from yacs.config import CfgNode

from maskrcnn_benchmark.sgb_compat import argsort_desc, intersect_2d  # noqa: F401  (SGB's users find them here)

from .comm import is_main_process
from .files import atomic_write


def mkdir(path: str) -> None:
    """Make a folder and its parents; an existing one is fine."""
    os.makedirs(path, exist_ok=True)


def save_labels(dataset_list, output_dir: str) -> None:
    """Write the object classes of the data sets to `labels.json`, {index: name}."""
    if not is_main_process():
        return
    labels: dict[int, str] = {}
    for dataset in dataset_list:
        labels.update(enumerate(dataset.ind_to_classes))
    with atomic_write(os.path.join(output_dir, "labels.json")) as path:
        path.write_text(json.dumps(labels, indent=2), encoding="utf-8")


def save_config(cfg: CfgNode, path: str) -> None:
    """Write a configuration as YAML."""
    if is_main_process():
        with atomic_write(path) as temporary:
            temporary.write_text(cfg.dump(), encoding="utf-8")


def bbox_overlaps(boxes1, boxes2) -> np.ndarray:
    """IoU of inclusive xyxy boxes [n, 4] and [m, 4] (arrays, tensors or lists): float32 [n, m]."""
    boxes1, boxes2 = (np.asarray(boxes, dtype=np.float32) for boxes in (boxes1, boxes2))
    top_left = np.maximum(boxes1[:, None, :2], boxes2[None, :, :2])
    bottom_right = np.minimum(boxes1[:, None, 2:], boxes2[None, :, 2:])
    intersection = np.clip(bottom_right - top_left + 1, 0, None).prod(2)
    area1 = (boxes1[:, 2:] - boxes1[:, :2] + 1).prod(1)
    area2 = (boxes2[:, 2:] - boxes2[:, :2] + 1).prod(1)
    return intersection / (area1[:, None] + area2[None, :] - intersection)
