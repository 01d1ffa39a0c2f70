"""Plain ways of doing what the library does faster; benchmarks check that both give the same and compare the times."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
from collections.abc import Iterator
from unittest import mock

import h5py
import numpy as np
import torch
from torch import Tensor, nn

from maskrcnn_benchmark.data.datasets.vg_format import BOX_SCALE
from maskrcnn_benchmark.modeling.backbone import resnet
from maskrcnn_benchmark.modeling.roi_heads.relation_head import pair_search
from maskrcnn_benchmark.structures.boxlist_ops import boxlist_union


@contextlib.contextmanager
def every_pair_by_itself(head: nn.Module) -> Iterator[None]:
    """Within the block the relation head scores all ordered pairs in one call, each with a union box of its own.

    Frozen norms are layers of their own, too, and torchvision pools.
    """
    extractor, first = head.union_feature_extractor, head.first_triplets

    def features(x, proposals, rel_pair_idxs) -> Tensor:
        ends = [
            [p.copy_with_fields([])[pairs[:, k]] for p, pairs in zip(proposals, rel_pair_idxs, strict=True)]
            for k in (0, 1)
        ]
        unions = [boxlist_union(s, o) for s, o in zip(*ends, strict=True)]
        rectangles = torch.stack([extractor._rectangles(boxes) for boxes in ends], dim=1)
        spatial = extractor.rect_conv(rectangles.contiguous(memory_format=torch.channels_last))
        return extractor.feature_extractor.forward_without_pool(extractor.feature_extractor.pooler(x, unions) + spatial)

    head.first_triplets = 0
    many = {"cpu": 10**9, "cuda": 10**9}
    with (
        mock.patch.object(extractor, "forward", features),
        mock.patch.object(pair_search, "CALL_PAIRS", many),
        mock.patch.object(resnet, "normalised_conv", lambda x, conv, norm: norm(conv(x))),
        mock.patch.object(
            importlib.import_module("maskrcnn_benchmark.layers.roi_align"), "_pools_rows", lambda _: False
        ),
    ):
        yield
    head.first_triplets = first


def open_images(roidb_file: str) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
    """Boxes (xyxy), classes and relations of the training images of an h5, image by image."""
    with h5py.File(roidb_file, "r") as h5:
        data = {name: h5[name][:] for name in h5}
    boxes = data[f"boxes_{BOX_SCALE}"]
    boxes[:, :2] = boxes[:, :2] - boxes[:, 2:] / 2
    boxes[:, 2:] = boxes[:, :2] + boxes[:, 2:]
    found: tuple[list, list, list] = ([], [], [])
    for i in np.flatnonzero((data["split"] == 0) & (data["img_to_first_rel"] >= 0)):
        first, last = data["img_to_first_box"][i], data["img_to_last_box"][i]
        rows = range(data["img_to_first_rel"][i], data["img_to_last_rel"][i] + 1)
        relations = []
        for row in rows:
            subject, obj = data["relationships"][row] - first
            relations.append((subject, obj, data["predicates"][row, 0]))
        found[0].append(boxes[first : last + 1])
        found[1].append(data["labels"][first : last + 1, 0])
        found[2].append(np.array(relations))
    return found


def list_images(img_dir: str, image_file: str) -> list[str]:
    """Paths of the images of a list that exist, each looked for by itself."""
    with open(image_file, encoding="utf-8") as stream:
        infos = json.load(stream)
    paths = [os.path.join(img_dir, f"{info['image_id']}.jpg") for info in infos]
    return [path for path in paths if os.path.exists(path)]


def count_relations(
    boxes: list[np.ndarray],
    classes: list[np.ndarray],
    relations: list[np.ndarray],
    num_classes: int,
    num_predicates: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Counts of triplets [O, O, R] and of pairs of overlapping boxes [O, O] (all of an image without any)."""
    triplets = np.zeros((num_classes, num_classes, num_predicates), dtype=np.int64)
    pairs = np.zeros((num_classes, num_classes), dtype=np.int64)
    for own_boxes, own_classes, own_relations in zip(boxes, classes, relations, strict=True):
        for subject, obj, predicate in own_relations:
            triplets[own_classes[subject], own_classes[obj], predicate] += 1
        every, meeting = [], []
        for i in range(len(own_boxes)):
            for j in range(len(own_boxes)):
                if i == j:
                    continue
                low = np.maximum(own_boxes[i, :2], own_boxes[j, :2])
                high = np.minimum(own_boxes[i, 2:], own_boxes[j, 2:])
                every.append((i, j))
                if (high > low).all():
                    meeting.append((i, j))
        for i, j in meeting or every:
            pairs[own_classes[i], own_classes[j]] += 1
    return triplets, pairs
