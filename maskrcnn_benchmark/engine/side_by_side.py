"""Predictions for chosen images of a data set beside their ground truth, for `visualization.side_by_side_figure`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch.utils.data import DataLoader, Subset

from maskrcnn_benchmark.data.collate_batch import BatchCollator
from maskrcnn_benchmark.data.datasets import VGDataset
from maskrcnn_benchmark.data.datasets.evaluation.vg.image_ranks import with_given_objects
from maskrcnn_benchmark.data.datasets.evaluation.vg.protocol import PROTOCOLS
from maskrcnn_benchmark.data.datasets.evaluation.vg.ranks import (
    best_predicates,
    first_match_rank,
    match_relations,
    object_agreement,
)
from maskrcnn_benchmark.data.datasets.evaluation.vg.vg_eval import annotated_graph, predicted_graph, task_of
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.utils.visualization import Side

from .inference import compute_on_dataset


def images_side_by_side(
    cfg, model: torch.nn.Module, dataset: VGDataset, indices: Sequence[int], top_k: int = 20
) -> Iterator[tuple[int, Side, Side]]:
    """Predict images of a data set.

    Args:
        dataset: with the transforms of a test.
        indices: of the images.
        top_k: how many predictions of an image count.

    Yields:
        (index, ground truth, prediction), see `side_by_side`.
    """
    loader = DataLoader(
        Subset(dataset, list(indices)),
        batch_size=cfg.TEST.IMS_PER_BATCH,
        num_workers=cfg.DATALOADER.NUM_WORKERS,
        collate_fn=BatchCollator(cfg.DATALOADER.SIZE_DIVISIBILITY),
    )
    for index, prediction in compute_on_dataset(model, loader, cfg.MODEL.DEVICE, dtype=cfg.DTYPE):
        info = dataset.get_img_info(index)
        prediction = prediction.resize((info["width"], info["height"])).convert("xyxy")
        truth = dataset.get_groundtruth(index, evaluation=True)
        names = dataset.ind_to_classes, dataset.ind_to_predicates
        yield index, *side_by_side(truth, prediction, *names, task_of(cfg), cfg.TEST.RELATION.IOU_THRESHOLD, top_k)


def side_by_side(
    truth: BoxList,
    prediction: BoxList,
    classes: Sequence[str],
    predicates: Sequence[str],
    task: str,
    iou_threshold: float = 0.5,
    top_k: int = 20,
) -> tuple[Side, Side]:
    """The ground truth of an image, with what of it the first `top_k` predictions found, and these, with what of them
    is annotated. Matches are those of the evaluation under graph constraint (docs/evaluation.md). A relation of an
    object with itself is not shown.

    Args:
        truth: with `labels` and `relation_tuple`.
        prediction: of a relation model, in the same scale.
        classes, predicates: names by number, background first.
        task: predcls, sgcls or sgdet.
    """
    annotated = annotated_graph(truth)
    true_boxes, true_labels = annotated.boxes, annotated.classes
    true_relations = annotated.counted(PROTOCOLS["visualds"])
    graph = with_given_objects(annotated, predicted_graph(prediction), task)
    boxes, labels = graph.boxes, graph.classes
    shown = np.flatnonzero(graph.relations[:, 0] != graph.relations[:, 1])[:top_k]
    pairs, scores = graph.relations[shown], graph.rel_scores[shown]
    relations = best_predicates(pairs, scores)
    agreement = object_agreement(boxes, labels, true_boxes, true_labels, iou_threshold)
    matches = match_relations(relations, true_relations, agreement)
    ranks = first_match_rank(matches)
    hits = matches.any(1)
    total = graph.scores[pairs].prod(1) * scores[np.arange(len(relations)), relations[:, 2]]
    found = matches.any(0)

    def named(rows: np.ndarray) -> list[tuple[int, str, int]]:
        return [(s, predicates[p], o) for s, o, p in rows.tolist()]

    ground_truth = Side(
        title=f"ground truth: {int(found.sum())} of {len(found)} relations found",
        boxes=true_boxes,
        names=[classes[label] for label in true_labels.tolist()],
        relations=named(true_relations),
        found_boxes=agreement.any(0).tolist(),
        found=found.tolist(),
        notes=[f"(prediction {rank + 1})" if hit else "" for rank, hit in zip(ranks.tolist(), found, strict=True)],
    )
    predicted = Side(
        title=f"first {len(relations)} predictions: {int(hits.sum())} are annotated",
        boxes=boxes,
        names=[classes[label] for label in labels.tolist()],
        relations=named(relations),
        found_boxes=agreement.any(1).tolist(),
        found=hits.tolist(),
        notes=[f"{score:.2g}" for score in total.tolist()],
    )
    return ground_truth, predicted
